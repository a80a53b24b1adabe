"""Which requirements of docs/requirements.md the tests prove.

A test says what it proves with a mark, ``@pytest.mark.req("DAT-05", "DAT-06")``. While pytest runs, the
:class:`Recorder` (registered by conftest.py) notes how every marked test ended and leaves that in
``.pytest_cache/requirements.json``. This module then answers the question:

    python -m tests.requirements                      run the tests, print the table
    python -m tests.requirements --last               print the table of the run before
    python -m tests.requirements --list not-yet       and the requirements that no test proves
    python -m tests.requirements --last --require 300 --require-must FRM,DAT

When is a requirement proven? Its mark makes *claims*: one claim is a test function with all of its
parametrised cases that carry the id. A claim holds when every one of these cases passed: a case that was
skipped, deselected, cut off, or failed (expectedly or not) proves nothing. The requirement is proven when
at least one claim holds and no case that carries its id failed. What is out of scope cannot be marked at all.

Files that pytest did not collect are unknown here: a run of a part of the suite makes a report of that part.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "docs" / "requirements.md"
RESULT = Path(".pytest_cache") / "requirements.json"
RESULT_VARIABLE = "SMTPCORE_REQUIREMENTS_RESULT"
LEVELS = ("MUST", "SHOULD", "MAY")
ROLES = ("both", "client", "server")

_HEADING = re.compile(r"## ([A-Z]{3}): (.+)")
_ROW = re.compile(r"\| ([A-Z]{3}-[0-9]{2}) \|(.*)\|")


class Requirement(NamedTuple):
    """One row of the catalogue."""

    id: str
    source: str
    level: str
    role: str
    text: str

    @property
    def area(self) -> str:
        return self.id[:3]


class CatalogueError(Exception):
    """The catalogue contradicts itself."""


class Catalogue:
    """The requirements, their areas, and which of them are out of scope, as read from the document."""

    def __init__(self, document: str) -> None:
        self.areas: dict[str, str] = {}
        self.requirements: dict[str, Requirement] = {}
        self.out_of_scope: dict[str, str] = {}
        for number, line in enumerate(document.splitlines(), 1):
            try:
                self._read(line)
            except CatalogueError as error:
                raise CatalogueError(f"line {number}: {error}") from None

    def _read(self, line: str) -> None:
        if heading := _HEADING.fullmatch(line):
            self.areas[heading[1]] = heading[2]
        if not (row := _ROW.fullmatch(line)):
            if re.match(r"\|\s*[A-Za-z]+-?[0-9]", line):
                raise CatalogueError(f"no row of a table of requirements: {line}")
            return
        id, cells = row[1], [cell.strip() for cell in row[2].split("|")]
        if not all(cells):
            raise CatalogueError(f"{id} has an empty cell")
        if len(cells) == 1:
            if id not in self.requirements:
                raise CatalogueError(f"{id} is out of scope, but no requirement")
            self.out_of_scope[id] = cells[0]
        elif len(cells) != 4:
            raise CatalogueError(f"{id} has {len(cells) + 1} cells")
        else:
            requirement = Requirement(id, *cells)
            if id in self.requirements:
                raise CatalogueError(f"{id} appears twice")
            if requirement.area not in self.areas or requirement.area != list(self.areas)[-1]:
                raise CatalogueError(f"{id} does not stand under its area's heading")
            if requirement.level not in LEVELS or requirement.role not in ROLES:
                raise CatalogueError(f"{id} has an unknown level or role")
            self.requirements[id] = requirement

    @classmethod
    def load(cls, path: Path = CATALOGUE) -> Catalogue:
        return cls(path.read_text(encoding="utf-8"))


_MARKS = "smtpcore_requirement_marks"  # in what a process of pytest-xdist hands over


class Recorder:
    """The pytest plugin: checks the marks at collection, and writes down how the marked tests ended.

    Under pytest-xdist the processes that run the tests collect them, and hand the marks over to the process
    that gets all reports and writes the result.
    """

    def __init__(self, catalogue: Catalogue, destination: Path | None) -> None:
        self._catalogue = catalogue
        self._destination = destination
        self._marked: dict[str, tuple[str, ...]] = {}
        self._outcomes: dict[str, str] = {}

    @classmethod
    def register(cls, config: pytest.Config, catalogue: Path = CATALOGUE) -> None:
        """Add a recorder to a run. Nothing is written by a run without a cache (``-p no:cacheprovider``)."""
        destination: Path | None = None
        if given := os.environ.get(RESULT_VARIABLE):
            destination = Path(given)
        elif config.pluginmanager.has_plugin("cacheprovider"):
            destination = config.rootpath / RESULT
        config.pluginmanager.register(cls(Catalogue.load(catalogue), destination))

    # First of all plugins, so that a case deselected by -k or -m is known, and known not to have passed.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        wrong = []
        for item in items:
            ids: list[str] = []
            for mark in item.iter_markers("req"):
                wrong += [f"{item.nodeid}: {problem}" for problem in self._problems(mark)]
                ids += mark.args
            if ids:
                self._marked[item.nodeid] = tuple(map(str, ids))
        if wrong:
            raise pytest.UsageError("wrong requirement marks:", *sorted(set(wrong)))

    def _problems(self, mark: pytest.Mark) -> list[str]:
        if mark.kwargs or not mark.args:
            return ["req() takes one or more requirement ids"]
        problems = []
        for id in mark.args:
            if id not in self._catalogue.requirements:
                problems.append(f"{id!r} is not in the catalogue of requirements")
            elif id in self._catalogue.out_of_scope:
                problems.append(f"{id} is out of scope")
        return problems

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # setup, call and teardown are reported one by one: the worst of them counts.
        if report.failed or (hasattr(report, "wasxfail") and report.skipped):
            outcome = "failed"
        elif report.skipped or hasattr(report, "wasxfail"):
            outcome = "skipped"
        elif report.when == "call":
            outcome = "passed"
        else:
            return
        worst = ("failed", "skipped", "passed")
        before = self._outcomes.get(report.nodeid, outcome)
        self._outcomes[report.nodeid] = min(before, outcome, key=worst.index)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._marked.update(getattr(node, "workeroutput", {}).get(_MARKS, {}))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_MARKS] = self._marked
            return
        if self._destination is None or session.config.option.collectonly:
            return
        result = {
            "arguments": list(session.config.invocation_params.args),
            "exitstatus": int(exitstatus),
            "tests": {
                nodeid: {"ids": ids, "outcome": self._outcomes.get(nodeid, "not run")}
                for nodeid, ids in self._marked.items()
            },
        }
        self._destination.parent.mkdir(parents=True, exist_ok=True)
        self._destination.write_text(json.dumps(result, indent=1), encoding="utf-8")


class Report:
    """What a recorded run says about the catalogue.

    Attributes:
        proven: The ids that are proven.
        spoilt: For the marked ids that are not: the cases that prevent it, with how they ended.
    """

    def __init__(self, catalogue: Catalogue, result: Mapping[str, Any]) -> None:
        self.catalogue = catalogue
        self.result = result
        self.proven: set[str] = set()
        self.spoilt: dict[str, list[str]] = {}
        claims: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        for nodeid, test in result["tests"].items():
            function = nodeid.partition("[")[0]
            for id in test["ids"]:
                claims[id][function][nodeid] = test["outcome"]
        for id, functions in claims.items():
            holds = any(set(cases.values()) == {"passed"} for cases in functions.values())
            broken = any("failed" in cases.values() for cases in functions.values())
            if id not in catalogue.requirements or id in catalogue.out_of_scope:
                continue  # the catalogue has changed since that run
            if holds and not broken:
                self.proven.add(id)
            else:
                self.spoilt[id] = [
                    f"{nodeid} {outcome}"
                    for cases in functions.values()
                    for nodeid, outcome in cases.items()
                    if outcome != "passed"
                ]

    def state(self, id: str) -> str:
        if id in self.proven:
            return "proven"
        return "out-of-scope" if id in self.catalogue.out_of_scope else "not-yet"

    def count(self, state: str, area: str | None = None, level: str | None = None) -> int:
        return sum(
            self.state(one.id) == state and area in (None, one.area) and level in (None, one.level)
            for one in self.catalogue.requirements.values()
        )

    def _row(self, name: str, subject: str, area: str | None) -> str:
        states = [self.count(state, area) for state in ("proven", "not-yet", "out-of-scope")]
        musts = [self.count(state, area, "MUST") for state in ("proven", "not-yet", "out-of-scope")]
        must = f"{musts[0]}/{sum(musts)}"
        return f"{name:<6}{subject:<44.43}{must:>8}{states[0]:>9}{states[1]:>9}{states[2]:>14}"

    def table(self) -> list[str]:
        """The table by area, and one closing line."""
        lines = [f"{'area':<6}{'subject':<44}{'MUST':>8}{'proven':>9}{'not yet':>9}{'out of scope':>14}"]
        lines += [self._row(area, subject, area) for area, subject in self.catalogue.areas.items()]
        lines += [self._row("all", "", None), ""]
        if self.result["exitstatus"] != 0:
            lines.append(f"The run it comes from ended with exit status {self.result['exitstatus']}.")
        lines.append(
            f"{len(self.proven)} of {len(self.catalogue.requirements)} requirements proven"
            f" by {len(self.result['tests'])} marked tests"
        )
        return lines

    def listing(self, wanted: str, areas: Sequence[str] = ()) -> list[str]:
        """Every requirement in a state (or ``all``), with what stands in its way."""
        lines = []
        for one in self.catalogue.requirements.values():
            state = self.state(one.id)
            if wanted not in ("all", state) or (areas and one.area not in areas):
                continue
            lines.append(f"{one.id} {state:<13}{one.level:<7}{one.role:<7}{one.text} [{one.source}]")
            if one.id in self.catalogue.out_of_scope:
                lines.append(f"       out of scope: {self.catalogue.out_of_scope[one.id]}")
            lines += [f"       {obstacle}" for obstacle in self.spoilt.get(one.id, ())]
        return lines

    def missing_musts(self, areas: Sequence[str]) -> list[str]:
        """The MUSTs of these areas that are not proven, without those that the catalogue gives a reason for."""
        return [
            one.id
            for one in self.catalogue.requirements.values()
            if one.area in areas and one.level == "MUST" and self.state(one.id) == "not-yet"
        ]


def run_suite(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Run pytest in a process of its own; the recorded result, or None if it did not get that far."""
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder, "result.json")
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=ROOT,
            env={**os.environ, RESULT_VARIABLE: str(destination)},
            check=False,
        )
        return read_result(destination)


def read_result(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _areas(text: str) -> list[str]:
    return [area.strip().upper() for area in text.split(",") if area.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit status: 0; 1 when a gate or the run failed; 2 when there is nothing to report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.requirements", description="Which requirements the tests prove."
    )
    parser.add_argument("--last", action="store_true", help="report the last run instead of running the tests")
    parser.add_argument("--result", type=Path, metavar="FILE", help="report the run recorded in FILE")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument(
        "--list", choices=("proven", "not-yet", "out-of-scope", "all"), help="list the requirements, too"
    )
    parser.add_argument("--area", type=_areas, default=[], metavar="FRM,DAT", help="list these areas only")
    parser.add_argument("--require", type=int, default=0, metavar="N", help="fail if fewer are proven")
    parser.add_argument(
        "--require-must", type=_areas, default=[], metavar="FRM,DAT", help="fail unless all their MUSTs are"
    )
    parser.add_argument(
        "--except-must", type=_areas, default=[], metavar="RCP-05", help="MUSTs known not to be met"
    )
    parser.add_argument("pytest", nargs="*", metavar="-- PYTEST ARGUMENTS", help="passed on to pytest")
    options = parser.parse_args(arguments)
    catalogue = Catalogue.load(options.catalogue)
    if unknown := {*options.area, *options.require_must} - set(catalogue.areas):
        parser.error(f"no such area: {', '.join(sorted(unknown))}")
    if unknown := set(options.except_must) - set(catalogue.requirements):
        parser.error(f"no such requirement: {', '.join(sorted(unknown))}")

    if options.last or options.result:
        source = options.result or ROOT / RESULT
        result = read_result(source)
    else:
        source = "this run"
        result = run_suite(options.pytest)
    if result is None:
        print(f"There is no result to report in {source}: run pytest first.", file=sys.stderr)
        return 2

    report = Report(catalogue, result)
    if options.list:
        print("\n".join([*report.listing(options.list, options.area), ""]))
    print("\n".join(report.table()))
    status = int(result["exitstatus"] != 0)
    if len(report.proven) < options.require:
        print(f"FAILED: {options.require} proven requirements wanted")
        status = 1
    if met := [id for id in options.except_must if id in report.proven]:
        print(f"Proven by now, so no exception any more: {' '.join(met)}")
    if missing := [id for id in report.missing_musts(options.require_must) if id not in options.except_must]:
        print(f"FAILED: {len(missing)} MUSTs not proven: {' '.join(missing)}")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
