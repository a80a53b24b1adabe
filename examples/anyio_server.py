"""A server under anyio, on asyncio or on trio: the conversation of smtpcore over a stream of anyio.

    python examples/anyio_server.py --port 8025 --backend trio

``smtpcore.stream.serve_stream()`` runs a whole session over an object with the methods of a ``Stream``.
"""

from __future__ import annotations

import argparse
import signal
import ssl
from collections.abc import Callable
from typing import Any, BinaryIO

import anyio
import anyio.abc
import anyio.lowlevel

from smtpcore import Envelope, TlsInfo
from smtpcore.handlers import Handler
from smtpcore.stream import ServerSession, serve_stream


class AnyioStream:
    """A ``smtpcore.stream.Stream`` over a socket of anyio, in plaintext."""

    tls: TlsInfo | None = None
    first_octets = b""
    idle = stopping = False
    farewell: Callable[[], bytes] | None = None

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self._broken = False
        self.peername: Any = stream.extra(anyio.abc.SocketAttribute.remote_address, "")
        self.sockname: Any = stream.extra(anyio.abc.SocketAttribute.local_address, "")

    async def read(self, timeout: float | None) -> bytes:
        self._check()
        try:
            with anyio.fail_after(timeout):
                return await self._stream.receive()
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection is lost") from error

    async def write(self, data: bytes, timeout: float | None) -> None:
        self._check()
        try:
            with anyio.fail_after(timeout):
                await self._stream.send(data)
        except TimeoutError:
            self.abort()  # a part may have been sent, so the session cannot go on
            raise
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection is lost") from error

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo:
        raise OSError("this example has no TLS")

    async def give_way(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def close(self) -> None:
        self._broken = True
        await self._stream.aclose()

    def abort(self) -> None:
        self._broken = True

    def dismiss(self) -> None:
        self.abort()

    def _check(self) -> None:
        if self._broken:
            raise ConnectionAbortedError("this stream is closed")


class Inbox(Handler):
    """Prints what it receives."""

    def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> bool:
        print(f"from {envelope.reverse_path}: {content.read()!r}", flush=True)
        return True


async def main(host: str, port: int) -> None:
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)

    async def serve_one(stream: anyio.abc.SocketStream) -> None:
        await serve_stream(AnyioStream(stream), Inbox(), hostname="mx.example")

    async with listener, anyio.create_task_group() as group:
        print(f"listening on port {listener.extra(anyio.abc.SocketAttribute.local_port)}", flush=True)
        group.start_soon(listener.serve, serve_one)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                group.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An SMTP server under anyio.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    arguments = parser.parse_args()
    anyio.run(main, arguments.host, arguments.port, backend=arguments.backend)
