"""The servers of docs/reference/conformance.md: they accept mail, and lose it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from smtpcore import ServerConfig

from ..interop import ours, peers
from ..interop.ours import PASSWORD, USER, Certificates
from ..interop.test_relays import home, user_of


@contextmanager
def our_server(adapter: str, certificates: Certificates) -> Iterator[int]:
    config = ServerConfig(auth_mechanisms=("PLAIN", "LOGIN"), smtputf8=True, expn=True)
    options = ours.options(certificates, "starttls", config=config)
    with ours.serving(adapter, ours.Mailbox(), **options) as port:
        yield port


@contextmanager
def postfix(certificates: Certificates) -> Iterator[int]:
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
            mydestination = postfix.example
            mynetworks = 127.0.0.0/8
            local_recipient_maps =
            alias_maps =
            smtpd_tls_security_level = may
            smtpd_tls_chain_files = {certificates.key}, {certificates.chain}
            local_transport = discard
            default_transport = discard
            smtpd_forbid_bare_newline = yes
            smtpd_forbid_bare_newline_exclusions =
            """.replace("\n            ", "\n")
        )
        with peers.running_postfix(program, folder, port, "discard"):
            yield port


@contextmanager
def exim(certificates: Certificates) -> Iterator[int]:
    program, port = peers.require("exim4"), peers.free_port()
    user = user_of("Exim", "Debian-exim")
    with home("exim", owner=user) as folder:
        for path in (certificates.key, certificates.chain):
            shutil.chown(shutil.copy(path, folder / path.name), user)
        (folder / "configuration").write_text(
            f"""
            exim_path = {program}
            exim_user = {user}
            exim_group = {user}
            primary_hostname = exim.example
            spool_directory = {folder}/data
            log_file_path = {folder}/log/%slog
            keep_environment =
            local_interfaces = 127.0.0.1
            daemon_smtp_ports = {port}
            tls_advertise_hosts = *
            tls_certificate = {folder}/{certificates.chain.name}
            tls_privatekey = {folder}/{certificates.key.name}
            acl_smtp_rcpt = accept
            chunking_advertise_hosts = *
            queue_only
            """.replace("\n            ", "\n")
        )
        with peers.running(program, "-C", str(folder / "configuration"), "-bdf", port=port):
            yield port


@contextmanager
def opensmtpd(certificates: Certificates) -> Iterator[int]:
    program, port = peers.require("smtpd"), peers.free_port()
    with home("opensmtpd", owner="root") as folder:
        for path in (certificates.key, certificates.chain):
            shutil.copy(path, folder / path.name)
            (folder / path.name).chmod(0o600)
        (folder / "smtpd.conf").write_text(
            f'pki here cert "{folder}/{certificates.chain.name}"\n'
            f'pki here key "{folder}/{certificates.key.name}"\n'
            f"listen on 127.0.0.1 port {port} tls pki here hostname opensmtpd.example\n"
            'action "lose" relay host smtp://127.0.0.1:9\n'
            'match from any for any action "lose"\n'
        )
        with peers.running(program, "-d", "-f", str(folder / "smtpd.conf"), port=port):
            yield port


class _Accepting:
    """A handler of aiosmtpd that accepts all, and knows postmaster."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 OK"


@contextmanager
def aiosmtpd(certificates: Certificates) -> Iterator[int]:
    smtp = peers.require_module("aiosmtpd.smtp")

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        good = data.login == USER.encode() and data.password == PASSWORD.encode()
        return smtp.AuthResult(success=good, handled=False)

    def protocol() -> Any:
        return smtp.SMTP(
            _Accepting(),
            hostname="aiosmtpd.example",
            tls_context=certificates.server(),
            enable_SMTPUTF8=True,
            authenticator=check,
        )

    started: Future[tuple[int, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
            started.set_result(
                (server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stop.set))
            )
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, stop = started.result(peers.SECONDS)
    try:
        yield port
    finally:
        stop()
        thread.join(peers.SECONDS)


@contextmanager
def smtp_sink(certificates: Certificates) -> Iterator[int]:
    port = peers.free_port()
    as_whom = ["-u", "root"] if os.geteuid() == 0 else []
    program = peers.require("smtp-sink")
    with peers.running(program, *as_whom, "-h", "sink.example", f"127.0.0.1:{port}", "100", port=port):
        yield port


@contextmanager
def smtp_server(certificates: Certificates) -> Iterator[int]:
    from ..interop.test_servers import smtp_server as interop_server

    with interop_server(certificates, authOptional=True) as port:
        yield port


class Subject(NamedTuple):
    """A server to check.

    Attributes:
        name: For people.
        start: Serves while the block lasts.
        user: Whether it knows USER.
    """

    name: str
    start: Callable[[Certificates], contextlib.AbstractContextManager[int]]
    user: bool


SERVERS = (
    Subject("smtpcore, threads", lambda certificates: our_server("sync", certificates), True),
    Subject("smtpcore, asyncio", lambda certificates: our_server("asyncio", certificates), True),
    Subject("smtpcore, trio", lambda certificates: our_server("trio", certificates), True),
    Subject("Postfix", postfix, False),
    Subject("Exim", exim, False),
    Subject("OpenSMTPD", opensmtpd, False),
    Subject("aiosmtpd", aiosmtpd, True),
    Subject("smtp-sink", smtp_sink, False),
    Subject("smtp-server", smtp_server, True),
)
