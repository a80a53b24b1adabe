"""The Maildir: what was answered 250 is there, whole and safe; of everything else nothing is left."""

from __future__ import annotations

import asyncio
import email
import errno
import mailbox
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

import smtpcore.asyncio
import smtpcore.sync
import smtpcore.trio
from smtpcore import ConnectionClosed, Reply, ReplyError, SendResult, ServerConfig, ServerConnection, TlsInfo
from smtpcore._net.session import ServerSession
from smtpcore.maildir import MaildirHandler
from smtpcore.trace import trace_fields
from smtpcore.transcript import Entry, Transcript

Address = tuple[str, int]

CONTENT = b"Received: from b\r\nReceived: from a\r\nSubject: \xc3\xa9\r\n\r\n.\r\n..dots\r\n\r\nlast line\r\n"
SENDER, RECIPIENTS = "a@client.example", ["x@server.example", "y@server.example"]


def deliver(
    maildir: MaildirHandler, content: bytes = CONTENT, recipients: list[str] = RECIPIENTS
) -> SendResult:
    with (
        smtpcore.sync.serve(maildir, hostname="server.example") as server,
        smtpcore.sync.connect(*server.addresses[0], security="none", local_hostname="client.example") as client,
    ):
        return client.send(SENDER, recipients, content)


def refusal(maildir: MaildirHandler, content: bytes = CONTENT) -> Reply:
    with pytest.raises(ReplyError) as caught:
        deliver(maildir, content)
    return caught.value.reply


def files(maildir: MaildirHandler) -> list[Path]:
    return [path for path in maildir.path.rglob("*") if not path.is_dir()]


def the_message(maildir: MaildirHandler) -> bytes:
    (path,) = files(maildir)
    assert path.parent == maildir.path / "new"
    return path.read_bytes()


# -- what is stored --


def test_the_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    MaildirHandler(tmp_path / "some" / "where")
    for name in ("", "tmp", "new", "cur"):
        mode = (tmp_path / "some" / "where" / name).stat().st_mode
        assert stat.S_ISDIR(mode) and stat.S_IMODE(mode) == 0o700


def test_an_existing_maildir_keeps_its_mail(tmp_path: Path) -> None:
    deliver(MaildirHandler(tmp_path, trace=False))
    assert the_message(MaildirHandler(tmp_path)) == CONTENT


def test_a_message_is_stored_once_and_octet_by_octet(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    assert deliver(maildir).accepted_recipients == tuple(RECIPIENTS)
    assert the_message(maildir) == CONTENT


def test_only_its_owner_can_read_a_message(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path)
    deliver(maildir)
    assert stat.S_IMODE(files(maildir)[0].stat().st_mode) == 0o600


@pytest.mark.req("TRC-01", "TRC-05")
def test_trace_fields_come_before_the_unchanged_content(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path)
    deliver(maildir)
    stored = the_message(maildir)
    assert stored.endswith(CONTENT)
    trace = email.message_from_bytes(stored[: -len(CONTENT)], policy=default)
    assert trace.keys() == ["Return-Path", "Received"]


@pytest.mark.req("TRC-10")
def test_the_return_path_is_the_reverse_path(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path)
    deliver(maildir)
    fields = [line for line in the_message(maildir).splitlines() if line.lower().startswith(b"return-path")]
    assert fields == [b"Return-Path: <a@client.example>"]


@pytest.mark.req("TRC-02")
def test_Received_names_the_client(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path)
    deliver(maildir, recipients=RECIPIENTS[:1])
    received = email.message_from_bytes(the_message(maildir), policy=default).get_all("Received")
    assert received is not None
    assert re.match(
        r"from client\.example \(\[127\.0\.0\.1\]\) by server\.example with ESMTP for <x@server\.example>; ",
        str(received[0]),
    )


def test_the_mailbox_module_reads_the_maildir(tmp_path: Path) -> None:
    deliver(MaildirHandler(tmp_path))
    deliver(MaildirHandler(tmp_path))
    reader = mailbox.Maildir(tmp_path, create=False)
    assert [message["Return-Path"] for message in reader] == ["<a@client.example>"] * 2


def test_file_names_follow_maildir_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a/b:c")
    maildir = MaildirHandler(tmp_path, trace=False)
    session = cast(ServerSession, None)
    sinks = [maildir.begin_message(session, cast(Any, None)) for _ in range(100)]
    for sink in sinks:
        sink.finish()
    names = {path.name for path in files(maildir)}
    assert len(names) == 100
    pattern = rf"\d{{10}}\.M\d{{1,6}}P{os.getpid()}Q\d+\.a\\057b\\072c"
    assert all(re.fullmatch(pattern, name) for name in names)


def test_the_handler_works_on_asyncio(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)

    async def main() -> None:
        async with (
            smtpcore.asyncio.serve(maildir) as server,
            smtpcore.asyncio.connect(*server.addresses[0], security="none") as client,
        ):
            await client.send(SENDER, RECIPIENTS, CONTENT)

    asyncio.run(main())
    assert the_message(maildir) == CONTENT


def test_the_handler_works_on_trio(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)

    async def main() -> None:
        async with (
            smtpcore.trio.serve(maildir) as server,
            smtpcore.trio.connect(*server.addresses[0], security="none") as client,
        ):
            await client.send(SENDER, RECIPIENTS, CONTENT)

    trio.run(main)
    assert the_message(maildir) == CONTENT


# -- trace fields --


def traced(*lines: str, tls: TlsInfo | None = None, peer: object = ("192.0.2.1", 4321)) -> str:
    """The trace fields of a transaction that a client began with these lines."""
    connection = ServerConnection("server.example", config=ServerConfig(smtputf8=True), tls=tls)
    connection.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    while (event := connection.next_event()) is not None:
        assert not isinstance(event, ConnectionClosed)
        connection.accept()
    assert connection.envelope is not None
    session = cast(ServerSession, SimpleNamespace(connection=connection, peername=peer))
    return trace_fields(session, connection.envelope).decode()


def test_Received_says_SMTP_after_HELO() -> None:
    fields = traced("HELO client.example", "MAIL FROM:<>", "RCPT TO:<x@y.example>")
    assert fields.startswith("Return-Path: <>\r\nReceived: from client.example ([192.0.2.1])")
    assert " with SMTP\r\n" in fields or " with SMTP " in fields


def test_Received_names_the_cipher_of_TLS() -> None:
    info = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    fields = traced("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<x@y.example>", tls=info)
    assert "with ESMTPS" in fields and "tls TLS_AES_256_GCM_SHA384" in fields


def test_a_message_is_stored_although_the_cipher_has_no_registered_name() -> None:
    info = TlsInfo("TLSv1.2", "A CIPHER OF ONE'S OWN")
    fields = traced("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<x@y.example>", tls=info)
    assert "with ESMTPS" in fields and "CIPHER" not in fields


def test_trace_fields_have_UTF8_with_SMTPUTF8() -> None:
    fields = traced("EHLO client.example", "MAIL FROM:<ä@client.example> SMTPUTF8", "RCPT TO:<ö@y.example>")
    assert "<ä@client.example>" in fields and "for <ö@y.example>" in fields and "UTF8SMTP" in fields


def test_a_client_without_an_IP_address_is_accepted() -> None:
    fields = traced("EHLO client.example", "MAIL FROM:<>", "RCPT TO:<x@y.example>", peer="")
    assert "from client.example by server.example" in fields


@pytest.mark.parametrize("hello", ["[127.0.0.1]", "[IPv6:::1]", "[127.0.0.1] and more", "my_pc", "m\xfcller"])
def test_a_client_without_an_IP_address_may_give_any_name(hello: str) -> None:
    fields = traced(f"EHLO {hello}", "MAIL FROM:<>", "RCPT TO:<x@y.example>", peer="")
    assert " by server.example" in fields and "[" not in fields


# -- the order in which it becomes safe --


def test_file_and_folder_are_on_the_disk_before_the_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    steps: list[tuple[str, str, bytes]] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        (file,) = files(maildir)
        synced = os.fstat(descriptor)
        what = "file" if os.path.samestat(synced, file.stat()) else "folder"
        assert what == "file" or os.path.samestat(synced, file.parent.stat())
        steps.append((what, file.parent.name, file.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    deliver(maildir)
    assert steps == [("file", "tmp", CONTENT), ("folder", "new", CONTENT)]


def test_new_folders_are_on_the_disk_before_the_first_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[os.stat_result] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
    monkeypatch.chdir(tmp_path)
    MaildirHandler("some/where")
    for folder in (tmp_path, tmp_path / "some", tmp_path / "some" / "where"):
        assert any(os.path.samestat(folder.stat(), one) for one in synced)
    synced.clear()
    MaildirHandler("some/where")
    assert not any(os.path.samestat((tmp_path / "some").stat(), one) for one in synced)


# -- in the worker threads of each adapter --


def in_adapter(adapter: str, maildir: MaildirHandler, act: Callable[[Address], None], **options: Any) -> None:
    """Serve a Maildir with an adapter while a function acts as the clients, in a thread of its own."""

    async def on_asyncio() -> None:
        async with smtpcore.asyncio.serve(maildir, **options) as server:
            await asyncio.to_thread(act, server.addresses[0])

    async def on_trio() -> None:
        async with smtpcore.trio.serve(maildir, **options) as server:
            await trio.to_thread.run_sync(act, server.addresses[0])

    if adapter == "asyncio":
        asyncio.run(on_asyncio())
    elif adapter == "trio":
        trio.run(on_trio)
    else:
        with smtpcore.sync.serve(maildir, **options) as server:
            act(server.addresses[0])


def send_to(address: Address) -> None:
    with smtpcore.sync.connect(*address, security="none") as client:
        client.send(SENDER, RECIPIENTS, CONTENT)


every_adapter = pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])


@every_adapter
def test_mail_is_stored_over_a_Unix_socket(adapter: str, tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path / "inbox")
    path = os.fspath(tmp_path / "socket")
    in_adapter(adapter, maildir, send_to, host=path)
    assert b"Received: from unknown by " in the_message(maildir)


@every_adapter
@pytest.mark.req("DAT-23")
def test_250_is_sent_after_the_last_of_the_steps_on_every_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def record_fsync(descriptor: int) -> None:
        fsync(descriptor)
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def record_link(source: Path, target: Path) -> None:
        assert source.read_bytes() == CONTENT
        link(source, target)
        steps.append("link")

    def record_reply(entry: Entry) -> None:
        if entry.kind == "reply" and steps:
            steps.append(entry.text[:3])

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "link", record_link)
    in_adapter(adapter, maildir, send_to, transcript=lambda: Transcript(sink=record_reply))
    assert steps[:4] == ["file", "link", "folder", "250"]


@every_adapter
def test_several_messages_are_synchronized_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    maildir = MaildirHandler(tmp_path)
    together = threading.Barrier(3)  # each waits for the others: one after the other they would never pass
    fsync = os.fsync

    def meet(descriptor: int) -> None:
        together.wait(60)
        fsync(descriptor)

    def act(address: Address) -> None:
        threads = [threading.Thread(target=send_to, args=(address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    monkeypatch.setattr(os, "fsync", meet)
    in_adapter(adapter, maildir, act)
    assert len(list((tmp_path / "new").iterdir())) == 3
    assert not together.broken


@pytest.mark.req("DAT-23")
@pytest.mark.parametrize("step", ["file", "folder"])
@pytest.mark.parametrize("adapter", ["asyncio", "trio"])
def test_a_server_that_stops_while_a_message_is_synchronized_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str, step: str
) -> None:
    maildir = MaildirHandler(tmp_path)
    blocked, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def block(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (step == "folder"):
            blocked.set()
            assert go_on.wait(60)
        fsync(descriptor)

    def client(address: Address) -> bytes:
        with socket.create_connection(address, 60) as sock:
            sock.sendall(b"".join(STEPS))
            reader = sock.makefile("rb")
            while not reader.readline().startswith(b"354"):
                pass
            sock.sendall(CONTENT + b".\r\n")
            replies = reader.read()  # up to the end
        go_on.set()  # the session is cancelled by now, and waits for the disk
        return replies

    async def on_asyncio() -> bytes:
        async with smtpcore.asyncio.serve(maildir) as server:
            replies = asyncio.create_task(asyncio.to_thread(client, server.addresses[0]))
            await asyncio.to_thread(blocked.wait, 60)
            await server.close(grace=0)
            return await replies

    async def on_trio() -> bytes:
        replies: list[bytes] = []

        async def run_client(address: Address) -> None:
            replies.append(await trio.to_thread.run_sync(client, address))

        async with trio.open_nursery() as nursery:
            server = await nursery.start(smtpcore.trio.serve, maildir)
            nursery.start_soon(run_client, server.addresses[0])
            await trio.to_thread.run_sync(blocked.wait, 60)
            await server.close(grace=0)
        return replies[0]

    monkeypatch.setattr(os, "fsync", block)
    replies = asyncio.run(on_asyncio()) if adapter == "asyncio" else trio.run(on_trio)
    assert replies.startswith(b"421 ")
    assert files(maildir) == []


def always_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two messages choose the same name, as two containers do whose only process is number 1."""
    names = iter(["1.M1P1Q1.host", "1.M1P1Q1.host", *(f"1.M1P1Q{number}.host" for number in range(2, 9))])
    monkeypatch.setattr("smtpcore.maildir._unique_name", lambda more="": next(names) + more)


def test_a_message_never_replaces_one_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    always_the_same_name(monkeypatch)
    for content in (b"first\r\n", b"second\r\n"):
        deliver(maildir, content)
    assert sorted(path.read_bytes() for path in files(maildir)) == [b"first\r\n", b"second\r\n"]
    assert {path.parent for path in files(maildir)} == {tmp_path / "new"}


def test_two_messages_written_at_the_same_time_have_different_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    always_the_same_name(monkeypatch)
    sinks = [maildir.begin_message(cast(Any, None), cast(Any, None)) for _ in range(2)]
    for number, sink in enumerate(sinks):
        sink.write(b"%d" % number)
        sink.finish()
    assert sorted(path.read_bytes() for path in files(maildir)) == [b"0", b"1"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_message_is_stored_on_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, "no links here")

    maildir = MaildirHandler(tmp_path, trace=False)
    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(socket, "gethostname", lambda: "host")
    for content in (b"first\r\n", b"second\r\n"):
        monkeypatch.setattr("smtpcore.maildir._counter", iter([7, 7]))
        monkeypatch.setattr("smtpcore.maildir.time.time_ns", lambda: 10**18)
        deliver(maildir, content)
    assert sorted(path.read_bytes() for path in files(maildir)) == [b"first\r\n", b"second\r\n"]
    assert {path.parent for path in files(maildir)} == {tmp_path / "new"}


def test_a_message_is_refused_if_the_link_fails_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    maildir = MaildirHandler(tmp_path)
    monkeypatch.setattr(os, "link", fail)
    assert refusal(maildir).code == 452
    assert files(maildir) == []


def test_a_message_is_stored_although_its_name_in_tmp_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    maildir = MaildirHandler(tmp_path, trace=False)
    monkeypatch.setattr(Path, "unlink", fail)
    deliver(maildir)
    assert [path.read_bytes() for path in (tmp_path / "new").iterdir()] == [CONTENT]


def test_abort_accepts_that_the_file_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = MaildirHandler(tmp_path, trace=False).begin_message(cast(Any, None), cast(Any, None))
    sink.path.unlink()
    sink.abort()  # does not raise
    assert list((tmp_path / "tmp").iterdir()) == []


HOUR = 3600


def leave_in_tmp(maildir: Path, *, hours: float) -> Path:
    """Leave a file, as a crash does, that was used for the last time so many hours ago."""
    path = maildir / "tmp" / f"{hours}"
    path.write_bytes(b"half")
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    return path


def test_files_of_a_crash_are_removed_from_tmp_after_36_hours(tmp_path: Path) -> None:
    MaildirHandler(tmp_path)
    old, young = leave_in_tmp(tmp_path, hours=36.1), leave_in_tmp(tmp_path, hours=35.9)
    (tmp_path / "tmp" / "folder").mkdir()
    os.utime(tmp_path / "tmp" / "folder", (0, 0))
    read = leave_in_tmp(tmp_path, hours=40)
    os.utime(read, (time.time(), 0))  # it was written long ago, and read just now
    for name in ("new", "cur"):
        (tmp_path / name / "mail").touch()
        os.utime(tmp_path / name / "mail", (0, 0))
    MaildirHandler(tmp_path)
    assert not old.exists() and young.exists() and read.exists()
    assert (tmp_path / "new" / "mail").exists() and (tmp_path / "cur" / "mail").exists()
    assert (tmp_path / "tmp" / "folder").exists()


def test_tmp_is_swept_at_most_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    now = time.monotonic()
    old = leave_in_tmp(tmp_path, hours=50)
    for seconds, remains in [(HOUR - 60, True), (HOUR + 60, False)]:
        monkeypatch.setattr("smtpcore.maildir.time.monotonic", lambda later=now + seconds: later)
        maildir.begin_message(cast(Any, None), cast(Any, None)).abort()
        assert old.exists() == remains
    old = leave_in_tmp(tmp_path, hours=60)
    maildir.begin_message(cast(Any, None), cast(Any, None)).abort()
    assert old.exists()  # the next hour has begun


@pytest.mark.req("DAT-23")
@pytest.mark.parametrize("failing", ["file", "folder"])
def test_a_message_that_is_not_safe_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    maildir = MaildirHandler(tmp_path)
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == (failing == "folder"):
            raise OSError(errno.EIO, "the disk is broken")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert refusal(maildir).code == 451
    assert files(maildir) == []
    deliver(maildir)  # the client comes again, and has lost nothing
    assert len(files(maildir)) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_full_disk_is_452_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    maildir = MaildirHandler(tmp_path)
    os_open = os.open

    def open_full(path: Any, flags: int, *mode: int) -> int:
        if not flags & os.O_CREAT:
            return os_open(path, flags)
        os.close(os_open(path, flags, *mode))
        return os_open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", open_full)
    assert refusal(maildir, (b"x" * 70 + b"\r\n") * lines).code == 452
    assert files(maildir) == []


def test_DATA_is_refused_without_room_for_the_trace_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: object, envelope: object) -> bytes:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("smtpcore.maildir.trace_fields", fail)
    maildir = MaildirHandler(tmp_path)
    assert refusal(maildir).code == 452
    assert files(maildir) == []


def test_a_maildir_that_cannot_be_written_is_451(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path)
    (tmp_path / "tmp").rmdir()
    (tmp_path / "tmp").touch()
    assert refusal(maildir).code == 451
    assert list((tmp_path / "new").iterdir()) == []


def test_a_path_that_is_not_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        MaildirHandler(tmp_path / "file")


# -- clients that vanish --

STEPS = [
    b"EHLO client.example\r\n",
    b"MAIL FROM:<a@client.example>\r\n",
    b"RCPT TO:<x@server.example>\r\n",
    b"DATA\r\n",
]
BEGINNINGS = [b"Subj", b"Subject: x\r\n", b"Subject: x\r\n\r\nbody\r\n.", b"Subject: x\r\n\r\nbody\r\n.\r"]


def vanish(maildir: MaildirHandler, act: Callable[[socket.socket], None]) -> None:
    """Do something as a client, and go without a word. All is over when this returns."""
    with smtpcore.sync.serve(maildir) as server, socket.create_connection(server.addresses[0]) as sock:
        sock.settimeout(30)
        act(sock)


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_a_connection_lost_between_commands_leaves_no_file(tmp_path: Path, steps: int) -> None:
    maildir = MaildirHandler(tmp_path)

    def act(sock: socket.socket) -> None:
        reader = sock.makefile("rb")
        for step in [b"", *STEPS[:steps]]:
            sock.sendall(step)
            while reader.readline()[3:4] == b"-":
                pass

    vanish(maildir, act)
    assert files(maildir) == []


@pytest.mark.req("DAT-28")
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_connection_lost_in_content_leaves_no_file(tmp_path: Path, beginning: bytes) -> None:
    maildir = MaildirHandler(tmp_path)

    def act(sock: socket.socket) -> None:
        sock.sendall(b"".join(STEPS))
        reader = sock.makefile("rb")
        while not reader.readline().startswith(b"354"):
            pass
        assert len(files(maildir)) == 1
        sock.sendall(beginning)

    vanish(maildir, act)
    assert files(maildir) == []
