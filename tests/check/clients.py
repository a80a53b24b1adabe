"""Clients that send one message: the subjects of docs/reference/conformance.md, and the base of the mutants."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import smtpcore.sync
from smtpcore import SMTPError
from smtpcore._check.client.certificates import AUTHORITY_PEM

from ..interop import peers

SENDER, RECIPIENTS = "anna@client.example", ("bert@server.example", "carla@server.example")
MESSAGE = (
    b"From: Anna <anna@client.example>\r\n"
    b"To: Bert <bert@server.example>\r\n"
    b"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <1@client.example>\r\n"
    b"Subject: dots\r\n"
    b"\r\n"
    b".\r\n"
    b"..\r\n"
    b".hidden\r\n"
    b"QUIT\r\n"
    b"last\r\n"
)

Client = Callable[[str, int], object]


def ours(host: str, port: int) -> None:
    with contextlib.suppress(SMTPError, OSError):
        context = ssl.create_default_context(cadata=AUTHORITY_PEM)
        with smtpcore.sync.connect(host, port, ssl_context=context, timeout=20.0) as client:
            client.send(SENDER, RECIPIENTS, MESSAGE)


def python_smtplib(host: str, port: int) -> None:
    with (
        contextlib.suppress(smtplib.SMTPException, OSError),
        smtplib.SMTP(host, port, "client.example", timeout=20) as client,
    ):
        client.ehlo_or_helo_if_needed()
        if client.has_extn("starttls"):
            client.starttls(context=ssl.create_default_context(cadata=AUTHORITY_PEM))
        client.sendmail(SENDER, RECIPIENTS, MESSAGE)


def _run(*command: str, octets: bytes = b"") -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, input=octets, capture_output=True, timeout=30, check=False)


def swaks(host: str, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message"
        path.write_bytes(MESSAGE.removesuffix(b"\r\n"))
        _run(
            peers.require("swaks"), "--server", host, "--port", str(port), "--pipeline", "--tls-optional",
            "--from", SENDER, "--to", ",".join(RECIPIENTS), "--data", f"@{path}", "--ehlo", "client.example",
        )  # fmt: skip


def curl(host: str, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message"
        path.write_bytes(MESSAGE)
        authority = Path(folder) / "authority.pem"
        authority.write_text(AUTHORITY_PEM)
        recipients = [word for one in RECIPIENTS for word in ("--mail-rcpt", one)]
        _run(
            peers.require("curl"), "--silent", f"smtp://{host}:{port}/client.example", "--mail-from", SENDER,
            "--upload-file", str(path), "--mail-rcpt-allowfails", "--ssl", "--cacert", str(authority),
            *recipients,
        )  # fmt: skip


def msmtp(host: str, port: int) -> None:
    _run(
        peers.require("msmtp"), f"--host={host}", f"--port={port}", f"--from={SENDER}",
        "--domain=client.example", "--tls=off", *RECIPIENTS, octets=MESSAGE.replace(b"\r\n", b"\n"),
    )  # fmt: skip


CLIENTS: tuple[tuple[str, Client], ...] = (
    ("smtpcore", ours),
    ("smtplib", python_smtplib),
    ("swaks", swaks),
    ("curl", curl),
    ("msmtp", msmtp),
)
