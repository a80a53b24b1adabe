"""List the standard extensions in docs/reference/extensions.md: ``python -m tests.list_extensions`` writes it.

Everything on the page is read from the values of ``smtpcore.extensions``: a test compares the file with them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from smtpcore.extensions import STANDARD, CommandSpec, Extension, Parameter

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "standard-extensions.md"

INTRODUCTION = """\
# The standard extensions

One value and one file each in `smtpcore/extensions/`; `smtpcore.extensions.STANDARD` has them in the order in
which the reply to EHLO lists them. `python -m tests.list_extensions` writes this page from the values, and a
test holds it current. [How to add an extension](../extensions.md) explains the fields.
"""


def title(extension: Extension) -> str:
    """The first line of the file that declares the extension."""
    text = sys.modules[extension.offer.__module__].__doc__ or ""
    return text.partition("\n")[0]


def codes(spec: CommandSpec) -> str:
    return ", ".join(str(code) for code in sorted(spec.success))


def traits(spec: CommandSpec) -> str:
    """What else the spec says of a command."""
    told = {
        "counted as idle": spec.idle,
        "before required TLS": spec.before_tls,
        "before required authentication": spec.before_auth,
        "UTF-8 with SMTPUTF8": spec.utf8,
        "sent although not offered": spec.unasked,
        "accepted without `on_command`": spec.unattended,
    }
    return ", ".join(name for name, holds in told.items() if holds) or "none"


def values(row: Parameter) -> str:
    """The values that a parameter has."""
    if row == Parameter.flag(row.keyword, row.command):
        return "no value"
    return ", ".join(f"`{name}`" for name in row.names) or "those of its RFC"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def section(extension: Extension) -> str:
    """All that an extension declares."""
    parts = [f"## {extension.keyword}\n", title(extension) + "\n"]
    facts = [f"MAIL lines may be {extension.mail_octets} octets longer."] if extension.mail_octets else []
    facts += [f"RCPT lines may be {extension.rcpt_octets} octets longer."] if extension.rcpt_octets else []
    facts += [f"Offered only together with {', '.join(extension.needs)}."] if extension.needs else []
    facts += ["It checks commands before they are accepted or sent."] if extension.check is not None else []
    if facts:
        parts.append("\n".join(facts) + "\n")
    if extension.parameters:
        rows = [[f"`{row.keyword}`", row.command, values(row)] for row in extension.parameters]
        parts.append(table(["parameter", "of", "values"], rows))
    if extension.commands:
        rows = [
            [
                f"`{spec.verb}`",
                ", ".join(sorted(f"`{state.value}`" for state in spec.states)),
                codes(spec),
                spec.group.value,
                traits(spec),
            ]
            for spec in extension.commands
        ]
        parts.append(table(["command", "legal in", "succeeds with", "in a group", "also"], rows))
    return "\n".join(parts)


def page() -> str:
    """The page as it has to be."""
    return "\n".join([INTRODUCTION, *(section(extension) for extension in STANDARD)])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
