"""Run sessions for handlers: what ``serve()`` checks of a handler, and how its decisions become replies.

The methods of a handler are looked up once for all its sessions, in a table; a method that is absent, or
inherited from :class:`~smtpcore.handlers.Handler` as it stands, costs nothing.
"""

from __future__ import annotations

import difflib
import errno
import inspect
import logging
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from .._core.config import ServerConfig
from .._core.events import (
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
from .._core.replies import Reply
from .._core.state import State
from ..extensions.auth import Auth
from ..extensions.expn import Expn
from ..extensions.help import Help
from ..extensions.starttls import StartTls
from ..handlers import RELAY_DENIED, Handler
from ..sasl import Credentials, SecretRequest
from .session import ServerOptions, ServerSession, serve_one
from .sources import IN_MEMORY
from .stream import Stream
from .workers import in_worker, sink_in_worker

if TYPE_CHECKING:
    from ..transcript import Transcript

_NO_STORE: Final = Reply(451, "4.3.5", "this server is not set up to store mail")

logger = logging.getLogger("smtpcore")

Decision = bool | Reply | None

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


# The names of methods that other libraries call, and the methods that have their place here.
_FOREIGN: Final = {
    "handle_HELO": "accept_hello",
    "handle_EHLO": "accept_hello",
    "handle_MAIL": "accept_sender",
    "handle_RCPT": "accept_recipient",
    "handle_DATA": "store",
    "handle_RSET": "on_reset",
    "handle_NOOP": "nothing: the server answers NOOP",
    "handle_QUIT": "on_disconnect",
    "handle_VRFY": "verify_address",
    "handle_AUTH": "check_credentials",
    "handle_STARTTLS": "on_tls",
    "handle_exception": "nothing: exceptions are logged and answered 451",
    "handle_message": "store",
    "process_message": "store",
}
_METHODS: Final = tuple(name for name, value in vars(Handler).items() if inspect.isfunction(value))
_NEARLY: Final = 0.85  # difflib's ratio; accept_recipent has 0.97, restore and store have 0.83


def _check(handler: object) -> None:
    """Raise TypeError for what cannot be a handler."""
    if isinstance(handler, type):
        raise TypeError(
            f"a handler is a function or an object: not {handler.__name__}, but {handler.__name__}()"
        )
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"{_name(handler)} is a generator function: a handler has no yield")
    if inspect.isroutine(handler):
        return
    what = type(handler).__name__ + ("" if _is_object_of_an_application(handler) else f" {handler!r:.80}")
    for name in dir(handler):
        static = inspect.getattr_static(handler, name, None)
        is_method = callable(static) or isinstance(static, (staticmethod, classmethod))
        if name.startswith("_") or name in _METHODS or not is_method:
            continue
        if name in _FOREIGN:
            raise TypeError(
                f"{what}.{name} is a method of another library's handlers: here it is {_FOREIGN[name]}"
            )
        if near := difflib.get_close_matches(name, _METHODS, 1, _NEARLY):
            raise TypeError(
                f"{what}.{name} is never called: did you mean {near[0]}? (a method with another purpose may"
                " begin with an underscore)"
            )
    present = [name for name in _METHODS if getattr(handler, name, None) is not None]
    if callable(handler):
        if present:
            raise TypeError(f"{what} is callable and has {present[0]}: it can be only one kind of handler")
    elif not present:
        raise TypeError(
            f"a handler is a function, or an object with at least one of the methods {', '.join(_METHODS)}: not"
            f" {what}"
        )
    for name in present:
        _check_method(f"{what}.{name}", getattr(handler, name), name)
    domains = getattr(handler, "served_domains", None)
    if domains is not None and (
        isinstance(domains, (str, bytes)) or not all(isinstance(domain, str) for domain in domains)
    ):
        raise TypeError(f"{what}.served_domains is a collection of strings, not {domains!r:.80}")


def _check_method(where: str, method: object, name: str) -> None:
    if not callable(method):
        raise TypeError(f"{where} is a method, not {type(method).__name__} {method!r:.80}")
    parameters = list(inspect.signature(getattr(Handler, name)).parameters)[1:]
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of some built-in functions
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        raise TypeError(f"{where} is called with ({', '.join(parameters)}), but takes {signature}") from None


def _is_object_of_an_application(handler: object) -> bool:
    return type(handler).__module__ != "builtins"


class _Spool:
    """The sink that collects the content for ``store()``."""

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


class Table:
    """The callbacks of a handler, looked up once for all its sessions; None where the default holds."""

    def __init__(self, handler: object) -> None:
        def get(name: str) -> Any:
            method = getattr(handler, name, None)
            inherited = getattr(method, "__func__", None) is getattr(Handler, name)
            return None if inherited or method is None else in_worker(method)

        self.begin_message = get("begin_message")
        self.store = get("store")
        self.credentials = get("check_credentials")
        self.secret = get("lookup_secret")
        self.command = get("on_command")
        self.rejected = get("on_rejected")
        self.reset = get("on_reset")
        self.tls = get("on_tls")
        self.disconnected = get("on_disconnect")
        domains = getattr(handler, "served_domains", None)
        self.served_domains = None if domains is None else frozenset(domain.lower() for domain in domains)
        # With what each gets besides the session.
        self.methods: dict[type[Event], tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]] = {}
        if connection := get("accept_connection"):
            self.methods[Connect] = connection, lambda event: ()
        if hello := get("accept_hello"):
            self.methods[Ehlo] = self.methods[Helo] = hello, lambda event: (event,)
        if sender := get("accept_sender"):
            self.methods[Mail] = sender, lambda event: (event.reverse_path, event.parameters)
        if recipient := get("accept_recipient"):
            self.methods[Rcpt] = recipient, lambda event: (event.forward_path, event.parameters)
        if verify := get("verify_address"):
            self.methods[Vrfy] = verify, lambda event: (event.argument,)
        if expand := get("expand_list"):
            self.methods[Expn] = expand, lambda event: (event.argument,)

    def method_for(
        self, kind: type[Event]
    ) -> tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]] | None:
        """Return the method that decides on an event, and how to get its arguments from the event."""
        if self.command is not None and kind not in _BASE_COMMANDS and issubclass(kind, Command):
            return self.command, lambda event: (event,)
        return self.methods.get(kind)


# What on_command does not get: these have methods of their own, or need no decision.
_BASE_COMMANDS: Final = frozenset(
    {Auth, Data, Ehlo, Expn, Helo, Help, Mail, Noop, Quit, Rcpt, Rset, StartTls, Vrfy}
)


class Callbacks:
    """Runs a session for a handler."""

    def __init__(self, table: Table, session: ServerSession) -> None:
        self._table = table
        self._session = session
        self._sink: Any = None
        self._failure: Reply | None = None  # of the sink
        self._tls_due = table.tls is not None

    async def run(self) -> None:
        """Run the session to its end."""
        session = self._session
        try:
            while (event := await session.next_event()) is not None:
                kind = event.__class__
                if self._tls_due and session.tls is not None:
                    await self._say_tls()
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
                    if self._table.rejected is not None:
                        await self._call(self._table.rejected, session, event)
                elif isinstance(event, Credentials):
                    await self._check(event)
                elif isinstance(event, SecretRequest):
                    await self._supply(event)
                elif isinstance(event, InputDiscarded):
                    logger.warning(_DISCARDED, session.peername, len(event.data))
                elif session.unanswered:
                    if kind is Rset and self._table.reset is not None:
                        await self._call(self._table.reset, session)
                    self._answer(event, await self._decision_on(event))
            if self._tls_due and session.tls is not None:
                await self._say_tls()
        finally:
            await self._abort()
            if self._table.disconnected is not None:
                await self._call(self._table.disconnected, session)

    async def _decision_on(self, event: Event) -> Decision:
        kind = event.__class__
        served = self._table.served_domains
        found = self._table.method_for(kind)
        foreign = False
        if kind is Rcpt and served is not None:
            path = cast(Rcpt, event).forward_path
            foreign = path.domain.lower() not in served and not (path.is_postmaster and not path.domain)
            if path.is_postmaster and not foreign:
                return True  # RFC 5321 4.5.1
            if foreign and found is None:
                return RELAY_DENIED
        if found is None:
            return True
        method, arguments_of = found
        decision: Decision = await self._decide(method, self._session, *arguments_of(event))
        return RELAY_DENIED if foreign and decision is False else decision

    async def _say_tls(self) -> None:
        self._tls_due = False
        await self._call(self._table.tls, self._session, self._session.tls)

    def _answer(self, event: Event, decision: Decision) -> None:
        if decision is True:
            self._session.accept()
        elif event.__class__ is Connect and decision in (None, _UNDECIDED, _NO_ROOM):
            self._session.send(_NOT_NOW)
        elif isinstance(decision, Reply):
            self._session.send(decision)
        else:
            self._session.send(
                _UNDECIDED if decision is None else _REFUSALS.get(event.__class__, _COMMAND_REFUSED)
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
        if isinstance(error, OSError):  # a full disk is not a bug: one line for each message
            logger.error("%s failed in a session with %s: %s", *where, error)
        else:
            logger.error("%s failed in a session with %s", *where, exc_info=error)
        no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _NO_ROOM if no_room else _UNDECIDED

    async def _check(self, credentials: Credentials) -> None:
        decision: Decision = False
        if self._table.credentials is not None:
            decision = await self._decide(self._table.credentials, self._session, credentials)
        if decision is True:
            self._session.accept()
        elif isinstance(decision, Reply) and decision not in (_UNDECIDED, _NO_ROOM):
            self._session.send(decision)
        else:
            self._session.send(_BAD_CREDENTIALS if decision is False else _AUTH_UNDECIDED)

    async def _supply(self, request: SecretRequest) -> None:
        secret = (
            None if self._table.secret is None else await self._call(self._table.secret, self._session, request)
        )
        if isinstance(secret, Reply):
            self._session.send(_AUTH_UNDECIDED)
        else:
            self._session.supply_secret(secret)

    async def _begin(self) -> None:
        session = self._session
        envelope = session.connection.envelope
        assert envelope is not None
        self._failure = None
        if self._table.begin_message is not None:
            decision = await self._call(self._table.begin_message, session, envelope)
            if decision is not False and not isinstance(decision, Reply) and not _is_sink(decision):
                self._complain(self._table.begin_message, decision, _SINK_OR_REFUSAL)
                decision = None
            if decision is None or isinstance(decision, (bool, Reply)):
                self._answer(Data(), decision)
                return
            self._sink = sink_in_worker(session, decision)
        elif self._table.store is not None:
            self._sink = _Spool(self._table.store, session, envelope)
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
    """Return the coroutine function that runs a session on a connection. For adapters.

    Args:
        handler: A function that is called with the session, or an object with callbacks.
        options: The other options of the server.
        make_session: The adapter's class of sessions.

    Raises:
        TypeError: The handler is neither; see :class:`Handler`.
    """
    _check(handler)
    run_function = cast(Callable[[ServerSession], Any], handler) if callable(handler) else None
    table = Table(handler)

    async def run(stream: Stream) -> None:
        await serve_one(stream, make_session, handle, options)

    async def handle(session: ServerSession) -> None:
        if run_function is not None:
            await _run_function(run_function, session)
        else:
            await Callbacks(table, session).run()

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


async def serve_stream(
    stream: Stream,
    handler: object,
    *,
    hostname: str | None = None,
    config: ServerConfig | Callable[[Any], ServerConfig] | None = None,
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    implicit_tls: bool = False,
    transcript: Callable[[], Transcript | None] | None = None,
    greet_pause: float = 0.0,
) -> None:
    """Run one session of a server over a stream, and close the stream.

    Args:
        stream: The connection of a client.
        handler: An object with methods of :class:`smtpcore.handlers.Handler`, or a function that is called with
            the session and loops over its events.
        hostname: The server's name in the greeting; by default this machine's, or the address of the stream.
        config: What the server offers and its limits; or a function of the client's address.
        ssl_context: The certificate, for STARTTLS or ``implicit_tls``; or a function that returns it.
        implicit_tls: TLS begins at once (RFC 8314 3).
        transcript: Called once; returns the recorder of the session, or None.
        greet_pause: Seconds to wait before the greeting for a client that does not wait for it.

    Raises:
        TypeError: The handler cannot be a handler, or an argument has the wrong type.
        LocalProtocolError: A value or a combination of values is not possible.
        Exception: What the handler has raised outside its callbacks; the client got 421.
    """
    options = ServerOptions(hostname, config, ssl_context, implicit_tls, transcript, greet_pause)
    run_session = session_runner(handler, options, ServerSession)
    try:
        await run_session(stream)
    finally:
        await stream.close()
