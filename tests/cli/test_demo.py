"""The demo: the first thing that anybody sees of this project."""

from __future__ import annotations

import io
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from smtpcore._cli import demo as _demo
from smtpcore._cli import demo_certificate as _demo_certificate
from smtpcore._cli.common import Failure
from smtpcore._cli.demo_certificate import INSECURE_LOCALHOST_PEM
from smtpcore.maildir import MaildirSink

ROOT = Path(__file__).resolve().parents[2]
# -S: a bare interpreter, as on a machine where nothing has been installed.
COMMAND = [sys.executable, "-S", "-m", "smtpcore", "demo"]


@pytest.fixture(scope="module")
def output() -> str:
    """What the demo prints into a pipe."""
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_demo_prints_the_whole_dialogue_in_order(output: str) -> None:
    lines = re.findall(r"^ +\d+\.\d{3} (.*)", output, re.MULTILINE)
    verbs = [line.split()[1] for line in lines if not re.match(r"..\s250-|--", line)]
    dialogue = (
        "220 EHLO 250 STARTTLS 220 EHLO 250 AUTH 235 MAIL RCPT RCPT DATA 250 250 550 354 [23189 250 QUIT 221"
    )
    assert verbs == dialogue.split()
    assert all(line[1] in "*-" for line in lines[lines.index("C: STARTTLS") + 2 :])  # all the rest is under TLS


@pytest.mark.parametrize(
    "fact",
    [
        "= event Rcpt(forward_path=ForwardPath('nobody@demo.example'))",
        "= answers Rcpt: mailbox unavailable, unknown or refused by policy; recipient mailbox does not exist;",
        "state ready -> tls",
        "state tls -> greeted",
        "answers Auth: authentication succeeded",
        "state rcpt -> content",
        "bob@demo.example: accepted, 250 2.0.0",
        "nobody@demo.example: refused, 550 5.1.1",
        "  Subject: ",
        "Return-Path and Received",
        "INSECURE",
    ],
)
def test_the_main_facts_are_printed(output: str, fact: str) -> None:
    assert fact in output


def test_the_demo_compares_the_stored_message_with_the_sent_one(output: str) -> None:
    for what in ("message", "attachment"):
        found = re.findall(
            rf"^{what} +(sent|stored) +(\d+) octets, sha256 ([0-9a-f]{{64}})$", output, re.MULTILINE
        )
        assert [verb for verb, _, _ in found] == ["sent", "stored"]
        assert found[0][1:] == found[1][1:]
    assert output.endswith("identical: yes\n")


def test_the_password_is_not_printed(output: str) -> None:
    assert "AUTH PLAIN ***" in output
    assert _demo.PASSWORD not in output and "AGFsaWNl" not in output


def test_a_pipe_gets_no_colour(output: str) -> None:
    assert "\x1b" not in output


def on_a_terminal(**environment: str) -> str:
    """What the demo prints on a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=theirs, env={**clean, **environment}) as process:
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:  # the error of Linux when the other end of the terminal is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return b"".join(pieces).decode()


def test_a_terminal_gets_colour() -> None:
    assert "\x1b[32midentical: yes\x1b[0m" in on_a_terminal(TERM="xterm")


@pytest.mark.parametrize("environment", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_gets_no_colour_if_the_environment_forbids_it(environment: dict[str, str]) -> None:
    shown = on_a_terminal(**environment)
    assert "identical: yes" in shown and "\x1b" not in shown


class LostReader(io.StringIO):
    """An output whose reader goes away after some lines."""

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") > 10:
            raise BrokenPipeError
        return super().write(text)


def test_the_demo_ends_when_the_reader_of_its_output_ends(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Failure, match="the reader of the output has closed it"):
        _demo.run(LostReader())
    assert caplog.messages == []


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_lines_are_wrapped_at_the_width_of_the_terminal(columns: int) -> None:
    shown = on_a_terminal(COLUMNS=str(columns), NO_COLOR="1")
    lines = shown.replace("\r\n", "\n").split("\n")
    assert max(map(len, lines)) <= columns
    unwrapped = "no further information; state ready -> tls"
    assert any(line.endswith(unwrapped) for line in lines) is (columns == 200)
    # Wrapped lines begin below the text of the first one, so the times stay a column of their own.
    assert all(re.match(r" +\d+\.\d{3} (?:[CS][:*]|--)|            ", line) for line in dialogue_of(lines))
    assert "identical: yes" in lines


def dialogue_of(lines: list[str]) -> list[str]:
    first = next(number for number, line in enumerate(lines) if re.match(r" +\d+\.\d{3} ", line))
    return lines[first : lines.index("", first)]


def test_the_demo_has_no_traceback_when_the_reader_of_its_output_ends() -> None:
    with subprocess.Popen(
        COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "smtpcore: the reader of the output has closed it\n"
    assert process.returncode == 74


# -- what is printed if something is wrong --


def run() -> tuple[int, str]:
    out = io.StringIO()
    return _demo.run(out), out.getvalue()


def test_the_demo_runs_inside_another_program() -> None:
    code, text = run()
    assert code == 0 and text.endswith("identical: yes\n")


@pytest.mark.parametrize(
    "old, new",
    [
        (b"Hello Bob", b"Hello Rob"),
        (b"AAECAwQF", b"AAECAwQG"),
        (b"Return-Path: ", b"X-Return-Path: "),
        (b"From: ", b"From:  "),
    ],
)
def test_a_changed_message_is_noticed(monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes) -> None:
    write = MaildirSink.write
    monkeypatch.setattr(MaildirSink, "write", lambda sink, data: write(sink, data.replace(old, new)))
    code, text = run()
    assert code == 1 and text.endswith("identical: NO\n")


def test_a_missing_message_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(sink: MaildirSink) -> bool:
        sink.abort()
        return True

    monkeypatch.setattr(MaildirSink, "finish", lose)
    code, text = run()
    assert code == 1 and text.endswith("identical: NO\n")


def test_a_server_that_accepts_every_recipient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo.Postbox, "accept_recipient", lambda *arguments: True)
    assert run()[0] == 1


# -- the certificate --


def test_the_certificate_is_for_localhost_only_and_says_what_it_is() -> None:
    certificate = x509.load_pem_x509_certificate(INSECURE_LOCALHOST_PEM.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [address.is_loopback for address in names.get_values_for_type(x509.IPAddress)] == [True, True]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert "INSECURE" in certificate.subject.rfc4514_string()
    assert "INSECURE" in (_demo_certificate.__doc__ or "")
    assert certificate.not_valid_after_utc.year == 2120


def test_the_client_of_the_demo_checks_the_name(tmp_path: Path) -> None:
    _, client = _demo._contexts(tmp_path / "certificate.pem")
    assert client.check_hostname and client.verify_mode is ssl.CERT_REQUIRED
    assert client.get_ca_certs() == []  # and trusts no authority
