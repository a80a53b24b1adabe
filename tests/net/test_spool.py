"""The content for ``store()``: whole, from its beginning, in memory up to a limit, and closed in the end."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import pytest

from smtpcore import Envelope
from smtpcore._net.session import ServerSession
from smtpcore._net.sources import IN_MEMORY
from smtpcore._net.spool import Spool

SESSION = cast(ServerSession, "the session")
ENVELOPE = cast(Envelope, "the envelope")


def spool(store: Callable[[Any, Any, BinaryIO], Any], *pieces: bytes) -> Spool:
    made = Spool(store, SESSION, ENVELOPE)
    for piece in pieces:
        made.write(piece)
    return made


@pytest.mark.parametrize("size, in_memory", [(0, True), (IN_MEMORY, True), (IN_MEMORY + 1, False)])
def test_content_is_in_memory_while_it_is_small(size: int, in_memory: bool) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    found: list[tuple[bool, bytes, Any, Any]] = []

    def store(session: Any, envelope: Any, file: BinaryIO) -> str:
        found.append((isinstance(file, io.BytesIO), file.read(), session, envelope))
        return "stored"

    pieces = [content[:1000], content[1000 : size - 10], content[size - 10 : size]] if size > 1010 else []
    assert spool(store, *pieces).finish() == "stored"
    assert found == [(in_memory, content[:size], SESSION, ENVELOPE)]


def test_more_content_follows_in_the_file() -> None:
    pieces = [b"a" * IN_MEMORY, b"b", b"c" * 5, b"d"]
    assert spool(lambda session, envelope, file: file.read(), *pieces).finish() == b"".join(pieces)


def files() -> tuple[list[BinaryIO], Callable[[Any, Any, BinaryIO], None]]:
    found: list[BinaryIO] = []
    return found, lambda session, envelope, file: found.append(file)


def test_the_file_is_closed_when_store_has_returned() -> None:
    found, store = files()
    spool(store, b"x").finish()
    assert found[0].closed


def test_the_file_is_closed_when_store_raises() -> None:
    found, keep = files()

    def store(session: Any, envelope: Any, file: BinaryIO) -> None:
        keep(session, envelope, file)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        spool(store, b"x").finish()
    assert found[0].closed


@pytest.mark.parametrize("fails", [False, True])
def test_the_file_is_open_until_a_coroutine_has_ended(fails: bool) -> None:
    found, keep = files()

    async def store(session: Any, envelope: Any, file: BinaryIO) -> bytes:
        keep(session, envelope, file)
        content = file.read()
        if fails:
            raise OSError("the disk is full")
        return content

    result = spool(store, b"x").finish()
    assert found == []
    if fails:
        with pytest.raises(OSError, match="the disk is full"):
            asyncio.run(result)
    else:
        assert asyncio.run(result) == b"x"
    assert found[0].closed


def test_content_that_is_given_up_is_closed() -> None:
    found, store = files()
    large = spool(store, b"x" * (IN_MEMORY + 1))
    large.abort()
    with pytest.raises(ValueError, match="closed file"):
        large.write(b"y")
    assert found == []
