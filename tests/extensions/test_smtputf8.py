"""SMTPUTF8 (RFC 6531), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import LocalProtocolError, Mail, Rcpt, ServerConfig
from smtpcore.extensions import EIGHT_BIT_MIME, SMTPUTF8, Facts

from .sessions import lines_to, received, replies_to, session

(PARAMETER,) = SMTPUTF8.parameters


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    assert SMTPUTF8.offer(ServerConfig(smtputf8=switch), Facts()) == offer


def test_it_needs_8BITMIME() -> None:
    assert SMTPUTF8.needs == ("8BITMIME",)
    with pytest.raises(LocalProtocolError, match="8BITMIME"):
        session(extensions=(SMTPUTF8,), smtputf8=True)
    assert "SMTPUTF8" in session(extensions=(EIGHT_BIT_MIME, SMTPUTF8), smtputf8=True).client.capabilities


def test_the_parameter_has_no_value() -> None:
    assert PARAMETER.parse(None) is True and PARAMETER.format(True) is None
    with pytest.raises(LocalProtocolError):
        PARAMETER.parse("yes")


def test_an_address_in_UTF8_reaches_the_server() -> None:
    joined = session(smtputf8=True)
    mail, rcpt = Mail("jörg@client.example", {"SMTPUTF8": True}), Rcpt("zoë@example.org")
    assert [reply.code for reply in replies_to(joined, mail, rcpt)] == [250, 250]
    assert joined.server_events[-2:] == [mail, rcpt]


def test_an_address_in_UTF8_is_neither_sent_nor_accepted_where_it_is_not_offered() -> None:
    joined = session()
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        joined.send(Mail("jörg@client.example", {"SMTPUTF8": True}))
    before = received(joined)
    (reply,) = lines_to(joined.server, "MAIL FROM:<jörg@client.example>")
    assert reply.startswith("5") and received(joined) == before
