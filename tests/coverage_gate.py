"""The coverage gate: every statement and branch of the pure part of the library is run by its own tests.

    python -m tests.coverage_gate                  run the tests of the core, extensions and SASL, and check
    python -m tests.coverage_gate --report FILE    check a report that ``coverage json`` has written

The core, the extensions and the SASL mechanisms have no I/O, so there is no excuse for a line without a test.
A module that is not complete stands in EXCEPTIONS with what is reached: the gate fails below that number, and
says so when more is reached than the number demands. A new module has to be complete.

The properties are left out by default: what only a random example reaches is not reached in each run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("smtpcore/_core", "smtpcore/extensions", "smtpcore/sasl")
TESTS = ("tests/core", "tests/extensions", "tests/sasl")

# Per cent of statements and branches that the tests reach.
EXCEPTIONS: dict[str, float] = {
    # Copies, comparison and pickling of errors, results and capabilities are in tests/test_values.py.
    "smtpcore/_core/capabilities.py": 98.4,
    "smtpcore/_core/client.py": 99.0,  # a parameter that no extension knows, and the server offers
    "smtpcore/_core/errors.py": 63.0,
    "smtpcore/_core/headerfields.py": 36.0,  # tests/test_trace.py and tests/message fold fields
}


def measure(tests: Sequence[str]) -> dict[str, Any] | None:
    """Run tests under coverage; the report, or None if they failed."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder, "data"))}
        report = Path(folder, "report.json")
        sources = "--source=" + ",".join(PACKAGES)
        for command in (
            ["run", "--branch", sources, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
            ["json", "-q", "-o", str(report)],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=False
            )
            if done.returncode:
                return None
        measured: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return measured


def reached(report: Mapping[str, Any]) -> dict[str, float]:
    """Per cent of each module in PACKAGES."""
    return {
        name: float(file["summary"]["percent_covered"])
        for name, file in report["files"].items()
        if name.startswith(PACKAGES)
    }


def failures(report: Mapping[str, Any], exceptions: Mapping[str, float]) -> list[str]:
    """A line for each module that is below its floor, and for each exception that is out of date."""
    modules = reached(report)
    lines = [f"{name} was not measured" for name in exceptions if name not in modules]
    for name, per_cent in modules.items():
        floor = exceptions.get(name, 100.0)
        if per_cent < floor:
            missing = report["files"][name]
            branches = [f"{start}->{end}" for start, end in missing["missing_branches"]]
            where = ", ".join([*map(str, missing["missing_lines"]), *branches])
            lines.append(f"{name}: {per_cent:.1f} % covered, {floor:g} % required; not reached: {where}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and give the exit status: 1 if a module is below its floor, 2 if the tests failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage_gate", description="The coverage gate.")
    parser.add_argument("--report", type=Path, help="a report of coverage json, in place of running the tests")
    parser.add_argument("tests", nargs="*", default=list(TESTS), help="what to run")
    options = parser.parse_args(arguments)
    report = (
        json.loads(options.report.read_text(encoding="utf-8")) if options.report else measure(options.tests)
    )
    if report is None:
        print("the tests failed: nothing is measured", file=sys.stderr)
        return 2
    found = failures(report, EXCEPTIONS)
    for line in found:
        print(line)
    for name, per_cent in reached(report).items():
        if name in EXCEPTIONS and per_cent >= EXCEPTIONS[name] + 0.5:
            print(f"{name}: {per_cent:.1f} % covered: raise the {EXCEPTIONS[name]:g} % in {__file__}")
    print(f"{len(reached(report))} modules measured, {len(found)} below their floor")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
