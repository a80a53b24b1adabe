"""PIPELINING (RFC 2920), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import Data, Mail, Rcpt, ServerConfig
from smtpcore.extensions import PIPELINING, Facts

from .sessions import lines_to, replies_to, session


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    assert PIPELINING.offer(ServerConfig(pipelining=switch), Facts()) == offer


def test_it_declares_nothing_but_the_keyword() -> None:
    assert PIPELINING.parameters == PIPELINING.commands == PIPELINING.needs == ()
    assert PIPELINING.check is None and PIPELINING.mail_octets == PIPELINING.rcpt_octets == 0


@pytest.mark.parametrize("offered, lines", [(True, 3), (False, 1)])
def test_a_client_sends_a_group_where_it_is_offered(offered: bool, lines: int) -> None:
    joined = session(pipelining=offered)
    joined.send(Mail("a@client.example"), Rcpt("b@example.org"), Data())
    assert joined.client.data_to_send().count(b"\r\n") == lines


@pytest.mark.parametrize("offered", [True, False])
def test_the_replies_come_in_order_either_way(offered: bool) -> None:
    joined = session(pipelining=offered)
    group = Mail("a@client.example"), Rcpt("b@example.org"), Data()
    assert [reply.code for reply in replies_to(joined, *group)] == [250, 250, 354]


def test_a_server_replies_in_order_to_a_group_that_it_has_not_offered() -> None:
    joined = session(pipelining=False)
    replies = lines_to(joined.server, "MAIL FROM:<>", "RCPT TO:<b@example.org>", "NOOP x", "DATA")
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "354"]
