"""``ClientConnection``: commands in, octets out; octets of the server in, responses out.

**The loop.** ::

    connection.send(Mail(...)); connection.send(Rcpt(...))      as many as you like
    write(connection.data_to_send())
    connection.receive_data(read())                              b"" when the server has closed
    while (event := connection.next_event()) is not None:
        ...                                                      Response, CommandNotSent, ConnectionClosed

**Holding back.** ``send()`` queues a command. Octets are released as the protocol allows: one command at a
time; or, if the server offers PIPELINING, groups of MAIL, RCPT and RSET with at most one other command, as the
last (RFC 2920 3.1), and never more outstanding ones than ``Limits.outstanding_commands``, so that the two sides
cannot both write without either of them reading.

**Two states.** The tables of ``state`` are asked twice. ``send()`` asks them with the state that there will be
if everything under way succeeds, since that is what a group is built on; every reply moves the real one on.
When the last reply has arrived, both are the same. A command that was held back and is not legal any more (RCPT
after a refused MAIL, DATA without a recipient) is reported as ``CommandNotSent`` instead of being sent.

**Replies** belong to commands by their order and by nothing else (RFC 2920 3.1). A reply answers a command only
if ``data_to_send()`` had handed out the command before the first octet of the reply was received; a response
within AUTH and the final dot count like commands here. Any other reply is unsolicited: the two sides no longer
talk about the same thing, so it is fatal. There are two exceptions: 421, with which a server may end the
session at any time (RFC 5321 3.8), and a refusal (4yz, 5yz) while content is being sent, before its final dot.
``Credit`` counts the replies to judge this.

**A whole envelope** goes faster. ``_send_envelope()``, which is for the conversations, writes MAIL, RCPT and
DATA together where they make one group. The replies become one ``EnvelopeAccepted`` if the server has accepted
all of it, with lines that it has sent before. In any other case all are single commands and single responses.

**Content** is never queued: ``send(Chunk(...))`` before 354 raises. A server may reply 354 to a group in which
it has refused all recipients; then only the final dot can be sent (RFC 2920 3.1).

**What is offered** is nothing while an EHLO or HELO is under way: its reply replaces what was offered before
(RFC 5321 4.1.4), and is not known yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from ..extensions import STANDARD
from ..extensions.auth import Auth
from ..sasl import ClientMechanism, encode_base64
from .auth import ClientExchange
from .capabilities import NO_CAPABILITIES, Capabilities
from .clientchecks import check_ascii, check_offered, illegal, write_parameters
from .commands import format_command
from .config import Extension, Facts
from .content import CONTENT_LINE_LENGTH, ContentEncoder
from .credit import Credit
from .errors import LocalProtocolError
from .events import (
    Chunk,
    Command,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Quit,
    Rcpt,
    Response,
    TextCommand,
)
from .failures import ConnectionLost, RemoteProtocolError
from .limits import Limits, Timeouts, TlsInfo
from .replies import Reply
from .replyparser import ReplyParser
from .rules import Rules, rules_for
from .secrets import Secrets
from .state import HANDSHAKEN, PIPELINED, State, after

_new = object.__new__

# States in which QUIT cannot be sent, or was.
_SPEECHLESS: Final = frozenset({State.CONTENT, State.TLS, State.AUTHENTICATING, State.CLOSED})
_HELLO: Final = (Ehlo, Helo)
# The field of Timeouts for the reply to each command; "command" for all others.
_WAITS: Final[dict[type[Event], str]] = {
    Connect: "greeting",
    Data: "data_initiation",
    EndOfMessage: "data_termination",
    Quit: "farewell",
}
_USUAL_SIZE: Final = 1000  # characters of the keywords in a reply to EHLO
_FAREWELL = ConnectionClosed()
_DATA, _END = Data(), EndOfMessage()
_DATA_LINE: Final = b"DATA\r\n"
# A member of an enumeration is looked up ten times as slowly as a global.
_READY, _RCPT, _CONTENT = State.READY, State.RCPT, State.CONTENT
_AUTHENTICATING, _TLS, _CLOSED = State.AUTHENTICATING, State.TLS, State.CLOSED
_DEFAULT_LIMITS = Limits()
_DEFAULT_TIMEOUTS = Timeouts()

Answerable = Command | EndOfMessage | Connect


@lru_cache(maxsize=1)
def _standard_rules() -> Rules:
    return rules_for(STANDARD)


def _name_of(command: Answerable) -> str:
    """Name in an error text what a server replies to."""
    if isinstance(command, Connect):
        return "the connection"
    return "the message" if isinstance(command, EndOfMessage) else command.verb


def _point_of(lost: tuple[Answerable, ...]) -> str:
    """Say when a connection ended that left these without a reply."""
    if not lost:
        return "while the content was sent"
    return "without a greeting" if isinstance(lost[0], Connect) else f"without a reply to {_name_of(lost[0])}"


def _capabilities(lines: tuple[str, ...], rules: Rules) -> Capabilities:
    """Read the lines of a reply to EHLO after the first.

    A client often talks to the same few servers, so usual replies are read once. A server chooses the lines:
    large ones are not kept.
    """
    if sum(map(len, lines)) > _USUAL_SIZE:
        return Capabilities.parse(lines, rules.readers)
    return _usual_capabilities(lines, rules)


@lru_cache(maxsize=64)
def _usual_capabilities(lines: tuple[str, ...], rules: Rules) -> Capabilities:
    return Capabilities.parse(lines, rules.readers)


class EnvelopeAccepted(Event):
    """The server has accepted all of an envelope of ``_send_envelope()``: one event in place of its responses.

    Args:
        commands: MAIL, RCPT and DATA.
        replies: The reply to each.
    """

    __slots__ = ("commands", "replies")
    __match_args__ = ("commands", "replies")

    def __init__(self, commands: tuple[Command, ...], replies: list[Reply]) -> None:
        self.commands = commands
        self.replies = replies


class ClientConnection:
    """One SMTP session, the client's side, without I/O.

    Args:
        limits: Sizes and counts.
        timeouts: What ``timeout`` says.
        tls: TLS that was active before the first octet of SMTP (RFC 8314 3.3), if it was.
        max_line: Octets of a content line that are sent at most; None: any number, for servers that are known
            to take more than RFC 5321 4.5.3.1.6 promises.
        extensions: The service extensions that the client can use where the server offers them
            (:mod:`smtpcore.extensions`). None: ``smtpcore.extensions.STANDARD``.

    Attributes:
        capabilities: What the server offered in its last reply to EHLO; empty before, after HELO, and after
            STARTTLS.
        tls: The facts of TLS, None in plaintext.
        authenticated: An AUTH exchange has succeeded.
    """

    def __init__(
        self,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        tls: TlsInfo | None = None,
        max_line: int | None = CONTENT_LINE_LENGTH,
        extensions: tuple[Extension, ...] | None = None,
    ) -> None:
        self._rules: Rules = _standard_rules() if extensions is None else rules_for(extensions)
        self.capabilities: Capabilities = NO_CAPABILITIES
        self.tls = tls
        self.authenticated = False
        self._limits = limits
        self._timeouts = timeouts
        self._max_line = max_line
        self._parser = ReplyParser(max_line=limits.reply_line, max_lines=limits.reply_lines)
        self._at_eof = False
        self._ended = False  # ConnectionClosed was given
        self._output: list[bytes] = []
        self._outstanding: deque[Answerable] = deque((Connect(),))
        self._credit = Credit()
        # What most sessions do not have, or not yet. An empty deque takes as much memory as all the rest.
        self._waiting: deque[tuple[Command, bytes]] | None = None
        self._queue: deque[Event] | None = None
        self._encoder: ContentEncoder | None = None
        self._exchange: ClientExchange | None = None
        self._secrets: Secrets | None = None
        self._facts_outside: Facts | None = None  # those outside a transaction, while they hold
        self._state = State.OPENING
        self._projected = State.GREETED
        self._outdated = False  # _projected is
        self._hellos = 0  # EHLO and HELO commands that are under way
        self._pipelining = False
        self._mail: Mail | None = None  # of the transaction that is being built
        self._envelope: tuple[Command, ...] | None = None  # it was sent as a group, and has no reply yet
        self._addressed = False  # the content has a recipient

    # -- facts --

    @property
    def state(self) -> State:
        """Where the session is by the replies received. ``State.TLS``: it is time for the handshake."""
        return self._state

    @property
    def outstanding(self) -> tuple[Answerable, ...]:
        """What was sent and has not been answered, oldest first; ``Connect`` stands for the greeting.

        What ``data_to_send()`` has not handed out yet counts as well.
        """
        return tuple(self._outstanding)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What was sent in AUTH exchanges and must not be shown: passwords, tokens; not the user name.

        Replies and exceptions of this connection have ``***`` in place of it, also where a server quotes it in
        base64. It is for recorders that see the octets themselves: :meth:`smtpcore.transcript.Transcript.hide`.
        """
        return () if self._secrets is None else self._secrets.texts

    @property
    def timeout(self) -> float:
        """Seconds to wait for the server's next octets, or for it to take content (RFC 5321 4.5.3.2)."""
        if self._outstanding:
            wait = _WAITS.get(self._outstanding[0].__class__, "command")
        else:
            wait = "data_block" if self._state is _CONTENT else "command"
        seconds: float = getattr(self._timeouts, wait)
        return seconds

    # -- out --

    def send(self, event: Command | Chunk | EndOfMessage) -> None:
        """Send a command, a piece of content, or its end.

        Raises:
            LocalProtocolError: It cannot come now, the server has not offered what it needs, or the content
                cannot be sent as it is. Nothing has changed.
        """
        if isinstance(event, Command):
            state = self._projection() if self._outdated else self._projected
            if event.__class__ not in self._rules.legal[state]:
                raise illegal(event, state, self._rules)
            if isinstance(event, (Rcpt, Mail)):
                parameters = self._parameters_of(event) if event.parameters else ""
                octets = format_command(event, self._rules, parameters)
                mail = event if isinstance(event, Mail) else self._mail
                check_ascii(octets, mail, (event,))
                self._mail = mail
            elif isinstance(event, Data):
                octets = _DATA_LINE
            else:
                octets = self._write_other(event)
            self._dispatch(event, octets, state)
        elif isinstance(event, Chunk):
            self._send_chunk(event.data)
        else:
            self._output.append(self._content_encoder().finish())
            self._outstanding.append(event)
            self._projected = self._rules.succeeds[EndOfMessage][_CONTENT]

    def _send_envelope(self, mail: Mail, rcpts: list[Rcpt]) -> None:
        """Send MAIL, RCPT without parameters, and DATA, as ``send()`` sends each.

        It is for speed only: nearly every envelope is one group of PIPELINING, and is sent here without looking
        at each command. If the server accepts all of it, ``next_event()`` gives one ``EnvelopeAccepted``.

        Raises:
            LocalProtocolError: As ``send()``.
        """
        commands = (mail, *rcpts, _DATA)
        outstanding = self._outstanding
        grouped = self._pipelining and self._projection() is _READY and not self._waiting
        if outstanding and grouped:
            grouped = outstanding[-1].__class__ in self._rules.pipelined
        if not grouped or len(outstanding) + len(commands) > self._limits.outstanding_commands:
            for command in commands:
                self.send(command)
            return
        rules = self._rules
        lines = [format_command(mail, rules, self._parameters_of(mail) if mail.parameters else "")]
        lines += [format_command(rcpt, rules, "") for rcpt in rcpts]
        lines.append(_DATA_LINE)
        octets = b"".join(lines)
        check_ascii(octets, mail, (mail, *rcpts))
        self._mail = mail
        self._projected = rules.succeeds[Data][_RCPT]
        self._envelope = commands
        outstanding.extend(commands)
        self._output.append(octets)

    def _write_other(self, command: Command) -> bytes:
        """Write the line of a command other than MAIL, RCPT and DATA; raise if it cannot be sent."""
        if isinstance(command, Auth):
            raise LocalProtocolError("authenticate() begins an AUTH exchange")
        if isinstance(command, TextCommand) and not command.argument.isascii():
            if "SMTPUTF8" not in self._offered():
                raise LocalProtocolError(
                    f"the text {command.argument!r} is not ASCII, which needs SMTPUTF8 (RFC 6531 3.7.4)"
                )
        if command.__class__ in self._rules.owner:
            check_offered(command, self._rules, self._offered(), self._facts())
        octets = format_command(command, self._rules)
        if isinstance(command, _HELLO):
            self._hellos += 1
        return octets

    def check_parameters(self, command: Mail | Rcpt) -> None:
        """Raise what ``send()`` would raise about the parameters of a command, without sending it.

        Raises:
            LocalProtocolError: The server does not offer a parameter, or an extension refuses its value.
        """
        if command.parameters:
            self._parameters_of(command)

    def _parameters_of(self, command: Mail | Rcpt) -> str:
        return write_parameters(command, self._rules, self._offered(), self._facts())

    def _dispatch(self, command: Command, octets: bytes, state: State) -> None:
        kind = command.__class__
        self._projected = self._rules.succeeds[kind].get(state, state)
        # Commands keep their order: while one waits to be sent alone, later ones wait, too.
        if not self._waiting and (not self._outstanding or self._may_follow(kind)):
            self._outstanding.append(command)
            self._output.append(octets)
        else:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append((command, octets))

    def _may_follow(self, kind: type[Event]) -> bool:
        """Whether one more command may be sent before the outstanding ones are answered (RFC 2920 3.1)."""
        if not self._pipelining:
            return False
        outstanding, rules = self._outstanding, self._rules
        return (
            outstanding[-1].__class__ in rules.pipelined
            and kind not in rules.alone
            and len(outstanding) < self._limits.outstanding_commands
        )

    def _release(self) -> None:
        """Release the commands that may be sent now."""
        outstanding = self._outstanding
        while self._waiting and (not outstanding or self._may_follow(self._waiting[0][0].__class__)):
            command, octets = self._waiting.popleft()
            if outstanding or command.__class__ in self._rules.legal[self._state]:
                outstanding.append(command)
                self._output.append(octets)
            else:
                # It was held back until everything before it was answered, and is not legal any more.
                self._report(CommandNotSent(command))
                self._outdated = True
                if command.__class__ in _HELLO:
                    self._hellos -= 1

    def _projection(self) -> State:
        """The state there will be if everything under way succeeds."""
        if self._outdated:  # something has not succeeded, and all that comes after it leads elsewhere
            state = self._state
            for command in self._under_way():
                state = self._rules.succeeds[command.__class__].get(state, state)
            self._projected = state
            self._outdated = False
        return self._projected

    def _under_way(self) -> Iterator[Answerable]:
        """What is sent or held back and has no answer yet, oldest first."""
        yield from self._outstanding
        for command, _ in self._waiting or ():
            yield command

    def _offered(self) -> Capabilities:
        """What the server offers to the next command."""
        return NO_CAPABILITIES if self._hellos else self.capabilities

    def _send_chunk(self, data: bytes) -> None:
        encoder = self._content_encoder()
        if not self._addressed:
            raise LocalProtocolError("content not expected: no recipient was accepted (RFC 5321 3.3)")
        if not data.isascii() and self._mail is not None and self._mail.body != "8BITMIME":
            raise LocalProtocolError(
                "the content has octets above 127, and MAIL had no BODY=8BITMIME (RFC 6152 3)"
            )
        self._output.append(encoder.encode(data))

    def _send_encoded(self, octets: bytes, *, last: bool) -> None:
        """Send a piece of what ``encode_content()`` has made; the last one has the terminator in it."""
        self._content_encoder()
        if not self._addressed:
            raise LocalProtocolError("content not expected: no recipient was accepted (RFC 5321 3.3)")
        self._output.append(octets)
        if last:
            self._outstanding.append(_END)
            self._projected = self._rules.succeeds[EndOfMessage][_CONTENT]

    def _content_encoder(self) -> ContentEncoder:
        """Return the encoder of the content under way; raise if there is none."""
        encoder = self._encoder
        if encoder is None or self._state is not _CONTENT or self._outstanding:
            raise LocalProtocolError(
                "content is sent after a reply of 354 to DATA, up to its end, and only then"
            )
        return encoder

    def _facts(self) -> Facts:
        """Return the circumstances of the next command, for extensions to judge by."""
        in_transaction = self._projection() in (State.MAIL, _RCPT)
        facts = self._facts_outside
        if facts is None or in_transaction:
            mail = self._mail if in_transaction else None
            facts = Facts(self.tls, "" if self.authenticated else None, mail=mail)
            if not in_transaction:
                self._facts_outside = facts
        return facts

    def authenticate(self, mechanism: ClientMechanism, *, allow_cleartext: bool = False) -> None:
        """Begin an AUTH exchange; its ``Response`` comes when it is over (RFC 4954 4).

        Args:
            mechanism: The mechanism with its credentials.
            allow_cleartext: Send the password in plaintext if TLS is not active.

        Raises:
            LocalProtocolError: It cannot come now, is not offered, or would give the password away.
        """
        state = self._projection()
        if Auth not in self._rules.legal[state]:
            raise LocalProtocolError(f"Auth cannot come in the state {state.value!r} (RFC 5321 4.1.4)")
        if self.authenticated:
            raise LocalProtocolError("the session is authenticated already (RFC 4954 4)")
        if self._exchange is not None:
            raise LocalProtocolError("an AUTH exchange is under way")
        offered = self._offered().mechanisms
        if mechanism.name not in offered:
            names = ", ".join(offered) or "none"
            raise LocalProtocolError(
                f"the server does not offer the mechanism {mechanism.name}; it offers {names}"
            )
        if mechanism.cleartext and self.tls is None and not allow_cleartext:
            raise LocalProtocolError(f"{mechanism.name} without TLS shows the password (RFC 4954 4)")
        exchange = ClientExchange(mechanism, self._limits.challenges)
        command, octets = exchange.command(self._rules, self._limits.command_line)
        self._exchange = exchange
        if exchange.initial is not None:
            self._remember(exchange.initial, exchange.names)
        self._dispatch(command, octets, state)

    def data_to_send(self) -> bytes:
        """The octets to send now; each is given out once."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        self._credit.expected = self._credit.answered + len(self._outstanding)
        return data

    def tls_started(self, info: TlsInfo) -> None:
        """Say that the TLS handshake has succeeded: what was offered in plaintext is forgotten (RFC 3207 4.2).

        Raises:
            LocalProtocolError: It was not time for a handshake.
        """
        if self._state is not _TLS:
            raise LocalProtocolError("STARTTLS has not been accepted")
        self._state = self._projected = HANDSHAKEN[self._state]
        self.tls = info
        self.authenticated = False
        self._facts_outside = None
        self._forget_capabilities()

    def abort(self) -> None:
        """Give the session up without QUIT, as after a broken connection; drop what was not handed out."""
        self._state = self._projected = _CLOSED
        self._output.clear()
        self._parser.discard()

    # -- in --

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take what has arrived.

        Args:
            data: Octets; ``b""`` says that there will be no more.

        Raises:
            LocalProtocolError: These octets belong to the TLS handshake, or the session is over.
        """
        if not data:
            self._at_eof = True
        elif self._state is _TLS:
            raise LocalProtocolError("these octets are for the TLS handshake; call tls_started() after it")
        elif self._state is _CLOSED or self._at_eof:
            raise LocalProtocolError("the session is over")
        else:
            self._credit.note(len(data), self._parser.feed(data))

    def next_event(self) -> Event | None:
        """The next thing that has happened.

        Returns:
            The event. None when more octets are needed: send what ``data_to_send()`` gives, and read. The
            last event is ``ConnectionClosed``; after it None again.

        Raises:
            RemoteProtocolError: The server has broken the protocol. The session is over; QUIT is ready to be
                sent if that makes sense.
            ConnectionLost: The connection has ended with something unanswered.
        """
        if self._queue:
            return self._queue.popleft()
        credit = self._credit
        while self._state is not _CLOSED:
            if self._envelope is not None and (accepted := self._accepted_envelope()) is not None:
                return accepted
            if credit.later:
                credit.advance(self._parser.pending)
            try:
                reply = self._parser.next_reply()
            except RemoteProtocolError:
                self._abandon()
                raise
            if reply is None:
                return self._end_of_input() if self._at_eof else None
            code = reply.code
            # A challenge is for the mechanism, and becomes neither an event nor, unmasked, an exception.
            if self._secrets is not None and code != 334:
                reply = self._masked(reply)
            if code == 421:
                return self._farewell(reply)
            if credit.answered >= credit.solicited:
                return self._unsolicited(reply)
            command = self._outstanding[0]
            kind = command.__class__
            if code // 100 == self._rules.expected[kind]:
                state = self._state
                self._state = self._rules.succeeds[kind].get(state, state)
                if kind not in PIPELINED:
                    self._note_success(kind, reply, state)
            elif code >= 400:
                self._failed(kind, reply)
            elif kind is Auth:
                self._answer_challenge(reply)
                continue
            else:
                raise self._impossible(command, reply)
            credit.answered += 1
            self._outstanding.popleft()
            if self._waiting:
                self._release()
            response = _new(Response)
            response.command = command
            response.reply = reply
            response._recipient = None
            return response
        return self._end()

    def _accepted_envelope(self) -> EnvelopeAccepted | None:
        """Give the replies to a whole envelope, if it is their turn and the server has accepted all of it.

        None: ``next_event()`` looks at one reply after the other.
        """
        commands, credit = self._envelope, self._credit
        assert commands is not None, "next_event() has looked"
        if self._outstanding[0] is not commands[0]:
            return None  # the reply to the message before comes first
        count = len(commands)
        if credit.solicited - credit.answered < count:
            return None
        replies = self._parser.repeated([250] * (count - 1) + [354])
        if replies is None:
            if self._parser.pending:
                self._envelope = None
            return None
        if self._secrets is not None:
            replies = [self._masked(reply) for reply in replies]
        self._envelope = None
        self._state = self._rules.succeeds[Data][_RCPT]
        credit.answered += count
        self._outstanding.clear()
        self._note_success(Data, replies[-1], _RCPT)
        if self._waiting:
            self._release()
        return EnvelopeAccepted(commands, replies)

    def _report(self, *events: Event) -> None:
        """Let ``next_event()`` give these before anything else."""
        if self._queue is None:
            self._queue = deque()
        self._queue.extend(events)

    def _handed_out(self) -> int:
        """How many of the outstanding commands the server may have got."""
        # The AUTH command was handed out, even if the response to the last challenge was not.
        return max(self._credit.expected - self._credit.answered, self._state is _AUTHENTICATING)

    def _end(self) -> Event | None:
        """Report once that the session is over."""
        if self._ended:
            return None
        self._ended = True
        return _FAREWELL

    def _failed(self, kind: type[Event], reply: Reply) -> None:
        """Enter the state to which the tables lead after a refusal."""
        self._state = after(self._rules.after, kind, reply.code, self._state)
        self._outdated = True
        if kind is Auth:
            self._exchange = None
        elif kind in _HELLO:
            self._hellos -= 1

    def _note_success(self, kind: type[Event], reply: Reply, before: State) -> None:
        """Note what the success of a command has changed besides the state, which was ``before``."""
        if kind is Data:
            self._addressed = before is _RCPT
            if self._encoder is None:
                self._encoder = ContentEncoder(max_line=self._max_line)
            self._encoder.reset()
        elif kind is Ehlo:
            self._hellos -= 1
            self.capabilities = _capabilities(reply.lines[1:], self._rules)
            self._pipelining = "PIPELINING" in self.capabilities
        elif kind is Helo:
            self._hellos -= 1
            self._forget_capabilities()
        elif kind in self._rules.commands:
            spec = self._rules.commands[kind]
            if reply.code not in spec.success:
                raise self._violation(f"{spec.verb} was answered {reply.code}", reply)
            if kind is Auth:
                self._check_success(reply)
            elif self._state is _TLS and self._parser.discard():
                raise self._violation(
                    f"octets arrived in plaintext after the reply to {spec.verb} (RFC 3207 4)", reply
                )

    def _forget_capabilities(self) -> None:
        self.capabilities = NO_CAPABILITIES
        self._pipelining = False

    def _answer_challenge(self, reply: Reply) -> None:
        exchange = self._exchange
        if reply.code != 334 or exchange is None or exchange.cancelled:
            raise self._impossible(self._outstanding[0], reply)
        self._state = after(self._rules.after, Auth, reply.code, self._state)
        self._credit.answered += 1  # and AUTH stays outstanding, now for the response
        response = exchange.respond(reply.text)
        if response is None:
            self._output.append(b"*\r\n")  # RFC 4954 4: the server has to reply 501
        else:
            self._remember(response, exchange.names)
            self._output.append(f"{encode_base64(response)}\r\n".encode("ascii"))

    def _remember(self, response: bytes, names: frozenset[str]) -> None:
        """Mask this response in whatever the server sends from here on."""
        if self._secrets is None:
            self._secrets = Secrets()
            self._parser.mask = self._secrets.mask_lines
        self._secrets.add(response, names)

    def _masked(self, reply: Reply) -> Reply:
        """Mask a reply: some servers quote what they refuse, password included."""
        secrets = self._secrets
        if secrets is None:
            return reply
        lines = tuple(secrets.mask_lines(reply.lines))
        return reply if lines == reply.lines else Reply._received(reply.code, reply.status, lines)

    def _check_success(self, reply: Reply) -> None:
        exchange, self._exchange = self._exchange, None
        complaint = "the exchange had been cancelled" if exchange is None else exchange.finish()
        if complaint:  # raised here, so that it has no context, which would show what is masked
            raise self._violation(f"the server says that authentication succeeded, but {complaint}", reply)
        self.authenticated = True
        self._facts_outside = None

    def _unsolicited(self, reply: Reply) -> Event:
        """Handle a reply that answers nothing which was handed out before it."""
        reply = self._masked(reply)
        if self._state is _CONTENT and reply.severity >= 4:
            # Content can only be broken off by closing (RFC 5321 4.1.1.10).
            return self._leave([Response(None, reply)])
        raise self._violation(f"an unsolicited reply was received: {reply}", reply)

    def _farewell(self, reply: Reply) -> Event:
        """421 answers everything that was handed out: none of it has been done (RFC 5321 3.8)."""
        answered = [Response(command, reply) for command in self._outstanding]
        return self._leave(answered[: self._handed_out()] or [Response(None, reply)])

    def _leave(self, events: list[Response]) -> Event:
        """End the session with these events; what was not handed out is given back."""
        given_back = [*self._under_way()][self._handed_out() :]
        first, *others = events
        not_sent = [CommandNotSent(command) for command in given_back if isinstance(command, Command)]
        self._report(*others, *not_sent)
        self._outstanding.clear()
        self.abort()
        return first

    def _end_of_input(self) -> Event | None:
        lost = tuple(self._under_way())
        sent = lost[: self._handed_out()]
        in_content = self._state is _CONTENT
        self.abort()
        self._outstanding.clear()
        # A server may close the connection instead of replying to QUIT.
        if in_content or (lost and not isinstance(lost[0], Quit)):
            raise ConnectionLost(
                f"the server closed the connection {_point_of(lost)}",
                outstanding=lost,
                maybe_delivered=self._addressed and any(isinstance(one, EndOfMessage) for one in sent),
            )
        return self._end()

    def _impossible(self, command: Answerable, reply: Reply) -> RemoteProtocolError:
        reply = self._masked(reply)
        return self._violation(
            f"{_name_of(command)} was answered {reply}, which is not a valid reply to it", reply
        )

    def _violation(self, message: str, reply: Reply) -> RemoteProtocolError:
        self._abandon()
        return RemoteProtocolError(
            message if self._secrets is None else self._secrets.mask(message), reply=reply
        )

    def _abandon(self) -> None:
        """Close, with QUIT if the server would read it as a command, and if none was sent."""
        state = self._state
        speechless = state in _SPEECHLESS
        for command in islice(self._outstanding, self._handed_out()):
            state = self._rules.succeeds[command.__class__].get(state, state)
        self.abort()
        if not (speechless or state in _SPEECHLESS):
            self._output.append(b"QUIT\r\n")
