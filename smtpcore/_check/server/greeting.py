"""Checks of the greeting, EHLO and HELO."""

from __future__ import annotations

from typing import Final

from ..session import NAME, Session
from ..table import Check, Failed, Inconclusive, Table
from ..wire import Closed, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

# https://www.iana.org/assignments/mail-parameters: service extensions. VRFY is RFC 5321 3.5.2.
REGISTERED: Final = frozenset(
    "SEND SOML SAML EXPN HELP TURN 8BITMIME SIZE VERB ONEX CHUNKING BINARYMIME CHECKPOINT DELIVERBY PIPELINING"
    " DSN ETRN ENHANCEDSTATUSCODES STARTTLS NO-SOLICITING MTRK SUBMITTER ATRN AUTH FUTURERELEASE CONPERM CONNEG"
    " SMTPUTF8 MT-PRIORITY RRVS REQUIRETLS LIMITS BURL VRFY UTF8SMTP".split()
)
# Not registered, and known for years: of Postfix, of Exim, and of RFC drafts.
KNOWN: Final = frozenset("XCLIENT XFORWARD PIPECONNECT PIPE_CONNECT PRDR DSNRET".split())


@check("GRT-01", "5321 4.2, 4.3.1", "The session opens with 220")
def greeting_is_220(session: Session) -> None:
    reply = session.greeting()
    if reply.code in (421, 521, 554):
        raise Inconclusive(f"the server refuses the session: {reply}")
    if reply.code != 220:
        raise Failed(f"the greeting is {reply}")


@check("EHL-01", "5321 4.5.1", "EHLO is understood, and answered with 250")
def ehlo_is_accepted(session: Session) -> None:
    session.greeting()
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO", 250)


@check("EHL-02", "5321 4.5.1", "HELO is understood, and answered with 250")
def helo_is_accepted(session: Session) -> None:
    session.greeting()
    session.accepted(session.command(f"HELO {NAME}"), "HELO", 250)


@check("EHL-03", "5321 3.2", "HELO is not answered with a list of keywords")
def helo_lists_no_keywords(session: Session) -> None:
    session.greeting()
    reply = session.command(f"HELO {NAME}")
    words = {text.split(b" ")[0].upper().decode("latin-1") for text in reply.texts[1:]}
    if words & (REGISTERED | set(session.target.plain)):
        raise Failed(f"HELO is answered with keywords: {reply}")
    if len(reply.lines) > 1:
        session.permit("HELO is answered with several lines")


@check("EHL-18", "5321 2.2.2", "A keyword that does not begin with X is a registered one")
def keywords_are_registered(session: Session) -> None:
    session.ready()
    offered = set(session.offered or ())
    strange = {name for name in offered - REGISTERED - KNOWN if not name.startswith("X")}
    if strange:
        raise Failed(f"not registered: {', '.join(sorted(strange))}")
    if offered & KNOWN and not all(name.startswith("X") for name in offered & KNOWN):
        session.permit(f"in use, and not registered: {', '.join(sorted(offered & KNOWN))}")


@check("EHL-23", "5321 4.1.1.1", "EHLO without an argument is refused with 501")
def ehlo_needs_an_argument(session: Session) -> None:
    session.greeting()
    session.refused(session.command("EHLO"), "EHLO without an argument", 501)


@check("EHL-23", "5321 4.1.1.1", "HELO without an argument is refused with 501")
def helo_needs_an_argument(session: Session) -> None:
    session.greeting()
    session.refused(session.command("HELO"), "HELO without an argument", 501)


@check("EHL-24", "5321 4.1.1.1, 4.1.3", "EHLO accepts an IPv4 address literal")
def ehlo_accepts_an_ipv4_literal(session: Session) -> None:
    session.greeting()
    session.accepted(session.command("EHLO [127.0.0.1]"), "EHLO [127.0.0.1]", 250)


@check("EHL-24", "5321 4.1.1.1, 4.1.3", "EHLO accepts an IPv6 address literal")
def ehlo_accepts_an_ipv6_literal(session: Session) -> None:
    session.greeting()
    session.accepted(session.command("EHLO [IPv6:::1]"), "EHLO [IPv6:::1]", 250)


def _accepts_name(name: str, requirement: str, rfc: str, what: str, argument: str) -> None:
    """Add a check that EHLO understands a name: accepts it, or refuses it for another reason than syntax."""

    def run(session: Session) -> None:
        session.greeting()
        line = f"EHLO {argument}"
        reply = session.command(line)
        if reply.code in (500, 501, 502, 503):
            raise Failed(f"{line}: {reply}")
        if reply.code != 250:
            # A policy about names is permitted (RFC 5321 4.1.4), and the name was understood.
            session.permit(f"{line}: {reply}")

    CHECKS.add(Check(f"ehlo-with-{name}", requirement, rfc, f"EHLO accepts {what}", run))


for _name, _requirement, _rfc, _what, _argument in (
    ("a-hyphen", "EHL-24", "5321 4.1.2", "a domain with a hyphen in a label", "check-1.example"),
    ("a-digit-first", "EHL-24", "5321 4.1.2", "a domain whose label begins with a digit", "1st.check.example"),
    ("upper-case", "FRM-09", "5321 2.4", "a domain in upper case", "CHECK.EXAMPLE"),
    ("one-label", "ADR-09", "5321 2.3.5, 4.1.2", "a domain of one label", "localhost"),
    ("255-octets", "LIM-06", "5321 4.5.3.1.2", "a domain of 255 octets", ".".join(["d" * 63] * 4)),
):
    _accepts_name(_name, _requirement, _rfc, _what, _argument)


@check("EHL-09", "5321 4.1.1.1", "The reply to EHLO names the server, not the client")
def ehlo_names_the_server(session: Session) -> None:
    session.greeting()
    reply = session.command("EHLO the-client.check.example")
    if reply.kind == 2 and reply.texts[0].lower().startswith(b"the-client.check.example"):
        raise Failed(f"the domain is that of the client: {reply}")


@check("EHL-25", "5321 4.1.1.1", "HELO accepts an address literal")
def helo_accepts_a_literal(session: Session) -> None:
    session.greeting()
    session.accepted(session.command("HELO [127.0.0.1]"), "HELO [127.0.0.1]", 250)


@check("EHL-29", "5321 4.1.2", "EHLO with control characters is refused", level="SHOULD")
def ehlo_with_control_characters_is_refused(session: Session) -> None:
    session.greeting()
    session.refused(session.command(b"EHLO check\x01\x02.example"), "EHLO with control characters", 501)


@check(
    "EHL-29", "5321 4.1.1.1", "EHLO with characters that are not allowed in a domain is refused", level="SHOULD"
)
def ehlo_with_a_bad_domain_is_refused(session: Session) -> None:
    session.greeting()
    session.refused(session.command("EHLO <check>@@!"), "EHLO <check>@@!", 501)


@check("EHL-20", "5321 4.1.4", "A second EHLO is accepted and drops the transaction")
def second_ehlo_drops_the_transaction(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    session.accepted(session.command(f"EHLO {NAME}"), "a second EHLO", 250)
    session.not_ready_for_data("after a second EHLO")
    session.alive("after a second EHLO")


@check("EHL-20", "5321 4.1.4", "A second EHLO drops the sender, too")
def second_ehlo_drops_the_sender(session: Session) -> None:
    session.ready()
    session.mail()
    session.accepted(session.command(f"EHLO {NAME}"), "a second EHLO", 250)
    reply = session.command(f"RCPT TO:<{session.recipient}>")
    session.refused(reply, "RCPT after a second EHLO", 503)


@check("EHL-21", "5321 4.1.1.1", "HELO drops the transaction")
def helo_drops_the_transaction(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    session.accepted(session.command(f"HELO {NAME}"), "HELO within a transaction", 250)
    session.not_ready_for_data("after HELO")


@check("EHL-22", "5321 4.1.4", "An EHLO that is refused leaves the transaction as it was")
def refused_ehlo_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    if session.command("EHLO").kind == 2:
        raise Inconclusive("EHLO without an argument is accepted")
    session.ready_for_data("after an EHLO that was refused")


@check("EHL-22", "5321 4.1.4", "An EHLO that is refused leaves the introduction as it was")
def refused_ehlo_keeps_the_introduction(session: Session) -> None:
    session.ready()
    for line in ("EHLO", "HELO"):
        if session.command(line).kind == 2:
            raise Inconclusive(f"{line} without an argument is accepted")
    reply = session.command(f"MAIL FROM:<{session.target.sender}>")
    session.accepted(reply, "MAIL after an EHLO that was refused")


@check("EHL-22", "5321 4.1.4", "A HELO that is refused leaves the transaction as it was")
def refused_helo_changes_nothing(session: Session) -> None:
    session.ready()
    session.mail()
    session.rcpt()
    if session.command("HELO").kind == 2:
        raise Inconclusive("HELO without an argument is accepted")
    session.ready_for_data("after a HELO that was refused")


@check("EHL-08", "5321 4.1.4", "Nothing but an accepted EHLO or HELO introduces the client")
def nothing_else_introduces(session: Session) -> None:
    session.greeting()
    mail = f"MAIL FROM:<{session.target.sender}>"
    for line in ("EHLO", "HELO", "NOOP", "RSET", "VRFY postmaster", "HELP"):
        if session.command(line).kind == 2 and line in ("EHLO", "HELO"):
            raise Inconclusive(f"{line} without an argument is accepted")
        reply = session.command(mail)
        if reply.kind == 2:
            other = Session(session.target)
            try:
                other.greeting()
                if other.command(mail).kind == 2:
                    raise Inconclusive("MAIL is accepted without EHLO")
            except (Closed, Silent) as error:
                raise Inconclusive(f"MAIL without EHLO: {error}") from None
            finally:
                other.end()
            raise Failed(f"{line} introduces the client: {mail}: {reply}")


@check("EHL-20", "5321 4.1.4", "EHLO is accepted after HELO")
def ehlo_after_helo(session: Session) -> None:
    session.greeting()
    session.command(f"HELO {NAME}")
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO after HELO", 250)


@check("EHL-33", "5321 4.1.1.1", "A second EHLO offers what the first offered")
def second_ehlo_offers_the_same(session: Session) -> None:
    session.ready()
    first = session.offered
    session.accepted(session.command(f"EHLO {NAME}"), "a second EHLO", 250)
    if session.offered != first:
        raise Failed(f"the second EHLO offers {session.offered}, the first {first}")


@check("EHL-08", "5321 4.1.4", "MAIL before EHLO or HELO is answered with 503", level="SHOULD")
def mail_before_ehlo_is_refused(session: Session) -> None:
    session.greeting()
    reply = session.command(f"MAIL FROM:<{session.target.sender}>")
    session.refused(reply, "MAIL before EHLO", 503)
    session.alive("after MAIL before EHLO")


def _unoffered(keyword: str, line: str) -> Check[Session]:
    def run(session: Session) -> None:
        session.ready()
        if keyword in (session.offered or {}):
            return
        reply = session.command(line)
        # 252 is a refusal to expand a list.
        if reply.code != 252 and reply.kind in (2, 3):
            raise Failed(f"{keyword} is not offered, and works: {line}: {reply}")

    sentence = f"{keyword} is refused where it is not offered"
    return Check(f"{keyword.lower()}-unoffered", "EHL-16", "5321 4.1.1.1", sentence, run)


for _keyword, _line in (
    ("STARTTLS", "STARTTLS"),
    ("AUTH", "AUTH PLAIN"),
    ("ETRN", "ETRN example.com"),
    ("EXPN", "EXPN postmaster"),
    ("XCLIENT", "XCLIENT NAME=check.example"),
    ("XFORWARD", "XFORWARD NAME=check.example"),
    ("ATRN", "ATRN"),
    ("BURL", "BURL imap://example.com LAST"),
    ("LHLO", "LHLO check.example"),
):
    CHECKS.add(_unoffered(_keyword, _line))


@check("EHL-32", "5321 4.1.4", "NOOP, RSET, VRFY and HELP work before EHLO", level="SHOULD")
def some_commands_work_before_ehlo(session: Session) -> None:
    session.greeting()
    session.accepted(session.command("NOOP"), "NOOP before EHLO")
    session.accepted(session.command("RSET"), "RSET before EHLO")
    for line in ("VRFY postmaster", "HELP"):
        reply = session.command(line)
        if reply.code == 503:
            raise Failed(f"{line} before EHLO: {reply}")


@check("GRT-16", "5321 4.3.1", "A greeting is sent although the client is silent")
def greeting_does_not_wait(session: Session) -> None:
    session.greeting()
    session.alive("after the greeting")
