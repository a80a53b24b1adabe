"""Content: the decoder of a server, the encoder of a client, and line endings made right.

``read()`` is the reader of all tests of the decoder: it feeds pieces until the terminator and says what
came of them. ``readings()`` reads the same octets whole, octet by octet, and cut in two at every place, and
insists that the cutting does not matter. ``expected()`` is the decoder over again, slow and obvious: by
lines, then by octets.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple, SupportsIndex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcore._core.content import (
    _FEW,
    CONTENT_LINE_LENGTH,
    ContentDecoder,
    ContentEncoder,
    Violation,
    _measure_lines,
    _replace,
    check_content,
    encode_content,
    normalize_line_endings,
)
from smtpcore._core.errors import LocalProtocolError

END = b"\r\n.\r\n"


class Rules(NamedTuple):
    max_size: int | None = None
    max_line: int | None = None
    line_endings: Literal["reject", "accept"] = "reject"
    nul: Literal["reject", "accept"] = "reject"

    def decoder(self) -> ContentDecoder:
        return ContentDecoder(**self._asdict())


STRICT = Rules()
LENIENT = Rules(line_endings="accept", nul="accept")


class Reading(NamedTuple):
    content: bytes
    consumed: int
    done: bool
    size: int
    violation: Violation | None


def read(pieces: Iterable[bytes], rules: Rules = STRICT) -> Reading:
    decoder = rules.decoder()
    content = b""
    consumed = 0
    for piece in pieces:
        # Something else comes before it in the same read, and must not be looked at.
        before = b"x\r\n.\r\n\n\r\0"[: len(piece)]
        end = decoder.decode(before + piece, len(before))
        consumed += end - len(before)
        content += decoder.chunk
        if decoder.done:
            break
        assert end == len(before) + len(piece)
    return Reading(content, consumed, decoder.done, decoder.size, decoder.violation)


def cut(octets: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = sorted({0, len(octets), *(place for place in places if place < len(octets))})
    return [octets[start:end] for start, end in pairwise(bounds)]


def readings(wire: bytes, rules: Rules = STRICT) -> Reading:
    whole = read([wire], rules)
    assert read(cut(wire, range(len(wire))), rules) == whole
    for place in range(min(len(wire), 100)):
        assert read(cut(wire, [place]), rules) == whole
    return whole


def unstuffed(wire: bytes) -> tuple[bytes, int]:
    """The content of a stream that has a terminator, and the offset behind that."""
    content = b""
    offset = 0
    for line in wire.split(b"\r\n"):
        offset += len(line) + 2
        if line == b".":
            return content, offset
        content += line.removeprefix(b".") + b"\r\n"
    raise AssertionError("no terminator")


def judged(content: bytes, rules: Rules) -> tuple[bytes, Violation | None]:
    """What may be handed out of a content, and what is wrong with it."""
    column = 0
    at = 0
    while at < len(content):
        octet = content[at : at + 1]
        width = 1
        if content.startswith(b"\r\n", at):
            width = 2
            column = 0
        else:
            column += 1
            if octet in b"\r\n" and rules.line_endings == "reject":
                return content[:at], "bare-cr" if octet == b"\r" else "bare-lf"
            if octet == b"\0" and rules.nul == "reject":
                return content[:at], "nul"
            if rules.max_line is not None and column > rules.max_line:
                return content[:at], "line-too-long"
        at += width
        if rules.max_size is not None and at > rules.max_size:
            return content[: rules.max_size], "too-large"
    return content, None


def expected(wire: bytes, rules: Rules) -> Reading:
    content, consumed = unstuffed(wire)
    accepted, violation = judged(content, rules)
    return Reading(accepted, consumed, True, len(content), violation)


# -- the decoder: where it ends, what it takes off --


@pytest.mark.req("DAT-10", "DAT-11", "DAT-13", "DAT-31", "DAT-36", "SIZ-07")
@pytest.mark.parametrize(
    "wire, content",
    [
        pytest.param(b".\r\n", b"", id="nothing"),
        pytest.param(b"\r\n.\r\n", b"\r\n", id="an empty line"),
        pytest.param(b"\r\n\r\n.\r\n", b"\r\n\r\n", id="two empty lines"),
        pytest.param(b"x\r\n.\r\n", b"x\r\n", id="its last CRLF belongs to it"),
        pytest.param(b"A: b\r\n\r\nc\r\n.\r\n", b"A: b\r\n\r\nc\r\n", id="header and body"),
        pytest.param(b"..\r\n.\r\n", b".\r\n", id="a lone dot"),
        pytest.param(b"..\r\n..\r\n.\r\n", b".\r\n.\r\n", id="two lone dots"),
        pytest.param(b"...\r\n.\r\n", b"..\r\n", id="two dots in a line"),
        pytest.param(b"..\r\n\r\n.\r\n", b".\r\n\r\n", id="a lone dot, then an empty line"),
        pytest.param(b"..a\r\n.\r\n", b".a\r\n", id="a line that starts with a dot"),
        pytest.param(b".a\r\n.\r\n", b"a\r\n", id="a dot that nobody stuffed"),
        pytest.param(b". \r\n.\r\n", b" \r\n", id="a space behind the dot"),
        pytest.param(b"a\r\n\t.\r\n.\r\n", b"a\r\n\t.\r\n", id="a tab in front of the dot"),
        pytest.param(b"a.\r\n.\r\n", b"a.\r\n", id="a dot that ends a line"),
        pytest.param(b"a.b..c\r\n.\r\n", b"a.b..c\r\n", id="dots within a line"),
        pytest.param(b"a\r\n..\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n", id="a lone dot in the middle"),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"NOOP\r\nQUIT\r\n", b".\r\n", b"\r\n.\r\n", b"\0\n\r"])
def test_content_ends_at_its_terminator_and_loses_its_stuffing(
    wire: bytes, content: bytes, rest: bytes
) -> None:
    assert readings(wire + rest) == (content, len(wire), True, len(content), None)


@pytest.mark.parametrize(
    "wire",
    [b"", b"\r", b"\r\n", b"\r\n.", b"\r\n.\r", b".", b".\r", b"a", b"a\r\n.\r", b"a.\r\n", b"a\r\n. \r\n"],
)
def test_content_without_a_terminator_does_not_end(wire: bytes) -> None:
    reading = readings(wire)
    assert not reading.done
    assert reading.violation is None


LINE_ENDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\r",
    b"\r\r",
    b"\r\r\n",
    b"\r\0\n",
    b"\0\r\n",
    b" \r\n",
    b"\x8d\x8a",
    b"",
)
LOOK_ALIKES = [
    pytest.param(b"A" + before + b"." + after, id=f"A{before!r}.{after!r}")
    for before, after in product(LINE_ENDS, LINE_ENDS)
    if not (before.endswith(b"\r\n") and after == b"\r\n")
]


@pytest.mark.req("DAT-05", "DAT-06", "DAT-07")
@pytest.mark.parametrize("rules", [STRICT, LENIENT], ids=["strict", "lenient"])
@pytest.mark.parametrize("look_alike", LOOK_ALIKES)
def test_only_the_terminator_ends_the_content(look_alike: bytes, rules: Rules) -> None:
    wire = look_alike + b"MAIL FROM:<smuggled@example.com>\r\nDATA\r\nx\r\n.\r\n"
    reading = readings(wire + b"QUIT\r\n", rules)
    assert reading.done
    assert reading.consumed == len(wire)
    assert reading == expected(wire, rules)


@pytest.mark.req("DAT-05", "DAT-06", "DAT-07")
@pytest.mark.parametrize(
    "wire, content, violation",
    [
        pytest.param(b"\nQUIT", b"", "bare-lf", id="LF first of all"),
        pytest.param(b"\rQUIT", b"", "bare-cr", id="CR first of all"),
        pytest.param(b"\r.\rQUIT", b"", "bare-cr", id="CR . CR first of all"),
        pytest.param(b".\nQUIT", b"", "bare-lf", id=". LF first of all"),
        pytest.param(b"\n.\nQUIT", b"", "bare-lf", id="LF . LF first of all"),
        pytest.param(b"\r\n.\rQUIT", b"\r\n", "bare-cr", id="CRLF . CR first of all"),
        pytest.param(b"a\nQUIT", b"a", "bare-lf", id="LF"),
        pytest.param(b"a\rQUIT", b"a", "bare-cr", id="CR"),
        pytest.param(b"a\n\rQUIT", b"a", "bare-lf", id="LF CR"),
        pytest.param(b"a\r\r\nQUIT", b"a", "bare-cr", id="CR CRLF"),
        pytest.param(b"a\r\n\nQUIT", b"a\r\n", "bare-lf", id="CRLF LF"),
        pytest.param(b"a\r\n.\n.\r", b"a\r\n", "bare-lf", id="CRLF . LF . CR"),
        pytest.param(b"H: 1\n\nb", b"H: 1", "bare-lf", id="a header with LF, a body with CRLF"),
        pytest.param(b"a\n..\r\nb", b"a", "bare-lf", id="LF and two dots"),
        pytest.param(b"a\r\n..b\nc", b"a\r\n.b", "bare-lf", id="LF behind a stuffing dot"),
        pytest.param(b"a\r\0\nb", b"a", "bare-cr", id="CR NUL LF"),
        pytest.param(b"a\0b\nc", b"a", "nul", id="NUL before LF"),
        pytest.param(b"a\r\n\0.\r\nb", b"a\r\n", "nul", id="NUL before a lone dot"),
    ],
)
def test_a_bare_line_end_spoils_all_that_follows_it(wire: bytes, content: bytes, violation: Violation) -> None:
    reading = readings(wire + END + b"QUIT\r\n")
    assert (reading.content, reading.violation) == (content, violation)
    assert reading.consumed == len(wire + END)


@pytest.mark.req("DAT-06", "DAT-36")
@pytest.mark.parametrize(
    "content",
    [b"a\n.\nb\r\n", b"a\n..b\r\n", b"a\r..b\r\n", b"\n\r\r\r\n", b"\n.\r\n", b"\r.\r\n", b"\r\r\n"],
)
def test_accepted_bare_line_ends_are_octets_like_any_other(content: bytes) -> None:
    assert readings(content + b".\r\n", LENIENT) == (content, len(content) + 3, True, len(content), None)


@pytest.mark.parametrize("wire", [b"a\nb", b"a\rb"])
def test_accepting_nul_is_not_accepting_bare_line_ends(wire: bytes) -> None:
    assert readings(wire + END, Rules(nul="accept")).violation is not None
    assert readings(wire + END, Rules(line_endings="accept")).violation is None


def test_accepting_bare_line_ends_is_not_accepting_nul() -> None:
    assert readings(b"a\0" + END, Rules(line_endings="accept")).violation == "nul"
    assert readings(b"a\0" + END, Rules(nul="accept")).violation is None


@pytest.mark.req("DAT-18", "DAT-36", "EIG-03")
def test_every_octet_arrives_as_it_is() -> None:
    octets = bytes(set(range(256)) - set(b"\r\n")) * 2
    content = b"".join(b"%b%b\r\n" % (octets[i:], octets[:i]) for i in range(256) if octets[i] != ord("."))
    assert read(cut(content + b".\r\n", range(0, 10**6, 999)), Rules(nul="accept")).content == content
    clean = content.replace(b"\0", b"")
    assert read([clean + b".\r\n"]) == (clean, len(clean) + 3, True, len(clean), None)


# -- the decoder: limits --


@pytest.mark.req("LIM-11", "EIG-06")
@pytest.mark.parametrize("letter", [b"a", b"\xff"], ids=["ascii", "8-bit"])
@pytest.mark.parametrize("column", [0, 1, 500])
def test_stuffing_dot_and_CRLF_do_not_count_as_line(column: int, letter: bytes) -> None:
    line = (b"." if column == 0 else b"") + letter * CONTENT_LINE_LENGTH
    line = line[:CONTENT_LINE_LENGTH]
    content = b"x" * column + b"\r\n" + line + b"\r\n"
    wire = content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    assert readings(wire, Rules(max_line=CONTENT_LINE_LENGTH)).content == content


@pytest.mark.req("LIM-13", "EIG-06")
@pytest.mark.parametrize("start", [b"", b".", b"x\r\n", b"x\r\n."])
def test_a_line_too_long_spoils_the_content_and_is_never_folded(start: bytes) -> None:
    wire = start + b"\xe9" * 9 + b".\r\nb" + END
    content, consumed = unstuffed(wire)
    at = content.index(b"\xe9") + 8
    assert readings(wire, Rules(max_line=8)) == (content[:at], consumed, True, len(content), "line-too-long")


@pytest.mark.req("LIM-13")
def test_without_a_limit_a_line_of_any_length_is_passed_on_whole() -> None:
    content = b"a" * 100_000 + b"\r\n"
    assert read(cut(content + b".\r\n", range(0, 10**6, 777))).content == content


def test_a_line_is_measured_across_pieces() -> None:
    assert read([b"ab", b"cd", b"\r", b"\nabcd\r\n.\r\n"], Rules(max_line=4)).violation is None
    assert read([b"ab", b"cd", b"e\r\nab\r\n.\r\n"], Rules(max_line=4)).content == b"abcd"
    # A CR in the last column is undecided: with an LF it is no octet of the line, without it is one too many.
    assert read([b"abcd\r", b"\r\n.\r\n"], Rules(max_line=4, line_endings="accept")).content == b"abcd"


@pytest.mark.req("DAT-30", "SIZ-07")
@pytest.mark.parametrize("spare", [-4, -3, -2, -1, 0, 1])
def test_content_beyond_the_size_limit_is_read_to_its_end_and_not_handed_out(spare: int) -> None:
    content = b"a\r\n.b\r\n.\r\n.\r\n"
    wire = b"a\r\n..b\r\n..\r\n..\r\n.\r\n"
    limit = len(content) + spare
    reading = readings(wire + b"QUIT\r\n", Rules(max_size=limit))
    assert reading.content == content[:limit]
    assert reading.violation == ("too-large" if spare < 0 else None)
    assert reading.consumed == len(wire)
    assert reading.size == len(content)


@pytest.mark.req("SIZ-07")
def test_size_counts_neither_stuffing_nor_terminator() -> None:
    assert readings(b"..\r\n.\r\n").size == 3
    assert readings(b"a\n..\r\n..b\r\n.\r\n").size == len(b"a\n..\r\n.b\r\n")


@pytest.mark.parametrize(
    "wire, rules, violation, content",
    [
        pytest.param(b"abcdef", Rules(max_line=3, max_size=5), "line-too-long", b"abc", id="line, then size"),
        pytest.param(b"abcdef", Rules(max_line=5, max_size=3), "too-large", b"abc", id="size, then line"),
        pytest.param(b"abc\ndef", Rules(max_line=4, max_size=5), "bare-lf", b"abc", id="LF, then line"),
        pytest.param(b"abcdef\n", Rules(max_line=4, max_size=5), "line-too-long", b"abcd", id="line, then LF"),
        pytest.param(b"a\0\n", Rules(), "nul", b"a", id="NUL, then LF"),
        pytest.param(b"a\r\0", Rules(), "bare-cr", b"a", id="CR, then NUL"),
        pytest.param(b"ab\nd", Rules(max_line=2, max_size=2), "bare-lf", b"ab", id="LF is the octet too many"),
        pytest.param(b"ab\0d", Rules(max_line=2, max_size=2), "nul", b"ab", id="NUL is the octet too many"),
        pytest.param(b"abcd", Rules(max_line=2, max_size=2), "line-too-long", b"ab", id="line and size"),
    ],
)
def test_the_first_violation_counts(wire: bytes, rules: Rules, violation: Violation, content: bytes) -> None:
    reading = readings(wire + END, rules)
    assert (reading.violation, reading.content) == (violation, content)


# -- the decoder: any octets, any cuts, any rules --

octets = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"a", b"\0", b"\xff", b"\r\n", b"\r\n.", b"\n.", b"aaa"]),
    max_size=25,
).map(b"".join)
places = st.lists(st.integers(0, 60), max_size=6)
sizes = st.none() | st.integers(0, 12)
any_rules = st.builds(
    Rules, sizes, sizes, st.sampled_from(["reject", "accept"]), st.sampled_from(["reject", "accept"])
)


@pytest.mark.req("DAT-05", "DAT-06", "DAT-07", "DAT-10", "DAT-13", "DAT-30", "DAT-36", "SIZ-07")
@given(octets, octets, places, any_rules)
@example(b"\r\n.\r", b"", [], STRICT)
@example(b"\r\n.\r\r", b"\n", [5], LENIENT)
@example(b".\n", b"", [1, 2], Rules(max_line=0, line_endings="accept"))
def test_decoder_agrees_with_a_simple_decoder(
    wire: bytes, rest: bytes, places: list[int], rules: Rules
) -> None:
    wire += END + rest
    assert read(cut(wire, places), rules) == expected(wire, rules)


@pytest.mark.req("DAT-37")
@given(octets, places, any_rules)
def test_every_beginning_of_a_stream_is_read_alike_however_it_is_cut(
    wire: bytes, places: list[int], rules: Rules
) -> None:
    whole = read([wire], rules)
    assert read(cut(wire, places), rules) == whole
    # What was handed out is right, and what was not is the little that was uncertain.
    final = wire[: whole.consumed] if whole.done else wire + END
    content, violation = judged(unstuffed(final)[0], rules)
    assert content.startswith(whole.content)
    assert whole.violation in (None, violation)
    if violation is None:
        assert len(content) - len(whole.content) <= (0 if whole.done else 4 + 2)


@pytest.mark.req("DAT-37")
def test_decoder_keeps_nothing_but_a_possible_terminator() -> None:
    def weight(decoder: ContentDecoder) -> int:
        return sum(sys.getsizeof(getattr(decoder, name)) for name in decoder.__slots__ if name != "chunk")

    for wire in (b"a" * 4096, b"..\r\n" * 1024, b".a\r\n\r\n.\n" * 512, b"\0" * 4096):
        decoder = Rules(max_size=10**9, max_line=10**9).decoder()
        before = weight(decoder)
        handed_out = 0
        for _ in range(1000):
            decoder.decode(wire, 0)
            handed_out += len(decoder.chunk)
            if decoder.violation is None:
                assert decoder.size - handed_out <= 4
        assert weight(decoder) < before + 100


def test_terminator_across_the_border_of_two_reads() -> None:
    for shift in range(-3, 5):
        content = b"a\r\n" * 100 + b"x" * (65536 - 302 + shift) + b"\r\n"
        pieces = cut(content + b".\r\nNOOP\r\n", [65536])
        assert len(pieces) == 2
        assert read(pieces) == (content, len(content) + 3, True, len(content), None)


@pytest.mark.req("DAT-13", "DAT-36")
@pytest.mark.parametrize("count", [1, _FEW - 1, _FEW, _FEW + 1, 3 * _FEW])
def test_any_number_of_stuffing_dots_in_one_read(count: int) -> None:
    for line in (b".", b".a", b"..", b".\r\n"):
        content = (line + b"\r\n") * count
        wire = (b"." + line + b"\r\n") * count + b".\r\n"
        assert read([wire]) == expected(wire, STRICT) == (content, len(wire), True, len(content), None)
        assert _replace(wire, b"\r\n.", b"\r\n") == wire.replace(b"\r\n.", b"\r\n")


# -- how much is read how often --


class Watched(bytes):
    """Counts the octets that are searched or copied."""

    touched = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        found = super().find(sub, start, end)
        self.touched += (len(self) if found < 0 else found + len(sub)) - start
        return found

    def rfind(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        found = super().rfind(sub, start, end)
        self.touched += min(len(self), len(self) if end is None else end) - (start if found < 0 else found)
        return found

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, bytes):
            self.touched += len(part)
        return part


@pytest.mark.parametrize(
    "message",
    [b".\r\n", b"a\r\n.\r\n", b"..\r\n.\r\n", b"a.\r\nb\r\n.\r\n", b"a\nb\r\n.\r\n", b"a" * 90 + END],
)
def test_a_read_full_of_messages_is_not_searched_again_for_each(message: bytes) -> None:
    data = Watched(message * 300)
    start = 0
    while start < len(data):
        decoder = ContentDecoder()
        start = decoder.decode(data, start)
        assert decoder.done
    assert data.touched <= 6 * len(data)


@pytest.mark.parametrize("limit", [0, 1, 10, 100])
def test_lines_are_measured_in_a_number_of_steps_that_only_their_octets_bound(limit: int) -> None:
    short, long = b"\r\n", b"a" * limit + b"\r\n"
    for lines in ([short], [long], [short, long], [short, short, long], [long, short, b"\n" * limit + short]):
        content = Watched(b"".join(lines) * 100)
        assert _measure_lines(content, 0, limit) == (-1, 0)
        assert content.touched <= 3 * len(content) + limit


# -- the encoder --


def encoded(pieces: Iterable[bytes], **options: Any) -> bytes:
    encoder = ContentEncoder(**options)
    return b"".join(encoder.encode(piece) for piece in pieces) + encoder.finish()


@pytest.mark.req("DAT-12", "DAT-15", "DAT-16")
@pytest.mark.parametrize(
    "content, wire",
    [
        pytest.param(b"", b".\r\n", id="nothing"),
        pytest.param(b"x\r\n", b"x\r\n.\r\n", id="a line"),
        pytest.param(b"x", b"x\r\n.\r\n", id="the last CRLF is missing"),
        pytest.param(b"\r\n", b"\r\n.\r\n", id="an empty line"),
        pytest.param(b".", b"..\r\n.\r\n", id="a dot"),
        pytest.param(b".\r\n", b"..\r\n.\r\n", id="a lone dot"),
        pytest.param(b"..\r\n", b"...\r\n.\r\n", id="two dots"),
        pytest.param(b".a\r\n", b"..a\r\n.\r\n", id="a dot at the start"),
        pytest.param(b"x\r\n.a\r\n", b"x\r\n..a\r\n.\r\n", id="a dot at the start of another line"),
        pytest.param(b".\r\n.\r\n.\r\n", b"..\r\n..\r\n..\r\n.\r\n", id="lone dots"),
        pytest.param(b"a.\r\n.", b"a.\r\n..\r\n.\r\n", id="a dot last of all"),
        pytest.param(b"a..b\r\n .\r\n", b"a..b\r\n .\r\n.\r\n", id="dots elsewhere"),
        pytest.param(b"a" + END + b"QUIT\r\n", b"a\r\n..\r\nQUIT\r\n.\r\n", id="a terminator"),
        pytest.param(b"\0\x7f\xff\r\n", b"\0\x7f\xff\r\n.\r\n", id="octets of all sorts"),
    ],
)
def test_dots_are_stuffed_and_the_end_is_put_on_wherever_it_is_cut(content: bytes, wire: bytes) -> None:
    assert encoded([content]) == wire
    assert encoded(cut(content, range(len(content)))) == wire
    for place in range(len(content) + 1):
        assert encoded([content[:place], b"", content[place:]]) == wire


@pytest.mark.req("DAT-12")
@pytest.mark.parametrize("count", [_FEW - 1, _FEW, _FEW + 1, 3 * _FEW])
def test_any_number_of_dots_is_stuffed(count: int) -> None:
    assert encoded([b".a\r\n" * count]) == b"..a\r\n" * count + b".\r\n"
    assert encoded([b".\r\n" * count]) == b"..\r\n" * count + b".\r\n"


@pytest.mark.req("DAT-08", "DAT-12", "DAT-14", "DAT-15", "DAT-16", "DAT-17")
@given(octets, places, places)
def test_decoder_restores_what_the_encoder_was_given(
    content: bytes, sent: list[int], received: list[int]
) -> None:
    complete = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    try:
        wire = encoded(cut(content, sent))
    except LocalProtocolError:
        # A CR at the very end is bare, even though a CRLF is going to follow.
        assert content.endswith(b"\r") or judged(complete, Rules(nul="accept"))[1] is not None
    else:
        assert read(cut(wire, received), Rules(nul="accept")) == (
            complete,
            len(wire),
            True,
            len(complete),
            None,
        )
        assert judged(wire, Rules(nul="accept"))[1] is None


@pytest.mark.req("DAT-08")
@pytest.mark.parametrize(
    "pieces, complaint",
    [
        ([b"a\nb"], r"line 1 of the content has a bare LF: .*normalize_line_endings"),
        ([b"a\r\nb\r\n\n"], r"line 3 of the content has a bare LF"),
        ([b"\n"], r"line 1 of the content has a bare LF"),
        ([b"a\rb"], r"line 1 of the content has a bare CR: .*normalize_line_endings"),
        ([b"a\r\r\n"], r"line 1 of the content has a bare CR"),
        (
            [b"a\r", b"b"],
            r"line 1 of the piece from octet 1 on has a bare CR",
        ),
        ([b"a\r", b"\r"], r"line 1 of the piece from octet 1 on has a bare CR"),
        ([b"a\r\n", b"b\r\nc\n"], r"line 2 of the piece from octet 3 on has a bare LF"),
        ([b"a\r\n" * 10, b"\n"], r"line 1 of the piece from octet 30 on has a bare LF"),
        ([b"a" * 2000 + b"\n"], r"has a bare LF"),
    ],
)
def test_a_bare_line_end_is_refused(pieces: Sequence[bytes], complaint: str) -> None:
    encoder = ContentEncoder()
    wire = b"".join(encoder.encode(piece) for piece in pieces[:-1])
    with pytest.raises(LocalProtocolError, match=complaint):
        encoder.encode(pieces[-1])
    assert wire == b"".join(pieces[:-1]).removesuffix(b"\r")


@pytest.mark.req("DAT-17")
def test_a_final_CR_does_not_merge_with_the_terminator() -> None:
    encoder = ContentEncoder()
    assert encoder.encode(b"a\r\nb\r") == b"a\r\nb"
    with pytest.raises(LocalProtocolError, match=r"the content ends in a bare CR: "):
        encoder.finish()
    # Nothing has changed: its LF may come yet.
    assert encoder.encode(b"\n") == b"\r\n"
    assert encoder.finish() == b".\r\n"
    assert encoder.size == 6


def test_a_refused_piece_changes_nothing() -> None:
    encoder = ContentEncoder(max_line=5)
    assert encoder.encode(b"abc\r") == b"abc"
    for refused in (b"\xff\n", b"\n\xff\n", b"\n.\r\xff", b"\nabcdef", b"\r\n"):
        with pytest.raises(LocalProtocolError):
            encoder.encode(refused)
        assert (encoder.size, encoder.eight_bit) == (4, False)
    assert encoder.encode(b"\n.bcde") == b"\r\n..bcde"
    with pytest.raises(LocalProtocolError):
        encoder.encode(b"f")
    assert encoder.finish() == END
    assert encoder.size == len(b"abc\r\n.bcde\r\n")


@pytest.mark.req("LIM-12", "EIG-06")
@pytest.mark.parametrize("letter", [b"a", b"\xff"], ids=["ascii", "8-bit"])
def test_a_line_of_998_octets_is_sent_and_one_of_999_is_not(letter: bytes) -> None:
    line = letter * 998
    assert encoded([b"x\r\n", line[:500], line[500:], b"\r", b"\n", line]) == b"x\r\n%b\r\n%b\r\n.\r\n" % (
        line,
        line,
    )
    assert encoded([b"." + line[1:]]) == b"..%b\r\n.\r\n" % line[1:]
    assert encoded([line, line], max_line=None) == b"%b%b\r\n.\r\n" % (line, line)
    for pieces in ([line + letter], [line, letter], [line[1:], letter * 2], [b"." + line]):
        with pytest.raises(
            LocalProtocolError, match=r"line 1 of .* is longer than 998 octets: encode that part"
        ):
            encoded(pieces)
    with pytest.raises(LocalProtocolError, match="line 3 of the content is longer than 998 octets"):
        encoded([b"x\r\nx\r\n" + line + letter + b"\r\n"])


@pytest.mark.req("SIZ-07")
@pytest.mark.parametrize(
    "content, size", [(b"", 0), (b".\r\n", 3), (b".", 3), (b"a\r\n.b\r\n", 7), (b"\r\n", 2)]
)
def test_encoder_and_decoder_count_the_same_size(content: bytes, size: int) -> None:
    encoder = ContentEncoder()
    wire = encoder.encode(content) + encoder.finish()
    assert encoder.size == readings(wire).size == size


@pytest.mark.req("EIG-03")
def test_encoder_tells_eight_bit_content_and_leaves_it_as_it_is() -> None:
    encoder = ContentEncoder()
    assert encoder.encode(bytes(set(range(128)) - set(b"\r\n")) + b"\r\n").isascii()
    assert not encoder.eight_bit
    assert encoder.encode(bytes(range(128, 256))) == bytes(range(128, 256))
    assert encoder.eight_bit
    encoder.encode(b"a")
    assert encoder.eight_bit


@pytest.mark.req("DAT-37")
@given(
    st.lists(st.sampled_from([b"a", b".", b"\r\n", b"\r\n.", b"aaa.\r\n"]), max_size=20).map(b"".join), places
)
def test_encoder_keeps_nothing_but_a_CR(content: bytes, places: list[int]) -> None:
    encoder = ContentEncoder()
    given_, wire = b"", b""
    for piece in cut(content, places):
        given_ += piece
        wire += encoder.encode(piece)
        assert wire == (b"\r\n" + given_.removesuffix(b"\r")).replace(b"\r\n.", b"\r\n..")[2:]


# -- line endings --


@pytest.mark.req("DAT-08", "DAT-09")
@pytest.mark.parametrize(
    "text, wire",
    [
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"\n.", b"\r\n..\r\n.\r\n"),
        (b"a\r\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n"),
        (b"\xff\0\n\r.", b"\xff\0\r\n\r\n..\r\n.\r\n"),
    ],
)
def test_line_ends_are_normalized_before_dots_are_stuffed(text: bytes, wire: bytes) -> None:
    assert encoded(normalize_line_endings([text])) == wire
    assert encoded(normalize_line_endings(cut(text, range(len(text))))) == wire


@pytest.mark.req("DAT-08")
@given(octets, places)
def test_line_ends_of_any_octets_can_be_normalized(content: bytes, places: list[int]) -> None:
    normal = b"".join(normalize_line_endings(cut(content, places)))
    assert normal == b"\r\n".join(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    assert judged(normal, Rules(nul="accept"))[1] is None
    assert b"".join(normalize_line_endings([normal])) == normal


@pytest.mark.req("DAT-37")
def test_line_ends_are_normalized_piece_by_piece() -> None:
    pieces = normalize_line_endings(iter([b"a\n", b"b\r", b"\nc\r", b"d"]))
    assert [next(pieces) for _ in range(4)] == [b"a\r\n", b"b", b"\r\nc", b"\r\nd"]


@pytest.mark.req("DAT-08")
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_normalizing_bytes_returns_bytes(make: Callable[[bytes], Any]) -> None:
    assert normalize_line_endings(make(b"a\nb\rc\r\n\r\n")) == b"a\r\nb\r\nc\r\n\r\n"
    assert normalize_line_endings(make(b"")) == b""


def test_line_ends_of_a_file_are_normalized_without_reading_it_whole() -> None:
    file = io.BytesIO(b"0123456789abcd\r\n" * 10_000 + b"x\ny")
    pieces = normalize_line_endings(file)
    first = next(pieces)
    assert file.tell() < 100_000
    assert first + b"".join(pieces) == b"0123456789abcd\r\n" * 10_000 + b"x\r\ny"


@pytest.mark.parametrize(
    "content, kind",
    [
        ("a\n", "str: encode"),
        (io.StringIO("a\n"), "StringIO"),
        (7, "int"),
        (None, "NoneType"),
        (["a\n"], "str: encode"),
        ([7], "int"),
    ],
)
def test_normalizing_refuses_text_and_other_types(content: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"takes bytes, a binary file or an iterable of bytes, not {kind}"):
        list(normalize_line_endings(content))


# --- A whole content, before it is sent ---


@pytest.mark.parametrize(
    "content, complaint", [(b"a\nb\r\n", "bare LF"), (b"a\r", "bare CR"), (b"a\rb", "bare CR")]
)
def test_a_whole_content_is_judged_as_the_encoder_would(content: bytes, complaint: str) -> None:
    for judge in (check_content, encode_content):
        with pytest.raises(LocalProtocolError, match=complaint):
            judge(content)


@pytest.mark.parametrize("around", [-3, -2, -1, 0, 1])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\xff"])
def test_a_whole_content_is_encoded_as_in_pieces(around: int, end: bytes) -> None:
    line = b"x" * 62 + b"\r\n"
    content = line * 1024 + line[-2 - around - 62 :] + b".a\r\n" + end
    encoder = ContentEncoder()
    expected = encoder.encode(content) + encoder.finish()
    pieces, eight_bit = encode_content(content)
    assert b"".join(pieces) == expected
    assert eight_bit is (end == b"\xff")
    assert max(map(len, pieces)) < 65600
    assert encode_content(b"") == ([b".\r\n"], False)


def test_the_line_of_a_large_content_is_counted_from_its_beginning() -> None:
    with pytest.raises(LocalProtocolError, match="line 20001 of the content has a bare LF"):
        encode_content(b"line\r\n" * 20000 + b"a\n")


def test_a_whole_content_may_have_long_lines_only_if_that_is_allowed() -> None:
    content = b"x" * (CONTENT_LINE_LENGTH + 1)
    check_content(b"x" * (CONTENT_LINE_LENGTH - 2))
    check_content(content, max_line=None)
    with pytest.raises(LocalProtocolError):
        check_content(content)


@pytest.mark.parametrize("wire, chunk", [(b"\r\n.\r\n", b"\r\n"), (b"\r\n\r\n.\r\n", b"\r\n\r\n")])
def test_a_message_of_empty_lines_ends(wire: bytes, chunk: bytes) -> None:
    decoder = ContentDecoder()
    assert decoder.decode(wire + b"QUIT\r\n", 0) == len(wire)
    assert (decoder.done, decoder.chunk, decoder.violation) == (True, chunk, None)


@pytest.mark.parametrize("wire, violation", [(b"a\0b\r\n.\r\n", "nul"), (b"a\nb\r\n.\r\n", "bare-lf")])
def test_without_options_nothing_is_accepted_that_the_standard_forbids(wire: bytes, violation: str) -> None:
    decoder = ContentDecoder()
    decoder.decode(wire, 0)
    assert decoder.violation == violation
