"""Servers of other people, and our three clients."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from smtpcore import (
    AuthenticationFailed,
    ConnectionLost,
    RecipientsRefused,
    ReplyError,
    SendResult,
    TlsUnavailable,
)

from . import ours, peers
from .ours import (
    EIGHT_BIT,
    MESSAGE,
    NOBODY,
    PASSWORD,
    RECIPIENT,
    SENDER,
    USER,
    Certificates,
    Stored,
    converse,
    is_letter,
    letter,
    securely,
)

pytestmark = pytest.mark.parametrize("adapter", ours.ADAPTERS)
by_pipelining = pytest.mark.parametrize("pipelining", [True, False], ids=["in groups", "one by one"])


def send_both(adapter: str, port: int, **options: Any) -> tuple[SendResult, SendResult]:
    """Send both messages in one session, the first one also to a recipient that is refused."""
    first, second = converse(
        adapter,
        port,
        ("send", SENDER, [NOBODY, RECIPIENT], MESSAGE),
        ("send", SENDER, [RECIPIENT], EIGHT_BIT),
        **options,
    )
    assert first.accepted_recipients == second.accepted_recipients == (RECIPIENT,)
    assert first.refused_recipients[NOBODY].code == 550
    return first, second


# --- smtp-sink of Postfix ---------------------------------------------------------------------------------


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    port = peers.free_port()
    as_whom = ["-u", "root"] if os.geteuid() == 0 else []  # it demands to be told
    with peers.running(peers.require("smtp-sink"), *as_whom, *options, f"127.0.0.1:{port}", "100", port=port):
        yield port


@by_pipelining
@pytest.mark.req("DAT-12", "DAT-15")
def test_smtp_sink_gets_messages_octet_by_octet(adapter: str, pipelining: bool, tmp_path: Path) -> None:
    recipients = [RECIPIENT, *(f"copy{number}@server.example" for number in range(150))]
    with smtp_sink("-d", f"{tmp_path}/message.", *([] if pipelining else ["-p"])) as port:
        results = converse(
            adapter, port, ("send", SENDER, recipients, MESSAGE), ("send", "", [RECIPIENT], EIGHT_BIT)
        )
    assert [list(result.accepted_recipients) for result in results] == [recipients, [RECIPIENT]]
    dumps = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(dumps) == 2
    first = next(one for one in dumps if one.count(b"X-Rcpt-Args:") == len(recipients))
    (second,) = dumps - {first}
    # It writes LF for CRLF, puts a header section of its own before and an empty line behind.
    assert first.endswith(b"\n" + MESSAGE.replace(b"\r\n", b"\n") + b"\n")
    assert second.endswith(b"\n" + EIGHT_BIT.replace(b"\r\n", b"\n") + b"\n")
    assert b"\nX-Mail-Args: <> " in second
    assert b"BODY=8BITMIME" in second


@pytest.mark.parametrize("command", ["MAIL", "DATA", "."])
def test_smtp_sink_refuses(adapter: str, command: str) -> None:
    with smtp_sink("-f", command) as port, pytest.raises(ReplyError) as refused:
        converse(adapter, port, ("send", SENDER, [RECIPIENT], MESSAGE))
    assert refused.value.reply.code == 500
    assert cast(SendResult, refused.value.result).accepted_recipients == ()


def test_smtp_sink_refuses_all_recipients(adapter: str) -> None:
    with smtp_sink("-r", "RCPT") as port, pytest.raises(RecipientsRefused) as refused:
        converse(adapter, port, ("send", SENDER, [RECIPIENT, NOBODY], MESSAGE))
    assert refused.value.reply.code == 450
    assert cast(SendResult, refused.value.result).retryable_recipients == (RECIPIENT, NOBODY)


@pytest.mark.parametrize("command, perhaps", [("MAIL", False), ("RCPT", False), ("DATA", False), (".", True)])
@pytest.mark.req("SES-41")
def test_smtp_sink_hangs_up(adapter: str, command: str, perhaps: bool) -> None:
    with smtp_sink("-q", command) as port, pytest.raises(ConnectionLost) as lost:
        converse(adapter, port, ("send", SENDER, [RECIPIENT], MESSAGE))
    assert lost.value.maybe_delivered is perhaps


def test_smtp_sink_without_extensions(adapter: str, tmp_path: Path) -> None:
    with smtp_sink("-e", "-d", f"{tmp_path}/message.") as port:
        (result,) = converse(adapter, port, ("send_message", letter()))
    assert result.accepted_recipients == (RECIPIENT,)
    (dump,) = (path.read_bytes() for path in tmp_path.iterdir())
    assert dump.isascii()
    own_header, _, content = dump.partition(b"\nFrom: ")
    assert own_header
    assert is_letter(b"From: " + content)


# --- aiosmtpd ---------------------------------------------------------------------------------------------


class Controller:
    """A handler of aiosmtpd."""

    def __init__(self, pipelining: bool) -> None:
        self.messages: list[Stored] = []
        self._keywords = ["250-PIPELINING"] if pipelining else []

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [responses[0], *self._keywords, *responses[1:]]

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address == NOBODY:
            return "550 5.1.1 nobody"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(Stored(envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 taken"


@contextmanager
def aiosmtpd(handler: Controller, certificates: Certificates, security: str) -> Iterator[int]:
    smtp = peers.require_module("aiosmtpd.smtp")
    context = certificates.server()

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        good = data.login == USER.encode() and data.password == PASSWORD.encode()
        return smtp.AuthResult(success=good, handled=good)

    def protocol() -> Any:
        return smtp.SMTP(
            handler,
            hostname="server.example",
            tls_context=context if security == "starttls" else None,
            auth_require_tls=security == "starttls",
            authenticator=check,
        )

    started: Future[tuple[int, Any]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        tls = context if security == "tls" else None
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
        async with server:
            port = server.sockets[0].getsockname()[1]
            started.set_result((port, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, stop = started.result(peers.SECONDS)
    try:
        yield port
    finally:
        stop()
        thread.join(peers.SECONDS)


@by_pipelining
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_aiosmtpd_gets_messages_octet_by_octet(
    adapter: str, security: str, pipelining: bool, certificates: Certificates
) -> None:
    handler = Controller(pipelining)
    with aiosmtpd(handler, certificates, security) as port:
        send_both(adapter, port, **securely(certificates, security))
    assert handler.messages == [Stored(SENDER, [RECIPIENT], MESSAGE), Stored(SENDER, [RECIPIENT], EIGHT_BIT)]


# --- smtp-server of nodemailer ----------------------------------------------------------------------------


@contextmanager
def smtp_server(certificates: Certificates, **options: object) -> Iterator[int]:
    node = peers.require_node("smtp-server")
    port = peers.free_port()
    chosen = {
        "key": certificates.key.read_text(),
        "cert": certificates.chain.read_text(),
        "authMethods": ["PLAIN", "LOGIN"],
        "disableReverseLookup": True,
        **options,
    }
    script = str(Path(__file__).with_name("smtp_server.js"))
    with peers.running(node, script, str(port), json.dumps(chosen), port=port):
        yield port


@by_pipelining
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_smtp_server_gets_messages_octet_by_octet(
    adapter: str, security: str, pipelining: bool, certificates: Certificates
) -> None:
    with smtp_server(
        certificates, secure=security == "tls", authOptional=security == "none", hidePIPELINING=not pipelining
    ) as port:
        first, second = send_both(adapter, port, **securely(certificates, security))
    assert sha256(MESSAGE).hexdigest() in first.reply.text
    assert sha256(EIGHT_BIT).hexdigest() in second.reply.text


def test_smtp_server_refuses_a_wrong_password(adapter: str, certificates: Certificates) -> None:
    with smtp_server(certificates) as port, pytest.raises(AuthenticationFailed) as refused:
        converse(adapter, port, security="starttls", ssl_context=certificates.client(), auth=(USER, "wrong"))
    assert refused.value.reply.code == 535


@pytest.mark.req("TLS-25")
def test_no_password_for_a_smtp_server_without_tls(adapter: str, certificates: Certificates) -> None:
    with (
        smtp_server(certificates, hideSTARTTLS=True, allowInsecureAuth=True) as port,
        pytest.raises(TlsUnavailable),
    ):
        converse(adapter, port, auth=(USER, PASSWORD))
