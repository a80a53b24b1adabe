"""The pytest plugin: fixtures without configuration, and no cost for a run that does not use them.

Each test runs pytest in a process of its own, on a file that it writes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
STRICT = "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
# It is found by its entry point where smtpcore is installed as it is here.
INSTALLED = any(
    one.value == "smtpcore._pytest_plugin" for one in importlib.metadata.entry_points(group="pytest11")
)


class Outcome(NamedTuple):
    code: int
    output: str


def run_pytest(folder: Path, source: str, *arguments: str) -> Outcome:
    (folder / "pytest.ini").write_text(STRICT, encoding="utf-8")
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    found = [] if INSTALLED else ["-p", "smtpcore._pytest_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *found, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return Outcome(done.returncode, done.stdout + done.stderr)


SEND = """
import smtplib

CONTENT = "Subject: Report\\r\\n\\r\\nAll is well.\\r\\n"

def send(server, *recipients):
    with smtplib.SMTP(server.host, server.port) as client:
        return client.sendmail("ann@example.org", recipients or ["bob@example.org"], CONTENT)
"""


def test_a_run_that_does_not_use_it_imports_nothing_above_the_core(tmp_path: Path) -> None:
    above = "smtpcore.testing", "smtpcore.handlers", "smtpcore.sync", "smtpcore._net.session"
    source = f"import sys\n\ndef test_nothing():\n    assert not sys.modules.keys() & {set(above)!r}\n"
    assert run_pytest(tmp_path, source).code == 0


def test_it_loads_with_the_pluggy_of_Debian_12(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise no run of pytest starts there, not even one that does not use the plugin."""

    def hookimpl(
        hookwrapper: bool = False, optionalhook: bool = False, tryfirst: bool = False, trylast: bool = False
    ) -> Callable[[object], object]:
        return lambda function: function

    monkeypatch.setattr(pytest, "hookimpl", hookimpl)
    spec = importlib.util.find_spec("smtpcore._pytest_plugin")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_each_test_has_a_server_of_its_own(tmp_path: Path) -> None:
    source = f"""{SEND}
import pytest

@pytest.mark.parametrize("number", range(4))
def test_mail(smtpd, assert_mail, number):
    assert smtpd.messages == []
    send(smtpd)
    mail = assert_mail(to="bob@example.org", subject="Report", contains="All is well")
    assert mail is smtpd.wait_for(to="bob@example.org", subject="port", timeout=5)

def test_the_next_command_fails(smtpd):
    smtpd.fail_next("RCPT", "451 4.7.1 later")
    assert list(send(smtpd, "bob@example.org", "eve@example.org")) == ["bob@example.org"]
    assert smtpd.messages[0].recipients == ("eve@example.org",)

@pytest.mark.smtpd(users={{"joe": "secret"}})
def test_login(smtpd):
    with smtplib.SMTP(smtpd.host, smtpd.port) as client:
        client.starttls(context=smtpd.client_context())
        client.login("joe", "secret")
        client.sendmail("ann@example.org", ["bob@example.org"], CONTENT)
    assert smtpd.messages[0].user == "joe"
    assert smtpd.messages[0].tls

def test_faults(smtp_faults):
    from smtpcore.testing import mailbox_full, on
    full, slow = smtp_faults(mailbox_full()), smtp_faults(on("*").split(1))
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(full)
    send(slow)
    assert (len(full.messages), len(slow.messages)) == (0, 1)
"""
    outcome = run_pytest(tmp_path, source)
    assert outcome.code == 0, outcome.output
    assert "7 passed" in outcome.output


def test_it_works_in_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    source = f"""{SEND}
import pytest

@pytest.mark.parametrize("number", range(8))
def test_mail(smtpd, number):
    send(smtpd)
    assert len(smtpd.messages) == 1
"""
    outcome = run_pytest(tmp_path, source, "-n", "2")
    assert outcome.code == 0, outcome.output
    assert "8 passed" in outcome.output


@pytest.mark.parametrize(
    "failure, sign",
    [
        ("assert smtpd.messages == []", "assert [ReceivedMail"),
        ("assert_mail(to='eve@example.org')", "0 messages have to='eve@example.org', instead of 1"),
        ("smtpd.wait_for(to='eve@example.org', timeout=0)", "no message to eve@example.org was accepted"),
    ],
)
def test_a_test_that_fails_shows_the_dialogue(tmp_path: Path, failure: str, sign: str) -> None:
    source = f"{SEND}\ndef test_mail(smtpd, assert_mail):\n    send(smtpd)\n    {failure}\n"
    outcome = run_pytest(tmp_path, source)
    assert outcome.code == 1
    assert sign in outcome.output
    assert "mail server on port" in outcome.output
    assert "C: rcpt TO:<bob@example.org>" in outcome.output
    assert "def " not in outcome.output.replace("def test_mail", "")  # the source of the kit is not shown


def test_a_test_that_fails_without_a_server_is_shown_as_ever(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, "def test_nothing():\n    assert 1 == 2\n")
    assert outcome.code == 1
    assert "mail server" not in outcome.output


ASYNC_TEST = """
import pytest

async def use(server, connect):
    server.fail_next("MAIL", "451 4.3.0 later")
    async with await connect(server.host, server.port, security="none") as client:
        with pytest.raises(Exception, match="later"):
            await client.send("ann@example.org", ["bob@example.org"], b"Subject: Report\\r\\n\\r\\nHi\\r\\n")
        await client.send("ann@example.org", ["bob@example.org"], b"Subject: Report\\r\\n\\r\\nHi\\r\\n")
    mail = await server.wait_for(to="bob@example.org", subject="Report")
    assert server.messages == [mail]
    with pytest.raises(AssertionError, match="no message to eve@example.org"):
        await server.wait_for(to="eve@example.org", timeout=0)
"""


@pytest.mark.parametrize(
    "source",
    [
        (
            "import asyncio, smtpcore.asyncio\n"
            "def test_mail(smtpd_async):\n    asyncio.run(use(smtpd_async, smtpcore.asyncio.connect))\n"
        ),
        (
            "import trio, smtpcore.trio\n"
            "def test_mail(smtpd_async):\n    trio.run(use, smtpd_async, smtpcore.trio.connect)\n"
        ),
    ],
    ids=["asyncio", "trio"],
)
def test_an_async_test_can_use_it(tmp_path: Path, source: str) -> None:
    """Without a plugin for async tests; those with one are in ``users``."""
    outcome = run_pytest(tmp_path, ASYNC_TEST + source)
    assert outcome.code == 0, outcome.output
    assert " passed" in outcome.output
