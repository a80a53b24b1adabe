"""SMTP on blocking sockets and threads.

The conversations of smtpcore are coroutines. Here their stream blocks the thread where the others suspend
the task, so no coroutine ever suspends, and ``run()`` drives one to its end with a single ``send()``.

The sockets are non-blocking: what can be done is done at once, and otherwise there is one place to wait.
"""

from __future__ import annotations

import functools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from ._core.events import Event
from ._net import client as _flows
from ._net import session as _sessions
from ._net.streams import (
    GRACE,
    MAX_CONNECTIONS,
    Address,
    BaseServer,
    Handler,
    ListenOptions,
    SocketStream,
    reach,
    run,
    wait_ready,
)
from .handlers import session_runner

P = ParamSpec("P")
T = TypeVar("T")


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
        self._closing = threading.Event()
        self._waker, self._woken = socket.socketpair()
        self._changed = threading.Condition()  # on a lock that a signal handler may take once more
        self._accepting: list[threading.Thread] = []
        try:
            for sock in self._sockets:
                self._accepting.append(_run_beside(self._accept_all, sock))
        except BaseException:  # there are no threads left
            self.close(0)
            raise

    def close(self, grace: float = GRACE) -> None:
        """Stop accepting, give running sessions ``grace`` seconds, break the streams (no more) of the rest.

        A thread cannot be ended from outside: a handler that still runs then is not waited for.
        """
        run(self._close(grace))

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


def listen(host: str | None, port: int, serve_one: Handler[Stream], **options: Unpack[ListenOptions]) -> Server:
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
    command = _blocking(_flows.Client.command)
    noop = _blocking(_flows.Client.noop)
    reset = _blocking(_flows.Client.reset)
    verify = _blocking(_flows.Client.verify)
    quit = _blocking(_flows.Client.quit)
    close = _blocking(_flows.Client.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


class ServerSession(_sessions.ServerSession):
    """One client's session, for a plain ``for`` loop."""

    def __iter__(self) -> Iterator[Event]:
        while (event := run(self.next_event())) is not None:
            yield event


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


@contextmanager
def serve(
    handler: object,
    host: str | None = "127.0.0.1",
    port: int = 0,
    *,
    max_connections: int = MAX_CONNECTIONS,
    max_connections_per_address: int | None = None,
    grace: float = GRACE,
    **options: Unpack[_sessions.ServeOptions],
) -> Iterator[Server]:
    """Run a server, with a thread for each session, while the ``with`` block lasts; see ServeOptions."""
    given = _sessions.ServerOptions(**options)
    runner = session_runner(handler, given, ServerSession)
    listener = listen(
        host,
        port,
        runner,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        refusal=_sessions.refusal_of(given),
    )
    try:
        yield listener
    finally:
        listener.close(grace)
