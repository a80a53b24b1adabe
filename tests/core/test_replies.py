"""Replies: the value and its octets, the parser of a client, and the meanings of the codes.

``read()`` is the reader of all tests of the parser: it feeds some pieces, and says which replies came, what
went wrong, and how many octets are left over. The table is read whole, octet by octet, and cut in two at
every place.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from smtpcore._core import replyparser as _replyparser
from smtpcore._core.codes import CODES, SEVERITIES, STATUSES, SUBJECTS
from smtpcore._core.errors import ArgumentTypeError, LocalProtocolError
from smtpcore._core.failures import RemoteProtocolError
from smtpcore._core.limits import Limits
from smtpcore._core.printable import printable
from smtpcore._core.replies import EnhancedStatusCode, Reply, describe
from smtpcore._core.replyparser import ReplyParser

# Reply-line of RFC 5321 4.2, with the SP in front of the text always there; group 1 is the last code.
REPLY_LINE = re.compile(rb"(?:[2-5][0-5][0-9]-[\t -~]*\r\n)*([2-5][0-5][0-9]) [\t -~]*\r\n")
# status-code of RFC 3463 2.
STATUS = re.compile(r"[245](?:\.(?:0|[1-9][0-9]{0,2})){2}")

LIMITS = Limits()


class Outcome(NamedTuple):
    replies: list[Reply]
    error: str | None
    pending: int


def read(
    pieces: Iterable[bytes], *, max_line: int = LIMITS.reply_line, max_lines: int = LIMITS.reply_lines
) -> Outcome:
    parser = ReplyParser(max_line=max_line, max_lines=max_lines)
    replies: list[Reply] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (reply := parser.next_reply()) is not None:
                replies.append(reply)
    except RemoteProtocolError as error:
        return Outcome(replies, str(error), parser.pending)
    return Outcome(replies, None, parser.pending)


def one(wire: bytes) -> Reply:
    outcome = read([wire])
    assert outcome.error is None
    assert outcome.pending == 0
    (reply,) = outcome.replies
    return reply


def octets(wire: bytes) -> list[bytes]:
    return [bytes([octet]) for octet in wire]


def facts(reply: Reply) -> tuple[int, str | None, tuple[str, ...]]:
    return reply.code, None if reply.status is None else str(reply.status), reply.lines


def assert_well_formed(wire: bytes, code: int) -> None:
    """One reply as RFC 5321 4.2 and 4.5.3.1.5 want it."""
    match = REPLY_LINE.fullmatch(wire)
    assert match is not None
    lines = wire.split(b"\r\n")
    assert {line[:3] for line in lines[:-1]} == {str(code).encode()}
    assert all(len(line) + 2 <= 512 for line in lines)


SENDABLE_CODES = [100 * a + 10 * b + c for a in range(2, 6) for b in range(6) for c in range(10)]
codes = st.sampled_from(SENDABLE_CODES)
line_texts = st.text(alphabet=["\t", *map(chr, range(0x20, 0x7F))], max_size=60)
numbers = st.integers(0, 999)


@st.composite
def sendable_replies(draw: st.DrawFn) -> Reply:
    code = draw(codes)
    status = None
    if code // 100 != 3 and draw(st.booleans()):
        status = EnhancedStatusCode(code // 100, draw(numbers), draw(numbers))
    lines = draw(st.lists(line_texts, min_size=1, max_size=4))
    if status is None:  # without a status, text that starts like one would be taken for it
        assume(STATUS.match(lines[0]) is None)
    return Reply(code, status, lines)


# --- EnhancedStatusCode ---------------------------------------------------------------------------------------


@pytest.mark.req("ESC-08")
@pytest.mark.parametrize("text", ["2.0.0", "4.10.999", "5.1.1", "5.999.100"])
def test_status_is_read_and_written(text: str) -> None:
    status = EnhancedStatusCode.parse(text)
    assert str(status) == text
    assert [status.severity, status.subject, status.detail] == [int(part) for part in text.split(".")]
    assert EnhancedStatusCode(status.severity, status.subject, status.detail) == status


@pytest.mark.req("ESC-08")
@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "5.1", "5.1.", "5.1.1.1", "x.1.1", "5.1.\u0661"),  # not three numbers
        *("5.01.1", "5.1.01", "5.00.1", "5.1000.1", "5.1.1000", "5.-1.1"),  # not these numbers
        *("0.0.0", "1.0.0", "3.1.1", "6.1.1", "55.1.1"),  # not this class
        *("5. 1.1", " 5.1.1", "5.1.1 ", "5.1.1\n"),  # not in this form
    ],
)
def test_a_malformed_status_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid enhanced status code"):
        EnhancedStatusCode.parse(text)


@pytest.mark.req("ESC-08")
@pytest.mark.parametrize("parts", [(3, 0, 0), (0, 1, 1), (5, 1000, 0), (5, 0, 1000), (5, -1, 0), (25, 1, 1)])
def test_status_numbers_out_of_range_are_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid enhanced status code"):
        EnhancedStatusCode(*parts)


def test_statuses_compare_by_value() -> None:
    status = EnhancedStatusCode(5, 1, 1)
    assert status == EnhancedStatusCode.parse("5.1.1")
    assert hash(status) == hash(EnhancedStatusCode.parse("5.1.1"))
    assert status != EnhancedStatusCode(5, 1, 10)
    assert status != "5.1.1"
    assert repr(status) == "EnhancedStatusCode(5, 1, 1)"
    match status:
        case EnhancedStatusCode(5, subject, detail):
            assert (subject, detail) == (1, 1)


# --- Reply: the value -------------------------------------------------------------------------------------


@pytest.mark.req("RPL-07", "RPL-29")
@pytest.mark.parametrize(
    "code", [-250, 0, 2, 25, 99, 100, 199, 260, 299, 360, 460, 560, 571, 600, 999, 1250, 2500, "250", "2500"]
)
def test_invalid_reply_codes_are_refused(code: Any) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid reply code"):
        Reply(code)


@pytest.mark.req("RPL-07", "RPL-29")
def test_valid_reply_codes_are_accepted() -> None:
    for code in range(1000):
        if code in SENDABLE_CODES:
            assert Reply(code).encode() == b"%03d \r\n" % code
        else:
            with pytest.raises(LocalProtocolError):
                Reply(code)


def test_a_code_of_an_enumeration_or_a_float_becomes_an_integer() -> None:
    class Code(IntEnum):
        OK = 250

    whole: Any = 250.0
    for code in (Code.OK, whole):
        assert Reply(code).encode() == b"250 \r\n"
        assert repr(Reply(code)) == "Reply(250, None, '')"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((250, None, None), "text is a string, or a sequence with a string for each line, not NoneType None"),
        ((250, None, b"ok"), "text is a string, or a sequence with a string for each line, not bytes b'ok'"),
        ((250, None, ["ok", 7]), "text is a string, or a sequence with a string for each line, not list"),
        ((250, 200, "ok"), "status is an enhanced status code such as '5.1.1', or None, not int 200"),
    ],
)
def test_an_argument_of_another_type_is_a_type_error_that_names_it(arguments: Any, words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        Reply(*arguments)


@pytest.mark.req("ESC-05")
@pytest.mark.parametrize("code, status", [(550, "4.1.1"), (550, "2.1.1"), (250, "5.0.0"), (450, "5.2.1")])
def test_the_class_of_the_status_is_the_first_digit(code: int, status: str) -> None:
    with pytest.raises(LocalProtocolError, match="first digit"):
        Reply(code, status, "text")
    with pytest.raises(LocalProtocolError, match="first digit"):
        Reply(code, EnhancedStatusCode.parse(status), "text")


@pytest.mark.req("ESC-04")
@pytest.mark.parametrize("code", [334, 354])
@pytest.mark.parametrize("status", ["2.0.0", "4.0.0", "5.0.0"])
def test_a_3yz_reply_has_no_status(code: int, status: str) -> None:
    with pytest.raises(LocalProtocolError, match="3yz reply has none"):
        Reply(code, status, "go on")
    assert Reply(code, None, "go on").encode() == b"%d go on\r\n" % code


@pytest.mark.req("ESC-08")
def test_a_reply_refuses_a_malformed_status() -> None:
    with pytest.raises(LocalProtocolError, match=r"5\.01\.1"):
        Reply(550, "5.01.1", "text")


@pytest.mark.req("RPL-11")
@pytest.mark.parametrize(
    "text",
    ["a\rb", "a\nb", "a\r\n250 b", "\0", "a\x07", "\x1b[2J", "\x7f", "caf\xe9", "\x85", "\u2028", "\ud800"],
)
@pytest.mark.parametrize("lines", [False, True])
def test_text_that_cannot_be_sent_is_refused(text: str, lines: bool) -> None:
    with pytest.raises(LocalProtocolError, match="printable ASCII"):
        Reply(550, "5.1.1", ["first", text] if lines else text)


@pytest.mark.req("RPL-11")
def test_printable_ascii_and_tabs_can_be_sent() -> None:
    text = "\t" + "".join(map(chr, range(0x20, 0x7F)))
    assert Reply(250, None, text).encode() == b"250 " + text.encode() + b"\r\n"
    for character in map(chr, {*range(0x100)} - {*map(ord, text)}):
        with pytest.raises(LocalProtocolError):
            Reply(250, None, character)


@pytest.mark.parametrize(
    "text, reply",
    [
        ("550 5.1.1 no such user", Reply(550, "5.1.1", "no such user")),
        ("550 no such user\r\n", Reply(550, None, "no such user")),
        ("250", Reply(250)),
        ("250 ", Reply(250)),
        ("354 3.5.0 go on", Reply(354, None, "3.5.0 go on")),
        ("550 4.1.1 another class", Reply(550, None, "4.1.1 another class")),
        ("250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\n", Reply(250, "2.0.0", ["one", "two", "three"])),
        ("250-2.0.0 one\n250 2.1.0 two", Reply(250, "2.0.0", ["one", "2.1.0 two"])),
        ("250-one\n250-\n250", Reply(250, None, ["one", "", ""])),
    ],
)
def test_a_reply_is_read_from_its_text(text: str, reply: Reply) -> None:
    assert Reply.parse(text) == reply
    lines = text.replace("\r\n", "\n").removesuffix("\n").replace("\n", "\r\n")
    assert read([f"{lines}\r\n".encode()]).replies == [reply]


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "no", "55 no", "550no", "650 no", "99 no", "550-no", "550-no\r\n", "550 no\n550 no"),
        *("550-no\n551 no", "550-no\nno", "550 no\r\r\n", "550 a\rb", "550 no\n\n", "\n550 no", " 550 no"),
    ],
)
def test_parse_refuses_text_that_is_not_one_reply(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not one whole reply"):
        Reply.parse(text)


@pytest.mark.parametrize("text", ["571 no", "550 caf\xe9", "550 \0", "299 yes"])
def test_parse_refuses_a_reply_that_cannot_be_sent(text: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"RFC 5321 4\.2"):
        Reply.parse(text)


@given(st.integers(200, 559).filter(lambda code: code // 10 % 10 <= 5), st.lists(st.text("a1 .\t-")))
def test_parse_reads_what_encode_writes(code: int, lines: list[str]) -> None:
    reply = Reply(code, None if code // 100 == 3 else f"{code // 100}.1.1", lines)
    assert Reply.parse(reply.encode().decode()) == reply


def test_replies_compare_by_value() -> None:
    reply = Reply(550, "5.1.1", "no such user")
    same = Reply(550, EnhancedStatusCode(5, 1, 1), ["no such user"])
    assert reply == same
    assert hash(reply) == hash(same)
    assert len({reply, same}) == 1
    assert reply.encode() is reply.encode()
    for other in (
        Reply(551, "5.1.1", "no such user"),
        Reply(550, "5.1.2", "no such user"),
        Reply(550, None, "no such user"),
        Reply(550, "5.1.1", "no such users"),
        Reply(550, "5.1.1", ["no such user", ""]),
        (550, "5.1.1", "no such user"),
    ):
        assert reply != other


def test_a_status_is_not_equal_to_its_text() -> None:
    assert (EnhancedStatusCode(5, 1, 1) == "5.1.1") is False
    assert (Reply(550) == "550") is False


def test_a_reply_can_be_matched_by_its_parts() -> None:
    match Reply(550, "5.1.1", "no such user"):
        case Reply(code, status, text):
            assert (code, str(status), text) == (550, "5.1.1", "no such user")
        case _:
            pytest.fail("it does not match")


@pytest.mark.parametrize("code, status", [(200, "2.0.0"), (400, "4.0.0"), (500, "5.5.1"), (599, "5.5.1")])
def test_the_class_of_a_status_is_the_first_digit_of_its_code(code: int, status: str) -> None:
    assert describe(code, status)
    for other in {2, 4, 5} - {code // 100}:
        with pytest.raises(LocalProtocolError, match="does not belong"):
            describe(code, f"{other}{status[1:]}")


def test_replies_can_be_copied_and_pickled() -> None:
    reply = Reply(550, "5.1.1", ["a", "b"])
    assert copy.deepcopy(reply) == reply
    assert pickle.loads(pickle.dumps(reply)) == reply


def test_repr_makes_the_reply_again() -> None:
    assert repr(Reply(550, "5.1.1", "no such user")) == "Reply(550, '5.1.1', 'no such user')"
    assert repr(Reply(250, None, ("a", "b"))) == "Reply(250, None, ('a', 'b'))"
    for reply in (Reply(250), Reply(421, "4.3.2", 'x "y"'), Reply(214, "2.0.0", ["a", "", "'"])):
        assert eval(repr(reply)) == reply


def test_str_is_one_safe_line() -> None:
    assert str(Reply(550, "5.1.1", "no such user")) == "550 5.1.1 no such user"
    assert str(Reply(250, None, ["a", "b"])) == "250 a b"
    assert str(Reply(354)) == "354"
    assert str(one(b"550 \x1b[2J\r\n")) == "550 \\x1b[2J"


def test_a_reply_gives_its_code_status_and_lines() -> None:
    reply = Reply(250, "2.0.0", ("one", "", "three"))
    assert (reply.code, reply.status, reply.lines) == (250, EnhancedStatusCode(2, 0, 0), ("one", "", "three"))
    assert reply.text == "one\n\nthree"
    assert Reply(250).lines == Reply(250, None, ()).lines == ("",)
    match reply:
        case Reply(250, EnhancedStatusCode(2), text):
            assert text == reply.text


@pytest.mark.req("RPL-09", "RPL-20")
def test_the_first_digit_says_what_kind_of_answer_it_is() -> None:
    kinds = ("is_success", "is_intermediate", "is_transient", "is_permanent")
    for code in range(200, 600):
        reply = one(b"%d some text\r\n" % code)
        assert reply.code == code
        assert reply.severity == code // 100
        assert [kind for kind in kinds if getattr(reply, kind)] == [kinds[code // 100 - 2]]


# --- Reply: its octets ------------------------------------------------------------------------------------


@pytest.mark.req("RPL-05")
def test_the_space_after_the_code_is_there_without_text() -> None:
    assert Reply(250).encode() == b"250 \r\n"
    assert Reply(334).encode() == b"334 \r\n"
    assert Reply(250, "2.0.0").encode() == b"250 2.0.0 \r\n"
    assert Reply(250, None, ["", ""]).encode() == b"250-\r\n250 \r\n"


@pytest.mark.req("RPL-02", "RPL-03", "ESC-06")
def test_every_line_of_a_reply_bears_its_code_and_status() -> None:
    reply = Reply(250, "2.1.5", ("one", "", "three"))
    assert reply.encode() == b"250-2.1.5 one\r\n250-2.1.5 \r\n250 2.1.5 three\r\n"
    assert reply.encode(enhanced=False) == b"250-one\r\n250-\r\n250 three\r\n"
    assert Reply(250, None, reply.lines).encode() == b"250-one\r\n250-\r\n250 three\r\n"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("status, prefix", [("2.1.5", b"2.1.5 "), (None, b"")])
def test_both_forms_are_remembered_and_not_confused(first: bool, status: str | None, prefix: bytes) -> None:
    reply = Reply(250, status, "ok")
    forms = {True: b"250 %bok\r\n" % prefix, False: b"250 ok\r\n"}
    for enhanced in (first, not first, first):
        assert reply.encode(enhanced=enhanced) == forms[enhanced]
        assert reply.encode(enhanced=enhanced) is reply.encode(enhanced=enhanced)


@pytest.mark.req("LIM-09")
@pytest.mark.parametrize("status", [None, "5.7.1", "5.100.200"])
def test_long_text_is_divided_between_words(status: str | None) -> None:
    text = " ".join(f"word{number}" for number in range(220))
    assert len(text) >= 1600
    wire = Reply(550, status, text).encode()
    assert_well_formed(wire, 550)
    again = one(wire)
    assert " ".join(again.lines) == text
    assert str(again.status or None) == str(status)


@pytest.mark.req("LIM-09")
def test_a_line_may_have_512_octets_and_no_more() -> None:
    full = "x" * 506
    assert Reply(250, None, full).encode() == b"250 " + full.encode() + b"\r\n"
    assert Reply(250, None, full + "y").encode() == b"250-" + full.encode() + b"\r\n250 y\r\n"
    assert Reply(250, None, full + " y").encode() == b"250-" + full.encode() + b"\r\n250 y\r\n"
    enhanced = full[:-6]
    assert Reply(250, "2.0.0", enhanced).encode() == b"250 2.0.0 " + enhanced.encode() + b"\r\n"
    assert one(Reply(250, "2.0.0", enhanced + "y").encode()).lines == (enhanced, "y")


@pytest.mark.req("LIM-09")
@pytest.mark.parametrize(
    "text, lines",
    [
        pytest.param("x" * 1200, ("x" * 506, "x" * 506, "x" * 188), id="one word"),
        pytest.param(" " + "x" * 506, (" " + "x" * 505, "x"), id="a space in front"),
        pytest.param("a " + "x" * 506, ("a", "x" * 506), id="a short word, then a full line"),
        pytest.param("a  " + "x" * 505, ("a ", "x" * 505), id="two spaces, of which one stays"),
        pytest.param("a\t" + "x" * 505, ("a\t" + "x" * 504, "x"), id="a tab is no place to divide at"),
    ],
)
def test_long_text_is_divided_at_the_last_space_that_fits(text: str, lines: tuple[str, ...]) -> None:
    assert one(Reply(250, None, text).encode()).lines == lines


@pytest.mark.req("RPL-02", "RPL-03", "RPL-29", "LIM-09")
@given(
    codes,
    st.none() | st.tuples(numbers, numbers),
    st.lists(st.text(alphabet="\t ax~", max_size=1500), max_size=3),
    st.booleans(),
)
def test_every_reply_is_sent_as_the_grammar_says(
    code: int, status: tuple[int, int] | None, lines: list[str], enhanced: bool
) -> None:
    has_status = status is not None and code // 100 != 3
    reply = Reply(code, EnhancedStatusCode(code // 100, *status) if status and has_status else None, lines)
    wire = reply.encode(enhanced=enhanced)
    assert_well_formed(wire, code)
    for line in wire.splitlines():
        assert (line[4:].startswith(f"{reply.status} ".encode())) is (has_status and enhanced)
    # Nothing but spaces is lost where lines are divided.
    text = b"".join(line[4:].removeprefix(f"{reply.status} ".encode()) for line in wire.split(b"\r\n"))
    assert text.replace(b" ", b"").decode() == "".join(lines).replace(" ", "")


# --- Reply: text of unknown origin ------------------------------------------------------------------------


@pytest.mark.req("RPL-11")
@pytest.mark.parametrize(
    "text, lines",
    [
        ("fine", ("fine",)),
        ("", ("",)),
        ("a\tb", ("a\tb",)),
        ("a\r\n250 b", ("a", "250 b")),
        ("a\rb\nc\n\rd", ("a", "b", "c", "", "d")),
        ("Traceback:\n  boom\r\n\n", ("Traceback:", "  boom")),
        ("\na", ("", "a")),
        ("\r\n", ("",)),
        ("caf\xe9 \u20ac \U0001f600", ("caf? ? ?",)),
        ("\0\x07\x1b\x7f\x85\u2028\udc80", ("???????",)),
        ("a\x0bb\x0cc", ("a?b?c",)),
    ],
)
def test_sanitized_replaces_what_cannot_be_sent(text: str, lines: tuple[str, ...]) -> None:
    reply = Reply.sanitized(451, "4.3.0", text)
    assert facts(reply) == (451, "4.3.0", lines)
    assert_well_formed(reply.encode(), 451)


def test_sanitized_still_checks_the_codes() -> None:
    with pytest.raises(LocalProtocolError):
        Reply.sanitized(600, None, "text")
    with pytest.raises(LocalProtocolError):
        Reply.sanitized(550, "4.0.0", "text")


@pytest.mark.req("RPL-02", "RPL-11")
@given(codes, st.text(alphabet=st.characters() | st.sampled_from("\r\n\0 \ud800")))
def test_any_text_can_be_sanitized(code: int, text: str) -> None:
    reply = Reply.sanitized(code, None, text)
    assert_well_formed(reply.encode(), code)
    assert one(reply.encode()).code == code


def test_a_received_reply_can_be_sent_on() -> None:
    reply = one(b"550-5.7.1 caf\xc3\xa9\r\n550-5.7.1 \x1b[2J\0\r\n550 5.7.1 \xff\r\n")
    assert reply.encode() == b"550-5.7.1 caf?\r\n550-5.7.1 ?[2J?\r\n550 5.7.1 ?\r\n"


@pytest.mark.req("RPL-07")
@pytest.mark.parametrize("received, sent", [(271, 250), (399, 354), (460, 450), (571, 550), (599, 550)])
def test_a_received_code_outside_the_grammar_is_sent_on_as_the_broadest(received: int, sent: int) -> None:
    reply = one(b"%d-a\r\n%d b\r\n" % (received, received))
    assert reply.code == received
    assert reply.encode() == b"%d-a\r\n%d b\r\n" % (sent, sent)


@pytest.mark.req("RPL-07", "RPL-11", "LIM-09")
@given(st.integers(200, 599), st.binary(max_size=600), st.sampled_from([b"", b"4.1.1 ", b"5.1.1 "]))
def test_any_received_reply_can_be_sent_on(code: int, text: bytes, status: bytes) -> None:
    text = text.translate(None, b"\r\n")
    reply = one(b"%d %b%b\r\n" % (code, status, text))
    wire = reply.encode()
    assert_well_formed(wire, code if code in SENDABLE_CODES else int(wire[:3]))
    again = one(wire)
    assert again.severity == reply.severity
    assert again.status == reply.status


# --- The parser: what is a reply --------------------------------------------------------------------------

ALL_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_req = pytest.mark.req

GOOD: list[Any] = [
    pytest.param(b"250 fine\r\n", [(250, None, ["fine"])], id="one line"),
    pytest.param(b"250 a\tb\r\n", [(250, None, ["a\tb"])], id="tab"),
    pytest.param(
        f"214 {ALL_PRINTABLE}\r\n".encode(), [(214, None, [ALL_PRINTABLE])], id="every printable character"
    ),
    pytest.param(b"250 \r\n", [(250, None, [""])], id="code and space", marks=_req("RPL-06")),
    pytest.param(b"250\r\n", [(250, None, [""])], id="code alone", marks=_req("RPL-06")),
    pytest.param(b"334\r\n", [(334, None, [""])], id="challenge without its space", marks=_req("RPL-06")),
    pytest.param(b"250  \r\n", [(250, None, [" "])], id="text of one space"),
    pytest.param(b"250-a\r\n250 b\r\n", [(250, None, ["a", "b"])], id="two lines"),
    pytest.param(b"250-a\r\n250-\r\n250 c\r\n", [(250, None, ["a", "", "c"])], id="empty line inside"),
    pytest.param(
        b"250-a\r\n250\r\n", [(250, None, ["a", ""])], id="last line is a code alone", marks=_req("RPL-06")
    ),
    pytest.param(b"250-\r\n250 x\r\n", [(250, None, ["", "x"])], id="first line empty", marks=_req("RPL-06")),
    pytest.param(b"250- a\r\n250  b\r\n", [(250, None, [" a", " b"])], id="spaces are text"),
    pytest.param(
        b"250 250 again\r\n", [(250, None, ["250 again"])], id="text like a code", marks=_req("RPL-14")
    ),
    pytest.param(
        b"250-251-x\r\n250 -\r\n",
        [(250, None, ["251-x", "-"])],
        id="texts like continuation",
        marks=_req("RPL-14"),
    ),
    pytest.param(b"250 -\r\n", [(250, None, ["-"])], id="text is a hyphen", marks=_req("RPL-14")),
    pytest.param(b"250--\r\n250 -x\r\n", [(250, None, ["-", "-x"])], id="hyphens", marks=_req("RPL-14")),
    pytest.param(b"200 a\r\n", [(200, None, ["a"])], id="lowest code"),
    pytest.param(b"599 a\r\n", [(599, None, ["a"])], id="highest code", marks=_req("RPL-09")),
    pytest.param(b"571 a\r\n", [(571, None, ["a"])], id="odd second digit", marks=_req("RPL-09")),
    pytest.param(b"259 a\r\n499 b\r\n", [(259, None, ["a"]), (499, None, ["b"])], id="unknown codes"),
    pytest.param(
        b"250 a\r\n354 b\r\n550-c\r\n550 d\r\n",
        [(250, None, ["a"]), (354, None, ["b"]), (550, None, ["c", "d"])],
        id="three in a row",
    ),
    # Text that is not ASCII: kept, and never a line end.
    pytest.param(
        "550 K\xf6ln \u65e5\u672c\r\n".encode(),
        [(550, None, ["K\xf6ln \u65e5\u672c"])],
        id="UTF-8",
        marks=_req("RPL-12"),
    ),
    pytest.param(b"550 \xff\xfe\r\n", [(550, None, ["\xff\xfe"])], id="not UTF-8", marks=_req("RPL-12")),
    pytest.param(
        b"550-\xe4\r\n550 \xc3\xa4\r\n",
        [(550, None, ["\xe4", "\xe4"])],
        id="a line each",
        marks=_req("RPL-12"),
    ),
    pytest.param(
        b"550 5.1.1 \xc3\xa4\r\n", [(550, "5.1.1", ["\xe4"])], id="UTF-8 after status", marks=_req("RPL-12")
    ),
    pytest.param(
        "550 a\u2028250 b\x85c\r\n".encode(),
        [(550, None, ["a\u2028250 b\x85c"])],
        id="separators of Unicode end no line",
        marks=_req("RPL-27"),
    ),
    pytest.param(
        b"550 a\x0b250 b\x0c250 c\x1c250 d\x1d\x1e\r\n",
        [(550, None, ["a\x0b250 b\x0c250 c\x1c250 d\x1d\x1e"])],
        id="other controls end no line",
        marks=_req("RPL-27"),
    ),
    pytest.param(b"550 a\0b\r\n", [(550, None, ["a\0b"])], id="NUL cuts nothing off"),
    pytest.param(b"550 \x1b]0;x\x07\r\n", [(550, None, ["\x1b]0;x\x07"])], id="escape sequence"),
    # Enhanced status codes.
    pytest.param(b"250 2.1.0 ok\r\n", [(250, "2.1.0", ["ok"])], id="status"),
    pytest.param(b"450 4.999.999 x\r\n", [(450, "4.999.999", ["x"])], id="unknown status"),
    pytest.param(b"250 2.1.0\r\n", [(250, "2.1.0", [""])], id="status alone"),
    pytest.param(b"250 2.1.0 \r\n", [(250, "2.1.0", [""])], id="status and space"),
    pytest.param(b"250 2.1.0  x\r\n", [(250, "2.1.0", [" x"])], id="one space belongs to it"),
    pytest.param(
        b"550-5.1.1 a\r\n550-5.1.1\r\n550 5.1.1 b\r\n",
        [(550, "5.1.1", ["a", "", "b"])],
        id="status on each line",
    ),
    pytest.param(
        b"550-5.1.1 a\r\n550-b\r\n550\r\n", [(550, "5.1.1", ["a", "b", ""])], id="status on the first only"
    ),
    pytest.param(
        b"550-5.1.1 a\r\n550-5.1.10 b\r\n550 4.1.1 c\r\n",
        [(550, "5.1.1", ["a", "5.1.10 b", "4.1.1 c"])],
        id="another status further on is text",
    ),
    pytest.param(
        b"550-a\r\n550 5.1.1 b\r\n", [(550, None, ["a", "5.1.1 b"])], id="status not on the first line"
    ),
    pytest.param(
        b"250 5.1.1 x\r\n", [(250, None, ["5.1.1 x"])], id="class of another kind", marks=_req("ESC-10")
    ),
    pytest.param(b"550 4.2.2 x\r\n", [(550, None, ["4.2.2 x"])], id="4 in a 5yz", marks=_req("ESC-10")),
    pytest.param(b"354 3.0.0 x\r\n", [(354, None, ["3.0.0 x"])], id="class 3", marks=_req("ESC-08")),
    pytest.param(b"354 2.0.0 x\r\n", [(354, None, ["2.0.0 x"])], id="2 in a 3yz", marks=_req("ESC-10")),
    pytest.param(
        b"250 2.2.2.2 hello\r\n", [(250, None, ["2.2.2.2 hello"])], id="address", marks=_req("ESC-10")
    ),
    pytest.param(b"250 2.1.0, ok\r\n", [(250, None, ["2.1.0, ok"])], id="comma", marks=_req("ESC-10")),
    pytest.param(b"250 2.1.0\tok\r\n", [(250, None, ["2.1.0\tok"])], id="tab behind", marks=_req("ESC-10")),
    pytest.param(b"250  2.1.0 x\r\n", [(250, None, [" 2.1.0 x"])], id="space in front", marks=_req("ESC-10")),
    pytest.param(b"550 5.1 x\r\n", [(550, None, ["5.1 x"])], id="no detail", marks=_req("ESC-08")),
    pytest.param(b"550 5.1. x\r\n", [(550, None, ["5.1. x"])], id="empty detail", marks=_req("ESC-08")),
    pytest.param(b"550 5.01.1 x\r\n", [(550, None, ["5.01.1 x"])], id="leading zero", marks=_req("ESC-08")),
    pytest.param(b"550 5.1.00 x\r\n", [(550, None, ["5.1.00 x"])], id="two zeros", marks=_req("ESC-08")),
    pytest.param(b"550 5.1000.1 x\r\n", [(550, None, ["5.1000.1 x"])], id="long subject", marks=_req("ESC-08")),
    pytest.param(b"550 5.1.1000 x\r\n", [(550, None, ["5.1.1000 x"])], id="long detail", marks=_req("ESC-08")),
]

Expected = list[tuple[int, str | None, list[str]]]


def _cuttings(wire: bytes) -> Iterable[list[bytes]]:
    yield [wire]
    yield octets(wire)
    for cut in range(1, len(wire)):
        yield [wire[:cut], wire[cut:]]


@pytest.mark.req("RPL-28")
@pytest.mark.parametrize("wire, expected", GOOD)
def test_well_formed_replies_are_read_however_they_are_cut(wire: bytes, expected: Expected) -> None:
    for pieces in _cuttings(wire):
        outcome = read(pieces)
        assert [facts(reply) for reply in outcome.replies] == [
            (code, status, tuple(lines)) for code, status, lines in expected
        ]
        assert outcome.error is None
        assert outcome.pending == 0


@pytest.mark.req("RPL-28")
@pytest.mark.parametrize("wire", [b"", b"2", b"250", b"250 OK", b"250-", b"250 \r", b"250-a\r\n250", b"\xff\0"])
def test_an_incomplete_reply_is_not_handed_out(wire: bytes) -> None:
    for before in (b"", b"354 go\r\n"):
        for pieces in _cuttings(before + wire):
            outcome = read(pieces)
            assert outcome == Outcome([Reply(354, None, "go")] if before else [], None, len(wire))


_NO_CODE = "begin with a reply code"
_CR_INSIDE = "CR inside"
_BARE_LF = "LF without CR"

BAD: list[Any] = [
    pytest.param(b"2500 OK\r\n", _NO_CODE, id="four digits"),
    pytest.param(b"25 OK\r\n", _NO_CODE, id="two digits"),
    pytest.param(b"2\r\n", _NO_CODE, id="one digit"),
    pytest.param(b" 250 OK\r\n", _NO_CODE, id="space in front"),
    pytest.param(b"-250 OK\r\n", _NO_CODE, id="sign"),
    pytest.param(b"2 5 OK\r\n", _NO_CODE, id="space inside"),
    pytest.param(b"25O OK\r\n", _NO_CODE, id="letter for a digit"),
    pytest.param(b"0x2 OK\r\n", _NO_CODE, id="hexadecimal"),
    pytest.param(b"1e2 OK\r\n", _NO_CODE, id="exponent"),
    pytest.param(b"2_5 OK\r\n", _NO_CODE, id="underscore"),
    pytest.param(b"2.5 OK\r\n", _NO_CODE, id="dot"),
    pytest.param("\u0662\u0665\u0660 OK\r\n".encode(), _NO_CODE, id="digits of another script"),
    pytest.param(b"\xb2\xb5\xb0 OK\r\n", _NO_CODE, id="superscript"),
    pytest.param(b"\r\n", _NO_CODE, id="empty line"),
    pytest.param(b" \r\n", _NO_CODE, id="blank line"),
    pytest.param(b"-\r\n", _NO_CODE, id="hyphen only"),
    pytest.param(b"250:OK\r\n", _NO_CODE, id="colon"),
    pytest.param(b"250\tOK\r\n", _NO_CODE, id="tab for the space"),
    pytest.param(b"250\0OK\r\n", _NO_CODE, id="NUL for the space"),
    pytest.param(b"250OK\r\n", _NO_CODE, id="no space"),
    pytest.param(b"HTTP/1.1 400 Bad Request\r\n", _NO_CODE, id="HTTP"),
    pytest.param(b"* OK IMAP ready\r\n", _NO_CODE, id="IMAP"),
    pytest.param(b"+OK ready\r\n", _NO_CODE, id="POP3"),
    pytest.param(b"SSH-2.0-OpenSSH\r\n", _NO_CODE, id="SSH"),
    pytest.param(b"099 x\r\n", _NO_CODE, id="099", marks=_req("RPL-08")),
    pytest.param(b"100 x\r\n", _NO_CODE, id="100", marks=_req("RPL-08")),
    pytest.param(b"150 x\r\n", _NO_CODE, id="150", marks=_req("RPL-08")),
    pytest.param(b"199-x\r\n", _NO_CODE, id="199", marks=_req("RPL-08")),
    pytest.param(b"600 x\r\n", _NO_CODE, id="600", marks=_req("RPL-08")),
    pytest.param(b"650 x\r\n", _NO_CODE, id="650", marks=_req("RPL-08")),
    pytest.param(b"999\r\n", _NO_CODE, id="999", marks=_req("RPL-08")),
    pytest.param(b"250-a\r\nb\r\n", _NO_CODE, id="text without a code inside a reply"),
    pytest.param(b"250 ok\n", _BARE_LF, id="LF only", marks=_req("RPL-27")),
    pytest.param(b"250 ok\n250 ok\r\n", _BARE_LF, id="LF only, then CRLF", marks=_req("RPL-27")),
    pytest.param(b"250-a\n250 b\r\n", _BARE_LF, id="LF only within a reply", marks=_req("RPL-27")),
    pytest.param(b"\n", _BARE_LF, id="nothing but LF", marks=_req("RPL-27")),
    pytest.param(b"250 ok\r250 b\r\n", _CR_INSIDE, id="CR only", marks=_req("RPL-27")),
    pytest.param(b"250 ok\r\r\n", _CR_INSIDE, id="CR CR LF", marks=_req("RPL-27")),
    pytest.param(b"250 2.1.0\rx\r\n", _CR_INSIDE, id="CR behind the status", marks=_req("RPL-27")),
    pytest.param(b"250\r\r\n", _CR_INSIDE, id="CR behind the code", marks=_req("RPL-27")),
    pytest.param(b"250 ok\r\0\n", _BARE_LF, id="CR NUL LF", marks=_req("RPL-27")),
    pytest.param(b"250-a\r\n550 b\r\n", "250 and with 550", id="other code", marks=_req("RPL-04")),
    pytest.param(b"250-a\r\n251-b\r\n250 c\r\n", "250 and with 251", id="code inside", marks=_req("RPL-04")),
    pytest.param(b"354-a\r\n250\r\n", "354 and with 250", id="other kind", marks=_req("RPL-04")),
]


@pytest.mark.req("RPL-28")
@pytest.mark.parametrize("wire, reason", BAD)
@pytest.mark.parametrize("behind", [b"", b"250 never seen\r\n250"])
def test_a_malformed_reply_is_an_error_however_it_is_cut(wire: bytes, reason: str, behind: bytes) -> None:
    for pieces in _cuttings(b"250 before\r\n" + wire + behind):
        outcome = read(pieces)
        assert outcome.replies == [Reply(250, None, "before")]
        assert outcome.error is not None
        assert reason in outcome.error
        assert outcome.pending == 0


@pytest.mark.req("RPL-27")
def test_a_bare_LF_is_an_error_at_once_although_more_octets_follow_it() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    parser.feed(b"\n2")
    with pytest.raises(RemoteProtocolError, match=_BARE_LF):
        parser.next_reply()


def test_a_broken_parser_stays_broken_and_holds_nothing() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    parser.feed(b"250 a\r\nrubbish\r\n250 b\r\n250")
    assert parser.next_reply() == Reply(250, None, "a")
    with pytest.raises(RemoteProtocolError) as first:
        parser.next_reply()
    assert first.value.reply is None
    parser.feed(b"250 c\r\n")
    assert parser.pending == 0
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match=re.escape(str(first.value))):
            parser.next_reply()
    assert parser.discard() == 0
    with pytest.raises(RemoteProtocolError):
        parser.next_reply()


def test_the_error_shows_the_line_and_nothing_that_harms_a_terminal() -> None:
    error = read([b"\x1b[2J\x9b\xe9" + b"x" * 4000 + b"\r\n"]).error
    assert error is not None
    assert r"'\x1b[2J\x9b\u00e9xxx".replace(r"\u00e9", "\xe9") in error
    assert error.isprintable()
    assert len(error) < 700


@pytest.mark.req("RPL-04", "RPL-27")
@pytest.mark.parametrize(
    "wire, words, reply, line",
    [
        (
            b"220-gate.example ESMTP\r\n521 5.7.1 blocked using list.example\r\n",
            "220 and with 521: '521 5.7.1 blocked using list.example', after '220-gate.example ESMTP'",
            Reply(220, None, "gate.example ESMTP"),
            "521 5.7.1 blocked using list.example",
        ),
        (
            b"250-2.1.0 a\r\n250-2.1.0 b\r\nhello \x1b\xc3\xa4\r\n",
            "'hello \\x1b\xe4', after '250-a'",
            Reply(250, "2.1.0", ["a", "b"]),
            "hello \\x1b\xe4",
        ),
        (b"554 5.7.1 no\n", "LF without CR: '554 5.7.1 no'", Reply(554, "5.7.1", "no"), "554 5.7.1 no"),
        (b"554-no\n554 no\n", "LF without CR: '554-no'", Reply(554, None, "no"), "554-no"),
        (b"\r\n250 ok\r\n", "an empty line does not begin with a reply code", None, ""),
        (b"250 a\rb\r\n", "CR inside a line: '250 a\\rb'", None, "250 a\\x0db"),
        (
            b"250 " + b"x" * 600 + b"\r\n",
            "more than 512 octets",
            Reply(250, None, "x" * 506),
            "250 " + "x" * 506,
        ),
    ],
)
def test_an_error_carries_what_was_received(wire: bytes, words: str, reply: Reply | None, line: str) -> None:
    for pieces in _cuttings(wire):
        parser = ReplyParser(max_line=512, max_lines=10)
        for piece in pieces:
            parser.feed(piece)
            with contextlib.suppress(RemoteProtocolError):
                parser.next_reply()
        for _ in range(2):
            with pytest.raises(RemoteProtocolError) as caught:
                parser.next_reply()
            assert words in str(caught.value)
            assert caught.value.line == line
            assert caught.value.reply == reply


def test_what_an_error_carries_of_a_long_line_does_not_depend_on_the_cutting() -> None:
    for pieces in _cuttings(b"250 " + b"x" * 100 + b"\r\n"):
        parser = ReplyParser(max_line=32, max_lines=10)
        for piece in pieces:
            parser.feed(piece)
            with contextlib.suppress(RemoteProtocolError):
                parser.next_reply()
        with pytest.raises(RemoteProtocolError) as caught:
            parser.next_reply()
        assert caught.value.line == "250 " + "x" * 26
        assert caught.value.reply == Reply(250, None, "x" * 26)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_accepted_and_copied(kind: Any) -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    buffer = bytearray(b"250 a\r\n25")
    parser.feed(kind(buffer))
    parser.feed(kind(b"0 b\r\n"))
    buffer[:3] = b"999"
    assert parser.next_reply() == Reply(250, None, "a")
    assert parser.next_reply() == Reply(250, None, "b")
    assert parser.next_reply() is None
    buffer[:] = b"250 c\r\n"
    parser.feed(kind(buffer))  # whole lines, which are taken by a shorter way
    buffer[:3] = b"999"
    assert parser.next_reply() == Reply(250, None, "c")


def test_octets_may_be_fed_before_the_replies_are_taken() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    for piece in (b"250 a\r\n", b"250 b\r\n", b"250-c\r", b"\n250 d\r\n"):
        parser.feed(piece)
    assert [parser.next_reply() for _ in range(4)] == [
        Reply(250, None, "a"),
        Reply(250, None, "b"),
        Reply(250, None, ["c", "d"]),
        None,
    ]


# --- The parser: what it holds ----------------------------------------------------------------------------


def test_pending_counts_every_octet_that_was_not_handed_out() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    assert parser.pending == 0
    parser.feed(b"250 a\r\n250-b\r\n250-c\r\n25")
    assert parser.pending == 23
    assert parser.next_reply() == Reply(250, None, "a")
    assert parser.pending == 16
    assert parser.next_reply() is None
    assert parser.pending == 16
    parser.feed(b"0 d\r\n")
    assert parser.pending == 21
    assert parser.next_reply() == Reply(250, None, ["b", "c", "d"])
    assert parser.pending == 0


@pytest.mark.parametrize("wire", [b"", b"250", b"250-a\r\n", b"250-a\r\n25", b"250 a\r\n250 b\r\n250"])
@pytest.mark.parametrize("look", [False, True])
def test_discard_forgets_everything(wire: bytes, look: bool) -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    parser.feed(b"220 ready\r\n")
    assert parser.next_reply() == Reply(220, None, "ready")
    parser.feed(wire)
    taken = parser.next_reply() if look else None
    assert parser.discard() == len(wire) - (len(b"250 a\r\n") if taken else 0)
    assert parser.pending == 0
    assert parser.next_reply() is None
    parser.feed(b"551-x\r\n551 y\r\n")
    assert parser.next_reply() == Reply(551, None, ["x", "y"])


@pytest.mark.req("LIM-10")
def test_long_lines_are_read() -> None:
    for length in (512, 513, 5000, LIMITS.reply_line):
        text = "x" * (length - 6)
        for pieces in ([b"250 " + text.encode() + b"\r\n"], octets(b"250 " + text.encode() + b"\r\n")):
            assert read(pieces) == Outcome([Reply(250, None, text)], None, 0)


@pytest.mark.req("LIM-10")
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r", b"\rx\r\n"])
@pytest.mark.parametrize("start", [b"250 ", b"250-a\r\n250 ", b""])
def test_a_line_over_the_limit_is_an_error(start: bytes, end: bytes) -> None:
    wire = start + b"x" * 40 + end
    for pieces in _cuttings(b"354 go\r\n" + wire):
        outcome = read(pieces, max_line=32, max_lines=5)
        assert outcome == Outcome([Reply(354, None, "go")], "a reply line of more than 32 octets", 0)


@pytest.mark.req("LIM-10")
def test_the_limit_of_a_line_is_exact() -> None:
    for length, error in [(32, None), (33, "a reply line of more than 32 octets")]:
        for pieces in _cuttings(b"250 " + b"x" * (length - 6) + b"\r\n"):
            assert read(pieces, max_line=32, max_lines=5).error == error
    # 31 octets can still become a line; 32 without the LF cannot.
    assert read([b"250 " + b"x" * 27], max_line=32, max_lines=5).error is None
    assert read([b"250 " + b"x" * 28], max_line=32, max_lines=5).error is not None


@pytest.mark.req("LIM-10", "RPL-31")
def test_ten_megabytes_without_a_line_end_are_never_held() -> None:
    block = b"250 " + b"x" * 4092
    taken = []

    def endless() -> Iterator[bytes]:
        for _ in range(2560):
            taken.append(len(block))
            yield block

    outcome = read(endless())
    assert outcome == Outcome([], f"a reply line of more than {LIMITS.reply_line} octets", 0)
    assert sum(taken) <= LIMITS.reply_line + len(block)


@pytest.mark.req("RPL-31")
@pytest.mark.parametrize("last", [b"250 x\r\n", b"250-x\r\n"])
def test_a_reply_of_too_many_lines_is_an_error(last: bytes) -> None:
    for pieces in _cuttings(b"250-x\r\n" * 5 + last):
        assert read(pieces, max_line=32, max_lines=5) == Outcome([], "a reply of more than 5 lines", 0)
    full = read([b"250-x\r\n" * 4 + b"250 x\r\n"], max_line=32, max_lines=5)
    assert full == Outcome([Reply(250, None, ["x"] * 5)], None, 0)


@pytest.mark.req("RPL-31")
def test_an_endless_reply_is_never_held() -> None:
    parser = ReplyParser(max_line=64, max_lines=10)
    line = b"250-SIZE 1000\r\n"
    for count in range(1, 11):
        parser.feed(line)
        assert parser.next_reply() is None
        assert parser.pending == count * len(line)
    parser.feed(line)
    with pytest.raises(RemoteProtocolError, match="more than 10 lines"):
        parser.next_reply()
    assert parser.pending == 0


# --- The parser: properties -------------------------------------------------------------------------------


@pytest.mark.req("RPL-02", "RPL-03", "ESC-06")
@given(sendable_replies())
@example(Reply(250, "2.1.0", ["2.1.0 x", "2.1.0", "2.1.0 2.1.0 y"]))
@example(Reply(250, None, ["250 a", "-b", "2.1.0 c"]))
def test_the_parser_reads_what_encode_writes(reply: Reply) -> None:
    assert one(reply.encode()) == reply
    if reply.status is None:
        assert one(reply.encode(enhanced=False)) == reply


@pytest.mark.req("RPL-28")
@given(st.lists(sendable_replies(), max_size=5), st.data())
def test_replies_are_the_same_in_any_cutting(replies: list[Reply], data: st.DataObject) -> None:
    wire = b"".join(reply.encode() for reply in replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(pieces) == Outcome(replies, None, 0)


FRAGMENTS = [b"250", b"550", b"-", b" ", b"\r\n", b"\r\n250 ", b"\r", b"\n", b"5.1.1", b"x", b"\xff", b"1"]
wires: st.SearchStrategy[bytes] = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join)


@pytest.mark.req("RPL-28")
@given(wires | st.binary(), st.lists(st.integers(0, 80), max_size=8), st.integers(1, 3))
@example(b"250-a\r\n250-b\r\n250 c\r\n", [8], 2)
def test_the_cutting_of_any_octets_makes_no_difference(wire: bytes, cuts: Sequence[int], lines: int) -> None:
    whole = read([wire], max_line=20, max_lines=lines)
    assert read(octets(wire), max_line=20, max_lines=lines) == whole
    cuts = sorted(min(cut, len(wire)) for cut in cuts)
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(pieces, max_line=20, max_lines=lines) == whole


@pytest.mark.req("RPL-31")
@given(st.lists(wires | st.binary(max_size=50), max_size=10))
def test_any_octets_raise_only_RemoteProtocolError_and_are_not_kept(pieces: list[bytes]) -> None:
    parser = ReplyParser(max_line=24, max_lines=3)
    try:
        for piece in pieces:
            parser.feed(piece)
            while (reply := parser.next_reply()) is not None:
                assert 200 <= reply.code <= 599
                assert len(reply.lines) <= 3
                assert not {"\r", "\n"} & set(reply.text.replace("\n", "", len(reply.lines) - 1))
                describe(reply)
            assert parser.pending < 24 * 4
    except RemoteProtocolError:
        assert parser.pending == 0


@pytest.mark.req("RPL-12")
@given(st.binary(max_size=100))
def test_no_octet_of_the_text_is_lost(text: bytes) -> None:
    text = b"." + text.translate(None, b"\r\n")
    (line,) = one(b"550 " + text + b"\r\n").lines
    try:
        expected = text.decode("utf-8")
    except UnicodeDecodeError:
        expected = text.decode("latin-1")
    assert line == expected


# --- printable() ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, shown",
    [
        ("no such user", "no such user"),
        ("", ""),
        ("K\xf6ln \u65e5\u672c \U0001f600", "K\xf6ln \u65e5\u672c \U0001f600"),
        ("non\xa0breaking", "non\xa0breaking"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb\tc\0", r"a\x0d\x0ab\x09c\x00"),
        ("\x7f\x80\x9b2J\x9f", r"\x7f\x80\x9b2J\x9f"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("a\u2028b\u202ec\u2066d\u200ee", r"a\u2028b\u202ec\u2066d\u200ee"),
        ("a\xadb\u061cc\u200bd\u2060e\ufefff\U000e0041", r"a\xadb\u061cc\u200bd\u2060e\ufefff\U000e0041"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_printable_writes_out_what_a_terminal_might_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b\x9b\ud800")))
def test_printable_text_can_be_written_and_is_one_line(text: str) -> None:
    shown = printable(text)
    assert re.search("[\x00-\x1f\x7f-\x9f]", shown) is None
    assert shown.encode("utf-8").decode("utf-8").splitlines() in ([shown], [])
    assert printable(shown) == shown


# --- What the codes mean ----------------------------------------------------------------------------------

# Of RFC 5321, 1845, 1985, 2645, 3207, 4954, 7504, and the table of RFC 5248 2.4.
REPLY_CODES = (
    "211 214 220 221 235 250 251 252 253 334 354 355 421 422 430 432 450 451 452 453 454 455 458 459"
    " 500 501 502 503 504 521 523 524 525 530 533 534 535 538 550 551 552 553 554 555 556"
)
# The last detail of each subject in the registry of RFC 5248; there are no gaps.
LAST_DETAIL = {0: 0, 1: 10, 2: 4, 3: 6, 4: 7, 5: 6, 6: 10, 7: 30}


def test_every_reply_code_has_words_for_people() -> None:
    assert sorted(CODES) == [int(code) for code in REPLY_CODES.split()]
    for code, meaning in CODES.items():
        # They may serve as the text of a reply, and say more than a number.
        assert Reply(code, None, meaning).lines == (meaning,)
        assert re.search("[a-z]{3,} ?", meaning)
        assert describe(Reply(code, None, "misleading")) == meaning


def test_every_registered_status_has_a_meaning() -> None:
    registered = [
        f"X.{subject}.{detail}" for subject, last in LAST_DETAIL.items() for detail in range(last + 1)
    ]
    assert list(STATUSES) == registered
    assert list(SUBJECTS) == list(LAST_DETAIL)
    assert list(SEVERITIES) == [2, 3, 4, 5]
    for meaning in (*STATUSES.values(), *SUBJECTS.values(), *SEVERITIES.values()):
        assert Reply(250, None, meaning).text
        assert re.search("[a-z]{3,}", meaning)
    assert len(set(STATUSES.values())) == len(STATUSES)


def test_describe_says_what_both_codes_mean() -> None:
    reply = Reply(550, "5.1.1", "text that says nothing")
    assert describe(reply) == (
        "mailbox unavailable, unknown or refused by policy; recipient mailbox does not exist"
    )
    assert describe(Reply(250, "2.1.5")) == "done as requested; recipient address valid"
    assert describe(Reply(354)) == CODES[354]


@pytest.mark.parametrize(
    "arguments",
    [
        ("550 5.1.1 no such user",),
        ("550 5.1.1",),
        ("550-5.1.1 no such user\r\n550 5.1.1 here\r\n",),
        ("  550 5.1.1 no\n550 5.1.1 such\n",),
        (550, "5.1.1"),
        (550, EnhancedStatusCode(5, 1, 1)),
        (Reply(550, "5.1.1", "x"),),
        (str(Reply(550, "5.1.1", ["a", "b"])),),
        (Reply(550, "5.1.1", "x").encode().decode(),),
    ],
)
def test_describe_takes_a_reply_its_text_or_its_codes(arguments: tuple[Any, ...]) -> None:
    assert describe(*arguments) == f"{CODES[550]}; {STATUSES['X.1.1']}"


@pytest.mark.parametrize(
    "reply", [550, "550", "550 ", "550-", "550 no such user", "550 4.1.1 no", "550 5.1.1x"]
)
def test_describe_needs_no_status(reply: int | str) -> None:
    assert describe(reply) == CODES[550]
    assert describe(571) == describe("571 x") == SEVERITIES[5]


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("",), "'' does not begin with a reply code, such as 550"),
        (("no such user",), "'no such user' does not begin"),
        (("5.1.1",), "does not begin"),
        (("5500 x",), "does not begin"),
        (("\x1b[2J",), r"does not begin"),
        ((199,), "199 is not a valid reply code: 200 to 599"),
        ((600,), "600 is not"),
        ((True,), "True is not"),
        ((550, "4.1.1"), "4.1.1 does not belong to a 550 reply"),
        ((354, EnhancedStatusCode(2, 0, 0)), "2.0.0 does not belong to a 354 reply"),
        ((550, "x"), "'x' is not a valid enhanced status code"),
    ],
)
def test_describe_refuses_malformed_codes(arguments: tuple[Any, ...], match: str) -> None:
    with pytest.raises(LocalProtocolError, match=match) as caught:
        describe(*arguments)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("arguments", [(None,), (b"550 x",), (5.5,), ("550 x", "5.1.1"), (Reply(550), "5.1.1")])
def test_describe_refuses_other_types(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="describe"):
        describe(*arguments)


@pytest.mark.req("ESC-09")
@pytest.mark.parametrize(
    "wire, meaning",
    [
        (b"554 5.7.999 x\r\n", "about security or policy"),
        (b"450 4.2.17 x\r\n", "about the mailbox"),
        (b"554 5.9.99 x\r\n", "permanent failure, not worth retrying unchanged"),
        (b"450 4.8.1 x\r\n", "temporary failure, worth retrying later"),
        (b"250 2.999.0 x\r\n", "success"),
    ],
)
def test_an_unknown_status_is_described_by_its_subject_or_its_class(wire: bytes, meaning: str) -> None:
    reply = one(wire)
    assert describe(reply) == f"{CODES[reply.code]}; {meaning}"


@pytest.mark.req("RPL-09")
@pytest.mark.parametrize(
    "code, meaning",
    [
        (259, "success"),
        (399, "accepted so far, more is expected"),
        (471, "temporary failure, worth retrying later"),
        (571, "permanent failure, not worth retrying unchanged"),
    ],
)
def test_an_unknown_code_is_described_by_its_first_digit(code: int, meaning: str) -> None:
    assert describe(one(b"%d x\r\n" % code)) == meaning


def test_a_parser_says_whether_a_reply_begins_with_what_has_arrived() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    for data, begins in [
        (b"250 ok\r\n", True),
        (b"2", True),
        (b"50-one\r\n", False),
        (b"250 two", False),
        (b"\r\n", False),
    ]:
        assert parser.feed(data) is begins
        while parser.next_reply() is not None:
            pass
    assert parser.feed(b"2") is True


def test_few_and_short_replies_are_remembered() -> None:
    parser = ReplyParser(max_line=512, max_lines=10)
    for number in range(2000):
        parser.feed(b"250 %d %b\r\n" % (number, b"x" * (number % 300)))
        assert parser.next_reply() is not None
    assert len(_replyparser._recent) <= 256
    assert max(map(len, _replyparser._recent)) <= 128
