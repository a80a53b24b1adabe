"""Write docs/reference/ from signatures and docstrings: ``python -m tests.write_reference``.

One page for each public module: the package itself, and each module of it whose name has no leading underscore.
A new module gets a page without a change here. A page shows the ``__all__`` of its module, in that order.

Pages must be equal on every supported Python, so annotations are shown as they are written in the source, and
what the standard library makes (docstrings of dataclasses, the constructors of enumerations) is left out.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import smtpcore
import smtpcore.testing

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
STANDARD_EXTENSIONS = FOLDER / "standard-extensions.md"  # python -m tests.list_extensions writes it
CONFORMANCE = FOLDER / "conformance.md"  # python -m tests.check.write_conformance writes it

SECTIONS = ("Args", "Attributes", "Example", "Examples", "Note", "Raises", "Returns", "Yields")
GENERATED = "Written by `python -m tests.write_reference`; a test holds it current."


def public_modules() -> list[str]:
    """List the dotted names of the public modules: the package first, then the others in alphabetical order.

    The modules of ``smtpcore.testing`` are public by themselves, as they need other packages.
    """
    names = [module.name for module in pkgutil.iter_modules(smtpcore.__path__, "smtpcore.")]
    names += [module.name for module in pkgutil.iter_modules(smtpcore.testing.__path__, "smtpcore.testing.")]
    return ["smtpcore", *sorted(name for name in names if "._" not in name)]


def page_of(module: str) -> Path:
    """Say where the page of a module is."""
    return FOLDER / f"{module.removeprefix('smtpcore.')}.md"


def public_names(module: types.ModuleType) -> list[str]:
    """List what a module makes public: its ``__all__``, or what it defines without a leading underscore."""
    names = getattr(module, "__all__", None)
    if names is not None:
        return list(names)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


# -- docstrings --


def docstring(value: object) -> str:
    """Give the docstring that stands in the source of a value, with its indentation removed."""
    text = inspect.cleandoc(value.__doc__ or "")
    name = getattr(value, "__name__", "")
    # A dataclass without a docstring gets its signature as one, which Python versions write differently.
    return "" if text.startswith(f"{name}(") else text


def in_markdown(text: str) -> str:
    """Turn a docstring into Markdown: sections become lists, literals become code."""
    blocks = []
    lines = text.splitlines()
    while lines:
        line = lines.pop(0)
        if line.rstrip(":") in SECTIONS and line.endswith(":") and lines and lines[0].startswith(" "):
            body = []
            while lines and (not lines[0] or lines[0].startswith(" ")):
                body.append(lines.pop(0))
            blocks.append(section(line.rstrip(":"), textwrap.dedent("\n".join(body)).strip()))
        else:
            blocks.append(line if line.startswith("    ") else prose(line))
    return "\n".join(blocks).strip()


def section(title: str, body: str) -> str:
    """Turn a section of a docstring into a heading and, if it names things, a list."""
    if title.startswith("Example"):
        return f"**{title}**\n\n```python\n{inspect.cleandoc(body.removeprefix('::'))}\n```\n"
    items = re.split(r"\n(?=\S)", body)
    if title in ("Args", "Attributes", "Raises") and all(re.match(r"[\w*., ]+:", item) for item in items):
        rows = []
        for item in items:
            name, _, meaning = item.partition(":")
            if "\n\n" in meaning:  # paragraphs or a list: they stay, indented as a part of this row
                rows.append(f"- `{name}`: {prose(textwrap.indent(inspect.cleandoc(meaning), '  ').strip())}")
            else:
                rows.append(f"- `{name}`: {prose(' '.join(meaning.split()))}")
        return f"**{title}**\n\n" + "\n".join(rows) + "\n"
    return f"**{title}**\n\n{prose(body)}\n"


def prose(text: str) -> str:
    """Mark literals as code, and keep angle brackets outside of them from being read as HTML.

    Lists and emphasis are written in docstrings as in Markdown.
    """
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


# -- signatures --


def annotation(value: object) -> str:
    """Give an annotation as it is written in the source, without the names of private modules."""
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    return re.sub(r"\b(?:(?:smtpcore|_\w+)\.(?:[a-z_]\w*\.)*|(?:typing|collections\.abc)\.)", "", text)


def default(value: object) -> str:
    """Give a default in a form that is the same in each run."""
    if isinstance(value, enum.Enum):
        return str(value)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def signature(function: Any) -> str:
    """Write a signature, one parameter a line if it is long."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    parameters = []
    kinds = [one.kind for one in found.parameters.values()]
    for number, one in enumerate(found.parameters.values()):
        if number == 0 and one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not {one.KEYWORD_ONLY, one.VAR_POSITIONAL} & set(kinds[:number]):
            parameters.append("*")
        text = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "") + one.name
        if one.annotation is not one.empty:
            text += f": {annotation(one.annotation)}"
        if one.default is not one.empty:
            text += f" = {default(one.default)}" if ":" in text else f"={default(one.default)}"
        parameters.append(text)
        last = number == len(kinds) - 1
        if one.kind is one.POSITIONAL_ONLY and (last or kinds[number + 1] is not one.POSITIONAL_ONLY):
            parameters.append("/")
    returns = "" if found.return_annotation is found.empty else f" -> {annotation(found.return_annotation)}"
    short = f"({', '.join(parameters)}){returns}"
    if len(short) <= 80:
        return short
    return "(\n" + "".join(f"    {one},\n" for one in parameters) + f"){returns}"


# -- pages --


def is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "smtpcore"


@functools.cache
def public_classes() -> frozenset[type]:
    """Give the classes that have an entry of their own."""
    modules = [importlib.import_module(name) for name in public_modules()]
    values = [getattr(module, name) for module in modules for name in public_names(module)]
    return frozenset(value for value in values if isinstance(value, type))


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public attributes that a class of ours defines, inherited ones of private classes included."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not is_ours(base) or (base is not cls and base in public_classes()):
            continue
        for name, value in vars(base).items():
            if not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, value


def describe_member(cls: type, name: str, value: Any) -> list[str]:
    """Describe a method or a property of a class; plain values are described by the docstring of the class."""
    heading = f"#### `{cls.__name__}.{name}`\n"
    if isinstance(value, (staticmethod, classmethod)):
        return [heading, code(name + signature(getattr(cls, name))), text_of(value.__func__)]
    if isinstance(value, types.FunctionType):
        prefix = "async " if inspect.iscoroutinefunction(value) else ""
        return [heading, code(prefix + name + signature(value)), text_of(value)]
    getter = getattr(value, "fget", None) or getattr(value, "func", None)  # property, cached_property
    if getter is not None and callable(getter):
        returns = inspect.signature(getter).return_annotation
        shown = "" if returns is inspect.Signature.empty else f": {annotation(returns)}"
        return [heading, code(name + shown), text_of(getter)]
    return []


def text_of(value: object) -> str:
    text = in_markdown(docstring(value))
    return text + "\n" if text else ""


def code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def describe_class(name: str, cls: type) -> list[str]:
    """Describe a class: its constructor, or the members of an enumeration, then methods and properties."""
    lines = [f"### `{name}`\n"]
    names = [base.__name__ for base in cls.__bases__ if base is not object]
    bases = [name for name in names if not name.startswith("_")]
    heading = f"class {name}" + (f"({', '.join(bases)})" if bases else "")
    if issubclass(cls, enum.Enum):
        lines += [code(heading), text_of(cls)]
        return [*lines, "\n".join(f"- `{one.name}` = `{one.value!r}`" for one in cls) + "\n"]
    has_constructor = any("__init__" in vars(base) for base in cls.__mro__ if is_ours(base))
    if getattr(cls, "_is_protocol", False) or not has_constructor:
        lines.append(code(heading))
    else:
        lines.append(code(heading + "\n\n" + name + signature(cls).partition(" -> ")[0]))
    lines.append(text_of(cls))
    constructor = docstring(cls.__init__)
    if "__init__" in vars(cls) and constructor and cls.__init__.__doc__ != object.__init__.__doc__:
        lines.append(in_markdown(constructor) + "\n")
    for member, value in members(cls):
        lines += describe_member(cls, member, value)
    return lines


def describe_value(name: str, value: object) -> list[str]:
    """Describe a constant: its value if that is short, else its type."""
    shown = repr(value)
    kind = type(value).__name__
    simple = isinstance(value, (bool, int, float, str, bytes, tuple))
    if simple and len(shown) <= 80 and " at 0x" not in shown:
        return [f"### `{name}`\n", code(f"{name} = {shown}")]
    lines = [f"### `{name}`\n", f"A `{kind}`.\n"]
    if type(value).__module__.startswith("smtpcore") and (text := vars(type(value)).get("__doc__")):
        lines[-1] = f"A `{kind}`: {prose(inspect.cleandoc(text).splitlines()[0])}\n"
    return lines


def describe(name: str, value: Any) -> list[str]:
    """Describe one public name."""
    if isinstance(value, type):
        return describe_class(name, value)
    if callable(value) and inspect.isroutine(value):
        prefix = "async " if inspect.iscoroutinefunction(value) else ""
        return [f"### `{name}`\n", code(f"{prefix}{name}{signature(value)}"), text_of(value)]
    if type(value).__module__ in ("types", "typing"):  # an alias of types
        return [f"### `{name}`\n", code(f"{name} = {annotation(str(value))}")]
    return describe_value(name, value)


def page(module: str) -> str:
    """Write the page of a module."""
    found = importlib.import_module(module)
    names = public_names(found)
    lines = [f"# `{module}`\n", GENERATED + "\n", text_of(found)]
    lines.append(", ".join(f"[`{name}`](#{name.lower()})" for name in names) + "\n")
    for name in names:
        lines += describe(name, getattr(found, name))
    return tidy(lines)


def index(modules: Iterable[str]) -> str:
    """Write the page that lists the modules."""
    lines = ["# Reference\n", GENERATED + "\n", "| module | |\n|---|---|"]
    for module in modules:
        first = docstring(importlib.import_module(module)).partition("\n\n")[0]
        lines.append(f"| [`{module}`]({page_of(module).name}) | {prose(' '.join(first.split()))} |")
    return tidy(lines)


def tidy(lines: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def pages() -> dict[Path, str]:
    """Write all pages of the reference as they have to be."""
    modules = public_modules()
    return {FOLDER / "index.md": index(modules)} | {page_of(module): page(module) for module in modules}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for stale in set(FOLDER.glob("*.md")) - set(pages()) - {STANDARD_EXTENSIONS, CONFORMANCE}:
        stale.unlink()
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
