"""HELP (RFC 5321 4.1.1.8), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import Help, ServerConfig, State
from smtpcore.extensions import HELP, Facts

from .sessions import lines_to, received, replies_to, session

(SPEC,) = HELP.commands


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    assert HELP.offer(ServerConfig(help=switch), Facts()) == offer


@pytest.mark.parametrize("subject", ["", "MAIL"])
def test_the_command_may_have_a_subject(subject: str) -> None:
    assert SPEC.parse(subject) == Help(subject) and SPEC.format(Help(subject)) == subject


def test_the_reply_lists_the_verbs_that_the_server_has() -> None:
    joined = session(expn=True)
    (reply,) = replies_to(joined, Help("MAIL"))
    assert received(joined) == Help("MAIL")
    assert reply.code == 214
    assert reply.text.split() == [
        *("commands:", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY"),
        *("EXPN", "HELP"),
    ]


def test_it_is_legal_at_any_time_and_changes_no_state() -> None:
    server = session().server
    lines_to(server, "MAIL FROM:<>")
    assert lines_to(server, "HELP")[0].startswith("214 2.0.0 ") and server.state is State.MAIL


def test_a_server_that_does_not_offer_it_replies_502() -> None:
    joined = session(help=False)
    assert [reply.code for reply in replies_to(joined, Help())] == [502]
