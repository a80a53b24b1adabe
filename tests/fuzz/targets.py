"""What is fuzzed with octets alone: a function for each, which raises if its invariant does not hold.

The invariants are those of any input, so a fuzzer that is guided by coverage, such as atheris (see ``guided``),
can search for a counterexample. The corpus to begin with is made of the dialogs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    CommandNotSent,
    Connect,
    Data,
    Ehlo,
    EndOfMessage,
    LocalProtocolError,
    Mail,
    Mailbox,
    ProtocolError,
    Quit,
    Rcpt,
    Reply,
    Response,
    SMTPError,
    State,
)
from smtpcore._core.content import ContentDecoder, ContentEncoder
from smtpcore._core.replyparser import ReplyParser
from smtpcore.sasl import SERVER_MECHANISMS, AuthQuestion, Challenge, Failed, Succeeded

from ..helpers.dialogs import DIRECTORY, parse
from .server import ServerConnection, Session, check_replies, draw_config

Target = Callable[[bytes], None]
LONGEST = 500  # octets of an input


def server(octets: bytes) -> None:
    """A client of any kind never makes the server core raise, and gets whole replies only.

    Events and replies are the same whether the octets arrive at once, one by one or in larger pieces.
    """
    seed, octets = octets[:2], octets[2:]
    outcomes = []
    for size in (len(octets) or 1, 1, 3):
        session = Session(ServerConnection("mx.example", config=draw_config(Random(seed))), Random(seed))
        session.play([octets[start : start + size] for start in range(0, len(octets), size)])
        check_replies(session.output)
        outcomes.append((session.happened, session.output))
    assert outcomes == outcomes[:1] * len(outcomes)


def client(octets: bytes) -> None:
    """A server of any kind makes the client core raise nothing but an SMTPError.

    Each command has at most one outcome, in order, and content is expected after an intermediate reply to DATA
    only: a reply counts by its first digit (RFC 5321 4.2).
    """
    connection = ClientConnection()
    sent: list[Command | EndOfMessage] = []
    heard: list[Response | CommandNotSent] = []
    plan: list[list[Command]] = [
        [Ehlo("client.example")],
        [Mail("a@example.com"), Rcpt("b@example.com"), Data()],
    ]
    try:
        for piece in (octets[start : start + 7] for start in range(0, len(octets), 7)):
            connection.receive_data(piece)
            while (event := connection.next_event()) is not None:
                if not isinstance(event, (Response, CommandNotSent)) or isinstance(event.command, Connect):
                    continue
                if event.command is not None:  # a 421 may come at any time, and answers no command
                    heard.append(event)
                    assert event.command == sent[len(heard) - 1]
            if connection.outstanding or connection.state in (State.OPENING, State.CLOSED):
                continue
            if connection.state is State.CONTENT:
                assert isinstance(heard[-1], Response)
                assert heard[-1].reply.code // 100 == 3
                assert isinstance(heard[-1].command, Data)
                connection.send(Chunk(b".\r\n"))
                group: Sequence[Command | EndOfMessage] = [EndOfMessage()]
            else:
                group = plan.pop(0) if plan else [Quit()]
            for command in group:
                connection.send(command)
                sent.append(command)
            connection.data_to_send()
    except SMTPError:
        pass


def content(octets: bytes) -> None:
    """What the encoder accepts comes out of the decoder as it was, and nothing that it sends is a false end.

    The decoder hands out the same wherever its octets are cut.
    """
    whole = ContentDecoder()
    end = whole.decode(octets, 0)
    for size in (1, 2, 3):
        cut = ContentDecoder()
        pieces, consumed = [], 0
        while consumed < len(octets) and not cut.done:
            consumed += cut.decode(octets[consumed : consumed + size], 0)
            pieces.append(cut.chunk)
        assert (whole.done, whole.violation, whole.size) == (cut.done, cut.violation, cut.size)
        assert whole.chunk == b"".join(pieces)
        assert not whole.done or end == consumed
    try:
        encoder = ContentEncoder(max_line=None)
        sent = encoder.encode(octets) + encoder.finish()
    except LocalProtocolError:
        return
    decoder = ContentDecoder(nul="accept")
    assert decoder.decode(sent, 0) == len(sent)
    assert decoder.done
    assert decoder.chunk == (octets if octets.endswith(b"\r\n") or not octets else octets + b"\r\n")


def replies(octets: bytes) -> None:
    """Octets are replies, or break the protocol; the same ones wherever they are cut.

    A reply that was read can be written, and what is written is read and written again without a change.
    """
    outcomes = []
    for size in (len(octets) or 1, 1, 2, 3):
        parser = ReplyParser(max_line=1000, max_lines=20)
        found: list[Reply | str] = []
        try:
            for start in range(0, len(octets), size):
                parser.feed(octets[start : start + size])
                found += iter(parser.next_reply, None)
        except ProtocolError as error:
            found.append(str(error))
        outcomes.append(found)
    assert outcomes == outcomes[:1] * len(outcomes)
    for reply in outcomes[0]:
        if isinstance(reply, Reply):
            again = ReplyParser(max_line=2000, max_lines=20)
            again.feed(reply.encode())
            written = again.next_reply()
            assert written is not None
            assert written.encode() == reply.encode()


def addresses(octets: bytes) -> None:
    """Text is a mailbox, or a LocalProtocolError.

    A mailbox is the same when it is written and read again, one made of its parts names the same mailbox, and
    none has an octet that could end a command.
    """
    try:
        mailbox = Mailbox.parse(octets.decode("utf-8", "replace"))
    except LocalProtocolError:
        return
    assert Mailbox.parse(str(mailbox)) == mailbox
    assert Mailbox(mailbox.local_part, mailbox.domain).is_same(mailbox)
    assert re.search(r"[\r\n\0]", str(mailbox)) is None


def sasl(octets: bytes) -> None:
    """The responses of a client lead to a challenge, a question or a failure, and to no exception.

    A question comes once, and its names are text without NUL.
    """
    responses = octets.split(b"\n")
    for make in SERVER_MECHANISMS.values():
        mechanism = make()
        step = mechanism.start(None)
        for response in responses:
            if not isinstance(step, Challenge):
                break
            step = mechanism.step(response)
        assert isinstance(step, (AuthQuestion, Challenge, Failed, Succeeded))
        if isinstance(step, AuthQuestion):
            assert step.username
            assert "\0" not in step.username


TARGETS: dict[str, Target] = {
    "server": server,
    "client": client,
    "content": content,
    "replies": replies,
    "addresses": addresses,
    "sasl": sasl,
}


def corpus() -> list[bytes]:
    """Return what clients and servers of the dialogs say, where it is short, and the addresses in it."""
    found = {b"\0joe\0secret", b"a\0joe\0secret", b"joe\nsecret"}
    for path in DIRECTORY.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        steps = parse(path.name, text).steps
        said = b"".join(octets for step in steps for action, octets in step.actions if action == "feed")
        heard = [line[3:].replace("...", "x") for line in text.splitlines() if line.startswith("S: ")]
        found |= {b"\0\0" + said, said.partition(b"DATA\r\n")[2], "\r\n".join([*heard, ""]).encode()}
        found |= set(re.findall(rb"<([^>\r\n]+)>", said))
    return sorted(octets for octets in found if len(octets) <= LONGEST)
