"""Methods that are marked as blocking run in worker threads, those of several sessions at a time."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest
import trio

import smtpcore.asyncio
import smtpcore.sync
import smtpcore.trio
from smtpcore import EndOfMessage, ReplyError
from smtpcore._net.workers import in_worker, is_blocking, sink_in_worker
from smtpcore.handlers import Handler, blocking

CONTENT = b"Subject: x\r\n\r\nx\r\n"
SENDER, RECIPIENTS = "a@client.example", ["x@server.example"]
WAIT = 60.0  # seconds until a test that hangs fails


def send(address: tuple[str, int]) -> None:
    with smtpcore.sync.connect(*address, security="none") as client:
        client.send(SENDER, RECIPIENTS, CONTENT)


def send_at_once(address: tuple[str, int], times: int) -> list[Exception]:
    """Send a message over each of some connections at a time, and return what went wrong."""
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            send(address)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    return errors


def serve_with(adapter: str, handler: object, act: Callable[[tuple[str, int]], Any]) -> Any:
    """Serve with an adapter while a function acts as the clients, and return what it returns."""

    async def on_asyncio() -> Any:
        async with smtpcore.asyncio.serve(handler) as server:
            return await asyncio.to_thread(act, server.addresses[0])

    async def on_trio() -> Any:
        async with smtpcore.trio.serve(handler) as server:
            return await trio.to_thread.run_sync(act, server.addresses[0])

    if adapter == "asyncio":
        return asyncio.run(on_asyncio())
    if adapter == "trio":
        return trio.run(on_trio)
    with smtpcore.sync.serve(handler) as server:
        return act(server.addresses[0])


every_adapter = pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
with_a_loop = pytest.mark.parametrize("adapter", ["asyncio", "trio"])


class Threads(Handler):
    """Notes in which thread each method runs."""

    def __init__(self) -> None:
        self.seen: dict[str, threading.Thread] = {}

    def note(self, name: str) -> bool:
        self.seen[name] = threading.current_thread()
        return True

    def accept_sender(self, session: object, reverse_path: object, parameters: object) -> bool:
        return self.note("plain")

    @blocking
    def accept_recipient(self, session: object, forward_path: object, parameters: object) -> bool:
        return self.note("recipient")

    @blocking
    def store(self, session: object, envelope: object, content: BinaryIO) -> bool:
        return self.note("store") and content.read() == CONTENT


class Sink:
    """A sink that runs a function when the message is finished, in a worker thread."""

    def __init__(self, finish: Callable[[], bool]) -> None:
        self._finish = finish
        self.aborted = threading.Event()
        self.disconnected = False

    def begin_message(self, session: object, envelope: object) -> Sink:
        return self

    def write(self, data: bytes) -> None:
        pass

    @blocking
    def finish(self) -> bool:
        return self._finish()

    def abort(self) -> None:
        self.aborted.set()

    def on_disconnect(self, session: object) -> None:
        self.disconnected = True


class SinkThatAbortsInAWorker(Sink):
    """A sink whose ``abort()`` is marked as well."""

    @blocking
    def abort(self) -> None:
        super().abort()


@with_a_loop
def test_only_what_is_marked_leaves_the_thread_of_the_event_loop(adapter: str) -> None:
    handler = Threads()
    serve_with(adapter, handler, send)
    loop = threading.main_thread()
    assert handler.seen["plain"] is loop
    assert handler.seen["recipient"] is not loop and handler.seen["store"] is not loop


def test_on_blocking_sockets_everything_runs_in_the_thread_of_the_session() -> None:
    handler = Threads()
    serve_with("sync", handler, send)
    assert set(handler.seen) == {"plain", "recipient", "store"}
    assert len(set(handler.seen.values())) == 1


@every_adapter
def test_methods_of_several_sessions_run_at_the_same_time(adapter: str) -> None:
    together = threading.Barrier(3)
    handler = Sink(lambda: together.wait(WAIT) >= 0)
    assert serve_with(adapter, handler, lambda address: send_at_once(address, 3)) == []


@with_a_loop
def test_other_sessions_go_on_while_a_method_blocks(adapter: str) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    class Slow(Handler):
        @blocking
        def store(self, session: object, envelope: object, content: BinaryIO) -> bool:
            blocked.set()
            return go_on.wait(WAIT)

    def act(address: tuple[str, int]) -> list[Exception]:
        first = threading.Thread(target=send, args=(address,))
        first.start()
        try:
            assert blocked.wait(WAIT)
            with smtpcore.sync.connect(*address, security="none") as client:
                client.noop()
        finally:
            go_on.set()
            first.join(WAIT)
        return []

    assert serve_with(adapter, Slow(), act) == []


@every_adapter
@pytest.mark.parametrize("error", [OSError("the disk is broken"), StopIteration(), ValueError()], ids=repr)
def test_an_exception_in_a_worker_is_451(
    adapter: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> bool:
        raise error

    handler = Sink(fail)
    (refused,) = serve_with(adapter, handler, lambda address: send_at_once(address, 1))
    assert isinstance(refused, ReplyError) and refused.reply.code == 451
    assert "Sink.finish failed" in caplog.text
    assert handler.aborted.is_set()


@with_a_loop
def test_the_context_of_the_session_is_that_of_the_worker(adapter: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    class Traced(Handler):
        def accept_connection(self, session: object) -> bool:
            variable.set("set by the session")
            return True

        @blocking
        def store(self, session: object, envelope: object, content: BinaryIO) -> bool:
            seen.append(variable.get())
            return True

    serve_with(adapter, Traced(), send)
    assert seen == ["set by the session"]


# --- The end of a session meanwhile -----------------------------------------------------------------------


def replies_of(sock: socket.socket) -> bytes:
    """Everything that a server sends until it closes the connection."""
    received = b""
    while data := sock.recv(4096):
        received += data
    return received


def all_at_once(address: tuple[str, int]) -> socket.socket:
    """Send a whole session, and leave the connection open."""
    sock = socket.create_connection(address)
    sock.settimeout(WAIT)
    envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENTS[0]}>\r\nDATA\r\n"
    sock.sendall(b"EHLO client.example\r\n" + envelope.encode())
    received = b""
    while b"354 " not in received:
        received += sock.recv(4096)
    sock.sendall(CONTENT + b".\r\n")
    return sock


every_sink = pytest.mark.parametrize("kind", [Sink, SinkThatAbortsInAWorker])


@every_sink
def test_a_cancelled_session_on_asyncio_waits_for_the_worker_and_discards_the_message(kind: type[Sink]) -> None:
    blocked, go_on = threading.Event(), threading.Event()
    handler = kind(lambda: blocked.set() or go_on.wait(WAIT))  # type: ignore[func-returns-value]

    async def main() -> bytes:
        async with smtpcore.asyncio.serve(handler) as server:
            sock = await asyncio.to_thread(all_at_once, server.addresses[0])
            with sock:
                await asyncio.to_thread(blocked.wait, WAIT)
                closing = asyncio.create_task(server.close(grace=0))
                replies = await asyncio.to_thread(replies_of, sock)  # the sessions are cancelled
                for _ in range(10):
                    await asyncio.sleep(0)  # whatever the session still does without its worker, it does now
                assert not handler.aborted.is_set()
                go_on.set()
                await closing
        return replies

    assert asyncio.run(main()).startswith(b"421 ")
    assert handler.aborted.is_set() and handler.disconnected


@every_sink
def test_a_cancelled_session_on_trio_waits_for_the_worker_and_discards_the_message(kind: type[Sink]) -> None:
    blocked, go_on = threading.Event(), threading.Event()
    handler = kind(lambda: blocked.set() or go_on.wait(WAIT))  # type: ignore[func-returns-value]

    async def main() -> list[bytes]:
        replies: list[bytes] = []

        async def look(sock: socket.socket) -> None:
            replies.append(await trio.to_thread.run_sync(replies_of, sock))
            assert not handler.aborted.is_set()
            go_on.set()

        async with trio.open_nursery() as nursery:
            server = await nursery.start(smtpcore.trio.serve, handler)
            sock = await trio.to_thread.run_sync(all_at_once, server.addresses[0])
            with sock:
                await trio.to_thread.run_sync(blocked.wait, WAIT)
                nursery.start_soon(look, sock)
                await server.close(grace=0)
        return replies

    (replies,) = trio.run(main)
    assert replies.startswith(b"421 ")
    assert handler.aborted.is_set() and handler.disconnected


# --- The mark ---------------------------------------------------------------------------------------------


def test_an_async_method_cannot_be_marked() -> None:
    async def store() -> bool:
        return True

    with pytest.raises(TypeError, match=r"a method that blocks is plain, not async: .*store"):
        blocking(store)


def test_a_marked_method_is_an_ordinary_method_for_others() -> None:
    handler = Sink(lambda: True)
    assert handler.finish() is True


def test_a_handler_without_marks_is_called_as_it_is() -> None:
    class Plain:
        def write(self, data: bytes) -> None:
            pass

        def finish(self) -> bool:
            return True

        def abort(self) -> None:
            pass

    sink: Any = Plain()
    session: Any = None
    assert sink_in_worker(session, sink) is sink
    assert in_worker(sink.finish) == sink.finish


def test_an_event_loop_of_an_application_runs_what_blocks_beside() -> None:
    seen: list[threading.Thread] = []

    def save() -> str:
        seen.append(threading.current_thread())
        return "saved"

    async def handle(session: smtpcore.asyncio.ServerSession) -> None:
        async for event in session:
            if isinstance(event, EndOfMessage):
                assert await session.run_blocking(save) == "saved"
            if session.unanswered:
                session.accept()

    serve_with("asyncio", handle, send)
    assert len(seen) == 1 and seen[0] is not threading.main_thread()


def test_a_function_written_in_C_is_not_marked() -> None:
    assert not is_blocking(len)
    assert is_blocking(blocking(lambda: None))
