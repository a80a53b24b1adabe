"""Checks of PIPELINING (RFC 2920): groups of commands, cut at each border."""

from __future__ import annotations

from typing import Final

from ..session import Session, letter, token
from ..table import Failed, Inconclusive, Table
from ..wire import Closed, Reply, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

_PIPELINING: Final = "PIPELINING"


def _group(session: Session) -> tuple[bytes, tuple[str, ...]]:
    """A group with a recipient that is refused in it, and the verbs of its replies."""
    target = session.target
    lines = (
        "RSET",
        f"MAIL FROM:<{target.sender}>",
        f"RCPT TO:<{target.recipient}>",
        "RCPT TO:<@@>",
        f"RCPT TO:<{target.recipient}>",
        "RSET",
    )
    return ("\r\n".join(lines) + "\r\n").encode(), tuple(line.split()[0] for line in lines)


def _answers(session: Session, verbs: tuple[str, ...], what: str) -> list[Reply]:
    replies = []
    for number, verb in enumerate(verbs, 1):
        try:
            replies.append(session.read(verb))
        except (Silent, Closed) as error:
            raise Failed(f"{what}: {len(verbs)} commands, {number - 1} replies: {error}") from None
    return replies


def _check_group(session: Session, what: str, *pieces: bytes) -> None:
    _, verbs = _group(session)
    session.send(*pieces)
    kinds = [reply.kind for reply in _answers(session, verbs, what)]
    if kinds == [2, 2, 2, 4, 2, 2]:
        session.permit("a malformed recipient is refused temporarily")
    elif kinds != [2, 2, 2, 5, 2, 2]:
        raise Failed(f"{what}: the replies do not answer the commands in order: {kinds}")


@check("PIP-11", "2920 3.2", "The replies to a group come in the order of its commands", keyword=_PIPELINING)
def group_in_one_write(session: Session) -> None:
    session.ready()
    _check_group(session, "a group in one write", _group(session)[0])
    session.alive("after a group")


@check("PIP-11", "2920 3.2", "A group is answered in order wherever the transport cuts it", keyword=_PIPELINING)
def group_cut_at_each_border(session: Session) -> None:
    session.ready()
    octets, _ = _group(session)
    borders = {0}
    at = -1
    while (at := octets.find(b"\r\n", at + 1)) >= 0:
        borders |= {at, at + 1, at + 2, at + 3}
    for cut in sorted(cut for cut in borders if 0 < cut < len(octets)):
        _check_group(session, f"a group cut after {cut} octets", octets[:cut], octets[cut:])
    session.alive("after the groups")


@check("PIP-11", "2920 3.2", "A group that arrives octet by octet is answered in order", keyword=_PIPELINING)
def group_octet_by_octet(session: Session) -> None:
    session.ready()
    octets, _ = _group(session)
    _check_group(session, "a group octet by octet", *(octets[at : at + 1] for at in range(len(octets))))
    session.alive("after a group")


@check(
    "PIP-15", "2920 3.2(7)", "A reply is not withheld while the next command is incomplete", keyword=_PIPELINING
)
def replies_are_not_withheld(session: Session) -> None:
    session.ready()
    session.send(b"RSET\r\nRSE")
    try:
        session.accepted(session.read("RSET"), "RSET before an incomplete command")
    except Silent:
        raise Failed("the reply to a command is withheld until the next one is complete") from None
    session.send(b"T\r\n")
    session.accepted(session.read("RSET"), "RSET in two pieces")


@check("PIP-14", "2920 3.2(6)", "An unknown command in a group is answered in its place", keyword=_PIPELINING)
def unknown_command_in_a_group(session: Session) -> None:
    session.ready()
    session.send(b"RSET\r\nFROBNICATE\r\nRSET\r\n")
    kinds = [reply.kind for reply in _answers(session, ("RSET", "FROBNICATE", "RSET"), "a group")]
    if kinds != [2, 5, 2]:
        raise Failed(f"the replies do not answer the commands in order: {kinds}")
    session.alive("after a group")


@check(
    "PIP-21", "2920 3.1", "After a refused MAIL the RCPT and DATA of the group are refused", keyword=_PIPELINING
)
def group_with_refused_mail(session: Session) -> None:
    session.ready()
    session.send(f"MAIL FROM:<@@>\r\nRCPT TO:<{session.target.recipient}>\r\nDATA\r\n".encode())
    replies = _answers(session, ("MAIL", "RCPT", "DATA"), "a group")
    if replies[0].kind == 2 or replies[1].kind == 2:
        raise Failed(f"MAIL: {replies[0]}; RCPT: {replies[1]}")
    _data_without_recipients(session, replies[2])


@check(
    "PIP-18", "2920 3.2(3)", "DATA in a group is refused where no recipient was accepted", keyword=_PIPELINING
)
def group_with_refused_recipients(session: Session) -> None:
    session.ready()
    session.send(f"MAIL FROM:<{session.target.sender}>\r\nRCPT TO:<@@>\r\nDATA\r\n".encode())
    replies = _answers(session, ("MAIL", "RCPT", "DATA"), "a group")
    if replies[1].kind == 2:
        raise Failed(f"RCPT TO:<@@>: {replies[1]}")
    _data_without_recipients(session, replies[2])
    session.alive("after the group")


def _data_without_recipients(session: Session, reply: Reply) -> None:
    if reply.code != 354:
        session.refused(reply, "DATA without a recipient", 503, 554)
        return
    after = session.content(b"")
    if after.kind == 2:
        raise Failed(f"empty content without a recipient is accepted: {after}")
    session.permit(f"DATA without a recipient is answered with 354, and the content refused: {after}")


@check("PIP-13", "2920 3.2(5)", "MAIL, RCPT and DATA in one write lead to 354", keyword=_PIPELINING)
def group_that_ends_in_data(session: Session) -> None:
    session.ready()
    _send_transaction(session, b"")
    session.accepted(session.content(letter(token())), "the content")
    session.alive("after a message")


def _send_transaction(session: Session, before: bytes) -> None:
    target = session.target
    session.send(before + f"MAIL FROM:<{target.sender}>\r\nRCPT TO:<{target.recipient}>\r\nDATA\r\n".encode())
    verbs = ("MAIL", "RCPT", "DATA") if not before else (".", "MAIL", "RCPT", "DATA")
    replies = _answers(session, verbs, "a group")
    if replies[-1].code != 354:
        raise Failed(f"a group that ends in DATA: {', '.join(map(str, replies))}")


@check("PIP-05", "2920 3.1", "The next transaction may come in one write with the content", keyword=_PIPELINING)
def group_after_the_content(session: Session) -> None:
    session.ready()
    session.data()
    _send_transaction(session, letter(token()) + b".\r\n")
    session.accepted(session.content(letter(token())), "the second content")
    session.alive("after two messages")


@check("PIP-17", "2920 3.2(9)", "QUIT in one write with the content is answered", keyword=_PIPELINING)
def quit_after_the_content(session: Session) -> None:
    session.ready()
    session.data()
    session.send(letter(token()) + b".\r\nQUIT\r\n")
    session.accepted(session.read("."), "the content")
    try:
        reply = session.read("QUIT")
    except (Silent, Closed) as error:
        raise Failed(f"QUIT in one write with the content is lost: {error}") from None
    if reply.code != 221:
        raise Failed(f"QUIT: {reply}")


@check("PIP-17", "2920 3.2(9)", "No command of a large group is lost", keyword=_PIPELINING)
def large_group(session: Session) -> None:
    session.ready()
    count = 400
    session.send(b"RSET\r\n" * count)
    for number, reply in enumerate(_answers(session, ("RSET",) * count, "a group of 400 RSET")):
        if reply.kind != 2:
            if reply.code == 421:
                raise Inconclusive(f"the server limits the number of commands: {reply}")
            raise Failed(f"RSET number {number + 1} of a group: {reply}")
    session.alive("after a large group")


@check("PIP-16", "2920 3.2(8)", "A group may end with any command", keyword=_PIPELINING)
def group_that_ends_in_noop(session: Session) -> None:
    session.ready()
    for last in ("NOOP", "VRFY postmaster", "EHLO check.example"):
        session.send(f"RSET\r\n{last}\r\n".encode())
        replies = _answers(session, ("RSET", last.split()[0]), f"RSET and {last}")
        if replies[0].kind != 2:
            raise Failed(f"RSET before {last}: {replies[0]}")
    session.alive("after the groups")
