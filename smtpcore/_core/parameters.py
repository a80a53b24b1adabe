"""The parameters of MAIL and RCPT: one row for each that is registered, and nothing about them elsewhere.

A row says what extension brings the parameter, what its value means and how it is written. Parsing and
formatting work from the rows, so a new parameter is a new row. Values are what a program wants to have:
``SIZE`` is an int, ``AUTH`` is a mailbox and not xtext.

Parameters are kept in a mapping from keyword, in upper case, to value; a parameter without a value is True.
Nearly all commands have none, and share one empty mapping.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from .addresses import ReversePath, parse_mailbox
from .errors import LocalProtocolError
from .grammar import ESMTP_PARAM, XTEXT
from .replies import Refused, Reply

ParameterValue = int | str | bool | ReversePath
Parameters = Mapping[str, ParameterValue]

NO_PARAMETERS: Final[Parameters] = MappingProxyType({})

# size-value    = 1*20DIGIT                                                                   ; RFC 1870 3
_SIZE_VALUE = re.compile(r"[0-9]{1,20}+", re.ASCII)
_ESMTP_PARAM = re.compile(ESMTP_PARAM)
_HEXCHAR = re.compile(r"\+([0-9A-Fa-f]{2})")
# What xtext cannot hold as it is: everything but "!" to "~" without "+" and "=".
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A registered parameter.

    Attributes:
        keyword: In upper case.
        command: The verb of the command it belongs to.
        extension: The EHLO keyword of the extension that legalises it.
        parse: From the value on the wire, None if there was none, to the value; raises LocalProtocolError.
        format: From a value to what stands behind ``=``, None for nothing; raises LocalProtocolError.
    """

    keyword: str
    command: Literal["MAIL", "RCPT"]
    extension: str
    parse: Callable[[str | None], ParameterValue]
    format: Callable[[ParameterValue], str | None]


def encode_xtext(text: str) -> str:
    """Write ``text``, which is ASCII, as xtext (RFC 3461 4)."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Read xtext.

    RFC 4954 8 writes the digits so that lower case is allowed, RFC 3461 4 so that it is not: taken it is.

    Raises:
        LocalProtocolError: It is no xtext, or what it stands for is not printable ASCII.
    """
    if XTEXT.fullmatch(text) is None:
        raise LocalProtocolError("the value is no xtext (RFC 3461 4)")
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise LocalProtocolError("the value stands for something that is not printable ASCII")
    return decoded


def _parse_size(value: str | None) -> ParameterValue:
    if value is None or _SIZE_VALUE.fullmatch(value) is None:
        raise LocalProtocolError("the value is a number of octets, of 1 to 20 digits (RFC 1870 3)")
    return int(value)


def _format_size(value: ParameterValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**20:
        raise LocalProtocolError("SIZE is a number of octets, of 1 to 20 digits (RFC 1870 3)")
    return str(value)


def _parse_body(value: str | None) -> ParameterValue:
    return _format_body((value or "").upper())


def _format_body(value: ParameterValue) -> str:
    if value not in ("7BIT", "8BITMIME"):
        raise LocalProtocolError("the value is 7BIT or 8BITMIME (RFC 6152 2)")
    return str(value)


def _parse_flag(value: str | None) -> ParameterValue:
    if value is not None:
        raise LocalProtocolError("it takes no value")
    return True


def _format_flag(value: ParameterValue) -> None:
    if value is not True:
        raise LocalProtocolError("it takes no value: give True")


# auth-param    = "AUTH=" xtext      ; of a mailbox, or "<>"                                  ; RFC 4954 5, 8
def _parse_auth(value: str | None) -> ParameterValue:
    decoded = decode_xtext(value or "")
    # A mailbox, and not a path: no angle brackets, no source route.
    return ReversePath("" if decoded == "<>" else parse_mailbox(decoded))


def _format_auth(value: ParameterValue) -> str:
    # xtext cannot hold anything but ASCII, and nothing else is defined for SMTPUTF8.
    if not (isinstance(value, ReversePath) and value.is_ascii):
        raise LocalProtocolError("AUTH is a ReversePath of ASCII (RFC 4954 5)")
    return encode_xtext(str(value)) or "<>"


MAIL_PARAMETERS: Final[Mapping[str, Parameter]] = {
    one.keyword: one
    for one in (
        Parameter("SIZE", "MAIL", "SIZE", _parse_size, _format_size),
        Parameter("BODY", "MAIL", "8BITMIME", _parse_body, _format_body),
        Parameter("SMTPUTF8", "MAIL", "SMTPUTF8", _parse_flag, _format_flag),
        Parameter("AUTH", "MAIL", "AUTH", _parse_auth, _format_auth),
    )
}
RCPT_PARAMETERS: Final[Mapping[str, Parameter]] = {}


def parse_parameters(
    text: str, offered: Mapping[str, Parameter], *, ignore_unknown: bool = False
) -> Parameters:
    """Read what stands behind a path.

    Args:
        text: ``" SIZE=1000 BODY=8BITMIME"``, spaces and all.
        offered: The parameters that are legal here.
        ignore_unknown: Leave parameters out that are not among them.

    Raises:
        Refused: With 501 or 555 (RFC 5321 4.1.1.11); the reply names the parameter.
    """
    parameters: dict[str, ParameterValue] = {}
    for word in filter(None, text.split(" ")):
        if _ESMTP_PARAM.fullmatch(word) is None:
            raise Refused(Reply.sanitized(501, "5.5.4", f"malformed parameter {word[:100]}"))
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        parameter = offered.get(keyword)
        if parameter is None:
            if ignore_unknown:
                continue
            raise Refused(Reply.sanitized(555, "5.5.4", f"parameter {keyword[:100]} is not known here"))
        if keyword in parameters:
            raise Refused(Reply(501, "5.5.4", f"parameter {keyword} is there twice"))
        try:
            parameters[keyword] = parameter.parse(value if equals else None)
        except LocalProtocolError as error:
            raise Refused(Reply.sanitized(501, "5.5.4", f"parameter {keyword}: {error}")) from None
    return parameters or NO_PARAMETERS


def format_parameters(parameters: Parameters, known: Mapping[str, Parameter]) -> str:
    """Write parameters as they stand behind a path: a space in front of each.

    Raises:
        LocalProtocolError: One is not registered for this command, or its value cannot be written.
    """
    words = []
    for keyword, value in parameters.items():
        parameter = known.get(keyword)
        if parameter is None:
            raise LocalProtocolError(f"{keyword!r} is no parameter of this command")
        written = parameter.format(value)
        words.append(f" {keyword}" if written is None else f" {keyword}={written}")
    return "".join(words)
