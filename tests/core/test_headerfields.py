"""Header fields: where a line is folded, and where the header ends."""

from __future__ import annotations

import pytest

from smtpcore._core.headerfields import END_OF_HEADER, fold


@pytest.mark.parametrize(
    "length, folded",
    [(70, b"Subject: %b\r\n" % (b"x" * 68)), (71, b"Subject: %b\r\n" % (b"x" * 69))],
)
def test_a_single_token_stays_on_the_line_of_the_name(length: int, folded: bytes) -> None:
    assert fold("Subject", [" " + "x" * (length - 2)]) == folded


@pytest.mark.parametrize("spare", [0, 1])
def test_a_line_has_76_octets_at_most_and_is_folded_before_white_space(spare: int) -> None:
    first, second = " " + "a" * 50, " " + "b" * (76 - len("X:") - 51 - 1 + spare)
    between = b"\r\n" if spare else b""
    assert fold("X", [first, second, " c"]) == b"X:%b%b%b%b c\r\n" % (
        first.encode(),
        between,
        second.encode(),
        b"" if spare else b"\r\n",
    )
    assert max(map(len, fold("X", [first, second]).split(b"\r\n"))) <= 78


def test_a_field_without_tokens_is_its_name() -> None:
    assert fold("X", []) == b"X:\r\n"


def test_a_token_may_be_utf8() -> None:
    assert fold("X", [" ü"]) == b"X: \xc3\xbc\r\n"


@pytest.mark.parametrize("header", [b"A: b\r\n\r\nbody", b"A: b\n\nbody"])
def test_a_header_ends_at_an_empty_line(header: bytes) -> None:
    end = END_OF_HEADER.search(header)
    assert end is not None
    assert header[end.end() :] == b"body"
    assert END_OF_HEADER.search(b"A: b\r\n \r\nC: d\r\n") is None
