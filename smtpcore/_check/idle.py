"""A client that is silent while the other checks run: after how long does the server end its session?"""

from __future__ import annotations

import time

from .wire import Wire


class IdleClient:
    """A client that says nothing from now on.

    Args:
        wire: Its connection, after the introduction.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.ended: float | None = None
        """Seconds until the server ended the session; None if it has not."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the client has been silent."""
        return time.monotonic() - self._since

    def look(self, seconds: float = 0.0) -> None:
        """Note whether the server has ended the session, which is awaited for at most ``seconds``."""
        if self.ended is None and (self.wire.pending(seconds) or self.wire.closed):
            self.ended = self.seconds
