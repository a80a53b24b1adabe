"""List all limits and switches in docs/limits.md: ``python -m tests.list_limits`` writes it.

Names, defaults and reasons are those of the classes and their docstrings: a test compares the file with them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from smtpcore import Limits, ServerConfig, Timeouts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limits.md"

INTRODUCTION = """\
# Limits, timeouts and switches

Three value classes, all with safe defaults, all replaceable field by field:
`ServerConfig(require_tls=True, limits=Limits(message_size=10_000_000))`. This page is written from their
docstrings by `python -m tests.list_limits`, and a test holds it current.

`connect()` takes `limits` and `timeout` (a number of seconds for every wait, or `Timeouts`); `serve()` takes
`config`, which has both. The core only states times; the adapters keep them.
"""

# A field of the section "Attributes" of a docstring, with the lines that belong to it.
_FIELD = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def reasons(cls: type) -> dict[str, str]:
    """What the docstring of a class says about each field."""
    attributes = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2].partition("\nRaises:\n")[0]
    return {name: " ".join(text.split()) for name, text in _FIELD.findall(attributes)}


def default(field: dataclasses.Field[object]) -> str:
    """The default of a field, as one reads it."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()!r}`" if field.default_factory is dict else "as above"
    value = field.default
    return f"{value:,}" if isinstance(value, (int, float)) and not isinstance(value, bool) else f"`{value!r}`"


def section(cls: type) -> str:
    """The table of a class."""
    told = reasons(cls)
    fields = dataclasses.fields(cls)
    assert [field.name for field in fields] == list(told), "the docstring tells each field, in order"
    introduction = (inspect.getdoc(cls) or "").partition("Attributes:")[0].rstrip()
    lines = [f"## {cls.__name__}\n", introduction.replace("``", "`") + "\n"]
    lines += ["| field | default | |", "| --- | --- | --- |"]
    for field in fields:
        reason = told[field.name].replace("``", "`").replace("|", "\\|")
        lines.append(f"| `{field.name}` | {default(field)} | {reason} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it has to be."""
    return "\n".join([INTRODUCTION, *(section(cls) for cls in (Limits, Timeouts, ServerConfig))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
