"""The cores in memory: ours, aiosmtpd's and smtplib's, without a socket between them and the octets.

A subject runs a workload once and returns what came out of it. That is checked in every run, the timed ones
included. Handlers do as little as a handler can: they count.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import time
import warnings
from typing import Any, NamedTuple

from smtpcore import (
    Chunk,
    ClientConnection,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Limits,
    Mail,
    Rcpt,
    ServerConfig,
    ServerConnection,
)

from .workloads import HELLO, READ, Workload

_POSITIVE = re.compile(rb"^[23]\d\d ", re.MULTILINE)


class Outcome(NamedTuple):
    """What came out of a run.

    Attributes:
        seconds: CPU time.
        messages, recipients, octets: What was received.
        replies: How many positive replies were sent; those to connecting, EHLO and QUIT are not counted.
    """

    seconds: float
    messages: int
    recipients: int
    octets: int
    replies: int = 0


# --- Servers ----------------------------------------------------------------------------------------------

_CONFIG = ServerConfig(smtputf8=True, limits=Limits(message_size=None, content_line=None, idle_commands=None))


def smtpcore_server(workload: Workload) -> Outcome:
    connection = ServerConnection("mx.example.org", config=_CONFIG)
    messages = recipients = octets = 0
    receive, next_event, accept = connection.receive_data, connection.next_event, connection.accept
    output = []
    began = time.process_time()
    for read in (HELLO, *workload.reads):
        receive(read)
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is Chunk:
                octets += len(event.data)
                continue
            if kind is ConnectionClosed:
                break
            if kind is Rcpt:
                recipients += 1
            elif kind is EndOfMessage:
                messages += 1
            accept()
        output.append(connection.data_to_send())
    seconds = time.process_time() - began
    return Outcome(seconds, messages, recipients, octets, len(_POSITIVE.findall(b"".join(output))) - 2)


def aiosmtpd_server(workload: Workload) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return asyncio.run(_aiosmtpd(workload))


async def _aiosmtpd(workload: Workload) -> Outcome:
    from aiosmtpd.smtp import SMTP

    class Handler:
        messages = recipients = octets = 0

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            self.messages += 1
            self.recipients += len(envelope.rcpt_tos)
            self.octets += len(envelope.content)
            return "250 OK"

    class Transport(asyncio.Transport):
        paused = closed = False

        def __init__(self) -> None:
            super().__init__()
            self.output: list[bytes] = []

        def write(self, data: Any) -> None:
            self.output.append(data)

        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return ("127.0.0.1", 1) if name == "peername" else default

        def is_closing(self) -> bool:
            return self.closed

        def close(self) -> None:
            self.closed = True

        def pause_reading(self) -> None:
            self.paused = True

        def resume_reading(self) -> None:
            self.paused = False

    handler, transport = Handler(), Transport()
    server = SMTP(
        handler,
        hostname="mx.example.org",
        ident="x",
        data_size_limit=2**40,
        enable_SMTPUTF8=True,
        loop=asyncio.get_running_loop(),
    )
    server.connection_made(transport)
    await asyncio.sleep(0)
    output = transport.output
    began = time.process_time()
    for read in (HELLO, *workload.reads, b"QUIT\r\n"):
        sent = len(output)
        server.data_received(read)
        await asyncio.sleep(0)
        while transport.paused or (workload.lock_step and len(output) == sent):
            await asyncio.sleep(0)
    while not transport.closed:
        await asyncio.sleep(0)
    seconds = time.process_time() - began
    server.connection_lost(None)
    replies = len(_POSITIVE.findall(b"".join(output))) - 3
    return Outcome(seconds, handler.messages, handler.recipients, handler.octets, replies)


# --- Clients ----------------------------------------------------------------------------------------------

GROUP = b"250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n354 go ahead\r\n"
TAKEN = b"250 2.0.0 message accepted\r\n"


def smtpcore_client(messages: int, content: bytes) -> Outcome:
    connection = ClientConnection()
    for octets in (b"220 mx.example.org\r\n", b"250-mx.example.org\r\n250-SIZE\r\n250 PIPELINING\r\n"):
        connection.receive_data(octets)
        connection.next_event()
        if not connection.outstanding and not connection.capabilities:
            connection.send(Ehlo("client.example"))
            connection.data_to_send()
    pieces = [content[start : start + READ] for start in range(0, len(content), READ)]
    send, receive, next_event = connection.send, connection.receive_data, connection.next_event
    sent = answered = 0
    began = time.process_time()
    for _ in range(messages):
        send(Mail("sender@example.org"))
        send(Rcpt("recipient@example.com"))
        send(Data())
        connection.data_to_send()
        receive(GROUP)
        while (event := next_event()) is not None:
            assert event.reply.code < 400
        for piece in pieces:
            send(Chunk(piece))
            sent += len(connection.data_to_send())
        send(EndOfMessage())
        sent += len(connection.data_to_send())
        receive(TAKEN)
        while (event := next_event()) is not None:
            assert event.reply.code == 250
            answered += 1
    return Outcome(time.process_time() - began, answered, answered, sent)


def smtplib_client(messages: int, content: bytes) -> Outcome:
    class Replies:
        def __init__(self) -> None:
            self.lines = [*GROUP.splitlines(keepends=True), TAKEN]
            self.number = 0

        def readline(self, limit: int = -1) -> bytes:
            self.number += 1
            return self.lines[self.number % 4 - 1]

        def close(self) -> None:
            pass

    class Socket:
        sent = 0
        last = 0

        def sendall(self, data: bytes) -> None:
            self.last = len(data)
            self.sent += len(data)

        def close(self) -> None:
            pass

    client: Any = smtplib.SMTP(local_hostname="client.example")
    client.sock, client.file = Socket(), Replies()
    client.ehlo_resp, client.does_esmtp, client.esmtp_features = b"mx.example.org", True, {"size": ""}
    sent = 0
    began = time.process_time()
    for _ in range(messages):
        client.sendmail("sender@example.org", ["recipient@example.com"], content)
        sent += client.sock.last
    seconds = time.process_time() - began
    client.sock = client.file = None
    return Outcome(seconds, messages, messages, sent)
