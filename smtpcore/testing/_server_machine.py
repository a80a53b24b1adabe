"""A machine of Hypothesis that fuzzes a server."""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Final, get_args

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .._core.config import Extension
from .._core.errors import LocalProtocolError, wrong_type
from .._core.grammar import MECHANISM
from .._core.state import State
from ..extensions import STANDARD
from . import _stimuli as stimuli
from ._oracle import Oracle, Violation
from ._peers import TIMEOUT, Peer, checked_target, connect
from ._stored import shown

Stored = Callable[[], Sequence[tuple[str, Sequence[str], bytes]]]

# Sessions are short, since a bug that needs more than a few commands is rare. The phase that explains a failure
# would take longer than finding it, and the dialogue explains it.
DEFAULT_SETTINGS: Final = settings(
    deadline=None,
    max_examples=200,
    stateful_step_count=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _when(condition: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Make a precondition of a function with a name.

    Hypothesis describes each condition at each step. For a lambda, old versions parse its whole file each time.
    """

    def holds(machine: Any) -> bool:
        return condition(machine)

    decorate: Callable[[Any], Any] = precondition(holds)
    return decorate


class ServerMachine(RuleBasedStateMachine):
    """A client that fuzzes a server: legal, nearly legal and hostile dialogues, each reply judged.

    Make one with :meth:`against`. Each reply has to be one that RFC 5321 allows in the state of the session,
    each command gets exactly one, content ends where it ends, what is sent in plaintext does not cross the TLS
    boundary, and what was accepted is what is stored, once.

    Raises:
        Violation: What Hypothesis reports, shrunk: the reason and the dialogue.
    """

    # Functions, which a type checker would take for methods.
    connect: ClassVar[Any]
    stored: ClassVar[Any] = None
    extensions: ClassVar[Sequence[Extension] | None] = None
    found: ClassVar[list[Violation]] = []
    user: ClassVar[tuple[str, str]] = ("joe", "secret")
    without: ClassVar[frozenset[stimuli.Deviation]] = frozenset()

    @classmethod
    def against(
        cls,
        target: str | tuple[str, int] | Callable[[], Callable[[bytes], bytes]] | Callable[[], socket.socket],
        port: int = 25,
        *,
        stored: Stored | None = None,
        extensions: Sequence[Extension] | None = None,
        user: tuple[str, str] = ("joe", "secret"),
        without: Collection[stimuli.Deviation] = (),
        timeout: float = TIMEOUT,
        allow_remote: bool = False,
    ) -> type[ServerMachine]:
        """Make a machine for a server.

        Args:
            target: The host, or the host with the port, such as ``server.addresses[0]``; or a function that is
                called for each connection, and returns a connected socket, or a server in memory: a function
                from octets to octets, called with ``b""`` for the greeting. It may have a method
                ``start_tls()`` and an attribute ``closed``.
            port: With a host alone, the port.
            stored: Returns what the server has stored, as (sender, recipients, content), oldest first; compared
                with what it has accepted. None: not compared.
            extensions: The extensions whose commands are sent where the server offers them. None: the standard
                ones.
            user: The name and the password of a user, for AUTH PLAIN.
            without: Deviations from the standard that you know of, and accept; what would show them is not
                sent. ``"LF in commands"``, ``"CR in commands"``, ``"NUL in commands"``,
                ``"UTF-8 in commands"``: a command with such an octet is accepted, or read as several.
                ``"unknown parameters"``, ``"unknown commands"``: they are accepted. ``"offered parameters"``:
                one of an extension that is offered is refused as unknown.
                ``"long lines"``: a line of more than 512 octets gets more than one reply.
                ``"SIZE beyond the limit"``: it is accepted with MAIL. ``"second EHLO"``: it is refused, or HELO
                is. ``"RCPT TO:<>"``: it is accepted. ``"line ends in content"``: content may end at a line end
                that is not CRLF. ``"AUTH"``: it does not follow RFC 4954.
            timeout: Seconds after which a reply over a socket is missing.
            allow_remote: The host may be another machine. Only for a server that is yours to test.

        Returns:
            A class; its ``TestCase`` is a test.

        Raises:
            LocalProtocolError: The host is another machine, or a deviation is not one of these.
            ArgumentTypeError: An argument has the wrong type.
        """
        place = checked_target((target, port) if isinstance(target, str) else target, allow_remote)
        if stored is not None and not callable(stored):
            raise wrong_type("stored", "a function that returns the messages, or None", stored)
        known = get_args(stimuli.Deviation)
        for name in without:
            if name not in known:
                raise LocalProtocolError(f"{name!r} is not a known deviation: accepted are {', '.join(known)}")
        members: dict[str, Any] = {
            "connect": staticmethod(lambda: connect(place, timeout)),
            "extensions": None if extensions is None else tuple(extensions),
            "found": [],
            "user": user,
            "without": frozenset(without),
            "stored": None if stored is None else staticmethod(stored),
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
        }
        machine: Any = type("ServerMachine", (cls,), members)
        machine.TestCase.settings = DEFAULT_SETTINGS
        made: type[ServerMachine] = machine
        return made

    def __init__(self) -> None:
        super().__init__()
        self._peer: Peer | None = None
        self._oracle = Oracle(self.extensions)
        self._unsure = False  # whether a message was accepted is not known, so the stored ones are not compared
        self._stored: Stored | None = type(self).stored
        self._before = 0 if self._stored is None else len(self._stored())

    # -- how it talks --

    @property
    def _state(self) -> State:
        return self._oracle.state

    @property
    def _live(self) -> bool:
        return self._peer is not None and not self._oracle.closed and not self._oracle.lost

    def _begin(self) -> None:
        if self._peer is not None:
            self._peer.close()
        accepted = self._oracle.accepted
        self._oracle = Oracle(self.extensions)
        self._oracle.accepted = accepted
        self._peer = type(self).connect()
        self._hear()

    def _send(self, octets: bytes) -> None:
        assert self._peer is not None
        self._peer.send(octets)

    def _hear(self) -> None:
        """Judge all that the server says until it waits for the client."""
        oracle = self._oracle
        assert self._peer is not None
        while not oracle.closed:
            octets = self._peer.receive(wait=oracle.outstanding > 0)
            if octets is None:
                break
            if not octets:
                oracle.ended()
                break
            oracle.received(octets)
        oracle.quiet()
        self._unsure = self._unsure or oracle.lost or (oracle.closed and oracle.outstanding > 0)
        if self._stored is not None and not self._unsure:
            oracle.check_stored(self._stored()[self._before :])

    def _excused(self, line: bytes) -> bool:
        """Whether the server is excused from what it has to do with a line."""
        needed = stimuli.deviations(line)
        if line[:5].upper() in (b"EHLO ", b"HELO ") and self._state is not State.GREETED:
            needed.add("second EHLO")
        return not self.without.isdisjoint(needed)

    def _command(self, line: bytes, *, wrong: bool = False, known: bool = False, cut: bool = False) -> None:
        if not self._live or self._state is State.CONTENT or self._excused(line):
            return
        self._oracle.sent_line(line, wrong=wrong, known=known)
        if cut:
            self._send(line[:2])
        self._send(line[2:] + b"\r\n" if cut else line + b"\r\n")
        self._hear()

    def _commands(self, lines: Sequence[bytes], *, pipelined: bool) -> None:
        """Send commands, one by one or all at once."""
        if not pipelined or "PIPELINING" not in self._oracle.offered:
            for line in lines:
                self._command(line)
            return
        if self._live:
            lines = [line for line in lines if not self._excused(line)]
            for line in lines:
                self._oracle.sent_line(line)
            self._send(b"".join(line + b"\r\n" for line in lines))
            self._hear()

    def _ready_for(self, *states: State) -> bool:
        return self._live and self._state in states

    def _offers(self, keyword: str) -> bool:
        """Whether the server offers an extension, and it is one of those that are used."""
        return keyword in self._oracle.offered and keyword in self._oracle.keywords

    @property
    def _usable(self) -> tuple[Extension, ...]:
        given = STANDARD if self.extensions is None else tuple(self.extensions)
        return tuple(one for one in given if one.keyword in self._oracle.offered)

    # -- what it does: the names are in an order in which Hypothesis shrinks towards the simpler rules --

    @initialize()
    def greet(self) -> None:
        """Connect, and say EHLO."""
        self._begin()
        self._command(stimuli.HELLO)

    @_when(lambda self: not self._ready_for(State.READY, State.MAIL, State.RCPT))
    @rule()
    def connect_again(self) -> None:
        """Connect, after the server has closed, or has not led to where mail is sent."""
        self._begin()
        self._command(stimuli.HELLO)

    @_when(lambda self: self._ready_for(State.READY))
    @rule(
        mail=stimuli.MAILS,
        steps=stimuli.STEPS,
        end=st.sampled_from((b"", b"DATA", b"AUTH PLAIN", b"NOOP")),
        pipelined=st.booleans(),
    )
    def begin(self, mail: bytes, steps: list[bytes], end: bytes, pipelined: bool) -> None:
        """Begin a transaction. A refusal must not stop what is pipelined after it."""
        if end == b"AUTH PLAIN":
            self._commands([mail, *steps], pipelined=pipelined)
            if self._offers("AUTH"):
                self._command(end)
        else:
            self._commands([mail, *steps, *filter(None, [end])], pipelined=pipelined)
        self._return()

    @_when(lambda self: self._ready_for(State.READY) and "PIPELINING" in self._oracle.offered)
    @rule(
        refused=stimuli.REFUSED_RCPTS, following=st.sampled_from((b"RCPT TO:<b@example.com>", b"NOOP", b"RSET"))
    )
    def begin_with_refusal(self, refused: bytes, following: bytes) -> None:
        """Send a group in which a recipient is refused; what follows it gets its reply (RFC 2920 3.2)."""
        self._commands([b"MAIL FROM:<a@example.com>", refused, following], pipelined=True)
        self._return()

    @_when(lambda self: self._ready_for(State.READY))
    @rule(
        mail=stimuli.MAILS,
        rcpts=stimuli.SOME_RCPTS,
        content=stimuli.contents(),
        cut=stimuli.CUTS,
        following=stimuli.FOLLOWING,
    )
    def deliver(self, mail: bytes, rcpts: list[bytes], content: bytes, cut: int, following: bytes) -> None:
        """Send a whole message."""
        if not content.isascii() and "8BITMIME" in self._oracle.offered:
            mail = b"MAIL FROM:<a@example.com> BODY=8BITMIME"
        self._commands([mail, *rcpts], pipelined=False)
        self._content(content, cut, following)

    @_when(lambda self: self._ready_for(State.READY))
    @rule(content=st.sampled_from((b".\r\n", b".a\r\n", b"a\r\n.\r\n", b"..\r\n")), cut=stimuli.CUTS)
    def deliver_dots(self, content: bytes, cut: int) -> None:
        """Send a message with lines that begin with a dot (RFC 5321 4.5.2)."""
        self._deliver(content, cut)

    @_when(lambda self: self._ready_for(State.READY))
    @rule(end=st.sampled_from(stimuli.FALSE_ENDS))
    def deliver_false_end(self, end: bytes) -> None:
        """Send a message with what looks like its end, and a command after it (SMTP smuggling)."""
        self._deliver(b"a" + end + b"NOOP\r\n", 0)

    def _deliver(self, content: bytes, cut: int) -> None:
        self._commands([b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.com>"], pipelined=False)
        self._content(content, cut)

    @_when(lambda self: self._ready_for(State.MAIL, State.RCPT))
    @rule(content=stimuli.contents(), cut=stimuli.CUTS)
    def send_content(self, content: bytes, cut: int) -> None:
        """Send DATA and the content, in two pieces or in one."""
        self._content(content, cut)

    def _content(self, content: bytes, cut: int, following: bytes = b"") -> None:
        if self._ready_for(State.MAIL, State.RCPT):
            self._command(b"DATA")
        if not self._ready_for(State.CONTENT):
            return
        oracle = self._oracle
        if "line ends in content" in self.without and any(
            one in content.replace(b"\r\n", b"") for one in b"\r\n"
        ):
            content = b""
        whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
        octets = stimuli.stuffed(whole)
        pieces = stimuli.cut(octets, cut)
        if cut == stimuli.OCTETS:
            oracle.note("# octet by octet")
            oracle.note(f"C> {shown(octets)}")
        for number, piece in enumerate(pieces, 1):
            if not self._live:
                return
            if cut != stimuli.OCTETS:
                oracle.note(f"C> {shown(piece)}")
            ended = number == len(pieces)
            oracle.sent_content(whole, ended=ended)
            if ended and following and "PIPELINING" in oracle.offered:
                oracle.sent_line(following)
                piece += following + b"\r\n"
            self._send(piece)
            self._hear()

    @_when(lambda self: self._ready_for(State.READY, State.MAIL, State.RCPT))
    @rule(
        line=stimuli.COMMANDS,
        cut=st.booleans(),
    )
    def command(self, line: bytes, cut: bool) -> None:
        """Send a command, in order or not, in one piece or in two."""
        self._command(line, cut=cut)
        self._return()

    def _return(self) -> None:
        """Return to where commands are expected, if the last one has led to content or AUTH."""
        if self._ready_for(State.CONTENT):
            self._oracle.note("C> .\\r\\n")
            self._oracle.sent_content(b"", ended=True)
            self._send(b".\r\n")
            self._hear()
        elif self._ready_for(State.AUTHENTICATING):
            self._command(b"*")

    @_when(lambda self: self._ready_for(State.READY))
    @rule(line=st.runner().flatmap(lambda machine: stimuli.near_misses(machine.extensions)))
    def near_miss(self, line: bytes) -> None:
        """Send a line that is nearly a command."""
        line = line[:-2]
        self._command(line, wrong=any(one in line for one in b"\r\n\0"))
        self._return()

    @_when(lambda self: self._ready_for(State.READY))
    @rule(line=st.sampled_from(stimuli.SPOILT))
    def spoilt_line(self, line: bytes) -> None:
        """Send a line that must not be accepted, nor be repeated in a reply as it is."""
        if line.isascii() or "SMTPUTF8" in self._oracle.offered:
            self._command(line, wrong=True)

    @_when(lambda self: self._ready_for(State.READY))
    @rule()
    def long_line(self) -> None:
        """Send a command line that is longer than anything that a server should buffer.

        A server that cuts it short sees a path without an end, so accepting it is wrong in any case.
        """
        self._command(b"MAIL FROM:<" + b"a" * stimuli.LONG + b"@example.com>", wrong=True)

    @_when(lambda self: self._ready_for(State.READY) and "SIZE" in self._oracle.offered)
    @rule()
    def exceed_size(self) -> None:
        """Declare a message that is larger than the limit that SIZE gives: the reply is 552 (RFC 1870 6.1)."""
        limit = int(next(filter(str.isdecimal, self._oracle.offered["SIZE"]), "0")[:20])
        if limit and "SIZE beyond the limit" not in self.without:
            self._command(b"MAIL FROM:<a@example.com> SIZE=%d" % (limit + 1), wrong=True)

    @_when(lambda self: self._ready_for(State.READY))
    @rule(mail=st.runner().flatmap(lambda machine: stimuli.mails(machine._usable)))
    def mail_with_parameters(self, mail: bytes) -> None:
        """Send MAIL with parameters of the extensions that the server offers."""
        self._command(mail, known="offered parameters" not in self.without)

    @_when(lambda self: self._ready_for(State.MAIL, State.RCPT))
    @rule(rcpt=st.runner().flatmap(lambda machine: stimuli.rcpts(machine._usable)))
    def rcpt_with_parameters(self, rcpt: bytes) -> None:
        """Send RCPT with parameters of the extensions that the server offers."""
        self._command(rcpt, known="offered parameters" not in self.without)

    @_when(lambda self: self._ready_for(State.READY) and bool(stimuli.own_commands(self._usable)))
    @rule(line=st.runner().flatmap(lambda machine: st.one_of(stimuli.own_commands(machine._usable))))
    def extension_command(self, line: bytes) -> None:
        """Send a command of an extension that the server offers."""
        self._command(line, known=True)

    @_when(lambda self: self._ready_for(State.READY))
    @rule(
        mail=stimuli.MAILS,
        rcpt=stimuli.RCPTS,
        end=st.sampled_from((b"RSET", stimuli.HELLO, b"HELO client.example")),
    )
    def send_without_recipient(self, mail: bytes, rcpt: bytes, end: bytes) -> None:
        """Begin a transaction and drop it; then send a message without a recipient."""
        self._commands([mail, rcpt, end, mail], pipelined=False)
        self._content(b"", 0)

    @_when(lambda self: self._ready_for(State.READY, State.MAIL, State.RCPT) and self._offers("STARTTLS"))
    @rule(
        injected=st.sampled_from((b"", b"NOOP\r\n", b"RSET\r\n")),
        then=st.sampled_from((stimuli.HELLO, b"RCPT TO:<b@example.com>", b"DATA")),
    )
    def start_tls(self, injected: bytes, then: bytes = stimuli.HELLO) -> None:
        """Start TLS; what was sent in plaintext before or after STARTTLS must have no effect (RFC 3207 4.2)."""
        assert self._peer is not None
        self._oracle.sent_line(b"STARTTLS")
        if injected:
            self._oracle.note(f"C: {shown(injected[:-2])}")
        self._send(b"STARTTLS\r\n" + injected)
        octets = self._peer.receive(wait=True)
        if not octets:
            self._oracle.ended()
            return
        if injected and not octets.startswith(b"2"):
            self._oracle.lost = True  # STARTTLS is refused, so the injected line is a command
        self._oracle.received(octets)
        if not self._ready_for(State.TLS):
            return
        if not self._peer.start_tls():
            self._oracle.ended()
            return
        self._oracle.tls_started()
        self._hear()
        self._command(then)
        if then != stimuli.HELLO:
            self._command(stimuli.HELLO)

    @_when(
        lambda self: self._ready_for(State.READY) and self._offers("AUTH") and not self._oracle.authenticated
    )
    @rule(
        mechanism=st.integers(0, 9),
        response=st.sampled_from((b"NOOP", b"RSET", b"QUIT", b"*", b"!", None)),
    )
    def authenticate(self, mechanism: int, response: bytes | None) -> None:
        """Begin AUTH; whatever comes next is a response, and not a command (RFC 4954 4). None: the password."""
        names = [
            name.upper().encode() for name in self._oracle.offered["AUTH"] if MECHANISM.fullmatch(name.upper())
        ]
        if not names:
            return
        name = names[mechanism % len(names)]
        if response is None and b"PLAIN" in names:
            name, response = b"PLAIN", b64encode("\0".join(("", *self.user)).encode())
        self._command(b"AUTH " + name)
        if self._ready_for(State.AUTHENTICATING):
            self._command(b"*" if response is None else response)
            self._return()
        if self._oracle.authenticated:
            self._command(b"AUTH " + name)  # it must not succeed twice
            self._return()

    @_when(lambda self: self._ready_for(State.READY, State.RCPT) and "CHUNKING" in self._oracle.offered)
    @rule(octets=st.sampled_from((b"", b"NOOP\r\n", b"a\r\n", b".\r\n")), last=st.booleans())
    def chunk(self, octets: bytes, last: bool) -> None:
        """Send BDAT with its octets, which are never commands (RFC 3030 2)."""
        self._chunk(octets, last)

    def _chunk(self, octets: bytes, last: bool) -> None:
        line = b"BDAT %d%s" % (len(octets), b" LAST" * last)
        self._oracle.sent_chunk(line, octets)
        self._send(line + b"\r\n" + octets)
        self._hear()

    @_when(lambda self: self._ready_for(State.READY) and "CHUNKING" in self._oracle.offered)
    @rule(chunks=stimuli.CHUNKS, end=st.sampled_from((b"LAST", b"RSET", b"DATA")))
    def deliver_chunks(self, chunks: list[bytes], end: bytes) -> None:
        """Send a message in chunks, or begin to."""
        self._commands([b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.com>"], pipelined=False)
        for octets in [*chunks, b"a\r\n"]:
            if self._ready_for(State.RCPT):
                self._chunk(octets, last=False)
        if end != b"LAST":
            self._command(end)
            self._return()
        elif self._ready_for(State.RCPT):
            self._chunk(b"", last=True)

    @_when(lambda self: self._ready_for(State.READY, State.MAIL, State.RCPT))
    @rule()
    def quit(self) -> None:
        """Send QUIT: the server replies 221, and closes (RFC 5321 4.1.1.10)."""
        self._command(b"QUIT")
        peer, oracle = self._peer, self._oracle
        if peer is None or self._state is not State.CLOSED or peer.is_closed():
            return
        oracle.note("C: NOOP")
        self._send(b"NOOP\r\n")
        if peer.receive(wait=True):
            oracle.fail("the server goes on after QUIT (RFC 5321 4.1.1.10)")

    def teardown(self) -> None:
        """Close the connection."""
        if self._oracle.violation is not None:
            self.found.append(self._oracle.violation)
        if self._peer is not None:
            self._peer.close()


def fuzz_server(
    target: str | tuple[str, int] | Callable[[], Callable[[bytes], bytes]] | Callable[[], socket.socket],
    port: int = 25,
    *,
    settings: settings | None = None,
    **options: Any,
) -> None:
    """Fuzz a server; return if nothing is wrong.

    Args:
        target: As for :meth:`ServerMachine.against`.
        port: With a host alone, the port.
        settings: Of Hypothesis: how many examples, and how many steps of each. None: 200 of 8 steps.
        options: The other options of :meth:`ServerMachine.against`.

    Raises:
        Violation: The server does what the standard does not allow; it has the shortest dialogue found. Of a
            server that did not do it again, such as one that keeps state between sessions, it is the first one.
        LocalProtocolError: The host is another machine.
        ArgumentTypeError: An argument has the wrong type.
    """
    machine = ServerMachine.against(target, port, **options)
    try:
        run_state_machine_as_test(machine, settings=settings or DEFAULT_SETTINGS)
    except Flaky as error:
        if not machine.found:
            raise
        raise machine.found[0] from error
