"""The Python blocks of the pages about testing run as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..test_documents import DOCS, blocks_of, missing_imports, run

PAGES = [*sorted((DOCS / "how-to").glob("*.md")), DOCS / "tutorial" / "fuzzing.md"]
BLOCKS = [
    pytest.param(code, runs, id=f"{path.stem}-{number}")
    for path in PAGES
    for number, (code, runs) in enumerate(blocks_of(path), 1)
]


@pytest.mark.parametrize("block, runs", BLOCKS)
def test_a_block_runs(block: str, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(DOCS.parent / "examples")
    assert missing_imports(block) == []
    if runs:
        run(block)
    else:
        compile(block, "block", "exec")
