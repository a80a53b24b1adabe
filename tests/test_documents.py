"""The Python blocks of docs/ run as they stand; the loops of embedding.md send a message to each other.

A block that needs something that is not there (a server, a package) has a line ``<!-- not run: reason -->``
before it. It must still compile, and what it imports from smtpcore must exist. The README has its own tests.
"""

from __future__ import annotations

import ast
import importlib
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import smtpcore

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n\n?)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)[^)\s]*\)")


def blocks_of(path: Path) -> list[tuple[str, bool]]:
    """The Python blocks of a document, each with whether it can be run."""
    return [(code, not mark) for mark, code in _BLOCK.findall(path.read_text(encoding="utf-8"))]


BLOCKS = [
    pytest.param(code, runs, id=f"{path.stem}-{number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, (code, runs) in enumerate(blocks_of(path), 1)
]


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "block"}
    exec(compile(block, "block", "exec"), names)
    return names


def missing_imports(block: str) -> list[str]:
    """What a block imports from smtpcore that does not exist."""
    missing = []
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "smtpcore":
            module = importlib.import_module(node.module or "")
            missing += [one.name for one in node.names if not hasattr(module, one.name)]
    return missing


def test_each_block_of_a_document_is_found() -> None:
    for path in DOCS.rglob("*.md"):
        fences = re.findall("^```python$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(blocks_of(path)) == len(fences), path.name


def test_a_missing_import_is_found() -> None:
    assert missing_imports("from smtpcore import Reply, Nothing\nfrom email import message") == ["Nothing"]


@pytest.mark.parametrize("block, runs", BLOCKS)
def test_a_block_of_the_documents_runs(
    block: str, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert missing_imports(block) == []
    if runs:
        run(block)
    else:
        compile(block, "block", "exec")


@pytest.mark.parametrize(
    "recipients", [["b@example.org"], ["b@example.org", "c@y.example"], ["c@y.example"]], ids=len
)
def test_the_loops_of_embedding_talk_to_each_other(recipients: list[str]) -> None:
    server, client = (run(block) for block, runs in blocks_of(DOCS / "embedding.md") if runs)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = smtpcore.ServerConnection("mx.example.org")
        thread = threading.Thread(target=server["serve"], args=(ours, connection, None), daemon=True)
        thread.start()
        theirs.settimeout(60)
        responses = client["send"](theirs, "a@x.example", recipients, b"x\r\n")
        thread.join(60)
    assert not thread.is_alive()
    expected = [550 if path.endswith("y.example") else 250 for path in recipients]
    assert [one.reply.code for one in responses if one.verb == "RCPT"] == expected
    assert [one.reply.code for one in responses if one.verb == "."] == [451] * (250 in expected)
    assert responses[-1].reply.code == 221


def linked_from(page: Path) -> set[Path]:
    """The documents of the project that a document links to."""
    targets = {(page.parent / link).resolve() for link in _LINK.findall(page.read_text(encoding="utf-8"))}
    return {path for path in targets if path.suffix == ".md" and path.exists()}


def test_every_page_is_reachable_from_the_index() -> None:
    reached: set[Path] = set()
    pending = {DOCS / "index.md"}
    while pending:
        reached |= pending
        pending = {path for page in pending for path in linked_from(page)} - reached
    assert {path.name for path in set(DOCS.rglob("*.md")) - reached} == set()


def test_the_files_that_answer_the_ten_questions_exist() -> None:
    table = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## Ten questions")[2]
    rows = re.findall(r"^\| (?!question|-)(.+?) \| (.+?) \|", table.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) == 10
    for question, answer in rows:
        files = re.findall(r"`(smtpcore/[\w/.]+)`", answer)
        assert files, question
        assert [file for file in files if not (ROOT / file).exists()] == [], question
