"""STARTTLS (RFC 3207), the extension by itself and on both roles."""

from __future__ import annotations

from typing import Any

import pytest

from smtpcore import (
    Capabilities,
    Ehlo,
    Helo,
    LocalProtocolError,
    ServerConfig,
    ServerConnection,
    StartTls,
    State,
    TlsInfo,
)
from smtpcore.extensions import STARTTLS, Facts

from .sessions import lines_to, received, replies_to, session

(SPEC,) = STARTTLS.commands
TLS = TlsInfo(version="TLSv1.3")


@pytest.mark.parametrize(
    "switch, tls, offer", [(True, None, ()), (True, TLS, None), (False, None, None), (False, TLS, None)]
)
def test_it_is_offered_until_TLS_is_active(switch: bool, tls: TlsInfo | None, offer: Any) -> None:
    assert STARTTLS.offer(ServerConfig(starttls=switch), Facts(tls=tls)) == offer


def test_the_command_has_no_argument() -> None:
    assert SPEC.parse("") == StartTls() and SPEC.format(StartTls()) == ""
    with pytest.raises(LocalProtocolError, match="STARTTLS takes no argument"):
        SPEC.parse("now")


@pytest.mark.parametrize(
    "facts, text",
    [
        (Facts(hello=Ehlo("client.example")), None),
        (Facts(hello=Ehlo("client.example"), tls=TLS), "TLS is active already"),
        (Facts(hello=Helo("client.example")), "say EHLO first: HELO knows no extensions"),
    ],
)
def test_the_check_refuses_it_under_TLS_and_after_HELO(facts: Facts, text: str | None) -> None:
    assert STARTTLS.check is not None
    reply = STARTTLS.check(StartTls(), Capabilities(), facts)
    assert (reply and (reply.code, reply.text)) == (text and (503, text))


def test_both_sides_forget_the_session_before_the_handshake() -> None:
    joined = session(starttls=True)
    assert "STARTTLS" in joined.client.capabilities
    assert [reply.code for reply in replies_to(joined, StartTls())] == [220]
    assert received(joined) == StartTls()
    assert joined.client.tls is not None and joined.server.tls is not None
    assert joined.client.state is joined.server.state is State.GREETED
    assert joined.server.hello is None and not joined.client.capabilities
    replies_to(joined, Ehlo("client.example"))
    assert "STARTTLS" not in joined.client.capabilities


def test_it_is_neither_sent_nor_accepted_where_it_is_not_offered() -> None:
    joined = session()
    with pytest.raises(LocalProtocolError, match="STARTTLS"):
        joined.send(StartTls())
    assert lines_to(joined.server, "STARTTLS")[0].startswith("502 ")


def test_it_is_refused_within_a_transaction() -> None:
    server = session(starttls=True).server
    assert lines_to(server, "MAIL FROM:<>", "STARTTLS")[1].startswith("503 ")
    assert server.state is State.MAIL


def test_it_may_come_where_the_server_requires_TLS() -> None:
    server = ServerConnection("mx.example", config=ServerConfig(starttls=True, require_tls=True))
    replies = lines_to(server, "EHLO client.example", "MAIL FROM:<>", "STARTTLS")
    assert [reply[:3] for reply in replies if reply[3] == " "] == ["220", "250", "530", "220"]
