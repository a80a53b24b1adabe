"""A server of the caller's own with faults, on each adapter."""

from __future__ import annotations

import asyncio
import functools
import smtplib
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from smtpcore.testing import (
    AsyncMailServer,
    MailServer,
    Rule,
    greylist,
    on,
    serve_async_with_faults,
    serve_with_faults,
)

from ..interop.ours import ADAPTERS, RECIPIENT, SENDER, Mailbox

Talk = Callable[[str, int], None]


def serve(adapter: str, handler: object, talk: Talk, *faults: Rule) -> None:
    """Run a server while a blocking client talks to it."""

    async def main(in_thread: Callable[..., Awaitable[None]]) -> None:
        async with serve_async_with_faults(faults, handler) as server:
            await in_thread(talk, *server.addresses[0])

    if adapter == "asyncio":
        asyncio.run(main(asyncio.to_thread))
    elif adapter == "trio":
        trio.run(main, trio.to_thread.run_sync)
    else:
        with serve_with_faults(faults, handler) as server:
            talk(*server.addresses[0])


def send(host: str, port: int) -> Any:
    with smtplib.SMTP(host, port) as client:
        return client.sendmail(SENDER, [RECIPIENT], "Subject: Report\r\n\r\nAll is well.\r\n")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "fault, error, stored",
    [
        (on("*").delay(0.01).split(3), None, 1),
        (greylist(), smtplib.SMTPRecipientsRefused, 0),
        (on("DATA").reply("554 5.7.1 no"), smtplib.SMTPDataError, 0),
        (on("CONTENT", after=3).reply("552 5.3.4 too big").disconnect(3), OSError, 0),
        (on(".").disconnect(), OSError, 1),
        (on("CONNECT").garbage(), smtplib.SMTPConnectError, 0),
    ],
    ids=["slow", "greylist", "refusal", "in content", "after content", "garbage"],
)
def test_a_fault_is_the_same_on_each_adapter(
    adapter: str, fault: Rule, error: type[Exception] | None, stored: int
) -> None:
    def talk(host: str, port: int) -> None:
        if error is None:
            assert send(host, port) == {}
        else:
            with pytest.raises(error):
                send(host, port)

    mailbox = Mailbox()
    serve(adapter, mailbox, talk, fault)
    assert len(mailbox.messages) == stored


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_was_counted_is_counted_over_all_sessions(adapter: str) -> None:
    def talk(host: str, port: int) -> None:
        send(host, port)
        with pytest.raises(smtplib.SMTPSenderRefused):
            send(host, port)
        send(host, port)

    mailbox = Mailbox()
    serve(adapter, mailbox, talk, on("MAIL", nth=2, times=1).reply("451 4.3.0 later"))
    assert len(mailbox.messages) == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_delay_ends_with_the_server(adapter: str) -> None:
    connections: list[socket.socket] = []

    def talk(host: str, port: int) -> None:
        sock = socket.create_connection((host, port), 30)
        connections.append(sock)
        sock.sendall(b"EHLO client.example\r\nNOOP\r\n")
        received = b""
        while b"\r\n250 " not in received:  # the reply to EHLO is sent when the reply to NOOP is due
            received += sock.recv(65536)

    serve(adapter, Mailbox(), talk, on("NOOP").delay(3600))
    with connections[0] as sock:
        rest = b"".join(iter(lambda: sock.recv(65536), b""))
    assert rest.startswith(b"250 2.0.0 ok\r\n")  # and not the 421 of a session that was broken off


@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_a_wait_that_is_cancelled_ends_its_thread(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the event loop could not end before the time-out of the wait."""
    started, ended = threading.Event(), threading.Event()
    wait = MailServer._wait_for

    def observed(*arguments: Any) -> Any:
        started.set()
        try:
            return wait(*arguments)
        finally:
            ended.set()

    monkeypatch.setattr(MailServer, "_wait_for", observed)

    def has_ended(server: AsyncMailServer) -> bool:
        has_ended = ended.wait(30)
        send(server.host, server.port)  # so that a thread that still waits ends
        return has_ended

    async def on_asyncio(server: AsyncMailServer) -> bool:
        waiting = asyncio.create_task(server.wait_for(timeout=3600))
        await asyncio.to_thread(started.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await asyncio.to_thread(has_ended, server)

    async def on_trio(server: AsyncMailServer) -> bool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(server.wait_for, timeout=3600))
            await trio.to_thread.run_sync(started.wait)
            nursery.cancel_scope.cancel()
        return await trio.to_thread.run_sync(has_ended, server)

    with MailServer() as server:
        if adapter == "asyncio":
            assert asyncio.run(on_asyncio(AsyncMailServer(server)))
        else:
            assert trio.run(on_trio, AsyncMailServer(server))


def test_a_guest_of_asyncio_is_a_task_of_trio() -> None:
    async def guest() -> str:
        async with serve_async_with_faults([], Mailbox()) as server:
            await trio.to_thread.run_sync(send, *server.addresses[0])
        with MailServer() as waited:
            await trio.to_thread.run_sync(send, waited.host, waited.port)
            return (await AsyncMailServer(waited).wait_for()).subject

    async def host() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        return str((await done).unwrap())

    assert asyncio.run(host()) == "Report"
