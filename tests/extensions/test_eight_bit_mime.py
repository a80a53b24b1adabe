"""8BITMIME (RFC 6152), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import Chunk, Data, EndOfMessage, LocalProtocolError, Mail, Rcpt, ServerConfig
from smtpcore.extensions import EIGHT_BIT_MIME, Facts

from .sessions import lines_to, received, replies_to, session

(PARAMETER,) = EIGHT_BIT_MIME.parameters


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    assert EIGHT_BIT_MIME.offer(ServerConfig(eight_bit_mime=switch), Facts()) == offer


@pytest.mark.parametrize("text", ["7BIT", "8BITMIME"])
def test_BODY_has_two_values_in_any_letter_case(text: str) -> None:
    assert PARAMETER.keyword == "BODY"
    assert PARAMETER.parse(text) == PARAMETER.parse(text.lower()) == PARAMETER.format(text) == text


@pytest.mark.parametrize("text", [None, "", "BINARYMIME"])
def test_BODY_has_no_other_value(text: str | None) -> None:
    with pytest.raises(LocalProtocolError):
        PARAMETER.parse(text)


def test_content_with_octets_above_127_reaches_the_server() -> None:
    joined = session()
    mail = Mail("a@client.example", {"BODY": "8BITMIME"})
    assert [one.code for one in replies_to(joined, mail, Rcpt("b@example.org"), Data())] == [250, 250, 354]
    assert mail in joined.server_events
    joined.send(Chunk(b"\xe4\r\n"), EndOfMessage())
    joined.run()
    assert joined.server_events[-2:] == [Chunk(b"\xe4\r\n"), EndOfMessage()]


def test_content_with_octets_above_127_is_not_sent_without_the_parameter() -> None:
    joined = session()
    replies_to(joined, Mail("a@client.example"), Rcpt("b@example.org"), Data())
    with pytest.raises(LocalProtocolError, match="octets above 127"):
        joined.send(Chunk(b"\xe4\r\n"))


def test_BODY_is_neither_sent_nor_accepted_where_it_is_not_offered() -> None:
    joined = session(eight_bit_mime=False)
    with pytest.raises(LocalProtocolError, match="BODY"):
        joined.send(Mail("a@client.example", {"BODY": "8BITMIME"}))
    assert lines_to(joined.server, "MAIL FROM:<a@client.example> BODY=8BITMIME")[0].startswith("555 ")
    assert received(joined) != Mail("a@client.example")
