"""send_many(): one outcome for each message, whatever happens to the others."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
import trio

from smtpcore import (
    ArgumentTypeError,
    ConnectionLost,
    LocalProtocolError,
    Mail,
    MessageTooBig,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    SendOutcome,
    ServerConfig,
    SMTPError,
    TimedOut,
    sync,
)
from smtpcore import asyncio as asyncio_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net.client import Client
from smtpcore._net.stream import run
from smtpcore.extensions import STANDARD, Extension, Parameter
from smtpcore.handlers import Handler
from smtpcore.message import prepare_message

from ..helpers.scripted import (
    ANY,
    EOF,
    QUIT,
    Clock,
    Pause,
    Stream,
    clock,
    connect,
    ehlo,
    lines,
    talk,
)
from ..helpers.scripted import GREETING as HELLO

__all__ = ["clock"]  # a fixture

SENDER = "a@client.example"
PIPELINING = ["PIPELINING"]
OK3 = "250 2.1.0 ok\n250 2.1.5 ok\n354 go"
QUEUED = "250 2.0.0 queued"

Message = tuple[str, str, bytes]


def message(number: int) -> Message:
    return SENDER, f"r{number}@mx.example", f"Subject: {number}\r\n\r\nbody\r\n".encode()


def envelope(number: int) -> bytes:
    return lines(f"MAIL FROM:<{SENDER}>\nRCPT TO:<r{number}@mx.example>\nDATA")


def content(number: int) -> bytes:
    return message(number)[2] + b".\r\n"


async def all_of(client: Client, messages: Any) -> list[SendOutcome]:
    return [outcome async for outcome in client.send_many(messages)]


async def collect(batch: AsyncIterator[SendOutcome], outcomes: list[SendOutcome]) -> None:
    """Add each outcome to a list, which has them also if an exception follows."""
    async for outcome in batch:
        outcomes.append(outcome)  # noqa: PERF401


async def until_the_end(client: Client, messages: Any) -> list[SendOutcome]:
    """The outcomes up to the end of the session, which comes before that of the messages."""
    outcomes: list[SendOutcome] = []
    batch = client.send_many(messages)
    with pytest.raises(ConnectionLost, match="the session is over") as caught:
        await collect(batch, outcomes)
    assert caught.value.result is None and not caught.value.maybe_delivered
    with pytest.raises(ConnectionLost):
        await anext(batch)
    return outcomes


def sending(*messages: Any) -> Callable[[Client], Awaitable[list[SendOutcome]]]:
    return lambda client: all_of(client, messages)


def said(outcomes: Iterable[SendOutcome]) -> list[Any]:
    """For each outcome: the code of the last reply, or the class of the error, and whether it is in doubt."""
    rows: list[Any] = []
    for one in outcomes:
        error = one.error
        if error is None:
            assert one.result is not None and one.result.accepted_recipients
            rows.append(one.result.reply and one.result.reply.code)
        else:
            assert one.result is error.result
            doubt = one.result is not None and one.result.maybe_delivered
            what: Any = error.reply.code if isinstance(error, ReplyError) else type(error)
            rows.append((what, "in doubt") if doubt else what)
    return rows


# --- On the wire ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, iter, lambda messages: asynchronous(messages)])
def test_the_envelope_of_the_next_message_travels_with_the_content_before_it(make: Any) -> None:
    steps = [
        (envelope(1), OK3),
        (content(1) + envelope(2), f"{QUEUED}\n{OK3}"),
        (content(2) + envelope(3), f"{QUEUED}\n{OK3}"),
        (content(3), QUEUED),
        QUIT,
    ]
    messages = [message(1), message(2), message(3)]
    outcomes = talk(steps, lambda client: all_of(client, make(messages)), keywords=PIPELINING)
    assert said(outcomes) == [250, 250, 250]
    assert [one.message for one in outcomes] == messages
    assert [one.result.accepted_recipients for one in outcomes if one.result] == [
        (f"r{number}@mx.example",) for number in (1, 2, 3)
    ]


async def asynchronous(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def test_without_pipelining_each_command_waits_for_its_reply() -> None:
    steps: list[Any] = []
    for number in (1, 2):
        steps += [(f"MAIL FROM:<{SENDER}>", "250 ok"), (f"RCPT TO:<r{number}@mx.example>", "250 ok")]
        steps += [("DATA", "354 go"), (content(number), QUEUED)]
    assert said(talk([*steps, QUIT], sending(message(1), message(2)))) == [250, 250]


def test_no_messages_have_no_outcomes() -> None:
    assert talk([QUIT], sending()) == []


def test_a_large_content_has_the_next_envelope_after_its_last_piece() -> None:
    large = b"x" * 70 + b"\r\n"
    first = (SENDER, "r1@mx.example", large * 2000)
    steps = [
        (envelope(1), OK3),
        (first[2] + b".\r\n" + envelope(2), f"{QUEUED}\n{OK3}"),
        (content(2), QUEUED),
        QUIT,
    ]
    assert said(talk(steps, sending(first, message(2)), keywords=PIPELINING)) == [250, 250]


def test_a_long_envelope_goes_out_as_the_window_allows() -> None:
    from smtpcore import Limits

    many = (SENDER, [f"r{number}@mx.example" for number in range(9)], b"x\r\n")
    steps = [
        (envelope(1), OK3),
        (ANY, f"{QUEUED}\n250 ok\n250 ok\n250 ok"),
        (ANY, "250 ok\n250 ok\n250 ok\n250 ok"),
        (ANY, "250 ok\n250 ok\n250 ok\n354 go"),
        (b"x\r\n.\r\n", QUEUED),
        QUIT,
    ]
    options = {"limits": Limits(outstanding_commands=4), "keywords": PIPELINING}
    outcomes = talk(steps, sending(message(1), many), **options)
    assert said(outcomes) == [250, 250]
    assert outcomes[1].result is not None and len(outcomes[1].result.accepted_recipients) == 9


# --- Messages that are refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "replies, follows, outcome",
    [
        ("550 no\n503 no\n503 no", None, 550),  # MAIL
        ("250 ok\n550 no\n503 no", ("RSET", "250 ok"), 550),  # RCPT
        ("250 ok\n550 no\n354 go", (b".\r\n", "554 no"), 550),  # DATA without a recipient
        ("250 ok\n250 ok\n451 no", ("RSET", "250 ok"), 451),  # DATA
    ],
)
def test_a_refused_envelope_does_not_stop_the_others(replies: str, follows: Any, outcome: int) -> None:
    steps: list[Any] = [(envelope(1), OK3), (content(1) + envelope(2), f"{QUEUED}\n{replies}")]
    steps += [follows] if follows else []
    steps += [(envelope(3), OK3), (content(3), QUEUED), QUIT]
    outcomes = talk(steps, sending(*map(message, (1, 2, 3))), keywords=PIPELINING)
    assert said(outcomes) == [250, outcome, 250]
    refused = outcomes[1]
    assert refused.result is not None and refused.result.refused_recipients.keys() == {"r2@mx.example"}
    assert refused.error is not None and refused.error.context is not None and refused.error.context.exchanges


@pytest.mark.parametrize("code", [451, 554])
def test_a_refused_content_does_not_stop_the_others(code: int) -> None:
    steps = [
        (envelope(1), OK3),
        (content(1) + envelope(2), f"{code} no\n{OK3}"),
        (content(2), QUEUED),
        QUIT,
    ]
    outcomes = talk(steps, sending(message(1), message(2)), keywords=PIPELINING)
    assert said(outcomes) == [code, 250]
    error = outcomes[0].error
    assert error is not None and error.retryable is (code == 451)


def test_a_refused_recipient_is_in_the_result() -> None:
    two = (SENDER, ["r1@mx.example", "r2@mx.example"], b"x\r\n")
    steps = [(ANY, "250 ok\n250 ok\n550 no\n354 go"), (b"x\r\n.\r\n", QUEUED), QUIT]
    (outcome,) = talk(steps, sending(two), keywords=PIPELINING)
    assert outcome.error is None and outcome.result is not None
    assert outcome.result.refused_recipients == {"r2@mx.example": Reply(550, None, "no")}


@pytest.mark.parametrize("keywords", [["SIZE 100"], ["SIZE 100", "PIPELINING"]])
@pytest.mark.parametrize(
    "bad, kind",
    [
        ((SENDER, "r2@mx.example", b"x" * 70 + b"\r\n" + b"x" * 70), MessageTooBig),
        ((SENDER, "r2@", b""), LocalProtocolError),
        ((SENDER, [], b""), LocalProtocolError),
        ((SENDER, "r2@mx.example"), LocalProtocolError),
        ((SENDER, "r2@mx.example", b"bare\n"), LocalProtocolError),
        ((SENDER, "r2@mx.example", "text"), ArgumentTypeError),
        ((SENDER, "r2@mx.example", io.BytesIO()), LocalProtocolError),
        ((SENDER, "r2@mx.example", "\xfc".encode()), LocalProtocolError),
        ("a message", ArgumentTypeError),
        (EmailMessage(), LocalProtocolError),
        (None, ArgumentTypeError),
    ],
)
def test_a_message_that_cannot_be_sent_is_never_begun(bad: Any, kind: Any, keywords: list[str]) -> None:
    steps: list[Any] = []
    for number in (1, 3):
        if len(keywords) == 1:
            steps += [(ANY, "250 ok"), (ANY, "250 ok"), ("DATA", "354 go")]
        else:
            steps += [(ANY, OK3)]
        steps += [(content(number), QUEUED)]
    outcomes = talk([*steps, QUIT], sending(message(1), bad, message(3)), keywords=keywords)
    assert said(outcomes) == [250, 552 if kind is MessageTooBig else kind, 250]
    assert outcomes[1].message is bad
    error = outcomes[1].error
    assert type(error) is kind and error.context is not None and not error.retryable


@pytest.mark.parametrize("bad", [5, None, "a message", (SENDER, "r2@mx.example")])
def test_the_error_about_what_is_not_a_message_names_what_is_accepted(bad: Any) -> None:
    (outcome,) = talk([QUIT], sending(bad))
    assert (
        "a message is an EmailMessage, a PreparedMessage, or a tuple of sender, recipients and content, not"
        in str(outcome.error)
    )


# --- The end of the session -----------------------------------------------------------------------------------


GONE = [(envelope(1), OK3)]
BETWEEN = content(1) + envelope(2)
LOST = ConnectionLost


@pytest.mark.parametrize(
    "steps, expected",
    [
        # What the server does, and what the two messages that were read have become. A third one stays unread.
        ([(envelope(1), "421 bye")], [421]),
        ([(envelope(1), "250 ok\n421 bye")], [421]),
        ([(envelope(1), EOF)], [LOST]),
        ([(envelope(1), "250 ok\n250 ok\n250 ok")], [RemoteProtocolError]),
        ([*GONE, (BETWEEN, "421 bye")], [421, LOST]),
        ([*GONE, (BETWEEN, f"{QUEUED}\n421 bye")], [250, 421]),
        ([*GONE, (BETWEEN, f"{QUEUED}\n250 ok\n421 bye")], [250, 421]),
        ([*GONE, (BETWEEN, f"{QUEUED}\n250 ok\n550 no\n421 bye")], [250, 550]),
        ([*GONE, (BETWEEN, f"554 no\n{OK3}\n421 bye")], [554, 421, LOST]),
        ([*GONE, (BETWEEN, EOF)], [(LOST, "in doubt"), LOST]),
        ([*GONE, (BETWEEN, ConnectionResetError())], [(LOST, "in doubt"), LOST]),
        ([*GONE, (BETWEEN, [QUEUED, EOF])], [250, LOST]),
        ([*GONE, (BETWEEN, [f"{QUEUED}\n250 ok", ConnectionResetError()])], [250, LOST]),
        ([*GONE, (BETWEEN, ["451 no", EOF])], [451, LOST]),
        ([*GONE, (BETWEEN, "what?")], [(RemoteProtocolError, "in doubt"), LOST]),
    ],
)
def test_after_the_end_of_the_session_each_message_that_was_read_has_an_outcome(
    steps: Any, expected: Any
) -> None:
    messages = iter([message(1), message(2), message(3)])
    outcomes = talk(steps, lambda client: until_the_end(client, messages), keywords=PIPELINING, last=ANY)
    assert said(outcomes) == expected
    assert len([*messages]) == 3 - len(expected), "the others stay unread"
    assert all(one.error is None or one.error.context is not None for one in outcomes)
    assert [one.message for one in outcomes] == [message(1), message(2), message(3)][: len(expected)]


def test_at_the_end_of_the_messages_the_end_of_the_session_is_no_further_error() -> None:
    outcomes = talk(
        [*GONE, (BETWEEN, f"{QUEUED}\n{OK3}"), (content(2), "421 bye")],
        sending(message(1), message(2)),
        keywords=PIPELINING,
    )
    assert said(outcomes) == [250, 421]


@pytest.mark.parametrize(
    "reply, outcome", [("552 5.3.4 too big", 552), ("421 bye", 421), ("250 queued", RemoteProtocolError)]
)
def test_a_reply_in_the_middle_of_the_content_is_about_this_message(reply: str, outcome: Any) -> None:
    steps: list[Any] = [*GONE, (ANY, f"{QUEUED}\n{OK3}")]

    def speaking(stream: Stream) -> Iterator[bytes]:
        yield b"x" * 70 + b"\r\n"
        stream.early = lines(reply)
        yield b"y\r\n"
        yield b"z\r\n"

    stream = Stream([HELLO, ehlo("PIPELINING", "8BITMIME"), *steps])
    second = (SENDER, "r2@mx.example", speaking(stream))

    async def conversation() -> list[SendOutcome]:
        client = connect(stream)
        return await until_the_end(client, [message(1), second, message(3)])

    outcomes = run(conversation())
    assert said(outcomes) == [250, outcome, ConnectionLost]
    assert b"z\r\n" not in stream.written


def test_a_write_that_fails_leaves_only_the_message_in_doubt_whose_end_was_in_it() -> None:
    stream = Stream([HELLO, ehlo("PIPELINING"), (envelope(1), OK3)])

    def messages() -> Iterator[Message]:
        yield message(1)
        stream.write_error = BrokenPipeError()
        yield message(2)

    async def conversation() -> list[SendOutcome]:
        return await until_the_end(connect(stream), messages())

    outcomes = run(conversation())
    assert said(outcomes) == [(ConnectionLost, "in doubt"), ConnectionLost]
    result = outcomes[1].result
    assert result is not None and result.retryable_recipients == ("r2@mx.example",)


def test_a_time_out_is_that_of_the_message_that_waits(clock: Clock) -> None:
    steps = [*GONE, (BETWEEN, [QUEUED, Pause(10_000)])]
    messages = [message(1), message(2)]
    outcomes = talk(steps, lambda client: until_the_end(client, messages), keywords=PIPELINING, clock=clock)
    assert said(outcomes) == [250, TimedOut]


def test_the_time_of_the_application_is_not_that_of_the_transaction(clock: Clock) -> None:
    def slowly() -> Iterator[Message]:
        for number in (1, 2):
            clock.now += 100_000
            yield message(number)

    async def conversation(client: Client) -> list[SendOutcome]:
        outcomes = []
        async for outcome in client.send_many(slowly()):
            clock.now += 100_000
            outcomes.append(outcome)
        return outcomes

    steps = [*GONE, (BETWEEN, [Pause(1), f"{QUEUED}\n{OK3}"]), (content(2), [Pause(1), QUEUED]), QUIT]
    assert said(talk(steps, conversation, keywords=PIPELINING, clock=clock)) == [250, 250]


def test_a_server_that_is_always_just_in_time_is_given_up_also_in_a_batch(clock: Clock) -> None:
    names = [f"r{number}@mx.example" for number in (1, 2, 3)]
    sent = "".join(f"RCPT TO:<{name}>\n" for name in names)
    replies: list[Any] = [Pause(299), "250 ok"] * 4
    steps = [
        (f"MAIL FROM:<{SENDER}>\n{sent}DATA", [*replies, Pause(119), "354 go"]),
        (content(1), [Pause(599), QUEUED]),
    ]
    messages = [(SENDER, names, message(1)[2])]
    outcomes = talk(steps, sending(*messages), keywords=PIPELINING, clock=clock)
    assert said(outcomes) == [(TimedOut, "in doubt")]


# --- The application ------------------------------------------------------------------------------------------


class Reviving:
    """An iterator that gives something again after its end, or after it has failed."""

    def __init__(self, end: Exception) -> None:
        self._end = end
        self._calls = 0

    def __iter__(self) -> Reviving:
        return self

    def __next__(self) -> Message:
        self._calls += 1
        if self._calls == 2:
            raise self._end
        return message(self._calls)


@pytest.mark.parametrize("keywords", [PIPELINING, []])
@pytest.mark.parametrize("end", [StopIteration(), ValueError("of the application")])
def test_after_the_end_of_the_iterable_no_message_is_asked_for(keywords: list[str], end: Exception) -> None:
    async def conversation(client: Client) -> list[SendOutcome]:
        outcomes: list[SendOutcome] = []
        batch = client.send_many(Reviving(end))
        with contextlib.suppress(ValueError):
            await collect(batch, outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(batch)
        return outcomes

    if keywords:
        steps: list[Any] = [(envelope(1), OK3)]
    else:
        steps = [(f"MAIL FROM:<{SENDER}>", "250 ok"), ("RCPT TO:<r1@mx.example>", "250 ok"), ("DATA", "354 go")]
    assert said(talk([*steps, (content(1), QUEUED), QUIT], conversation, keywords=keywords)) == [250]


class Failed(Exception):
    """Of the application."""


def failing(*messages: Any) -> Iterator[Any]:
    yield from messages
    raise Failed


def test_a_failure_of_the_iterable_comes_after_the_outcomes() -> None:
    outcomes: list[SendOutcome] = []

    async def conversation(client: Client) -> None:
        batch = client.send_many(failing(message(1)))
        with pytest.raises(Failed):
            await collect(batch, outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(batch)
        await client.noop()

    steps = [(envelope(1), OK3), (content(1), QUEUED), ("NOOP", "250 ok"), QUIT]
    talk(steps, conversation, keywords=PIPELINING)
    assert said(outcomes) == [250]


def test_content_that_fails_ends_the_session_and_leaves_nothing_in_doubt() -> None:
    outcomes: list[SendOutcome] = []

    async def conversation(client: Client) -> None:
        second = (SENDER, "r2@mx.example", failing(b"x\r\n"))
        batch = client.send_many([message(1), second, message(3)])
        with pytest.raises(Failed):
            await collect(batch, outcomes)
        assert client.last_result is not None and not client.last_result.maybe_delivered
        outcomes.append(await anext(batch))
        with pytest.raises(ConnectionLost):
            await anext(batch)

    steps = [
        (envelope(1), OK3),
        (
            content(1) + b"MAIL FROM:<a@client.example> BODY=8BITMIME\r\nRCPT TO:<r2@mx.example>\r\nDATA\r\n",
            ANY,
        ),
    ]
    steps = [(envelope(1), OK3), (ANY, f"{QUEUED}\n{OK3}")]
    talk(steps, conversation, keywords=["PIPELINING", "8BITMIME"], last=ANY)
    assert said(outcomes) == [250, ConnectionLost]


def test_content_that_fails_before_its_turn_is_raised_in_its_turn() -> None:
    outcomes: list[SendOutcome] = []

    async def conversation(client: Client) -> None:
        batch = client.send_many([message(1), (SENDER, "r2@mx.example", failing()), message(3)])
        with pytest.raises(Failed):
            await collect(batch, outcomes)
        await collect(batch, outcomes)

    # Without 8BITMIME the content is read to its end beforehand.
    steps = [(envelope(1), OK3), (content(1), QUEUED), (envelope(3), OK3), (content(3), QUEUED), QUIT]
    talk(steps, conversation, keywords=PIPELINING)
    assert said(outcomes) == [250, 250]


class Cancelled(BaseException):
    """As asyncio and trio cancel a task."""


def test_after_a_cancellation_the_message_in_doubt_is_known() -> None:
    async def conversation(client: Client) -> None:
        with pytest.raises(Cancelled):
            await all_of(client, [message(1), message(2)])
        assert client.last_result is not None
        assert client.last_result.maybe_delivered
        assert [one.recipient for one in client.last_result.results] == ["r1@mx.example"]

    talk([*GONE, (BETWEEN, Cancelled())], conversation, keywords=PIPELINING)


def test_a_session_that_has_begun_a_message_is_closed_without_quit() -> None:
    async def conversation(client: Client) -> None:
        async for outcome in client.send_many([message(1), message(2)]):
            assert outcome.error is None
            break
        for method in (client.noop, client.reset):
            with pytest.raises(RuntimeError, match="send_many"):
                await method()
        assert client.last_result is not None and client.last_result.accepted_recipients

    talk([*GONE, (BETWEEN, f"{QUEUED}\n{OK3}")], conversation, keywords=PIPELINING)


def test_a_batch_that_has_begun_nothing_leaves_the_session_usable() -> None:
    async def conversation(client: Client) -> list[SendOutcome]:
        batch = client.send_many([message(1)])
        outcomes = [await anext(batch)]
        await client.noop()
        return outcomes

    steps = [(envelope(1), OK3), (content(1), QUEUED), ("NOOP", "250 ok"), QUIT]
    assert said(talk(steps, conversation, keywords=PIPELINING)) == [250]


def test_an_iterable_cannot_use_the_session_that_sends_its_messages() -> None:
    stream = Stream([HELLO, ehlo("PIPELINING"), (envelope(1), OK3), (content(1), QUEUED)])
    client = connect(stream)

    async def messages() -> AsyncIterator[Message]:
        yield message(1)
        await client.noop()

    with pytest.raises(RuntimeError, match="one conversation at a time"):
        run(all_of(client, messages()))


@pytest.mark.parametrize("messages", [7, None, "text", b"octets", EmailMessage()])
def test_what_is_not_an_iterable_of_messages_is_refused_at_once(messages: Any) -> None:
    async def conversation(client: Client) -> None:
        with pytest.raises(ArgumentTypeError, match="messages is an iterable of messages") as caught:
            client.send_many(messages)
        assert caught.value.context is not None

    talk([QUIT], conversation)


def test_a_batch_that_is_never_iterated_warns() -> None:
    async def conversation(client: Client) -> None:
        batch = client.send_many([message(1)])
        with pytest.warns(RuntimeWarning, match="never iterated"):
            del batch

    talk([QUIT], conversation)


# --- The kinds of messages ------------------------------------------------------------------------------------


def test_an_email_message_and_a_prepared_message_have_their_envelope_in_them() -> None:
    email = EmailMessage()
    email["From"], email["To"], email["Subject"] = SENDER, "r1@mx.example", "x"
    email.set_content("body")
    prepared = prepare_message(email, recipients=["r2@mx.example"])
    octets = prepared.content + b".\r\n"
    steps = [
        (envelope(1), OK3),
        (octets + envelope(2), f"{QUEUED}\n{OK3}"),
        (octets, QUEUED),
        QUIT,
    ]
    outcomes = talk(steps, sending(email, prepared), keywords=PIPELINING)
    assert said(outcomes) == [250, 250]
    assert outcomes[0].message is email and outcomes[1].message is prepared


@pytest.mark.parametrize("keywords", [PIPELINING, ["PIPELINING", "8BITMIME"]])
def test_a_file_is_where_it_was_if_its_message_is_refused(keywords: list[str]) -> None:
    file = io.BytesIO(b"skipped" + message(2)[2])
    file.seek(7)
    steps = [(ANY, OK3), (ANY, "250 ok\n250 ok\n250 ok\n354 go"), (content(2), "451 no"), QUIT]
    outcomes = talk(steps, sending(message(1), (SENDER, "r2@mx.example", file)), keywords=keywords)
    assert said(outcomes) == [250, 451]
    assert file.tell() == 7


def test_a_file_is_where_it_was_if_the_session_ended_before_its_message() -> None:
    file = io.BytesIO(message(2)[2])
    messages = [message(1), (SENDER, "r2@mx.example", file)]
    outcomes = talk(
        [(ANY, OK3), (ANY, "421 bye")],
        lambda client: until_the_end(client, messages),
        keywords=PIPELINING,
    )
    assert said(outcomes) == [421, ConnectionLost]
    assert file.tell() == 0


def test_an_asynchronous_content_is_sent() -> None:
    second = (SENDER, "r2@mx.example", asynchronous([b"a\r\n", b"b\r\n"]))
    steps = [(ANY, OK3), (ANY, f"{QUEUED}\n{OK3}"), (b"a\r\nb\r\n.\r\n", QUEUED), QUIT]
    assert said(talk(steps, sending(message(1), second), keywords=PIPELINING)) == [250, 250]


def text(value: str | None) -> str:
    return value or ""


TAGS = Extension(
    "X-TAG", parameters=(Parameter("X-TAG", "MAIL", text, str), Parameter("X-TAG", "RCPT", text, str))
)


@pytest.mark.parametrize(
    "special",
    [
        (Mail(SENDER, {"X-TAG": "7"}), "r2@mx.example", b"x\r\n"),
        (SENDER, [Rcpt("r2@mx.example", {"X-TAG": "7"})], b"x\r\n"),
    ],
)
def test_an_envelope_with_parameters_of_the_application_waits_for_its_turn(special: Any) -> None:
    steps = [
        (envelope(1), OK3),
        (content(1), QUEUED),
        (ANY, OK3),
        (b"x\r\n.\r\n" + envelope(3), f"{QUEUED}\n{OK3}"),
        (content(3), QUEUED),
        QUIT,
    ]
    outcomes = talk(
        steps,
        sending(message(1), special, message(3)),
        keywords=["PIPELINING", "X-TAG"],
        extensions=(*STANDARD, TAGS),
    )
    assert said(outcomes) == [250, 250, 250]


# --- Joined to a server, on each adapter ----------------------------------------------------------------------


class Choosy(Handler):
    """Refuses some messages, each in another place, and remembers the others."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []

    def accept_sender(self, session: Any, reverse_path: Any, parameters: Any) -> Any:
        return reverse_path != "refused@client.example"

    def accept_recipient(self, session: Any, forward_path: Any, parameters: Any) -> Any:
        return forward_path != "refused@mx.example"

    def store(self, session: Any, envelope: Any, content: Any) -> Any:
        octets = content.read()
        if b"refused" in octets:
            return Reply(554, "5.6.0", "no")
        self.stored.append(octets)
        return True


def mixed(count: int) -> Iterator[tuple[str, Any, bytes]]:
    """Messages of which every fifth is refused, at MAIL, RCPT or the final dot, or cannot be sent."""
    bad: Any = itertools.cycle(
        [
            ("refused@client.example", "r@mx.example", b"x\r\n"),
            (SENDER, "refused@mx.example", b"x\r\n"),
            (SENDER, "r@mx.example", b"refused\r\n"),
            (SENDER, "r@", b"x\r\n"),
        ]
    )
    for number in range(count):
        yield next(bad) if number % 5 == 4 else (SENDER, [f"r{number}@mx.example"], b"%d\r\n" % number)


COUNT = 60
STORED = [b"%d\r\n" % number for number in range(COUNT) if number % 5 != 4]


def check(outcomes: list[SendOutcome], handler: Choosy) -> None:
    assert handler.stored == STORED
    assert [outcome.message for outcome in outcomes] == [*mixed(COUNT)]
    for number, outcome in enumerate(outcomes):
        assert (outcome.error is None) is (number % 5 != 4), outcome
    kinds = [type(outcome.error) for outcome in outcomes if outcome.error is not None]
    assert kinds[:4] == [ReplyError, RecipientsRefused, ReplyError, LocalProtocolError]


CONFIGS = [
    ServerConfig(),
    ServerConfig(extensions=tuple(one for one in STANDARD if one.keyword != "PIPELINING")),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_messages_arrive_on_blocking_sockets(config: ServerConfig) -> None:
    handler = Choosy()
    with (
        sync.serve(handler, config=config) as server,
        sync.connect(*server.addresses[0][:2], security="none") as client,
    ):
        outcomes = [*client.send_many(mixed(COUNT))]
        assert client.noop().code == 250
    check(outcomes, handler)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("make", [mixed, lambda count: asynchronous(mixed(count))])
def test_messages_arrive_on_asyncio(config: ServerConfig, make: Any) -> None:
    handler = Choosy()

    async def main() -> list[SendOutcome]:
        async with (
            asyncio_adapter.serve(handler, config=config) as server,
            asyncio_adapter.connect(*server.addresses[0][:2], security="none") as client,
        ):
            return await all_of(client, make(COUNT))

    check(asyncio.run(main()), handler)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("make", [mixed, lambda count: asynchronous(mixed(count))])
def test_messages_arrive_on_trio(config: ServerConfig, make: Any) -> None:
    handler = Choosy()

    async def main() -> list[SendOutcome]:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(lambda **status: trio_adapter.serve(handler, config=config, **status))
            async with trio_adapter.connect(*server.addresses[0][:2], security="none") as client:
                outcomes = await all_of(client, make(COUNT))
            nursery.cancel_scope.cancel()
        return outcomes

    check(trio.run(main), handler)


def test_the_blocking_client_refuses_asynchronous_iterables() -> None:
    with (
        sync.serve(Choosy()) as server,
        sync.connect(*server.addresses[0][:2], security="none") as client,
        pytest.raises(ArgumentTypeError, match="iterable of messages"),
    ):
        client.send_many(asynchronous([]))  # type: ignore[arg-type]


def test_a_blocking_batch_that_is_not_iterated_to_its_end_closes_the_session() -> None:
    handler = Choosy()
    with sync.serve(handler) as server, sync.connect(*server.addresses[0][:2], security="none") as client:
        outcomes = client.send_many([message(1), message(2)])
        assert next(outcomes).error is None
        del outcomes
        with pytest.raises(RuntimeError, match="send_many"):
            client.noop()
    assert handler.stored == [message(1)[2]]


@pytest.mark.parametrize("eight_bit_mime", [True, False])
def test_a_file_is_where_it_was_if_a_blocking_batch_is_left_before_its_message(eight_bit_mime: bool) -> None:
    files = [io.BytesIO(b"skipped" + message(number)[2]) for number in range(3)]
    for file in files:
        file.seek(7)
    config = ServerConfig(eight_bit_mime=eight_bit_mime)
    with (
        sync.serve(Choosy(), port=0, config=config) as server,
        sync.connect(*server.addresses[0], security="none") as client,
    ):
        outcome = next(client.send_many([(SENDER, f"r{n}@mx.example", files[n]) for n in range(3)]))
        assert outcome.error is None
    assert [file.tell() for file in files] == [len(files[0].getvalue()), 7, 7]


def test_outcomes_compare_by_value() -> None:
    error = SMTPError("x")
    assert SendOutcome(1, None, error) == SendOutcome(1, None, SMTPError("x")) != SendOutcome(1, None)
