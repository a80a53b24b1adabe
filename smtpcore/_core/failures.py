"""The errors that the peer or the network causes and the core raises, from ``next_event()`` only.

They hold replies and commands, whose constructors raise the errors of ``errors``: hence a module of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ProtocolError, SMTPError
from .events import Event
from .replies import Reply


class RemoteProtocolError(ProtocolError):
    """The peer's mistake; raised from ``next_event()`` only.

    Attributes:
        reply: The offending reply. If it is a line that offends: what was received of its reply before, or
            what the line would say if it were well-formed; None if it says nothing.
        line: The offending line, shortened and fit to be shown, if it is not a valid line of a reply
            (RFC 5321 4.2, 4.2.1); else None.
    """

    def __init__(self, message: str, *, reply: Reply | None = None, line: str | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.line = line

    @property
    def retryable(self) -> bool:
        """Whether the reply that breaks the protocol is a temporary refusal (4yz)."""
        return self.reply is not None and self.reply.is_transient


class ConnectionLost(SMTPError):
    """The connection ended while something was unanswered (RFC 5321 3.8: treat it as a 451).

    Attributes:
        outstanding: The commands that got no reply, oldest first.
        maybe_delivered: The whole message with its final dot had been sent and only the answer is
            missing: the server may or may not have taken it.
    """

    def __init__(
        self, message: str, *, outstanding: Sequence[Event] = (), maybe_delivered: bool = False
    ) -> None:
        super().__init__(message)
        self.outstanding = tuple(outstanding)
        self.maybe_delivered = maybe_delivered

    @property
    def retryable(self) -> bool:
        """True: a lost reply counts as 451 (RFC 5321 3.8). With ``maybe_delivered`` a duplicate may result."""
        return True
