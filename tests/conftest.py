"""What every test file shares: the requirement marks, and the settings of Hypothesis."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from .requirements import Recorder

# Nothing here asserts on time, so Hypothesis must not either: a CI machine may stall at any moment. It must
# also say the same thing twice there; new examples are found where people develop.
settings.register_profile("smtpcore", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("smtpcore")


def pytest_configure(config: pytest.Config) -> None:
    Recorder.register(config)
