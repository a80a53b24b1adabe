"""Hints: each follows from facts, whatever anybody's text says."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtpcore import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    Connect,
    ConnectionFailed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    ErrorContext,
    LocalProtocolError,
    Mail,
    MessageTooBig,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    Response,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
from smtpcore._net.hints import hint_for, words_of

FACTS = ErrorContext(host="mx.example", port=25, security="opportunistic", octets_received=100, phase="command")
GREETING = b"220 mx.example ESMTP\r\n"
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
TEXTS = ["", "WRONG_VERSION_NUMBER", "please run connect() first", "Verbindung verloren"]


OUTSTANDING = (Mail("a@client.example"),)


def caused(kind: type[SMTPError], cause: BaseException) -> Callable[[str], SMTPError]:
    """Make an error that another one has caused."""

    def make(text: str) -> SMTPError:
        error = kind(text)
        error.__cause__ = cause
        return error

    return make


def unverified(code: int | None) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    if code is not None:
        error.verify_code = code
    return error


def handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


NOT_ACCEPTED = "the message was not accepted: open a new connection"


def lost(text: str) -> ConnectionLost:
    return ConnectionLost(text, outstanding=OUTSTANDING)


def offending(code: int, status: str | None = None, text: str = "") -> Callable[[str], RemoteProtocolError]:
    return lambda words: RemoteProtocolError(words, reply=Reply(code, status, text))


# The error as made of a text, the facts that differ, and what the hint has to say; None: there is none.
CASES: list[tuple[str, Any, dict[str, Any], str | None]] = [
    (
        "TLS from the start on a port that speaks SMTP",
        TlsError,
        {"port": 587, "security": "tls", "phase": "tls", "first_octets": GREETING},
        "use security='starttls'",
    ),
    (
        "the same, refused by the server",
        TlsError,
        {"port": 587, "security": "tls", "phase": "tls", "first_octets": b"554-no\r\n"},
        "use security='starttls'",
    ),
    (
        "the same, and it is a web server",
        TlsError,
        {"port": 80, "security": "tls", "phase": "tls", "first_octets": b"HTTP/1.1 400 Bad Request\r\n"},
        "web server on port 80",
    ),
    (
        "a web server in plaintext",
        RemoteProtocolError,
        {"port": 8080, "phase": "greeting", "first_octets": b"<!doctype html>"},
        "web server on port 8080",
    ),
    (
        "an SSH server",
        RemoteProtocolError,
        {"port": 22, "phase": "greeting", "first_octets": b"SSH-2.0-OpenSSH"},
        "SSH server on port 22",
    ),
    (
        "an IMAP server",
        RemoteProtocolError,
        {"port": 143, "phase": "greeting", "first_octets": b"* OK [CAPABILITY IMAP4rev1]"},
        "port 143 speaks IMAP",
    ),
    (
        "a POP3 server",
        RemoteProtocolError,
        {"port": 110, "phase": "greeting", "first_octets": b"+OK ready"},
        "port 110 speaks POP3",
    ),
    (
        "no SMTP at all",
        RemoteProtocolError,
        {"port": 3306, "phase": "greeting", "first_octets": b"J\0\0\0\x0a8.0"},
        "the server on port 3306 does not speak SMTP",
    ),
    (
        "two codes in one reply",
        RemoteProtocolError,
        {"phase": "greeting", "first_octets": b"220-gate.example ESMTP\r\n521 5.7.1 blocked"},
        "the server speaks SMTP, but this is not a valid reply",
    ),
    (
        "the same, with the refusal known",
        offending(521, "5.7.1"),
        {"phase": "greeting", "first_octets": b"220-gate.example ESMTP\r\n521 5.7.1 blocked"},
        "the server does not accept mail from here",
    ),
    (
        "a line that ends in LF alone",
        RemoteProtocolError,
        {"phase": "greeting", "first_octets": b"220 mx.example\n"},
        "the server speaks SMTP, but",
    ),
    (
        "a code alone",
        RemoteProtocolError,
        {"phase": "greeting", "first_octets": b"220\n"},
        "the server speaks SMTP, but",
    ),
    *(
        (
            f"SMTP that is spoken badly: {octets!r}",
            RemoteProtocolError,
            {"port": 25, "phase": "greeting", "first_octets": octets},
            "the server speaks SMTP, but this is not a valid reply",
        )
        for octets in (
            b"220-gate.example\r\n521 blocked\r\n",
            b"220 mx\n",
            b"\r\n220 mx\r\n",
            b"220 mx\r\n\r\n",
        )
    ),
    ("an offence later on", RemoteProtocolError, {"phase": "mail", "first_octets": GREETING}, None),
    (
        "a refusal out of turn",
        offending(550),
        {"phase": "mail", "first_octets": GREETING},
        "the server refuses",
    ),
    ("a reply out of turn", offending(250), {"phase": "mail", "first_octets": GREETING}, None),
    (
        "a TLS record in answer to nothing",
        RemoteProtocolError,
        {"phase": "greeting", "first_octets": ALERT},
        "use security='tls'",
    ),
    (
        "no greeting on port 465",
        ConnectionLost,
        {"port": 465, "security": "none", "phase": "greeting", "octets_received": 0},
        "port 465 is for TLS from the start",
    ),
    (
        "no greeting on port 465 in time",
        TimedOut,
        {"port": 465, "security": "none", "phase": "greeting", "octets_received": 0, "idle": 300.0},
        "port 465 is for TLS from the start",
    ),
    (
        "no greeting elsewhere",
        TimedOut,
        {"phase": "greeting", "octets_received": 0},
        "no greeting: check the port",
    ),
    (
        "closed without a greeting",
        ConnectionLost,
        {"phase": "greeting", "octets_received": 0},
        "closed the connection without a greeting",
    ),
    (
        "no greeting under TLS",
        ConnectionLost,
        {"phase": "greeting", "octets_received": 0, "tls": True},
        None,
    ),
    ("half a greeting", ConnectionLost, {"phase": "greeting", "octets_received": 10}, None),
    ("hung up on a password", lost, {"phase": "auth", "last_command": "AUTH"}, "hang up on a wrong password"),
    ("hung up before a password", lost, {"phase": "auth", "last_command": "EHLO"}, None),
    (
        "silent after a password",
        TimedOut,
        {"phase": "auth", "last_command": "AUTH", "idle": 60.0},
        "silent for 60 s",
    ),
    ("hung up after idling", lost, {"phase": "mail", "idle": 301.4}, "not been heard of for 301 s"),
    ("hung up after idling before NOOP", lost, {"phase": "command", "idle": 31.0}, "open a new one"),
    ("hung up at once", lost, {"phase": "mail", "idle": 0.1}, NOT_ACCEPTED),
    ("hung up after half a minute", lost, {"phase": "mail", "idle": 30.0}, NOT_ACCEPTED),
    (
        "no Unix socket there",
        caused(ConnectionFailed, FileNotFoundError()),
        {"host": "/run/mx", "port": 0, "phase": "connect"},
        "no server listens on this Unix socket",
    ),
    (
        "a Unix socket of another user",
        caused(ConnectionFailed, PermissionError()),
        {"host": "/run/mx", "port": 0, "phase": "connect"},
        "the permissions on it",
    ),
    ("hung up in the content", ConnectionLost, {"phase": "content", "idle": 301.4}, NOT_ACCEPTED),
    ("hung up after a slow answer", lost, {"phase": "rcpt", "idle": 301.4}, NOT_ACCEPTED),
    ("hung up on DATA", lost, {"phase": "data"}, NOT_ACCEPTED),
    ("hung up on NOOP", lost, {"phase": "command"}, None),
    ("used after its end", ConnectionLost, {"phase": "mail", "idle": 301.4}, None),
    ("silence", TimedOut, {"phase": "mail", "idle": 300.0}, "silent for 300 s"),
    ("no silence", TimedOut, {"phase": "content", "idle": 0.3}, None),
    # No connection.
    (
        "no connection",
        ConnectionFailed,
        {"phase": "connect", "octets_received": 0},
        "many networks block port 25",
    ),
    ("dropped", caused(ConnectionFailed, TimeoutError()), {"port": 25}, "many networks block port 25"),
    (
        "dropped elsewhere",
        caused(ConnectionFailed, TimeoutError()),
        {"port": 587},
        "a firewall may be in the way",
    ),
    ("unreachable", caused(ConnectionFailed, OSError(101, "x")), {"port": 25}, "the network of this machine"),
    (
        "no such name",
        caused(ConnectionFailed, socket.gaierror(socket.EAI_NONAME, "x")),
        {"host": "mx.exmaple", "port": 25},
        "no address is known for 'mx.exmaple': check its spelling",
    ),
    (
        "a name with a port",
        caused(ConnectionFailed, socket.gaierror(socket.EAI_NONAME, "x")),
        {"host": "mx.example:587", "port": 25},
        "the port is an argument of its own: host 'mx.example', port 587",
    ),
    (
        "a name with a scheme",
        caused(ConnectionFailed, socket.gaierror(socket.EAI_NONAME, "x")),
        {"host": "smtp://mx.example", "port": 25},
        "host is a name or an address, without a scheme: 'mx.example'",
    ),
    (
        "an address in brackets",
        caused(ConnectionFailed, socket.gaierror(socket.EAI_NONAME, "x")),
        {"host": "[2001:db8::1]", "port": 25},
        "an address has no brackets here: '2001:db8::1'",
    ),
    (
        "no name server",
        caused(ConnectionFailed, socket.gaierror(socket.EAI_AGAIN, "x")),
        {"port": 25},
        "cannot be looked up now",
    ),
    ("refused, 25", caused(ConnectionFailed, ConnectionRefusedError()), {"port": 25}, "listens on port 587"),
    ("refused, 587", caused(ConnectionFailed, ConnectionRefusedError()), {"port": 587}, "try port 465"),
    ("refused, 465", caused(ConnectionFailed, ConnectionRefusedError()), {"port": 465}, "try port 587"),
    (
        "refused, 1025",
        caused(ConnectionFailed, ConnectionRefusedError()),
        {"port": 1025},
        "does not listen on port 1025: check that the server is running",
    ),
    *(
        (
            f"refused, {port} of this machine",
            caused(ConnectionFailed, ConnectionRefusedError()),
            {"host": "localhost", "port": port},
            hint,
        )
        for port, hint in {
            25: "no mail server listens on port 25 of this machine",
            1025: "start one, for instance with `python3 -m smtpcore serve --port 1025`",
        }.items()
    ),
    # TLS.
    *(
        (
            f"an end of file in the handshake, {security}",
            caused(TlsError, ssl.SSLEOFError(8, "x")),
            {"security": security, "phase": "tls", "first_octets": first, "octets_received": 200},
            hint,
        )
        for security, first, hint in (
            ("starttls", b"220 mx", "closed the connection during the handshake"),
            ("opportunistic", b"220 mx", "closed the connection during the handshake"),
            ("tls", b"\x16\x03\x03", "closed the connection during the handshake"),
            ("tls", b"XYZ", "does not speak TLS"),
        )
    ),
    *(
        (
            f"a certificate, code {code}",
            caused(TlsError, unverified(code)),
            {"port": 465, "security": "tls", "phase": "tls", "first_octets": b"\x16\x03\x03"},
            hint,
        )
        for code, hint in {
            None: "check that the certificate is for 'mx.example'",
            26: "check that the certificate is for 'mx.example'",
            9: "the certificate is not valid yet",
            10: "the certificate is out of date",
            18: "give an ssl_context that trusts it",
            19: "give an ssl_context that trusts it",
            20: "give an ssl_context that trusts it",
            21: "give an ssl_context that trusts it",
            62: "the certificate is not for 'mx.example'",
            64: "the certificate is not for 'mx.example'",
        }.items()
    ),
    (
        "versions",
        caused(TlsError, handshake("TLSV1_ALERT_PROTOCOL_VERSION")),
        {"security": "starttls", "phase": "tls"},
        "no version or cipher of TLS in common",
    ),
    (
        "another failure of the handshake",
        caused(TlsError, ConnectionResetError()),
        {"security": "starttls", "phase": "tls", "first_octets": GREETING},
        None,
    ),
    (
        "neither TLS nor SMTP",
        caused(TlsError, handshake("WRONG_VERSION_NUMBER")),
        {"port": 9999, "security": "tls", "phase": "tls", "first_octets": b"J\0\0\0"},
        "port 9999 does not speak TLS",
    ),
    (
        "closed in the handshake",
        caused(TlsError, ConnectionResetError()),
        {"port": 587, "security": "tls", "phase": "tls", "octets_received": 0},
        "use security='starttls'",
    ),
    (
        "closed in the handshake on port 465",
        caused(TlsError, ConnectionResetError()),
        {"port": 465, "security": "tls", "phase": "tls", "octets_received": 0},
        None,
    ),
    (
        "closed by an alert",
        caused(TlsError, handshake("SSLV3_ALERT_BAD_CERTIFICATE")),
        {"port": 587, "security": "tls", "phase": "tls", "first_octets": ALERT},
        None,
    ),
    (
        "silence in the handshake",
        TimedOut,
        {"port": 25, "security": "tls", "phase": "tls", "octets_received": 0, "idle": 60.0},
        "port 25 does not begin with TLS",
    ),
    (
        "no STARTTLS",
        TlsUnavailable,
        {
            "security": "starttls",
            "phase": "starttls",
            "capabilities": ("SIZE 10", "HELP"),
            "reply": Reply(250, None, ""),
        },
        "offers SIZE 10, HELP, and not STARTTLS",
    ),
    (
        "no STARTTLS and nothing else",
        TlsUnavailable,
        {"security": "starttls", "phase": "starttls"},
        "offers no extensions, and so no STARTTLS",
    ),
    (
        "STARTTLS refused",
        TlsUnavailable,
        {"security": "starttls", "phase": "starttls", "reply": Reply(454, None, "")},
        "TLS is out of order at the server: try again later",
    ),
    (
        "STARTTLS refused for good",
        TlsUnavailable,
        {"security": "starttls", "phase": "starttls", "reply": Reply(554, None, "")},
        "offers STARTTLS and refuses it",
    ),
    (
        "AUTH under TLS only",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "capabilities": ("STARTTLS",)},
        "the server may offer AUTH under TLS only",
    ),
    (
        "a password in cleartext",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "capabilities": ("HELP", "AUTH PLAIN")},
        "give allow_cleartext_auth=True",
    ),
    (
        "no mechanism of ours in plaintext",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "capabilities": ("AUTH GSSAPI NTLM",)},
        "offers GSSAPI, NTLM, which needs more than",
    ),
    (
        "no mechanism of ours",
        AuthenticationUnavailable,
        {"security": "tls", "phase": "auth", "tls": True, "capabilities": ("STARTTLS", "AUTH XOAUTH2")},
        "offers XOAUTH2, which needs more than",
    ),
    (
        "a mechanism of the caller's that is not offered",
        AuthenticationUnavailable,
        {"security": "tls", "phase": "auth", "tls": True, "capabilities": ("AUTH LOGIN PLAIN",)},
        "offers LOGIN, PLAIN: give auth=",
    ),
    (
        "AUTH without a mechanism",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "capabilities": ("AUTH",)},
        "offers AUTH without any mechanism",
    ),
    ("no AUTH at all", AuthenticationUnavailable, {"phase": "auth", "port": 587}, "perhaps it lets you send"),
    ("no AUTH on port 25", AuthenticationUnavailable, {"phase": "auth"}, "users have port 587 or 465"),
    ("the caller's mistake", LocalProtocolError, {}, None),
    ("something else", SMTPError, {}, None),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("what, error, facts, hint", CASES, ids=[case[0] for case in CASES])
def test_a_hint_follows_from_the_facts(
    what: str, error: Any, facts: dict[str, Any], hint: str | None, text: str
) -> None:
    found = hint_for(error(text), replace(FACTS, **facts))
    assert (found is None) if hint is None else (found is not None and hint in found)


@pytest.mark.parametrize(
    "detail, hint",
    [
        ("1.1", "the mailbox does not exist"),
        ("1.2", "the domain of the address is unknown"),
        ("1.3", "the address is malformed"),
        ("1.6", "the mailbox has moved"),
        ("1.7", "the address of the sender is malformed"),
        ("1.8", "the domain of the sender is unknown"),
        ("1.10", "the domain does not accept mail"),
        ("2.1", "the mailbox is disabled"),
        ("2.2", "mailbox is full"),
        ("2.3", "make the message smaller"),
        ("3.4", "make the message smaller"),
        ("4.6", "the message is in a loop"),
        ("5.3", "send to fewer recipients"),
    ],
)
def test_an_enhanced_status_code_has_its_meaning_whatever_the_code(detail: str, hint: str) -> None:
    for code in (451, 554):
        reply = Reply(code, f"{code // 100}.{detail}", "no")
        found = hint_for(ReplyError(Response(EndOfMessage(), reply)), replace(FACTS, phase="end-of-data"))
        assert found is not None and hint in found


@pytest.mark.parametrize(
    "error, words",
    [
        (handshake("WRONG_VERSION_NUMBER"), "wrong version number"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (OSError("no number"), "no number"),
        (OSError(), "OSError"),
        (ValueError("bad"), "bad"),
    ],
)
def test_an_error_of_the_system_is_told_in_words(error: Exception, words: str) -> None:
    assert words_of(error) == words


def test_an_outcome_that_is_not_known_comes_first() -> None:
    for kind in (ConnectionLost, TimedOut):
        hint = hint_for(kind("x", maybe_delivered=True), replace(FACTS, idle=600.0, phase="end-of-data"))
        assert hint == "the message may have arrived: sending it again may duplicate it"


EHLO, MAIL, RCPT = Ehlo("client.example"), Mail("a@client.example"), Rcpt("b@mx.example")
END = EndOfMessage()

# Codes, command, class of the error, the facts that differ, and what the hint has to say.
REPLIES: list[tuple[str, Any, type[ReplyError], dict[str, Any], str | None]] = [
    (
        "530",
        MAIL,
        ReplyError,
        {"capabilities": ("STARTTLS",)},
        "the server wants TLS first: use security='starttls'",
    ),
    ("530", MAIL, ReplyError, {"capabilities": ("STARTTLS",), "tls": True}, "wants you to log in"),
    ("530", MAIL, ReplyError, {}, "wants you to log in"),
    ("530", None, AuthenticationFailed, {"phase": "auth", "capabilities": ("STARTTLS",)}, "wants TLS first"),
    ("530", None, AuthenticationFailed, {"phase": "auth", "tls": True}, None),
    ("535", None, AuthenticationFailed, {"phase": "auth"}, "many providers want an application password"),
    ("535 5.7.8", None, AuthenticationFailed, {"phase": "auth"}, "many providers want an application password"),
    ("535", MAIL, ReplyError, {"phase": "mail"}, "wants you to log in"),
    ("534", None, AuthenticationFailed, {"phase": "auth"}, "a stronger mechanism"),
    ("534 5.7.9", None, AuthenticationFailed, {"phase": "auth"}, "an application password"),
    ("538", None, AuthenticationFailed, {"phase": "auth"}, "the server wants TLS first"),
    ("538", None, AuthenticationFailed, {"phase": "auth", "tls": True}, None),
    ("523", None, AuthenticationFailed, {"phase": "auth"}, "the server wants TLS first"),
    ("525", None, AuthenticationFailed, {"phase": "auth"}, "the account is disabled"),
    ("432", None, AuthenticationFailed, {"phase": "auth"}, "log in once with PLAIN"),
    ("454", None, AuthenticationFailed, {"phase": "auth"}, "this is temporary"),
    ("500 5.7.3", None, AuthenticationFailed, {"phase": "auth"}, None),
    ("554", Connect(), ReplyError, {"phase": "greeting"}, "the server does not accept mail from here"),
    ("550 5.7.1", Connect(), ReplyError, {"phase": "greeting"}, "the server does not accept mail from here"),
    ("521 5.7.1", Connect(), ReplyError, {"phase": "greeting"}, "the server does not accept mail from here"),
    ("521 5.3.2", Connect(), ReplyError, {"phase": "greeting"}, "this host does not accept mail at all"),
    ("521", MAIL, ReplyError, {"phase": "mail"}, "this host does not accept mail at all"),
    ("450", Connect(), ReplyError, {"phase": "greeting"}, "this is temporary"),
    ("501", EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    ("504", EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    ("550", EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    ("500", EHLO, ReplyError, {"phase": "ehlo"}, "perhaps it speaks LMTP"),
    ("502", EHLO, ReplyError, {"phase": "ehlo"}, "perhaps it speaks LMTP"),
    ("501", MAIL, ReplyError, {"phase": "mail"}, None),
    ("501 5.1.7", MAIL, ReplyError, {"phase": "mail"}, "the address of the sender is malformed"),
    ("550 5.1.8", MAIL, ReplyError, {"phase": "mail"}, "the domain of the sender is unknown"),
    ("421", MAIL, ReplyError, {"phase": "mail"}, "open a new connection later"),
    ("421 4.3.2", MAIL, ReplyError, {"phase": "mail"}, "busy, throttling or restarting"),
    ("421 4.4.2", MAIL, ReplyError, {"phase": "mail"}, "ends sessions that are idle or slow"),
    ("421", RCPT, RecipientsRefused, {"phase": "rcpt"}, "open a new connection later"),
    ("550", RCPT, RecipientsRefused, {"phase": "rcpt"}, "the server has refused them all for good"),
    ("550 5.1.1", RCPT, RecipientsRefused, {"phase": "rcpt"}, "the mailbox does not exist"),
    ("550 5.1.2", RCPT, RecipientsRefused, {"phase": "rcpt"}, "the domain of the address is unknown"),
    ("553 5.1.3", RCPT, RecipientsRefused, {"phase": "rcpt"}, "the address is malformed"),
    ("551 5.1.6", RCPT, RecipientsRefused, {"phase": "rcpt"}, "has moved"),
    ("556 5.1.10", RCPT, RecipientsRefused, {"phase": "rcpt"}, "the domain does not accept mail"),
    ("554 5.7.1", RCPT, RecipientsRefused, {"phase": "rcpt"}, "refuses by policy"),
    (
        "554 5.7.1",
        RCPT,
        RecipientsRefused,
        {"phase": "rcpt", "capabilities": ("AUTH PLAIN",)},
        "for its users only",
    ),
    ("450", RCPT, ReplyError, {"phase": "rcpt"}, "what is 4yz is worth another try"),
    ("450", RCPT, RecipientsRefused, {"phase": "rcpt"}, "what is 4yz is worth another try"),
    ("451 4.7.1", RCPT, RecipientsRefused, {"phase": "rcpt"}, "what is 4yz is worth another try"),
    ("550", RCPT, ReplyError, {"phase": "rcpt"}, None),
    ("552", MAIL, ReplyError, {"phase": "mail"}, "make the message smaller"),
    ("552", MAIL, MessageTooBig, {"phase": "mail"}, "make the message smaller"),
    ("552 5.2.3", END, ReplyError, {"phase": "end-of-data"}, "make the message smaller"),
    ("552 5.7.0", END, ReplyError, {"phase": "end-of-data"}, "refuses by policy"),
    ("452", MAIL, ReplyError, {"phase": "mail"}, "try again later"),
    ("452 4.5.3", RCPT, RecipientsRefused, {"phase": "rcpt"}, "fewer recipients"),
    ("554", Data(), ReplyError, {"phase": "data"}, "refuses by policy"),
    ("554 5.4.6", END, ReplyError, {"phase": "end-of-data"}, "is in a loop"),
    ("550 5.7.26", END, ReplyError, {"phase": "end-of-data"}, "refuses by policy"),
    ("556", MAIL, ReplyError, {"phase": "mail"}, "the domain does not accept mail"),
    ("451", Data(), ReplyError, {"phase": "data"}, "this is temporary"),
    ("451 4.7.0", END, ReplyError, {"phase": "end-of-data"}, "this is temporary"),
    ("550", MAIL, ReplyError, {"phase": "mail"}, None),
    ("503 5.5.1", MAIL, ReplyError, {"phase": "mail"}, None),
]
# What a hint must not say where a reply is of this class, as it would contradict it.
FALSE_FOR_GOOD = re.compile(r"temporary|again later|another try|in some minutes")
FALSE_FOR_NOW = re.compile(r"for good|no mail at all")


def reply_of(codes: str, text: str) -> Reply:
    code, _, status = codes.partition(" ")
    return Reply(int(code), status or None, text)


@pytest.mark.parametrize("text", ["", "STARTTLS first", "auth required", "too big", "try again"])
@pytest.mark.parametrize("codes, command, kind, facts, hint", REPLIES)
def test_a_hint_follows_from_the_codes(
    codes: str, command: Any, kind: type[ReplyError], facts: dict[str, Any], hint: str | None, text: str
) -> None:
    reply = reply_of(codes, text)
    found = hint_for(kind(Response(command, reply)), replace(FACTS, reply=reply, **facts))
    assert (found is None) if hint is None else (found is not None and hint in found)


PHASES = "greeting ehlo starttls auth mail rcpt data content end-of-data command".split()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", [ReplyError, RecipientsRefused, AuthenticationFailed])
def test_no_hint_contradicts_a_reply(phase: str, kind: type[ReplyError]) -> None:
    details = ["", *(f"{subject}.{detail}" for subject in range(8) for detail in (0, 1, 2, 3, 6, 7, 8, 10))]
    for code in (
        421,
        432,
        450,
        451,
        452,
        454,
        500,
        501,
        503,
        504,
        521,
        523,
        525,
        530,
        534,
        535,
        *range(550, 557),
    ):
        for detail in details:
            for tls in (True, False):
                reply = reply_of(f"{code} {str(code)[0]}.{detail}" if detail else str(code), "")
                facts = replace(
                    FACTS, phase=phase, reply=reply, tls=tls, capabilities=("STARTTLS", "AUTH PLAIN")
                )
                hint = hint_for(kind(Response(MAIL, reply)), facts) or ""
                # A full mailbox is permanent by its code, and yet it may be emptied.
                if detail != "2.2":
                    assert not (FALSE_FOR_GOOD if code >= 500 else FALSE_FOR_NOW).search(hint), (reply, hint)
                assert not (tls and "starttls" in hint), (reply, hint)
                assert not (phase == "auth" and "log in:" in hint), (reply, hint)


@pytest.mark.parametrize(
    "code, status, hint",
    [
        (552, "5.2.2", "mailbox is full"),
        (452, "4.2.2", "mailbox is full"),
        (552, "5.3.4", "make the message smaller"),
        (452, "4.3.1", "when there is room"),
    ],
)
def test_the_enhanced_status_code_tells_what_is_full(code: int, status: str, hint: str) -> None:
    reply = Reply(code, status, "no room")
    error = ReplyError(Response(EndOfMessage(), reply))
    found = hint_for(error, replace(FACTS, phase="end-of-data", reply=reply))
    assert found is not None
    assert hint in found


@pytest.mark.parametrize("codes, command, kind, facts, hint", REPLIES)
def test_where_the_server_explains_itself_the_hint_says_where(
    codes: str, command: Any, kind: type[ReplyError], facts: dict[str, Any], hint: str | None
) -> None:
    reply = reply_of(codes, "no; see <https://mx.example/why?id=1>. Thanks")
    found = hint_for(kind(Response(command, reply)), replace(FACTS, reply=reply, **facts))
    assert found is not None
    assert found.endswith("the server's own explanation is at https://mx.example/why?id=1")
    assert hint is None or hint in found


def test_an_address_of_the_server_cannot_harm_a_terminal() -> None:
    reply = Reply.sanitized(550, None, "see https://mx.example/\x1b[2J")
    found = hint_for(ReplyError(Response(MAIL, reply)), replace(FACTS, phase="mail"))
    assert found is not None
    assert "\x1b" not in found
