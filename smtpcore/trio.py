"""SMTP on trio.

The stream is that of the blocking adapter, but for what waits: that is trio's, so a task can be cancelled
there. What trio adds is taken away again at the edges, so that the conversations see the same here as on the
other adapters: its errors become those of the standard library, and its timeouts become TimeoutError.
"""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, Unpack

import trio

from ._net.callbacks import session_runner
from ._net.client import Client as Client
from ._net.client import ConnectOptions, open_client
from ._net.listener import GRACE, MAX_CONNECTIONS, BaseServer, ListenOptions, RunSession
from ._net.session import ServeOptions, ServerOptions, refusal_of
from ._net.session import ServerSession as ServerSession
from ._net.sockets import SocketStream, reach
from ._net.stream import TIMED_OUT, Address

T = TypeVar("T")


async def _within(deadline: float | None, operation: Callable[..., Awaitable[T]], *args: object) -> T:
    with trio.CancelScope(deadline=math.inf if deadline is None else deadline):
        return await operation(*args)
    raise TimeoutError(TIMED_OUT)


class Stream(SocketStream):
    """A connected socket. One task at a time may read it, and one may write to it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, trio.current_time)
        self._nap = trio.CancelScope()

    async def give_way(self) -> None:
        await trio.lowlevel.checkpoint()

    async def _receive(self, deadline: float | None) -> bytes:
        await trio.lowlevel.checkpoint()  # if nothing has to be waited for, others get their turn all the same
        return await super()._receive(deadline)

    async def _send(self, data: bytes, deadline: float | None) -> None:
        await trio.lowlevel.checkpoint()
        await super()._send(data, deadline)

    async def _ready(self, deadline: float | None, *, writing: bool = False) -> None:
        try:
            if writing:
                await _within(deadline, trio.lowlevel.wait_writable, self._socket)
            else:
                self._nap = trio.CancelScope()
                with self._nap:
                    await _within(deadline, trio.lowlevel.wait_readable, self._socket)
        except trio.ClosedResourceError:
            raise self._gone() from None

    def _break(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _wake_reader(self) -> None:
        if self._waiting and self.idle:
            self._nap.cancel()


async def open_stream(
    host: str, port: int, *, local_address: str | None = None, timeout: float | None = None
) -> Stream:
    """Connect within ``timeout`` seconds; see reach."""
    deadline = None if timeout is None else trio.current_time() + timeout

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        until = None if seconds is None else trio.current_time() + seconds
        await _within(until, trio.socket.from_stdlib_socket(sock).connect, address)
        return Stream(sock)

    async def look_up() -> list[tuple[Any, ...]]:
        return list(await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    found = await _within(deadline, look_up)
    return await reach(found, deadline, trio.current_time, local_address, connect)


class Server(BaseServer[Stream]):
    """Runs every session in a task of a nursery."""

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

    async def close(self, grace: float = GRACE) -> None:
        """Stop accepting, give running sessions ``grace`` seconds to end, and cancel the rest.

        A session that shields itself from its cancellation is waited for: no task outlives its nursery.
        """
        await self._close(grace)
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
    host: str | None,
    port: int,
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
        for sock in listener._sockets:
            sock.close()
        raise
    return listener


@asynccontextmanager
async def connect(host: str, port: int = 25, **options: Unpack[ConnectOptions]) -> AsyncIterator[Client]:
    """Connect to a server, secure the connection, log in; see ConnectOptions and open_client()."""
    async with await open_client(open_stream, host, port, options) as client:
        yield client


@asynccontextmanager
async def serve(
    handler: object,
    host: str | None = "127.0.0.1",
    port: int = 0,
    *,
    max_connections: int = MAX_CONNECTIONS,
    max_connections_per_address: int | None = None,
    grace: float = GRACE,
    **options: Unpack[ServeOptions],
) -> AsyncIterator[Server]:
    """Run a server while the ``async with`` block lasts; see ServeOptions."""
    given = ServerOptions(**options)
    run = session_runner(handler, given, ServerSession)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            listener = await listen(
                host,
                port,
                run,
                nursery=nursery,
                max_connections=max_connections,
                max_connections_per_address=max_connections_per_address,
                refusal=refusal_of(given),
            )
            try:
                yield listener
            finally:
                with trio.CancelScope(shield=True):
                    await listener.close(grace)
        except Exception as error:
            failure = error
    if failure is not None:  # here, since a nursery would wrap it into a group
        raise failure
