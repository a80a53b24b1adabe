"""The octets of a whole message: which line breaks a rule, and how the error names it."""

from __future__ import annotations

import pytest

from smtpcore import LocalProtocolError
from smtpcore.message._octets import Form, check_rendered, crlf, find_problem, is_utf8, longest_line

SEVEN_BIT = Form(eight_bit=False, utf8=False)
EIGHT_BIT = Form(eight_bit=True, utf8=False)


@pytest.mark.parametrize("before, line", [(b"", 1), (b"\r\n", 2), (b"A: b\r\n\r\n", 3)])
@pytest.mark.parametrize(
    "octets, form, problem",
    [
        (b"x" * 999, EIGHT_BIT, "is longer than 998 octets (RFC 5321 4.5.3.1.6)"),
        (b"a\0", EIGHT_BIT, "contains a NUL"),
        (b"a\xff", SEVEN_BIT, "has octets above 127 and the server does not offer 8BITMIME"),
    ],
)
def test_the_first_line_that_breaks_a_rule_is_named(
    before: bytes, line: int, octets: bytes, form: Form, problem: str
) -> None:
    content = before + octets + b"\r\n" + octets
    assert find_problem(content, form) == (line, problem)
    with pytest.raises(LocalProtocolError) as caught:
        check_rendered(content, form)
    assert str(caught.value).startswith(f"line {line} of the content {problem}; ")


def test_what_a_server_accepts_has_no_problem() -> None:
    check_rendered(b"A: b\r\n\r\n\xff\r\n" + b"x" * 998 + b"\r\n", EIGHT_BIT)
    check_rendered(b"A: b\r\n\r\n\x7f\r\n", SEVEN_BIT)


def test_octets_are_described() -> None:
    assert crlf(b"a\nb\rc\r\n") == b"a\r\nb\r\nc\r\n"
    assert longest_line(b"a\r\nbcd\r\n") == 3
    assert is_utf8("\u00e4".encode())
    assert not is_utf8(b"\xe4")
