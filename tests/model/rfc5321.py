"""A receiver as RFC 5321 describes it, as simple as it can be: which replies it may give, and what it delivers.

It is written from the text of the RFC and imports nothing of smtpcore. It knows no sockets, pieces, buffers or
time-outs, and no extensions: a session is all that the client has sent, and a list of the codes that came back.
The application is a list of verdicts, one for each reply: 250 is yes, and anything else is the code of its no.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# RFC 5321 4.1.2 and 4.1.3.
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
LOCAL = rf"(?:{ATOM}(?:\.{ATOM})*|{QUOTED})"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})*"
NUMBER = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|0{0,2}[0-9]|0?[1-9][0-9])"
LITERAL = rf"\[{NUMBER}(?:\.{NUMBER}){{3}}\]"
MAILBOX = rf"{LOCAL}@(?:{DOMAIN}|{LITERAL})"
ROUTE = rf"@{DOMAIN}(?:,@{DOMAIN})*:"
PATH = rf"<(?:{ROUTE})?({MAILBOX})>"
STRING = rf"(?:{ATOM}|{QUOTED})"
PARAMETERS = r"(?: [A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~]+)?)*"

# RFC 5321 4.1.1: the syntax of each command. A group is the address, another one the parameters.
SYNTAX = {
    "EHLO": rf"EHLO (?:{DOMAIN}|{LITERAL})",
    "HELO": rf"HELO {DOMAIN}",
    "MAIL": rf"MAIL FROM:(?:<>|{PATH})({PARAMETERS})",
    "RCPT": rf"RCPT TO:(?:<(Postmaster)>|{PATH})({PARAMETERS})",
    "DATA": "DATA",
    "RSET": "RSET",
    "NOOP": rf"NOOP(?: {STRING})?",
    "QUIT": "QUIT",
    "VRFY": rf"VRFY {STRING}",
    "EXPN": rf"EXPN {STRING}",
    "HELP": rf"HELP(?: {STRING})?",
}
# RFC 5321 4.3.2: success.
SUCCESS = {
    "EHLO": {250},
    "HELO": {250},
    "MAIL": {250},
    "RCPT": {250, 251},
    "DATA": {354},
    "RSET": {250},
    "NOOP": {250},
    "QUIT": {221},
    "VRFY": {250, 251, 252},
    "EXPN": {250, 252},
    "HELP": {211, 214},
}
NEVER_REFUSED = {"RSET", "NOOP", "QUIT"}  # 4.1.1.5, 4.1.1.9, 4.1.1.10
FREE_ARGUMENT = {"EHLO", "HELO", "NOOP", "VRFY", "EXPN", "HELP"}  # many servers accept any text
NOT_A_COMMAND = {500, 501, 502, 503, 504, 555}  # 4.2.4
SYNTAX_ERROR = {501}  # 4.3.2
OUT_OF_ORDER = {503}  # 4.1.4
END = "."  # what stands for the end of the content


class Message(NamedTuple):
    """A message that was accepted."""

    sender: str
    recipients: list[str]
    content: bytes


class Receiver:
    """The state of a session (RFC 5321 4.1.4).

    Attributes:
        delivered: The messages that it has accepted.
        closed: The session is over.
    """

    def __init__(self) -> None:
        self.delivered: list[Message] = []
        self.closed = False
        self._service = False  # the greeting was 220
        self._hello = False
        self._sender: str | None = None  # of the transaction, if there is one
        self._recipients: list[str] = []
        self._data_refused = False
        self.receives_content = False

    def greet(self, verdict: int) -> set[int]:
        """Return the codes that the greeting may have (RFC 5321 3.1)."""
        return {220} if verdict == 250 else {554, 421}

    def greeted(self, code: int) -> None:
        """Go on after the greeting."""
        self._service = code == 220
        self.closed = code == 421

    def replies(self, line: bytes, verdict: int) -> set[int]:
        """Return the codes that the reply to a line, without its CRLF, may have."""
        verb, legal, doubtful = read(line)
        if verb == "":
            return NOT_A_COMMAND | ({554} if self._data_refused else set())
        if verb == "QUIT" and (legal or doubtful):
            return {221} | (SYNTAX_ERROR if doubtful else set())
        if not self._service:
            return OUT_OF_ORDER if legal and not parameters_of(line) else NOT_A_COMMAND  # RFC 5321 3.1
        if not legal and not doubtful:
            return NOT_A_COMMAND
        found: set[int] = SYNTAX_ERROR if doubtful else set()
        unknown = {555, 501, 504} if parameters_of(line) else set()  # RFC 5321 4.1.1.11: there are none here
        if not self._is_in_order(verb):
            return found | unknown | OUT_OF_ORDER | ({554} if verb == "DATA" else set())  # RFC 5321 3.3
        if unknown:
            return unknown
        if verb in ("EXPN", "HELP"):
            found = found | {502}  # neither has to be implemented (RFC 5321 4.5.1)
        if verb in NEVER_REFUSED or verdict == 250:
            return found | SUCCESS[verb]
        return found | {verdict}

    def _is_in_order(self, verb: str) -> bool:
        if verb == "MAIL":
            return self._hello and self._sender is None
        if verb == "RCPT":
            return self._sender is not None
        if verb == "DATA":
            return bool(self._recipients)
        return True

    def replied(self, line: bytes, code: int) -> None:
        """Go on after the reply to a line."""
        verb = read(line)[0]
        if code == 421 or (verb == "QUIT" and code == 221):
            self.closed = True
        self._data_refused = (verb == "DATA" and code >= 400) or (self._data_refused and verb == "")
        if code >= 400:
            return  # a refused command changes nothing (RFC 5321 4.1.4)
        if verb in ("EHLO", "HELO", "RSET"):
            self._hello = self._hello or verb != "RSET"
            self._sender, self._recipients = None, []
        elif verb == "MAIL":
            self._sender = address_of(line)
        elif verb == "RCPT":
            self._recipients.append(address_of(line))
        elif verb == "DATA":
            self.receives_content = True

    def may_close(self, line: bytes) -> bool:
        """Whether the connection may end after the refusal of a line: content that was sent without a 354."""
        return read(line)[0] == "" and self._data_refused

    def replies_to_content(self, content: bytes, verdict: int) -> set[int]:
        """Return the codes that the reply to content may have; see ``unstuffed()``."""
        found = {verdict}
        if re.search(rb"[^\x01-\x7f]|\r(?!\n)|(?<!\r)\n", content):
            found |= {500, 501, 550, 554}  # RFC 5321 2.3.7, 2.3.8, 4.5.2: it must not be sent
        return found

    def replied_to_content(self, content: bytes, code: int) -> None:
        """Go on after the reply to content, which ends the transaction (RFC 5321 4.1.1.4)."""
        if code == 250:
            assert self._sender is not None
            self.delivered.append(Message(self._sender, self._recipients, content))
        self._sender, self._recipients = None, []
        self.receives_content = False
        self.closed = code == 421


def read(line: bytes) -> tuple[str, bool, bool]:
    """Read a line.

    Returns:
        The verb, ``""`` if it is not a command; whether the line is legal; and if not, whether a server may
        accept it nevertheless.
    """
    text = line.decode("latin-1")
    verb = re.split("[ \t]", text)[0].upper()
    if verb not in SYNTAX or re.search(r"[\r\n\0]", text):
        return (verb if verb in SYNTAX else ""), False, False
    legal = re.fullmatch(SYNTAX[verb], text, re.IGNORECASE) is not None and len(line) <= 510
    trailing = re.fullmatch(SYNTAX[verb], text.rstrip(" \t"), re.IGNORECASE) is not None  # 4.1.1
    return verb, legal, len(line) <= 510 and not legal and (trailing or verb in FREE_ARGUMENT)


def address_of(line: bytes) -> str:
    """Return the address of MAIL or RCPT without its source route (RFC 5321 4.1.1.3)."""
    text = line.decode("latin-1").rstrip(" \t")
    match = re.fullmatch(SYNTAX[text[:4].upper()], text, re.IGNORECASE)
    assert match is not None, line
    return next((group for group in match.groups()[:-1] if group), "")


def parameters_of(line: bytes) -> str:
    """Return the parameters of MAIL or RCPT; ``""`` for all other commands."""
    text = line.decode("latin-1").rstrip(" \t")
    match = re.fullmatch(SYNTAX[text[:4].upper()], text, re.IGNORECASE) if text[4:5] == " " else None
    return match[match.re.groups] if match is not None and match.re.groups > 1 else ""


def unstuffed(lines: Sequence[bytes]) -> bytes:
    """Return the content of lines as they were sent (RFC 5321 4.5.2)."""
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)


def judge(octets: bytes, codes: Sequence[int], verdicts: Sequence[int]) -> list[Message]:
    """Judge the replies to a whole session; return what it must have delivered.

    Args:
        octets: All that the client has sent.
        codes: Those of the replies, the greeting included.
        verdicts: Of the application, one for each reply; the last ones are 250.

    Raises:
        AssertionError: A reply is not allowed, is missing, or is one too many.
    """
    receiver, replies, number = Receiver(), iter(codes), -1
    *lines, _ = octets.split(b"\r\n")  # an incomplete line gets no reply
    content: list[bytes] = []

    def check(what: bytes, allowed: set[int]) -> int:
        code = next(replies, 0)
        assert code in allowed, f"reply {number} to {what!r} is {code}, and not one of {sorted(allowed)}"
        return code

    def verdict() -> int:
        nonlocal number
        number += 1
        return verdicts[number] if number < len(verdicts) else 250

    receiver.greeted(check(b"the connection", receiver.greet(verdict())))
    for line in lines:
        if receiver.closed:
            break
        if not receiver.receives_content:
            code = check(line, receiver.replies(line, verdict()))
            could_close = receiver.may_close(line)
            receiver.replied(line, code)
            if could_close and number + 1 == len(codes):
                break
        elif line != b".":
            content.append(line)
        else:
            whole, content = unstuffed(content), []
            receiver.replied_to_content(whole, check(b".", receiver.replies_to_content(whole, verdict())))
    assert next(replies, None) is None, f"there are {len(codes)} replies, and not {number + 1}"
    return receiver.delivered
