"""The errors that the peer or the network causes and the core raises, from ``next_event()`` only.

They hold replies and commands, whose constructors raise the errors of ``errors``: hence a module of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ProtocolError, SMTPError
from .events import Event
from .replies import Reply


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; raised from ``next_event()`` only.

    Attributes:
        reply: The offending reply. If a line is the offence: the lines of its reply before it, or what the line
            would say if it were well-formed; None if it says nothing.
        line: The offending line, shortened and printable, if it is not a valid line of a reply (RFC 5321 4.2,
            4.2.1); else None.
    """

    def __init__(self, message: str, *, reply: Reply | None = None, line: str | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.line = line

    @property
    def retryable(self) -> bool:
        """Whether the reply, if there was one, is not a permanent refusal: a broken server may be mended."""
        return self.reply is None or not self.reply.is_permanent


class TransportError(SMTPError):
    """There is no connection, or it ended or timed out (RFC 5321 3.8: treat it as a 451).

    Attributes:
        outstanding: The commands without a reply, oldest first.
        maybe_delivered: The whole message with its final dot had been sent and only its reply is missing: the
            server may have accepted the message, or not (RFC 5321 4.5.4.1, 6.1).
    """

    def __init__(
        self, message: str, *, outstanding: Sequence[Event] = (), maybe_delivered: bool = False
    ) -> None:
        super().__init__(message)
        self.outstanding = tuple(outstanding)
        self.maybe_delivered = maybe_delivered

    @property
    def retryable(self) -> bool:
        """True: RFC 5321 3.8 and 4.5.4.1 ask for another attempt later."""
        return True


class ConnectionLost(TransportError):
    """The connection ended before every command had its reply, or was used after its end."""
