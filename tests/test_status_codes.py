"""Every reply that the package makes has a registered reply code and a registered enhanced status code.

The first part reads the source: a reply may be a constant of a module, be made in the middle of a function, or
be refused with. The second part reads what the server sends in all dialogs, however it was made.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import smtpcore
from smtpcore._core.codes import CODES, STATUSES

from .helpers.dialogs import Dialog, play, read_all

PACKAGE = Path(smtpcore.__file__).parent
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}

MAKERS = ("Reply", "sanitized", "reject")
STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# The functions that make a reply of a code or a status that is not written down there: it is the application's,
# that of a peer, or that of a reply that is written down elsewhere. The status of _bad_path() is a text in each
# of its calls.
PASSED_ON = frozenset("_bad_path _by_reply accept named read_reply reject send success with_hostname".split())


def is_registered(status: str) -> bool:
    return f"X.{status.partition('.')[2]}" in STATUSES


def offences(source: str) -> list[str]:
    """The codes of a module that are not registered, and the functions that should write a code down."""
    found: list[str] = []

    def look(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if STATUS.fullmatch(node.value) and not is_registered(node.value):
                found.append(f"line {node.lineno}: {node.value}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in MAKERS:
            code, status = (*node.args, None, None)[:2]
            if isinstance(code, ast.Constant) and isinstance(status, ast.Constant):
                if code.value not in CODES:
                    found.append(f"line {node.lineno}: {code.value}")
                if status.value is not None and int(status.value[0]) != code.value // 100:
                    found.append(f"line {node.lineno}: {status.value} with {code.value}")
            elif code is not None and function not in PASSED_ON:
                found.append(f"line {node.lineno}: a code that is not written down in {function}()")
        for child in ast.iter_child_nodes(node):
            look(child, function)

    look(ast.parse(source), "")
    return found


@pytest.mark.parametrize(
    "source, offence",
    [
        ('X = Reply(550, "5.9.9", "x")', "5.9.9"),
        ('def f(): raise Refused(Reply(599, None, "x"))', "599"),
        ('def f(): return Reply.sanitized(501, "5.99.4", x)', "5.99.4"),
        ('session.reject(550, "4.1.1", "x")', "4.1.1 with 550"),
        ('raise Refused(_bad_path(error, path, "5.1.99"))', "5.1.99"),
        ('status = "5.1.99" if x else "5.1.1"', "5.1.99"),
        ('def f(): Reply(code, "5.1.1", "x")', "a code that is not written down in f()"),
        ('def f(): Reply(550, status, "x")', "a code that is not written down in f()"),
    ],
)
def test_the_rule_finds_what_is_not_registered(source: str, offence: str) -> None:
    assert offences(source) == [f"line 1: {offence}"]


def test_the_rule_lets_a_registered_code_and_that_of_an_application_pass() -> None:
    assert offences('def reject(code, status): Reply(code, status, "x")\nReply(550, "5.1.1", "x")') == []


@pytest.mark.req("ESC-12")
@pytest.mark.parametrize("module", SOURCES)
def test_replies_of_the_package_have_registered_codes(module: str) -> None:
    assert offences(SOURCES[module]) == []


def unregistered(output: bytes) -> list[bytes]:
    """The lines of a server with a code that is not registered."""
    found = []
    for line in output.splitlines():
        match = re.match(rb"([0-9]{3})[ -](?:(([245])\.[0-9]+\.[0-9]+) )?", line)
        right = match is not None and int(match[1]) in CODES
        if match is not None and match[2] is not None:
            right = right and is_registered(match[2].decode()) and match[3] == match[1][:1]
        if not right:
            found.append(line)
    return found


def test_the_rule_finds_a_line_that_is_not_registered() -> None:
    lines = [b"250 2.1.0 ok", b"220 mx.example ESMTP", b"599 x", b"550 5.9.9 x", b"550 4.1.1 x", b"250-SIZE 1"]
    assert unregistered(b"\r\n".join(lines)) == lines[2:5]


@pytest.mark.req("ESC-12")
@pytest.mark.parametrize("dialog", [pytest.param(one, id=one.name) for one in read_all()])
def test_a_server_sends_registered_codes(dialog: Dialog) -> None:
    output = play(dialog).output
    assert unregistered(output) == []
