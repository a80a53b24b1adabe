"""SMTP on asyncio.

The stream is its own ``BufferedProtocol``: the transport reads into one buffer, and what has arrived is held
until it is asked for. While more is held than one read gives, reading is paused, so that a peer cannot fill our
memory. The write buffer has no room at all: what the system does not take at once is waited for,
so a write's timeout means something, and nothing is left to flush at the close.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Unpack, cast

from ._flows import Client as Client
from ._flows import ConnectOptions, open_client
from ._sessions import ServeOptions, ServerOptions
from ._sessions import ServerSession as ServerSession
from ._streams import GRACE, MAX_CONNECTIONS, READ_SIZE, BaseListener, BaseStream, Handler, Waiter, reach
from .handlers import session_runner


class Stream(BaseStream, asyncio.BufferedProtocol):
    """A connection. One task at a time may read it, and one may write to it."""

    def __init__(self, buffer: memoryview | None = None) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop.time)
        # Between get_buffer() and buffer_updated() nothing else runs: streams of one loop may share a buffer.
        self._buffer = buffer or memoryview(bytearray(READ_SIZE))
        self._held = b""
        self._at_eof = False
        self._failure: Exception | None = None
        self._arrival, self._drain, self._closed = Waiter(loop), Waiter(loop), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(0)
        self.peername = transport.get_extra_info("peername") or ""
        self.sockname = transport.get_extra_info("sockname") or ""

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._held += self._buffer[:nbytes]
        self._arrival.wake()
        if len(self._held) > READ_SIZE:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._at_eof = True
        self._arrival.wake()
        return True  # we may still write

    def resume_writing(self) -> None:
        self._drain.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            # The transport stops reading when a write fails, and what has arrived is lost with its socket.
            with suppress(OSError):
                while len(self._held) <= READ_SIZE and (data := self._receive_from_socket()):
                    self._held += data
        self._failure = exc or self._gone()
        self._arrival.end()
        self._drain.end()
        self._closed.set()

    async def _receive(self, deadline: float | None) -> bytes:
        while not self._held:
            if self._failure is not None:
                raise self._failure
            if self._at_eof:
                return b""
            await self._arrival.wait(deadline)
            self._check()
        data, self._held = self._held[:READ_SIZE], self._held[READ_SIZE:]
        self._transport.resume_reading()
        return data

    def _receive_now(self) -> bytes | None:
        if self._held:
            data, self._held = self._held[:READ_SIZE], self._held[READ_SIZE:]
            self._transport.resume_reading()
            return data
        if self._failure is not None:
            raise self._failure
        return b"" if self._at_eof else self._receive_from_socket()

    def _receive_from_socket(self) -> bytes | None:
        """What the event loop has not seen yet: it looks only when no task is ready to run."""
        sock = self._transport.get_extra_info("socket")
        same = socket.socket(sock.family, sock.type, sock.proto, sock.fileno())
        try:
            return same.recv(READ_SIZE)
        except BlockingIOError:
            return None
        finally:
            same.detach()  # the transport closes it

    async def _send(self, data: bytes, deadline: float | None) -> None:
        self._transport.write(data)
        while self._transport.get_write_buffer_size():
            await self._drain.wait(deadline)
        if self._transport.is_closing():
            raise self._failure or ConnectionResetError("the connection was lost")

    def _break(self) -> None:
        self._transport.abort()

    def _wake_reader(self) -> None:
        self._arrival.wake()

    async def _finish(self, last: bytes) -> None:
        self._transport.write(last)
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        self._transport.close()
        await self._closed.wait()


async def open_stream(
    host: str, port: int, *, local_address: str | None = None, timeout: float | None = None
) -> Stream:
    """Connect within ``timeout`` seconds; see reach."""
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout

    async def connect(sock: socket.socket, address: Any, seconds: float | None) -> Stream:
        async with asyncio.timeout(seconds):
            await loop.sock_connect(sock, address)
            return (await loop.create_connection(Stream, sock=sock))[1]

    async with asyncio.timeout_at(deadline):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await reach(found, deadline, loop.time, local_address, connect)


class Listener(BaseListener[Stream]):
    """Runs every session in a task of its own."""

    async def _begin(self) -> None:
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._sessions: set[asyncio.Task[None]] = set()
        self._accepting = [asyncio.create_task(self._accept_all(sock)) for sock in self._sockets]
        await asyncio.sleep(0)  # a task sees to its socket from its first step on

    async def close(self, grace: float = GRACE) -> None:
        """Stop accepting, give running sessions ``grace`` seconds to end, and cancel the rest."""
        for task in self._accepting:
            task.cancel()
        try:
            await asyncio.wait(self._accepting)
            await self._end_sessions(grace)
        finally:  # also if this is cancelled, and there is no more time
            for task in self._sessions:
                task.cancel()
            self._abort_sessions()
            await self._wait_for_sessions(None)

    async def _wait_for_sessions(self, seconds: float | None) -> None:
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=seconds)

    async def _accept(self, sock: socket.socket) -> socket.socket:
        return (await asyncio.get_running_loop().sock_accept(sock))[0]

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _stream(self, connection: socket.socket) -> Stream:
        loop = asyncio.get_running_loop()
        return (await loop.connect_accepted_socket(lambda: Stream(self._buffer), connection))[1]

    def _start(self, stream: Stream) -> None:
        task = asyncio.create_task(self._session(stream))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)


async def listen(
    host: str | None, port: int, serve_one: Handler[Stream], *, max_connections: int = MAX_CONNECTIONS
) -> Listener:
    """Run ``serve_one`` for each connection to any address of a host; see BaseListener."""
    listener = Listener(host, port, serve_one, max_connections=max_connections)
    await listener._begin()
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
    grace: float = GRACE,
    **options: Unpack[ServeOptions],
) -> AsyncIterator[Listener]:
    """Run a server while the ``async with`` block lasts; see ServeOptions."""
    run = session_runner(handler, ServerOptions(**options), ServerSession)
    listener = await listen(host, port, run, max_connections=max_connections)
    try:
        yield listener
    finally:
        await listener.close(grace)
