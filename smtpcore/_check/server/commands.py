"""Checks of the commands that take part in no transaction, of unknown commands, and of how lines are read."""

from __future__ import annotations

import re
from typing import Final

from ..session import NAME, Session
from ..table import Check, Failed, Inconclusive, Level, Table
from ..wire import Closed, Silent, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_QUIET: Final = 0.1  # seconds in which an early reply would come


@check("SES-07", "5321 4.1.1.9", "NOOP is answered with 250")
def noop_is_250(session: Session) -> None:
    session.ready()
    session.accepted(session.command("NOOP"), "NOOP", 250)


@check("SES-08", "5321 4.1.1.9", "The argument of NOOP is ignored", level="SHOULD")
def noop_ignores_its_argument(session: Session) -> None:
    session.ready()
    session.accepted(session.command("NOOP whatever it is"), "NOOP with an argument", 250)


@check("SES-07", "5321 4.1.1.9", "NOOP leaves the transaction alone")
def noop_changes_nothing(session: Session) -> None:
    _changes_nothing(session, "NOOP")


@check("SES-30", "5321 4.1.1.10", "Eight NOOPs do not end the session")
def many_noops(session: Session) -> None:
    session.ready()
    for number in range(8):
        session.alive(f"after {number} NOOPs")


@check("SES-10", "5321 4.1.1.6", "VRFY leaves the transaction alone")
def vrfy_changes_nothing(session: Session) -> None:
    _changes_nothing(session, "VRFY postmaster")


@check("SES-26", "5321 4.1.1.8", "HELP leaves the transaction alone")
def help_changes_nothing(session: Session) -> None:
    _changes_nothing(session, "HELP")


@check("SES-45", "5321 4.1.1.7", "EXPN leaves the transaction alone")
def expn_changes_nothing(session: Session) -> None:
    _changes_nothing(session, "EXPN staff")


@check("SES-43", "5321 4.1.4", "An unknown command leaves the transaction alone")
def unknown_command_changes_nothing(session: Session) -> None:
    _changes_nothing(session, "FROBNICATE now")


def _changes_nothing(session: Session, line: str) -> None:
    session.ready()
    session.mail()
    between = session.command(line)
    if between.code == 421:
        raise Inconclusive(f"{line}: {between}")
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    if reply.code == 503:
        raise Failed(f"{line} has ended the transaction: RCPT: {reply}")
    session.command(line)
    session.ready_for_data(f"after {line}")


@check("SES-01", "5321 4.1.1.5", "RSET is answered with 250")
def rset_is_250(session: Session) -> None:
    session.ready()
    session.accepted(session.command("RSET"), "RSET", 250)
    session.alive("after RSET")


@check("SES-02", "5321 4.1.1.5", "RSET is allowed before EHLO")
def rset_is_allowed_before_ehlo(session: Session) -> None:
    session.greeting()
    session.accepted(session.command("RSET"), "RSET before EHLO", 250)


@check("SES-01", "5321 4.1.1.5", "RSET drops the sender")
def rset_drops_the_sender(session: Session) -> None:
    session.ready()
    session.mail()
    session.accepted(session.command("RSET"), "RSET within a transaction", 250)
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.refused(reply, "RCPT after RSET", 503, strict=True)
    session.mail()


@check("SES-01", "5321 4.1.1.5", "RSET drops the recipients")
def rset_drops_the_recipients(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    session.accepted(session.command("RSET"), "RSET within a transaction", 250)
    session.mail()
    session.not_ready_for_data("MAIL after RSET")


@check("SES-03", "5321 4.1.1.5", "RSET keeps the connection open")
def rset_keeps_the_connection(session: Session) -> None:
    session.ready()
    for _ in range(3):
        session.command("RSET")
    session.alive("after RSET")


@check("SES-04", "5321 4.1.1.5", "RSET keeps the introduction")
def rset_keeps_the_introduction(session: Session) -> None:
    session.ready()
    session.command("RSET")
    reply = session.command(f"MAIL FROM:<{session.target.sender}>")
    session.accepted(reply, "MAIL after RSET")


@check("SES-05", "5321 4.1.1", "RSET with an argument is refused with 501", level="SHOULD")
def rset_takes_no_argument(session: Session) -> None:
    session.ready()
    session.refused(session.command("RSET now"), "RSET with an argument", 501)


@check("SES-43", "5321 4.1.4", "RSET that is refused for its argument leaves the transaction alone")
def refused_rset_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    reply = session.command("RSET now")
    if reply.kind == 2:
        raise Inconclusive(f"RSET with an argument is accepted: {reply}")
    session.ready_for_data("after RSET with an argument")


@check("SES-19", "5321 3.5.1", "VRFY takes a mailbox with a domain", level="SHOULD")
def vrfy_takes_a_mailbox(session: Session) -> None:
    session.ready()
    reply = session.command(f"VRFY postmaster@{session.target.domain}")
    if reply.code in (500, 501, 504):
        raise Failed(f"VRFY of a mailbox: {reply}")


@check("SES-09", "5321 4.5.1", "VRFY is implemented", level="MUST")
def vrfy_is_implemented(session: Session) -> None:
    session.ready()
    reply = session.command("VRFY postmaster")
    if reply.code == 502:
        # RFC 5321 3.5.3: 502 is for a server that does not implement it, which 4.5.1 does not allow.
        session.permit(f"VRFY is turned off: {reply} (recommended: 252, RFC 5321 7.3)")
    elif reply.code == 500 or reply.kind == 3:
        raise Failed(f"VRFY: {reply}")


@check("SES-11", "5321 3.5.3", "250 to VRFY is for addresses that were truly verified")
def vrfy_verifies(session: Session) -> None:
    session.ready()
    name = f"no-such-mailbox-1b7f@{session.target.domain}"
    reply = session.command(f"VRFY {name}")
    if reply.code not in (250, 251):
        return
    session.mail()
    if session.command(f"RCPT TO:<{name}>").kind == 5:
        raise Failed(f"VRFY has verified an address that RCPT refuses: {reply}")


@check("SES-14", "5321 3.5.1", "250 to VRFY names a mailbox")
def vrfy_names_a_mailbox(session: Session) -> None:
    session.ready()
    reply = session.command(f"VRFY postmaster@{session.target.domain}")
    if reply.code in (250, 251) and not any(b"@" in text for text in reply.texts):
        raise Failed(f"VRFY is answered without a mailbox: {reply}")
    if reply.code in (250, 251) and any(b"<@" in text for text in reply.texts):
        raise Failed(f"VRFY is answered with a source route: {reply}")


@check("SES-18", "5321 4.1.1.6", "VRFY without an argument is refused")
def vrfy_needs_an_argument(session: Session) -> None:
    session.ready()
    reply = session.command("VRFY")
    if reply.code == 252:
        session.permit(f"VRFY without an argument: {reply}")
        return
    if reply.code != 502:
        session.refused(reply, "VRFY without an argument", 501)


@check(
    "SES-22",
    "5321 3.5.1",
    "250 to EXPN names a mailbox on each line",
    keyword="EXPN",
)
def expn_names_mailboxes(session: Session) -> None:
    session.ready()
    reply = session.command("EXPN staff")
    if reply.code == 250 and any(text.count(b"@") != 1 for text in reply.texts):
        raise Failed(f"EXPN is answered without one mailbox a line: {reply}")


@check("SES-18", "5321 4.1.1.7", "EXPN without an argument is refused", keyword="EXPN")
def expn_needs_an_argument(session: Session) -> None:
    session.ready()
    session.refused(session.command("EXPN"), "EXPN without an argument", 501)


@check("SES-24", "5321 4.1.1.8", "HELP is answered with 211 or 214", level="SHOULD")
def help_is_answered(session: Session) -> None:
    session.ready()
    reply = session.command("HELP")
    if reply.code not in (211, 214):
        raise Failed(f"HELP: {reply}")


@check("SES-25", "5321 4.1.1.8", "HELP with a topic is answered", level="MAY")
def help_with_a_topic(session: Session) -> None:
    session.ready()
    reply = session.command("HELP MAIL")
    if reply.code not in (211, 214, 504, 502):
        raise Failed(f"HELP MAIL: {reply}")


@check("SES-27", "5321 4.1.1.10", "QUIT is answered with 221, and the server closes the connection")
def quit_is_221_and_closes(session: Session) -> None:
    session.ready()
    _quits(session, "QUIT")


@check("SES-28", "5321 4.1.1.10", "QUIT is allowed before EHLO")
def quit_before_ehlo(session: Session) -> None:
    session.greeting()
    _quits(session, "QUIT before EHLO")


@check("SES-28", "5321 4.1.1.10", "QUIT is allowed within a transaction")
def quit_within_a_transaction(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    _quits(session, "QUIT within a transaction")


@check(
    "SES-29", "5321 4.1.1", "QUIT with an argument is refused with 501, and the session goes on", level="SHOULD"
)
def quit_takes_no_argument(session: Session) -> None:
    session.ready()
    session.refused(session.command("QUIT now"), "QUIT with an argument", 501)
    session.alive("after QUIT with an argument")


@check("SES-35", "5321 4.1.1.10", "Nothing after QUIT is carried out")
def nothing_after_quit_is_answered(session: Session) -> None:
    session.ready()
    session.send(b"QUIT\r\nNOOP\r\nRSET\r\n")
    found = []
    try:
        while True:
            found.append(session.read("QUIT"))
    except Closed:
        pass
    except Silent:
        raise Failed("the server does not close after QUIT") from None
    if len(found) > 1:
        raise Failed(f"a command after QUIT is answered: {found[-1]}")


def _quits(session: Session, what: str) -> None:
    reply = session.command("QUIT")
    if reply.code != 221:
        raise Failed(f"{what}: {reply}")
    try:
        extra = session.read("QUIT")
    except Closed:
        return
    except Silent:
        raise Failed(f"{what}: the server does not close the connection") from None
    raise Failed(f"{what}: a second reply: {extra}")


@check("SES-42", "5321 4.2.4", "An unknown command is refused with 500, and the session goes on")
def unknown_command_is_500(session: Session) -> None:
    session.ready()
    session.refused(session.command("FROBNICATE"), "an unknown command", 500)
    session.alive("after an unknown command")


@check("SES-42", "5321 4.2.4", "An unknown command before EHLO is refused")
def unknown_command_before_ehlo(session: Session) -> None:
    session.greeting()
    session.refused(session.command("FROBNICATE"), "an unknown command before EHLO", 500, 502, 503)
    session.alive("after an unknown command")


@check("SES-31", "5321 3.8", "Three bad commands do not end the session")
def bad_commands_do_not_end_the_session(session: Session) -> None:
    session.ready()
    for line in ("FROBNICATE", "MAIL", "VRFX postmaster"):
        session.refused(session.command(line), line)
    session.alive("after three bad commands")


@check("FRM-11", "5321 4.2.4", "An empty line is refused, and the session goes on")
def empty_line_is_refused(session: Session) -> None:
    session.ready()
    session.send(b"\r\n")
    try:
        reply = session.read("?")
    except Closed:
        raise Failed("the server closes the connection after an empty line") from None
    session.refused(reply, "an empty line", 500)
    session.alive("after an empty line")


@check("SES-44", "5321 App. F", "TURN, SEND, SOML and SAML are not implemented", level="SHOULD")
def old_commands_are_refused(session: Session) -> None:
    session.ready()
    for line in ("TURN", "SEND FROM:<check@example.com>", "SAML FROM:<check@example.com>"):
        session.refused(session.command(line), line, 500, 502, 503)


@check("EHL-19", "5321 4.1.5", "An unknown command with a leading X is refused")
def unknown_x_command_is_refused(session: Session) -> None:
    session.ready()
    session.refused(session.command("XFROBNICATE"), "XFROBNICATE", 500, 502)


@check("RPL-11", "5321 4.2", "A reply does not echo what is not printable")
def replies_echo_only_printable_text(session: Session) -> None:
    session.ready()
    session.command(b"FR\x07OB\xe9 \x1b[2J")
    session.command(b"MAIL FROM:<a\x1b[2J@example.com>")
    session.command(b"RCPT TO:<\xff\x07@example.com>")
    session.alive("after control characters")


@check("RPL-11", "5321 4.2", "A reply does not echo a CR of the command", level="MUST")
def replies_do_not_echo_a_cr(session: Session) -> None:
    session.ready()
    for line in (b"FROB\r250 injected", b"MAIL FROM:<a\r250 injected@example.com>"):
        reply = session.command(line)
        if b"\r" in b"".join(reply.lines).replace(b"\r\n", b""):
            raise Failed(f"the reply echoes a CR: {reply}")


def _no_verb(name: str, line: str) -> Check[Session]:
    def run(session: Session) -> None:
        session.ready()
        filled = line.format(sender=session.target.sender)
        session.refused(session.command(filled), filled)
        session.alive(f"after {filled}")

    level: Level = "SHOULD" if re.search("[\0\t]", line) else "MUST"
    sentence = f"{shown(line.encode()).split(' ')[0]} is not a command"
    return Check(name, "FRM-06", "5321 4.1.1", sentence, run, level)


for _name, _line in (
    ("noop-and-a-letter", "NOOPX"),
    ("rset-and-a-letter", "RSETX"),
    ("quit-and-a-letter", "QUITX"),
    ("noop-and-a-comma", "NOOP,"),
    ("vrfy-without-space", "VRFYpostmaster"),
    ("mail-and-a-letter", "MAILX FROM:<{sender}>"),
    ("ehlo-without-space", f"EHLO{NAME}"),
    ("noop-and-a-digit", "NOOP2"),
    ("noop-cut-short", "NOO"),
    ("rset-cut-short", "RSE"),
    ("quit-cut-short", "QUI"),
    ("helo-cut-short", f"HEL {NAME}"),
    ("rset-and-a-nul", "RSET\0"),
    ("mail-and-a-tab", "MAIL\tFROM:<{sender}>"),
    ("cr-within-a-verb", "NO\rOP"),
):
    CHECKS.add(_no_verb(_name, _line))


@check("FRM-06", "5321 4.1.1", "A colon does not end a verb")
def ehlo_and_a_colon(session: Session) -> None:
    session.greeting()
    line = f"EHLO:{NAME}"
    reply = session.command(line)
    # Some servers take the colon for the header of HTTP, and close.
    if reply.code == 250:
        raise Failed(f"{line}: {reply}")


@check("FRM-06", "5321 4.1.1", "A command line does not begin with a blank", level="SHOULD")
def blank_before_a_verb(session: Session) -> None:
    session.ready()
    session.refused(session.command(" NOOP"), "a blank and NOOP", 500)


@check("FRM-03", "5321 2.4", "A command has no effect before its CRLF")
def unfinished_line_has_no_effect(session: Session) -> None:
    session.ready()
    session.send(b"NOOP")
    if session.wire.pending(_QUIET):
        raise Failed("a reply comes before the line has ended")
    session.send(b"\r")
    if session.wire.pending(_QUIET):
        raise Failed("a reply comes after the CR of the line")
    session.send(b"\n")
    session.accepted(session.read("NOOP"), "NOOP in pieces", 250)


@check("FRM-04", "5321 2.3.8", "A command is understood wherever the transport cuts it")
def commands_are_cut_anywhere(session: Session) -> None:
    session.ready()
    session.send(*(bytes((octet,)) for octet in b"NOOP\r\n"))
    session.accepted(session.read("NOOP"), "NOOP octet by octet", 250)
    session.alive("after NOOP octet by octet")


def _in_any_case(line: str, ways: str, keyword: str = "") -> Check[Session]:
    def run(session: Session) -> None:
        if ways == "introduction":
            session.greeting()
        else:
            session.ready()
        if ways == "transaction":
            session.mail()
            if line.upper() == "DATA":
                session.rcpt()
        filled = line.format(sender=session.target.sender, recipient=session.recipient)
        reply = session.command(filled)
        if reply.kind not in (2, 3):
            if session.command(filled.upper()).code == reply.code:
                raise Inconclusive(f"the command is refused in upper case, too: {reply}")
            raise Failed(f"{filled}: {reply}")
        if reply.code == 354:
            session.content(b"Subject: case\r\n\r\n")

    return Check(
        f"{line.split()[0].lower()}-in-any-case",
        "FRM-07",
        "5321 2.4",
        f"{line.split()[0].upper()} is understood in any letter case",
        run,
        keyword=keyword,
    )


for _line, _ways in (
    (f"eHlO {NAME}", "introduction"),
    (f"hElO {NAME}", "introduction"),
    ("mAiL fRoM:<{sender}>", ""),
    ("rCpT tO:<{recipient}>", "transaction"),
    ("dAtA", "transaction"),
    ("rSeT", ""),
    ("nOoP", ""),
    ("vRfY postmaster", ""),
    ("qUiT", ""),
):
    CHECKS.add(_in_any_case(_line, _ways))
for _line, _keyword in (("hElP", "HELP"), ("eXpN postmaster", "EXPN")):
    CHECKS.add(_in_any_case(_line, "", _keyword))


def _with_trailing_blanks(line: str) -> Check[Session]:
    def run(session: Session) -> None:
        session.ready()
        if line != "MAIL FROM:<{sender}>":
            session.mail()
        if line == "DATA":
            session.rcpt()
        filled = line.format(sender=session.target.sender, recipient=session.recipient)
        reply = session.command(f"{filled}  ")
        if reply.kind not in (2, 3):
            raise Failed(f"{filled} and two spaces: {reply}")
        if reply.code == 354:
            session.content(b"Subject: blanks\r\n\r\n")

    return Check(
        f"{line.split()[0].lower()}-with-trailing-blanks",
        "FRM-05",
        "5321 4.1.1",
        f"Blanks after {line.split()[0]} do no harm",
        run,
        "SHOULD",
    )


for _line in ("NOOP", "RSET", "DATA", "MAIL FROM:<{sender}>", "RCPT TO:<{recipient}>", "QUIT"):
    CHECKS.add(_with_trailing_blanks(_line))


def _line_end(name: str, end: bytes) -> Check[Session]:
    """A command whose line is ended by something other than CRLF is not carried out."""

    def run(session: Session) -> None:
        session.ready()
        session.send(b"NOOP one" + end + b"NOOP two" + end + b"RSET\r\n")
        try:
            replies = [session.read("?")]
        except (Closed, Silent):
            return
        replies += session.rest()
        # One bad line, and the 221: NOOP, NOOP and RSET would be three.
        answers = [reply for reply in replies if reply.code not in (221, 421)]
        if len(answers) > 1 and any(reply.kind == 2 for reply in answers):
            raise Failed(f"{name} ends a command line: {len(answers)} replies to one line")

    return Check(
        f"{name.lower().replace(' ', '-')}-ends-no-line",
        "FRM-01",
        "5321 2.3.8, 4.1.1.4",
        f"{name} does not end a command line",
        run,
    )


for _name, _end in (
    ("LF", b"\n"),
    ("CR", b"\r"),
    ("VT", b"\x0b"),
    ("FF", b"\x0c"),
    ("NUL", b"\0"),
    ("FS", b"\x1c"),
    ("RS", b"\x1e"),
    ("NEL", b"\x85"),
    ("LINE SEPARATOR", b"\xe2\x80\xa8"),
):
    CHECKS.add(_line_end(_name, _end))


@check("FRM-12", "5321 4.1.2", "A NUL in a command is refused")
def nul_in_a_command_is_refused(session: Session) -> None:
    session.ready()
    session.refused(session.command(b"MAIL FROM:<a\0b@example.com>"), "MAIL with NUL")
    session.alive("after a NUL")


@check("FRM-12", "5321 4.1.2", "A control character in a path is refused", level="SHOULD")
def control_character_in_a_path_is_refused(session: Session) -> None:
    session.ready()
    session.refused(
        session.command(b"MAIL FROM:<a\x01b@example.com>"), "MAIL with a control character", 501, 553
    )


@check(
    "FRM-12", "5321 4.1.2, 2.4", "Eight-bit octets in a path are refused without an extension", level="SHOULD"
)
def eight_bits_in_a_path_are_refused(session: Session) -> None:
    session.ready()
    session.refused(session.command(b"MAIL FROM:<a\xe9b@example.com>"), "MAIL with an octet above 127")
