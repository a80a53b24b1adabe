"""Content of an asynchronous iterable, in a transaction by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from smtpcore import SMTPError
from smtpcore._net.client import Client

from ..helpers.scripted import ANY, QUIT, talk

OK3 = "250 2.1.0 ok\n250 2.1.5 ok\n354 go"
KEYWORDS = ["PIPELINING", "8BITMIME"]


class Pieces(AsyncIterator[bytes]):
    """It notes whether it was closed, and fails after its last piece if it is to."""

    def __init__(self, pieces: Iterable[bytes], failure: Exception | None = None) -> None:
        self.closed = False
        self._pieces = iter(pieces)
        self._failure = failure

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise self._failure or StopAsyncIteration from None

    async def aclose(self) -> None:
        self.closed = True


def sending(content: Any) -> Any:
    async def send(client: Client) -> Any:
        return await client.send("a@client.example", ["b@mx.example"], content)

    return send


def test_each_piece_is_sent_in_order() -> None:
    steps = [(ANY, OK3), (b"one\r\n..two\r\n.\r\n", "250 2.0.0 queued"), QUIT]
    result = talk(steps, sending(Pieces([b"one\r\n", b".two\r\n"])), keywords=KEYWORDS)
    assert result.accepted_recipients == ("b@mx.example",)


class Failed(Exception):
    """Of the application."""


def test_an_iterator_that_fails_is_closed_and_ends_the_session() -> None:
    pieces = Pieces([b"one\r\n"], Failed())

    async def send(client: Client) -> None:
        with pytest.raises(Failed):
            await sending(pieces)(client)
        with pytest.raises(SMTPError):
            await client.noop()

    talk([(ANY, OK3)], send, keywords=KEYWORDS, last=b"one\r\n")
    assert pieces.closed
