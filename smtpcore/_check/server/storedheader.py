"""Checks of the header of stored messages. They need a place where the messages show up."""

from __future__ import annotations

import re
from typing import Final

from ..session import NAME, Session, letter, token
from ..table import Failed, Inconclusive, Table
from ..wire import shown
from .stored import accepted, copies, deliver, ends_with, found, send_content

CHECKS: Final = Table[Session]()
check = CHECKS.check


def _added(stored: bytes) -> bytes:
    """What the server has put on top of a message of ours, with LF line ends, and unfolded."""
    above = stored.replace(b"\r\n", b"\n").partition(b"\nFrom: <check@")[0]
    return re.sub(rb"\n[ \t]+", b" ", above)


def _received(stored: bytes) -> bytes:
    """The Received field that the server has added, unfolded.

    Raises:
        Inconclusive: There is none.
    """
    match = re.search(rb"(?mi)^Received:.*$", _added(stored))
    if match is None:
        raise Inconclusive("no Received field")
    return match[0]


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
        accepted(session.content(letter(mark)))
        header = found(session, mark).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
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
    _, stored = deliver(session, b"text\r\n")
    field = _received(stored)
    date = field.rpartition(b";")[2]
    if not re.search(rb"[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})? [+-][0-9]{4}", date):
        raise Failed(f"not a valid date: {shown(field[-120:])}")


@check("TRC-01", "5321 4.4", "A Received field stands on top of a stored message", needs="stored")
def stored_trace(session: Session) -> None:
    _, stored = deliver(session, b"text\r\n")
    names = [line.split(b":")[0].lower() for line in stored.split(b"\n") if not line.startswith((b" ", b"\t"))]
    above = names[: names.index(b"from")] if b"from" in names else names
    if b"received" not in above:
        raise Failed(f"no Received field: {shown(stored[:120])}")


@check("TRC-05", "5321 4.4", "Received fields that are there already stay as they are", needs="stored")
def stored_header(session: Session) -> None:
    session.ready()
    mark = token()
    received = b"Received: from a.example by b.example;\r\n Fri, 27 Nov 2026 11:00:00 +0000\r\n"
    fields = received + b"X-Odd:  two  blanks \r\n"
    send_content(session, fields + letter(mark))
    stored = found(session, mark).replace(b"\r\n", b"\n")
    if fields.replace(b"\r\n", b"\n") not in stored:
        raise Failed("the header is changed")


_FIELDS: Final = (
    b"X-Twice: 1\r\nX-Address: root\r\nx-lower: y\r\nX-Twice: 2\r\n"
    b"X-Folded: a\r\n b\r\n\tc\r\nX-Empty:\r\nX-Long: " + b"x" * 300 + b"\r\n"
)


def _with_fields(session: Session, fields: bytes, parameters: str = "") -> tuple[bytes, bytes]:
    """Send a message with fields at the end of its header; return what was sent and what was stored.

    Raises:
        Inconclusive: It was refused.
        Failed: It is not stored.
    """
    session.ready()
    session.data(parameters)
    mark = token()
    # A server may complete the address of a local client (RFC 6409 8.5).
    header, empty, body = letter(mark).replace(b"<postmaster>", b"<check@example.com>").partition(b"\r\n\r\n")
    sent = header + b"\r\n" + fields + empty[2:] + body
    accepted(session.content(sent))
    return sent, found(session, mark)


@check(
    "TRC-01",
    "5321 4.4, 3.6.3",
    "Fields are added on top of the header only, and none is changed",
    needs="stored",
)
def stored_header_is_whole(session: Session) -> None:
    sent, stored = _with_fields(session, _FIELDS)
    ends_with(stored, sent, "the header is changed")


@check("TRC-01", "5321 4.4; 5322 3.6.3", "A Bcc field that was sent arrives", needs="stored", level="SHOULD")
def stored_bcc(session: Session) -> None:
    sent, stored = _with_fields(session, b"Bcc: <check@example.com>\r\n")
    ends_with(stored, sent, "the header is changed")


@check("UTF-09", "6531 3.6; 6532 3", "A header in UTF-8 arrives unchanged", keyword="SMTPUTF8", needs="stored")
def stored_utf8_header(session: Session) -> None:
    sent, stored = _with_fields(session, "X-Text: gr\u00fc\u00df dich \u4f60\r\n".encode(), " SMTPUTF8")
    ends_with(stored, sent, "the header is changed")


@check("TRC-02", "5321 4.4", "Received tells the name of the client and its address", needs="stored")
def stored_received_from(session: Session) -> None:
    field = _received(deliver(session, b"text\r\n")[1])
    if not re.match(rb"(?i)Received:[ \t]+from[ \t]", field):
        raise Failed(f"no from clause: {shown(field)}")
    for what in (NAME, str(session.wire.socket.getsockname()[0])):
        if what.encode() not in field:
            session.permit(f"{what} is not in {shown(field)}")


@check("TRC-02", "5321 4.4", "Received tells the name of the server", needs="stored")
def stored_received_by(session: Session) -> None:
    field = _received(deliver(session, b"text\r\n")[1])
    if not re.search(rb"(?i)[ \t]by[ \t]+[A-Za-z0-9\[]", field):
        raise Failed(f"no by clause: {shown(field)}")


@check("TRC-06", "3848 1", "Received tells the protocol", needs="stored", level="SHOULD")
def stored_received_with(session: Session) -> None:
    field = _received(deliver(session, b"text\r\n")[1])
    right = f"ESMTP{'S' * session.wire.tls}{'A' * session.target.needs_auth}"
    match = re.search(rb"(?i)[ \t]with[ \t]+([^ \t;]+)", field)
    if match is None or shown(match[1]).upper() != right:
        raise Failed(f"not with {right}: {shown(field)}")


@check(
    "TRC-03", "5321 4.4, 7.2", "The header of a message to two recipients does not list them", needs="stored"
)
def stored_recipients_are_not_told(session: Session) -> None:
    session.ready()
    session.mail()
    candidates = (session.recipient, "postmaster", f"postmaster@{session.target.domain}", "check@example.com")
    # One after the other: a server may count refusals.
    recipients: list[str] = []
    for candidate in dict.fromkeys(candidates):
        if len(recipients) < 2 and session.command(f"RCPT TO:<{candidate}>").kind == 2:
            recipients.append(candidate)
    if len(recipients) < 2:
        raise Inconclusive("no second recipient is known that the server accepts")
    reply = session.command("DATA")
    if reply.code != 354:
        raise Inconclusive(f"DATA was refused: {reply}")
    mark = token()
    accepted(session.content(letter(mark)))
    for message in copies(session, mark):
        added = _added(message)
        told = [
            one
            for one in recipients
            if re.search(rb"(?<![\w.@-])%b(?![\w.@-])" % re.escape(one.encode()), added)
        ]
        if len(told) > 1:
            raise Failed(f"both recipients are told: {shown(added)}")
        if told and re.search(rb"(?mi)^Received:.*[ \t]for[ \t]", added):
            session.permit(f"Received names one of two recipients: {shown(added)}")
