"""The command line: help, exit codes, and standard streams that are closed or fail."""

from __future__ import annotations

import io
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import smtpcore.sync
from smtpcore._cli import main as _cli
from smtpcore._cli.common import Failure, Printer
from smtpcore._cli.main import main

from .commands import HELLO, ROOT, Terminal, fails, run


def test_without_a_command_the_help_is_printed() -> None:
    done = run()
    assert done.returncode == 0 and done.stderr == ""
    assert "demo" in done.stdout and "exit codes:" in done.stdout


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"smtpcore {smtpcore.__version__}\n"


def test_the_module_and_the_console_script_run_the_same_function() -> None:
    from smtpcore import __main__

    assert __main__.main is main
    assert "commands:" in run().stdout


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


@pytest.mark.parametrize(
    "option, value, complaint",
    [
        ("--max-size", "-1", "'-1' is not a whole number, 0 or more"),
        ("--max-size", "10M", "'10M' is not a whole number, 0 or more"),
        ("--max-recipients", "0", "'0' is not a whole number, 1 or more"),
    ],
)
def test_a_number_that_is_not_valid_is_named_with_its_option(
    capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    assert f"argument {option}: {complaint}" in fails(capsys, 64, "serve", option, value)
