"""The fixtures of the tests of the command line."""

from __future__ import annotations

import pytest

from .commands import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))
