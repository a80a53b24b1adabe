"""Checks of the paths and parameters of MAIL and RCPT."""

from __future__ import annotations

from typing import Final

from ..session import Session
from ..table import Check, Failed, Level, Table

CHECKS: Final = Table[Session]()
check = CHECKS.check


@check("MAI-04", "5321 4.1.1.2, 4.5.5", "The null reverse-path is accepted")
def null_sender(session: Session) -> None:
    session.ready()
    session.accepted(session.command("MAIL FROM:<>"), "MAIL FROM:<>", 250)
    session.rcpt()
    session.ready_for_data("with the null sender")


@check("MAI-04", "5321 4.1.1.2, 4.5.5", "The null reverse-path is accepted with parameters")
def null_sender_with_parameters(session: Session) -> None:
    session.ready()
    words = [
        word
        for keyword, word in (("SIZE", "SIZE=100"), ("8BITMIME", "BODY=7BIT"))
        if keyword in (session.offered or {})
    ]
    line = " ".join(("MAIL FROM:<>", *words))
    session.accepted(session.command(line), line, 250)
    session.rcpt()


@check("MAI-14", "5321 4.1.2", "The parameters of MAIL come in any order")
def parameters_in_any_order(session: Session) -> None:
    session.ready()
    known = (("SIZE", "SIZE=100"), ("8BITMIME", "BODY=8BITMIME"), ("SMTPUTF8", "SMTPUTF8"))
    words = [word for keyword, word in known if keyword in (session.offered or {})]
    for order in (words, words[::-1], words[1:] + words[:1]):
        line = " ".join((f"MAIL FROM:<{session.target.sender}>", *order))
        session.accepted(session.command(line), line, 250)
        session.command("RSET")


@check("RCP-04", "5321 2.3.5, 4.1.1.3", "Postmaster without a domain is a recipient")
def postmaster(session: Session) -> None:
    session.ready()
    session.mail()
    reply = session.command("RCPT TO:<Postmaster>")
    session.accepted(reply, "RCPT TO:<Postmaster>")


@check("RCP-04", "5321 2.3.5, 4.1.1.3", "Postmaster is a recipient in any letter case")
def postmaster_in_any_case(session: Session) -> None:
    session.ready()
    session.mail()
    for name in ("postmaster", "POSTMASTER", "pOSTmASTER"):
        session.accepted(session.command(f"RCPT TO:<{name}>"), f"RCPT TO:<{name}>")


def _postmaster_of_its_domain(session: Session, name: str) -> None:
    session.ready()
    session.mail()
    domain = session.recipient.rpartition("@")[2]
    if "@" not in session.recipient:
        domain = session.target.domain
    reply = session.command(f"RCPT TO:<{name}@{domain}>")
    if reply.code in (550, 551, 553, 554) and b"elay" in b"".join(reply.texts):
        session.permit(f"the server does not serve {domain}: {reply}")
    else:
        session.accepted(reply, f"RCPT TO:<{name}@{domain}>")


@check("RCP-05", "5321 4.5.1", "Postmaster of a served domain is a recipient")
def postmaster_with_domain(session: Session) -> None:
    _postmaster_of_its_domain(session, "postmaster")


@check("RCP-05", "5321 4.5.1", "Postmaster of a served domain is a recipient in any letter case")
def postmaster_with_domain_in_any_case(session: Session) -> None:
    _postmaster_of_its_domain(session, "PostMaster")


@check("MAI-10", "5321 3.3", "The domain of an address is read in any letter case")
def domains_in_any_case(session: Session) -> None:
    session.ready()
    session.mail()
    local, at, domain = session.recipient.partition("@")
    if not at:
        return
    changed = f"{local}@{domain.swapcase()}"
    session.accepted(session.command(f"RCPT TO:<{changed}>"), f"RCPT TO:<{changed}>")


def _refuses(
    name: str,
    requirement: str,
    rfc: str,
    sentence: str,
    line: str,
    *codes: int,
    level: Level = "MUST",
) -> None:
    """Add a check that a line is refused, and leaves the session as it was; 555 alone is a code that is due."""

    def run(session: Session) -> None:
        session.ready()
        filled = line.format(sender=session.target.sender, recipient=session.recipient)
        if filled.startswith("RCPT"):
            session.mail()
        session.refused(session.command(filled), filled, *codes, strict=codes == (555,))
        if filled.startswith("MAIL"):
            session.begun_nothing(filled)
        else:
            session.rcpt()

    CHECKS.add(Check(name, requirement, rfc, sentence, run, level))


def _accepts(name: str, requirement: str, rfc: str, sentence: str, path: str, level: Level = "MUST") -> None:
    """Add a check that a path is understood: accepted as a sender, or refused for another reason than syntax."""

    def run(session: Session) -> None:
        session.ready()
        reply = session.command(f"MAIL FROM:<{path}>")
        if reply.kind == 2:
            session.rcpt()
        elif reply.code in (500, 501, 502, 503, 504, 552, 555):
            raise Failed(f"MAIL FROM:<{path}>: {reply}")
        else:
            # The server may dislike the address (RFC 5321 3.3), and it has understood it.
            session.permit(f"MAIL FROM:<{path}>: {reply}")

    CHECKS.add(Check(name, requirement, rfc, sentence, run, level))


for _name, _requirement, _rfc, _sentence, _line, _codes in (
    ("mail-without-argument", "MAI-01", "5321 4.1.1.2", "MAIL without an argument is refused", "MAIL", (501,)),
    ("rcpt-without-argument", "RCP-03", "5321 4.1.1.3", "RCPT without an argument is refused", "RCPT", (501,)),
    ("mail-without-from", "MAI-01", "5321 4.1.1.2", "MAIL without FROM: is refused", "MAIL <{sender}>", (501,)),
    ("mail-with-to", "MAI-01", "5321 4.1.1.2", "MAIL TO: is refused", "MAIL TO:<{sender}>", (501,)),
    ("rcpt-without-to", "RCP-03", "5321 4.1.1.3", "RCPT without TO: is refused", "RCPT <{recipient}>", (501,)),
    ("rcpt-with-from", "RCP-03", "5321 4.1.1.3", "RCPT FROM: is refused", "RCPT FROM:<{recipient}>", (501,)),
    ("mail-without-colon", "MAI-01", "5321 4.1.1.2", "MAIL FROM without colon is refused", "MAIL FROM <{sender}>", (501,)),
    ("rcpt-without-colon", "RCP-03", "5321 4.1.1.3", "RCPT TO without colon is refused", "RCPT TO <{recipient}>", (501,)),
    ("mail-without-path", "MAI-04", "5321 4.1.1.2", "MAIL FROM: without a path is refused", "MAIL FROM:", (501,)),
    ("rcpt-without-path", "RCP-06", "5321 4.1.1.3", "RCPT TO: without a path is refused", "RCPT TO:", (501,)),
    ("empty-forward-path", "RCP-06", "5321 4.1.2", "An empty forward-path is refused", "RCPT TO:<>", ()),
    ("unclosed-reverse-path", "ADR-19", "5321 4.1.2", "A reverse-path without > is refused", "MAIL FROM:<a@example.com", (501, 553)),
    ("unclosed-forward-path", "ADR-19", "5321 4.1.2", "A forward-path without > is refused", "RCPT TO:<{recipient}", (501, 553)),
    ("reverse-path-of-two-words", "ADR-19", "5321 4.1.2", "A space in a reverse-path is refused", "MAIL FROM:<a b@example.com>", (501, 553)),
    ("unclosed-quotes", "ADR-03", "5321 4.1.2", "An unclosed quoted local-part is refused", 'MAIL FROM:<"a@example.com>', (501, 553)),
    ("mail-text-after-path", "MAI-15", "5321 4.1.2", "Text stuck to a path is refused", "MAIL FROM:<{sender}>SIZE=1", (501, 555)),
    ("rcpt-text-after-path", "MAI-15", "5321 4.1.2", "Text stuck to a forward-path is refused", "RCPT TO:<{recipient}>x", (501, 555)),
    ("mail-unknown-parameter", "MAI-12", "5321 4.1.1.11", "An unknown parameter of MAIL is refused with 555", "MAIL FROM:<{sender}> XFROBNICATE=1", (555,)),
    ("mail-unknown-flag", "MAI-12", "5321 4.1.1.11", "An unknown parameter of MAIL without a value is refused with 555", "MAIL FROM:<{sender}> XFROBNICATE", (555,)),
    ("rcpt-unknown-parameter", "RCP-18", "5321 4.1.1.11", "An unknown parameter of RCPT is refused with 555", "RCPT TO:<{recipient}> XFROBNICATE=1", (555,)),
    ("mail-malformed-parameter", "MAI-14", "5321 4.1.2", "A malformed parameter is refused", "MAIL FROM:<{sender}> =1", (501, 555)),
    ("rcpt-parameter-of-mail", "RCP-18", "5321 4.1.1.11", "A parameter of MAIL is refused after RCPT", "RCPT TO:<{recipient}> SIZE=100", (501, 555)),
    ("mail-parameter-of-rcpt", "MAI-12", "5321 4.1.1.11", "A parameter of RCPT is refused after MAIL", "MAIL FROM:<{sender}> NOTIFY=NEVER", (501, 555)),
    ("two-dots-in-domain", "ADR-08", "5321 4.1.2", "Two dots in a row in a domain are refused", "MAIL FROM:<a@b..example.com>", (501, 553)),
    ("hyphen-first-in-domain", "ADR-08", "5321 4.1.2", "A hyphen at the beginning of a label is refused", "MAIL FROM:<a@-b.example.com>", (501, 553)),
    ("character-in-domain", "ADR-08", "5321 4.1.2", "A character that domains do not have is refused", "MAIL FROM:<a@b!c.example.com>", (501, 553)),
    ("bad-ipv4-literal", "ADR-11", "5321 4.1.3", "An IPv4 literal with a number above 255 is refused", "MAIL FROM:<a@[127.0.0.256]>", (501, 553)),
    ("path-with-host-number", "ADR-17", "5321 App. F.4", "A host written as # and digits is refused", "MAIL FROM:<a@#123>", (501, 553)),
    ("two-dots-in-forward-domain", "ADR-08", "5321 4.1.2", "Two dots in a row in the domain of a recipient are refused", "RCPT TO:<a@b..example.com>", ()),
    ("reverse-path-with-tab", "FRM-12", "5321 4.1.2", "A tab in a reverse-path is refused", "MAIL FROM:<a\tb@example.com>", (501, 553)),
    ("ipv4-literal-of-three", "ADR-11", "5321 4.1.3", "An IPv4 literal of three numbers is refused", "MAIL FROM:<a@[127.0.1]>", (501, 553)),
    ("text-after-quotes", "ADR-03", "5321 4.1.2", "Text between quotes and @ is refused", 'MAIL FROM:<"a"b@example.com>', (501, 553)),
    ("route-without-colon", "ADR-23", "5321 4.1.2", "A source route without a colon is refused", "MAIL FROM:<@one.example.com,@two.example.com>", (501, 553)),
    ("two-forward-paths", "ADR-19", "5321 4.1.2", "Two paths after RCPT TO: are refused", "RCPT TO:<{recipient}>,<{recipient}>", (501, 553, 555)),
    ("two-forward-paths-in-brackets", "ADR-19", "5321 4.1.2", "Two mailboxes in one path are refused", "RCPT TO:<{recipient},{recipient}>", ()),
):  # fmt: skip
    _refuses(_name, _requirement, _rfc, _sentence, _line, *_codes)

# Servers that read these kindly do no harm (RFC 5321 4.1.2 leaves no room for them, practice does).
for _name, _requirement, _rfc, _sentence, _line, _codes in (
    ("mail-with-blank-after-colon", "MAI-02", "5321 3.3", "A blank after FROM: is refused", "MAIL FROM: <{sender}>", (501,)),
    ("rcpt-with-blank-after-colon", "RCP-03", "5321 3.3", "A blank after TO: is refused", "RCPT TO: <{recipient}>", (501,)),
    ("mail-with-blank-before-colon", "MAI-02", "5321 3.3", "A blank before the colon is refused", "MAIL FROM :<{sender}>", (501,)),
    ("mail-without-brackets", "MAI-03", "5321 4.1.2", "A reverse-path without brackets is refused", "MAIL FROM:{sender}", (501,)),
    ("rcpt-without-brackets", "RCP-03", "5321 4.1.2", "A forward-path without brackets is refused", "RCPT TO:{recipient}", (501,)),
    ("path-without-local-part", "ADR-01", "5321 4.1.2", "A path without a local-part is refused", "MAIL FROM:<@example.com>", (501, 553)),
    ("path-with-two-ats", "ADR-01", "5321 4.1.2", "A mailbox with two unquoted @ is refused", "MAIL FROM:<a@b@example.com>", (501, 553)),
    ("hyphen-last-in-domain", "ADR-08", "5321 4.1.2", "A hyphen at the end of a label is refused", "MAIL FROM:<a@b-.example.com>", (501, 553)),
    ("forward-path-of-two-words", "ADR-19", "5321 4.1.2", "A space in a forward-path is refused", "RCPT TO:<a b@example.com>", ()),
    ("ipv6-literal-without-tag", "ADR-12", "5321 4.1.3", "An IPv6 literal without its tag is refused", "MAIL FROM:<a@[::1]>", (501, 553)),
    ("bad-ipv6-literal", "ADR-15", "5321 4.1.3", "An IPv6 literal of three groups is refused", "MAIL FROM:<a@[IPv6:1:2:3]>", (501, 553)),
    ("general-literal-without-tag", "ADR-16", "5321 4.1.3", "A literal that is a word is refused", "MAIL FROM:<a@[example]>", (501, 553)),
    ("label-of-64", "ADR-10", "5890 2.3.1", "A label of 64 octets is refused", f"MAIL FROM:<a@{'d' * 64}.example.com>", (501, 553)),
    ("underscore-in-domain", "ADR-08", "5321 4.1.2", "An underscore in a domain is refused", "MAIL FROM:<a@b_c.example.com>", (501, 553)),
    ("dot-last-in-domain", "ADR-08", "5321 4.1.2", "A dot at the end of a domain is refused", "MAIL FROM:<a@example.com.>", (501, 553)),
    ("forward-path-with-blank", "RCP-06", "5321 4.1.2", "< > is not a forward-path", "RCPT TO:< >", (501, 553)),
    ("two-dots-in-forward-local-part", "ADR-01", "5321 4.1.2", "Two dots in a row in the local-part of a recipient are refused", "RCPT TO:<a..b@example.com>", ()),
    ("control-character-in-forward-path", "FRM-12", "5321 4.1.2", "A control character in a forward-path is refused", "RCPT TO:<a\x01b@example.com>", ()),
    ("sender-without-domain", "MAI-05", "5321 4.1.2", "A sender without a domain is refused", "MAIL FROM:<check>", (501, 553)),
    ("postmaster-as-sender", "MAI-05", "5321 4.1.2", "Postmaster without a domain is not a reverse-path", "MAIL FROM:<postmaster>", (501, 553)),
    ("unopened-reverse-path", "ADR-19", "5321 4.1.2", "A reverse-path without < is refused", "MAIL FROM:a@example.com>", (501, 553)),
    ("dot-first-in-domain", "ADR-08", "5321 4.1.2", "A dot at the beginning of a domain is refused", "MAIL FROM:<a@.example.com>", (501, 553)),
    ("route-with-a-comma-too-many", "ADR-23", "5321 4.1.2", "A source route that ends in a comma is refused", "MAIL FROM:<@one.example.com,:a@example.com>", (501, 553)),
    ("lone-at", "MAI-05", "5321 4.1.2", "<@> is not a reverse-path", "MAIL FROM:<@>", (501, 553)),
    ("body-without-value", "MAI-14", "5321 4.1.2", "BODY with = and no value is refused", "MAIL FROM:<{sender}> BODY=", (501, 555)),
    ("path-in-path", "ADR-19", "5321 4.1.2", "A path with brackets in it is refused", "MAIL FROM:<<a@example.com>>", (501, 553)),
    ("mail-parameter-without-value", "MAI-14", "5321 4.1.2", "A parameter with = and no value is refused", "MAIL FROM:<{sender}> SIZE=", (501, 555)),
    ("two-dots-in-local-part", "ADR-01", "5321 4.1.2", "Two dots in a row in a local-part are refused", "MAIL FROM:<a..b@example.com>", (501, 553)),
    ("dot-first-in-local-part", "ADR-01", "5321 4.1.2", "A dot at the beginning of a local-part is refused", "MAIL FROM:<.a@example.com>", (501, 553)),
    ("dot-last-in-local-part", "ADR-01", "5321 4.1.2", "A dot at the end of a local-part is refused", "MAIL FROM:<a.@example.com>", (501, 553)),
    ("comment-in-path", "ADR-07", "5321 4.1.2", "A comment in a path is refused", "MAIL FROM:<a(comment)@example.com>", (501, 553)),
    ("null-path-with-blank", "MAI-05", "5321 4.1.2", "< > is not the null path", "MAIL FROM:< >", (501, 553)),
):  # fmt: skip
    _refuses(_name, _requirement, _rfc, _sentence, _line, *_codes, level="SHOULD")

for _name, _requirement, _rfc, _sentence, _path in (
    ("quoted-local-part", "ADR-03", "5321 4.1.2", "A quoted local-part is understood", '"a b"@example.com'),
    ("quoted-at", "ADR-04", "5321 4.1.2", "An @ in quotes is an ordinary character", '"a@b"@example.com'),
    ("quoted-bracket", "ADR-04", "5321 4.1.2", "A > in quotes is an ordinary character", '"a>b"@example.com'),
    ("quoted-pair", "ADR-06", "5321 4.1.2", "A backslash stands for the character after it", '"a\\"b\\\\c"@example.com'),
    ("quoted-dots", "ADR-03", "5321 4.1.2", "Dots in quotes are ordinary characters", '".a..b."@example.com'),
    ("special-characters", "ADR-02", "5321 4.1.2; 5322 3.2.3", "All characters of an atom are understood", "a!#$%&'*+-/=?^_`{|}~z@example.com"),
    ("local-part-of-64", "LIM-05", "5321 4.5.3.1.1", "A local-part of 64 octets is understood", "a" * 64 + "@example.com"),
    ("path-of-256", "LIM-07", "5321 4.5.3.1.3", "A path of 256 octets is understood", "a@" + ".".join(["d" * 61] * 4)[:252]),
    ("long-domain", "LIM-06", "5321 4.5.3.1.2", "A domain of 247 octets is understood", "abcdef@" + ".".join(["d" * 61] * 4)[:247]),
    ("source-route", "MAI-16", "5321 4.1.1.3, App. C", "A source route in a reverse-path is understood", "@one.example.com,@two.example.com:a@example.com"),
):  # fmt: skip
    _accepts(_name, _requirement, _rfc, _sentence, _path)

# A policy against address literals is permitted, whatever its code.
_accepts("ipv4-literal", "ADR-11", "5321 4.1.3", "An IPv4 literal is understood", "a@[127.0.0.1]", "SHOULD")
_accepts("ipv6-literal", "ADR-12", "5321 4.1.3", "An IPv6 literal is understood", "a@[IPv6:::1]", "SHOULD")
_accepts(
    "hyphens-and-digits-in-domain",
    "ADR-08",
    "5321 4.1.2",
    "Hyphens and digits in a domain are understood",
    "a@1-2.x-3.example.com",
)
_accepts("domain-in-upper-case", "FRM-09", "5321 2.4", "A domain in upper case is understood", "a@EXAMPLE.COM")
_accepts(
    "label-of-63", "ADR-10", "5890 2.3.1", "A label of 63 octets is understood", f"a@{'d' * 63}.example.com"
)
_accepts("shortest-mailbox", "ADR-01", "5321 4.1.2", "A mailbox of single letters is understood", "a@b.c")
_accepts("a-label", "UTF-22", "5890 2.3.2.1", "An A-label is understood", "a@xn--bcher-kva.example.com")
_accepts("digits-only", "ADR-02", "5321 4.1.2", "A local-part of digits is understood", "12345@example.com")
_accepts("domain-of-one-label", "ADR-09", "5321 2.3.5", "A domain of one label is understood", "a@localhost")
_accepts(
    "empty-quotes",
    "ADR-05",
    "5321 4.1.2",
    "The empty quoted local-part is understood",
    '""@example.com',
)


@check("LIM-07", "5321 4.5.3.1.3", "A forward-path of 256 octets is understood")
def forward_path_of_256(session: Session) -> None:
    session.ready()
    session.mail()
    path = "a@" + ".".join(["d" * 61] * 4)[:252]
    reply = session.command(f"RCPT TO:<{path}>")
    if reply.code in (500, 501, 502, 503, 504):
        raise Failed(f"RCPT TO:<{path}>: {reply}")
    session.rcpt()


@check("RCP-07", "5321 3.3, 4.1.1.3", "A source route in a forward-path is understood")
def forward_path_with_source_route(session: Session) -> None:
    session.ready()
    session.mail()
    path = f"@one.example.com:{session.recipient}"
    if "@" not in session.recipient:
        path = f"@one.example.com:postmaster@{session.target.domain}"
    reply = session.command(f"RCPT TO:<{path}>")
    if reply.code in (500, 501, 502, 503, 504):
        raise Failed(f"RCPT TO:<{path}>: {reply}")
    if reply.kind != 2:
        session.permit(f"source routes are refused (App. C): {reply}")


@check("RCP-21", "5321 4.1.2", "A quoted local-part that needs no quotes is the same mailbox")
def needless_quotes(session: Session) -> None:
    session.ready()
    session.mail()
    local, at, domain = session.recipient.partition("@")
    if not at or not local.isalnum():
        return
    reply = session.command(f'RCPT TO:<"{local}"@{domain}>')
    if reply.kind == 2:
        return
    raise Failed(f'RCPT TO:<"{local}"@{domain}>: {reply}')


@check("MAI-21", "5321 4.1.1.11", "Parameters are refused after HELO", level="SHOULD")
def parameters_after_helo(session: Session) -> None:
    session.greeting()
    session.command("HELO check.example")
    reply = session.command(f"MAIL FROM:<{session.target.sender}> SIZE=100")
    session.refused(reply, "MAIL with SIZE after HELO", 501, 555)
