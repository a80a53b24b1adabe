"""Clients of other people, and our three servers."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from . import ours, peers
from .ours import MESSAGE, NOBODY, PASSWORD, RECIPIENT, SENDER, USER, Certificates, Mailbox, Stored, serving


class Delivery(NamedTuple):
    """What a client is to do."""

    port: int
    security: str
    mechanism: str | None
    recipients: list[str]
    certificates: Certificates
    folder: Path


def swaks(to: Delivery) -> None:
    (to.folder / "message").write_bytes(MESSAGE.removesuffix(b"\r\n"))  # it ends the last line itself
    command = [peers.require("swaks"), "--server", "127.0.0.1", "--port", str(to.port), "--pipeline"]
    command += ["--from", SENDER, "--to", ",".join(to.recipients), "--data", f"@{to.folder / 'message'}"]
    if to.security != "none":
        command += ["--tls" if to.security == "starttls" else "--tls-on-connect", "--tls-verify"]
        command += ["--tls-ca-path", str(to.certificates.authority)]
    if to.mechanism is not None:
        command += ["--auth", to.mechanism, "--auth-user", USER, "--auth-password", PASSWORD]
    peers.run(*command)


def curl(to: Delivery) -> None:
    (to.folder / "message").write_bytes(MESSAGE)
    scheme = "smtps" if to.security == "tls" else "smtp"
    command = [
        peers.require("curl"),
        "--silent",
        "--show-error",
        f"{scheme}://127.0.0.1:{to.port}/client.example",
    ]
    command += ["--mail-from", SENDER, "--upload-file", str(to.folder / "message"), "--mail-rcpt-allowfails"]
    for recipient in to.recipients:
        command += ["--mail-rcpt", recipient]
    if to.security != "none":
        command += ["--ssl-reqd", "--cacert", str(to.certificates.authority)]
    if to.mechanism is not None:
        command += ["--user", f"{USER}:{PASSWORD}", "--login-options", f"AUTH={to.mechanism}"]
    peers.run(*command)


def msmtp(to: Delivery) -> None:
    settings = to.folder / "msmtprc"
    lines = ["account default", "host 127.0.0.1", f"port {to.port}", f"from {SENDER}"]
    if to.security != "none":
        lines += ["tls on", f"tls_trust_file {to.certificates.authority}"]
        lines += [f"tls_starttls {'on' if to.security == 'starttls' else 'off'}"]
    if to.mechanism is not None:
        lines += [f"auth {to.mechanism.lower()}", f"user {USER}", f'password "{PASSWORD}"']
    settings.write_text("\n".join(lines) + "\n")
    settings.chmod(0o600)  # it has a password in it, msmtp says
    peers.run(
        peers.require("msmtp"), f"--file={settings}", *to.recipients, input=MESSAGE.replace(b"\r\n", b"\n")
    )


def nodemailer(to: Delivery) -> None:
    node = peers.require_node("nodemailer")
    options = {
        "host": "127.0.0.1",
        "port": to.port,
        "secure": to.security == "tls",
        "requireTLS": to.security == "starttls",
        "tls": {"ca": to.certificates.authority.read_text()},
        "envelope": {"from": SENDER, "to": to.recipients},
    }
    if to.mechanism is not None:
        options["auth"] = {"user": USER, "pass": PASSWORD}
        options["authMethod"] = to.mechanism
    script = str(Path(__file__).with_name("nodemailer_send.js"))
    told = json.loads(peers.run(node, script, json.dumps(options), input=MESSAGE))
    assert told["rejected"] == [one for one in to.recipients if one == NOBODY]
    assert told["response"].startswith("250 2.")


Client = Callable[[Delivery], None]


@pytest.mark.req("DAT-13", "DAT-36")
@pytest.mark.parametrize(
    "security, mechanism", [("none", None), ("starttls", "LOGIN"), ("starttls", "PLAIN"), ("tls", "PLAIN")]
)
@pytest.mark.parametrize("client", [swaks, curl, msmtp, nodemailer])
@pytest.mark.parametrize("adapter", ours.ADAPTERS)
def test_a_message_arrives_octet_by_octet(
    adapter: str,
    client: Client,
    security: str,
    mechanism: str | None,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    mailbox = Mailbox()
    with serving(adapter, mailbox, **ours.options(certificates, security)) as port:
        client(Delivery(port, security, mechanism, [RECIPIENT], certificates, tmp_path))
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE)]
    assert mailbox.users == ([] if mechanism is None else [USER])


# msmtp gives up where one recipient is refused.
@pytest.mark.parametrize("client", [swaks, curl, nodemailer])
def test_a_refused_recipient_keeps_nobody_from_the_message(
    client: Client, certificates: Certificates, tmp_path: Path
) -> None:
    mailbox = Mailbox()
    with serving("asyncio", mailbox) as port:
        client(Delivery(port, "none", None, [NOBODY, RECIPIENT], certificates, tmp_path))
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE)]


def test_a_client_that_does_not_trust_our_certificate_sends_nothing(
    certificates: Certificates, tmp_path: Path
) -> None:
    mailbox = Mailbox()
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with serving("asyncio", mailbox, **ours.options(certificates, "starttls")) as port:
        distrustful = dataclasses.replace(certificates, authority=stranger)
        with pytest.raises(AssertionError, match="curl ended with 60"):
            curl(Delivery(port, "starttls", "PLAIN", [RECIPIENT], distrustful, tmp_path))
        curl(Delivery(port, "starttls", "PLAIN", [RECIPIENT], certificates, tmp_path))
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE)]


@pytest.mark.parametrize("stays", [False, True], ids=["a session each", "twenty sessions"])
@pytest.mark.parametrize("adapter", ours.ADAPTERS)
def test_two_thousand_messages_of_smtp_source(adapter: str, stays: bool) -> None:
    mailbox = Mailbox()
    command = [peers.require("smtp-source"), "-s", "20", "-m", "2000", "-l", "4096"]
    command += ["-f", SENDER, "-t", RECIPIENT]
    with serving(adapter, mailbox) as port:
        peers.run(*command, *(["-d"] if stays else []), f"127.0.0.1:{port}")
    assert len(mailbox.messages) == 2000
    assert {(one.sender, *one.recipients) for one in mailbox.messages} == {(SENDER, RECIPIENT)}
    # Each has another Message-ID, and below the header section all have the same 4096 octets.
    (body,) = {one.content.partition(b"\r\n\r\n")[2] for one in mailbox.messages}
    assert len(body.removesuffix(b"\r\n")) == 4096
    assert all(re.fullmatch(rb"\d?X*", line) for line in body.split(b"\r\n"))
