"""The client: replies that come before what they answer was sent, and writes that fail, against scripts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smtpcore import (
    Command,
    ConnectionLost,
    RemoteProtocolError,
    ReplyError,
    SMTPError,
    TimedOut,
    TlsError,
    TransportError,
)
from smtpcore._net.stream import run

from ..helpers.messages import (
    CONTENT,
    DOT,
    MAIL,
    ONE,
    RCPT,
    RCPT2,
    SENDER,
    TWO,
    UNPIPELINED,
    failure,
    group,
    result_of,
    sending,
    table,
)
from ..helpers.scripted import (
    GREETING,
    QUIT,
    Stream,
    connect,
    ehlo,
    lines,
)

# --- send(): replies that come before what they answer was sent --------------------------------------------


def hearing(reply: bytes, *pieces: bytes) -> tuple[Callable[[], Iterator[bytes]], list[Stream]]:
    """Content that is interrupted: the server speaks when the last piece is asked for."""
    streams: list[Stream] = []

    def content() -> Iterator[bytes]:
        yield from pieces[:-1]
        streams[0].early = reply
        yield pieces[-1]

    return content, streams


def interrupted(reply: bytes, *pieces: bytes) -> tuple[Any, bytes]:
    """Send a message to a server that replies before it has the whole; the error, and the content sent."""
    content, streams = hearing(reply, *pieces)
    stream = Stream([GREETING, ehlo("8BITMIME"), (f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]])
    streams.append(stream)
    client = connect(stream)
    with pytest.raises(SMTPError) as caught:
        run(client.send(SENDER, [ONE], content()))
    with pytest.raises(ConnectionLost, match="the session is over"):
        run(client.noop())
    run(client.quit())
    written = stream.written.partition(b"DATA\r\n")[2]
    stream.finish(written)
    assert stream.aborted
    return caught.value, written


@pytest.mark.req("RPL-26", "SES-40")
@pytest.mark.parametrize(
    "reply, retryable",
    [("552 5.3.4 too big", False), ("554 5.7.1 no", False), ("452 4.3.1 full", True), ("421 4.3.0 bye", True)],
)
def test_a_message_refused_in_the_middle_is_not_sent_to_its_end(reply: str, retryable: bool) -> None:
    error, written = interrupted(lines(reply), b"a\r\n", b"b\r\n", b"c\r\n")
    assert written == b"a\r\n"
    assert type(error) is ReplyError
    assert str(error).startswith(f"the message was refused: {reply}")
    assert error.retryable is retryable
    assert error.context is not None
    assert error.context.phase == "content"
    result = result_of(error)
    assert table(result) == [("one", int(reply[:3]), False, retryable)]
    assert not result.maybe_delivered
    assert result.reply == error.reply


def test_a_refused_recipient_keeps_its_reply_when_the_content_is_refused() -> None:
    steps = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "550 no"), ("DATA", "354 go\n452 full")]
    error = failure(steps, sending(ONE, TWO), ReplyError)
    assert table(result_of(error)) == [("one", 452, False, True), ("two", 550, False, False)]


@pytest.mark.parametrize("pieces", [[b"a\r\n", b"b\r\n"], [b"a\r\n", b"b\r\n", b"c\r\n"]])
def test_a_success_before_the_final_dot_is_no_answer_to_it(pieces: list[bytes]) -> None:
    error, written = interrupted(b"250 ok\r\n", *pieces)
    assert isinstance(error, RemoteProtocolError)
    assert written == b"a\r\n" * (len(pieces) - 2)
    assert result_of(error).accepted_recipients == ()
    assert not result_of(error).maybe_delivered


def test_a_success_right_before_the_final_dot_is_no_answer_to_it() -> None:
    """All pieces are out."""
    stream = Stream([GREETING, ehlo("8BITMIME"), (f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]])
    client = connect(stream)
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        await original(data, timeout)
        if data == b"b\r\n":
            stream.early = b"250 ok\r\n"

    vars(stream)["write"] = write
    with pytest.raises(RemoteProtocolError):
        run(client.send(SENDER, [ONE], iter([b"a\r\n", b"b\r\n"])))
    assert stream.written.endswith(b"DATA\r\na\r\nb\r\n")


def test_a_server_that_closes_in_the_middle_has_not_got_the_message() -> None:
    error, written = interrupted(b"", b"a\r\n", b"b\r\n", b"c\r\n")
    assert type(error) is ConnectionLost
    assert not error.maybe_delivered
    assert written == b"a\r\n"
    assert result_of(error).retryable_recipients == (ONE,)


@pytest.mark.parametrize(
    "early, kind, words, last",
    [
        (b"250 ok\r\n", RemoteProtocolError, "an unsolicited reply was received", b"QUIT\r\n"),
        (b"421 4.4.2 idle\r\n", ReplyError, "the server closes the session: 421 4.4.2 idle", b""),
        (b"", ConnectionLost, "the server has closed the connection", b""),
    ],
)
@pytest.mark.parametrize("mail", [True, False])
def test_a_reply_between_commands_does_not_answer_the_next_command(
    early: bytes, kind: type[SMTPError], words: str, last: bytes, mail: bool
) -> None:
    """It came while nothing was asked; no command follows."""
    stream = Stream([GREETING, ehlo()])
    client = connect(stream)
    stream.early = early
    with pytest.raises(kind, match=words) as caught:
        run(client.send(SENDER, [ONE], CONTENT) if mail else client.noop())
    assert type(caught.value) is kind
    run(client.quit())
    stream.finish(last)


def test_quit_is_not_sent_to_a_server_that_has_ended_the_session() -> None:
    stream = Stream([GREETING, ehlo()])
    client = connect(stream)
    stream.early = b"421 4.4.2 idle\r\n"
    run(client.quit())
    stream.finish()


def test_a_stream_without_arrived_is_accepted() -> None:
    class Simple(Stream):
        arrived: Any = None

    stream = Simple([GREETING, ehlo(), *UNPIPELINED, (DOT, "250 ok"), QUIT])
    client = connect(stream)
    assert run(client.send(SENDER, [ONE], CONTENT)).accepted_recipients == (ONE,)
    run(client.quit())
    stream.finish()


@pytest.mark.parametrize("content", [CONTENT, CONTENT * 10_000, [CONTENT]], ids=["small", "large", "list"])
@pytest.mark.parametrize("start", [b"", b"MAIL", b"DATA"])
def test_a_look_at_what_has_arrived_that_fails_is_a_loss_of_the_connection(start: bytes, content: Any) -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED])
    client = connect(stream)

    def arrived() -> bytes | None:
        if start in stream.written:
            raise ConnectionResetError(104, "Connection reset by peer")
        return None

    vars(stream)["arrived"] = arrived
    with pytest.raises(ConnectionLost, match="Connection reset by peer") as caught:
        run(client.send(SENDER, [ONE], content))
    assert not caught.value.maybe_delivered
    run(client.quit())


@pytest.mark.parametrize(
    "error", [ConnectionAbortedError("broken already"), ConnectionResetError(104, "reset")]
)
def test_a_pump_that_is_broken_already_is_a_loss_of_the_connection(error: OSError) -> None:
    class Broken(Stream):
        broken: OSError | None = None
        deadline = 0.0

        def begin_write(self, data: bytes, timeout: float | None) -> Any:
            return self.write(data, timeout)

        async def pump(self, take: Any) -> Any:
            if self.broken is not None:
                raise self.broken
            while (result := take(await self.read(None))) is None:
                pass
            return result

    stream = Broken([GREETING, ehlo()])
    client = connect(stream)
    stream.broken = error
    with pytest.raises(ConnectionLost, match="the connection broke"):
        run(client.noop())
    run(client.quit())


# --- send(): writes that fail -----------------------------------------------------------------------------


def breaking(stream: Stream, start: bytes, last_words: bytes, error: OSError) -> None:
    """Let the write that begins so fail, after the server has said something."""
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        if data.startswith(start):
            stream.abort()
            stream.early = last_words or None
            raise error
        await original(data, timeout)

    vars(stream)["write"] = write


BROKEN = [BrokenPipeError(32, "Broken pipe"), TimeoutError("the peer took too long")]


def broken_send(
    start: bytes, last_words: str, error: OSError, *keywords: str, content: Any = CONTENT, **options: Any
) -> tuple[Any, Stream]:
    envelope = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "250 ok"), ("DATA", "354 go")]
    stream = Stream([GREETING, ehlo(*keywords), *envelope])
    breaking(stream, start, lines(last_words) if last_words else b"", error)
    client = connect(stream, **options)
    with pytest.raises(SMTPError) as caught:
        run(client.send(SENDER, [ONE, TWO], content))
    with pytest.raises(ConnectionLost, match="the session is over"):
        run(client.noop())
    return caught.value, stream


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize("error", BROKEN)
@pytest.mark.parametrize(
    "reply, retryable", [("552 5.3.4 too big", False), ("451 4.3.0 later", True), ("421 4.3.0 bye", True)]
)
@pytest.mark.parametrize("content", [CONTENT, CONTENT * 10_000], ids=["small", "big"])
def test_the_reply_that_came_before_a_failed_write_counts(
    content: bytes, reply: str, retryable: bool, error: OSError
) -> None:
    caught, _ = broken_send(b"Subject", reply, error, content=content)
    assert type(caught) is ReplyError
    assert str(caught).startswith(f"the message was refused: {reply}")
    assert caught.retryable is retryable
    assert table(result_of(caught))[0] == ("one", int(reply[:3]), False, retryable)
    assert not result_of(caught).maybe_delivered


@pytest.mark.parametrize("error", BROKEN)
@pytest.mark.parametrize("last_words", ["", "250 ok"])
def test_a_success_does_not_count_if_the_final_dot_could_not_be_written(
    last_words: str, error: OSError
) -> None:
    caught, _ = broken_send(b"Subject", last_words, error)
    assert isinstance(caught, TransportError)
    assert caught.maybe_delivered, "an octet of the dot may have gone out"
    assert result_of(caught).accepted_recipients == ()
    assert result_of(caught).maybe_delivered
    assert isinstance(caught, TimedOut) is isinstance(error, TimeoutError)


def test_a_piece_of_content_that_could_not_be_written_is_not_delivered() -> None:
    caught, _ = broken_send(b"Subject", "", BROKEN[0], content=CONTENT * 10_000)
    assert type(caught) is ConnectionLost
    assert not caught.maybe_delivered
    assert not result_of(caught).maybe_delivered


def test_an_incomplete_reply_does_not_count() -> None:
    stream = Stream([GREETING, ehlo()])
    breaking(stream, b"NOOP", b"", BROKEN[0])
    client = connect(stream)
    original = stream.arrived
    vars(stream)["arrived"] = lambda: b"55" if stream.aborted else original()
    with pytest.raises(ConnectionLost, match="Broken pipe") as caught:
        run(client.noop())
    assert [command.verb for command in caught.value.outstanding if isinstance(command, Command)] == ["NOOP"]


@pytest.mark.req("PIP-26")
def test_the_replies_that_came_before_a_failed_group_are_told_apart() -> None:
    caught, _ = broken_send(b"MAIL", "250 ok\n550 5.1.1 no\n421 4.7.0 bye", BROKEN[0], "PIPELINING")
    assert caught.reply.code == 421
    assert table(result_of(caught)) == [("one", 550, False, False), ("two", 421, False, True)]


@pytest.mark.parametrize(
    "last_words, kind",
    [("421 4.3.0 bye", ReplyError), ("", ConnectionLost), ("220 go", TlsError)],
)
def test_starttls_that_cannot_be_written_is_answered_by_what_came_before(last_words: str, kind: Any) -> None:
    stream = Stream([GREETING, ehlo("STARTTLS")])
    breaking(stream, b"STARTTLS", lines(last_words) if last_words else b"", BROKEN[0])
    with pytest.raises(kind) as caught:
        connect(stream, security="opportunistic")
    assert type(caught.value) is kind
    assert b"QUIT" not in stream.written


@pytest.mark.req("DAT-12")
@pytest.mark.parametrize("content", [CONTENT, io.BytesIO(CONTENT), [CONTENT]], ids=["bytes", "file", "list"])
def test_a_small_message_goes_out_in_two_writes(content: Any) -> None:
    keywords = ["PIPELINING", "8BITMIME"]
    body = "" if isinstance(content, bytes) else " BODY=8BITMIME"
    envelope = group(MAIL + body, RCPT, "DATA")
    stream = Stream([GREETING, ehlo(*keywords), (envelope, "250 ok\n250 ok\n354 go"), (DOT, "250 ok"), QUIT])
    client = connect(stream)
    run(client.send(SENDER, [ONE], content))
    run(client.quit())
    stream.finish()
    assert stream.sizes[1:3] == [len(lines(envelope)), len(DOT)]
