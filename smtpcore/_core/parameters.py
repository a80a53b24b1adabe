"""The parameters of MAIL and RCPT: what a row says of one, and how rows are used. The extensions have the rows.

A row says how the value of a parameter is read and written. Parsing and formatting work from the rows, so a new
parameter is a new row. Values are what a program wants to have: ``SIZE`` is an int, ``AUTH`` is a mailbox and
not xtext.

Parameters are kept in a mapping from keyword, in upper case, to value; a parameter without a value is True.
Nearly all commands have none, and share one empty mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from .errors import LocalProtocolError
from .expressions import expression
from .grammar import ESMTP_PARAM, XTEXT
from .replies import Refused, Reply

ParameterValue = object
Parameters = Mapping[str, ParameterValue]

NO_PARAMETERS: Final[Parameters] = MappingProxyType({})

_ESMTP_PARAM = expression(ESMTP_PARAM)
_KEYWORD = expression(r"[A-Z0-9][A-Z0-9-]*")
_VALUE = expression(r"[!-<>-~]+")
_HEXCHAR = expression(r"\+([0-9A-Fa-f]{2})")
# What xtext cannot hold as it is: everything but "!" to "~" without "+" and "=".
_NOT_XCHAR = expression(r"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of MAIL or RCPT.

    Attributes:
        keyword: In upper case.
        command: The verb of the command it belongs to.
        parse: From the text after ``=``, None if there is none, to the value. It raises
            :class:`smtpcore.LocalProtocolError`, and the server then replies 501 with the text of the error.
            Any other exception is an error of the extension: ``next_event()`` raises it.
        format: From a value to the text after ``=``, None for a parameter without one. It raises
            :class:`smtpcore.LocalProtocolError`.
        names: The values of a parameter that has a fixed set of named ones; empty for others.

    Raises:
        LocalProtocolError: The keyword is not valid (RFC 5321 4.1.2).
    """

    keyword: str
    command: Literal["MAIL", "RCPT"]
    parse: Callable[[str | None], ParameterValue]
    format: Callable[[Any], str | None]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _KEYWORD.fullmatch(self.keyword) is None:
            raise LocalProtocolError(
                f"{self.keyword!r} is not a valid parameter keyword: letters, digits and hyphens, in upper case"
                " (RFC 5321 4.1.2)"
            )

    @classmethod
    def flag(cls, keyword: str, command: Literal["MAIL", "RCPT"]) -> Self:
        """Make a parameter without a value; an event has True for it."""
        return cls(keyword, command, _parse_flag, _format_flag)

    @classmethod
    def of_names(cls, keyword: str, command: Literal["MAIL", "RCPT"], *names: str) -> Self:
        """Make a parameter with named values, such as ``BODY``.

        Another extension may add names of its own: the rows are merged where both are offered.

        Args:
            keyword: In upper case.
            command: The verb of the command it belongs to.
            names: The values, in upper case. They are read in any case.
        """
        return cls(keyword, command, _ReadName(names), _WriteName(names), names)

    def merged_with(self, other: Parameter) -> Parameter:
        """The row for the names of both.

        Raises:
            LocalProtocolError: The rows claim the same parameter, or the same name.
        """
        shared = set(self.names) & set(other.names)
        if not (self.names and other.names) or shared:
            claimed = f"{self.keyword}={min(shared)}" if shared else self.keyword
            raise LocalProtocolError(f"two extensions claim the parameter {claimed} of {self.command}")
        return self.of_names(self.keyword, self.command, *self.names, *other.names)


def _parse_flag(value: str | None) -> bool:
    if value is not None:
        raise LocalProtocolError("the parameter takes no value")
    return True


def _format_flag(value: object) -> None:
    if value is not True:
        raise LocalProtocolError("the parameter takes no value: give True")


# Classes, since functions made by others neither compare by value nor pickle.
@dataclass(frozen=True, slots=True)
class _WriteName:
    names: tuple[str, ...]

    def __call__(self, value: object) -> str:
        return _one_of(self.names, value)


@dataclass(frozen=True, slots=True)
class _ReadName:
    names: tuple[str, ...]

    def __call__(self, value: str | None) -> str:
        return _one_of(self.names, value and value.upper())


def _one_of(names: tuple[str, ...], value: object) -> str:
    if isinstance(value, str) and value in names:
        return value
    raise LocalProtocolError(f"the value must be {' or '.join(names)}")


def encode_xtext(text: str) -> str:
    """Write ``text``, which is ASCII, as xtext (RFC 3461 4)."""
    return _NOT_XCHAR.sub(lambda match: f"+{ord(match[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Read xtext.

    RFC 4954 8 allows lower-case digits, RFC 3461 4 does not: they are accepted.

    Raises:
        LocalProtocolError: It is not valid xtext, or what it stands for is not printable ASCII.
    """
    if XTEXT.fullmatch(text) is None:
        raise LocalProtocolError("the value is not valid xtext (RFC 3461 4)")
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise LocalProtocolError("the value stands for something that is not printable ASCII")
    return decoded


def parse_parameters(
    text: str,
    offered: Mapping[str, Parameter],
    unknown: Literal["reject", "ignore", "show"] = "reject",
    *,
    well_formed: bool = False,
) -> Parameters:
    """Read what follows a path.

    Args:
        text: ``" SIZE=1000 BODY=8BITMIME"``, spaces included.
        offered: The rows of the parameters that are legal here, by keyword.
        unknown: What becomes of a parameter without a row: ``ServerConfig.unknown_parameters``.
        well_formed: An expression has matched each word as an esmtp-param.

    Raises:
        Refused: With 501 or 555 (RFC 5321 4.1.1.11); the reply names the parameter.
    """
    parameters: dict[str, ParameterValue] = {}
    for word in filter(None, text.split(" ")):
        if not well_formed and _ESMTP_PARAM.fullmatch(word) is None:
            raise Refused(Reply.sanitized(501, "5.5.4", f"malformed parameter {word[:100]}"))
        keyword, equals, value = word.partition("=")
        parameter = offered.get(keyword)
        if parameter is None:  # unknown, or not in upper case
            keyword = keyword.upper()
            parameter = offered.get(keyword)
            if parameter is None and unknown != "show":
                if unknown == "ignore":
                    continue
                raise Refused(Reply.sanitized(555, "5.5.4", f"parameter {keyword[:100]} is not supported here"))
        if keyword in parameters:
            raise Refused(Reply.sanitized(501, "5.5.4", f"duplicate parameter {keyword[:100]}"))
        if parameter is None:
            parameters[keyword] = value if equals else True
            continue
        try:
            parameters[keyword] = parameter.parse(value if equals else None)
        except LocalProtocolError as error:
            raise Refused(Reply.sanitized(501, "5.5.4", f"parameter {keyword}: {error}")) from None
    return parameters or NO_PARAMETERS


def format_parameters(parameters: Parameters, rows: Mapping[str, Parameter]) -> str:
    """Write parameters as they follow a path: a space before each.

    Args:
        parameters: Values by keyword. One without a row is text, or True for a parameter without a value.
        rows: How to write them, by keyword.

    Raises:
        LocalProtocolError: A value cannot be written.
    """
    words = []
    for keyword, value in parameters.items():
        row = rows.get(keyword)
        try:
            written = _format_raw(value) if row is None else row.format(value)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"parameter {keyword}, value {value!r:.320}: {error}") from None
        word = keyword if written is None else f"{keyword}={written}"
        if "=" in keyword or _ESMTP_PARAM.fullmatch(word) is None:
            raise LocalProtocolError(f"{word[:100]!r} is not a valid parameter: printable ASCII without spaces")
        words.append(f" {word}")
    return "".join(words)


def _format_raw(value: object) -> str | None:
    if value is True:
        return None
    if isinstance(value, str):
        return value
    raise LocalProtocolError("the value of a parameter that is not registered must be text or True")


def check_parameters(parameters: Parameters) -> None:
    """Raise if no extension could have such parameters: what a command checks when it is constructed.

    Whether a value suits its parameter is for the extensions of a connection to say, when the command is sent.

    Raises:
        LocalProtocolError: A keyword is not valid, or a value cannot be written.
    """
    for keyword, value in parameters.items():
        if not isinstance(keyword, str) or _KEYWORD.fullmatch(keyword) is None:
            raise LocalProtocolError(
                f"{keyword!r} is not a valid parameter keyword: letters, digits and hyphens, in upper case"
            )
        if isinstance(value, str):
            if _VALUE.fullmatch(value) is None:
                raise LocalProtocolError(
                    f"parameter {keyword}: {value!r} is not a valid value: printable ASCII without spaces and ="
                )
        elif value is None or value is False:
            raise LocalProtocolError(f"parameter {keyword}: {value} is not a value; leave the parameter out")
        elif isinstance(value, int) and value < 0:
            raise LocalProtocolError(f"parameter {keyword}: {value} is negative")
