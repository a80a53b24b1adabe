"""The client: what its errors know, what is left of a session after one, and servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from smtpcore import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    SendResult,
    SMTPError,
    TlsError,
    TlsUnavailable,
)
from smtpcore._net.client import Client
from smtpcore._net.connect import connect_client
from smtpcore._net.stream import run
from smtpcore.transcript import Transcript

from ..helpers.messages import (
    BEFORE_TLS,
    CONTENT,
    DOT,
    INFO,
    MAIL,
    ONE,
    PLAIN,
    RCPT,
    RCPT2,
    SENDER,
    TWO,
    UNPIPELINED,
    Whatever,
    failure,
    group,
    introduced,
    refused,
    sending,
)
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
    talk,
)

__all__ = ["clock"]  # a fixture

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


PIPELINED_GROUP = f"{MAIL}\n{RCPT}\nDATA"


@pytest.mark.parametrize(
    "steps, words, phase",
    [
        ([(MAIL, EOF)], "without a reply to MAIL", "mail"),
        ([(MAIL, "250 ok"), (RCPT, EOF)], "without a reply to RCPT", "rcpt"),
        ([*UNPIPELINED, (DOT, EOF)], "without a reply to the message", "end-of-data"),
    ],
)
def test_a_lost_connection_says_which_reply_is_missing(steps: Any, words: str, phase: str) -> None:
    error = failure(steps, sending(), ConnectionLost, last=ANY)
    assert f"the server closed the connection {words}" in str(error)
    assert error.context.phase == phase


def test_a_connection_lost_in_the_greeting_says_so() -> None:
    error = refused([(b"", EOF)], ConnectionLost, last=ANY)
    assert "the server closed the connection without a greeting" in str(error)


@pytest.mark.parametrize(
    "replies, words, phase",
    [
        ("354 go", "MAIL was answered 354 go, which is not a valid reply to it", "mail"),
        ("250 ok\n354 go", "RCPT was answered 354 go, which is not a valid reply to it", "rcpt"),
        ("250 ok\n250 ok\n250 ok", "DATA was answered 250 ok, which is not a valid reply to it", "data"),
        ("250 ok\nHello", "not a valid SMTP reply", "rcpt"),
    ],
)
def test_a_reply_that_breaks_the_protocol_names_its_command(replies: str, words: str, phase: str) -> None:
    """Also in a group, where several replies arrive together."""
    error = failure(
        [(PIPELINED_GROUP, replies)], sending(), RemoteProtocolError, keywords=["PIPELINING"], last=ANY
    )
    assert str(error).startswith(words)
    assert error.context.phase == phase


def test_a_transcript_has_the_whole_session() -> None:
    transcript = Transcript()
    steps = [*BEFORE_TLS, (TLS, INFO), ehlo("AUTH PLAIN"), (PLAIN, "235 ok"), QUIT]
    client = introduced(steps, auth=("joe", "secret"), transcript=transcript)
    assert client.transcript is transcript
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


@pytest.mark.parametrize(
    "keywords, steps",
    [([], UNPIPELINED), (["PIPELINING"], [(group(MAIL, RCPT, "DATA"), "250 ok\n250 ok\n354 go")])],
)
def test_an_error_knows_the_last_reply_to_the_envelope(keywords: list[str], steps: Any) -> None:
    error = failure([*steps, (DOT, EOF)], sending(), ConnectionLost, keywords=keywords)
    assert error.context.phase == "end-of-data"
    assert error.context.reply == Reply(354, None, "go")
