"""Text of a peer, made fit for a terminal or a log: what is written out, and how."""

from __future__ import annotations

import pytest

from smtpcore._core.printable import printable, visible_ascii


@pytest.mark.parametrize(
    "first, last",
    [
        *[(0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200B)],
        *[(0x200E, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB)],
        *[(0xD800, 0xDFFF), (0xE0000, 0xE007F)],
    ],
)
def test_what_a_terminal_obeys_or_does_not_show_is_written_out(first: int, last: int) -> None:
    for number in (first, last):
        assert printable(f"a{chr(number)}b").isascii()
    for number in {first - 1, last + 1} - {-1}:
        text = f"a{chr(number)}b"
        assert printable(text) == text


def test_text_of_any_script_stays() -> None:
    for text in ["J\xf6rg", "\u65e5\u672c", "\u0646\u200c\u0627", "\U0001f600", "a b", "\xa0"]:
        assert printable(text) == text


@pytest.mark.parametrize(
    "character, written",
    [
        ("\x1b", r"\x1b"),
        ("\xff", r"\xff"),
        ("\u0100", r"\u0100"),
        ("\uffff", r"\uffff"),
        ("\U00010000", r"\U00010000"),
    ],
)
def test_a_character_is_written_out_as_in_python(character: str, written: str) -> None:
    assert visible_ascii(f"a{character}") == f"a{written}"


def test_only_visible_ascii_stays() -> None:
    assert visible_ascii("!~") == "!~"
    assert visible_ascii("a b\x7f") == r"a\x20b\x7f"
