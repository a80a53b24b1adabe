"""Plays a server to a client, and records what the client does."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import Final

from ..wire import Closed, Silent, Wire
from .certificates import context_of
from .scenarios import HOST, Scenario

LOOK: Final = 0.03  # seconds
TRANSACTION: Final = frozenset(("MAIL", "RCPT", "DATA", "BDAT"))  # the verbs of one
_HANDSHAKE: Final = b"\x16"  # the first octet of a record of TLS that holds one
_PLAINTEXT: Final = re.compile(
    rb"(?:EHLO|HELO|STARTTLS|AUTH|MAIL|RCPT|DATA|BDAT|RSET|NOOP|VRFY|QUIT)\b.*", re.IGNORECASE | re.DOTALL
)
_MOST_COMMANDS: Final = 2000  # of one connection: a client that tries again for ever ends there

_USUAL: Final = {
    "EHLO": "250",
    "HELO": f"250 {HOST}",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go ahead",
    ".": "250 2.0.0 stored",
    "BDAT": "250 2.0.0 chunk ok",
    "RSET": "250 2.0.0 reset",
    "NOOP": "250 2.0.0 ok",
    "VRFY": "252 2.1.5 cannot verify",
    "HELP": "214 2.0.0 help",
    "QUIT": f"221 2.0.0 {HOST} closing",
    "STARTTLS": "220 2.0.0 ready",
    "AUTH": "235 2.7.0 welcome",
}


@dataclass(slots=True)
class Sent:
    """A command of the client, and the circumstances in which it came.

    Attributes:
        line: As received, with its line end.
        verb: In upper case.
        early: Octets of it were there before the reply to the command before it.
        offered: The keywords in force, in upper case; None before EHLO was answered.
        tls: Whether TLS was active.
        reply: The reply that it got; empty for none.
        after_quit: Whether QUIT came before it.
        after_handshake: Whether a TLS handshake had failed on this connection.
        mail: Whether a transaction was under way.
        recipients: How many recipients were accepted in it.
    """

    line: bytes
    verb: str
    early: bool
    offered: frozenset[str] | None
    tls: bool
    mail: bool
    recipients: int
    after_quit: bool = False
    after_handshake: bool = False
    reply: str = ""

    @property
    def argument(self) -> bytes:
        """What follows the verb, without the line end."""
        return self.line.rstrip(b"\r\n")[len(self.verb) :].strip(b" ")

    @property
    def ok(self) -> bool:
        """Whether it was accepted."""
        return self.reply[:1] in ("2", "3")


@dataclass(slots=True)
class Content:
    """Content of the client.

    Attributes:
        octets: As received, without the final dot line.
        mail: The MAIL command of the transaction.
        chunked: Whether it came by BDAT.
        recipients: The RCPT commands that were accepted.
        offered: The keywords in force.
        reply: What it got.
        end: The line that ended it.
        early: Octets of it were there before the 354.
    """

    octets: bytes
    mail: bytes
    chunked: bool
    recipients: tuple[bytes, ...]
    offered: frozenset[str]
    reply: str
    end: bytes = b".\r\n"
    early: bool = False


@dataclass(slots=True)
class Seen:
    """What a client did on one connection.

    Attributes:
        scenario: The server that was played.
        dialog: For people.
        commands: Its commands.
        contents: Its contents.
        spoke_first: It sent something before the greeting.
        quit_early: It closed after QUIT without waiting for the 221.
        silent: It sent nothing for the whole time, without closing.
        used_injection: It took plaintext after the 220 of STARTTLS for a reply.
        handshake_failed: The TLS handshake failed.
        no_handshake: What came after the 220 of STARTTLS was not the beginning of a handshake.
        responses: Lines of its AUTH exchanges.
        impatient: It closed before the delayed reply to its content.
        early_response: A response came before its challenge.
    """

    scenario: Scenario
    dialog: list[str] = field(default_factory=list)
    commands: list[Sent] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)
    spoke_first: bool = False
    quit_early: bool = False
    silent: bool = False
    used_injection: bool = False
    handshake_failed: bool = False
    no_handshake: bool = False
    responses: list[bytes] = field(default_factory=list)
    early_response: bool = False
    impatient: bool = False

    def verbs(self) -> list[str]:
        """The verbs, in their order."""
        return [command.verb for command in self.commands]

    def first(self, verb: str) -> Sent | None:
        """The first command of a kind; None if there is none."""
        return next((command for command in self.commands if command.verb == verb), None)

    def after(self, command: Sent) -> list[Sent]:
        """The commands after one."""
        at = next(number for number, one in enumerate(self.commands) if one is command)
        return self.commands[at + 1 :]


class Player:
    """One session as a server.

    Args:
        sock: The connection to the client.
        scenario: The server to play.
        timeout: Seconds that one wait may take.
        look: Seconds before a reply, in which the client shows whether it waits for that reply.
    """

    def __init__(
        self,
        sock: socket.socket,
        scenario: Scenario,
        timeout: float,
        look: float = LOOK,
    ) -> None:
        self.wire = Wire(sock, timeout, peer="C")
        self.scenario = scenario
        self.seen = Seen(scenario, self.wire.dialog)
        self._wait = look
        self._used: dict[str, int] = {}
        self._offered: frozenset[str] | None = None
        self._mail = b""
        self._recipients: list[bytes] = []
        self._chunks = b""
        self._quit = False
        self._early = False

    def play(self) -> Seen:
        """Play until the session ends."""
        try:
            self._greet()
            while True:
                self._command()
        except Closed:
            pass
        except Silent:
            self.seen.silent = True
        except OSError:
            pass
        finally:
            self.wire.close()
        return self.seen

    def _look(self, times: int = 1) -> bool:
        """Whether the client sends something without waiting for a reply."""
        return bool(self.wire.pending(self._wait * times))

    # -- replies --

    def _greet(self) -> None:
        self.seen.spoke_first = self._look()
        self._reply(self.scenario.greeting)
        if self.scenario.greeting.startswith("421"):
            self._drain()

    def _choose(self, verb: str) -> str:
        replies = self.scenario.replies.get(verb)
        if replies is None:
            return _USUAL.get(verb, "500 5.5.1 unknown command")
        number = self._used.get(verb, 0)
        self._used[verb] = number + 1
        return replies[min(number, len(replies) - 1)]

    def _reply(self, text: str) -> None:
        octets = ("\r\n".join(text.split("\n")) + "\r\n").encode()
        if self.scenario.cut:
            self.wire.send(*(octets[at : at + 1] for at in range(len(octets))))
        else:
            self.wire.send(octets)

    def _answer(self, command: Sent, text: str) -> None:
        """Look whether the client waits, and reply."""
        self._early = self._look()
        command.reply = text
        if not text:
            raise Closed("closed by the scenario")
        self._reply(text)
        if text.startswith("421"):
            self._drain()

    def _drain(self) -> None:
        """Record what a client still sends to a server that has said 421."""
        while True:
            self._record(self.wire.read_line(1.0))

    # -- commands --

    def _record(self, line: bytes) -> Sent:
        match = re.match(rb"[A-Za-z]+", line)
        command = Sent(
            line,
            match[0].decode().upper() if match else "",
            self._early,
            self._offered,
            self.wire.tls,
            bool(self._mail),
            len(self._recipients),
            self._quit,
            self.seen.handshake_failed,
        )
        self.seen.commands.append(command)
        if len(self.seen.commands) >= _MOST_COMMANDS:
            raise Closed(f"the client has sent {_MOST_COMMANDS} commands")
        return command

    def _command(self) -> None:
        if self._quit:
            self._record(self.wire.read_line(0.5))
            return
        line = self.wire.read_line()
        if self.seen.handshake_failed:
            # Records of TLS that give up the handshake may come first.
            match = _PLAINTEXT.search(line)
            if match is None:
                return
            line = match[0]
        command = self._record(line)
        verb = command.verb
        text = self._choose(verb)
        if verb == "EHLO" and text == "250":
            self._ehlo(command)
        elif verb == "STARTTLS" and text.startswith("220") and not self.wire.tls:
            self._start_tls(command, text)
        elif verb == "DATA":
            self._data(command, text)
        elif verb == "BDAT":
            self._bdat(command, text)
        elif verb == "AUTH":
            self._auth(command, text)
        elif verb == "QUIT":
            self._end(command, text)
        else:
            self._plain(command, text)

    def _ehlo(self, command: Sent) -> None:
        keywords = self.scenario.secured if self.wire.tls else self.scenario.keywords
        lines = [f"250-{word}" for word in (self.scenario.hello, *keywords)]
        text = "\n".join((*lines[:-1], lines[-1].replace("-", " ", 1)))
        self._answer(command, text)
        self._offered = frozenset(word.split()[0].upper() for word in keywords if word)
        self._reset()
        if self.scenario.unasked:
            self._reply(self.scenario.unasked)

    def _plain(self, command: Sent, text: str) -> None:
        if command.verb == "HELO":
            self._offered = frozenset()
        if command.verb in ("RSET", "HELO"):
            self._reset()
        if command.verb == "MAIL" and text.startswith("2"):
            self._reset()
            self._mail = command.line
        if command.verb == "RCPT" and not self._mail:
            text = "503 5.5.1 say MAIL first"
        if command.verb == "RCPT" and text.startswith("2"):
            self._recipients.append(command.line)
        self._answer(command, text)

    def _reset(self) -> None:
        self._mail, self._recipients, self._chunks = b"", [], b""

    def _data(self, command: Sent, text: str) -> None:
        if not command.mail:
            text = "503 5.5.1 say MAIL first"
        elif not self._recipients and "RCPT" not in self.scenario.replies:
            text = "554 5.5.1 say RCPT first"
        self._answer(command, text)
        if not text.startswith("354"):
            return
        early = self._early
        lines = []
        while (line := self.wire.read_line()) not in (b".\r\n", b".\n"):
            lines.append(line)
        verdict = self._choose(".")
        self._contents(b"".join(lines), verdict, end=line, early=early)
        self._verdict(verdict)

    def _contents(
        self, octets: bytes, reply: str, *, chunked: bool = False, end: bytes = b".\r\n", early: bool = False
    ) -> None:
        offered, recipients = self._offered or frozenset(), tuple(self._recipients)
        content = Content(octets, self._mail, chunked, recipients, offered, reply, end, early)
        self.seen.contents.append(content)
        self._reset()

    def _verdict(self, text: str) -> None:
        self._early = self._look()
        if self.scenario.delay:
            self.wire.pending(self.scenario.delay)
            self.seen.impatient = self.wire.closed
        self._reply(text)
        if text.startswith("421"):
            self._drain()

    def _bdat(self, command: Sent, text: str) -> None:
        match = re.fullmatch(rb"BDAT ([0-9]{1,9})( LAST)?\r\n", command.line, re.IGNORECASE)
        if match is None:
            self._answer(command, "501 5.5.4 BDAT takes a size")
            return
        self._chunks += self.wire.read(int(match[1]))
        if text.startswith("2") and match[2]:
            self._contents(self._chunks, text, chunked=True)
        self._answer(command, text)

    def _auth(self, command: Sent, text: str) -> None:
        words = command.argument.upper().split()
        challenges = 2 if words[:1] == [b"LOGIN"] else 1
        if self.scenario.challenge:
            words, challenges = words[:1], 1
        for number in range(challenges - len(words[1:2])):
            challenge = ("VXNlcm5hbWU6", "UGFzc3dvcmQ6")[number] if challenges == 2 else self.scenario.challenge
            self.seen.early_response |= self._look()
            self._reply(f"334 {challenge}")
            self.seen.responses.append(self.wire.read_line())
        self._answer(command, text)

    def _start_tls(self, command: Sent, text: str) -> None:
        self._early = self._look()
        command.reply = text
        self.wire.send(f"{text}\r\n".encode() + self.scenario.injected)
        self.seen.no_handshake = self.wire.peek() not in (b"", _HANDSHAKE)
        if not self._handshake():
            return
        self._offered = None
        self._early = False
        self._reset()
        if self.scenario.injected:
            # A client that takes the injected lines for the reply to EHLO goes on without the true one.
            hello = self._record(self.wire.read_line())
            self.seen.used_injection = hello.verb != "EHLO" or self._look(5)
            self._ehlo(hello)

    def _handshake(self) -> bool:
        """Make the TLS handshake; False if it failed, and the client may go on in plaintext."""
        plaintext = self.wire.socket.dup()  # a failure closes the socket
        try:
            if self.scenario.handshake:
                self.wire.refuse_tls(self.scenario.handshake)
            else:
                self.wire.start_tls(context_of(self.scenario.certificate), server_side=True)
        except Closed:
            self.seen.handshake_failed = True
            self.wire.resume(plaintext)
            return False
        plaintext.close()
        return True

    def _end(self, command: Sent, text: str) -> None:
        try:
            self._early = self._look()
            self.seen.quit_early = self.wire.closed
            command.reply = text
            self._reply(text)
        except Closed:
            self.seen.quit_early = True
            raise
        self._quit = True
