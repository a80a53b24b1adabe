"""Runs tests again and again, each time in a forked process with another mutant of one module.

``runs.Worker`` starts this file as a program, within a copy of the project. Importing pytest, the project and
the tests takes longer than most mutants live, so it is done once:

- A *warm* worker collects its tests once. A child gives the functions of the module the mutant's code, and runs
  them. This reaches what is within the body of a function only. What ran at the import stays unchanged.
- A *fresh* worker imports only what the tests need from elsewhere. A child imports the mutant in place of the
  module.

The quick tests run first, and before them the one that noticed the last mutant: neighbours tend to be noticed
by the same test.

The first argument is "warm" or "fresh", the others are those of pytest. Each line of the input is a ``Job`` in
JSON; each line of the output is the exit status of its tests (negative: the signal) and the seconds of
computing time.
"""

from __future__ import annotations

import asyncio  # noqa: F401 (what the tests need; each child would import it again)
import dataclasses
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import mmap
import os
import resource
import signal
import ssl  # noqa: F401
import sys
import types
from collections.abc import Iterator, Sequence

import hypothesis
import hypothesis.strategies
import pytest
import trio  # noqa: F401

NOT_POSSIBLE = 100  # the exit status if a warm worker cannot make the change
MOST_TESTS = 1 << 16
WAITING = 5  # times as long as it may compute, a mutant may take: the machine may be busy, but it has to end
MEMORY = 3 << 30  # octets that a mutant may use at most; an endless loop often collects something

# Hypothesis is imported before pytest can look at its assertions, which does not matter here.
ARGUMENTS = (
    *("-qx", "--tb=no", "--no-header", "-pno:cacheprovider", "-pno:xdist"),
    "-Wignore::pytest.PytestAssertRewriteWarning",
)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a child does.

    Attributes:
        module: The dotted name of a module.
        source: Its mutant; "" for the module as it is.
        seconds: Of computing time, after which it is stopped.
    """

    module: str
    source: str
    seconds: float


class Forks:
    """A plugin that reads jobs, and forks for each: a child goes on with its job, the parent with the next one.

    The first job is the module as it is, which tells how long each test takes.
    """

    def __init__(self) -> None:
        # pytest takes the standard streams away.
        self._jobs = os.fdopen(os.dup(0), encoding="utf-8")
        self._results = os.fdopen(os.dup(1), "w", encoding="utf-8")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        # Shared with the children: for each test, by its place in the collection, the seconds that it took in
        # the first child; after them how many tests there are, and the place of the one that has run last.
        self._shared = memoryview(mmap.mmap(-1, 8 * (MOST_TESTS + 2))).cast("d")
        self._order: list[int] = []
        self._places: dict[str, int] = {}

    def job(self) -> Job | None:
        """The job in a child; None in the parent, after the last one."""
        for line in self._jobs:
            job = Job(**json.loads(line))
            child = os.fork()
            if not child:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (int(job.seconds) + 1,) * 2)
                signal.alarm(int(job.seconds * WAITING) + 1)
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
                return job
            _, ended, used = os.wait4(child, 0)
            status = os.waitstatus_to_exitcode(ended)
            try:
                os.killpg(child, signal.SIGKILL)  # what its tests have started
            except ProcessLookupError:
                pass
            self._results.write(json.dumps([status, used.ru_utime + used.ru_stime]) + "\n")
            self._results.flush()
            if not self._order:
                self._order = sorted(range(int(self._shared[-2])), key=self._shared.__getitem__)
            elif status not in (0, NOT_POSSIBLE):
                place = int(self._shared[-1])
                self._order.remove(place)
                self._order.insert(0, place)
        return None

    def arrange(self, items: list[pytest.Item]) -> None:
        """In a child: put the tests in order."""
        self._places = {item.nodeid: place for place, item in enumerate(items)}
        self._shared[-2] = len(items)
        if len(items) == len(self._order):  # a mutant may change what tests are made of
            items[:] = [items[place] for place in self._order]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        # Nothing is to be read from a property that fails, so its first example will do.
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._shared[-1] = self._places[nodeid]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self._order:
            self._shared[self._places[report.nodeid]] += report.duration


def functions(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of all functions of a module and its classes, in order; not of functions within functions."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant
            else:  # the body of a class
                yield from functions(constant)


def swap(job: Job) -> bool:
    """Give the functions of an imported module the code of its mutant; False if that is not possible."""
    module = sys.modules.get(job.module)
    if module is None or module.__file__ is None:
        return False
    path = module.__file__
    with open(path, encoding="utf-8") as file:
        before = list(functions(compile(file.read(), path, "exec", dont_inherit=True)))
    after = list(functions(compile(job.source, path, "exec", dont_inherit=True)))
    if len(before) != len(after):
        return False
    wanted = {(old.co_qualname, old.co_firstlineno): new for old, new in zip(before, after, strict=True)}
    for function in gc.get_objects():
        if isinstance(function, types.FunctionType) and function.__code__.co_filename == path:
            code = function.__code__
            new = wanted.get((code.co_qualname, code.co_firstlineno))
            if new is not None:
                if new.co_freevars != code.co_freevars:
                    return False
                function.__code__ = new
    return True


class Warm(Forks):
    """Collects once, and then runs what was collected in a child for each job."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        job = self.job()
        if job is None:
            return True
        if job.source and not swap(job):
            os._exit(NOT_POSSIBLE)
        self.arrange(session.items)
        return None  # and pytest goes on


class Fresh(Forks, importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Collects in each child, in which the module is its mutant."""

    _job: Job

    def run(self, arguments: Sequence[str]) -> int:
        """In the parent: wait for all children. In a child: its exit status."""
        job = self.job()
        if job is None:
            return 0
        self._job = job
        sys.meta_path.insert(0, self)
        return int(pytest.main([*arguments], plugins=[self]))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.arrange(items)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._job.module or not self._job.source:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)
        assert found is not None
        assert found.origin is not None
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=self,
            submodule_search_locations=found.submodule_search_locations,
        )

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__file__ is not None
        exec(compile(self._job.source, module.__file__, "exec", dont_inherit=True), module.__dict__)


def main(kind: str, *tests: str) -> int:
    sys.path.insert(0, os.getcwd())
    arguments = [*ARGUMENTS, *tests]
    if kind == "warm":
        return int(pytest.main(arguments, plugins=[Warm()]))
    return Fresh().run(arguments)


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
