"""SMTP on trio.

:func:`connect` returns a client, :func:`send_message` sends one message, and :func:`serve` runs a server, each
session in a task of its own. ``docs/adapters.md`` is the guide to them.

**Implementation.** The stream is that of the blocking adapter, except that each wait is one of trio, in which a
task can be cancelled. The stream converts trio's errors to those of the standard library, and its timeouts to
TimeoutError, so the conversations see the same errors as on the other adapters.
"""

from __future__ import annotations

import functools
import math
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import trio

from ._core.config import Extension, ServerConfig
from ._core.limits import Limits, Timeouts
from ._net.basestream import TIMED_OUT, Address
from ._net.connect import Opening as Opening
from ._net.connect import connect_client
from ._net.listener import GRACE, MAX_CONNECTIONS, BaseServer, ListenOptions, RunSession, check_listen_arguments
from ._net.options import ConnectOptions, Credentials, Security, is_path, unix_addresses
from ._net.results import SendResult
from ._net.serveroptions import ServerOptions
from ._net.serving import refusal_of, session_runner
from ._net.sockets import SocketStream, reach
from ._net.tls import READ_SIZE
from ._net.transaction import Recipients, Sender
from ._net.workers import Blocking, R
from .stream import Client as Client
from .stream import ServerSession as ServerSession

__all__ = ["Client", "Server", "ServerSession", "connect", "send_message", "serve"]

if TYPE_CHECKING:
    from email.message import Message

    from .transcript import Transcript

T = TypeVar("T")


async def _within(deadline: float | None, operation: Callable[..., Awaitable[T]], *args: object) -> T:
    with trio.CancelScope(deadline=math.inf if deadline is None else deadline):
        return await operation(*args)
    raise TimeoutError(TIMED_OUT)


class Stream(SocketStream):
    """A connected socket. One task at a time may read it, and one may write to it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        sock.setblocking(False)
        self._nap: trio.CancelScope | None = None

    async def run_blocking(self, function: Blocking[R], /, *arguments: object) -> R:
        """Run a function in a worker thread; a cancellation waits until it has returned."""
        cleaning_up = trio.current_effective_deadline() == -math.inf  # after a cancellation
        with trio.CancelScope(shield=True) as scope:
            result = await trio.to_thread.run_sync(function, *arguments)
            if not cleaning_up:
                scope.shield = False
                await trio.lowlevel.checkpoint_if_cancelled()
            return result
        raise AssertionError("the scope itself is never cancelled")

    async def give_way(self) -> None:
        await trio.lowlevel.checkpoint()

    async def write(self, data: bytes, timeout: float | None) -> None:
        try:
            await trio.lowlevel.checkpoint()
        except BaseException:
            self.abort()
            raise
        await super().write(data, timeout)

    async def _receive(self) -> bytes:
        # Others get their turn also if nothing has to be waited for; meanwhile octets arrive, most of the time.
        await trio.lowlevel.checkpoint()
        while not (self._broken or self._stops()):
            try:
                return self._socket.recv(READ_SIZE)
            except BlockingIOError:
                pass
            self._nap = trio.CancelScope(deadline=_time_of(self.deadline))
            with self._nap, suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._socket)
            if self._nap.cancelled_caught and not self._stops():
                raise TimeoutError(TIMED_OUT)
        return b""

    async def _writable(self, deadline: float) -> None:
        wait = self._wait_for_either if self.expects_silence else self._wait_to_write
        await _within(_time_of(deadline), wait)
        if self._broken:
            raise self._gone()

    async def _wait_to_write(self) -> None:
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(self._socket)

    async def _wait_for_either(self) -> None:
        async def read() -> None:
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._socket)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await self._wait_to_write()
            nursery.cancel_scope.cancel()

    def _break(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _wake_reader(self) -> None:
        if self._nap is not None and self.idle:
            self._nap.cancel()


def _time_of(deadline: float) -> float:
    """The time of trio's clock for one of ``time.monotonic()``."""
    return trio.current_time() + deadline - time.monotonic()


async def open_stream(
    host: str,
    port: int,
    *,
    local_address: str | None = None,
    sock: socket.socket | None = None,
    timeout: float | None = None,
) -> Stream:
    """Connect within ``timeout`` seconds, to a host or a Unix socket; or use a connected socket."""
    deadline = None if timeout is None else trio.current_time() + timeout

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        until = None if seconds is None else trio.current_time() + seconds
        await _within(until, trio.socket.from_stdlib_socket(sock).connect, address)
        return Stream(sock)

    async def look_up() -> list[tuple[Any, ...]]:
        return list(await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    if sock is not None:
        return Stream(sock)
    if is_path(host):
        return await reach(unix_addresses(host), deadline, trio.current_time, None, connect)
    found = await _within(deadline, look_up)
    return await reach(found, deadline, trio.current_time, local_address, connect)


class Server(BaseServer[Stream]):
    """Runs every session in a task of a nursery. :func:`serve` makes one.

    Attributes:
        addresses: The (host, port) of each listening socket; (path, 0) of a Unix socket.
    """

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        self._accepting, self._accepted = trio.CancelScope(), trio.Event()
        self._ended, self._changed = trio.Event(), trio.Event()
        try:
            async with trio.open_nursery() as self._sessions:
                task_status.started()
                try:
                    with self._accepting:
                        async with trio.open_nursery() as nursery:
                            for sock in self._sockets:
                                nursery.start_soon(self._accept_all, sock)
                finally:
                    self._accepted.set()  # however it has ended: close() waits for it
                self._stop_sessions()
        finally:
            self._ended.set()

    async def serve_forever(self) -> None:
        """Wait until ``close()`` is called or the server's nursery is cancelled."""
        await self._ended.wait()

    async def close(self, grace: float | None = None) -> None:
        """Stop accepting, give running sessions time to end, and cancel the rest.

        A session that shields itself from its cancellation is waited for: no task outlives its nursery.

        Args:
            grace: Seconds that running sessions get; None: the ``grace`` of ``serve()``.
        """
        await self._close(self._grace if grace is None else grace)
        await self._ended.wait()

    async def _stop_accepting(self) -> None:
        self._accepting.cancel()
        await self._accepted.wait()

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with trio.move_on_after(seconds):
            while not condition():
                await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _cancel_sessions(self) -> None:
        self._sessions.cancel_scope.cancel()

    def _is_cancellation(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):
            return error.subgroup(trio.Cancelled) is not None
        return isinstance(error, trio.Cancelled) or super()._is_cancellation(error)

    async def _accept(self, sock: socket.socket) -> tuple[socket.socket, Address]:
        while True:
            await trio.lowlevel.wait_readable(sock)
            with suppress(BlockingIOError):  # another process took it, or it went away
                return sock.accept()

    async def _sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def _stream(self, connection: socket.socket) -> Stream:
        return Stream(connection)

    def _start(self, connection: socket.socket) -> None:
        self._sessions.start_soon(self._protected, connection)

    @trio.lowlevel.enable_ki_protection
    async def _protected(self, connection: socket.socket) -> None:
        """Run a session; a Ctrl-C that arrives meanwhile is not an exception of that session."""
        await self._session(connection)


async def listen(
    host: str | os.PathLike[str] | None,
    port: int | str,
    serve_one: RunSession[Stream],
    *,
    nursery: trio.Nursery,
    **options: Unpack[ListenOptions],
) -> Server:
    """Run ``serve_one`` for each connection to any address of a host; see BaseServer."""
    listener = Server(host, port, serve_one, **options)
    try:
        await nursery.start(listener._run)
    except BaseException:  # cancelled
        listener._give_up_addresses()
        raise
    return listener


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
) -> Opening[Client]:
    """Connect to a server, secure the connection, log in.

    It can be used in two ways: ``async with connect(...) as client`` ends the session with the block;
    ``client = await connect(...)`` leaves it open until ``await client.quit()``.

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
        An object to ``await`` or to enter with ``async with``, once; both give the :class:`Client`.

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

            from smtpcore import trio

            async def main() -> None:
                async with trio.connect("mx.example", 587, auth=("joe", "secret")) as client:
                    await client.send_message(message)
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
    return Opening(connect_client(open_stream, host, port, options))


async def send_message(
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

            await trio.send_message(message, "mx.example", 587, auth=("joe", "secret"))
    """
    async with connect(host, port, **options) as client:
        return await client.send_message(message, sender, recipients)


class _Serving(Coroutine[Any, Any, None]):
    """What ``serve()`` returns: a coroutine that runs the server, or something to enter with ``async with``.

    ``nursery.start()`` wants a coroutine, which ends when ``server.close()`` has been called.
    """

    def __init__(
        self, manager: AbstractAsyncContextManager[Server], task_status: trio.TaskStatus[Server]
    ) -> None:
        self._manager = manager
        self._task_status = task_status
        self._running: Coroutine[Any, Any, None] | None = None

    async def _run(self) -> None:
        async with self._manager as server:
            self._task_status.started(server)
            await server.serve_forever()

    def _coroutine(self) -> Coroutine[Any, Any, None]:
        if self._running is None:
            self._running = self._run()
        return self._running

    def send(self, value: Any, /) -> Any:
        return self._coroutine().send(value)

    def throw(self, *exc: Any) -> Any:
        return self._coroutine().throw(*exc)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine().__await__()

    async def __aenter__(self) -> Server:
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, traceback)


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
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> _Serving:
    """Run a server, with a task for each session.

    It is used like ``trio.serve_tcp()``: await it, start it in a nursery, or enter it::

        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(serve, handler, port=2525))
            ...
            await server.close()

        async with serve(handler, port=2525) as server:     # closed at the end of the block
            await server.serve_forever()

        await serve(handler, port=2525)                     # until it is cancelled

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
        task_status: For ``nursery.start()``, which returns the server when it listens.

    Returns:
        An object to await, which runs until the server is closed or the task is cancelled, or to enter with
        ``async with``, which gives the running :class:`Server`.

    Raises:
        TypeError: The handler cannot be a handler, or an argument has the wrong type.
        LocalProtocolError: A value or a combination of values is not possible.
        ValueError: A number of connections is less than 1.
        OSError: An address cannot be resolved or bound; then none is.
    """
    options = ServerOptions(hostname, config, ssl_context, implicit_tls, transcript, greet_pause)
    run_session = session_runner(handler, options, ServerSession)
    check_listen_arguments(host, port, max_connections, max_connections_per_address, grace, sock)
    serving = _serving(
        functools.partial(
            listen,
            host,
            port,
            run_session,
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
            refusal=refusal_of(options),
            grace=grace,
            sock=sock,
        )
    )
    return _Serving(serving, task_status)


@asynccontextmanager
async def _serving(start: Callable[..., Awaitable[Server]]) -> AsyncIterator[Server]:
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            server = await start(nursery=nursery)
            try:
                yield server
            finally:
                with trio.CancelScope(shield=True):
                    await server.close()
        except Exception as error:
            failure = error
    if failure is not None:  # here, since a nursery would wrap it into a group
        raise failure
