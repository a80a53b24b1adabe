"""SMTP on asyncio.

:func:`connect` returns a client, :func:`send_message` sends one message, and :func:`serve` starts a server,
which runs each session in a task of its own. ``docs/adapters.md`` is the guide to them.

**Implementation.** The stream is its own ``BufferedProtocol``. While a pump is running, what arrives is given
to its function within ``buffer_updated()``, and the task of the pump sleeps until the function gives something
back. While none is running, because the task is busy elsewhere, what arrives is held; if more is held than one
read gives, reading is paused, so that a peer cannot fill our memory.

What is written goes to the socket directly. The transport gets only what the system does not accept at once,
and that is waited for: so a write's timeout means something, and nothing is left to flush at the close.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Coroutine, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast

from ._core.config import Extension, ServerConfig
from ._core.limits import Limits, Timeouts
from ._net.basestream import TIMED_OUT, Address, BaseStream
from ._net.connect import Opening as Opening
from ._net.connect import connect_client
from ._net.listener import GRACE, MAX_CONNECTIONS, BaseServer, ListenOptions, RunSession, check_listen_arguments
from ._net.options import ConnectOptions, Credentials, Security, is_path, unix_addresses
from ._net.results import SendResult
from ._net.serveroptions import ServerOptions
from ._net.serving import refusal_of, session_runner
from ._net.sockets import reach
from ._net.stream import Arrival, Take
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

GRAIN = 0.05  # seconds that a server may notice a deadline late


class _Wakeup:
    """An awaitable that wakes its task again and again. Unlike a future, it steps the task within ``wake()``.

    With a future the task would wait for the next round of the event loop, which costs a tenth of the time of a
    session that runs in its task. It has what ``asyncio.Task`` asks of an object that is like a future.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_step")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._cancelled = False  # for good: a stream whose pump was cancelled is broken
        self._step: Callable[[_Wakeup], object] | None = None
        self._context: contextvars.Context | None = None

    def __await__(self) -> Generator[_Wakeup, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, step: Callable[[_Wakeup], object], *, context: contextvars.Context) -> None:
        self._step, self._context = step, context

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError

    def cancel(self, msg: object = None) -> bool:
        if self._step is None:  # it has been woken
            return False
        self._cancelled = True
        step, self._step = self._step, None
        self._loop.call_soon(step, self, context=self._context)
        return True

    def wake(self) -> bool:
        """Step the task, now if no other task is running; return whether it was waiting."""
        step, self._step = self._step, None
        if step is None or self._context is None:
            return False  # it has been cancelled
        if asyncio.current_task(self._loop) is None:
            self._context.run(step, self)
        else:
            self._loop.call_soon(step, self, context=self._context)
        return True


class _Watch:
    """Ends the pumps of streams when their deadlines have passed: those of a server, or that of one client.

    A deadline hardly ever passes: it moves on with what arrives, and nothing is done then. There is one timer,
    for the earliest deadline that was seen, and when it fires all deadlines are looked at. A timer for each
    connection would cost an object, an entry in the heap of the event loop, and its removal.

    Args:
        streams: The streams.
        grain: Seconds that it looks late, so that deadlines close to each other need only one look.

    Attributes:
        deadline: The deadline that the timer is set for; infinite if it is not set.
    """

    def __init__(self, streams: Collection[Stream], grain: float = 0.0) -> None:
        self.deadline = math.inf
        self._streams = streams
        self._grain = grain
        self._timer: asyncio.TimerHandle | None = None

    def wait_for(self, deadline: float) -> None:
        """Set the timer for a deadline that is earlier than the one it is set for."""
        if self._timer is not None:
            self._timer.cancel()
        self.deadline = deadline
        seconds = deadline - time.monotonic() + self._grain
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def stop(self) -> None:
        """Watch no more."""
        self._streams = ()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer, self.deadline = None, math.inf
        now = time.monotonic()
        for stream in list(self._streams):
            stream._look_at_deadline(now)
        earliest = min(
            (stream.deadline for stream in self._streams if stream._take is not None), default=math.inf
        )
        if earliest < self.deadline:
            self.wait_for(earliest)


class Stream(BaseStream, asyncio.BufferedProtocol):
    """A connection. One task at a time may read it, and one may write to it."""

    _held = b""  # what has arrived while no pump was running
    _paused = False
    _at_eof = False
    _failure: OSError | None = None
    _drained: asyncio.Future[None] | None = None  # what a write that waits awaits
    _closers: tuple[asyncio.Future[None], ...] = ()  # what the callers of _finish() await
    # What the function of the pump has given or raised.
    _result: Any = None
    _error: BaseException | None = None

    def __init__(
        self, sock: socket.socket, buffer: memoryview | None = None, watch: _Watch | None = None
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        # Between get_buffer() and buffer_updated() nothing else runs: streams of one loop may share a buffer.
        self._buffer = buffer or memoryview(bytearray(READ_SIZE))
        self._take: Take[Any] | None = None  # the function of the pump that is running
        self._wakeup = _Wakeup(self._loop)
        self._watch = watch or _Watch([self])
        self._shares_watch = watch is not None

    # -- what the transport calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.peername = transport.get_extra_info("peername") or ""
        self.sockname = transport.get_extra_info("sockname") or ""

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._take is not None:
            self._give(data)
        else:
            self._held += data
            if len(self._held) > READ_SIZE:
                self._paused = True
                self._transport.pause_reading()
            if self.expects_silence:
                _wake(self._drained)

    def eof_received(self) -> bool:
        self._at_eof = True
        self._give_held()
        if self.expects_silence:
            _wake(self._drained)
        return True  # we may still write

    def resume_writing(self) -> None:
        _wake(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            # The transport stops reading when a write fails, and what has arrived is lost with its socket.
            with suppress(OSError):
                while len(self._held) <= READ_SIZE and (data := self._socket.recv(READ_SIZE)):
                    self._held += data
        self._failure = exc if isinstance(exc, OSError) else self._gone()
        if not self._shares_watch:
            self._watch.stop()
        self._give_held()
        _wake(self._drained)
        for closer in self._closers:
            _wake(closer)

    # -- the pump --

    async def _pump(self, take: Take[T]) -> T:
        while (arrival := self._take_held()) is not None:
            if (result := take(arrival)) is not None:
                return result
        self._take = take
        if self.deadline < self._watch.deadline:
            self._watch.wait_for(self.deadline)
        try:
            await self._wakeup
        except BaseException:  # cancelled
            self._take = None
            if asyncio.iscoroutine(self._result):
                self._result.close()  # what had to be awaited, and is not any more
            self.abort()
            raise
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return cast(T, result)

    def _give(self, arrival: Arrival) -> None:
        """Call the function of the pump, and wake the pump if the function gives something back."""
        assert self._take is not None
        try:
            self._result = self._take(arrival)
        except BaseException as error:  # it belongs to the task of the pump, not to the event loop
            self._error = error
        if self._result is None and self._error is None:
            if self.deadline < self._watch.deadline:
                self._watch.wait_for(self.deadline)
        else:
            self._take = None
            self._wakeup.wake()

    def _give_held(self) -> None:
        while self._take is not None and (arrival := self._take_held()) is not None:
            self._give(arrival)

    def _take_held(self) -> Arrival | None:
        """What comes next of what has arrived while no pump was running."""
        if self._held:
            data, self._held = self._held[:READ_SIZE], self._held[READ_SIZE:]
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            return data
        if self._failure is not None:
            return self._failed(self._failure)
        self._ended = self._at_eof
        return b"" if self._ended else None

    def _look_at_deadline(self, now: float) -> None:
        if self._take is not None and self.deadline <= now:
            self._give(TimeoutError(TIMED_OUT))

    def _wake_reader(self) -> None:
        self._loop.call_soon(self._look_at_stop)  # the function must not run in the task that stops the server

    def _look_at_stop(self) -> None:
        if self._take is not None and self._stops():
            self._give(b"")

    async def run_blocking(self, function: Blocking[R], /, *arguments: object) -> R:
        """Run a function in a thread of the default executor; a cancellation waits until it has returned."""
        call = functools.partial(contextvars.copy_context().run, _call, function, *arguments)
        work = asyncio.get_running_loop().run_in_executor(None, call)
        cancellation = None
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError as error:
                cancellation = error
        if cancellation is not None:
            work.exception()  # so that it is not reported as never retrieved
            raise cancellation
        return work.result()

    async def give_way(self) -> None:
        await asyncio.sleep(0)

    # -- without waiting --

    def _receive_now(self) -> bytes | None:
        arrival = self._take_held()
        if isinstance(arrival, OSError):
            raise arrival
        if arrival is not None:
            return arrival
        try:
            return self._socket.recv(READ_SIZE)  # the event loop looks only when no task is ready to run
        except BlockingIOError:
            return None

    def _offer(self, data: bytes) -> bytes:
        if self._transport.is_closing():
            raise self._gone_already()
        try:
            sent = self._socket.send(data)  # as the transport would, for a third of the time
        except BlockingIOError:
            return data
        return b"" if sent == len(data) else data[sent:]

    async def _send(self, data: bytes, deadline: float) -> None:
        self._transport.set_write_buffer_limits(0)  # it says when all is sent
        self._transport.write(data)
        seconds = None if deadline == math.inf else deadline - time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                while self._transport.get_write_buffer_size():
                    self._check_silence()
                    self._drained = self._loop.create_future()
                    await self._drained
        except TimeoutError:
            raise TimeoutError(TIMED_OUT) from None
        # After the end asyncio ignores a write, and uvloop raises RuntimeError.
        if self._transport.is_closing():
            raise self._gone_already()

    def _gone_already(self) -> OSError:
        return self._failure or ConnectionResetError("the connection was lost")

    # -- the end --

    def _break(self) -> None:
        self._transport.abort()

    async def _finish(self, last: bytes) -> None:
        with suppress(OSError):
            if self._transport.get_write_buffer_size() or (last and self._offer(last)):
                self._transport.abort()
        self._transport.close()
        if self._failure is None:
            closer = self._loop.create_future()
            self._closers += (closer,)
            await closer


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _call(function: Blocking[R], *arguments: object) -> R:
    try:
        return function(*arguments)
    except StopIteration as error:  # a future cannot hold it, and would never be done
        raise RuntimeError(f"{function!r} raised StopIteration") from error


async def open_stream(
    host: str,
    port: int,
    *,
    local_address: str | None = None,
    sock: socket.socket | None = None,
    timeout: float | None = None,
) -> Stream:
    """Connect within ``timeout`` seconds, to a host or a Unix socket; or use a connected socket."""
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        async with asyncio.timeout(seconds):
            await loop.sock_connect(sock, address)
            return (await loop.create_connection(lambda: Stream(sock), sock=sock))[1]

    if sock is not None:
        connected = sock
        try:
            sock.setblocking(False)
            return (await loop.create_connection(lambda: Stream(connected), sock=sock))[1]
        except BaseException:
            sock.close()
            raise
    if is_path(host):
        return await reach(unix_addresses(host), deadline, loop.time, None, connect)
    async with asyncio.timeout_at(deadline):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await reach(found, deadline, loop.time, local_address, connect)


class Server(BaseServer[Stream]):
    """Runs every session in a task of its own. :func:`serve` makes one.

    Attributes:
        addresses: The (host, port) of each listening socket; (path, 0) of a Unix socket.
    """

    def _begin(self) -> None:
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._changed, self._ended = asyncio.Event(), asyncio.Event()
        self._watch = _Watch(self.streams, GRAIN)
        self._sessions: dict[asyncio.Task[None], socket.socket] = {}
        self._wakeups: dict[socket.socket, _Wakeup] = {}  # of the accepting loops, one for each watched socket
        self._accepting = [asyncio.create_task(self._accept_all(sock)) for sock in self._sockets]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def serve_forever(self) -> None:
        """Wait until ``close()`` is called; close the server if this task is cancelled."""
        try:
            await self._ended.wait()
        except BaseException:
            await self.close()
            raise

    async def close(self, grace: float | None = None) -> None:
        """Stop accepting, give running sessions time to end, and cancel the rest.

        A session that ignores its cancellation is not waited for.

        Args:
            grace: Seconds that running sessions get; None: the ``grace`` of ``serve()``.
        """
        try:
            await self._close(self._grace if grace is None else grace)
        finally:
            self._ended.set()

    async def _stop_accepting(self) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.wait(self._accepting)

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()

    def _cancel_sessions(self) -> None:
        for task in self._sessions:
            task.cancel()

    def _is_cancellation(self, error: BaseException) -> bool:
        # A handler may raise CancelledError of its own accord, or await a task that was cancelled.
        task = asyncio.current_task()
        cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
        return cancelled or super()._is_cancellation(error)

    async def _accept(self, sock: socket.socket) -> tuple[socket.socket, Address]:
        # sock_accept() may be cancelled when it has accepted: then the connection is lost and stays open.
        loop = asyncio.get_running_loop()
        wakeup = self._wakeups.get(sock)
        if wakeup is None:
            try:
                loop.add_reader(sock, self._wake_acceptor, sock)
            except NotImplementedError:  # the proactor loop of Windows
                return await loop.sock_accept(sock)
            wakeup = self._wakeups[sock] = _Wakeup(loop)
        while True:
            await wakeup
            with suppress(BlockingIOError):  # another process took it, or it went away
                return sock.accept()

    def _wake_acceptor(self, sock: socket.socket) -> None:
        # Watching the socket anew for each connection would cost system calls.
        if not self._wakeups[sock].wake():
            self._unwatch(sock)  # the accepting loop waits for something else

    def _unwatch(self, sock: socket.socket) -> None:
        if (wakeup := self._wakeups.pop(sock, None)) is not None:
            wakeup.get_loop().remove_reader(sock)

    def _stop_listening(self, sock: socket.socket) -> None:
        self._unwatch(sock)
        super()._stop_listening(sock)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _stream(self, connection: socket.socket) -> Stream:
        def make() -> Stream:
            return Stream(connection, self._buffer, self._watch)

        return (await asyncio.get_running_loop().connect_accepted_socket(make, connection))[1]

    def _start(self, connection: socket.socket) -> None:
        task = asyncio.create_task(self._session(connection), name="smtpcore session")
        self._sessions[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._release(self._sessions.pop(task))  # it may have been cancelled before its first step


async def listen(
    host: str | os.PathLike[str] | None,
    port: int | str,
    serve_one: RunSession[Stream],
    **options: Unpack[ListenOptions],
) -> Server:
    """Run ``serve_one`` for each connection to any address of a host; see BaseServer."""
    listener = Server(host, port, serve_one, **options)
    listener._begin()  # no wait from here on, so a cancellation leaves no listener without an owner
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

            from smtpcore import asyncio

            async def main() -> None:
                async with asyncio.connect("mx.example", 587, auth=("joe", "secret")) as client:
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

            await asyncio.send_message(message, "mx.example", 587, auth=("joe", "secret"))
    """
    async with connect(host, port, **options) as client:
        return await client.send_message(message, sender, recipients)


class _Serving:
    """What ``serve()`` returns: to await, or to enter with ``async with``; both give the server."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, Server]]) -> None:
        self._start = start

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, *exc: object) -> None:
        await self._server.close()


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
) -> _Serving:
    """Start a server that runs each session in a task of its own.

    ::

        async with serve(handler, port=2525) as server:     # closed at the end of the block
            await server.serve_forever()

        server = await serve(handler, port=2525)            # closed by close()
        ...
        await server.close()

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
        An object to await, or to enter with ``async with``: both give the running :class:`Server`.

    Raises:
        TypeError: The handler cannot be a handler, or an argument has the wrong type.
        LocalProtocolError: A value or a combination of values is not possible.
        ValueError: A number of connections is less than 1.
        OSError: An address cannot be resolved or bound; then none is.
    """
    options = ServerOptions(hostname, config, ssl_context, implicit_tls, transcript, greet_pause)
    run_session = session_runner(handler, options, ServerSession)
    check_listen_arguments(host, port, max_connections, max_connections_per_address, grace, sock)

    async def start() -> Server:
        return await listen(
            host,
            port,
            run_session,
            max_connections=max_connections,
            max_connections_per_address=max_connections_per_address,
            refusal=refusal_of(options),
            grace=grace,
            sock=sock,
        )

    return _Serving(start)
