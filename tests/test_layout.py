"""The shape of the project: which module may import which, and what may stand where.

The rules are functions from source text to offences, so that each can be shown an offence first: a rule that
never finds anything is not a rule. Then the project has to be without offences.
"""

from __future__ import annotations

import ast
import fnmatch
import graphlib
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import smtpcore

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "smtpcore"

# A folder is a floor, and an import points down this list, never up. The connections of the core stand above
# ``sasl``, whose steps they run. On one floor modules may import each other, but not in a circle; those of one
# group of SIDEWAYS do not know each other. Nothing imports the package itself.
FLOORS = (
    (
        "_version _core.codes _core.errors _core.expressions _core.grammar _core.headerfields _core.limits"
        " _core.printable _core.public"
    ),
    "_core.addresses _core.parameters _core.replies _core.receivebuffer _core.content _core.secrets",
    (
        "_core.capabilities _core.clientchecks _core.commands _core.commandspec _core.config _core.credit"
        " _core.events _core.failures _core.replyparser _core.replytexts _core.rules _core.state"
    ),
    "sasl",
    "extensions state",
    (
        "_core.auth _core.client _core.rejectedlines _core.server _core.servercontent _core.serverreplies"
        " _core.service _core.tally"
    ),
    "message trace",
    "_net transcript handlers",
    "sync asyncio trio stream",
    "maildir testing _check _pytest_plugin",
    "_cli __main__",
    "__init__",
)
SIDEWAYS = ({"_core.server", "_core.client"}, {"sync", "asyncio", "trio"})
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules.split()}
NEUTRAL = {"_core"}  # packages whose own __init__ is empty

ADAPTERS = ("sync", "asyncio", "trio")
CORE = ("_core", "extensions", "sasl", "state", "message", "proxy", "trace")

# The core has neither I/O nor a clock; importing it must not cost what these cost, either.
NOT_IN_THE_CORE = frozenset(
    "asyncio concurrent datetime http logging multiprocessing os pathlib queue sched select selectors shutil"
    " signal smtplib socket socketserver ssl subprocess tempfile threading time trio urllib".split()
)
# Dates are values to these, and the header of a message has one.
DATES_ARE_VALUES = ("_core.parameters", "message", "trace")
# The only modules that may import what Python does not come with.
THIRD_PARTY = {
    "trio": {"trio"},
    "_cli.serving": {"trio"},
    "testing": {"hypothesis", "pytest", "trio"},
    "_pytest_plugin": {"pytest"},
}

VERBS = "AUTH BDAT DATA EHLO EXPN HELO HELP LHLO MAIL NOOP QUIT RCPT RSET STARTTLS VRFY".split()
CODES = (
    "211 214 220 221 235 250 251 252 334 354 421 432 450 451 452 454 455 458 459 500 501 502 503 504 521"
    " 523 530 534 535 538 550 551 552 553 554 555 556".split()
)
SUPPRESSION = re.compile(r"#\s*(?:type:\s*ignore|pyright:\s*ignore|noqa|pragma)")
SUPPRESSIONS = 4

TOP_LEVEL = frozenset("CHANGELOG.md LICENSE README.md docs examples pyproject.toml smtpcore tests".split())
# Written so that they do not find themselves.
OUTSIDE = re.compile(r"/wor[k]/|/far[m]/|/roo[t]/|/tmp/(?:brie[f]|ven[v])|\.\./share[d]")

SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def module_of(path: Path) -> str:
    """The dotted name of a module within the package, ``__init__`` for the package itself."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): source for path, source in SOURCES.items()}
every_module = pytest.mark.parametrize("module", MODULES)


# -- imports --


def floor_of(module: str) -> int | None:
    """The floor of a module: its own, or that of the folder it stands in."""
    while module not in FLOOR_OF and "." in module:
        module = module.rpartition(".")[0]
    return FLOOR_OF.get(module)


def imports_of(module: str, source: str, *, for_types: bool) -> Iterator[str]:
    """The dotted names that a module imports, as ``smtpcore.x`` within the package.

    An import inside a function is an import: laziness changes when a module is loaded, not which modules depend
    on which.

    Args:
        module: Its dotted name within the package; relative imports start from it.
        source: Its text.
        for_types: Also those for type checkers only.
    """
    folder = ["smtpcore", *module.split(".")]
    if module == "__init__" or not (PACKAGE / module.replace(".", "/") / "__init__.py").exists():
        folder.pop()
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_types:
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            inner = base.split(".")[0] == "smtpcore"
            yield from (f"{base}.{alias.name}" if inner else base for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def inner_imports(module: str, source: str, *, for_types: bool = True) -> set[str]:
    """The modules of the package that a module imports, but for itself."""
    modules = set()
    for name in imports_of(module, source, for_types=for_types):
        if name.split(".")[0] == "smtpcore":
            target = name.partition(".")[2] or "__init__"
            while target not in MODULES and floor_of(target) is None:
                target = target.rpartition(".")[0] or "__init__"
            if target not in MODULES and target not in FLOOR_OF:
                target = target.rpartition(".")[0]
            modules.add(target)
    return modules - {module} - NEUTRAL


def outer_imports(module: str, source: str) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(module, source, for_types=False)} - {"smtpcore"}


def import_offences(module: str, source: str) -> list[str]:
    """What a module imports that its floor does not allow."""
    offences = []
    here = floor_of(module)
    for target in sorted(inner_imports(module, source, for_types=False)):
        there = floor_of(target)
        if here is None or there is None or there > here:
            offences.append(f"{module} imports {target}, which is above it")
        if any({module, target} <= group for group in SIDEWAYS):
            offences.append(f"{module} imports {target} beside it")
    if module.split(".")[0] in CORE:
        forbidden = NOT_IN_THE_CORE - ({"datetime"} if module.startswith(DATES_ARE_VALUES) else set())
        names = outer_imports(module, source) & forbidden
        offences += [f"{module} imports {name}: I/O or a clock" for name in names]
    allowed = THIRD_PARTY.get(module, THIRD_PARTY.get(module.split(".")[0], set()))
    strangers = outer_imports(module, source) - sys.stdlib_module_names - allowed
    offences += [f"{module} imports {name}: a dependency" for name in strangers]
    return offences


@pytest.mark.parametrize(
    "module, source, offence",
    [
        (
            "_core.grammar",
            "from .replies import Reply",
            "_core.grammar imports _core.replies, which is above it",
        ),
        ("_core.state", "from .. import Reply", "_core.state imports __init__, which is above it"),
        ("_core.state", "import smtpcore", "_core.state imports __init__, which is above it"),
        ("_core.state", "import smtpcore.sasl", "_core.state imports sasl, which is above it"),
        (
            "_core.state",
            "def f():\n    from smtpcore._core.server import x",
            "_core.state imports _core.server, which is above it",
        ),
        ("_net.client", "from .. import sync", "_net.client imports sync, which is above it"),
        ("_cli.main", "from .. import __version__", "_cli.main imports __init__, which is above it"),
        ("sync", "from .asyncio import connect", "sync imports asyncio beside it"),
        ("_core.server", "from .client import x", "_core.server imports _core.client beside it"),
        ("_core.content", "import time", "_core.content imports time: I/O or a clock"),
        ("sasl", "from logging import getLogger", "sasl imports logging: I/O or a clock"),
        ("message", "import socket", "message imports socket: I/O or a clock"),
        ("_net.client", "import anyio", "_net.client imports anyio: a dependency"),
        ("sync", "import trio", "sync imports trio: a dependency"),
        (
            "__init__",
            "if TYPE_CHECKING: pass\nelse:\n    import socks",
            "__init__ imports socks: a dependency",
        ),
    ],
)
def test_the_rule_finds_a_wrong_import(module: str, source: str, offence: str) -> None:
    assert offence in import_offences(module, source)


@pytest.mark.parametrize(
    "module, source",
    [
        ("_core.limits", "from .errors import x\nfrom .grammar import y"),
        ("_core.errors", "if TYPE_CHECKING:\n    from .replies import Reply\n    import ssl"),
        ("_core.server", "from ..sasl import x\nimport io, re"),
        ("_net.client", "from .._core.client import ClientConnection\nimport ssl, time"),
        ("trio", "import trio\nfrom ._net import client"),
        ("message", "import email, datetime"),
        ("_cli.main", "def f():\n    from .. import asyncio, sync, trio"),
        ("testing", "import hypothesis\nfrom .testing.peers import x"),
    ],
)
def test_the_rule_allows_a_right_import(module: str, source: str) -> None:
    assert import_offences(module, source) == []


def test_every_module_has_a_floor() -> None:
    assert [module for module in MODULES if module not in NEUTRAL and floor_of(module) is None] == []


@every_module
def test_imports_point_down(module: str) -> None:
    assert module in NEUTRAL or import_offences(module, MODULES[module]) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for type checkers count."""
    graph = {module: inner_imports(module, source, for_types=True) for module, source in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


def modules_loaded_by(statement: str) -> set[str]:
    # -S keeps site-packages, and the modules that its .pth files import, out of the result.
    probe = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", probe],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_trace_fields_are_written_without_the_email_package() -> None:
    loaded = modules_loaded_by("import smtpcore.trace")
    assert "smtpcore.trace" in loaded
    assert {name for name in loaded if name.partition(".")[0] == "email"} == set()


def test_importing_the_core_is_cheap_and_pulls_in_no_io() -> None:
    loaded = modules_loaded_by("import smtpcore")
    assert "smtpcore" in loaded
    heavy = {"asyncio", "email", "logging", "socket", "ssl", "threading", "trio"}
    assert {name for name in loaded if name.partition(".")[0] in heavy} == set()
    inner = {name.partition(".")[2].partition(".")[0] for name in loaded if name.startswith("smtpcore.")}
    assert inner <= {"_version", *CORE, "_net"} - {"message"}
    # The public errors and results of the conversations, without the conversations.
    net = {name for name in loaded if name.startswith("smtpcore._net.")}
    assert net == {"smtpcore._net.errors", "smtpcore._net.results"}
    assert {name.partition(".")[0] for name in loaded} <= sys.stdlib_module_names | {"smtpcore"}


# -- adapters --


def smtp_in(source: str) -> list[str]:
    """SMTP verbs and reply codes in the code of a module: not in its comments, and not in its docstrings."""
    docstrings = {
        (node.value.lineno, node.value.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or token.start in docstrings:
            continue
        for word in re.findall(r"[A-Za-z]+|[0-9.]+", token.string):
            # A verb in upper case, as it is on the wire, or under the name of its event class.
            is_verb = word in VERBS or (token.type == tokenize.NAME and is_event_class(token.string))
            if is_verb or word in CODES:
                found.append(f"line {token.start[0]}: {token.line.strip()}")
    return found


def is_event_class(name: str) -> bool:
    return name.upper() in VERBS and name[0].isupper()


@pytest.mark.parametrize(
    "line",
    [
        'write(b"QUIT\\r\\n")',
        'x = "250 OK"',
        "if reply.code == 421: pass",
        "send(Mail(sender))",
        "from . import StartTls",
        'f"{x} RCPT"',
        "VERB = EHLO",
    ],
)
def test_the_rule_finds_smtp_in_an_adapter(line: str) -> None:
    assert smtp_in(line + "\n") == [f"line 1: {line}"]


def test_the_rule_lets_words_about_smtp_and_ordinary_names_pass() -> None:
    assert (
        smtp_in('''\
"""Reads until the 250 of QUIT."""
# EHLO comes later
def start_tls(data, help, limit=2500, timeout=250.5):
    """Called behind the 220 of STARTTLS."""
    return mail(data, "starttls", "data", "auth")
''')
        == []
    )


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_contains_no_smtp(adapter: str) -> None:
    assert smtp_in(SOURCES[PACKAGE / f"{adapter}.py"]) == []


# -- the tree --


def files() -> Iterator[Path]:
    """The files of the project, those of its tools that it ignores not among them."""
    ignored = ignored_names()
    for name in sorted(path.name for path in ROOT.iterdir()):
        if name == ".git" or any(fnmatch.fnmatch(name, pattern) for pattern in ignored):
            continue
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and not any(
                fnmatch.fnmatch(part, pattern) for part in parts for pattern in ignored
            ):
                yield path


def ignored_names() -> list[str]:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    return [line.strip("/") for line in lines if line and not line.startswith("#")]


def test_the_top_level_holds_what_the_layout_names() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in files()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_nothing_refers_to_a_place_outside_the_project() -> None:
    assert OUTSIDE.search("see ../share" + "d/notes")
    offences = []
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        offences += [f"{path.relative_to(ROOT)}: {match[0]}" for match in OUTSIDE.finditer(text)]
    assert offences == []


def test_tools_are_hardly_ever_told_to_look_away() -> None:
    assert SUPPRESSION.search("x = y  # type" + ": ignore[misc]")
    places = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, source in SOURCES.items()
        for number, line in enumerate(source.splitlines(), 1)
        if SUPPRESSION.search(line)
    ]
    assert len(places) <= SUPPRESSIONS, places


def test_the_metadata_and_the_package_give_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == smtpcore.__version__


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").read_bytes() == b""
