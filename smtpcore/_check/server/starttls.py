"""Checks of STARTTLS (RFC 3207), injection included."""

from __future__ import annotations

import re
from typing import Final

from ..session import NAME, Session, letter, token
from ..table import Check, Failed, Inconclusive, Table
from ..target import any_certificate
from ..wire import Closed, Silent, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_STARTTLS: Final = "STARTTLS"
_SETTLED: Final = 0.2  # seconds in which a server that goes on has replied


def _plain(session: Session) -> None:
    """Greet in plaintext.

    Raises:
        Inconclusive: STARTTLS is not offered then.
    """
    session.ready(tls=False, auth=False)
    if _STARTTLS not in (session.offered or {}):
        raise Inconclusive("STARTTLS is not offered in plaintext")


@check("TLS-02", "3207 4", "STARTTLS is answered with 220, and the handshake works", keyword=_STARTTLS)
def starttls_works(session: Session) -> None:
    _plain(session)
    reply = session.command("STARTTLS")
    if reply.code == 454:
        raise Inconclusive(f"STARTTLS: {reply}")
    if reply.code != 220:
        raise Failed(f"STARTTLS: {reply}")
    try:
        session.wire.start_tls(any_certificate())
    except Closed as error:
        raise Failed(str(error)) from None
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO under TLS", 250)


@check("TLS-01", "3207 4", "STARTTLS with an argument is refused with 501", keyword=_STARTTLS)
def starttls_takes_no_argument(session: Session) -> None:
    _plain(session)
    session.refused(session.command("STARTTLS now"), "STARTTLS with an argument", 501)
    session.alive("after STARTTLS with an argument")


@check("SES-43", "5321 4.1.4; 3207 4", "A refused STARTTLS leaves the session as it was", keyword=_STARTTLS)
def refused_starttls_changes_nothing(session: Session) -> None:
    _plain(session)
    if session.target.needs_tls or session.target.needs_auth:
        raise Inconclusive("mail needs TLS or a login")
    session.mail()
    session.rcpt()
    session.refused(session.command("STARTTLS now"), "STARTTLS with an argument")
    session.ready_for_data("after a refused STARTTLS")
    session.mail()


@check("FRM-07", "5321 2.4", "STARTTLS is understood in any letter case", keyword=_STARTTLS)
def starttls_in_any_case(session: Session) -> None:
    _plain(session)
    reply = session.command("StartTls")
    if reply.code not in (220, 454):
        raise Failed(f"StartTls: {reply}")
    session.wire.close()


@check("TLS-27", "3207", "STARTTLS before EHLO is refused", keyword=_STARTTLS, level="SHOULD")
def starttls_before_ehlo(session: Session) -> None:
    session.greeting()
    reply = session.command("STARTTLS")
    if reply.code == 220:
        session.wire.close()
    session.refused(reply, "STARTTLS before EHLO", 503)


@check("TLS-07", "3207 4.2", "There is no second greeting after the handshake", keyword=_STARTTLS)
def no_greeting_under_tls(session: Session) -> None:
    _plain(session)
    session.start_tls()
    reply = session.command(f"EHLO {NAME}")
    if reply.code == 220:
        raise Failed(f"a greeting comes after the handshake: {reply}")
    session.accepted(reply, "EHLO under TLS", 250)
    session.alive("after EHLO under TLS")


@check("TLS-06", "3207 4.2", "After the handshake the transaction is forgotten", keyword=_STARTTLS)
def transaction_ends_with_tls(session: Session) -> None:
    _plain(session)
    if session.target.needs_tls:
        raise Inconclusive("mail needs TLS")
    session.mail()
    session.rcpt()
    reply = session.command("STARTTLS")
    if reply.code != 220:
        return  # 503 is as good (RFC 3207 does not say)
    session.wire.start_tls(any_certificate())
    answer = session.command("DATA")
    if answer.code == 354:
        raise Failed("the recipients of before TLS are accepted under TLS")


@check("TLS-06", "3207 4.2", "After the handshake the sender is forgotten", keyword=_STARTTLS)
def sender_ends_with_tls(session: Session) -> None:
    _plain(session)
    if session.target.needs_tls:
        raise Inconclusive("mail needs TLS")
    session.mail()
    if session.command("STARTTLS").code != 220:
        return
    session.wire.start_tls(any_certificate())
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    if reply.kind == 2:
        raise Failed(f"the sender of before TLS counts under TLS: RCPT: {reply}")


@check("TLS-06", "3207 4.2", "After the handshake the introduction is forgotten", keyword=_STARTTLS)
def introduction_ends_with_tls(session: Session) -> None:
    _plain(session)
    session.start_tls()
    reply = session.command(f"MAIL FROM:<{session.target.sender}>")
    if reply.kind != 2:
        return
    # A server that accepts MAIL without EHLO anyway has not shown that it remembers.
    other = Session(session.target)
    try:
        other.greeting()
        if other.command(f"MAIL FROM:<{session.target.sender}>").kind == 2:
            session.permit("MAIL is accepted without EHLO")
            return
    finally:
        other.end()
    raise Failed(f"MAIL without EHLO under TLS: {reply}")


@check("TLS-10", "3207 4.2", "STARTTLS is not offered under TLS", keyword=_STARTTLS)
def starttls_is_not_offered_under_tls(session: Session) -> None:
    session.ready(tls=True, auth=False)
    if _STARTTLS in (session.offered or {}):
        raise Failed("STARTTLS is offered under TLS")


@check("TLS-12", "3207 4.2", "STARTTLS is refused under TLS", keyword=_STARTTLS)
def starttls_under_tls(session: Session) -> None:
    session.ready(tls=True, auth=False)
    session.refused(session.command("STARTTLS"), "STARTTLS under TLS", 503)
    session.alive("after STARTTLS under TLS")


@check("EHL-26", "3207 4.2", "A message is accepted under TLS", keyword=_STARTTLS)
def message_under_tls(session: Session) -> None:
    session.ready(tls=True)
    session.data()
    session.accepted(session.content(letter(token())), "the content under TLS")
    session.alive("after a message under TLS")


def _injection(name: str, octets: bytes) -> Check[Session]:
    def run(session: Session) -> None:
        _plain(session)
        session.send(b"STARTTLS\r\n" + octets)
        reply = session.read("STARTTLS")
        if reply.code != 220:
            if reply.kind == 2:
                raise Failed(f"STARTTLS: {reply}")
            return  # the server refuses to start TLS with plaintext waiting
        if session.wire.pending():
            answer = session.wire.forget()
            if answer[:1].isdigit():
                raise Failed(f"plaintext after STARTTLS is answered: {answer[:60]!r}")
            return  # an alert of TLS: the plaintext was part of the handshake
        try:
            session.wire.start_tls(any_certificate())
        except Closed:
            return  # the handshake fails, and nothing was carried out
        session.send(f"EHLO {NAME}\r\n".encode())
        replies = []
        try:
            replies.append(session.read("EHLO"))
        except (Closed, Silent):
            return
        replies += session.rest()
        if len([reply for reply in replies if reply.code != 421]) > 2:
            raise Failed(f"plaintext after STARTTLS is carried out under TLS: {replies[0]}, {replies[1]}")
        if len(replies[0].lines) == 1 and len(session.target.secured) > 0 and replies[0].kind == 2:
            raise Failed(f"plaintext after STARTTLS is carried out under TLS: {replies[0]}")

    return Check(
        f"starttls-injection-{name}",
        "TLS-04",
        "3207 4.2, 6",
        f"Plaintext after STARTTLS is not carried out ({name.replace('-', ' ')})",
        run,
        keyword=_STARTTLS,
    )


for _name, _octets in (
    ("noop", b"NOOP\r\n"),
    ("rset", b"RSET\r\nRSET\r\n"),
    ("transaction", b"EHLO injected.example\r\nMAIL FROM:<injected@example.com>\r\n"),
    ("half-a-command", b"NOOP "),
):
    CHECKS.add(_injection(_name, _octets))


@check("TLS-03", "3207 4", "After 220 the server reads no plaintext command", keyword=_STARTTLS)
def plaintext_after_220(session: Session) -> None:
    _plain(session)
    if session.command("STARTTLS").code != 220:
        raise Inconclusive("STARTTLS is refused")
    session.send(b"NOOP plaintext\r\nRSET\r\n")
    try:
        octets = session.wire.read_line()
    except (Closed, Silent):
        return
    if octets[:3].isdigit() and octets[:1] in b"235":
        raise Failed(f"a plaintext command after 220 is carried out: {octets!r}")
    _carries_out_nothing(session)


def _carries_out_nothing(session: Session) -> None:
    """Claim that no plaintext command is carried out where a handshake has failed.

    Raises:
        Failed: A reply says that one was.
    """
    # The server may still take some octets for parts of the handshake.
    for line in (b"NOOP\r\n" * 4, b"RSET\r\n", f"EHLO {NAME}\r\n".encode()):
        try:
            session.send(line)
            while True:
                octets = session.wire.read_line(_SETTLED)
                # Records of TLS may come before the reply. A server that refuses all by 554 does not go on.
                if match := re.search(rb"2[0-9]{2}[ -][^\r\n]*", octets):
                    raise Failed(
                        f"the session goes on in plaintext after a handshake that failed: {shown(match[0])}"
                    )
        except Silent:
            pass
        except Closed:
            return


def _failed_handshake(name: str, sentence: str, octets: bytes) -> None:
    """Add a check that a handshake which fails ends the session."""

    def run(session: Session) -> None:
        _plain(session)
        if session.command("STARTTLS").code != 220:
            raise Inconclusive("STARTTLS is refused")
        session.send(octets)
        session.wire.pending(_SETTLED)
        session.wire.forget()  # an alert
        _carries_out_nothing(session)

    CHECKS.add(Check(name, "TLS-03", "3207 4", sentence, run, keyword=_STARTTLS))


for _name, _sentence, _octets in (
    (
        "plaintext-after-a-malformed-handshake",
        "After a malformed handshake the session does not go on in plaintext",
        b"\x16\x03\x01\0\5nope!",
    ),
    (
        "plaintext-after-an-alert",
        "After an alert in place of a handshake the session does not go on in plaintext",
        b"\x15\x03\x01\0\2\2\x28",
    ),
    (
        "plaintext-after-no-handshake",
        "After octets that are not TLS the session does not go on in plaintext",
        b"\0\1\2\3\4\5\6\7\x80\xff\r\n",
    ),
):
    _failed_handshake(_name, _sentence, _octets)


@check("TLS-28", "3207 4; 2920 3.2", "Replies owed before STARTTLS leave before its 220", keyword=_STARTTLS)
def replies_before_starttls(session: Session) -> None:
    _plain(session)
    if "PIPELINING" not in (session.offered or {}):
        raise Inconclusive("PIPELINING is not offered")
    session.send(b"RSET\r\nSTARTTLS\r\n")
    first, second = session.read("RSET"), session.read("STARTTLS")
    if first.code not in (250, 530):
        raise Failed(f"RSET before STARTTLS in one write: {first}")
    if second.code != 220:
        raise Inconclusive(f"STARTTLS: {second}")
    session.wire.start_tls(any_certificate())
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO under TLS", 250)


@check(
    "TLS-31", "8314 3.4", "TLS is closed properly before the connection is", keyword=_STARTTLS, level="SHOULD"
)
def tls_is_closed_properly(session: Session) -> None:
    session.ready(tls=True, auth=False)
    session.rest()
    try:
        session.wire.read_line()
    except (Closed, Silent):
        pass
    if not session.wire.clean_end:
        raise Failed("the connection is closed without an alert of TLS")


@check("TLS-02", "3207 4", "A failed handshake does not stop the server", keyword=_STARTTLS)
def failed_handshake(session: Session) -> None:
    _plain(session)
    if session.command("STARTTLS").code != 220:
        raise Inconclusive("STARTTLS is refused")
    session.send(b"\x16\x03\x01\x00\x05nope!")
    session.wire.close()
    again = Session(session.target)
    try:
        again.ready(tls=False, auth=False)
    except Inconclusive as verdict:
        raise Failed(f"the next connection: {verdict}") from None
    finally:
        again.end()
