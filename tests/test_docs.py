"""The documents: what they point to exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [path for path in (ROOT / "README.md", ROOT / "CHANGELOG.md") if path.exists()]
DOCUMENTS += [path for folder in (".github", "docs", "tests") for path in sorted((ROOT / folder).rglob("*.md"))]

_FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
# A path in `code`, in text or in a command: what begins with a folder of ours, as far as a shell reads it.
_PATH = re.compile(r"(?<![\w./-])(?:docs|examples|smtpcore|tests|\.ci)/[\w./-]*\w")
_HEADING = re.compile(r"^#+\s+(.+?)\s*#*$", re.MULTILINE)


def anchors(document: str) -> set[str]:
    """The anchors of the headings, the way GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", document)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        anchor, number = words.replace(" ", "-"), 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found


def dangling(path: Path, document: str) -> list[str]:
    """The links and paths of a document at a path that lead nowhere, or out of the project."""
    lost = []
    for match in _LINK.finditer(_FENCE.sub("", document)):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue  # another site: no test depends on the network
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.is_relative_to(ROOT) or not (target.exists() or target == path):
            lost.append(link)
        elif anchor and target.suffix == ".md":
            text = document if target == path else target.read_text(encoding="utf-8")
            if anchor not in anchors(text):
                lost.append(link)
    # Fenced blocks count here: a command that names a file of ours has to work.
    for match in _PATH.finditer(document):
        beside = path.parent / match[0]
        if not (ROOT / match[0]).exists() and not beside.exists():
            lost.append(match[0])
    return lost


@pytest.mark.parametrize(
    "document",
    [
        "see [it](missing.md)",
        "see [it](../../elsewhere)",
        "see [it](#no-such-heading)\n# Such a heading",
        "[it]: missing.md",
        "run `python tests/missing.py`",
        "```\npython examples/missing.py --port 0\n```",
        "look into docs/missing.md.",
    ],
)
def test_a_dangling_reference_is_found(document: str) -> None:
    assert len(dangling(ROOT / "docs" / "x.md", document)) == 1


@pytest.mark.parametrize(
    "document",
    [
        "see [it](requirements.md#requirements), [there](../tests) and [that](https://www.rfc-editor.org/x)",
        "see [it](#a-heading-with-code-1)\n# A heading, with `code`\n## A heading with code",
        "[it]: ../pyproject.toml",
        "`tests/conftest.py`, docs/requirements.md, and what they do in tests/.",
        "```\n[it](is code)\n```",
    ],
)
def test_a_valid_reference_is_accepted(document: str) -> None:
    assert dangling(ROOT / "docs" / "x.md", document) == []


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS])
def test_no_document_has_a_dangling_reference(path: Path) -> None:
    assert dangling(path, path.read_text(encoding="utf-8")) == []


def test_the_whole_check_includes_the_quick_one() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^\.ci/check$", script, re.MULTILINE)
    for name in ("run", "check"):
        assert (ROOT / ".ci" / name).stat().st_mode & 0o111, f".ci/{name} is not executable"


def test_the_readme_names_the_command_that_ci_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = re.search(r'^readme_command="(.*)"$', script, re.MULTILINE)
    assert command is not None
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert command[1] in [line.strip() for line in readme.splitlines()]


def test_ci_runs_the_tests_with_the_oldest_version_of_each_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    allowed = {line.split(";")[0].strip() for line in project["project"]["optional-dependencies"]["test"]}
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    oldest = re.search(r"^oldest=\((.*?)\)$", script, re.MULTILINE | re.DOTALL)
    assert oldest is not None
    pinned = {one.strip("'").replace(".*", "") for one in oldest[1].split()}
    assert pinned == {one.replace(">=", "==") for one in allowed}
