"""The pages that are made from the code are as the code is now."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import smtpcore.stream
import smtpcore.sync
from smtpcore import Limits, State

from . import draw_states, list_extensions, list_limits, write_reference
from .helpers.standard import RULES
from .test_layout import FLOORS, PACKAGE

ARCHITECTURE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"


def test_the_page_of_states_is_current() -> None:
    written = draw_states.PAGE.read_text(encoding="utf-8")
    assert written == draw_states.page(), "run python -m tests.draw_states"


def test_the_page_of_limits_is_current() -> None:
    written = list_limits.PAGE.read_text(encoding="utf-8")
    assert written == list_limits.page(), "run python -m tests.list_limits"


def test_the_reference_is_current() -> None:
    written = {path: path.read_text(encoding="utf-8") for path in write_reference.FOLDER.glob("*.md")}
    del written[write_reference.STANDARD_EXTENSIONS], written[write_reference.CONFORMANCE]
    expected = write_reference.pages()
    stale = {path.name for path in written.keys() | expected.keys() if written.get(path) != expected.get(path)}
    assert stale == set(), "run python -m tests.write_reference"


def test_the_reference_has_a_page_for_each_public_module_and_an_entry_for_each_name() -> None:
    modules = write_reference.public_modules()
    assert {"smtpcore", "smtpcore.sync", "smtpcore.asyncio", "smtpcore.trio", "smtpcore.sasl"} <= set(modules)
    assert not [module for module in modules if "._" in module]
    for module in modules:
        page = write_reference.page(module)
        for name in write_reference.public_names(importlib.import_module(module)):
            assert f"\n### `{name}`\n" in page


class Documented:
    """Do a thing with ``x < y``.

    Args:
        first: What it is,
            in two lines.
        second: How long, in seconds.

    Raises:
        ValueError: It is not a thing.

    Example:
        ::

            documented = Documented(1)
    """

    def __init__(self, first: int, *, second: float = 1.0) -> None:
        """Set it up."""

    async def wait(self, first: int | None = None, /, *rest: str) -> bool:
        """Wait for :class:`Documented`, not for <it>."""
        raise NotImplementedError

    def look(self, *, for_a_rather_long_time: Documented, and_in_a_rather_remote_place: str = "there") -> None:
        """Look at it."""


def test_a_docstring_becomes_lists_and_code() -> None:
    text = write_reference.in_markdown(write_reference.docstring(Documented))
    assert text.splitlines() == [
        "Do a thing with `x < y`.",
        "",
        "**Args**",
        "",
        "- `first`: What it is, in two lines.",
        "- `second`: How long, in seconds.",
        "",
        "**Raises**",
        "",
        "- `ValueError`: It is not a thing.",
        "",
        "**Example**",
        "",
        "```python",
        "documented = Documented(1)",
        "```",
    ]
    assert write_reference.in_markdown(write_reference.docstring(Documented.wait)) == (
        "Wait for `Documented`, not for \\<it>."
    )


class Base:
    def stop(self) -> None:
        """Stop it."""


class Derived(Base):
    """Does a thing, *at once*, **or not**.

    * one
    * two

    Attributes:
        first: What it is,
            in two lines.

            * a point
    """

    def wait(self, first: int) -> None:
        """Wait.

        Args:
            first: How long,
                in seconds.
        """


def test_lists_and_emphasis_of_a_docstring_are_those_of_markdown() -> None:
    text = write_reference.in_markdown(write_reference.docstring(Derived))
    assert text.startswith("Does a thing, *at once*, **or not**.\n\n* one\n* two\n")
    assert text.endswith("**Attributes**\n\n- `first`: What it is,\n  in two lines.\n\n  * a point")


def test_a_section_with_one_entry_is_a_list_too() -> None:
    text = write_reference.in_markdown(write_reference.docstring(Derived.wait))
    assert text == "Wait.\n\n**Args**\n\n- `first`: How long, in seconds."


def test_what_a_class_inherits_from_a_class_without_an_entry_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_reference, "is_ours", lambda cls: cls is not object)
    assert [name for name, _ in write_reference.members(Derived)] == ["wait", "stop"]
    monkeypatch.setattr(write_reference, "public_classes", lambda: {Base})
    assert [name for name, _ in write_reference.members(Derived)] == ["wait"]


def test_a_client_of_blocking_sockets_has_the_descriptions_of_the_others() -> None:
    """Its methods are written out a second time, since they are not coroutines."""
    for name, value in vars(smtpcore.stream.Client).items():
        if not name.startswith("_") and callable(value):
            ours = write_reference.docstring(vars(smtpcore.sync.Client)[name]).splitlines()
            assert ours[0] == write_reference.docstring(value).splitlines()[0], name


def test_a_signature_is_shown_as_it_is_written() -> None:
    assert write_reference.signature(Documented) == ("(first: int, *, second: float = 1.0) -> None")
    assert write_reference.signature(Documented.wait) == "(first: int | None = None, /, *rest: str) -> bool"
    assert write_reference.signature(Documented.look).splitlines() == [
        "(",
        "    *,",
        "    for_a_rather_long_time: Documented,",
        "    and_in_a_rather_remote_place: str = 'there',",
        ") -> None",
    ]
    assert write_reference.annotation("_net.streams.Stream | None") == "Stream | None"


def test_the_page_of_extensions_is_current() -> None:
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


def test_a_field_without_an_entry_in_the_docstring_is_noticed() -> None:
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


def test_a_limit_is_listed_with_its_default_and_its_whole_reason() -> None:
    assert (
        "| `command_line` | 512 | A command line with its CRLF (RFC 5321 4.5.3.1.4). MAIL and RCPT lines may be"
        " longer by what each offered extension adds. |"
    ) in list_limits.section(Limits)


def test_the_architecture_page_names_the_floors_of_test_layout() -> None:
    told = re.findall(r"^\d+\. (.+)$", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(told) == len(FLOORS)
    for line, floor in zip(told, FLOORS, strict=True):
        named = {name.replace("smtpcore", "__init__") for name in re.findall(r"`([\w.]+)`", line)}
        there = {name for name in floor.split() if list(PACKAGE.glob(f"{name.replace('.', '/')}*"))}
        assert named == there
