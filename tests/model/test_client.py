"""Our client core against a server that is the model of RFC 5321: both agree on what was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    CommandNotSent,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Response,
    Rset,
    State,
    Vrfy,
)

from ..properties import MANY
from .rfc5321 import Message, Receiver, read, unstuffed


class Server:
    """The model as a server.

    Args:
        verdicts: Of its application, one for each reply; the last ones are 250.
        pipelining: Whether it offers that (RFC 2920).

    Attributes:
        codes: Those of its replies.
        receiver: The model.
    """

    def __init__(self, verdicts: Sequence[int], *, pipelining: bool) -> None:
        self.codes: list[int] = []
        self.receiver = Receiver()
        self._verdicts = verdicts
        self._pipelining = pipelining
        self._received = b""
        self._content: list[bytes] = []

    def greet(self) -> bytes:
        reply = self._reply(self.receiver.greet(self._verdict()))
        self.receiver.greeted(self.codes[-1])
        return reply

    def serve(self, octets: bytes) -> bytes:
        """Take octets of the client; return the replies."""
        *lines, self._received = (self._received + octets).split(b"\r\n")
        assert self._pipelining or self.receiver.receives_content or len(lines) < 2, "two commands at once"
        return b"".join(self._line(line) for line in lines if not self.receiver.closed)

    def _line(self, line: bytes) -> bytes:
        receiver = self.receiver
        if not receiver.receives_content:
            verb, legal, _ = read(line)
            assert legal, f"the client has sent {line!r}"
            reply = self._reply(receiver.replies(line, self._verdict()), hello=verb == "EHLO")
            assert self._pipelining or self.codes[-1] != 503, f"{line!r} is out of order"
            receiver.replied(line, self.codes[-1])
            return reply
        if line != b".":
            self._content.append(line)
            return b""
        content, self._content = unstuffed(self._content), []
        reply = self._reply(receiver.replies_to_content(content, self._verdict()))
        receiver.replied_to_content(content, self.codes[-1])
        return reply

    def _verdict(self) -> int:
        number = len(self.codes)
        return self._verdicts[number] if number < len(self._verdicts) else 250

    def _reply(self, allowed: set[int], *, hello: bool = False) -> bytes:
        code = max(allowed) if len(self.codes) % 2 else min(allowed)
        self.codes.append(code)
        if hello and code == 250 and self._pipelining:
            return b"250-mx.example\r\n250 PIPELINING\r\n"
        return b"%d-first\r\n%d last\r\n" % (code, code) if len(self.codes) % 3 == 0 else b"%d text\r\n" % code


class Letter(NamedTuple):
    """What is to be sent."""

    sender: str
    recipients: list[str]
    content: bytes


LINES = [b"", b".", b"..", b".a", b"a", b"QUIT", b"x" * 998]
letters = st.builds(
    Letter,
    st.sampled_from(["", "a@example.com", '"a b"@[192.0.2.1]']),
    st.lists(st.sampled_from(["b@example.org", "Postmaster", "c.d@example.org"]), min_size=1, max_size=3),
    st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a", b"QUIT", b"x" * 998]), max_size=4).map(
        b"\r\n".join
    ),
)
commands = st.sampled_from([Noop(), Rset(), Vrfy("bob"), Ehlo("client.example")])
plans = st.lists(st.one_of(letters, letters, commands), max_size=5)
verdicts = st.lists(st.sampled_from([250] * 15 + [450, 451, 550, 554, 421]), max_size=20)
sizes = st.lists(st.integers(1, 60), max_size=4)


class Client:
    """Our client core, joined to a server.

    Args:
        server: The server.
        sizes: Octets of each piece that is carried, in either direction, over and over; none: all there is.

    Attributes:
        codes: Those of the replies that the client has reported.
        unsent: The commands that it has not sent.
    """

    def __init__(self, server: Server, sizes: Sequence[int]) -> None:
        self.connection = ClientConnection()
        self.codes: list[int] = []
        self.unsent: list[Command | EndOfMessage] = []
        self.accepted: list[Message] = []
        self._server = server
        self._sizes = sizes
        self._transaction: tuple[str, list[str]] = "", []
        self._content = b""
        self._receive(server.greet())

    def send(self, *events: Command | Chunk | EndOfMessage) -> None:
        """Send events, and hear what the server says."""
        for event in events:
            if self.connection.state is State.CLOSED:
                return
            self.connection.send(event)
            if isinstance(event, Chunk):
                self._content += event.data
        while octets := self.connection.data_to_send():
            for piece in self._cut(octets):
                self._receive(self._server.serve(piece))

    def deliver(self, letter: Letter) -> None:
        """Send a message, from READY to READY."""
        self._transaction, self._content = (letter.sender, []), b""
        self.send(Mail(letter.sender), *map(Rcpt, letter.recipients), Data())
        if self.connection.state is State.CONTENT:
            for piece in self._cut(letter.content):
                self.send(Chunk(piece))
            self.send(EndOfMessage())
        elif self.connection.state not in (State.READY, State.CLOSED):
            self.send(Rset())

    def _cut(self, octets: bytes) -> list[bytes]:
        places, number = [0], 0
        while places[-1] < len(octets):
            places.append(places[-1] + (self._sizes[number % len(self._sizes)] if self._sizes else len(octets)))
            number += 1
        return [octets[start:end] for start, end in pairwise(places)]

    def _receive(self, octets: bytes) -> None:
        for piece in self._cut(octets):
            self.connection.receive_data(piece)
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, ConnectionClosed):
                    return
                self._hear(event)

    def _hear(self, event: object) -> None:
        if isinstance(event, CommandNotSent):
            self.unsent.append(event.command)
            return
        assert isinstance(event, Response), event
        self.codes.append(event.reply.code)
        if event.reply.code < 300 and isinstance(event.command, Rcpt):
            self._transaction[1].append(str(event.command.forward_path))
        if event.reply.code == 250 and isinstance(event.command, EndOfMessage):
            content = self._content
            if content and not content.endswith(b"\r\n"):
                content += b"\r\n"  # RFC 5321 4.1.1.4
            self.accepted.append(Message(*self._transaction, content))


@pytest.mark.req("DAT-10", "DAT-14")
@MANY
@given(plans, verdicts, st.booleans(), sizes)
def test_the_client_and_the_model_agree_on_what_was_accepted(
    plan: list[Letter | Command], verdicts: list[int], pipelining: bool, sizes: list[int]
) -> None:
    server = Server(verdicts, pipelining=pipelining)
    client = Client(server, sizes)
    if client.connection.state is not State.CLOSED and server.codes == [220]:
        client.send(Ehlo("client.example"))
        for step in plan:
            if client.connection.state is State.READY:
                client.deliver(step) if isinstance(step, Letter) else client.send(step)
    if client.connection.state is not State.CLOSED:
        client.send(Quit())
    heard = len(server.codes)
    assert client.codes[:heard] == server.codes
    assert set(client.codes[heard:]) <= {421}  # what was outstanding when the server closed
    assert client.accepted == server.receiver.delivered
    assert server.receiver.closed
