"""Each of our clients with each of our servers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from smtpcore.message import prepare_message

from . import measured, ours, peers
from .ours import (
    EIGHT_BIT,
    MESSAGE,
    NOBODY,
    RECIPIENT,
    SENDER,
    USER,
    Certificates,
    Mailbox,
    Stored,
    converse,
    securely,
    serving,
)

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]
of_each_client = pytest.mark.parametrize("client", ours.ADAPTERS)
measurable = pytest.mark.skipif(
    not measured.STATUS.exists(), reason="how much memory a process takes is asked in the way of Linux"
)


@pytest.mark.req("AUT-29", "TLS-30")
@of_each_client
@pytest.mark.parametrize("server", ours.ADAPTERS)
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_messages_arrive_octet_by_octet(
    client: str, server: str, security: str, certificates: Certificates
) -> None:
    mailbox = Mailbox()
    with serving(server, mailbox, **ours.options(certificates, security)) as port:
        first, second = converse(
            client,
            port,
            ("send", SENDER, [NOBODY, RECIPIENT], MESSAGE),
            ("send", "", [RECIPIENT], EIGHT_BIT),
            **securely(certificates, security),
        )
    assert first.accepted_recipients == second.accepted_recipients == (RECIPIENT,)
    assert first.refused_recipients[NOBODY].code == 550
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE), Stored("", [RECIPIENT], EIGHT_BIT)]
    assert mailbox.users == ([] if security == "none" else [USER])


@pytest.fixture(scope="module", params=ours.ADAPTERS)
def hashing_server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[int]:
    """The port of a server that runs in a process of its own, and tells what a message has cost it."""
    command = [sys.executable, "-m", "tests.interop.measured", "server", request.param]
    command += [str(certificates.chain), str(certificates.key)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()
        assert process.wait(peers.SECONDS) == 0


@pytest.fixture(scope="module")
def large() -> bytes:
    """The content of a message with an attachment of 25 MiB."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "large"
    message.set_content("See below.\n")
    octets = bytes(range(256)) * (25 * MIB // 256)
    message.add_attachment(octets, maintype="application", subtype="octet-stream", filename="octets")
    return prepare_message(message).content


@measurable
def test_memory_that_was_given_back_is_measured_too() -> None:
    growth = measured.Growth()
    before = growth.octets()
    assert bytearray(b"x") * (64 * MIB)
    assert growth.octets() - before > 32 * MIB


@measurable
@pytest.mark.req("DAT-37")
@of_each_client
def test_a_large_attachment_costs_the_server_no_memory(
    client: str, hashing_server: int, large: bytes, certificates: Certificates
) -> None:
    trusting = securely(certificates, "starttls")
    (result,) = converse(client, hashing_server, ("send", SENDER, [RECIPIENT], large), **trusting)
    digest, growth = result.reply.text.split()
    assert digest == hashlib.sha256(large).hexdigest()
    assert int(growth) < 8 * MIB


@measurable
@pytest.mark.req("DAT-37")
@of_each_client
@pytest.mark.parametrize("hashing_server", ["asyncio"], indirect=True)
def test_content_in_pieces_costs_the_client_no_memory(
    client: str, hashing_server: int, certificates: Certificates
) -> None:
    command = [sys.executable, "-m", "tests.interop.measured", "client", client]
    command += [str(certificates.authority), str(hashing_server), str(25 * MIB)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=peers.SECONDS, check=True)
    assert int(done.stdout) < 8 * MIB
