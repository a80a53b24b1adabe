"""Rules that every reply of a server has to keep. They are judged on all replies of a run."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from .._core.grammar import EHLO_KEYWORD, EHLO_PARAMETER
from .table import Level
from .wire import Reply, shown


@dataclass(frozen=True, slots=True)
class Exchange:
    """A reply and what is known of its circumstances.

    Attributes:
        verb: Of the command that it answers: "" for the greeting, "." for the content, "BDAT", "AUTH" for each
            step of an exchange.
        reply: As received.
        offered: The keywords of the last EHLO reply of the session; None before.
        unasked: Whether no command was outstanding.
    """

    verb: str
    reply: Reply
    offered: Mapping[str, tuple[str, ...]] | None
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for replies.

    Attributes:
        name: Unique among rules and checks.
        requirement: The id in docs/requirements.md.
        rfc: Number and section.
        sentence: What is required.
        judge: Returns what is wrong, or None.
        level: An offence counts as permitted latitude where it is not MUST.
    """

    name: str
    requirement: str
    rfc: str
    sentence: str
    judge: Callable[[Exchange], str | None]
    level: Level = "MUST"


_LINE = re.compile(rb"[0-9]{3}(?:[ -][^\r\n]*)?\r\n")
_PRINTABLE = re.compile(rb"[\t -~]*")
_UTF8_TEXT = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_STATUS = re.compile(rb"([0-9]+)\.([0-9]+)\.([0-9]+)(?= |$)")
_STATUS_LIKE = re.compile(rb"[245]\.[0-9]+(?:\.[0-9]++)*(?= |$)")
_GOOD_STATUS = re.compile(rb"[245]\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,2})")
_LABEL = rb"(?>[A-Za-z0-9]++(?:[_-]++[A-Za-z0-9]++)*)"
_DOMAIN = re.compile(rb"(?![0-9.]+(?: |$))(?:" + _LABEL + rb"(?:\." + _LABEL + rb")*|\[[!-Z^-~]+\])(?= |$|:)")
_NAME: Final = frozenset(("", "EHLO", "HELO", "LHLO"))

# RFC 5321 4.3.2; 4954 4; 3207 4; 3030 2. 250 for HELP, 252 for RCPT and 251 for VRFY are in use, too.
SUCCESS: Final[dict[str, frozenset[int]]] = {
    "": frozenset((220,)),
    "EHLO": frozenset((250,)),
    "HELO": frozenset((250,)),
    "MAIL": frozenset((250,)),
    "RCPT": frozenset((250, 251, 252)),
    "DATA": frozenset((354,)),
    ".": frozenset((250,)),
    "BDAT": frozenset((250,)),
    "RSET": frozenset((250,)),
    "NOOP": frozenset((250,)),
    "VRFY": frozenset((250, 251, 252)),
    "EXPN": frozenset((250, 252)),
    "HELP": frozenset((211, 214)),
    "QUIT": frozenset((221,)),
    "STARTTLS": frozenset((220,)),
    "AUTH": frozenset((235, 334)),
}
# Codes that the RFCs foresee for failures of any command, of sessions and of extensions.
_FAILURES: Final = frozenset(
    (
        421,
        432,
        450,
        451,
        452,
        454,
        455,
        458,
        459,
        500,
        501,
        502,
        503,
        504,
        521,
        523,
        530,
        534,
        535,
        538,
        550,
        551,
        552,
        553,
        554,
        555,
        556,
    )
)


def _three_digits(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if not re.match(rb"[0-9]{3}(?![0-9])", line):
            return f"a line does not begin with a code of three digits: {shown(line)}"
    return None


def _digits(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if re.match(rb"[0-9]{3}(?![0-9])", line) and not re.match(rb"[2-5][0-5][0-9]", line):
            return f"the code is outside of 2-5, 0-5, 0-9: {shown(line)}"
    return None


def _line_end(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if not line.endswith(b"\r\n"):
            return f"a line of the reply does not end in CRLF: {shown(line)}"
        if b"\r" in line[:-2]:
            return f"a line of the reply contains a lone CR: {shown(line)}"
    return None


def _separator(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if line[3:4] not in (b" ", b"-", b"\r", b"\n", b""):
            return f"neither a space nor a hyphen follows the code: {shown(line)}"
    if seen.reply.lines[-1][3:4] == b"-":
        return f"the last line is marked as continued: {shown(seen.reply.lines[-1])}"
    return None


def _space(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if line[3:4] not in (b" ", b"-"):
            return f"no space follows the code: {shown(line)}"
    return None


def _one_code(seen: Exchange) -> str | None:
    codes = {line[:3] for line in seen.reply.lines}
    return f"the lines of one reply differ in their code: {seen.reply}" if len(codes) > 1 else None


def _text(seen: Exchange) -> str | None:
    for number, line in enumerate(seen.reply.lines):
        text = line.rstrip(b"\r\n")
        if seen.verb == "EHLO" and seen.reply.kind == 2 and number == 0 and text.isascii():
            continue  # ehlo-greet may hold control characters (RFC 5321 4.1.1.1)
        if not _PRINTABLE.fullmatch(text):
            if seen.verb in ("VRFY", "EXPN") and _UTF8_TEXT.fullmatch(text.decode("utf-8", "replace")):
                continue
            return f"the text is not printable ASCII: {shown(line)}"
    return None


def _length(seen: Exchange) -> str | None:
    for line in seen.reply.lines:
        if len(line) > 512:
            return f"a line of the reply has {len(line)} octets: {shown(line, 60)}"
    return None


def _greeting_domain(seen: Exchange) -> str | None:
    if seen.verb == "" and seen.reply.code == 220 and not _DOMAIN.match(seen.reply.texts[0]):
        return f"220 is not followed by a domain or an address literal: {seen.reply}"
    return None


def _closing_domain(seen: Exchange) -> str | None:
    text = _STATUS.sub(b"", seen.reply.texts[0]).strip()
    if seen.reply.code in (221, 421) and not (_DOMAIN.match(text) and b"." in text.split(b" ")[0]):
        return f"{seen.reply.code} is not followed by the domain: {seen.reply}"
    return None


def _ehlo_domain(seen: Exchange) -> str | None:
    if seen.verb in ("EHLO", "HELO") and seen.reply.code == 250 and not _DOMAIN.match(seen.reply.texts[0]):
        return f"the first line does not begin with the domain of the server: {seen.reply}"
    return None


def _keywords(seen: Exchange) -> str | None:
    if seen.verb != "EHLO" or seen.reply.code != 250:
        return None
    for text in seen.reply.texts[1:]:
        keyword, *parameters = text.decode("latin-1").split(" ")
        if keyword.upper().startswith("AUTH="):
            continue  # see the check about AUTH=
        if not EHLO_KEYWORD.fullmatch(keyword) or not all(map(EHLO_PARAMETER.fullmatch, parameters)):
            return f"not a valid line of keyword and parameters: {shown(text)}"
    names = [text.split(b" ")[0].upper() for text in seen.reply.texts[1:]]
    repeated = {name for name in names if names.count(name) > 1}
    return f"a keyword is there twice: {shown(repeated.pop())}" if repeated else None


def _auth_equals(seen: Exchange) -> str | None:
    if seen.verb == "EHLO" and any(text.upper().startswith(b"AUTH=") for text in seen.reply.texts[1:]):
        return "AUTH= is not a valid keyword; some old clients look for it"
    return None


def _success(seen: Exchange) -> str | None:
    known = SUCCESS.get(seen.verb)
    if known and 200 <= seen.reply.code < 400 and seen.reply.code not in known:
        return f"{seen.verb or 'the greeting'} is answered with {seen.reply.code}: {seen.reply}"
    return None


def _failure(seen: Exchange) -> str | None:
    if seen.reply.kind in (4, 5) and seen.reply.code not in _FAILURES:
        return f"{seen.verb or 'the greeting'} is answered with {seen.reply.code}: {seen.reply}"
    return None


def _not_owed(seen: Exchange) -> str | None:
    if seen.unasked and seen.reply.code != 421:
        return f"a reply that answers no command: {seen.reply}"
    return None


def _has_status(seen: Exchange) -> str | None:
    if (
        seen.offered is None
        or "ENHANCEDSTATUSCODES" not in seen.offered
        or seen.verb in _NAME
        or seen.reply.kind not in (2, 4, 5)
    ):
        return None
    if not _STATUS.match(seen.reply.texts[0]):
        return f"ENHANCEDSTATUSCODES is offered, and the reply to {seen.verb} has none: {seen.reply}"
    return None


def _status_class(seen: Exchange) -> str | None:
    if seen.offered is None or "ENHANCEDSTATUSCODES" not in seen.offered or seen.verb in _NAME:
        return None
    for line in seen.reply.lines:
        match = _STATUS.match(line[4:].rstrip())
        if match and match[1] != line[:1]:
            return f"the enhanced code contradicts the reply code: {seen.reply}"
    return None


def _status_on_each_line(seen: Exchange) -> str | None:
    if seen.offered is None or "ENHANCEDSTATUSCODES" not in seen.offered or seen.verb in _NAME:
        return None
    found = [match[0] if (match := _STATUS.match(text)) else b"" for text in seen.reply.texts]
    if found[0] and len(set(found)) > 1:
        return f"the lines do not have the same enhanced code: {seen.reply}"
    return None


def _status_shape(seen: Exchange) -> str | None:
    if seen.offered is None or "ENHANCEDSTATUSCODES" not in seen.offered or seen.verb in _NAME:
        return None
    for text in seen.reply.texts:
        match = _STATUS_LIKE.match(text)
        if match and not _GOOD_STATUS.fullmatch(match[0]):
            return f"{shown(match[0])} is not a valid enhanced code: {seen.reply}"
    return None


def _no_status_at_the_greeting(seen: Exchange) -> str | None:
    if seen.verb == "" and _STATUS.match(seen.reply.texts[0]):
        return f"the greeting has an enhanced code: {seen.reply}"
    return None


def _no_status_for_ehlo(seen: Exchange) -> str | None:
    if seen.verb in ("EHLO", "HELO") and seen.reply.kind == 2 and _STATUS.match(seen.reply.texts[0]):
        return f"the reply to {seen.verb} has an enhanced code: {seen.reply}"
    return None


def _no_status_with_3yz(seen: Exchange) -> str | None:
    if seen.reply.kind == 3 and _STATUS.match(seen.reply.texts[0]):
        return f"a 3yz reply has an enhanced code: {seen.reply}"
    return None


def _offered_verbs(seen: Exchange) -> str | None:
    if seen.offered is None or seen.reply.code not in (500, 502):
        return None
    keyword = {"BDAT": "CHUNKING"}.get(seen.verb, seen.verb)
    if keyword in ("STARTTLS", "AUTH", "CHUNKING", "EXPN", "HELP", "VRFY", "ETRN") and keyword in seen.offered:
        # 500 also answers a line that is too long (RFC 4954 4, 5321 4.5.3.1.9), and X.5.4 is about arguments.
        text = b" ".join(seen.reply.texts).lower()
        return None if b"long" in text or b".5.4 " in text else f"{seen.verb}: {seen.reply}"
    return None


def _challenge(seen: Exchange) -> str | None:
    if seen.verb == "AUTH" and seen.reply.code == 334:
        if len(seen.reply.lines) > 1:
            return f"a challenge has more than one line: {seen.reply}"
        try:
            base64.b64decode(seen.reply.texts[-1], validate=True)
        except binascii.Error:
            return f"the challenge is not base64: {seen.reply}"
    return None


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "replies-have-three-digits",
        "RPL-29",
        "5321 4.3.2",
        "A reply code has exactly three digits",
        _three_digits,
    ),
    Rule("reply-digits", "RPL-07", "5321 4.2", "The digits of a reply code are 2-5, 0-5 and 0-9", _digits),
    Rule(
        "reply-lines-end-in-crlf",
        "FRM-02",
        "5321 2.3.8",
        "A reply line ends in CRLF and has no other CR or LF",
        _line_end,
    ),
    Rule(
        "reply-separator",
        "RPL-02",
        "5321 4.2",
        "A space follows the code of the last line, a hyphen that of the others",
        _separator,
    ),
    Rule(
        "reply-space",
        "RPL-05",
        "5321 4.2",
        "The space after the code is there even without text",
        _space,
        "SHOULD",
    ),
    Rule("reply-lines-agree", "RPL-03", "5321 4.2.1", "All lines of a reply have the same code", _one_code),
    Rule("reply-text", "RPL-11", "5321 4.2", "The text of a reply is printable ASCII", _text),
    Rule("reply-length", "LIM-09", "5321 4.5.3.1.5", "A reply line has at most 512 octets", _length),
    Rule(
        "one-reply-per-command",
        "RPL-01",
        "5321 4.2",
        "Each command is answered by exactly one reply",
        _not_owed,
    ),
    Rule(
        "greeting-domain",
        "RPL-19",
        "5321 4.2, 4.3.1",
        "220 at the greeting is followed by the domain",
        _greeting_domain,
    ),
    Rule(
        "closing-domain",
        "RPL-19",
        "5321 4.2",
        "221 and 421 are followed by the domain",
        _closing_domain,
        "SHOULD",
    ),
    Rule(
        "ehlo-domain",
        "EHL-09",
        "5321 4.1.1.1",
        "The reply to EHLO or HELO begins with the domain",
        _ehlo_domain,
    ),
    Rule(
        "ehlo-keywords",
        "EHL-13",
        "5321 4.1.1.1",
        "Each further line of the reply to EHLO is a keyword with parameters, no keyword twice",
        _keywords,
    ),
    Rule(
        "ehlo-auth-equals",
        "EHL-13",
        "5321 4.1.1.1",
        "AUTH is offered as AUTH, not as AUTH=",
        _auth_equals,
        "SHOULD",
    ),
    Rule("success-codes", "RPL-15", "5321 4.3.2", "A command succeeds with a code foreseen for it", _success),
    Rule(
        "failure-codes",
        "RPL-15",
        "5321 4.3.2",
        "A command fails with a code that an RFC foresees",
        _failure,
        "SHOULD",
    ),
    Rule(
        "offered-commands-work",
        "RPL-18",
        "5321 4.2.4",
        "A command that EHLO offers is not answered with 500 or 502",
        _offered_verbs,
    ),
    Rule(
        "status-present",
        "ESC-01",
        "2034 4",
        "With ENHANCEDSTATUSCODES each 2yz, 4yz and 5yz has one",
        _has_status,
    ),
    Rule(
        "status-class", "ESC-05", "2034 4", "The class of the enhanced code is the first digit", _status_class
    ),
    Rule(
        "status-on-each-line",
        "ESC-06",
        "2034 4",
        "Each line of a reply has the same enhanced code",
        _status_on_each_line,
    ),
    Rule(
        "status-shape",
        "ESC-08",
        "3463 2",
        "An enhanced code is three numbers without leading zeros",
        _status_shape,
    ),
    Rule(
        "greeting-without-status",
        "ESC-02",
        "2034 3",
        "The greeting has no enhanced code",
        _no_status_at_the_greeting,
    ),
    Rule(
        "ehlo-without-status",
        "ESC-03",
        "2034 3",
        "The reply to EHLO and HELO has no enhanced code",
        _no_status_for_ehlo,
    ),
    Rule("challenges-are-base64", "AUT-06", "4954 4", "A challenge is 334 and base64", _challenge),
    Rule("no-status-with-3yz", "ESC-04", "2034 4", "3yz replies have no enhanced code", _no_status_with_3yz),
)
"""The rules, in the order of the report."""
