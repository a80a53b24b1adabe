"""Every block of Python in the README runs as it stands and does what the text around it says.

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
CLIENT, SUBMISSION, SERVER, CORE = PYTHON  # a new block needs its test here

HOW_LONG = {"send a message": (CLIENT, 5), "receive one": (SERVER, 10), "the core": (CORE, 20)}


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
def test_an_example_has_at_most_its_number_of_lines(what: str) -> None:
    block, lines = HOW_LONG[what]
    assert len([line for line in block.splitlines() if line.strip()]) <= lines


def test_the_readme_is_not_long() -> None:
    assert len(README.splitlines()) <= 200


def test_the_server_receives_what_the_client_sends() -> None:
    def send(port: int) -> None:
        assert run(put(CLIENT, "8025", str(port))) == (
            "accepted: ('bob@example.org',) refused:"
            " {'carol@elsewhere.example': Reply(550, '5.1.1', 'no such mailbox here')}\n"
        )

    code = put(put(SERVER, "port=8025", "port=0"), "server.serve_forever()", "send(server.addresses[0][1])")
    printed = run(code, {"send": send})
    assert printed.startswith("alice@example.com to bob@example.org ")
    assert printed.endswith("Subject: Hello\r\n\r\nHello Bob.\r\n\n")


def test_submission_is_under_TLS_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        code = put(SUBMISSION, 'host="mail.example.com", port=587', f'host="localhost", port={port}')
        assert run(code) == ""
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(smtpcore.TlsError, match="certificate"):
            run(code)
    assert len(got) == 1
    assert b"Subject: Hello\r\n" in got[0]
    assert got[0].endswith(b"\r\n\r\nHello Bob, this is smtpcore.\r\n")


def test_the_core_prints_what_is_shown() -> None:
    shown = README.split(CORE)[1].split("```text\n")[1].split("```")[0]
    assert run(CORE).replace("\r\n", "\n") == shown


def test_the_demo_prints_the_excerpt_of_the_readme() -> None:
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


SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name, attributes",
    [("Limits", Limits()), ("Timeouts", Timeouts()), ("ServerConfig", ServerConfig())],
)
def test_documents_name_only_attributes_that_exist(name: str, attributes: object) -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        used = re.findall(rf"`{name}\.(\w+)`", text)
        used += re.findall(rf"\b{name}\((\w+)=", text)
        assert [one for one in used if not hasattr(attributes, one)] == [], path.name


def test_the_security_page_shows_the_defaults() -> None:
    assert "| size of a message | 64 MiB |" in SECURITY
    assert "| recipients of a message | 1000 |" in SECURITY
    limits = Limits()
    assert (limits.message_size, limits.recipients) == (64 * 1024 * 1024, 1000)
