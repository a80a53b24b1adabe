"""Handlers with callbacks: the small way to write a server.

An object with some of the methods of :class:`Handler` is enough; ``serve()`` takes it. What it leaves out is
done as RFC 5321 prescribes for success, with one exception that is the point of the whole thing: **mail is
accepted by an explicit yes and by nothing else**. No ``store``: no 250. A ``store`` that returns None, fails,
or never returns: no 250. The other methods decide in the same way; where there is one, a forgotten ``return``
refuses.

A method may be plain or ``async``; it is awaited if what it returns can be. Its answer is

* True: granted, with the usual reply;
* False: refused, with the usual reply for that;
* a ``Reply``: exactly this;
* None, or an exception: 451, and a line in the log ("smtpcore"): the handler has not made up its mind, so the
  client should come again. Running out of space is 452.

**Content** has two ways. ``store()`` gets it whole, as a file that is in memory while it is small and on disk
otherwise; so a handler that only wants the message need not know how it came. ``begin_message()`` is for those
who want the pieces as they arrive: it returns a sink. Both get one message per session at a time, and the end
always comes: ``finish()`` if the message is whole, ``abort()`` if not.
"""

from __future__ import annotations

import errno
import inspect
import logging
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, BinaryIO, Final, Protocol, cast

from ._core.addresses import ForwardPath, ReversePath
from ._core.events import (
    Chunk,
    Command,
    CommandRejected,
    Connect,
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
from ._core.parameters import Parameters
from ._core.replies import Reply
from ._core.state import State
from ._net.client import IN_MEMORY, Stream
from ._net.session import ServerOptions, ServerSession, serve_one
from .extensions.auth import Auth
from .extensions.expn import Expn
from .extensions.help import Help
from .extensions.starttls import StartTls
from .sasl import Credentials, SecretRequest, StoredSecret

logger = logging.getLogger("smtpcore")

Decision = bool | Reply | None
MaybeAsync = Decision | Awaitable[Decision]

_UNDECIDED: Final = Reply(451, "4.3.0", "local error in processing")
_NOT_NOW: Final = Reply(421, "4.3.0", "local error in processing")  # the same for a connection
_NO_ROOM: Final = Reply(452, "4.3.1", "not enough storage")
_REFUSALS: Final[dict[type[Event], Reply]] = {
    Connect: Reply(554, None, "you are not welcome here"),  # the opening has no status (RFC 2034 3)
    Mail: Reply(550, "5.7.1", "sender not accepted"),
    Rcpt: Reply(550, "5.1.1", "no such mailbox here"),
    Data: Reply(451, "4.3.0", "no message can be taken now"),
    EndOfMessage: Reply(554, "5.6.0", "message refused"),
    Vrfy: Reply(550, "5.1.1", "no such mailbox here"),
    Expn: Reply(550, "5.1.1", "no such mailing list here"),
}
_BAD_CREDENTIALS: Final = Reply(535, "5.7.8", "credentials not accepted")
_AUTH_UNDECIDED: Final = Reply(454, "4.7.0", "temporary authentication failure")
_NOT_PERMITTED: Final = Reply(550, "5.7.1", "command not permitted")
_NO_STORE: Final = Reply(451, "4.3.5", "this server is not set up to store mail")
_LEFT_EARLY: Final = Reply(421, "4.3.0", "local error in processing")

# Lines of the log. The octets themselves may hold a password.
_DISCARDED: Final = (
    "%s sent %d octets in plaintext after STARTTLS, which were discarded (RFC 3207 4.2): this may be an attack"
)
_ABORTED: Final = "a message from %s is not stored: %s"
_RETURNED: Final = "%s has to return %s, and has returned %s"
_GENERATOR: Final = "%s is a generator function, so no line of it was run: a handler has no yield"
_RETURNED_EARLY: Final = "%s has returned before the end of the session with %s: the client gets %s"

_SINK_OR_REFUSAL: Final = "a sink with write(), finish() and abort(), False or a Reply"
_SINK_METHODS: Final = ("write", "finish", "abort")

# What on_command() does not get: these have methods of their own, or need no decision.
_BASE_COMMANDS: Final = frozenset(
    {Auth, Data, Ehlo, Expn, Helo, Help, Mail, Noop, Quit, Rcpt, Rset, StartTls, Vrfy}
)


class MessageSink(Protocol):
    """Takes the content of one message, piece by piece. If a method is missing, DATA is answered 451."""

    def write(self, data: bytes, /) -> object:
        """Take the next piece. If this fails, the message is refused at its end."""

    def finish(self) -> MaybeAsync:
        """The message is whole: make it safe, and say so. True is answered 250 (RFC 5321 6.1)."""

    def abort(self) -> object:
        """The message is void; also called if ``write()`` or ``finish()`` failed."""


class Handler(Protocol):
    """What ``serve()`` calls, as far as it is there. This class is documentation: do not inherit."""

    def connect(self, session: ServerSession) -> MaybeAsync:
        """A client has connected."""

    def accept_sender(
        self, session: ServerSession, reverse_path: ReversePath, parameters: Parameters
    ) -> MaybeAsync:
        """MAIL."""

    def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Parameters
    ) -> MaybeAsync:
        """RCPT."""

    def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> MaybeAsync:
        """A message is here, whole. Make it safe, and say so."""

    def begin_message(
        self, session: ServerSession, envelope: Envelope
    ) -> MessageSink | Decision | Awaitable[MessageSink | Decision]:
        """In place of ``store``: a message begins. False or a Reply refuses DATA."""

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> MaybeAsync:
        """Somebody logs in with a password: see ``Credentials.matches()``."""

    def stored_secret(
        self, session: ServerSession, request: SecretRequest
    ) -> str | StoredSecret | Awaitable[str | StoredSecret | None] | None:
        """What is on record for a user, for mechanisms in which the password does not travel."""

    def verify(self, session: ServerSession, argument: str) -> MaybeAsync:
        """VRFY."""

    def expand(self, session: ServerSession, argument: str) -> MaybeAsync:
        """EXPN."""

    def on_command(self, session: ServerSession, command: Command) -> MaybeAsync:
        """A command of an extension that the configuration adds. True: the default reply of its spec."""

    def command_rejected(self, session: ServerSession, event: CommandRejected) -> object:
        """What the client said is no command, or not now, and has been answered. To log, say."""

    def disconnected(self, session: ServerSession) -> object:
        """The session is over, however it ended."""


class _Spool:
    """The sink behind ``store()``."""

    def __init__(self, store: Callable[..., Any], session: ServerSession, envelope: Envelope) -> None:
        self.store = store
        self._arguments = session, envelope
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)
        self.write = self._file.write

    async def finish(self) -> Decision:
        self._file.seek(0)
        try:
            return cast(Decision, await _result_of(self.store(*self._arguments, cast(BinaryIO, self._file))))
        finally:
            self._file.close()

    def abort(self) -> None:
        self._file.close()


async def _result_of(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Callbacks:
    """Runs a session for a handler."""

    def __init__(self, handler: object, session: ServerSession) -> None:
        self._session = session
        self._sink: Any = None
        self._failure: Reply | None = None  # of the sink

        def get(name: str) -> Any:
            return getattr(handler, name, None)

        self._begin_message = get("begin_message")
        self._store = get("store")
        self._credentials = get("check_credentials")
        self._secret = get("stored_secret")
        self._command = get("on_command")
        self._rejected = get("command_rejected")
        self._disconnected = get("disconnected")
        # With what each gets besides the session.
        self._methods: dict[type[Event], tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]] = {}
        if connect := get("connect"):
            self._methods[Connect] = connect, lambda event: ()
        if sender := get("accept_sender"):
            self._methods[Mail] = sender, lambda event: (event.reverse_path, event.parameters)
        if recipient := get("accept_recipient"):
            self._methods[Rcpt] = recipient, lambda event: (event.forward_path, event.parameters)
        if verify := get("verify"):
            self._methods[Vrfy] = verify, lambda event: (event.argument,)
        if expand := get("expand"):
            self._methods[Expn] = expand, lambda event: (event.argument,)

    async def run(self) -> None:
        """Run the session to its end."""
        session = self._session
        try:
            while (event := await session.next_event()) is not None:
                kind = event.__class__
                if kind is Chunk:
                    await self._write(cast(Chunk, event).data)
                elif kind is EndOfMessage:
                    self._answer(event, await self._finish())
                elif kind is MessageAborted:
                    self._log_aborted(cast(MessageAborted, event))
                    await self._abort()
                elif kind is Data:
                    await self._begin()
                elif isinstance(event, CommandRejected):
                    if self._rejected is not None:
                        await self._call(self._rejected, session, event)
                elif isinstance(event, Credentials):
                    await self._check(event)
                elif isinstance(event, SecretRequest):
                    await self._supply(event)
                elif isinstance(event, InputDiscarded):
                    logger.warning(_DISCARDED, session.peername, len(event.data))
                elif session.unanswered:
                    decision: Decision = True
                    if self._command is not None and isinstance(event, Command) and kind not in _BASE_COMMANDS:
                        decision = await self._decide(self._command, session, event)
                    elif kind in self._methods:
                        method, arguments_of = self._methods[kind]
                        decision = await self._decide(method, session, *arguments_of(event))
                    self._answer(event, decision)
        finally:
            await self._abort()
            if self._disconnected is not None:
                await self._call(self._disconnected, session)

    def _answer(self, event: Event, decision: Decision) -> None:
        if decision is True:
            self._session.accept()
        elif event.__class__ is Connect and decision in (None, _UNDECIDED, _NO_ROOM):
            self._session.send(_NOT_NOW)
        elif isinstance(decision, Reply):
            self._session.send(decision)
        else:
            self._session.send(
                _UNDECIDED if decision is None else _REFUSALS.get(event.__class__, _NOT_PERMITTED)
            )

    async def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        """What a method returns; a Reply if it fails."""
        try:
            return await _result_of(method(*arguments))
        except Exception as error:
            return self._told(error, method)

    async def _decide(self, method: Callable[..., Any], *arguments: object) -> Any:
        """The same for one that has to make up its mind; None if it has not."""
        decision = await self._call(method, *arguments)
        if not isinstance(decision, (bool, Reply)):
            self._complain(method, decision)
            return None
        return decision

    def _complain(
        self, method: Callable[..., Any], decision: object, expected: str = "True, False or a Reply"
    ) -> None:
        kind = type(decision).__name__  # the object itself may be a secret
        logger.error(_RETURNED, _name(method), expected, kind)

    def _log_aborted(self, event: MessageAborted) -> None:
        why = "the connection ended within its content" if event.reply is None else event.reply
        logger.info(_ABORTED, self._session.peername, why)

    def _told(self, error: Exception, method: Callable[..., Any]) -> Reply:
        where = _name(method), self._session.peername
        if isinstance(error, OSError):  # a full disk is no bug, and a traceback for each message no news
            logger.error("%s failed in a session with %s: %s", *where, error)
        else:
            logger.error("%s failed in a session with %s", *where, exc_info=error)
        no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _NO_ROOM if no_room else _UNDECIDED

    async def _check(self, credentials: Credentials) -> None:
        decision: Decision = False
        if self._credentials is not None:
            decision = await self._decide(self._credentials, self._session, credentials)
        if decision is True:
            self._session.accept()
        elif isinstance(decision, Reply) and decision not in (_UNDECIDED, _NO_ROOM):
            self._session.send(decision)
        else:
            self._session.send(_BAD_CREDENTIALS if decision is False else _AUTH_UNDECIDED)

    async def _supply(self, request: SecretRequest) -> None:
        secret = None if self._secret is None else await self._call(self._secret, self._session, request)
        if isinstance(secret, Reply):
            self._session.send(_AUTH_UNDECIDED)
        else:
            self._session.supply(secret)

    async def _begin(self) -> None:
        session = self._session
        envelope = session.connection.envelope
        assert envelope is not None
        self._failure = None
        if self._begin_message is not None:
            decision = await self._call(self._begin_message, session, envelope)
            if decision is not False and not isinstance(decision, Reply) and not _is_sink(decision):
                self._complain(self._begin_message, decision, _SINK_OR_REFUSAL)
                decision = None
            if decision is None or isinstance(decision, (bool, Reply)):
                self._answer(Data(), decision)
                return
            self._sink = decision
        elif self._store is not None:
            self._sink = _Spool(self._store, session, envelope)
        else:
            session.send(_NO_STORE)
            return
        session.accept()

    async def _write(self, data: bytes) -> None:
        if self._failure is None:
            try:
                await _result_of(self._sink.write(data))
            except Exception as error:
                self._failure = self._told(error, self._sink.write)

    async def _finish(self) -> Decision:
        decision: Decision = self._failure or await self._decide(self._sink.finish)
        if decision is None or decision is _UNDECIDED or decision is _NO_ROOM:
            await self._abort()
        self._sink = None
        return decision

    async def _abort(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            await self._call(sink.abort)


def _is_sink(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in _SINK_METHODS)


def _name(method: Callable[..., Any]) -> str:
    spool = getattr(method, "__self__", None)
    if isinstance(spool, _Spool):  # applications do not know this class
        method = spool.store
    return getattr(method, "__qualname__", repr(method))


def session_runner(
    handler: object, options: ServerOptions, make_session: Callable[[Stream, ServerOptions], ServerSession]
) -> Callable[[Stream], Coroutine[Any, Any, None]]:
    """What to do with a connection that was accepted. For adapters.

    Args:
        handler: A function that is called with the session, or an object with callbacks.
        options: The rest of the server.
        make_session: The adapter's class of sessions.

    Raises:
        TypeError: The handler is a class, where an object of it is meant.
    """
    if isinstance(handler, type):
        raise TypeError(
            f"a handler is a function or an object: not {handler.__name__}, but {handler.__name__}()"
        )

    async def run(stream: Stream) -> None:
        await serve_one(stream, make_session, handle, options)

    async def handle(session: ServerSession) -> None:
        if callable(handler):
            await _run_function(handler, session)
        else:
            await Callbacks(handler, session).run()

    return run


async def _run_function(handler: Callable[[ServerSession], Any], session: ServerSession) -> None:
    """Run a session for a function that takes the events itself.

    A function that returns before the session has ended leaves a client without its reply. That is an error of
    the server (RFC 5321 3.8: 421), and is logged.
    """
    result = handler(session)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        logger.error(_GENERATOR, _name(handler))
    else:
        await _result_of(result)
        if session.connection.state is not State.CLOSED:
            logger.error(_RETURNED_EARLY, _name(handler), session.peername, _LEFT_EARLY)
    session.connection.close(_LEFT_EARLY)  # of no effect if it is closed already
