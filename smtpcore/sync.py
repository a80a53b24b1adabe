"""SMTP on blocking sockets and threads.

The conversations of smtpcore are coroutines. Here their stream blocks the thread where the others suspend
the task, so no coroutine ever suspends, and ``run()`` drives one to its end with a single ``send()``.

The sockets are non-blocking: what can be done is done at once, and otherwise there is one place to wait.
"""

from __future__ import annotations

import functools
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from ._core.config import ServerConfig
from ._net import client as _flows
from ._net.callbacks import session_runner
from ._net.listener import GRACE, MAX_CONNECTIONS, BaseServer, ListenOptions, RunSession, check_listen_arguments
from ._net.session import ServerOptions, ServerSession, refusal_of
from ._net.sockets import SocketStream, reach
from ._net.stream import TIMED_OUT, Address, run

__all__ = ["Client", "Server", "ServerSession", "connect", "serve"]

if TYPE_CHECKING:
    from .transcript import Transcript

P = ParamSpec("P")
T = TypeVar("T")


# Windows has no poll(); elsewhere select() fails from descriptor 1024 on.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


def wait_ready(deadline: float | None, event: int, *sockets: socket.socket) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    with _Selector() as selector:
        for sock in sockets:
            selector.register(sock, event)
        if not selector.select(left):
            raise TimeoutError(TIMED_OUT)


class Stream(SocketStream):
    """A connected socket. One thread at a time may read it, and one may write to it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, time.monotonic)

    async def give_way(self) -> None:
        pass  # each session has a thread of its own

    async def _ready(self, deadline: float | None, *, writing: bool = False) -> None:
        wait_ready(deadline, selectors.EVENT_WRITE if writing else selectors.EVENT_READ, self._socket)

    def _break(self) -> None:
        with suppress(OSError):  # not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)  # closing would not wake a thread that waits

    def _wake_reader(self) -> None:
        if self._waiting and self.idle:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)


async def open_stream(
    host: str, port: int, *, local_address: str | None = None, timeout: float | None = None
) -> Stream:
    """Connect within ``timeout`` seconds, not counting the system's resolver; see reach."""
    deadline = None if timeout is None else time.monotonic() + timeout
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        sock.settimeout(seconds if seconds is None else max(0.001, seconds))  # 0 would not wait at all
        sock.connect(address)
        return Stream(sock)

    return await reach(found, deadline, time.monotonic, local_address, connect)


class _Closing(Exception):
    """Ends a thread that accepts."""


class Server(BaseServer[Stream]):
    """Runs every session in a thread of its own."""

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
                wait_ready(None, selectors.EVENT_READ, sock, self._woken)
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


def _blocking(
    method: Callable[Concatenate[_flows.Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(method)
    def call(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(client.session, *args, **kwargs))

    return call


class Client:
    """A session with a server: see :class:`smtpcore._net.client.Client`, which does everything."""

    def __init__(self, session: _flows.Client) -> None:
        self.session = session

    send_message = _blocking(_flows.Client.send_message)
    send = _blocking(_flows.Client.send)
    noop = _blocking(_flows.Client.noop)
    reset = _blocking(_flows.Client.reset)
    verify = _blocking(_flows.Client.verify)
    quit = _blocking(_flows.Client.quit)
    close = _blocking(_flows.Client.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


@contextmanager
def connect(host: str, port: int = 25, **options: Unpack[_flows.ConnectOptions]) -> Iterator[Client]:
    """Connect to a server, secure the connection, log in; see ConnectOptions and open_client()."""
    session = run(_flows.open_client(open_stream, host, port, options))
    try:
        yield Client(session)
    except BaseException as error:
        run(session.__aexit__(type(error)))
        raise
    run(session.__aexit__(None))


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
