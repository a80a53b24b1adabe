"""What a conversation needs of a stream, and how to run one that never suspends."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .._core.limits import TlsInfo

T = TypeVar("T")

NO_LOOP = "a coroutine suspended: on blocking sockets nothing may need an event loop"


class Stream(Protocol):
    """What a conversation needs of a connection. One caller at a time reads, and one writes.

    An object with these attributes and methods is enough; it need not inherit. Time is in seconds.

    Attributes:
        peername: The address of the other side; a tuple ``(host, port)``, or ``""`` if there is none.
        sockname: The address of this side.
        tls: The facts of TLS after ``start_tls()``; None in plaintext.
        first_octets: What the other side sent first in a TLS handshake, for a hint if it failed; ``b""``.
        idle: Set by the session: a read may be cut short because the server stops.
        stopping: Set when the server stops; a read that is idle then returns ``b""``.
        farewell: Set by the session; returns the octets of a last reply, for ``dismiss()``.
    """

    peername: Any
    sockname: Any
    tls: TlsInfo | None
    first_octets: bytes
    idle: bool
    stopping: bool
    farewell: Callable[[], bytes] | None

    async def read(self, timeout: float | None) -> bytes:
        """Wait for octets, and return what has arrived; ``b""`` at the end. None waits without a limit.

        Raises:
            TimeoutError: Nothing has arrived; the stream can still be used.
            OSError: The connection is lost.
        """
        ...

    async def write(self, data: bytes, timeout: float | None) -> None:
        """Send all octets.

        Raises:
            TimeoutError, OSError: The connection cannot be used any more.
        """

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo:
        """Do the TLS handshake, set ``tls``, and return it. Octets read in plaintext belong to the handshake.

        Raises:
            TimeoutError, OSError: It failed, or the stream has no TLS; the connection cannot be used any more.
        """
        ...

    async def give_way(self) -> None:
        """Let other tasks run: called after a number of commands that needed no waiting."""

    async def close(self) -> None:
        """Close the connection. A second call does nothing."""

    def abort(self) -> None:
        """Break the connection without waiting: pending and later calls fail."""

    def dismiss(self) -> None:
        """Send what ``farewell()`` returns, if that needs no waiting; then ``abort()``."""


def arrived(stream: Stream) -> bytes | None:
    """What has arrived on a stream, without waiting: None for nothing, or if it cannot tell."""
    look: Callable[[], bytes | None] | None = getattr(stream, "arrived", None)
    return None if look is None else look()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and give its result.

    Raises:
        RuntimeError: It did suspend, because it awaited something that needs an event loop. This is raised at
            the very place, so a handler that does so has failed, and is treated, like any that fails.
    """
    try:
        coroutine.send(None)
        while True:
            coroutine.throw(RuntimeError(NO_LOOP))
    except StopIteration as stop:
        result: T = stop.value
        return result
