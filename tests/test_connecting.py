"""connect() of the three adapters: with and without a block, over a socket of one's own, over Unix sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trio

from smtpcore import ArgumentTypeError, ConnectionFailed, SendResult, sync
from smtpcore import asyncio as asyncio_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net.stream import run as run_blocking

LATE = 60.0  # seconds until a timeout that is not meant to be reached
SENDER, ONE = "a@client.example", "one@mx.example"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"


class Blocking:
    """Awaits what the blocking adapter has done already."""

    adapter = sync
    asynchronous = False

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        run_blocking(function())

    async def given(self, value: Any) -> Any:
        return value

    async def in_block(self, opening: sync.Client, use: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        with opening as client:
            await use(client)


class Asyncio:
    adapter: Any = asyncio_adapter
    asynchronous = True

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(function())

    async def given(self, value: Any) -> Any:
        return await value

    async def in_block(self, opening: Any, use: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async with opening as client:
            await use(client)


class Trio(Asyncio):
    adapter = trio_adapter

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        trio.run(function)


@pytest.fixture(params=[Blocking, Asyncio, Trio], ids=["sync", "asyncio", "trio"])
def one(request: pytest.FixtureRequest) -> Any:
    return request.param()


class Peer:
    """A server in a thread, for one session, that accepts everything.

    Attributes:
        lines: What the client has sent.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.lines: list[bytes] = []
        self.listening = listening
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection = self.listening.accept()[0]
        with connection, connection.makefile("rwb") as file, suppress(OSError):
            reply = b"220 mx.example"
            in_content = False
            while True:
                if reply:
                    file.write(reply + b"\r\n")
                    file.flush()
                line = file.readline()
                if not line:
                    return
                self.lines.append(line.rstrip(b"\r\n"))
                if in_content:
                    in_content = line != b".\r\n"
                    reply = b"" if in_content else b"250 ok"
                else:
                    in_content = line == b"DATA\r\n"
                    reply = {b"DATA\r\n": b"354 go", b"QUIT\r\n": b"221 bye"}.get(line, b"250 ok")

    def join(self) -> None:
        self._thread.join(LATE)
        self.listening.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer(socket.create_server(("127.0.0.1", 0)))
    yield peer
    peer.listening.close()


@pytest.fixture
def unix_peer(tmp_path: Path) -> Iterator[Peer]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "smtp"))
    listening.listen()
    peer = Peer(listening)
    yield peer
    listening.close()


def port_of(peer: Peer) -> int:
    return int(peer.listening.getsockname()[1])


def test_a_client_can_be_used_without_a_block(one: Any, peer: Peer) -> None:
    async def test() -> None:
        client = await one.given(one.adapter.connect("127.0.0.1", port_of(peer)))
        assert isinstance(client, one.adapter.Client)
        assert (await one.given(client.noop())).code == 250
        await one.given(client.quit())
        await one.given(client.close())  # again

    one.run(test)
    peer.join()
    assert peer.lines[1:] == [b"NOOP", b"QUIT"]


def test_a_block_ends_with_quit(one: Any, peer: Peer) -> None:
    async def use(client: Any) -> None:
        assert isinstance(client, one.adapter.Client)
        await one.given(client.noop())

    async def test() -> None:
        await one.in_block(one.adapter.connect("127.0.0.1", port_of(peer)), use)

    one.run(test)
    peer.join()
    assert peer.lines[1:] == [b"NOOP", b"QUIT"]


def test_a_client_can_be_closed_without_quit(one: Any, peer: Peer) -> None:
    async def test() -> None:
        client = await one.given(one.adapter.connect("127.0.0.1", port_of(peer)))
        await one.given(client.close())

    one.run(test)
    peer.join()
    assert b"QUIT" not in peer.lines


def test_a_client_that_is_open_can_be_entered(one: Any, peer: Peer) -> None:
    async def use(client: Any) -> None:
        await one.given(client.noop())

    async def test() -> None:
        client = await one.given(one.adapter.connect("127.0.0.1", port_of(peer)))
        await one.in_block(client, use)

    one.run(test)
    peer.join()
    assert peer.lines[1:] == [b"NOOP", b"QUIT"]


def test_a_connected_socket_is_used(one: Any, peer: Peer) -> None:
    sock = socket.create_connection(("127.0.0.1", port_of(peer)))

    async def use(client: Any) -> None:
        assert client.context.host == "mx.invalid"

    async def test() -> None:
        await one.in_block(one.adapter.connect("mx.invalid", sock=sock), use)

    one.run(test)
    peer.join()
    assert peer.lines[-1] == b"QUIT"
    assert sock.fileno() == -1, "it was closed with the session"


@pytest.mark.parametrize("as_path", [False, True], ids=["string", "path"])
def test_a_unix_socket_is_reached_by_its_path(one: Any, unix_peer: Peer, as_path: bool) -> None:
    path = unix_peer.listening.getsockname()

    async def use(client: Any) -> None:
        assert (await one.given(client.send(SENDER, ONE, CONTENT))).accepted_recipients == (ONE,)

    async def test() -> None:
        await one.in_block(one.adapter.connect(Path(path) if as_path else path), use)

    one.run(test)
    unix_peer.join()
    assert unix_peer.lines[-1] == b"QUIT"


def test_a_path_without_a_socket_is_a_failed_connection(one: Any, tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ConnectionFailed) as caught:
            await one.given(one.adapter.connect(tmp_path / "nothing"))
        assert str(tmp_path / "nothing") in str(caught.value)
        assert "port" not in str(caught.value)
        assert caught.value.hint is not None and "socket" in caught.value.hint

    one.run(test)


def test_one_call_sends_one_message(one: Any, peer: Peer) -> None:
    message = EmailMessage()
    message["From"], message["To"] = SENDER, ONE
    message.set_content("Hello.")
    results: list[SendResult] = []

    async def test() -> None:
        call = one.adapter.send_message(message, "127.0.0.1", port_of(peer), local_hostname="client.example")
        results.append(await one.given(call))

    one.run(test)
    peer.join()
    assert results[0].accepted_recipients == (ONE,)
    assert peer.lines[0] == b"EHLO client.example" and peer.lines[-1] == b"QUIT"
    assert b"Hello." in peer.lines


async def pieces() -> AsyncIterator[bytes]:
    yield CONTENT[:5]
    yield CONTENT[5:]


def test_asynchronous_content_needs_a_task(one: Any, peer: Peer) -> None:
    async def use(client: Any) -> None:
        if one.asynchronous:
            assert (await client.send(SENDER, ONE, pieces())).accepted_recipients == (ONE,)
        else:
            with pytest.raises(ArgumentTypeError, match="asynchronous iterable") as caught:
                client.send(SENDER, ONE, pieces())
            assert caught.value.context is not None

    async def test() -> None:
        await one.in_block(one.adapter.connect("127.0.0.1", port_of(peer)), use)

    one.run(test)
    peer.join()
    assert (b"body" in peer.lines) is one.asynchronous
    assert (b"DATA" in peer.lines) is one.asynchronous


@pytest.mark.parametrize("one", [Asyncio(), Trio()], ids=["asyncio", "trio"])
def test_the_outcome_of_a_message_whose_task_was_cancelled_is_known(one: Any) -> None:
    """The server never replies to the final dot; it is the client that gives up."""
    listening = socket.create_server(("127.0.0.1", 0))
    arrived = threading.Event()
    cancel: list[Callable[[], object]] = []

    def serve() -> None:
        connection = listening.accept()[0]
        with connection, connection.makefile("rwb") as file, suppress(OSError):
            replies = [b"220 mx", b"250 mx", b"250 ok", b"250 ok", b"354 go"]
            for reply in replies:
                file.write(reply + b"\r\n")
                file.flush()
                file.readline()
            while file.readline() != b".\r\n":
                pass
            cancel[0]()
            arrived.wait(LATE)

    threading.Thread(target=serve, daemon=True).start()
    clients: list[Any] = []

    async def send() -> None:
        async with one.adapter.connect("127.0.0.1", listening.getsockname()[1]) as client:
            clients.append(client)
            await client.send(SENDER, ONE, CONTENT)

    async def with_asyncio() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.create_task(send())
        cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        with suppress(asyncio.CancelledError):
            await task

    async def with_trio() -> None:
        token, scope = trio.lowlevel.current_trio_token(), trio.CancelScope()
        cancel.append(lambda: token.run_sync_soon(scope.cancel))
        with scope:
            await send()

    one.run(with_trio if isinstance(one, Trio) else with_asyncio)
    arrived.set()
    listening.close()
    result = clients[0].last_result
    assert result.maybe_delivered
    assert result.retryable_recipients == (ONE,)
