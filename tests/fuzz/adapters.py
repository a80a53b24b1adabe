"""Random sessions over loopback with the adapters: a real server, real sockets, and ends of every kind.

A run is one server of an adapter and a few clients at once, each a walk (``tests.walks``) in pieces, that ends
in one of the ways connections end: after QUIT, at its last octet, half-closed, or reset. Then a client of the
adapter talks to a server that is as random as that of ``tests.fuzz.client``.

Whatever happens,

* the server answers every client that waits, in lines of replies, and stops when it is asked to;
* only an ``SMTPError`` leaves a client;
* nothing is logged as an error, no exception of a task, thread or destructor is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from random import Random
from typing import Any

import trio

import smtpcore.asyncio
import smtpcore.sync
import smtpcore.trio
from smtpcore import ServerConfig, SMTPError
from smtpcore._net.stream import run as drive

from ..helpers import walks
from . import client as clients
from . import from_seed
from .server import check_replies, draw_cuts

SECONDS = 30.0
"""For anything that ends at once, unless it hangs."""

PATIENCE = 0.3
"""Seconds until a random server that has nothing to say hangs up: the client would wait for its own timeout."""

ADAPTERS = ("sync", "asyncio", "trio", *(["uvloop"] if importlib.util.find_spec("uvloop") else []))


class Handler:
    """An application that says no now and then, in the same order for the same seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def accept_sender(self, session: Any, path: Any, parameters: Any) -> bool:
        return self._random.random() < 0.9

    def accept_recipient(self, session: Any, path: Any, parameters: Any) -> bool:
        return self._random.random() < 0.8

    def check_credentials(self, session: Any, credentials: Any) -> bool:
        return self._random.random() < 0.7

    def store(self, session: Any, envelope: Any, content: Any) -> bool:
        content.read()
        return self._random.random() < 0.8


class _Log(logging.Handler):
    """What goes wrong without being raised."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(f"{record.name}: {record.getMessage()} {record.exc_info}")


@contextlib.contextmanager
def nothing_lost() -> Iterator[None]:
    """Fail if an error was logged, or an exception was nobody's, while the block lasted."""
    log, root = _Log(), logging.getLogger()
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = lambda args: log.found.append(f"thread: {args.exc_value!r}")
    sys.unraisablehook = lambda args: log.found.append(f"destructor: {args.exc_value!r}")
    root.addHandler(log)
    try:
        yield
    finally:
        root.removeHandler(log)
        threading.excepthook, sys.unraisablehook = hooks
    assert not log.found, "\n".join(log.found)


def on_loop(adapter: str, main: Callable[[], Any]) -> Any:
    """Run an asynchronous function as its adapter wants."""
    if adapter == "trio":
        return trio.run(main)
    factory = None
    if adapter == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@contextlib.contextmanager
def serving(adapter: str, handler: object, config: ServerConfig) -> Iterator[int]:
    """A server of an adapter in a thread of its own; its port."""
    if adapter == "sync":
        with smtpcore.sync.serve(handler, config=config) as listener:
            yield listener.addresses[0][1]
        return
    started: Future[tuple[int, Callable[[], object]]] = Future()

    async def main() -> None:
        if adapter == "trio":
            async with smtpcore.trio.serve(handler, config=config) as listener:
                stop, token = trio.Event(), trio.lowlevel.current_trio_token()
                started.set_result((listener.addresses[0][1], lambda: token.run_sync_soon(stop.set)))
                await stop.wait()
        else:
            async with smtpcore.asyncio.serve(handler, config=config) as listener:
                halt, loop = asyncio.Event(), asyncio.get_running_loop()
                started.set_result((listener.addresses[0][1], lambda: loop.call_soon_threadsafe(halt.set)))
                await halt.wait()

    thread = threading.Thread(target=on_loop, args=(adapter, main))
    thread.start()
    port, stop = started.result(SECONDS)
    try:
        yield port
    finally:
        stop()
        thread.join(SECONDS)
        assert not thread.is_alive(), "the server does not stop"


def _talk(port: int, pieces: list[bytes], end: str) -> bytes:
    """One client; what it has got, if it has waited for it."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
            if end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            if end == "close":
                return b""
            if end == "quit":
                sock.sendall(b"\r\n.\r\nQUIT\r\n")
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while data := sock.recv(65536):
                got += data
        except TimeoutError:
            raise AssertionError(f"the server leaves its client waiting after {pieces}") from None
        except OSError:  # the server has gone first
            return b""
        return got


def check_server(adapter: str, random: Random) -> None:
    """A few clients at once, each with an end of its own."""
    config = random.choice([one for one in walks.CONFIGS if not one.starttls])
    handler = Handler(Random(random.random()))
    with serving(adapter, handler, config) as port:
        results: list[Future[bytes]] = []
        for _ in range(random.randrange(1, 5)):
            (part,) = walks.walk(random, config).parts
            pieces = [piece for piece in draw_cuts(random, b"".join(part)) if piece]
            end = random.choice(["quit", "quit", "eof", "close", "reset"])
            results.append(_beside(_talk, port, pieces, end))
        for result in results:
            check_replies(result.result(SECONDS * 2))


def _beside(function: Callable[..., bytes], *arguments: Any) -> Future[bytes]:
    result: Future[bytes] = Future()

    def work() -> None:
        try:
            result.set_result(function(*arguments))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=work).start()
    return result


def _answer(listener: socket.socket, server: clients.Server) -> bytes:
    """Be a random server for one connection."""
    with listener, contextlib.suppress(OSError):
        sock = listener.accept()[0]
        with sock:
            sock.settimeout(PATIENCE)
            while True:
                with contextlib.suppress(TimeoutError):  # of the random server: it has nothing to say
                    while data := drive(server.read(None)):
                        sock.sendall(data)
                    break
                data = sock.recv(65536)
                if not data:
                    break
                drive(server.write(data, None))
    return b""


def check_client(adapter: str, random: Random) -> None:
    """A client of the adapter, and a server that answers at random."""
    server = clients.Server(random, random.choice([0, 0.1, 0.3]), implicit_tls=False)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(SECONDS)
    port = listener.getsockname()[1]
    done = _beside(_answer, listener, server)
    recipients = [f"r{number}@x.example" for number in range(random.randrange(1, 4))]
    content = random.choice(clients.CONTENTS)
    options: dict[str, Any] = {"security": "none", "timeout": SECONDS, "local_hostname": "client.example"}

    async def main() -> None:
        connect = smtpcore.trio.connect if adapter == "trio" else smtpcore.asyncio.connect
        async with connect("127.0.0.1", port, **options) as client:
            await client.send("a@b.example", recipients, content)

    with contextlib.suppress(SMTPError):
        if adapter == "sync":
            with smtpcore.sync.connect("127.0.0.1", port, **options) as client:
                client.send("a@b.example", recipients, content)
        else:
            on_loop(adapter, main)
    done.result(SECONDS * 2)


def fuzzer(adapter: str) -> Callable[[int], None]:
    """The fuzzer of an adapter, a function of a seed."""

    @from_seed
    def run(random: Random) -> None:
        with nothing_lost():
            check_server(adapter, random)
            check_client(adapter, random)

    return run
