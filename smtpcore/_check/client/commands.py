"""Checks of the commands of a client: their form, their order, and what they may use."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from ..._core.addresses import parse_mailbox
from ..._core.errors import LocalProtocolError
from ..wire import shown
from .player import Seen, Sent
from .rounds import ClientTable

CHECKS: Final = ClientTable()
each = CHECKS.each

_PATH: Final = re.compile(
    rb"(?:MAIL FROM|RCPT TO):<((?:\"(?>(?:[^\"\\]|\\.)*)\"|[^\"<>])*)>((?: [^ ]++)*)", re.IGNORECASE
)
_LABEL: Final = rb"(?>[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*)"
_HELLO: Final = re.compile(_LABEL + rb"(?:\." + _LABEL + rb")*|\[([0-9.]+)\]|\[IPv6:([0-9A-Fa-f:.]+)\]")
_KNOWN: Final = frozenset("EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY EXPN HELP".split())
# The keyword that each parameter and each further command belongs to.
_KEYWORD_OF: Final = {
    "SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "AUTH": "AUTH", "RET": "DSN", "ENVID": "DSN",
    "NOTIFY": "DSN", "ORCPT": "DSN", "BY": "DELIVERBY", "MT-PRIORITY": "MT-PRIORITY",
    "REQUIRETLS": "REQUIRETLS", "HOLDFOR": "FUTURERELEASE", "HOLDUNTIL": "FUTURERELEASE", "RRVS": "RRVS",
    "MTRK": "MTRK",
}  # fmt: skip
_VERBS: Final = {"BDAT": "CHUNKING", "STARTTLS": "STARTTLS", "AUTH": "AUTH"}
_LAST_IN_A_GROUP: Final = frozenset("EHLO HELO DATA VRFY EXPN NOOP QUIT STARTTLS HELP".split())


@each("GRT-03", "5321 4.3.1", "The client is silent until it has been greeted", level="MUST")
def waits_for_the_greeting(seen: Seen) -> str | bool:
    return "the client speaks before the greeting" if seen.spoke_first else True


@each("FRM-02", "5321 2.3.8", "Each command ends in CRLF and contains no other CR or LF")
def commands_end_in_crlf(seen: Seen) -> str | bool:
    for command in seen.commands:
        if not command.line.endswith(b"\r\n") or b"\r" in command.line[:-2]:
            return f"a line is not ended by CRLF alone: {shown(command.line)}"
    return True


@each("LIM-01", "5321 4.5.3.1.4", "A command line has at most 512 octets")
def commands_are_short(seen: Seen) -> str | bool:
    for command in seen.commands:
        # A longer initial response goes after the first challenge (RFC 4954 4).
        most = 512 + 600 * (command.verb in ("MAIL", "RCPT"))
        if len(command.line) > most:
            return f"a command of {len(command.line)} octets: {shown(command.line, 60)}"
    return True


@each("FRM-12", "5321 4.1.2, 2.4", "Commands are ASCII without control characters, unless SMTPUTF8 was offered")
def commands_are_ascii(seen: Seen) -> str | bool:
    for command in seen.commands:
        text = command.line.rstrip(b"\r\n")
        if re.search(rb"[\x00-\x1f\x7f]", text):
            return f"a control character: {shown(text)}"
        if not text.isascii() and "SMTPUTF8" not in (command.offered or ()):
            return f"octets above 127 where SMTPUTF8 is not offered: {shown(text)}"
    return True


@each("UTF-05", "6531 3.4", "A transaction with UTF-8 in its envelope is declared by SMTPUTF8")
def utf8_is_declared(seen: Seen) -> str | bool:
    declared = found = False
    for command in seen.commands:
        if command.verb == "MAIL":
            declared = re.search(rb"(?i) SMTPUTF8[ \r]", command.line) is not None
        if command.verb in ("MAIL", "RCPT"):
            found = True
            if not command.line.isascii() and not declared:
                return f"not declared by SMTPUTF8: {shown(command.line)}"
    return found


@each("EHL-04", "5321 3.2, 4.1.1.1", "The client begins with EHLO", level="SHOULD")
def begins_with_ehlo(seen: Seen) -> str | bool:
    first = seen.commands[0]
    return True if first.verb in ("EHLO", "QUIT") else f"the first command is {shown(first.line)}"


@each("EHL-07", "5321 4.1.1.1", "The client introduces itself before its first transaction")
def introduces_itself(seen: Seen) -> str | bool:
    greeted = False
    for command in seen.commands:
        greeted = greeted or (command.verb in ("EHLO", "HELO") and command.ok)
        if command.verb in ("MAIL", "RCPT", "DATA", "BDAT") and not greeted:
            return f"{shown(command.line)} without an accepted EHLO or HELO"
    return greeted


@each(
    "EHL-31",
    "5321 4.1.1.1, 4.1.4",
    "The client names itself by a domain or an address literal, and nothing after it",
)
def names_itself(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.verb in ("EHLO", "HELO"):
            found = True
            name = command.line.rstrip(b"\r\n")[len("EHLO ") :]
            match = _HELLO.fullmatch(name)
            literal = match and (match[1] or match[2])
            if not match or re.fullmatch(rb"[0-9.]+", name) or (literal and not _is_address(literal)):
                return f"not a valid argument: {shown(command.line)}"
            if len(name) > 255 or any(len(label) > 63 for label in name.split(b".")):
                return f"a name or a label of it is too long: {shown(command.line)}"
    return found


def _is_address(literal: bytes) -> bool:
    try:
        ipaddress.ip_address(literal.decode())
    except ValueError:
        return False
    return True


@each("EHL-31", "5321 2.3.5, 4.1.4", "The name of the client is fully qualified", level="SHOULD")
def names_itself_in_full(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.verb in ("EHLO", "HELO"):
            found = True
            if not command.argument.startswith(b"[") and b"." not in command.argument:
                return f"not a fully-qualified name: {shown(command.line)}"
    return found


@each("EHL-05", "5321 3.2", "The client tries HELO where EHLO is not known", "without-ehlo", level="SHOULD")
def falls_back_to_helo(seen: Seen) -> str | bool:
    return True if "HELO" in seen.verbs() else "the client gives up where EHLO is not known"


@each("EHL-06", "5321 4.1.1.3", "After HELO the client uses no extension", "without-ehlo")
def uses_nothing_after_helo(seen: Seen) -> str | bool:
    return _unoffered(seen)


@each(
    "EHL-34", "5321 4.1.1.3", "The client uses no parameter and no command of an extension that was not offered"
)
def uses_what_is_offered(seen: Seen) -> str | bool:
    return _unoffered(seen)


def _unoffered(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        offered = command.offered or frozenset()
        if command.verb in _VERBS:
            found = True
            if _VERBS[command.verb] not in offered:
                return f"{command.verb} where it is not offered"
        if command.verb in ("MAIL", "RCPT"):
            found = True
            match = _PATH.fullmatch(command.line.rstrip(b"\r\n"))
            for word in match[2].decode("latin-1").split() if match else ():
                keyword = word.partition("=")[0].upper()
                if word.upper() == "BODY=BINARYMIME":
                    keyword = "BINARYMIME"
                if _KEYWORD_OF.get(keyword, keyword) not in offered:
                    return f"parameter {word} where it is not offered"
    return found


@each("MAI-01", "5321 4.1.1.2, 4.1.1.3", "MAIL and RCPT are written as FROM: and TO: with a path in brackets")
def writes_paths(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.verb not in ("MAIL", "RCPT"):
            continue
        found = True
        match = _PATH.fullmatch(command.line.rstrip(b"\r\n"))
        if match is None or (command.verb == "MAIL") != command.line.upper().startswith(b"MAIL FROM"):
            return f"malformed: {shown(command.line)}"
        if not match[1] and command.verb == "RCPT":
            return f"an empty forward-path: {shown(command.line)}"
        if match[1].startswith(b"@"):
            return f"a source route: {shown(command.line)}"
        if match[1] and match[1].lower() != b"postmaster":
            try:
                parse_mailbox(match[1].decode())
            except (LocalProtocolError, UnicodeDecodeError) as error:
                return f"not a valid mailbox: {shown(command.line)}: {error}"
    return found


@each("FRM-14", "5321 4.1.1", "RSET, DATA, QUIT and STARTTLS have no argument")
def sends_bare_commands(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.verb in ("RSET", "DATA", "QUIT", "STARTTLS"):
            found = True
            if len(command.line.rstrip(b"\r\n")) != len(command.verb):
                return f"an argument or a blank: {shown(command.line)}"
    return found


@each("SES-44", "5321 4.1.1", "The client sends commands that exist")
def sends_known_commands(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb not in _KNOWN and command.verb not in _VERBS:
            return f"an unknown command: {shown(command.line)}"
    return True


@each(
    "MAI-08",
    "5321 4.1.4",
    "The client sends MAIL, RCPT and DATA in their order, and no MAIL within a transaction",
)
def keeps_the_order(seen: Seen) -> str | bool:
    if seen.scenario.unasked or seen.used_injection:
        return False  # the server has misled the client about which reply is which
    for command in seen.commands:
        if command.verb == "MAIL" and command.mail:
            return f"MAIL within a transaction: {shown(command.line)}"
        if command.verb in ("RCPT", "DATA", "BDAT") and not command.mail and not command.early:
            return f"{command.verb} without an accepted MAIL: {shown(command.line)}"
    return bool(seen.first("MAIL"))


@each("RPL-22", "5321 4.3.1", "Without PIPELINING the client waits for each reply")
def waits_for_replies(seen: Seen) -> str | bool:
    if seen.scenario.unasked or seen.used_injection:
        return False  # the server has misled the client about which reply is which
    found = False
    for command in seen.commands:
        if "PIPELINING" not in (command.offered or ()):
            found = True
            if command.early:
                return f"{shown(command.line)} comes before the reply to the command before it"
    return found


@each("PIP-03", "2920 3.1", "EHLO, DATA, VRFY, EXPN, QUIT and NOOP stand only at the end of a group")
def ends_groups_properly(seen: Seen) -> str | bool:
    if seen.scenario.unasked or seen.used_injection:
        return False  # the server has misled the client about which reply is which
    found = False
    for before, command in zip(seen.commands, seen.commands[1:], strict=False):
        if "PIPELINING" in (command.offered or ()) and before.verb in _LAST_IN_A_GROUP:
            found = True
            if command.early:
                return f"{shown(command.line)} comes before the reply to {before.verb}"
    return found


@each("PIP-25", "3207 4; 4954 4", "Nothing follows STARTTLS or AUTH before its reply")
def nothing_follows_starttls(seen: Seen) -> str | bool:
    found = False
    for before, command in zip(seen.commands, seen.commands[1:], strict=False):
        if before.verb in ("STARTTLS", "AUTH"):
            found = True
            if command.early:
                return f"{shown(command.line)} comes before the reply to {before.verb}"
    return found


@each("CHK-16", "3030 2", "BDAT comes after the replies to MAIL and RCPT")
def waits_before_chunks(seen: Seen) -> str | bool:
    found = False
    for before, command in zip(seen.commands, seen.commands[1:], strict=False):
        if command.verb == "BDAT":
            found = True
            if command.early and before.verb in ("MAIL", "RCPT"):
                return f"{shown(command.line)} comes before the reply to {before.verb}"
    return found


@each("DAT-04", "5321 3.3", "The client sends content after 354 only")
def waits_for_354(seen: Seen) -> str | bool:
    if any(content.early for content in seen.contents):
        return "content comes before the 354"
    data = [command for command in seen.commands if command.verb == "DATA"]
    for command in data:
        if not command.reply.startswith("354"):
            for after in seen.after(command):
                if after.verb not in _KNOWN and after.verb not in _VERBS:
                    return f"content after a refused DATA: {shown(after.line)}"
    return bool(data)


# Servers that end the session, mislead the client, or cannot be trusted.
_ENDED: Final = frozenset(
    "vanishing busy unasked starttls-injection granting-no-data refusing-the-introduction"
    " refusing-the-handshake without-a-handshake with-another-name expired untrusted".split()
)


@each("SES-32", "5321 4.1.1.10", "The client ends a session with QUIT")
def ends_with_quit(seen: Seen) -> str | bool:
    if seen.scenario.name in _ENDED or seen.handshake_failed:
        return False
    if any(command.reply.startswith("421") for command in seen.commands) or "421" in "".join(
        seen.scenario.replies.get(".", ())
    ):
        return False
    return True if "QUIT" in seen.verbs() else "the client closes the connection without QUIT"


@each("SES-33", "5321 4.1.1.10", "The client waits for the reply to QUIT", level="SHOULD")
def waits_for_221(seen: Seen) -> str | bool:
    return "the client closes before the reply to QUIT" if seen.quit_early else "QUIT" in seen.verbs()


@each("SES-46", "5321 3.8", "The client sends nothing after QUIT")
def nothing_after_quit(seen: Seen) -> str | bool:
    quit_command: Sent | None = seen.first("QUIT")
    if quit_command is None:
        return False
    after = seen.after(quit_command)
    return f"{shown(after[0].line)} after QUIT" if after else True


@each("SIZ-22", "1870 3", "SIZE is a number of octets, and BODY is 7BIT or 8BITMIME")
def writes_parameters(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        match = _PATH.fullmatch(command.line.rstrip(b"\r\n")) if command.verb == "MAIL" else None
        words = match[2].decode("latin-1").upper().split() if match else []
        keywords = [word.partition("=")[0] for word in words]
        if len(keywords) != len(set(keywords)):
            return f"a parameter is there twice: {shown(command.line)}"
        for word in words:
            keyword, _, value = word.partition("=")
            found = True
            if keyword == "SIZE" and not re.fullmatch("[0-9]{1,20}", value):
                return f"not a valid size: {word}"
            if keyword == "BODY" and value not in ("7BIT", "8BITMIME", "BINARYMIME"):
                return f"not a valid body type: {word}"
    return found
