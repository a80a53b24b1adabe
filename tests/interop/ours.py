"""Our side of the interoperability tests: the three servers, the three clients, and what they exchange."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, BinaryIO

import trio

import smtpcore.asyncio
import smtpcore.sync
import smtpcore.trio
from smtpcore import Credentials, Envelope, ForwardPath, ServerConfig

from .peers import SECONDS

ADAPTERS = ("sync", "asyncio", "trio")
USER, PASSWORD = "anna", "correct horse"
SENDER, RECIPIENT, NOBODY = "anna@client.example", "bert@server.example", "nobody@server.example"

# What a peer may stumble over: dots, blanks at both ends, empty lines at the end, the longest line.
MESSAGE = (
    b"From: Anna <anna@client.example>\r\n"
    b"To: Bert <bert@server.example>\r\n"
    b"Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@client.example>\r\n"
    b"Subject: dots\r\n"
    b"\r\n"
    b".\r\n"
    b"..\r\n"
    b"...\r\n"
    b".hidden\r\n"
    b"MAIL FROM:<x@y.example>\r\n"
    b" \t blanks \t \r\n" + b"x" * 998 + b"\r\n"
    b"\r\n"
    b"\r\n"
    b"last\r\n"
)
EIGHT_BIT = MESSAGE.replace(b"dots", b"octets") + bytes(range(128, 256)) + b"\r\n"


@dataclass(frozen=True)
class Certificates:
    """A server's certificate for 127.0.0.1 and localhost, and the authority that signed it, as files."""

    chain: Path
    key: Path
    authority: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))


@dataclass(frozen=True)
class Stored:
    """A message that a server has taken."""

    sender: str
    recipients: list[str]
    content: bytes


class Mailbox:
    """A handler that keeps messages in memory, for all but ``NOBODY``."""

    def __init__(self) -> None:
        self.messages: list[Stored] = []
        self.users: list[str] = []

    def accept_recipient(self, session: Any, path: ForwardPath, parameters: Any) -> bool:
        return str(path) != NOBODY

    def check_credentials(self, session: Any, credentials: Credentials) -> bool:
        good = credentials.username == USER and credentials.matches(PASSWORD)
        if good:
            self.users.append(credentials.username)
        return good

    def store(self, session: Any, envelope: Envelope, content: BinaryIO) -> bool:
        recipients = [str(path) for path in envelope.forward_paths]
        self.messages.append(Stored(str(envelope.reverse_path), recipients, content.read()))
        return True


def options(certificates: Certificates, security: str, **more: Any) -> dict[str, Any]:
    """For ``serve()``: a server that lets users log in, with this way to secure a connection."""
    chosen = {"config": ServerConfig(auth_mechanisms=("PLAIN", "LOGIN")), **more}
    if security != "none":
        chosen.update(ssl_context=certificates.server(), implicit_tls=security == "tls")
    return chosen


@contextlib.contextmanager
def serving(adapter: str, handler: object, **options: Any) -> Iterator[int]:
    """One of our servers while the block lasts, beside the test; its port."""
    if adapter == "sync":
        with smtpcore.sync.serve(handler, **options) as listener:
            yield listener.addresses[0][1]
        return

    started: Future[tuple[int, Callable[[], object]]] = Future()

    async def on_asyncio() -> None:
        async with smtpcore.asyncio.serve(handler, **options) as listener:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            started.set_result((listener.addresses[0][1], lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    async def on_trio() -> None:
        async with smtpcore.trio.serve(handler, **options) as listener:
            stop, token = trio.Event(), trio.lowlevel.current_trio_token()
            started.set_result((listener.addresses[0][1], lambda: token.run_sync_soon(stop.set)))
            await stop.wait()

    def serve() -> None:
        if adapter == "asyncio":
            asyncio.run(on_asyncio())
        else:
            trio.run(on_trio)

    thread = threading.Thread(target=serve)
    thread.start()
    port, stop = started.result(SECONDS)
    try:
        yield port
    finally:
        stop()
        thread.join(SECONDS)
        assert not thread.is_alive(), "the server does not stop"


def converse(adapter: str, port: int, *calls: tuple[Any, ...], **options: Any) -> list[Any]:
    """A session of one of our clients with 127.0.0.1: what each call, as in ``("send", ...)``, has returned."""
    options.setdefault("timeout", float(SECONDS))
    if adapter == "sync":
        with smtpcore.sync.connect("127.0.0.1", port, **options) as client:
            return [getattr(client, name)(*arguments) for name, *arguments in calls]

    connect = smtpcore.asyncio.connect if adapter == "asyncio" else smtpcore.trio.connect

    async def session() -> list[Any]:
        async with connect("127.0.0.1", port, **options) as client:
            return [await getattr(client, name)(*arguments) for name, *arguments in calls]

    return asyncio.run(session()) if adapter == "asyncio" else trio.run(session)


def securely(certificates: Certificates, security: str) -> dict[str, Any]:
    """For ``connect()``: logged in over TLS, or neither."""
    if security == "none":
        return {"security": "none"}
    return {"security": security, "ssl_context": certificates.client(), "auth": (USER, PASSWORD)}


def letter() -> EmailMessage:
    """A message as Python makes them, with an attachment that has every octet in it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "Grüße"
    message["Date"], message["Message-ID"] = "Wed, 25 Nov 2026 12:00:00 +0000", "<2@client.example>"
    message.set_content("Schöne Grüße\n.\n..\n")
    octets = bytes(range(256)) * 40
    message.add_attachment(octets, maintype="application", subtype="octet-stream", filename="octets")
    return message


def is_letter(content: bytes) -> bool:
    """Whether this is that message, however it was encoded on its way."""

    def parts(message: EmailMessage) -> list[object]:
        found: list[object] = [message["Subject"]]
        for part in message.iter_parts():
            inside = part.get_content()
            found.append(inside.splitlines() if isinstance(inside, str) else inside)
        return found

    return parts(message_from_bytes(content, policy=policy.default)) == parts(letter())
