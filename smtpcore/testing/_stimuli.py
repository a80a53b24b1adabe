"""What a machine sends to a server: lines, contents, cuts, and which of them a server can be excused from."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

from hypothesis import strategies as st

from .._core.commands import format_command
from .._core.config import Extension
from .._core.events import Mail, Rcpt
from .._core.rules import rules_for
from .._core.state import State
from . import strategies

# What looks like the end of the content, and is not.
FALSE_ENDS: Final = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
)
# Lines that a server must not accept, nor repeat as they are.
SPOILT: Final = (
    b"VRFY a\nb",
    b"VRFY a\rb",
    b"VRFY a\0",
    b"NOOP\nRSET",
    b"MAIL FROM:<a\n@example.com>",
    b"MAIL FROM:<a@example.com>\nRSET",
    b"HELO a\n250 b",
    b"HELP a\rb",
    b"XNOSUCH",
    b"XNOSUCH a\nb",
    b"MAIL FROM:<a@example.com> X-NO-SUCH=1",
    b"MAIL FROM:<\xc3\xbc@example.com>",
)
LONG: Final = 100_000  # octets: more than any server has to buffer for one command

Deviation = Literal[
    "LF in commands",
    "CR in commands",
    "NUL in commands",
    "UTF-8 in commands",
    "unknown parameters",
    "unknown commands",
    "offered parameters",
    "long lines",
    "SIZE beyond the limit",
    "second EHLO",
    "RCPT TO:<>",
    "line ends in content",
    "AUTH",
]
"""What a server can be excused from: see :meth:`ServerMachine.against`."""


def deviations(line: bytes) -> set[Deviation]:
    """Which of the deviations a server needs that accepts a line, or cannot read it."""
    verb = line[:5].upper()
    found: dict[Deviation, bool] = {
        "LF in commands": b"\n" in line,
        "CR in commands": b"\r" in line,
        "NUL in commands": b"\0" in line,
        "UTF-8 in commands": not line.isascii(),
        "unknown parameters": b" X-NO-SUCH=" in line,
        "unknown commands": verb == b"XNOSU",
        "long lines": len(line) > 510,
        "RCPT TO:<>": line == b"RCPT TO:<>",
        "AUTH": verb == b"AUTH ",
    }
    return {name for name, here in found.items() if here}


# The border of a buffer of 4096 octets, and of twice and 16 times as many, is before a dot or between two.
_LARGE: Final = (b"." * 61 + b"\r\n") * 1030
_SHIFTED: Final = b"a" * 61 + b"\r\n" + _LARGE


def contents() -> st.SearchStrategy[bytes]:
    """Draw content: sound, dot-heavy, large, or with a false end and a command after it."""
    lines = st.sampled_from(
        (
            b"a\r\n",
            b".\r\n",
            b"..\r\n",
            b".a\r\n",
            b"\r\n",
            b"From a \t\r\n",
            b"a\0b\r\n",
            b"\xe9\r\n",
            b"a" * 998 + b"\r\n",
        )
    )
    smuggled = st.sampled_from([b"a" + end + b"NOOP\r\n" for end in FALSE_ENDS])
    return st.one_of(st.lists(lines, max_size=3).map(b"".join), smuggled, st.sampled_from((_LARGE, _SHIFTED)))


def stuffed(content: bytes) -> bytes:
    """Whole lines of content as they are sent, with the final dot (RFC 5321 4.5.2)."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


# Where content is cut: 0 is not at all, OCTETS before each of the last octets, others beside a CR, LF or dot.
OCTETS: Final = 13
CUTS: Final = st.integers(0, OCTETS)
MAILS: Final = st.sampled_from(
    (
        b"MAIL FROM:<a@example.com>",
        b"MAIL FROM:<>",
        b"mail from:<A.b@Example.com>",
        b"MAIL FROM:<a@example.com> ",
    )
)
RCPTS: Final = st.sampled_from(
    (
        b"RCPT TO:<b@example.com>",
        b"RCPT TO:<c@example.com>",
        b"rcpt to:<B.c@Example.com>",
        b"RCPT TO:<Postmaster>",
        b"RCPT TO:<b@example.com> ",
    )
)
REFUSED_RCPTS: Final = st.sampled_from((b"RCPT TO:<b@example..com>", b"RCPT TO:<>"))
SOME_RCPTS: Final = st.lists(RCPTS, min_size=1, max_size=3)
# What comes in a transaction: recipients, recipients that are refused, and what may end it.
STEPS: Final = st.lists(
    st.one_of(
        RCPTS,
        REFUSED_RCPTS,
        st.sampled_from(
            (
                b"NOOP",
                b"VRFY a",
                b"RSET",
                b"MAIL FROM:<c@example.com>",
                b"EHLO client.example",
                b"HELO client.example",
            )
        ),
    ),
    max_size=3,
)
COMMANDS: Final = st.sampled_from(
    (
        b"RSET",
        b"NOOP",
        b"VRFY a",
        b"EHLO client.example",
        b"DATA",
        b"MAIL FROM:<>",
        b"RCPT TO:<b@example.com>",
        b"noop",
    )
)
# What follows the content in the same send.
FOLLOWING: Final = st.sampled_from((b"", b"NOOP", b"MAIL FROM:<c@example.com>"))
CHUNKS: Final = st.lists(st.sampled_from((b"a\r\n", b"", b"NOOP\r\n", b".\r\n", b"..a\r\n", b"a")), max_size=2)
HELLO: Final = b"EHLO client.example"


def cut(octets: bytes, cut: int) -> list[bytes]:
    """Cut content in two, or into octets."""
    if cut == OCTETS:
        end = max(len(octets) - 12, 0)
        return [*filter(None, [octets[:end]]), *(bytes([one]) for one in octets[end:])]
    if cut == 0:
        return [octets]
    short = octets if len(octets) < LONG // 50 else octets[-64:]
    skipped = len(octets) - len(short)
    places = [0, *(skipped + place for place in strategies._places(short) if 0 < place < len(short))]
    at = places[cut % len(places)]
    return [piece for piece in (octets[:at], octets[at:]) if piece]


@lru_cache(maxsize=16)
def mails(extensions: tuple[Extension, ...]) -> st.SearchStrategy[bytes]:
    """Draw MAIL with parameters of extensions, if they have some."""
    return _lines(_given("MAIL", extensions).map(lambda given: Mail("a@example.com", given)), extensions)


@lru_cache(maxsize=16)
def rcpts(extensions: tuple[Extension, ...]) -> st.SearchStrategy[bytes]:
    """Draw RCPT with parameters of extensions, if they have some."""
    return _lines(_given("RCPT", extensions).map(lambda given: Rcpt("b@example.com", given)), extensions)


def _given(command: Literal["MAIL", "RCPT"], extensions: tuple[Extension, ...]) -> st.SearchStrategy[Any]:
    given = strategies.parameters(command, extensions)
    return given.filter(bool) if rules_for(extensions).parameters[command] else given


@lru_cache(maxsize=16)
def own_commands(extensions: tuple[Extension, ...]) -> list[st.SearchStrategy[bytes]]:
    """Strategies for the commands of extensions that lead to no other state, as AUTH and STARTTLS do.

    HELP and EXPN, which RFC 5321 itself has, are left out: servers reply to them with many codes.
    """
    specs = [spec for spec in rules_for(extensions).commands.values() if not (spec.leads or spec.unasked)]
    drawn = [strategies._of_spec(spec) for spec in specs if State.READY in spec.states]
    return [_lines(strategy, extensions) for strategy in drawn if strategy is not None]


def _lines(commands: st.SearchStrategy[Any], extensions: tuple[Extension, ...]) -> st.SearchStrategy[bytes]:
    return commands.map(lambda command: format_command(command, rules_for(extensions))[:-2])


@lru_cache(maxsize=16)
def near_misses(extensions: tuple[Extension, ...] | None) -> st.SearchStrategy[bytes]:
    return strategies.near_misses(extensions)
