"""``ServerConnection``: octets of a client in, events out, answers back in, octets of replies out.

**The loop.** ::

    connection.receive_data(octets)              b"" when the client has closed its side
    while (event := connection.next_event()) is not None:
        ...                                      accept(), reject() or send() answers it
    write(connection.data_to_send())             then read on

A command, a question about credentials, the opening and the end of a message need one answer each, before the
next event; the other events need none. Replies are collected until the loop ends: so a group of pipelined
commands gets its replies in one write (RFC 2920 3.2) without further code.

**Valid and invalid commands.** The application always answers a valid command, and never an invalid one. A line
that cannot be parsed, that comes out of order, or that exceeds a limit is answered here and reported as
``CommandRejected``. The application cannot be made to see anything that the state does not allow.

**Order of judgement** for a line: too long, malformed, against policy (TLS or authentication has to come
first), out of order, over a limit. All of it before anything changes.

**Where the rest is.** ``state`` has the tables that say what is legal and where a reply leads; ``service`` what
follows from the configuration; ``commands`` reads a line; ``servercontent`` receives content; ``auth`` runs an
AUTH exchange; ``tally`` counts what a client must not do too often; ``replytexts`` has the replies.

**The end** has two forms. The orderly one is a reply: 221, 421, or a refusal after which the state is CLOSED.
The other one is that octets stop coming; whatever was half done is void. ``ConnectionClosed`` is the last event
in both; after it ``next_event()`` returns None, so that the loop above ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..extensions.auth import Auth
from ..sasl import (
    SERVER_MECHANISMS,
    AuthQuestion,
    Challenge,
    Step,
    StoredSecret,
    Succeeded,
    encode_base64,
)
from . import replytexts as texts
from .addresses import ReversePath
from .auth import ServerExchange
from .capabilities import Capabilities
from .commands import (
    BARE_LF,
    KNOWN_VERBS,
    NOT_IMPLEMENTED,
    SHORT,
    TOO_LONG,
    TOO_LONG_WITH_LF,
    verb_of,
)
from .commandspec import CommandSpec
from .config import Facts, ServerConfig
from .errors import LocalProtocolError
from .events import (
    Command,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Envelope,
    Event,
    Helo,
    InputDiscarded,
    Mail,
    MessageAborted,
    Noop,
    Quit,
    Rcpt,
    Rset,
    TextCommand,
)
from .limits import TlsInfo
from .parameters import NO_PARAMETERS
from .receivebuffer import ReceiveBuffer
from .rejectedlines import (
    CHUNK,
    COUNTED_CHUNK,
    HANDSHAKE_RECORD,
    HIDDEN,
    HTTP,
    SHOWN,
    head_of,
    without_secrets,
)
from .replies import Refused, Reply
from .servercontent import END_OF_MESSAGE, ContentReceiver, RefusedChunk, drained_enough
from .serverreplies import WITH_HOSTNAME, WITHOUT_STATUS, check_verified, with_hostname
from .service import service_for
from .state import HANDSHAKEN, State, after
from .tally import COMMAND, RECIPIENT, Tally

# A member of an enumeration is looked up ten times as slowly as a global.
_CONTENT, _MAIL, _RCPT, _TLS, _CLOSED = State.CONTENT, State.MAIL, State.RCPT, State.TLS, State.CLOSED
_OPENING, _GREETED, _REFUSED = State.OPENING, State.GREETED, State.REFUSED

_TOO_LONG: Final = (TOO_LONG, TOO_LONG_WITH_LF)
_WITHOUT_INPUT: Final = frozenset({_OPENING, _TLS, _CLOSED})
_IN_TRANSACTION: Final = frozenset({_MAIL, _RCPT, _CONTENT})

_HELLO: Final = (Ehlo, Helo)
_IDLE: Final = (Noop, Rset)  # in every state
_CONNECT: Final = Connect()
_CONNECTION_CLOSED: Final = ConnectionClosed()
_DEFAULT_CONFIG: Final = ServerConfig()


class ServerConnection:
    """One SMTP session, the server's side, without I/O.

    Args:
        hostname: The server's own domain, or an address literal: the first word of its greeting.
        config: What it offers, and its limits.
        tls: TLS that was active before the first octet of SMTP (RFC 8314 3.3), if it was.
        peer: Any object that the application wants to find again, usually an address.

    Attributes:
        hostname: As given.
        peer: As given.
        envelope: The transaction under way, None outside one.
        hello: The EHLO or HELO command with which the client introduced itself, None before.
        authenticated: The identity that the client has authenticated as, None if it has not.
        tls: The facts of TLS, None in plaintext.
        early_input: Octets arrived before the greeting (RFC 5321 4.3.1): the client did not wait for it.

    Raises:
        LocalProtocolError: ``hostname`` is neither a domain nor an address literal, or a SASL mechanism is not
            known.
    """

    def __init__(
        self,
        hostname: str,
        *,
        config: ServerConfig = _DEFAULT_CONFIG,
        tls: TlsInfo | None = None,
        peer: object = None,
    ) -> None:
        service = service_for(hostname, config)
        self.hostname = hostname
        self.peer = peer
        self.envelope: Envelope | None = None
        self.hello: Ehlo | Helo | None = None
        self.authenticated: str | None = None
        self.tls = tls
        self.early_input = False

        self._service = service
        self._config = config
        self._rules = service.rules
        self._facts_outside: Facts | None = None  # those outside a transaction, while they hold
        self._buffer = ReceiveBuffer(config.limits.receive_buffer)
        self._tally = Tally(config.limits)
        self._output: list[bytes] = []
        self._queue: list[Event] = [_CONNECT]  # events that come before anything that is in the buffer
        self._unanswered: Event | None = None
        self._room = 0  # recipients that the transaction may still have
        self._refused = ""  # the verb of the last command, if it was refused and matters: DATA or AUTH
        # What most sessions do not have, or not yet.
        self._content: ContentReceiver | None = None
        self._chunk: RefusedChunk | None = None
        self._exchange: ServerExchange | None = None
        self._state = _OPENING
        self._legal: frozenset[type[Event]] = frozenset()
        self._change_terms()
        if config.never_accepts_mail:
            self._queue.clear()
            self._answer(_CONNECT, texts.NEVER_MAIL)

    # -- facts --

    @property
    def state(self) -> State:
        """Where the session is. ``State.TLS``: send what there is to send, then do the handshake."""
        return self._state

    @property
    def capabilities(self) -> Capabilities:
        """What is offered at this moment; it depends on TLS."""
        return self._terms.capabilities

    @property
    def unanswered(self) -> Event | None:
        """The event that has to be answered before the next one, if there is one."""
        return self._unanswered

    @property
    def timeout(self) -> float:
        """Seconds to wait for the client's next command or content (RFC 5321 4.5.3.2.7)."""
        return self._config.timeouts.idle

    @property
    def timeout_reply(self) -> Reply:
        """The reply for ``close()`` when the wait for the client has timed out (RFC 5321 3.8).

        It says so if the client has sent lines that end in LF alone, which is why it got no reply (RFC 5321
        2.3.8).
        """
        if self._state is _CONTENT:
            lf = self._content is not None and self._content.has_bare_lf
        else:
            lf = self._buffer.has_bare_lf
        return texts.TIMEOUT_AFTER_LF if lf else texts.TIMEOUT

    @property
    def submitter(self) -> ReversePath | None:
        """The submitter of the message of this transaction, by the AUTH parameter of MAIL (RFC 4954 5).

        None without the parameter; null if the submitter is unknown, or if the client has not authenticated,
        since then its claim must not be believed.
        """
        auth = None if self.envelope is None else self.envelope.mail.auth
        if auth is None or self.authenticated is not None:
            return auth
        return ReversePath("")

    # -- octets in, events out --

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Receive octets of the client.

        Args:
            data: The octets; ``b""``: the client has closed its side.

        Raises:
            LocalProtocolError: More than ``Limits.receive_buffer`` octets are buffered: call ``next_event()``
                until it returns None. Or the session is over, or these octets belong to the TLS handshake.
        """
        if self._state in _WITHOUT_INPUT and data:
            if self._state is _CLOSED:
                raise LocalProtocolError("the session is over")
            if self._state is _TLS:
                raise LocalProtocolError("these octets are for the TLS handshake; call tls_started() after it")
            self.early_input = True
        self._buffer.feed(data)

    def next_event(self) -> Event | None:
        """Return the next event.

        Returns:
            The event; None when more octets are needed: send what ``data_to_send()`` gives, and read. After
            ``ConnectionClosed`` always None.

        Raises:
            LocalProtocolError: The last event has not been answered.
        """
        if self._unanswered is not None:
            raise LocalProtocolError(
                f"{self._unanswered!r} has to be answered first: accept(), reject(), send()"
            )
        state = self._state
        if state is _CONTENT:
            return self._next_content()
        if self._queue:
            return self._from_queue()
        legal = self._legal
        if not legal:
            return self._next_without_commands()

        # The ordinary command: one look-up, one expression, one look at the tables.
        buffer = self._buffer
        start = buffer.start
        text = buffer.text
        if text is None:
            text = buffer.decode()
        shortcut = SHORT.get(text[start : start + 4])
        if shortcut is None:
            if start == len(text) and not (buffer.rest or buffer.at_eof):
                buffer.release()
                return None
            return self._next_line()
        try:
            command = shortcut(self._terms.parser, buffer, start + 4)
        except Refused as refused:
            return self._reject_command(start, refused.reply)
        if command is None:
            return self._next_line()
        # _judge() comes to the same result about these, in twice the time.
        kind = command.__class__
        if kind in legal and (
            kind is Data
            or (isinstance(command, Rcpt) and self._room and command.parameters is NO_PARAMETERS)
            or (kind in _IDLE and not self._tally.is_idle(COMMAND))
            or (
                isinstance(command, Mail)
                and command.parameters is NO_PARAMETERS
                and self._tally.idle <= self._tally.most_idle
            )
        ):
            self._refused = ""
            self._unanswered = command
            return command
        return self._judge(command, start)

    def _from_queue(self) -> Event | None:
        if self._chunk is not None:
            return self._discard_chunk(self._chunk)
        event = self._queue.pop(0)
        if isinstance(event, (Connect, AuthQuestion)):
            self._unanswered = event
        return event

    def _next_without_commands(self) -> Event | None:
        if self._state is State.AUTHENTICATING:
            return self._next_response()
        return self._lost() if self._buffer.at_eof and self._state is _TLS else None

    def _next_line(self) -> Event | None:
        """Read a line on the slow path."""
        buffer = self._buffer
        if self._state is _GREETED and self.hello is None and buffer.peek() == HANDSHAKE_RECORD:
            return self._hang_up(HANDSHAKE_RECORD, texts.NO_TLS_HERE)
        taken = buffer.take_line(self._terms.parser.max_line)
        if taken is None:
            if not buffer.at_eof:
                return None
            return self._reject(head_of(buffer.take()), BARE_LF) if buffer.has_bare_lf else self._lost()
        line, too_long = taken
        if too_long:
            return self._reject(line, TOO_LONG_WITH_LF if b"\n" in line else TOO_LONG)
        if self._state is _GREETED and HTTP.match(line):
            return self._hang_up(line, texts.NO_HTTP)
        smtputf8 = self.envelope is not None and self.envelope.mail.smtputf8
        try:
            command = self._terms.parser.parse(line.decode("latin-1"), smtputf8=smtputf8)
        except Refused as refused:
            return self._reject(line, refused.reply)
        return self._judge(command, buffer.start - 2 - len(line))

    def _judge(self, command: Command, start: int) -> Event | None:
        """Hand out a well-formed command, unless it must not come now or exceeds a limit.

        Args:
            command: The command.
            start: Where its line starts; it ends at the buffer's ``start``.
        """
        kind = command.__class__
        if kind not in self._legal:
            return self._reject_command(start, self._why_illegal(kind))
        if kind in self._rules.idle:
            # EHLO and HELO further the delivery of mail once, while nothing else may come.
            first = self._state is _GREETED and kind in _HELLO
            if not first and self._tally.is_idle(COMMAND):
                return self._reject_command(start, texts.TOO_MANY_IDLE)
        elif isinstance(command, (Mail, Rcpt)):
            if kind is Rcpt and not self._room:
                return self._reject_beyond_limit(command, start, texts.TOO_MANY_RECIPIENTS)
            if kind is Mail and self._tally.idle > self._tally.most_idle:
                return self._reject_command(start, texts.TOO_MANY_IDLE)
            if command.parameters is not NO_PARAMETERS:
                refusal = self._refusal_by_extensions(command)
                if refusal is not None:
                    return self._reject_beyond_limit(command, start, refusal)
        if kind in self._rules.owner:
            refusal = self._refusal_by_extensions(command)
            if refusal is None and self._rules.owner[kind].keyword not in self.capabilities:
                refusal = NOT_IMPLEMENTED
            if refusal is not None:
                return self._reject_command(start, refusal)
            if isinstance(command, Auth):
                return self._begin_auth(command)
        self._refused = ""
        self._unanswered = command
        return command

    def _why_illegal(self, kind: type[Event]) -> Reply:
        """Return the reply to a command that must not come now."""
        state = self._state
        if state is _REFUSED:
            return self._no_service()
        permitted = self._terms.permitted
        if permitted is not None and kind not in permitted:
            return self._terms.refusal
        if state is _GREETED:
            return texts.NEED_HELLO
        if kind in (Rcpt, Data):
            return texts.NEED_RCPT if state is _MAIL else texts.NEED_MAIL
        return texts.IN_TRANSACTION

    def _no_service(self) -> Reply:
        """Return the reply to anything but QUIT after a refused connection (RFC 5321 3.1, RFC 7504 3)."""
        return texts.NEVER_MAIL if self._config.never_accepts_mail else texts.NO_SERVICE

    def _facts(self) -> Facts:
        """Return the circumstances, for extensions to judge by."""
        mail = None if self.envelope is None else self.envelope.mail
        facts = self._facts_outside
        if facts is None or mail is not None or facts.peer is not self.peer:
            facts = Facts(self.tls, self.authenticated, self.hello, mail, self.peer, self._config)
            if mail is None:
                self._facts_outside = facts
        return facts

    def _refusal_by_extensions(self, command: Command) -> Reply | None:
        return self._rules.refusal(command, self._terms.capabilities, self._facts())

    def _reject_beyond_limit(self, command: Command, start: int, reply: Reply) -> Event:
        """Refuse a command that is valid, but exceeds a limit."""
        line = self._buffer.data[start : self._buffer.start - 2]
        if self._tally.is_idle(RECIPIENT if command.__class__ is Rcpt else COMMAND):
            reply = texts.TOO_MANY_IDLE
        self._put(reply)
        if reply.code == 421:
            self._end()
        return CommandRejected(line, reply)

    def _reject_command(self, start: int, reply: Reply) -> Event | None:
        """Refuse a command that must not come now; its line starts at ``start``."""
        return self._reject(self._buffer.data[start : self._buffer.start - 2], reply)

    def _reject(self, line: bytes, reply: Reply) -> Event | None:
        """Refuse a line, and count it."""
        if self._state is _REFUSED and reply not in _TOO_LONG and reply is not BARE_LF:
            reply = self._no_service()  # malformed or not
        if CHUNK.match(line):
            return self._reject_chunk(line, reply)
        verb = verb_of(line[:SHOWN].decode("latin-1"))
        shown = without_secrets(line)
        if verb in KNOWN_VERBS or verb in self._rules.verbs:
            self._refused = verb
        elif self._refused == "DATA":
            # Content that was sent without waiting for 354. None of it may be run as commands.
            reply = texts.CONTENT_WITHOUT_354
        elif self._refused == "AUTH":
            # Responses that were sent without waiting for 334.
            shown = HIDDEN
        if self._tally.is_rejected():
            reply = texts.TOO_MANY_ERRORS
        self._put(reply, status=verb not in ("EHLO", "HELO"))
        if reply.code == 421 or reply is texts.CONTENT_WITHOUT_354:
            self._end()
        return CommandRejected(shown, reply)

    def _reject_chunk(self, line: bytes, reply: Reply) -> Event | None:
        """Refuse a BDAT. The octets that follow it are content and never run as commands (RFC 3030 2).

        With a usable count they are discarded before the reply is given. Without one, or with one beyond the
        limit of content that is drained, the next command cannot be found: the session ends.
        """
        self._refused = ""
        match = None if reply in _TOO_LONG else COUNTED_CHUNK.fullmatch(line)
        if self._tally.is_rejected():
            reply = texts.TOO_MANY_ERRORS
        elif match is None:
            reply = texts.NO_COUNT
        elif drained_enough(int(match[1]), self._config.limits):
            reply = texts.TOO_MUCH_CONTENT
        else:
            self._chunk = RefusedChunk(int(match[1]))
            self._queue.append(CommandRejected(line[:SHOWN], reply))
            return self._discard_chunk(self._chunk)
        return self._hang_up(line, reply)

    def _discard_chunk(self, chunk: RefusedChunk) -> Event | None:
        """Discard the octets of a refused BDAT; then give the reply."""
        if not chunk.discard(self._buffer):
            return self._lost() if self._buffer.at_eof else None
        self._chunk = None
        event = self._queue.pop(0)
        assert isinstance(event, CommandRejected)
        self._put(event.reply)
        return event

    def _hang_up(self, line: bytes, reply: Reply) -> Event:
        """Refuse a peer that does not use SMTP, and end the session."""
        self._put(reply)
        self._end()
        return CommandRejected(line[:SHOWN], reply)

    def _next_content(self) -> Event | None:
        content = self._content
        if content is None:
            content = self._content = ContentReceiver(self._config, self._buffer)
        event = content.next_event()
        if event is None:
            return self._lost() if self._buffer.at_eof else None
        if isinstance(event, Reply):
            self._put(event)
            self._tally.is_idle(COMMAND)
            self._advance(EndOfMessage, event.code)
            return MessageAborted(event)
        if event is END_OF_MESSAGE:
            self._unanswered = event
        return event

    def _lost(self) -> Event:
        """End the session, since the client is gone; whatever was half done is void (RFC 5321 4.1.1.10)."""
        in_content = self._state is _CONTENT
        self._end()
        return MessageAborted(None) if in_content else self._queue.pop(0)

    def _end(self) -> None:
        """Close the session. ``ConnectionClosed`` is its last event, and comes once."""
        if self._chunk is not None:  # the reply to that BDAT was not given
            self._chunk = None
            self._queue.clear()
        self._queue.append(_CONNECTION_CLOSED)
        self._state = _CLOSED
        self._legal = frozenset()
        self._unanswered = None
        self._exchange = self._content = None
        self.envelope = None
        self._buffer.clear()

    # -- answers --

    def accept(self, text: str | None = None, *, identity: str | None = None) -> None:
        """Answer the last event with the success reply of RFC 5321.

        To VRFY and EXPN that is 252, which promises nothing. To ``EndOfMessage`` it is 250: the server takes
        responsibility, so the message must be stored safely before (RFC 5321 6.1).

        Args:
            text: Text in place of the default, without codes.
            identity: With credentials: the identity that the session acts for, if it differs from the one that
                logged in (RFC 4422 3.6).

        Raises:
            LocalProtocolError: There is nothing to answer, or accepting is not possible.
        """
        event = self._unanswered
        if event is None:
            raise LocalProtocolError("there is nothing to answer")
        kind = event.__class__
        success = self._terms.successes.get(kind)
        if success is not None and text is None:  # nearly always
            octets, leads_to = success
            self._unanswered = None
            self._output.append(octets)
            state = leads_to.get(self._state)
            if state is not None:
                if state in _IN_TRANSACTION:  # then nothing else goes with it
                    self._state = state
                    self._legal = self._terms.legal[state]
                else:
                    self._enter_state(state)
            if isinstance(event, Rcpt):  # without a call, as there may be thousands
                assert self.envelope is not None
                self.envelope.rcpts.append(event)
                self._room -= 1
            elif kind in _EFFECTS:
                _EFFECTS[kind](self, event)
        elif isinstance(event, AuthQuestion):
            step = self._running().accept(identity)
            self._unanswered = None
            self._take(step, text)
        else:
            default = self._service.success(kind, self.capabilities)
            self._answer(event, Reply.sanitized(default.code, default.status, text or ""))

    def reject(self, code: int, status: str | None, text: str) -> None:
        """Refuse the request of the last event.

        Args:
            code: 400 to 559.
            status: The enhanced status code, such as ``"5.1.1"``, or None.
            text: For people; characters that cannot be sent are replaced.

        Raises:
            LocalProtocolError: There is nothing to answer, the code is not a refusal, or QUIT is refused.
        """
        if code < 400:
            raise LocalProtocolError(f"{code} is not a valid refusal: 4yz or 5yz (RFC 5321 4.2.1)")
        self.send(Reply.sanitized(code, status, text))

    def supply_secret(self, secret: str | StoredSecret | None) -> None:
        """Answer a ``SecretRequest`` with what is stored for the user, or None for an unknown user.

        Raises:
            LocalProtocolError: No secret was asked for, or one of another kind.
        """
        if not isinstance(self._unanswered, AuthQuestion):
            raise LocalProtocolError("no secret was asked for")
        step = self._running().supply(secret)
        self._unanswered = None
        self._take(step)

    def send(self, reply: Reply) -> None:
        """Answer the last event with a reply of your own.

        A successful reply to EHLO gets the list of extensions appended; 220, 221 and 421 get the host name as
        their first word (RFC 5321 4.2). Each line of a 250 or 251 to VRFY or EXPN is a mailbox:
        ``user@example.org`` or ``Name <user@example.org>`` (RFC 5321 3.5.1).

        Raises:
            LocalProtocolError: There is nothing to answer, or the event cannot be answered with this code.
        """
        event = self._unanswered
        if event is None:
            raise LocalProtocolError("there is nothing to answer")
        kind: type[Event] = Auth if isinstance(event, AuthQuestion) else event.__class__
        if reply.severity < 4:
            if reply.code not in self._rules.success[kind]:
                allowed = " or ".join(str(code) for code in sorted(self._rules.success[kind]))
                raise LocalProtocolError(f"{event!r} succeeds with {allowed}, not with {reply.code}")
            if isinstance(event, TextCommand) and event.names_mailbox and reply.code != 252:
                for line in reply.lines:
                    check_verified(line)
        elif kind is Quit and reply.code != 421:
            raise LocalProtocolError("QUIT must not be refused (RFC 5321 4.1.1.10)")
        elif kind is Connect:
            # RFC 7504 3: 521 is not about a particular client; RFC 5321 3.1: the text is to say why.
            if reply.code not in (421, 554) or not reply.text.strip():
                raise LocalProtocolError("a connection is refused with 421 or 554, and a reason")
        if isinstance(event, AuthQuestion) and reply.code != 421:
            if reply.is_success:
                self.accept(reply.text)
            else:
                step = self._running().reject(reply)
                self._unanswered = None
                self._take(step)
        else:
            self._answer(event, reply)

    def close(self, reply: Reply | None = None) -> None:
        """End the session from the server's side, at any moment (RFC 5321 3.8); a second time does nothing.

        Args:
            reply: What to say last; 421 4.3.2 by default.

        Raises:
            LocalProtocolError: The reply is not 421.
        """
        reply = texts.SHUTTING_DOWN if reply is None else reply
        if reply.code != 421:
            raise LocalProtocolError("a server says 421 when it closes a connection (RFC 5321 3.8)")
        if self._state is _CLOSED:
            return
        # No question can be answered any more; notices are still given.
        self._queue = [event for event in self._queue if not isinstance(event, (Connect, AuthQuestion))]
        if self._state is _CONTENT:
            self._queue.append(MessageAborted(reply))
        if self._state is not _TLS:  # during a handshake no reply can be sent
            status = self._state is not _OPENING and not isinstance(self._unanswered, WITHOUT_STATUS)
            self._put(reply, status=status)
        self._end()

    def data_to_send(self) -> bytes:
        """The octets to send now; each is given out once."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    @property
    def output_size(self) -> int:
        """Octets that ``data_to_send()`` would give."""
        return sum(map(len, self._output))

    def tls_started(self, info: TlsInfo) -> None:
        """Report that the TLS handshake has succeeded: the session begins anew without greeting (RFC 3207 4.2).

        Raises:
            LocalProtocolError: STARTTLS has not been accepted.
        """
        if self._state is not _TLS:
            raise LocalProtocolError("STARTTLS has not been accepted")
        self._state = HANDSHAKEN[self._state]
        self.tls = info
        self.hello = None
        self.authenticated = None
        self._change_terms()

    def command_spec(self, kind: type[Event]) -> CommandSpec | None:
        """Return what declares a command of an extension; None for a command of RFC 5321.

        Args:
            kind: The class of the command.
        """
        return self._rules.commands.get(kind)

    def _answer(self, event: Event, reply: Reply) -> None:
        kind = event.__class__
        if reply.severity >= 4:
            reply = self._count_refusal(kind, reply)
        elif kind in (Ehlo, Helo):
            reply = self._service.named(kind, reply, self.capabilities)
        self._unanswered = None
        self._put(reply, status=kind not in WITHOUT_STATUS)
        self._advance(kind, reply.code, event)

    def _count_refusal(self, kind: type[Event], reply: Reply) -> Reply:
        """Count a command that the application refuses; return its reply, or 421 after too many."""
        if kind is Rcpt:
            if reply.is_permanent and self._tally.is_refused_recipient():
                return texts.TOO_MANY_REFUSED
            return texts.TOO_MANY_IDLE if self._tally.is_idle(RECIPIENT) else reply
        if kind in self._rules.idle and not (self._state is _GREETED and kind in _HELLO):
            return reply  # it was counted when it came
        too_many = self._tally.is_idle(COMMAND)
        # The verdict on a message is never replaced: then it is the next MAIL that gets the 421.
        return texts.TOO_MANY_IDLE if too_many and kind not in (EndOfMessage, Connect, Quit) else reply

    def _put(self, reply: Reply, *, status: bool = True) -> None:
        if reply.code in WITH_HOSTNAME:
            reply = with_hostname(self.hostname, reply)
        self._output.append(reply.encode(enhanced=status and self._config.enhanced_status_codes))

    def _advance(self, kind: type[Event], code: int, event: Event | None = None) -> None:
        """Go where the tables lead after a reply.

        Args:
            kind: The class of what was answered.
            code: The reply code.
            event: What was answered, if there is an event for it.
        """
        state = after(self._rules.after, kind, code, self._state)
        if state is not self._state:
            self._enter_state(state)
        elif code >= 400 and kind is Data:
            self._refused = "DATA"
        if code < 400 and event is not None and kind in _EFFECTS:
            _EFFECTS[kind](self, event)

    def _enter_state(self, state: State) -> None:
        """Enter a state that the tables have named, and do what goes with it."""
        self._state = state
        self._legal = self._terms.legal[state]
        if state not in _IN_TRANSACTION:
            self.envelope = None
            if state is _CLOSED:
                self._end()
            elif state is _TLS and len(self._buffer):
                # RFC 3207 4.2: nothing that came in plaintext may be used.
                self._queue.append(InputDiscarded(self._buffer.take()))

    # What the success of an event changes besides the state: see _EFFECTS.

    def _begin_transaction(self, mail: Mail) -> None:
        self.envelope = Envelope(mail)
        self._room = self._config.limits.recipients

    def _add_recipient(self, rcpt: Rcpt) -> None:
        assert self.envelope is not None  # RCPT is not legal without one
        self.envelope.rcpts.append(rcpt)
        self._room -= 1

    def _begin_session(self, hello: Ehlo | Helo) -> None:
        self.hello = hello
        self._change_terms()

    def _count_message(self, event: EndOfMessage) -> None:
        self._tally.idle = 0

    def _change_terms(self) -> None:
        """Find out what is offered and permitted after TLS, EHLO, HELO or authentication."""
        self._facts_outside = None
        self._terms = self._service.terms(self.tls, self.authenticated, self.hello, self._facts)
        self._legal = self._terms.legal[self._state]

    # -- authentication --

    def _begin_auth(self, command: Auth) -> Event | None:
        self._advance(Auth, 334)
        self._refused = ""
        self._exchange = ServerExchange(SERVER_MECHANISMS[command.mechanism]())
        return self._go_on_with(self._exchange.begin(command.initial_response))

    def _next_response(self) -> Event | None:
        """Take the next line of an exchange, whatever it looks like."""
        buffer = self._buffer
        taken = buffer.take_line(self._config.limits.auth_line)
        if taken is None:
            if not buffer.at_eof:
                return None
            if not buffer.has_bare_lf:
                return self._lost()
            buffer.clear()
            return self._break_off(BARE_LF)
        line, too_long = taken
        if too_long:
            return self._break_off(texts.RESPONSE_TOO_LONG)
        return self._go_on_with(self._running().respond(line))

    def _running(self) -> ServerExchange:
        assert self._exchange is not None  # a question, and a response, are only there while one is
        return self._exchange

    def _go_on_with(self, step: Step | Reply) -> Event | None:
        if isinstance(step, Reply):
            return self._break_off(step)
        self._take(step)
        return self.next_event()

    def _take(self, step: Step, text: str | None = None) -> None:
        """Do what a mechanism says."""
        if isinstance(step, AuthQuestion):
            self._queue.append(step)
        elif isinstance(step, Challenge):
            self._output.append(f"334 {encode_base64(step.data)}\r\n".encode("ascii"))
        elif isinstance(step, Succeeded):
            self._exchange = None
            self.authenticated = step.identity
            self._tally.forget_logins()
            self._put(texts.AUTHENTICATED if text is None else Reply.sanitized(235, "2.7.0", text))
            self._advance(Auth, 235)
            self._change_terms()
        elif step.malformed:
            self._queue.insert(0, self._break_off(texts.MALFORMED_RESPONSE))  # it may have ended the session
        else:
            self._fail(self._running().refusal)

    def _break_off(self, reply: Reply) -> Event:
        return CommandRejected(b"AUTH " + HIDDEN, self._fail(reply))

    def _fail(self, reply: Reply) -> Reply:
        self._exchange = None
        self._refused = "AUTH"
        if self._tally.is_failed_login():
            reply = texts.TOO_MANY_LOGINS
        self._put(reply)
        self._advance(Auth, reply.code)
        return reply


_EFFECTS: Final[Mapping[type[Event], Callable[[ServerConnection, Any], None]]] = {
    Mail: ServerConnection._begin_transaction,
    Rcpt: ServerConnection._add_recipient,
    Ehlo: ServerConnection._begin_session,
    Helo: ServerConnection._begin_session,
    EndOfMessage: ServerConnection._count_message,
}
