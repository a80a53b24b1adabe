"""The recipes of docs/how-to/recipes.md do what their text says."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trustme

import smtpcore.asyncio
import smtpcore.sync
from smtpcore import Limits, ServerConfig
from smtpcore.handlers import Handler
from smtpcore.sasl import SERVER_MECHANISMS, Challenge, Failed, ServerMechanism, Step, Succeeded
from smtpcore.testing import MailServer, greylist

from .test_documents import DOCS, blocks_of, run

PAGE = DOCS / "how-to" / "recipes.md"
CONTENT = b"Subject: hi\r\n\r\nHello.\r\n"


def recipe(name: str) -> Any:
    """What a block of the page defines under a name; the block is one that does no more than define it."""
    (block,) = [code for code, _ in blocks_of(PAGE) if f"class {name}" in code or f"def {name}(" in code]
    return run(block)[name]


class Store(Handler):
    """Stores any message in memory."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def store(self, session: object, envelope: object, content: Any) -> bool:
        self.messages.append(content.read())
        return True


def written(folder: Path, authority: trustme.CA) -> Path:
    """A folder with a new certificate, in files as those of Let's Encrypt."""
    certificate = authority.issue_cert("localhost")
    (folder / "fullchain.pem").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
    (folder / "privkey.pem").write_bytes(certificate.private_key_pem.bytes())
    return folder


def connect(server: smtpcore.sync.Server, **options: Any) -> smtpcore.sync.Client:
    return smtpcore.sync.connect("127.0.0.1", server.addresses[0][1], **options)


def test_submission_requires_TLS_and_a_login(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    block = next(code for code, _ in blocks_of(PAGE) if "def submission_server" in code)
    names = run(block.replace("None, port", "'localhost', port"))
    with names["submission_server"](tmp_path / "both.pem", 0) as server:
        port = server.addresses[0][1]
        with connect(server, security="none") as client, pytest.raises(smtpcore.ReplyError) as refused:
            client.send("alice@example.com", ["bob@example.org"], CONTENT)
        assert refused.value.reply.code == 530
        with (
            smtpcore.sync.connect("localhost", port, security="starttls", ssl_context=context) as client,
            pytest.raises(smtpcore.ReplyError, match="530"),
        ):
            client.send("alice@example.com", ["bob@example.org"], CONTENT)
        with smtpcore.sync.connect(
            "localhost", port, ssl_context=context, auth=("alice", names["PASSWORDS"]["alice"])
        ) as client:
            assert client.send("alice@example.com", ["bob@example.org"], CONTENT).accepted_recipients
        with pytest.raises(smtpcore.AuthenticationFailed):
            smtpcore.sync.connect("localhost", port, ssl_context=context, auth=("alice", "wrong"))


def test_recipients_and_senders_are_refused() -> None:
    block = next(code for code, _ in blocks_of(PAGE) if "spam.example" in code)

    class Inbox(run(block)["Inbox"]):  # type: ignore[misc]
        def store(self, session: object, envelope: object, content: object) -> bool:
            return True

    paths = ["bob@example.org", "eve@example.org", "carol@elsewhere.example"]
    with smtpcore.sync.serve(Inbox()) as server, connect(server) as client:
        refused = client.send("alice@example.com", paths, CONTENT).refused_recipients
        assert [str(reply and reply.status) for reply in refused.values()] == ["5.1.1", "5.7.1"]
        with pytest.raises(smtpcore.ReplyError, match="blocked"):
            client.send("x@SPAM.example", paths, CONTENT)


def test_the_size_is_announced_and_enforced() -> None:
    config = ServerConfig(limits=Limits(message_size=1000))
    with smtpcore.sync.serve(Store(), config=config) as server, connect(server) as client:
        assert client.capabilities.value("SIZE") == 1000
        with pytest.raises(smtpcore.MessageTooBig):
            client.send("alice@example.com", ["bob@example.org"], b"x" * 900 + b"\r\n" + b"x" * 900 + b"\r\n")


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    def session(authority: trustme.CA) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        port = server.addresses[0][1]
        smtpcore.sync.connect("localhost", port, security="starttls", ssl_context=context).quit()

    old, new = trustme.CA(), trustme.CA()
    certificate = recipe("Certificate")(written(tmp_path, old))
    with smtpcore.sync.serve(Store(), "localhost", ssl_context=certificate) as server:
        session(old)
        assert certificate() is certificate()
        os.utime(written(tmp_path, new) / "fullchain.pem", (1, 1))  # another time, whatever the clock's step is
        session(new)
        with pytest.raises(smtpcore.TlsError):
            session(old)


def test_an_unreadable_certificate_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        recipe("Certificate")(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="systemd is for Unix")
def test_the_socket_of_systemd_is_used() -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    block = next(code for code, _ in blocks_of(PAGE) if "serve_from_systemd" in code)
    serve = run(block.replace("fileno=3", f"fileno={bound.detach()}"))["serve_from_systemd"]
    with serve(Store()) as server:
        assert server.addresses == [("127.0.0.1", port)]
        connect(server).quit()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has no SO_REUSEPORT")
def test_two_servers_share_a_port() -> None:
    block = next(code for code, _ in blocks_of(PAGE) if "SO_REUSEPORT" in code)
    serve_port = run(block.replace('("", port)', '("127.0.0.1", port)'))["serve_port"]

    async def main(port: int) -> None:
        servers = [asyncio.create_task(serve_port(Store(), port)) for _ in range(2)]
        await asyncio.sleep(0)  # both have bound the port
        client = await smtpcore.asyncio.connect("127.0.0.1", port)
        await client.quit()
        assert not any(server.done() for server in servers)
        for server in servers:
            server.cancel()
        await asyncio.gather(*servers, return_exceptions=True)

    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        asyncio.run(main(reserved.getsockname()[1]))


def test_connections_are_counted_for_each_address() -> None:
    handler = recipe("Counting")()
    with smtpcore.sync.serve(handler) as server:
        clients = [connect(server) for _ in range(5)]
        assert len(server.streams) == 5
        with pytest.raises(smtpcore.ReplyError, match=r"421 .*too many connections from your address"):
            connect(server)
        for client in clients:
            client.quit()
    assert handler.sessions["127.0.0.1"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the event loop of Windows has no signal handlers")
def test_a_signal_stops_the_server() -> None:
    block = next(code for code, _ in blocks_of(PAGE) if "stop.wait" in code)
    names = run(block.replace("port=8025", "port=0"))

    serve, opened = smtpcore.asyncio.serve, asyncio.Queue[int]()

    @contextlib.asynccontextmanager
    async def reporting(*arguments: Any, **options: Any) -> AsyncIterator[None]:
        async with serve(*arguments, **options) as server:
            opened.put_nowait(server.addresses[0][1])
            yield

    async def client() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", await opened.get())
        greeting = await reader.readline()
        signal.raise_signal(signal.SIGTERM)
        rest = await reader.read()
        writer.close()
        return greeting + rest

    async def main() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(smtpcore.asyncio, "serve", reporting)
            received, _ = await asyncio.gather(client(), names["run"](Store()))
        assert [line[:3] for line in received.splitlines()] == [b"220", b"421"]

    asyncio.run(main())


def test_the_dialogue_goes_to_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    block = next(code for code, _ in blocks_of(PAGE) if "log_to" in code)
    with caplog.at_level(logging.INFO, "mail"), run(block)["serve"](Store()) as server:
        connect(server).quit()
    assert any("EHLO" in record.getMessage() for record in caplog.records if record.name == "mail")


def test_a_received_message_is_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "alice@example.com", "bob@example.org", "Grüße"
    message.set_content("Hello Bob.\n")
    path = Path(__file__)
    block = next(code for code, _ in blocks_of(PAGE) if "iter_attachments" in code)
    recipe("with_attachment")(message, path)
    with smtpcore.sync.serve(run(block)["Inbox"]()) as server, connect(server) as client:
        client.send_message(message)
    assert capsys.readouterr().out == f"Grüße Hello Bob.\n\nattachment: {path.name}\n"


class XOAuth2Server(ServerMechanism):
    """The server's side of XOAUTH2, as Google describes it."""

    name = "XOAUTH2"
    cleartext = True

    def step(self, response: bytes) -> Step:
        if response == b"user=joe@example.com\x01auth=Bearer good\x01\x01":
            return Succeeded("joe@example.com")
        return Failed("the client has seen the error") if response == b"" else Challenge(b'{"status":"401"}')


def test_a_token_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVER_MECHANISMS, "XOAUTH2", XOAuth2Server)
    mechanism = recipe("XOAuth2")
    config = ServerConfig(auth_mechanisms=("XOAUTH2",), allow_cleartext_auth=True)
    options = {"security": "none", "allow_cleartext_auth": True}
    with smtpcore.sync.serve(Store(), config=config) as server:
        connect(server, auth=mechanism("joe@example.com", "good"), **options).quit()
        with pytest.raises(smtpcore.AuthenticationFailed) as refused:
            connect(server, auth=mechanism("joe@example.com", "expired"), **options)
        assert refused.value.reply.code == 535
        with pytest.raises(smtpcore.SMTPError, match="TLS"):
            connect(server, auth=mechanism("joe@example.com", "good"), security="none")


def test_recipients_beyond_the_limit_of_the_server_are_sent_to_as_well() -> None:
    class Handling(Store):
        def accept_recipient(self, session: object, forward_path: Any, parameters: object) -> bool:
            return bool(forward_path.local_part != "x3")

    handler = Handling()
    paths = [f"x{number}@example.org" for number in range(7)]
    config = ServerConfig(limits=Limits(recipients=2))
    with smtpcore.sync.serve(handler, config=config) as server, connect(server) as client:
        refused = recipe("send_to_all")(client, "alice@example.com", paths, CONTENT)
    assert {path: reply.code for path, reply in refused.items()} == {"x3@example.org": 550}
    assert len(handler.messages) == 3


def test_a_greylisted_message_is_sent_again() -> None:
    send = recipe("send_patiently")
    with MailServer(greylist()) as server:
        where = (server.host, server.port)
        left = send(*where, "alice@example.com", ["bob@example.org"], CONTENT, attempts=1)
        assert [reply.is_transient for reply in left.values()] == [True]
        assert send(*where, "alice@example.com", ["carol@example.org"], CONTENT, pause=0) == {}
        assert [message.recipients for message in server.messages] == [("carol@example.org",)]


def test_the_backend_sends_the_mail_of_django(monkeypatch: pytest.MonkeyPatch) -> None:
    django = pytest.importorskip("django.conf")
    module = ModuleType("mailbackend")
    exec(next(code for code, _ in blocks_of(PAGE) if "BaseEmailBackend" in code), vars(module))
    monkeypatch.setitem(sys.modules, "mailbackend", module)
    with MailServer() as server:
        if not django.settings.configured:
            django.settings.configure(EMAIL_BACKEND="mailbackend.Backend")
        monkeypatch.setattr(django.settings, "EMAIL_HOST", server.host)
        monkeypatch.setattr(django.settings, "EMAIL_PORT", server.port)
        monkeypatch.setattr(django.settings, "EMAIL_HOST_USER", "", raising=False)
        make = importlib.import_module("django.core.mail").EmailMessage

        def send(**options: bool) -> Any:
            message = make("Grüße", "Hello.", "a@example.com", ["b@example.org"], bcc=["c@example.org"])
            return message.send(**options)

        assert send() == 1
        (received,) = server.messages
        assert received.recipients == ("b@example.org", "c@example.org")
        assert b"c@example.org" not in received.content
        server.fail_next("RCPT", "550 5.1.1 no", times=2)
        assert send(fail_silently=True) == 0
        server.fail_next("RCPT", "550 5.1.1 no", times=2)
        with pytest.raises(smtpcore.RecipientsRefused):
            send()
