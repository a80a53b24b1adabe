"""Checks of the service extensions: those that an ``Extension`` value implies, and some of each extension."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ..._core.config import Extension, Facts, ServerConfig
from ..._core.errors import LocalProtocolError
from ..._core.parameters import Parameter
from ...extensions import STANDARD
from ..session import Session, letter, token
from ..table import Check, Failed, Inconclusive, Level, Table

Run = Callable[[Session], None]
_SPECIFIC: Final = Table[Session]()
check = _SPECIFIC.check

# Requirement and RFC section of what an extension announces, and of its parameter.
_IDS: Final = {
    "PIPELINING": ("PIP-23", "2920 3", "PIP-23"),
    "SIZE": ("SIZ-01", "1870 3", "SIZ-03"),
    "8BITMIME": ("EIG-10", "6152 2", "EIG-01"),
    "SMTPUTF8": ("UTF-01", "6531 3.1", "UTF-04"),
    "STARTTLS": ("TLS-01", "3207 2", "TLS-01"),
    "AUTH": ("AUT-01", "4954 3", "AUT-41"),
    "ENHANCEDSTATUSCODES": ("ESC-11", "2034 3", "ESC-11"),
    "EXPN": ("SES-21", "5321 3.5.2", "SES-21"),
    "HELP": ("EHL-13", "5321 4.1.1.8", "EHL-13"),
    "CHUNKING": ("CHK-25", "3030 2", "CHK-25"),
    "BINARYMIME": ("BIN-01", "3030 3", "BIN-02"),
}
BARE: Final = frozenset(
    "PIPELINING 8BITMIME SMTPUTF8 CHUNKING BINARYMIME ENHANCEDSTATUSCODES STARTTLS DSN EXPN REQUIRETLS ETRN"
    " RRVS MTRK".split()
)
"""Keywords that have no arguments, whether there is an ``Extension`` value or not."""
_GOOD: Final = (None, "100", "<>", "HDRS", "NEVER", "rfc822;check@example.com", "check")
_BAD: Final = ("x", "1", "?", "+")


def checks_of(extension: Extension) -> Iterator[Check[Session]]:
    """Derive checks from an extension: of its announcement, its parameters and its commands.

    Args:
        extension: A standard one, or one of your own.
    """
    requirement, rfc, of_parameter = _IDS.get(extension.keyword, ("EXT-01", "5321 2.2", "EXT-05"))
    name = extension.keyword.lower()
    keyword = extension.keyword
    yield Check(
        f"{name}-announcement", requirement, rfc, f"The arguments of {keyword} are valid",
        _announcement(extension), keyword=keyword,
    )  # fmt: skip
    if extension.needs:
        yield Check(
            f"{name}-needs", "UTF-03" if keyword == "SMTPUTF8" else "EXT-08", rfc,
            f"{keyword} is offered together with {' and '.join(extension.needs)} only",
            _needs(extension), keyword=keyword,
        )  # fmt: skip
    for row in extension.parameters:
        about = f"{name}-parameter" if row.keyword == keyword else f"{name}-parameter-{row.keyword.lower()}"
        # That a client must not repeat a parameter does not say that a server must mind.
        rows: tuple[tuple[str, str, Run | None, Level], ...] = (
            ("", f"{row.keyword} of {row.command} is accepted", _parameter_is_accepted(row), "MUST"),
            ("-in-any-case", f"{row.keyword} of {row.command} is read in any case", _in_any_case(row), "MUST"),
            ("-twice", f"{row.keyword} is refused if it is there twice", _twice(row), "SHOULD"),
            ("-malformed", f"{row.keyword} with a malformed value is refused", _malformed(row), "MUST"),
            ("-without-value", f"{row.keyword} without a value is refused", _without_value(row), "MUST"),
        )
        for suffix, sentence, run, level in rows:
            if run is not None:
                yield Check(about + suffix, of_parameter, rfc, sentence, run, level, keyword)
        yield Check(
            f"{about}-not-offered", "MAI-12" if row.command == "MAIL" else "RCP-18", "5321 4.1.1.11",
            f"{row.keyword} of {row.command} is refused where {keyword} is not offered",
            _not_offered(row, keyword), "SHOULD" if row.keyword == "AUTH" else "MUST",
        )  # fmt: skip


def _announcement(extension: Extension) -> Run:
    def run(session: Session) -> None:
        session.ready()
        arguments = (session.offered or {}).get(extension.keyword)
        if arguments is None:
            raise Inconclusive("it is not offered in this session")
        if arguments and _is_bare(extension):
            raise Failed(f"{extension.keyword} takes no arguments, and has {' '.join(arguments)}")
        try:
            value = extension.read(arguments)
        except LocalProtocolError as error:
            raise Failed(f"{extension.keyword} {' '.join(arguments)}: {error}") from None
        if value is None and arguments:
            raise Failed(f"{extension.keyword} {' '.join(arguments)}: the arguments are malformed")

    return run


def _is_bare(extension: Extension) -> bool:
    """Whether our own server announces it without arguments, in whatever configuration."""
    if extension.keyword in BARE:
        return True
    for config in (ServerConfig(), ServerConfig(starttls=True, smtputf8=True, expn=True)):
        offered = extension.offer(config, Facts(config=config))
        if offered is not None:
            return not offered
    return False


def _needs(extension: Extension) -> Run:
    def run(session: Session) -> None:
        session.ready()
        missing = [name for name in extension.needs if name not in (session.offered or {})]
        if missing:
            raise Failed(f"{extension.keyword} is offered without {' and '.join(missing)}")

    return run


def _line(session: Session, row: Parameter, *words: str) -> str:
    target = session.target
    path = f"MAIL FROM:<{target.sender}>" if row.command == "MAIL" else f"RCPT TO:<{session.recipient}>"
    return " ".join((path, *words))


def _word(keyword: str, value: str | None) -> str:
    return keyword if value is None else f"{keyword}={value}"


def _value(row: Parameter, candidates: Iterable[str | None], *, good: bool) -> tuple[str | None] | None:
    """The first value that the parameter accepts, or refuses, as a tuple; None if there is none."""
    for value in candidates:
        try:
            row.parse(value)
        except LocalProtocolError:
            if not good:
                return (value,)
        else:
            if good:
                return (value,)
    return None


def _with(
    row: Parameter, words: Callable[[str | None], tuple[str, ...]], *, good: bool = True, accepted: bool
) -> Run | None:
    """A check with words made of a value of the parameter; None if no value is known."""
    found = _value(row, (*row.names, *_GOOD) if good else _BAD, good=good)
    if found is None:
        return None
    return _accepted(row, words(found[0])) if accepted else _refused(row, words(found[0]))


def _accepted(row: Parameter, words: tuple[str, ...]) -> Run:
    def run(session: Session) -> None:
        session.ready()
        if row.command == "RCPT":
            session.mail()
        line = _line(session, row, *words)
        session.accepted(session.command(line), line, 250)

    return run


def _refused(row: Parameter, words: tuple[str, ...]) -> Run:
    def run(session: Session) -> None:
        session.ready()
        if row.command == "RCPT":
            session.mail()
        line = _line(session, row, *words)
        session.refused(session.command(line), line, 501, 504, 555)
        session.alive(f"after {line}")
        if row.command == "MAIL":
            session.begun_nothing(line)

    return run


def _parameter_is_accepted(row: Parameter) -> Run | None:
    return _with(row, lambda value: (_word(row.keyword, value),), accepted=True)


def _in_any_case(row: Parameter) -> Run | None:
    return _with(row, lambda value: (_word(row.keyword.lower(), value and value.lower()),), accepted=True)


def _twice(row: Parameter) -> Run | None:
    return _with(row, lambda value: (_word(row.keyword, value),) * 2, accepted=False)


def _malformed(row: Parameter) -> Run | None:
    return _with(row, lambda value: (_word(row.keyword, value),), good=False, accepted=False)


def _without_value(row: Parameter) -> Run | None:
    try:
        row.parse(None)
    except LocalProtocolError:
        return _refused(row, (row.keyword,))
    return None


def _not_offered(row: Parameter, keyword: str) -> Run:
    found = _value(row, (*row.names, *_GOOD), good=True) or ("1",)

    def run(session: Session) -> None:
        session.ready()
        if keyword in (session.offered or {}):
            return
        if row.command == "RCPT":
            session.mail()
        line = _line(session, row, _word(row.keyword, found[0]))
        session.refused(session.command(line), line, 555)

    return run


# -- SIZE --


def _limit(session: Session) -> int:
    """The size that the server announces.

    Raises:
        Inconclusive: It announces none.
    """
    limit = session.size_limit()
    if not limit:
        raise Inconclusive("no limit is announced")
    return limit


@check("SIZ-05", "1870 6.1", "A declared size above the limit is answered with 552", keyword="SIZE")
def size_above_the_limit(session: Session) -> None:
    session.ready()
    limit = _limit(session)
    # What is left of a number that does not fit is below the limit.
    for size in (limit + 1, 10**19, 2**32 + 1, 2**64 + 1):
        if size <= limit:
            continue
        line = f"MAIL FROM:<{session.target.sender}> SIZE={size}"
        session.refused(session.command(line), line, 552, strict=True)
    session.begun_nothing("MAIL with a size above the limit")


@check("SIZ-01", "1870 3", "SIZE is announced with one number or none", keyword="SIZE")
def size_has_one_argument(session: Session) -> None:
    session.ready()
    words = (session.offered or {}).get("SIZE", ())
    if len(words) > 1 or not all(word.isascii() and word.isdigit() and len(word) <= 20 for word in words):
        raise Failed(f"SIZE is announced with {' '.join(words)}")


@check("EHL-13", "5321 4.1.1.1; 2034 3; 3030 3; 3461 2", "Keywords without arguments are announced without any")
def bare_keywords(session: Session) -> None:
    session.ready()
    for keyword, words in (session.offered or {}).items():
        if keyword in BARE and words:
            raise Failed(f"{keyword} takes no arguments, and has {' '.join(words)}")


@check("LMS-01", "9422 3, 4", "LIMITS lists names with values, numbers from 1 to 999999", keyword="LIMITS")
def limits_are_valid(session: Session) -> None:
    session.ready()
    words = (session.offered or {}).get("LIMITS", ())
    if not words:
        raise Failed("LIMITS is announced without a limit")
    for word in words:
        name, equals, value = word.partition("=")
        number = name.upper() in ("MAILMAX", "RCPTMAX", "RCPTDOMAINMAX")
        if not re.fullmatch("[A-Za-z0-9_-]+", name) or (equals and not re.fullmatch("[!-:<-~]+", value)):
            raise Failed(f"not a valid limit: {word}")
        if number and not re.fullmatch("[1-9][0-9]{0,5}", value):
            raise Failed(f"not a number from 1 to 999999: {word}")


@check("RPL-18", "1985 5; 5321 4.2.4", "ETRN works where it is offered", keyword="ETRN")
def etrn_works(session: Session) -> None:
    session.ready()
    session.send(f"ETRN {session.target.domain}\r\n".encode())
    # Careful servers have no enhanced code here: the rules for replies do not see it.
    reply = session.wire.read_reply()
    if reply.code in (500, 501, 502, 504):
        raise Failed(f"ETRN: {reply}")


@check("SIZ-10", "1870 6.1", "A declared size that is the limit is accepted", keyword="SIZE")
def size_at_the_limit(session: Session) -> None:
    session.ready()
    line = f"MAIL FROM:<{session.target.sender}> SIZE={_limit(session)}"
    session.accepted(session.command(line), line)


@check("SIZ-03", "1870 3", "A size of 21 digits, or with a sign, is refused", keyword="SIZE")
def size_malformed(session: Session) -> None:
    session.ready()
    for value in ("1" * 21, "-1", "+1", "0x10", "1k", "=1"):
        line = f"MAIL FROM:<{session.target.sender}> SIZE={value}"
        session.refused(session.command(line), line, 501, 552, 555)
        session.begun_nothing(line)
        session.command("RSET")


@check("SIZ-21", "1870 3", "A declared size of 0 is accepted", keyword="SIZE", level="MAY")
def size_zero(session: Session) -> None:
    session.ready()
    line = f"MAIL FROM:<{session.target.sender}> SIZE=0"
    session.accepted(session.command(line), line)


@check("SIZ-08", "1870 6", "The declared size does not decide where the content ends", keyword="SIZE")
def size_does_not_end_the_content(session: Session) -> None:
    session.ready()
    session.data(" SIZE=10")
    reply = session.content(letter(token(), b"NOOP\r\n" * 50))
    if reply.kind != 2:
        session.permit(f"content that is larger than declared: {reply}")
    session.alive("after content that is larger than declared")


@check("SIZ-10", "1870 6.3", "Content of exactly the declared size is accepted", keyword="SIZE")
def size_exact(session: Session) -> None:
    session.ready()
    plain = letter(token(), b".\r\n" * 200)
    session.data(f" SIZE={len(plain)}")
    reply = session.content(plain.replace(b"\r\n.", b"\r\n.."))
    session.accepted(reply, f"content of {len(plain)} octets, as declared", 250)


@check("SIZ-10", "1870 6.3", "Content of the size of the limit is accepted", keyword="SIZE", level="SHOULD")
def content_at_the_limit(session: Session) -> None:
    session.ready()
    limit = _limit(session)
    if limit > 12 << 20:
        raise Inconclusive(f"the limit is too large to try: {limit} octets")
    begun = letter(token(), b"\r\n")
    rest = limit - len(begun)
    if rest < 1000:
        raise Inconclusive(f"the limit is too small to try: {limit} octets")
    session.data(f" SIZE={limit}")
    lines = b"x" * 510 + b"\r\n"
    reply = session.content(begun + lines * (rest // 512 - 1) + b"x" * (rest % 512 + 510) + b"\r\n")
    session.accepted(reply, f"content of {limit} octets")


@check("SIZ-11", "1870 5", "Content above the limit is read to its end and answered with 552", keyword="SIZE")
def content_above_the_limit(session: Session) -> None:
    session.ready()
    limit = _limit(session)
    if limit > 12 << 20:
        raise Inconclusive(f"the limit is too large to try: {limit} octets")
    session.data()
    # A server that gives up at the limit must not read the rest as commands.
    rest = b"NOOP smuggled\r\n" * 10_000
    reply = session.content(letter(token(), (b"x" * 510 + b"\r\n") * (limit // 512 + 2) + rest))
    if reply.kind == 2:
        raise Failed(f"content above the limit of {limit} octets: {reply}")
    session.refused(reply, "content above the limit", 552, strict=True)
    session.alive("after content above the limit")
    session.not_ready_for_data("after content above the limit")


# -- 8BITMIME and SMTPUTF8 --


@check("EIG-03", "6152 3", "Eight-bit content is accepted after BODY=8BITMIME", keyword="8BITMIME")
def eight_bit_content(session: Session) -> None:
    session.ready()
    session.data(" BODY=8BITMIME")
    session.accepted(session.content(letter(token(), bytes(range(128, 256)) + b"\r\n")), "the content")


@check("EIG-01", "6152 2", "BODY=7BIT and BODY=8BITMIME are accepted", keyword="8BITMIME")
def body_values(session: Session) -> None:
    session.ready()
    for value in ("7BIT", "8BITMIME", "7bit", "8BitMime"):
        line = f"MAIL FROM:<{session.target.sender}> BODY={value}"
        session.accepted(session.command(line), line)
        session.command("RSET")


@check("EIG-01", "6152 2", "BODY with a value like a valid one is refused", keyword="8BITMIME")
def body_values_like_valid_ones(session: Session) -> None:
    session.ready()
    for value in ("8BIT", "7BITMIME", "8BITMIMES"):
        line = f"MAIL FROM:<{session.target.sender}> BODY={value}"
        session.refused(session.command(line), line, 501, 504, 555)
        session.begun_nothing(line)
        session.command("RSET")


@check(
    "EIG-11",
    "5321 2.4",
    "8BITMIME does not open the envelope to eight-bit characters",
    keyword="8BITMIME",
    level="SHOULD",
)
def eight_bit_envelope(session: Session) -> None:
    session.ready()
    reply = session.command("MAIL FROM:<gr\u00fc\u00dfe@example.com> BODY=8BITMIME")
    session.refused(reply, "a non-ASCII sender with BODY=8BITMIME")


@check("EIG-08", "5321 2.4", "8BITMIME is offered", level="SHOULD")
def eight_bit_mime_is_offered(session: Session) -> None:
    session.ready()
    if "8BITMIME" not in (session.offered or {}):
        raise Failed("8BITMIME is not offered")


@check("UTF-09", "6531 3.3", "With SMTPUTF8 a UTF-8 sender is accepted", keyword="SMTPUTF8")
def utf8_sender(session: Session) -> None:
    session.ready()
    line = "MAIL FROM:<gr\u00fc\u00dfe@example.com> SMTPUTF8"
    session.accepted(session.command(line), line)


@check("UTF-10", "6531 3.3", "With SMTPUTF8 a domain of U-labels is understood", keyword="SMTPUTF8")
def utf8_domain(session: Session) -> None:
    session.ready()
    line = "MAIL FROM:<check@gr\u00fc\u00dfe.example> SMTPUTF8"
    reply = session.command(line)
    if reply.code in (500, 501, 502, 503, 504, 555) or (reply.code in (550, 553) and b"6.7" in reply.texts[0]):
        raise Failed(f"{line}: {reply}")


@check("UTF-09", "6531 3.2", "With SMTPUTF8 a header in UTF-8 is accepted", keyword="SMTPUTF8")
def utf8_header(session: Session) -> None:
    session.ready()
    session.data(" BODY=8BITMIME SMTPUTF8" if "8BITMIME" in (session.offered or {}) else " SMTPUTF8")
    session.accepted(
        session.content("Subject: Gr\u00fc\u00dfe\r\n".encode() + letter(token())), "a header in UTF-8"
    )


@check("UTF-09", "6531 3.3", "With SMTPUTF8 a UTF-8 recipient is understood", keyword="SMTPUTF8")
def utf8_recipient(session: Session) -> None:
    session.ready()
    session.mail(" SMTPUTF8")
    reply = session.command("RCPT TO:<gr\u00fc\u00dfe@example.com>")
    if reply.code in (500, 501, 502, 503, 504, 555) or (reply.code == 553 and b"6.7" in reply.texts[0]):
        raise Failed(f"a UTF-8 recipient: {reply}")


@check(
    "UTF-12",
    "6531 3.5",
    "A UTF-8 sender without SMTPUTF8 is refused with 550",
    keyword="SMTPUTF8",
    level="SHOULD",
)
def utf8_sender_undeclared(session: Session) -> None:
    session.ready()
    line = "MAIL FROM:<gr\u00fc\u00dfe@example.com>"
    session.refused(session.command(line), line, 550, 553, 501)


@check(
    "UTF-13",
    "6531 3.5",
    "A UTF-8 recipient without SMTPUTF8 is refused with 553",
    keyword="SMTPUTF8",
    level="SHOULD",
)
def utf8_recipient_undeclared(session: Session) -> None:
    session.ready()
    session.mail()
    line = "RCPT TO:<gr\u00fc\u00dfe@example.com>"
    session.refused(session.command(line), line, 553, 550, 501)


@check("UTF-13", "6531 3.4", "SMTPUTF8 of a transaction ends with it", keyword="SMTPUTF8")
def utf8_ends_with_the_transaction(session: Session) -> None:
    session.ready()
    line = "RCPT TO:<gr\u00fc\u00dfe@example.com>"
    session.mail()
    if session.command(line).kind == 2:
        raise Inconclusive("a UTF-8 recipient is accepted without SMTPUTF8")
    session.command("RSET")
    session.mail(" SMTPUTF8")
    session.command("RSET")
    session.mail()
    session.refused(session.command(line), f"{line} after an earlier transaction with SMTPUTF8")
    session.command("RSET")
    refused = f"MAIL FROM:<{session.target.sender}> SMTPUTF8 XFROBNICATE"
    session.refused(session.command(refused), refused)
    session.mail()
    session.refused(session.command(line), f"{line} after a refused MAIL with SMTPUTF8")


@check("UTF-11", "6532 3.1; 3629", "Malformed UTF-8 is refused", keyword="SMTPUTF8")
def utf8_malformed(session: Session) -> None:
    session.ready()
    for octets in (b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff"):
        line = b"MAIL FROM:<a" + octets + b"b@example.com> SMTPUTF8"
        session.refused(session.command(line), f"a sender with {octets!r}")


# -- DSN: until there is an Extension value --


@check("DSN-12", "3461 5.1", "The parameters of DSN are accepted", keyword="DSN")
def dsn_parameters(session: Session) -> None:
    session.ready()
    line = f"MAIL FROM:<{session.target.sender}> RET=HDRS ENVID=check1"
    session.accepted(session.command(line), line)
    for words in ("NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;check@example.com"):
        line = f"RCPT TO:<{session.recipient}> {words}"
        session.accepted(session.command(line), line)


@check("DSN-02", "3461 4.1", "NOTIFY=NEVER with another value is refused", keyword="DSN")
def dsn_never_alone(session: Session) -> None:
    session.ready()
    session.mail()
    for words in ("NOTIFY=NEVER,SUCCESS", "NOTIFY=SOMETIMES", "NOTIFY="):
        line = f"RCPT TO:<{session.recipient}> {words}"
        session.refused(session.command(line), line, 501, 555)


@check("DSN-03", "3461 4.3", "RET with an unknown value is refused", keyword="DSN")
def dsn_bad_ret(session: Session) -> None:
    session.ready()
    line = f"MAIL FROM:<{session.target.sender}> RET=SOME"
    session.refused(session.command(line), line, 501, 555)


# -- REQUIRETLS: until there is an Extension value --


@check("RTL-02", "8689 2", "REQUIRETLS is offered under TLS only", keyword="REQUIRETLS")
def requiretls_is_offered_under_tls(session: Session) -> None:
    session.ready(tls=False, auth=False)
    if "REQUIRETLS" in (session.offered or {}) and not session.wire.tls:
        raise Failed("REQUIRETLS is offered in plaintext")


@check("RTL-01", "8689 2", "The parameter REQUIRETLS is accepted, and has no value", keyword="REQUIRETLS")
def requiretls_parameter(session: Session) -> None:
    session.ready()
    line = f"MAIL FROM:<{session.target.sender}> REQUIRETLS"
    session.refused(session.command(f"{line}=1"), f"{line}=1", 501, 555)
    session.accepted(session.command(line), line, 250)


@check("ESC-07", "2034 4", "Enhanced codes are there after HELO, too", keyword="ENHANCEDSTATUSCODES")
def status_after_helo(session: Session) -> None:
    if session.target.needs_tls or "ENHANCEDSTATUSCODES" not in session.target.plain:
        raise Inconclusive("mail needs TLS")
    session.greeting()
    session.offered = session.target.plain  # the rules for replies then hold
    session.command("HELO check.example")
    session.command("NOOP")
    session.command(f"RCPT TO:<{session.recipient}>")
    session.command("FROBNICATE")


@check("ESC-01", "2034 4", "Each kind of reply has an enhanced code", keyword="ENHANCEDSTATUSCODES")
def status_of_each_reply(session: Session) -> None:
    # The rules for replies judge what comes.
    session.ready()
    for line in (
        "NOOP",
        "RSET",
        "VRFY postmaster",
        "EXPN staff",
        "HELP",
        "FROBNICATE",
        "",
        "MAIL",
        "RCPT",
        "DATA",
    ):
        session.command(line)
    session.data()
    session.content(letter(token()))


def derived(extensions: Iterable[Extension] = STANDARD) -> list[Check[Session]]:
    """The checks that follow from the values of extensions."""
    return [one for extension in extensions for one in checks_of(extension)]


CHECKS: Final = (*derived(), *_SPECIFIC)
