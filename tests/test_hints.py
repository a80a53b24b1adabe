"""Hints: each follows from facts, whatever anybody's text says."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

import pytest

from smtpcore import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectFailed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    LocalProtocolError,
    Mail,
    MessageTooBig,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    Response,
    SessionFacts,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
from smtpcore._hints import hint_for

FACTS = SessionFacts(host="mx.example", port=25, security="opportunistic", octets_received=100, phase="command")
GREETING = b"220 mx.example ESMTP\r\n"
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
TEXTS = ["", "WRONG_VERSION_NUMBER", "please run connect() first", "Verbindung verloren"]


def verification_error() -> ssl.SSLCertVerificationError:
    return ssl.SSLCertVerificationError(1, "certificate verify failed")


def tls_error(text: str, cause: BaseException | None = None) -> TlsError:
    error = TlsError(text)
    error.__cause__ = cause
    return error


# The error as made of a text, the facts that differ, and what the hint has to say; None: there is none.
CASES: list[tuple[str, Any, dict[str, Any], str | None]] = [
    (
        "TLS from the start on a port that speaks SMTP",
        tls_error,
        {"port": 587, "security": "tls", "phase": "tls", "first_octets": GREETING},
        "use security='starttls'",
    ),
    (
        "the same, refused by the server",
        tls_error,
        {"port": 587, "security": "tls", "phase": "tls", "first_octets": b"554-no\r\n"},
        "use security='starttls'",
    ),
    (
        "the same, and it is a web server",
        tls_error,
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
        "no SMTP at all",
        RemoteProtocolError,
        {"port": 22, "phase": "greeting", "first_octets": b"SSH-2.0-OpenSSH"},
        "whatever listens on port 22 does not speak SMTP",
    ),
    *(
        (
            f"SMTP that is spoken badly: {octets!r}",
            RemoteProtocolError,
            {"port": 25, "phase": "greeting", "first_octets": octets},
            "the server on port 25 speaks SMTP, but not correctly",
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
        "is this the right port?",
    ),
    (
        "no greeting under TLS",
        ConnectionLost,
        {"phase": "greeting", "octets_received": 0, "tls": True},
        None,
    ),
    ("half a greeting", ConnectionLost, {"phase": "greeting", "octets_received": 10}, None),
    ("no connection", ConnectFailed, {"phase": "connect", "octets_received": 0}, "many networks block port 25"),
    ("hung up on a password", ConnectionLost, {"phase": "auth"}, "hang up on a wrong password"),
    ("hung up after idling", ConnectionLost, {"phase": "mail", "idle": 301.4}, "idle for 301 s"),
    ("hung up at once", ConnectionLost, {"phase": "mail", "idle": 0.1}, None),
    ("silence", TimedOut, {"phase": "mail", "idle": 300.0}, "silent for 300 s"),
    (
        "a certificate that is not accepted",
        lambda text: tls_error(text, verification_error()),
        {"port": 465, "security": "tls", "phase": "tls", "first_octets": b"\x16\x03\x03"},
        "check that the certificate is for 'mx.example'",
    ),
    (
        "another failure of the handshake",
        lambda text: tls_error(text, ConnectionResetError()),
        {"security": "starttls", "phase": "tls", "first_octets": GREETING},
        None,
    ),
    (
        "no STARTTLS",
        TlsUnavailable,
        {
            "security": "starttls",
            "phase": "starttls",
            "offered": ("SIZE 10", "HELP"),
            "reply": Reply(250, None, ""),
        },
        "offers no STARTTLS, but SIZE 10, HELP",
    ),
    (
        "no STARTTLS and nothing else",
        TlsUnavailable,
        {"security": "starttls", "phase": "starttls"},
        "no extensions at all",
    ),
    (
        "STARTTLS refused",
        TlsUnavailable,
        {"security": "starttls", "phase": "starttls", "reply": Reply(454, None, "")},
        "TLS is out of order at the server",
    ),
    (
        "AUTH under TLS only",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "offered": ("STARTTLS",)},
        "the server may offer AUTH under TLS only",
    ),
    (
        "a password in cleartext",
        AuthenticationUnavailable,
        {"security": "none", "phase": "auth", "offered": ("HELP", "AUTH PLAIN")},
        "would show the password",
    ),
    (
        "no AUTH under TLS",
        AuthenticationUnavailable,
        {"security": "tls", "phase": "auth", "tls": True, "offered": ("STARTTLS", "AUTH X")},
        "perhaps it lets you send without logging in",
    ),
    ("no AUTH at all", AuthenticationUnavailable, {"phase": "auth"}, "perhaps it lets you send without"),
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


def test_an_outcome_that_is_not_known_comes_first() -> None:
    for kind in (ConnectionLost, TimedOut):
        hint = hint_for(kind("x", maybe_delivered=True), replace(FACTS, idle=600.0, phase="end-of-data"))
        assert hint == "the message may have arrived: sending it again may make two of it"


EHLO, MAIL, RCPT = Ehlo("client.example"), Mail("a@client.example"), Rcpt("b@mx.example")

# Code, command, class of the error, the facts that differ, and what the hint has to say.
REPLIES: list[tuple[int, Any, type[ReplyError], dict[str, Any], str | None]] = [
    (530, MAIL, ReplyError, {"offered": ("STARTTLS",)}, "the server wants TLS first: use security='starttls'"),
    (530, MAIL, ReplyError, {"offered": ("STARTTLS",), "tls": True}, "wants you to log in"),
    (530, MAIL, ReplyError, {}, "wants you to log in"),
    (535, None, AuthenticationFailed, {"phase": "auth"}, "many providers want an application password"),
    (534, None, AuthenticationFailed, {"phase": "auth"}, "a stronger mechanism"),
    (538, None, AuthenticationFailed, {"phase": "auth"}, "the server wants TLS first"),
    (523, None, AuthenticationFailed, {"phase": "auth"}, "the server wants TLS first"),
    (525, None, AuthenticationFailed, {"phase": "auth"}, "the account is disabled"),
    (432, None, AuthenticationFailed, {"phase": "auth"}, "log in once with PLAIN"),
    (454, None, AuthenticationFailed, {"phase": "auth"}, "this is temporary"),
    (501, EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    (504, EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    (550, EHLO, ReplyError, {"phase": "ehlo"}, "set local_hostname"),
    (501, MAIL, ReplyError, {"phase": "mail"}, None),
    (421, MAIL, ReplyError, {"phase": "mail"}, "open a new connection later"),
    (421, RCPT, RecipientsRefused, {"phase": "rcpt"}, "open a new connection later"),
    (550, RCPT, RecipientsRefused, {"phase": "rcpt"}, "look at each recipient's reply"),
    (450, RCPT, ReplyError, {"phase": "rcpt"}, "look at each recipient's reply"),
    (552, MAIL, ReplyError, {"phase": "mail"}, "make the message smaller"),
    (552, MAIL, MessageTooBig, {"phase": "mail"}, "make the message smaller"),
    (452, MAIL, ReplyError, {"phase": "mail"}, "try again later"),
    (554, Data(), ReplyError, {"phase": "data"}, "refuses by policy"),
    (451, Data(), ReplyError, {"phase": "data"}, "this is temporary"),
    (550, MAIL, ReplyError, {"phase": "mail"}, None),
]


@pytest.mark.parametrize("text", ["", "STARTTLS first", "auth required", "too big", "try again"])
@pytest.mark.parametrize("code, command, kind, facts, hint", REPLIES)
def test_a_hint_follows_from_the_code(
    code: int, command: Any, kind: type[ReplyError], facts: dict[str, Any], hint: str | None, text: str
) -> None:
    reply = Reply(code, None, text)
    found = hint_for(kind(Response(command, reply)), replace(FACTS, reply=reply, **facts))
    assert (found is None) if hint is None else (found is not None and hint in found)


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


@pytest.mark.parametrize("code, command, kind, facts, hint", REPLIES)
def test_where_the_server_explains_itself_the_hint_says_where(
    code: int, command: Any, kind: type[ReplyError], facts: dict[str, Any], hint: str | None
) -> None:
    reply = Reply(code, None, "no; see https://mx.example/why?id=1 for more")
    found = hint_for(kind(Response(command, reply)), replace(FACTS, reply=reply, **facts))
    assert found is not None
    assert found.endswith("the server's own explanation is at https://mx.example/why?id=1")
    assert hint is None or hint in found


def test_an_address_of_the_server_cannot_harm_a_terminal() -> None:
    reply = Reply.sanitized(550, None, "see https://mx.example/\x1b[2J")
    found = hint_for(ReplyError(Response(MAIL, reply)), replace(FACTS, phase="mail"))
    assert found is not None
    assert "\x1b" not in found
