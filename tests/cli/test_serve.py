"""``python3 -m smtpcore serve``: what it receives, prints, stores and logs, and its exit codes."""

from __future__ import annotations

import io
import itertools
import logging
import os
import queue
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, TypeVar, cast

import pytest
from cryptography.hazmat.primitives import serialization

import smtpcore.sync
from smtpcore import Envelope, Mail, Rcpt
from smtpcore._cli import main as _cli
from smtpcore._cli import serve as _cli_serve
from smtpcore._cli import serving as _cli_serving
from smtpcore._cli.main import main
from smtpcore._cli.receiver import Delivery

from .commands import HELLO, ROOT, Authority, fails, run, stored, unresolvable

T = TypeVar("T")


class Screen(io.StringIO):
    """A standard output that passes on the port a server listens on, and the command that sends to it."""

    def __init__(self) -> None:
        super().__init__()
        self.port: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.command: queue.SimpleQueue[str] = queue.SimpleQueue()

    def write(self, text: str) -> int:
        if match := re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+)\n", text):
            self.port.put(int(match[1]))
        if text.startswith("to send to it: "):
            self.command.put(text.partition(": ")[2])
        return super().write(text)


def served(
    monkeypatch: pytest.MonkeyPatch,
    client: Callable[[int], T],
    *arguments: str,
    stop: signal.Signals = signal.SIGTERM,
) -> tuple[T, str]:
    """Run a server, and a client with its port; returns what the client does, and what the server prints."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    results: list[T] = []

    def act() -> None:
        port = screen.port.get(timeout=30)
        try:
            results.append(client(port))
        finally:
            os.kill(os.getpid(), stop)

    before = signal.getsignal(stop)
    thread = threading.Thread(target=act)
    thread.start()
    code = main(["serve", "--port", "0", *arguments])
    thread.join()
    assert code == 0
    assert signal.getsignal(stop) is before
    return results[0], screen.getvalue()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines of the log, without the one about the end."""
    return [message for message in caplog.messages if not message.startswith("stopping: ")]


def send_hello(port: int, **options: Any) -> tuple[str, ...]:
    with smtpcore.sync.connect("127.0.0.1", port, **{"security": "none", **options}) as client:
        return client.send(
            "a@client.example", ["x@server.example"], b"Subject: hi\r\n\r\nhello\r\n"
        ).accepted_recipients


def capabilities(port: int, **options: Any) -> list[str]:
    with smtpcore.sync.connect("127.0.0.1", port, **{"security": "none", **options}) as client:
        return list(client.capabilities)


@pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_stores_received_messages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, adapter: str, stop: signal.Signals
) -> None:
    arguments = "--maildir", str(tmp_path / "mail"), "--adapter", adapter
    accepted, printed = served(monkeypatch, send_hello, *arguments, stop=stop)
    assert accepted == ("x@server.example",)
    port = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+)\nto send to it: (.+)\n", printed)
    assert port is not None
    assert port[2].startswith(f"python3 -m smtpcore send --port {port[1]} --from ")
    (message,) = stored(tmp_path / "mail")
    assert message.startswith(b"Return-Path: <a@client.example>\r\nReceived: ")
    assert message.endswith(b"\r\nSubject: hi\r\n\r\nhello\r\n")


@pytest.mark.req("SES-37")
@pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
def test_an_idle_session_gets_421_when_the_server_stops(monkeypatch: pytest.MonkeyPatch, adapter: str) -> None:
    def wait(port: int) -> BinaryIO:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            reader = sock.makefile("rb")
            assert reader.readline().startswith(b"220")
            return reader

    reader, _ = served(monkeypatch, wait, "--print", "--adapter", adapter)
    with reader:
        assert reader.readline().startswith(b"421 ")
        assert reader.read() == b""


def test_serve_as_a_process_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "smtpcore", "serve", "--port", "0", "--maildir", str(tmp_path / "mail")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        match = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+)\n", process.stdout.readline())
        assert match is not None
        done = run("send", "--port", match[1], *HELLO)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "accepted  x@server.example: 250 2.0.0 message accepted\n"
        process.terminate()
        log = process.stderr.read()
    assert process.returncode == 0
    message, stopping = log.splitlines()
    assert "127.0.0.1: message from <a@client.example> for x@server.example: " in message
    assert "stopping: " in stopping
    assert len(stored(tmp_path / "mail")) == 1


@contextmanager
def server_with_a_client_within_content(
    tmp_path: Path, adapter: str
) -> Iterator[tuple[subprocess.Popen[str], BinaryIO]]:
    """A server as a process of its own, and what the server writes to a client that has sent half a message."""
    arguments = ["--port", "0", "--maildir", str(tmp_path), "--adapter", adapter]
    command = [sys.executable, "-m", "smtpcore", "serve", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline().split()[-1])
            with socket.create_connection(("127.0.0.1", port)) as sock:
                reader = sock.makefile("rb")
                sock.sendall(b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n")
                while not reader.readline().startswith(b"354"):
                    pass
                sock.sendall(b"Subject: half\r\n")
                yield process, reader
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
@pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("first, second", [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGTERM", "SIGINT")])
def test_the_first_signal_waits_for_sessions_and_the_second_ends_them(
    tmp_path: Path, adapter: str, first: str, second: str
) -> None:
    with server_with_a_client_within_content(tmp_path, adapter) as (process, reader):
        assert process.stderr is not None
        process.send_signal(getattr(signal, first))
        line = process.stderr.readline()
        assert line.endswith(
            "stopping: waiting for 1 session, at most 10 seconds (Ctrl-C again: end at once)\n"
        )
        process.send_signal(getattr(signal, second))
        # The client gets a 421 if that can be written without waiting.
        try:
            assert reader.read() in (b"", b"421 4.3.2 [127.0.0.1] service is shutting down\r\n")
        except ConnectionResetError:
            pass
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 128 + getattr(signal, second)
    assert stored(tmp_path) == []


@pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
def test_the_end_without_sessions_is_logged_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, adapter: str
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")
    served(monkeypatch, lambda port: None, "--print", "--adapter", adapter)
    assert caplog.messages == ["stopping: there are no sessions"]


def test_several_sessions_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "smtpcore")
    _cli_serving._say_what_remains(cast(Any, SimpleNamespace(streams={1, 2})))
    assert "waiting for 2 sessions, at most 10 seconds" in caplog.text


def test_serve_without_options_prints_mail_and_the_command_that_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command is run as it was printed."""

    def send_as_printed(port: int) -> subprocess.CompletedProcess[str]:
        assert isinstance(sys.stdout, Screen)
        words = shlex.split(sys.stdout.command.get(timeout=30))
        assert words[:3] == ["python3", "-m", "smtpcore"]
        return run(*words[3:])

    done, printed = served(monkeypatch, send_as_printed)
    assert (done.returncode, done.stdout) == (0, "accepted  bob@example.org: 250 2.0.0 message accepted\n")
    assert "---------- MESSAGE FOLLOWS ----------\n" in printed
    assert "\nSubject: Hello\n" in printed and "\nHello Bob\n" in printed


@pytest.mark.parametrize(
    "where, arguments, user, words",
    [
        (("127.0.0.1", 1025), [], None, []),
        (("127.0.0.1", 8025), [], None, ["--port", "8025"]),
        (("0.0.0.0", 1025), [], None, []),
        (("::", 1025), [], None, ["--host", "::1", "--port", "1025"]),
        (("192.0.2.1", 25), [], None, ["--host", "192.0.2.1", "--port", "25"]),
        (("127.0.0.1", 1025), ["--implicit-tls"], None, ["--security", "tls", "--insecure"]),
        (("127.0.0.1", 1025), ["--require-tls"], None, ["--security", "starttls", "--insecure"]),
        (
            ("127.0.0.1", 1025),
            [],
            "Al Ice",
            ["--security", "starttls", "--insecure", "--user", "Al Ice"],
        ),
    ],
)
def test_the_printed_command_fits_the_options_of_the_server(
    where: tuple[str, int], arguments: list[str], user: str | None, words: list[str]
) -> None:
    options = _cli._parser().parse_args(["serve", *arguments])
    command = shlex.split(_cli_serve._send_command(*where, options, user))
    assert command[4 : command.index("--from")] == words
    assert _cli._parser().parse_args(command[3:]).sender == "alice@example.com"


def reply_to_mail(port: int) -> int:
    """The reply code to a MAIL command with a malformed path and an unknown parameter."""
    with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rwb") as file:
        file.readline()
        for line in (b"HELO client.example\r\n", b"MAIL FROM: a@b.example X-MADE-UP=1\r\n"):
            file.write(line)
            file.flush()
            reply = file.readline()
        return int(reply[:3])


def test_a_lenient_server_accepts_what_a_strict_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert served(monkeypatch, reply_to_mail)[0] in (501, 555)
    assert served(monkeypatch, reply_to_mail, "--lenient")[0] == 250


def test_the_name_of_the_server_is_in_its_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    def greeting(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as file:
            return file.readline()

    assert served(monkeypatch, greeting, "--hostname", "mx.example")[0].startswith(b"220 mx.example ")


def test_print_shows_a_message_as_smtpd_DebuggingServer_did(monkeypatch: pytest.MonkeyPatch) -> None:
    _, printed = served(monkeypatch, send_hello, "--print")
    assert printed.splitlines()[2:] == [
        "---------- MESSAGE FOLLOWS ----------",
        "Subject: hi",
        "X-Peer: 127.0.0.1",
        "",
        "hello",
        "------------ END MESSAGE ------------",
    ]


def test_print_and_maildir_go_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, printed = served(monkeypatch, send_hello, "--print", "--maildir", str(tmp_path))
    assert "Subject: hi\n" in printed
    assert len(stored(tmp_path)) == 1


def test_control_characters_of_a_printed_message_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(port: int) -> None:
        with smtpcore.sync.connect("127.0.0.1", port, security="none") as client:
            client.send("", ["x@y.example"], b"\tA \x1b[2J\xff \xc3\xa4 B\r\n")

    _, printed = served(monkeypatch, send, "--print")
    assert "\n\tA \\x1b[2J\\xff ä B\n---" in printed  # and there is no header, so there is no X-Peer


def test_an_aborted_message_is_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def vanish(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            reader = sock.makefile("rb")
            sock.sendall(b"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n")
            while not reader.readline().startswith(b"354"):
                pass
            sock.sendall(b"Subject: half\r\n")

    _, printed = served(monkeypatch, vanish, "--print")
    assert "half" not in printed
    served(monkeypatch, vanish, "--maildir", str(tmp_path))
    assert stored(tmp_path) == [] and list((tmp_path / "tmp").iterdir()) == []


def test_the_log_has_one_line_for_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")
    served(monkeypatch, send_hello, "--maildir", str(tmp_path))
    (path,) = (tmp_path / "new").iterdir()
    what = "from <a@client.example> for x@server.example: 22 octets"
    assert told(caplog) == [f"127.0.0.1: message {what}, stored as {path.name}"]


def test_the_limits_of_the_command_line_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    def size(port: int) -> tuple[str, ...]:
        with smtpcore.sync.connect("127.0.0.1", port, security="none") as client:
            return tuple(client.capabilities["SIZE"])

    assert served(monkeypatch, size, "--print", "--max-size", "12345")[0] == ("12345",)
    assert served(monkeypatch, size, "--print", "--max-size", "0")[0] == ("0",)


def test_serve_offers_AUTH_and_STARTTLS_only_if_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    offered, _ = served(monkeypatch, capabilities, "--print")
    assert "AUTH" not in offered and "STARTTLS" not in offered


def test_trace_prints_the_dialogue(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served(monkeypatch, send_hello, "--print", "--trace")
    shown = capsys.readouterr().err
    assert re.search(r"^\[1\] +0\.\d{3} C: MAIL FROM:<a@client\.example>", shown, re.MULTILINE)
    assert "octets of content]" in shown


def test_require_tls_refuses_mail_in_plaintext(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    def both(port: int) -> tuple[int, tuple[str, ...]]:
        with pytest.raises(smtpcore.ReplyError) as caught:
            send_hello(port)
        return caught.value.reply.code, send_hello(port, security="starttls", ssl_context=authority.client)

    arguments = "--tls-cert", authority.cert, "--tls-key", authority.key, "--require-tls"
    assert served(monkeypatch, both, "--print", *arguments)[0] == (530, ("x@server.example",))


def test_implicit_tls_and_certificate_and_key_in_one_file(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    def send(port: int) -> tuple[str, ...]:
        return send_hello(port, security="tls", ssl_context=authority.client)

    arguments = "--tls-cert", authority.both, "--implicit-tls"
    assert served(monkeypatch, send, "--print", *arguments)[0] == ("x@server.example",)


def test_an_auth_file_has_users_and_passwords(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")
    accounts = tmp_path / "accounts"
    accounts.write_text("\nalice:with:colon\nbob:x\n")
    accounts.chmod(0o600)
    tls: dict[str, Any] = {"security": "starttls", "ssl_context": authority.client}

    def log_in(port: int) -> list[object]:
        results: list[object] = ["AUTH" in capabilities(port)]
        for auth in [None, ("alice", "wrong"), ("eve", "x"), ("alice", "with:colon")]:
            try:
                results.append(send_hello(port, **tls, auth=auth))
            except smtpcore.ReplyError as error:
                results.append(error.reply.code)
        return results

    arguments = "--tls-cert", authority.both, "--auth-file", str(accounts)
    results, _ = served(monkeypatch, log_in, "--print", *arguments)
    assert results == [False, 530, 535, 535, ("x@server.example",)]
    assert caplog.messages[:2] == [f"127.0.0.1: wrong password for {user!r}" for user in ("alice", "eve")]


def test_a_readable_auth_file_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("alice:x\n")
    accounts.chmod(0o644)
    served(
        monkeypatch, lambda port: None, "--print", "--tls-cert", authority.both, "--auth-file", str(accounts)
    )
    assert "other users can read the passwords" in caplog.messages[0]


@pytest.mark.parametrize("content", [b"alice\n", b":x\n", b"alice:\n", b"alice:\xff\n"])
def test_a_malformed_auth_file_is_78(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, authority: Authority, content: bytes
) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_bytes(content)
    accounts.chmod(0o600)
    fails(capsys, 78, "serve", "--print", "--tls-cert", authority.both, "--auth-file", str(accounts))


def test_missing_files_are_66(capsys: pytest.CaptureFixture[str], authority: Authority) -> None:
    serve = "serve", "--print", "--tls-cert"
    assert "cannot read no.pem: No such file" in fails(capsys, 66, *serve, "no.pem")
    fails(capsys, 66, *serve, authority.cert, "--tls-key", "no.pem")
    fails(capsys, 66, *serve, authority.both, "--auth-file", "no.txt")


def test_an_invalid_certificate_is_78(capsys: pytest.CaptureFixture[str], authority: Authority) -> None:
    serve = "serve", "--print", "--tls-cert"
    for path in (authority.cert, os.devnull):  # without the key, and without anything
        assert "it lacks a certificate or its private key" in fails(capsys, 78, *serve, path)


@pytest.fixture(scope="module")
def encrypted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys that need a passphrase, in the two formats of PEM, and one of them together with its certificate."""
    folder = tmp_path_factory.mktemp("encrypted")
    key = serialization.load_pem_private_key(Path(authority.key).read_bytes(), None)
    paths = {}
    for name in ("PKCS8", "TraditionalOpenSSL"):
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, name),
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        paths[name] = str(folder / f"{name}.pem")
        Path(paths[name]).write_bytes(pem)
    paths["both"] = str(folder / "both.pem")
    Path(paths["both"]).write_bytes(Path(authority.cert).read_bytes() + Path(paths["PKCS8"]).read_bytes())
    return paths


@pytest.mark.parametrize("name", ["PKCS8", "TraditionalOpenSSL", "both"])
def test_a_key_that_needs_a_passphrase_is_78_and_not_a_question(
    encrypted: dict[str, str], authority: Authority, name: str
) -> None:
    path = encrypted[name]
    arguments = ["--tls-cert", path] if name == "both" else ["--tls-cert", authority.cert, "--tls-key", path]
    done = run("serve", "--print", "--port", "0", *arguments, stdin="passphrase\n")
    assert (done.returncode, done.stdout) == (78, "")
    hint = f"openssl pkey -in {path} -out FILE decrypts it; keep FILE readable for its owner only"
    assert done.stderr == f"smtpcore: the private key in {path} is encrypted (hint: {hint})\n"


def test_a_key_of_another_certificate_is_78(
    capsys: pytest.CaptureFixture[str], authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path)
    line = fails(capsys, 78, "serve", "--print", "--tls-cert", authority.cert, "--tls-key", other.key)
    assert "cannot be used: key values mismatch" in line


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key", "--auth-file"])
def test_a_folder_in_place_of_a_file_is_66(
    capsys: pytest.CaptureFixture[str], authority: Authority, tmp_path: Path, option: str
) -> None:
    options = {"--tls-cert": authority.cert, "--tls-key": authority.key, option: str(tmp_path)}
    line = fails(capsys, 66, "serve", "--print", *itertools.chain(*options.items()))
    assert f"cannot read {tmp_path}: Is a directory" in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_key_is_66(
    capsys: pytest.CaptureFixture[str], authority: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.touch(mode=0)
    line = fails(capsys, 66, "serve", "--print", "--tls-cert", authority.cert, "--tls-key", str(path))
    assert f"cannot read {path}: Permission denied" in line


def test_a_maildir_that_cannot_be_created_is_73(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Maildir" in fails(capsys, 73, "serve", "--maildir", os.devnull)


@pytest.mark.parametrize("adapter", ["sync", "asyncio", "trio"])
def test_a_port_in_use_is_69(capsys: pytest.CaptureFixture[str], adapter: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = fails(capsys, 69, "serve", "--print", "--port", port, "--adapter", adapter)
    assert f"cannot listen on 127.0.0.1 port {port}: " in line


def test_an_address_to_listen_on_that_does_not_exist_is_68(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unresolvable(monkeypatch)
    fails(capsys, 68, "serve", "--print", "--host", "nowhere.invalid")


def test_a_privileged_port_is_77(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "cannot listen on 127.0.0.1 port 25: Permission denied")

    monkeypatch.setattr("smtpcore._net.listener.bind", forbidden)
    fails(capsys, 77, "serve", "--print", "--port", "25")


def test_without_trio_the_adapter_trio_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trio", None)
    assert "pip install trio" in fails(capsys, 69, "serve", "--print", "--adapter", "trio")


def test_tls_on_a_plain_port_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")

    def begin_tls(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00")
            return sock.makefile("rb").read()

    said, _ = served(monkeypatch, begin_tls, "--print")
    assert said.splitlines()[1].startswith(b"554 ")
    assert told(caplog) == [
        "127.0.0.1: the session ends: 554 5.5.1 this port speaks SMTP, and TLS only after STARTTLS"
    ]


def test_smtp_on_a_tls_port_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, authority: Authority
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")

    def speak(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"EHLO me.example\r\n")
            sock.makefile("rb").read()

    served(monkeypatch, speak, "--print", "--tls-cert", authority.both, "--implicit-tls")
    (message,) = told(caplog)
    assert "no TLS handshake" in message and "does the client speak plain SMTP?" in message


def test_a_refused_command_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")

    def speak(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"NONSENSE\r\nQUIT\r\n")
            return sock.makefile("rb").read()

    said, _ = served(monkeypatch, speak, "--print")
    assert b"\r\n500 " in said and told(caplog) == []


def test_a_client_on_a_Unix_socket_has_no_address() -> None:
    from smtpcore._cli.receiver import _peer

    assert _peer(cast(Any, SimpleNamespace(peername=""))) == "a local client"


def test_the_log_names_at_most_five_recipients(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Envelope(Mail("a@client.example"))
    envelope.rcpts += [Rcpt(f"x{number}@server.example") for number in range(7)]
    with caplog.at_level(logging.INFO, "smtpcore.serve"):
        assert Delivery(None, None, "192.0.2.1", envelope).finish()
    named = ", ".join(f"x{number}@server.example" for number in range(5))
    assert f"for {named} and 2 more: 0 octets" in caplog.text
