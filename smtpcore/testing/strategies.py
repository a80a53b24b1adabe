"""Hypothesis strategies for SMTP: addresses, commands, lines, replies, content, whole sessions.

They compose like any others, and shrink to what a person would have written: ``a@a``, content without
octets, a session of EHLO. What depends on service extensions takes a set of them, and derives the rest from
their values: so an extension of your own is drawn like the standard ones.

::

    from hypothesis import given
    from smtpcore.testing import strategies

    @given(strategies.content(), strategies.command_lines())
    def test_my_server(content, line): ...

It needs Hypothesis: ``pip install smtpcore[testing]``.
"""

from __future__ import annotations

import string
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .._core.addresses import ForwardPath, Mailbox, ReversePath, quote_local_part
from .._core.commands import CommandParser, format_command
from .._core.commandspec import CommandSpec
from .._core.config import Extension, Facts, ServerConfig
from .._core.errors import LocalProtocolError, wrong_type
from .._core.events import Command, Data, Ehlo, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from .._core.parameters import Parameter, ParameterValue, encode_xtext
from .._core.public import publish as _publish
from .._core.replies import Refused, Reply
from .._core.rules import rules_for
from ..extensions import STANDARD

__all__ = [
    "Session",
    "Transaction",
    "address_literals",
    "broken_replies",
    "chunked",
    "command_lines",
    "commands",
    "content",
    "domains",
    "forward_paths",
    "local_parts",
    "mailboxes",
    "near_misses",
    "parameter_values",
    "parameters",
    "replies",
    "reply_octets",
    "reverse_paths",
    "sessions",
    "transactions",
]

# atext of RFC 5322 3.2.3, the letters first, since examples shrink towards the first one.
_ATEXT: Final = string.ascii_lowercase + string.digits + "!#$%&'*+-/=?^_`{|}~" + string.ascii_uppercase
_LABEL_INSIDE: Final = string.ascii_lowercase + string.digits + "-" + string.ascii_uppercase
_LABEL_ENDS: Final = string.ascii_lowercase + string.digits
_PRINTABLE: Final = "".join(map(chr, range(32, 127)))
_UTF8_LETTERS: Final = "\u00fc\u00e9\u0436\u65e5\u672c\u05d0"


def _set_of(extensions: Sequence[Extension] | None) -> tuple[Extension, ...]:
    if extensions is None:
        return STANDARD
    made: list[Any] = list(extensions) if isinstance(extensions, Iterable) else [None]
    if not all(isinstance(one, Extension) for one in made):
        raise wrong_type("extensions", "a sequence of extensions, or None", extensions)
    return tuple(made)


# --- Addresses --------------------------------------------------------------------------------------------


def _text(alphabet: str, *, least: int = 0, most: int = 8) -> SearchStrategy[str]:
    """Draw text that shrinks towards the first character of its alphabet; text() would shrink towards 0."""
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map("".join)


def _words(alphabet: str, *, most: int = 8) -> SearchStrategy[str]:
    return _text(alphabet, least=1, most=most)


def _labels(utf8: bool) -> SearchStrategy[str]:
    inner = _text(_LABEL_INSIDE, most=6)
    ends = st.sampled_from(_LABEL_ENDS)
    # No label has hyphens in its third and fourth place, unless it is an A-label (RFC 5890 2.3.1).
    plain = st.builds(lambda first, rest, last: first + rest + last, ends, inner, ends)
    ascii_labels = st.one_of(ends, plain.filter(lambda label: label[2:4] != "--"))
    return st.one_of(ascii_labels, _words(_UTF8_LETTERS, most=4)) if utf8 else ascii_labels


def domains(*, utf8: bool = False) -> SearchStrategy[str]:
    """Draw domains (RFC 5321 4.1.2).

    Args:
        utf8: U-labels as well (RFC 6531 3.3).
    """
    return st.lists(_labels(utf8), min_size=1, max_size=4).map(".".join)


def address_literals() -> SearchStrategy[str]:
    """Draw address literals of IPv4 and IPv6, in brackets (RFC 5321 4.1.3)."""
    return st.one_of(
        st.ip_addresses(v=4).map(lambda address: f"[{address}]"),
        st.ip_addresses(v=6).map(lambda address: f"[IPv6:{address}]"),
    )


def local_parts(*, quoted: bool = True, utf8: bool = False) -> SearchStrategy[str]:
    """Draw local-parts as they are written: dot-strings and quoted strings (RFC 5321 4.1.2).

    Args:
        quoted: Quoted strings as well.
        utf8: Other characters than ASCII as well (RFC 6531 3.3).
    """
    atoms = _words(_ATEXT + _UTF8_LETTERS if utf8 else _ATEXT)
    strategy = st.lists(atoms, min_size=1, max_size=3).map(".".join)
    if not quoted:
        return strategy
    alphabet = _PRINTABLE + _UTF8_LETTERS if utf8 else _PRINTABLE
    return st.one_of(strategy, _text(alphabet, most=8).map(quote_local_part))


def mailboxes(*, quoted: bool = True, literals: bool = True, utf8: bool = False) -> SearchStrategy[Mailbox]:
    """Draw mailboxes (RFC 5321 4.1.2).

    Args:
        quoted: Local-parts that are quoted strings as well.
        literals: Address literals in place of domains as well.
        utf8: Other characters than ASCII as well, as SMTPUTF8 permits them.
    """
    hosts = st.one_of(domains(utf8=utf8), address_literals()) if literals else domains(utf8=utf8)
    texts = st.builds("{}@{}".format, local_parts(quoted=quoted, utf8=utf8), hosts)
    return texts.map(Mailbox.parse)


def reverse_paths(*, utf8: bool = False) -> SearchStrategy[ReversePath]:
    """Draw reverse-paths, the null reverse-path included.

    Args:
        utf8: Other characters than ASCII as well.
    """
    return st.one_of(mailboxes(utf8=utf8).map(str), st.just("")).map(ReversePath)


def forward_paths(*, utf8: bool = False) -> SearchStrategy[ForwardPath]:
    """Draw forward-paths, the postmaster without a domain included (RFC 5321 4.1.1.3).

    Args:
        utf8: Other characters than ASCII as well.
    """
    return st.one_of(mailboxes(utf8=utf8).map(str), st.just("Postmaster")).map(ForwardPath)


# --- Parameters -------------------------------------------------------------------------------------------

# Texts that arguments consist of. Which of them an extension understands is found out by asking it.
_ASCII_MAILBOXES: Final = mailboxes(quoted=False, literals=False).map(str)
_ARGUMENTS: Final[tuple[SearchStrategy[str | None], ...]] = (
    st.none(),
    st.integers(0, 10**6).map(str),
    st.sampled_from(("FULL", "HDRS", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE")),
    _words(string.ascii_uppercase),
    _words(string.ascii_lowercase + string.digits + "-"),
    _words(_PRINTABLE).map(encode_xtext),
    _ASCII_MAILBOXES.map(encode_xtext),
    st.just("<>"),
    _ASCII_MAILBOXES.map(lambda text: f"rfc822;{encode_xtext(text)}"),
    st.builds("{};{}".format, st.integers(1, 10**5), st.sampled_from(("R", "N", "RT", "NT"))),
    st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}"),
    st.binary(max_size=8).map(lambda octets: b64encode(octets).decode("ascii") or "="),
    # Arguments of commands: a domain, words.
    domains(),
    st.sampled_from(("PLAIN", "LOGIN", "PLAIN =", "PLAIN AGFsaWNlAHNlY3JldA==")),
)
_PROBES: Final = (
    (None,),
    ("0", "1"),
    ("FULL", "HDRS", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE"),
    ("A", "HIGH", "XYZ"),
    ("a", "abc-1"),
    ("a+2Bb", "+21"),
    ("a@b.example",),
    ("<>",),
    ("rfc822;a@b.example",),
    ("120;R", "120;N"),
    ("2030-01-01T00:00:00Z",),
    ("AAAA", "="),
    ("b.example",),
    ("PLAIN", "PLAIN ="),
)


def _understood(parse: Any, text: str | None) -> bool:
    try:
        parse(text)
    except LocalProtocolError:
        return False
    return True


def _accepted_by(parse: Any) -> SearchStrategy[str | None] | None:
    """Draw what a parser accepts; None if nothing is known that it does."""
    kinds = [
        strategy
        for strategy, probes in zip(_ARGUMENTS, _PROBES, strict=True)
        if any(_understood(parse, probe) for probe in probes)
    ]
    return st.one_of(kinds).filter(lambda text: _understood(parse, text)) if kinds else None


@lru_cache(maxsize=256)
def parameter_values(parameter: Parameter) -> SearchStrategy[ParameterValue] | None:
    """Draw values of a parameter of MAIL or RCPT, as events have them.

    Args:
        parameter: The row of an extension. Its names are drawn if it has some; otherwise its ``parse`` is asked
            which of the usual kinds of text it accepts: numbers, words, xtext, mailboxes, dates, base64.

    Returns:
        The strategy; None if ``parse`` accepts none of them.
    """
    if parameter.names:
        return st.sampled_from(parameter.names)
    texts = _accepted_by(parameter.parse)
    return None if texts is None else texts.map(parameter.parse)


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def parameters(
    command: Literal["MAIL", "RCPT"],
    extensions: Sequence[Extension] | None = None,
    *,
    values: Mapping[str, SearchStrategy[Any]] | None = None,
) -> SearchStrategy[dict[str, ParameterValue]]:
    """Draw parameters of MAIL or RCPT, as ``Mail`` and ``Rcpt`` take them.

    Args:
        command: The command.
        extensions: Whose parameters are drawn, private ones alike. None: the standard ones.
        values: Strategies for values by keyword, where :func:`parameter_values` does not find any, or not the
            interesting ones.

    Raises:
        LocalProtocolError: It is another command.
    """
    if command not in ("MAIL", "RCPT"):
        raise LocalProtocolError(f"command is 'MAIL' or 'RCPT', not {command!r}")
    rows = rules_for(_set_of(extensions)).parameters[command]
    known = {keyword: (values or {}).get(keyword, parameter_values(row)) for keyword, row in rows.items()}
    drawn = {keyword: strategy for keyword, strategy in known.items() if strategy is not None}
    if not drawn:
        return st.builds(dict)
    # Pairs of a keyword and its value, and not a dictionary with optional keys: these shrink one by one.
    pairs = st.one_of([st.tuples(st.just(keyword), strategy) for keyword, strategy in drawn.items()])
    return st.lists(pairs, unique_by=_first, max_size=4).map(dict)


# --- Commands ---------------------------------------------------------------------------------------------


def _mails(extensions: Sequence[Extension] | None) -> SearchStrategy[Command]:
    def mail(path: ReversePath, given: dict[str, Any]) -> Mail:
        if not path.is_ascii:
            given["SMTPUTF8"] = True
        return Mail(path, given)

    utf8 = "SMTPUTF8" in rules_for(_set_of(extensions)).parameters["MAIL"]
    return st.builds(mail, reverse_paths(utf8=utf8), parameters("MAIL", extensions))


def _of_spec(spec: CommandSpec) -> SearchStrategy[Command] | None:
    """Draw a command of an extension."""

    def parse(text: str | None) -> Command:
        return spec.parse(text or "")

    texts = _accepted_by(parse)
    return None if texts is None else texts.map(parse)


def commands(extensions: Sequence[Extension] | None = None) -> SearchStrategy[Command]:
    """Draw valid commands, in no order.

    Args:
        extensions: Whose commands and parameters are drawn. None: the standard ones.
    """
    texts = _text(_PRINTABLE, most=10)
    names = st.one_of(mailboxes().map(str), _words(_ATEXT))
    rules = rules_for(_set_of(extensions))
    hosts = st.one_of(domains(), address_literals())
    added = [_of_spec(spec) for spec in rules.commands.values()]
    return st.one_of(
        st.sampled_from((Noop(), Rset(), Data(), Quit())),
        texts.map(str.strip).map(Noop),
        hosts.map(Ehlo),
        hosts.map(Helo),
        _mails(extensions),
        st.builds(Rcpt, forward_paths(), parameters("RCPT", extensions)),
        names.map(Vrfy),
        *[strategy for strategy in added if strategy is not None],
    )


@st.composite
def _spelled(draw: st.DrawFn, command: Command, extensions: tuple[Extension, ...]) -> bytes:
    """Spell a command in one of the ways that a server has to understand."""
    text = format_command(command, rules_for(extensions)).decode("utf-8").removesuffix("\r\n")
    verb, blank, rest = text.partition(" ")
    verb = draw(_any_case(verb))
    if isinstance(command, (Mail, Rcpt)):
        keyword, colon, path = rest.partition(":")
        end = path.rindex(">") + 1 if not command.parameters else _end_of_path(path)
        words = draw(st.permutations(path[end:].split()))
        spelled = [
            "".join([draw(_any_case(name)), equals, value]) for name, equals, value in map(_at_equals, words)
        ]
        route = draw(st.sampled_from(("", "", "", "@x.example:", "@x.example,@y.example:")))
        inner = path[1 : end - 1]
        if "@" not in inner or not inner.isascii():
            route = ""
        rest = "".join(
            [draw(_any_case(keyword)), colon, "<", route, inner, ">", *(f" {one}" for one in spelled)]
        )
    # RFC 5321 4.1.1: a server should tolerate blanks at the end.
    tail = draw(st.sampled_from(("", "", " ", "\t"))) if not isinstance(command, Noop) else ""
    return f"{verb}{blank}{rest}{tail}\r\n".encode()


def _at_equals(word: str) -> tuple[str, str, str]:
    return word.partition("=")


def _end_of_path(path: str) -> int:
    """Where a path in angle brackets ends; quoted local-parts may hold a bracket."""
    quoted = escaped = False
    for place, character in enumerate(path):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return place + 1
    raise AssertionError(f"{path!r} has no end")


@st.composite
def _any_case(draw: st.DrawFn, word: str) -> str:
    match draw(st.integers(0, 3)):
        case 0 | 1:
            return word
        case 2:
            return word.lower()
        case _:
            swaps = draw(st.lists(st.booleans(), min_size=len(word), max_size=len(word)))
            return "".join(one.lower() if low else one for one, low in zip(word, swaps, strict=True))


def command_lines(
    source: Command | SearchStrategy[Command] | None = None, extensions: Sequence[Extension] | None = None
) -> SearchStrategy[bytes]:
    """Draw command lines, CRLF included, in every spelling that a server has to understand.

    Verbs and keywords in any letter case, parameters in any order, obsolete source routes (RFC 5321 App. C),
    blanks at the end.

    Args:
        source: The command, or a strategy of commands. None: :func:`commands`.
        extensions: Whose commands and parameters are drawn and formatted. None: the standard ones.
    """
    if source is None:
        source = commands(extensions)
    elif isinstance(source, Command):
        source = st.just(source)
    elif not isinstance(source, SearchStrategy):
        raise wrong_type("source", "a Command, such as Noop(), or a strategy of commands", source)
    return source.flatmap(lambda command: _spelled(command, _set_of(extensions)))


# What a line is spoilt with. Each takes a line without its CRLF, and a place in it.
_STRAY: Final = (b"\0", b"\r", b"\n", b"\x7f", b"\xff", b"<", b">", b"@", b" ", b",", b"..", b"\t", b'"', b"\\")
_NEARLY: Final = (
    b"MAIL FROM:a@b.example",
    b"MAIL FROM: <a@b.example>",
    b"MAIL FROM <a@b.example>",
    b"MAIL FROM:<a@b.example",
    b"MAIL FROM:<a@b.example>SIZE=1",
    b"MAIL FROM:<a@b..example>",
    b"MAIL FROM:<.a@b.example>",
    b"MAIL FROM:<a@[300.0.0.1]>",
    b"MAIL TO:<a@b.example>",
    b"RCPT TO:<>",
    b"RCPT TO:<a>",
    b"RCPT TO:<a@b.example> NO/SUCH=1",
    b"RCPT FROM:<a@b.example>",
    b"DATA now",
    b"RSET all",
    b"QUIT x",
    b"HELO",
    b"EHLO",
    b"EHLO a b",
    b"VRFY",
    b"NOOPS",
    b"MAILFROM:<a@b.example>",
    b"RC PT TO:<a@b.example>",
    b"",
    b".",
    b" NOOP",
    b"GET / HTTP/1.1",
)


@lru_cache(maxsize=16)
def _parser(extensions: tuple[Extension, ...]) -> CommandParser:
    """A parser that takes nothing but what the grammar says, with all extensions offered."""
    config = ServerConfig(
        ehlo_syntax="strict",
        smtputf8=True,
        expn=True,
        starttls=True,
        auth_mechanisms=("PLAIN",),
        allow_cleartext_auth=True,
    )
    rules = rules_for(extensions)
    return CommandParser(config, rules, rules.offer(config, Facts(config=config)))


def _is_legal(line: bytes, extensions: tuple[Extension, ...]) -> bool:
    text = line.removesuffix(b"\r\n").decode("latin-1")
    if len(line) > 512 or "\r" in text or "\n" in text:
        return False
    try:
        _parser(extensions).parse(text, smtputf8=True)
    except Refused:
        return False
    return True


def near_misses(extensions: Sequence[Extension] | None = None) -> SearchStrategy[bytes]:
    """Draw lines that look like commands and are none, CRLF included: no server may accept one.

    Typical errors, legal lines in which one thing was changed, and lines beyond every limit.

    Args:
        extensions: Whose commands and parameters are legal. None: the standard ones.
    """
    given = _set_of(extensions)

    def spoilt(line: bytes, place: int, stray: bytes, removed: int) -> bytes:
        at = place % len(line)
        return line[:at] + stray + line[at + removed :]

    bodies = command_lines(None, given).map(lambda line: line[:-2]).filter(bool)
    changed = st.builds(spoilt, bodies, st.integers(0, 99), st.sampled_from(_STRAY), st.integers(0, 1))
    long = st.integers(600, 3000).map(lambda size: b"NOOP " + b"x" * size)
    lines = st.one_of(st.sampled_from(_NEARLY), changed, long).map(lambda line: line + b"\r\n")
    return lines.filter(lambda line: not _is_legal(line, given))


# --- Replies ----------------------------------------------------------------------------------------------

_CODES: Final = (250, 220, 221, 251, 252, 354, 421, 450, 451, 452, 500, 501, 502, 503, 550, 552, 553, 554)
_TEXTS: Final = _text(_PRINTABLE + "\t", most=20)


def _statuses(code: int) -> SearchStrategy[str | None]:
    if code // 100 == 3:
        return st.none()
    numbers = st.integers(0, 9)
    return st.one_of(st.none(), st.builds(f"{code // 100}.{{}}.{{}}".format, numbers, numbers))


def replies(codes: Iterable[int] = _CODES) -> SearchStrategy[Reply]:
    """Draw replies that may be sent: of one line or several, with an enhanced status code or without.

    Args:
        codes: The reply codes.
    """
    if isinstance(codes, (str, int)):
        raise wrong_type("codes", "a sequence of numbers", codes)
    return st.sampled_from(tuple(codes)).flatmap(
        lambda code: st.builds(Reply, st.just(code), _statuses(code), st.lists(_TEXTS, min_size=1, max_size=4))
    )


def reply_octets(codes: Iterable[int] = _CODES) -> SearchStrategy[bytes]:
    """Draw the octets of legal replies (RFC 5321 4.2).

    Args:
        codes: The reply codes.
    """
    return replies(codes).map(Reply.encode)


def broken_replies() -> SearchStrategy[bytes]:
    """Draw octets that a server may send and must not: no reply at all, or one that is not legal."""
    fixed = st.sampled_from(
        (
            b"\r\n",
            b"ok\r\n",
            b"25 ok\r\n",
            b"2500 ok\r\n",
            b"050 ok\r\n",
            b"650 ok\r\n",
            b"250ok\r\n",
            b"250 ok\n",
            b"250 ok\r",
            b"250-a\r\n251 b\r\n",
            b"250-a\r\n550 b\r\n",
            b"250-a\r\n",
            b"250 \0\r\n",
            b"250 a\rb\r\n",
            b"250 a\nb\r\n",
            b"\xff\xfe\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
        )
    )
    long = st.integers(513, 2000).map(lambda size: b"250 " + b"x" * size + b"\r\n")
    return st.one_of(
        fixed, long, st.binary(min_size=1, max_size=20).map(lambda octets: b"\xff" + octets + b"\r\n")
    )


# --- Content ----------------------------------------------------------------------------------------------

_ENDS: Final = (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\n\r\n")
_DOTS: Final = (b".", b"..", b"...", b". ", b" .", b".x")
_TEMPTING: Final = (b"MAIL FROM:<x@example.com>", b"RSET", b"QUIT", b"250 ok")


def content(*, legal: bool = False) -> SearchStrategy[bytes]:
    r"""Draw content as it is before dot-stuffing.

    Args:
        legal: Only what every server has to accept: lines that end in CRLF, without bare CR or LF, NUL, octets
            above 127, or more than 998 octets in a line (RFC 5321 4.5.3.1.6). Otherwise any octets, rich in
            dots, in line ends of every kind (``\n.\n``, ``\r\n.\r``), and in long lines.
    """
    words = _words(string.ascii_letters + " .", most=10).map(lambda text: text.encode("ascii"))
    pieces = st.one_of(
        st.sampled_from(_DOTS), words, st.just(b""), st.sampled_from(_TEMPTING), st.just(b"x" * 998)
    )
    lines = st.lists(pieces, max_size=6)
    sound = lines.map(lambda found: b"".join(line + b"\r\n" for line in found))
    if legal:
        return sound
    any_octets = st.binary(max_size=8)
    long = st.integers(999, 3000).map(lambda size: b"y" * size)
    odd = st.lists(
        st.tuples(st.one_of(pieces, any_octets, long), st.sampled_from(_ENDS)).map(b"".join), max_size=6
    )
    return st.one_of(sound, odd.map(b"".join))


def _places(octets: bytes) -> list[int]:
    """Where a cut is interesting: beside each CR, LF and dot."""
    return sorted({at for place, one in enumerate(octets) if one in b"\r\n." for at in (place, place + 1)})


def chunked(octets: bytes) -> SearchStrategy[list[bytes]]:
    """Draw pieces that make these octets together, at most 31; none of them is empty.

    Args:
        octets: What is cut, preferably beside a CR, an LF or a dot.
    """
    if not isinstance(octets, bytes):
        raise wrong_type("octets", "bytes", octets)
    if len(octets) < 2:
        return st.just([octets] if octets else [])
    anywhere = st.integers(1, len(octets) - 1)
    interesting = [place for place in _places(octets) if 0 < place < len(octets)]
    places = st.one_of(st.sampled_from(interesting), anywhere) if interesting else anywhere

    def cut(borders: Iterable[int]) -> list[bytes]:
        return [octets[a:b] for a, b in pairwise([0, *sorted(set(borders)), len(octets)])]

    return st.lists(places, max_size=30).map(cut)


# --- Transactions and sessions ----------------------------------------------------------------------------


class Transaction(NamedTuple):
    """A mail transaction.

    Attributes:
        mail: The MAIL command.
        rcpts: The RCPT commands, at least one.
        content: The content before dot-stuffing, whole lines.
    """

    mail: Mail
    rcpts: tuple[Rcpt, ...]
    content: bytes


class Session(NamedTuple):
    """What a client does that follows the standard.

    Attributes:
        hello: EHLO.
        steps: Commands and transactions.
        quits: It sends QUIT at the end.
    """

    hello: Ehlo
    steps: tuple[Command | Transaction, ...]
    quits: bool


def transactions(extensions: Sequence[Extension] = ()) -> SearchStrategy[Transaction]:
    """Draw mail transactions that a server may accept.

    Args:
        extensions: Whose parameters are drawn; the server must offer them.
    """

    def make(mail: Mail, rcpts: list[Rcpt], octets: bytes) -> Transaction:
        return Transaction(mail, tuple(rcpts), octets)

    rcpts = st.builds(Rcpt, mailboxes(literals=False).map(str), parameters("RCPT", extensions))
    mails = _mails(extensions).filter(lambda mail: isinstance(mail, Mail))
    return st.builds(make, mails, st.lists(rcpts, min_size=1, max_size=3), content(legal=True))


def sessions(extensions: Sequence[Extension] = ()) -> SearchStrategy[Session]:
    """Draw sessions of a client that follows the standard: EHLO, then commands and transactions in any order.

    Args:
        extensions: Whose parameters are drawn; the server must offer them.
    """
    idle = st.one_of(st.sampled_from((Noop(), Rset())), _words(_ATEXT).map(Vrfy))
    steps = st.lists(st.one_of(transactions(extensions), idle), max_size=4).map(tuple)
    return st.builds(Session, domains().map(Ehlo), steps, st.booleans())


_publish(__name__, globals())
