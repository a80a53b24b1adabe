"""Walks: sessions of a client that looks where it is, for the server core.

**The problem.** Lines that are drawn without regard to the state are refused nearly all the time: of a
hundred such sessions none gets to the end of a message. So a walk is made step by step, with a server core at
hand: three times in four the client sends a command that is legal in the state of the session and that most
probably succeeds, and else anything. The application answers at random as well, mostly with success.

**The API.** ``walk(random, config)`` makes a ``Walk``: what the client sends, as parts with a TLS handshake
between them, and how the application answers, one number a question. ``play(walk)`` plays it and gives the
``Moment`` of each event; ``walk.cut()`` is the same session in other pieces.

A seed makes another walk when the core has changed: what is kept of a failure is the dialog that it comes down
to (see tests/README.md).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, NamedTuple

from smtpcore import (
    Auth,
    Chunk,
    Command,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    Event,
    Expn,
    Helo,
    Help,
    Limits,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Reply,
    Rset,
    ServerConfig,
    ServerConnection,
    StartTls,
    State,
    TlsInfo,
    Vrfy,
)
from smtpcore.state import LEGAL

TLS: Final = TlsInfo(version="TLSv1.3")
CHALLENGE: Final = re.compile(rb"334 [A-Za-z0-9+/=]*\r\n")

# What succeeds where its verb is legal, if its extension is offered.
GOOD: Final[dict[type[Command], list[bytes]]] = {
    Ehlo: [b"EHLO client.example", b"ehlo [192.0.2.1]", b"EHLO [IPv6:2001:db8::1]"],
    Helo: [b"HELO client.example"],
    Mail: [
        b"MAIL FROM:<a@example.com>",
        b"mail from:<>",
        b'MAIL FROM:<"a \\" b"@example.com>',
        b"MAIL FROM:<c@example.com> SIZE=10 BODY=8BITMIME",
        b"MAIL FROM:<\xc3\xbc@example.com> SMTPUTF8",
        b"MAIL FROM:<d@example.com> AUTH=<>",
    ],
    Rcpt: [
        b"RCPT TO:<b@example.org>",
        b"RCPT TO:<c@example.org>",
        b"rcpt to:<Postmaster>",
        b"RCPT TO:<@x.example:d@[192.0.2.1]>",
        b"RCPT TO:<\xe6\x97\xa5@example.org>",
    ],
    Data: [b"DATA", b"data "],
    Rset: [b"RSET"],
    Noop: [b"NOOP", b"NOOP x"],
    Vrfy: [b"VRFY smith"],
    Expn: [b"EXPN staff"],
    Help: [b"HELP", b"HELP MAIL"],
    Quit: [b"QUIT"],
    StartTls: [b"STARTTLS"],
    Auth: [
        b"AUTH PLAIN",
        b"AUTH LOGIN",
        b"AUTH PLAIN AGFsaWNlAHNlY3JldA==",
        b"AUTH plain YWxpY2UAYWxpY2UAc2VjcmV0",
    ],
}
# What is refused, or comes close to it, wherever it stands.
ODD: Final = [
    *(b"EHLO", b"EHLO <a>", b"HELO a..b", b"EHLO \xff"),
    *(b"MAIL", b"MAIL FROM:<a@example.com> SIZE=1000000", b"MAIL FROM:<a@example.com> SIZE=x"),
    *(b"MAIL FROM:<a@example.com> X=1", b"MAIL FROM:<a@example.com> BODY=9BIT", b"MAIL FROM:<a@example.com"),
    *(b"MAIL FROM:<\xff@example.com> SMTPUTF8", b"MAIL FROM:<a@example.com> SMTPUTF8 AUTH=\xc3", b"MAIL TO:<>"),
    *(b"RCPT TO:<>", b"RCPT TO:<\xc3@example.org>", b"RCPT TO:<b@example.org> SIZE=1", b"RCPT TO:b"),
    *(
        b"DATA x",
        b"RSET x",
        b"QUIT x",
        b"STARTTLS x",
        b"VRFY",
        b"VRFY \xff",
        b"EXPN",
        b"HELP \xe9",
        b"NOOP \xff",
    ),
    *(b"AUTH", b"AUTH X", b"AUTH PLAIN =", b"AUTH PLAIN !", b"AUTH PLAIN AAA", b"AUTH PLAIN \xff\xff\xff\xff"),
    *(b"AUTH PLAIN AP//AHNlY3JldA==", b"AUTH LOGIN YQ==", b"AUTH LOGIN *", b"BDAT x", b"BDAT"),
    *(b"XYZZY", b"GET / HTTP/1.1", b"", b".", b"\xc3\xbc", b"\x16", b"*", b"x" * 600, b"x" * 13000),
]
RESPONSES: Final = [
    *(b64encode(b"\0alice\0secret"), b64encode(b"alice"), b64encode(b"secret"), b""),
    *(b"*", b"=", b"!", b"AAA", b"\xff", b"//79", b"QUIT", b"x" * 13000, b64encode(b"\0\xff\0secret")),
]
CONTENT: Final = [
    b"line",
    b"..",
    b". ",
    b"",
    b"caf\xe9",
    b"x" * 1200,
    b"MAIL FROM:<x@example.com>",
    b"a\nb",
    b"a\0b",
]
STRAY: Final = b"\r\n\0 <>:@A\xff\x16"

# Small limits, so that all of them are met.
LIMITS: Final = Limits(message_size=200, oversize_factor=3, content_line=998, bad_commands=4, idle_commands=3)
CONFIGS: Final = [
    ServerConfig(),
    ServerConfig(limits=LIMITS, auth_mechanisms=("PLAIN", "LOGIN"), allow_cleartext_auth=True, expn=True),
    ServerConfig(
        line_endings="accept", nul="accept", smtputf8=True, address_syntax="lenient", starttls=True, expn=True
    ),
    ServerConfig(starttls=True, require_tls=True, auth_mechanisms=("PLAIN", "LOGIN"), smtputf8=True),
    ServerConfig(require_auth=True, auth_mechanisms=("PLAIN", "LOGIN"), allow_cleartext_auth=True),
    ServerConfig(never_accepts_mail=True),
    ServerConfig(enhanced_status_codes=False, pipelining=False, size=False, help=False),
]


class Walk(NamedTuple):
    """A session as it was walked.

    Attributes:
        config: The server's.
        parts: What the client sends, line by line with CRLF. Between two parts the TLS handshake takes place.
        answers: How the application answers, see ``answer()``. After the last one it always accepts.
    """

    config: ServerConfig
    parts: Sequence[Sequence[bytes]]
    answers: Sequence[int]

    def cut(self, cut: Callable[[bytes], Sequence[bytes]]) -> Walk:
        """The same session in other pieces."""
        return self._replace(parts=[cut(b"".join(part)) for part in self.parts])


class Facts(NamedTuple):
    """Where a session is."""

    state: State
    hello: Event | None
    mail: Mail | None
    recipients: tuple[Rcpt, ...]
    authenticated: str | None
    tls: TlsInfo | None
    capabilities: object

    @classmethod
    def of(cls, connection: ServerConnection) -> Facts:
        envelope = connection.envelope
        return cls(
            connection.state,
            connection.hello,
            None if envelope is None else envelope.mail,
            () if envelope is None else tuple(envelope.rcpts),
            connection.authenticated,
            connection.tls,
            connection.capabilities,
        )


class Moment(NamedTuple):
    """An event, and what came of it.

    Attributes:
        event: The event; adjacent chunks are one.
        answer: The number of the application's answer, None if the event wanted none.
        said: What the server has sent since the event before.
        before: The facts before the event.
        after: The facts after its answer.
        place: The part and the piece of it that the server had received last; None before the first one.
    """

    event: Event
    answer: int | None
    said: bytes
    before: Facts
    after: Facts
    place: tuple[int, int] | None


class Played(NamedTuple):
    """What came of a session: the moments, everything that was sent, and the facts at the end."""

    moments: Sequence[Moment]
    output: bytes
    end: Facts

    @property
    def happened(self) -> list[tuple[Event, bytes]]:
        """Events and replies, without what depends on the cutting: when challenges are sent."""
        return [(moment.event, CHALLENGE.sub(b"", moment.said)) for moment in self.moments]


REFUSED, LATER, GONE, OWN_TEXT, OWN_REPLY = range(5)
"""The answers that are not a plain ``accept()``; every other number is one."""


def answer(connection: ServerConnection, event: Event, number: int) -> None:
    """Answer an event as a number says; what cannot be answered so is accepted."""
    if number in (REFUSED, LATER) and not isinstance(event, Quit):
        if isinstance(event, Connect):
            connection.reject(554, None, "not for you")
        elif number == REFUSED:
            connection.reject(550, "5.7.1", "refused by policy")
        else:
            connection.reject(451, "4.3.0", "try later")
    elif number == GONE:
        connection.reject(421, "4.3.2", "not now")
    elif number == OWN_TEXT and not isinstance(event, Quit | Help):
        connection.accept("as you like\r\nsecond line \xfc")
    elif number == OWN_REPLY and isinstance(event, Vrfy | Expn):
        connection.send(Reply(250, "2.1.5", ["Ada <ada@example.org>", "bob@example.org"]))
    else:
        connection.accept()


class _Player:
    """A server core, and an application that answers it."""

    def __init__(self, config: ServerConfig, next_answer: Callable[[], int]) -> None:
        self.connection = ServerConnection("mx.example.com", config=config)
        self.moments: list[Moment] = []
        self.output = b""
        self.over = False
        self.place: tuple[int, int] | None = None
        self._next_answer = next_answer
        self.pump()

    def pump(self) -> None:
        connection = self.connection
        while not self.over:
            before = Facts.of(connection)
            event = connection.next_event()
            if event is None:
                break
            number: int | None = None
            if connection.unanswered is not None:
                number = self._next_answer()
                answer(connection, event, number)
            said = connection.data_to_send()
            self._note(Moment(event, number, said, before, Facts.of(connection), self.place))
            self.over = isinstance(event, ConnectionClosed)
        self.output += connection.data_to_send()  # challenges

    def _note(self, moment: Moment) -> None:
        self.output += moment.said
        last = self.moments[-1] if self.moments else None
        if last is not None and isinstance(last.event, Chunk) and isinstance(moment.event, Chunk):
            joined = Chunk(last.event.data + moment.event.data)
            moment = moment._replace(event=joined, said=last.said + moment.said, before=last.before)
            self.moments.pop()
        self.moments.append(moment)

    def receive(self, data: bytes) -> None:
        if not self.over and self.connection.state not in (State.TLS, State.CLOSED):
            self.connection.receive_data(data)
            self.pump()

    def handshake(self) -> None:
        if self.connection.state is State.TLS:
            self.connection.tls_started(TLS)
            self.pump()


def play(walk: Walk, *, eof: bool = False) -> Played:
    """Play a walk."""
    left = iter(walk.answers)
    player = _Player(walk.config, lambda: next(left, 9))
    for number, part in enumerate(walk.parts):
        if number:
            player.handshake()
        for index, piece in enumerate(part):
            player.place = (number, index)
            player.receive(piece)
    if eof:
        player.receive(b"")
    return Played(player.moments, player.output, Facts.of(player.connection))


def _likely(connection: ServerConnection, config: ServerConfig) -> list[type[Command]]:
    """The commands that most probably succeed now."""
    extended = isinstance(connection.hello, Ehlo)
    offered = {
        StartTls: extended and "STARTTLS" in connection.capabilities,
        Auth: extended and bool(connection.capabilities.mechanisms) and connection.authenticated is None,
        Expn: config.expn,
        Help: config.help,
    }
    likely = [kind for kind in GOOD if kind in LEGAL[connection.state] and offered.get(kind, True)]
    if config.require_tls and connection.tls is None:
        likely = [kind for kind in likely if kind in (Ehlo, StartTls, Noop, Quit)]
    elif config.require_auth and connection.authenticated is None:
        likely = [kind for kind in likely if kind in (Ehlo, Auth, Noop, Rset, Quit)]
    return likely


def _fits(line: bytes, connection: ServerConnection) -> bool:
    """Whether what the line makes use of is offered, or was asked for by MAIL."""
    capabilities = connection.capabilities if isinstance(connection.hello, Ehlo) else ()
    envelope = connection.envelope
    if line[:4].upper() == b"MAIL":
        needed = [b"SMTPUTF8", b"SIZE", b"AUTH"]
        return all(keyword.decode() in capabilities for keyword in needed if keyword in line)
    return line.isascii() or (envelope is not None and envelope.mail.smtputf8)


def _line(random: Random, connection: ServerConnection, config: ServerConfig) -> bytes:
    """What the client sends next."""
    state = connection.state
    sensible = random.random() < 0.75
    if state is State.CONTENT:
        if sensible:
            return random.choice([*CONTENT[:5], b"."])
        return random.choice([*CONTENT, *CONTENT, b".", b"."])
    if state is State.AUTHENTICATING:
        return random.choice(RESPONSES[:3] if sensible else RESPONSES)
    likely = _likely(connection, config)
    if sensible and likely:
        onward = {
            State.GREETED: [Ehlo],
            State.READY: [Mail, Auth],
            State.MAIL: [Rcpt],
            State.RCPT: [Rcpt, Data],
        }
        if connection.tls is None:
            onward[State.READY].append(StartTls)
        # A session that only dwells in its first states gets nowhere.
        ahead = [kind for kind in onward.get(state, ()) if kind in likely]
        kind = random.choice(ahead if ahead and random.random() < 0.6 else likely)
        if kind is Quit and random.random() < 0.7:
            kind = Noop
        return random.choice([line for line in GOOD[kind] if _fits(line, connection)])
    if random.random() < 0.5:
        return random.choice(GOOD[random.choice(list(GOOD))])
    line = random.choice(ODD)
    if random.random() < 0.2:
        place = random.randrange(len(line) + 1)
        stray = random.randrange(len(STRAY))
        line = line[:place] + STRAY[stray : stray + 1] + line[place:]
    return line


def walk(random: Random, config: ServerConfig, *, lines: int | None = None) -> Walk:
    """Make a walk.

    Args:
        random: Decides on everything.
        config: The server's.
        lines: How many the client sends at most; by default that is drawn as well.
    """
    answers: list[int] = []
    unkind = random.choice([0, 0, 0.1, 0.3])

    def next_answer() -> int:
        number = 9
        if random.random() < unkind:
            number = random.choice([REFUSED, REFUSED, LATER, OWN_TEXT, OWN_REPLY, GONE])
            if (number == GONE and random.random() < 0.8) or len(answers) < 2:
                number = 9  # or hardly a session would begin
        answers.append(number)
        return number

    player = _Player(config, next_answer)
    parts: list[list[bytes]] = [[]]
    for _ in range(random.randrange(3, 40) if lines is None else lines):
        if player.connection.state is State.CLOSED:
            break
        if player.connection.state is State.TLS:
            player.handshake()
            parts.append([])
        line = _line(random, player.connection, config) + b"\r\n"
        parts[-1].append(line)
        player.receive(line)
    return Walk(config, parts, answers)
