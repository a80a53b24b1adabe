"""Every block of Python in the README runs as it stands and does what is said around it.

What is changed is only where things are: ports, the host of the submission example, the folder.
"""

from __future__ import annotations

import functools
import io
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

import smtpcore.sync
from smtpcore import Credentials, Limits, ServerConfig, Timeouts

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SERVER, CLIENT, SUBMISSION, CORE, ADAPTER, FAILURE = PYTHON  # a new block needs its test here

HOW_LONG = {"a server": SERVER, "a client": CLIENT, "the core": CORE}


def run(code: str, names: dict[str, Any] | None = None) -> str:
    """Run a block, with other names than the usual ones; what it prints."""
    names = {} if names is None else names
    output = io.StringIO()
    # Not by redirecting the standard output: a server prints in a thread of its own, meanwhile.
    names |= {"__name__": "__main__", "print": functools.partial(print, file=output)}
    exec(compile(code, "README.md", "exec"), names)
    return output.getvalue()


def put(code: str, old: str, new: str) -> str:
    """Replace what must be there."""
    assert old in code
    return code.replace(old, new)


@pytest.mark.parametrize("what", HOW_LONG)
def test_what_is_to_look_short_is_short(what: str) -> None:
    assert len([line for line in HOW_LONG[what].splitlines() if line.strip()]) <= 20


def test_server_and_client_and_a_failed_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def use_it(prompt: str) -> None:  # in place of input(), while the server runs
        port = str(names["server"].addresses[0][1])
        assert run(put(CLIENT, "8025", port)) == (
            "accepted for ('bob@example.org',)\n"
            "not for carol@elsewhere.example because of 550 5.1.1 no such mailbox here\n"
        )
        kind, message, retryable, *transcript = run(put(FAILURE, "8025", port)).splitlines()
        assert kind == "RecipientsRefused in the phase rcpt"
        assert message.startswith("no recipient was accepted: 550 5.1.1 no such mailbox here (hint: ")
        assert retryable == "worth another try: ()"
        assert any(line.endswith("C: RCPT TO:<carol@elsewhere.example>") for line in transcript)

    names: dict[str, Any] = {"input": use_it}
    said = run(put(SERVER, "port=8025", "port=0"), names)
    assert "alice@example.com -> bob@example.org: " in said
    (path,) = tmp_path.iterdir()
    stored = path.read_bytes()
    assert b"Subject: Hello\r\n" in stored
    assert stored.endswith(b"Hello Bob, this is smtpcore.\r\n")


def test_submission_goes_under_tls_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    # Where Python looks for the authorities that it trusts.
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    got: list[bytes] = []

    class Handler:
        def check_credentials(self, session: object, credentials: Credentials) -> bool:
            return credentials.username == "alice" and credentials.matches("secret")

        def store(self, session: object, envelope: object, content: Any) -> bool:
            got.append(content.read())
            return True

    config = ServerConfig(auth_mechanisms=("PLAIN",), require_tls=True, require_auth=True)
    with smtpcore.sync.serve(Handler(), ssl_context=context, config=config) as server:
        port = server.addresses[0][1]
        code = put(SUBMISSION, '"mail.example.com", 587', f'"localhost", {port}')
        assert run(code) == ""
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(smtpcore.TlsError, match="certificate"):
            run(code)
    assert got == [b"Subject: hi\r\n\r\nHello Bob.\r\n"]


def test_the_core_prints_what_is_shown() -> None:
    shown = README.split(CORE)[1].split("```text\n")[1].split("```")[0]
    assert run(CORE).replace("\r\n", "\n") == shown


def test_the_adapter_block_runs() -> None:
    output = run(ADAPTER)
    assert output.startswith("received 12 octets\n")
    assert "the message was refused: 451 4.3.0 this example keeps nothing" in output


def test_the_demo_is_as_it_is_shown() -> None:
    """The excerpt is lines of the demo, in order, but for times and what changes from run to run."""
    excerpt = README.split("python3 -m smtpcore demo\n")[1].split("```text\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-m", "smtpcore", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = iter([without_what_varies(line) for line in done.stdout.splitlines()])
    for line in excerpt.splitlines():
        assert line.strip() == "..." or without_what_varies(line) in lines, line


def without_what_varies(line: str) -> str:
    return re.sub(r"^ +\d+\.\d{3} ", "", re.sub(r"port \d+", "port N", line))


def test_every_attribute_in_the_tables_exists() -> None:
    classes = {"Limits": Limits(), "Timeouts": Timeouts(), "ServerConfig": ServerConfig()}
    named = re.findall(r"`(Limits|Timeouts|ServerConfig)\.(\w+)`", README)
    assert named
    for name, attribute in named:
        assert hasattr(classes[name], attribute), f"{name}.{attribute}"
    values = {
        "Limits.message_size": "64 MiB",
        "Limits.recipients": "1000",
        "Limits.command_line": "512 octets",
        "Timeouts.server": "300 seconds",
        "Timeouts.data_termination": "600 seconds",
    }
    for name, value in values.items():
        assert re.search(rf"\(`{name}`\) \| {value}", README), name
    limits = Limits()
    assert (limits.message_size, limits.recipients, limits.command_line) == (64 * 1024 * 1024, 1000, 512)
    assert (Timeouts().server, Timeouts().data_termination) == (300, 600)
