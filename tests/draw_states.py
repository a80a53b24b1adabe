"""Draw docs/states.md from the tables of the rules: ``python -m tests.draw_states`` writes it.

Nothing is told here that the tables do not tell: a test compares the file with what they say now.
"""

from __future__ import annotations

from pathlib import Path

from smtpcore import Connect, EndOfMessage, Event, State
from smtpcore._core.state import HANDSHAKEN, after

from .helpers.standard import RULES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "states.md"

INTRODUCTION = """\
# The states of a session

Both roles run on two tables, LEGAL and TRANSITIONS. `smtpcore/_core/state.py` has the rows of RFC 5321 and says
why they are as they are; each extension has the rows of its commands. This page shows both merged, for the
extensions of `smtpcore.extensions.STANDARD`. `python -m tests.draw_states` writes it, and a test holds it
current.
"""

UNDER_DIAGRAM = """\
Not drawn: QUIT, however it is answered, and every reply of 421 lead to `closed` from wherever a command can be
answered; and what changes nothing.
"""

UNDER_LEGAL = """\
"connect" is the opening of the connection, which the server answers like a command, and "." is the end of the
content. In `authenticating` every line is a response of the exchange, in `tls` every octet belongs to the
handshake, and in `content` all is content up to the final dot: no command is legal there.
"""

OVER_AFTER = """\
A reply counts by its first digit. What is not listed changes nothing, so a refused command leaves the state as
it was. There are two additions: 421 leads to `closed`, whatever it answers, and the TLS handshake, which is
no reply, leads from {origins} to {targets}.
"""


def verb(kind: type[Event]) -> str:
    return str(getattr(kind, "verb", kind.__name__))


def verbs(kinds: frozenset[type[Event]]) -> str:
    return ", ".join(sorted(f"`{verb(kind)}`" for kind in kinds)) or "none"


def arrows() -> list[str]:
    """The arrows of the diagram: one for each pair of states, with all that leads from one to the other."""
    labels: dict[tuple[State, State], list[str]] = {}
    for (kind, digit), leads in RULES.after.items():
        for origin, target in leads.items():
            if target is not State.CLOSED:
                labels.setdefault((origin, target), []).append(f"{verb(kind)} {digit}yz")
    for origin, target in HANDSHAKEN.items():
        labels.setdefault((origin, target), []).append("TLS handshake")
    return [
        f"    {origin.value} --> {target.value}: {', '.join(what)}" for (origin, target), what in labels.items()
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page() -> str:
    """The page as it has to be."""
    closed = [state for state in State if after(RULES.after, Connect, 421, state) is State.CLOSED]
    assert closed == list(State)  # as UNDER_DIAGRAM says
    diagram = [
        "```mermaid",
        "stateDiagram-v2",
        "    direction LR",
        f"    [*] --> {State.OPENING.value}",
        *arrows(),
        f"    {State.CLOSED.value} --> [*]",
        "```",
    ]
    legal = [[f"`{state.value}`", verbs(kinds)] for state, kinds in RULES.legal.items()]
    leads = [
        [
            f"`{verb(kind)}`",
            f"{digit}yz",
            ", ".join(f"`{origin.value}` to `{target.value}`" for origin, target in where.items()),
        ]
        for (kind, digit), where in RULES.after.items()
    ]
    success = [
        [f"`{verb(kind)}`", ", ".join(str(code) for code in sorted(codes))]
        for kind, codes in RULES.success.items()
    ]
    origins = ", ".join(f"`{state.value}`" for state in HANDSHAKEN)
    targets = ", ".join(f"`{state.value}`" for state in HANDSHAKEN.values())
    every_time = {Connect, EndOfMessage}
    policies = [
        ["a server that requires TLS has none (RFC 3207 4)", verbs(RULES.before_tls - every_time)],
        ["a server that requires authentication has none (RFC 4954 6)", verbs(RULES.before_auth - every_time)],
    ]
    parts = [
        INTRODUCTION,
        "## The diagram\n",
        "\n".join(diagram) + "\n",
        UNDER_DIAGRAM,
        "## LEGAL: what may come\n",
        table(["in the state", "may come"], legal),
        UNDER_LEGAL,
        "## TRANSITIONS: where it leads\n",
        OVER_AFTER.format(origins=origins, targets=targets),
        table(["command", "answered", "leads from, to"], leads),
        "## What takes away from LEGAL\n",
        table(["while", "only these are let through"], policies),
        "## What a command can succeed with\n",
        "Failure may have any code of 4yz and 5yz.\n",
        table(["command", "codes"], success),
        "## Pipelining\n",
        f"{verbs(RULES.pipelined)} may stand anywhere in a pipelined group; others end it (RFC 2920 3.1).\n",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
