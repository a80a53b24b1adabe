"""Hints: one sentence for an error that says what to try, derived from facts.

The facts are those of :class:`~smtpcore.ErrorContext` (what was asked for, how far it went, what the server
offered, replied, and first sent), the class of the error, and what the system or OpenSSL give as a number or a
name: an errno, the code of a failed verification. Never the wording of a text: words change with versions and
languages, and two causes share them.

A hint must not contradict the facts. So each is given only where the facts leave no other meaning, and without
such facts there is no hint. A hint that advises an argument of ``connect()`` uses the words that
``_cli.main`` replaces with an option of the command line.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final

from .. import sasl
from .._core.errors import SMTPError
from .._core.failures import RemoteProtocolError, TransportError
from .._core.printable import printable
from .._core.replies import Reply
from .errors import (
    AuthenticationUnavailable,
    ConnectionFailed,
    ErrorContext,
    RecipientsRefused,
    ReplyError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
from .options import is_path

# How the other side may begin.
_SMTP = re.compile(rb"[2-5][0-9][0-9][ \r\n-]")
_TLS = re.compile(rb"[\x14-\x17]\x03")  # a TLS record (RFC 8446 5.1)
_OTHERS: Final = (
    (re.compile(rb"(?i:HTTP/|<!DOCTYPE|<html)"), "there is a web server on port {}, not a mail server"),
    (re.compile(rb"SSH-"), "there is an SSH server on port {}, not a mail server"),
    (re.compile(rb"\* (?:OK|PREAUTH|BYE)\b"), "the server on port {} speaks IMAP, which fetches mail"),
    (re.compile(rb"\+OK|-ERR"), "the server on port {} speaks POP3, which fetches mail"),
)
_URL = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)\]}']")

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_STARTTLS_FIRST: Final = "the server wants TLS first: use security='starttls'"
_LOG_IN: Final = "the server wants you to log in: give auth=(user, password)"
_POLICY: Final = "the server refuses by policy; the text of its reply may say why"
_TOO_BIG: Final = "make the message smaller: compress or split attachments"
_NO_MAILBOX: Final = "the mailbox does not exist: check the spelling of the address"
_NOT_FROM_HERE: Final = (
    "the server does not accept mail from here; send by the server of your provider (usually port 587, with a"
    " login)"
)
_BY_CODE: Final = {
    432: "log in once with PLAIN, so that the server can convert the password",
    452: "try again later, with fewer recipients or when there is room",
    525: "the account is disabled: ask the operator of the server",
    534: (
        "the server wants a stronger mechanism than the one used, or an application password or a token in"
        " place of the account's password"
    ),
    552: _TOO_BIG,
    554: _POLICY,
    556: "the domain does not accept mail (RFC 7505): check the address",
}
# The enhanced status code tells apart what one reply code is used for; by subject and detail (RFC 3463 3).
_BY_STATUS: Final = {
    (1, 1): _NO_MAILBOX,
    (1, 2): "the domain of the address is unknown to the server: check its spelling",
    (1, 3): "the server thinks that the address is malformed: check it",
    (1, 6): "the mailbox has moved; the server's text may say where",
    (1, 7): "the server thinks that the address of the sender is malformed: check it",
    (1, 8): "the domain of the sender is unknown to the server: send with an address whose domain accepts mail",
    (1, 10): "the domain does not accept mail (RFC 7505): check the address",
    (2, 1): "the mailbox is disabled or does not accept mail at present",
    (2, 2): "the recipient's mailbox is full: only its owner can change that, so try again later or tell them",
    (2, 3): _TOO_BIG,
    (3, 4): _TOO_BIG,
    (4, 6): "the message is in a loop: a rule that forwards it leads back to where it came from",
    (5, 3): "send to fewer recipients at once",
}
# Codes of X509_verify_cert(), which OpenSSL does not change.
_BY_VERIFY_CODE: Final = {
    9: "the certificate is not valid yet: check the clock of this machine",
    10: "the certificate is out of date: the server needs a new one, or the clock of this machine is wrong",
    62: "the certificate is not for {host!r}: connect by a name that it is for",
    64: "the certificate is not for {host!r}: connect by a name that it is for",
} | dict.fromkeys(
    (18, 19, 20, 21),
    "the certificate is not from an authority that this machine trusts: if it is one of your own,"
    " give an ssl_context that trusts it",
)
# Names that OpenSSL gives to reasons: both sides speak TLS and have no version or cipher in common.
_NOTHING_IN_COMMON: Final = frozenset(
    "UNSUPPORTED_PROTOCOL TLSV1_ALERT_PROTOCOL_VERSION NO_PROTOCOLS_AVAILABLE NO_SHARED_CIPHER"
    " SSLV3_ALERT_HANDSHAKE_FAILURE TLSV1_ALERT_INSUFFICIENT_SECURITY DH_KEY_TOO_SMALL".split()
)


def hint_for(error: SMTPError, facts: ErrorContext) -> str | None:
    """Work out what to try after an error.

    Args:
        error: The error, with its cause.
        facts: Where the conversation stood.

    Returns:
        One sentence, without a full stop; None if the facts do not tell.
    """
    return _by_first_octets(error, facts) or _by_kind(error, facts)


def _by_first_octets(error: SMTPError, facts: ErrorContext) -> str | None:
    """The server does not speak what was expected."""
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
    for beginning, hint in _OTHERS:
        if beginning.match(first):
            return f"{hint.format(facts.port)}: check host and port"
    return None


def _by_kind(error: SMTPError, facts: ErrorContext) -> str | None:
    if isinstance(error, TlsUnavailable):
        return _without_starttls(facts)
    if isinstance(error, AuthenticationUnavailable):
        return _without_mechanism(facts)
    if isinstance(error, TlsError):
        return _by_handshake(error, facts)
    if isinstance(error, ConnectionFailed):
        return _by_failed_connection(error.__cause__, facts)
    if isinstance(error, ReplyError):
        return _by_reply(error.reply, facts, recipients=isinstance(error, RecipientsRefused))
    if isinstance(error, TransportError):
        return _by_silence(error, facts)
    if isinstance(error, RemoteProtocolError):
        return _by_offence(error, facts)
    return None


def _by_offence(error: RemoteProtocolError, facts: ErrorContext) -> str | None:
    if error.reply is not None and error.reply.severity >= 4:
        # It breaks the rules, and yet it is a refusal.
        return _by_reply(error.reply, facts) or "the server refuses, out of turn; its text may say why"
    if facts.phase != "greeting":
        return None
    if _SMTP.match(facts.first_octets.lstrip(b"\r\n")):
        return (
            "the server speaks SMTP, but this is not a valid reply (RFC 5321 4.2.1); if it refuses, its text"
            " says why"
        )
    return f"the server on port {facts.port} does not speak SMTP: check host and port"


def _without_starttls(facts: ErrorContext) -> str:
    if facts.reply is not None and facts.reply.is_transient:
        return "TLS is out of order at the server: try again later, or ask its operator"
    if facts.reply is not None and facts.reply.severity == 5:
        return "the server offers STARTTLS and refuses it: ask its operator"
    offers = (
        f"the server offers {_offered(facts)}, and not STARTTLS"
        if facts.capabilities
        else "the server offers no extensions, and so no STARTTLS"
    )
    return (
        f"{offers}; if this server is known to have none, use security='opportunistic' or 'none', and then"
        " without a password"
    )


def _without_mechanism(facts: ErrorContext) -> str:
    lines = [line.upper().split() for line in facts.capabilities]
    offered = [names for keyword, *names in lines if keyword == "AUTH"]
    names = {name for names in offered for name in names}
    if not facts.tls and ["STARTTLS"] in lines:
        return "the server may offer AUTH under TLS only: use security='starttls'"
    if not names.isdisjoint(sasl.CLIENT_MECHANISMS):
        if facts.tls:
            return f"the server offers {', '.join(sorted(names))}: give auth=(user, password)"
        return (
            "the offered mechanisms show the password to anyone on the path: use security='starttls' or"
            " 'tls'; or give allow_cleartext_auth=True on a network that you trust"
        )
    if names:
        return (
            f"the server offers {', '.join(sorted(names))}, which needs more than a user name and a password:"
            " give auth=mechanism, a smtpcore.sasl.ClientMechanism"
        )
    if offered:
        return "the server offers AUTH without any mechanism: ask its operator"
    if facts.port == 25:
        return (
            f"the server offers {_offered(facts)}; port 25 is for mail between servers, without a login: users"
            " have port 587 or 465"
        )
    return f"the server offers {_offered(facts)}; perhaps it lets you send without logging in"


def _by_handshake(error: TlsError, facts: ErrorContext) -> str | None:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        code = getattr(cause, "verify_code", 0)
        return _BY_VERIFY_CODE.get(
            code,
            "check that the certificate is for {host!r}, in date, and from an authority you trust;"
            " for one of your own, give an ssl_context that trusts it",
        ).format(host=facts.host)
    if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _NOTHING_IN_COMMON:
        return (
            "client and server have no version or cipher of TLS in common: one of them is too old for what the"
            " other allows"
        )
    if isinstance(cause, ssl.SSLEOFError) and (facts.security != "tls" or _TLS.match(facts.first_octets)):
        return (
            "the server closed the connection during the handshake: it may refuse this address, or demand a"
            " certificate of the client; its log says why"
        )
    if facts.security == "tls" and not _TLS.match(facts.first_octets):
        if facts.octets_received or facts.first_octets:
            return f"the server on port {facts.port} does not speak TLS: check host and port"
        return _no_tls_there(facts)
    return None


def _no_tls_there(facts: ErrorContext) -> str | None:
    if facts.port == 465:
        return None
    return (
        f"perhaps the server on port {facts.port} does not begin with TLS: use security='starttls' (usually"
        " port 587)"
    )


def _by_failed_connection(cause: BaseException | None, facts: ErrorContext) -> str:
    host, port = facts.host, facts.port
    if is_path(host):
        if isinstance(cause, (FileNotFoundError, ConnectionRefusedError)):
            return "no server listens on this Unix socket: is it started, and is the path right?"
        return "check the path of the Unix socket, and the permissions on it"
    if isinstance(cause, socket.gaierror):
        if cause.errno == socket.EAI_AGAIN:
            return "the name cannot be looked up now: check the network of this machine, or try again later"
        if "://" in host:
            return f"host is a name or an address, without a scheme: {host.partition('://')[2]!r}"
        if host.startswith("[") and host.endswith("]"):
            return f"an address has no brackets here: {host[1:-1]!r}"
        name, colon, number = host.partition(":")
        if colon and number.isdecimal():
            return f"the port is an argument of its own: host {name!r}, port {number}"
        return f"no address is known for {host!r}: check its spelling"
    if isinstance(cause, ConnectionRefusedError):
        if host in _THIS_MACHINE and port in (25, 465, 587):
            return f"no mail server listens on port {port} of this machine: start one, or name another host"
        if host in _THIS_MACHINE:
            return (
                f"no server listens on port {port} of this machine: start one, for instance with"
                f" `python3 -m smtpcore serve --port {port}`"
            )
        if port == 25:
            return (
                f"{host} does not listen on port 25; a server for users listens on port 587 with"
                " security='starttls', or on port 465 with security='tls'"
            )
        if port == 587:
            return f"{host} does not listen on port 587; try port 465 with security='tls'"
        if port == 465:
            return f"{host} does not listen on port 465; try port 587 with security='starttls'"
        return (
            f"{host} does not listen on port {port}: check that the server is running, and its port (587 or 465"
            " for users, 25 between servers)"
        )
    if cause is None or isinstance(cause, TimeoutError):
        if port == 25:
            return "check host name and port; many networks block port 25, while 587 and 465 are open"
        return "check host name and port; a firewall may be in the way"
    return "check host name and port, and the network of this machine"


def _by_silence(error: TransportError, facts: ErrorContext) -> str | None:
    if error.maybe_delivered:
        return "the message may have arrived: sending it again may duplicate it"
    timed_out = isinstance(error, TimedOut)
    nothing = not facts.octets_received
    if facts.phase == "greeting" and not facts.tls and nothing:
        if facts.port == 465:
            return "port 465 is for TLS from the start: use security='tls'"
        if timed_out:
            return "no greeting: check the port; a server with TLS from the start stays silent too"
        return "the server closed the connection without a greeting: it may refuse this address, or be busy"
    if facts.phase == "tls" and timed_out and facts.security == "tls" and nothing:
        return _no_tls_there(facts)
    if timed_out:
        if facts.idle < 1:  # it was not the server that let the time pass
            return None
        return f"the server had been silent for {facts.idle:.0f} s; it may be busy, so try again later"
    if facts.phase == "auth" and facts.last_command == "AUTH":
        return "some servers hang up on a wrong password; some want an application password or a token instead"
    if facts.phase in ("mail", "command", "quit") and facts.idle > 30 and error.outstanding:
        return (
            f"the server had not been heard of for {facts.idle:.0f} s: servers end sessions that are idle, so"
            " open a new one"
        )
    if facts.phase == "content" or (facts.phase in ("mail", "rcpt", "data") and error.outstanding):
        return "the message was not accepted: open a new connection and send it again"
    return None


def _by_reply(reply: Reply, facts: ErrorContext, *, recipients: bool = False) -> str | None:
    url = _URL.search(reply.text)
    seen = f"; the server's own explanation is at {printable(url[0])}" if url else ""
    hint = _meaning_of(reply, facts, recipients=recipients)
    return hint + seen if hint is not None else seen.removeprefix("; ") or None


def _meaning_of(reply: Reply, facts: ErrorContext, *, recipients: bool) -> str | None:
    code, phase = reply.code, facts.phase
    if code == 421 and reply.status is not None and (reply.status.subject, reply.status.detail) == (4, 2):
        return "the server ends sessions that are idle or slow: open a new connection"
    if code == 421:
        return "the server is busy, throttling or restarting: open a new connection later"
    if code in (523, 538):
        return None if facts.tls else _STARTTLS_FIRST
    if code == 530 or (code == 535 and phase != "auth"):
        if not facts.tls and "STARTTLS" in facts.capabilities:
            return _STARTTLS_FIRST
        return None if phase == "auth" else _LOG_IN
    if code == 535:
        return (
            "user name or password are wrong for this server; many providers want an application password"
            " or a token in place of the account's password"
        )
    if phase == "ehlo" and code in (500, 502):
        return "the server knows neither EHLO nor HELO; perhaps it speaks LMTP, which is not SMTP (RFC 2033)"
    if phase == "ehlo" and code in (501, 504, 550):
        return "the server does not like the name this client gave: set local_hostname to its real one"
    if reply.status is not None and (known := _by_status(reply, facts)):
        return known
    if code == 521:
        return "this host does not accept mail at all (RFC 7504): check host and port"
    if phase == "greeting" and reply.severity == 5:
        return _NOT_FROM_HERE
    if recipients and not reply.is_transient:
        return "look at each recipient's reply: the server has refused them all for good"
    if recipients or (phase == "rcpt" and reply.is_transient):
        return "look at each recipient's reply; what is 4yz is worth another try, in some minutes or later"
    return _BY_CODE.get(code) or ("this is temporary: try again later" if reply.is_transient else None)


def _by_status(reply: Reply, facts: ErrorContext) -> str | None:
    """What the enhanced status code says beyond the reply code."""
    status = reply.status
    assert status is not None
    if known := _BY_STATUS.get((status.subject, status.detail)):
        return known
    if status.subject != 7 or facts.phase == "auth" or reply.is_transient:
        return None
    if facts.phase == "greeting":
        return _NOT_FROM_HERE
    if facts.phase == "rcpt" and any(line.startswith("AUTH") for line in facts.capabilities):
        return f"{_POLICY}; if it relays for its users only, give auth=(user, password)"
    return _POLICY


def _offered(facts: ErrorContext) -> str:
    return ", ".join(facts.capabilities) or "no extensions at all"


def words_of(error: Exception) -> str:
    """What an error of the system says, without its number."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and (reason := getattr(error, "reason", None)):
        return str(reason).replace("_", " ").lower()
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
