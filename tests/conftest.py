"""What every test file shares: the requirement marks, the seed of the run, and the settings of Hypothesis.

Each run draws new examples and prints its seed; ``SMTPCORE_SEED`` makes the same run again, and
``SMTPCORE_EXAMPLES`` a longer one. What becomes of a failure stands in tests/README.md.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from .properties import EXAMPLES
from .requirements import Recorder

SEED_VARIABLE = "SMTPCORE_SEED"
_EXAMPLES = "examples"  # a property of the report of a test: how many Hypothesis has drawn
_PASSING = re.compile(r"- ([0-9]+) passing")

# Nothing here asserts on time, so Hypothesis must not either: a CI machine may stall at any moment. All of it
# is written down, since Hypothesis has other defaults where the variable CI is set: the same examples again.
settings.register_profile(
    "smtpcore",
    deadline=None,
    derandomize=False,
    max_examples=EXAMPLES,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("smtpcore")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its option
def pytest_configure(config: pytest.Config) -> None:
    # The processes of pytest-xdist inherit the variable.
    seed = os.environ.setdefault(SEED_VARIABLE, str(random.randrange(2**32)))
    if config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = seed
    Recorder.register(config)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.hypothesis_seed} (again: {SEED_VARIABLE}=...)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how many examples a property has passed; a process of pytest-xdist hands the report on."""
    report = yield
    if report.when == "call" and report.passed:
        drawn = sum(int(number) for number in _PASSING.findall(getattr(item, "hypothesis_statistics", "")))
        if drawn:
            report.user_properties.append((_EXAMPLES, drawn))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = [
        int(str(value))
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == _EXAMPLES
    ]
    if counts:
        terminalreporter.write_line(f"{sum(counts)} examples of {len(counts)} properties passed")
