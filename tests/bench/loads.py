"""What sends mail to the servers that are measured: smtp-source of Postfix, or clients that pipeline.

``python -m tests.bench.loads PORT CONNECTIONS MESSAGES`` runs the clients that pipeline. smtp-source does not:
it waits for the reply to each command.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any, NamedTuple

from .servers import HOST, ROOT, postfix_program
from .workloads import ENVELOPE, HELLO, KILOBYTE

_TIMEOUT = 600  # seconds
_MESSAGE = KILOBYTE + b".\r\n"


class Load(NamedTuple):
    """Messages for a server.

    Attributes:
        messages: How many, together.
        connections: How many connections are open at a time.
        length: Octets of content of a message.
        recipients: How many recipients a message has.
        reconnect: Open a connection for each message.
        pipelined: The end of a message and the next envelope are sent together; ``length`` and the fields
            after it are not used.
    """

    messages: int
    connections: int = 20
    length: int = 1024
    recipients: int = 1
    reconnect: bool = False
    pipelined: bool = False

    def command(self, port: int) -> list[str]:
        """Return the command that sends it to a port of this machine."""
        if self.pipelined:
            counts = [str(number) for number in (port, self.connections, self.messages)]
            return [sys.executable, "-m", "tests.bench.loads", *counts]
        program = postfix_program("smtp-source")
        assert program is not None
        options = ["-s", self.connections, "-m", self.messages, "-l", self.length, "-r", self.recipients]
        lasting = [] if self.reconnect else ["-d"]
        return [program, *lasting, *map(str, options), f"{HOST}:{port}"]

    def send(self, port: int) -> None:
        """Send it, and wait until the server has accepted all of it."""
        subprocess.run(self.command(port), cwd=ROOT, check=True, timeout=_TIMEOUT)


class _Pipelining(asyncio.Protocol):
    """Sends messages over one connection: the content, its end and the next envelope in one write."""

    def __init__(self, messages: int, ended: asyncio.Event) -> None:
        self._messages = messages
        self._ended = ended
        self._greeted = self._at_home = False
        self._due = 3  # lines of replies until the next message may be sent

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data[:1] in b"45" or b"\n5" in data or b"\n4" in data:
            raise SystemExit(f"the server refused something: {data!r}")
        if not self._greeted:
            self._greeted = True
            self._transport.write(HELLO)
        elif not self._at_home:
            if b"250 " in data:  # the last line of the reply to EHLO
                self._at_home = True
                self._transport.write(ENVELOPE)
        else:
            self._due -= data.count(b"\n")
            if self._due <= 0:
                self._go_on()

    def _go_on(self) -> None:
        if self._messages:
            self._messages -= 1
            self._due = 4 if self._messages else 1
            self._transport.write(_MESSAGE + (ENVELOPE if self._messages else b""))
        else:
            self._ended.set()
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.is_set():
            raise SystemExit(f"the server has closed the connection: {error}")


async def _pipeline(port: int, connections: int, messages: int) -> None:
    loop = asyncio.get_running_loop()
    ends = [asyncio.Event() for _ in range(connections)]
    for number, ended in enumerate(ends):
        share = messages // connections + (number < messages % connections)
        await loop.create_connection(lambda share=share, ended=ended: _Pipelining(share, ended), HOST, port)
    for ended in ends:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_pipeline(*map(int, sys.argv[1:])))
