"""The entries of a transcript, and how they are written and logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from .._core.printable import printable

if TYPE_CHECKING:
    from logging import Logger

Direction = Literal["C", "S", "*"]
Kind = Literal["command", "reply", "auth", "content", "note"]

SHOWN_LINE_LENGTH: Final = 2000
"""Octets of a line that are shown; of the rest only the number is. Twice what RFC 5321 4.5.3.1 allows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript.

    Attributes:
        time: Seconds since the epoch: when it became known what the line is.
        elapsed: Seconds since the first entry.
        direction: ``"C"`` from the client, ``"S"`` from the server, ``"*"`` for a note.
        tls: Whether it travelled under TLS.
        kind: ``"command"``, ``"reply"``, ``"auth"`` (a client's line within AUTH, the command included),
            ``"content"`` or ``"note"``.
        octets: How many octets it stands for, the line end included; 0 for most notes.
        text: The line without its end, safe to show: no secrets, nothing that controls a terminal.
    """

    time: float
    elapsed: float
    direction: Direction
    tls: bool
    kind: Kind
    octets: int
    text: str


def format_entry(entry: Entry) -> str:
    """The entry as a line of text, as the opening of this module shows it; without a line end."""
    marker = "--" if entry.direction == "*" else entry.direction + (":*"[entry.tls])
    return f"{entry.elapsed:8.3f} {marker} {entry.text}".rstrip()


def log_to(logger: Logger, level: int = 10) -> Callable[[Entry], None]:
    """A sink that logs: ``Transcript(sink=log_to(logging.getLogger("mail")))``.

    Args:
        logger: Where to.
        level: With which level; that of ``logging.DEBUG`` if not given.

    Returns:
        What to give to :class:`Transcript` as ``sink``.
    """

    def sink(entry: Entry) -> None:
        logger.log(level, "%s", format_entry(entry))

    return sink


def shown_text(line: bytes, octets: int = 0) -> str:
    """A line as it may be shown, given how many octets it had with its end; it may have lost most of them."""
    text = printable(line.decode("utf-8", "backslashreplace"))
    return f"{text} [{octets} octets]" if octets > len(line) + 2 else text
