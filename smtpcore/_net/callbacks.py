"""Run a session for an object with callbacks: how the decisions of a handler become replies.

Each class of events has a reaction, a plain function. It calls the method of the handler, and the reply follows
from what that returns. If the method is ``async``, the reaction gives an awaitable in which all this is still
to come; the session awaits it, and goes on. So plain methods cost no coroutine, and both kinds share every line
but one ``await``.

The methods of a handler are looked up once for all its sessions, in a table, and the reactions are chosen
there; a method that is absent, or inherited from :class:`~smtpcore.handlers.Handler` as it stands, costs
nothing.
"""

from __future__ import annotations

import errno
import inspect
import logging
from collections.abc import Awaitable, Callable
from types import GeneratorType
from typing import Any, Final, TypeGuard

from .._core.errors import LocalProtocolError
from .._core.events import (
    Chunk,
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
    Vrfy,
)
from .._core.replies import Reply
from ..extensions.auth import Auth
from ..extensions.expn import Expn
from ..extensions.help import Help
from ..extensions.starttls import StartTls
from ..handlers import RELAY_DENIED, Handler
from ..sasl import Credentials, SecretRequest
from .basestream import peer_in_words
from .handlercheck import name_of
from .session import Due, ServerSession
from .spool import Spool
from .stream import Arrival
from .workers import in_worker, sink_in_worker

_NO_STORE: Final = Reply(451, "4.3.5", "this server is not set up to store mail")

logger = logging.getLogger("smtpcore")

Decision = bool | Reply | None

_DEFAULTS: Final = Handler()
_UNDECIDED: Final = Reply(451, "4.3.0", "local error in processing")
_NOT_NOW: Final = Reply(421, "4.3.0", "local error in processing")  # the same for a connection
_NO_ROOM: Final = Reply(452, "4.3.1", "not enough storage")
_REFUSALS: Final[dict[type[Event], Reply]] = {
    Connect: Reply(554, None, "you are not welcome here"),  # the opening has no status (RFC 2034 3)
    Ehlo: Reply(550, None, "client not accepted"),  # no status in replies to EHLO and HELO (RFC 2034 3)
    Helo: Reply(550, None, "client not accepted"),
    Mail: Reply(550, "5.7.1", "sender not accepted"),
    Rcpt: Reply(550, "5.1.1", "no such mailbox here"),
    Data: Reply(451, "4.3.0", "no message can be accepted now"),
    EndOfMessage: Reply(554, "5.6.0", "message refused"),
    Vrfy: Reply(550, "5.1.1", "no such mailbox here"),
    Expn: Reply(550, "5.1.1", "no such mailing list here"),
}
_COMMAND_REFUSED: Final = Reply(550, "5.7.1", "command refused")
_BAD_CREDENTIALS: Final = Reply(535, "5.7.8", "credentials not accepted")
_AUTH_UNDECIDED: Final = Reply(454, "4.7.0", "temporary authentication failure")

# Lines of the log. The octets themselves may hold a password.
_DISCARDED: Final = (
    "%s sent %d octets in plaintext after STARTTLS, which were discarded (RFC 3207 4.2): this may be an attack"
)
_ABORTED: Final = "a message from %s is not stored: %s"
_RETURNED: Final = "%s has to return %s, and has returned %s"
_NOT_SENT: Final = "%s has returned a reply that cannot be sent: %s"

_SINK_OR_REFUSAL: Final = "a sink with write(), finish() and abort(), False or a Reply"

# Results that are not awaitable, most of the time: looking here costs a third of is_awaitable().
_PLAIN: Final = frozenset({bool, int, Reply, type(None)})

# A reaction to an event of a class: None, or an awaitable that has to be awaited before the next event.
Reaction = Callable[["Callbacks", Any], Awaitable[None] | None]
# What is made of the result of a method, which is given with the event.
Conclusion = Callable[[Any, Callable[..., Any], Any], Awaitable[None] | None]


class Table:
    """The callbacks of a handler and the reactions to events, looked up once for all its sessions."""

    def __init__(self, handler: object) -> None:
        def get(name: str) -> Any:
            """A method; None where the default holds."""
            method = getattr(handler, name, None)
            inherited = getattr(method, "__func__", None) is getattr(Handler, name)
            return None if inherited or method is None else in_worker(method)

        self.begin_message = get("begin_message")
        self.store = get("store")
        self.credentials = get("check_credentials")
        self.secret = get("lookup_secret")
        self.recipient = get("accept_recipient")
        self.rejected = get("on_rejected")
        self.reset = get("on_reset")
        self.tls = get("on_tls")
        self.disconnected = get("on_disconnect")
        domains = getattr(handler, "served_domains", None)
        self.served_domains = None if domains is None else frozenset(domain.lower() for domain in domains)
        decide_on_hello = _ask(get("accept_hello"), lambda event: (event,))
        decide_on_command = _ask(get("on_command") or _DEFAULTS.on_command, lambda event: (event,))
        self.reactions: dict[type[object], Reaction] = {
            Connect: _ask(get("accept_connection"), lambda event: ()),
            Ehlo: decide_on_hello,
            Helo: decide_on_hello,
            Mail: _ask(get("accept_sender"), lambda event: (event.reverse_path, event.parameters)),
            Rcpt: _ask(self.recipient, lambda event: (event.forward_path, event.parameters)),
            Vrfy: _ask(get("verify_address"), lambda event: (event.argument,)),
            Expn: _ask(get("expand_list"), lambda event: (event.argument,)),
            Command: decide_on_command,
            # These have methods of their own, or need no decision: on_command does not get them.
            **dict.fromkeys((Auth, Help, Noop, Quit, StartTls), Callbacks.grant),
            Rset: Callbacks.grant if self.reset is None else Callbacks.reset,
            Data: Callbacks.refuse_data,
            Chunk: Callbacks.write,
            EndOfMessage: Callbacks.finish,
            MessageAborted: Callbacks.end_aborted,
            CommandRejected: _ignore if self.rejected is None else Callbacks.tell_rejected,
            Credentials: Callbacks.check_credentials,
            SecretRequest: Callbacks.look_up_secret,
            InputDiscarded: Callbacks.log_discarded,
        }
        if self.served_domains is not None:
            self.reactions[Rcpt] = Callbacks.decide_on_recipient
        if self.begin_message is not None:
            self.reactions[Data] = Callbacks.begin_message
        elif self.store is not None:
            self.reactions[Data] = Callbacks.begin_spool

    def reaction_to(self, kind: type[Event]) -> Reaction:
        """The reaction to a class of events of an extension, which ``reactions`` has afterwards."""
        self.reactions[kind] = reaction = self.reactions[Command] if issubclass(kind, Command) else _ignore
        return reaction


def _ask(method: Callable[..., Any] | None, arguments_of: Callable[[Any], tuple[Any, ...]]) -> Reaction:
    """Return the reaction that lets a method decide.

    Args:
        method: A method of a handler; None: the default, which is to grant.
        arguments_of: Gives the arguments of the method besides the session.
    """
    if method is None:
        return Callbacks.grant

    def react(callbacks: Callbacks, event: Event) -> Awaitable[None] | None:
        return callbacks.call(method, (callbacks.session, *arguments_of(event)), callbacks.answer, event)

    return react


def _ignore(callbacks: Callbacks, event: Event) -> None:
    """The reaction to an event that the handler has no method for, and that needs no answer."""


class Callbacks:
    """Runs a session for a handler. Its methods, up to ``call()``, are reactions."""

    def __init__(self, table: Table, session: ServerSession) -> None:
        self.session = session
        self._table = table
        self._sink: Any = None
        self._failure: Reply | None = None  # of the sink
        self._tls_due = table.tls is not None

    async def run(self) -> None:
        """Run the session to its end."""
        try:
            await self.session._run(self._work, self._work())
        finally:
            if (aborting := self._abort_sink()) is not None:
                await aborting
            if self._table.disconnected is not None:
                if (telling := self._tell(self._table.disconnected, self.session)) is not None:
                    await telling

    def _work(self, arrival: Arrival | None = None) -> Due:
        """React to events until it is the client's turn, something has to be awaited, or the session ends."""
        session, reactions = self.session, self._table.reactions
        if arrival is not None:
            session._take(arrival)
        if self._tls_due and session.tls is not None:
            self._tls_due = False
            if (telling := self._tell(self._table.tls, session, session.tls)) is not None:
                return telling
        while True:
            event = session._advance()
            reaction = reactions.get(event.__class__)
            if reaction is None:
                if not isinstance(event, Event) or event.__class__ is ConnectionClosed:
                    return event
                reaction = self._table.reaction_to(event.__class__)
            if (due := reaction(self, event)) is not None:
                return due

    # -- commands --

    def grant(self, event: Event) -> None:
        self.session.connection.accept()

    def reset(self, event: Rset) -> Awaitable[None] | None:
        return self.call(self._table.reset, (self.session,), self._grant_anyway, event)

    def _grant_anyway(self, event: Event, method: Callable[..., Any], result: Any) -> None:
        self.session.accept()

    def decide_on_recipient(self, event: Rcpt) -> Awaitable[None] | None:
        """Decide with ``served_domains``."""
        served, method, path = self._table.served_domains, self._table.recipient, event.forward_path
        assert served is not None
        foreign = path.domain.lower() not in served and not (path.is_postmaster and not path.domain)
        if not foreign and (method is None or path.is_postmaster):  # RFC 5321 4.5.1
            self.session.accept()
        elif method is None:
            self.session.send(RELAY_DENIED)
        else:
            conclude = self._answer_foreign if foreign else self.answer
            return self.call(method, (self.session, path, event.parameters), conclude, event)
        return None

    def _answer_foreign(self, event: Rcpt, method: Callable[..., Any], result: Any) -> None:
        self.answer(event, method, RELAY_DENIED if result is False else result)

    def tell_rejected(self, event: CommandRejected) -> Awaitable[None] | None:
        return self._tell(self._table.rejected, self.session, event)

    def log_discarded(self, event: InputDiscarded) -> None:
        logger.warning(_DISCARDED, peer_in_words(self.session.peername), len(event.data))

    # -- authentication --

    def check_credentials(self, event: Credentials) -> Awaitable[None] | None:
        if self._table.credentials is None:
            self.session.send(_BAD_CREDENTIALS)
            return None
        return self.call(self._table.credentials, (self.session, event), self._answer_credentials, event)

    def _answer_credentials(self, event: Credentials, method: Callable[..., Any], result: Any) -> None:
        decision = self._decision(method, result)
        if decision is True:
            self.session.accept()
        elif isinstance(decision, Reply) and decision not in (_UNDECIDED, _NO_ROOM):
            if not self._send(method, decision):
                self.session.send(_AUTH_UNDECIDED)
        else:
            self.session.send(_BAD_CREDENTIALS if decision is False else _AUTH_UNDECIDED)

    def look_up_secret(self, event: SecretRequest) -> Awaitable[None] | None:
        if self._table.secret is None:
            self.session.supply_secret(None)
            return None
        return self.call(self._table.secret, (self.session, event), self._supply_secret, event)

    def _supply_secret(self, event: SecretRequest, method: Callable[..., Any], result: Any) -> None:
        if isinstance(result, Reply):
            self.session.send(_AUTH_UNDECIDED)
            return
        try:
            self.session.supply_secret(result)
        except LocalProtocolError:
            if self.session.unanswered is None:  # the session was ended from outside
                raise
            self._complain(method, result, f"a secret that {event.mechanism} can use, or None")
            self.session.send(_AUTH_UNDECIDED)

    # -- content --

    def refuse_data(self, event: Data) -> None:
        self.session.send(_NO_STORE)

    def begin_spool(self, event: Data) -> None:
        self._begin(Spool(self._table.store, self.session, self._envelope))

    def begin_message(self, event: Data) -> Awaitable[None] | None:
        method = self._table.begin_message
        return self.call(method, (self.session, self._envelope), self._begin_with, event)

    def _begin_with(self, event: Data, method: Callable[..., Any], result: Any) -> None:
        if _is_sink(result):
            self._begin(sink_in_worker(self.session, result))
        elif result is False or (isinstance(result, Reply) and not result.is_intermediate):
            self._answer(event, method, result)
        else:  # 354 needs a sink as well: the content has to go somewhere
            self._complain(method, result, _SINK_OR_REFUSAL)
            self._answer(event, method, None)

    def _begin(self, sink: Any) -> None:
        self._failure = None
        self._sink = sink
        self.session.accept()

    @property
    def _envelope(self) -> Envelope:
        envelope = self.session.connection.envelope
        assert envelope is not None
        return envelope

    def write(self, event: Chunk) -> Awaitable[None] | None:
        if self._failure is not None:
            return None
        return self.call(self._sink.write, (event.data,), self._note_failure, event)

    def _note_failure(self, event: Chunk, method: Callable[..., Any], result: Any) -> None:
        if result is _UNDECIDED or result is _NO_ROOM:
            self._failure = result

    def finish(self, event: EndOfMessage) -> Awaitable[None] | None:
        if self._failure is not None:
            return self._end_message(event, self._sink.finish, self._failure)
        return self.call(self._sink.finish, (), self._end_message, event)

    def _end_message(
        self, event: EndOfMessage, method: Callable[..., Any], result: Any
    ) -> Awaitable[None] | None:
        decision = True if result is True else self._decision(method, result)
        sink = self._sink
        if decision is not None and decision is not _UNDECIDED and decision is not _NO_ROOM:
            self._sink = None  # it has decided, and is not aborted
        if not self._answer(event, method, decision):
            self._sink = sink
        return None if self._sink is None else self._abort_sink()

    def end_aborted(self, event: MessageAborted) -> Awaitable[None] | None:
        why = "the connection ended within its content" if event.reply is None else event.reply
        logger.info(_ABORTED, peer_in_words(self.session.peername), why)
        return self._abort_sink()

    def _abort_sink(self) -> Awaitable[None] | None:
        sink, self._sink = self._sink, None
        return None if sink is None else self._tell(sink.abort)

    # -- calling --

    def call(
        self, method: Callable[..., Any], arguments: tuple[Any, ...], conclude: Conclusion, event: Any
    ) -> Awaitable[None] | None:
        """Call a method of the handler, and conclude from what it returns: a Reply if it fails.

        Returns:
            None if that is done, else what has to be awaited.
        """
        try:
            result = method(*arguments)
        except Exception as error:
            result = self._told(error, method)
        if result.__class__ not in _PLAIN and is_awaitable(result):
            return self._conclude_later(result, method, conclude, event)
        return conclude(event, method, result)

    async def _conclude_later(
        self, awaitable: Awaitable[Any], method: Callable[..., Any], conclude: Conclusion, event: Any
    ) -> None:
        try:
            result = await awaitable
        except Exception as error:
            result = self._told(error, method)
        if (due := conclude(event, method, result)) is not None:
            await due

    def _tell(self, method: Callable[..., Any], *arguments: object) -> Awaitable[None] | None:
        """Call a method whose result does not matter."""
        return self.call(method, arguments, lambda *_: None, None)

    def answer(self, event: Event, method: Callable[..., Any], result: Any) -> None:
        """Conclude with the reply to a command."""
        if result is True:  # nearly always
            self.session.accept()
        else:
            self._answer(event, method, self._decision(method, result))

    def _answer(self, event: Event, method: Callable[..., Any], decision: Decision) -> bool:
        """Answer an event; return False if 451 was sent in place of a reply that the event cannot have."""
        undecided = _NOT_NOW if event.__class__ is Connect else _UNDECIDED
        if decision is True:
            self.session.accept()
        elif decision is None or (undecided is _NOT_NOW and decision in (_UNDECIDED, _NO_ROOM)):
            self.session.send(undecided)
        elif decision is False:
            self.session.send(_REFUSALS.get(event.__class__, _COMMAND_REFUSED))
        elif not self._send(method, decision):
            self.session.send(undecided)
            return False
        return True

    def _send(self, method: Callable[..., Any], reply: Reply) -> bool:
        """Send the reply that a method has returned; return False, and log it, if the core refuses it."""
        try:
            self.session.send(reply)
        except LocalProtocolError as error:
            if self.session.unanswered is None:  # the session was ended from outside
                raise
            logger.error(_NOT_SENT, _name(method), error)
            return False
        return True

    def _decision(self, method: Callable[..., Any], result: Any) -> Decision:
        """What a method has decided; None if it has not."""
        if isinstance(result, (bool, Reply)):
            return result
        self._complain(method, result)
        return None

    def _complain(
        self, method: Callable[..., Any], decision: object, expected: str = "True, False or a Reply"
    ) -> None:
        kind = type(decision).__name__  # the object itself may be a secret
        logger.error(_RETURNED, _name(method), expected, kind)

    def _told(self, error: Exception, method: Callable[..., Any]) -> Reply:
        where = _name(method), peer_in_words(self.session.peername)
        if isinstance(error, OSError):  # a full disk is not a bug: one line for each message
            logger.error("%s failed in a session with %s: %s", *where, error)
        else:
            logger.error("%s failed in a session with %s", *where, exc_info=error)
        no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _NO_ROOM if no_room else _UNDECIDED


def _is_sink(value: object) -> bool:
    write, finish = getattr(value, "write", None), getattr(value, "finish", None)
    return callable(write) and callable(finish) and callable(getattr(value, "abort", None))


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Tell what ``inspect.isawaitable()`` tells, in a fifth of the time."""
    return hasattr(value.__class__, "__await__") or (
        isinstance(value, GeneratorType) and inspect.isawaitable(value)
    )


async def result_of(value: Any) -> Any:
    return await value if is_awaitable(value) else value


def _name(method: Callable[..., Any]) -> str:
    spool = getattr(method, "__self__", None)
    return name_of(spool.store if isinstance(spool, Spool) else method)  # applications do not know Spool
