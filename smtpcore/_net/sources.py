"""The content of a message as callers give it, and pieces of octets as conversations send it.

Content is bytes, a binary file, or an iterable of bytes, which may be asynchronous where a task can wait. All
but bytes can be used up, and a source that is used up looks like an empty message. A server accepts an empty
message without complaint (RFC 5321 6.1), so:

* a source that is not bytes and gives no octet is refused: a message has at least a header (RFC 5322 3.6);
* a file that can seek is read from where it stands, and goes back there if the transaction fails, so that the
  same call can be made again;
* a generator that was begun is closed if the transaction fails: continued later it would give the rest of a
  message as if that were one.

``b""`` is an empty message: bytes cannot be used up.

Whatever can be checked before anything is sent is checked then: the first octet of a file, and the pieces of a
list. An iterator is not read before the reply 354, because a piece that was read would be missing in the next
attempt if MAIL is refused.
"""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from .._core.errors import ArgumentTypeError, LocalProtocolError

Content = bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]
AsyncContent = Content | AsyncIterable[bytes]

PIECE = 65536  # octets of content handed to the stream at a time
IN_MEMORY = 1024 * 1024  # octets of a message that are kept in memory; more goes to a temporary file
NOT_SEVEN_BIT = (
    "the content has octets above 127, and the server does not offer 8BITMIME (RFC 6152 3); send_message()"
    " encodes what is needed"
)
_EMPTY = (
    "the content is empty: the file or iterable gives no octets, perhaps because it is used up (b'' is an empty"
    " message)"
)
_ACCEPTED = "content is bytes, a binary file or an iterable of bytes"
BYTES = (bytes, bytearray, memoryview)


@dataclass(slots=True)
class Source:
    """Content that can be sent, and is not bytes.

    Attributes:
        pieces: The content in pieces that are worth a write and do not need too much memory.
        awaited: The pieces of an asynchronous iterable, in place of ``pieces``; else None.
    """

    pieces: Iterator[bytes]
    awaited: AsyncIterator[bytes] | None = None


@contextlib.asynccontextmanager
async def opened(content: AsyncContent, *, eight_bit: bool, suspends: bool = True) -> AsyncIterator[Source]:
    """Make content that is not bytes ready to be sent, and leave it ready to be sent again if that fails.

    Args:
        content: A binary file, or an iterable of bytes.
        eight_bit: The server offers 8BITMIME. If not, the content is read to its end first, since no octet
            above 127 may follow (RFC 6152 3).
        suspends: The caller can wait for asynchronous iterables.

    Raises:
        LocalProtocolError: It is not content, or is empty, or has octets that the server does not take.
    """
    if isinstance(content, AsyncIterable):
        if not suspends:
            raise ArgumentTypeError(
                f"{_ACCEPTED}, not the asynchronous iterable {type(content).__name__}: that needs"
                " smtpcore.asyncio or smtpcore.trio"
            )
        pieces = _awaited_pieces(content)
        if eight_bit:
            yield Source(iter(()), pieces)
        else:
            with _copy() as copy:
                async for piece in pieces:
                    _keep(piece, copy)
                yield Source(_pieces_of(copy))
        return
    position = _checked(content)
    try:
        if eight_bit:
            yield Source(_pieces(content))
        else:
            with _copy() as copy:
                for piece in _pieces(content):
                    _keep(piece, copy)
                yield Source(_pieces_of(copy))
    except BaseException:
        with contextlib.suppress(Exception):
            if position is not None:
                cast(BinaryIO, content).seek(position)
            elif isinstance(content, Generator) and inspect.getgeneratorstate(content) != inspect.GEN_CREATED:
                content.close()
        raise


def _checked(content: Any) -> int | None:
    """See what can be seen before anything is sent, and give the position of a file that can seek."""
    if any(hasattr(content, name) for name in ("encode", "encoding", "as_bytes")):
        # A str, a text file, an EmailMessage: each can be iterated over, so this would come out late, in the
        # middle of the content.
        raise ArgumentTypeError(
            f"content is octets, which a {type(content).__name__} is not: encode() a str, open a file as"
            " binary, and give an EmailMessage to send_message()"
        )
    if hasattr(content, "read"):
        return _checked_file(content)
    if not hasattr(content, "__iter__"):
        raise ArgumentTypeError(f"{_ACCEPTED}, not {type(content).__name__}")
    if isinstance(content, Collection):
        if not sum(len(_octets(piece)) for piece in content):
            raise LocalProtocolError(_EMPTY)
    elif inspect.isgenerator(content) and inspect.getgeneratorstate(content) == inspect.GEN_CLOSED:
        raise LocalProtocolError(_EMPTY)
    return None


def _checked_file(file: Any) -> int | None:
    try:
        if not file.seekable():
            return None
        position = int(file.tell())
        first = file.read(1)
        file.seek(position)
    except AttributeError:
        return None  # it can read, and no more
    except (OSError, ValueError) as error:  # closed, or not for reading
        raise LocalProtocolError(f"the content cannot be read: {error}") from error
    if not _octets(first):
        raise LocalProtocolError(_EMPTY)
    return position


def _octets(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, BYTES):
        return bytes(piece)
    raise ArgumentTypeError(f"{_ACCEPTED}, and a piece of it is {type(piece).__name__}")


def _cut(octets: bytes) -> Iterator[bytes]:
    if len(octets) <= PIECE:
        if octets:
            yield octets
        return
    view = memoryview(octets)
    for start in range(0, len(view), PIECE):
        yield bytes(view[start : start + PIECE])


def _pieces(content: Any) -> Iterator[bytes]:
    """The octets of a file or iterable; there is at least one, or an error."""
    empty = True
    for piece in _read(content.read) if hasattr(content, "read") else content:
        for octets in _cut(_octets(piece)):
            empty = False
            yield octets
    if empty:
        raise LocalProtocolError(_EMPTY)


async def _awaited_pieces(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The octets of an asynchronous iterable; there is at least one, or an error."""
    empty = True
    try:
        async for piece in content:
            for octets in _cut(_octets(piece)):
                empty = False
                yield octets
    except BaseException:
        # A generator that was begun would give the rest of a message in the next attempt.
        if (close := getattr(content, "aclose", None)) is not None and not empty:
            with contextlib.suppress(Exception):
                await close()
        raise
    if empty:
        raise LocalProtocolError(_EMPTY)


def _read(read: Any) -> Iterator[object]:
    while (piece := read(PIECE)) or piece is None:
        if piece is None:  # not the end: a non-blocking file has nothing now
            raise LocalProtocolError("the content cannot be read: the file is non-blocking and has no data now")
        yield piece
    _octets(piece)


def _copy() -> tempfile.SpooledTemporaryFile[bytes]:
    """A place for content that must be read to its end before it is sent."""
    return tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)


def _keep(piece: bytes, copy: tempfile.SpooledTemporaryFile[bytes]) -> None:
    if not piece.isascii():
        raise LocalProtocolError(NOT_SEVEN_BIT)
    copy.write(piece)


def _pieces_of(copy: tempfile.SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    copy.seek(0)
    return _pieces(copy)
