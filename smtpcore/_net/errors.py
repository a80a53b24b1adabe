"""The errors that only the conversations raise, and the context that they add to each error."""

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
        capabilities: The EHLO keywords that the server offered last, with their arguments.
        octets_received: The number of octets that were received.
        first_octets: The first octets that were received, at most 64: enough to tell TLS, SMTP and HTTP apart.
        idle: Seconds since octets were last received.
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
        """The last exchanges as text, safe for a terminal; each line begins with ``C: `` or ``S: ``."""
        return "\n".join(str(one) for one in self.exchanges)


class ConnectionFailed(TransportError):
    """No connection could be made: no such host, refused, unreachable."""


class TimedOut(TransportError, TimeoutError):
    """The server did not reply in time; ``context.phase`` has the phase (RFC 5321 4.5.3.2)."""


class TlsError(SMTPError):
    """The TLS handshake failed: wrong port, wrong certificate, no common version."""

    @property
    def retryable(self) -> bool:
        """True: a server or a certificate can be repaired, and a message can wait for that (RFC 8461 5)."""
        return True


class TlsUnavailable(TlsError):
    """TLS was required, and the server did not offer STARTTLS or refused it (RFC 3207 4)."""


class AuthenticationUnavailable(SMTPError):
    """The server offers no mechanism that the credentials can be used with (``context.capabilities``)."""


# The beginning of the error text where the reply is not one to a command.
_REFUSED = {".": "the message was refused:", "connect": "the connection was refused:"}


class ReplyError(SMTPError):
    """The server refused a command, or the content, with 4yz or 5yz.

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
        """Whether the same attempt may succeed later: after 4yz (RFC 5321 4.2.1)."""
        return self.response.reply.is_transient


class MessageTooBig(ReplyError):
    """The message is bigger than the server accepts by its EHLO reply (RFC 1870 7), so nothing was sent.

    ``reply`` is the refusal of RFC 1870 6.1 that the server would have sent.
    """


class AuthenticationFailed(ReplyError):
    """The server refused the credentials (RFC 4954 6)."""


class RecipientsRefused(ReplyError):
    """The server refused every recipient; ``result`` has each reply."""
