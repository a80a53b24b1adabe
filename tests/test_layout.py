"""The shape of the project: who may import whom, and what may stand where.

The rules are functions from source text to offences, so that each can be shown an offence first: a rule that
finds nothing anywhere is no rule. The project then has to be without any.
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
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "smtpcore"

# An import points down this list, never up. On one floor modules may use each other, if not in a circle, but
# those of one group of SIDEWAYS do not know each other. A new module has to be given its floor here.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"_errors", "_grammar", "_limits"}),
    frozenset({"_addresses", "_parameters", "_replies", "_receivebuffer", "_content"}),
    frozenset({"_extensions", "_events", "_commands", "_state"}),
    frozenset({"_server", "_client", "_results", "sasl", "proxy", "message"}),
    frozenset({"__init__"}),
    frozenset({"_flows", "_hints", "_sessions", "_streams", "handlers", "transcript"}),
    frozenset({"sync", "asyncio", "trio"}),
    frozenset({"testing", "maildir", "_annotator"}),
    frozenset({"_cli_common", "_cli_serve", "_cli_send", "_demo_certificate", "_demo", "_cli", "__main__"}),
)
SIDEWAYS = (frozenset({"_server", "_client"}), frozenset({"sync", "asyncio", "trio"}))
FLOOR_OF = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ADAPTERS = ("sync", "asyncio", "trio")
CORE = frozenset[str]().union(*FLOORS[:4])

# The core has neither I/O nor a clock; importing it must not cost what these cost, either.
NOT_IN_THE_CORE = frozenset(
    "asyncio concurrent datetime http logging multiprocessing os pathlib queue sched select selectors shutil"
    " signal smtplib socket socketserver ssl subprocess tempfile threading time trio urllib".split()
)
# Dates are values to these two, and the header of a message has one.
ALLOWED_ALL_THE_SAME = {"_parameters": frozenset({"datetime"}), "message": frozenset({"datetime"})}
# The only modules that may import what Python does not come with.
THIRD_PARTY = {"trio": {"trio"}, "_cli_serve": {"trio"}, "testing": {"hypothesis", "pytest", "trio"}}

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
    """The module, or for the modules of a subpackage that subpackage, as it stands in FLOORS."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


every_module = pytest.mark.parametrize("path", [pytest.param(path, id=module_of(path)) for path in SOURCES])


# -- imports --


def imports_of(source: str) -> Iterator[str]:
    """The dotted names a module imports, as ``smtpcore.x`` within the package.

    What is imported for type checkers only is left out. An import inside a function is an import: laziness
    changes when a module is loaded, not who depends on whom.
    """
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["smtpcore" if node.level else "", node.module]))
            if base == "smtpcore":
                yield from (f"smtpcore.{alias.name}" for alias in node.names)
            else:
                yield base
        pending.extend(ast.iter_child_nodes(node))


def inner_imports(source: str) -> set[str]:
    """The modules of the package that a module imports; a name that is no module comes from ``__init__``."""
    modules = set()
    for name in imports_of(source):
        first, _, rest = f"{name}.".partition(".")
        if first == "smtpcore":
            module = rest.partition(".")[0]
            modules.add(module if module in FLOOR_OF else "__init__")
    return modules


def outer_imports(source: str) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(source)} - {"smtpcore"}


def import_offences(module: str, source: str) -> list[str]:
    """What a module imports that its floor does not allow."""
    offences = []
    for target in sorted(inner_imports(source) - {module}):
        if FLOOR_OF[target] > FLOOR_OF[module]:
            offences.append(f"{module} imports {target}, which is above it")
        if any({module, target} <= group for group in SIDEWAYS):
            offences.append(f"{module} imports {target} beside it")
    if module == "__init__":
        offences += [f"the package imports {name}" for name in inner_imports(source) - CORE - {"__init__"}]
    if module in CORE:
        forbidden = NOT_IN_THE_CORE - ALLOWED_ALL_THE_SAME.get(module, frozenset())
        offences += [f"{module} imports {name}: I/O or a clock" for name in outer_imports(source) & forbidden]
    strangers = outer_imports(source) - sys.stdlib_module_names - THIRD_PARTY.get(module, set())
    offences += [f"{module} imports {name}: a dependency" for name in strangers]
    return offences


@pytest.mark.parametrize(
    "module, source, offence",
    [
        ("_grammar", "from ._replies import Reply", "_grammar imports _replies, which is above it"),
        ("_state", "from . import Reply", "_state imports __init__, which is above it"),
        ("_state", "import smtpcore", "_state imports __init__, which is above it"),
        ("_state", "import smtpcore.sasl", "_state imports sasl, which is above it"),
        (
            "_state",
            "def f():\n    from smtpcore._server import x",
            "_state imports _server, which is above it",
        ),
        ("_flows", "from . import sync", "_flows imports sync, which is above it"),
        ("sync", "from .asyncio import connect", "sync imports asyncio beside it"),
        ("_server", "from ._client import x", "_server imports _client beside it"),
        ("__init__", "from . import sasl as sasl, sync", "__init__ imports sync, which is above it"),
        ("_content", "import time", "_content imports time: I/O or a clock"),
        ("sasl", "from logging import getLogger", "sasl imports logging: I/O or a clock"),
        ("message", "import socket", "message imports socket: I/O or a clock"),
        ("_flows", "import anyio", "_flows imports anyio: a dependency"),
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
        ("_limits", "from ._errors import x\nfrom ._grammar import y"),
        ("_errors", "if TYPE_CHECKING:\n    from ._replies import Reply\n    import ssl"),
        ("_server", "from .sasl import x\nimport io, re"),
        ("_flows", "from . import ServerConnection\nimport ssl, time"),
        ("trio", "import trio\nfrom . import _flows"),
        ("message", "import email, datetime"),
        ("_cli", "def f():\n    from . import asyncio, sync, trio"),
        ("testing", "import hypothesis\nfrom .testing.peers import x"),
    ],
)
def test_the_rule_allows_a_right_import(module: str, source: str) -> None:
    assert import_offences(module, source) == []


def test_every_module_has_a_floor() -> None:
    assert {module_of(path) for path in SOURCES} <= set(FLOOR_OF)


@every_module
def test_imports_point_down(path: Path) -> None:
    assert import_offences(module_of(path), SOURCES[path]) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path, source in SOURCES.items():
        graph.setdefault(module_of(path), set()).update(inner_imports(source) - {module_of(path)})
    graphlib.TopologicalSorter(graph).prepare()


def test_importing_the_core_is_cheap_and_pulls_in_no_io() -> None:
    # -S keeps site-packages, and whatever its .pth files import, out of the picture.
    probe = "import sys; before = set(sys.modules); import smtpcore; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", probe],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "smtpcore" in loaded
    heavy = {"asyncio", "email", "logging", "socket", "ssl", "threading", "trio"}
    assert {name for name in loaded if name.partition(".")[0] in heavy} == set()
    assert {name for name in loaded if name.startswith("smtpcore.")} <= {f"smtpcore.{name}" for name in CORE}
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


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").read_bytes() == b""
