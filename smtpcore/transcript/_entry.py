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
"""Octets of a line that are shown; of the rest only the number is. RFC 5321 4.5.3.1 allows half as many."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript.

    Attributes:
        time: When the meaning of the line became known, in seconds since the epoch.
        elapsed: Seconds since the first entry.
        direction: ``"C"`` from the client, ``"S"`` from the server, ``"*"`` for a note.
        tls: Whether it was sent under TLS.
        kind: ``"command"``, ``"reply"``, ``"auth"`` (a client's line within AUTH, the command included),
            ``"content"`` or ``"note"``.
        octets: The number of octets that it stands for, the line end included; 0 for most notes.
        text: The line without its end, safe to show: without secrets and control characters.
    """

    time: float
    elapsed: float
    direction: Direction
    tls: bool
    kind: Kind
    octets: int
    text: str


def format_entry(entry: Entry) -> str:
    """Return an entry as a line of text without a line end; the module docstring shows the form."""
    marker = "--" if entry.direction == "*" else entry.direction + (":*"[entry.tls])
    return f"{entry.elapsed:8.3f} {marker} {entry.text}".rstrip()


def log_to(logger: Logger, level: int = 10) -> Callable[[Entry], None]:
    """Return a sink that logs each entry: ``Transcript(sink=log_to(logging.getLogger("mail")))``.

    Args:
        logger: The logger.
        level: The level of the log records; by default that of ``logging.DEBUG``.

    Returns:
        A value for the argument ``sink`` of :class:`Transcript`.
    """

    def sink(entry: Entry) -> None:
        logger.log(level, "%s", format_entry(entry))

    return sink


def shown_text(line: bytes, octets: int = 0) -> str:
    """Return a line as it may be shown, with its original number of octets if it was cut."""
    text = printable(line.decode("utf-8", "backslashreplace"))
    return f"{text} [{octets} octets]" if octets > len(line) + 2 else text
