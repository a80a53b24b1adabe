"""The command: samples of mutants of whole packages, and the score of each package.

    python -m tests.mutate                                    # all packages of the table
    python -m tests.mutate smtpcore/sasl                      # one
    python -m tests.mutate smtpcore/_core/state.py --seed 7   # a module
    python -m tests.mutate --again LOG                        # the survivors of an earlier output

A mutant that no test notices is printed, with its line before and after. It is equivalent, and then
``equivalents.txt`` can list it with the reason, or a test is missing. The score of a package is the percentage
of mutants that were noticed, without those that are listed. The exit status is 1 if a package has less than
``WANTED`` says, and 2 if the tests fail without a change.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .changes import Mutant, mutants
from .runs import Outcome, Sample, TestsFailError
from .table import ROOT, WANTED, equivalents, modules_of, outdated, stages_of

_printing = threading.Lock()


def _module(
    copied: Path, module: Path, sample: Sequence[Mutant], stages: Sequence[Sequence[str]]
) -> Counter[Outcome]:
    """Run the sample of one module, and print what survived."""
    counts: Counter[Outcome] = Counter()
    survived = []
    with Sample(copied, module, stages, list(equivalents().get(str(module), ()))) as run:
        for mutant in sample:
            outcome = run.outcome(mutant)
            counts[outcome] += 1
            if outcome is Outcome.SURVIVED:
                survived.append(f"  {mutant.line}: {mutant.what}")
    survived += [
        f"  listed, but the line has changed: {change}"
        for change in outdated(str(module), (copied / module).read_text(encoding="utf-8"))
    ]
    with _printing:
        print(f"{module}: {_counted(counts)}", *survived, sep="\n", flush=True)
    return counts


def _survivors(output: str) -> dict[str, set[str]]:
    """The changes that an earlier run printed, by module."""
    found: dict[str, set[str]] = {}
    module = ""
    for line in output.splitlines():
        number, _, change = line.strip().partition(": ")
        if not line.startswith(" "):
            module = number
        elif number.isdigit():
            found.setdefault(module, set()).add(change)
    return found


def _counted(counts: Counter[Outcome]) -> str:
    parts = [f"{counts[one]} {one.value}" for one in Outcome if counts[one] or one is Outcome.KILLED]
    return f"{', '.join(parts)} of {counts.total()}"


def score(counts: Counter[Outcome]) -> float:
    """The percentage of mutants that were noticed, without those that are equivalent."""
    counted = counts.total() - counts[Outcome.EQUIVALENT]
    return 100 * counts[Outcome.KILLED] / counted if counted else 100.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print survivors and scores. The exit status is 0, or 1 for a low score, or 2 if tests fail anyway."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description="Mutation samples and scores.")
    parser.add_argument("paths", type=Path, nargs="*", default=[Path(one) for one in WANTED])
    parser.add_argument("--sample", type=int, default=40, help="how many mutants of each module")
    parser.add_argument("--seed", type=int, help="of the samples; by default a new one is drawn")
    parser.add_argument("--jobs", type=int, default=1, help="how many modules at a time")
    parser.add_argument("--tests", nargs="+", help="in place of those of the table")
    parser.add_argument(
        "--stages", type=int, help="of tests; with 1 only the narrow ones: survivors are candidates"
    )
    parser.add_argument("--again", type=Path, metavar="LOG", help="run only the survivors of an earlier output")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    survivors = _survivors(options.again.read_text(encoding="utf-8")) if options.again else {}
    modules = [module for path in options.paths for module in modules_of(path)]
    if options.again:
        modules = [module for module in modules if str(module) in survivors]
    totals: dict[str, Counter[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        copied = Path(folder, "copy")
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        running = []
        for module in modules:
            stages = [options.tests] if options.tests else stages_of(module)[: options.stages]
            source = (copied / module).read_text(encoding="utf-8")
            if options.again:
                sample = [one for one in mutants(source) if one.what in survivors.get(str(module), ())]
            else:
                sample = mutants(source, options.sample, seed)
            running.append(pool.submit(_module, copied, module, sample, stages))
        try:
            for module, run in zip(modules, running, strict=True):
                totals.setdefault(str(module.parent), Counter()).update(run.result())
        except TestsFailError as error:
            pool.shutdown(cancel_futures=True)
            print(error, file=sys.stderr)
            return 2
    print(f"seed {seed}, {options.sample} a module")
    low = False
    for package, counts in totals.items():
        wanted = WANTED.get(package, 0)
        print(f"{package}: {score(counts):.1f} % ({_counted(counts)}), wanted {wanted} %")
        low |= score(counts) < wanted
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
