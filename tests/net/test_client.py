"""The client's conversations, against scripts; on loopback sockets where TLS or the system has a part in it."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from smtpcore import (
    ArgumentTypeError,
    AuthenticationFailed,
    AuthenticationUnavailable,
    Command,
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    MessageTooBig,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    SendResult,
    SMTPError,
    TimedOut,
    Timeouts,
    TlsError,
    TlsInfo,
    TlsUnavailable,
    TransportError,
    sasl,
)
from smtpcore._net import options as _options
from smtpcore._net import sources as _sources
from smtpcore._net.client import Client
from smtpcore._net.connect import connect_client, default_context
from smtpcore._net.stream import run
from smtpcore.transcript import Transcript

from ..helpers.scripted import (
    ANY,
    EOF,
    GREETING,
    QUIT,
    TLS,
    Clock,
    Pause,
    Stream,
    clock,
    connect,
    ehlo,
    lines,
    talk,
)

__all__ = ["clock"]  # a fixture

SENDER = "a@client.example"
ONE, TWO, THREE = "one@mx.example", "two@mx.example", "three@mx.example"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
MAIL, RCPT, RCPT2, RCPT3 = (
    f"MAIL FROM:<{SENDER}>",
    f"RCPT TO:<{ONE}>",
    f"RCPT TO:<{TWO}>",
    f"RCPT TO:<{THREE}>",
)
DOT = CONTENT + b".\r\n"
INFO = TlsInfo("TLSv1.3", "A_CIPHER")


def group(*commands: str) -> str:
    return "\n".join(commands)


def sending(*recipients: str, content: Any = CONTENT) -> Callable[[Client], Any]:
    return lambda client: client.send(SENDER, recipients or (ONE,), content)


def failure(steps: Any, conversation: Callable[[Client], Any], kind: type[SMTPError], **options: Any) -> Any:
    """The error that a conversation ends with; of exactly this class."""
    with pytest.raises(kind) as caught:
        talk(steps, conversation, **options)
    assert type(caught.value) is kind
    return caught.value


def result_of(error: SMTPError) -> SendResult:
    assert isinstance(error.result, SendResult)
    return error.result


def table(result: SendResult) -> list[tuple[str, int | None, bool, bool]]:
    return [
        (one.recipient[: one.recipient.index("@")], one.reply and one.reply.code, one.accepted, one.retryable)
        for one in result.results
    ]


# --- send(): what becomes of a message --------------------------------------------------------------------

UNPIPELINED = [(MAIL, "250 ok"), (RCPT, "250 ok"), ("DATA", "354 go")]


def test_a_message_is_sent_command_by_command_to_a_server_without_pipelining() -> None:
    result = talk([*UNPIPELINED, (DOT, "250 2.0.0 queued"), QUIT], sending())
    assert result.sender == SENDER
    assert table(result) == [("one", 250, True, False)]
    assert result.accepted_recipients == (ONE,)
    assert result.refused_recipients == {}
    assert result.retryable_recipients == ()
    assert result.reply == Reply(250, "2.0.0", "queued")
    assert not result.maybe_delivered


@pytest.mark.req("RCP-22")
def test_all_recipients_travel_in_one_transaction() -> None:
    """Pipelined, the envelope is one group, and the content goes once for all."""
    steps = [
        (group(MAIL, RCPT, RCPT2, RCPT3, "DATA"), "250 ok\n250 ok\n250 ok\n250 ok\n354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    result = talk(steps, sending(ONE, TWO, THREE), keywords=["PIPELINING"])
    assert result.accepted_recipients == (ONE, TWO, THREE)


@pytest.mark.req("RCP-24")
@pytest.mark.parametrize("pipelined", [True, False])
def test_a_refused_recipient_does_not_stop_the_others(pipelined: bool) -> None:
    envelope: list[Any] = [
        (MAIL, "250 ok"),
        (RCPT, "550 5.1.1 no such user"),
        (RCPT2, "251 will forward"),
        (RCPT3, "451 4.2.0 later"),
        ("DATA", "354 go"),
    ]
    if pipelined:
        commands, replies = zip(*envelope, strict=True)
        envelope = [(group(*commands), group(*replies))]
    result = talk(
        [*envelope, (DOT, "250 ok"), QUIT],
        sending(ONE, TWO, THREE),
        keywords=["PIPELINING"] if pipelined else [],
    )
    assert table(result) == [
        ("one", 550, False, False),
        ("two", 250, True, False),
        ("three", 451, False, True),
    ]
    assert result.accepted_recipients == (TWO,)
    assert {name: reply and reply.code for name, reply in result.refused_recipients.items()} == {
        ONE: 550,
        THREE: 451,
    }
    assert result.retryable_recipients == (THREE,)


@pytest.mark.req("RCP-23")
def test_without_an_accepted_recipient_nothing_is_sent() -> None:
    """No DATA, but RSET; and the session goes on."""

    async def twice(client: Client) -> RecipientsRefused:
        with pytest.raises(RecipientsRefused) as caught:
            await client.send(SENDER, [ONE, TWO], CONTENT)
        await client.send(SENDER, [ONE], CONTENT)
        return caught.value

    steps = [
        (MAIL, "250 ok"),
        (RCPT, "550 no"),
        (RCPT2, "450 busy"),
        ("RSET", "250 ok"),
        *UNPIPELINED,
        (DOT, "250 ok"),
        QUIT,
    ]
    error = talk(steps, twice)
    assert table(result_of(error)) == [("one", 550, False, False), ("two", 450, False, True)]
    assert error.reply.code == 450, "of the replies, one that leaves hope"
    assert error.retryable
    assert error.context is not None
    assert (error.context.phase, error.context.reply) == ("rcpt", Reply(450, None, "busy"))


@pytest.mark.req("PIP-09")
def test_when_a_group_is_refused_down_to_data_rset_follows() -> None:
    steps = [
        (group(MAIL, RCPT, RCPT2, "DATA"), "250 ok\n550 no\n550 no\n554 no valid recipients"),
        ("RSET", "250 ok"),
        QUIT,
    ]
    error = failure(steps, sending(ONE, TWO), RecipientsRefused, keywords=["PIPELINING"])
    assert not error.retryable
    assert table(result_of(error)) == [("one", 550, False, False), ("two", 550, False, False)]


@pytest.mark.req("PIP-08")
def test_when_data_is_granted_without_a_recipient_a_lone_dot_follows() -> None:
    """And its reply is nobody's success."""
    steps = [
        (group(MAIL, RCPT, RCPT2, "DATA"), "250 ok\n550 no\n550 no\n354 go"),
        (".", "250 queued as nothing"),
        QUIT,
    ]
    error = failure(steps, sending(ONE, TWO), RecipientsRefused, keywords=["PIPELINING"])
    result = result_of(error)
    assert result.accepted_recipients == ()
    assert not result.maybe_delivered


@pytest.mark.parametrize(
    "replies, code, retryable",
    [
        ("550 5.7.1 go away\n503 what\n503 what", 550, False),
        ("451 later\n503 what\n503 what", 451, True),
        ("552 5.3.4 too big\n503 what\n503 what", 552, False),
    ],
)
def test_a_refused_mail_command_refuses_every_recipient(replies: str, code: int, retryable: bool) -> None:
    error = failure(
        [(group(MAIL, RCPT, "DATA"), replies), QUIT], sending(), ReplyError, keywords=["PIPELINING"]
    )
    assert error.reply.code == code
    assert error.retryable is retryable
    assert table(result_of(error)) == [("one", code, False, retryable)]
    assert error.context.phase == "mail"


def test_mail_refused_without_pipelining_sends_nothing_more() -> None:
    error = failure([(MAIL, "550 no"), QUIT], sending(ONE, TWO), ReplyError)
    assert table(result_of(error)) == [("one", 550, False, False), ("two", 550, False, False)]


def test_recipients_accepted_after_a_refused_mail_command_get_no_content() -> None:
    """A server out of its mind. Not even the lone dot: it might be taken for an empty message."""
    steps = [(group(MAIL, RCPT, "DATA"), "550 no\n250 ok\n354 go")]
    error = failure(steps, sending(), ReplyError, keywords=["PIPELINING"])
    assert error.reply.code == 550
    assert table(result_of(error)) == [("one", 550, False, False)]


@pytest.mark.parametrize("keywords", [[], ["PIPELINING"]])
@pytest.mark.parametrize("code, retryable", [(451, True), (554, False)])
def test_data_refused(code: int, retryable: bool, keywords: list[str]) -> None:
    envelope: Any = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "550 no"), ("DATA", f"{code} no")]
    if keywords:
        envelope = [(group(MAIL, RCPT, RCPT2, "DATA"), f"250 ok\n250 ok\n550 no\n{code} no")]
    error = failure([*envelope, ("RSET", "250 ok"), QUIT], sending(ONE, TWO), ReplyError, keywords=keywords)
    assert error.reply.code == code
    assert error.context.phase == "data"
    assert table(result_of(error)) == [("one", code, False, retryable), ("two", 550, False, False)]


@pytest.mark.req("SIZ-16")
@pytest.mark.parametrize("code, retryable", [(451, True), (452, True), (552, False), (554, False)])
def test_content_refused(code: int, retryable: bool) -> None:
    steps = [
        (f"{MAIL} SIZE={len(CONTENT)}", "250 ok"),
        (RCPT, "250 ok"),
        (RCPT2, "550 no"),
        ("DATA", "354 go"),
        (DOT, f"{code} no"),
        QUIT,
    ]
    error = failure(steps, sending(ONE, TWO), ReplyError, keywords=["SIZE"])
    assert error.reply.code == code
    assert error.retryable is retryable
    assert error.context.phase == "end-of-data"
    result = result_of(error)
    assert table(result) == [("one", code, False, retryable), ("two", 550, False, False)]
    assert not result.maybe_delivered, "the server has said that it was not"


def test_552_to_content_is_final_though_no_size_was_declared() -> None:
    """Only of RCPT does it say, sometimes, that there are too many recipients."""
    error = failure([*UNPIPELINED, (DOT, "552 too big"), QUIT], sending(), ReplyError)
    assert result_of(error).retryable_recipients == ()


@pytest.mark.req("LIM-19")
@pytest.mark.parametrize(
    "reply, retryable",
    [
        ("552 too many recipients", True),
        ("552 5.5.3 too many recipients", True),
        ("552 5.2.2 mailbox full", False),
        ("550 5.5.3 too many recipients", False),
    ],
)
def test_552_to_a_later_recipient_means_too_many_of_them(reply: str, retryable: bool) -> None:
    steps = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, reply), ("DATA", "354 go"), (DOT, "250 ok"), QUIT]
    result = talk(steps, sending(ONE, TWO))
    assert result.retryable_recipients == ((TWO,) if retryable else ())


def test_552_to_the_first_recipient_cannot_mean_too_many() -> None:
    error = failure(
        [(MAIL, "250 ok"), (RCPT, "552 no"), ("RSET", "250 ok"), QUIT], sending(), RecipientsRefused
    )
    assert result_of(error).retryable_recipients == ()


@pytest.mark.req("SIZ-13")
def test_after_a_declared_size_552_is_final_and_452_is_not() -> None:
    steps = [
        (f"{MAIL} SIZE={len(CONTENT)}", "250 ok"),
        (RCPT, "250 ok"),
        (RCPT2, "552 too big for this mailbox"),
        (RCPT3, "452 full"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    result = talk(steps, sending(ONE, TWO, THREE), keywords=["SIZE"])
    assert table(result)[1:] == [("two", 552, False, False), ("three", 452, False, True)]


@pytest.mark.req("LIM-20")
def test_a_long_list_can_be_continued_where_the_server_has_stopped() -> None:
    """A hundred of a hundred and fifty are taken; the rest is listed, and goes in the next transaction."""
    names = [f"user{number}@mx.example" for number in range(150)]

    def envelope(these: list[str], limit: int) -> list[tuple[str | bytes, str]]:
        rcpts: list[tuple[str | bytes, str]] = [
            (f"RCPT TO:<{name}>", "250 ok" if index < limit else "452 4.5.3 too many")
            for index, name in enumerate(these)
        ]
        return [(MAIL, "250 ok"), *rcpts, ("DATA", "354 go"), (DOT, "250 ok")]

    async def both(client: Client) -> tuple[SendResult, SendResult]:
        first = await client.send(SENDER, names, CONTENT)
        return first, await client.send(SENDER, first.retryable_recipients, CONTENT)

    first, second = talk([*envelope(names, 100), *envelope(names[100:], 100), QUIT], both)
    assert first.accepted_recipients == tuple(names[:100])
    assert first.retryable_recipients == second.accepted_recipients == tuple(names[100:])


@pytest.mark.req("SES-40")
@pytest.mark.parametrize(
    "steps, expected",
    [
        ([(MAIL, "421 bye")], [("one", 421, False, True), ("two", 421, False, True)]),
        ([(MAIL, "250 ok"), (RCPT, "421 bye")], [("one", 421, False, True), ("two", None, False, True)]),
        (
            [(MAIL, "250 ok"), (RCPT, "550 no"), (RCPT2, "421 bye")],
            [("one", 550, False, False), ("two", 421, False, True)],
        ),
        (
            [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "421 bye")],
            [("one", 421, False, True), ("two", 421, False, True)],
        ),
        (
            [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "550 no"), ("DATA", "421 bye")],
            [("one", 421, False, True), ("two", 550, False, False)],
        ),
        (
            [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "550 no"), ("DATA", "354 go"), (DOT, "421 bye")],
            [("one", 421, False, True), ("two", 550, False, False)],
        ),
    ],
)
def test_421_ends_the_session_and_what_was_under_way_is_temporary(steps: Any, expected: Any) -> None:
    """Not even QUIT is said."""

    async def conversation(client: Client) -> ReplyError:
        with pytest.raises(ReplyError) as caught:
            await client.send(SENDER, [ONE, TWO], CONTENT)
        with pytest.raises(ConnectionLost, match=r"the session is over: .*421 bye"):
            await client.noop()
        return caught.value

    error = talk(steps, conversation)
    assert error.reply.code == 421
    assert error.retryable
    assert table(result_of(error)) == expected
    assert error.hint is not None
    assert "open a new connection later" in error.hint


@pytest.mark.req("SES-40")
def test_421_within_a_group_leaves_all_that_is_outstanding_temporary() -> None:
    steps = [(group(MAIL, RCPT, RCPT2, RCPT3, "DATA"), "250 ok\n550 no\n421 bye")]
    error = failure(steps, sending(ONE, TWO, THREE), RecipientsRefused, keywords=["PIPELINING"])
    assert table(result_of(error)) == [
        ("one", 550, False, False),
        ("two", 421, False, True),
        ("three", None, False, True),
    ]
    assert error.reply.code == 421


LOST: list[tuple[list[Any], str, list[Any]]] = [
    ([(MAIL, EOF)], "mail", [("one", None, False, True), ("two", None, False, True)]),
    ([(MAIL, "250 ok"), (RCPT, EOF)], "rcpt", [("one", None, False, True), ("two", None, False, True)]),
    (
        [(MAIL, "250 ok"), (RCPT, "550 no"), (RCPT2, EOF)],
        "rcpt",
        [("one", 550, False, False), ("two", None, False, True)],
    ),
    (
        [(MAIL, "250 ok"), (RCPT, "550 no"), (RCPT2, "250 ok"), ("DATA", EOF)],
        "data",
        [("one", 550, False, False), ("two", 250, False, True)],
    ),
]


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize("how", [EOF, ConnectionResetError(104, "Connection reset by peer")])
@pytest.mark.parametrize("steps, phase, expected", LOST)
def test_a_lost_connection_is_a_temporary_failure(steps: Any, phase: str, expected: Any, how: Any) -> None:
    (last, _) = steps[-1]
    error = failure([*steps[:-1], (last, how)], sending(ONE, TWO), ConnectionLost)
    assert table(result_of(error)) == expected
    assert error.context.phase == phase
    assert error.outstanding[0].verb == last.split()[0]
    assert not error.maybe_delivered
    assert not result_of(error).maybe_delivered


@pytest.mark.req("SES-41")
@pytest.mark.parametrize(
    "how, kind",
    [
        (EOF, ConnectionLost),
        (ConnectionResetError(104, "Connection reset by peer"), ConnectionLost),
        ("999 garbage", RemoteProtocolError),
        ("354 go on", RemoteProtocolError),
    ],
)
def test_after_the_final_dot_a_lost_reply_is_an_outcome_of_its_own(how: Any, kind: Any) -> None:
    steps = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "550 no"), ("DATA", "354 go"), (DOT, how)]
    error = failure(steps, sending(ONE, TWO), kind)
    result = result_of(error)
    assert result.maybe_delivered
    assert result.accepted_recipients == ()
    assert result.reply is None
    assert result.retryable_recipients == (ONE,)
    if kind is ConnectionLost:
        assert error.maybe_delivered
        assert error.hint == "the message may have arrived: sending it again may duplicate it"


@pytest.mark.req("PIP-26")
def test_a_connection_that_is_lost_within_a_group_leaves_answers_as_they_are() -> None:
    steps = [(group(MAIL, RCPT, RCPT2, "DATA"), [lines("250 ok\n550 no"), EOF])]
    error = failure(steps, sending(ONE, TWO), ConnectionLost, keywords=["PIPELINING"])
    assert table(result_of(error)) == [("one", 550, False, False), ("two", None, False, True)]
    assert [command.verb for command in error.outstanding] == ["RCPT", "DATA"]


@pytest.mark.req("TMO-11")
@pytest.mark.parametrize("at", range(4))
def test_a_timeout_fails_the_command_that_waited_for_now(at: int, clock: Clock) -> None:
    steps: list[tuple[Any, Any]] = [*UNPIPELINED, (DOT, "250 ok")]
    steps[at] = (steps[at][0], [Pause(10_000), "250 too late"])

    async def conversation(client: Client) -> TimedOut:
        with pytest.raises(TimedOut) as caught:
            await client.send(SENDER, [ONE], CONTENT)
        with pytest.raises(
            ConnectionLost, match=r"the session is over: no reply to .* in the .* s allowed for it"
        ):
            await client.noop()
        return caught.value

    error = talk(steps[: at + 1], conversation, clock=clock)
    assert error.retryable
    phase = ["mail", "rcpt", "data", "end-of-data"][at]
    assert error.context is not None
    assert error.context.phase == phase
    assert phase in str(error)
    assert isinstance(error, TimeoutError)
    assert result_of(error).retryable_recipients == (ONE,)
    assert error.maybe_delivered is (phase == "end-of-data")
    assert error.context.idle == [300, 300, 120, 600][at]


def test_a_failing_rset_does_not_hide_the_refusal() -> None:
    """Some servers hang up after a refusal; that makes it no less a refusal."""
    steps = [(MAIL, "250 ok"), (RCPT, "550 no"), ("RSET", EOF)]
    error = failure(steps, sending(), RecipientsRefused)
    assert not error.retryable
    assert error.context.phase == "rcpt"


def test_a_refused_rset_is_tried_again_before_the_next_message() -> None:
    async def twice(client: Client) -> None:
        with pytest.raises(RecipientsRefused):
            await client.send(SENDER, [ONE], CONTENT)
        await client.send(SENDER, [ONE], CONTENT)

    refused = [(MAIL, "250 ok"), (RCPT, "550 no"), ("RSET", "451 not now")]
    talk([*refused, ("RSET", "250 ok"), *UNPIPELINED, (DOT, "250 ok"), QUIT], twice)


def test_the_session_can_be_used_after_each_kind_of_refusal() -> None:
    async def three_times(client: Client) -> SendResult:
        for _ in range(3):
            with pytest.raises(ReplyError):
                await client.send(SENDER, [ONE], CONTENT)
        return await client.send(SENDER, [ONE], CONTENT)

    steps = [
        (MAIL, "451 no"),
        (MAIL, "250 ok"),
        (RCPT, "250 ok"),
        ("DATA", "451 no"),
        ("RSET", "250 ok"),
        *UNPIPELINED,
        (DOT, "554 no"),
        *UNPIPELINED,
        (DOT, "250 ok"),
        QUIT,
    ]
    assert talk(steps, three_times).accepted_recipients == (ONE,)


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


# --- send(): what is checked, and what is declared --------------------------------------------------------


@pytest.mark.parametrize(
    "keywords, content, parameters",
    [
        ([], CONTENT, ""),
        (["SIZE"], CONTENT, " SIZE=20"),
        (["SIZE 0"], CONTENT, " SIZE=20"),
        (["SIZE 20"], CONTENT, " SIZE=20"),
        (["SIZE"], b"no line end", " SIZE=13"),
        (["SIZE"], b"", " SIZE=0"),
        (["SIZE", "8BITMIME"], CONTENT, " SIZE=20"),
        (["SIZE", "8BITMIME"], b"\xe4\r\n", " SIZE=3 BODY=8BITMIME"),
        (["SIZE", "8BITMIME", "SMTPUTF8"], bytearray(b"\xe4\r\n"), " SIZE=3 BODY=8BITMIME"),
        (["SIZE", "8BITMIME"], [b"a\r\n"], " BODY=8BITMIME"),
        (["SIZE"], [b"a\r\n"], ""),
    ],
)
@pytest.mark.req("EIG-05", "UTF-06")
def test_parameters_say_what_is_known_and_understood(keywords: Any, content: Any, parameters: str) -> None:
    octets = content if isinstance(content, (bytes, bytearray)) else b"".join(content)
    end = b"" if octets.endswith(b"\r\n") or not octets else b"\r\n"
    steps = [
        (MAIL + parameters, "250 ok"),
        (RCPT, "250 ok"),
        ("DATA", "354 go"),
        (bytes(octets) + end + b".\r\n", "250 ok"),
        QUIT,
    ]
    talk(steps, sending(content=content), keywords=keywords)


@pytest.mark.req("SIZ-15")
@pytest.mark.parametrize("keywords", [["SIZE 19"], ["SIZE 19", "PIPELINING"]])
def test_a_message_that_is_too_big_is_not_begun(keywords: list[str]) -> None:
    error = failure([QUIT], sending(ONE, TWO), MessageTooBig, keywords=keywords)
    assert error.reply.code == 552
    assert "20 octets" in str(error)
    assert table(result_of(error)) == [("one", 552, False, False), ("two", 552, False, False)]
    assert error.hint == "make the message smaller: compress or split attachments"
    assert error.context.reply is None, "the server was not asked"


@pytest.mark.req("SIZ-14")
@pytest.mark.parametrize("code, retryable", [(452, True), (552, False)])
def test_mail_refused_for_its_size_leaves_no_transaction(code: int, retryable: bool) -> None:
    async def twice(client: Client) -> ReplyError:
        with pytest.raises(ReplyError) as caught:
            await client.send(SENDER, [ONE], CONTENT)
        await client.send(SENDER, [ONE], b"")
        return caught.value

    steps = [
        (f"{MAIL} SIZE=20", f"{code} too big"),
        (f"{MAIL} SIZE=0", "250 ok"),
        (RCPT, "250 ok"),
        ("DATA", "354 go"),
        (".", "250 ok"),
        QUIT,
    ]
    error = talk(steps, twice, keywords=["SIZE"])
    assert bool(result_of(error).retryable_recipients) is retryable


@pytest.mark.req("DAT-19", "EIG-04")
@pytest.mark.parametrize(
    "content",
    [
        b"\xe4\r\n",
        memoryview(b"\xe4\r\n"),
        io.BytesIO(b"a\r\n" * 50_000 + b"\xe4\r\n"),
        [b"a\r\n", b"\xe4\r\n"],
        iter([b"a\r\n" * 500_000, b"\xe4\r\n"]),
    ],
    ids=["bytes", "memoryview", "file", "list", "iterator"],
)
def test_eight_bit_content_is_refused_before_anything_is_sent(content: Any) -> None:
    """Whatever it comes from."""
    error = failure([QUIT], sending(content=content), LocalProtocolError, keywords=["PIPELINING"])
    assert "8BITMIME" in str(error)


@pytest.mark.parametrize(
    "content",
    [lambda: io.BytesIO(CONTENT), lambda: [CONTENT[:5], CONTENT[5:]], lambda: iter([CONTENT])],
    ids=["file", "list", "iterator"],
)
@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_content_may_come_from_a_file_or_in_pieces(content: Any, keywords: list[str]) -> None:
    body = " BODY=8BITMIME" if keywords else ""
    steps = [(MAIL + body, "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    assert talk(steps, sending(content=content()), keywords=keywords).accepted_recipients == (ONE,)


def test_big_content_is_written_in_small_pieces() -> None:
    """However it is given: memory for one piece is enough."""
    content = b"0123456789abcd\r\n" * 40_000

    for given in (content, io.BytesIO(content), [content]):
        stream = Stream([GREETING, ehlo(), *UNPIPELINED, (content + b".\r\n", "250 ok"), QUIT])
        client = connect(stream)
        run(client.send(SENDER, [ONE], given))
        run(client.quit())
        stream.finish()
        assert max(stream.sizes) <= _sources.PIECE + 5


@pytest.mark.parametrize(
    "content, what",
    [
        (b"a\nb\r\n", "line 1 of the content has a bare LF"),
        (b"a\r\nb\rc\r\n", "line 2 of the content has a bare CR"),
        (b"x" * 999, "longer than 998 octets"),
        (b"a\r", "ends in a bare CR"),
    ],
)
def test_content_that_cannot_be_sent_is_refused_before_anything_is(content: bytes, what: str) -> None:
    error = failure([QUIT], sending(content=content), LocalProtocolError)
    assert what in str(error)
    assert error.result is None


@pytest.mark.req("DAT-29")
@pytest.mark.parametrize("bad", [b"b\nc", b"x" * 2000])
def test_content_found_invalid_while_sending_gets_no_final_dot(bad: bytes) -> None:
    async def conversation(client: Client) -> LocalProtocolError:
        with pytest.raises(LocalProtocolError) as caught:
            await client.send(SENDER, [ONE], iter([b"a\r\n", bad]))
        with pytest.raises(ConnectionLost, match=r"the session is over: .*\(phase: content\)"):
            await client.noop()
        return caught.value

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    error = talk(steps, conversation, keywords=["8BITMIME"], last=b"a\r\n")
    assert error.context is not None
    assert error.context.phase == "content"
    assert not result_of(error).maybe_delivered
    assert result_of(error).retryable_recipients == (ONE,)


@pytest.mark.parametrize(
    "content",
    [
        lambda: io.BytesIO(b""),
        lambda: used(io.BytesIO(CONTENT)),
        list,
        lambda: (b"", bytearray()),
        lambda: closed(iter_of(CONTENT)),
    ],
    ids=["empty file", "used file", "list", "empty pieces", "used generator"],
)
@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_a_source_without_octets_is_refused_before_anything(content: Any, keywords: list[str]) -> None:
    error = failure([QUIT], sending(content=content()), LocalProtocolError, keywords=keywords)
    assert "the content is empty" in str(error)


def used(file: Any) -> Any:
    file.read()
    return file


def closed(generator: Any) -> Any:
    list(generator)
    return generator


def iter_of(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces


@pytest.mark.req("DAT-29")
def test_an_iterator_without_octets_is_given_up_without_the_final_dot() -> None:
    """It shows only when content is asked for; an empty message would be accepted."""

    async def conversation(client: Client) -> LocalProtocolError:
        with pytest.raises(LocalProtocolError, match="the content is empty") as caught:
            await client.send(SENDER, [ONE], iter([]))
        with pytest.raises(ConnectionLost, match="the session is over"):
            await client.noop()
        return caught.value

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    error = talk(steps, conversation, keywords=["8BITMIME"])
    assert result_of(error).accepted_recipients == ()
    assert not result_of(error).maybe_delivered


def test_an_iterator_is_not_touched_before_the_server_asks_for_content() -> None:
    content = iter([CONTENT])

    async def twice(client: Client) -> SendResult:
        with pytest.raises(ReplyError):
            await client.send(SENDER, [ONE], content)
        return await client.send(SENDER, [ONE], content)

    steps = [(f"{MAIL} BODY=8BITMIME", "451 no"), (f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    assert talk([*steps, (DOT, "250 ok"), QUIT], twice, keywords=["8BITMIME"]).accepted_recipients == (ONE,)


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_a_file_can_be_sent_again_when_the_first_try_has_failed(keywords: list[str]) -> None:
    """It goes back to where it stood, which need not be its beginning."""
    file = io.BytesIO(b"mbox line\n" + CONTENT)
    file.readline()

    async def twice(client: Client) -> SendResult:
        with pytest.raises(ReplyError) as caught:
            await client.send(SENDER, [ONE], file)
        assert result_of(caught.value).retryable_recipients == (ONE,)
        return await client.send(SENDER, [ONE], file)

    body = " BODY=8BITMIME" if keywords else ""
    try_once = [(MAIL + body, "250 ok"), *UNPIPELINED[1:]]
    steps = [*try_once, (DOT, "451 4.3.0 try again"), *try_once, (DOT, "250 ok"), QUIT]
    assert talk(steps, twice, keywords=keywords).accepted_recipients == (ONE,)
    assert file.read() == b"", "after success it is at its end"


def test_a_generator_that_was_begun_does_not_give_the_rest_of_a_message() -> None:
    content = iter_of(CONTENT, CONTENT, CONTENT)

    async def conversation(client: Client) -> None:
        with pytest.raises(ConnectionLost):
            await client.send(SENDER, [ONE], content)

    begin = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:2]]
    talk([*begin, ("DATA", ["354 go", EOF])], conversation, keywords=["8BITMIME"])
    error = failure([QUIT], sending(content=content), LocalProtocolError, keywords=["8BITMIME"])
    assert "the content is empty" in str(error)


class Whatever(Exception):
    pass


class Odd:
    """A binary file of its own kind, which cannot seek."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = [*pieces]

    def read(self, size: int) -> Any:
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


@pytest.mark.req("DAT-29")
@pytest.mark.parametrize(
    "pieces, kind",
    [
        ([b"a\r\n", None, b"b\r\n", b""], LocalProtocolError),
        ([b"a\r\n", "b\r\n", ""], ArgumentTypeError),
        ([b"a\r\n", 7, b""], ArgumentTypeError),
        ([b""], LocalProtocolError),
        ([""], ArgumentTypeError),
        ([b"a\r\n", Whatever()], Whatever),
    ],
)
def test_a_file_that_goes_wrong_on_the_way_gets_no_final_dot(pieces: Any, kind: Any) -> None:
    """None is not the end: a file that does not block has nothing to give now."""

    async def conversation(client: Client) -> None:
        with pytest.raises(kind) as caught:
            await sending(content=Odd(*pieces))(client)
        assert type(caught.value) is kind

    talk([(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]], conversation, keywords=["8BITMIME"])


def test_a_file_that_cannot_seek_is_sent_as_it_comes() -> None:
    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    talk(steps, sending(content=Odd(CONTENT[:5], CONTENT[5:], b"", b"")), keywords=["8BITMIME"])


def test_a_file_of_text_that_does_not_say_so_is_refused_before_anything() -> None:
    class Seeking(Odd):
        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return 0

        def seek(self, position: int) -> None:
            pass

    error = failure([QUIT], sending(content=Seeking("S")), ArgumentTypeError, keywords=["8BITMIME"])
    assert "a piece of it is str" in str(error)


@pytest.mark.parametrize("mode", ["wb", "rb"], ids=["for writing", "closed"])
def test_a_file_that_cannot_be_read_is_refused_before_anything(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(CONTENT)
    with path.open(mode) as file:
        if mode == "rb":
            file.close()
        error = failure([QUIT], sending(content=file), LocalProtocolError, keywords=["8BITMIME"])
    assert "the content cannot be read: " in str(error)


def test_a_big_message_for_a_server_without_8bitmime_is_not_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rolled: list[bool] = []
    spooled: Any = tempfile.SpooledTemporaryFile

    class Spool(spooled):
        def close(self) -> None:
            rolled.append(self._rolled)
            super().close()

        def __exit__(self, *details: object) -> None:
            self.close()

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Spool)
    for octets in (_sources.IN_MEMORY, _sources.IN_MEMORY + 20):
        content = CONTENT * (octets // len(CONTENT))
        steps = [*UNPIPELINED, (content + b".\r\n", "250 ok"), QUIT]
        talk(steps, sending(content=[content]))
    assert rolled == [False, True]


def failing(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise Whatever


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
@pytest.mark.parametrize(
    "content, kind",
    [("Subject: x\r\n", "str"), (io.StringIO("x"), "StringIO"), (EmailMessage(), "EmailMessage")],
    ids=["str", "text file", "EmailMessage"],
)
def test_content_that_is_not_octets_is_refused_before_anything_is_sent(
    content: Any, kind: str, keywords: list[str]
) -> None:
    error = failure([QUIT], sending(content=content), ArgumentTypeError, keywords=keywords)
    assert f"content is octets, which a {kind} is not" in str(error)


@pytest.mark.req("DAT-29")
def test_content_that_fails_on_the_way_is_given_up_without_the_final_dot() -> None:
    """And without QUIT, which would be content; the session is over."""

    async def conversation(client: Client) -> None:
        with pytest.raises(Whatever):
            await client.send(SENDER, [ONE], failing(b"a\r\n", b"b\r\n"))
        with pytest.raises(ConnectionLost, match=r"the session is over: it was broken off \(phase: content\)"):
            await client.send(SENDER, [ONE], CONTENT)

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    talk(steps, conversation, keywords=["8BITMIME"], last=b"a\r\n")


@pytest.mark.parametrize(
    "recipients, advice",
    [
        ("one@mx.example, two@mx.example", True),
        (["one@mx.example,two@mx.example"], True),
        (["one@mx.example\r\nDATA"], False),
        (["no address"], False),
        (["bücher@mx.example"], False),
    ],
)
def test_invalid_recipients_are_refused_before_anything_is_sent(recipients: Any, advice: bool) -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, recipients, CONTENT), LocalProtocolError)
    assert ("recipients are given as a list" in str(error)) is advice


def test_a_message_needs_a_recipient() -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, [], CONTENT), LocalProtocolError)
    assert "at least one recipient" in str(error)


def test_one_recipient_may_be_a_string() -> None:
    result = talk([*UNPIPELINED, (DOT, "250 ok"), QUIT], lambda client: client.send(SENDER, ONE, CONTENT))
    assert result.accepted_recipients == (ONE,)


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("sender", (None, [ONE], CONTENT), {}),
    ("sender", (b"a@client.example", [ONE], CONTENT), {}),
    ("recipients", (SENDER, None, CONTENT), {}),
    ("recipients", (SENDER, 7, CONTENT), {}),
    ("recipients", (SENDER, b"one@mx.example", CONTENT), {}),
    ("recipients", (SENDER, [None], CONTENT), {}),
    ("recipients", (SENDER, [ONE, b"two@mx.example"], CONTENT), {}),
    ("content", (SENDER, [ONE], None), {}),
    ("content", (SENDER, [ONE], 7), {}),
    ("content", (SENDER, [ONE], ["Subject: x\r\n"]), {}),
    ("content", (SENDER, [ONE], [CONTENT, None]), {}),
    ("content", (SENDER, [ONE], {"a": b"b"}), {}),
    ("smtputf8", (SENDER, [ONE], CONTENT), {"smtputf8": "no"}),
]


@pytest.mark.parametrize("keywords", [[], ["8BITMIME", "PIPELINING"]])
@pytest.mark.parametrize("name, arguments, options", WRONG)
def test_an_argument_of_the_wrong_type_is_named_and_costs_nothing(
    name: str, arguments: Any, options: Any, keywords: list[str]
) -> None:
    async def conversation(client: Client) -> ArgumentTypeError:
        with pytest.raises(ArgumentTypeError, match=f"^{name} is ") as caught:
            await client.send(*arguments, **options)
        await client.noop()
        return caught.value

    error = talk([("NOOP", "250 ok"), QUIT], conversation, keywords=keywords)
    assert error.context is not None


def test_an_argument_that_is_not_a_message_is_named() -> None:
    async def conversation(client: Client) -> None:
        message: Any = b"Subject: x\r\n"
        with pytest.raises(ArgumentTypeError, match=r"^message is an EmailMessage"):
            await client.send_message(message)
        for sender, recipients, what in (
            (7, None, "sender"),
            (None, [None], "recipients"),
            (None, b"x", "recipients"),
        ):
            given: Any = {"sender": sender, "recipients": recipients}
            with pytest.raises(ArgumentTypeError, match=f"^{what} is "):
                await client.send_message(email(), **given)
        name: Any = None
        with pytest.raises(ArgumentTypeError, match=r"^address is a string"):
            await client.verify(name)
        await client.noop()

    talk([("NOOP", "250 ok"), QUIT], conversation)


def test_pieces_may_be_any_kind_of_bytes() -> None:
    content = [memoryview(CONTENT[:3]), bytearray(CONTENT[3:9]), b"", CONTENT[9:]]
    talk([*UNPIPELINED, (DOT, "250 ok"), QUIT], sending(content=content))
    body = (f"{MAIL} BODY=8BITMIME", "250 ok")
    talk([body, *UNPIPELINED[1:], (DOT, "250 ok"), QUIT], sending(content=iter(content)), keywords=["8BITMIME"])


@pytest.mark.req("MAI-23")
def test_the_null_sender_is_used_when_it_is_asked_for() -> None:
    steps = [("MAIL FROM:<>", "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    assert talk(steps, lambda client: client.send("", [ONE], CONTENT)).sender == ""

    nobody: Any = None
    with pytest.raises(TypeError, match="sender is a string"):
        talk([QUIT], lambda client: client.send(nobody, [ONE], CONTENT))


@pytest.mark.req("UTF-05")
@pytest.mark.parametrize(
    "sender, recipient, smtputf8",
    [("ä@client.example", ONE, False), (SENDER, "ö@mx.example", False), (SENDER, ONE, True)],
)
def test_smtputf8_is_declared_for_whatever_needs_it(sender: str, recipient: str, smtputf8: bool) -> None:
    steps = [
        (f"MAIL FROM:<{sender}> SMTPUTF8", "250 ok"),
        (f"RCPT TO:<{recipient}>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    keywords = ["8BITMIME", "SMTPUTF8"]

    def conversation(client: Client) -> Any:
        return client.send(sender, [recipient], CONTENT, smtputf8=smtputf8)

    talk(steps, conversation, keywords=keywords)
    error = failure([QUIT], conversation, LocalProtocolError, keywords=["8BITMIME"])
    assert "does not offer SMTPUTF8" in str(error)


@pytest.mark.req("UTF-08")
@pytest.mark.parametrize("keywords", [[], ["8BITMIME", "SMTPUTF8"]])
@pytest.mark.parametrize("domain", ["b\u00fccher.example", "bu\u0308cher.example"])
def test_a_domain_alone_is_sent_with_a_labels_and_needs_no_smtputf8(domain: str, keywords: list[str]) -> None:
    """As send_message() sends it; composed or not."""
    steps = [
        ("MAIL FROM:<a@xn--bcher-kva.example>", "250 ok"),
        ("RCPT TO:<one@xn--bcher-kva.example>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    name = f"one@{domain}"
    result = talk(steps, lambda client: client.send(f"a@{domain}", [name], CONTENT), keywords=keywords)
    assert result.accepted_recipients == (name,), "as it was given"


@pytest.mark.req("UTF-05")
def test_an_address_that_needs_smtputf8_is_sent_composed() -> None:
    steps = [
        ("MAIL FROM:<\u00e4@b\u00fccher.example> SMTPUTF8", "250 ok"),
        ("RCPT TO:<one@b\u00fccher.example>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    domain = "bu\u0308cher.example"
    talk(
        steps,
        lambda client: client.send(f"a\u0308@{domain}", [f"one@{domain}"], CONTENT),
        keywords=["SMTPUTF8"],
    )


# --- send_message() ---------------------------------------------------------------------------------------


def email(**fields: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in {"From": SENDER, "To": ONE, "Subject": "x", **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content("body\n")
    return message


def content_of(stream: Stream) -> bytes:
    return stream.written.partition(b"DATA\r\n")[2].partition(b"\r\n.\r\n")[0]


def send_message(message: EmailMessage, steps: Any, *keywords: str, **arguments: Any) -> tuple[Any, bytes]:
    stream = Stream([GREETING, ehlo(*keywords), *steps, ("DATA", "354 go"), (ANY, "250 ok"), QUIT])
    client = connect(stream)
    result = run(client.send_message(message, **arguments))
    run(client.quit())
    stream.finish()
    return result, content_of(stream)


def test_an_email_message_has_its_envelope_in_it() -> None:
    message = email(Cc=TWO, Bcc=THREE)
    steps = [(MAIL, "250 ok"), (RCPT, "250 ok"), (RCPT2, "250 ok"), (RCPT3, "250 ok")]
    result, content = send_message(message, steps)
    assert result.accepted_recipients == (ONE, TWO, THREE)
    assert b"To: one@mx.example\r\n" in content
    assert b"three" not in content, "Bcc is for the envelope only"
    assert message["Bcc"] == THREE, "the message is as it was"


@pytest.mark.parametrize("recipients", [THREE, [THREE]])
def test_an_envelope_can_be_given_beside_an_email_message(recipients: Any) -> None:
    steps = [("MAIL FROM:<>", "250 ok"), (RCPT3, "250 ok")]
    result, content = send_message(email(), steps, sender="", recipients=recipients)
    assert result.accepted_recipients == (THREE,)
    assert b"To: one@mx.example\r\n" in content


def test_an_email_message_is_made_to_fit_the_server() -> None:
    message = email()
    message.set_content("grüße\n", cte="8bit")
    octets = send_message(message, [(MAIL, "250 ok"), (RCPT, "250 ok")])[1]
    assert octets.isascii()
    octets = send_message(message, [(f"{MAIL} BODY=8BITMIME", "250 ok"), (RCPT, "250 ok")], "8BITMIME")[1]
    assert "grüße".encode() in octets


@pytest.mark.req("UTF-05")
def test_a_header_with_utf8_is_declared_though_the_envelope_is_ascii() -> None:
    message = email(Cc="ü@mx.example")
    steps = [(f"{MAIL} BODY=8BITMIME SMTPUTF8", "250 ok"), (RCPT, "250 ok")]
    _, content = send_message(message, steps, "8BITMIME", "SMTPUTF8", recipients=[ONE])
    assert "ü@mx.example".encode() in content


def test_an_email_message_that_cannot_be_sent_changes_nothing() -> None:
    error = failure([QUIT], lambda client: client.send_message(EmailMessage()), LocalProtocolError)
    assert error.context is not None


# --- The other commands -----------------------------------------------------------------------------------


def test_noop_reset_and_verify() -> None:
    async def conversation(client: Client) -> list[int]:
        replies = [await client.noop(), await client.reset(), await client.verify("joe")]
        with pytest.raises(ReplyError) as caught:
            await client.verify("jim")
        return [*(reply.code for reply in replies), caught.value.reply.code]

    steps = [("NOOP", "250 ok"), ("RSET", "250 ok"), ("VRFY joe", "252 perhaps"), ("VRFY jim", "550 no"), QUIT]
    assert talk(steps, conversation) == [250, 250, 252, 550]


# --- connect(): security ----------------------------------------------------------------------------------

OFFER = ("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN")
BEFORE_TLS = [GREETING, ehlo(*OFFER), ("STARTTLS", "220 go")]


def introduced(steps: Any, *, last: Any = b"", name: str = "client.example", **options: Any) -> Client:
    """Connect, against a script that goes no further; then leave."""
    given = {"local_hostname": name, "security": None, **options}
    port = given.pop("port", 25)
    clock = given.pop("clock", None)
    stream = Stream(steps, clock=clock, **({"sockname": given.pop("sockname")} if "sockname" in given else {}))
    try:
        client = connect(stream, port=port, **given)
        run(client.quit())
    finally:
        stream.finish(last)
    return client


def refused(steps: Any, kind: type[SMTPError], **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        introduced(steps, **options)
    assert type(caught.value) is kind
    assert caught.value.context is not None
    return caught.value


@pytest.mark.req("TLS-24", "TLS-30")
@pytest.mark.parametrize(
    "options, tls",
    [
        ({"port": 465}, "first"),
        ({"port": 587}, "then"),
        ({"port": 25}, "then"),
        ({"port": 25, "security": "none"}, "never"),
        ({"port": 465, "security": "none"}, "never"),
        ({"port": 465, "security": "starttls"}, "then"),
        ({"port": 587, "security": "tls"}, "first"),
        ({"port": 587, "security": "opportunistic"}, "then"),
    ],
)
def test_security_follows_from_the_port_unless_it_is_given(options: Any, tls: str) -> None:
    steps = {
        "first": [(TLS, INFO), GREETING, ehlo(*OFFER), QUIT],
        "then": [*BEFORE_TLS, (TLS, INFO), ehlo(*OFFER), QUIT],
        "never": [GREETING, ehlo(*OFFER), QUIT],
    }[tls]
    client = introduced(steps, **options)
    assert client.tls == (None if tls == "never" else INFO)
    assert client.context.tls is (tls != "never")


@pytest.mark.parametrize("port", [25, 2525])
def test_with_a_password_tls_is_required(port: int) -> None:
    refused([GREETING, ehlo("AUTH PLAIN"), QUIT], TlsUnavailable, port=port, auth=("joe", "secret"))


@pytest.mark.parametrize(
    "options, verifies",
    [
        ({"security": "tls"}, True),
        ({"security": "starttls"}, True),
        ({"security": "opportunistic"}, False),
        ({"security": "opportunistic", "auth": ("joe", "secret")}, True),
    ],
)
def test_certificates_are_verified_unless_security_is_opportunistic(options: Any, verifies: bool) -> None:
    steps = [GREETING, ehlo(*OFFER), ("STARTTLS", "220 go"), (TLS, INFO), ehlo(*OFFER)]
    if options["security"] == "tls":
        steps = [(TLS, INFO), GREETING, ehlo(*OFFER)]
    if "auth" in options:
        steps += [("AUTH PLAIN AGpvZQBzZWNyZXQ=", "235 ok")]
    stream = Stream([*steps, QUIT])
    run(connect(stream, **options).quit())
    stream.finish()
    (handshake,) = stream.handshakes
    context = handshake["context"]
    assert context.check_hostname is verifies
    assert context.verify_mode is (ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE)
    assert handshake["server_hostname"] == "mx.example"
    assert handshake["server_side"] is False


def test_a_context_of_ones_own_is_used_as_it_is() -> None:
    context = default_context(verify=False)
    stream = Stream([(TLS, INFO), GREETING, ehlo(), QUIT])
    run(connect(stream, security="tls", ssl_context=context).quit())
    assert stream.handshakes[0]["context"] is context


@pytest.mark.parametrize("security", ["ssl", "TLS", "implicit"])
def test_an_invalid_mode_of_security_is_refused(security: str) -> None:
    with pytest.raises(LocalProtocolError, match="security is one of none, starttls, tls, opportunistic"):
        connect(Stream([]), security=security)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="no option ssl_contxt"):
        connect(Stream([]), ssl_contxt=None)


@pytest.mark.req("TLS-25")
@pytest.mark.parametrize("auth", [None, ("joe", "secret")])
def test_where_tls_is_required_and_not_offered_there_is_quit_and_nothing_else(auth: Any) -> None:
    error = refused([GREETING, ehlo("AUTH PLAIN"), QUIT], TlsUnavailable, security="starttls", auth=auth)
    assert error.context.phase == "starttls"
    assert error.hint is not None
    assert "AUTH PLAIN" in error.hint


@pytest.mark.req("TLS-25")
def test_where_tls_is_required_a_server_that_knows_no_extension_is_left() -> None:
    error = refused([GREETING, ("EHLO client.example", "502 what"), QUIT], ReplyError, security="starttls")
    assert error.reply.code == 502


@pytest.mark.req("TLS-17")
def test_starttls_refused_ends_the_session_where_tls_is_required() -> None:
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "454 4.7.0 out of order"), QUIT]
    error = refused(steps, TlsUnavailable, security="starttls")
    assert error.context.reply == Reply(454, "4.7.0", "out of order")


@pytest.mark.req("TLS-17", "TLS-24")
def test_starttls_refused_leaves_the_session_in_plaintext_where_tls_is_optional() -> None:
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "454 4.7.0 out of order"), QUIT]
    assert introduced(steps, security="opportunistic").tls is None


@pytest.mark.req("TLS-24")
def test_where_tls_is_optional_and_not_offered_there_is_none() -> None:
    assert introduced([GREETING, ehlo(), QUIT], security="opportunistic").tls is None


@pytest.mark.parametrize("security, kind", [("starttls", TlsUnavailable), ("opportunistic", ReplyError)])
def test_starttls_answered_421_is_the_end_in_any_case(security: str, kind: Any) -> None:
    refused([GREETING, ehlo("STARTTLS"), ("STARTTLS", "421 bye")], kind, security=security)


@pytest.mark.req("TLS-18")
def test_starttls_answered_with_another_success_is_the_end() -> None:
    refused([GREETING, ehlo("STARTTLS"), ("STARTTLS", "250 ok")], RemoteProtocolError, security="starttls")


@pytest.mark.req("TLS-19")
@pytest.mark.parametrize("security", ["starttls", "opportunistic"])
@pytest.mark.parametrize(
    "failure, words",
    [
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "wrong version number"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "EOF occurred"),
    ],
)
def test_a_handshake_that_fails_ends_the_session(security: str, failure: Any, words: str) -> None:
    """Without a word in plaintext behind it."""
    error = refused([*BEFORE_TLS, (TLS, failure)], TlsError, security=security)
    assert error.context.phase == "tls"
    assert words in str(error)
    assert error.__cause__ is failure


def test_what_a_failing_handshake_has_received_is_among_the_facts() -> None:
    class Plain(Stream):
        async def start_tls(self, context: Any, **options: Any) -> TlsInfo:
            self.first_octets = b"220 mx.example ESMTP\r\n"
            return await super().start_tls(context, **options)

    stream = Plain([(TLS, ssl.SSLError(1, "wrong version number"))])
    with pytest.raises(TlsError) as caught:
        connect(stream, security="tls", port=2525)
    assert caught.value.context is not None
    assert caught.value.context.first_octets == b"220 mx.example ESMTP\r\n"
    assert caught.value.hint is not None
    assert "port 2525 speaks plain SMTP first" in caught.value.hint
    assert stream.closed


@pytest.mark.req("TLS-05")
def test_plaintext_behind_the_reply_to_starttls_is_the_end() -> None:
    """None of it is taken for a reply, and no handshake begins."""
    steps = [GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go\n250 mx.example")]
    error = refused(steps, RemoteProtocolError, security="starttls")
    assert error.context.tls is False


@pytest.mark.req("TLS-08", "TLS-09")
def test_what_was_offered_in_plaintext_is_forgotten() -> None:
    steps = [GREETING, ehlo("STARTTLS", "SIZE 5", "X-OLD"), ("STARTTLS", "220 go"), (TLS, INFO), ehlo("SIZE 7")]
    client = introduced([*steps, QUIT], security="starttls")
    assert client.context.capabilities == ("SIZE 7",)
    assert client.capabilities.size == 7


# --- connect(): the greeting, and EHLO --------------------------------------------------------------------


@pytest.mark.req("GRT-13", "SES-34")
@pytest.mark.parametrize("code, retryable", [(450, True), (521, False), (554, False)])
def test_a_refused_connection_is_left_with_quit(code: int, retryable: bool) -> None:
    error = refused([(b"", f"{code} no"), QUIT], ReplyError)
    assert error.reply.code == code
    assert error.retryable is retryable
    assert error.context.phase == "greeting"


def test_421_for_a_greeting_is_the_end() -> None:
    assert refused([(b"", "421 busy")], ReplyError).retryable


@pytest.mark.parametrize(
    "greeting", ["354 go", "hello there", "22 x", "2200 x", b"\x00220 x\r\n", "620 hi", "220-a\n250 b"]
)
def test_an_invalid_greeting_ends_the_session(greeting: Any) -> None:
    """The farewell is not left out, for whoever knows what it means."""
    error = refused([(b"", greeting)], RemoteProtocolError, last=ANY)
    assert error.context.phase == "greeting"
    assert error.context.octets_received == len(lines(greeting) if isinstance(greeting, str) else greeting)


def test_quit_follows_an_invalid_reply() -> None:
    failure([("NOOP", "354 x")], lambda client: client.noop(), RemoteProtocolError, last="QUIT")


def test_an_invalid_reply_is_reported_although_quit_cannot_be_sent() -> None:
    def broken(stream: Stream) -> None:
        stream.write_error = ConnectionResetError()

    failure([("NOOP", [broken, "354 x"])], lambda client: client.noop(), RemoteProtocolError)


@pytest.mark.req("EHL-04", "EHL-28")
def test_the_session_begins_with_ehlo_and_one_argument() -> None:
    introduced([GREETING, ("EHLO client.example", "250 mx.example"), QUIT])


@pytest.mark.req("EHL-05")
@pytest.mark.parametrize("code", [500, 502])
def test_helo_follows_where_ehlo_is_not_known(code: int) -> None:
    steps = [GREETING, ("EHLO client.example", f"{code} what"), ("HELO client.example", "250 mx.example"), QUIT]
    assert list(introduced(steps, security="opportunistic").capabilities.lines()) == []


@pytest.mark.req("EHL-05", "SES-34")
@pytest.mark.parametrize("code", [450, 501, 504, 550, 554])
def test_helo_does_not_follow_where_ehlo_is_refused(code: int) -> None:
    error = refused([GREETING, ("EHLO client.example", f"{code} no"), QUIT], ReplyError)
    assert error.reply.code == code
    assert "EHLO client.example was answered" in str(error), "who is disliked has to know by which name"
    assert error.context.last_command == "EHLO"
    assert error.context.phase == "ehlo"


@pytest.mark.req("EHL-05")
def test_a_refused_helo_is_the_end() -> None:
    steps = [GREETING, ("EHLO client.example", "500 what"), ("HELO client.example", "550 no"), QUIT]
    assert "HELO client.example was answered" in str(refused(steps, ReplyError))


@pytest.mark.req("EHL-31")
@pytest.mark.parametrize(
    "machine, sockname, sent",
    [
        ("host.client.example", ("192.0.2.1", 1), "host.client.example"),
        ("laptop", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("laptop.", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("my_laptop.example", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("büro.example", ("192.0.2.1", 1), "[192.0.2.1]"),
        ("laptop", ("2001:db8::1", 1, 0, 0), "[IPv6:2001:db8::1]"),
        ("laptop", ("fe80::1%eth0", 1, 0, 2), "[IPv6:fe80::1]"),
        ("laptop", "/run/a.socket", "[127.0.0.1]"),
    ],
)
def test_the_name_is_that_of_the_machine_if_it_is_one_and_else_the_address(
    machine: str, sockname: Any, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks DNS for it, which may take minutes."""

    def dns(*args: Any) -> Any:
        raise AssertionError("DNS was asked")

    for name in ("getfqdn", "gethostbyname", "gethostbyaddr", "getaddrinfo"):
        monkeypatch.setattr(socket, name, dns)
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    steps = [GREETING, ehlo(name=sent), QUIT]
    given: Any = None
    introduced(steps, name=given, sockname=sockname)


@pytest.mark.req("EHL-31")
@pytest.mark.parametrize(
    "given, sent",
    [
        ("mail.client.example", "mail.client.example"),
        ("localhost", "localhost"),
        ("[192.0.2.77]", "[192.0.2.77]"),
        ("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]"),
        ("my_laptop", "[192.0.2.1]"),
        ("", "[192.0.2.1]"),
        ("mail..example", "[192.0.2.1]"),
        ("my laptop", "[192.0.2.1]"),
    ],
)
def test_a_name_that_is_given_is_used_if_a_server_may_take_it(given: str, sent: str) -> None:
    introduced([GREETING, ehlo(name=sent), QUIT], name=given)


@pytest.mark.parametrize("given", ["x\r\nMAIL FROM:<evil@example.com>", "x\n", "a\0b"])
def test_a_local_hostname_with_control_characters_is_refused(given: str) -> None:
    error = refused([GREETING, QUIT], LocalProtocolError, name=given)
    assert "has control characters in it" in str(error)


# --- connect(): AUTH --------------------------------------------------------------------------------------

UNDER_TLS = [(TLS, INFO), GREETING]
PLAIN = "AUTH PLAIN AGpvZQBzZWNyZXQ="


def test_a_password_is_shown_under_tls_only() -> None:
    steps = [*BEFORE_TLS, (TLS, INFO), ehlo("AUTH LOGIN PLAIN"), (PLAIN, "235 ok"), QUIT]
    introduced(steps, auth=("joe", "secret"))


@pytest.mark.req("AUT-50")
@pytest.mark.parametrize("security", ["none", "opportunistic"])
def test_a_password_is_not_shown_without_tls(security: str) -> None:
    steps = [GREETING, ehlo("AUTH LOGIN PLAIN"), QUIT]
    error = refused(steps, AuthenticationUnavailable, security=security, auth=("joe", "secret"))
    assert "the server offers LOGIN, PLAIN" in str(error)
    assert error.context.phase == "auth"


@pytest.mark.req("AUT-50")
def test_starttls_refused_does_not_make_the_password_public() -> None:
    steps = [GREETING, ehlo("STARTTLS", "AUTH PLAIN"), ("STARTTLS", "454 no"), QUIT]
    refused(steps, AuthenticationUnavailable, security="opportunistic", auth=("joe", "secret"))


def test_a_password_is_sent_without_tls_if_that_is_allowed_explicitly() -> None:
    steps = [GREETING, ehlo("AUTH LOGIN PLAIN"), (PLAIN, "235 ok"), QUIT]
    introduced(steps, security="none", auth=("joe", "secret"), allow_cleartext_auth=True)


@pytest.mark.parametrize("offer", [(), ("AUTH",), ("AUTH X-OTHER",)])
def test_without_a_usable_mechanism_no_auth_command_is_sent(offer: Any) -> None:
    steps = [*UNDER_TLS, ehlo(*offer), QUIT]
    error = refused(steps, AuthenticationUnavailable, security="tls", auth=("joe", "secret"))
    assert "no usable authentication mechanism" in str(error)


@pytest.mark.req("AUT-24")
@pytest.mark.parametrize(
    "reply, retryable, hint",
    [
        ("454 4.7.0 later", True, "this is temporary: try again later"),
        ("535 5.7.8 wrong", False, "user name or password are wrong"),
        ("534 5.7.9 too weak", False, "the server wants a stronger mechanism"),
        ("432 4.7.12 transition", True, "log in once with PLAIN"),
    ],
)
def test_a_refused_login_says_what_to_do_about_it(reply: str, retryable: bool, hint: str) -> None:
    """And no mail is sent without it."""
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), (PLAIN, reply), QUIT]
    error = refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))
    assert error.retryable is retryable
    assert error.hint.startswith(hint)
    assert str(error).startswith("PLAIN was answered")
    assert "secret" not in str(error)


LOGIN = [("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("am9l", "334 UGFzc3dvcmQ6")]


@pytest.mark.parametrize("reply", ["504 5.5.4 unknown", "534 5.7.9 too weak"])
def test_a_mechanism_that_is_refused_is_followed_by_the_next_one(reply: str) -> None:
    """It is the mechanism that the server does not like, and not the password."""
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, reply)]
    introduced([*steps, *LOGIN, ("c2VjcmV0", "235 ok"), QUIT], security="tls", auth=("joe", "secret"))
    error = refused(
        [*steps, *LOGIN, ("c2VjcmV0", "535 5.7.8 no"), QUIT],
        AuthenticationFailed,
        security="tls",
        auth=("joe", "secret"),
    )
    assert error.reply.code == 535
    error = refused(
        [*steps, ("AUTH LOGIN", reply), QUIT], AuthenticationFailed, security="tls", auth=("joe", "secret")
    )
    assert str(error).startswith("LOGIN was answered")


@pytest.mark.req("AUT-24")
@pytest.mark.parametrize("reply", ["535 5.7.8 wrong", "454 4.7.0 later", "432 4.7.12 transition", "501 what"])
def test_a_password_that_is_refused_is_not_tried_with_another_mechanism(reply: str) -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, reply), QUIT]
    refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))


def test_a_mechanism_that_was_given_and_is_refused_is_not_replaced_by_another() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN"), (PLAIN, "504 no"), QUIT]
    refused(steps, AuthenticationFailed, security="tls", auth=sasl.PlainClient("joe", "secret"))


def test_421_to_a_login_is_the_end() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), (PLAIN, "421 4.7.0 too many")]
    refused(steps, AuthenticationFailed, security="tls", auth=("joe", "secret"))


def test_a_mechanism_can_be_given() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN LOGIN")]
    login = [("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("am9l", "334 UGFzc3dvcmQ6"), ("c2VjcmV0", "235 ok"), QUIT]
    introduced([*steps, *login], security="tls", auth=sasl.LoginClient("joe", "secret"))


def test_a_mechanism_that_is_given_is_not_replaced_by_another() -> None:
    steps = [*UNDER_TLS, ehlo("AUTH PLAIN"), QUIT]
    refused(steps, AuthenticationUnavailable, security="tls", auth=sasl.LoginClient("joe", "secret"))


def test_a_given_cleartext_mechanism_needs_tls_as_well() -> None:
    steps = [GREETING, ehlo("AUTH PLAIN"), QUIT]
    refused(steps, LocalProtocolError, security="none", auth=sasl.PlainClient("joe", "secret"))


def test_challenges_without_an_end_are_broken_off() -> None:
    """The exchange is cancelled; and if that is not understood either, the session is over."""
    username = base64.b64encode(b"Username:").decode()
    steps = [
        *UNDER_TLS,
        ehlo("AUTH LOGIN"),
        ("AUTH LOGIN", f"334 {username}"),
        ("am9l", f"334 {username}"),
        ("c2VjcmV0", f"334 {username}"),
        ("*", f"334 {username}"),
    ]
    refused(steps, RemoteProtocolError, security="tls", auth=("joe", "secret"))


# --- Time -------------------------------------------------------------------------------------------------

LONG = Pause(100_000)


@pytest.mark.req("TMO-01")
@pytest.mark.parametrize(
    "steps, phase, seconds",
    [
        ([(b"", [LONG])], "greeting", 300),
        ([GREETING, ("EHLO client.example", [LONG])], "ehlo", 300),
        ([GREETING, ehlo("STARTTLS"), ("STARTTLS", [LONG])], "starttls", 300),
        ([*BEFORE_TLS, (TLS, TimeoutError())], "tls", 0),
        ([*BEFORE_TLS, (TLS, INFO), ehlo("AUTH PLAIN"), (PLAIN, [LONG])], "auth", 300),
    ],
)
def test_every_wait_has_an_end_and_the_error_says_which_it_was(
    steps: Any, phase: str, seconds: float, clock: Clock
) -> None:
    error = refused(steps, TimedOut, security="starttls", auth=("joe", "secret"), clock=clock)
    assert error.context.phase == phase
    assert f"(phase: {phase})" in str(error)
    assert error.context.idle == seconds


@pytest.mark.req("TMO-01", "TMO-02", "TMO-03", "TMO-04", "TMO-05", "TMO-06", "TMO-07", "TMO-12")
def test_each_wait_has_the_time_that_rfc_5321_gives_it(clock: Clock) -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED, (DOT, "250 ok"), ("NOOP", "250 ok"), QUIT], clock=clock)
    client = connect(stream)
    run(client.send(SENDER, [ONE], CONTENT))
    run(client.noop())
    run(client.quit())
    assert stream.opened == ("mx.example", 25, None, 30)
    #                          greeting EHLO MAIL RCPT DATA dot NOOP QUIT
    assert stream.timeouts == [300, 300, 300, 300, 120, 600, 300, 5]
    assert set(stream.write_timeouts) == {180}


@pytest.mark.req("TMO-09")
@pytest.mark.parametrize(
    "timeout, opened, reads",
    [
        (10, 10, [10, 10, 10, 10, 10, 10, 5]),
        (200, 30, [200, 200, 200, 200, 120, 200, 5]),
        (
            Timeouts(connect=1, greeting=2, command=3, data_initiation=4, data_termination=6, farewell=7),
            1,
            [2, 3, 3, 3, 4, 6, 7],
        ),
    ],
)
def test_every_time_can_be_changed(timeout: Any, opened: float, reads: list[float], clock: Clock) -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED, (DOT, "250 ok"), QUIT], clock=clock)
    client = connect(stream, timeout=timeout)
    run(client.send(SENDER, [ONE], CONTENT))
    run(client.quit())
    assert stream.opened[3] == opened
    assert stream.timeouts == reads


def test_octets_that_drip_in_do_not_prolong_a_wait(clock: Clock) -> None:
    drops: list[Any] = []
    for octet in b"220 mx.example":
        drops += [bytes([octet]), Pause(101)]
    error = refused([(b"", drops)], TimedOut, clock=clock)
    assert clock.now == 1000 + 300
    assert error.context.first_octets == b"220"


def test_a_deadline_is_for_the_session_as_a_whole(clock: Clock) -> None:
    """It counts from before the connection is made."""

    class Slow(Stream):
        async def open(self, *args: Any, **options: Any) -> Stream:
            clock.now += 10
            return await super().open(*args, **options)

    stream = Slow(
        [GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go"), (TLS, INFO), ("EHLO client.example", [LONG])],
        clock=clock,
    )
    with pytest.raises(TimedOut) as caught:
        connect(stream, security="starttls", deadline=20)
    assert stream.opened[3] == 20
    assert stream.handshakes[0]["timeout"] == 10
    assert stream.timeouts == [10, 10, 10, 10]
    assert stream.write_timeouts == [10, 10, 10]
    assert clock.now == 1020
    assert caught.value.context is not None
    assert caught.value.context.phase == "ehlo"


def test_a_write_that_takes_too_long_is_a_timeout() -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED])
    client = connect(stream)
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        if data.startswith(b"Subject"):
            raise TimeoutError("the peer took too long")
        await original(data, timeout)

    vars(stream)["write"] = write
    with pytest.raises(
        TimedOut, match=r"did not take what was sent in the 180 s .*\(phase: content\)"
    ) as caught:
        run(client.send(SENDER, [ONE], CONTENT))
    assert caught.value.maybe_delivered, "the final dot is in that write"
    assert stream.aborted


def test_recipients_answered_just_in_time_do_not_hold_a_client_for_days(clock: Clock) -> None:
    """Each wait is within its time: 83 hours in all."""
    names = [f"user{number}@mx.example" for number in range(1000)]
    steps = [(MAIL, "250 ok"), *((f"RCPT TO:<{name}>", [Pause(299), "250 ok"]) for name in names)]
    began = clock.now
    stream = Stream([GREETING, ehlo(), *steps], clock=clock)
    client = connect(stream)
    with pytest.raises(TimedOut, match=r"no reply to RCPT in the 11500 s allowed for the whole transaction"):
        run(client.send(SENDER, names, CONTENT))
    assert clock.now - began == 1500 + 10 * 1000


def test_content_that_is_taken_slowly_does_not_hold_a_client_for_days(clock: Clock) -> None:
    """Each write is within its time: 20 hours in all, for 25 MiB."""

    class Slow(Stream):
        async def write(self, data: bytes, timeout: float | None) -> None:
            await super().write(data, timeout)
            if len(data) > 1000:
                assert timeout is not None
                if timeout < 179:
                    clock.now += timeout
                    raise TimeoutError("the peer took too long")
                clock.now += 179

    content = b"0123456789abcd\r\n" * 1_638_400
    stream = Slow([GREETING, ehlo(), *UNPIPELINED], clock=clock)
    client = connect(stream)
    with pytest.raises(TimedOut, match=r"allowed for the whole transaction .*\(phase: content\)") as caught:
        run(client.send(SENDER, [ONE], content))
    octets = len(content_of(stream))
    assert 1510 + octets / 1000 - 180 < clock.now - 1000 <= 1510 + octets / 1000 + 180
    assert clock.now < 4 * 3600
    assert not caught.value.maybe_delivered


def test_a_message_may_use_all_the_waits_that_rfc_5321_gives_it(clock: Clock) -> None:
    steps = [
        (MAIL, [Pause(299), "250 ok"]),
        (RCPT, [Pause(299), "250 ok"]),
        ("DATA", [Pause(119), "354 go"]),
        (DOT, [Pause(599), "250 ok"]),
        QUIT,
    ]
    assert talk(steps, sending(), clock=clock).accepted_recipients == (ONE,)


def test_the_time_that_the_application_takes_is_not_the_servers(clock: Clock) -> None:
    def content() -> Iterator[bytes]:
        for _ in range(10):
            clock.now += 10_000
            yield CONTENT

    steps = [
        (f"{MAIL} BODY=8BITMIME", "250 ok"),
        *UNPIPELINED[1:],
        (CONTENT * 10 + b".\r\n", [Pause(500), "250 ok"]),
        QUIT,
    ]
    talk(steps, sending(content=content()), keywords=["8BITMIME"], clock=clock)


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, r"no reply to MAIL in the 300 s allowed for it \(phase: mail\)"),
        ({"timeout": 7}, r"no reply to MAIL in the 7 s allowed for it"),
        ({"deadline": 20}, r"no reply to MAIL in the 20 s allowed for the session \(deadline\)"),
    ],
)
def test_the_error_says_which_wait_it_was(options: Any, words: str, clock: Clock) -> None:
    error = failure([(MAIL, [LONG])], sending(), TimedOut, clock=clock, **options)
    assert re.match(words, str(error)), str(error)


def test_a_timeout_in_one_number_leaves_the_time_for_each_recipient() -> None:
    timeouts = _options.timeouts_of({"timeout": 3})
    assert (timeouts.command, timeouts.farewell) == (3, 3)
    assert timeouts.recipient == 10


# --- What an error knows, and what is left of a session ---------------------------------------------------


@pytest.mark.parametrize(
    "error, words, hint",
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused", "try port 465"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known", "no address is known"),
        (TimeoutError("the peer took too long"), "no answer in the time allowed", "a firewall"),
        (TimeoutError(110, "Connection timed out"), "no answer in the time allowed", "a firewall"),
        (OSError(), "OSError", "check host name and port"),
    ],
)
def test_a_connection_that_cannot_be_made_has_facts_as_well(error: Exception, words: str, hint: str) -> None:
    async def fails(*args: Any, **options: Any) -> Any:
        raise error

    transcript = Transcript()
    with pytest.raises(ConnectionFailed, match=rf"cannot connect to mx.example port 587: {words}") as caught:
        run(connect_client(fails, "mx.example", 587, {"transcript": transcript}))
    failed = caught.value
    assert failed.context is not None
    assert (failed.context.host, failed.context.port, failed.context.security) == (
        "mx.example",
        587,
        "starttls",
    )
    assert failed.context.phase == "connect"
    assert failed.hint is not None and hint in failed.hint
    assert failed.transcript is transcript
    assert failed.__cause__ is error


def test_local_address_is_handed_on() -> None:
    stream = Stream([GREETING, ehlo(), QUIT])
    run(connect(stream, local_address="192.0.2.5").quit())
    assert stream.opened[2] == "192.0.2.5"


def test_an_error_has_facts_hint_transcript_and_result() -> None:
    transcript = Transcript()
    steps = [(MAIL, "250 ok"), (RCPT, "550 5.1.1 see https://mx.example/why"), ("RSET", "250 ok"), QUIT]
    error = failure(steps, sending(), RecipientsRefused, keywords=["X-FOO bar"], transcript=transcript)
    facts = error.context
    assert (facts.host, facts.port, facts.security, facts.tls) == ("mx.example", 25, "none", False)
    assert (facts.phase, facts.last_command) == ("rcpt", "RCPT")
    assert facts.reply == error.reply
    assert facts.capabilities == ("X-FOO bar",)
    assert facts.first_octets.startswith(b"220 mx.example ESMTP\r\n250-mx.example")
    assert len(facts.first_octets) == 64
    assert facts.octets_received > 64
    assert error.transcript is transcript
    assert error.hint.endswith("the server's own explanation is at https://mx.example/why")
    assert f"(hint: {error.hint})" in str(error)
    assert isinstance(error.result, SendResult)


def test_a_transcript_has_the_whole_session() -> None:
    transcript = Transcript()
    steps = [*BEFORE_TLS, (TLS, INFO), ehlo("AUTH PLAIN"), (PLAIN, "235 ok"), QUIT]
    introduced(steps, auth=("joe", "secret"), transcript=transcript)
    text = str(transcript)
    for part in (
        "connecting to mx.example port 25",
        "220 mx.example ESMTP",
        "TLSv1.3 A_CIPHER",
        "QUIT",
        "221 bye",
    ):
        assert part in text
    assert "AGpvZQBzZWNyZXQ" not in text


def test_what_went_wrong_is_in_the_transcript() -> None:
    transcript = Transcript()
    refused([(b"", EOF)], ConnectionLost, transcript=transcript)
    assert "closed the connection" in str(transcript)


def test_a_session_that_broke_says_so_ever_after() -> None:
    async def conversation(client: Client) -> None:
        with pytest.raises(ConnectionLost):
            await client.noop()
        with pytest.raises(ConnectionLost, match=r"the session is over: .*\(phase: command\)") as caught:
            await client.send(SENDER, [ONE], CONTENT)
        assert caught.value.result is None

    talk([("NOOP", EOF)], conversation)


def test_the_result_of_a_message_is_not_that_of_what_comes_later() -> None:
    async def conversation(client: Client) -> None:
        with pytest.raises(ConnectionLost):
            await client.send(SENDER, [ONE], CONTENT)
        with pytest.raises(ConnectionLost) as caught:
            await client.noop()
        assert caught.value.result is None

    talk([*UNPIPELINED, (DOT, EOF)], conversation)


@pytest.mark.parametrize("end, why", [("quit", "QUIT was sent"), ("close", "it was closed")])
def test_after_its_end_a_session_says_how_it_ended(end: str, why: str) -> None:
    async def conversation(client: Client) -> None:
        await getattr(client, end)()
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=f"the session is over: {why}"):
                await client.noop()

    talk([QUIT] if end == "quit" else [], conversation)


@pytest.mark.req("SES-32", "SES-33")
def test_a_session_ends_with_quit_and_its_answer_is_waited_for() -> None:
    stream = Stream([GREETING, ehlo(), QUIT])
    closed_at: list[bytes] = []
    original = stream.close

    async def close() -> None:
        closed_at.append(stream.written)
        await original()

    vars(stream)["close"] = close
    run(connect(stream).quit())
    stream.finish()
    assert closed_at[0].endswith(b"QUIT\r\n")
    assert len(stream.timeouts) == 3, "greeting, EHLO, QUIT"


@pytest.mark.req("SES-32")
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("NOOP", "500 what")],
        [(MAIL, "250 ok"), (RCPT, "550 no"), ("RSET", "451 not now")],
        [*UNPIPELINED[:2], ("DATA", "451 no"), ("RSET", "451 not now")],
    ],
)
def test_quit_is_sent_wherever_a_command_can_be_sent(steps: Any) -> None:
    async def conversation(client: Client) -> None:
        if steps:
            with pytest.raises(ReplyError):
                await (client.noop() if len(steps) == 1 else client.send(SENDER, [ONE], CONTENT))

    talk([*steps, QUIT], conversation)


@pytest.mark.req("SES-33")
@pytest.mark.parametrize("answer", ["221 bye", "500 what", "421 bye", EOF, OSError(), [Pause(100)]])
def test_any_reply_to_quit_ends_the_session(answer: Any, clock: Clock) -> None:
    """What was sent before has its result, and nobody waits for long."""
    result = talk([*UNPIPELINED, (DOT, "250 ok"), ("QUIT", answer)], sending(), clock=clock)
    assert result.accepted_recipients == (ONE,)
    assert clock.now <= 1005


def test_an_exception_in_the_block_still_sends_quit() -> None:
    async def conversation(client: Client) -> None:
        raise Whatever

    with pytest.raises(Whatever):
        talk([QUIT], conversation)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interruption_closes_without_quit(kind: type[BaseException]) -> None:
    async def conversation(client: Client) -> None:
        raise kind

    with pytest.raises(kind):
        talk([], conversation)


def test_an_interrupted_conversation_is_the_end_of_the_session() -> None:
    async def conversation(client: Client) -> None:
        with pytest.raises(KeyboardInterrupt):
            await client.noop()
        with pytest.raises(ConnectionLost, match="it was broken off"):
            await client.noop()

    talk([("NOOP", KeyboardInterrupt())], conversation)


def test_an_interrupted_quit_closes_all_the_same() -> None:
    stream = Stream([GREETING, ehlo(), ("QUIT", KeyboardInterrupt())])
    client = connect(stream)
    with pytest.raises(KeyboardInterrupt):
        run(client.quit())
    stream.finish()


def test_an_interrupted_beginning_closes_as_well() -> None:
    stream = Stream([(b"", KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        connect(stream)
    stream.finish()
    assert stream.aborted


def test_one_conversation_at_a_time() -> None:
    """The second one is refused, and the first goes on."""
    errors: list[str] = []

    def meanwhile(stream: Stream) -> None:
        for conversation in (client.noop(), client.send(SENDER, [ONE], CONTENT), client.reset()):
            with pytest.raises(RuntimeError, match="one conversation at a time") as caught:
                run(conversation)
            errors.append(str(caught.value))

    stream = Stream([GREETING, ehlo(), ("NOOP", [meanwhile, "250 ok"]), QUIT])
    client = connect(stream)
    assert run(client.noop()).code == 250
    assert len(errors) == 3
    run(client.quit())
    stream.finish()


# --- Servers that misbehave -------------------------------------------------------------------------------

USERNAME = "334 VXNlcm5hbWU6"
HELLO = ("EHLO client.example", "250 mx.example greets you")
TAKEN = [*UNPIPELINED, (DOT, "250 2.0.0 queued")]
SHOWN = {"auth": ("u", "secret"), "allow_cleartext_auth": True}


def outcome_of(
    steps: Any, *recipients: str, content: bytes = CONTENT, **options: Any
) -> tuple[str, Any, bytes]:
    """What a delivery comes to, in a word; its result; and what was written."""
    stream = Stream(steps)
    given: Any = {"security": "none", "local_hostname": "client.example", **options}

    async def deliver() -> SendResult:
        async with await connect_client(stream.open, "mx.example", 25, given) as client:
            return await client.send(SENDER, recipients or (ONE,), content)

    try:
        result: Any = run(deliver())
        word = "delivered"
    except SMTPError as error:
        result = error.result
        word = next(word for kind, word in OUTCOMES if isinstance(error, kind))
        if isinstance(error, ReplyError) and word == "refused" and error.retryable:
            word = "temporary"
    stream.finish(ANY)
    return word, result, stream.written


OUTCOMES: list[tuple[type[SMTPError], str]] = [
    (TlsUnavailable, "tls unavailable"),
    (TlsError, "tls failure"),
    (AuthenticationUnavailable, "auth unavailable"),
    (AuthenticationFailed, "auth failed"),
    (ReplyError, "refused"),
    (LocalProtocolError, "local error"),
    (RemoteProtocolError, "protocol error"),
    (ConnectionLost, "lost"),
]

MISBEHAVIOUR: list[tuple[str, list[Any], str, dict[str, Any], str]] = [
    # what, steps, outcome, options, what must not be written in clear
    ("no extensions at all", [GREETING, HELLO, *TAKEN, QUIT], "delivered", {}, ""),
    ("554 at connect", [(b"", "554 5.3.2 no service"), QUIT], "refused", {}, "EHLO MAIL"),
    ("521 at connect", [(b"", "521 mx.example never"), QUIT], "refused", {}, "EHLO MAIL"),
    ("421 at connect", [(b"", "421 4.3.2 later")], "temporary", {}, "EHLO MAIL QUIT"),
    ("354 as greeting", [(b"", "354 go")], "protocol error", {}, "MAIL AUTH"),
    ("garbage as greeting", [(b"", "hello there")], "protocol error", {}, "MAIL AUTH"),
    ("two digits", [(b"", "22 x")], "protocol error", {}, "MAIL AUTH"),
    ("four digits", [(b"", "2200 x")], "protocol error", {}, "MAIL AUTH"),
    ("NUL first", [(b"", b"\0220 x\r\n")], "protocol error", {}, "MAIL AUTH"),
    ("first digit 6", [(b"", "620 hi")], "protocol error", {}, "MAIL AUTH"),
    ("end inside the greeting", [(b"", [b"220 mx", EOF])], "lost", {}, ""),
    ("an answer to EHLO before it was sent", [(b"", b"220 mx\r\n250 mx\r\n")], "protocol error", {}, "EHLO"),
    (
        "an answer to MAIL before it was sent",
        [GREETING, ("EHLO client.example", b"250 mx\r\n250 ok\r\n")],
        "protocol error",
        {},
        "MAIL",
    ),
    (
        "an answer to the content before it was sent",
        [GREETING, HELLO, *TAKEN[:2], ("DATA", b"354 go\r\n250 taken\r\n")],
        "protocol error",
        {},
        "Subject",
    ),
    (
        "421 behind an answer",
        [GREETING, ("EHLO client.example", b"250 mx\r\n421 busy\r\n")],
        "temporary",
        {},
        "MAIL",
    ),
    (
        "a first line that looks like a keyword",
        [GREETING, ("EHLO client.example", "250-PIPELINING\n250 HELP"), *TAKEN, QUIT],
        "delivered",
        {},
        "",
    ),
    (
        "SIZE 0",
        [GREETING, ehlo("SIZE 0"), (f"{MAIL} SIZE=20", "250 ok"), *TAKEN[1:], QUIT],
        "delivered",
        {},
        "",
    ),
    ("SIZE 10", [GREETING, ehlo("SIZE 10"), QUIT], "refused", {}, "MAIL DATA"),
    (
        "no STARTTLS where it is required",
        [GREETING, ehlo("AUTH PLAIN"), QUIT],
        "tls unavailable",
        {"security": "starttls", "auth": ("u", "secret")},
        "AUTH MAIL secret c2VjcmV0",
    ),
    (
        "STARTTLS answered 454",
        [GREETING, ehlo("STARTTLS"), ("STARTTLS", "454 4.7.0 no"), QUIT],
        "tls unavailable",
        {"security": "starttls"},
        "MAIL",
    ),
    (
        "the end instead of a handshake",
        [*BEFORE_TLS, (TLS, ConnectionResetError())],
        "tls failure",
        {"security": "starttls"},
        "MAIL",
    ),
    (
        "AUTH answered 454",
        [GREETING, ehlo("AUTH PLAIN"), (ANY, "454 4.7.0 later"), QUIT],
        "auth failed",
        SHOWN,
        "MAIL",
    ),
    (
        "challenges without an end",
        [GREETING, ehlo("AUTH LOGIN"), *[(ANY, USERNAME)] * 4],
        "protocol error",
        SHOWN,
        "MAIL",
    ),
    ("MAIL answered 451", [GREETING, HELLO, (MAIL, "451 4.3.0 later"), QUIT], "temporary", {}, "DATA"),
    (
        "354 to RCPT",
        [GREETING, HELLO, TAKEN[0], (RCPT, "354 go")],
        "protocol error",
        {},
        "Subject:",
    ),
    ("334 to MAIL", [GREETING, HELLO, (MAIL, "334 x")], "protocol error", {}, "Subject:"),
    ("250 to DATA", [GREETING, HELLO, *TAKEN[:2], ("DATA", "250 ok")], "protocol error", {}, "Subject:"),
    ("451 to the content", [GREETING, HELLO, *TAKEN[:3], (DOT, "451 4.3.0 later"), QUIT], "temporary", {}, ""),
    ("the end instead of a reply to QUIT", [GREETING, HELLO, *TAKEN, ("QUIT", EOF)], "delivered", {}, ""),
    ("QUIT refused", [GREETING, HELLO, *TAKEN, ("QUIT", "500 what")], "delivered", {}, ""),
    (
        "UTF-8 in a reply",
        [GREETING, HELLO, TAKEN[0], (RCPT, "550 5.1.1 Empfänger unbekannt"), ("RSET", "250 ok"), QUIT],
        "refused",
        {},
        "DATA",
    ),
    (
        "CR LF in the name of the client",
        [GREETING, QUIT],
        "local error",
        {"local_hostname": "x\r\nMAIL FROM:<evil@example.com>"},
        "evil MAIL",
    ),
]


@pytest.mark.parametrize(
    "what, steps, outcome, options, unsaid", MISBEHAVIOUR, ids=[row[0] for row in MISBEHAVIOUR]
)
def test_every_behaviour_of_a_server_has_a_definite_outcome(
    what: str, steps: Any, outcome: str, options: Any, unsaid: str
) -> None:
    word, result, written = outcome_of(steps, **options)
    assert word == outcome
    for part in unsaid.split():
        assert part.encode() not in written
    if word == "delivered":
        assert result.accepted_recipients == (ONE,)


@pytest.mark.parametrize(
    "first, second, codes",
    [
        ("250 2.1.5 ok", "550 5.1.1 no", (250, 550)),
        ("250 ok", "452 4.5.3 too many", (250, 452)),
        ("251 will forward", "252 maybe", (250, 250)),
    ],
)
def test_two_recipients_are_told_apart(first: str, second: str, codes: tuple[int, int]) -> None:
    steps = [GREETING, HELLO, TAKEN[0], (RCPT, first), (RCPT2, second), *TAKEN[2:], QUIT]
    word, result, _ = outcome_of(steps, ONE, TWO)
    assert word == "delivered"
    assert [one.reply.code for one in result.results] == list(codes)


@pytest.mark.req("DAT-12")
@pytest.mark.parametrize(
    "content, wire",
    [
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"..a\r\n", b"...a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
    ],
)
def test_dots_arrive_as_they_were(content: bytes, wire: bytes) -> None:
    steps = [GREETING, HELLO, *TAKEN[:3], (wire, "250 ok"), QUIT]
    assert outcome_of(steps, content=content)[0] == "delivered"


def test_control_characters_of_a_reply_do_not_reach_a_terminal() -> None:
    error = failure([(MAIL, b"550 \x1b[2Jgone\r\n"), QUIT], sending(), ReplyError)
    assert "\x1b" not in str(error)
    assert "gone" in str(error)
