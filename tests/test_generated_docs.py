"""The pages that are made from the code are as the code is now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtpcore import Limits, State

from . import draw_states, list_extensions, list_limits
from .helpers.standard import RULES
from .test_layout import FLOORS, PACKAGE

ARCHITECTURE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def test_the_states_are_drawn_from_the_tables_as_they_are() -> None:
    written = draw_states.PAGE.read_text(encoding="utf-8")
    assert written == draw_states.page(), "run python -m tests.draw_states"


def test_the_limits_are_listed_as_they_are() -> None:
    written = list_limits.PAGE.read_text(encoding="utf-8")
    assert written == list_limits.page(), "run python -m tests.list_limits"


def test_the_extensions_are_listed_as_they_are() -> None:
    written = list_extensions.PAGE.read_text(encoding="utf-8")
    assert written == list_extensions.page(), "run python -m tests.list_extensions"


def test_every_state_and_every_transition_is_on_the_page() -> None:
    page = draw_states.page()
    for state in RULES.legal:
        assert f"\n| `{state.value}` |" in page
    for kind, digit in RULES.after:
        assert f"\n| `{draw_states.verb(kind)}` | {digit}yz |" in page
    drawn = draw_states.arrows()
    assert f"    {State.RCPT.value} --> {State.CONTENT.value}: DATA 3yz" in drawn
    assert f"    {State.TLS.value} --> {State.GREETED.value}: TLS handshake" in drawn
    assert not [arrow for arrow in drawn if State.CLOSED.value in arrow]


def test_a_field_that_the_docstring_does_not_tell_of_is_noticed() -> None:
    @dataclass
    class Untold:
        """Something.

        Attributes:
            told: It is.
        """

        told: int = 1
        untold: int = 2

    with pytest.raises(AssertionError, match="tells each field"):
        list_limits.section(Untold)


def test_a_limit_stands_with_its_default_and_the_whole_of_its_reason() -> None:
    assert (
        "| `command_line` | 512 | A command line with its CRLF (RFC 5321 4.5.3.1.4). MAIL and RCPT lines may be"
        " longer by what each offered extension adds. |"
    ) in list_limits.section(Limits)


def test_the_architecture_names_the_floors_as_they_are_held() -> None:
    told = re.findall(r"^\d+\. (.+)$", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(told) == len(FLOORS)
    for line, floor in zip(told, FLOORS, strict=True):
        named = {name.replace("smtpcore", "__init__") for name in re.findall(r"`([\w.]+)`", line)}
        there = {name for name in floor.split() if list(PACKAGE.glob(f"{name.replace('.', '/')}*"))}
        assert named == there
