"""Whole mail servers between our client and our server: a private Postfix, and a private Exim.

Each takes a message from our client over STARTTLS, and passes it on to our server over STARTTLS. So each is a
peer of both roles.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from . import ours, peers
from .ours import EIGHT_BIT, MESSAGE, RECIPIENT, SENDER, Certificates, Mailbox, Stored, converse, serving

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="these servers are started by root only"),
    pytest.mark.parametrize("adapter", ours.ADAPTERS),
]


class Awaited(Mailbox):
    """A mailbox at whose other end somebody waits: relays deliver when they find the time."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: Queue[Stored] = Queue()

    def store(self, session: Any, envelope: Any, content: Any) -> bool:
        assert session.connection.tls is not None
        super().store(session, envelope, content)
        self.arrived.put(self.messages[-1])
        return True


@contextmanager
def home(name: str, *, owner: str) -> Iterator[Path]:
    """A folder that all users get into, which that of a test is not, with some in it that belong to one."""
    folder = Path(tempfile.mkdtemp(prefix=f"smtpcore-{name}-"))
    folder.chmod(0o755)
    for one in ("data", "log"):
        (folder / one).mkdir()
        shutil.chown(folder / one, owner)
    try:
        yield folder
    except BaseException:
        for log in (folder / "log").iterdir():
            sys.stderr.write(log.read_text(errors="replace"))
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # somebody may just be tidying up in it


def user_of(program: str, name: str) -> str:
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        peers.missing(f"the user of {program}", f"useradd -r -M {name}")


@contextmanager
def postfix(onward: int, certificates: Certificates) -> Iterator[int]:
    program, port = peers.require("postfix"), peers.free_port()
    with home("postfix", owner=user_of("postfix", "postfix")) as folder:
        (folder / "etc").mkdir()
        (folder / "queue").mkdir()
        (folder / "etc" / "main.cf").write_text(
            f"""
            compatibility_level = 3.6
            queue_directory = {folder}/queue
            data_directory = {folder}/data
            maillog_file = {folder}/log/all
            maillog_file_prefixes = {folder}
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            myhostname = postfix.example
            mydestination =
            mynetworks = 127.0.0.0/8
            local_recipient_maps =
            alias_maps =
            smtpd_tls_security_level = encrypt
            smtpd_tls_chain_files = {certificates.key}, {certificates.chain}
            relayhost = [127.0.0.1]:{onward}
            smtp_tls_security_level = secure
            smtp_tls_CAfile = {certificates.authority}
            smtp_tls_secure_cert_match = localhost
            """.replace("\n            ", "\n")
        )
        with peers.running_postfix(program, folder, port, "smtp"):
            yield port


@contextmanager
def exim(onward: int, certificates: Certificates) -> Iterator[int]:
    program, port = peers.require("exim4"), peers.free_port()
    user = user_of("Exim", "Debian-exim")
    with home("exim", owner=user) as folder:
        for path in (certificates.key, certificates.chain, certificates.authority):
            shutil.chown(shutil.copy(path, folder / path.name), user)
        (folder / "configuration").write_text(
            f"""
            exim_path = {program}
            exim_user = {user}
            exim_group = {user}
            deliver_drop_privilege
            primary_hostname = exim.example
            spool_directory = {folder}/data
            log_file_path = {folder}/log/%slog
            keep_environment =
            local_interfaces = 127.0.0.1
            daemon_smtp_ports = {port}
            tls_advertise_hosts = *
            tls_certificate = {folder}/{certificates.chain.name}
            tls_privatekey = {folder}/{certificates.key.name}
            acl_smtp_rcpt = accept encrypted = *
            begin routers
            onward:
              driver = manualroute
              transport = onward
              route_list = * 127.0.0.1 byname
              self = send
            begin transports
            onward:
              driver = smtp
              port = {onward}
              allow_localhost
              hosts_require_tls = *
              tls_verify_certificates = {folder}/{certificates.authority.name}
              tls_verify_hosts = *
            """.replace("\n            ", "\n")
        )
        with peers.running(program, "-C", str(folder / "configuration"), "-bdf", port=port):
            yield port


@pytest.mark.parametrize("relay", [postfix, exim])
def test_a_relay_takes_messages_and_passes_them_on(
    adapter: str, relay: Any, certificates: Certificates
) -> None:
    mailbox = Awaited()
    with (
        serving(adapter, mailbox, **ours.options(certificates, "starttls")) as onward,
        relay(onward, certificates) as port,
    ):
        for message in (MESSAGE, EIGHT_BIT):
            (result,) = converse(
                adapter,
                port,
                ("send", SENDER, [RECIPIENT], message),
                security="starttls",
                ssl_context=certificates.client(),
            )
            assert result.accepted_recipients == (RECIPIENT,)
            stored = mailbox.arrived.get(timeout=peers.SECONDS)
            assert (stored.sender, stored.recipients) == (SENDER, [RECIPIENT])
            trace, _, content = stored.content.partition(b"From: Anna")
            assert trace.startswith(b"Received: from ")
            assert b"From: Anna" + content == message
