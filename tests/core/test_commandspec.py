"""``CommandSpec``: what a command of an extension is if its declaration does not say more."""

from __future__ import annotations

import pytest

from smtpcore import Command, LocalProtocolError, Reply, State
from smtpcore.extensions import CommandSpec, Group, WithoutArgument


class Wave(Command):
    __slots__ = ()
    verb = "WAVE"


PARSE = WithoutArgument(Wave)
OK = Reply(250, "2.0.0", "ok")
SPEC = CommandSpec(Wave, parse=PARSE, reply=OK)


def test_a_command_has_no_rights_that_its_declaration_does_not_give() -> None:
    assert SPEC.states == {State.READY}
    assert SPEC.success == {250}
    assert SPEC.leads == {}
    assert SPEC.group is Group.LAST
    assert SPEC.line_limit == "command_line"
    assert SPEC.format(Wave()) == ""
    assert not any((SPEC.idle, SPEC.before_tls, SPEC.before_auth, SPEC.utf8, SPEC.unasked, SPEC.unattended))


def test_the_verb_is_that_of_the_event() -> None:
    assert SPEC.verb == "WAVE"


def test_a_command_without_an_argument_refuses_one() -> None:
    assert PARSE("") == Wave()
    with pytest.raises(LocalProtocolError, match="WAVE takes no argument"):
        PARSE("x")


def test_declarations_are_values() -> None:
    leads = {2: {State.READY: State.MAIL}}
    one, other = (CommandSpec(Wave, parse=PARSE, reply=OK, leads=dict(leads)) for _ in range(2))
    assert one == other != SPEC
    assert hash(one) == hash(other)


def test_the_places_in_a_group_are_named_by_their_values() -> None:
    assert [(one.name.lower(), one) for one in Group] == [(one.value, one) for one in Group]
