"""Streams and listeners: the same test coroutines on the three adapters, with raw sockets as their peers.

On the blocking adapter a coroutine runs in the thread of the test, and what runs beside it in another.
Peers are in the same thread where the system's buffers hold what is exchanged, and otherwise in one of a pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from smtpcore import asyncio as asyncio_adapter
from smtpcore import sync as sync_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net import basestream as _basestream
from smtpcore._net import listener as _listener
from smtpcore._net import sockets as _sockets
from smtpcore._net import tls as _tls
from smtpcore._net.stream import expect_silence

SOON = 0.05  # seconds until a timeout that is meant to be reached
LATE = 60.0  # seconds until one that is not
MUCH = bytes(24) * 1024 * 1024  # octets that no system buffers for us


def _has_address(host: str) -> bool:
    """Whether this machine has an address: a container often has no ::1."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.bind((host, 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_address("::1")
OTHER_HOST = "::1" if HAS_IPV6 else "127.0.0.2"  # a second loopback address
OTHER_FAMILY = socket.AF_INET6 if HAS_IPV6 else socket.AF_INET
needs_other_host = pytest.mark.skipif(not _has_address(OTHER_HOST), reason="there is one loopback address")


def other_address(port: int) -> tuple[Any, ...]:
    return (OTHER_HOST, port, 0, 0) if HAS_IPV6 else (OTHER_HOST, port)


class Outcome:
    """What became of a coroutine that ran beside the test."""

    value: Any = None
    error: BaseException | None = None

    async def of(self, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.value = await function()
        except Exception as error:
            self.error = error


class Sync:
    module: Any = sync_adapter

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting = threading.Event()

        def noting(original: Callable[..., Any]) -> Callable[..., Any]:
            def wait(*args: Any) -> Any:
                if threading.current_thread() is not threading.main_thread():
                    self._waiting.set()
                return original(*args)

            return wait

        monkeypatch.setattr(sync_adapter, "wait_ready", noting(sync_adapter.wait_ready))
        monkeypatch.setattr(sync_adapter.Stream, "_receive", noting(sync_adapter.Stream._receive))

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        sync_adapter.run(function())

    async def settle(self) -> None:
        """Let happen what can happen without us: in an event loop much, and here what other threads do."""
        time.sleep(0)

    @contextlib.asynccontextmanager
    async def beside(self, function: Callable[[], Awaitable[Any]]) -> AsyncIterator[Outcome]:
        """Run a coroutine until it has to wait, then the body, then both to their ends."""
        outcome = Outcome()
        self._waiting.clear()
        thread = threading.Thread(target=lambda: sync_adapter.run(outcome.of(function)), daemon=True)
        thread.start()
        assert self._waiting.wait(LATE)
        yield outcome
        thread.join(LATE)

    @contextlib.asynccontextmanager
    async def listening(self, serve_one: Any, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Any]:
        listener = sync_adapter.listen(host, 0, serve_one, **options)
        try:
            yield listener
        finally:
            listener.close(0)

    async def listen(self, port: int) -> None:
        sync_adapter.listen("127.0.0.1", port, echo)

    async def close(self, listener: Any, grace: float = LATE) -> None:
        listener.close(grace)


class Asyncio:
    module: Any = asyncio_adapter

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pass

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(function())

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def beside(self, function: Callable[[], Awaitable[Any]]) -> AsyncIterator[Outcome]:
        outcome = Outcome()
        task = asyncio.create_task(outcome.of(function))
        await self.settle()
        yield outcome
        await task

    @contextlib.asynccontextmanager
    async def listening(self, serve_one: Any, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Any]:
        listener = await asyncio_adapter.listen(host, 0, serve_one, **options)
        try:
            yield listener
        finally:
            await listener.close(0)

    async def listen(self, port: int) -> None:
        await asyncio_adapter.listen("127.0.0.1", port, echo)

    async def close(self, listener: Any, grace: float = LATE) -> None:
        await listener.close(grace)


class Uvloop(Asyncio):
    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(function())


class Trio:
    module: Any = trio_adapter

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pass

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        trio.run(function)

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    @contextlib.asynccontextmanager
    async def beside(self, function: Callable[[], Awaitable[Any]]) -> AsyncIterator[Outcome]:
        outcome = Outcome()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.of, function)
            await self.settle()
            yield outcome

    @contextlib.asynccontextmanager
    async def listening(self, serve_one: Any, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Any]:
        async with trio.open_nursery() as nursery:
            listener = await trio_adapter.listen(host, 0, serve_one, nursery=nursery, **options)
            try:
                yield listener
            finally:
                with trio.CancelScope(shield=True):
                    await listener.close(0)

    async def listen(self, port: int) -> None:
        async with trio.open_nursery() as nursery:
            with pytest.raises(OSError, match="cannot listen") as caught:
                await trio_adapter.listen("127.0.0.1", port, echo, nursery=nursery)
        raise caught.value

    async def close(self, listener: Any, grace: float = LATE) -> None:
        await listener.close(grace)


Adapter = Sync | Asyncio | Trio


@pytest.fixture(params=[Sync, Asyncio, Uvloop, Trio], ids=["sync", "asyncio", "uvloop", "trio"])
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    made: Adapter = request.param(monkeypatch)
    return made


def scenario(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a test coroutine with ``adapter`` among its arguments."""

    @functools.wraps(function)
    def test(**arguments: Any) -> None:
        arguments["adapter"].run(lambda: function(**arguments))

    return test


@contextlib.asynccontextmanager
async def connected(adapter: Adapter, **options: Any) -> AsyncIterator[tuple[Any, socket.socket]]:
    """A stream and the raw socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # or the system may take very much
        stream = await adapter.module.open_stream(*server.getsockname(), timeout=LATE, **options)
        with server.accept()[0] as peer:
            peer.settimeout(LATE)
            try:
                yield stream, peer
            finally:
                await stream.close()


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def read_exactly(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.read(LATE)
        assert more
        data += more
    return data


def receive_exactly(peer: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = peer.recv(65536)
        assert more
        data += more
    return bytes(data)


async def echo(stream: Any) -> None:
    while data := await stream.read(LATE):
        await stream.write(data, LATE)


async def assert_broken(stream: Any) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionAbortedError, match="closed, or an earlier call failed"):
            await stream.read(LATE)
        with pytest.raises(ConnectionAbortedError, match="closed, or an earlier call failed"):
            await stream.write(b"x", LATE)
    with pytest.raises(ConnectionAbortedError, match="closed, or an earlier call failed"):
        await stream.start_tls(
            ssl.create_default_context(), server_side=False, server_hostname="localhost", timeout=LATE
        )


# -- plaintext --


@scenario
async def test_a_stream_reads_and_writes_and_knows_its_addresses(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        assert stream.peername == peer.getsockname()
        assert stream.sockname == peer.getpeername()
        assert (stream.tls, stream.idle, stream.stopping) == (None, False, False)
        peer.sendall(b"there")
        assert await stream.read(LATE) == b"there"
        await stream.write(b"and ", LATE)
        await stream.write(b"back", None)
        assert receive_exactly(peer, 8) == b"and back"


@scenario
async def test_the_end_stays_the_end_and_writing_goes_on(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"last")
        peer.shutdown(socket.SHUT_WR)
        assert await read_exactly(stream, 4) == b"last"
        assert await stream.read(LATE) == b""
        assert await stream.read(LATE) == b""
        await stream.write(b"farewell", LATE)
        assert receive_exactly(peer, 8) == b"farewell"


@scenario
async def test_a_read_waits_for_ever_without_a_timeout(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.read(None)) as outcome:
            peer.sendall(b"at last")
        assert outcome.value == b"at last"


@scenario
async def test_close_ends_the_connection_behind_what_was_written(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        await stream.write(b"bye", LATE)
        await stream.close()
        assert receive_exactly(peer, 3) == b"bye"
        assert peer.recv(1) == b""
        await assert_broken(stream)
        await stream.close()


@scenario
async def test_a_reset_is_an_oserror_and_breaks_the_stream(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await stream.read(LATE)
        await assert_broken(stream)


@scenario
async def test_writing_to_a_peer_that_is_gone_is_an_oserror(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        reset(peer)
        with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken|lost"):
            await stream.write(MUCH, LATE)
        await assert_broken(stream)


@scenario
async def test_writing_after_the_event_loop_has_seen_the_reset_is_an_oserror(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        reset(peer)
        await adapter.settle()
        with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken|lost"):
            await stream.write(b"x", LATE)
        await assert_broken(stream)
    async with connected(adapter) as (stream, peer):
        reset(peer)
        await adapter.settle()


@scenario
async def test_a_writer_that_waits_notices_the_reset(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
            reset(peer)
        assert isinstance(outcome.error, OSError)
        assert not isinstance(outcome.error, TimeoutError)


@scenario
async def test_a_read_that_times_out_has_lost_nothing(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        with pytest.raises(TimeoutError, match="took too long"):
            await stream.read(SOON)
        await stream.write(b"farewell", LATE)
        assert peer.recv(100) == b"farewell"
        peer.sendall(b"late")
        assert await stream.read(LATE) == b"late"


@scenario
async def test_a_writer_whose_peer_does_not_read_times_out(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, _):
        with pytest.raises(TimeoutError, match="took too long"):
            await stream.write(MUCH, SOON)
        await assert_broken(stream)


@scenario
async def test_a_sooner_deadline_counts_behind_a_later_one(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"x")
        assert await stream.read(LATE) == b"x"
        with pytest.raises(TimeoutError):
            await stream.read(SOON)


@scenario
async def test_a_deadline_does_not_outlive_its_call(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer), connected(adapter) as (clock, _):
        peer.sendall(b"1")
        assert await stream.read(SOON) == b"1"
        with pytest.raises(TimeoutError):
            await clock.read(2 * SOON)
        peer.sendall(b"2")
        assert await stream.read(SOON) == b"2"
    async with connected(adapter) as (stream, peer), connected(adapter) as (clock, _):
        peer.sendall(b"3")
        assert await stream.read(SOON) == b"3"
        async with adapter.beside(lambda: stream.read(None)) as outcome:
            with pytest.raises(TimeoutError):
                await clock.read(2 * SOON)
            peer.sendall(b"4")
        assert outcome.value == b"4"
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"5")
        assert await stream.read(SOON) == b"5"
        with pytest.raises(TimeoutError):
            await stream.read(2 * SOON)


@scenario
async def test_a_flood_that_nobody_reads_is_left_with_the_peer(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        peer.setblocking(False)
        sent = refusals = 0
        while refusals < 3 and sent < len(MUCH):
            try:
                sent += peer.send(MUCH[:65536])
                refusals = 0
            except BlockingIOError:
                refusals += 1
                await adapter.settle()
        assert sent < len(MUCH)
        peer.shutdown(socket.SHUT_WR)
        assert await read_exactly(stream, sent) == MUCH[:sent]
        assert await stream.read(LATE) == b""


@scenario
async def test_one_reads_while_another_writes(adapter: Adapter) -> None:
    """Two that both want to write much before they read would wait for each other for ever."""
    async with connected(adapter) as (stream, peer):
        with ThreadPoolExecutor() as pool:
            async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
                sending = pool.submit(peer.sendall, MUCH[: 12 << 20])
                assert await read_exactly(stream, 12 << 20) == MUCH[: 12 << 20]
                sending.result(LATE)
                receiving = pool.submit(receive_exactly, peer, len(MUCH))
            assert outcome.error is None
            assert receiving.result(LATE) == MUCH


@scenario
async def test_two_readers_at_a_time_are_refused_and_the_first_is_not_disturbed(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            with pytest.raises(RuntimeError, match="in use"):
                await stream.read(LATE)
            with pytest.raises(RuntimeError, match="in use"):
                await stream.start_tls(
                    ssl.create_default_context(), server_side=False, server_hostname="localhost", timeout=LATE
                )
            await stream.write(b"yes", LATE)
            assert receive_exactly(peer, 3) == b"yes"
            peer.sendall(b"for the first")
        assert outcome.value == b"for the first"


@scenario
async def test_two_writers_at_a_time_are_refused_and_the_first_is_not_disturbed(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        with ThreadPoolExecutor() as pool:
            async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
                with pytest.raises(RuntimeError, match="in use"):
                    await stream.write(b"x", LATE)
                with pytest.raises(RuntimeError, match="in use"):
                    await stream.start_tls(
                        ssl.create_default_context(), server_side=False, server_hostname="a", timeout=LATE
                    )
                receiving = pool.submit(receive_exactly, peer, len(MUCH))
            assert outcome.error is None
            assert receiving.result(LATE) == MUCH


@pytest.mark.parametrize("how", ["abort", "close"])
@scenario
async def test_whoever_waits_fails_when_the_stream_is_ended(adapter: Adapter, how: str) -> None:
    async with connected(adapter) as (stream, _):
        async with (
            adapter.beside(lambda: stream.read(LATE)) as reading,
            adapter.beside(lambda: stream.write(MUCH, LATE)) as writing,
        ):
            ended = getattr(stream, how)()
            if ended is not None:
                await ended
        for outcome in (reading, writing):
            assert isinstance(outcome.error, OSError)
            assert not isinstance(outcome.error, TimeoutError)
        stream.abort()
        await assert_broken(stream)


def test_a_blocking_write_that_is_about_to_wait_when_the_stream_is_closed_is_an_oserror(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with connected(Sync(monkeypatch)) as (stream, _):

            def closed_by_another_thread(*args: Any) -> None:
                sync_adapter.run(stream.close())
                wait_ready(*args)

            wait_ready = sync_adapter.wait_ready
            monkeypatch.setattr(sync_adapter, "wait_ready", closed_by_another_thread)
            with pytest.raises(OSError, match="Bad file descriptor"):
                await stream.write(MUCH, LATE)

    sync_adapter.run(main())


def test_a_blocking_stream_whose_socket_is_closed_has_an_oserror_for_what_has_arrived() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = sync_adapter.Stream(ours)
        ours.close()  # as by another thread, after the stream has looked whether it is closed
        with pytest.raises(OSError, match="Bad file descriptor"):
            stream.arrived()


# -- what has arrived --


@scenario
async def test_what_has_arrived_is_given_without_waiting(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        assert stream.arrived() is None
        peer.sendall(b"there")
        assert stream.arrived() == b"there"
        assert stream.arrived() is None
        peer.sendall(b"a")
        assert await stream.read(LATE) == b"a"
        peer.sendall(b"b" * (_tls.READ_SIZE + 1))
        found = b""
        while len(found) <= _tls.READ_SIZE:
            piece = stream.arrived() or b""
            assert len(piece) <= _tls.READ_SIZE
            found += piece
        peer.shutdown(socket.SHUT_WR)
        assert await stream.read(LATE) == b""
        assert stream.arrived() == b""
        await stream.write(b"farewell", LATE)
        assert receive_exactly(peer, 8) == b"farewell"


@scenario
async def test_the_end_is_seen_without_waiting(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"last")
        peer.shutdown(socket.SHUT_WR)
        assert stream.arrived() == b"last"
        assert stream.arrived() == b""
        assert stream.arrived() == b""
        assert await stream.read(LATE) == b""


@scenario
async def test_a_reset_is_seen_without_waiting(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        reset(peer)
        with pytest.raises(ConnectionResetError):
            stream.arrived()
        await assert_broken(stream)
        assert stream.arrived() is None


@scenario
async def test_a_reader_is_not_overtaken(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            with pytest.raises(RuntimeError, match="in use"):
                stream.arrived()
            peer.sendall(b"for the reader")
        assert outcome.value == b"for the reader"


@scenario
async def test_an_idle_stream_that_stops_has_come_to_its_end(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, _):
        stream.idle = True
        stream.stop()
        assert stream.arrived() == b""


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize("before", [True, False], ids=["before the write", "while it waits"])
@scenario
async def test_what_the_peer_said_before_it_went_is_not_lost_with_a_failed_write(
    adapter: Adapter, before: bool
) -> None:
    async with connected(adapter) as (stream, peer):
        if before:
            await stream.write(b"x", LATE)
            peer.sendall(b"552 no")
            peer.close()  # with an octet unread, which is a reset
            with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken|lost"):
                await stream.write(MUCH, LATE)
        else:
            async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
                peer.sendall(b"552 no")
                peer.close()
            assert isinstance(outcome.error, OSError)
        assert stream.arrived() == b"552 no"
        assert stream.arrived() is None
        await assert_broken(stream)


def test_what_the_event_loop_has_not_read_is_not_lost_with_a_failed_write_on_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The transport may see that the connection broke before it has read what came before."""

    async def unread() -> None:
        adapter = Asyncio(monkeypatch)
        async with connected(adapter) as (stream, peer):
            async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
                stream._transport.pause_reading()
                peer.sendall(b"552 no")
                peer.close()
            assert isinstance(outcome.error, OSError)
            assert stream.arrived() == b"552 no"

    asyncio.run(unread())


@scenario
async def test_what_the_peer_said_is_not_lost_with_a_write_that_times_out(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"452 later")
        with pytest.raises(TimeoutError):
            await stream.write(MUCH, SOON)
        assert stream.arrived() == b"452 later"


@scenario
async def test_last_words_are_left_to_the_reader_if_there_is_one(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, _):
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            with pytest.raises(TimeoutError):
                await stream.write(MUCH, SOON)
        assert isinstance(outcome.error, OSError)
        assert stream.arrived() is None


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize("how", ["replies", "closes its half"])
@scenario
async def test_a_write_that_waits_ends_when_the_peer_breaks_an_expected_silence(
    adapter: Adapter, how: str
) -> None:
    """The peer keeps the connection and does not read: there is no other sign."""
    async with connected(adapter) as (stream, peer):
        expect_silence(stream, True)
        async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
            if how == "replies":
                peer.sendall(b"552 no")
            else:
                peer.shutdown(socket.SHUT_WR)
        assert isinstance(outcome.error, ConnectionAbortedError)
        assert stream.arrived() == (b"552 no" if how == "replies" else None)
        await assert_broken(stream)


@scenario
async def test_a_write_that_need_not_wait_leaves_what_has_arrived_to_the_reader(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        expect_silence(stream, True)
        peer.sendall(b"552 no")
        await stream.write(b"x", LATE)
        assert await stream.read(LATE) == b"552 no"


@scenario
async def test_a_write_that_waits_goes_on_if_no_silence_is_expected(
    adapter: Adapter, pool: ThreadPoolExecutor
) -> None:
    async with connected(adapter) as (stream, peer):
        expect_silence(stream, True)
        expect_silence(stream, False)
        async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
            peer.sendall(b"250 ok")
            receiving = pool.submit(receive_exactly, peer, len(MUCH))
        assert outcome.error is None
        assert receiving.result(LATE) == MUCH
        assert await stream.read(LATE) == b"250 ok"


# -- the pump --


@scenario
async def test_a_pump_calls_its_function_until_that_gives_something(adapter: Adapter) -> None:
    pieces: list[Any] = []

    def take(arrival: Any) -> str | None:
        pieces.append(arrival)
        return "enough" if b"." in arrival else None

    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.pump(take)) as outcome:
            for piece in (b"one", b"two", b"three."):
                peer.sendall(piece)
                await adapter.settle()
        assert outcome.value == "enough"
        assert b"".join(pieces) == b"onetwothree."
        peer.sendall(b"afterwards")
        assert await stream.read(LATE) == b"afterwards"


@scenario
async def test_a_pump_gives_the_end_and_errors_as_values(adapter: Adapter) -> None:
    def take(arrival: Any) -> Any:
        return arrival if isinstance(arrival, OSError) or not arrival else None

    async with connected(adapter) as (stream, peer):
        peer.sendall(b"last")
        peer.shutdown(socket.SHUT_WR)
        assert await stream.pump(take) == b""
        assert await stream.pump(take) == b""
    async with connected(adapter) as (stream, peer):
        reset(peer)
        assert isinstance(await stream.pump(take), ConnectionResetError)
        await assert_broken(stream)
    async with connected(adapter) as (stream, _), connected(adapter) as (other, _):
        async with adapter.beside(lambda: stream.pump(take)) as outcome:
            await other.close()
            stream.abort()
        assert isinstance(outcome.value, ConnectionAbortedError)


@scenario
async def test_the_function_of_a_pump_may_bring_the_deadline_closer(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):

        def take(arrival: Any) -> Any:
            if isinstance(arrival, TimeoutError):
                return arrival
            stream.deadline = time.monotonic() + SOON
            return None

        stream.deadline = time.monotonic() + LATE
        peer.sendall(b"x")
        assert isinstance(await stream.pump(take), TimeoutError)
        await stream.write(b"farewell", LATE)
        assert receive_exactly(peer, 8) == b"farewell"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, StopIteration])
@scenario
async def test_what_the_function_of_a_pump_raises_is_raised_by_the_pump(
    adapter: Adapter, error: type[BaseException]
) -> None:
    """And not in the event loop, which others need as well."""

    def take(arrival: Any) -> None:
        raise error("at work")

    async def pumped() -> str:
        with pytest.raises(RuntimeError if error is StopIteration else error, match=r"work|StopIteration"):
            await stream.pump(take)
        return "raised"

    async with connected(adapter) as (stream, peer):
        async with adapter.beside(pumped) as outcome:
            peer.sendall(b"x")
        assert outcome.value == "raised"
        await stream.write(b"sorry", LATE)
        assert receive_exactly(peer, 5) == b"sorry"


def test_records_of_tls_that_arrive_together_are_given_together(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """A peer that puts each octet into a record of its own does not make a call of each."""
    ours = _tls.TlsChannel(server_context, True, None)
    peer = _tls.TlsChannel(client_context, False, "localhost")
    done = [False, False]
    while not all(done):
        for number, (one, other) in enumerate(((peer, ours), (ours, peer))):
            done[number] = done[number] or one.shake_hands()
            if octets := one.output():
                other.feed(octets)
    ours.feed(b"".join([peer.encrypt(b"x"), peer.encrypt(b"y"), peer.encrypt(b"z"), peer.farewell()]))
    assert [ours.decrypt(), ours.decrypt()] == [b"xyz", b""]


def test_a_pump_that_is_cancelled_closes_what_was_to_be_awaited_on_asyncio() -> None:
    """Python would warn of a coroutine that was never awaited."""

    async def due() -> None:
        raise AssertionError("this is not awaited")

    async def test() -> None:
        ours, peer = socket.socketpair()
        with peer:
            stream = await asyncio_adapter.open_stream("", 0, sock=ours)
            coroutine = due()
            task = asyncio.create_task(stream.pump(lambda arrival: coroutine))
            await asyncio.sleep(0)
            stream.buffer_updated(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert coroutine.cr_frame is None
            await stream.close()

    asyncio.run(test())


def test_the_system_is_told_the_time_of_a_blocking_read_only_when_it_has_come_closer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[float] = []
    original = sync_adapter.Stream._set_patience

    def set_patience(stream: Any) -> None:
        original(stream)
        calls.append(stream._patience)

    async def test() -> None:
        async with connected(Sync(monkeypatch)) as (stream, peer):
            monkeypatch.setattr(sync_adapter.Stream, "_set_patience", set_patience)
            for seconds in (LATE, LATE, 0.9 * LATE, 0.6 * LATE, 2 * LATE):
                peer.sendall(b"x")
                assert await stream.read(seconds) == b"x"
            assert len(calls) == 1
            assert 0.4 * LATE < calls[0] <= 0.5 * LATE
            peer.sendall(b"x")
            assert await stream.read(0.2 * LATE) == b"x"
            assert len(calls) == 2
            with pytest.raises(TimeoutError):
                await stream.read(SOON)
            async with Sync(monkeypatch).beside(lambda: stream.read(None)) as outcome:
                time.sleep(2 * SOON)
                peer.sendall(b"late")
            assert outcome.value == b"late"
            assert calls[-1] == float("inf"), "the system was told that there is no deadline any more"

    sync_adapter.run(test())


# -- stopping --


@scenario
async def test_stop_wakes_an_idle_read_and_the_stream_can_still_be_written(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        stream.idle = True
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            stream.stop()
        assert outcome.value == b""
        assert stream.stopping
        assert await stream.read(LATE) == b""
        await stream.write(b"we stop", LATE)
        assert receive_exactly(peer, 7) == b"we stop"


@scenario
async def test_stop_leaves_a_read_alone_that_is_not_idle(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            stream.stop()
            await adapter.settle()
            peer.sendall(b"the rest")
        assert outcome.value == b"the rest"
        peer.sendall(b"and more")
        assert await stream.read(LATE) == b"and more"
        stream.idle = True
        assert await stream.read(LATE) == b""


@scenario
async def test_a_handshake_that_stop_cuts_short_fails(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, _):
        stream.idle = True
        start = functools.partial(
            stream.start_tls,
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            server_side=True,
            server_hostname=None,
            timeout=LATE,
        )
        async with adapter.beside(start) as outcome:
            stream.stop()
        assert isinstance(outcome.error, ConnectionAbortedError)
        await assert_broken(stream)


# -- cancellation --


def test_a_cancelled_read_or_write_breaks_an_asyncio_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled() -> None:
        for call in ("read", "write"):
            async with connected(Asyncio(monkeypatch)) as (stream, _):
                task = asyncio.create_task(stream.read(LATE) if call == "read" else stream.write(MUCH, LATE))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await assert_broken(stream)

    asyncio.run(cancelled())


def test_a_cancelled_read_or_write_breaks_a_trio_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled() -> None:
        for call in ("read", "write"):
            async with connected(Trio(monkeypatch)) as (stream, _):
                with trio.move_on_after(SOON) as scope:
                    await (stream.read(None) if call == "read" else stream.write(MUCH, None))
                assert scope.cancelled_caught
                await assert_broken(stream)

    trio.run(cancelled)


def test_trio_streams_let_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def polite() -> None:
        async with connected(Trio(monkeypatch)) as (stream, peer):
            peer.sendall(b"x")
            with trio.testing.assert_checkpoints():
                await stream.read(LATE)
            with trio.testing.assert_checkpoints():
                await stream.write(b"x", LATE)

    trio.run(polite)


# -- TLS --


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made


def as_client(context: ssl.SSLContext) -> dict[str, Any]:
    return {"context": context, "server_side": False, "server_hostname": "localhost", "timeout": LATE}


def as_server(context: ssl.SSLContext) -> dict[str, Any]:
    return {"context": context, "server_side": True, "server_hostname": None, "timeout": LATE}


class TlsPeer:
    """The other end under TLS; its calls are for a thread of the pool, as they wait for ours."""

    def __init__(self, peer: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        self.socket = context.wrap_socket(
            peer.dup(),
            server_side=server_side,
            server_hostname=None if server_side else "localhost",
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self.socket.settimeout(LATE)

    def shake_hands(self) -> None:
        try:
            self.socket.do_handshake()
        except BaseException:
            self.socket.close()
            raise


@contextlib.asynccontextmanager
async def connected_in_tls(
    adapter: Adapter, pool: ThreadPoolExecutor, server: ssl.SSLContext, client: ssl.SSLContext
) -> AsyncIterator[tuple[Any, ssl.SSLSocket]]:
    """A stream that is the client, and its peer."""
    async with connected(adapter) as (stream, peer):
        other = TlsPeer(peer, server, server_side=True)
        peer.close()
        shaking = pool.submit(other.shake_hands)
        await stream.start_tls(**as_client(client))
        shaking.result(LATE)
        with other.socket:
            yield stream, other.socket


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@scenario
async def test_the_client_side_of_tls(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, authority: trustme.CA, version: Any
) -> None:
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.minimum_version = client_context.maximum_version = version
    authority.configure_trust(client_context)
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        assert stream.tls.version == peer.version()
        assert stream.tls.cipher == peer.cipher()[0]
        assert stream.tls.server_hostname == "localhost"
        assert stream.tls.peer_certificate["subjectAltName"] == (("DNS", "localhost"),)
        data = os.urandom(200_000)  # of several records
        await stream.write(data, LATE)
        assert pool.submit(receive_exactly, peer, len(data)).result(LATE) == data
        sending = pool.submit(peer.sendall, data)
        assert await read_exactly(stream, len(data)) == data
        sending.result(LATE)
        await stream.write(b"", LATE)


@scenario
async def test_the_server_side_of_tls(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        other = TlsPeer(peer, client_context, server_side=False)
        shaking = pool.submit(other.shake_hands)
        info = await stream.start_tls(**as_server(server_context))
        shaking.result(LATE)
        with other.socket as peer_in_tls:
            assert info is stream.tls
            assert info.version == peer_in_tls.version()
            assert info.server_hostname == "localhost"  # the client asked for it (SNI)
            assert info.peer_certificate is None
            peer_in_tls.sendall(b"there")
            assert await stream.read(LATE) == b"there"
            await stream.write(b"back", LATE)
            assert peer_in_tls.recv(100) == b"back"


@scenario
async def test_tls_takes_reading_and_writing_at_a_time(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
            sending = pool.submit(peer.sendall, MUCH[: 12 << 20])
            assert await read_exactly(stream, 12 << 20) == MUCH[: 12 << 20]
            sending.result(LATE)
            receiving = pool.submit(receive_exactly, peer, len(MUCH))
        assert outcome.error is None
        assert receiving.result(LATE) == MUCH


@scenario
async def test_what_has_arrived_in_tls_is_given_without_waiting(
    adapter: Adapter, client_context: Any, server_context: Any, pool: ThreadPoolExecutor
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert stream.arrived() is None, "tickets of TLS 1.3 are no data"
        peer.sendall(b"there")
        assert stream.arrived() == b"there"
        assert stream.arrived() is None


@pytest.mark.req("RPL-26")
@scenario
async def test_what_the_peer_said_in_tls_is_not_lost_with_a_failed_write(
    adapter: Adapter, client_context: Any, server_context: Any, pool: ThreadPoolExecutor
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await stream.write(b"x", LATE)
        peer.sendall(b"552 no")
        peer.close()
        with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken|lost"):
            await stream.write(MUCH, LATE)
        assert stream.arrived() == b"552 no"


@pytest.mark.req("TLS-31")
@scenario
async def test_close_ends_tls_before_the_connection(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        await stream.write(b"bye", LATE)
        await stream.close()
        assert peer.recv(3) == b"bye"
        assert peer.recv(1) == b""  # an end that is not announced raises, as ragged ones are not suppressed
        await assert_broken(stream)


@scenario
async def test_close_does_not_wait_for_a_peer_that_does_not_read(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, _):
        async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
            await stream.close()
        assert isinstance(outcome.error, OSError)


@scenario
async def test_a_full_connection_is_closed_without_a_last_word(adapter: Adapter) -> None:
    async with connected(adapter) as (stream, peer):
        raw = socket.socket(fileno=os.dup(stream_socket(stream)))
        with raw:
            raw.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    raw.send(MUCH[:65536])
        await stream._finish(b"last")
        assert peer.recv(1) == b"\0"


def stream_socket(stream: Any) -> int:
    if isinstance(stream, asyncio_adapter.Stream):
        descriptor: int = stream._transport.get_extra_info("socket").fileno()
    else:
        descriptor = stream._socket.fileno()
    return descriptor


@pytest.mark.parametrize("announced", [True, False])
@scenario
async def test_the_end_of_tls_need_not_be_announced(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any, announced: bool
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        peer.sendall(b"last")
        if announced:
            unwrapping = pool.submit(peer.unwrap)
        else:
            peer.shutdown(socket.SHUT_RDWR)
        assert await stream.read(LATE) == b"last"
        assert await stream.read(LATE) == b""
        assert await stream.read(LATE) == b""
        await stream.close()
        if announced:
            unwrapping.result(LATE).close()


@scenario
async def test_garbage_in_tls_is_an_ssl_error(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        with socket.socket(fileno=os.dup(peer.fileno())) as raw:
            raw.sendall(b"this is not TLS")
        with pytest.raises(ssl.SSLError):
            await stream.read(LATE)
        await adapter.settle()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            peer.recv(1)
        await assert_broken(stream)


@scenario
async def test_garbage_after_data_of_tls_is_not_taken_for_the_end(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        peer.sendall(b"last")
        with socket.socket(fileno=os.dup(peer.fileno())) as raw:
            raw.sendall(b"this is not TLS")
        assert await stream.read(LATE) == b"last"
        with pytest.raises(ssl.SSLError):
            await stream.read(LATE)
        await assert_broken(stream)


@scenario
async def test_garbage_in_tls_is_seen_without_waiting(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.socket(fileno=os.dup(peer.fileno())) as raw:
            raw.sendall(b"this is not TLS")
        with pytest.raises(ssl.SSLError):
            stream.arrived()
        await adapter.settle()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            peer.recv(1)


@scenario
async def test_a_reset_tls_connection_is_an_oserror_and_can_be_closed(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await stream.read(LATE)
    async with connected_in_tls(adapter, pool, server_context, client_context) as (stream, peer):
        reset(peer)
        await stream.close()
        await assert_broken(stream)


@pytest.mark.parametrize("server_side", [True, False])
@scenario
async def test_a_peer_that_speaks_plaintext_fails_the_handshake(
    adapter: Adapter, server_context: Any, client_context: Any, server_side: bool
) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"220 localhost ESMTP ready\r\n")
        with pytest.raises(ssl.SSLError):
            await stream.start_tls(**(as_server(server_context) if server_side else as_client(client_context)))
        assert stream.tls is None
        await assert_broken(stream)


@scenario
async def test_plaintext_that_came_with_the_word_for_tls_is_never_read(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        peer.sendall(b"start")
        assert await stream.read(LATE) == b"start"
        peer.sendall(b"injected")
        await adapter.settle()  # where there is an event loop it has been received by now
        other = TlsPeer(peer, client_context, server_side=False)
        shaking = pool.submit(other.shake_hands)
        with pytest.raises(ssl.SSLError):
            await stream.start_tls(**as_server(server_context))
        await adapter.settle()
        assert isinstance(shaking.exception(LATE), OSError)
        await assert_broken(stream)


@scenario
async def test_a_first_message_that_came_early_belongs_to_the_handshake(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        other = TlsPeer(peer, client_context, server_side=False)
        other.socket.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            other.socket.do_handshake()
        await adapter.settle()
        other.socket.settimeout(LATE)
        shaking = pool.submit(other.shake_hands)
        await stream.start_tls(**as_server(server_context))
        shaking.result(LATE)
        other.socket.close()


@scenario
async def test_a_client_refuses_a_certificate_and_tells_the_server_why(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        other = TlsPeer(peer, server_context, server_side=True)
        shaking = pool.submit(other.shake_hands)
        with pytest.raises(ssl.SSLCertVerificationError):
            await stream.start_tls(**as_client(ssl.create_default_context()))
        await adapter.settle()
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
            shaking.result(LATE)
        await assert_broken(stream)


@scenario
async def test_a_server_hears_that_its_certificate_is_refused(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        other = TlsPeer(peer, ssl.create_default_context(), server_side=False)
        shaking = pool.submit(other.shake_hands)
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
            await stream.start_tls(**as_server(server_context))
        assert isinstance(shaking.exception(LATE), ssl.SSLCertVerificationError)
        await assert_broken(stream)


@scenario
async def test_the_end_in_a_handshake_is_an_ssl_error(adapter: Adapter, client_context: Any) -> None:
    async with connected(adapter) as (stream, peer):
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ssl.SSLError):
            await stream.start_tls(**as_client(client_context))
        await assert_broken(stream)


@scenario
async def test_a_handshake_that_times_out_breaks_the_stream(adapter: Adapter, client_context: Any) -> None:
    async with connected(adapter) as (stream, _):
        with pytest.raises(TimeoutError):
            await stream.start_tls(**{**as_client(client_context), "timeout": SOON})
        await assert_broken(stream)


@scenario
async def test_a_handshake_may_take_for_ever(
    adapter: Adapter, pool: ThreadPoolExecutor, server_context: Any, client_context: Any
) -> None:
    async with connected(adapter) as (stream, peer):
        start = functools.partial(stream.start_tls, **{**as_client(client_context), "timeout": None})
        async with adapter.beside(start) as outcome:
            other = TlsPeer(peer, server_context, server_side=True)
            shaking = pool.submit(other.shake_hands)
        shaking.result(LATE)
        assert outcome.value is stream.tls
        other.socket.close()


class Chatty:
    """Stands for a TLS context whose peer asks for key updates.

    Of what arrives, each K is answered with 27 octets, as a key update is in TLS 1.3; the rest is data.
    """

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> Chatty:
        self._incoming, self._outgoing = incoming, outgoing
        self.server_hostname = None
        return self

    def do_handshake(self) -> None:
        pass

    def cipher(self) -> None:
        return None

    version = getpeercert = cipher

    def read(self, size: int) -> bytes:
        data = self._incoming.read(size)
        self._outgoing.write(b"u" * 27 * data.count(b"K"))
        if rest := data.replace(b"K", b""):
            return rest
        raise ssl.SSLWantReadError

    def write(self, data: memoryview) -> int:
        return self._outgoing.write(data)

    def unwrap(self) -> None:
        raise ssl.SSLWantReadError


@contextlib.asynccontextmanager
async def chatty(adapter: Adapter) -> AsyncIterator[tuple[Any, socket.socket]]:
    context: Any = Chatty()
    async with connected(adapter) as (stream, peer):
        await stream.start_tls(context, server_side=True, server_hostname=None, timeout=LATE)
        yield stream, peer


@scenario
async def test_what_tls_wants_to_send_of_its_own_accord_does_not_wait_for_a_write(adapter: Adapter) -> None:
    async with chatty(adapter) as (stream, peer):
        peer.sendall(b"KKKdata")
        assert await stream.read(LATE) == b"data"
        assert receive_exactly(peer, 3 * 27) == b"u" * 3 * 27
        peer.sendall(b"K")
        async with adapter.beside(lambda: stream.read(LATE)) as outcome:
            assert receive_exactly(peer, 27) == b"u" * 27
            peer.sendall(b"more")
        assert outcome.value == b"more"
        assert stream._channel.owed == 0


def fill(stream: Any) -> int:
    """Fill what the system buffers for a stream; returns the number of octets."""
    sent = 0
    with socket.socket(fileno=os.dup(stream_socket(stream))) as raw:
        raw.setblocking(False)
        for size in (65536, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += raw.send(b"f" * size)
    return sent


@scenario
async def test_a_peer_that_asks_for_key_updates_and_does_not_read_is_dropped(adapter: Adapter) -> None:
    """30,000 of them would otherwise hold 810 KB."""
    most = 0
    async with chatty(adapter) as (stream, peer):
        fill(stream)

        async def read_all() -> None:
            nonlocal most
            for _ in range(300):
                peer.sendall(b"K" * 99 + b"x")
                await stream.read(LATE)
                most = max(most, stream._channel.owed)

        with pytest.raises(ConnectionAbortedError, match="asks for TLS messages and does not read them"):
            await read_all()
        assert 0 < most <= _tls.OWN_OUTPUT
        await assert_broken(stream)


@scenario
async def test_what_the_system_has_not_taken_goes_before_what_is_written_next(
    adapter: Adapter, pool: ThreadPoolExecutor
) -> None:
    """Records of TLS have an order, and half of one may have been sent."""
    async with chatty(adapter) as (stream, peer):
        offer = stream._offer
        stream._offer = lambda data: offer(data[:10]) + data[10:]
        for _ in range(2):
            peer.sendall(b"K" * 1000 + b"x")
            assert await stream.read(LATE) == b"x"
        assert stream._channel.owed > 50_000
        expected = b"u" * 27 * 2000 + b"w" * 300_000
        receiving = pool.submit(receive_exactly, peer, len(expected))
        await stream.write(b"w" * 300_000, LATE)
        assert receiving.result(LATE) == expected


def make_endless(stream: Any, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Let octets arrive without end, and a second pass with each look at the clock; return the clock."""
    clock = iter(range(100))

    async def pump(take: Callable[[bytes], Any]) -> Any:
        while (result := take(octets)) is None:
            pass
        return result

    stream._pump = pump
    monkeypatch.setattr(_basestream, "time", SimpleNamespace(monotonic=clock.__next__))
    return clock


@scenario
async def test_records_without_data_do_not_prolong_a_deadline(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chatty(adapter) as (stream, peer):
        clock = make_endless(stream, b"K", monkeypatch)
        with pytest.raises(TimeoutError, match="took too long"):
            await stream.read(9)
        assert next(clock) == 10
        monkeypatch.undo()
        with ThreadPoolExecutor() as readers:
            readers.submit(peer.recv, 100).result(LATE)


@scenario
async def test_a_handshake_without_end_does_not_prolong_its_deadline(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(Chatty):
        def do_handshake(self) -> None:
            raise ssl.SSLWantReadError

    context: Any = Endless()
    async with connected(adapter) as (stream, _):
        clock = make_endless(stream, b"x", monkeypatch)
        with pytest.raises(TimeoutError, match="took too long"):
            await stream.start_tls(context, server_side=True, server_hostname=None, timeout=9)
        assert next(clock) == 10


@scenario
async def test_a_stream_that_gives_way_lets_others_run(adapter: Adapter) -> None:
    ran: list[bool] = []

    async def other() -> None:
        ran.append(True)

    async with connected(adapter) as (stream, _):
        if isinstance(adapter, Asyncio):
            task = asyncio.create_task(other())
            await stream.give_way()
            assert ran == [True]
            await task
        elif isinstance(adapter, Trio):
            with trio.testing.assert_checkpoints():
                await stream.give_way()
        else:  # each session has its own thread
            await stream.give_way()


@pytest.mark.parametrize("state", ["open", "writing", "gone"])
@scenario
async def test_a_farewell_is_sent_if_that_needs_no_waiting(adapter: Adapter, state: str) -> None:
    async with connected(adapter) as (stream, peer):
        stream.farewell = lambda: b"farewell"
        if state == "open":
            stream.dismiss()
            await adapter.settle()
            assert receive_exactly(peer, 8) == b"farewell"
            assert peer.recv(1) == b""
        elif state == "writing":
            async with adapter.beside(lambda: stream.write(MUCH, LATE)) as outcome:
                stream.dismiss()
            assert isinstance(outcome.error, OSError)
            await adapter.settle()
            heard = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while data := peer.recv(1 << 20):
                    heard += data
            assert not heard.strip(b"\0"), "nothing comes between the octets of a writer"
        else:
            reset(peer)
            with contextlib.suppress(OSError):
                await stream.read(LATE)
            stream.dismiss()
        await assert_broken(stream)


# -- connecting --


def found(*addresses: tuple[Any, ...]) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver that finds addresses, whatever the name."""

    def getaddrinfo(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6 if len(address) == 4 else socket.AF_INET, socket.SOCK_STREAM, 0, "", address)
            for address in addresses
        ]

    return getaddrinfo


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@scenario
async def test_a_refused_connection_is_an_oserror(adapter: Adapter, closed_port: int) -> None:
    for timeout in (LATE, None):
        with pytest.raises(ConnectionRefusedError):
            await adapter.module.open_stream("127.0.0.1", closed_port, timeout=timeout)


@scenario
async def test_the_next_address_is_tried(
    adapter: Adapter, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(adapter, Uvloop):
        pytest.skip("uvloop does not call socket.getaddrinfo()")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", closed_port), server.getsockname()))
        stream = await adapter.module.open_stream("two.example", 25, timeout=LATE)
        assert stream.peername == server.getsockname()
        await stream.close()


@scenario
async def test_when_no_address_answers_the_last_error_counts(
    adapter: Adapter, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(adapter, Uvloop):
        pytest.skip("uvloop does not call socket.getaddrinfo()")
    with silent_server() as address:
        monkeypatch.setattr(socket, "getaddrinfo", found(address, ("127.0.0.1", closed_port)))
        with pytest.raises(ConnectionRefusedError):
            # The silent address gets half of the time. A busy machine needs the rest to reach the other one.
            await adapter.module.open_stream("two.example", 25, timeout=20 * SOON)


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, int]]:
    """An address that does not answer: its backlog is full."""
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
@scenario
async def test_a_connection_that_is_not_answered_times_out(adapter: Adapter) -> None:
    with silent_server() as address, pytest.raises(TimeoutError):
        await adapter.module.open_stream(*address, timeout=SOON)


@scenario
async def test_a_local_address_of_another_machine_is_named(adapter: Adapter) -> None:
    async with adapter.listening(echo) as listener:
        with pytest.raises(OSError, match=r"local_address '192\.0\.2\.1': "):
            await adapter.module.open_stream(*listener.addresses[0], local_address="192.0.2.1", timeout=LATE)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one loopback address")
@scenario
async def test_the_local_address_can_be_chosen(adapter: Adapter) -> None:
    async with connected(adapter, local_address="127.0.0.2") as (stream, peer):
        assert peer.getpeername()[0] == "127.0.0.2"
        assert stream.sockname == peer.getpeername()


@pytest.mark.parametrize("make", [sync_adapter.Stream, trio_adapter.Stream])
def test_a_stream_of_a_socket_that_is_not_connected_any_more_has_no_peername(make: Any) -> None:
    async def look() -> None:
        with socket.socket() as sock:
            assert make(sock).peername == ""

    trio.run(look)


@pytest.mark.skipif(sys.platform == "win32", reason="a descriptor has no number there")
@pytest.mark.parametrize("make", [sync_adapter.Stream, trio_adapter.Stream])
def test_a_descriptor_may_have_any_number(make: Any) -> None:
    """select() takes none above 1,023."""
    import fcntl
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= 1024:
        if hard != resource.RLIM_INFINITY and hard <= 1024:
            pytest.skip("no more descriptors are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (1100, hard))
    try:

        async def run() -> None:
            one, peer = socket.socketpair()
            with one, peer:
                stream = make(socket.socket(fileno=fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 1024)))
                with pytest.raises(TimeoutError, match="took too long"):
                    await stream.read(0)
                with pytest.raises(TimeoutError, match="took too long"):
                    await stream.write(MUCH, 0)
                await stream.close()

        trio.run(run) if make is trio_adapter.Stream else sync_adapter.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
@pytest.mark.parametrize("make", [sync_adapter.Stream, trio_adapter.Stream])
def test_a_stream_may_be_of_a_unix_socket(make: Any) -> None:
    async def look() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        with theirs:
            stream = make(ours)
            theirs.sendall(b"local")
            assert await stream.read(LATE) == b"local"
            await stream.close()

    trio.run(look)


# -- listening --


async def dial(adapter: Adapter, listener: Any) -> Any:
    return await adapter.module.open_stream(*listener.addresses[0], timeout=LATE)


async def ask(stream: Any, data: bytes) -> bytes:
    await stream.write(data, LATE)
    return await read_exactly(stream, len(data))


async def assert_ended(stream: Any) -> None:
    try:
        assert await stream.read(LATE) == b""
    except ConnectionError:
        pass
    await stream.close()


@scenario
async def test_a_listener_runs_sessions_beside_each_other(adapter: Adapter) -> None:
    async with adapter.listening(echo) as listener:
        [(host, port)] = listener.addresses
        assert (host, port > 0) == ("127.0.0.1", True)
        first, second = await dial(adapter, listener), await dial(adapter, listener)
        for data in (b"a", b"b"):
            assert await ask(first, data) == data
            assert await ask(second, data) == data
        assert {stream.peername for stream in listener.streams} == {first.sockname, second.sockname}
        await first.close()
        assert await ask(second, b"c") == b"c"
        await second.close()


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")
@scenario
async def test_a_listener_on_ipv6(adapter: Adapter) -> None:
    async with adapter.listening(echo, "::1") as listener:
        stream = await dial(adapter, listener)
        assert stream.peername[:2] == listener.addresses[0]
        assert await ask(stream, b"six") == b"six"
        await stream.close()


@needs_other_host
@scenario
async def test_a_listener_on_all_addresses_of_a_name(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", found(("127.0.0.1", 0), other_address(0)))
        context = adapter.listening(echo, "two.example")
        listener = await context.__aenter__()
    assert [host for host, _ in listener.addresses] == ["127.0.0.1", OTHER_HOST]
    assert len({port for _, port in listener.addresses}) == 1
    for address in listener.addresses:
        stream = await adapter.module.open_stream(*address, timeout=LATE)
        assert await ask(stream, b"x") == b"x"
        await stream.close()
    await context.__aexit__(None, None, None)


def refusal(sockname: Any, reason: str) -> bytes:
    return reason.encode()


async def assert_refused(stream: Any, reason: bytes) -> None:
    assert await read_exactly(stream, len(reason)) == reason
    await assert_ended(stream)


@scenario
async def test_connections_above_the_limit_are_refused_at_once(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_listener, "PATIENCE", 0)
    async with adapter.listening(echo, max_connections=2, refusal=refusal) as listener:
        first, second = await dial(adapter, listener), await dial(adapter, listener)
        assert await ask(second, b"both") == b"both"
        for _ in range(3):
            await assert_refused(await dial(adapter, listener), b"too many connections")
        assert await ask(first, b"not disturbed") == b"not disturbed"
        assert len(listener.streams) == 2
        await first.close()
        while len(listener._admitted) == 2:
            await adapter.settle()
        third = await dial(adapter, listener)
        assert await ask(third, b"a place") == b"a place"
        await second.close()
        await third.close()
    assert [record.getMessage() for record in caplog.records] == [
        "connections are refused: too many connections"
    ], "one line for all of them"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one loopback address")
@scenario
async def test_one_address_cannot_take_all_places(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    options = {"max_connections": 9, "max_connections_per_address": 2, "refusal": refusal}
    async with adapter.listening(echo, **options) as listener:

        async def dial_from(address: str) -> Any:
            where = listener.addresses[0]
            return await adapter.module.open_stream(*where, local_address=address, timeout=LATE)

        streams = [await dial_from(address) for address in ("127.0.0.2", "127.0.0.2", "127.0.0.3")]
        for stream in streams:
            assert await ask(stream, b"served") == b"served"
        await assert_refused(await dial_from("127.0.0.2"), b"too many connections from 127.0.0.2")
        streams.append(await dial_from("127.0.0.3"))
        assert await ask(streams[3], b"served") == b"served"
        await assert_refused(await dial_from("127.0.0.3"), b"too many connections from 127.0.0.3")
        for stream in streams:
            await stream.close()
    assert len(caplog.records) == 2


@scenario
async def test_a_connection_to_a_full_server_waits_a_moment_for_a_session_that_ends(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, looked = adapter.module.Server._sleep, threading.Event()

    async def noted(self: Any, seconds: float) -> None:
        looked.set()
        await sleep(self, seconds)

    monkeypatch.setattr(adapter.module.Server, "_sleep", noted)
    monkeypatch.setattr(_listener, "PATIENCE", 1_000_000)
    monkeypatch.setattr(_listener, "HANDOVER", 0.001)
    async with adapter.listening(echo, max_connections=1, refusal=refusal) as listener:
        first, second = await dial(adapter, listener), await dial(adapter, listener)
        assert await ask(first, b"first") == b"first"
        while not looked.is_set():
            await adapter.settle()
        await first.close()
        assert await ask(second, b"second") == b"second"
        await second.close()


@pytest.mark.parametrize("other", [Asyncio, Uvloop])
def test_the_deadlines_of_all_connections_to_an_asyncio_server_have_one_timer(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = other(monkeypatch)
    wait_for = asyncio_adapter._Watch.wait_for
    timers: list[float] = []

    def noted(self: Any, deadline: float) -> None:
        timers.append(deadline)
        wait_for(self, deadline)

    async def serve_one(stream: Any) -> None:
        seconds = LATE
        while True:
            try:
                seconds = float(await stream.read(seconds))
                await stream.write(b"ready", LATE)
            except ValueError:  # the end
                return
            except TimeoutError:
                await stream.write(b"late!", LATE)
                seconds = LATE

    async def waiting() -> None:
        async with adapter.listening(serve_one) as listener:
            patient = [await dial(adapter, listener) for _ in range(20)]
            for stream in patient:
                assert await ask(stream, str(LATE).encode()) == b"ready"
            monkeypatch.setattr(asyncio_adapter._Watch, "wait_for", noted)
            for stream in patient:
                assert await ask(stream, str(LATE).encode()) == b"ready"
            assert timers == []
            for _ in range(2):
                for stream, seconds in zip(patient, (SOON, 4 * SOON), strict=False):
                    assert await ask(stream, str(seconds).encode()) == b"ready"
                for stream in patient[:2]:
                    assert await read_exactly(stream, 5) == b"late!"
            assert await ask(patient[2], str(LATE).encode()) == b"ready"
            for stream in patient:
                stream.abort()

    adapter.run(waiting)


@pytest.mark.parametrize("other", [Asyncio, Uvloop])
def test_an_accepting_loop_that_waits_does_not_keep_the_event_loop_busy(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listening socket with connections is ready until they are accepted."""
    adapter = other(monkeypatch)
    wake = asyncio_adapter.Server._wake_acceptor
    looked: list[socket.socket] = []

    def noted(self: Any, sock: socket.socket) -> None:
        looked.append(sock)
        wake(self, sock)

    monkeypatch.setattr(asyncio_adapter.Server, "_wake_acceptor", noted)
    monkeypatch.setattr(_listener, "HANDOVER", LATE)

    async def waiting() -> None:
        async with adapter.listening(echo, max_connections=1) as listener:
            streams = [await dial(adapter, listener) for _ in range(3)]
            assert await ask(streams[0], b"first") == b"first"
            for _ in range(10):
                await adapter.settle()
            assert len(looked) <= 3  # the second connection waits for a place, the third is not accepted
            for stream in streams:
                stream.abort()

    adapter.run(waiting)


@scenario
async def test_a_refusal_is_not_lost_for_a_client_that_has_sent_already(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close with octets unread is a reset, which drops what the client has not read yet."""
    monkeypatch.setattr(_listener, "PATIENCE", 3)
    async with adapter.listening(echo, max_connections=1, refusal=refusal) as listener:
        first = await dial(adapter, listener)
        assert await ask(first, b"first") == b"first"
        with socket.create_connection(listener.addresses[0]) as second:
            second.sendall(b"in a hurry")
            while not listener._places.refused:
                await adapter.settle()
            while second.fileno() >= 0 and not (heard := second.recv(100)):
                pass
            assert heard == b"too many connections"
            assert second.recv(100) == b""
        await first.close()


@pytest.mark.parametrize("options", [{"max_connections": 0}, {"max_connections_per_address": 0}])
def test_numbers_of_connections_are_positive(adapter: Adapter, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be (None or )?at least 1, not 0"):
        adapter.module.Server("127.0.0.1", 0, echo, **options)


@scenario
async def test_a_failing_session_is_logged_and_the_next_one_runs(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve_one(stream: Any) -> None:
        if await stream.read(LATE) == b"fail":
            raise ValueError("as told")
        await stream.write(b"fine", LATE)

    async with adapter.listening(serve_one, max_connections=1) as listener:
        stream = await dial(adapter, listener)
        peername = stream.sockname
        await stream.write(b"fail", LATE)
        await assert_ended(stream)
        stream = await dial(adapter, listener)
        await stream.write(b"succeed", LATE)
        assert await read_exactly(stream, 4) == b"fine"
        await stream.close()
    [record] = caplog.records
    assert record.name == "smtpcore"
    assert record.getMessage() == f"a session with {peername} failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


@scenario
async def test_close_lets_sessions_say_goodbye(adapter: Adapter) -> None:
    async def serve_one(stream: Any) -> None:
        stream.idle = True
        await echo(stream)
        assert stream.stopping
        await stream.write(b"goodbye", LATE)

    async with adapter.listening(serve_one) as listener:
        stream = await dial(adapter, listener)
        assert await ask(stream, b"hello") == b"hello"
        await adapter.close(listener)
        assert listener.streams == set()
        assert await read_exactly(stream, 7) == b"goodbye"
        await assert_ended(stream)
        with pytest.raises(ConnectionRefusedError):
            await dial(adapter, listener)


@scenario
async def test_close_waits_for_a_session_that_is_at_work(adapter: Adapter) -> None:
    async def serve_one(stream: Any) -> None:
        await stream.write(b"go on", LATE)
        work = await read_exactly(stream, 4)
        await stream.write(b"done: " + work, LATE)

    async with adapter.listening(serve_one) as listener:
        stream = await dial(adapter, listener)
        assert await read_exactly(stream, 5) == b"go on"
        async with adapter.beside(lambda: read_exactly(stream, 10)) as outcome:
            await stream.write(b"work", LATE)
            await adapter.close(listener)
        assert outcome.value == b"done: work"
        assert listener.streams == set()
        await stream.close()


@scenario
async def test_close_ends_sessions_when_their_grace_is_over(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    async with adapter.listening(echo) as listener:
        stream = await dial(adapter, listener)
        assert await ask(stream, b"hello") == b"hello"
        await adapter.close(listener, grace=SOON)
        assert listener.streams == set()
        await assert_ended(stream)
        await adapter.close(listener, grace=0)
    assert caplog.records == []


@scenario
async def test_close_drops_who_still_waits_for_a_place(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, waiting = adapter.module.Server._sleep, threading.Event()

    async def noted(self: Any, seconds: float) -> None:
        waiting.set()
        await sleep(self, LATE)

    monkeypatch.setattr(adapter.module.Server, "_sleep", noted)
    async with adapter.listening(echo, max_connections=1) as listener:
        first, second = await dial(adapter, listener), await dial(adapter, listener)
        assert await ask(first, b"first") == b"first"
        while not waiting.is_set():
            await adapter.settle()
        await adapter.close(listener, grace=0)
        for stream in (first, second):
            await assert_ended(stream)


@scenario
async def test_a_listener_survives_what_accepting_and_starting_may_meet(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, make = adapter.module.Server._accept, adapter.module.Server._stream
    start = adapter.module.Server._start
    accepting: list[OSError] = [
        OSError(errno.EMFILE, "no descriptors"),
        OSError(errno.EMFILE, "no descriptors"),
        ConnectionAbortedError(errno.ECONNABORTED, "gone already"),
    ]
    making = [OSError(errno.EINVAL, "gone already")]
    starting = [RuntimeError("no threads")]

    async def failing_accept(self: Any, sock: socket.socket) -> Any:
        if accepting:
            raise accepting.pop(0)
        return await accept(self, sock)

    async def failing_stream(self: Any, connection: socket.socket) -> Any:
        if making:
            raise making.pop(0)
        return await make(self, connection)

    def failing_start(self: Any, connection: socket.socket) -> None:
        if starting:
            raise starting.pop(0)
        start(self, connection)

    monkeypatch.setattr(_listener, "PAUSE", 0.001)
    monkeypatch.setattr(adapter.module.Server, "_accept", failing_accept)
    monkeypatch.setattr(adapter.module.Server, "_stream", failing_stream)
    monkeypatch.setattr(adapter.module.Server, "_start", failing_start)
    async with adapter.listening(echo, max_connections=1) as listener:
        for _ in range(2):
            await assert_ended(await dial(adapter, listener))
        stream = await dial(adapter, listener)
        assert await ask(stream, b"at last") == b"at last"
        assert len(listener.streams) == 1
        await stream.close()
    assert [record.getMessage() for record in caplog.records] == [
        "cannot accept connections: [Errno 24] no descriptors",
        "a connection is dropped: no threads",
        "a connection is dropped: [Errno 22] gone already",
    ]


@scenario
async def test_a_session_that_starts_while_the_server_stops_is_told_so(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, stop = adapter.module.Server._stream, adapter.module.Server._stop_sessions
    stopping: list[bool] = []

    async def late(self: Any, connection: socket.socket) -> Any:
        stream = await make(self, connection)
        stop(self)  # before the listener knows the stream
        return stream

    async def serve_one(stream: Any) -> None:
        stream.idle = True
        assert await stream.read(LATE) == b""
        stopping.append(stream.stopping)

    monkeypatch.setattr(adapter.module.Server, "_stream", late)
    async with adapter.listening(serve_one) as listener:
        await assert_ended(await dial(adapter, listener))
    assert stopping == [True]


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("other", [Asyncio, Uvloop, Trio])
def test_a_connection_that_arrives_when_the_server_stops_is_closed(
    other: Any, steps: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever point the event loop has come to, the connection has an owner that closes it."""
    adapter = other(monkeypatch)

    async def stopping() -> None:
        async with adapter.listening(echo) as listener:
            await adapter.settle()
            with socket.create_connection(listener.addresses[0]) as peer:
                for _ in range(steps):
                    await (trio.lowlevel.checkpoint() if other is Trio else asyncio.sleep(0))
                await adapter.close(listener, grace=0)
                peer.settimeout(LATE)
                try:
                    assert peer.recv(1) == b""
                except ConnectionResetError:
                    pass

    adapter.run(stopping)
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("other", [Asyncio, Trio])
def test_a_listener_whose_start_is_cancelled_does_not_listen(
    other: Any, steps: int, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def starting() -> None:
        if other is Asyncio:
            task = asyncio.create_task(asyncio_adapter.listen("127.0.0.1", closed_port, echo))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not task.cancel():
                await (await task).close()
            await asyncio.wait([task])
        else:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as scope:
                    scope.deadline = trio.current_time() + (0 if steps else -1)
                    listener = await trio_adapter.listen("127.0.0.1", closed_port, echo, nursery=nursery)
                    await listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", closed_port))

    other(monkeypatch).run(starting)


def test_a_blocking_listener_that_has_no_threads_does_not_listen(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        sync_adapter.listen("127.0.0.1", closed_port, echo)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed_port))


def test_asyncio_accepts_on_a_loop_that_cannot_watch_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proactor loop of Windows."""

    def add_reader(*_: Any) -> None:
        raise NotImplementedError

    async def accepting() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", add_reader, raising=False)
        adapter = Asyncio(monkeypatch)
        async with adapter.listening(echo) as listener:
            for _ in range(2):
                stream = await dial(adapter, listener)
                assert await ask(stream, b"x") == b"x"
                await stream.close()

    asyncio.run(accepting())


@scenario
async def test_an_abort_ends_a_close_that_waits(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listener, "ABORT_TIME", SOON)
    ended = threading.Event()

    async def serve_one(stream: Any) -> None:
        stream.idle = True
        stream.farewell = lambda: b"farewell"
        await echo(stream)  # until the server stops
        listener.abort()
        try:
            await stream.give_way()
            if isinstance(adapter, Sync):
                assert ended.wait(LATE)
        finally:
            ended.set()

    async with adapter.listening(serve_one) as listener:
        stream = await dial(adapter, listener)
        assert await ask(stream, b"hello") == b"hello"
        await adapter.close(listener, grace=LATE * LATE)
        assert await read_exactly(stream, 8) == b"farewell"
        await assert_ended(stream)
        assert ended.is_set() is not isinstance(adapter, Sync)
        ended.set()


@pytest.mark.parametrize("other", [Asyncio, Trio])
def test_a_session_that_does_not_end_is_cancelled(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = other(monkeypatch)
    ended = []

    async def serve_one(stream: Any) -> None:
        try:
            await stream.write(b"hello", LATE)
            await (asyncio.sleep(LATE) if other is Asyncio else trio.sleep(LATE))
        finally:
            ended.append(stream)

    async def cancelling() -> None:
        async with adapter.listening(serve_one) as listener:
            stream = await dial(adapter, listener)
            assert await read_exactly(stream, 5) == b"hello"
            await adapter.close(listener, grace=0)
            assert len(ended) == 1
            await assert_ended(stream)

    adapter.run(cancelling)


@pytest.mark.parametrize("other", [Asyncio, Uvloop])
def test_a_session_that_is_aborted_before_its_first_step_is_closed(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = other(monkeypatch)

    async def aborting() -> None:
        async with adapter.listening(echo) as listener:
            ours, theirs = socket.socketpair()
            with theirs:
                await listener._admit(ours, "")
                listener.abort()
                await adapter.settle()
                assert ours.fileno() == -1
                assert listener._admitted == {}

    adapter.run(aborting)


def test_a_session_that_is_cancelled_from_outside_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancelling() -> None:
        adapter = Asyncio(monkeypatch)
        async with adapter.listening(echo) as listener:
            stream = await dial(adapter, listener)
            assert await ask(stream, b"hello") == b"hello"
            [task] = listener._sessions
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await assert_ended(stream)

    asyncio.run(cancelling())
    assert caplog.records == []


def test_cancelling_the_nursery_ends_a_trio_listener(caplog: pytest.LogCaptureFixture) -> None:
    async def cancelling() -> None:
        async with trio.open_nursery() as nursery:
            listener = await trio_adapter.listen("127.0.0.1", 0, echo, nursery=nursery)
            stream = await trio_adapter.open_stream(*listener.addresses[0], timeout=LATE)
            assert await ask(stream, b"hello") == b"hello"
            nursery.cancel_scope.cancel()
        await assert_ended(stream)
        with pytest.raises(ConnectionRefusedError):
            await trio_adapter.open_stream(*listener.addresses[0], timeout=LATE)

    trio.run(cancelling)
    assert caplog.records == []


def test_a_trio_listener_goes_on_when_a_connection_was_taken_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def taking() -> None:
        async with Trio(monkeypatch).listening(echo) as listener:
            [sock] = listener._sockets
            with socket.create_connection(listener.addresses[0]):
                sock.accept()[0].close()  # before the task that waits for it has its turn
                await trio.testing.wait_all_tasks_blocked()
                stream = await trio_adapter.open_stream(*listener.addresses[0], timeout=LATE)
                assert await ask(stream, b"next") == b"next"
                await stream.close()

    trio.run(taking)


@scenario
async def test_a_taken_port_is_an_error_at_once(adapter: Adapter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address") as caught:
            await adapter.listen(port)
        assert caught.value.errno == errno.EADDRINUSE


# -- bind --


def test_a_host_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(
        socket.gaierror, match=r"cannot listen on no\.example port 25: Name or service not known"
    ):
        _sockets.bind("no.example", 25)


def test_addresses_that_this_system_has_not_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", found(("192.0.2.1", 0), ("127.0.0.1", 0), ("127.0.0.1", 0)))
    [sock] = _sockets.bind("three.example", 0)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", found(("192.0.2.1", 0)))
    with pytest.raises(OSError, match=r"cannot listen on one\.example port 0: ") as caught:
        _sockets.bind("one.example", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@needs_other_host
def test_another_port_is_chosen_if_the_first_is_taken_at_the_second_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listen, asked = _sockets._listen, []

    def taken_once(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
        asked.append(address)
        if len(asked) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return listen(family, kind, protocol, address)

    monkeypatch.setattr(_sockets, "_listen", taken_once)
    monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", 0), other_address(0)))
    sockets = _sockets.bind("two.example", 0)
    try:
        assert [address[:2] for address in asked[:3]] == [("127.0.0.1", 0), asked[1][:2], ("127.0.0.1", 0)]
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", OTHER_HOST]
    finally:
        for sock in sockets:
            sock.close()


@needs_other_host
def test_a_socket_that_cannot_be_bound_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((OTHER_HOST, 0), family=OTHER_FAMILY) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", port), other_address(port)))
        with pytest.raises(OSError, match=f"cannot listen on two.example port {port}"):
            _sockets.bind("two.example", port)
        with socket.create_server(("127.0.0.1", port)):
            pass
