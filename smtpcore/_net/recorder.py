"""The recorder of a session only listens: a session never fails, ends or changes because of it.

A recorder is a :class:`~smtpcore.transcript.Transcript`, or an object with its methods. It may call code of the
application (a sink, a clock) and write to a disk or a pipe, and each of these can fail. That must not close a
session, and above all it must not come between a message that was stored and its 250: the client would send
the message again. So sessions call their recorder through a :class:`Recorder` and nowhere else. The first
exception is logged, and the recorder is not called again in that session.

Exceptions that end the program or a task (``KeyboardInterrupt``, a cancellation) are not swallowed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..transcript import Transcript

logger = logging.getLogger("smtpcore")


class Recorder:
    """Calls a recorder until it fails for the first time.

    Args:
        transcript: The recorder; None: nothing is recorded.
    """

    __slots__ = ("_transcript",)

    def __init__(self, transcript: Transcript | None) -> None:
        self._transcript = transcript

    def record_client(self, data: bytes) -> None:
        """Record octets that the client sent."""
        self._tell("record_client", data)

    def record_server(self, data: bytes) -> None:
        """Record octets that the server sent."""
        self._tell("record_server", data)

    def record_tls(self, description: str) -> None:
        """Record that everything is under TLS from here on."""
        self._tell("record_tls", description)

    def record_note(self, text: str) -> None:
        """Record a remark."""
        self._tell("record_note", text)

    def hide(self, *secrets: str) -> None:
        """Mask these in what is recorded from now on."""
        if secrets:
            self._tell("hide", *secrets)

    def record_end(self) -> None:
        """Record that the connection has ended."""
        self._tell("record_end")

    def _tell(self, method: str, *arguments: object) -> None:
        if self._transcript is not None:
            try:
                getattr(self._transcript, method)(*arguments)
            except Exception as error:
                self._transcript = None
                _log("a recorder failed and is not called again in this session", error)


NO_RECORDER = Recorder(None)
"""The recorder of sessions that are not recorded."""


def make_transcript(factory: Callable[[], Transcript | None] | None) -> Transcript | None:
    """Make the recorder of a new session.

    Args:
        factory: What the application gave to make it; None if it gave nothing.

    Returns:
        The recorder; None if there is none, or if making it failed, which is logged.
    """
    if factory is None:
        return None
    try:
        return factory()
    except Exception as error:
        _log("no recorder could be made for a session", error)
        return None


def _log(what: str, error: Exception) -> None:
    if isinstance(error, OSError):  # a closed pipe or a full disk is not a defect, and needs no traceback
        logger.error("%s: %s", what, error)
    else:
        logger.error("%s", what, exc_info=error)
