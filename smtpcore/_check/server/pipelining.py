"""Checks of PIPELINING (RFC 2920): groups of commands, cut at each border."""

from __future__ import annotations

from typing import Final

from ..session import Session, letter, token
from ..table import Failed, Table
from ..wire import Closed, Reply, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

_PIPELINING: Final = "PIPELINING"


def _transaction(session: Session) -> bytes:
    """A group that leads to 354."""
    target = session.target
    return f"MAIL FROM:<{target.sender}>\r\nRCPT TO:<{session.recipient}>\r\nDATA\r\n".encode()


def _answers(session: Session, verbs: tuple[str, ...], what: str) -> list[Reply]:
    replies = []
    for number, verb in enumerate(verbs, 1):
        try:
            replies.append(session.read(verb))
        except (Silent, Closed) as error:
            raise Failed(f"{what}: {len(verbs)} commands, {number - 1} replies: {error}") from None
    return replies


def _send_transaction(session: Session, what: str, *pieces: bytes, before: tuple[str, ...] = ()) -> None:
    """Send the pieces of a group that leads to 354, and claim that it does.

    Raises:
        Failed: A reply is missing, or another one.
    """
    session.send(*pieces)
    verbs = (*before, "MAIL", "RCPT", "DATA")
    replies = _answers(session, verbs, what)
    if [reply.kind for reply in replies] != [*(2 for _ in verbs[1:]), 3]:
        raise Failed(f"{what}: the replies do not answer the commands: {', '.join(map(str, replies))}")


@check("PIP-11", "2920 3.2", "The replies to a group come in the order of its commands", keyword=_PIPELINING)
def group_in_one_write(session: Session) -> None:
    session.ready()
    target = session.target
    recipient = f"RCPT TO:<{session.recipient}>\r\n"
    session.send(f"MAIL FROM:<{target.sender}>\r\n{recipient}RCPT TO:<@@>\r\n{recipient}RSET\r\n".encode())
    replies = _answers(session, ("MAIL", "RCPT", "RCPT", "RCPT", "RSET"), "a group in one write")
    kinds = [reply.kind for reply in replies]
    if kinds == [2, 2, 4, 2, 2]:
        session.permit("a malformed recipient is refused temporarily")
    elif kinds != [2, 2, 5, 2, 2]:
        raise Failed(f"the replies do not answer the commands in order: {', '.join(map(str, replies))}")
    session.alive("after a group")


@check("PIP-11", "2920 3.2", "A group is answered in order wherever the transport cuts it", keyword=_PIPELINING)
def group_cut_at_each_border(session: Session) -> None:
    session.ready()
    octets = _transaction(session)
    ends = [at for at in range(len(octets)) if octets[at : at + 2] == b"\r\n"]
    for cut in sorted({end + near for end in ends for near in (0, 1, 2, 3)} - {len(octets), len(octets) + 1}):
        _send_transaction(session, f"a group cut after {cut} octets", octets[:cut], octets[cut:])
        session.accepted(session.content(letter(token())), "the content")
    session.alive("after the groups")


@check("PIP-11", "2920 3.2", "A group that arrives octet by octet is answered in order", keyword=_PIPELINING)
def group_octet_by_octet(session: Session) -> None:
    session.ready()
    octets = _transaction(session)
    pieces = (octets[at : at + 1] for at in range(len(octets)))
    _send_transaction(session, "a group octet by octet", *pieces)
    session.accepted(session.content(letter(token())), "the content")
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
    session.send(f"MAIL FROM:<@@>\r\nRCPT TO:<{session.recipient}>\r\nDATA\r\n".encode())
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
    _send_transaction(session, "a group that ends in DATA", _transaction(session))
    session.accepted(session.content(letter(token())), "the content")
    session.alive("after a message")


@check("PIP-05", "2920 3.1", "The next transaction may come in one write with the content", keyword=_PIPELINING)
def group_after_the_content(session: Session) -> None:
    session.ready()
    session.data()
    octets = letter(token()) + b".\r\n" + _transaction(session)
    _send_transaction(session, "content and a group", octets, before=(".",))
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
    count = 90
    recipient = f"RCPT TO:<{session.recipient}>\r\n".encode()
    octets = _transaction(session)
    session.send(octets.replace(recipient, recipient * count))
    replies = _answers(session, ("MAIL", *("RCPT",) * count, "DATA"), f"a group of {count + 2} commands")
    for number, reply in enumerate(replies[:-1]):
        if reply.kind != 2:
            raise Failed(f"command {number + 1} of a group: {reply}")
    session.accepted(session.content(letter(token())), "the content")
    session.alive("after a large group")


@check("SES-01", "5321 4.1.1.5; 2920 3.1", "RSET within a group drops the transaction", keyword=_PIPELINING)
def rset_in_a_group(session: Session) -> None:
    session.ready()
    mail = f"MAIL FROM:<{session.target.sender}>\r\n"
    session.send(f"{mail}RCPT TO:<{session.recipient}>\r\nRSET\r\n{mail}".encode())
    *_, second = _answers(session, ("MAIL", "RCPT", "RSET", "MAIL"), "a group with RSET")
    if second.code == 503:
        raise Failed(f"MAIL after RSET in a group: {second}")
    session.not_ready_for_data("after a group with RSET")


@check(
    "PIP-17", "2920 3.2(9)", "What follows a command that ends a group is not thrown away", keyword=_PIPELINING
)
def nothing_is_thrown_away(session: Session) -> None:
    session.ready()
    for first in (
        "NOOP",
        "VRFY postmaster",
        "HELP",
        "EXPN postmaster",
        "HELO check.example",
        "EHLO check.example",
    ):
        session.send(f"{first}\r\nRSET\r\n".encode())
        verb = first.split()[0]
        reply = session.read(verb)
        if reply.code in (421, 554):
            # A client must not send such a group (RFC 2920 3.1), and some servers end the session.
            session.permit(f"{verb} and RSET in one write: {reply}")
            return
        _answers(session, ("RSET",), f"{verb} and RSET in one write")
    session.alive("after the groups")


@check("PIP-16", "2920 3.2(8)", "A group may end with any command", keyword=_PIPELINING)
def group_that_ends_in_noop(session: Session) -> None:
    session.ready()
    for last in ("NOOP", "EHLO check.example"):
        session.send(f"RSET\r\n{last}\r\n".encode())
        replies = _answers(session, ("RSET", last.split()[0]), f"RSET and {last}")
        if replies[0].kind != 2:
            raise Failed(f"RSET before {last}: {replies[0]}")
    session.alive("after the groups")
