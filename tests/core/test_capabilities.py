"""What is offered: the keywords of an EHLO reply, read and written, and what they make legal."""

from __future__ import annotations

import pickle

import pytest

from smtpcore._core.capabilities import NO_CAPABILITIES, Capabilities
from smtpcore._core.config import Extension
from smtpcore._core.rules import rules_for

from ..helpers.standard import RULES


def offered(*lines: str) -> Capabilities:
    return Capabilities.parse(lines, RULES.readers)


# --- Reading a reply to EHLO: its lines behind the first ---


@pytest.mark.req("FRM-07", "EHL-11")
def test_keywords_have_any_case_and_parameters_stay_as_they_are() -> None:
    capabilities = offered("piPeLining", "aUtH Plain LOGIN", "Size 00100")
    for keyword in ("PIPELINING", "pipelining", "Auth", "SIZE"):
        assert keyword in capabilities
    assert capabilities["auth"] == ("Plain", "LOGIN")
    assert capabilities.mechanisms == ("PLAIN", "LOGIN")
    assert capabilities["SIZE"] == ("00100",)
    assert list(capabilities) == ["PIPELINING", "AUTH", "SIZE"]


@pytest.mark.req("EHL-12")
def test_unknown_keywords_are_kept() -> None:
    capabilities = offered("X-FOO bar baz=1", "BRANDNEW", "8BITMIME")
    assert dict(capabilities) == {"X-FOO": ("bar", "baz=1"), "BRANDNEW": (), "8BITMIME": ()}


@pytest.mark.req("EHL-12", "EHL-14")
def test_a_malformed_keyword_is_left_out() -> None:
    lines = ["BRANDNEW=1", "", "   ", "-X", "A_B", "\xe4", "\x00", "*", "SIZE=5", "PIPELINING"]
    assert dict(offered(*lines)) == {"PIPELINING": ()}


@pytest.mark.req("EHL-14")
def test_all_lines_of_auth_add_up() -> None:
    capabilities = offered("AUTH=LOGIN", "AUTH PLAIN", "auth=cram-md5 Plain", "AUTH CRAM-MD5", "AUTH=")
    assert capabilities.mechanisms == ("LOGIN", "PLAIN", "CRAM-MD5")
    assert offered("AUTH=").mechanisms == offered("AUTH").mechanisms == ()
    assert offered("AUTH= PLAIN").mechanisms == ("PLAIN",)
    assert NO_CAPABILITIES.mechanisms == ()


def test_white_space_between_the_words_does_not_matter() -> None:
    assert dict(offered(" SIZE\t 100  ", "AUTH   PLAIN\tLOGIN ")) == {
        "SIZE": ("100",),
        "AUTH": ("PLAIN", "LOGIN"),
    }


@pytest.mark.req("EHL-12", "RPL-10")
def test_a_parameter_that_is_not_printable_ascii_is_written_out_once() -> None:
    capabilities = offered(
        "SIZE 1000\x1b[2J", "AUTH PL\x07AIN \x9b31m\u202eNIALP \xe4 \U000e0041", "X-Y \x1c\x85\xa0\u2028"
    )
    assert dict(capabilities) == {
        "SIZE": ("1000\\x1b[2J",),
        "AUTH": ("PL\\x07AIN", "\\x9b31m\\u202eNIALP", "\\xe4", "\\U000e0041"),
        "X-Y": ("\\x1c\\x85\\xa0\\u2028",),
    }
    for text in (repr(capabilities), *capabilities.lines(), *capabilities.mechanisms):
        assert text.isascii() and text.isprintable()
    assert offered(*capabilities.lines()) == capabilities


@pytest.mark.req("UTF-02")
def test_parameters_of_keywords_that_have_none_change_nothing() -> None:
    capabilities = offered("SMTPUTF8 FOO", "8BITMIME x", "PIPELINING y")
    assert (
        set(RULES.offered_parameters("MAIL", capabilities)) == {"BODY", "SMTPUTF8"}
        and "PIPELINING" in capabilities
    )


@pytest.mark.req("SIZ-02")
def test_size_is_bare_or_zero_or_a_limit() -> None:
    bare, no_limit, limit = offered("SIZE"), offered("SIZE 0"), offered("SIZE 1000")
    assert (bare.size, no_limit.size, limit.size) == (None, 0, 1000)
    assert offered("SIZE 99999999999999999999").size == 10**20 - 1
    assert offered("PIPELINING").size is None


@pytest.mark.req("SIZ-20")
@pytest.mark.parametrize("text", ["abc", "-1", "+1", "1k", "1_000", "0x10", "9" * 21, "\xb2", "\u0663"])
def test_a_malformed_size_counts_as_bare(text: str) -> None:
    capabilities = offered(f"SIZE {text}")
    assert "SIZE" in capabilities and capabilities.size is None
    assert "SIZE" in RULES.offered_parameters("MAIL", capabilities)


@pytest.mark.req("SIZ-02")
def test_a_message_is_too_big_only_for_a_number_that_was_given() -> None:
    assert offered("SIZE 1000").exceeds_size(1001)
    assert not offered("SIZE 1000").exceeds_size(1000)
    for lines in (["SIZE 0"], ["SIZE"], ["SIZE abc"], []):
        assert not offered(*lines).exceeds_size(10**15)


# --- Values ---


@pytest.mark.req("EXT-01")
def test_the_value_of_a_keyword_is_what_its_extension_reads() -> None:
    lines = ["SIZE 5", "X-LIST a b", "PIPELINING"]
    capabilities = Capabilities.parse(lines, {"SIZE": len, "X-LIST": "+".join, "X-ABSENT": len})
    assert [capabilities.value(name) for name in ("size", "X-LIST", "PIPELINING", "X-ABSENT")] == [
        1,
        "a+b",
        None,
        None,
    ]


@pytest.mark.req("EXT-01")
def test_the_value_of_a_keyword_is_its_arguments_if_its_extension_reads_none() -> None:
    readers = rules_for((Extension("X-LIST"),)).readers
    assert Capabilities.parse(["X-LIST a B"], readers).value("X-LIST") == ("a", "B")
    assert Capabilities.parse(["X-LIST"], readers).value("X-LIST") == ()


# --- The mapping ---


def test_capabilities_are_a_mapping() -> None:
    capabilities = Capabilities([("size", ("5",)), ("X-FOO", ())])
    assert len(capabilities) == 2 and len(NO_CAPABILITIES) == 0
    assert capabilities.get("x-foo") == () and capabilities.get("HELP") is None
    assert 5 not in capabilities
    with pytest.raises(KeyError):
        capabilities["HELP"]
    assert capabilities == offered("SIZE 5", "x-foo") and capabilities != NO_CAPABILITIES
    assert not NO_CAPABILITIES


def test_capabilities_that_were_read_are_written_the_same_way() -> None:
    lines = ["PIPELINING", "SIZE 1000", "AUTH PLAIN LOGIN"]
    assert offered(*lines).lines() == lines
    assert repr(offered(*lines)) == "<Capabilities: PIPELINING, SIZE 1000, AUTH PLAIN LOGIN>"
    assert NO_CAPABILITIES.lines() == []
    assert repr(NO_CAPABILITIES) == "<Capabilities: none>"


def test_capabilities_can_be_pickled() -> None:
    offered = Capabilities([("SIZE", ("1000",)), ("PIPELINING", ())])
    assert pickle.loads(pickle.dumps(offered)) == offered
