"""Run sessions for handlers: what ``serve()`` checks of a handler, and how its decisions become replies.

The methods of a handler are looked up once for all its sessions, in a table; a method that is absent, or
inherited from :class:`~smtpcore.handlers.Handler` as it stands, costs nothing.
"""

from __future__ import annotations

import errno
import inspect
import logging
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

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
from ..extensions.auth import Auth
from ..extensions.expn import Expn
from ..extensions.help import Help
from ..extensions.starttls import StartTls
from ..handlers import RELAY_DENIED, Handler
from ..sasl import Credentials, SecretRequest
from .handlercheck import name_of
from .session import ServerSession
from .sources import IN_MEMORY

if TYPE_CHECKING:
    pass

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

_SINK_OR_REFUSAL: Final = "a sink with write(), finish() and abort(), False or a Reply"
_SINK_METHODS: Final = ("write", "finish", "abort")


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
            return cast(Decision, await result_of(self.store(*self._arguments, cast(BinaryIO, self._file))))
        finally:
            self._file.close()

    def abort(self) -> None:
        self._file.close()


async def result_of(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Table:
    """The callbacks of a handler, looked up once for all its sessions; None where the default holds."""

    def __init__(self, handler: object) -> None:
        def get(name: str) -> Any:
            method = getattr(handler, name, None)
            inherited = getattr(method, "__func__", None) is getattr(Handler, name)
            return None if inherited else method

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
            if isinstance(event, Command):
                return cast(Decision, _DEFAULTS.on_command(self._session, event))
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
            return await result_of(method(*arguments))
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
            self._sink = decision
        elif self._table.store is not None:
            self._sink = _Spool(self._table.store, session, envelope)
        else:
            session.send(_NO_STORE)
            return
        session.accept()

    async def _write(self, data: bytes) -> None:
        if self._failure is None:
            try:
                await result_of(self._sink.write(data))
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
    return name_of(spool.store if isinstance(spool, _Spool) else method)  # applications do not know _Spool
