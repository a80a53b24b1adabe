"""ServerConnection: what holds for any octets, cut in any way.

``run()`` plays a session: octets in pieces, and an application that answers one event after the other as a list
of numbers says, so that the same numbers always make the same application. Sessions are lines in any order,
lines in which octets were changed, and rubbish; those that get somewhere are in test_walks.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Chunk,
    Command,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Limits,
    LocalProtocolError,
    Mail,
    MessageAborted,
    Rcpt,
    Reply,
    ServerConfig,
    ServerConnection,
    StartTls,
    State,
)
from smtpcore.sasl import AuthQuestion

from . import MANY

# Reply-line of RFC 5321 4.2, whole replies with one code each; groups: the code, the text of the last line.
REPLY = re.compile(rb"(?:([2-5][0-5][0-9])-[\t -~]*\r\n(?=\1))*([2-5][0-5][0-9]) ([\t -~]*)\r\n")

LINES = [
    b"EHLO client.example",
    b"HELO client.example",
    b"EHLO [192.0.2.1]",
    b"MAIL FROM:<a@example.com>",
    b"mail from:<> SIZE=100 BODY=8BITMIME",
    b'MAIL FROM:<"a \\" b"@example.com>',
    b"MAIL FROM:<a@example.com> SIZE=1000000",
    b"RCPT TO:<b@example.org>",
    b"RCPT TO:<Postmaster>",
    b"rcpt TO:<@x.example:b@[192.0.2.1]>",
    b"DATA",
    b"line",
    b"..",
    b".",
    b"",
    b"RSET",
    b"NOOP x",
    b"VRFY x",
    b"EXPN x",
    b"HELP",
    b"STARTTLS",
    b"AUTH PLAIN",
    b"AUTH LOGIN",
    b"AUTH PLAIN AGFsaWNlAHNlY3JldA==",
    b"AGFsaWNlAHNlY3JldA==",
    b"*",
    b"XYZZY",
    b"GET / HTTP/1.1",
    b"x" * 600,
    b"x" * 13000,
]
PREFIX = b"EHLO c.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"

# Small limits, so that all of them are met.
LIMITS = Limits(message_size=20, oversize_factor=3, content_line=998, bad_commands=4, idle_commands=3)
CONFIGS = [
    ServerConfig(),
    ServerConfig(limits=LIMITS, auth_mechanisms=("PLAIN", "LOGIN"), allow_cleartext_auth=True, expn=True),
    ServerConfig(line_endings="accept", nul="accept", smtputf8=True, address_syntax="lenient"),
    ServerConfig(starttls=True, require_tls=True),
    ServerConfig(require_auth=True, auth_mechanisms=("PLAIN",), allow_cleartext_auth=True),
    ServerConfig(never_accepts_mail=True),
    ServerConfig(enhanced_status_codes=False, pipelining=False, size=False, help=False),
]


@st.composite
def sessions(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.sampled_from(LINES), max_size=12))
    octets = bytearray(draw(st.sampled_from([b"", PREFIX, PREFIX + b"DATA\r\n"])))
    octets += b"".join(line + b"\r\n" for line in lines)
    changes = st.tuples(
        st.integers(0, len(octets)), st.integers(0, 1), st.sampled_from(b"\r\n.\0 <>:@A\xff\x16")
    )
    for at, removed, octet in draw(st.lists(changes, max_size=3)):
        octets[at : at + removed] = bytes([octet])
    return bytes(octets)


OCTETS = st.one_of(sessions(), st.binary(max_size=200))
ANSWERS = st.lists(st.integers(0, 9), max_size=30)
PLACES = st.lists(st.integers(0, 3000), max_size=12)


def cut(octets: bytes, places: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted({place % (len(octets) + 1) for place in places}), len(octets)]
    return [octets[a:b] for a, b in pairwise(borders) if a < b]


def answer(connection: ServerConnection, event: Event, number: int) -> None:
    """One time in ten no, and one time in ten not now; and never TLS, whose octets would be no session."""
    if number == 0 and isinstance(event, Connect):
        connection.reject(554, None, "no")
    elif (number == 0 or isinstance(event, StartTls)) and event.__class__.__name__ != "Quit":
        connection.reject(550, "5.7.1", "no")
    elif number == 1:
        connection.reject(421, "4.3.2", "not now")
    else:
        connection.accept()


class Outcome(NamedTuple):
    """What came of a session.

    Attributes:
        events: The events, adjacent chunks as one.
        replies: What was sent on account of each of them (or before it); chunks have none.
        output: Everything that was sent.
        state: The state in the end.
    """

    events: list[Event]
    replies: list[bytes]
    output: bytes
    state: State


def run(config: ServerConfig, pieces: Iterable[bytes], answers: Sequence[int], *, eof: bool = False) -> Outcome:
    connection = ServerConnection("mx.example.com", config=config)
    events: list[Event] = []
    replies: list[bytes] = []
    output = b""
    left = list(answers)
    for piece in [None, *pieces, *([b""] if eof else [])]:
        if piece is not None:
            connection.receive_data(piece)
        while (event := connection.next_event()) is not None and not isinstance(event, ConnectionClosed):
            if connection.unanswered is not None:
                answer(connection, event, left.pop(0) if left else 5)
            said = connection.data_to_send()
            output += said
            if isinstance(event, Chunk) and events and isinstance(events[-1], Chunk):
                events[-1] = Chunk(events[-1].data + event.data)
                replies[-1] += said
            else:
                events.append(event)
                replies.append(said)
        output += connection.data_to_send()
        if event is not None:
            events.append(event)
            replies.append(b"")
            break
    return Outcome(events, replies, output, connection.state)


@pytest.mark.req("FRM-04", "SEC-02", "SEC-01")
@MANY
@given(st.sampled_from(CONFIGS), OCTETS, ANSWERS, PLACES, st.booleans())
def test_the_cutting_of_the_octets_does_not_matter(
    config: ServerConfig, octets: bytes, answers: list[int], places: list[int], eof: bool
) -> None:
    whole = run(config, [octets] if octets else [], answers, eof=eof)
    everywhere = range(0, len(octets), 1 + len(octets) // 2000)  # one by one, but for a line of 13,000 octets
    for pieces in (cut(octets, places), cut(octets, everywhere)):
        again = run(config, pieces, answers, eof=eof)
        assert again.events == whole.events
        assert again.output == whole.output
        assert again.state is whole.state


@pytest.mark.req("RPL-01", "RPL-02", "RPL-03", "RPL-29", "FRM-02", "LIM-09")
@MANY
@given(st.sampled_from(CONFIGS), OCTETS, ANSWERS, PLACES)
def test_only_events_that_need_an_answer_can_be_answered(
    config: ServerConfig, octets: bytes, answers: list[int], places: list[int]
) -> None:
    outcome = run(config, cut(octets, places), answers)
    challenges = 0
    for event, reply in zip(outcome.events, outcome.replies, strict=True):
        # Challenges are the only replies that come without an event of their own.
        rest = re.sub(rb"334 [A-Za-z0-9+/=]*\r\n", b"", reply)
        challenges += reply != rest
        if isinstance(event, (Command, Connect, EndOfMessage, AuthQuestion, CommandRejected, MessageAborted)):
            assert REPLY.fullmatch(rest)
        else:
            assert rest == b""
    assert challenges == 0 or config.auth_mechanisms
    assert all(len(line) <= 512 for line in outcome.output.splitlines(keepends=True))
    assert (
        outcome.output.replace(b"\r\n", b"").count(b"\n")
        == 0
        == outcome.output.replace(b"\r\n", b"").count(b"\r")
    )


@pytest.mark.req("RPL-01", "PIP-11", "PIP-17")
@MANY
@given(st.lists(st.sampled_from([line for line in LINES if b"AUTH" not in line]), max_size=20), PLACES)
def test_there_is_one_reply_for_each_line_outside_of_content(lines: list[bytes], places: list[int]) -> None:
    lines = [line for line in lines if line != b"DATA"]
    octets = b"".join(line + b"\r\n" for line in lines)
    outcome = run(ServerConfig(starttls=True), cut(octets, places), [])
    replies = len(REPLY.findall(outcome.output)) - 1  # the greeting
    ends = [number for number, line in enumerate(lines, 1) if line.startswith(b"GET ")]
    hello = [number for number, line in enumerate(lines, 1) if line[:4] in (b"EHLO", b"HELO")]
    if ends and (not hello or ends[0] < hello[0]):
        assert replies == ends[0]
        assert outcome.state is State.CLOSED
    else:
        assert replies == len(lines)


@pytest.mark.req("FRM-11", "SEC-01")
def test_rubbish_is_refused_line_by_line() -> None:
    source = random.Random(5321)
    connection = ServerConnection("mx.example.com", config=ServerConfig(limits=Limits(bad_commands=10**6)))
    connection.next_event()
    connection.accept()
    connection.receive_data(b"EHLO client.example\r\n")
    connection.next_event()
    connection.accept()
    connection.data_to_send()
    for _ in range(100_000):
        line = source.randbytes(source.randrange(40)).replace(b"\r\n", b"")
        connection.receive_data(line.removesuffix(b"\r") + b"\r\n")
        event = connection.next_event()
        assert isinstance(event, CommandRejected), line
        assert re.fullmatch(rb"50[0-2] [\t -~]*\r\n", connection.data_to_send())
        assert connection.next_event() is None
        assert connection.state is State.READY


@pytest.mark.req("FRM-16")
@MANY
@given(st.sampled_from(CONFIGS), st.lists(OCTETS, max_size=4), ANSWERS)
def test_the_server_keeps_no_more_than_its_limits(
    config: ServerConfig, pieces: list[bytes], answers: list[int]
) -> None:
    connection = ServerConnection("mx.example.com", config=config)
    left = list(answers)
    for piece in [*pieces, b"x" * 20000, b"\r"]:
        while connection.next_event() not in (None, ConnectionClosed()):
            if connection.unanswered is not None:
                answer(connection, connection.unanswered, left.pop(0) if left else 5)
        assert len(connection._buffer) <= config.limits.auth_line + 2
        if connection.state is State.CLOSED:
            break
        connection.receive_data(piece or b"\n")


# A text that is drawn freely is short, so a length is drawn, and the ends of lines beside it.
LONG_TEXT = st.builds(
    lambda text, length, gap: (text * (length // max(len(text), 1) + 1))[:length] + gap + text,
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from([495, 500, 505, 511, 512, 1100]) | st.integers(0, 3000),
    st.sampled_from(["", " ", "\n", "\r\n"]),
)
ANY_TEXT = st.one_of(st.text(), LONG_TEXT, LONG_TEXT)
CODES = st.sampled_from([250, 354, 421, 450, 550, 554])


@pytest.mark.req("FRM-02", "RPL-02", "RPL-11", "LIM-09", "UTF-21")
@given(ANY_TEXT, CODES, st.sampled_from([None, "2.0.0", "4.2.0", "5.1.1"]), st.booleans())
def test_any_reply_of_the_application_is_sent_well_formed(
    text: str, code: int, status: Any, use_accept: bool
) -> None:
    connection = ServerConnection("mx.example.com")
    for line in (
        b"",
        b"EHLO client.example\r\n",
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<b@x.example>\r\n",
        b"DATA\r\n",
    ):
        if line:
            connection.receive_data(line)
        connection.next_event()
        try:
            if use_accept:
                connection.accept(text)
            else:
                connection.reject(code, status, text)
        except LocalProtocolError:
            assert connection.data_to_send() == b""
            connection.accept()
        said = connection.data_to_send()
        assert REPLY.fullmatch(said)
        assert all(len(one) <= 512 for one in said.splitlines(keepends=True))
        if connection.state is State.CLOSED or not use_accept:
            break


@pytest.mark.req("FRM-02")
@given(ANY_TEXT)
def test_a_reply_holds_no_line_end(text: str) -> None:
    try:
        reply = Reply(250, None, text)
    except LocalProtocolError:
        assert re.search(r"[^\t -~]", text)
    else:
        assert REPLY.fullmatch(reply.encode())


def test_the_lines_of_the_sessions_reach_every_kind_of_event() -> None:
    octets = PREFIX + b"DATA\r\nline\r\n.\r\n"
    outcome = run(CONFIGS[0], [octets], [])
    kinds = [Connect, Ehlo, Mail, Rcpt, Data, Chunk, EndOfMessage]
    assert [event.__class__ for event in outcome.events] == kinds
