"""Command lines: what is taken and what it means, what is refused with which reply, and what is written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from smtpcore._core import events as _events
from smtpcore._core.addresses import ForwardPath, ReversePath
from smtpcore._core.capabilities import Capabilities
from smtpcore._core.commands import KNOWN_VERBS, SHORT, CommandParser, format_command, verb_of
from smtpcore._core.config import ServerConfig
from smtpcore._core.events import Command, Data, Ehlo, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from smtpcore._core.limits import Limits
from smtpcore._core.receivebuffer import ReceiveBuffer
from smtpcore._core.replies import Refused, Reply
from smtpcore._core.rules import rules_for
from smtpcore.extensions import Extension, Parameter
from smtpcore.extensions.auth import Auth
from smtpcore.extensions.expn import Expn
from smtpcore.extensions.help import Help
from smtpcore.extensions.starttls import StartTls

from ..helpers.standard import RULES

EVERYTHING = ("SIZE 1000000", "8BITMIME", "SMTPUTF8", "AUTH PLAIN")
STRICT = ServerConfig(ehlo_syntax="strict")
LENIENT = ServerConfig(address_syntax="lenient", ehlo_syntax="lenient")


def parser(config: ServerConfig = STRICT, offered: Sequence[str] = EVERYTHING) -> CommandParser:
    return CommandParser(config, RULES, Capabilities.parse(offered, RULES.readers))


def arrived(text: str) -> ReceiveBuffer:
    """What has arrived, decoded, as the short way finds it."""
    buffer = ReceiveBuffer(2 * len(text))
    buffer.feed(text.encode("latin-1"))
    buffer.decode()
    return buffer


def both_ways(parser: CommandParser, line: str, *, smtputf8: bool = False) -> Command | Reply:
    """What becomes of a line. Where the short way has something to say, it must be the same."""

    def long() -> Command | Reply:
        try:
            return parser.parse(line, smtputf8=smtputf8)
        except Refused as refused:
            return refused.reply

    def short() -> Command | Reply | None:
        take = SHORT.get(line[:4])
        if take is None:
            return None
        buffer = arrived(f"***{line}\r\nNEXT")
        try:
            command = take(parser, buffer, 3 + 4)
        except Refused as refused:
            assert buffer.start == 3 + len(line) + 2
            return refused.reply
        assert buffer.start == (0 if command is None else 3 + len(line) + 2)
        return command

    result = long()
    assert short() in (None, result)
    return result


def parse(line: str, config: ServerConfig = STRICT, offered: Sequence[str] = EVERYTHING) -> Command:
    result = both_ways(parser(config, offered), line)
    assert isinstance(result, Command), result
    return result


def refused(line: str, config: ServerConfig = STRICT, offered: Sequence[str] = EVERYTHING) -> Reply:
    result = both_ways(parser(config, offered), line)
    assert isinstance(result, Reply), result
    return result


def takes_short(line: str) -> bool:
    return SHORT[line[:4]](parser(), arrived(f"{line}\r\n"), 4) is not None


# --- What is taken ---

COMMANDS: list[tuple[str, Command]] = [
    ("EHLO mail.example.org", Ehlo("mail.example.org")),
    ("EHLO [192.0.2.1]", Ehlo("[192.0.2.1]")),
    ("EHLO [IPv6:2001:db8::1]", Ehlo("[IPv6:2001:db8::1]")),
    ("HELO a", Helo("a")),
    ("HELO [192.0.2.1]", Helo("[192.0.2.1]")),
    ("MAIL FROM:<>", Mail("")),
    ("MAIL FROM:<a@example.com>", Mail("a@example.com")),
    ("MAIL FROM:<a@[192.0.2.1]> SIZE=1", Mail("a@[192.0.2.1]", {"SIZE": 1})),
    ('MAIL FROM:<"a b"@example.com>', Mail('"a b"@example.com')),
    ("MAIL FROM:<> SIZE=5 BODY=8BITMIME", Mail("", {"SIZE": 5, "BODY": "8BITMIME"})),
    ("RCPT TO:<a@example.com>", Rcpt("a@example.com")),
    ("RCPT TO:<Postmaster>", Rcpt("Postmaster")),
    ("DATA", Data()),
    ("RSET", Rset()),
    ("QUIT", Quit()),
    ("STARTTLS", StartTls()),
    ("NOOP", Noop()),
    ("NOOP anything  at all", Noop("anything  at all")),
    ("VRFY user", Vrfy("user")),
    ("VRFY <user@dom.ain>", Vrfy("<user@dom.ain>")),
    ('EXPN "a b"', Expn('"a b"')),
    ("HELP", Help()),
    ("HELP MAIL", Help("MAIL")),
    ("AUTH PLAIN", Auth("PLAIN")),
    ("AUTH PLAIN =", Auth("PLAIN", "=")),
    ("AUTH PLAIN AGEAYg==", Auth("PLAIN", "AGEAYg==")),
]


@pytest.mark.parametrize("line, command", COMMANDS)
def test_a_line_is_read_as_its_command(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize("line, command", COMMANDS)
def test_a_command_is_written_as_its_line(line: str, command: Command) -> None:
    assert format_command(command, RULES) == f"{line}\r\n".encode()


def test_every_kind_of_command_can_be_read_and_written() -> None:
    kinds = {one for one in vars(_events).values() if isinstance(one, type) and issubclass(one, Command)}
    base = {one for one in kinds if "verb" in vars(one)}
    assert {type(command) for _, command in COMMANDS} == base | RULES.commands.keys()


@pytest.mark.req("FRM-07")
@pytest.mark.parametrize("line, command", COMMANDS)
def test_verbs_and_keywords_have_any_case(line: str, command: Command) -> None:
    verb, space, rest = line.partition(" ")
    for change in (str.lower, str.title, str.swapcase, lambda text: text[:1] + text[1:].lower()):
        keyword, colon, tail = rest.partition(":") if verb in ("MAIL", "RCPT") else ("", "", rest)
        assert parse(f"{change(verb)}{space}{change(keyword)}{colon}{tail}") == command
    assert parse("aUtH pLaIn ==") == Auth("PLAIN", "==")


@pytest.mark.req("FRM-13")
@pytest.mark.parametrize("line, command", COMMANDS)
def test_verbs_are_written_in_upper_case(line: str, command: Command) -> None:
    verb = format_command(command, RULES).split()[0]
    assert verb.isalpha() and verb == verb.upper() == command.verb.encode()


@pytest.mark.req("FRM-05")
@pytest.mark.parametrize("blanks", [" ", "  ", "\t", " \t "])
@pytest.mark.parametrize("line, command", COMMANDS)
def test_white_space_at_the_end_does_no_harm(line: str, command: Command, blanks: str) -> None:
    assert parse(line + blanks) == command


@pytest.mark.req("FRM-08")
def test_the_case_of_a_local_part_is_kept() -> None:
    for line in ("RCPT TO:<SmiTh@EXAMPLE.org>", "RCPT TO:<SmiTh@[192.0.2.1]>", 'RCPT TO:<"Smi Th"@A.b>'):
        rcpt = parse(line)
        assert isinstance(rcpt, Rcpt) and rcpt.forward_path.local_part.replace(" ", "") == "SmiTh"
        assert format_command(rcpt, RULES) == f"{line}\r\n".encode()


@pytest.mark.req("MAI-04")
def test_mail_accepts_the_null_reverse_path() -> None:
    for line in ("MAIL FROM:<>", "Mail fRoM:<> BODY=7BIT"):
        mail = parse(line)
        assert isinstance(mail, Mail) and mail.reverse_path.is_null


@pytest.mark.req("RCP-04")
@pytest.mark.parametrize("name", ["Postmaster", "postmaster", "pOsTmAsTeR"])
def test_postmaster_needs_no_domain(name: str) -> None:
    rcpt = parse(f"RCPT TO:<{name}>")
    assert isinstance(rcpt, Rcpt) and rcpt.forward_path.is_postmaster
    assert str(rcpt.forward_path) == name


@pytest.mark.req("MAI-16", "RCP-07", "RCP-08", "RCP-10")
def test_a_source_route_is_recognised_and_ignored() -> None:
    mail = parse("MAIL FROM:<@a.x,@b.y:u@d.z> SIZE=1")
    assert isinstance(mail, Mail) and mail.reverse_path == ReversePath("u@d.z")
    assert mail.reverse_path.source_route == ("a.x", "b.y")
    rcpt = parse("RCPT TO:<@a.x,@b.y:u@d.z>")
    assert isinstance(rcpt, Rcpt) and rcpt.forward_path == ForwardPath("u@d.z")
    assert rcpt.forward_path.source_route == ("a.x", "b.y")
    assert format_command(mail, RULES) == b"MAIL FROM:<u@d.z> SIZE=1\r\n"
    assert format_command(rcpt, RULES) == b"RCPT TO:<u@d.z>\r\n"


@pytest.mark.req("ADR-04")
def test_delimiters_within_quotes_are_data() -> None:
    rcpt = parse('RCPT TO:<"a>b@c <d,:\\""@x.y>')
    assert isinstance(rcpt, Rcpt) and rcpt.forward_path.local_part == 'a>b@c <d,:"'
    mail = parse('MAIL FROM:<"a> SIZE=2"@[192.0.2.1]> SIZE=1')
    assert isinstance(mail, Mail) and mail.size == 1 and mail.reverse_path.local_part == "a> SIZE=2"


@pytest.mark.req("MAI-01", "RCP-03")
def test_no_space_is_written_around_the_colon() -> None:
    assert format_command(Mail("a@b.c", {"SIZE": 1}), RULES) == b"MAIL FROM:<a@b.c> SIZE=1\r\n"
    assert format_command(Mail(ReversePath("a@b.c")), RULES) == b"MAIL FROM:<a@b.c>\r\n"
    assert format_command(Rcpt("a@b.c"), RULES) == b"RCPT TO:<a@b.c>\r\n"
    assert format_command(Rcpt(ForwardPath("a@b.c")), RULES) == b"RCPT TO:<a@b.c>\r\n"


@pytest.mark.req("EXT-01")
def test_the_parameters_of_rcpt_are_written_as_well() -> None:
    rules = rules_for((Extension("COUNT", parameters=(Parameter("COUNT", "RCPT", parse_count, str),)),))
    rcpt = Rcpt("a@b.c", {"COUNT": 1})
    assert format_command(rcpt, rules) == b"RCPT TO:<a@b.c> COUNT=1\r\n"
    reader = CommandParser(ServerConfig(), rules, Capabilities.parse(["COUNT"]))
    assert both_ways(reader, "RCPT TO:<a@b.c> COUNT=1") == rcpt


def parse_count(value: str | None) -> int:
    return int(value or "0")


# --- The short way ---


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<>",
        "mail from:<a@example.com> SIZE=1 BODY=8BITMIME",
        'Mail From:<"a b"@example.com>',
        "RCPT TO:<a@example.com>",
        f"RCPT TO:<{'a' * 56}@b.cdef>",
        *("DATA", "RSET", "quit", "Noop"),
        "EHLO mail.example.org",
        "HELO mail.example.org",
        f"EHLO {'a' * 63}",
    ],
)
def test_ordinary_lines_are_parsed_on_the_fast_path(line: str) -> None:
    assert takes_short(line)


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<a@[192.0.2.1]>",
        f"MAIL FROM:<{'a' * 60}@b.example>",
        f"MAIL FROM:<a@{'b' * 64}>",
        "MAIL FROM:<a@b>  SIZE=1",
        "RCPT TO:<Postmaster>",
        f"RCPT TO:<{'a' * 60}@b.example>",
        *("DATA ", "RSET x", "QUITx", "NOOP x"),
        "EHLO [192.0.2.1]",
        f"EHLO {'a' * 64}",
        f"EHLO {'a' * 60}.bcd",
        "EHLO a_b",
    ],
)
def test_the_fast_path_leaves_other_lines_to_the_slow_path(line: str) -> None:
    assert not takes_short(line)
    both_ways(parser(), line)


@pytest.mark.req("FRM-03")
@pytest.mark.parametrize("line, command", COMMANDS)
def test_the_fast_path_needs_the_whole_crlf(line: str, command: Command) -> None:
    if line[:4] in SHORT:
        for end in ("", "\r", "\n", "\r\r\n", "\n\r"):
            assert SHORT[line[:4]](parser(), arrived(line + end), 4) is None


def test_the_fast_path_knows_three_spellings_of_the_usual_verbs() -> None:
    assert {"MAIL", "mail", "Mail", "EHLO", "ehlo", "Ehlo", "HELO", "DATA"} <= SHORT.keys()
    assert {spelling.upper() for spelling in SHORT} <= KNOWN_VERBS


# --- What is refused ---


@pytest.mark.req("EHL-19")
@pytest.mark.parametrize(
    "line",
    ["", " ", "FOO", "XFOO", "NOOPX", "EHLO:x", "MAILFROM:<a@b>", " NOOP", "\tNOOP", "NO\xc9P", "RSET\xa0"],
)
def test_an_unknown_verb_is_500(line: str) -> None:
    assert refused(line).code == 500


@pytest.mark.req("FRM-06")
@pytest.mark.parametrize(
    "line",
    [
        *("NOOPX", "NOOP1", "NOOP-", "EHLO:x", "MAILFROM:<>", "DATA.", "QUIT\x00", "QUIT\x0b", "RSET\xa0"),
        *("MAIL\tFROM:<>", "EHLO\ta.b", "NOOP\tx", "VRFY\tx", "RCPT\tTO:<a@b>", "AUTH\tPLAIN", "HELP\tx"),
    ],
)
def test_a_verb_is_letters_and_then_a_space(line: str) -> None:
    assert refused(line).code in (500, 501)


@pytest.mark.req("MAI-22", "SES-44")
@pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML", "TURN", "turn", "ETRN", "BDAT", "LHLO"])
def test_a_known_verb_that_is_not_implemented_is_502(verb: str) -> None:
    assert refused(verb).code == refused(f"{verb} FROM:<a@b>").code == 502
    assert verb.upper() in KNOWN_VERBS


@pytest.mark.parametrize(
    "line, verb",
    [
        *(
            ("NOOP", "NOOP"),
            ("noop x", "NOOP"),
            ("Foo\tx", "FOO"),
            ("NOOP ", "NOOP"),
            ("", ""),
            (" NOOP", ""),
        ),
        *(
            ("NOOPX", "NOOPX"),
            ("NOOP:", ""),
            ("NO\u0131P", ""),
            ("QU\u0131T", ""),
            ("R\u017fET", ""),
            ("1", ""),
        ),
    ],
)
def test_verb_of_finds_the_verb_of_a_line(line: str, verb: str) -> None:
    assert verb_of(line) == verb


@pytest.mark.req("FRM-12", "ADR-19")
@pytest.mark.parametrize("verb", ["MAIL FROM", "RCPT TO"])
def test_a_control_character_in_a_mailbox_is_refused(verb: str) -> None:
    for code in (*range(32), 127):
        control = chr(code)
        for path in (f"a{control}b@c.d", f'"a{control}b"@c.d', f"a@c{control}.d", f"a@c.d{control}", control):
            assert refused(f"{verb}:<{path}>").code == 501


@pytest.mark.req("FRM-10", "FRM-12")
def test_octets_above_127_are_refused_without_an_extension() -> None:
    for code in range(128, 256):
        octet = chr(code)
        for line in (f"MAIL FROM:<{octet}@x.y>", f"RCPT TO:<a@{octet}.y>", f"VRFY {octet}", f"NOOP {octet}"):
            assert refused(line, offered=("8BITMIME", "SIZE")).code == 501
        assert refused(f"EHLO {octet}").code == refused(f"NOOP {octet}").code == 501


@pytest.mark.parametrize("verb", ["NOOP", "HELP", "VRFY", "EHLO", "RSET", "AUTH"])
def test_a_control_character_in_any_command_is_refused(verb: str) -> None:
    for code in (*range(9), *range(10, 32), 127):
        reply = refused(f"{verb} a{chr(code)}b")
        assert (reply.code, str(reply.status)) == (501, "5.5.2")


@pytest.mark.req("DAT-01", "TLS-01")
@pytest.mark.parametrize("verb", ["DATA", "RSET", "QUIT", "STARTTLS"])
def test_commands_without_argument_refuse_one(verb: str) -> None:
    for argument in ("x", "now please", "<a@b>"):
        assert refused(f"{verb} {argument}").code == 501


@pytest.mark.req("EHL-23", "SES-18")
@pytest.mark.parametrize("verb", ["EHLO", "HELO", "VRFY", "EXPN", "AUTH", "MAIL", "RCPT"])
def test_commands_with_a_required_argument_refuse_to_go_without(verb: str) -> None:
    for line in (verb, f"{verb} ", f"{verb.lower()}\t"):
        reply = refused(line)
        assert (reply.code, str(reply.status)) == (501, "5.5.4")


@pytest.mark.req("EHL-24", "EHL-29")
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_hello_needs_a_domain_or_an_address_literal(verb: str) -> None:
    label = "a" * 63
    for argument in ("a", "a.b", label, f"{label}.{label}.{label}.{label}", "[192.0.2.1]", "[IPv6:::1]"):
        assert parse(f"{verb} {argument}") == (Ehlo if verb == "EHLO" else Helo)(argument)
    for argument in ("a b", "a_b.c", "a.", "-a", "a-", "a..b", "[192.0.2]", "[::1]", "<a>", f"{label}a"):
        assert refused(f"{verb} {argument}").code == 501


@pytest.mark.req("EHL-27")
def test_a_lenient_server_accepts_other_hello_names() -> None:
    for argument in ("[192.0.2.1] foo", "a_b.c", "a.b.", "a b", "<a>", "[::1]", "a-", "a" * 255):
        assert both_ways(parser(LENIENT), f"EHLO {argument}") == both_ways(parser(LENIENT), f"ehlo {argument}")
        assert getattr(parse(f"EHLO {argument}", LENIENT), "domain", "") == argument
    for argument in ("", "a\tb", "a\0", "a" * 256, "a\xc2\x85"):
        assert refused(f"EHLO {argument}", LENIENT).code == 501


@pytest.mark.req("AUT-02")
def test_auth_takes_a_mechanism_and_perhaps_one_word() -> None:
    for line in (
        "AUTH",
        "AUTH PLAIN a b",
        f"AUTH {'A' * 21}",
        "AUTH PLAIN,LOGIN",
        "AUTH =",
        "AUTH PLAIN a\tb",
    ):
        assert refused(line).code == 501
    assert parse("auth plain AGEAYg==") == Auth("PLAIN", "AGEAYg==")


# --- Paths ---

NO_REVERSE_PATH = [
    "< >",
    "<@>",
    "<postmaster>",
    "<a@>",
    "<@b>",
    "<a@b",
    "a@b>",
    "<a@b>>",
    "<<a@b>>",
    "<a@b(c)>",
]


@pytest.mark.req("MAI-05")
@pytest.mark.parametrize("path", NO_REVERSE_PATH)
def test_mail_refuses_a_malformed_reverse_path(path: str) -> None:
    assert refused(f"MAIL FROM:{path}").code == 501


@pytest.mark.req("RCP-06")
@pytest.mark.parametrize("path", ["<>", "", "< >", *NO_REVERSE_PATH[3:]])
def test_rcpt_refuses_a_malformed_forward_path(path: str) -> None:
    assert refused(f"RCPT TO:{path}").code == 501


def test_the_enhanced_status_tells_whose_address_is_malformed() -> None:
    assert str(refused("MAIL FROM:<a..b@c>").status) == "5.1.7"
    assert str(refused("RCPT TO:<a..b@c>").status) == "5.1.3"


@pytest.mark.req("MAI-02", "RCP-03")
@pytest.mark.parametrize("verb, keyword", [("MAIL", "FROM"), ("RCPT", "TO")])
def test_a_space_around_the_colon_is_refused(verb: str, keyword: str) -> None:
    for line in (f"{verb} {keyword}: <a@b>", f"{verb} {keyword} :<a@b>", f"{verb}  {keyword}:<a@b>"):
        reply = refused(line)
        assert (reply.code, str(reply.status)) == (501, "5.5.4")
    assert parse(f"{verb} {keyword}: <a@b>", LENIENT) == parse(f"{verb} {keyword}:<a@b>")
    assert refused(f"{verb} {keyword} :<a@b>", LENIENT).code == 501
    assert refused(f"{verb}  {keyword}:<a@b>", LENIENT).code == 501


@pytest.mark.req("MAI-03")
@pytest.mark.parametrize("verb, keyword", [("MAIL", "FROM"), ("RCPT", "TO")])
def test_angle_brackets_are_required(verb: str, keyword: str) -> None:
    assert refused(f"{verb} {keyword}:a@b.c").code == 501
    assert refused(f"{verb} {keyword}: a@b.c").code == 501
    for space in ("", " ", "\t "):
        assert parse(f"{verb} {keyword}:{space}a@b.c", LENIENT) == parse(f"{verb} {keyword}:<a@b.c>")
    for path in ("", " ", "a", "a@", "@b", "a@b c", ">a@b"):
        assert refused(f"{verb} {keyword}:{path}", LENIENT).code in (501, 555)


def test_a_lenient_server_accepts_parameters_after_a_path_without_brackets() -> None:
    assert parse("MAIL FROM:a@b.c SIZE=1", LENIENT) == Mail("a@b.c", {"SIZE": 1})
    assert parse("MAIL FROM: <a@b.c> SIZE=1", LENIENT) == Mail("a@b.c", {"SIZE": 1})


def test_a_lenient_server_accepts_other_addresses() -> None:
    rcpt = parse("RCPT TO:<.a..b.@c_d.example.>", LENIENT)
    assert isinstance(rcpt, Rcpt) and str(rcpt.forward_path) == ".a..b.@c_d.example"
    assert refused("RCPT TO:<.a..b.@c_d.example.>").code == 501


@pytest.mark.req("MAI-15")
@pytest.mark.parametrize("config", [STRICT, LENIENT])
@pytest.mark.parametrize("between", ["", "\t", ",", "> ", "\xa0"])
def test_a_space_stands_between_path_and_parameters(between: str, config: ServerConfig) -> None:
    assert refused(f"MAIL FROM:<a@b>{between}SIZE=1", config).code == 501


@pytest.mark.parametrize(
    "line", ["MAIL TO:<a@b>", "MAIL <a@b>", "MAIL FROM", "MAIL FROM<a@b>", "RCPT FROM:<a@b>"]
)
def test_from_and_to_are_required(line: str) -> None:
    assert refused(line).code == 501
    assert "missing" in refused(line).text


# --- Parameters: a line, and the code or the values ---


@pytest.mark.parametrize(
    "line, expected",
    [
        ("MAIL FROM:<a@example.com> BODY=8BITMIME SIZE=1", {"BODY": "8BITMIME", "SIZE": 1}),
        ("MAIL FROM:<a@example.com> SIZE=1 ", {"SIZE": 1}),
        ("MAIL FROM:<a@example.com>  SIZE=1", {"SIZE": 1}),
        ("MAIL FROM:<a@example.com> SIZE=1  BODY=7BIT", {"SIZE": 1, "BODY": "7BIT"}),
        ("MAIL FROM:<a@example.com> SIZE=99999999999999999999", {"SIZE": 10**20 - 1}),
        ("MAIL FROM:<a@example.com> SIZE=9223372036854775808", {"SIZE": 2**63}),
        ("MAIL FROM:<a@example.com> smtputf8", {"SMTPUTF8": True}),
        ("MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com", {"AUTH": ReversePath("e=mc2@example.com")}),
        ("MAIL FROM:<a@example.com> AUTH=+3C+3E", {"AUTH": ReversePath("")}),
        ("MAIL FROM:SIZE=1", 501),
        ("MAIL FROM:<a@example.com> -SIZE=1", 501),
        ("MAIL FROM:<a@example.com> SIZE= 1", 501),
        ("MAIL FROM:<a@example.com> SIZE=1,BODY=7BIT", 501),
        ("MAIL FROM:<a@example.com> \x01=1", 501),
        ("MAIL FROM:<a@example.com> (comment)", 501),
        ("MAIL FROM:<a@example.com> SIZE=\xd9\xa1", 501),
        ("MAIL FROM:<a@example.com> SIZE=1 SIZE=2", 501),
        ("MAIL FROM:<a@example.com> BODY=BINARYMIME", 501),
        ("MAIL FROM:<a@example.com> AUTH=notamailbox", 501),
        ("MAIL FROM:<a@example.com> FOO", 555),
        ("MAIL FROM:<a@example.com> FOO=1 FOO=2", 555),
        ("MAIL FROM:<a@example.com> RET=FULL", 555),
        ("RCPT TO:<b@example.com> SIZE=1", 555),
        ("RCPT TO:<b@example.com> BODY=7BIT", 555),
        ("RCPT TO:<b@example.com> SMTPUTF8", 555),
        ("RCPT TO:<b@example.com> FOO=bar", 555),
    ],
)
def test_parameters_stand_after_the_path(line: str, expected: object) -> None:
    result = both_ways(parser(), line)
    assert (result.code if isinstance(result, Reply) else getattr(result, "parameters", None)) == expected


@pytest.mark.req("MAI-12", "SIZ-18")
def test_parameters_that_are_not_offered_are_555() -> None:
    for parameter in ("SIZE=1", "BODY=7BIT", "SMTPUTF8", "AUTH=<>", "FOO=1"):
        assert refused(f"MAIL FROM:<a@b> {parameter}", offered=()).code == 555
        assert refused(f"RCPT TO:<a@b> {parameter}").code == 555


def test_unknown_parameters_can_be_ignored() -> None:
    config = ServerConfig(unknown_parameters="ignore")
    assert parse("MAIL FROM:<a@b> FOO=1 SIZE=5 BAR", config) == Mail("a@b", {"SIZE": 5})
    assert parse("RCPT TO:<a@b> FOO=1", config) == Rcpt("a@b")
    assert refused("MAIL FROM:<a@b> FOO=", config).code == 501


def test_nothing_is_offered_by_default() -> None:
    reader = CommandParser(STRICT, RULES)
    reply = both_ways(reader, "MAIL FROM:<> SIZE=1")
    assert isinstance(reply, Reply) and reply.code == 555


# --- Lengths ---


def padded(line: str, octets: int) -> str:
    """A line of so many octets, CRLF included: long by blanks, which mean nothing."""
    return line + " " * (octets - len(line) - 2)


@pytest.mark.req("LIM-01")
@pytest.mark.parametrize(
    "verb", ["NOOP", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "RSET", "EHLO a.b", "VRFY a", "HELP"]
)
def test_a_line_of_512_octets_is_accepted_and_a_longer_one_refused(verb: str) -> None:
    assert parse(padded(verb, 512), offered=()) == parse(verb)
    reply = refused(padded(verb, 513), offered=())
    assert (reply.code, str(reply.status)) == (500, "5.5.2")


@pytest.mark.req("LIM-03", "SIZ-19", "AUT-46", "UTF-30")
@pytest.mark.parametrize(
    "keyword, octets",
    [
        ("SIZE", 26),
        ("SIZE 1000", 26),
        ("AUTH PLAIN", 500),
        ("SMTPUTF8", 10),
        ("8BITMIME", 14),
        ("PIPELINING", 0),
    ],
)
def test_an_extension_raises_the_limit_of_mail(keyword: str, octets: int) -> None:
    line = "MAIL FROM:<a@b>"
    assert parse(padded(line, 512 + octets), offered=(keyword,)) == Mail("a@b")
    assert refused(padded(line, 513 + octets), offered=(keyword,)).code == 500
    assert refused(padded("RCPT TO:<a@b>", 513), offered=(keyword,)).code == 500
    assert refused(padded("NOOP", 513), offered=(keyword,)).code == 500


@pytest.mark.req("LIM-03")
def test_what_the_extensions_add_is_added_up() -> None:
    reader = parser()
    line = "MAIL FROM:<a@b> AUTH=<> BODY=8BITMIME SIZE=1"
    total = 512 + 26 + 14 + 10 + 500
    assert isinstance(both_ways(reader, padded(line, total)), Mail)
    assert isinstance(both_ways(reader, padded(line, total + 1)), Reply)


def test_the_fast_path_measures_lines_with_parameters() -> None:
    config = ServerConfig(unknown_parameters="ignore")
    for verb in ("MAIL FROM", "RCPT TO"):
        line = f"{verb}:<a@b> X="
        fits = line + "x" * (512 - len(line) - 2)
        assert isinstance(parse(fits, config, ()), (Mail, Rcpt)) and takes_short(f"{verb}:<a@b>")
        assert refused(f"{fits}x", config, ()).code == 500
        with pytest.raises(Refused, match="too long"):
            SHORT[line[:4]](parser(config, ()), arrived(f"{fits}x\r\n"), 4)


def test_an_auth_line_may_be_as_long_as_those_of_the_exchange() -> None:
    config = ServerConfig(limits=Limits(auth_line=2000))
    assert parser(config).max_line == 2000
    assert isinstance(parse(padded("AUTH PLAIN =", 2000), config), Auth)
    assert refused(padded("AUTH PLAIN =", 2001), config).code == 500
    assert parser(ServerConfig(limits=Limits(auth_line=512))).max_line == 512 + 26 + 14 + 10 + 500


@pytest.mark.req("LIM-07", "LIM-05")
def test_a_path_of_256_octets_is_accepted_and_a_longer_one_refused() -> None:
    label = "b" * 60
    domain = f"{label}.{label}.{label}"
    for verb in ("MAIL FROM", "RCPT TO"):
        local_part = "a" * (256 - len(f"<@{domain}>") - 9)
        exact = f"<{local_part}@{domain}.{'c' * 8}>"
        assert len(exact) == 256 and len(local_part) <= 64
        assert isinstance(parse(f"{verb}:{exact}"), (Mail, Rcpt))
        assert refused(f"{verb}:{exact[:-1]}c>").code == 501
        assert isinstance(parse(f"{verb}:<{'a' * 64}@b.c>"), (Mail, Rcpt))
        assert refused(f"{verb}:<{'a' * 65}@b.c>").code == 501


@pytest.mark.req("LIM-06")
def test_a_domain_of_255_octets_is_accepted() -> None:
    label = "a" * 63
    domain = ".".join([label] * 4)
    assert len(domain) == 255
    assert parse(f"EHLO {domain}") == Ehlo(domain)
    assert refused(f"EHLO {domain}a").code == 501


# --- UTF-8: RFC 6531 ---


def octets(text: str) -> str:
    """As it arrives: UTF-8, decoded as latin-1."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


FOREIGN = "j\xf6rg@b\xfccher.example"


@pytest.mark.req("UTF-09")
def test_utf8_is_accepted_where_smtputf8_was_requested() -> None:
    mail = parse(octets(f"MAIL FROM:<{FOREIGN}> SMTPUTF8"))
    assert isinstance(mail, Mail) and str(mail.reverse_path) == FOREIGN and mail.smtputf8
    rcpt = both_ways(parser(), octets(f"RCPT TO:<{FOREIGN}>"), smtputf8=True)
    assert isinstance(rcpt, Rcpt) and str(rcpt.forward_path) == FOREIGN
    for verb, kind in (("VRFY", Vrfy), ("EXPN", Expn)):
        assert parse(octets(f"{verb} {FOREIGN}")) == kind(FOREIGN)
    for command in (mail, rcpt, Vrfy(FOREIGN)):
        assert (
            both_ways(parser(), format_command(command, RULES)[:-2].decode("latin-1"), smtputf8=True) == command
        )


@pytest.mark.req("UTF-12", "UTF-13")
def test_utf8_without_the_parameter_is_550_to_MAIL_and_553_to_RCPT() -> None:
    for verb, code in (("MAIL FROM", 550), ("RCPT TO", 553)):
        reply = refused(octets(f"{verb}:<{FOREIGN}>"))
        assert (reply.code, str(reply.status)) == (code, "5.6.7")
    assert refused(octets("MAIL FROM:<j\xf6rg..x@y> SMTPUTF8")).code == 501


@pytest.mark.req("UTF-11")
@pytest.mark.parametrize(
    "bad",
    [
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xff",
        "\xc3",
        "\xe2\x82",
        "\x80",
        "\xe9",
    ],
)
def test_octets_that_are_not_utf8_are_refused(bad: str) -> None:
    for line in (f"MAIL FROM:<a{bad}@b.c> SMTPUTF8", f"RCPT TO:<a{bad}@b.c>", f"VRFY a{bad}", f"EXPN {bad}"):
        reply = both_ways(parser(), line, smtputf8=True)
        assert isinstance(reply, Reply) and reply.code == 501 and "UTF-8" in reply.text


def test_the_other_commands_remain_ascii() -> None:
    for verb in ("EHLO", "HELO", "NOOP", "HELP", "AUTH", "RSET"):
        assert refused(octets(f"{verb} {FOREIGN}")).code == 501


def test_utf8_hides_no_control_character() -> None:
    for code in range(0x80, 0xA0):
        for line in (f"MAIL FROM:<a{chr(code)}@b.c> SMTPUTF8", f"VRFY a{chr(code)}"):
            reply = refused(octets(line))
            assert reply.code == 501 and "control" in reply.text


@pytest.mark.parametrize("space", ["\xa0", "\u2003", "\u3000", "\x85"])
def test_only_the_ascii_space_separates_words(space: str) -> None:
    for line in (f"MAIL FROM:<a@b.c>{space}SMTPUTF8", f"MAIL FROM:<a@b.c> SMTPUTF8{space}SIZE=1"):
        assert refused(octets(line)).code == 501
    assert format_command(Vrfy("a\u3000"), RULES) == "VRFY a\u3000\r\n".encode()
