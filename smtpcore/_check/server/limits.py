"""Checks of the sizes that a server has to accept, and of what it does beyond them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

from ..session import Session, letter, token
from ..table import Failed, Inconclusive, Table
from ..wire import Closed, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

_FLOOD: Final = 24 << 20  # octets of a line that does not end
_HELD: Final = 12 << 20  # octets by which the server may grow meanwhile


@check("LIM-01", "5321 4.5.3.1.4", "A command line of 512 octets is accepted")
def command_line_of_512(session: Session) -> None:
    session.ready()
    if session.command("NOOP x").code != 250:
        raise Inconclusive("NOOP with an argument is refused")
    session.accepted(session.command("NOOP " + "x" * 505), "NOOP of 512 octets", 250)


@check(
    "LIM-02",
    "5321 4.3.2, 4.5.3.1.9",
    "A command line that is too long costs one reply, and the session goes on",
)
def command_line_too_long(session: Session) -> None:
    for octets in (600, 5000, 70_000):
        if octets == 600:
            session.ready()
        reply = session.command("NOOP " + "x" * octets)
        if reply.code == 421:
            return
        if reply.kind not in (2, 5):
            raise Failed(f"a line of {octets} octets: {reply}")
        if reply.kind == 5:
            session.refused(reply, f"a line of {octets} octets", 500)
        try:
            session.alive(f"after a line of {octets} octets")
        except Failed:
            if session.wire.closed:
                session.permit(f"the server closes the connection after a line of {octets} octets")
                return
            raise


@check("LIM-02", "5321 4.5.3.1.9", "A MAIL line that is far too long begins no transaction", level="MUST")
def mail_line_too_long(session: Session) -> None:
    session.ready()
    try:
        reply = session.command("MAIL FROM:<" + "a" * 40_000 + "@example.com>")
    except Closed:
        session.permit("the server closes the connection")
        return
    if reply.kind == 2:
        raise Failed(f"a path of 40 000 octets is accepted: {reply}")
    if not session.wire.closed and reply.code != 421:
        with contextlib.suppress(Closed, Silent):
            answer = session.command(f"RCPT TO:<{session.recipient}>")
            if answer.kind == 2:
                raise Failed(f"RCPT after a MAIL line that was too long: {answer}")


@check("LIM-02", "5321 4.5.3.1.9", "The rest of a line that is too long is not read as a command")
def long_line_is_skipped_whole(session: Session) -> None:
    session.ready()
    for octets in (1000, 2048, 4096, 8192, 65536):
        # Wherever a server cuts the line, it finds commands in the rest.
        try:
            reply = session.command(b"FROBNIC " + b"NOOP    " * (octets // 8))
        except Closed:
            session.permit(f"the server closes the connection after a line of {octets} octets")
            return
        if reply.kind == 2:
            raise Failed(f"a part of a long line is carried out: {reply}")
        if reply.code == 421:
            return
    others = session.rest()
    extra = [reply for reply in others if reply.code not in (221, 421)]
    if extra:
        raise Failed(f"a long line is answered more than once: {extra[0]}")


@check("LIM-02", "5321 4.3.2, 4.5.3.1.9", "A command line that is too long leaves the transaction alone")
def long_line_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    try:
        reply = session.command("FROBNIC " + "x" * 5000)
        if reply.code == 421:
            raise Closed("the server ends the session")
        session.alive("after a line of 5000 octets")
    except (Closed, Failed):
        if not session.wire.closed and session.last is not None and session.last.code != 421:
            raise
        raise Inconclusive("the server closes the connection after a line of 5000 octets") from None
    session.ready_for_data("after a line of 5000 octets")


@check("LIM-15", "5321 4.5.3.1.8", "A transaction can have 100 recipients")
def hundred_recipients(session: Session) -> None:
    session.ready()
    session.mail()
    for number in range(100):
        reply = session.command(f"RCPT TO:<{session.recipient}>")
        if reply.kind != 2:
            raise Failed(f"recipient {number + 1}: {reply}")
    session.ready_for_data("after 100 recipients")
    # They do not count in the next transaction.
    session.mail()
    for number in range(100):
        reply = session.command(f"RCPT TO:<{session.recipient}>")
        if reply.kind != 2:
            raise Failed(f"recipient {number + 1} of a second transaction: {reply}")


@check(
    "LIM-16",
    "5321 4.5.3.1.10",
    "Recipients beyond the limit are refused with 452, and the others stand",
    keyword="PIPELINING",
)
def too_many_recipients(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    line = f"RCPT TO:<{session.recipient}>\r\n".encode()
    for _ in range(11):
        session.send(line * 100)
        for _ in range(100):
            reply = session.read("RCPT")
            if reply.code == 421:
                raise Inconclusive(f"the server limits the number of commands: {reply}")
            if reply.code == 552:
                raise Failed(f"too many recipients: {reply} (expected: 452)")
            if reply.kind == 5:
                session.permit(f"too many recipients: {reply} (recommended: 452)")
    session.ready_for_data("after too many recipients")


@check("LIM-09", "5321 4.5.3.1.5", "A reply that quotes the command has lines of 512 octets at most")
def replies_to_long_commands(session: Session) -> None:
    # The rule about the length of replies judges what comes.
    session.ready()
    session.command("F" * 505)
    session.command("VRFY " + "v" * 500)
    session.command("MAIL FROM:<" + "m" * 490)
    session.command(f"EHLO {'.'.join(['e' * 61] * 4)}")
    session.mail()
    session.command("RCPT TO:<" + "r" * 490 + ">")
    session.command("HELP " + "h" * 500)


@check("FRM-16", "5321 7.8", "A line that does not end does not fill the memory of the server")
def endless_line(session: Session) -> None:
    session.ready()
    process = _process_of(session)
    before = _memory(process)
    piece = b"x" * 65536
    with contextlib.suppress(Closed, Silent, OSError):
        for _ in range(_FLOOD // len(piece)):
            session.wire.socket.settimeout(session.target.timeout)
            session.wire.socket.sendall(piece)
            if session.wire.pending():
                return  # it was refused before its end
        session.wire.dialog.append(f"C: {_FLOOD} octets without a line end")
        # The server has read what the socket could not hold.
        grown = _memory(process) - before
        if grown > _HELD:
            raise Failed(f"the server holds the line: it grew by {grown >> 20} MiB")
        session.send(b"\r\n")
        reply = session.read("?")
        if reply.kind == 2:
            raise Failed(f"a line of {_FLOOD >> 20} MiB is accepted: {reply}")
        grown = max(grown, _memory(process) - before)
        if grown > _HELD:
            raise Failed(f"the server holds the line: it grew by {grown >> 20} MiB")


def _process_of(session: Session) -> Path:
    """The entry in /proc of the process that serves the connection.

    Raises:
        Inconclusive: It cannot be found: on another system or machine, without the right to, or it is our own.
    """
    if not sys.platform.startswith("linux"):
        raise Inconclusive("the memory of the server can be measured on Linux only")
    own, peer = (
        address[1] for address in (session.wire.socket.getsockname(), session.wire.socket.getpeername())
    )
    inode = ""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if int(words[1].rpartition(":")[2], 16) == peer and int(words[2].rpartition(":")[2], 16) == own:
                    inode = words[9]
    for process in Path("/proc").glob("[0-9]*") if inode not in ("", "0") else ():
        if _holds(process, inode):
            if process.name == Path("/proc/self").readlink().name:
                raise Inconclusive("the server is a part of this process")
            return process
    raise Inconclusive("the process of the server cannot be seen")


def _holds(process: Path, inode: str) -> bool:
    """Whether a process has a socket open."""
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # it may be closed meanwhile
                if entry.readlink().name == f"socket:[{inode}]":
                    return True
    return False


def _memory(process: Path) -> int:
    """The resident memory of a process, in octets."""
    try:
        return int((process / "statm").read_text().split()[1]) * 4096
    except (OSError, ValueError):
        raise Inconclusive("the memory of the server cannot be read") from None


@check("AUT-46", "4954 3", "With AUTH a MAIL line may be longer than 512 octets", keyword="AUTH")
def long_mail_line_with_auth(session: Session) -> None:
    session.ready()
    domain = ".".join(["d" * 61] * 4)[:180]
    address = f"{'a' * 64}@{domain}"
    line = f"MAIL FROM:<{address}> AUTH={address}"
    line += f" SIZE={'0' * 10}100" if "SIZE" in (session.offered or {}) else ""
    reply = session.command(line)
    if reply.code in (500, 501, 503, 504, 552, 555):
        short = session.command(f"MAIL FROM:<{session.target.sender}> AUTH=<>")
        if short.kind == 2:
            raise Failed(f"a MAIL line of {len(line) + 2} octets: {reply}")
        raise Inconclusive(f"the AUTH parameter is refused: {short}")
    if reply.kind != 2:
        session.permit(f"a MAIL line of {len(line) + 2} octets: {reply}")


@check("LIM-17", "5321 4.5.3.1", "A message with 200 lines of header is accepted")
def many_header_lines(session: Session) -> None:
    session.ready()
    session.data()
    lines = b"".join(b"X-Line: %d\r\n" % number for number in range(200))
    session.accepted(session.content(lines + letter(token())), "the content")
