"""EXPN (RFC 5321 4.1.1.7), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import Expn, Reply, ServerConfig, State
from smtpcore.extensions import EXPN, Facts

from .sessions import lines_to, received, replies_to, session

(SPEC,) = EXPN.commands


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    assert EXPN.offer(ServerConfig(expn=switch), Facts()) == offer


def test_the_command_has_the_name_of_a_list() -> None:
    assert SPEC.parse("staff") == Expn("staff") and SPEC.format(Expn("staff")) == "staff"


def test_the_name_reaches_the_server_and_the_default_reply_comes_back() -> None:
    joined = session(expn=True)
    assert replies_to(joined, Expn("staff")) == [Reply(252, "2.5.0", "not expanded: send mail and see")]
    assert received(joined) == Expn("staff")


def test_it_is_legal_at_any_time_and_changes_no_state() -> None:
    server = session(expn=True).server
    lines_to(server, "MAIL FROM:<>", "RCPT TO:<b@example.org>")
    assert lines_to(server, "EXPN staff") == ["252 2.5.0 not expanded: send mail and see"]
    assert server.state is State.RCPT


def test_a_client_may_send_it_where_it_is_not_offered_and_gets_502() -> None:
    joined = session(expn=False)
    assert [reply.code for reply in replies_to(joined, Expn("staff"))] == [502]
    assert received(joined) != Expn("staff")
