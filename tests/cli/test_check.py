"""``python3 -m smtpcore check``: options, outputs, exit codes, and what was stored."""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import smtpcore.sync
from smtpcore._check.server import CHECKS
from smtpcore._check.stored import Command, Folder
from smtpcore._cli.main import main
from smtpcore.maildir import MaildirHandler
from smtpcore.testing import MailServer

from ..check.reference import Reference, running

SOME = ["--only", "noop-is-250", "--only", "helo-is-accepted", "--only", "dsn-parameters"]


class _BrokenNoop(Reference):
    def do_NOOP(self, argument: str) -> None:
        self.say(251, "2.0.0", "<ok>")


@pytest.fixture
def broken() -> Iterator[str]:
    with running(_BrokenNoop) as port:
        yield f"127.0.0.1:{port}"


def test_a_server_without_failures_gives_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with running(Reference) as port:
        assert main(["check", f"127.0.0.1:{port}", *SOME]) == 0
    assert capsys.readouterr().out == (
        "3 checks: 0 fail, 0 inconclusive, 0 permitted latitude, 1 not offered, 2 pass\n"
    )


def test_a_failure_is_shown_with_its_dialog(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", broken, *SOME]) == 76
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "FAIL: SES-07 noop-is-250 (RFC 5321 4.1.1.9)",
        "    required: NOOP is answered with 250",
        "    observed: NOOP: 251 2.0.0 <ok>",
    ]
    assert "        C: NOOP\\r\\n" in lines
    assert "        S: 251 2.0.0 <ok>\\r\\n" in lines
    assert lines[-1].startswith("3 checks: 1 fail")


def test_json_has_an_outcome_for_each_requirement(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", broken, *SOME, "--json", "-"]) == 76
    found = json.loads(capsys.readouterr().out)
    assert found["peer"] == broken
    assert found["requirements"] == {"DSN-12": "not offered", "EHL-02": "pass", "SES-07": "fail"}
    assert found["summary"]["fail"] == sum(check["outcome"] == "fail" for check in found["checks"])
    (noop,) = (check for check in found["checks"] if check["name"] == "noop-is-250")
    assert noop["rfc"] == "5321 4.1.1.9"
    assert noop["dialog"]


def test_junit_has_a_failure_and_a_skipped_test(broken: str, tmp_path: Path) -> None:
    assert main(["check", broken, *SOME, "--junit", str(tmp_path / "junit.xml")]) == 76
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    failure = suite.find("testcase[@name='noop-is-250']/failure")
    assert failure is not None
    assert failure.get("message") == "NOOP: 251 2.0.0 <ok>"
    assert "C: NOOP" in (failure.text or "")


@pytest.mark.parametrize("option", ["--json", "--junit"])
@pytest.mark.parametrize("path", ["missing/report", "."])
def test_a_file_that_cannot_be_written_is_an_error_before_the_check(
    option: str, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check may take minutes, and would be lost."""
    assert main(["check", "127.0.0.1:1", option, str(tmp_path / path)]) == 73
    assert f"cannot write {tmp_path / path}: " in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_the_report_is_shown_although_a_file_cannot_be_written(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", broken, *SOME, "--junit", "/dev/full"]) == 73
    found = capsys.readouterr()
    assert "cannot write /dev/full: No space left" in found.err
    assert "3 checks: 1 fail" in found.out


def test_a_server_of_implicit_tls_is_checked_with_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with MailServer(tls="implicit") as server:
        target = ["check", f"{server.host}:{server.port}"]
        assert main([*target, "--timeout", "0.1"]) == 76
        assert "hint: --implicit-tls" in capsys.readouterr().err
        assert main([*target, *SOME, "--implicit-tls"]) == 0
    assert "hint" not in capsys.readouterr().err


def test_an_IPv6_address_is_shown_with_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "[::1]:1"]) == 69
    assert "smtpcore: [::1]:1: " in capsys.readouterr().err


def test_a_server_elsewhere_is_checked_with_a_flag_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "192.0.2.1:25"]) == 64
    assert "hint: --remote" in capsys.readouterr().err


def test_no_server_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert main(["check", address]) == 69
    assert address in capsys.readouterr().err


@pytest.mark.parametrize("target", ["localhost", "127.0.0.1:x", "127.0.0.1:99999", f"127.0.0.1:{'9' * 5000}"])
def test_a_malformed_target(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", target]) == 64
    assert f"{target!r} is not HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--only", "noop-is-251"], "--only noop-is-251: there is no such check or requirement"),
        (["--only", "noop-is-250", "--only", "XYZ-01"], "--only XYZ-01: there is no such check or requirement"),
        (["--client", "--only", "noop-is-250"], "--only noop-is-250: there is no such check or requirement"),
        (["--run", "true"], "--run is for a client (hint: --client)"),
        (["--scenario", "accepting"], "--scenario is for a client (hint: --client)"),
        (["--save-ca", "ca.pem"], "--save-ca is for a client (hint: --client)"),
        (["--require-tls"], "--require-tls is for a client (hint: --client)"),
    ],
)
def test_an_option_without_effect_is_an_error(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "127.0.0.1:1", *options]) == 64
    assert complaint in capsys.readouterr().err


def test_a_server_that_cannot_be_judged_gives_exit_code_69() -> None:
    class Busy(Reference):
        def greet(self) -> None:
            self.say(421, "", "mx.example.com too busy")

    with running(Busy) as port:
        assert main(["check", f"127.0.0.1:{port}", "--only", "noop-is-250"]) == 69


def test_the_list_has_ids_and_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 400
    assert any(line.split()[:3] == ["SES-07", "MUST", "noop-is-250"] for line in lines)


STORED = [
    word for check in CHECKS if check.needs == "stored" and not check.keyword for word in ("--only", check.name)
]


def test_our_server_stores_what_was_sent(tmp_path: Path) -> None:
    handler = MaildirHandler(tmp_path / "mail")
    with smtpcore.sync.serve(handler) as listener:
        address = f"127.0.0.1:{listener.addresses[0][1]}"
        report = tmp_path / "report.json"
        options = [*STORED, "--stored", str(tmp_path / "mail"), "--json", str(report)]
        assert main(["check", address, *options]) == 0
    found = json.loads(report.read_text())["checks"]
    assert {check["outcome"] for check in found} == {"pass"}
    assert len(found) == len(STORED) // 2


class _Storing(Reference):
    """Stores messages, without removing the dots of transparency."""

    folder: Path

    def judge(self, content: bytes) -> None:
        name = str(len(list(self.folder.iterdir())))
        (self.folder / name).write_bytes(b"Received: by mx\r\n" + content)
        super().judge(content)


def test_a_server_that_keeps_the_dots_is_caught(tmp_path: Path) -> None:
    _Storing.folder = tmp_path
    with running(_Storing) as port:
        command = f"grep -l $1 {shlex.quote(str(tmp_path))}/* | xargs cat"
        address = f"127.0.0.1:{port}"
        assert main(["check", address, "--only", "stored-ascii", "--stored", command]) == 0
        assert main(["check", address, "--only", "stored-dots", "--stored", str(tmp_path)]) == 76


def test_a_server_that_stores_what_it_refuses_is_caught(tmp_path: Path) -> None:
    _Storing.folder = tmp_path
    with running(_Storing) as port:
        options = ["--only", "stored-only-what-was-accepted", "--stored", str(tmp_path)]
        assert main(["check", f"127.0.0.1:{port}", *options]) == 76


def test_a_client_is_started_for_each_server(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(
        "import smtplib, sys\n"
        "with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), 'client.example') as client:\n"
        "    client.sendmail('a@client.example', ['b@server.example'], 'Subject: x\\r\\n\\r\\n.\\r\\n')\n"
    )
    report = tmp_path / "report.json"
    command = f"{shlex.quote(sys.executable)} -S -E {shlex.quote(str(script))} $1 $2"
    options = ["--run", command, "--json", str(report), "--scenario", "accepting", "--scenario", "other-codes"]
    assert main(["check", "--client", "127.0.0.1:0", *options]) == 76
    found = {check["name"]: check for check in json.loads(report.read_text())["checks"]}
    assert found["client-sends-a-message"]["outcome"] == "pass"
    assert "2yz codes" in found["client-understands-codes"]["observed"]


def test_the_client_gets_the_authority_to_trust(tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    script.write_text(
        "import smtplib, ssl, sys\n"
        "context = ssl.create_default_context(cafile=sys.argv[3])\n"
        "with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), 'client.example') as client:\n"
        "    client.starttls(context=context)\n"
        "    client.sendmail('a@client.example', ['b@server.example'], 'Subject: x\\r\\n\\r\\n.\\r\\n')\n"
    )
    report, authority = tmp_path / "report.json", tmp_path / "ca.pem"
    command = (
        f"{shlex.quote(sys.executable)} -S -E {shlex.quote(str(script))} $1 $2 {shlex.quote(str(authority))}"
    )
    options = ["--run", command, "--json", str(report), "--save-ca", str(authority), "--require-tls"]
    options += ["--scenario", "starttls", "--scenario", "expired", "--scenario", "auth"]
    assert main(["check", "--client", "127.0.0.1:0", *options]) == 0
    found = {check["name"]: check["outcome"] for check in json.loads(report.read_text())["checks"]}
    assert found["client-verifies-dates"] == found["client-demands-starttls"] == "pass"


def test_a_command_that_does_not_connect_is_shown_with_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its output is not shown, so a typing error would look like 45 servers that no client has met."""
    options = ["--run", "exit 3", "--scenario", "accepting"]
    assert main(["check", "--client", "127.0.0.1:0", *options]) == 69
    assert "no client has connected; the last exit code of the command was 3" in capsys.readouterr().err


def test_a_scenario_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--client", "127.0.0.1:0", "--scenario", "odd"]) == 64
    assert "--list" in capsys.readouterr().err


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A FIFO, as a word of the shell, and its end for reading, which shows the end of all that write to it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.close(os.open(path, os.O_WRONLY))  # without a writer before, the end would not show
    yield shlex.quote(str(path)), reader
    os.close(reader)


def is_at_end(reader: int) -> bool:
    return bool(select.select([reader], [], [], 60)[0]) and os.read(reader, 1) == b""


def test_a_message_is_found_that_was_written_in_two_pieces(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    path = tmp_path / "1"
    path.write_bytes(b"Subject: ")
    assert folder.find("token") == []
    path.write_bytes(b"Subject: token\r\n")
    os.utime(path, (1, 1))  # where the clock of the file system is slow, both times would be equal
    assert folder.find("token") == [b"Subject: token\r\n"]


def test_a_command_that_finds_no_message_in_time_is_ended_with_its_children(fifo: tuple[str, int]) -> None:
    path, reader = fifo
    command = Command(f"echo started; sleep 600 > {path}; true", timeout=0.5)
    assert command.find("started") == []
    assert is_at_end(reader)


def test_a_client_that_does_not_end_is_ended_with_its_children(fifo: tuple[str, int]) -> None:
    path, reader = fifo
    options = ["--timeout", "0.05", "--scenario", "accepting", "--run", f"sleep 600 > {path}; true"]
    assert main(["check", "--client", "127.0.0.1:0", *options]) == 69
    assert is_at_end(reader)


def test_an_interrupt_ends_the_client(fifo: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, reader = fifo

    def check_client(
        listener: object, trigger: Callable[[str, int], object], *more: object, **options: object
    ) -> None:
        threading.Thread(target=trigger, args=("127.0.0.1", 25), daemon=True).start()
        os.close(os.open(shlex.split(path)[0], os.O_RDONLY))  # waits for the client
        raise KeyboardInterrupt

    monkeypatch.setattr("smtpcore._cli.check.check_client", check_client)
    assert main(["check", "--client", "127.0.0.1:0", "--run", f"sleep 600 > {path}; true"]) == 130
    assert is_at_end(reader)
