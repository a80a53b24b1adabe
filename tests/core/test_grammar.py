"""The expressions of the fast path, which nothing checks again, and those that are one rule of the ABNF."""

from __future__ import annotations

import itertools
import re

import pytest

from smtpcore._core.grammar import (
    CONTROL,
    EHLO_KEYWORD,
    EHLO_PARAMETER,
    HELLO_REST,
    IS_DOMAIN,
    MAIL_REST,
    MECHANISM,
    RCPT_REST,
    XTEXT,
    is_ipv6,
)

# What stands behind the verb, and the groups: mailbox and parameters.
COMMON = [
    ("<user@example.org>", ("user@example.org", "")),
    ("<a.b+c@x-1.y>", ("a.b+c@x-1.y", "")),
    ('<"a b"@example.org>', ('"a b"@example.org', "")),
    ('<"a>\\" x@y"@z> P=1', ('"a>\\" x@y"@z', " P=1")),
    ("<a@b> BODY=8BITMIME SMTPUTF8 X=<y>", ("a@b", " BODY=8BITMIME SMTPUTF8 X=<y>")),
]
# What the fast path must leave alone, for it is wrong or rare.
NOT_COMMON = [
    "user@example.org",
    "<user@example.org",
    "<user@example.org>x",
    "<user@example.org>  A",
    "<user@example.org> ",
    "<user@example.org> A=",
    "<user@example.org> A=b=c",
    "<user@example.org> -A",
    "< user@example.org>",
    "<.user@example.org>",
    "<user@example.org.>",
    "<user@-example.org>",
    "<user@exa_mple.org>",
    "<us\x00er@example.org>",
    "<us\xfcer@example.org>",
    '<"us\xfcer"@example.org>',
    '<"us\ner"@example.org>',
    '<"user@example.org>',
    "<user@example.org> A=\x7f",
    "<user@[192.0.2.1]>",
    "<@a:user@example.org>",
    "<Postmaster>",
    "<user@example.org>\n",
    "",
]


@pytest.mark.parametrize(("text", "groups"), COMMON)
def test_the_fast_path_takes_a_common_path_apart_where_it_stands(text: str, groups: tuple[str, str]) -> None:
    before = "NOOP\r\n"
    mail = MAIL_REST.match(f"{before}MAIL from:{text}\r\nNEXT", len(before) + 4)
    rcpt = RCPT_REST.match(f"{before}RCPT tO:{text}\r\nNEXT", len(before) + 4)
    assert mail is not None and rcpt is not None
    assert mail.groups() == rcpt.groups() == groups
    assert mail.string[mail.end() :] == rcpt.string[rcpt.end() :] == "NEXT"


def test_the_fast_path_takes_the_null_reverse_path_and_no_null_forward_path() -> None:
    match = MAIL_REST.match(" FROM:<> SIZE=5\r\n")
    assert match is not None and match.groups() == (None, " SIZE=5")
    assert RCPT_REST.match(" TO:<>\r\n") is None


@pytest.mark.parametrize("text", NOT_COMMON)
def test_the_fast_path_takes_nothing_else(text: str) -> None:
    assert MAIL_REST.match(f" FROM:{text}\r\n") is None
    assert RCPT_REST.match(f" TO:{text}\r\n") is None


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\r\n", "\n\r\n"])
def test_the_fast_path_ends_at_crlf_only(end: str) -> None:
    assert MAIL_REST.match(f" FROM:<a@b>{end}") is None
    assert RCPT_REST.match(f" TO:<a@b>{end}") is None
    assert HELLO_REST.match(f" a.b{end}") is None


def test_the_fast_path_of_hello_takes_a_domain() -> None:
    match = HELLO_REST.match("EHLO mail.example.org\r\nMAIL", 4)
    assert match is not None and match[1] == "mail.example.org"
    for text in ("[192.0.2.1]", "a_b", "a b", "-a", "a.", "", "b\xfccher"):
        assert HELLO_REST.match(f" {text}\r\n") is None


@pytest.mark.parametrize(
    ("expression", "good", "bad"),
    [
        (EHLO_KEYWORD, ["8BITMIME", "X-A", "a"], ["", "-A", "A_B", "A=", "A B", "\xe4"]),
        (EHLO_PARAMETER, ["!", "~", "a=b"], ["", " ", "a b", "\x7f", "\xe4"]),
        (MECHANISM, ["PLAIN", "SCRAM-SHA-256", "X_1", "A" * 20], ["", "plain", "A B", "A" * 21]),
        (XTEXT, ["", "abc", "a+2Bb", "+3d"], ["+", "+2", "+2G", "=", "a b", "\x7f", "\xe4"]),
    ],
)
def test_expressions_match_their_words_and_no_others(
    expression: re.Pattern[str], good: list[str], bad: list[str]
) -> None:
    assert all(expression.fullmatch(text) for text in good)
    assert not any(expression.fullmatch(text) for text in bad)


def test_a_control_is_anything_below_space_but_the_tab_and_delete() -> None:
    controls = [chr(code) for code in range(256) if CONTROL.match(chr(code))]
    assert controls == [*map(chr, range(9)), *map(chr, range(10, 32)), "\x7f"]


@pytest.mark.parametrize(
    "text", ["::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4::5:6", "::1.2.3.4", "1:2:3:4::1.2.3.4"]
)
def test_is_ipv6_accepts_addresses(text: str) -> None:
    assert is_ipv6(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", ":::", "1", "1:", ":1", "1::2::3", "1:::2", "g::", "1.2.3.4", "1.2.3.4::", "::1.2.3.4:5"],
)
def test_is_ipv6_refuses_malformed_addresses(text: str) -> None:
    assert not is_ipv6(text)


def test_a_domain_is_sub_domains_and_dots() -> None:
    """Every short text against the rules of RFC 5321 4.1.2, read literally."""
    sub_domain = re.compile(r"[a-z](?:[a-z-]*[a-z])?")
    for length in range(9):
        for characters in itertools.product("a-.", repeat=length):
            text = "".join(characters)
            expected = all(sub_domain.fullmatch(label) for label in text.split("."))
            assert (IS_DOMAIN.fullmatch(text) is not None) == expected, text
