"""The programs of docs/tutorial.md, in the order in which a reader runs them; only the port is another."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import smtpcore

from .test_documents import DOCS, blocks_of, run

PAGE = DOCS / "tutorial.md"
RECEIVE, SEND, METHOD, TRANSCRIPT, STORE, LOGIN = [code for code, _ in blocks_of(PAGE)]


def main_of(code: str, port: int) -> Any:
    assert code.count("8025") == 1
    return run(code.replace("8025", str(port)))["main"]


def while_serving(code: str, use: Any) -> None:
    """Run the server of a program, call ``use`` with its port, and stop it."""
    assert code.count("8025") == code.count("server.serve_forever()") == 1
    names: dict[str, Any] = {"__name__": "block", "use": use}
    code = code.replace("8025", "0").replace("server.serve_forever()", "use(server.addresses[0][1])")
    exec(compile(code, "tutorial", "exec"), names)
    names["main"]()


def test_the_first_server_receives_the_first_message(capsys: pytest.CaptureFixture[str]) -> None:
    while_serving(RECEIVE, lambda port: main_of(SEND, port)())
    printed = capsys.readouterr().out
    assert printed.startswith("from alice@example.com to bob@example.org\n")
    assert "Hello Bob, this is smtpcore." in printed
    assert printed.endswith("accepted: bob@example.org\n")


def test_a_recipient_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    server = RECEIVE.replace("class Printer(Handler):\n", f"class Printer(Handler):\n{indented(METHOD)}\n")
    both = SEND.replace('"bob@example.org"', '"bob@example.org, carol@elsewhere.example"')
    carol = SEND.replace('"bob@example.org"', '"carol@elsewhere.example"')

    def use(port: int) -> None:
        main_of(both, port)()
        assert capsys.readouterr().out.endswith("accepted: bob@example.org\n")
        with pytest.raises(smtpcore.RecipientsRefused):
            main_of(carol, port)()
        main_of(TRANSCRIPT, port)()
        printed = capsys.readouterr().out
        assert "worth a later attempt: False" in printed
        assert "S: 550 5.1.1" in printed

    while_serving(server, use)


def indented(code: str) -> str:
    return re.sub("^(?=.)", "    ", code, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is not installed")
def test_mail_is_stored_after_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall("^openssl .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=60)

    def use(port: int) -> None:
        main_of(LOGIN, port)()
        with pytest.raises(smtpcore.AuthenticationFailed):
            main_of(LOGIN.replace("battery", "b4ttery"), port)()

    while_serving(STORE, use)
    (message,) = (tmp_path / "inbox" / "new").iterdir()
    stored = message.read_bytes()
    assert b"with ESMTPSA" in stored
    assert stored.endswith(b"Buy milk.\r\n")
