"""The exception hierarchy: facts first, prose second.

There are exactly three things that can go wrong on an SMTP connection, and a class for each:

* *we* asked for something the protocol does not allow: :class:`LocalProtocolError`, raised before
  anything has changed, so the connection is as usable as it was;
* *the peer* did: :class:`RemoteProtocolError`, raised from ``next_event()`` only, after every event
  that arrived before the offence has been handed out;
* the connection went away: :class:`ConnectionLost`, which says what was still unanswered.

The flows (and so the adapters) add what only they can know: the host, the port, the TLS mode, the phase
of the conversation. These are the fields of :class:`ErrorContext`; every exception that leaves an
adapter has them, together with one ``hint`` that was classified from the facts, never from the wording
of somebody's message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transcript import Transcript
    from .events import Event, Response
    from .replies import Reply
    from .results import Exchange, SendResult


@dataclass(slots=True)
class ErrorContext:
    """Where a conversation stood when it failed.

    Attributes:
        host: The host name or address that was asked for.
        port: The TCP port.
        security: The TLS mode asked for: ``"none"``, ``"starttls"``, ``"tls"`` or ``"opportunistic"``.
        tls: Whether TLS was active.
        phase: ``"connect"``, ``"tls"``, ``"greeting"``, ``"ehlo"``, ``"starttls"``, ``"auth"``,
            ``"mail"``, ``"rcpt"``, ``"data"``, ``"content"``, ``"end-of-data"``, ``"quit"`` or
            ``"command"``.
        last_command: The verb of the last command sent, if any (never its arguments).
        reply: The last reply received, if any.
        capabilities: The EHLO keywords the server offered last.
        octets_received: How many octets the peer had sent.
        first_octets: The first few octets the peer sent: enough to tell TLS from SMTP from HTTP.
        idle: Seconds since the peer had last been heard of.
        exchanges: The last commands of the dialogue with their replies, oldest first, at most 20; a command
            without a reply comes last. Secrets are masked and content is left out. :meth:`dialogue` shows them.
    """

    host: str = ""
    port: int = 0
    security: str = "none"
    tls: bool = False
    phase: str = "connect"
    last_command: str | None = None
    reply: Reply | None = None
    capabilities: tuple[str, ...] = ()
    octets_received: int = 0
    first_octets: bytes = b""
    idle: float = 0.0
    exchanges: tuple[Exchange, ...] = ()

    def dialogue(self) -> str:
        """The last exchanges as text: each line begins with ``C: `` or ``S: ``, fit for a terminal."""
        return "\n".join(str(one) for one in self.exchanges)


class SMTPError(Exception):
    """The base of everything smtpcore raises.

    Errors can be pickled and copied, and compare by value: two of one class are equal if they say and hold the
    same, whatever was recorded.

    Attributes:
        context: Where the conversation stood; set by the flows, None in the core.
        hint: One sentence on what to try, or None.
        transcript: The recorded dialogue, if a :class:`~smtpcore.transcript.Transcript` was on.
        result: The :class:`~smtpcore.SendResult` so far, when a message was being sent.
    """

    context: ErrorContext | None = None
    hint: str | None = None
    transcript: Transcript | None = None
    result: SendResult | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed later, without a change on this side.

        True after a lost connection, a timeout and a reply of 4yz (RFC 5321 3.8, 4.2.1). A new session is
        needed unless the error is a :class:`ReplyError` with a code other than 421. False: something has to be
        changed first. For a message to several recipients see ``result.retryable_recipients``.
        """
        return False

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} (hint: {self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is made again from its arguments alone; those of many of ours are not its text.
        return _made_again, (self.__class__, self.args, self.__dict__.copy())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SMTPError) or self.__class__ is not other.__class__:
            return NotImplemented
        return self.args == other.args and _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash((self.__class__, super().__str__()))


def _made_again(cls: type[SMTPError], args: tuple[object, ...], attributes: dict[str, object]) -> SMTPError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _compared(error: object) -> dict[str, object]:
    return {name: value for name, value in vars(error).items() if name != "transcript"}


class ProtocolError(SMTPError):
    """Somebody broke the protocol; the subclass says who."""


class LocalProtocolError(ProtocolError):
    """The caller's mistake; checked before anything changes."""


class ArgumentTypeError(LocalProtocolError, TypeError):
    """An argument has the wrong type; its name is in the text, and nothing was sent for it."""


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


class ConnectionFailed(ConnectionLost):
    """No connection could be made: no such host, refused, unreachable."""


class TimedOut(ConnectionLost, TimeoutError):
    """A deadline passed; ``context.phase`` says which (RFC 5321 4.5.3.2)."""


class TlsError(SMTPError):
    """The TLS handshake failed: wrong port, wrong certificate, no common version."""


class TlsUnavailable(TlsError):
    """TLS was required and the server did not offer, or refused, STARTTLS (RFC 3207 4)."""

    @property
    def retryable(self) -> bool:
        """Whether the server refused STARTTLS for now (454, RFC 3207 4)."""
        reply = None if self.context is None else self.context.reply
        return reply is not None and reply.is_transient


class AuthenticationUnavailable(SMTPError):
    """Credentials were given but no usable mechanism is offered; ``context.capabilities`` says what is."""


# How a refusal is told of what is no command.
_REFUSED = {".": "the message was refused:", "connect": "the connection was refused:"}


class ReplyError(SMTPError):
    """A command was answered 4yz or 5yz.

    Attributes:
        response: The command and its reply.
    """

    def __init__(self, response: Response, message: str | None = None) -> None:
        what = _REFUSED.get(response.verb, f"{response.verb} was answered")
        super().__init__(message or f"{what} {response.reply}")
        self.response = response

    @property
    def reply(self) -> Reply:
        """The reply itself."""
        return self.response.reply

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed later (4yz, RFC 5321 4.2.1)."""
        return self.response.reply.is_transient


class MessageTooBig(ReplyError):
    """The message is bigger than the server has announced to take (RFC 1870 7), so it was not even asked.

    ``reply`` is what it would have said.
    """


class AuthenticationFailed(ReplyError):
    """The server refused the credentials (RFC 4954 6)."""


class RecipientsRefused(ReplyError):
    """Every recipient was refused; ``result`` holds each reply."""
