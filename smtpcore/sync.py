"""SMTP on blocking sockets and threads.

:func:`connect` returns a client, :func:`send_message` sends one message, and :func:`serve` starts a server,
which runs each session in a thread of its own. ``docs/adapters.md`` is the guide to them.

**Implementation.** The conversations of smtpcore are coroutines. The stream of this adapter blocks the thread
where the other streams suspend the task, so no coroutine ever suspends, and ``run()`` drives one to its end
with a single ``send()``. A read waits in ``recv()`` with a timeout of the system. A write sends what the system
accepts at once, and waits in one place for the rest.
"""

from __future__ import annotations

import errno
import math
import os
import select
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from ._core.capabilities import Capabilities
from ._core.config import Extension, ServerConfig
from ._core.events import Command
from ._core.limits import Limits, Timeouts, TlsInfo
from ._core.replies import Reply
from ._net import client as _flows
from ._net.basestream import TIMED_OUT, Address
from ._net.connect import connect_client
from ._net.errors import ErrorContext
from ._net.listener import GRACE, MAX_CONNECTIONS, BaseServer, ListenOptions, RunSession, check_listen_arguments
from ._net.options import ConnectOptions, Credentials, Security, is_path, unix_addresses
from ._net.results import SendOutcome, SendResult
from ._net.serveroptions import ServerOptions
from ._net.serving import refusal_of, session_runner
from ._net.sockets import SocketStream, reach
from ._net.sources import Content
from ._net.stream import run
from ._net.tls import READ_SIZE
from ._net.transaction import Recipients, Sender
from .stream import ServerSession as ServerSession

__all__ = ["Client", "Server", "ServerSession", "connect", "send_message", "serve"]

if TYPE_CHECKING:
    from email.message import Message

    from ._net.batch import Batch, Outgoing
    from .transcript import Transcript

T = TypeVar("T")


# Windows has no poll(); elsewhere select() fails from descriptor 1024 on.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

# A blocking socket needs one call where another needs recv(), poll() and recv(). Windows has no MSG_DONTWAIT.
_MAY_BLOCK = hasattr(socket, "MSG_DONTWAIT")


def _watch(watcher: Any, sock: socket.socket, events: int) -> None:
    """Register a socket with a selector or a poll object; if another thread has closed it, raise OSError."""
    try:
        watcher.register(sock, events)
    except ValueError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None


def wait_ready(deadline: float, event: int, *sockets: socket.socket) -> None:
    left = None if deadline == math.inf else deadline - time.monotonic()
    with _Selector() as selector:
        for sock in sockets:
            _watch(selector, sock, event)
        if not selector.select(left):
            raise TimeoutError(TIMED_OUT)


class Stream(SocketStream):
    """A connected socket. One thread at a time may read it, and one may write to it."""

    _AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        sock.setblocking(_MAY_BLOCK)
        self._patience = math.inf  # seconds that the system waits in recv()
        self._poll: Any = None

    async def give_way(self) -> None:
        pass  # each session has a thread of its own

    async def _receive(self) -> bytes:
        # stop() in another thread sets ``stopping``, then looks at this: one of the two sees the other.
        self._waiting = True
        try:
            while not (self._broken or (self.stopping and self.idle)):
                try:
                    if self.deadline - time.monotonic() < self._patience and _MAY_BLOCK:
                        self._set_patience()
                    return self._socket.recv(READ_SIZE)
                except BlockingIOError:
                    self._check_time(self.deadline)
                    if _MAY_BLOCK:
                        self._set_patience()
                    else:
                        wait_ready(self.deadline, selectors.EVENT_READ, self._socket)
        finally:
            self._waiting = False
        return b""

    def _receive_now(self) -> bytes | None:
        if _MAY_BLOCK:
            # Before each message and each final dot the client looks for a reply that nearly never is there.
            # A recv() that fails costs four times as much as this.
            if self._poll is None:
                poll = select.poll()
                _watch(poll, self._socket, select.POLLIN)
                self._poll = poll
            if not self._poll.poll(0):
                return None
        return super()._receive_now()

    def _set_patience(self) -> None:
        """See that ``recv()`` returns at the deadline or before.

        While a session goes on, its deadline moves away, and now and then comes a bit closer. So the system
        waits for half of the time that is left: it is called again only when the deadline has come much closer,
        or when that time has passed.
        """
        left = max(0.001, self.deadline - time.monotonic())  # 0 would wait without an end
        self._patience = left if left < 1 else left / 2
        seconds = 0.0 if left == math.inf else self._patience
        value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    async def _writable(self, deadline: float) -> None:
        also = selectors.EVENT_READ if self.expects_silence else 0
        wait_ready(deadline, selectors.EVENT_WRITE | also, self._socket)

    def _break(self) -> None:
        with suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)  # closing would not wake a thread that waits

    def _wake_reader(self) -> None:
        if self._waiting and self.idle:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)


async def open_stream(
    host: str,
    port: int,
    *,
    local_address: str | None = None,
    sock: socket.socket | None = None,
    timeout: float | None = None,
) -> Stream:
    """Connect within ``timeout`` seconds, to a host or to the path of a Unix socket; or use a connected socket.

    The time of the system's resolver does not count.
    """
    if sock is not None:
        return Stream(sock)
    deadline = None if timeout is None else time.monotonic() + timeout
    if is_path(host):
        found, local_address = unix_addresses(host), None
    else:
        found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        sock.settimeout(seconds if seconds is None else max(0.001, seconds))  # 0 would not wait at all
        sock.connect(address)
        return Stream(sock)

    return await reach(found, deadline, time.monotonic, local_address, connect)


class _Closing(Exception):
    """Ends a thread that accepts."""


class Server(BaseServer[Stream]):
    """Runs every session in a thread of its own. :func:`serve` makes one.

    Attributes:
        addresses: The (host, port) of each listening socket; (path, 0) of a Unix socket.
    """

    def _begin(self) -> None:
        self._closing, self._ended = threading.Event(), threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._changed = threading.Condition()  # on a lock that a signal handler may take once more
        self._accepting: list[threading.Thread] = []
        try:
            for sock in self._sockets:
                self._accepting.append(_run_beside(self._accept_all, sock))
        except BaseException:  # there are no threads left
            self.close(0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Wait until another thread calls ``close()``; close the server on an exception such as Ctrl-C."""
        try:
            self._ended.wait()
        except BaseException:
            self.close()
            raise

    def close(self, grace: float | None = None) -> None:
        """Stop accepting, give running sessions time to end, and break the connections of the rest.

        A thread cannot be ended from outside: a handler that still runs then is not waited for.

        Args:
            grace: Seconds that running sessions get; None: the ``grace`` of ``serve()``.
        """
        try:
            run(self._close(self._grace if grace is None else grace))
        finally:
            self._ended.set()

    async def _stop_accepting(self) -> None:
        self._closing.set()
        self._waker.close()
        for thread in self._accepting:
            thread.join()
        self._woken.close()

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(condition, seconds)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _accept(self, sock: socket.socket) -> tuple[socket.socket, Address]:
        while not self._closing.is_set():
            try:
                return sock.accept()
            except BlockingIOError:
                wait_ready(math.inf, selectors.EVENT_READ, sock, self._woken)
        raise _Closing

    async def _sleep(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _Closing

    async def _stream(self, connection: socket.socket) -> Stream:
        return Stream(connection)

    def _start(self, connection: socket.socket) -> None:
        _run_beside(self._session, connection)


def _run_beside(function: Callable[[T], Coroutine[Any, Any, None]], argument: T) -> threading.Thread:
    def run_it() -> None:
        with suppress(_Closing):
            run(function(argument))

    thread = threading.Thread(target=run_it, daemon=True)
    thread.start()
    return thread


def listen(
    host: str | os.PathLike[str] | None,
    port: int | str,
    serve_one: RunSession[Stream],
    **options: Unpack[ListenOptions],
) -> Server:
    """Run ``serve_one`` for each connection to any address of a host; see BaseServer."""
    listener = Server(host, port, serve_one, **options)
    listener._begin()
    return listener


def _outcomes(batch: Batch) -> Iterator[SendOutcome]:
    try:
        while True:
            try:
                outcome = run(batch.__anext__())
            except StopAsyncIteration:
                return
            yield outcome
    finally:  # without an event loop, nothing else ends what a message that was read ahead has open
        run(batch.leave())


class Client:
    """A session with a server. :func:`connect` makes one.

    It is a context manager: the end of the block sends QUIT and closes. After an exception that is not an
    ``Exception``, such as KeyboardInterrupt, it closes without QUIT.

    One conversation at a time: a concurrent second one, of another thread, raises RuntimeError.
    """

    def __init__(self, session: _flows.Client) -> None:
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        run(self._session.__aexit__(kind))

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers."""
        return self._session.capabilities

    @property
    def tls(self) -> TlsInfo | None:
        """The facts of TLS, None in plaintext."""
        return self._session.tls

    @property
    def context(self) -> ErrorContext:
        """Where the conversation stands now, with the last exchanges; a copy."""
        return self._session.context

    @property
    def transcript(self) -> Transcript | None:
        """The recorder, if one was given."""
        return self._session.transcript

    @property
    def last_result(self) -> SendResult | None:
        """What became of the last message, as far as it is known; None if none was begun.

        ``send()`` returns it and its errors have it as ``result``. It is here for what can end ``send()``
        otherwise, such as KeyboardInterrupt. ``maybe_delivered`` is then True if the final dot had been sent or
        was being sent: the server may have accepted the message, and to send it again may duplicate it.
        """
        return self._session.last_result

    def send_message(
        self, message: Message, sender: Sender | None = None, recipients: Recipients | None = None
    ) -> SendResult:
        """Send an ``EmailMessage``.

        Args:
            message: It is not changed: Bcc is left out of the copy that is sent, and content that the server
                does not support is encoded (:mod:`smtpcore.message`).
            sender: The reverse-path, ``""`` for the null reverse-path, or a :class:`~smtpcore.Mail`. By default
                the address of Sender or From.
            recipients: The forward-paths, as for :meth:`send`. By default the addresses of To, Cc and Bcc.

        Returns:
            What became of the message for each recipient.

        Raises:
            LocalProtocolError: The message cannot be sent as it is; nothing was sent.
            RecipientsRefused: No recipient was accepted; ``result`` has each reply.
            ReplyError: The message was refused as a whole; ``result`` has each reply.
            ConnectionLost: ``maybe_delivered`` says whether the server may have accepted the message.
        """
        return run(self._session.send_message(message, sender, recipients))

    def send(
        self, sender: Sender, recipients: Recipients, content: Content, *, smtputf8: bool = False
    ) -> SendResult:
        """Send a message.

        Args:
            sender: The reverse-path; ``""`` for the null reverse-path. A :class:`~smtpcore.Mail` adds
                parameters: ``Mail("a@client.example", {"X-TAG": "7"})``. SIZE, BODY and SMTPUTF8 are added as
                the content requires, unless they are given.
            recipients: The forward-paths, one string each, or :class:`~smtpcore.Rcpt` objects with parameters.
                The domain of an address is sent with A-labels, as :meth:`send_message` sends it, and text that
                is not in NFC is normalized (RFC 6532 3.1).
            content: Octets with CRLF line ends: bytes, a binary file, or an iterable of bytes.
                ``smtpcore.normalize_line_endings()``
                converts other line ends. A file is read from its position, and if it can seek it goes back
                there when the message is not accepted. A file or an iterable that gives no octets is refused;
                ``b""`` is an empty message.
            smtputf8: The header contains UTF-8 (RFC 6531 3.4). A local-part with UTF-8 implies it.

        Returns:
            What became of the message, if the server has accepted it for at least one recipient.

        Raises:
            LocalProtocolError: An argument cannot be sent. Nothing was sent, unless ``content`` is an iterable
                or a file. If the argument has the wrong type, the error is a TypeError as well.
            RecipientsRefused: No recipient was accepted; ``result`` has each reply.
            ReplyError: The message was refused as a whole; ``result`` has each reply.
            ConnectionLost: ``maybe_delivered`` says whether the server may have accepted the message.
        """
        return run(self._session.send(sender, recipients, content, smtputf8=smtputf8))

    def send_many(self, messages: Iterable[Outgoing]) -> Iterator[SendOutcome]:
        """Send messages one after the other, as fast as the server replies.

        A message is sent when its outcome is asked for. If the server offers PIPELINING, the envelope of the
        next message travels with the content of the one before, so each message costs one round trip instead of
        two. Without PIPELINING the outcomes are the same.

        A refused message does not stop the next one. If the session ends, each message that was read has an
        outcome; the others stay unread in the iterable, and can be sent in a new session. A message is in doubt
        only if the session ended while the reply to its final dot was awaited: its ``result.maybe_delivered``
        is True, and no other message of the batch is in doubt.

        Args:
            messages: Messages, read one at a time and at most one ahead: an ``EmailMessage``, sent as
                :meth:`send_message` does; a :class:`~smtpcore.message.PreparedMessage`; or a tuple ``(sender,
                recipients, content)`` of arguments of :meth:`send`. The server waits meanwhile, so the iterable
                should not wait long itself.

        Returns:
            An iterator of one :class:`~smtpcore.SendOutcome` for each message, in order. Nothing is sent before
            it is iterated. If that stops before the end, at most one message was read that has no outcome, and
            it was not delivered.

        Raises:
            ArgumentTypeError: ``messages`` is not an iterable of messages.
            ConnectionLost: From the iterator, when all messages that were read have their outcomes: the session
                is over, and the end of ``messages`` was not reached.
            RuntimeError: From the other methods, until the iterator has come to its end. If it is left early,
                the next envelope may be on its way, and only :meth:`quit` and :meth:`close` are possible.

        Example:
            ::

                for outcome in client.send_many(messages):
                    if outcome.error is not None:
                        print(outcome.message["Subject"], outcome.error)
        """
        return _outcomes(self._session.send_many(messages))

    def command(self, event: Command) -> Reply:
        """Send a command, and give its reply.

        It is for commands of extensions, such as ``Expn("staff")`` or a command of one's own (``extensions`` of
        ``connect()``). Commands that need more than one reply have methods of their own.

        Args:
            event: The command: an object of a class derived from :class:`smtpcore.Command`.

        Returns:
            The reply, of 2yz.

        Raises:
            LocalProtocolError: The command cannot come now, the server does not offer it, or another method
                sends it. Nothing was sent. If ``event`` is not a command, this is a TypeError as well.
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        return run(self._session.command(event))

    def noop(self) -> Reply:
        """Send NOOP: check that the session is alive.

        Returns:
            The reply, of 2yz.

        Raises:
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        return run(self._session.noop())

    def reset(self) -> Reply:
        """Send RSET: drop the mail transaction.

        Returns:
            The reply, of 2yz.

        Raises:
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        return run(self._session.reset())

    def verify(self, address: str) -> Reply:
        """Send VRFY: ask about a user or a mailbox.

        Args:
            address: A user name or an address.

        Returns:
            The reply, of 2yz. 252 means that the server does not say (RFC 5321 3.5.3).

        Raises:
            LocalProtocolError: The address cannot be sent. If it is not a string, this is a TypeError as well.
            ReplyError: The server refused the command, or does not know the address.
            SMTPError: The session failed.
        """
        return run(self._session.verify(address))

    def quit(self) -> None:
        """Send QUIT, and close.

        It does not raise SMTPError: accepted messages stay accepted, whatever the server replies to QUIT.
        """
        run(self._session.quit())

    def close(self) -> None:
        """Close the connection without QUIT, as after an error. It may be called again."""
        run(self._session.close())


def connect(
    host: str | os.PathLike[str],
    port: int = 25,
    *,
    security: Security | None = None,
    ssl_context: ssl.SSLContext | None = None,
    auth: Credentials | None = None,
    allow_cleartext_auth: bool = False,
    local_hostname: str | None = None,
    local_address: str | None = None,
    sock: socket.socket | None = None,
    timeout: float | Timeouts | None = None,
    deadline: float | None = None,
    extensions: Iterable[Extension] | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
) -> Client:
    """Connect to a server, secure the connection, log in.

    It can be used in two ways: ``with connect(...) as client`` ends the session with the block;
    ``client = connect(...)`` leaves it open until ``client.quit()``.

    Args:
        host: A host name or an IP address; or the path of a Unix socket: an ``os.PathLike``, or a string that
            begins with ``/``. A path is not a name to verify a certificate against: for TLS over a Unix
            socket give the connected socket as ``sock`` and the name as ``host``.
        port: 1 to 65535; text of digits is converted. With a Unix socket it only selects ``security``, and
            may be 0, as in ``server.addresses``.
        security: ``"tls"``: TLS from the start. ``"starttls"``: STARTTLS is required; mail and password are not
            sent before it. ``"opportunistic"``: STARTTLS if the server offers it. The certificate is then not
            verified unless ``auth`` or ``ssl_context`` is given, so an attacker on the path can read and
            change the mail. ``"none"``: plaintext. None, the default: ``"tls"`` on port 465, ``"starttls"`` on
            port 587 and wherever ``auth`` is given, else ``"opportunistic"``.
        ssl_context: The TLS context. By default one that verifies the certificate of the server against the
            authorities that this machine trusts.
        auth: ``(user name, password)``, or a :class:`~smtpcore.sasl.ClientMechanism`. If the server refuses a
            mechanism (504, 534) and not the password, the next mechanism that it offers is tried. None, the
            default: no login.
        allow_cleartext_auth: Whether the password may be sent without TLS, readable to anyone on the path.
        local_hostname: The argument of EHLO. By default the name of this machine, if that is fully qualified.
            If the name is not a valid EHLO argument, the address literal is sent instead. DNS is never queried.
        local_address: The IP address to connect from. By default the system chooses.
        sock: A connected stream socket to use in place of a new one, for example through a proxy. ``host`` is
            then only the name to verify. The socket belongs to the client, which also closes it on failure.
        timeout: Seconds that each wait may last, above 0, or :class:`~smtpcore.Timeouts`. By default the waits
            of RFC 5321 4.5.3.2. A mail transaction as a whole is bounded too: see Timeouts.
        deadline: Seconds for the whole session, above 0. None, the default: no limit.
        extensions: The service extensions that the client can use where the server offers them. None, the
            default: ``smtpcore.extensions.STANDARD``.
        limits: Sizes and counts (:class:`~smtpcore.Limits`). None: the defaults.
        transcript: A :class:`~smtpcore.transcript.Transcript` that records the session. None: no record.

    Returns:
        The :class:`Client`, which is a context manager.

    Raises:
        LocalProtocolError: An argument is not valid; no connection was made. If it has the wrong type, this
            is a TypeError as well.
        ConnectionFailed: No connection could be made.
        TlsUnavailable: TLS is required, and the server does not offer it or refuses it.
        TlsError: The TLS handshake failed, for example because the certificate is not valid for ``host``.
        AuthenticationUnavailable: The server offers no mechanism that can be used with ``auth``.
        AuthenticationFailed: The server refused the credentials.
        ReplyError: The server refused the connection or EHLO.
        ConnectionLost, TimedOut: The connection broke, or the server did not reply in time.

    Example:
        ::

            from smtpcore import sync

            with sync.connect("mx.example", 587, auth=("joe", "secret")) as client:
                client.send_message(message)
    """
    options = ConnectOptions(
        security=security,
        ssl_context=ssl_context,
        auth=auth,
        allow_cleartext_auth=allow_cleartext_auth,
        local_hostname=local_hostname,
        local_address=local_address,
        sock=sock,
        timeout=timeout,
        deadline=deadline,
        extensions=extensions,
        limits=limits,
        transcript=transcript,
    )
    return Client(run(connect_client(open_stream, host, port, options, suspends=False)))


def send_message(
    message: Message,
    host: str | os.PathLike[str],
    port: int = 25,
    *,
    sender: Sender | None = None,
    recipients: Recipients | None = None,
    **options: Unpack[ConnectOptions],
) -> SendResult:
    """Connect, send one ``EmailMessage``, and quit.

    Args:
        message: The message; it is not changed.
        host: The server, as for :func:`connect`.
        port: The port, as for :func:`connect`.
        sender: The reverse-path, ``""`` for the null reverse-path, or a :class:`~smtpcore.Mail` with
            parameters. By default the address of Sender or From.
        recipients: The forward-paths, strings or :class:`~smtpcore.Rcpt` objects. By default the addresses of
            To, Cc and Bcc.
        options: The other options of :func:`connect`, by name.

    Returns:
        What became of the message for each recipient.

    Raises:
        SMTPError: As :func:`connect` and :meth:`Client.send_message`.

    Example:
        ::

            sync.send_message(message, "mx.example", 587, auth=("joe", "secret"))
    """
    with connect(host, port, **options) as client:
        return client.send_message(message, sender, recipients)


def serve(
    handler: object,
    host: str | os.PathLike[str] | None = "127.0.0.1",
    port: int | str = 0,
    *,
    hostname: str | None = None,
    config: ServerConfig | Callable[[Any], ServerConfig] | None = None,
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    implicit_tls: bool = False,
    transcript: Callable[[], Transcript | None] | None = None,
    max_connections: int = MAX_CONNECTIONS,
    max_connections_per_address: int | None = None,
    grace: float = GRACE,
    greet_pause: float = 0.0,
    sock: socket.socket | None = None,
) -> Server:
    """Start a server that runs each session in a thread of its own.

    ::

        with serve(handler, port=2525) as server:       # closed at the end of the block
            server.serve_forever()

        server = serve(handler, port=2525)              # closed by close()
        ...
        server.close()

    Args:
        handler: An object with methods of :class:`smtpcore.handlers.Handler`, or a function that is called with
            each :class:`ServerSession` and loops over its events.
        host: The name or the address to listen on; None is every interface. A path, or text that begins with a
            slash, is that of a Unix socket.
        port: 0 lets the system choose a free port, which ``server.addresses`` has.
        hostname: The server's name in the greeting; by default this machine's fully qualified name, or the
            address of the connection.
        config: What the server offers and its limits; or a function that is called with the address of each
            client and returns its configuration. None is ``ServerConfig()``.
        ssl_context: The certificate. With it STARTTLS is offered, or TLS begins at once. A function is called
            for each connection, so that a renewed certificate needs no restart.
        implicit_tls: TLS begins when the client connects (RFC 8314 3).
        transcript: Called for each session; returns the recorder of the session, or None. A recorder that fails
            is logged and dropped.
        max_connections: Concurrent sessions; further clients get 421. A session needs two descriptors, so the
            number is lowered to half of what RLIMIT_NOFILE leaves.
        max_connections_per_address: Concurrent sessions from one IPv4 address or one IPv6 network of 64 bits;
            further clients get 421. None: 100, and any number from loopback addresses. A server that all
            clients reach through a proxy needs more.
        grace: Seconds that running sessions get when the server stops; then each client gets 421.
        greet_pause: Seconds to wait before the greeting for clients that do not wait for it;
            ``session.early_input`` then says whether the client did so (RFC 5321 4.3.1).
        sock: A bound socket to listen on, in place of host and port; the server closes it.

    Returns:
        The running server: :class:`Server`.

    Raises:
        TypeError: The handler cannot be a handler, or an argument has the wrong type.
        LocalProtocolError: A value or a combination of values is not possible.
        ValueError: A number of connections is less than 1.
        OSError: An address cannot be resolved or bound; then none is.
    """
    options = ServerOptions(hostname, config, ssl_context, implicit_tls, transcript, greet_pause)
    run_session = session_runner(handler, options, ServerSession)
    check_listen_arguments(host, port, max_connections, max_connections_per_address, grace, sock)
    return listen(
        host,
        port,
        run_session,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        refusal=refusal_of(options),
        grace=grace,
        sock=sock,
    )
