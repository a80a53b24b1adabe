"""Clients over loopback into smtp-sink: the CPU time of the client for each message, beside smtplib."""

from __future__ import annotations

import asyncio
import os
import smtplib
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import smtpcore.asyncio
import smtpcore.sync

from .loads import Load
from .measure import Aim, Row, Subject, measure
from .servers import HOST, ROOT, SMTP_SINK, postfix_program, running, why_missing
from .workloads import KILOBYTE

SYNC, SEND_MANY, ON_ASYNCIO = "sync, send()", "sync, send_many()", "asyncio, send()"
SMTPLIB, SMTP_SOURCE = "smtplib", "smtp-source"
_SENDER, _RECIPIENTS = "sender@example.org", ["recipient@example.com"]
_LARGE = KILOBYTE * 10 * 1024


def _connect(port: int) -> smtpcore.sync.Client:
    return smtpcore.sync.connect(HOST, port, security="none", local_hostname="client.example")


def _sync(port: int, messages: int, content: bytes) -> float:
    with _connect(port) as client:
        client.send(_SENDER, _RECIPIENTS, content)
        began = time.process_time()
        for _ in range(messages):
            client.send(_SENDER, _RECIPIENTS, content)
        return time.process_time() - began


def _send_many(port: int, messages: int, content: bytes) -> float:
    with _connect(port) as client:
        client.send(_SENDER, _RECIPIENTS, content)
        many: Any = client
        began = time.process_time()
        results = list(many.send_many((_SENDER, _RECIPIENTS, content) for _ in range(messages)))
        spent = time.process_time() - began
    assert len(results) == messages and all(outcome.error is None for outcome in results)
    return spent


def _on_asyncio(port: int, messages: int, content: bytes) -> float:
    async def main() -> float:
        connecting = smtpcore.asyncio.connect(HOST, port, security="none", local_hostname="client.example")
        async with connecting as client:
            await client.send(_SENDER, _RECIPIENTS, content)
            began = time.process_time()
            for _ in range(messages):
                await client.send(_SENDER, _RECIPIENTS, content)
            return time.process_time() - began

    return asyncio.run(main())


def _smtplib(port: int, messages: int, content: bytes) -> float:
    with smtplib.SMTP(HOST, port, local_hostname="client.example") as client:
        client.sendmail(_SENDER, _RECIPIENTS, content)
        began = time.process_time()
        for _ in range(messages):
            client.sendmail(_SENDER, _RECIPIENTS, content)
        return time.process_time() - began


def _smtp_source(port: int, messages: int, content: bytes) -> float:
    load = Load(messages, connections=1, length=len(content))
    process = subprocess.Popen(load.command(port), cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


CLIENTS: dict[str, Callable[[int, int, bytes], float]] = {
    SYNC: _sync,
    SEND_MANY: _send_many,
    ON_ASYNCIO: _on_asyncio,
    SMTPLIB: _smtplib,
    SMTP_SOURCE: _smtp_source,
}


def run(rounds: int, scale: float, missing: list[str]) -> list[Row]:
    """Measure all rows."""
    if (reason := why_missing(SMTP_SINK)) is not None:
        missing.append(f"{reason}, so no client was measured")
        print(missing[-1], flush=True)
        return []
    clients = dict(CLIENTS)
    if not hasattr(smtpcore.sync.Client, "send_many"):
        del clients[SEND_MANY]
    if postfix_program(SMTP_SOURCE) is None:
        del clients[SMTP_SOURCE]
    done = []
    with running(SMTP_SINK) as server:
        for key, title, messages, content, aims in (
            (
                "client-1-kib",
                "client, messages of 1 KiB into smtp-sink",
                2000,
                KILOBYTE,
                (Aim(SYNC, SMTPLIB, 1.7, "speed"), Aim(SEND_MANY, SMTPLIB, 2.2, "speed")),
            ),
            (
                "client-10-mib",
                "client, messages of 10 MiB into smtp-sink",
                10,
                _LARGE,
                (Aim(SYNC, SMTPLIB, 3.3, "speed"),),
            ),
        ):
            count = max(1, round(messages * scale))
            subjects: dict[str, Subject] = {
                name: partial(_cost, client, server.port, count, content) for name, client in clients.items()
            }
            done.append(measure(Row(key, title, "us a message", aims), subjects, rounds))
    return done


def _cost(client: Callable[[int, int, bytes], float], port: int, count: int, content: bytes) -> float:
    return client(port, count, content) / count * 1e6
