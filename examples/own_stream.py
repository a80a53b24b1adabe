"""Both conversations over a stream of one's own: a client and a server in one process, without sockets.

A stream is an object with the few methods of ``smtpcore.stream.Stream``. This one moves octets through two
queues of asyncio. A WebSocket or a pipe would differ in ``read()``, ``write()`` and ``close()`` only.

    python3 examples/own_stream.py
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import BinaryIO

from smtpcore import Envelope, TlsInfo
from smtpcore.handlers import Handler
from smtpcore.stream import ServerSession, open_client, serve_stream


class MemoryStream:
    """One end of a connection in memory."""

    peername = sockname = ""
    tls: TlsInfo | None = None
    first_octets = b""
    idle = stopping = False
    farewell: Callable[[], bytes] | None = None

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._broken = self._ended = False

    async def read(self, timeout: float | None) -> bytes:
        if self._broken:
            raise ConnectionAbortedError("this stream is closed")
        if self._ended:
            return b""
        async with asyncio.timeout(timeout):
            data = await self._incoming.get()
        self._ended = not data
        return data

    async def write(self, data: bytes, timeout: float | None) -> None:
        if self._broken:
            raise ConnectionAbortedError("this stream is closed")
        self._outgoing.put_nowait(data)

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo:
        raise OSError("a stream in memory has no TLS")

    async def give_way(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._broken:
            self._broken = True
            self._outgoing.put_nowait(b"")  # the end, for the other side

    def dismiss(self) -> None:
        if self.farewell is not None and not self._broken:
            self._outgoing.put_nowait(self.farewell())
        self.abort()


def memory_pair() -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection."""
    one: asyncio.Queue[bytes] = asyncio.Queue()
    other: asyncio.Queue[bytes] = asyncio.Queue()
    return MemoryStream(one, other), MemoryStream(other, one)


class Inbox(Handler):
    """Prints what it receives."""

    def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> bool:
        print(f"from {envelope.reverse_path}: {content.read()!r}")
        return True


async def main() -> None:
    client_end, server_end = memory_pair()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_stream(server_end, Inbox(), hostname="mx.example"))
        client = await open_client(client_end, local_hostname="client.example")
        result = await client.send("ann@example.org", ["bob@example.net"], b"Subject: hi\r\n\r\nHello.\r\n")
        print(result.reply)
        await client.quit()


if __name__ == "__main__":
    asyncio.run(main())
