r"""Dialogs: sessions written down, and the means to read and to replay them against ``ServerConnection``.

A dialog is a text file of ``tests/dialogs``, in UTF-8, read line by line. Empty lines and lines that begin
with ``#`` are for people. It begins with, in any order,

``req: DAT-05, DAT-06``
    the requirements it proves;
``config: starttls=yes auth_mechanisms=PLAIN,LOGIN limits.recipients=100 limits.idle_commands=none``
    fields of ``ServerConfig`` and ``Limits``, ``tls=yes`` for TLS before the first octet, and
    ``profile=submission`` for ``ServerConfig.submission()``;
``cut: no, BECAUSE``
    if what happens depends on what arrives together.

Then the actions and their outcome follow, in order.

``C: EHLO client.example``
    The client sends a line; its CRLF is not written. ``C> QU`` sends octets as they stand, ``C*100: NOOP`` and
    ``C*100> x`` send them a hundred times, with ``{n}`` for the number of each, from 1 on.
    ``\r \n \t \0 \\`` and ``\xNN`` stand for octets.
``TLS``, ``TLS weak``
    The handshake that the server is waiting for has succeeded, with a channel that is good or too weak.
``EOF``
    The client closes its side.
``CLOSE``
    The application calls ``close()``.
``A: reject 550 5.1.1 no such user``
    What the application answers to the event that the line before causes. The others are ``A: accept``, with a
    text or without, ``A: send 250 2.1.5 one | two``, a reply of as many lines, and ``A: as bob``, an accept for
    that identity; ``-`` means no enhanced status code. An event without such a line is accepted.
``E: Mail <a@example.com> SIZE=1000``
    An event: its class and its fields, see ``describe()``; or only the class. Adjacent chunks are one. If a
    step has one such line, it has one for each of its events. The end of a message always has one, with its
    sender and recipients, of which ``<r{1-100}@example.org>`` are a hundred: otherwise a dialog would not
    notice that a recipient got lost.
``S: 250 2.1.0 sender ok``
    A line of the server. It may end in ``...`` for any text; ``S~`` is followed by a regular expression,
    ``S*100: 250 ...`` is the same line a hundred times.
``HELLO``
    At the beginning: greeting and EHLO take place, and their replies are not compared.
``S-``
    The server is silent.

A *step* is what the client does, one line or several, and then its outcome: all lines that the server sends,
and no others. The first step, in which the client connects, has no line of the client.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from smtpcore import (
    Chunk,
    CommandRejected,
    ConnectionClosed,
    Ehlo,
    EndOfMessage,
    Envelope,
    Event,
    Helo,
    InputDiscarded,
    Limits,
    Mail,
    MessageAborted,
    Rcpt,
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.sasl import AuthQuestion

DIRECTORY = Path(__file__).parents[1] / "dialogs"
HOSTNAME = "mx.example.com"

_ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-fA-F]{2})|(.?))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_RANGE = re.compile(r"\{([0-9]+)-([0-9]+)\}")
_LINE = re.compile(r"([CSAE])(?:\*([0-9]+))?([:>~]) ?(.*)")


class DialogError(Exception):
    """A dialog is malformed."""


@dataclass
class Step:
    """What the client or the application does, and its outcome.

    Attributes:
        actions: Pairs of ``feed``, ``tls``, ``eof``, ``close`` or ``answer``, and what belongs to it.
        replies: An expression for each line of output; None: anything.
        events: What ``describe()`` says, or a class; None: any events.
        over: The outcome has been given; the next action begins another step.
    """

    actions: list[tuple[str, bytes]] = field(default_factory=list)
    replies: list[re.Pattern[str]] | None = field(default_factory=list)
    events: list[bytes] | None = None
    over: bool = False


@dataclass
class Dialog:
    """A dialog as it was read."""

    name: str
    requirements: list[str]
    config: ServerConfig
    tls: bool
    cuttable: bool
    steps: list[Step]


def unescape(text: str) -> bytes:
    """The octets that a text of a dialog stands for."""

    def octet(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return _ESCAPED[match[1]]
        if match[2]:
            return bytes.fromhex(match[2].decode())
        raise DialogError(f"no such escape: {match[0].decode()}")

    return _ESCAPE.sub(octet, text.encode())


# --- Reading ----------------------------------------------------------------------------------------------


def _value(default: object, text: str) -> Any:
    if isinstance(default, bool):
        return {"yes": True, "no": False}[text]
    if isinstance(default, tuple):
        return tuple(text.split(","))
    if isinstance(default, str):
        return text
    return None if text == "none" else int(text)


def _read_config(text: str) -> tuple[ServerConfig, bool]:
    defaults: dict[str, ServerConfig | Limits] = {"": ServerConfig(), "limits": Limits()}
    values: dict[str, dict[str, Any]] = {"": {}, "limits": {}}
    tls = False
    make: Callable[..., ServerConfig] = ServerConfig
    for word in text.split():
        name, _, value = word.partition("=")
        if name == "tls":
            tls = _value(False, value)
            continue
        if name == "profile":
            make = {"submission": ServerConfig.submission}[value]
            continue
        group, _, name = name.rpartition(".")
        if name not in [one.name for one in fields(defaults[group])]:
            raise DialogError(f"no such setting: {word}")
        values[group][name] = _value(getattr(defaults[group], name), value)
    return make(**values[""], limits=Limits(**values["limits"])), tls


def _expression(kind: str, text: str) -> re.Pattern[str]:
    if kind == "~":
        return re.compile(text)
    literal, dots = (text[:-3], ".*") if text.endswith("...") else (text, "")
    return re.compile(re.escape(unescape(literal).decode("latin-1")) + dots)


def parse(name: str, text: str) -> Dialog:
    """Read a dialog.

    Raises:
        DialogError: There is something in it that means nothing; it says in which line.
    """
    requirements: list[str] = []
    config, tls, cuttable = ServerConfig(), False, True
    steps = [Step(over=True)]
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if not line or line.startswith("#"):
                continue
            if line.startswith("req:"):
                requirements += line[4:].replace(",", " ").split()
            elif line.startswith("config:"):
                config, tls = _read_config(line[7:])
            elif line.startswith("cut: no, "):
                cuttable = False
            elif line == "HELLO":
                hello = Step([("feed", b"EHLO client.example\r\n")], replies=None, over=True)
                steps = [Step(replies=None), hello]
            else:
                _read_step(line, steps)
        except (DialogError, KeyError, ValueError) as error:
            raise DialogError(f"{name}, line {number}: {error}") from error
    return Dialog(name, requirements, config, tls, cuttable, steps)


def _numbered(text: str) -> str:
    """Write a word out that has a range of numbers in it."""
    words = []
    for word in text.split(" "):
        match = _RANGE.search(word)
        numbers = [""] if match is None else range(int(match[1]), int(match[2]) + 1)
        words += [word if match is None else _RANGE.sub(str(number), word) for number in numbers]
    return " ".join(words)


_SIMPLE = {
    "TLS": ("tls", b""),
    "TLS weak": ("tls", b"weak"),
    "EOF": ("eof", b""),
    "CLOSE": ("close", b""),
}


def _read_step(line: str, steps: list[Step]) -> None:
    step = steps[-1]
    if line == "S-":
        step.over = True
        return
    action = _SIMPLE.get(line)
    if action is None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise DialogError(f"this means nothing: {line}")
        side, count, kind, rest = match.groups()
        if side == "A" and kind == ":":
            step.actions.append(("answer", rest.encode()))
            return
        if side == "E" and kind == ":":
            step.events = [*(step.events or ()), unescape(_numbered(rest))]
            step.over = True
            return
        if side == "S" and kind in ":~":
            step.replies = [*(step.replies or ()), *[_expression(kind, rest)] * int(count or 1)]
            step.over = True
            return
        if side != "C" or kind not in ":>":
            raise DialogError(f"this means nothing: {line}")
        octets = unescape(rest) + (b"\r\n" if kind == ":" else b"")
        if count is not None:
            octets = b"".join(octets.replace(b"{n}", b"%d" % number) for number in range(1, int(count) + 1))
        action = ("feed", octets)
    if step.over:
        step = Step()
        steps.append(step)
    step.actions.append(action)


def read_all() -> list[Dialog]:
    """All dialogs there are."""
    return [parse(path.stem, path.read_text("utf-8")) for path in sorted(DIRECTORY.glob("*.txt"))]


# --- Replaying --------------------------------------------------------------------------------------------


def describe(event: Event, envelope: Envelope | None = None) -> bytes:
    """An event in one line: its class, then what is in it.

    A path stands in angle brackets, parameters follow as on the wire; a refused line comes after the code of
    the reply; of credentials there are mechanism, user name and authorization identity; at the end of a message
    stands its envelope.
    """
    words: list[object]
    if isinstance(event, (Mail, Rcpt)):
        path = event.reverse_path if isinstance(event, Mail) else event.forward_path
        values = [key if one is True else f"{key}={one}" for key, one in event.parameters.items()]
        words = [f"<{path}>", *values]
    elif isinstance(event, (Ehlo, Helo)):
        words = [event.domain]
    elif isinstance(event, (Chunk, InputDiscarded)):
        words = [event.data]
    elif isinstance(event, CommandRejected):
        words = [event.reply.code, event.line]
    elif isinstance(event, EndOfMessage) and envelope is not None:
        words = [f"<{path}>" for path in (envelope.reverse_path, *envelope.forward_paths)]
    elif isinstance(event, MessageAborted):
        words = [] if event.reply is None else [event.reply.code]
    elif isinstance(event, AuthQuestion):
        words = [event.mechanism, event.username, event.authorization_identity or ""]
    else:
        words = [getattr(event, name) for name in event.__match_args__]
    shown = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b" ".join([event.__class__.__name__.encode(), *[word for word in shown if word]])


class Player:
    """The two sides of a dialog: a connection, and an application that gives the answers of the dialog.

    Args:
        dialog: The dialog.
        answers: The answers to one event after the other; when there are no more, accept.

    Attributes:
        connection: The connection.
        events: What has happened, adjacent chunks as one.
        log: The same as ``describe()`` says it.
        output: What the server has sent.
        given: The answers that were given.
    """

    def __init__(self, dialog: Dialog, answers: Iterable[str] = ()) -> None:
        self.connection = ServerConnection(
            HOSTNAME, config=dialog.config, tls=TlsInfo() if dialog.tls else None
        )
        self.answers = deque(answers)
        self.events: list[Event] = []
        self.log: list[bytes] = []
        self.output = b""
        self.given: list[str] = []
        self.closed = False

    def do(self, kind: str, octets: bytes = b"") -> None:
        """Do what an action says, and all that follows from it."""
        connection = self.connection
        if kind == "tls":
            connection.tls_started(TlsInfo(too_weak=octets == b"weak"))
        elif kind == "close":
            connection.close()
        elif not self.closed and connection.state is not State.TLS:
            connection.receive_data(octets)  # otherwise they are lost, or belong to TLS
        elif kind == "eof":
            connection.receive_data(b"")
        self.go_on()

    def go_on(self) -> None:
        """Ask for events until there are no more."""
        while (event := self.connection.next_event()) is not None:
            last = self.events[-1] if self.events else None
            if isinstance(event, Chunk) and isinstance(last, Chunk):
                self.events[-1] = Chunk(last.data + event.data)
                self.log[-1] += event.data
            else:
                self.events.append(event)
                self.log.append(describe(event, self.connection.envelope))
            assert not self.closed, f"{event!r} after the end"
            self.closed = isinstance(event, ConnectionClosed)
            if self.connection.unanswered is not None:
                answer = self.answers.popleft() if self.answers else "accept"
                self.given.append(answer)
                self._answer(answer)
        self.output += self.connection.data_to_send()

    def _answer(self, answer: str) -> None:
        verb, _, rest = answer.partition(" ")
        if verb == "accept":
            self.connection.accept(rest or None)
        elif verb == "as":
            self.connection.accept(identity=rest)
        elif verb in ("reject", "send"):
            code, status, text = rest.split(" ", 2)
            known = None if status == "-" else status
            if verb == "reject":
                self.connection.reject(int(code), known, unescape(text).decode())
            else:
                self.connection.send(Reply(int(code), known, text.split(" | ")))
        else:
            raise DialogError(f"no such answer: {answer}")


_END = EndOfMessage.__name__.encode()


def play(dialog: Dialog) -> Player:
    """Play a dialog as it is written, line by line, and compare."""
    player = Player(dialog)
    for number, step in enumerate(dialog.steps):
        where = f"{dialog.name}, step {number}: {step.actions}"
        events, output = len(player.log), len(player.output)
        actions = deque(step.actions)
        if number == 0:  # the connecting
            actions.appendleft(("connect", b""))
        while actions:
            kind, octets = actions.popleft()
            while actions and actions[0][0] == "answer":
                player.answers.append(actions.popleft()[1].decode())
            if kind == "connect":
                player.go_on()
            else:
                player.do(kind, octets)
            assert not player.answers, f"{where}: nothing was asked that this answers"
        if step.replies is not None:
            text = player.output[output:].decode("latin-1")
            lines = text.split("\r\n")
            assert lines.pop() == "", f"{where}: output does not end in CRLF: {text!r}"
            said = len(lines) == len(step.replies) and all(map(re.Pattern.fullmatch, step.replies, lines))
            expected = [one.pattern for one in step.replies]
            assert said, f"{where}:\n  expected {expected}\n  received {lines}"
        happened = player.log[events:]
        if step.events is None:
            silent = not any(one.startswith(_END) for one in happened)
            assert silent, f"{where}: the end of a message has no line E: {happened}"
        else:
            as_told = len(happened) == len(step.events) and all(map(_is, happened, step.events))
            assert as_told, f"{where}:\n  expected {step.events}\n  received {happened}"
    return player


def _is(happened: bytes, expected: bytes) -> bool:
    # The envelope of a message is always compared.
    return expected == happened or (expected == happened.split(b" ")[0] != _END)


def replay(dialog: Dialog, answers: Iterable[str], cut: random.Random | int | None) -> Player:
    """Play a dialog again, with the same answers in the same order, and everything else cut differently.

    Args:
        dialog: The dialog.
        answers: As :attr:`Player.given`.
        cut: Octets of each read; None: all at once, up to the next thing that is not an octet; or a source of
            random lengths.
    """
    player = Player(dialog, answers)
    player.go_on()
    actions = [action for step in dialog.steps for action in step.actions if action[0] != "answer"]
    waiting = b""
    for kind, octets in [*actions, ("end", b"")]:
        if kind == "feed":
            waiting += octets
            continue
        while waiting:
            size = cut.choice((1, 2, 3, 5, 8, 40, 500, 9000)) if isinstance(cut, random.Random) else cut
            player.do("feed", waiting[:size])
            waiting = waiting[size:] if size else b""
        if kind != "end":
            player.do(kind, octets)
    return player
