"""What has arrived: every way of cutting it gives the same lines, at a cost that its length bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.receivebuffer import HEAD, ReceiveBuffer

LIMIT = 512
FLOOR = 65536


def lines_of(buffer: ReceiveBuffer, limit: int = LIMIT) -> Iterator[bytes]:
    """Take the lines that are there, as the server does; of one that is too long its beginning and ``>``."""
    while (taken := buffer.take_line(limit)) is not None:
        line, too_long = taken
        if not too_long:
            end = buffer.start - 2
            assert buffer.decode()[end - len(line) : end].encode("latin-1") == line
        yield line + b">" * too_long


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> list[bytes]:
    buffer = ReceiveBuffer(FLOOR)
    lines = []
    for piece in pieces:
        buffer.feed(piece)
        lines += lines_of(buffer, limit)
    return [*lines, buffer.take()]


def drip(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.req("FRM-01")
def test_only_crlf_ends_a_line() -> None:
    data = b"a\nb\rc\n\rd\r\re\x0b\x0cf\x85g\r\nrest\r"
    lines = [b"a\nb\rc\n\rd\r\re\x0b\x0cf\x85g", b"rest\r"]
    assert read([data]) == read(drip(data)) == lines


@pytest.mark.req("FRM-04")
def test_a_crlf_cut_in_two_is_a_line_end() -> None:
    assert read([b"NOOP\r", b"\nQUIT\r", b"\n"]) == [b"NOOP", b"QUIT", b""]


LONG = b"x" * 600
# Every kind of line there can be, and every neighbour: what is too long, and what is just not.
DIALOGUE = b"".join(
    line + b"\r\n"
    for line in (
        b"EHLO a",
        b"",
        b"x" * 510,
        LONG,
        b"NOOP",
        b"y" * 511,
        LONG + b"\r",
        b"\r",
        LONG + b"z" * 600,
        b"QUIT",
    )
)
LINES = [
    *(b"EHLO a", b"", b"x" * 510, b"x" * HEAD + b">", b"NOOP", b"y" * HEAD + b">", b"x" * HEAD + b">", b"\r"),
    *(b"x" * HEAD + b">", b"QUIT", b""),
]


@pytest.mark.req("FRM-04")
def test_every_cut_gives_the_same_lines() -> None:
    assert read([DIALOGUE]) == read(drip(DIALOGUE)) == LINES
    for cut in range(1, len(DIALOGUE)):
        assert read([DIALOGUE[:cut], DIALOGUE[cut:]]) == LINES


@pytest.mark.req("FRM-04")
@given(st.lists(st.integers(0, len(DIALOGUE)), max_size=12).map(sorted))
def test_several_cuts_give_the_same_lines(cuts: list[int]) -> None:
    ends = [*cuts, len(DIALOGUE)]
    pieces = [DIALOGUE[start:end] for start, end in zip([0, *cuts], ends, strict=True) if start < end]
    assert read(pieces) == LINES


def test_the_rest_of_a_line_that_is_too_long_is_never_the_beginning_of_one() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(LONG)
    assert buffer.find_line(LIMIT) == -1
    for piece in (b"QUIT", b"x\r", b"y" * 600, b"QUIT", b"QUIT\r"):
        buffer.feed(piece)
        # The short way looks here, and must not find anything.
        assert buffer.decode()[buffer.start :] == ""
        assert buffer.find_line(LIMIT) == -1
        assert buffer.too_long == LONG[:HEAD]
    buffer.feed(b"\nNOOP\r\n")
    assert list(lines_of(buffer)) == [LONG[:HEAD] + b">", b"NOOP"]


def test_lines_are_found_across_reads_that_were_fed_together() -> None:
    buffer = ReceiveBuffer(FLOOR)
    for piece in (b"aaaa\r\nb", b"c\r", b"\nd\r\n"):
        buffer.feed(piece)
    assert len(buffer) == 13
    assert list(lines_of(buffer)) == [b"aaaa", b"bc", b"d"]
    assert len(buffer) == 0


def test_the_search_for_a_line_begins_anew_after_whole_lines() -> None:
    buffer = ReceiveBuffer(FLOOR)
    for cleared in (True, False, False):
        for piece in (b"a\r\n", b"b\r\n"):
            buffer.feed(piece)
        assert list(lines_of(buffer)) == [b"a", b"b"]
        # The search has gone on to somewhere else by now, and has to begin again.
        for piece in (b"abcdef", b"ghijkl"):
            buffer.feed(piece)
            assert buffer.find_line(LIMIT) == -1
        if cleared:
            buffer.clear()
        buffer.feed(b"\r\n")
        assert list(lines_of(buffer)) == [b"" if cleared else b"abcdefghijkl"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_accepted_and_copied(kind: type) -> None:
    source = bytearray(b"one\r\ntw")
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(kind(source))
    source[:3] = b"***"
    assert list(lines_of(buffer)) == [b"one"]
    buffer.feed(kind(b"o\r\n"))
    assert list(lines_of(buffer)) == [b"two"]
    assert type(buffer.data) is bytes


def test_the_text_has_each_octet_at_its_offset() -> None:
    buffer = ReceiveBuffer(FLOOR)
    assert buffer.text == ""
    data = bytes(range(256))
    buffer.feed(data)
    assert buffer.text is None
    assert [ord(character) for character in buffer.decode()] == list(data)
    assert buffer.text == buffer.decode()
    buffer.find_line(LIMIT)
    buffer.feed(b"\r\n")
    buffer.find_line(LIMIT)
    assert buffer.text is None, "the text of other octets"


def test_the_end_of_the_connection_is_remembered() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(b"QUI")
    assert not buffer.at_eof
    buffer.feed(b"")
    buffer.feed(b"")
    assert buffer.at_eof and buffer.peek() == b"Q"
    with pytest.raises(LocalProtocolError, match="after the end"):
        buffer.feed(b"T")
    assert buffer.take() == b"QUI"


def test_octets_can_be_peeked_at_taken_joined_and_cleared() -> None:
    buffer = ReceiveBuffer(FLOOR)
    assert buffer.peek() == b"" == buffer.take()
    buffer.feed(b"ab")
    buffer.start = 1
    buffer.feed(b"cd")
    assert buffer.peek() == b"b"
    buffer.join()
    assert (buffer.data, buffer.start, buffer.text) == (b"bcd", 0, None)
    buffer.join()
    assert buffer.data == b"bcd"
    assert buffer.take() == b"bcd"
    assert (len(buffer), buffer.text, buffer.start) == (0, "", 0)

    buffer.feed(b"ef")
    buffer.find_line(LIMIT)
    assert buffer.peek() == b"e"
    buffer.feed(b"x" * LIMIT)
    buffer.find_line(LIMIT)
    buffer.clear()
    assert (len(buffer), buffer.peek(), buffer.text, buffer.too_long) == (0, b"", "", b"")
    buffer.feed(b"g\r\n")
    assert list(lines_of(buffer)) == [b"g"]


def test_feeding_more_than_the_limit_raises() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(b"NOOP\r\n" * 20000)
    with pytest.raises(LocalProtocolError, match="next_event"):
        buffer.feed(b"x")
    assert len(list(lines_of(buffer))) == 20000
    buffer.feed(b"x")
    assert buffer.take() == b"x"


def test_octets_up_to_the_limit_may_wait() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(b"x" * FLOOR)
    buffer.feed(b"y")
    with pytest.raises(LocalProtocolError, match="65536"):
        buffer.feed(b"z")
    assert len(buffer) == FLOOR + 1


@pytest.mark.req("FRM-16")
@pytest.mark.parametrize("piece", [b"x" * 4096, b"\r" * 4096, b"x", b"\r", b"\n" * 100])
def test_a_line_without_end_takes_no_more_memory_than_its_limit_and_one_read(piece: bytes) -> None:
    buffer = ReceiveBuffer(FLOOR)
    for _ in range(max(2000, 3 * LIMIT)):
        buffer.feed(piece)
        assert buffer.find_line(LIMIT) == -1
        assert len(buffer.data) + len(buffer.rest) <= len(piece) + LIMIT
        assert len(buffer) < LIMIT
    assert buffer.too_long == (piece * HEAD)[:HEAD]


class Counting(bytearray):
    """A bytearray that counts the octets it looks at, and those it moves."""

    searched = 0
    moved = 0

    def find(self, sub: object, start: object = 0, end: object = None) -> int:
        assert isinstance(sub, bytes) and isinstance(start, int) and end is None
        self.searched += len(self) - start
        return super().find(sub, start)

    def __iadd__(self, data: object) -> Self:
        assert isinstance(data, bytes)
        self.moved += len(data)
        self.extend(data)
        return self

    def __setitem__(self, key: object, value: object) -> None:
        assert isinstance(key, slice) and isinstance(value, bytes)
        # In front of what is there, which makes room.
        self.moved += len(self) + len(value)
        super().__setitem__(key, value)

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        assert isinstance(key, slice) and key.start is None, "only the beginning goes without moving the rest"
        super().__delitem__(key)

    def clear(self) -> None:
        # It has been copied by now.
        self.moved += len(self)
        super().clear()


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 20000 + b"\r\n",
        b"\r" * 20000 + b"\n",
        b"NOOP\r\n" * 4000,
        b"\r\n" * 10000,
        (b"x" * 300 + b"\r\n") * 60,
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 999])  # no divisor of the lines: each is cut
@pytest.mark.parametrize("limit", [512, 50000])
def test_each_octet_is_searched_and_moved_a_bounded_number_of_times(data: bytes, size: int, limit: int) -> None:
    buffer = ReceiveBuffer(FLOOR)
    counting = Counting()
    buffer.rest = counting
    lines = 0
    for start in range(0, len(data), size):
        buffer.feed(data[start : start + size])
        lines += len(list(lines_of(buffer, limit)))
    assert lines == data.count(b"\r\n")
    assert 0 < counting.searched <= 3 * len(data)
    assert 0 < counting.moved <= 3 * len(data)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_EOF_ends_a_line_that_is_too_long_and_no_other(size: int) -> None:
    for octets, expected in ((LONG, (LONG[:HEAD], True)), (b"NOOP", None), (b"NOOP\n", None)):
        buffer = ReceiveBuffer(FLOOR)
        for start in range(0, len(octets), size):
            buffer.feed(octets[start : start + size])
            assert buffer.take_line(LIMIT) is None
        buffer.feed(b"")
        assert buffer.take_line(LIMIT) == expected
        assert buffer.take_line(LIMIT) is None


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("searched", [False, True])
def test_counted_octets_are_discarded_wherever_they_lie(searched: bool, size: int) -> None:
    octets = b"0123456789\r\nQUIT\r\n"
    buffer = ReceiveBuffer(FLOOR)
    left = 10
    for start in range(0, len(octets), size):
        buffer.feed(octets[start : start + size])
        if searched and left:
            buffer.find_line(LIMIT)
        left -= buffer.discard(left)
    assert left == 0
    assert buffer.take() == b"\r\nQUIT\r\n"


def test_no_more_octets_are_discarded_than_are_left() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(b"NOOP\r\nabc")
    buffer.start = 6
    assert buffer.discard(10) == 3
    assert len(buffer) == 0
    buffer.feed(b"RSET\r\n")
    assert list(lines_of(buffer)) == [b"RSET"]


def test_a_bare_LF_is_seen_until_it_is_used() -> None:
    buffer = ReceiveBuffer(FLOOR)
    assert not buffer.has_bare_lf
    buffer.feed(b"NOOP\r\nQU")
    assert not buffer.has_bare_lf and buffer.take_line(LIMIT) == (b"NOOP", False)
    assert not buffer.has_bare_lf
    buffer.feed(b"IT\n")
    assert buffer.has_bare_lf and buffer.take_line(LIMIT) is None
    assert buffer.has_bare_lf
    buffer.feed(b"x" * LIMIT)
    assert buffer.take_line(LIMIT) is None and buffer.has_bare_lf


EARLY = [((b"\r", b"\n"), [b""]), ((b"\r\n", b"a\r\n"), [b"", b"a"]), ((b"a\r\n", b"\r\n"), [b"a", b""])]


@pytest.mark.parametrize("before", ["nothing", "a discarded line", "a line in pieces"])
@pytest.mark.parametrize("pieces, lines", EARLY)
def test_lines_that_arrive_before_they_are_looked_for_are_found_in_order(
    pieces: tuple[bytes, ...], lines: list[bytes], before: str
) -> None:
    buffer = ReceiveBuffer(FLOOR)
    if before == "a discarded line":
        buffer.feed(b"xyz")
        assert [*lines_of(buffer)] == []
        buffer.clear()
    elif before == "a line in pieces":
        buffer.feed(b"xy")
        buffer.feed(b"z\r\n")
        assert [*lines_of(buffer)] == [b"xyz"]
    for piece in pieces:
        buffer.feed(piece)
    assert [*lines_of(buffer)] == lines


def test_octets_that_were_used_are_not_kept() -> None:
    buffer = ReceiveBuffer(FLOOR)
    buffer.feed(b"NOOP\r\n")
    buffer.decode()
    assert [*lines_of(buffer)] == [b"NOOP"]
    buffer.release()
    assert (buffer.data, buffer.text, buffer.start, len(buffer)) == (b"", "", 0, 0)
