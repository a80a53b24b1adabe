"""Mailboxes and paths, for all of them: parsing and rendering are inverse, and nothing else can come out."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcore._core.addresses import (
    ForwardPath,
    Mailbox,
    ReversePath,
    is_address_literal,
    is_domain,
    is_hello_argument,
    parse_forward_path,
    parse_reverse_path,
    proven,
)
from smtpcore._core.errors import LocalProtocolError

ATEXT = "abcXYZ019!#$%&'*+-/=?^_`{|}~"
NON_ASCII = "\xa0\u00e4\u0301\u65e5\uff20\U0001f600"

# What a local-part may mean: anything printable.
meanings = st.one_of(
    st.text(st.sampled_from(ATEXT + "."), max_size=20),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.text(st.sampled_from(ATEXT + NON_ASCII + ' ."\\@<>'), max_size=16),
)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True)
domains = st.one_of(
    st.lists(labels, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip.exploded}]"),
    st.sampled_from(["b\u00fccher.example", "\u65e5\u672c", "x.\u00fc"]),
)
mailboxes = st.builds(Mailbox, meanings, domains)


@st.composite
def written_local_parts(draw: st.DrawFn) -> str:
    """A local-part with or without quotes and needless backslashes."""
    meaning = draw(meanings)
    if draw(st.booleans()):
        return str(Mailbox(meaning, "x")).removesuffix("@x")
    quoted = ""
    for character in meaning:
        must = character in '"\\'
        may = character.isascii() and draw(st.booleans())
        quoted += "\\" + character if must or may else character
    return f'"{quoted}"'


# Text that comes close to being a path.
near_misses = st.text(st.sampled_from('ab1.@<>"\\:,[]-_ \t\r\n\0\x7f\x85\u00e4\ud800IPv6'), max_size=24)


@pytest.mark.req("ADR-21")
@given(mailboxes)
def test_parsing_what_was_written_gives_the_same_mailbox(mailbox: Mailbox) -> None:
    again = Mailbox.parse(str(mailbox))
    assert again == mailbox and hash(again) == hash(mailbox)
    assert (again.local_part, again.domain, str(again)) == (mailbox.local_part, mailbox.domain, str(mailbox))


@pytest.mark.req("ADR-18", "ADR-21")
@given(written_local_parts(), domains)
def test_writing_what_was_parsed_gives_the_same_text(local_part: str, domain: str) -> None:
    text = f"{local_part}@{domain}"
    assert str(Mailbox.parse(text)) == text
    assert str(ReversePath(text)) == str(ForwardPath(f"<{text}>")) == text


@pytest.mark.req("RCP-21")
@given(written_local_parts(), domains)
def test_a_mailbox_is_the_same_as_the_one_made_of_its_parts(local_part: str, domain: str) -> None:
    mailbox = Mailbox.parse(f"{local_part}@{domain}")
    assert mailbox.is_same(Mailbox(mailbox.local_part, mailbox.domain.swapcase()))


@pytest.mark.req("MAI-19")
@given(meanings, domains)
@example('""', "example.org")
def test_quoting_is_minimal(meaning: str, domain: str) -> None:
    local_part = str(Mailbox(meaning, domain)).removesuffix(f"@{domain}")
    if local_part.startswith('"'):
        with contextlib.suppress(LocalProtocolError):  # or the meaning is itself a quoted string
            assert Mailbox.parse(f"{meaning}@{domain}").local_part != meaning
        # A backslash stands where one must.
        assert re.sub(r'\\(["\\])', "", local_part[1:-1]).count("\\") == 0
    else:
        assert local_part == meaning


@given(
    st.one_of(st.text(), near_misses, near_misses.map(lambda text: f"<{text}>")), st.booleans(), st.booleans()
)
def test_any_text_is_a_path_or_a_local_protocol_error(text: str, smtputf8: bool, lenient: bool) -> None:
    with contextlib.suppress(LocalProtocolError):
        path: Mailbox = proven(ReversePath, *parse_reverse_path(text, smtputf8=smtputf8, lenient=lenient))
        assert text.endswith(f"{path}{'.' if lenient and text.endswith('.>') else ''}>")
    with contextlib.suppress(LocalProtocolError):
        path = proven(ForwardPath, *parse_forward_path(text, smtputf8=smtputf8, lenient=lenient))
        assert str(path) and (smtputf8 or path.is_ascii)
    for kind in (ReversePath, ForwardPath):
        with contextlib.suppress(LocalProtocolError):
            assert kind(text) == kind(str(kind(text)))
    with contextlib.suppress(LocalProtocolError):
        assert str(Mailbox.parse(text, smtputf8=smtputf8)) == text


@given(st.text(), st.text())
def test_any_parts_are_a_mailbox_or_a_local_protocol_error(local_part: str, domain: str) -> None:
    with contextlib.suppress(LocalProtocolError):
        mailbox = Mailbox(local_part, domain)
        assert (mailbox.local_part, mailbox.domain) == (local_part, domain)


@given(st.one_of(st.text(), near_misses, near_misses.map("[192.0.2.1] ".__add__)))
def test_the_predicates_take_any_text(text: str) -> None:
    if is_domain(text) or is_address_literal(text):
        assert is_hello_argument(text) and is_hello_argument(text, lenient=True)
    if is_hello_argument(text, lenient=True):
        assert text.isprintable() and 0 < len(text.encode()) <= 255


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_has_a_literal(ip: object) -> None:
    assert is_address_literal(f"[IPv6:{ip}]")
