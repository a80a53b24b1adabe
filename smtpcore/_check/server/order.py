"""Checks of the order of MAIL, RCPT and DATA, and of what is left of a transaction."""

from __future__ import annotations

from typing import Final

from ..session import Session, letter, token
from ..table import Failed, Inconclusive, Table
from ..wire import Closed, Reply

CHECKS: Final = Table[Session]()
check = CHECKS.check

_BAD_MAIL: Final = "MAIL FROM:<@@>"
_BAD_RCPT: Final = "RCPT TO:<@@>"


@check("MAI-17", "5321 3.3", "MAIL, RCPT, DATA and the content are accepted with 250, 250, 354 and 250")
def one_message(session: Session) -> None:
    session.ready()
    session.accepted(session.command(f"MAIL FROM:<{session.target.sender}>"), "MAIL", 250)
    session.accepted(session.command(f"RCPT TO:<{session.recipient}>"), "RCPT", 250, 251, 252)
    reply = session.command("DATA")
    if reply.code != 354:
        raise Failed(f"DATA: {reply}")
    session.accepted(session.content(letter(token())), "the content", 250)
    session.alive("after a message")


@check("EHL-06", "5321 4.1.1.1", "A message is accepted after HELO")
def message_after_helo(session: Session) -> None:
    if session.target.needs_tls or session.target.needs_auth:
        raise Inconclusive("mail needs TLS or a login")
    session.greeting()
    session.command("HELO check.example")
    session.data()
    session.accepted(session.content(letter(token())), "the content")


@check("RCP-01", "5321 3.3, 4.1.4", "RCPT before MAIL is answered with 503")
def rcpt_before_mail(session: Session) -> None:
    session.ready()
    reply = session.command("RCPT TO:<postmaster@example.com>")
    session.refused(reply, "RCPT before MAIL", 503, strict=True)
    session.alive("after RCPT before MAIL")


@check("DAT-02", "5321 3.3, 4.1.4", "DATA before MAIL is refused with 503")
def data_before_mail(session: Session) -> None:
    session.ready()
    session.not_ready_for_data("without MAIL")
    session.alive("after DATA before MAIL")


@check("DAT-02", "5321 4.1.4", "DATA before EHLO is refused")
def data_before_ehlo(session: Session) -> None:
    session.greeting()
    session.not_ready_for_data("before EHLO")


@check("RCP-01", "5321 4.1.4", "RCPT before EHLO is refused")
def rcpt_before_ehlo(session: Session) -> None:
    session.greeting()
    session.refused(session.command(f"RCPT TO:<{session.recipient}>"), "RCPT before EHLO", 503)


@check("DAT-03", "5321 3.3", "DATA before RCPT is refused with 503 or 554")
def data_before_rcpt(session: Session) -> None:
    session.ready()
    session.mail()
    session.not_ready_for_data("without RCPT")
    session.alive("after DATA before RCPT")


@check("DAT-03", "5321 3.3", "DATA after nothing but refused recipients is refused")
def data_after_refused_rcpt(session: Session) -> None:
    session.ready()
    session.mail()
    if session.command(_BAD_RCPT).kind == 2:
        raise Failed(f"{_BAD_RCPT} is accepted")
    session.not_ready_for_data("without an accepted recipient")


@check("MAI-07", "5321 4.1.4", "MAIL within a transaction is answered with 503")
def nested_mail(session: Session) -> None:
    session.ready()
    session.mail()
    reply = session.command("MAIL FROM:<other@example.com>")
    session.refused(reply, "MAIL within a transaction", 503, strict=True)


@check("MAI-07", "5321 4.1.4", "MAIL within a transaction does not disturb it")
def nested_mail_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    if session.command("MAIL FROM:<other@example.com>").kind == 2:
        raise Failed("MAIL within a transaction is accepted")
    session.ready_for_data("after MAIL within a transaction")


@check("MAI-09", "5321 4.1.4", "A MAIL that was refused has begun nothing")
def refused_mail_begins_nothing(session: Session) -> None:
    session.ready()
    session.refused(session.command(_BAD_MAIL), _BAD_MAIL)
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.refused(reply, "RCPT after a refused MAIL", 503, strict=True)
    session.mail()


@check("RCP-12", "5321 4.1.1.3", "A refused recipient does not affect the others")
def refused_rcpt_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    session.refused(session.command(_BAD_RCPT), _BAD_RCPT)
    session.ready_for_data("after a refused recipient")


@check("RCP-12", "5321 4.1.1.3", "A recipient is accepted after one that was refused")
def rcpt_after_refused_rcpt(session: Session) -> None:
    session.ready()
    session.mail()
    session.refused(session.command(_BAD_RCPT), _BAD_RCPT)
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.accepted(reply, "RCPT after a refused one")
    session.ready_for_data("after a refused recipient")


@check("RCP-02", "5321 4.1.1.3", "A second recipient is accepted")
def second_recipient(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    if reply.kind != 2:
        raise Failed(f"a second RCPT: {reply}")
    session.ready_for_data("after two recipients")


def _data_with_an_argument(session: Session) -> Reply:
    """Give DATA an argument, and content if that is accepted."""
    session.ready()
    session.mail()
    session.rcpt()
    reply = session.command("DATA now")
    if reply.code == 354:
        session.content(letter(token()))
    return reply


@check("DAT-01", "5321 4.3.2", "DATA with an argument is refused with 501", level="SHOULD")
def data_takes_no_argument(session: Session) -> None:
    reply = _data_with_an_argument(session)
    if reply.code == 354:
        raise Failed(f"DATA with an argument: {reply}")
    session.refused(reply, "DATA with an argument", 501)
    session.ready_for_data("after DATA with an argument")


@check("SES-43", "5321 4.1.4", "DATA that is refused for its argument leaves the transaction alone")
def refused_data_changes_nothing(session: Session) -> None:
    reply = _data_with_an_argument(session)
    if reply.code == 354:
        raise Inconclusive(f"DATA with an argument is accepted: {reply}")
    session.ready_for_data("after DATA with an argument")


@check("DAT-22", "5321 4.1.1.4", "A second message of a session is accepted")
def two_messages(session: Session) -> None:
    session.ready()
    for _ in range(2):
        session.data()
        session.accepted(session.content(letter(token())), "the content")


@check("DAT-22", "5321 4.1.1.4", "After the content the recipients are gone")
def content_ends_the_recipients(session: Session) -> None:
    session.ready()
    session.data()
    session.content(letter(token()))
    session.mail()
    session.not_ready_for_data("MAIL after a message")


@check("DAT-22", "5321 4.1.1.4", "After refused content the recipients are gone")
def refused_content_ends_the_recipients(session: Session) -> None:
    session.ready()
    session.data()
    # A line of 100 000 octets, a lone LF and NUL: most servers mind one of them.
    try:
        reply = session.content(letter(token(), b"x" * 100_000 + b"\r\na\nb\0c\r\n"))
    except Closed as error:
        raise Inconclusive(str(error)) from None
    if reply.kind == 2:
        raise Inconclusive("the content is accepted")
    session.mail()
    session.not_ready_for_data("MAIL after refused content")


@check("DAT-22", "5321 4.1.1.4", "After the content the sender is gone")
def content_ends_the_sender(session: Session) -> None:
    session.ready()
    session.data()
    session.content(letter(token()))
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.refused(reply, "RCPT after a message", 503, strict=True)


@check("DAT-22", "5321 4.1.1.4", "After the content DATA is refused")
def content_ends_the_transaction(session: Session) -> None:
    session.ready()
    session.data()
    session.content(letter(token()))
    session.not_ready_for_data("after a message")
    session.alive("after a message")


@check("SES-38", "5321 4.1.1.10", "After a connection was lost within the content the server goes on")
def lost_connection(session: Session) -> None:
    session.ready()
    session.data()
    session.send(b"Subject: lost\r\n\r\nunfinished")
    session.wire.close()
    again = Session(session.target)
    try:
        again.ready()
        again.data()
        again.accepted(again.content(letter(token())), "the content on the next connection")
    except Inconclusive as verdict:
        raise Failed(f"the next connection: {verdict}") from None
    finally:
        again.end()


@check("SEC-06", "practice", "Two sessions at once do not share a transaction")
def sessions_are_separate(session: Session) -> None:
    other = Session(session.target)
    try:
        session.ready()
        other.ready()
        session.mail()
        session.rcpt()
        other.mail()
        other.not_ready_for_data("a second session")
        session.ready_for_data("beside a second session")
    finally:
        other.end()
