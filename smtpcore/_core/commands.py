"""Command lines and command events: one into the other.

``format_command()`` is the easy direction: an event is valid by construction.

:class:`CommandParser` has two ways. The *short* one accepts the lines that clients really send: the first four
characters are looked up as they are, and one expression matches the rest of the line, CRLF included, where it
lies in the buffer. It either proves that the line is valid or leaves it to the *long* one. That gets a whole
line, cut out, and is exact: it knows all verbs in any case, lenient switches, UTF-8, and finds out what is
wrong. The long one accepts whatever the short one accepts, with the same result; a test compares them.

Every line is read by itself, as if the session began with it. Whether a command may come now is decided by the
tables of ``state``, and whether it is accepted by the application.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from .addresses import (
    ForwardPath,
    ReversePath,
    is_hello_argument,
    parse_forward_path,
    parse_reverse_path,
    proven,
)
from .capabilities import NO_CAPABILITIES, Capabilities
from .commandspec import CommandSpec
from .config import ServerConfig
from .errors import LocalProtocolError
from .events import Command, Data, Ehlo, Helo, Mail, Noop, Quit, Rcpt, Rset, TextCommand, Vrfy
from .expressions import expression
from .grammar import CONTROL, HELLO_REST, MAIL_REST, PATH, RCPT_REST, SHORT_MAILBOX
from .parameters import NO_PARAMETERS, format_parameters, parse_parameters
from .receivebuffer import ReceiveBuffer
from .replies import Refused, Reply
from .rules import Rules

_new = object.__new__

_DATA, _RSET, _QUIT, _NOOP = Data(), Rset(), Quit(), Noop()

_BLANKS = " \t"
_C1 = expression("[\x80-\x9f]")
# Letters (RFC 5321 4.1.1); the verbs of extensions may also have the digits and hyphens of their keywords.
_VERB = expression(r"[A-Za-z][A-Za-z0-9-]*+")

UNKNOWN = Reply(500, "5.5.2", "command not recognized")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "command not implemented")
TOO_LONG = Reply(500, "5.5.2", "line too long")
TOO_LONG_WITH_LF = Reply(500, "5.5.2", "line too long: it holds LF without CR, lines end in CRLF")
BARE_LF = Reply(501, "5.5.2", "LF without CR in the command: lines end in CRLF")
_NO_ARGUMENT = Reply(501, "5.5.4", "this command takes no argument")
_CONTROL_CHARACTER = Reply(501, "5.5.2", "control character in the command")
_TAB = Reply(501, "5.5.2", "a space stands between command and argument")
_NOT_ASCII = Reply(501, "5.5.2", "the command is not ASCII")
# Known to RFC 821 or 5321 and not to us: RFC 5321 4.2.4 asks for 502 here.
_KNOWN_BUT_NOT_IMPLEMENTED = frozenset({"TURN", "SEND", "SOML", "SAML", "ETRN", "ATRN", "BDAT", "LHLO", "BURL"})


_ShortParser = Callable[["CommandParser", ReceiveBuffer, int], Command | None]
_LongParser = Callable[["CommandParser", str, bool], Command]


class CommandParser:
    """Parses command lines.

    It keeps nothing of a line, so connections with the same configuration and capabilities share one.

    Args:
        config: The switches and limits.
        rules: The commands and parameters that there are.
        capabilities: What is offered: it decides on parameters, UTF-8 and lengths.

    Attributes:
        max_line: Octets of the longest line that any command may have, with its CRLF.
    """

    __slots__ = (
        "_config",
        "_lenient",
        "_lenient_hello",
        "_mail_line",
        "_mail_parameters",
        "_match_hello",
        "_match_mail",
        "_match_rcpt",
        "_rcpt_line",
        "_rcpt_parameters",
        "_rules",
        "_unknown",
        "_utf8",
        "max_line",
    )

    def __init__(
        self, config: ServerConfig, rules: Rules, capabilities: Capabilities = NO_CAPABILITIES
    ) -> None:
        self._config = config
        self._rules = rules
        self._lenient = config.address_syntax == "lenient"
        self._lenient_hello = config.ehlo_syntax == "lenient"
        self._unknown: Literal["reject", "ignore", "show"] = config.unknown_parameters
        # Bound here, since an expression that is compiled on first use finds its methods more slowly.
        self._match_mail, self._match_rcpt = MAIL_REST.match, RCPT_REST.match
        self._match_hello = HELLO_REST.match
        limits = config.limits
        offered = rules.offered(capabilities)
        self._mail_parameters, self._rcpt_parameters = offered.parameters["MAIL"], offered.parameters["RCPT"]
        self._mail_line = limits.command_line + offered.octets["MAIL"]
        self._rcpt_line = limits.command_line + offered.octets["RCPT"]
        self._utf8 = "SMTPUTF8" in capabilities
        self.max_line = max(self._mail_line, self._rcpt_line, limits.auth_line)

    # -- the short way: SHORT, called with what has arrived and the offset after the verb; uses the line up.
    #    None: the line is not complete, or not of the ordinary kind. Refused: a parameter is at fault. --

    def _short_mail(self, buffer: ReceiveBuffer, start: int) -> Command | None:
        match = self._match_mail(buffer.text or "", start)
        if match is None:
            return None
        mailbox, parameters = match.groups()
        if mailbox is None:
            mailbox = ""
        elif len(mailbox) > SHORT_MAILBOX:
            return None
        buffer.start = end = match.end()
        mail = _new(Mail)
        mail._path = mailbox
        if parameters:
            if end - start + 4 > self._mail_line:
                raise Refused(TOO_LONG)
            mail.parameters = parse_parameters(
                parameters, self._mail_parameters, self._unknown, well_formed=True
            )
        else:
            mail.parameters = NO_PARAMETERS
        return mail

    def _short_rcpt(self, buffer: ReceiveBuffer, start: int) -> Command | None:
        match = self._match_rcpt(buffer.text or "", start)
        if match is None:
            return None
        mailbox, parameters = match.groups()
        if len(mailbox) > SHORT_MAILBOX:
            return None
        buffer.start = end = match.end()
        rcpt = _new(Rcpt)
        rcpt._path = mailbox
        if parameters:
            if end - start + 4 > self._rcpt_line:
                raise Refused(TOO_LONG)
            rcpt.parameters = parse_parameters(
                parameters, self._rcpt_parameters, self._unknown, well_formed=True
            )
        else:
            rcpt.parameters = NO_PARAMETERS
        return rcpt

    # -- the long way --

    def parse(self, line: str, *, smtputf8: bool = False) -> Command:
        """Read a line of any kind.

        Args:
            line: Without its CRLF, decoded as latin-1.
            smtputf8: The transaction under way was begun with SMTPUTF8.

        Raises:
            Refused: With the reply to give.
        """
        verb = verb_of(line)
        parse = _LONG.get(verb)
        spec = None
        if parse is None:
            spec = self._rules.verbs.get(verb)
            if spec is None:
                raise Refused(NOT_IMPLEMENTED if verb in _KNOWN_BUT_NOT_IMPLEMENTED else UNKNOWN)
        if len(line) + 2 > self._line_limit(verb, spec):
            raise Refused(TOO_LONG)
        if CONTROL.search(line):
            raise Refused(BARE_LF if "\n" in line else _CONTROL_CHARACTER)
        if not line.isascii():
            if self._lenient_hello and verb in ("EHLO", "HELO"):
                line = self._decode_hello(line)
            else:
                line = self._decode(line, verb in _UTF8_VERBS if spec is None else spec.utf8)
        # RFC 5321 4.1.1: trailing white space is tolerated; otherwise the verb is set off by a space.
        rest = line[len(verb) :].rstrip(_BLANKS)
        if rest.startswith("\t"):
            raise Refused(_TAB)
        if parse is None:
            assert spec is not None
            return self._parse_by(spec, rest)
        return parse(self, rest, smtputf8)

    def _line_limit(self, verb: str, spec: CommandSpec | None) -> int:
        """Octets that a line with this verb may have, with its CRLF."""
        if spec is not None:
            return int(getattr(self._config.limits, spec.line_limit))
        return {"MAIL": self._mail_line, "RCPT": self._rcpt_line}.get(verb, self._config.limits.command_line)

    def _decode(self, line: str, permitted: bool) -> str:
        """With SMTPUTF8 these commands may hold UTF-8, and others still may not (RFC 6531 3.3, 3.7.4)."""
        if self._utf8 and permitted:
            try:
                line = line.encode("latin-1").decode("utf-8")
            except UnicodeDecodeError:
                raise Refused(Reply(501, "5.5.2", "the command is not valid UTF-8")) from None
            if _C1.search(line):
                raise Refused(_CONTROL_CHARACTER)
            return line
        raise Refused(_NOT_ASCII)

    def _decode_hello(self, line: str) -> str:
        """Decode a computer name: UTF-8, or in the encoding of the computer, of which the octets are shown."""
        octets = line.encode("latin-1")
        try:
            text = octets.decode("utf-8")
        except UnicodeDecodeError:
            return octets.decode("ascii", "backslashreplace")
        if _C1.search(text):
            raise Refused(_CONTROL_CHARACTER)
        # Characters such as U+202E, not controls and not printable either, change the text around them.
        return text if text.isprintable() else octets.decode("ascii", "backslashreplace")

    def _parse_mail(self, rest: str, smtputf8: bool) -> Command:
        path, tail = self._split_path(rest, "FROM:")
        parameters = parse_parameters(tail, self._mail_parameters, self._unknown)
        try:
            text, route = parse_reverse_path(
                path,
                smtputf8="SMTPUTF8" in parameters,
                lenient=self._lenient,
                limits=self._config.limits,
            )
        except LocalProtocolError as error:
            raise Refused(_bad_path(error, path, "5.1.7", not_ascii=550)) from None
        mail = _new(Mail)
        mail._path = proven(ReversePath, text, route)
        mail.parameters = parameters
        return mail

    def _parse_rcpt(self, rest: str, smtputf8: bool) -> Command:
        path, tail = self._split_path(rest, "TO:")
        parameters = parse_parameters(tail, self._rcpt_parameters, self._unknown)
        try:
            text, route = parse_forward_path(
                path, smtputf8=smtputf8, lenient=self._lenient, limits=self._config.limits
            )
        except LocalProtocolError as error:
            raise Refused(_bad_path(error, path, "5.1.3", not_ascii=553)) from None
        rcpt = _new(Rcpt)
        rcpt._path = proven(ForwardPath, text, route)
        rcpt.parameters = parameters
        return rcpt

    def _split_path(self, rest: str, keyword: str) -> tuple[str, str]:
        """Cut ``" FROM:<path> parameters"`` into path, with its brackets, and parameters."""
        if rest[: len(keyword) + 1].upper() != f" {keyword}":
            raise Refused(Reply(501, "5.5.4", f"{keyword} is missing"))
        rest = rest[len(keyword) + 1 :]
        if self._lenient:
            rest = rest.lstrip(_BLANKS)
            if rest and not rest.startswith("<"):
                path, _, parameters = rest.partition(" ")
                return f"<{path}>", parameters
        match = PATH.match(rest)
        if match is None:
            raise Refused(
                Reply(501, "5.5.4", f"{keyword} is followed by a path in angle brackets, without a space")
            )
        tail = rest[match.end() :]
        if tail and not tail.startswith(" "):
            raise Refused(Reply(501, "5.5.4", "a space stands between path and parameters"))
        return match[0], tail

    def _hello_argument(self, rest: str) -> str:
        argument = rest.strip(_BLANKS)
        if not rest.startswith(" ") or not is_hello_argument(argument, lenient=self._lenient_hello):
            raise Refused(Reply(501, "5.5.4", "give your domain, or an address literal such as [192.0.2.1]"))
        return argument

    def _parse_ehlo(self, rest: str, smtputf8: bool) -> Command:
        ehlo = _new(Ehlo)
        ehlo.domain = self._hello_argument(rest)
        return ehlo

    def _parse_helo(self, rest: str, smtputf8: bool) -> Command:
        helo = _new(Helo)
        helo.domain = self._hello_argument(rest)
        return helo

    def _parse_by(self, spec: CommandSpec, rest: str) -> Command:
        """Let an extension read the argument of its command."""
        try:
            return spec.parse(rest.strip(_BLANKS))
        except LocalProtocolError as error:
            raise Refused(Reply.sanitized(501, "5.5.4", str(error))) from None


def _bare(command: Command) -> _LongParser:
    def parse(parser: CommandParser, rest: str, smtputf8: bool) -> Command:
        if rest:
            raise Refused(_NO_ARGUMENT)
        return command

    return parse


def _with_text(command: type[TextCommand]) -> _LongParser:
    def parse(parser: CommandParser, rest: str, smtputf8: bool) -> Command:
        try:
            return command(rest.strip(_BLANKS))
        except LocalProtocolError:
            raise Refused(Reply(501, "5.5.4", f"{command.verb} needs an argument")) from None

    return parse


def _short_bare(command: Command) -> _ShortParser:
    def parse(parser: CommandParser, buffer: ReceiveBuffer, start: int) -> Command | None:
        if buffer.data.startswith(b"\r\n", start):
            buffer.start = start + 2
            return command
        return None

    return parse


def _short_hello(kind: type[Ehlo | Helo]) -> _ShortParser:
    def parse(parser: CommandParser, buffer: ReceiveBuffer, start: int) -> Command | None:
        match = parser._match_hello(buffer.text or "", start)
        if match is None or len(match[1]) > SHORT_MAILBOX - 1:
            return None
        buffer.start = match.end()
        hello = _new(kind)
        hello.domain = match[1]
        return hello

    return parse


# The spellings that occur; any other takes the long way.
SHORT: Final[dict[str, _ShortParser]] = {
    spelling: parse
    for verb, parse in {
        "MAIL": CommandParser._short_mail,
        "RCPT": CommandParser._short_rcpt,
        "DATA": _short_bare(_DATA),
        "RSET": _short_bare(_RSET),
        "QUIT": _short_bare(_QUIT),
        "NOOP": _short_bare(_NOOP),
        "EHLO": _short_hello(Ehlo),
        "HELO": _short_hello(Helo),
    }.items()
    for spelling in (verb, verb.lower(), verb.title())
}

_LONG: Final[dict[str, _LongParser]] = {
    "MAIL": CommandParser._parse_mail,
    "RCPT": CommandParser._parse_rcpt,
    "EHLO": CommandParser._parse_ehlo,
    "HELO": CommandParser._parse_helo,
    "DATA": _bare(_DATA),
    "RSET": _bare(_RSET),
    "QUIT": _bare(_QUIT),
    "NOOP": _with_text(Noop),
    "VRFY": _with_text(Vrfy),
}


# With SMTPUTF8 these may hold UTF-8 (RFC 6531 3.3, 3.7.4); an extension says so of its own commands.
_UTF8_VERBS = frozenset({"MAIL", "RCPT", "VRFY"})

KNOWN_VERBS: Final = _LONG.keys() | _KNOWN_BUT_NOT_IMPLEMENTED
"""Verbs of RFC 5321 and of registered extensions, also of those that are not implemented."""


def verb_of(line: str) -> str:
    """The verb of a line in upper case; ``""`` if it does not begin with one.

    A verb is letters, then a space or the end (RFC 5321 4.1.1). ASCII letters only: ``str.upper()`` makes an
    ``I`` of a dotless one.
    """
    match = _VERB.match(line)
    if match is None or line[match.end() : match.end() + 1] not in ("", " ", "\t"):
        return ""
    return match[0].upper()


def _bad_path(error: LocalProtocolError, path: str, status: str, *, not_ascii: int) -> Reply:
    if not path.isascii() and "SMTPUTF8" in str(error):
        return Reply.sanitized(not_ascii, "5.6.7", str(error))  # RFC 6531 3.5
    return Reply.sanitized(501, status, str(error))


def format_command(command: Command, rules: Rules, parameters: str | None = None) -> bytes:
    """Write the line of a command, CRLF included; verbs in upper case (RFC 5321 2.4).

    Args:
        command: The command.
        rules: Those of the connection that it is for.
        parameters: Those of MAIL or RCPT as they are written; None: ``rules`` says how.

    Raises:
        LocalProtocolError: No extension of the connection has this command, or a value cannot be written.
    """
    if isinstance(command, Rcpt):
        if parameters is None:
            parameters = format_parameters(command.parameters, rules.parameters["RCPT"])
        return f"RCPT TO:<{command._path}>{parameters}\r\n".encode()
    if isinstance(command, Mail):
        if parameters is None:
            parameters = format_parameters(command.parameters, rules.parameters["MAIL"])
        return f"MAIL FROM:<{command._path}>{parameters}\r\n".encode()
    if isinstance(command, (Ehlo, Helo)):
        line = f"{command.verb} {command.domain}"
    elif isinstance(command, (Noop, Vrfy)):
        line = f"{command.verb} {command.argument}".rstrip(_BLANKS)
    elif command.verb in _LONG:
        line = command.verb
    else:
        line = _format_by(rules.commands.get(command.__class__), command)
    return f"{line}\r\n".encode()


def _format_by(spec: CommandSpec | None, command: Command) -> str:
    """Let an extension write the argument of its command."""
    if spec is None:
        raise LocalProtocolError(f"{command.verb} belongs to no extension of this connection")
    line = f"{spec.verb} {spec.format(command)}".rstrip(_BLANKS)
    if CONTROL.search(line) or not (spec.utf8 or line.isascii()):
        raise LocalProtocolError(f"the argument of {spec.verb} cannot be sent in one line of ASCII: {line!r}")
    return line
