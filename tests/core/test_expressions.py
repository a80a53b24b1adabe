"""Every regular expression of the package is right on every Python, and linear on hostile input.

Two rules, read off the parsed expressions. Each is shown an offence first, so that a rule that finds nothing is
known to look.

* A group is never repeated possessively: CPython before 3.11.5 matches ``(?:...)*+`` wrongly if the group can
  backtrack (https://github.com/python/cpython/issues/106052). An atomic group around the repeat does the same
  and is right everywhere.
* Within a repeat there is one way to match: no inner repeat that could give back what it took, and no
  alternatives that begin with the same character. Otherwise a text that almost matches takes exponential time.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import smtpcore
from smtpcore._core import expressions as lazy
from smtpcore._core.expressions import Expression

ROOT = Path(__file__).resolve().parents[2]
sre: Any = importlib.import_module("re._parser")
BACKTRACKING = {"MAX_REPEAT", "MIN_REPEAT"}
REPEATS = BACKTRACKING | {"POSSESSIVE_REPEAT"}
CHARACTERS = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}
SAMPLE = [chr(code) for code in range(0x180)]


def parts(argument: object) -> Iterator[Any]:
    """The sub-expressions that stand directly in an argument of a parsed item."""
    if isinstance(argument, sre.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for one in argument:
            yield from parts(one)


def possessive_groups(tree: Any) -> list[str]:
    """The possessive repeats of anything but one character."""
    found = []
    for operation, argument in tree:
        if str(operation) == "POSSESSIVE_REPEAT":
            body = argument[2]
            if [str(inner) for inner, _ in body] not in [[name] for name in CHARACTERS]:
                found.append(f"possessive repeat of {body}")
        for part in parts(argument):
            found += possessive_groups(part)
    return found


def first_characters(tree: Any) -> set[str]:
    """The characters of the sample that a match of the expression can begin with."""
    found: set[str] = set()
    for operation, argument in tree:
        name = str(operation)
        if name in CHARACTERS:
            item = sre.SubPattern(tree.state, [(operation, argument)])
            one = re._compiler.compile(item)  # type: ignore[attr-defined]
            return found | {character for character in SAMPLE if one.fullmatch(character)}
        if name in REPEATS:
            least, _, body = argument
            found |= first_characters(body)
            if least:
                return found
        elif name == "BRANCH":
            return found.union(*(first_characters(one) for one in argument[1]))
        elif name in ("SUBPATTERN", "ATOMIC_GROUP"):
            body = argument if name == "ATOMIC_GROUP" else argument[-1]
            found |= first_characters(body)
            if body.getwidth()[0]:
                return found
    return found


def ambiguities(tree: Any, repeated: bool = False, bounded: bool = True) -> list[str]:
    """What can match in more than one way within a repeat.

    Args:
        tree: The parsed expression.
        repeated: It stands in a repeat.
        bounded: That repeat has an upper bound.
    """
    found = []
    for operation, argument in tree:
        name = str(operation)
        if name in REPEATS:
            least, most, body = argument
            endless = most is sre.MAXREPEAT
            if name in BACKTRACKING and repeated and least != most and (endless or not bounded):
                found.append(f"a repeat of {body} within a repeat")
            found += ambiguities(body, repeated or most > 1, bounded and not endless)
            continue
        if name == "BRANCH" and not bounded:
            seen: set[str] = set()
            for alternative in argument[1]:
                begins = first_characters(alternative)
                if seen & begins:
                    found.append(f"alternatives that begin alike: {argument[1]}")
                seen |= begins
        # An atomic group gives nothing back to the repeat around it.
        for part in parts(argument):
            found += ambiguities(part, repeated and name != "ATOMIC_GROUP", bounded or name == "ATOMIC_GROUP")
    return found


def offences(expression: str | bytes, flags: int = 0) -> list[str]:
    tree = sre.parse(expression, flags & ~re.UNICODE)
    return possessive_groups(tree) + ambiguities(tree)


def expressions() -> dict[str, re.Pattern[Any] | Expression]:
    found = {}
    for info in pkgutil.walk_packages(smtpcore.__path__, "smtpcore."):
        if not info.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(info.name)).items():
                if isinstance(value, (re.Pattern, Expression)):
                    found[f"{info.name}.{name}"] = value
    return found


EXPRESSIONS = expressions()


@pytest.mark.parametrize(
    "expression",
    [
        r"a(?:b|bc)*+d",
        r"(?:a+b)?+",
        r"x(?:(?:ab)*+c)",
        r"(?:a+)+b",
        r"(?:a+\.?)+b",
        r"(?:a*){2}b",
        r"(?:ab?)*c",
        r"(?:(?:ab)*c?)*d",
        r"(?:[ab]x|a)*y",
        r"(?:\w|-x|_y)*z",
    ],
)
def test_the_check_of_expressions_finds_an_offence(expression: str) -> None:
    assert offences(expression)


@pytest.mark.parametrize(
    "expression",
    [r"a++(?>(?:\.a++)*)", r"(?>(?:a|bc)*)d", r"[01]?[0-9]?[0-9]", r"(?:[01]?[0-9]){4}", r"a*b"],
)
def test_the_check_of_expressions_accepts_good_ones(expression: str) -> None:
    assert not offences(expression)


def test_the_expressions_of_the_package_are_found() -> None:
    assert len(EXPRESSIONS) > 30


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_no_expression_is_matched_wrongly_or_slowly(name: str) -> None:
    expression = EXPRESSIONS[name]
    assert offences(expression.pattern, expression.flags) == []


# -- compiled when used first --


def test_an_expression_is_compiled_when_it_is_used_first(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_ = re.compile

    def spy(pattern: Any, flags: Any = 0) -> Any:
        compiled.append((pattern, flags))
        return compile_(pattern, flags)

    monkeypatch.setattr(re, "compile", spy)
    digits, letters = lazy.expression(r"([0-9]+)"), lazy.expression(rb"([a-z])", re.IGNORECASE)
    assert (digits.pattern, digits.flags, letters.pattern, letters.flags) == (
        r"([0-9]+)",
        0,
        rb"([a-z])",
        re.IGNORECASE,
    )
    assert compiled == []
    assert digits.fullmatch("12") and not digits.fullmatch("x") and digits.sub("n", "a1b22") == "anbn"
    assert compiled == [(r"([0-9]+)", 0)]
    match = letters.search(b"1B2")
    assert match is not None and match[0] == b"B" and letters.split(b"1b2") == [b"1", b"b", b"2"]
    assert len(compiled) == 2


def test_an_expression_has_the_methods_of_a_pattern_and_no_others() -> None:
    made = Expression("a", 0)
    assert not hasattr(made, "no_such_method")
    assert not hasattr(made, "__deepcopy__")
    assert "match" not in vars(made)


def test_to_import_the_package_compiles_nothing_large() -> None:
    """The grammar of paths takes longer to compile than everything else that an import does."""
    probe = """
import smtpcore
from smtpcore._core import grammar
from smtpcore._core.expressions import Expression
print(*[name for name, one in vars(grammar).items() if isinstance(one, Expression) and "match" in vars(one)])
"""
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", probe],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["EHLO_KEYWORD", "MECHANISM"]  # the names of the standard extensions
