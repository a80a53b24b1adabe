"""What to try: one sentence for an error, worked out from facts.

The facts are those of :class:`~smtpcore.SessionFacts`: what was asked for, how far it went, what the other side
offered, answered, and first said. Never the wording of anybody's message: words change with versions and
languages, and two causes share them. Where the facts do not tell, there is no hint.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

from ._errors import (
    AuthenticationUnavailable,
    ConnectFailed,
    ConnectionLost,
    RecipientsRefused,
    RemoteProtocolError,
    ReplyError,
    SessionFacts,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
from ._replies import Reply, printable

# How the other side may begin.
_SMTP = re.compile(rb"[2-5][0-9][0-9][ -]")
_TLS = re.compile(rb"[\x14-\x17]\x03")  # a TLS record (RFC 8446 5.1)
_HTTP = re.compile(rb"HTTP/|<!DOCTYPE|<html", re.IGNORECASE)
_URL = re.compile(r"https?://\S+")

_BY_CODE: Final = {
    432: "log in once with PLAIN, so that the server can convert the password",
    452: "try again later, with fewer recipients or when there is room",
    523: "the server wants TLS first: use security='starttls'",
    525: "the account is disabled: ask whoever runs the server",
    534: "the server wants a stronger mechanism than the one used",
    538: "the server wants TLS first: use security='starttls'",
    552: "make the message smaller: compress or split attachments",
    554: "the server refuses by policy; its text says why, if anything does",
}
# The enhanced status code tells apart what 452 and 552 are both said for; by subject and detail (RFC 3463 3).
_BY_STATUS: Final = {
    (2, 2): "the recipient's mailbox is full: only its owner can change that, so try again later or tell them",
}


def hint_for(error: SMTPError, facts: SessionFacts) -> str | None:
    """What to try after ``error``; None if the facts do not tell."""
    return _by_first_octets(error, facts) or _by_kind(error, facts)


def _by_first_octets(error: SMTPError, facts: SessionFacts) -> str | None:
    """Somebody at the other end does not speak what was expected."""
    first = facts.first_octets
    if isinstance(error, TlsError) and facts.security == "tls" and _SMTP.match(first):
        return (
            f"the server on port {facts.port} speaks plain SMTP first, so TLS from the start is wrong there:"
            " use security='starttls' (usually port 587)"
        )
    if facts.security != "tls" and _TLS.match(first):
        return (
            f"the server on port {facts.port} expects TLS from the start: use security='tls' (usually port 465)"
        )
    if _HTTP.match(first):
        return f"there is a web server on port {facts.port}, not a mail server: check host and port"
    return None


def _by_kind(error: SMTPError, facts: SessionFacts) -> str | None:
    if isinstance(error, TlsUnavailable):
        if facts.reply is not None and facts.reply.code >= 400:
            return "TLS is out of order at the server: try again later, or ask whoever runs it"
        return (
            f"the server offers no STARTTLS, but {_offered(facts)}; if this server is known to have none,"
            " use security='opportunistic' or 'none', and then without a password"
        )
    if isinstance(error, AuthenticationUnavailable):
        if not facts.tls and "STARTTLS" in facts.offered:
            return "the server may offer AUTH under TLS only: use security='starttls'"
        if not facts.tls and any(keyword.startswith("AUTH") for keyword in facts.offered):
            return "what is offered would show the password to everybody on the path: use TLS"
        return f"the server offers {_offered(facts)}; perhaps it lets you send without logging in"
    if isinstance(error, TlsError) and isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return (
            f"check that the certificate is for {facts.host!r}, in date, and from an authority you trust;"
            " for one of your own, give an ssl_context that trusts it"
        )
    if isinstance(error, ConnectFailed):
        return "check host name and port; many networks block port 25, while 587 and 465 are open"
    if isinstance(error, ReplyError):
        return _by_reply(error.reply, facts, recipients=isinstance(error, RecipientsRefused))
    if isinstance(error, ConnectionLost):
        return _by_silence(error, facts)
    if isinstance(error, RemoteProtocolError) and facts.phase == "greeting":
        if error.reply is not None or _SMTP.match(facts.first_octets.lstrip(b"\r\n")):
            return f"the server on port {facts.port} speaks SMTP, but not correctly: tell its operator"
        return f"whatever listens on port {facts.port} does not speak SMTP: check host and port"
    return None


def _by_silence(error: ConnectionLost, facts: SessionFacts) -> str | None:
    if error.maybe_delivered:
        return "the message may have arrived: sending it again may make two of it"
    if facts.phase == "greeting" and not facts.tls and not facts.octets_received:
        if facts.port == 465:
            return "port 465 is for TLS from the start: use security='tls'"
        return "no greeting: is this the right port? A server with TLS from the start stays silent, too"
    if facts.phase == "auth":
        return "some servers hang up on a wrong password; some want an application password or a token instead"
    if isinstance(error, TimedOut):
        return f"the server had been silent for {facts.idle:.0f} s; it may be busy, so try again later"
    if facts.idle > 30:
        return f"the session had been idle for {facts.idle:.0f} s: servers end those, so open a new one"
    return None


def _by_reply(reply: Reply, facts: SessionFacts, *, recipients: bool) -> str | None:
    url = _URL.search(reply.text)
    seen = f"; the server's own explanation is at {printable(url[0])}" if url else ""
    code = reply.code
    if code == 530:
        if not facts.tls and "STARTTLS" in facts.offered:
            return f"the server wants TLS first: use security='starttls'{seen}"
        return f"the server wants you to log in: give auth=(user, password){seen}"
    if code == 535:
        return (
            "user name or password are wrong for this server; many providers want an application password"
            f" or a token in place of the account's password{seen}"
        )
    if code in (501, 504, 550) and facts.phase == "ehlo":
        return f"the server does not like the name this client gave: set local_hostname to its real one{seen}"
    if code == 421:
        return f"the server is busy, throttling or restarting: open a new connection later{seen}"
    if recipients or facts.phase == "rcpt":
        return f"look at each recipient's reply; what is 4yz is worth another try{seen}"
    status = reply.status
    if status is not None and (known := _BY_STATUS.get((status.subject, status.detail))):
        return known + seen
    if code in _BY_CODE:
        return _BY_CODE[code] + seen
    if reply.is_transient:
        return f"this is temporary: try again later{seen}"
    return seen.removeprefix("; ") or None


def _offered(facts: SessionFacts) -> str:
    return ", ".join(facts.offered) or "no extensions at all"
