"""``connect()``: TLS, the greeting, EHLO and AUTH, against scripts; on sockets where TLS has a part in it."""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any

import pytest

from smtpcore import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    LocalProtocolError,
    RemoteProtocolError,
    Reply,
    ReplyError,
    TlsError,
    TlsInfo,
    TlsUnavailable,
    sasl,
)
from smtpcore._net.connect import default_context
from smtpcore._net.stream import run

from ..helpers.messages import (
    BEFORE_TLS,
    INFO,
    OFFER,
    PLAIN,
    failure,
    introduced,
    refused,
)
from ..helpers.scripted import (
    ANY,
    GREETING,
    QUIT,
    TLS,
    Stream,
    connect,
    ehlo,
    lines,
)

# --- connect(): security ----------------------------------------------------------------------------------


@pytest.mark.req("TLS-24", "TLS-30")
@pytest.mark.parametrize(
    "options, tls",
    [
        ({"port": 465}, "first"),
        ({"port": 587}, "then"),
        ({"port": 25}, "then"),
        ({"port": 25, "security": "none"}, "never"),
        ({"port": 465, "security": "none"}, "never"),
        ({"port": 465, "security": "starttls"}, "then"),
        ({"port": 587, "security": "tls"}, "first"),
        ({"port": 587, "security": "opportunistic"}, "then"),
    ],
)
def test_security_follows_from_the_port_unless_it_is_given(options: Any, tls: str) -> None:
    steps = {
        "first": [(TLS, INFO), GREETING, ehlo(*OFFER), QUIT],
        "then": [*BEFORE_TLS, (TLS, INFO), ehlo(*OFFER), QUIT],
        "never": [GREETING, ehlo(*OFFER), QUIT],
    }[tls]
    client = introduced(steps, **options)
    assert client.tls == (None if tls == "never" else INFO)
    assert client.context.tls is (tls != "never")


@pytest.mark.parametrize("port", [25, 2525])
def test_with_a_password_tls_is_required(port: int) -> None:
    refused([GREETING, ehlo("AUTH PLAIN"), QUIT], TlsUnavailable, port=port, auth=("joe", "secret"))


@pytest.mark.parametrize(
    "options, verifies",
    [
        ({"security": "tls"}, True),
        ({"security": "starttls"}, True),
        ({"security": "opportunistic"}, False),
        ({"security": "opportunistic", "auth": ("joe", "secret")}, True),
    ],
)
def test_certificates_are_verified_unless_security_is_opportunistic(options: Any, verifies: bool) -> None:
    steps = [GREETING, ehlo(*OFFER), ("STARTTLS", "220 go"), (TLS, INFO), ehlo(*OFFER)]
    if options["security"] == "tls":
        steps = [(TLS, INFO), GREETING, ehlo(*OFFER)]
    if "auth" in options:
        steps += [("AUTH PLAIN AGpvZQBzZWNyZXQ=", "235 ok")]
    stream = Stream([*steps, QUIT])
    run(connect(stream, **options).quit())
    stream.finish()
    (handshake,) = stream.handshakes
    context = handshake["context"]
    assert context.check_hostname is verifies
    assert context.verify_mode is (ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE)
    assert handshake["server_hostname"] == "mx.example"
    assert handshake["server_side"] is False


def test_a_context_of_ones_own_is_used_as_it_is() -> None:
    context = default_context(verify=False)
    stream = Stream([(TLS, INFO), GREETING, ehlo(), QUIT])
    run(connect(stream, security="tls", ssl_context=context).quit())
    assert stream.handshakes[0]["context"] is context


@pytest.mark.parametrize("security", ["ssl", "TLS", "implicit"])
def test_an_invalid_mode_of_security_is_refused(security: str) -> None:
    with pytest.raises(LocalProtocolError, match="security is one of none, starttls, tls, opportunistic"):
        connect(Stream([]), security=security)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="no option ssl_contxt"):
        connect(Stream([]), ssl_contxt=None)


@pytest.mark.req("TLS-25")
@pytest.mark.parametrize("auth", [None, ("joe", "secret")])
def test_where_tls_is_required_and_not_offered_there_is_quit_and_nothing_else(auth: Any) -> None:
    error = refused([GREETING, ehlo("AUTH PLAIN"), QUIT], TlsUnavailable, security="starttls", auth=auth)
    assert error.context.phase == "starttls"
    assert error.hint is not None
    assert "AUTH PLAIN" in error.hint


@pytest.mark.req("TLS-25")
def test_where_tls_is_required_a_server_that_knows_no_extension_is_left() -> None:
    error = refused([GREETING, ("EHLO client.example", "502 what"), QUIT], ReplyError, security="starttls")
    assert error.reply.code == 502


@pytest.mark.req("TLS-17")
def test_starttls_refused_ends_the_session_where_tls_is_required() -> None:
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "454 4.7.0 out of order"), QUIT]
    error = refused(steps, TlsUnavailable, security="starttls")
    assert error.context.reply == Reply(454, "4.7.0", "out of order")


@pytest.mark.req("TLS-17", "TLS-24")
def test_starttls_refused_leaves_the_session_in_plaintext_where_tls_is_optional() -> None:
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "454 4.7.0 out of order"), QUIT]
    assert introduced(steps, security="opportunistic").tls is None


@pytest.mark.req("TLS-24")
def test_where_tls_is_optional_and_not_offered_there_is_none() -> None:
    assert introduced([GREETING, ehlo(), QUIT], security="opportunistic").tls is None


@pytest.mark.parametrize("security, kind", [("starttls", TlsUnavailable), ("opportunistic", ReplyError)])
def test_starttls_answered_421_is_the_end_in_any_case(security: str, kind: Any) -> None:
    refused([GREETING, ehlo("STARTTLS"), ("STARTTLS", "421 bye")], kind, security=security)


@pytest.mark.req("TLS-18")
def test_starttls_answered_with_another_success_is_the_end() -> None:
    refused([GREETING, ehlo("STARTTLS"), ("STARTTLS", "250 ok")], RemoteProtocolError, security="starttls")


@pytest.mark.req("TLS-19")
@pytest.mark.parametrize("security", ["starttls", "opportunistic"])
@pytest.mark.parametrize(
    "failure, words",
    [
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "wrong version number"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "EOF occurred"),
    ],
)
def test_a_handshake_that_fails_ends_the_session(security: str, failure: Any, words: str) -> None:
    """Without a word in plaintext behind it."""
    error = refused([*BEFORE_TLS, (TLS, failure)], TlsError, security=security)
    assert error.context.phase == "tls"
    assert words in str(error)
    assert error.__cause__ is failure


def test_what_a_failing_handshake_has_received_is_among_the_facts() -> None:
    class Plain(Stream):
        async def start_tls(self, context: Any, **options: Any) -> TlsInfo:
            self.first_octets = b"220 mx.example ESMTP\r\n"
            return await super().start_tls(context, **options)

    stream = Plain([(TLS, ssl.SSLError(1, "wrong version number"))])
    with pytest.raises(TlsError) as caught:
        connect(stream, security="tls", port=2525)
    assert caught.value.context is not None
    assert caught.value.context.first_octets == b"220 mx.example ESMTP\r\n"
    assert caught.value.hint is not None
    assert "port 2525 speaks plain SMTP first" in caught.value.hint
    assert stream.closed


@pytest.mark.req("TLS-05")
def test_plaintext_behind_the_reply_to_starttls_is_the_end() -> None:
    """None of it is taken for a reply, and no handshake begins."""
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go\n250 mx.example")]
    error = refused(steps, RemoteProtocolError, security="starttls")
    assert error.context.tls is False


@pytest.mark.req("TLS-08", "TLS-09")
def test_what_was_offered_in_plaintext_is_forgotten() -> None:
    steps = [GREETING, ehlo("STARTTLS", "SIZE 5", "X-OLD"), ("STARTTLS", "220 go"), (TLS, INFO), ehlo("SIZE 7")]
    client = introduced([*steps, QUIT], security="starttls")
    assert client.context.capabilities == ("SIZE 7",)
    assert client.capabilities.size == 7


# --- connect(): the greeting, and EHLO --------------------------------------------------------------------


@pytest.mark.req("GRT-13", "SES-34")
@pytest.mark.parametrize("code, retryable", [(450, True), (521, False), (554, False)])
def test_a_refused_connection_is_left_with_quit(code: int, retryable: bool) -> None:
    error = refused([(b"", f"{code} no"), QUIT], ReplyError)
    assert error.reply.code == code
    assert error.retryable is retryable
    assert error.context.phase == "greeting"


def test_421_for_a_greeting_is_the_end() -> None:
    assert refused([(b"", "421 busy")], ReplyError).retryable


@pytest.mark.parametrize(
    "greeting", ["354 go", "hello there", "22 x", "2200 x", b"\x00220 x\r\n", "620 hi", "220-a\n250 b"]
)
def test_an_invalid_greeting_ends_the_session(greeting: Any) -> None:
    """The farewell is not left out, for whoever knows what it means."""
    error = refused([(b"", greeting)], RemoteProtocolError, last=ANY)
    assert error.context.phase == "greeting"
    assert error.context.octets_received == len(lines(greeting) if isinstance(greeting, str) else greeting)


def test_quit_follows_an_invalid_reply() -> None:
    failure([("NOOP", "354 x")], lambda client: client.noop(), RemoteProtocolError, last="QUIT")


def test_an_invalid_reply_is_reported_although_quit_cannot_be_sent() -> None:
    def broken(stream: Stream) -> None:
        stream.write_error = ConnectionResetError()

    failure([("NOOP", [broken, "354 x"])], lambda client: client.noop(), RemoteProtocolError)


@pytest.mark.req("EHL-04", "EHL-28")
def test_the_session_begins_with_ehlo_and_one_argument() -> None:
    introduced([GREETING, ("EHLO client.example", "250 mx.example"), QUIT])


@pytest.mark.req("EHL-05")
@pytest.mark.parametrize("code", [500, 502])
def test_helo_follows_where_ehlo_is_not_known(code: int) -> None:
    steps = [GREETING, ("EHLO client.example", f"{code} what"), ("HELO client.example", "250 mx.example"), QUIT]
    assert list(introduced(steps, security="opportunistic").capabilities.lines()) == []


@pytest.mark.req("EHL-05", "SES-34")
@pytest.mark.parametrize("code", [450, 501, 504, 550, 554])
def test_helo_does_not_follow_where_ehlo_is_refused(code: int) -> None:
    error = refused([GREETING, ("EHLO client.example", f"{code} no"), QUIT], ReplyError)
    assert error.reply.code == code
    assert "EHLO client.example was answered" in str(error), "who is disliked has to know by which name"
    assert error.context.last_command == "EHLO"
    assert error.context.phase == "ehlo"


@pytest.mark.req("EHL-05")
def test_a_refused_helo_is_the_end() -> None:
    steps = [GREETING, ("EHLO client.example", "500 what"), ("HELO client.example", "550 no"), QUIT]
    assert "HELO client.example was answered" in str(refused(steps, ReplyError))


@pytest.mark.req("EHL-31")
@pytest.mark.parametrize(
    "machine, sockname, sent",
    [
        ("host.client.example", ("192.0.2.1", 1), "host.client.example"),
        ("laptop", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("laptop.", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("my_laptop.example", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("büro.example", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("laptop", ("2001:db8::1", 1, 0, 0), "[IPv6:2001:db8::1]"),
        ("laptop", ("fe80::1%eth0", 1, 0, 2), "[IPv6:fe80::1]"),
        ("laptop", "/run/a.socket", "[127.0.0.1]"),
    ],
)
def test_the_name_is_that_of_the_machine_if_it_is_one_and_else_the_address(
    machine: str, sockname: Any, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks DNS for it, which may take minutes."""

    def dns(*args: Any) -> Any:
        raise AssertionError("DNS was asked")

    for name in ("getfqdn", "gethostbyname", "gethostbyaddr", "getaddrinfo"):
        monkeypatch.setattr(socket, name, dns)
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    steps = [GREETING, ehlo(name=sent), QUIT]
    given: Any = None
    introduced(steps, name=given, sockname=sockname)


@pytest.mark.req("EHL-31")
@pytest.mark.parametrize(
    "given, sent",
    [
        ("mail.client.example", "mail.client.example"),
        ("localhost", "localhost"),
        ("[192.0.2.77]", "[192.0.2.77]"),
        ("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]"),
        ("my_laptop", "[192.0.2.1]"),
        ("", "[192.0.2.1]"),
        ("mail..example", "[192.0.2.1]"),
        ("my laptop", "[192.0.2.1]"),
    ],
)
def test_a_name_that_is_given_is_used_if_a_server_may_take_it(given: str, sent: str) -> None:
    introduced([GREETING, ehlo(name=sent), QUIT], name=given)


# --- connect(): AUTH --------------------------------------------------------------------------------------

UNDER_TLS = [(TLS, INFO), GREETING]


def test_a_password_is_shown_under_tls_only() -> None:
    steps = [*BEFORE_TLS, (TLS, INFO), ehlo("AUTH LOGIN PLAIN"), (PLAIN, "235 ok"), QUIT]
    introduced(steps, auth=("joe", "secret"))


@pytest.mark.req("AUT-50")
@pytest.mark.parametrize("security", ["none", "opportunistic"])
def test_a_password_is_not_shown_without_tls(security: str) -> None:
    steps = [GREETING, ehlo("AUTH LOGIN PLAIN"), QUIT]
    error = refused(steps, AuthenticationUnavailable, security=security, auth=("joe", "secret"))
    assert "the server offers LOGIN, PLAIN" in str(error)
    assert error.context.phase == "auth"


@pytest.mark.req("AUT-50")
def test_starttls_refused_does_not_make_the_password_public() -> None:
    steps = [GREETING, ehlo("STARTTLS", "AUTH PLAIN"), ("STARTTLS", "454 no"), QUIT]
    refused(steps, AuthenticationUnavailable, security="opportunistic", auth=("joe", "secret"))


def test_a_password_is_sent_without_tls_if_that_is_allowed_explicitly() -> None:
    steps = [GREETING, ehlo("AUTH LOGIN PLAIN"), (PLAIN, "235 ok"), QUIT]
    introduced(steps, security="none", auth=("joe", "secret"), allow_cleartext_auth=True)


@pytest.mark.parametrize("offer", [(), ("AUTH",), ("AUTH X-OTHER",)])
def test_without_a_usable_mechanism_no_auth_command_is_sent(offer: Any) -> None:
    steps = [*UNDER_TLS, ehlo(*offer), QUIT]
    error = refused(steps, AuthenticationUnavailable, security="tls", auth=("joe", "secret"))
    assert "no usable authentication mechanism" in str(error)


@pytest.mark.req("AUT-24")
@pytest.mark.parametrize(
    "reply, retryable, hint",
    [
        ("454 4.7.0 later", True, "this is temporary: try again later"),
        ("535 5.7.8 wrong", False, "user name or password are wrong"),
        ("534 5.7.9 too weak", False, "the server wants a stronger mechanism"),
        ("432 4.7.12 transition", True, "log in once with PLAIN"),
    ],
)
def test_a_refused_login_says_what_to_do_about_it(reply: str, retryable: bool, hint: str) -> None:
    """And no mail is sent without it."""
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), (PLAIN, reply), QUIT]
    error = refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))
    assert error.retryable is retryable
    assert error.hint.startswith(hint)
    assert str(error).startswith("PLAIN was answered")
    assert "secret" not in str(error)


LOGIN = [("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("am9l", "334 UGFzc3dvcmQ6")]


@pytest.mark.parametrize("reply", ["504 5.5.4 unknown", "534 5.7.9 too weak"])
def test_a_mechanism_that_is_refused_is_followed_by_the_next_one(reply: str) -> None:
    """It is the mechanism that the server does not like, and not the password."""
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, reply)]
    introduced([*steps, *LOGIN, ("c2VjcmV0", "235 ok"), QUIT], security="tls", auth=("joe", "secret"))
    error = refused(
        [*steps, *LOGIN, ("c2VjcmV0", "535 5.7.8 no"), QUIT],
        AuthenticationFailed,
        security="tls",
        auth=("joe", "secret"),
    )
    assert error.reply.code == 535
    error = refused(
        [*steps, ("AUTH LOGIN", reply), QUIT], AuthenticationFailed, security="tls", auth=("joe", "secret")
    )
    assert str(error).startswith("LOGIN was answered")


@pytest.mark.req("AUT-24")
@pytest.mark.parametrize("reply", ["535 5.7.8 wrong", "454 4.7.0 later", "432 4.7.12 transition", "501 what"])
def test_a_password_that_is_refused_is_not_tried_with_another_mechanism(reply: str) -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, reply), QUIT]
    refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))


def test_a_mechanism_that_was_given_and_is_refused_is_not_replaced_by_another() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, "504 no"), QUIT]
    refused(steps, AuthenticationFailed, security="tls", auth=sasl.PlainClient("joe", "secret"))


def test_421_to_a_login_is_the_end() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), (PLAIN, "421 4.7.0 too many")]
    refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))


def test_a_mechanism_can_be_given() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN")]
    login = [("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("am9l", "334 UGFzc3dvcmQ6"), ("c2VjcmV0", "235 ok"), QUIT]
    introduced([*steps, *login], security="tls", auth=sasl.LoginClient("joe", "secret"))


def test_a_mechanism_that_is_given_is_not_replaced_by_another() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), QUIT]
    refused(steps, AuthenticationUnavailable, security="tls", auth=sasl.LoginClient("joe", "secret"))


def test_a_given_cleartext_mechanism_needs_tls_as_well() -> None:
    steps = [GREETING, ehlo("AUTH PLAIN"), QUIT]
    refused(steps, LocalProtocolError, security="none", auth=sasl.PlainClient("joe", "secret"))


def test_challenges_without_an_end_are_broken_off() -> None:
    """The exchange is cancelled; and if that is not understood either, the session is over."""
    username = base64.b64encode(b"Username:").decode()
    steps = [
        *UNDER_TLS,
        ehlo("AUTH LOGIN"),
        ("AUTH LOGIN", f"334 {username}"),
        ("am9l", f"334 {username}"),
        ("c2VjcmV0", f"334 {username}"),
        ("*", f"334 {username}"),
    ]
    refused(steps, RemoteProtocolError, security="tls", auth=("joe", "secret"))
