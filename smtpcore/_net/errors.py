"""The errors that only the conversations raise, and the context that they add to every error."""

from __future__ import annotations

from dataclasses import dataclass

from .._core.errors import SMTPError
from .._core.events import Response
from .._core.failures import TransportError
from .._core.replies import Reply
from .results import Exchange


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


class ConnectionFailed(TransportError):
    """No connection could be made: no such host, refused, unreachable."""


class TimedOut(TransportError, TimeoutError):
    """A deadline passed; ``context.phase`` says which (RFC 5321 4.5.3.2)."""


class TlsError(SMTPError):
    """The TLS handshake failed: wrong port, wrong certificate, no common version."""

    @property
    def retryable(self) -> bool:
        """True: certificates and servers are mended; a message is kept meanwhile (RFC 8461 5)."""
        return True


class TlsUnavailable(TlsError):
    """TLS was required and the server did not offer, or refused, STARTTLS (RFC 3207 4)."""


class AuthenticationUnavailable(SMTPError):
    """Credentials were given but no usable mechanism is offered; ``context.capabilities`` says what is."""


# The beginning of the error text where the reply is not one to a command.
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
    """The message is bigger than the server accepts by its EHLO reply (RFC 1870 7), so nothing was sent.

    ``reply`` is the refusal of RFC 1870 6.1 that the server would have sent.
    """


class AuthenticationFailed(ReplyError):
    """The server refused the credentials (RFC 4954 6)."""


class RecipientsRefused(ReplyError):
    """Every recipient was refused; ``result`` holds each reply."""
