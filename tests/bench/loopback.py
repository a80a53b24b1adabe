"""Servers over loopback: ours on asyncio, aiosmtpd, nodemailer's smtp-server, each in a process of its own.

``smtp-source`` of Postfix sends; what is measured is the CPU time of the server process, from /proc. All
servers read the message and throw it away. A good part of it is the system's: what it costs to send a reply
depends on whether the other side has to be woken for it, so these figures are rougher than those in memory.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MESSAGES = 4000
CONNECTIONS = 20
TICKS = os.sysconf("SC_CLK_TCK")

SMTPCORE = """
import asyncio, sys
import smtpcore.asyncio
from smtpcore import Chunk, EndOfMessage

async def session(session):
    octets = 0
    async for event in session:
        if event.__class__ is Chunk:
            octets += len(event.data)
        elif session.unanswered:
            session.accept()

async def main():
    async with smtpcore.asyncio.serve(session, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Event().wait()

asyncio.run(main())
"""

AIOSMTPD = """
import asyncio, sys
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        len(envelope.content)
        return "250 OK"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), loop=loop), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""

NODEMAILER = """
const { SMTPServer } = require("smtp-server");
new SMTPServer({
    authOptional: true, disabledCommands: ["STARTTLS"], logger: false, disableReverseLookup: true,
    onData(stream, session, callback) { stream.on("data", () => {}); stream.on("end", callback); },
}).listen(Number(process.argv[1]), "127.0.0.1");
"""


def run(rounds: int) -> bool:
    """Print the CPU time a message of each server, and the ratio to aiosmtpd."""
    source = shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if source is None:
        print("loopback: smtp-source is not here (apt-get install postfix)")
        return True
    servers = {
        "smtpcore": [sys.executable, "-c", SMTPCORE],
        "aiosmtpd": [sys.executable, "-W", "ignore", "-c", AIOSMTPD],
    }
    node = shutil.which("node")
    if node and _has_smtp_server(node):
        servers["nodemailer"] = [node, "-e", NODEMAILER]
    reached = _compare("asyncio server, 20 lasting connections", servers, [source, "-d"], rounds, wanted=5)
    _compare("asyncio server, a connection each", servers, [source], rounds)
    return reached


def _compare(
    title: str, servers: dict[str, list[str]], source: list[str], rounds: int, wanted: float = 0
) -> bool:
    seconds: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, command in servers.items():
            with _server(command) as (port, process):
                before = _cpu(process.pid)
                subprocess.run(
                    [*source, "-s", str(CONNECTIONS), "-m", str(MESSAGES), "-l", "1024", f"127.0.0.1:{port}"],
                    check=True,
                    timeout=300,
                )
                seconds[name].append((_cpu(process.pid) - before) / MESSAGES)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = medians["aiosmtpd"] / medians["smtpcore"]
    figures = ", ".join(f"{name} {median * 1e6:.0f} us" for name, median in medians.items())
    aim = f" (wanted {wanted:g})" if wanted else ""
    print(f"{title:<40} {ratio:6.1f} x{aim}   {figures} a message", flush=True)
    return ratio >= wanted and medians["smtpcore"] <= medians.get("nodemailer", 1.0)


def _has_smtp_server(node: str) -> bool:
    probe = [node, "-e", "require.resolve('smtp-server')"]
    return subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def _server(command: list[str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([*command, str(port)], cwd=root)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
        yield port, process
    finally:
        process.kill()
        process.wait()


def _cpu(pid: int) -> float:
    """User and system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
