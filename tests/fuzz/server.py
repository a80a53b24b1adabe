"""Random clients against the server core.

What the client says is drawn beforehand: commands, whole transactions, exchanges of AUTH, STARTTLS, content,
mostly right and often enough wrong in one octet. A configuration is drawn as well, and a seed for the answers
of the application, which depend on nothing but the order of the questions. Then the very same session is played
three times: in one piece, octet by octet, and cut at random.

In each of them

* an event comes only in a state in which it is legal, and nothing comes before it is answered;
* content comes between ``Data`` and ``EndOfMessage`` or ``MessageAborted``;
* every line of the output is a line of a reply, and the lines of one reply belong together;
* at the end ``ConnectionClosed`` has come, in state CLOSED, and no content is open;
* no exception leaves;

and events, content and output are the same in all three.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random

from smtpcore import (
    Chunk,
    Command,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Credentials,
    Data,
    EndOfMessage,
    Event,
    InputDiscarded,
    Limits,
    LocalProtocolError,
    MessageAborted,
    Quit,
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.state import LEGAL

from . import from_seed

# RFC 5321 4.2 and 4.5.3.1.5. What we say ourselves is ASCII.
REPLY_LINE = re.compile(rb"([2-5][0-5][0-9])([ -])[\t -~]{0,506}")

COMMANDS = (
    *("EHLO a.example", "HELO b.example", "EHLO [127.0.0.1] x"),
    *("MAIL FROM:<a@b.example>", "MAIL FROM:<>", "mail from:<a@b.example> BODY=8BITMIME SMTPUTF8"),
    *("MAIL FROM:<a@b.example> SIZE=100", "MAIL FROM:<a@b.example> SIZE=99999999999"),
    "MAIL FROM:<ü@b.example> SMTPUTF8",
    *("RCPT TO:<c@d.example>", "RCPT TO:<Postmaster>", "RCPT TO:<c@d.example> X=1"),
    'rcpt to:<"a b"@[1.2.3.4]>',
    *("DATA", "DATA", "RSET", "NOOP", "NOOP x", "QUIT", "VRFY x", "EXPN y", "HELP", "STARTTLS"),
    *("AUTH PLAIN " + b64encode(b"\0u\0p").decode(), "AUTH PLAIN", " AUTH PLAIN secret", "AUTH FOO"),
    *("AUTH LOGIN", "AUTH LOGIN dQ==", "dQ==", "*"),
    *("XYZ", "GET / HTTP/1.0", "BDAT 5 LAST", ".", "..", "", "\0", "a\rb", "a\nb", "héé"),
    *("a" * 10, "a" * 511, "a" * 512, "a" * 600, "a" * 13000),
)
STRAY = "\r\n\0 \t\xff.>"  # what gets into a line by mistake
LINE_ENDS = [b"\r\n"] * 15 + [b"\n", b"\r", b" \r\n", b"\r\r\n"]

TRANSACTION = (b"EHLO a.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n")
LOGINS = (
    (b"AUTH PLAIN " + b64encode(b"\0u\0p") + b"\r\n",),
    (b"AUTH LOGIN\r\n", b"dQ==\r\n", b"cA==\r\n"),
    (b"AUTH LOGIN\r\n", b"dQ==\r\n", b"*\r\n"),
    (b"AUTH LOGIN\r\n", b"dQ==\r\n", b"=\r\n"),
)
PROPER_CONTENT = [b"abc\r\n", b"..\r\n", b"hello"]
ODD_CONTENT = [
    *(b"a", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"..", b"\n", b"\r", b"\0"),
    *(b"x" * 5, b"x" * 990, b"x" * 1100),
    b"MAIL FROM:<evil@x.example>\r\n",
]
CONTENT_ENDS = [b"\r\n.\r\n"] * 6 + [b"\n.\r\n", b"", b"\r\n.\n"]


def draw_line(random: Random) -> bytes:
    line = random.choice(COMMANDS)
    mutation = random.random()
    if mutation < 0.1:
        line = line.lower()
    elif mutation > 0.95:
        place = random.randrange(len(line) + 1)
        line = line[:place] + random.choice(STRAY) + line[place:]
    return line.encode() + random.choice(LINE_ENDS)


def draw_content(random: Random) -> bytes:
    kinds = (ODD_CONTENT if random.random() < 0.3 else PROPER_CONTENT for _ in range(random.randrange(12)))
    pieces = [random.choice(kind) for kind in kinds]
    return b"".join(pieces) + random.choice(CONTENT_ENDS)


def draw_input(random: Random) -> bytes:
    """What a client says."""
    pieces: list[bytes] = []
    for _ in range(random.randrange(1, 12)):
        kind = random.random()
        if kind < 0.3:
            pieces.append(draw_line(random))
        elif kind < 0.75:
            # Mostly all of it, and else the end of one, which another may have begun.
            start = random.choice([0, 0, 0, 1, 1, 2])
            pieces += (*TRANSACTION[start:], b"DATA\r\n", draw_content(random))
        elif kind < 0.9:
            pieces += (TRANSACTION[0], *random.choice(LOGINS))
        elif kind < 0.95:
            pieces += (TRANSACTION[0], b"STARTTLS\r\n")
        else:
            pieces.append(draw_content(random))
    return b"".join(pieces)


def draw_config(random: Random) -> ServerConfig:
    return ServerConfig(
        starttls=random.random() < 0.3,
        auth_mechanisms=random.choice([(), ("PLAIN", "LOGIN")]),
        allow_cleartext_auth=random.random() < 0.5,
        require_auth=random.random() < 0.1,
        smtputf8=random.random() < 0.5,
        expn=random.random() < 0.5,
        enhanced_status_codes=random.random() < 0.8,
        address_syntax=random.choice(["strict", "lenient"]),
        unknown_parameters=random.choice(["reject", "ignore"]),
        line_endings=random.choice(["reject", "reject", "accept"]),
        nul=random.choice(["reject", "accept"]),
        limits=Limits(
            message_size=random.choice([None, 50, 2000]),
            content_line=random.choice([None, 998]),
            bad_commands=random.choice([3, 100, 100]),
            recipients=100,
            idle_commands=random.choice([None, 5]),
            refused_recipients=random.choice([1, 100]),
        ),
    )


def draw_cuts(random: Random, data: bytes) -> list[bytes]:
    places = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(8)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


class Session:
    """A server core and an application that answers at random.

    Args:
        server: The core.
        random: Decides on the answers.

    Attributes:
        happened: The events as text; content and how it ended.
        output: All octets that the core has put out.
    """

    def __init__(self, server: ServerConnection, random: Random) -> None:
        self.happened: list[str | bytes] = []
        self.output = b""
        self._server = server
        self._random = random
        self._kindness = random.choice([0.85, 0.99])  # how often the answer is yes
        self._content = b""
        self._in_content = False
        self._closed_at_end = False  # the application has closed in place of an answer to EndOfMessage
        self._closed = False

    def play(self, *parts: Sequence[bytes]) -> None:
        """Let the client say all this and go. If TLS begins, what is left of a part is not said."""
        server = self._server
        self._pump()
        for pieces in parts:
            for piece in pieces:
                if server.state in (State.TLS, State.CLOSED):
                    break
                server.receive_data(piece)
                self._pump()
            if server.state is State.TLS:
                server.tls_started(TlsInfo())
                self._pump()
        if not self._closed:
            server.receive_data(b"")
            self._pump()
        assert self._closed, f"ConnectionClosed has not come, state {server.state}"
        assert not self._in_content, "the content that was handed out has no end"

    def _pump(self) -> None:
        while not self._closed and (event := self._server.next_event()) is not None:
            self._take(event)
        self.output += self._server.data_to_send()

    def _take(self, event: Event) -> None:
        server = self._server
        match event:
            case Chunk(data):
                assert self._in_content and data, f"{event!r} outside of content"
                self._content += data
            case InputDiscarded():
                assert server.state is State.TLS  # how much it is does depend on the cuts: it is not compared
            case ConnectionClosed():
                assert server.state is State.CLOSED, f"{event!r} in state {server.state}"
                self._closed = True
            case CommandRejected():
                self.happened.append(repr(event))
            case MessageAborted():
                assert self._in_content or self._closed_at_end, f"{event!r} outside of content"
                self._end_content(event)
            case Credentials():
                assert server.state is State.AUTHENTICATING, f"{event!r} in state {server.state}"
                self.happened.append(repr(event))
            case EndOfMessage():
                assert self._in_content, f"{event!r} outside of content"
                self._end_content(event)
            case _:
                assert isinstance(event, (Command, Connect)), f"{event!r} is no event of a server"
                assert not self._in_content, f"{event!r} in the middle of content"
                self.happened.append(repr(event))
        if isinstance(event, (Command, Connect, EndOfMessage, Credentials)):
            self._ask(event)
        else:
            assert server.unanswered is None, f"{event!r} wants an answer"

    def _end_content(self, event: Event) -> None:
        self._in_content = False
        self.happened.append(repr(event))
        # How much of a content without an end has been handed out depends on the cuts.
        if isinstance(event, EndOfMessage) or (isinstance(event, MessageAborted) and event.reply is None):
            self.happened.append(self._content)

    def _ask(self, event: Event) -> None:
        """Have the application answer."""
        server = self._server
        assert server.unanswered is event, f"{event!r} wants no answer"
        if isinstance(event, (Command, Connect, EndOfMessage)):
            assert type(event) in LEGAL[server.state], f"{event!r} in state {server.state}"
        try:
            server.next_event()
        except LocalProtocolError:
            pass
        else:
            raise AssertionError(f"an event has come before {event!r} was answered")
        if self._random.random() < self._kindness or isinstance(event, Quit):
            server.accept()
            if isinstance(event, Data):
                self._in_content, self._content = True, b""
            return
        match self._random.choice(["close", "later", "go", "no", "no", "no"]):
            case "close":
                self._closed_at_end = isinstance(event, EndOfMessage)
                server.close()
            case "later" if not isinstance(event, Connect):
                server.reject(451, None, "later")
            case "go":
                server.send(Reply(421, "4.3.0", "go"))
            case _:
                server.reject(554, "5.1.1", "nö\r\n250 x")


def check_replies(output: bytes) -> None:
    """Every line is a line of a reply, and the last one of a reply has the code of those before."""
    *lines, rest = output.split(b"\r\n")
    assert rest == b"", f"a reply without its end: {rest!r}"
    begun = None
    for line in lines:
        found = REPLY_LINE.fullmatch(line)
        assert found is not None, f"no line of a reply: {line!r}"
        code, separator = found.groups()
        assert begun in (None, code), f"{begun!r} goes on with {line!r}"
        begun = code if separator == b"-" else None
    assert begun is None, "the last reply has no last line"


@from_seed
def run(random: Random) -> None:
    """Play one session three times."""
    parts = [draw_input(random), draw_input(random)]  # the second one may come behind TLS
    config, answers = draw_config(random), random.random()
    tls = random.choice([TlsInfo(), TlsInfo(too_weak=True)]) if random.random() < 0.1 else None
    cuts: dict[str, Callable[[bytes], list[bytes]]] = {
        "whole": lambda data: [data],
        "octet by octet": lambda data: [data[place : place + 1] for place in range(len(data))],
        "cut at random": partial(draw_cuts, random),
    }
    sessions = {}
    for how, cut in cuts.items():
        session = Session(ServerConnection("mx.example", config=config, tls=tls), Random(answers))
        session.play(*([piece for piece in cut(data) if piece] for data in parts))
        check_replies(session.output)
        sessions[how] = session
    whole = sessions["whole"]
    for how, session in sessions.items():
        assert session.happened == whole.happened, (
            f"whole and {how} differ: {whole.happened} and {session.happened}, input {parts}"
        )
        assert session.output == whole.output, (
            f"whole and {how} differ: {whole.output!r} and {session.output!r}, input {parts}"
        )
