"""Content that is not bytes: files and iterables, ready to be sent, and ready to be sent again."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from smtpcore import ArgumentTypeError, LocalProtocolError
from smtpcore._net import sources as _sources
from smtpcore._net.sources import PIECE, opened
from smtpcore._net.stream import run

CONTENT = b"Subject: x\r\n\r\nbody\r\n"
LARGE = b"x" * 70 + b"\r\n"

on_both_kinds_of_server = pytest.mark.parametrize("eight_bit", [True, False])


class Refused(Exception):
    """What ends a transaction."""


def pieces_of(
    content: Any, *, eight_bit: bool = True, suspends: bool = True, fail_after: int = -1
) -> list[bytes]:
    """The pieces that a transaction would send.

    Args:
        content: The content.
        eight_bit: The server offers 8BITMIME.
        suspends: Asynchronous iterables can be waited for.
        fail_after: The transaction fails after so many pieces.
    """
    pieces: list[bytes] = []

    async def transaction() -> None:
        async with opened(content, eight_bit=eight_bit, suspends=suspends) as source:
            while len(pieces) != fail_after:
                if source.awaited is not None:
                    piece = await anext(source.awaited, b"")
                else:
                    piece = next(source.pieces, b"")
                if not piece:
                    return
                pieces.append(piece)
            raise Refused

    run(transaction())
    return pieces


def generator(*pieces: Any) -> Iterator[Any]:
    yield from pieces


async def asynchronous(*pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


class OnlyRead:
    """As little of a file as there can be."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = [*pieces, b""]

    def read(self, size: int) -> Any:
        return self._pieces.pop(0)


# --- The octets -----------------------------------------------------------------------------------------------


@on_both_kinds_of_server
@pytest.mark.parametrize(
    "make",
    [
        lambda octets: io.BytesIO(octets),
        lambda octets: Unseekable(octets),
        lambda octets: OnlyRead(octets[:5], octets[5:]),
        lambda octets: [octets[:5], b"", octets[5:]],
        lambda octets: (octets,),
        lambda octets: generator(b"", octets[:5], octets[5:]),
        lambda octets: [bytearray(octets[:5]), memoryview(octets[5:])],
        lambda octets: asynchronous(octets[:5], b"", bytearray(octets[5:])),
    ],
)
def test_all_octets_are_sent_in_order(make: Any, eight_bit: bool) -> None:
    for octets in (CONTENT, LARGE * 3000):
        pieces = pieces_of(make(octets), eight_bit=eight_bit)
        assert b"".join(pieces) == octets
        assert max(map(len, pieces)) <= PIECE
        assert all(pieces), "an empty piece would be the end"


def test_a_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"skipped" + CONTENT)
    file.seek(7)
    assert pieces_of(file) == [CONTENT]
    assert file.read() == b"", "after success it stands at its end"


@pytest.mark.parametrize(
    "make", [io.BytesIO, lambda octets: generator(octets), lambda octets: asynchronous(octets)]
)
def test_octets_above_127_are_refused_before_anything_where_8bitmime_is_not_offered(make: Any) -> None:
    assert pieces_of(make(b"\xfc\r\n")) == [b"\xfc\r\n"]
    with pytest.raises(LocalProtocolError, match="does not offer 8BITMIME"):
        pieces_of(make(b"x\r\n\xfc\r\n"), eight_bit=False, fail_after=0)


@pytest.mark.parametrize("make", [io.BytesIO, lambda octets: asynchronous(octets)])
def test_a_large_content_is_not_kept_in_memory(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Any] = []

    class Spy(tempfile.SpooledTemporaryFile[bytes]):
        def rollover(self) -> None:
            copies.append(self)
            super().rollover()

    monkeypatch.setattr(_sources.tempfile, "SpooledTemporaryFile", Spy)
    octets = LARGE * (1 + _sources.IN_MEMORY // len(LARGE))
    assert b"".join(pieces_of(make(octets), eight_bit=False)) == octets
    assert [copy.closed for copy in copies] == [True]


# --- Empty content --------------------------------------------------------------------------------------------


def used(file: Any) -> Any:
    file.read()
    return file


def closed(one: Any) -> Any:
    one.close()
    return one


@on_both_kinds_of_server
@pytest.mark.parametrize(
    "make",
    [
        lambda: io.BytesIO(),
        lambda: used(io.BytesIO(CONTENT)),
        list,
        lambda: [b"", b""],
        lambda: closed(generator(CONTENT)),
    ],
)
def test_a_source_that_is_seen_to_be_empty_is_refused_before_anything(make: Any, eight_bit: bool) -> None:
    with pytest.raises(LocalProtocolError, match="the content is empty"):
        pieces_of(make(), eight_bit=eight_bit, fail_after=0)


@on_both_kinds_of_server
@pytest.mark.parametrize(
    "make",
    [
        lambda: generator(),
        lambda: generator(b""),
        lambda: Unseekable(),
        lambda: OnlyRead(),
        lambda: asynchronous(),
        lambda: asynchronous(b"", b""),
    ],
)
def test_a_source_that_turns_out_to_be_empty_is_refused_before_the_final_dot(
    make: Any, eight_bit: bool
) -> None:
    with pytest.raises(LocalProtocolError, match="the content is empty"):
        pieces_of(make(), eight_bit=eight_bit)


# --- What is not content --------------------------------------------------------------------------------------


class TextFile(io.StringIO):
    """It has an encoding, and says so."""


class ReadsText(OnlyRead):
    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, position: int) -> None:
        pass


@pytest.mark.parametrize(
    "content", ["text", TextFile("text"), 7, None, object(), ReadsText("text"), [CONTENT, "text"], [7]]
)
def test_what_is_not_octets_is_refused_before_anything(content: Any) -> None:
    with pytest.raises(ArgumentTypeError):
        pieces_of(content, fail_after=0)


@pytest.mark.parametrize("content", [7, None, object()])
def test_an_error_about_content_says_what_content_is(content: Any) -> None:
    with pytest.raises(
        ArgumentTypeError, match=r"^content is bytes, a binary file or an iterable of bytes, not "
    ):
        pieces_of(content)


def test_an_email_message_belongs_to_send_message() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    with pytest.raises(ArgumentTypeError, match=r"EmailMessage is not: .* EmailMessage to send_message"):
        pieces_of(message)


@pytest.mark.parametrize(
    "content", [generator("text"), OnlyRead("text"), OnlyRead(CONTENT, ""), asynchronous(7)]
)
def test_what_turns_out_not_to_be_octets_is_refused_where_it_comes(content: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="a piece of it is"):
        pieces_of(content)


def test_an_asynchronous_iterable_needs_a_task_that_can_wait() -> None:
    source = asynchronous(CONTENT)
    with pytest.raises(ArgumentTypeError, match=r"smtpcore\.asyncio or smtpcore\.trio"):
        pieces_of(source, suspends=False)


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_file_that_cannot_be_read_is_refused_before_anything(mode: str, tmp_path: Path) -> None:
    with open(tmp_path / "file", mode) as file, pytest.raises(LocalProtocolError, match="cannot be read"):
        pieces_of(file, fail_after=0)
    with pytest.raises(LocalProtocolError, match="cannot be read"):
        pieces_of(file, fail_after=0)  # closed


def test_a_file_that_does_not_wait_and_has_nothing_now_is_not_at_its_end() -> None:
    with pytest.raises(LocalProtocolError, match="non-blocking"):
        pieces_of(OnlyRead(CONTENT, None, CONTENT))


# --- After a failure ------------------------------------------------------------------------------------------


@on_both_kinds_of_server
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_file_goes_back_to_where_it_stood(after: int, eight_bit: bool) -> None:
    file = io.BytesIO(b"skipped" + LARGE * 3000)
    file.seek(7)
    with pytest.raises(Refused):
        pieces_of(file, eight_bit=eight_bit, fail_after=after)
    assert file.tell() == 7


def test_a_generator_that_was_begun_does_not_give_the_rest_of_a_message() -> None:
    source = generator(CONTENT, CONTENT)
    with pytest.raises(Refused):
        pieces_of(source, fail_after=1)
    with pytest.raises(LocalProtocolError, match="the content is empty"):
        pieces_of(source, fail_after=0)


def test_a_generator_that_was_not_begun_can_be_sent_later() -> None:
    source = generator(CONTENT)
    with pytest.raises(Refused):
        pieces_of(source, fail_after=0)
    assert pieces_of(source) == [CONTENT]


class Awkward(io.BytesIO):
    """A file that cannot go back."""

    def seek(self, position: int, whence: int = 0) -> int:
        if self.tell() > 1:
            raise OSError("no")
        return super().seek(position, whence)


def test_a_file_that_cannot_go_back_does_not_hide_the_failure() -> None:
    with pytest.raises(Refused):
        pieces_of(Awkward(CONTENT), fail_after=1)


def test_an_asynchronous_generator_that_fails_on_the_way_is_closed() -> None:
    source = asynchronous(CONTENT, 7, CONTENT)
    with pytest.raises(ArgumentTypeError):
        pieces_of(source)
    assert run(last_of(source)) == b""


async def last_of(source: AsyncIterator[bytes]) -> bytes:
    return await anext(source, b"")


class Stubborn:
    """An asynchronous iterator that cannot be closed."""

    def __init__(self) -> None:
        self._pieces = iter([CONTENT, 7])

    def __aiter__(self) -> Stubborn:
        return self

    async def __anext__(self) -> Any:
        return next(self._pieces)

    async def aclose(self) -> None:
        raise OSError("no")


def test_an_asynchronous_iterator_that_cannot_be_closed_does_not_hide_the_failure() -> None:
    with pytest.raises(ArgumentTypeError):
        pieces_of(Stubborn())
