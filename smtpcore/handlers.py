"""Handlers: the application's decisions, as methods that ``serve()`` calls.

Inherit from :class:`Handler` and override the methods that the server needs. An object of another class works
as well: a method that is absent has the default of :class:`Handler`. The defaults are what RFC 5321 prescribes
for success, with one exception, which is deliberate: **mail is accepted by an explicit yes and by nothing
else**. Without ``store``, or with a ``store`` that returns None, fails or never returns, there is no 250. The
other methods decide by the same rule: an overridden method that lacks a ``return`` refuses.

A method may be plain or ``async``. A decision is one of these values:

* True: accepted, with the usual reply;
* False: refused, with the usual reply for that command;
* a ``Reply``: exactly this reply;
* None, an exception, or a ``Reply`` that the command cannot have (354 to RCPT): 451, and a line in the log
  ("smtpcore"), because the handler has not decided and the client should try again later. If the exception says
  that there is no room on the disk, the reply is 452.

**Content** is delivered in one of two ways. ``store()`` gets it whole, as a file that is in memory while it is
small and on disk otherwise. ``begin_message()`` returns a sink, which gets the pieces as they arrive. A session
has at most one message at a time, and each message ends: with ``finish()`` if it is complete, otherwise with
``abort()``.

**Waiting for a disk.** On asyncio and trio a plain method that waits holds up every session. Mark it with
:func:`blocking`, and it runs in a worker thread, several sessions at a time.

``serve()`` raises TypeError for an object that cannot be a handler: none of the methods, a class instead of an
object, a method that takes the wrong arguments, or a public method whose name is nearly one of these, since a
misspelt ``accept_recipient`` would accept mail for every recipient.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeVar

from ._core.replies import Reply
from ._net.workers import mark_as_blocking

if TYPE_CHECKING:
    from ._core.addresses import ForwardPath, ReversePath
    from ._core.events import Command, CommandRejected, Ehlo, Envelope, Helo
    from ._core.limits import TlsInfo
    from ._core.parameters import Parameters
    from ._net.session import ServerSession
    from .sasl import Credentials, SecretRequest, StoredSecret

__all__ = ["RELAY_DENIED", "Handler", "MessageSink", "blocking"]

_Decision = bool | Reply | None
_MaybeAsync = _Decision | Awaitable[_Decision]

RELAY_DENIED: Final = Reply(550, "5.7.1", "relaying denied")
"""Refuses a recipient for whose domain this server does not accept mail (RFC 5321 3.6.2, 7.9)."""

_NO_STORE: Final = Reply(451, "4.3.5", "this server is not set up to store mail")
_NOT_HANDLED: Final = Reply(451, "4.3.5", "this server is not set up for this command")


_Method = TypeVar("_Method", bound=Callable[..., Any])


def blocking(method: _Method) -> _Method:
    """Mark a method of a :class:`Handler` or of a :class:`MessageSink` that waits, for a disk for instance.

    ::

        class Inbox(Handler):
            @blocking
            def store(self, session, envelope, content):
                save_and_sync(content)
                return True

    On asyncio and trio the method runs in a worker thread, and other sessions go on meanwhile: their methods
    may run at the same time. The session itself waits for the method, so the reply is sent after it has
    returned. If the session is cancelled, it waits for the method too, and then discards the message with
    ``abort()``. asyncio uses the default executor of its event loop (``loop.set_default_executor()``), trio
    its default limiter of threads. On blocking sockets, where each session has a thread, the mark has no
    effect. A call of the method in other places is an ordinary call.

    Args:
        method: A plain method. It must not call methods of the session that answer the client.

    Returns:
        The method.

    Raises:
        TypeError: The method is ``async``: it awaits what it waits for.
    """
    if inspect.iscoroutinefunction(method):
        raise TypeError(f"a method that blocks is plain, not async: {method.__qualname__}")
    mark_as_blocking(method)
    return method


class MessageSink(Protocol):
    """Receives the content of one message in pieces.

    ``begin_message()`` returns one for each message. An object that lacks a method is not a sink: DATA is
    answered 451. Each method may be plain or ``async``.
    """

    def write(self, data: bytes, /) -> object:
        """Store the next piece of the content.

        Args:
            data: At least one octet; lines end in CRLF, and the dots of RFC 5321 4.5.2 are removed.

        Raises:
            Exception: The message is refused at its end with 451, or 452 if there is no room; no more pieces
                are written.
        """

    def finish(self) -> _MaybeAsync:
        """Make the complete message safe, and decide.

        Returns:
            True: the server answers 250 and has the responsibility for the message (RFC 5321 6.1). False or a
            ``Reply`` refuses it.
        """

    def abort(self) -> object:
        """Discard the message: it is incomplete, or ``write()`` or ``finish()`` failed."""


class Handler:
    """The base class of handlers: each method has its documented default.

    ::

        class Inbox(Handler):
            served_domains = ("example.org",)

            def accept_recipient(self, session, forward_path, parameters):
                return forward_path.local_part in ("joe", "ann")

            def store(self, session, envelope, content):
                save(content.read())
                return True

        with serve(Inbox(), port=2525) as server:
            server.serve_forever()

    All methods get the session first. On blocking sockets they run in the threads of the sessions, several at a
    time.

    Attributes:
        served_domains: The domains for which this server accepts mail; None: not declared, so that
            ``accept_recipient`` alone decides. ``serve()`` reads it once. If it is set,

            * ``<Postmaster>`` and the postmaster of a served domain are accepted, in any letter case, without a
              call of ``accept_recipient`` (RFC 5321 4.5.1);
            * a recipient of another domain is refused with :data:`RELAY_DENIED` if ``accept_recipient`` is
              absent, or returns False. If it returns True, for instance for a client that has authenticated,
              the recipient is accepted.
    """

    served_domains: Collection[str] | None = None

    def accept_connection(self, session: ServerSession) -> _MaybeAsync:
        """Decide on a client that has connected, before the greeting.

        Args:
            session: The session; ``session.early_input`` says whether the client has sent octets already.

        Returns:
            A decision. Default: True, 220. False is 554. None is 421.
        """
        return True

    def accept_hello(self, session: ServerSession, hello: Ehlo | Helo) -> _MaybeAsync:
        """Decide on EHLO or HELO.

        Args:
            session: The session.
            hello: The command; ``hello.domain`` is its argument.

        Returns:
            A decision. Default: True, 250. False is 550.
        """
        return True

    def accept_sender(
        self, session: ServerSession, reverse_path: ReversePath, parameters: Parameters
    ) -> _MaybeAsync:
        """Decide on MAIL.

        Args:
            session: The session.
            reverse_path: The sender; the null reverse-path in a bounce.
            parameters: The parameters of MAIL, such as SIZE.

        Returns:
            A decision. Default: True, 250. False is 550 5.7.1.
        """
        return True

    def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Parameters
    ) -> _MaybeAsync:
        """Decide on RCPT.

        Args:
            session: The session; ``session.envelope`` has what was accepted so far.
            forward_path: The recipient. The postmaster of a served domain is not asked about.
            parameters: The parameters of RCPT.

        Returns:
            A decision. Default: True, 250; with ``served_domains`` True for these and :data:`RELAY_DENIED` for
            others. False is 550 5.1.1, or :data:`RELAY_DENIED` outside ``served_domains``.
        """
        return True

    def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> _MaybeAsync:
        """Store a complete message.

        Args:
            session: The session.
            envelope: The sender and the recipients.
            content: A binary file at its beginning; it is closed afterwards.

        Returns:
            A decision. True: the server answers 250 and has the responsibility for the message (RFC 5321 6.1).
            False is 554 5.6.0. Default: DATA is refused with 451, because the server cannot store mail.
        """
        return _NO_STORE

    def begin_message(
        self, session: ServerSession, envelope: Envelope
    ) -> MessageSink | _Decision | Awaitable[MessageSink | _Decision]:
        """Decide on DATA, and receive the content in pieces; replaces ``store``.

        Args:
            session: The session.
            envelope: The sender and the recipients.

        Returns:
            A :class:`MessageSink`: DATA is answered 354. False is 451; a ``Reply`` refuses DATA. Default:
            ``store`` gets the message.
        """
        return _NO_STORE

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> _MaybeAsync:
        """Decide on a user name and a password (AUTH PLAIN, LOGIN).

        Args:
            session: The session.
            credentials: See ``credentials.matches()``, which compares in constant time.

        Returns:
            A decision. True is 235. Default: False, 535. None is 454.
        """
        return False

    def lookup_secret(
        self, session: ServerSession, request: SecretRequest
    ) -> str | StoredSecret | Awaitable[str | StoredSecret | None] | None:
        """Return what is stored for a user, for mechanisms that do not send the password.

        Args:
            session: The session.
            request: The user and the mechanism.

        Returns:
            The password, or its stored form; None for an unknown user, which the client cannot tell from a
            wrong password. Default: None.
        """
        return None

    def verify_address(self, session: ServerSession, argument: str) -> _MaybeAsync:
        """Decide on VRFY.

        Args:
            session: The session.
            argument: The user name or the mailbox.

        Returns:
            A decision; a ``Reply`` with code 250 names the mailbox. Default: True, 252 (RFC 5321 7.3). False is
            550.
        """
        return True

    def expand_list(self, session: ServerSession, argument: str) -> _MaybeAsync:
        """Decide on EXPN, if the configuration offers it.

        Args:
            session: The session.
            argument: The name of the mailing list.

        Returns:
            A decision; a ``Reply`` with code 250 lists the members. Default: True, 252. False is 550.
        """
        return True

    def on_command(self, session: ServerSession, command: Command) -> _MaybeAsync:
        """Decide on a command of an extension that the configuration adds.

        Args:
            session: The session.
            command: An instance of the event class of the ``CommandSpec``.

        Returns:
            A decision. True is the default reply of the ``CommandSpec``, False is 550 5.7.1. Default: True if
            the ``CommandSpec`` says that its default reply suits without an application (``unattended``),
            otherwise 451 4.3.5.
        """
        spec = session.connection.command_spec(type(command))
        return True if spec is None or spec.unattended else _NOT_HANDLED

    def on_rejected(self, session: ServerSession, event: CommandRejected) -> object:
        """React to a line that the server has refused by itself: invalid, unknown, or out of sequence.

        Args:
            session: The session.
            event: The line and the reply, which is already decided.

        Returns:
            Ignored, as for every ``on_`` method but ``on_command``; an exception is logged.
        """
        return None

    def on_reset(self, session: ServerSession) -> object:
        """React to RSET, before its 250; ``session.envelope`` is what is discarded, or None."""
        return None

    def on_tls(self, session: ServerSession, info: TlsInfo) -> object:
        """React to a completed TLS handshake, before the next command is answered.

        Args:
            session: The session.
            info: The facts of TLS; ``info.server_hostname`` is the name that the client asked for (SNI).
        """
        return None

    def on_disconnect(self, session: ServerSession) -> object:
        """React to the end of the session, for any reason; called once for each session."""
        return None
