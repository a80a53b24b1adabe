"""Content as a server receives it: handed out, refused and drained, or discarded after a refused BDAT."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from smtpcore import Limits, Reply, ServerConfig
from smtpcore._core import replytexts as texts
from smtpcore._core.events import Chunk, EndOfMessage
from smtpcore._core.receivebuffer import ReceiveBuffer
from smtpcore._core.servercontent import ContentReceiver, RefusedChunk

LIMITS = Limits(message_size=20, oversize_factor=2, content_line=10)


def receive(pieces: Iterable[bytes], config: ServerConfig | None = None) -> list[bytes | EndOfMessage | Reply]:
    """All that a receiver gives for messages in these pieces; what is left after the last one comes last."""
    buffer = ReceiveBuffer(65536)
    receiver = ContentReceiver(config or ServerConfig(limits=LIMITS), buffer)
    given: list[bytes | EndOfMessage | Reply] = []
    for piece in pieces:
        buffer.feed(piece)
        while isinstance(event := receiver.next_event(), Chunk):
            given.append(event.data)
        if event is not None:
            given.append(event)
    return [*given, buffer.take()]


def test_content_is_given_as_it_arrives_and_then_its_end() -> None:
    assert receive([b"one\r\ntwo", b"\r\n.\r\nQUIT\r\n"]) == [
        b"one\r\ntwo",
        b"\r\n",
        EndOfMessage(),
        b"QUIT\r\n",
    ]


def test_what_arrived_before_it_was_asked_for_is_not_left() -> None:
    buffer = ReceiveBuffer(65536)
    receiver = ContentReceiver(ServerConfig(), buffer)
    for piece in (b"one\r\n", b"two\r\n", b".\r\n"):
        buffer.feed(piece)
    events = [receiver.next_event() for _ in range(3)]
    assert b"".join(event.data for event in events if isinstance(event, Chunk)) == b"one\r\ntwo\r\n"
    assert events[-1] == EndOfMessage()


def test_content_without_octets_ends_at_once() -> None:
    assert receive([b".\r\n"]) == [EndOfMessage(), b""]


def test_the_next_message_of_a_session_is_received_like_the_first_one() -> None:
    assert receive([b"a\nb\r\n.\r\n", b"one\r\n.\r\n"]) == [
        b"a",
        texts.VIOLATIONS["bare-lf"],
        b"one\r\n",
        EndOfMessage(),
        b"",
    ]


@pytest.mark.parametrize(
    "content, before, code, status, words",
    [
        (b"a\nb\r\n", b"a", 550, "5.6.0", "an LF without CR; every line must end in CRLF"),
        (b"a\rb\r\n", b"a", 550, "5.6.0", "a CR without LF; every line must end in CRLF"),
        (b"a\0b\r\n", b"a", 550, "5.6.0", "a NUL octet"),
        (b"12345678901\r\n", b"1234567890", 554, "5.6.0", "a line of the content is too long"),
        (b"12345678\r\n" * 2 + b"x\r\n", b"12345678\r\n" * 2, 552, "5.3.4", "the message is too big"),
    ],
)
def test_refused_content_is_drained_to_its_end_and_then_has_its_reply(
    content: bytes, before: bytes, code: int, status: str, words: str
) -> None:
    *given, reply, left = receive([content, b"rest\r\n", b".\r\nNOOP\r\n"])
    assert b"".join(one for one in given if isinstance(one, bytes)) == before
    assert isinstance(reply, Reply)
    assert (reply.code, str(reply.status)) == (code, status)
    assert words in reply.text
    assert left == b"NOOP\r\n"


@pytest.mark.parametrize("size, reply", [(40, texts.VIOLATIONS["bare-lf"]), (41, texts.TOO_MUCH_CONTENT)])
def test_refused_content_is_drained_up_to_a_multiple_of_the_size_limit(size: int, reply: Reply) -> None:
    content = b"a\n".ljust(size - 2, b"x") + b"\r\n"
    assert receive([content, b".\r\n"])[-2:] == [reply, b""]


def test_content_that_never_ends_is_refused_before_its_end() -> None:
    # The octets that are held back, the beginning of an end, do not count yet.
    *_, before = receive([b"a\n".ljust(40, b"x")])
    *_, reply, left = receive([b"a\n".ljust(40, b"x"), b"xx"])
    assert before == b""
    assert (reply, left) == (texts.TOO_MUCH_CONTENT, b"")


def test_without_a_size_limit_refused_content_is_drained_whatever_its_size() -> None:
    config = ServerConfig(limits=Limits(message_size=None))
    pieces = [b"a\n", *[b"x" * 65536] * 10, b"\r\n.\r\n"]
    assert receive(pieces, config) == [b"a", texts.VIOLATIONS["bare-lf"], b""]


def test_what_is_refused_follows_the_configuration() -> None:
    config = ServerConfig(limits=LIMITS, line_endings="accept", nul="accept")
    assert receive([b"a\nb\0\r\n.\r\n"], config) == [b"a\nb\0\r\n", EndOfMessage(), b""]


def test_a_bare_LF_is_told_from_other_faults() -> None:
    config = ServerConfig(limits=LIMITS)
    for content, bare in [(b"a\nb", True), (b"a\rb", False), (b"ab", False)]:
        buffer = ReceiveBuffer(65536)
        receiver = ContentReceiver(config, buffer)
        buffer.feed(content)
        while receiver.next_event() is not None:
            pass
        assert receiver.has_bare_lf is bare


def test_nothing_is_kept_of_content_that_was_used() -> None:
    buffer = ReceiveBuffer(65536)
    receiver = ContentReceiver(ServerConfig(), buffer)
    buffer.feed(b"content\r\n")
    assert receiver.next_event() == Chunk(b"content")
    assert receiver.next_event() is None
    assert buffer.data == b""
    buffer.feed(b".\r\n")
    assert receiver.next_event() == Chunk(b"\r\n")
    assert receiver.next_event() == EndOfMessage()
    assert buffer.data == b""


@pytest.mark.parametrize("pieces", [[b"12345NOOP"], [b"12345", b"NOOP"], [b"123", b"45NOOP"]])
def test_the_octets_of_a_refused_BDAT_are_discarded_up_to_their_count(pieces: list[bytes]) -> None:
    chunk = RefusedChunk(5)
    buffer = ReceiveBuffer(65536)
    arrived = 0
    for piece in pieces:
        buffer.feed(piece)
        if arrived < 5:
            arrived += len(piece)
            assert chunk.discard(buffer) is (arrived >= 5)
    assert buffer.take() == b"NOOP"
