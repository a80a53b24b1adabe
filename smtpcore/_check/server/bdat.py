"""Checks of CHUNKING and BINARYMIME (RFC 3030), and of BDAT where it is not offered."""

from __future__ import annotations

from typing import Final

from ..session import NAME, Session, letter, token
from ..table import Failed, Inconclusive, Table
from ..wire import Closed, Reply, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

_LARGEST: Final = 12 << 20  # octets of a message that is too large
_INSIDE: Final = b"NOOP inside\r\nRSET\r\n"
"""Octets of a chunk that must not be read as commands."""


def _chunk(session: Session, octets: bytes, *, last: bool = False) -> Reply:
    word = " LAST" if last else ""
    session.send(f"BDAT {len(octets)}{word}\r\n".encode() + octets)
    return session.read("BDAT")


def _begin(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()


@check("CHK-01", "3030 2", "A message of one chunk is accepted", keyword="CHUNKING")
def bdat_one_chunk(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token()), last=True), "BDAT LAST", 250)
    session.alive("after BDAT LAST")


@check("CHK-03", "3030 2", "Each chunk is answered by itself", keyword="CHUNKING")
def bdat_chunks(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    session.accepted(_chunk(session, b"more\r\n"), "a second BDAT", 250)
    session.accepted(_chunk(session, b"last\r\n", last=True), "BDAT LAST", 250)
    session.alive("after BDAT LAST")


@check("CHK-01", "3030 2", "An empty chunk is accepted", keyword="CHUNKING", level="SHOULD")
def bdat_empty_chunk(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, b""), "BDAT 0", 250)
    session.accepted(_chunk(session, letter(token()), last=True), "BDAT LAST", 250)


@check("CHK-04", "3030 2", "The last chunk may be empty", keyword="CHUNKING")
def bdat_empty_last(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    session.accepted(_chunk(session, b"", last=True), "BDAT 0 LAST", 250)
    session.alive("after BDAT 0 LAST")


@check(
    "CHK-02",
    "3030 2",
    "The octets of a chunk are not read as commands, and dots mean nothing",
    keyword="CHUNKING",
)
def bdat_is_transparent(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token()) + b"\r\n.\r\n" + _INSIDE + b"\r\n.\r\n"), "BDAT", 250)
    session.accepted(_chunk(session, b".\r\n..\r\nQUIT\r\n", last=True), "BDAT LAST", 250)
    session.alive("after BDAT LAST")


@check("SES-07", "5321 4.1.1.9; 3030 2", "NOOP between chunks leaves the transaction alone", keyword="CHUNKING")
def bdat_and_noop(session: Session) -> None:
    _begin(session)
    octets = letter(token())
    session.accepted(_chunk(session, octets[:-7]), "BDAT", 250)
    session.alive("between chunks")
    session.accepted(_chunk(session, octets[-7:], last=True), "BDAT LAST after NOOP", 250)


@check("CHK-24", "1870 5", "The limit of size is about all chunks together", keyword="CHUNKING")
def bdat_above_the_limit(session: Session) -> None:
    _begin(session)
    limit = session.size_limit()
    if not 0 < limit <= _LARGEST:
        raise Inconclusive(f"the announced limit is none, or above {_LARGEST >> 20} MiB")
    piece = (b"x" * 510 + b"\r\n") * (limit // 3 // 512 + 1)
    replies = [_chunk(session, letter(token()))]
    replies += [_chunk(session, piece) for _ in range(3)]
    replies.append(_chunk(session, b"end\r\n", last=True))
    if replies[-1].kind == 2:
        raise Failed(f"chunks above the limit of {limit} octets: {replies[-1]}")
    refused = next(reply for reply in replies if reply.kind != 2)
    session.refused(refused, "chunks above the limit", 552)
    session.alive("after chunks above the limit")


@check("CHK-26", "3030 2", "A chunk is read wherever the transport cuts it", keyword="CHUNKING")
def bdat_in_pieces(session: Session) -> None:
    _begin(session)
    octets = letter(token())
    session.send(f"BDAT {len(octets)} LA".encode(), b"ST\r", b"\n" + octets[:10], octets[10:-1], octets[-1:])
    session.accepted(session.read("BDAT"), "BDAT in pieces", 250)
    session.alive("after BDAT in pieces")


@check("FRM-07", "5321 2.4", "BDAT and LAST are understood in any letter case", keyword="CHUNKING")
def bdat_in_any_case(session: Session) -> None:
    _begin(session)
    octets = letter(token())
    session.send(f"bDaT {len(octets)} lAsT\r\n".encode() + octets)
    session.accepted(session.read("BDAT"), "bDaT lAsT", 250)
    session.alive("after bDaT lAsT")


@check("CHK-23", "3030 2", "After the last chunk the sender and the recipients are gone", keyword="CHUNKING")
def bdat_ends_the_recipients(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token()), last=True), "BDAT LAST", 250)
    session.mail()
    session.not_ready_for_data("MAIL after BDAT LAST")


@check("CHK-05", "3030 2", "BDAT after the last chunk is refused with 503", keyword="CHUNKING")
def bdat_after_last(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token()), last=True), "BDAT LAST", 250)
    session.refused(_chunk(session, _INSIDE, last=True), "BDAT after BDAT LAST", 503)
    _no_more(session, "BDAT after BDAT LAST")


@check("CHK-06", "3030 2", "The octets of a chunk that is refused are not read as commands", keyword="CHUNKING")
def bdat_refused(session: Session) -> None:
    session.ready()
    session.refused(_chunk(session, _INSIDE, last=True), "BDAT without MAIL", 503)
    _no_more(session, "BDAT without MAIL")


@check("CHK-19", "3030 2", "BDAT without recipients fails, its octets read", keyword="CHUNKING")
def bdat_without_recipients(session: Session) -> None:
    session.ready()
    session.mail()
    session.refused(_chunk(session, _INSIDE, last=True), "BDAT without RCPT", 503, 554)
    _no_more(session, "BDAT without RCPT")


@check("CHK-07", "3030 2", "Chunks in one write after a refused one are read and refused", keyword="CHUNKING")
def bdat_refused_group(session: Session) -> None:
    session.ready()
    chunk = f"BDAT {len(_INSIDE)}\r\n".encode() + _INSIDE
    session.send(chunk * 3)
    for number in range(3):
        session.refused(session.read("BDAT"), f"BDAT number {number + 1} without MAIL", 503, 554)
    _no_more(session, "BDAT without MAIL")


def _no_more(session: Session, what: str) -> None:
    others = session.rest()
    if [reply.code for reply in others if reply.code != 421] not in ([221], []):
        raise Failed(f"{what}: its octets are read as commands: {others[0]}")


@check(
    "CHK-27",
    "practice; 3030 2",
    "BDAT without a usable size is refused, and what follows is not carried out",
    keyword="CHUNKING",
)
def bdat_malformed(session: Session) -> None:
    _begin(session)
    _are_refused(session, ("BDAT", "BDAT x LAST", "BDAT 99999999999999999999999999", "BDAT 1 LATE"))


@check("CHK-21", "3030 2", "The size of a chunk is digits and nothing else", keyword="CHUNKING", level="SHOULD")
def bdat_malformed_sizes(session: Session) -> None:
    _begin(session)
    _are_refused(session, ("BDAT -0 LAST", "BDAT +0 LAST", "BDAT 0x0 LAST", "BDAT 0k LAST"))


def _are_refused(session: Session, lines: tuple[str, ...]) -> None:
    """Claim that malformed BDAT lines are refused, each in a session of its own: most servers end it.

    Raises:
        Failed: One is not.
    """
    for line in lines:
        other = Session(session.target, keyword="CHUNKING")
        try:
            _begin(other)
            other.send(f"{line}\r\n".encode())
            if not other.wire.pending(0.2):
                continue  # the server waits for octets, and runs nothing
            reply = other.read("BDAT")
        except Closed:
            continue
        finally:
            session.wire.dialog[:] = other.wire.dialog
            other.wire.close()
        if reply.kind not in (4, 5):
            raise Failed(f"{line}: {reply}")


@check(
    "CHK-27",
    "practice; 3030 2",
    "What follows BDAT without a usable size is not carried out",
    keyword="CHUNKING",
    level="SHOULD",
)
def bdat_malformed_and_more(session: Session) -> None:
    _begin(session)
    session.send(b"BDAT x LAST\r\n" + _INSIDE)
    try:
        while True:
            reply = session.read("BDAT", 0.2)
            if reply.kind == 2:
                raise Failed(f"octets after BDAT without a size are read as commands: {reply}")
    except (Closed, Silent):
        session.wire.close()


@check("EHL-20", "5321 4.1.4; 3030 2", "EHLO drops the chunks", keyword="CHUNKING")
def bdat_and_ehlo(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    reply = session.command(f"EHLO {NAME}")
    if reply.kind != 2:
        session.permit(f"EHLO after BDAT: {reply}")
        return
    session.mail()
    session.rcpt()
    session.ready_for_data("MAIL and RCPT after chunks and EHLO")


@check("CHK-10", "3030 2", "RSET drops the chunks", keyword="CHUNKING")
def bdat_and_rset(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    session.accepted(session.command("RSET"), "RSET after BDAT", 250)
    session.refused(_chunk(session, b"", last=True), "BDAT after RSET", 503)
    session.command("RSET")
    session.mail()
    session.rcpt()
    session.ready_for_data("after BDAT and RSET")


@check("CHK-11", "3030 2", "DATA after BDAT is refused with 503", keyword="CHUNKING")
def bdat_then_data(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    reply = session.command("DATA")
    if reply.code == 354:
        session.content(b"")
    session.refused(reply, "DATA after BDAT", 503, strict=True)


@check("CHK-22", "5321 4.1.4", "MAIL and RCPT after a first chunk are refused with 503", keyword="CHUNKING")
def bdat_then_rcpt(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token())), "BDAT", 250)
    session.refused(session.command(f"MAIL FROM:<{session.target.sender}>"), "MAIL after BDAT", 503)
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.refused(reply, "RCPT after BDAT", 503)


@check("CHK-12", "3030 2", "DATA goes on working after a message by BDAT", keyword="CHUNKING")
def bdat_then_a_message_by_data(session: Session) -> None:
    _begin(session)
    session.accepted(_chunk(session, letter(token()), last=True), "BDAT LAST", 250)
    session.data()
    session.accepted(session.content(letter(token())), "the content")


@check("CHK-29", "3030 2, 4.2", "BDAT is accepted in one write with MAIL and RCPT", keyword="CHUNKING")
def bdat_in_a_group(session: Session) -> None:
    session.ready()
    if "PIPELINING" not in (session.offered or {}):
        raise Inconclusive("PIPELINING is not offered")
    target, octets = session.target, letter(token())
    session.send(
        f"MAIL FROM:<{target.sender}>\r\nRCPT TO:<{session.recipient}>\r\nBDAT {len(octets)} LAST\r\n".encode()
        + octets
    )
    for verb in ("MAIL", "RCPT", "BDAT"):
        session.accepted(session.read(verb), verb, 250, 251, 252)
    session.alive("after BDAT in a group")


@check(
    "CHK-20",
    "practice; 3030 2",
    "An enormous chunk is refused or awaited, and nothing of it is carried out",
    keyword="CHUNKING",
)
def bdat_enormous(session: Session) -> None:
    _begin(session)
    session.send(b"BDAT 4611686018427387904 LAST\r\n" + _INSIDE + b"QUIT\r\n")
    octets = session.wire.pending(0.1)
    if octets[:1] in (b"2", b"3"):
        raise Failed(f"the octets of an enormous chunk are read as commands: {octets[:60]!r}")
    session.wire.close()


@check(
    "CHK-28",
    "practice",
    "Where CHUNKING is not offered, the octets of BDAT are not carried out",
)
def bdat_not_offered(session: Session) -> None:
    session.ready()
    if "CHUNKING" in (session.offered or {}):
        return
    session.mail()
    session.send(f"BDAT {len(_INSIDE)} LAST\r\n".encode() + _INSIDE)
    try:
        reply = session.read("?")
    except Closed:
        return
    except Silent:
        raise Failed("BDAT is not answered") from None
    session.refused(reply, "BDAT where CHUNKING is not offered", 500, 502, 503)
    _no_more(session, "BDAT where CHUNKING is not offered")


@check("BIN-01", "3030 3", "BINARYMIME is offered together with CHUNKING only", keyword="BINARYMIME")
def binarymime_needs_chunking(session: Session) -> None:
    session.ready()
    if "CHUNKING" not in (session.offered or {}):
        raise Failed("BINARYMIME is offered without CHUNKING")


@check("BIN-03", "3030 3", "DATA is refused for a binary message", keyword="BINARYMIME")
def binarymime_and_data(session: Session) -> None:
    session.ready()
    session.mail(" BODY=BINARYMIME")
    session.rcpt()
    reply = session.command("DATA")
    if reply.code == 354:
        session.content(b"")
    session.refused(reply, "DATA after BODY=BINARYMIME", 503, strict=True)


@check("BIN-03", "3030 3", "BODY=BINARYMIME of a transaction ends with it", keyword="BINARYMIME")
def binarymime_ends_with_the_transaction(session: Session) -> None:
    session.ready()
    session.mail(" BODY=BINARYMIME")
    session.command("RSET")
    session.mail()
    session.rcpt()
    session.ready_for_data("after an earlier transaction with BODY=BINARYMIME")
    refused = f"MAIL FROM:<{session.target.sender}> BODY=BINARYMIME XFROBNICATE"
    session.refused(session.command(refused), refused)
    session.mail()
    session.rcpt()
    session.ready_for_data("after a refused MAIL with BODY=BINARYMIME")


@check("BIN-05", "3030 3", "Binary octets are accepted by BDAT", keyword="BINARYMIME")
def binarymime_octets(session: Session) -> None:
    session.ready()
    session.mail(" BODY=BINARYMIME")
    session.rcpt()
    session.accepted(
        _chunk(session, letter(token()) + bytes(range(256)) + b"\n\r", last=True), "BDAT LAST", 250
    )
    session.alive("after binary octets")


@check("BIN-02", "3030 3", "BODY=BINARYMIME is refused where it is not offered")
def binarymime_not_offered(session: Session) -> None:
    session.ready()
    if "BINARYMIME" in (session.offered or {}):
        return
    line = f"MAIL FROM:<{session.target.sender}> BODY=BINARYMIME"
    session.refused(session.command(line), line, 501, 504, 555)
