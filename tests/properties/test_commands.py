"""Command lines, for all of them: reading and writing are inverse, and nothing else can come out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Final, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcore._core.addresses import ForwardPath, Mailbox, ReversePath
from smtpcore._core.capabilities import Capabilities
from smtpcore._core.commands import KNOWN_VERBS, SHORT, CommandParser, format_command, verb_of
from smtpcore._core.config import ServerConfig
from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.events import Command, Data, Ehlo, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from smtpcore._core.limits import Limits
from smtpcore._core.parameters import (
    NO_PARAMETERS,
    ParameterValue,
    decode_xtext,
    encode_xtext,
    format_parameters,
    parse_parameters,
)
from smtpcore._core.receivebuffer import ReceiveBuffer
from smtpcore._core.replies import Refused, Reply
from smtpcore.extensions.auth import Auth
from smtpcore.extensions.expn import Expn
from smtpcore.extensions.help import Help
from smtpcore.extensions.starttls import StartTls

from ..helpers.standard import RULES

UnknownParameters = Literal["reject", "ignore", "show"]
UNKNOWN: Final[tuple[UnknownParameters, ...]] = ("reject", "ignore", "show")
EVERYTHING = Capabilities([(keyword, ()) for keyword in RULES.by_keyword])
# Long addresses may make lines that are too long, which is not what this is about.
CONFIGS = [
    ServerConfig(
        limits=Limits(command_line=2000),
        address_syntax=addresses,
        ehlo_syntax=hello,
        unknown_parameters=unknown,
    )
    for addresses in ("strict", "lenient")
    for hello in ("strict", "lenient")
    for unknown in UNKNOWN
]
configs = st.sampled_from(CONFIGS)

# --- Commands ---

ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
meanings = st.one_of(
    st.text(st.sampled_from("abcXYZ019!#$%&'*+-/=?^_`{|}~."), min_size=1, max_size=20),
    st.text(ASCII, max_size=20),
    st.text(st.sampled_from('ab \\".@<>\xe4\u65e5'), max_size=16),
)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
literals = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip.exploded}]"),
)
domains = st.one_of(names, literals)
mailboxes = st.builds(lambda local, domain: str(Mailbox(local, domain)), meanings, domains)
# As text they stay text if they are ordinary; as paths they never do.
reverse_paths = st.one_of(mailboxes, st.just(""), mailboxes.map(ReversePath))
forward_paths = st.one_of(mailboxes, st.sampled_from(["Postmaster", "postMASTER"]), mailboxes.map(ForwardPath))
values: Mapping[str, st.SearchStrategy[ParameterValue]] = {
    "SIZE": st.integers(0, 10**20 - 1),
    "BODY": st.sampled_from(["7BIT", "8BITMIME"]),
    "SMTPUTF8": st.just(True),
    "AUTH": st.one_of(st.just(""), mailboxes.filter(str.isascii)).map(ReversePath),
}
parameters = st.fixed_dictionaries({}, optional=dict(values))
words = st.text(ASCII, max_size=40).map(lambda text: text.strip())
names_of_somebody = st.one_of(words, mailboxes).filter(bool)
commands = st.one_of(
    st.builds(Ehlo, domains),
    st.builds(Helo, domains),
    st.builds(Mail, reverse_paths, parameters),
    st.builds(Rcpt, forward_paths),
    st.builds(Vrfy, names_of_somebody),
    st.builds(Expn, names_of_somebody),
    st.builds(Help, words),
    st.builds(Noop, words),
    st.builds(
        Auth,
        st.from_regex(r"[A-Z0-9_-]{1,20}", fullmatch=True),
        st.one_of(st.none(), st.from_regex(r"=|[A-Za-z0-9+/]{1,40}={0,2}", fullmatch=True)),
    ),
    st.sampled_from([Data(), Rset(), Quit(), StartTls()]),
)

# --- Lines ---

# What lines are made of, and what breaks them.
pieces = st.one_of(
    st.sampled_from(sorted(KNOWN_VERBS) + sorted(SHORT)),
    st.sampled_from(
        [" ", " ", " ", "  ", "\t", "<", ">", ":", '"', "\\", "@", ",", ".", "[", "]", "=", "-", "*"]
    ),
    st.sampled_from(
        [" FROM:<", " TO:<", "from:", "@a.b>", "> ", "<>", "<Postmaster>", "[192.0.2.1]", "@a,@b:"]
    ),
    st.sampled_from([" SIZE=", " BODY=7BIT", " SMTPUTF8", " AUTH=<>", " AUTH=", " FOO=1", "+3D", "x" * 60]),
    st.sampled_from(["\r", "\n", "\0", "\x7f", "\x85", "\xa0", "\xff", "\xc3\xa4", "\xe3\x80\x80", "\xc2\x85"]),
    st.text(st.characters(max_codepoint=0xFF), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3).map(
        lambda text: text.encode().decode("latin-1")
    ),
)
rubbish = st.lists(pieces, max_size=8).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The line of a command with something put in, or taken out, or in another case."""
    line = format_command(draw(commands), RULES)[:-2].decode("latin-1")
    if draw(st.booleans()):
        line = draw(st.sampled_from([str.lower, str.title, str.swapcase]))(line)
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(start + 3, len(line))))
    return line[:start] + draw(st.one_of(st.just(""), pieces)) + line[end:]


lines = st.one_of(
    rubbish, damaged(), commands.map(lambda one: format_command(one, RULES)[:-2].decode("latin-1"))
)


def parser(config: ServerConfig = CONFIGS[0], capabilities: Capabilities = EVERYTHING) -> CommandParser:
    return CommandParser(config, RULES, capabilities)


def long_way(parser: CommandParser, line: str, smtputf8: bool) -> Command | Reply:
    try:
        return parser.parse(line, smtputf8=smtputf8)
    except Refused as refused:
        return refused.reply


def short_way(parser: CommandParser, text: str, start: int) -> tuple[Command | Reply | None, int]:
    """What the short way says, and up to where it has used the text."""
    buffer = ReceiveBuffer(2 * len(text))
    buffer.feed(text.encode("latin-1"))
    buffer.decode()
    try:
        return SHORT[text[start : start + 4]](parser, buffer, start + 4), buffer.start
    except Refused as refused:
        return refused.reply, buffer.start


@pytest.mark.req("ADR-21", "FRM-02", "FRM-13")
@given(commands, configs)
@example(Mail("", {"AUTH": ReversePath('"a =+b"@c')}), CONFIGS[0])
def test_reading_what_was_written_gives_the_same_command(command: Command, config: ServerConfig) -> None:
    octets = format_command(command, RULES)
    assert octets.endswith(b"\r\n") and not set(octets[:-2]) & set(b"\r\n\0")
    assert octets.startswith(command.verb.encode())
    smtputf8 = isinstance(command, Rcpt)
    if isinstance(command, Mail) and not command.is_ascii:
        command = Mail(command.reverse_path, {**command.parameters, "SMTPUTF8": True})
        octets = format_command(command, RULES)
    again = parser(config).parse(octets[:-2].decode("latin-1"), smtputf8=smtputf8)
    assert again == command and hash(again) == hash(command)
    assert format_command(again, RULES) == octets


offers = st.lists(st.sampled_from(sorted(RULES.by_keyword)), unique=True).map(Capabilities.parse)


@given(lines, configs, offers, st.booleans())
@example("MAIL FROM:<a@b> SIZE=" + "9" * 2100, CONFIGS[0], EVERYTHING, False)
@example("RCPT TO:<a@b> X=" + "9" * 2100, CONFIGS[-1], EVERYTHING, False)
@example("MAIL FROM:<a@b> SIZE=1\xa0BODY=7BIT", CONFIGS[0], EVERYTHING, False)
def test_fast_and_slow_path_agree(
    line: str, config: ServerConfig, capabilities: Capabilities, smtputf8: bool
) -> None:
    if line[:4] in SHORT and "\r\n" not in line:
        one = parser(config, capabilities)
        short, end = short_way(one, f"QUIT\r\n{line}\r\nNOOP\r\n", 6)
        if short is not None:
            assert short == long_way(one, line, smtputf8)
            assert end == 6 + len(line) + 2


@given(commands)
def test_the_fast_path_needs_the_line_end(command: Command) -> None:
    text = format_command(command, RULES).decode("latin-1")
    if text[:4] in SHORT:
        for end in range(4, len(text)):
            assert short_way(parser(), text[:end], 0) == (None, 0)


@pytest.mark.req("FRM-11", "SEC-01")
@given(lines, configs, offers, st.booleans())
@example("", CONFIGS[0], EVERYTHING, False)
@example("EHLO \xc2\xa10", ServerConfig(ehlo_syntax="lenient"), EVERYTHING, False)
def test_any_line_is_a_command_or_refused(
    line: str, config: ServerConfig, capabilities: Capabilities, smtputf8: bool
) -> None:
    result = long_way(parser(config, capabilities), line, smtputf8)
    if isinstance(result, Reply):
        assert result.is_permanent and len(result.encode()) <= 512
    else:
        assert verb_of(line) == result.verb
        if isinstance(result, (Mail, Rcpt)):
            offered = RULES.offered_parameters(result.verb, capabilities)
            if result.parameters.keys() & RULES.parameters[result.verb].keys() - offered.keys():
                return  # unknown_parameters="show": a parameter that is not offered is raw text
        # What was taken can be passed on. (A name that only a lenient server takes is passed on as well.)
        octets = format_command(result, RULES)
        assert octets.count(b"\r") == octets.count(b"\n") == 1 and octets.endswith(b"\r\n")
        if isinstance(result, (Ehlo, Helo)):
            assert octets.isascii() or config.ehlo_syntax == "lenient"
        else:
            utf8 = isinstance(result, (Mail, Rcpt, Vrfy, Expn))
            assert octets.isascii() or (utf8 and "SMTPUTF8" in capabilities)
        again = long_way(parser(config, capabilities), octets[:-2].decode("latin-1"), smtputf8)
        assert again == result


# --- Parameters ---


@given(parameters)
def test_reading_the_parameters_that_were_written_gives_the_same(given: Mapping[str, ParameterValue]) -> None:
    text = format_parameters(given, RULES.parameters["MAIL"])
    assert parse_parameters(text, RULES.parameters["MAIL"]) == given
    assert parse_parameters(text.lower(), RULES.parameters["MAIL"]).keys() == given.keys()


@given(rubbish, st.sampled_from(UNKNOWN))
def test_any_text_is_parameters_or_refused(text: str, unknown: UnknownParameters) -> None:
    with contextlib.suppress(Refused):
        found = parse_parameters(text, RULES.parameters["MAIL"], unknown)
        assert (
            parse_parameters(format_parameters(found, RULES.parameters["MAIL"]), RULES.parameters["MAIL"])
            == found
        )
        assert found is NO_PARAMETERS or found


@pytest.mark.req("AUT-42")
@given(st.text(ASCII))
def test_xtext_is_read_as_it_was_written(text: str) -> None:
    written = encode_xtext(text)
    assert decode_xtext(written) == text
    assert re.fullmatch(r"([!-*,-<>-~]|\+[0-9A-F]{2})*", written)


@given(st.text(st.sampled_from("ab+0123DEFdef=<>@ \xe4")))
def test_any_text_is_xtext_or_a_local_protocol_error(text: str) -> None:
    with contextlib.suppress(LocalProtocolError):
        decoded = decode_xtext(text)
        assert decoded.isascii() and decoded.isprintable()
        assert decode_xtext(encode_xtext(decoded)) == decoded


# --- Capabilities ---

keywords = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,12}", fullmatch=True)
parameter_words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)


@pytest.mark.req("EHL-11", "EHL-12", "EHL-14")
@given(st.lists(st.tuples(keywords, st.lists(parameter_words, max_size=3)), max_size=6))
@example([("AUTH", ["PLAIN"]), ("auth", ["LOGIN"])])
def test_reading_the_capabilities_that_were_written_gives_the_same(
    given: list[tuple[str, list[str]]],
) -> None:
    capabilities = Capabilities(given)
    again = Capabilities.parse(capabilities.lines(), RULES.readers)
    assert again == capabilities and list(again) == list(capabilities)
    assert again.lines() == capabilities.lines()
    for keyword, words in given:
        assert set(words) <= set(again[keyword.swapcase()])


@pytest.mark.req("EHL-12", "EHL-14")
@given(st.lists(st.one_of(st.text(max_size=20), rubbish), max_size=6))
def test_any_lines_are_capabilities(lines: list[str]) -> None:
    capabilities = Capabilities.parse(lines, RULES.readers)
    assert Capabilities.parse(capabilities.lines(), RULES.readers) == capabilities
    assert capabilities.size is None or 0 <= capabilities.size < 10**20
    assert "" not in capabilities.mechanisms
    assert RULES.extra_octets("MAIL", capabilities) >= RULES.extra_octets("RCPT", capabilities) >= 0
