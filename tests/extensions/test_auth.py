"""AUTH (RFC 4954), the extension by itself and on both roles."""

from __future__ import annotations

from typing import Any

import pytest

from smtpcore import (
    Auth,
    Capabilities,
    Credentials,
    Ehlo,
    Helo,
    LocalProtocolError,
    Mail,
    ReversePath,
    ServerConfig,
    State,
    TlsInfo,
)
from smtpcore.extensions import AUTH, Facts
from smtpcore.sasl import PlainClient

from .sessions import lines_to, received, session

(PARAMETER,) = AUTH.parameters
(SPEC,) = AUTH.commands
TLS = TlsInfo(version="TLSv1.3")
PLAIN = ServerConfig(auth_mechanisms=("PLAIN",))
CLEARTEXT = ServerConfig(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)


@pytest.mark.parametrize(
    "config, tls, offer",
    [
        (ServerConfig(), TLS, None),
        (PLAIN, None, None),
        (PLAIN, TLS, ["PLAIN"]),
        (CLEARTEXT, None, ["PLAIN"]),
    ],
)
def test_a_mechanism_that_shows_the_password_is_offered_under_TLS_only(
    config: ServerConfig, tls: TlsInfo | None, offer: list[str] | None
) -> None:
    assert AUTH.offer(config, Facts(tls=tls)) == offer


def test_a_client_reads_the_mechanisms_once_each_and_in_upper_case() -> None:
    assert AUTH.read(("plain", "LOGIN", "PLAIN")) == ("PLAIN", "LOGIN")


@pytest.mark.parametrize(
    "text, event",
    [
        ("PLAIN", Auth("PLAIN")),
        ("plain AGEAYg==", Auth("PLAIN", "AGEAYg==")),
        ("EXTERNAL =", Auth("EXTERNAL", "=")),
    ],
)
def test_the_command_has_a_mechanism_and_perhaps_a_response(text: str, event: Auth) -> None:
    assert SPEC.parse(text) == event
    assert SPEC.parse(SPEC.format(event)) == event


@pytest.mark.parametrize("text", ["", "PLAIN a b", "PL/AIN", "A" * 21])
def test_another_argument_is_not_valid(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        SPEC.parse(text)


def test_an_exchange_goes_on_after_334_and_ends_with_any_other_reply() -> None:
    ready, authenticating = State.READY, State.AUTHENTICATING
    assert SPEC.leads == {
        2: {authenticating: ready, ready: ready},
        3: {ready: authenticating},
        4: {authenticating: ready},
        5: {authenticating: ready},
    }


def test_the_command_is_checked_when_it_is_made_and_does_not_show_its_response() -> None:
    for mechanism, response in [("pl/ain", None), ("PLAIN", "not base64"), ("PLAIN", "")]:
        with pytest.raises(LocalProtocolError):
            Auth(mechanism, response)
    assert "AGEAYg==" not in repr(Auth("PLAIN", "AGEAYg=="))


@pytest.mark.parametrize(
    "facts, expected",
    [
        (Facts(hello=Ehlo("client.example"), config=PLAIN, tls=TLS), None),
        (Facts(hello=Ehlo("client.example"), config=PLAIN), "538 5.7.11 this mechanism needs TLS"),
        (
            Facts(hello=Ehlo("client.example"), config=ServerConfig(auth_mechanisms=("LOGIN",))),
            "504 5.5.4 this authentication mechanism is not offered",
        ),
        (
            Facts(hello=Ehlo("client.example"), config=PLAIN, tls=TLS, authenticated="alice"),
            "503 5.5.1 authenticated already",
        ),
        (Facts(hello=Helo("client.example"), config=PLAIN, tls=TLS), "503 5.5.1 say EHLO first"),
    ],
)
def test_the_check_refuses_what_cannot_be_used_now(facts: Facts, expected: str | None) -> None:
    mechanisms = () if facts.tls is None else ("PLAIN",)
    offered = Capabilities([("AUTH", mechanisms)], {"AUTH": AUTH.read})
    assert AUTH.check is not None
    reply = AUTH.check(Auth("PLAIN"), offered, facts)
    assert reply is None if expected is None else str(reply).startswith(expected)


@pytest.mark.parametrize(
    "text, path", [("<>", ReversePath("")), ("a+2Bb@client.example", ReversePath("a+b@client.example"))]
)
def test_the_parameter_is_a_mailbox_in_xtext(text: str, path: ReversePath) -> None:
    assert PARAMETER.parse(text) == path and PARAMETER.format(path) == text


@pytest.mark.parametrize("text", [None, "", "<a@client.example>", "a+zz@client.example"])
def test_another_text_is_not_a_mailbox(text: str | None) -> None:
    with pytest.raises(LocalProtocolError):
        PARAMETER.parse(text)


@pytest.mark.parametrize("value", ["a@client.example", ReversePath("jörg@client.example"), None])
def test_another_value_cannot_be_sent(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="AUTH takes a ReversePath of ASCII"):
        PARAMETER.format(value)


def test_a_login_reaches_the_server_as_credentials() -> None:
    joined = session(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)
    joined.client.authenticate(PlainClient("alice", "secret"), allow_cleartext=True)
    joined.run()
    assert isinstance(event := received(joined), Credentials) and event.username == "alice"
    assert joined.client.authenticated and joined.server.authenticated == "alice"


def test_the_parameter_reaches_the_server_where_AUTH_is_offered() -> None:
    joined = session(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)
    mail = Mail("a@client.example", {"AUTH": ReversePath("b@client.example")})
    joined.send(mail)
    joined.run()
    assert isinstance(event := received(joined), Mail)
    assert event.reverse_path == mail.reverse_path
    with pytest.raises(LocalProtocolError, match="AUTH"):
        session().send(mail)
    assert lines_to(session().server, "MAIL FROM:<a@client.example> AUTH=<>")[0].startswith("555 ")
