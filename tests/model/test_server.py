"""Our server core does what the model of RFC 5321 allows, whatever the client says and however it is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Chunk,
    Connect,
    Data,
    EndOfMessage,
    Limits,
    Noop,
    Quit,
    Rset,
    ServerConfig,
    ServerConnection,
    State,
)

from ..properties import MANY
from .rfc5321 import Message, judge

REPLY = re.compile(rb"([2-5][0-9]{2}) [^\r\n]*\r\n")  # the last line of one

LEGAL = [
    b"EHLO client.example",
    b"helo client",
    b"EHLO [192.0.2.1]",
    b"MAIL FROM:<a@example.com>",
    b"MAIL FROM:<>",
    b'mail from:<"a b"@[192.0.2.1]>',
    b"RCPT TO:<b@example.org>",
    b"RCPT TO:<Postmaster>",
    b"Rcpt To:<@relay.example,@other.example:c@example.org>",
    b"DATA",
    b"RSET",
    b"NOOP",
    b"NOOP now",
    b"VRFY bob",
    b'EXPN "a b"',
    b"HELP",
    b"QUIT",
]
WRONG = [
    b"",
    b".",
    b"XYZZY",
    b"DATA now",
    b"RSET x",
    b"QUIT x",
    b"MAIL FROM: <a@example.com>",
    b"MAIL FROM:a@example.com",
    b"MAIL FROM:<a@example.com> X=1",
    b"RCPT TO:<>",
    b"RCPT TO:<b@example..org>",
    b"RCPT TO:<b@example.org",
    b"NOOP\nRSET",
    b"NOOP\rRSET",
    b"NOOP \0",
    b"NOOP " + b"x" * 5000,
]
HELLO, MAIL, RCPT, DATA = LEGAL[0], LEGAL[3], LEGAL[6], b"DATA"
CONTENT = [b"", b".", b"..", b".a", b"Subject: x", b"a\nb", b"a\r", b"\0", b"\xe9", b"QUIT", b"x" * 998]


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """A legal line with one octet more, less or other."""
    line = draw(st.sampled_from(LEGAL))
    place, length = draw(st.integers(0, len(line))), draw(st.integers(0, 1))
    return (
        line[:place]
        + draw(st.sampled_from([b"", *map(bytes, zip(b' \t<>@:.,"\\x0-[]\r\n\0\xe9'))]))
        + line[place + length :]
    )


contents = st.lists(st.sampled_from(CONTENT), max_size=4).map(lambda lines: [*lines, b"."])
interruptions = st.sampled_from([b"RSET", HELLO, b"HELO client", MAIL, DATA, b"NOOP", b"VRFY bob", b"DATA now"])
transactions = st.builds(
    lambda recipients, between, content: [MAIL, *recipients, *between, DATA, *content],
    st.lists(st.sampled_from([RCPT, b"RCPT TO:<Postmaster>"]), max_size=3),
    st.lists(interruptions, max_size=2),
    contents,
)
aborted = st.builds(lambda end: [MAIL, RCPT, end, RCPT, MAIL], interruptions)
commands = st.one_of(
    st.sampled_from([HELLO, MAIL, RCPT, DATA]),
    st.sampled_from(LEGAL[:-1]),
    st.sampled_from(WRONG),
    near_misses(),
)
steps = st.one_of(commands.map(lambda line: [line]), transactions, aborted, contents)
sessions = st.builds(
    lambda begun, steps, rest: b"\r\n".join([*[HELLO] * begun, *chain(*steps), rest]),
    st.sampled_from([True, True, True, False]),
    st.lists(steps, max_size=6),
    st.sampled_from([b"", b"QUIT\r\n", b"NOOP", b"\r", b"QUIT\r\nNOOP\r\n"]),
)
verdicts = st.lists(st.sampled_from([250] * 15 + [450, 451, 550, 554, 421]), max_size=20)
CONFIG = ServerConfig(limits=Limits(bad_commands=1000, refused_recipients=None), expn=True)


def serve(octets: bytes, places: Iterable[int], verdicts: list[int]) -> tuple[list[int], list[Message]]:
    """Let our core serve a session; return the codes of its replies, and the messages that it has accepted.

    Args:
        octets: What the client sends.
        places: Where that is cut.
        verdicts: Of the application, one for each reply; the last ones are 250.
    """
    server, said, content = ServerConnection("mx.example", config=CONFIG), b"", b""
    delivered: list[Message] = []
    borders = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    for start, end in pairwise([0, *borders]):
        if start < end and server.state is not State.CLOSED:
            server.receive_data(octets[start:end])
        while (event := server.next_event()) is not None and server.state is not State.CLOSED:
            said += server.data_to_send()
            if isinstance(event, Data):
                content = b""
            elif isinstance(event, Chunk):
                content += event.data
            if server.unanswered is None:
                continue
            number = len(REPLY.findall(said))
            verdict = verdicts[number] if number < len(verdicts) else 250
            if isinstance(event, EndOfMessage):
                if verdict == 250:
                    envelope = server.envelope
                    assert envelope is not None
                    paths = [str(path) for path in envelope.forward_paths]
                    delivered.append(Message(str(envelope.reverse_path), paths, content))
            if verdict == 250 or isinstance(event, (Noop, Quit, Rset)):
                server.accept()
            elif isinstance(event, Connect):
                server.reject(421 if verdict == 421 else 554, None, "no")
            else:
                server.reject(verdict, None, "no")
        said += server.data_to_send()
    return [int(code) for code in REPLY.findall(said)], delivered


@pytest.mark.req("EHL-08", "MAI-07", "DAT-02", "DAT-14", "DAT-22")
@MANY
@given(sessions, st.lists(st.integers(0, 2000), max_size=8), verdicts)
def test_the_server_does_what_the_RFC_allows(octets: bytes, places: list[int], verdicts: list[int]) -> None:
    for cut in (places, range(len(octets)) if len(octets) < 500 else []):
        codes, delivered = serve(octets, cut, verdicts)
        assert judge(octets, codes, verdicts) == delivered
