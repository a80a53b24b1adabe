"""The octets of a message, and whether the server accepts them."""

from __future__ import annotations

import re
from typing import NamedTuple

from .._core.content import CONTENT_LINE_LENGTH, normalize_line_endings
from .._core.errors import LocalProtocolError

_EIGHT_BIT = re.compile(rb"[\x80-\xff]")


class NeedsSmtpUtf8(LocalProtocolError):
    """The message cannot be written in ASCII."""


class Form(NamedTuple):
    """What the server accepts."""

    eight_bit: bool
    utf8: bool


def crlf(octets: bytes) -> bytes:
    """Return octets with all line ends as CRLF."""
    return normalize_line_endings(octets)


def longest_line(octets: bytes) -> int:
    """Return the length of the longest line, in octets without CRLF."""
    return max(map(len, octets.split(b"\r\n")))


def is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def find_problem(octets: bytes, form: Form) -> tuple[int, str] | None:
    """Return the first line that breaks a rule for the whole content, and how it breaks it."""
    if longest_line(octets) > CONTENT_LINE_LENGTH:
        lengths = map(len, octets.split(b"\r\n"))
        line = next(number for number, length in enumerate(lengths, 1) if length > CONTENT_LINE_LENGTH)
        return line, f"is longer than {CONTENT_LINE_LENGTH} octets (RFC 5321 4.5.3.1.6)"
    if b"\0" in octets:
        return octets.count(b"\r\n", 0, octets.index(b"\0")) + 1, "contains a NUL"
    if not form.eight_bit and (eight_bit := _EIGHT_BIT.search(octets)):
        line = octets.count(b"\r\n", 0, eight_bit.start()) + 1
        return line, "has octets above 127 and the server does not offer 8BITMIME"
    return None


def check_rendered(content: bytes, form: Form) -> None:
    """Raise if the whole content breaks a rule."""
    found = find_problem(content, form)
    if found is not None:
        line, problem = found
        raise LocalProtocolError(
            f"line {line} of the content {problem}; it cannot be encoded there: it is in a"
            " signed part, in a header, or in a part whose type says that it has parts"
        )
