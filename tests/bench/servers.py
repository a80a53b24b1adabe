"""The servers that are measured over loopback, each in a process of its own.

``python -m tests.bench.servers NAME`` runs one that is written in Python: it prints its port, and serves until
its standard input ends. All of them read each message and discard it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import smtpcore.asyncio
import smtpcore.sync
from smtpcore import Chunk, Envelope, Limits, ServerConfig
from smtpcore.maildir import MaildirHandler, MaildirSink

from .measure import cpu_of

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_OPTIONS: dict[str, Any] = {
    "hostname": "mx.example.org",
    "config": ServerConfig(limits=Limits(message_size=2**30, recipients=10_000)),
    "max_connections": 5000,
}

SMTP_SINK, CANNED, AIOSMTPD, NODEMAILER = "smtp-sink", "canned", "aiosmtpd", "nodemailer"
SINK, STORE, LOOP = "asyncio, sink", "asyncio, store()", "asyncio, event loop"
CALLBACKS = "asyncio, async callbacks"
TRIO, THREADS = "trio, sink", "threads, sink"
MAILDIR, MAILDIR_IN_LOOP = "asyncio, Maildir", "asyncio, Maildir that waits in the event loop"


# --- Ours -------------------------------------------------------------------------------------------------


class Sink:
    """A handler and its sink: it counts octets."""

    octets = 0

    def begin_message(self, session: object, envelope: Envelope) -> Sink:
        return self

    def write(self, data: bytes) -> None:
        self.octets += len(data)

    def finish(self) -> bool:
        return True

    def abort(self) -> None:
        pass


class Store:
    """A handler that gets each message whole."""

    def store(self, session: object, envelope: Envelope, content: BinaryIO) -> bool:
        content.read()
        return True


class AsyncCallbacks:
    """A handler whose methods are coroutine functions."""

    async def accept_recipient(self, session: object, forward_path: object, parameters: object) -> bool:
        return True

    async def store(self, session: object, envelope: Envelope, content: BinaryIO) -> bool:
        content.read()
        return True


class WaitingInTheLoop:
    """A sink that stores a message in a Maildir, and waits for the disk where it is called."""

    def __init__(self, stored: MaildirSink) -> None:
        self.write, self.abort = stored.write, stored.abort
        self._stored = stored

    def finish(self) -> bool:
        return self._stored.finish()


class MaildirInTheLoop:
    """A handler that waits for the disk of each message in the event loop."""

    def __init__(self, maildir: MaildirHandler) -> None:
        self._maildir = maildir

    def begin_message(self, session: Any, envelope: Envelope) -> WaitingInTheLoop:
        return WaitingInTheLoop(self._maildir.begin_message(session, envelope))


def _maildir_on_asyncio(*, in_the_loop: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        maildir = MaildirHandler(folder)
        _ours_on_asyncio(MaildirInTheLoop(maildir) if in_the_loop else maildir)


async def event_loop(session: Any) -> None:
    octets = 0
    async for event in session:
        if event.__class__ is Chunk:
            octets += len(event.data)
        elif session.unanswered:
            session.accept()


def _ours_on_asyncio(handler: object) -> None:
    async def main() -> None:
        async with smtpcore.asyncio.serve(handler, HOST, 0, **_OPTIONS) as server:
            await _until_input_ends(server.addresses[0][1])

    asyncio.run(main())


def _ours_on_trio() -> None:
    import trio

    import smtpcore.trio

    async def main() -> None:
        async with smtpcore.trio.serve(Sink(), HOST, 0, **_OPTIONS) as server:
            print(server.addresses[0][1], flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)

    trio.run(main)


def _ours_on_threads() -> None:
    with smtpcore.sync.serve(Sink(), HOST, 0, **_OPTIONS) as server:
        print(server.addresses[0][1], flush=True)
        sys.stdin.read()


async def _until_input_ends(port: int) -> None:
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


# --- Peers ------------------------------------------------------------------------------------------------


class Canned(asyncio.Protocol):
    """What asyncio costs without SMTP: nothing is parsed but the ends of lines and of the content."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._pending = b""
        self._content = False
        transport.write(b"220 mx.example.org ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        pending = self._pending + data
        replies = []
        while pending:
            line, end, rest = pending.partition(b"\r\n.\r\n" if self._content else b"\r\n")
            if not end:
                pending = pending[-4:] if self._content else pending
                break
            pending = rest
            if self._content:
                self._content = False
                replies.append(b"250 2.0.0 message accepted\r\n")
            elif line == b"DATA":
                self._content = True
                replies.append(b"354 go ahead\r\n")
            elif line.startswith(b"EHLO"):
                replies.append(b"250-mx.example.org\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif line == b"QUIT":
                self._transport.write(b"221 2.0.0 bye\r\n")
                self._transport.close()
                return
            else:
                replies.append(b"250 2.0.0 ok\r\n")
        self._pending = pending
        if replies:
            self._transport.write(b"".join(replies))


async def _canned() -> None:
    server = await asyncio.get_running_loop().create_server(Canned, HOST, 0, backlog=1000)
    await _until_input_ends(server.sockets[0].getsockname()[1])


async def _aiosmtpd() -> None:
    warnings.simplefilter("ignore")
    from aiosmtpd.smtp import SMTP

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            len(envelope.content)
            return "250 OK"

    loop = asyncio.get_running_loop()
    handler = Handler()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, data_size_limit=2**30), HOST, 0, backlog=1000
    )
    await _until_input_ends(server.sockets[0].getsockname()[1])


_NODEMAILER = """
const { SMTPServer } = require("smtp-server");
const listening = new SMTPServer({
    authOptional: true, disabledCommands: ["STARTTLS"], logger: false, disableReverseLookup: true,
    size: 2 ** 30, maxClients: 5000,
    onData(stream, session, callback) { stream.on("data", () => {}); stream.on("end", callback); },
}).listen(0, "127.0.0.1", () => console.log(listening.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
"""

PROGRAMS: dict[str, Callable[[], None]] = {
    SINK: lambda: _ours_on_asyncio(Sink()),
    STORE: lambda: _ours_on_asyncio(Store()),
    LOOP: lambda: _ours_on_asyncio(event_loop),
    CALLBACKS: lambda: _ours_on_asyncio(AsyncCallbacks()),
    TRIO: _ours_on_trio,
    THREADS: _ours_on_threads,
    MAILDIR: lambda: _maildir_on_asyncio(in_the_loop=False),
    MAILDIR_IN_LOOP: lambda: _maildir_on_asyncio(in_the_loop=True),
    CANNED: lambda: asyncio.run(_canned()),
    AIOSMTPD: lambda: asyncio.run(_aiosmtpd()),
}


# --- Processes --------------------------------------------------------------------------------------------


class Server(NamedTuple):
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        pid: Its process.
    """

    port: int
    pid: int

    def cpu(self) -> float:
        """Return the CPU time that the server has used so far, in seconds."""
        return cpu_of(self.pid)


def postfix_program(name: str) -> str | None:
    """Return the path of a program of Postfix; None if it is missing."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_missing(name: str) -> str | None:
    """Return why a server cannot be run here; None if it can."""
    if name == SMTP_SINK:
        return None if postfix_program(name) else "smtp-sink is missing (apt-get install postfix)"
    module = {TRIO: "trio", AIOSMTPD: "aiosmtpd"}.get(name)
    if module is not None:
        found = importlib.util.find_spec(module)
        return None if found is not None else f"{module} is missing (pip install {module})"
    if name == NODEMAILER:
        node = shutil.which("node")
        if node is None:
            return "node is missing (apt-get install nodejs)"
        probe = [node, "-e", "require.resolve('smtp-server')"]
        status = subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode
        return None if status == 0 else "smtp-server is missing (npm install smtp-server@3, and set NODE_PATH)"
    return None


@contextlib.contextmanager
def running(name: str) -> Iterator[Server]:
    """Run a server by its name, in a process of its own."""
    if name == SMTP_SINK:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        program = postfix_program(name)
        assert program is not None
        # As root it wants to know as which user to run.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program, *user, "-m", "5000", f"{HOST}:{port}", "1000"]
    elif name == NODEMAILER:
        command, port = ["node", "-e", _NODEMAILER], 0
    else:
        command, port = [sys.executable, "-W", "ignore", "-m", "tests.bench.servers", name], 0
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        port = port or int(process.stdout.readline())
        _wait_until_it_listens(port, process)
        yield Server(port, process.pid)
    finally:
        process.stdin.close()
        if name in PROGRAMS:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)  # it removes what it has stored
        process.kill()
        process.wait()
        process.stdout.close()


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]()
