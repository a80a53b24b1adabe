"""The parameters of MAIL and RCPT: what is read, what is refused and with which reply, and what is written."""

from __future__ import annotations

from typing import Literal

import pytest

from smtpcore._core.addresses import ReversePath
from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.parameters import (
    NO_PARAMETERS,
    Parameter,
    Parameters,
    ParameterValue,
    check_parameters,
    decode_xtext,
    encode_xtext,
    format_parameters,
    parse_parameters,
)
from smtpcore._core.replies import Refused, Reply

from ..helpers.standard import RULES

MAIL_PARAMETERS = RULES.parameters["MAIL"]


def parse(text: str, unknown: Literal["reject", "ignore", "show"] = "reject") -> Parameters:
    return parse_parameters(text, MAIL_PARAMETERS, unknown)


def refused(text: str) -> Reply:
    with pytest.raises(Refused) as caught:
        parse(text)
    return caught.value.reply


def test_each_row_stands_under_its_keyword_and_command() -> None:
    for command, rows in RULES.parameters.items():
        for keyword, row in rows.items():
            assert row.keyword == keyword == keyword.upper()
            assert row.command == command


# --- The list ---


@pytest.mark.parametrize("text", ["", " ", "   "])
def test_no_parameters_are_one_shared_empty_mapping(text: str) -> None:
    assert parse(text) is NO_PARAMETERS
    with pytest.raises(TypeError):
        NO_PARAMETERS["SIZE"] = 1


@pytest.mark.parametrize(
    "text, parameters",
    [
        (" SIZE=1", {"SIZE": 1}),
        (" BODY=8BITMIME SIZE=1", {"BODY": "8BITMIME", "SIZE": 1}),
        (" SIZE=1 BODY=7BIT", {"SIZE": 1, "BODY": "7BIT"}),
        ("  SIZE=1   BODY=7BIT  ", {"SIZE": 1, "BODY": "7BIT"}),
        (" SMTPUTF8 BODY=7BIT", {"SMTPUTF8": True, "BODY": "7BIT"}),
        (" BODY=8BITMIME SMTPUTF8", {"BODY": "8BITMIME", "SMTPUTF8": True}),
        (" AUTH=<> SIZE=5", {"AUTH": ReversePath(""), "SIZE": 5}),
    ],
)
def test_parameters_come_in_any_order(text: str, parameters: Parameters) -> None:
    assert parse(text) == parameters


@pytest.mark.req("FRM-07")
def test_keywords_and_keyword_values_have_any_case() -> None:
    assert parse(" size=1 Body=8bitMime sMTPutf8 auth=<>") == {
        "SIZE": 1,
        "BODY": "8BITMIME",
        "SMTPUTF8": True,
        "AUTH": ReversePath(""),
    }


@pytest.mark.req("MAI-14")
@pytest.mark.parametrize(
    "text",
    [
        *(
            "=1",
            "SIZE=",
            "SIZE==1",
            "SIZE=1=2",
            "SI_ZE=1",
            "-SIZE=1",
            "SIZE= 1",
            "SIZE =1",
            "(comment)",
            "A:1",
        ),
        *("SIZE=1\tBODY=7BIT", "\tSIZE=1", "SIZE=1\x0bBODY=7BIT", "SIZE=1\xa0BODY=7BIT", "\u3000SIZE=1"),
        *("SMTPUTF8\u2003BODY=7BIT", "\x01=1", "SIZE=\x7f", "SIZE=1\x85", "X=\xe4", "X\xe4=1", "SIZE=1\r\nA"),
    ],
)
def test_malformed_parameters_are_501(text: str) -> None:
    reply = refused(f" {text}")
    assert (reply.code, str(reply.status)) == (501, "5.5.4")


def test_a_value_may_hold_any_printable_octet_but_the_equals_sign() -> None:
    every = "".join(chr(code) for code in range(33, 127) if chr(code) != "=")
    with pytest.raises(Refused, match="X is not supported"):
        parse(f" X={every}")
    for code in (*range(32), *range(127, 256), ord("=")):
        with pytest.raises(Refused, match="malformed"):
            parse(f" SMTPUTF8 X=a{chr(code)}b")


@pytest.mark.req("MAI-12")
@pytest.mark.parametrize("text", ["FOO", "FOO=1", "FOO=1 FOO=2", "RET=FULL", "SIZE=1 FOO", "8BITMIME"])
def test_an_unknown_parameter_is_555_by_its_name(text: str) -> None:
    reply = refused(f" {text}")
    assert (reply.code, str(reply.status)) == (555, "5.5.4")
    assert any(name in reply.text for name in ("FOO", "RET", "8BITMIME"))


@pytest.mark.req("MAI-12")
def test_a_parameter_that_is_not_offered_is_as_unknown_as_others() -> None:
    with pytest.raises(Refused) as caught:
        parse_parameters(" BODY=7BIT", {"SIZE": MAIL_PARAMETERS["SIZE"]})
    assert caught.value.reply.code == 555


def test_unknown_parameters_can_be_ignored_but_malformed_ones_cannot() -> None:
    assert parse(" FOO=1 SIZE=2 FOO", "ignore") == {"SIZE": 2}
    assert parse(" FOO", "ignore") is NO_PARAMETERS
    for text in (" FOO=", " FOO SIZE=x", " FOO SIZE=1 SIZE=1"):
        with pytest.raises(Refused) as caught:
            parse(text, "ignore")
        assert caught.value.reply.code == 501


@pytest.mark.req("EXT-05")
def test_unknown_parameters_can_be_shown_as_their_text() -> None:
    assert parse(" FOO=Bar SIZE=2 baz", "show") == {"FOO": "Bar", "SIZE": 2, "BAZ": True}
    for text in (" FOO=", " FOO=1 foo=2", " FOO SIZE=x"):
        with pytest.raises(Refused) as caught:
            parse(text, "show")
        assert caught.value.reply.code == 501
    assert format_parameters(parse(" FOO=Bar SIZE=2 BAZ", "show"), MAIL_PARAMETERS) == " FOO=Bar SIZE=2 BAZ"


@pytest.mark.req("SIZ-04", "EIG-02")
@pytest.mark.parametrize(
    "text",
    ["SIZE=1 SIZE=2", "SIZE=1 SIZE=1", "SIZE=1 size=1", "BODY=7BIT BODY=8BITMIME", "SMTPUTF8 SMTPUTF8"],
)
def test_a_repeated_parameter_is_refused(text: str) -> None:
    reply = refused(f" {text}")
    assert reply.code == 501 and "duplicate" in reply.text


def test_a_reply_quotes_a_long_parameter_only_in_part() -> None:
    for text in (f" {'X' * 5000}", f" {'X' * 5000}=", f" SIZE={'9' * 5000}"):
        assert len(refused(text).encode()) <= 512


# --- SIZE: RFC 1870 ---


@pytest.mark.req("SIZ-03")
def test_size_is_one_to_twenty_digits() -> None:
    for text, size in (("0", 0), ("1", 1), ("007", 7), ("9" * 20, 10**20 - 1), ("0" * 20, 0)):
        assert parse(f" SIZE={text}") == {"SIZE": size}
    for text in ("=", "=-1", "=+1", "=1k", "=1K", "=1.5", "=1e3", "=0x1", "=1_0", "=abc", f"={'9' * 21}", ""):
        assert refused(f" SIZE{text}").code == 501


@pytest.mark.req("SIZ-21")
def test_a_size_of_zero_may_be_declared() -> None:
    assert parse(" SIZE=0") == {"SIZE": 0}


# --- BODY: RFC 6152 ---


@pytest.mark.req("EIG-01")
def test_body_is_7bit_or_8bitmime() -> None:
    for text in ("7BIT", "8BITMIME", "7bit", "8BitMime"):
        assert parse(f" BODY={text}") == {"BODY": text.upper()}
    for text in ("", "=", "=9BIT", "=8BIT", "=7BIT,8BITMIME", "=BINARYMIME", "=7BITS", "=x7BIT"):
        assert refused(f" BODY{text}").code == 501


# --- SMTPUTF8: RFC 6531 3.4 ---


@pytest.mark.req("UTF-04")
def test_smtputf8_has_no_value() -> None:
    assert parse(" SMTPUTF8") == {"SMTPUTF8": True}
    for text in ("SMTPUTF8=", "SMTPUTF8=1", "SMTPUTF8 SMTPUTF8"):
        assert refused(f" {text}").code == 501
    with pytest.raises(Refused) as caught:
        parse_parameters(" SMTPUTF8", {})
    assert caught.value.reply.code == 555


# --- AUTH: RFC 4954 5 ---


@pytest.mark.req("AUT-41")
@pytest.mark.parametrize(
    "text, path",
    [
        ("<>", ""),
        ("a@example.com", "a@example.com"),
        ("e+3Dmc2@example.com", "e=mc2@example.com"),
        ("+22a+20b+22@example.com", '"a b"@example.com'),
        ("a+2Bb@example.com", "a+b@example.com"),
        ("+2B2B@example.com", "+2B@example.com"),
    ],
)
def test_auth_is_the_xtext_of_a_mailbox_or_null(text: str, path: str) -> None:
    assert parse(f" AUTH={text}") == {"AUTH": ReversePath(path)}


@pytest.mark.req("AUT-41")
@pytest.mark.parametrize(
    "text",
    [
        *("", "=", "=+ZZ", "=a+zz@b", "=a+2@b", "=a+", "=nobody", "=+", "=a+20b@c", "=a@b+3E"),
        *("=a@exam=ple.com", "=a+00@b", "=a+0D+0AQUIT@b", "=a+7F@b", "=a+E9@b", "=a+85@b"),
    ],
)
def test_any_other_value_of_auth_is_501(text: str) -> None:
    assert refused(f" AUTH{text}").code == 501


@pytest.mark.req("AUT-42")
def test_xtext_is_read_in_any_case_and_written_in_upper_case() -> None:
    assert parse(" AUTH=e+3dmc2@x.y") == parse(" AUTH=e+3Dmc2@x.y") == {"AUTH": ReversePath("e=mc2@x.y")}
    assert format_parameters({"AUTH": ReversePath("e=mc2@x.y")}, MAIL_PARAMETERS) == " AUTH=e+3Dmc2@x.y"


def test_characters_outside_xchar_are_written_as_two_hex_digits() -> None:
    for code in range(128):
        character = chr(code)
        plain = 33 <= code <= 126 and character not in "+="
        assert encode_xtext(character) == (character if plain else f"+{code:02X}")


def test_xtext_is_read_back_if_it_is_printable() -> None:
    for code in range(32, 127):
        character = chr(code)
        assert decode_xtext(encode_xtext(f"a{character}b")) == f"a{character}b"
        assert decode_xtext(f"+{code:02x}") == character
    for code in (*range(32), *range(127, 256)):
        with pytest.raises(LocalProtocolError, match="printable"):
            decode_xtext(f"a+{code:02X}b")
    for text in ("+", "+2", "+2G", "+G2", "a=b", "a b", "\xe4", "a\n", "a\x00"):
        with pytest.raises(LocalProtocolError, match="not valid xtext"):
            decode_xtext(text)
    assert decode_xtext("") == ""


# --- Writing ---


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({}, ""),
        ({"SIZE": 1}, " SIZE=1"),
        ({"SIZE": 0, "BODY": "8BITMIME"}, " SIZE=0 BODY=8BITMIME"),
        ({"BODY": "7BIT"}, " BODY=7BIT"),
        ({"SMTPUTF8": True, "SIZE": 10**20 - 1}, f" SMTPUTF8 SIZE={10**20 - 1}"),
        ({"AUTH": ReversePath("")}, " AUTH=<>"),
        ({"AUTH": ReversePath('"a b"@c.example')}, ' AUTH="a+20b"@c.example'),
    ],
)
def test_parameters_are_written_with_a_space_before_each(parameters: Parameters, text: str) -> None:
    assert format_parameters(parameters, MAIL_PARAMETERS) == text
    assert parse(text) == {key: "7BIT" if value == "7bit" else value for key, value in parameters.items()}


@pytest.mark.req("MAI-20")
@pytest.mark.parametrize(
    "keyword, value",
    [
        *(("SIZE", value) for value in (-1, 10**20, True, "1", "1\r\nDATA", ReversePath(""))),
        *(("BODY", value) for value in ("", "8BIT", "8bitmime", "7BIT SIZE=1", "7BIT\r\nDATA", True, 7)),
        *(("SMTPUTF8", value) for value in ("", "1", 1, False)),
        *(("AUTH", value) for value in ("<>", "a@b.example", True, ReversePath("j\xf6rg@b.example"))),
        *(("AUTH", ReversePath(value)) for value in ("\u65e5@b.example", "a@b\xfccher.example")),
        *((keyword, True) for keyword in ("", "SIZE=1", "SMTPUTF8\r\nDATA")),
        *(("FOO", value) for value in (1, "a b", "a=b", "", "\r\nDATA", False, None)),
    ],
)
def test_values_that_cannot_be_written_are_refused(keyword: str, value: ParameterValue) -> None:
    with pytest.raises(LocalProtocolError):
        format_parameters({keyword: value}, MAIL_PARAMETERS)


# --- What a command checks when it is constructed ---


@pytest.mark.parametrize(
    "parameters",
    [
        *({keyword: True} for keyword in ("", "size", "A B", "A=B", "-A", "A_B", "\xc4", "A\r\nB")),
        *({"FOO": value} for value in (None, False, -1, "", "a b", "a=b", "a\r\nb", "\xe4", "\x7f")),
    ],
)
def test_parameters_that_no_extension_could_have_are_refused(parameters: Parameters) -> None:
    with pytest.raises(LocalProtocolError):
        check_parameters(parameters)


def test_well_formed_parameters_of_any_extension_pass() -> None:
    check_parameters({"FOO": True, "BAR": "a", "BAZ": 0, "X-PATH": ReversePath("a@b.example")})


# --- Rows ---


@pytest.mark.req("EXT-03")
def test_two_rows_share_a_parameter_only_by_different_names() -> None:
    body = Parameter.of_names("BODY", "MAIL", "7BIT", "8BITMIME")
    merged = body.merged_with(Parameter.of_names("BODY", "MAIL", "BINARYMIME"))
    assert [merged.parse(text) for text in ("7bit", "8BITMIME", "binarymime")] == [
        "7BIT",
        "8BITMIME",
        "BINARYMIME",
    ]
    for other in (Parameter.of_names("BODY", "MAIL", "8BITMIME"), Parameter.flag("BODY", "MAIL")):
        with pytest.raises(LocalProtocolError, match="two extensions claim"):
            body.merged_with(other)
        with pytest.raises(LocalProtocolError, match="two extensions claim"):
            other.merged_with(body)


@pytest.mark.parametrize("keyword", ["", "size", "A B", "A=", "-A"])
def test_a_row_needs_a_valid_keyword(keyword: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid parameter keyword"):
        Parameter.flag(keyword, "MAIL")
