"""Checks of what a server has stored. They need a place where its messages show up."""

from __future__ import annotations

import re
from typing import Final

from ..session import NAME, Session, letter, token
from ..stored import wait_for
from ..table import Check, Failed, Inconclusive, Table
from ..wire import Closed, Silent, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_WAIT: Final = 10.0  # seconds for a message to show up


def _found(session: Session, mark: str) -> bytes:
    """The message with a token.

    Raises:
        Failed: It has not shown up, or more than once.
    """
    store = session.target.store
    assert store is not None
    messages = wait_for(store, mark, _WAIT)
    if not messages:
        raise Failed(f"a message that was accepted is not stored within {_WAIT:.0f} s")
    if len(messages) > 1:
        raise Failed(f"a message to one recipient is stored {len(messages)} times")
    return messages[0]


def _deliver(session: Session, body: bytes, parameters: str = "") -> tuple[bytes, bytes]:
    """Send a message; return what was sent, without transparency dots, and what was stored.

    Raises:
        Inconclusive: It was refused.
        Failed: It is not stored.
    """
    session.ready()
    session.data(parameters)
    mark = token()
    octets = letter(mark, body)
    stuffed = octets.replace(b"\r\n.", b"\r\n..")
    reply = session.content(stuffed)
    if reply.kind != 2:
        raise Inconclusive(f"the content is refused: {reply}")
    return octets, _found(session, mark)


def _same(sent: bytes, stored: bytes, what: str) -> None:
    """Claim that the stored message ends with what was sent, LF for CRLF permitted.

    Raises:
        Failed: It does not.
    """
    body = sent.partition(b"\r\n\r\n")[2]
    if stored.endswith((body, body.replace(b"\r\n", b"\n"))):
        return
    # Some stores put an empty line after each message.
    if stored.rstrip(b"\r\n").endswith(body.replace(b"\r\n", b"\n").rstrip(b"\n")) and not body.endswith(
        b"\r\n\r\n"
    ):
        return
    raise Failed(f"{what}: stored is {shown(stored[-len(body) :])}")


def _unchanged(
    name: str, requirement: str, rfc: str, sentence: str, body: bytes, parameters: str = "", keyword: str = ""
) -> None:
    def run(session: Session) -> None:
        sent, stored = _deliver(session, body, parameters)
        _same(sent, stored, "the content is changed")

    CHECKS.add(Check(name, requirement, rfc, sentence, run, keyword=keyword, needs="stored"))


for _name, _requirement, _rfc, _sentence, _body in (
    ("stored-dots", "DAT-13", "5321 4.5.2", "The dots of transparency are removed, and no other", b".\r\n..\r\n...\r\n.a\r\n .\r\na.\r\n"),
    ("stored-ascii", "DAT-18", "5321 4.5.2", "All of ASCII arrives as it was sent", bytes(range(32, 127)) + b"\t\x0c\x01\x1b\r\n"),
    ("stored-long-line", "LIM-13", "5321 4.5.3.1.6", "A line of 1000 octets arrives uncut", b"x" * 998 + b"\r\n"),
    ("stored-empty-lines", "DAT-36", "5321 4.5.2", "Empty lines and blanks arrive as they were sent", b"\r\n  a  \r\n\t\r\nb \r\n"),
    ("stored-last-crlf", "DAT-10", "5321 4.1.1.4", "The CRLF before the final dot is part of the content", b"last line\r\n"),
    ("stored-from-line", "DAT-36", "5321 4.5.2", "A line that begins with From arrives as it was sent", b"From here on\r\n>From there\r\n"),
):  # fmt: skip
    _unchanged(_name, _requirement, _rfc, _sentence, _body)
_unchanged(
    "stored-eight-bits", "EIG-03", "6152 3", "Octets above 127 arrive unchanged",
    bytes(range(128, 256)) + b"\r\n", " BODY=8BITMIME", "8BITMIME",
)  # fmt: skip


@check("DAT-37", "5321 4.5.3.1.7", "A large message arrives whole", needs="stored")
def stored_large_message(session: Session) -> None:
    words = (session.target.plain or session.target.secured).get("SIZE", ())
    limit = int(words[0]) if words and words[0].isdigit() else 0
    lines = min(34_000, (limit - 2000) // 10) if limit else 34_000
    sent, stored = _deliver(session, b"".join(b"%07d.\r\n" % number for number in range(lines)))
    _same(sent, stored, "the content is changed")


@check("BIN-05", "3030 3", "Binary octets arrive as they were sent", keyword="BINARYMIME", needs="stored")
def stored_binary(session: Session) -> None:
    session.ready()
    session.mail(" BODY=BINARYMIME")
    session.rcpt()
    mark = token()
    octets = letter(mark, bytes(range(256)) + b"a\nb\rc\0d")
    session.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
    reply = session.read("BDAT")
    if reply.kind != 2:
        raise Inconclusive(f"BDAT: {reply}")
    _same(octets, _found(session, mark), "binary octets are changed")


@check("DAT-13", "5321 4.5.2", "A single dot that begins a line with text is removed, too", needs="stored")
def stored_single_dot(session: Session) -> None:
    session.ready()
    session.data()
    mark = token()
    reply = session.content(letter(mark, b".single\r\n. blank\r\nend\r\n"))
    if reply.kind != 2:
        raise Inconclusive(f"the content is refused: {reply}")
    _same(letter(mark, b"single\r\n blank\r\nend\r\n"), _found(session, mark), "a dot is kept")


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
    reply = session.content(letter(marks[2], b"third\r\n"))
    if reply.kind != 2:
        raise Inconclusive(f"the content is refused: {reply}")
    stored = _found(session, marks[2])
    if any(mark.encode() in stored for mark in marks[:2]):
        raise Failed("a message holds octets of an earlier one of the session")


@check("TRC-10", "5321 4.4", "Return-Path is there once at most, and holds the reverse-path", needs="stored")
def stored_return_path(session: Session) -> None:
    session.ready()
    local, at, domain = session.target.sender.rpartition("@")
    for sender in (f"{local.swapcase()}{at}{domain}", ""):
        if session.command(f"MAIL FROM:<{sender}>").kind != 2:
            raise Inconclusive(f"MAIL FROM:<{sender}> is refused")
        session.rcpt()
        if session.command("MAIL FROM:<other@example.com>").kind == 2:
            raise Inconclusive("a second MAIL is accepted")
        if session.command("DATA").code != 354:
            raise Inconclusive("DATA is refused")
        mark = token()
        reply = session.content(letter(mark))
        if reply.kind != 2:
            raise Inconclusive(f"the content is refused: {reply}")
        header = _found(session, mark).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        paths = re.findall(rb"(?mi)^Return-Path:[ \t]*(.*?)[ \t]*$", header)
        if len(paths) > 1:
            raise Failed(f"Return-Path is there {len(paths)} times")
        # A server that relays adds none.
        if paths and paths[0].strip(b"<>") != sender.encode():
            raise Failed(f"MAIL FROM:<{sender}> is stored as Return-Path: {shown(paths[0])}")


@check(
    "TRC-04", "5321 4.4", "The date of Received has a year of four digits and a numeric zone", needs="stored"
)
def stored_date(session: Session) -> None:
    _, stored = _deliver(session, b"text\r\n")
    header = re.sub(rb"\n[ \t]+", b" ", stored.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
    fields = re.findall(rb"(?mi)^Received:.*$", header)
    if not fields:
        raise Inconclusive("no Received field")
    date = fields[0].rpartition(b";")[2]
    if not re.search(rb"[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})? [+-][0-9]{4}", date):
        raise Failed(f"not a valid date: {shown(fields[0][-120:])}")


@check("TRC-01", "5321 4.4", "A Received field stands on top of a stored message", needs="stored")
def stored_trace(session: Session) -> None:
    _, stored = _deliver(session, b"text\r\n")
    names = [line.split(b":")[0].lower() for line in stored.split(b"\n") if not line.startswith((b" ", b"\t"))]
    above = names[: names.index(b"from")] if b"from" in names else names
    if b"received" not in above:
        raise Failed(f"no Received field: {shown(stored[:120])}")


@check("TRC-05", "5321 4.4", "Received fields that are there already stay as they are", needs="stored")
def stored_header(session: Session) -> None:
    session.ready()
    session.data()
    mark = token()
    fields = b"Received: from a.example by b.example;\r\n Fri, 27 Nov 2026 11:00:00 +0000\r\nX-Odd:  two  blanks \r\n"
    reply = session.content(fields + letter(mark))
    if reply.kind != 2:
        raise Inconclusive(f"the content is refused: {reply}")
    stored = _found(session, mark).replace(b"\r\n", b"\n")
    if fields.replace(b"\r\n", b"\n") not in stored:
        raise Failed("the header is changed")


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
    last = Session(session.target)
    try:
        last.ready()
        last.data()
        mark = token()
        last.content(letter(mark))
        _found(last, mark)
    finally:
        last.end()
    store = session.target.store
    assert store is not None
    if not accepted and store.find(refused):
        raise Failed("a message that was refused is stored")
    if store.find(lost):
        raise Failed("a message without its final dot is stored")


@check("CHK-02", "3030 2", "The octets of chunks arrive as they were sent", keyword="CHUNKING", needs="stored")
def stored_chunks(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    mark = token()
    sent = letter(mark, b".\r\n..\r\n.a\r\n")
    for octets, word in ((sent[:-5], ""), (sent[-5:], " LAST")):
        session.send(f"BDAT {len(octets)}{word}\r\n".encode() + octets)
        reply = session.read("BDAT")
        if reply.kind != 2:
            raise Inconclusive(f"BDAT: {reply}")
    _same(sent, _found(session, mark), "the content is changed")
