"""Checks of the content: its end, dots, what it may hold."""

from __future__ import annotations

from typing import Final

from ..session import Session, letter, token
from ..table import Check, Failed, Inconclusive, Table

CHECKS: Final = Table[Session]()
check = CHECKS.check


def _takes(
    name: str, requirement: str, rfc: str, sentence: str, body: bytes, *, permitted: bool = False
) -> None:
    """Add a check that content is accepted with one reply, and that commands follow it."""

    def run(session: Session) -> None:
        session.ready()
        session.data()
        reply = session.content(letter(token(), body))
        if permitted and reply.kind == 5:
            session.permit(f"the content is refused: {reply}")
        else:
            session.accepted(reply, "the content", 250)
        session.alive("after the content")
        mail = session.command(f"MAIL FROM:<{session.target.sender}>")
        if mail.kind == 5:
            raise Failed(f"MAIL after the content: {mail}")

    CHECKS.add(Check(name, requirement, rfc, sentence, run))


_LINE_BUFFERS: Final = (
    *(510, 511, 512, 998, 999, 1000, 1001, 1002, 1022, 1023, 1024, 1998, 2000, 2046, 2047, 2048),
    *(4094, 4095, 4096, 8191, 8192),
)
"""Octets that a reader of lines may have room for."""


def _dots_at_borders(block: int, blocks: int) -> bytes:
    """The body of a letter: lines that end in a dot, which is the first octet of a block of the content."""
    header = len(letter(token(), b"x")) - 1
    filled = b"x" * 500 + b"\r\n"
    first = b"x" * (block - header) + b".\r\n"
    further = filled + b"x" * (block - 3 - len(filled)) + b".\r\n"
    return first + further * blocks


for _name, _requirement, _rfc, _sentence, _body in (
    ("dots", "DAT-13", "5321 4.5.2", "A line of dots does not end the content", b"..\r\n...\r\n..a\r\n .\r\n. \r\nx.\r\n"),
    ("single-dot-with-text", "DAT-05", "5321 4.1.1.4", "A dot with text after it does not end the content", b".text\r\n. \r\n.\t\r\n"),
    ("commands-in-content", "DAT-05", "5321 4.1.1.4", "Commands in the content are content", b"QUIT\r\nRSET\r\nMAIL FROM:<x@example.com>\r\nDATA\r\n"),
    ("ascii", "DAT-18", "5321 4.5.2", "All of printable ASCII and the usual controls are accepted", bytes(range(32, 127)) + b"\t\x0c\x1b\r\n"),
    ("control-characters-in-content", "DAT-18", "5321 4.5.2", "Control characters in content are accepted", bytes(range(1, 10)) + bytes((11, 12, *range(14, 32), 127)) + b"\r\n"),
    ("line-of-1000", "LIM-11", "5321 4.5.3.1.6", "A line of 1000 octets, CRLF included, is accepted", b"x" * 998 + b"\r\n"),
    ("stuffed-line-of-1001", "LIM-11", "5321 4.5.3.1.6", "The dot of transparency does not count for the length of a line", b".." + b"x" * 997 + b"\r\n"),
    ("message-of-64-kib", "LIM-14", "5321 4.5.3.1.7", "A message of 64 KiB is accepted", (b"x" * 62 + b"\r\n") * 1024),
    ("empty-lines", "DAT-36", "5321 4.5.2", "Empty lines at the end are content", b"\r\n\r\n\r\n"),
    ("blanks-in-content", "DAT-36", "5321 4.5.2", "Blanks at the ends of lines are content", b"  a  \r\n\t\r\n"),
):  # fmt: skip
    _takes(_name, _requirement, _rfc, _sentence, _body)

_takes(
    "dots-at-borders-of-blocks",
    "DAT-05",
    "5321 4.1.1.4",
    "A dot within a line does not end the content, whatever the border of a block before it",
    _dots_at_borders(1024, 70),
)
_takes(
    "dots-after-parts-of-lines",
    "DAT-05",
    "5321 4.1.1.4",
    "A dot at the end of a long line does not end the content, wherever the server cuts lines",
    b"".join(b"x" * octets + b".\r\nNOOP\r\n" for octets in _LINE_BUFFERS),
    permitted=True,
)
_takes(
    "eight-bits-unannounced",
    "DAT-20",
    "5321 2.4",
    "Eight-bit content without 8BITMIME is accepted or refused",
    b"gr\xfc\xdfe\r\n",
    permitted=True,
)
_takes(
    "nul-in-content", "DAT-20", "5322 2", "NUL in content is accepted or refused", b"a\0b\r\n", permitted=True
)
_takes(
    "line-of-2000",
    "LIM-13",
    "5321 4.5.3.1.6",
    "A content line that is too long is accepted or refused",
    b"x" * 2000 + b"\r\n",
    permitted=True,
)


@check("DAT-11", "5321 4.1.1.4", "A final dot straight after DATA ends an empty content")
def empty_content(session: Session) -> None:
    session.ready()
    session.data()
    reply = session.content(b"")
    if reply.kind != 2:
        session.refused(reply, "an empty content")
    session.alive("after an empty content")


@check("DAT-13", "5321 4.5.2", "Content that begins with a doubled dot does not end there")
def content_begins_with_a_dot(session: Session) -> None:
    session.ready()
    session.data()
    reply = session.content(b"..\r\n...\r\n..text\r\nNOOP\r\n")
    if reply.kind != 2:
        session.permit(f"content without a header is refused: {reply}")
    session.alive("after content that begins with a dot")


@check("DAT-32", "5321 3.3", "Content without a header is accepted", level="SHOULD")
def content_without_header(session: Session) -> None:
    session.ready()
    session.data()
    session.accepted(session.content(b"no header here\r\n"), "content without a header")


@check("DAT-05", "5321 4.1.1.4", "No reply comes before the end of the content")
def no_reply_within_content(session: Session) -> None:
    session.ready()
    session.data()
    session.send(letter(token(), b"a line\r\nFROBNICATE\r\n\r\n"))
    if octets := session.wire.pending(0.1):
        raise Failed(f"a reply comes before the final dot: {octets[:60]!r}")
    session.accepted(session.content(b"more\r\n"), "the content")


@check("DAT-31", "5321 4.1.1.4", "The final dot is found wherever the transport cuts it")
def final_dot_in_pieces(session: Session) -> None:
    session.ready()
    whole = letter(token())
    for cut in range(1, 6):
        session.data()
        octets = whole + b".\r\n"
        session.send(octets[:-cut], octets[-cut:])
        session.accepted(session.read("."), f"content whose last {cut} octets come later", 250)
    session.data()
    session.send(whole[:-2], b"\r", b"\n", b".", b"\r", b"\n")
    session.accepted(session.read("."), "content whose end comes octet by octet", 250)
    session.alive("after content in pieces")


@check("DAT-05", "5321 4.1.1.4", "A dot at the border of a piece is not at the beginning of a line")
def dot_at_a_border(session: Session) -> None:
    session.ready()
    session.data()
    session.send(letter(token(), b"text"), b".\r\n", b"more text", b".", b"\r\nNOOP\r\n", b"x", b".\r\n")
    if octets := session.wire.pending(0.05):
        raise Failed(f"a dot within a line ends the content: {octets[:60]!r}")
    session.accepted(session.content(b"end\r\n"), "the content", 250)
    session.alive("after the content")


@check("DAT-26", "5321 4.2.5", "Each of many messages of a session is answered")
def many_messages(session: Session) -> None:
    session.ready()
    for number in range(5):
        try:
            session.data()
        except Inconclusive as verdict:
            raise Failed(f"message {number + 1} of a session: {verdict}") from None
        session.accepted(session.content(letter(token())), f"message {number + 1} of a session")
