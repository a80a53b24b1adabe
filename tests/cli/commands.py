"""What the tests of all commands use: a certificate, a terminal, servers, and ways to run a command."""

from __future__ import annotations

import io
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import trustme

import smtpcore.sync
from smtpcore import Reply
from smtpcore._cli.main import main

ROOT = Path(__file__).resolve().parents[2]
HELLO = ["--from", "a@client.example", "--to", "x@server.example", "--subject", "hi", "--body", "hello"]
PASSWORD = "open sesame"


class Authority:
    """A certificate authority, with a certificate for this machine, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.ca, self.cert, self.key = (str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        self.both = str(folder / "both.pem")
        authority.cert_pem.write_to_path(self.ca)
        certificate.cert_chain_pems[0].write_to_path(self.cert)
        certificate.private_key_pem.write_to_path(self.key)
        certificate.private_key_and_cert_chain_pem.write_to_path(self.both)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.cert, self.key)
        self.client = ssl.create_default_context(cafile=self.ca)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "smtpcore", *arguments],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Run a command that fails with one line; returns the line."""
    try:
        got: object = main(arguments)
    except SystemExit as error:  # of argparse
        got = error.code
    captured = capsys.readouterr()
    assert got == code, captured.err
    assert re.fullmatch(r"smtpcore: .+\n", captured.err)
    return captured.err


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "new").iterdir()]


class Server:
    """A handler with given decisions, which keeps the messages."""

    def __init__(self, *, rcpt: Reply | bool = True, end: Reply | bool = True, refused: str = "") -> None:
        self.rcpt, self.end, self.refused = rcpt, end, refused
        self.messages: list[tuple[str, list[str], bytes]] = []

    def accept_recipient(self, session: object, forward_path: object, parameters: object) -> Reply | bool:
        return self.rcpt if self.refused in str(forward_path) else True

    def check_credentials(self, session: object, credentials: smtpcore.Credentials) -> bool:
        return credentials.matches(PASSWORD if credentials.username == "alice" else None)

    def store(self, session: object, envelope: smtpcore.Envelope, content: BinaryIO) -> Reply | bool:
        recipients = [str(path) for path in envelope.forward_paths]
        self.messages.append((str(envelope.reverse_path), recipients, content.read()))
        return self.end


@contextmanager
def serving(handler: object, **options: Any) -> Iterator[str]:
    """A server; gives its port."""
    with smtpcore.sync.serve(handler, **options) as listener:
        yield str(listener.addresses[0][1])


def unresolvable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look-up of a host name fail."""

    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
