"""Checks of what a server has stored. They need a place where its messages show up."""

from __future__ import annotations

import re
from typing import Final

from ..session import NAME, Session, letter, token
from ..stored import Store, wait_for
from ..table import Check, Failed, Inconclusive, Level, Table
from ..wire import Closed, Reply, Silent, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_WAIT: Final = 10.0  # seconds for a message to show up
_LARGEST: Final = 32 << 20  # octets of a message that is too large


def store_of(session: Session) -> Store:
    assert session.target.store is not None
    return session.target.store


def copies(session: Session, mark: str) -> list[bytes]:
    """The messages with a token.

    Raises:
        Failed: None has shown up.
    """
    messages = wait_for(store_of(session), mark, _WAIT)
    if not messages:
        raise Failed(f"a message that was accepted is not stored within {_WAIT:.0f} s")
    return messages


def found(session: Session, mark: str) -> bytes:
    """The message with a token.

    Raises:
        Failed: It has not shown up, or more than once.
    """
    messages = copies(session, mark)
    # A command prints all messages in one piece.
    times = max(len(messages), messages[0].count(f"Subject: {mark}".encode()))
    if times > 1:
        raise Failed(f"a message to one recipient is stored {times} times")
    return messages[0]


def accepted(reply: Reply) -> None:
    """Raise Inconclusive unless this reply accepts content."""
    if reply.kind != 2:
        raise Inconclusive(f"the content is refused: {reply}")


def send_content(session: Session, content: bytes) -> None:
    """Begin a transaction, and send content, dot-stuffed already.

    Raises:
        Inconclusive: It was refused.
    """
    session.data()
    accepted(session.content(content))


def _send_another(session: Session) -> None:
    """Send a message on a connection of its own, and wait for it: what was stored before is there now.

    Raises:
        Inconclusive: It was refused.
        Failed: It is not stored.
    """
    other = Session(session.target)
    try:
        other.ready()
        mark = token()
        send_content(other, letter(mark))
        found(other, mark)
    finally:
        other.end()


def _chunk(session: Session, octets: bytes, word: str = "") -> None:
    """Send a chunk.

    Raises:
        Inconclusive: It was refused.
    """
    session.send(f"BDAT {len(octets)}{word}\r\n".encode() + octets)
    reply = session.read("BDAT")
    if reply.kind != 2:
        raise Inconclusive(f"BDAT: {reply}")


def deliver(session: Session, body: bytes, parameters: str = "") -> tuple[bytes, bytes]:
    """Send a message; return what was sent, without transparency dots, and what was stored.

    Raises:
        Inconclusive: It was refused.
        Failed: It is not stored.
    """
    session.ready()
    mark = token()
    octets = letter(mark, body)
    session.data(parameters)
    accepted(session.content(octets.replace(b"\r\n.", b"\r\n..")))
    return octets, found(session, mark)


def _same(sent: bytes, stored: bytes, what: str) -> None:
    """Claim that the stored message ends with an empty line and the body that was sent, LF for CRLF permitted.

    Raises:
        Failed: It does not.
    """
    header, body = ends_with(stored, sent.partition(b"\r\n\r\n")[2], what)
    if not re.search(rb"[^\r\n]\r?\n\r?\n\Z", header):
        raise Failed(f"{what}: stored is {shown(header[-40:] + body)}")


def ends_with(stored: bytes, octets: bytes, what: str) -> tuple[bytes, bytes]:
    """Claim that the stored message ends with these octets, LF for CRLF permitted; return both of its parts.

    Raises:
        Failed: It does not.
    """
    # Some stores put an empty line after each message.
    for message in (stored, stored.removesuffix(b"\n"), stored.removesuffix(b"\r\n")):
        for end in (octets, octets.replace(b"\r\n", b"\n")):
            if message.endswith(end):
                return message[: -len(end)], end
    raise Failed(f"{what}: stored is {shown(stored[-len(octets) :])}")


def _unchanged(
    name: str, requirement: str, rfc: str, sentence: str, body: bytes, parameters: str = "", keyword: str = ""
) -> None:
    def run(session: Session) -> None:
        sent, stored = deliver(session, body, parameters)
        _same(sent, stored, "the content is changed")

    CHECKS.add(Check(name, requirement, rfc, sentence, run, keyword=keyword, needs="stored"))


_ASCII: Final = bytes(octet for octet in range(1, 128) if octet not in b"\r\n")  # but NUL, CR and LF

for _name, _requirement, _rfc, _sentence, _body in (
    ("stored-dots", "DAT-13", "5321 4.5.2", "The dots of transparency are removed, and no other", b".\r\n..\r\n...\r\n.a\r\n .\r\na.\r\n"),
    ("stored-ascii", "DAT-18", "5321 4.5.2", "All of ASCII arrives as it was sent", _ASCII + b"\r\n"),
    ("stored-long-line", "LIM-13", "5321 4.5.3.1.6", "A line of 1000 octets arrives uncut", b"x" * 998 + b"\r\n"),
    ("stored-empty-lines", "DAT-36", "5321 4.5.2", "Empty lines and blanks arrive as they were sent", b"\r\n  a  \r\n\t\r\nb \r\n"),
    ("stored-last-crlf", "DAT-10", "5321 4.1.1.4", "The CRLF before the final dot is part of the content", b"last line\r\n"),
    ("stored-empty-lines-at-the-end", "DAT-36", "5321 4.5.2", "Empty lines at the end arrive as they were sent", b"text\r\n\r\n\r\n\r\n"),
    ("stored-encoded", "DAT-36", "5321 4.5.2, 6.4", "Encoded content arrives as it was sent", b"=46rom here=20\r\non=\r\nand on &amp; %41 \\n\r\n"),
    ("stored-from-line", "DAT-36", "5321 4.5.2", "A line that begins with From arrives as it was sent", b"From here on\r\n>From there\r\n"),
):  # fmt: skip
    _unchanged(_name, _requirement, _rfc, _sentence, _body)
_unchanged(
    "stored-eight-bits", "EIG-03", "6152 3", "Octets above 127 arrive unchanged",
    bytes(range(128, 256)) + b"\r\n", " BODY=8BITMIME", "8BITMIME",
)  # fmt: skip


@check("DAT-37", "5321 4.5.3.1.7", "A large message arrives whole", needs="stored")
def stored_large_message(session: Session) -> None:
    limit = session.size_limit()
    lines = min(34_000, (limit - 2000) // 11) if limit else 34_000
    # Each line begins and ends with a dot, wherever a border of blocks is.
    sent, stored = deliver(session, b"".join(b".%06d.\r\n" % number for number in range(lines)))
    _same(sent, stored, "the content is changed")


@check("BIN-05", "3030 3", "Binary octets arrive as they were sent", keyword="BINARYMIME", needs="stored")
def stored_binary(session: Session) -> None:
    session.ready()
    session.mail(" BODY=BINARYMIME")
    session.rcpt()
    mark = token()
    octets = letter(mark, bytes(range(256)) + b"a\nb\rc\0d")
    _chunk(session, octets, " LAST")
    _same(octets, found(session, mark), "binary octets are changed")


@check("DAT-13", "5321 4.5.2", "A single dot that begins a line with text is removed, too", needs="stored")
def stored_single_dot(session: Session) -> None:
    session.ready()
    mark = token()
    send_content(session, letter(mark, b".single\r\n. blank\r\nend\r\n"))
    _same(letter(mark, b"single\r\n blank\r\nend\r\n"), found(session, mark), "a dot is kept")


@check(
    "DAT-22", "5321 4.1.1.4", "A message holds nothing of the one before, and is stored once", needs="stored"
)
def stored_messages_are_separate(session: Session) -> None:
    session.ready()
    marks = [token() for _ in range(3)]
    session.data()
    session.content(letter(marks[0], b"first\r\n"))
    session.mail()
    session.rcpt()
    session.command("RSET")
    session.data()
    # Most servers mind a lone LF, and refuse this.
    session.content(letter(marks[1], b"second\na\0b\r\n"))
    session.mail()
    session.rcpt()
    session.command(f"EHLO {NAME}")
    session.data()
    accepted(session.content(letter(marks[2], b"third\r\n")))
    stored = found(session, marks[2])
    if any(mark.encode() in stored for mark in marks[:2]):
        raise Failed("a message holds octets of an earlier one of the session")


@check("DAT-24", "5321 4.2.5", "What was not accepted is not stored", needs="stored")
def stored_only_what_was_accepted(session: Session) -> None:
    session.ready()
    session.data()
    refused = token()
    session.send(letter(refused, b"a\nb\r\n") + b".\r\n")
    try:
        accepted = session.read(".").kind == 2
    except (Closed, Silent):
        accepted = False
    lost = token()
    other = Session(session.target)
    other.ready()
    other.data()
    other.send(letter(lost, b"unfinished\r\n"))
    other.wire.close()
    _send_another(session)
    if not accepted and store_of(session).find(refused):
        raise Failed("a message that was refused is stored")
    if store_of(session).find(lost):
        raise Failed("a message without its final dot is stored")


@check("CHK-02", "3030 2", "The octets of chunks arrive as they were sent", keyword="CHUNKING", needs="stored")
def stored_chunks(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    mark = token()
    sent = letter(mark, b".\r\n..\r\n.a\r\n")
    _chunk(session, sent[:-5])
    _chunk(session, sent[-5:], " LAST")
    _same(sent, found(session, mark), "the content is changed")


@check("DAT-13", "5321 4.5.2", "Dots are removed wherever the transport cuts the content", needs="stored")
def stored_dots_in_pieces(session: Session) -> None:
    session.ready()
    session.data()
    mark = token()
    whole = letter(mark)
    session.send(whole[:-1], b"\n", b"..a\r\n", b".", b".b\r\n..", b"c\r", b"\n..\r\n", b"..\r\n.", b"\r\n")
    accepted(session.read("."))
    _same(whole + b".a\r\n.b\r\n.c\r\n.\r\n.\r\n", found(session, mark), "the content is changed")


def _unchanged_if_accepted(
    name: str, requirement: str, rfc: str, sentence: str, body: bytes, level: Level = "MUST"
) -> None:
    """Add a check of content that may be refused, and is not changed otherwise."""

    def run(session: Session) -> None:
        try:
            sent, stored = deliver(session, body)
        except Inconclusive:
            if session.last is not None and session.last.kind == 5:
                return
            raise
        _same(sent, stored, "the content is changed")

    CHECKS.add(Check(name, requirement, rfc, sentence, run, level, needs="stored"))


_unchanged_if_accepted(
    "stored-nul", "DAT-18", "5321 4.5.2", "NUL arrives as it was sent, or is refused", b"a\0b\r\n",
)  # fmt: skip
# Postfix may turn lone LF into CRLF in all respects (smtpd_forbid_bare_newline = normalize).
_unchanged_if_accepted(
    "stored-dot-after-lf", "DAT-06", "5321 2.3.8, 4.1.1.4", "A dot after a lone LF is not one of transparency",
    b"a\n.b\n..c\r\n", "SHOULD",
)  # fmt: skip
_unchanged_if_accepted(
    "stored-line-of-5000", "LIM-13", "5321 4.5.2, 6.4", "A line of 5000 octets arrives uncut, or is refused",
    b"0123456789" * 500 + b"\r\n",
)  # fmt: skip


@check(
    "DAT-06",
    "5321 2.3.8",
    "A lone LF arrives as it was sent, or is refused",
    level="SHOULD",
    needs="stored",
)
def stored_lone_lf(session: Session) -> None:
    try:
        _, stored = deliver(session, b"a\nb\r\n")
    except Inconclusive:
        if session.last is not None and session.last.kind == 5:
            return
        raise
    if b"a\r\nb" in stored:
        raise Failed("a lone LF is stored as CRLF")


@check("DAT-22", "5321 4.1.1.4, 6.1", "A message to one recipient is stored once", needs="stored")
def stored_once(session: Session) -> None:
    session.ready()
    mark, next_mark = token(), token()
    send_content(session, letter(mark))
    found(session, mark)
    send_content(session, letter(next_mark))
    found(session, next_mark)
    _send_another(session)
    # A second copy may have come later than the first.
    found(session, mark)


@check(
    "DAT-23", "5321 4.2.5, 6.1", "A message that was accepted stays, however the session ends", needs="stored"
)
def stored_stays(session: Session) -> None:
    session.ready()
    mark = token()
    send_content(session, letter(mark))
    session.command("RSET")
    session.wire.abort()
    _send_another(session)
    found(session, mark)


@check(
    "SIZ-11", "1870 4; 5321 4.2.5", "A message that is too large is not stored", keyword="SIZE", needs="stored"
)
def stored_too_large(session: Session) -> None:
    limit = session.size_limit()
    if not 0 < limit <= _LARGEST:
        raise Inconclusive(f"the announced limit is none, or above {_LARGEST >> 20} MiB")
    session.ready()
    session.data()
    mark = token()
    try:
        reply = session.content(letter(mark, (b"x" * 998 + b"\r\n") * (limit // 1000 + 2)))
    except (Closed, Silent):
        return
    _send_another(session)
    if reply.kind != 2 and store_of(session).find(mark):
        raise Failed("a message that was refused for its size is stored")


@check("CHK-10", "3030 2", "Chunks that RSET has dropped are not stored", keyword="CHUNKING", needs="stored")
def stored_chunks_after_rset(session: Session) -> None:
    session.ready()
    dropped, mark = token(), token()
    session.mail()
    session.rcpt()
    _chunk(session, letter(dropped))
    session.command("RSET")
    session.mail()
    session.rcpt()
    _chunk(session, letter(mark), " LAST")
    found(session, mark)
    if store_of(session).find(dropped):
        raise Failed("a message holds a chunk that RSET has dropped")


@check(
    "CHK-04",
    "3030 2; 5321 4.1.1.10",
    "Chunks without their end are not stored",
    keyword="CHUNKING",
    needs="stored",
)
def stored_unfinished_chunks(session: Session) -> None:
    marks = [token(), token()]
    for mark, missing, word in zip(marks, (100, 0), (" LAST", ""), strict=True):
        other = Session(session.target)
        try:
            other.ready()
            other.mail()
            other.rcpt()
            octets = letter(mark)
            other.send(f"BDAT {len(octets) + missing}{word}\r\n".encode() + octets)
            if not missing:
                other.read("BDAT")
        finally:
            other.wire.close()
    session.ready()
    _send_another(session)
    if any(store_of(session).find(mark) for mark in marks):
        raise Failed("chunks without their end are stored")
