"""The command line: what each command does, its messages, and its exit codes."""

from __future__ import annotations

import ast
import email
import getpass
import inspect
import io
import itertools
import logging
import os
import queue
import re
import resource
import runpy
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, TypeVar, cast

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

import smtpcore.sync
from smtpcore import Envelope, Mail, Rcpt, Reply, ServerConfig, TlsUnavailable
from smtpcore._cli import main as _cli
from smtpcore._cli import send as _cli_send
from smtpcore._cli import serve as _cli_serve
from smtpcore._cli import serving as _cli_serving
from smtpcore._cli.common import AS_OPTIONS, Failure, Printer, as_options
from smtpcore._cli.main import main
from smtpcore._cli.receiver import Delivery
from smtpcore._net import hints as _hints
from smtpcore.maildir import MaildirHandler

T = TypeVar("T")

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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


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


# --- main -------------------------------------------------------------------------------------------------


def test_without_a_command_the_help_is_printed() -> None:
    done = run()
    assert done.returncode == 0 and done.stderr == ""
    assert "demo" in done.stdout and "exit codes:" in done.stdout


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"smtpcore {smtpcore.__version__}\n"


def test_the_module_and_the_console_script_run_the_same_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from smtpcore import __main__

    assert __main__.main is main
    monkeypatch.delitem(sys.modules, "smtpcore.__main__")
    monkeypatch.setattr(sys, "argv", ["smtpcore"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("smtpcore", run_name="__main__")
    assert caught.value.code == 0
    assert "commands:" in capsys.readouterr().out


def test_the_demo_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    assert capsys.readouterr().out.endswith("identical: yes\n")


def test_characters_that_the_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(octets, encoding="ascii"))
    assert main([]) == 0
    sys.stdout.write("ä\n")
    sys.stdout.flush()
    assert octets.getvalue().endswith(b"\\xe4\n")


def test_an_output_without_a_descriptor_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main([]) == 0


@pytest.mark.parametrize(
    "environment, coloured",
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_NO_COLOR_or_TERM_forbids_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    printer = Printer(terminal)
    printer.say("good", "green")
    printer.say("plain")
    assert terminal.getvalue() == ("\x1b[32mgood\x1b[0m\nplain\n" if coloured else "good\nplain\n")


CLOSED = {"stdin": 0, "stdout": 1, "stderr": 2}


def run_with(
    *arguments: str, closed: tuple[str, ...] = (), full: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command with standard streams that are closed, or that are a full disk."""

    def prepare() -> None:
        for name in full:
            os.dup2(os.open("/dev/full", os.O_WRONLY), CLOSED[name])
        for name in closed:
            os.close(CLOSED[name])

    return subprocess.run(
        [sys.executable, "-m", "smtpcore", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=prepare,
    )


posix_only = pytest.mark.skipif(os.name != "posix", reason="descriptors are closed before the program starts")
with_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
WITH_OUTPUT = [
    ["demo"],
    [],
    ["--help"],
    ["--version"],
    ["send", "--help"],
    *(["serve", "--port", "0", "--print", "--adapter", adapter] for adapter in ("sync", "asyncio", "trio")),
]


@posix_only
@pytest.mark.parametrize("arguments", WITH_OUTPUT, ids=" ".join)
def test_a_closed_standard_output_is_one_line_and_74(arguments: list[str]) -> None:
    done = run_with(*arguments, closed=("stdout",))
    assert (done.returncode, done.stderr) == (74, "smtpcore: cannot write the output: it is closed\n")


@posix_only
@with_dev_full
@pytest.mark.parametrize("arguments", WITH_OUTPUT, ids=" ".join)
def test_a_full_standard_output_is_one_line_and_74(arguments: list[str]) -> None:
    done = run_with(*arguments, full=("stdout",))
    line = "smtpcore: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (74, line)


@posix_only
@pytest.mark.parametrize("arguments", [["demo"], ["send"]])
def test_a_standard_error_that_is_closed_or_full_changes_no_exit_code(arguments: list[str]) -> None:
    expected = run_with(*arguments)
    assert expected.returncode in (0, 64)
    for streams in [{"full": ("stderr",)}, {"closed": ("stdin", "stderr")}]:
        if "full" not in streams or os.path.exists("/dev/full"):
            done = run_with(*arguments, **streams)
            assert done.returncode == expected.returncode
            assert done.stdout.splitlines()[-1:] == expected.stdout.splitlines()[-1:]


@posix_only
def test_a_command_runs_with_all_standard_streams_closed() -> None:
    assert run_with("demo", closed=("stdin", "stdout", "stderr")).returncode == 74


@posix_only
@pytest.mark.parametrize("command", [["serve", "--print"], ["send", *HELLO]])
def test_trace_without_a_standard_error_is_refused(command: list[str]) -> None:
    done = run_with(*command, "--trace", closed=("stderr",))
    assert (done.returncode, done.stdout) == (74, "")


@posix_only
@pytest.mark.parametrize("arguments", [["-"], ["--from", "a@b.example", "--to", "x@y.example", "--body", "-"]])
def test_a_closed_standard_input_is_one_line_and_74(arguments: list[str]) -> None:
    done = run_with("send", *arguments, closed=("stdin",))
    assert (done.returncode, done.stderr) == (74, "smtpcore: cannot read the standard input: it is closed\n")


@posix_only
def test_a_closed_standard_input_cannot_ask_for_a_password() -> None:
    done = run_with("send", "--user", "alice", *HELLO, closed=("stdin",))
    assert done.returncode == 64 and "--password-file" in done.stderr and done.stderr.count("\n") == 1


@posix_only
def test_the_descriptor_of_a_closed_stream_goes_to_no_other_file(tmp_path: Path) -> None:
    """What a library writes to descriptor 2 would be written into a message, or to a client."""
    probe = (
        "import os, smtpcore._cli.common as common\n"
        "with common.standard_streams() as closed:\n"
        f"    descriptor = os.open({str(tmp_path / 'message')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "    raise SystemExit(10 * descriptor + len(closed))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, check=False, preexec_fn=lambda: os.closerange(0, 3)
    )
    assert done.returncode == 33


@posix_only
def test_another_OSError_is_one_line_and_74(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smtpcore", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "missing"), "TMP": "/nowhere", "TEMP": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)),
    )
    assert done.returncode == 74
    assert re.fullmatch(r"smtpcore: .+\n", done.stderr)


def test_streams_that_were_closed_are_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLOSED:
        monkeypatch.setattr(sys, name, None)
    assert main([]) == 74
    assert (sys.stdin, sys.stdout, sys.stderr) == (None, None, None)


@with_dev_full
def test_an_error_of_the_last_flush_is_74(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(_cli, "_run", lambda parser, options: full.write("a message") and 0)
        assert main([]) == 74
        assert "No space left" in capsys.readouterr().err


def test_an_output_whose_reader_has_ended_is_74() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as out:
        with pytest.raises(Failure) as caught:
            Printer(out).say("hello")
        assert caught.value.code == 74
    # and closing it, as Python does when it exits, has not failed again


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_that_is_full_is_74() -> None:
    with open("/dev/full", "w") as out:
        with pytest.raises(Failure, match="cannot write the output: No space left on device") as caught:
            Printer(out).say("hello")
        assert caught.value.code == 74


def test_ctrl_c_ends_a_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(out: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("smtpcore._cli.demo.run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["send", "--nonsense"],
        ["serve", "--port", "x"],
        ["serve", "--port", "65536"],
        ["serve", "--max-size", "-1"],
        ["serve", "--adapter", "curio"],
        ["send", "--insecure", "--ca-file", "x"],
        ["serve", "--print", "--max-recipients", "0"],
        ["serve", "--hostname", "mx example"],
        ["serve", "--print", "--tls-key", "x"],
        ["serve", "--print", "--implicit-tls"],
        ["serve", "--print", "--require-tls"],
        ["serve", "--print", "--auth-file", os.devnull],
        ["send"],
        ["send", "--body", "x", "--to", "x@y.example"],
        ["send", "--body", "x", "--from", "x@y.example"],
        ["send", "--subject", "x", "message.eml"],
        ["send", "--timeout", "0", *HELLO],
        ["send", "--timeout", "soon", *HELLO],
        ["send", "--timeout", "inf", *HELLO],
        ["send", "--attach", "x", "message.eml"],
        ["send", "--header", "X-A: 1", "message.eml"],
        ["send", "--cc", "x@y.example", "message.eml"],
        ["send", "--html", "x", "message.eml"],
        ["send", "--from", "a@b.example", "--to", "x@y.example", "--header", "X-A"],
        ["send", "--from", "a@b.example", "--to", "x@y.example", "--body", "-", "--html", "-"],
    ],
)
def test_a_wrong_command_line_is_64(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    fails(capsys, 64, *arguments)


# --- serve ------------------------------------------------------------------------------------------------


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


def stored(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "new").iterdir()]


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


# --- send -------------------------------------------------------------------------------------------------


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
    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def test_send_composes_a_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    attachment = tmp_path / "ä.png"
    attachment.write_bytes(bytes(range(256)))
    (tmp_path / "inner.eml").write_bytes(b"Subject: inner\n\n")
    (tmp_path / "README").write_bytes(b"text")
    server = Server()
    with serving(server) as port:
        attach = [
            word for name in ("ä.png", "inner.eml", "README") for word in ("--attach", str(tmp_path / name))
        ]
        names = [
            "--from",
            "Älice <a@client.example>",
            "--to",
            "x@server.example",
            "--to",
            "Y <y@server.example>",
        ]
        assert main(["send", "--port", port, *names, "--subject", "hï", "--body", "hello", *attach]) == 0
    ((sender, recipients, content),) = server.messages
    assert (sender, recipients) == ("a@client.example", ["x@server.example", "y@server.example"])
    message = email.message_from_bytes(content, policy=default)
    assert (message["Subject"], message["From"]) == ("hï", "Älice <a@client.example>")
    assert message["Date"] and message["Message-ID"].endswith("@client.example>")
    assert isinstance(message, email.message.EmailMessage)
    parts = list(message.iter_attachments())
    assert [(part.get_content_type(), part.get_filename()) for part in parts] == [
        ("image/png", "ä.png"),
        ("application/octet-stream", "inner.eml"),
        ("application/octet-stream", "README"),
    ]
    assert parts[0].get_content() == bytes(range(256))
    body = message.get_body()
    assert body is not None and body.get_content().strip() == "hello"
    assert capsys.readouterr().out.splitlines() == [
        "accepted  x@server.example: 250 2.0.0 message accepted",
        "accepted  y@server.example: 250 2.0.0 message accepted",
    ]


NEW = ["--from", "a@client.example", "--to", "x@server.example", "--subject", "s"]


def sent(*arguments: str) -> tuple[list[str], email.message.EmailMessage]:
    """Send a new message with these options; returns its recipients, and the message."""
    server = Server()
    with serving(server) as port:
        assert main(["send", "--port", port, *NEW, *arguments]) == 0
    ((_, recipients, content),) = server.messages
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, email.message.EmailMessage)
    return recipients, message


def test_send_accepts_cc_and_further_fields() -> None:
    recipients, message = sent(
        "--cc", "y@server.example", "--header", "X-A: one", "--header", "Bcc: z@server.example"
    )
    assert recipients == ["x@server.example", "y@server.example", "z@server.example"]
    assert (message["Cc"], message["X-A"], message["Bcc"]) == ("y@server.example", "one", None)


def test_a_new_message_has_a_date_and_an_identifier() -> None:
    _, message = sent()
    assert message["Date"].datetime.tzinfo is not None
    assert message["Message-ID"].endswith("@client.example>")


def test_a_given_date_and_identifier_are_kept() -> None:
    date = "Wed, 01 Jan 2020 12:00:00 +0000"
    _, message = sent("--header", f"Date: {date}", "--header", "Message-ID: <1@client.example>")
    assert (message.get_all("Date"), message.get_all("Message-ID")) == ([date], ["<1@client.example>"])


def test_send_accepts_html_with_or_without_text() -> None:
    _, message = sent("--html", "<p>Hello</p>")
    assert (message.get_content_type(), message.get_content()) == ("text/html", "<p>Hello</p>\r\n")
    _, message = sent("--html", "<p>Hello</p>", "--body", "Hello")
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "arguments, where",
    [
        ([], ("127.0.0.1", 1025)),
        (["--security", "tls"], ("127.0.0.1", 1025)),
        (["--port", "25"], ("127.0.0.1", 25)),
        (["--host", "127.0.0.1"], ("127.0.0.1", 25)),
        (["--host", "mx.example", "--port", "2525"], ("mx.example", 2525)),
    ],
)
def test_send_connects_to_the_port_of_serve_unless_a_host_is_given(
    arguments: list[str], where: tuple[str, int]
) -> None:
    assert _cli_send._where(_cli._parser().parse_args(["send", *arguments])) == where
    serve = _cli._parser().parse_args(["serve"])
    assert (serve.host, serve.port) == ("127.0.0.1", 1025)


def test_a_message_may_have_no_body_or_no_subject() -> None:
    server = Server()
    envelope = ["--from", "a@client.example", "--to", "x@server.example"]
    with serving(server) as port:
        assert main(["send", "--port", port, *envelope, "--subject", "only"]) == 0
        assert main(["send", "--port", port, *envelope, "--body", "only"]) == 0
    (_, _, first), (_, _, second) = server.messages
    assert b"\r\nSubject: only\r\n" in first and b"Subject" not in second


def test_send_reads_the_body_from_the_standard_input() -> None:
    server = Server()
    with serving(server) as port:
        arguments = "--from", "a@client.example", "--to", "x@server.example", "--body", "-"
        assert run("send", "--port", port, *arguments, stdin="from a pipe\n").returncode == 0
    assert server.messages[0][2].endswith(b"\r\n\r\nfrom a pipe\r\n")


EML = b"From: a@client.example\nTo: x@server.example\nBcc: z@server.example\nSubject: s\n\n.\ndots\n"


def test_send_reads_a_message_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.eml").write_bytes(EML)
    server = Server()
    with serving(server) as port:
        assert main(["send", "--port", port, str(tmp_path / "x.eml")]) == 0
    ((sender, recipients, content),) = server.messages
    assert (sender, recipients) == ("a@client.example", ["x@server.example", "z@server.example"])
    assert content == EML.replace(b"Bcc: z@server.example\n", b"").replace(b"\n", b"\r\n")


SIGNED_EML = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=x.example; s=sel; h=from:to:subject:message-id;\r\n"
    b" bh=a=; b=b=\r\nFrom: Anna <a@x.example>\r\nTo:b@y.example\r\nSubject:   three blanks\r\n"
    b"Message-ID:\r\n <1@x.example>\r\n\r\nhello\r\n"
)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_send_sends_the_octets_of_a_file_unchanged(tmp_path: Path, line_end: bytes) -> None:
    (tmp_path / "signed.eml").write_bytes(SIGNED_EML.replace(b"\r\n", line_end))
    eight_bit = SIGNED_EML.replace(b"hello", b"\xc3\xa4")
    (tmp_path / "8bit.eml").write_bytes(eight_bit)
    (tmp_path / "utf8.eml").write_bytes(SIGNED_EML.replace(b"three", b"\xc3\xa4"))
    server = Server()
    with serving(server, config=ServerConfig(smtputf8=True)) as port:
        envelope = "--from", "a@x.example", "--to", "b@y.example"
        for name in ("signed", "8bit", "utf8"):
            assert main(["send", "--port", port, *envelope, str(tmp_path / f"{name}.eml")]) == 0
    assert [content for _, _, content in server.messages] == [
        SIGNED_EML,
        eight_bit,
        SIGNED_EML.replace(b"three", b"\xc3\xa4"),
    ]


@pytest.mark.parametrize("keyword", [b"8BITMIME", b"SMTPUTF8"])
def test_send_encodes_content_for_a_server_without_the_extension(tmp_path: Path, keyword: bytes) -> None:
    subject, body = ("\u00e4", "a") if keyword == b"SMTPUTF8" else ("a", "\u00e4")
    text = f"DKIM-Signature: v=1\nFrom:a@x\nTo:b@y\nSubject:{subject}\n\n{body} and more text than that\n"
    (tmp_path / "x.eml").write_bytes(text.encode())
    offered = [word for word in (b"8BITMIME", b"SMTPUTF8") if word != keyword]
    with conversing(b"250-mx\r\n250-%s\r\n250 HELP\r\n" % offered[0]) as (port, lines):
        assert main(["send", "--port", port, "--security", "none", str(tmp_path / "x.eml")]) == 0
    content = b"".join(lines[lines.index(b"DATA\r\n") + 1 : -1])
    assert content.isascii() and b"\r\nTo:b@y\r\n" in content


@contextmanager
def conversing(hello: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server for one message with a given reply to EHLO; yield its port and its lines."""
    lines: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def act() -> None:
            with listener.accept()[0] as sock, sock.makefile("rwb") as file:
                reply, in_content = b"220 mx\r\n", False
                while reply:
                    file.write(reply)
                    file.flush()
                    lines.append(line := file.readline())
                    while in_content and line not in (b".\r\n", b""):
                        lines.append(line := file.readline())
                    in_content = line == b"DATA\r\n"
                    reply = (
                        hello if line.startswith(b"EHLO") else b"354 go\r\n" if in_content else b"250 ok\r\n"
                    )
                    if line in (b"QUIT\r\n", b""):
                        reply = b""

        thread = threading.Thread(target=act)
        thread.start()
        yield str(listener.getsockname()[1]), lines
        thread.join()


def test_send_reads_a_message_from_the_standard_input_and_uses_the_given_envelope() -> None:
    server = Server()
    with serving(server) as port:
        envelope = "--from", "", "--to", "other@server.example"
        assert run("send", "--port", port, *envelope, "-", stdin=EML.decode()).returncode == 0
    assert server.messages[0][:2] == ("", ["other@server.example"])


def test_trace_shows_the_dialogue_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", PASSWORD)
    with serving(
        Server(), ssl_context=authority.server, config=ServerConfig(auth_mechanisms=("PLAIN",))
    ) as port:
        tls = "--security", "starttls", "--ca-file", authority.ca, "--user", "alice", "--trace"
        assert main(["send", "--port", port, *tls, *HELLO]) == 0
    shown = capsys.readouterr().err
    assert "C* AUTH PLAIN ***\n" in shown and "C* MAIL FROM:<a@client.example>" in shown
    assert PASSWORD not in shown


# -- what happens to recipients --

NO, LATER = Reply(550, "5.1.1", "no"), Reply(450, "4.2.1", "later")


@pytest.mark.parametrize(
    "server, code, printed",
    [
        (Server(rcpt=NO, refused="bad"), 69, ["accepted  x@", "refused   bad@"]),
        (Server(rcpt=LATER, refused="bad"), 75, ["accepted  x@", "deferred  bad@"]),
        (Server(rcpt=NO), 69, ["refused   x@", "refused   bad@"]),
        (Server(rcpt=LATER), 75, ["deferred  x@", "deferred  bad@"]),
        (Server(end=NO), 69, ["refused   x@", "refused   bad@"]),
        (Server(end=LATER), 75, ["deferred  x@", "deferred  bad@"]),
    ],
)
def test_each_recipient_is_printed_with_its_reply(
    capsys: pytest.CaptureFixture[str], server: Server, code: int, printed: list[str]
) -> None:
    with serving(server) as port:
        arguments = "--from", "a@client.example", "--to", "x@server.example", "--to", "bad@server.example"
        assert main(["send", "--port", port, *arguments, "--body", "x"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("@")[0] + "@" for line in lines] == printed


def test_a_message_that_is_too_big_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    config = ServerConfig(limits=smtpcore.Limits(message_size=10))
    with serving(Server(), config=config) as port:
        assert "the server accepts 10" in fails(capsys, 69, "send", "--port", port, *HELLO)


def test_hints_name_options_of_the_command_line(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server()) as port:
        said = fails(capsys, 69, "send", "--port", port, "--security", "tls", *HELLO)
        assert "use --security starttls (usually port 587)" in said
        said = fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)
        assert "use --security opportunistic or none" in said
    with serving(Server(), config=ServerConfig(auth_mechanisms=("PLAIN",), require_auth=True)) as port:
        assert "give --user)" in fails(capsys, 77, "send", "--port", port, *HELLO)
    with serving(Server(), ssl_context=authority.server) as port:
        assert "--ca-file FILE)" in fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)


@pytest.mark.parametrize("words", AS_OPTIONS)
def test_each_translated_part_of_a_hint_occurs_in_a_hint(words: str) -> None:
    assert words in re.sub(r'"\s+f?"', "", inspect.getsource(_hints))


def test_no_hint_on_the_command_line_names_an_argument_of_connect(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["send", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    texts = [
        node.value for node in ast.walk(ast.parse(inspect.getsource(_hints))) if isinstance(node, ast.Constant)
    ]
    said = [as_options(text) for text in texts if isinstance(text, str) and " " in text and "``" not in text]
    assert len(said) > 50
    for hint in said:
        assert not re.search(r"[a-z]=|[a-z]_[a-z]|smtpcore\.", hint), hint
        assert set(re.findall(r"--[a-z-]+", hint)) <= options, hint


@pytest.mark.parametrize("option", ["--ehlo", "--local-hostname"])
def test_the_argument_of_EHLO_can_be_given(option: str) -> None:
    with conversing(b"250 mx\r\n") as (port, lines):
        arguments = "--security", "none", option, "client.example", *HELLO
        assert main(["send", "--port", port, *arguments]) == 0
    assert lines[0] == b"EHLO client.example\r\n"


# -- what can go wrong before --


def test_a_missing_file_is_66(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot read no.eml: No such file or directory" in fails(capsys, 66, "send", "no.eml")
    fails(capsys, 66, "send", *HELLO, "--attach", "no.png")
    fails(capsys, 66, "send", *HELLO, "--user", "alice", "--password-file", "no.txt")
    fails(capsys, 66, "send", *HELLO, "--ca-file", "no.pem")


@pytest.mark.parametrize(
    "arguments",
    [
        [os.devnull],
        ["--from", "a@client.example", "--to", "not an address", "--body", "x"],
        ["--from", "a@client.example", "--to", "x@server.example", "--subject", "two\nlines"],
        ["--from", "a@client.example", "--to", "x@server.example, b@", "--body", "x"],
        ["--from", "a@client.example, (", "--to", "x@server.example", "--body", "x"],
    ],
)
def test_an_invalid_message_is_65(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    fails(capsys, 65, "send", *arguments)


@pytest.mark.parametrize(
    "part", [b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"]
)
def test_a_message_that_is_nested_too_deep_is_65(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, part: bytes
) -> None:
    parts = [part % (level, level) if b"%" in part else part for level in range(500)]
    (tmp_path / "deep.eml").write_bytes(b"From: a@x\nTo: b@y\n" + b"".join(parts))
    assert "nested too deep" in fails(capsys, 65, "send", str(tmp_path / "deep.eml"))


def test_an_invalid_ca_file_is_78(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 78, "send", *HELLO, "--ca-file", __file__)


def test_an_unresolvable_host_is_68(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unresolvable(monkeypatch)
    assert "nowhere.invalid" in fails(capsys, 68, "send", "--host", "nowhere.invalid", *HELLO)


def test_a_refused_port_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
    assert f"port {port}: Connection refused (hint: " in fails(capsys, 69, "send", "--port", port, *HELLO)


def test_a_connection_that_times_out_is_75(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*arguments: object, **options: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("smtpcore.sync.open_stream", silent)
    fails(capsys, 75, "send", *HELLO)


def test_a_missing_greeting_is_75_after_the_given_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the connection is made, but no greeting comes
        port = str(listener.getsockname()[1])
        said = fails(capsys, 75, "send", "--port", port, "--timeout", "0.05", *HELLO)
    assert "phase: greeting" in said


def test_a_connection_that_breaks_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda session: None) as port:  # it sends 421 and closes
        fails(capsys, 75, "send", "--port", port, *HELLO)


def test_a_lost_connection_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(b"220 mx\r\n") as port:
        fails(capsys, 75, "send", "--port", port, *HELLO)


def test_a_peer_that_does_not_speak_SMTP_is_76(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(b"SSH-2.0-OpenSSH_9.6\r\n") as port:
        fails(capsys, 76, "send", "--port", port, *HELLO)


@contextmanager
def scripted(greeting: bytes) -> Iterator[str]:
    """Run a server that sends a line and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def act() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(greeting)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass

        thread = threading.Thread(target=act)
        thread.start()
        yield str(listener.getsockname()[1])
        thread.join()


# -- TLS --


def test_a_certificate_that_is_not_trusted_is_69(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server(), ssl_context=authority.server) as port:
        line = fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)
    assert "the certificate is not accepted" in line and "hint: " in line


def test_insecure_trusts_any_certificate_and_warns(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server(), ssl_context=authority.server) as port:
        assert main(["send", "--port", port, "--security", "starttls", "--insecure", *HELLO]) == 0
    assert "warning: --insecure" in capsys.readouterr().err


def test_tls_on_a_plain_port_is_69_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server()) as port:
        line = fails(capsys, 69, "send", "--port", port, "--security", "tls", *HELLO)
    assert "speaks plain SMTP first" in line


def test_starttls_that_is_not_offered_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server()) as port:
        fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)


@pytest.mark.parametrize("security, port", [("tls", 465), ("starttls", 587), ("none", 25), (None, 25)])
def test_the_port_follows_from_the_security(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, security: str | None, port: int
) -> None:
    unresolvable(monkeypatch)
    arguments = ["--security", security] if security else []
    assert f"port {port}: " in fails(capsys, 68, "send", "--host", "x.invalid", *arguments, *HELLO)


# -- logging in --


@pytest.fixture
def submission(authority: Authority) -> Iterator[list[str]]:
    """Run a server that requires a login; yield the command that sends to it."""
    config = ServerConfig(auth_mechanisms=("PLAIN",), require_auth=True)
    with serving(Server(), ssl_context=authority.server, config=config) as port:
        yield ["send", "--port", port, "--security", "starttls", "--ca-file", authority.ca, *HELLO]


def test_a_password_is_read_from_a_file(submission: list[str], tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\r\na second line\n")
    assert main([*submission, "--user", "alice", "--password-file", str(tmp_path / "password")]) == 0


def test_a_password_is_asked_for_on_a_terminal(submission: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTPCORE_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr(getpass, "getpass", answer)
    assert main([*submission, "--user", "alice"]) == 0
    assert asked == ["Password of alice: "]


def test_no_password_and_no_terminal_is_64(
    submission: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTPCORE_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert "--password-file" in fails(capsys, 64, *submission, "--user", "alice")


def test_a_wrong_password_is_77(
    submission: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", "guess")
    line = fails(capsys, 77, *submission, "--user", "alice")
    assert "535" in line and "guess" not in line


def test_a_missing_login_is_77(submission: list[str]) -> None:
    assert main(submission) == 77


def test_a_login_that_is_not_offered_is_77(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", PASSWORD)
    with serving(Server()) as port:
        fails(capsys, 77, "send", "--port", port, "--security", "none", "--user", "alice", *HELLO)


def test_a_login_that_fails_for_now_is_75() -> None:
    response = smtpcore.Response(smtpcore.Auth("PLAIN"), Reply(454, "4.7.0", "later"))
    assert _cli_send.exit_code(smtpcore.AuthenticationFailed(response)) == 75


# -- progress --


def big(tmp_path: Path) -> list[str]:
    (tmp_path / "big.bin").write_bytes(bytes(1_500_000))
    return [*HELLO, "--attach", str(tmp_path / "big.bin")]


def test_large_content_has_a_progress_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving(Server()) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 0
    bars = terminal.getvalue().split("\r")[1:]
    percents = [int(bar[32:36].rstrip("%")) for bar in bars]
    assert percents[0] == 0 and percents[-1] == 100 and percents == sorted(set(percents))
    assert bars[-1].startswith(f"[{'#' * 30}] 100% of ") and bars[-1].endswith(" octets\n")


def test_a_progress_bar_ends_its_line_before_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    unresolvable(monkeypatch)
    assert main(["send", "--host", "x.invalid", *big(tmp_path)]) == 68
    assert terminal.getvalue().startswith("smtpcore: ")  # no octet, so there is no bar to end
    terminal.truncate(0)
    terminal.seek(0)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving(Server(end=NO)) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 69
    assert " octets\nsmtpcore: " in terminal.getvalue()


def test_a_pipe_gets_no_progress_bar(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving(Server()) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


# --- both -------------------------------------------------------------------------------------------------


def test_a_message_is_refused_if_the_maildir_cannot_be_written(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    (tmp_path / "new").rmdir()
    with serving(maildir) as port:
        assert main(["send", "--port", port, *HELLO]) == 75  # so a script tries again
        assert list((tmp_path / "tmp").iterdir()) == []
        (tmp_path / "new").mkdir()
        assert main(["send", "--port", port, *HELLO]) == 0
    assert len(stored(tmp_path)) == 1


def test_a_refused_STARTTLS_is_69() -> None:
    assert _cli_send.exit_code(TlsUnavailable("the server refused STARTTLS")) == 69


def test_the_log_names_at_most_five_recipients(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Envelope(Mail("a@client.example"))
    envelope.rcpts += [Rcpt(f"x{number}@server.example") for number in range(7)]
    with caplog.at_level(logging.INFO, "smtpcore.serve"):
        assert Delivery(None, None, "192.0.2.1", envelope).finish()
    named = ", ".join(f"x{number}@server.example" for number in range(5))
    assert f"for {named} and 2 more: 0 octets" in caplog.text
