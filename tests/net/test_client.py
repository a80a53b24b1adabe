"""The client: what becomes of a message, against scripts."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest

from smtpcore import (
    ArgumentTypeError,
    ConnectionLost,
    LocalProtocolError,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    SendResult,
    TimedOut,
)
from smtpcore._net.client import Client
from smtpcore._net.stream import run

from ..helpers.messages import (
    CONTENT,
    DOT,
    MAIL,
    ONE,
    RCPT,
    RCPT2,
    RCPT3,
    SENDER,
    THREE,
    TWO,
    UNPIPELINED,
    content_of,
    email,
    failure,
    group,
    result_of,
    sending,
    table,
)
from ..helpers.scripted import (
    ANY,
    EOF,
    GREETING,
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

__all__ = ["clock"]  # a fixture

# --- send(): what becomes of a message --------------------------------------------------------------------


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
@pytest.mark.parametrize("code, retryable", [(400, True), (451, True), (554, False)])
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


# --- send_message() ---------------------------------------------------------------------------------------


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


def test_an_address_to_verify_that_is_not_text_is_an_error_of_a_command() -> None:
    address: Any = 7
    error = failure([QUIT], lambda client: client.verify(address), ArgumentTypeError)
    assert str(error) == "address is a string, not int 7"
    assert error.context.phase == "command"
