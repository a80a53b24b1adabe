"""Extensions merged into the tables: what they add, and that they add only."""

from __future__ import annotations

import copy
import pickle

import pytest

from smtpcore import ClientConnection, ServerConnection
from smtpcore._core.capabilities import NO_CAPABILITIES, Capabilities
from smtpcore._core.commands import CommandParser, Refused, format_command
from smtpcore._core.commandspec import CommandSpec, Group, WithoutArgument
from smtpcore._core.config import Extension, Facts, ServerConfig
from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.events import Command, Ehlo, Mail, Rcpt
from smtpcore._core.limits import TlsInfo
from smtpcore._core.parameters import Parameter
from smtpcore._core.replies import Reply
from smtpcore._core.rules import rules_for
from smtpcore._core.state import (
    BEFORE_AUTH,
    BEFORE_TLS,
    IDLE,
    LEGAL,
    PIPELINED,
    SUCCESS,
    TRANSITIONS,
    State,
)
from smtpcore.extensions import STANDARD

BASE = rules_for(())
OK = Reply(250, "2.0.0", "ok")


class Wave(Command):
    """A command of an extension."""

    __slots__ = ()
    verb = "X-WAVE2"


def wave(verb: str = "X-WAVE2", **options: object) -> CommandSpec:
    kind = type("Wave", (Command,), {"__slots__": (), "verb": verb}) if verb != Wave.verb else Wave
    return CommandSpec(kind, parse=WithoutArgument(kind), reply=OK, **options)  # type: ignore[arg-type]


def refuse(command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
    return Reply(504, "5.5.4", "no") if facts.peer == "bad" else None


# --- Merging ---


@pytest.mark.req("EXT-04")
def test_without_extensions_the_tables_are_those_of_the_base_protocol() -> None:
    assert BASE.legal == LEGAL and BASE.after == TRANSITIONS and BASE.success == SUCCESS
    assert (BASE.pipelined, BASE.idle) == (PIPELINED, IDLE)
    assert (BASE.before_tls, BASE.before_auth) == (BEFORE_TLS, BEFORE_AUTH)
    assert not BASE.verbs and not BASE.parameters["MAIL"] and not BASE.parameters["RCPT"]


@pytest.mark.req("EXT-04")
@pytest.mark.parametrize(
    "extensions", [STANDARD, (Extension("WAVE", commands=(wave(group=Group.ANYWHERE, idle=True),)),)]
)
def test_an_extension_only_adds(extensions: tuple[Extension, ...]) -> None:
    rules = rules_for(extensions)
    added = set(rules.commands)
    for state, kinds in LEGAL.items():
        assert rules.legal[state] - added == kinds
    for table, base in ((rules.after, TRANSITIONS), (rules.success, SUCCESS)):
        assert {key: value for key, value in table.items() if key in base} == base
        assert {key[0] if isinstance(key, tuple) else key for key in table.keys() - base.keys()} <= added
    for kinds, base_kinds in (
        (rules.pipelined, PIPELINED),
        (rules.idle, IDLE),
        (rules.before_tls, BEFORE_TLS),
        (rules.before_auth, BEFORE_AUTH),
    ):
        assert kinds - added == base_kinds


@pytest.mark.req("EXT-01", "EXT-06")
def test_a_command_of_an_extension_stands_in_every_table_as_its_spec_says() -> None:
    spec = wave(
        states=frozenset({State.MAIL, State.READY}),
        success=frozenset({251, 252}),
        leads={2: {State.MAIL: State.READY}, 4: {State.READY: State.CLOSED}},
        group=Group.ANYWHERE,
        idle=True,
        before_tls=True,
        before_auth=True,
    )
    rules = rules_for((Extension("WAVE", commands=(spec,)),))
    assert {state for state, kinds in rules.legal.items() if Wave in kinds} == {State.MAIL, State.READY}
    assert rules.success[Wave] == {251, 252} and rules.expected[Wave] == 2
    assert rules.succeeds[Wave] == {State.MAIL: State.READY}
    assert rules.after[Wave, 4] == {State.READY: State.CLOSED}
    for kinds in (rules.pipelined, rules.idle, rules.before_tls, rules.before_auth):
        assert Wave in kinds
    assert rules.verbs == {"X-WAVE2": spec} and rules.owner[Wave].keyword == "WAVE"
    assert Wave not in rules.alone


def test_a_command_is_in_no_table_that_its_spec_does_not_name() -> None:
    rules = rules_for((Extension("WAVE", commands=(wave(group=Group.ALONE),)),))
    assert {state for state, kinds in rules.legal.items() if Wave in kinds} == {State.READY}
    assert not any(kind is Wave for kind, _ in rules.after)
    for kinds in (rules.pipelined, rules.idle, rules.before_tls, rules.before_auth):
        assert Wave not in kinds
    assert Wave in rules.alone


def test_the_rules_of_a_set_are_made_once() -> None:
    assert rules_for(STANDARD) is rules_for(tuple(STANDARD))
    assert rules_for(STANDARD) is rules_for(pickle.loads(pickle.dumps(STANDARD)))
    assert rules_for(STANDARD[:3]) is not rules_for(STANDARD)


# --- Claims ---


@pytest.mark.req("EXT-03")
@pytest.mark.parametrize(
    "first, second, claim",
    [
        (Extension("WAVE"), Extension("WAVE"), "the EHLO keyword WAVE"),
        (Extension("A", commands=(wave(),)), Extension("B", commands=(wave(),)), "the verb X-WAVE2"),
        (
            Extension("A", parameters=(Parameter.flag("P", "MAIL"),)),
            Extension("B", parameters=(Parameter.flag("P", "MAIL"),)),
            "the parameter P of MAIL",
        ),
        (
            Extension("A", parameters=(Parameter.of_names("P", "RCPT", "X", "Y"),)),
            Extension("B", parameters=(Parameter.of_names("P", "RCPT", "Y"),)),
            "the parameter P=Y of RCPT",
        ),
    ],
)
def test_two_claims_on_one_name_are_an_error(first: Extension, second: Extension, claim: str) -> None:
    with pytest.raises(LocalProtocolError, match=claim):
        ServerConnection("mx.example", config=ServerConfig(extensions=(first, second)))
    with pytest.raises(LocalProtocolError, match=claim):
        ClientConnection(extensions=(first, second))


@pytest.mark.req("EXT-03")
@pytest.mark.parametrize("verb", "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY".split())
def test_no_extension_takes_a_verb_of_the_base_protocol(verb: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"the verb {verb}"):
        rules_for((Extension("WAVE", commands=(wave(verb),)),))


@pytest.mark.parametrize("verb", ["", "wave", "WA VE", "1WAVE", "-WAVE", "WAVE\r\n", "W\xc4VE"])
def test_a_verb_has_letters_digits_and_hyphens(verb: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid verb"):
        rules_for((Extension("WAVE", commands=(wave(verb),)),))


def test_one_parameter_may_belong_to_both_commands() -> None:
    rows = (Parameter.flag("P", "MAIL"), Parameter.flag("P", "RCPT"))
    assert set(rules_for((Extension("A", parameters=rows),)).parameters["RCPT"]) == {"P"}


# --- Parameters and lengths ---


@pytest.mark.req("EXT-01", "EXT-05")
def test_a_parameter_is_legal_where_its_extension_is_offered() -> None:
    rules = rules_for(STANDARD)
    offered = Capabilities.parse(["8BITMIME", "X-FOO"], rules.readers)
    assert set(rules.offered_parameters("MAIL", offered)) == {"BODY"}
    assert not rules.offered_parameters("MAIL", NO_CAPABILITIES)
    assert not rules.offered_parameters("RCPT", offered)
    everything = Capabilities([(extension.keyword, ()) for extension in STANDARD])
    assert dict(rules.offered_parameters("MAIL", everything)) == rules.parameters["MAIL"]


def test_a_named_value_is_legal_where_the_extension_that_owns_it_is_offered() -> None:
    first = Extension("A", parameters=(Parameter.of_names("P", "MAIL", "X"),))
    second = Extension("B", parameters=(Parameter.of_names("P", "MAIL", "Y"),))
    rules = rules_for((first, second))
    assert rules.offered_parameters("MAIL", Capabilities([("B", ())]))["P"].names == ("Y",)
    assert rules.offered_parameters("MAIL", Capabilities([("B", ()), ("A", ())]))["P"].names == ("X", "Y")
    assert rules.parameters["MAIL"]["P"].names == ("X", "Y")


@pytest.mark.parametrize(
    "keyword, octets", [("SIZE", 26), ("AUTH", 500), ("SMTPUTF8", 10), ("8BITMIME", len(" BODY=8BITMIME"))]
)
def test_an_extension_lengthens_mail_by_what_its_rfc_says(keyword: str, octets: int) -> None:
    rules = rules_for(STANDARD)
    offered = Capabilities([(keyword, ())])
    assert (rules.extra_octets("MAIL", offered), rules.extra_octets("RCPT", offered)) == (octets, 0)


def test_the_lengths_of_all_that_is_offered_add_up() -> None:
    rules = rules_for(
        (Extension("A", mail_octets=1, rcpt_octets=2), Extension("B", mail_octets=10, rcpt_octets=20))
    )
    both = Capabilities([("A", ()), ("B", ()), ("X-OTHER", ())])
    assert (rules.extra_octets("MAIL", both), rules.extra_octets("RCPT", both)) == (11, 22)
    assert rules.extra_octets("MAIL", NO_CAPABILITIES) == 0


# --- Offers ---


@pytest.mark.req("EXT-08")
def test_an_offer_depends_on_the_facts() -> None:
    def offer(config: ServerConfig, facts: Facts) -> list[str] | None:
        return [str(facts.peer)] if facts.tls is not None and facts.authenticated == "anna" else None

    rules = rules_for((Extension("WAVE", offer=offer, varies=True),))
    config = ServerConfig()
    assert "WAVE" not in rules.offer(config, Facts())
    assert "WAVE" not in rules.offer(config, Facts(TlsInfo(), "otto"))
    assert rules.offer(config, Facts(TlsInfo(), "anna", peer="p"))["WAVE"] == ("p",)
    assert rules.offer(config, Facts(TlsInfo(), "anna", peer="q"))["WAVE"] == ("q",)


def test_a_usual_offer_is_asked_for_once_per_configuration() -> None:
    asked: list[Facts] = []

    def offer(config: ServerConfig, facts: Facts) -> list[str]:
        asked.append(facts)
        return []

    rules = rules_for((Extension("WAVE", offer=offer),))
    config = ServerConfig()
    for facts in (Facts(), Facts(peer="p"), Facts(TlsInfo()), Facts(TlsInfo(version="x")), Facts(None, "anna")):
        assert "WAVE" in rules.offer(config, facts)
    assert [(facts.tls is not None, facts.authenticated is not None) for facts in asked] == [
        (False, False),
        (True, False),
        (False, True),
    ]


@pytest.mark.req("EXT-08")
def test_an_extension_is_offered_only_with_those_that_it_needs() -> None:
    rules = rules_for((Extension("A", needs=("B",)), Extension("B", offer=lambda config, facts: None)))
    with pytest.raises(LocalProtocolError, match="A may only be offered together with B"):
        rules.offer(ServerConfig(), Facts())


# --- Checks ---


def test_a_keyword_of_the_configuration_is_offered_unless_it_belongs_to_an_extension() -> None:
    config = ServerConfig(keywords={"x-hold": "b c"})
    assert rules_for(STANDARD).offer(config, Facts())["X-HOLD"] == ("b", "c")
    with pytest.raises(LocalProtocolError, match="the EHLO keyword x-hold belongs to an extension"):
        rules_for((Extension("X-HOLD"),)).offer(config, Facts())


def test_one_offer_means_to_each_set_of_extensions_what_that_knows() -> None:
    offered = Capabilities([("SIZE", ("1000",))])
    for _ in range(2):
        assert {*rules_for(STANDARD).offered_parameters("MAIL", offered)} == {"SIZE"}
        assert {*rules_for(()).offered_parameters("MAIL", offered)} == set()


@pytest.mark.req("EXT-08")
def test_a_check_judges_own_commands_and_parameters_where_it_is_offered() -> None:
    extension = Extension("A", check=refuse, commands=(wave(),), parameters=(Parameter.flag("P", "MAIL"),))
    rules = rules_for((*STANDARD, extension))
    offered, bad = Capabilities([("A", ())]), Facts(peer="bad")
    for command in (Wave(), Mail("a@b.example", {"P": True}), Rcpt("a@b.example")):
        refusal = rules.refusal(command, offered, bad)
        assert refusal is not None and refusal.code == 504
        assert rules.refusal(command, offered, Facts()) is None
    # Its own command is judged in any case; others are no matter of an extension that is not offered.
    assert rules.refusal(Wave(), NO_CAPABILITIES, bad) is not None
    assert rules.refusal(Mail("a@b.example"), NO_CAPABILITIES, bad) is None


# --- Extensions as values ---


@pytest.mark.req("EXT-02")
@pytest.mark.parametrize("keyword", ["FOO", "X-FOO", "8FOO", "A-1"])
def test_any_legal_keyword_may_be_declared(keyword: str) -> None:
    assert rules_for((Extension(keyword),)).offer(ServerConfig(), Facts()).lines() == [keyword]


@pytest.mark.parametrize("keyword", ["", "foo", "A B", "A=", "-A", "\xc4"])
def test_a_keyword_follows_the_grammar(keyword: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid EHLO keyword"):
        Extension(keyword)


@pytest.mark.parametrize("extension", STANDARD, ids=lambda one: one.keyword)
def test_extensions_compare_by_value(extension: Extension) -> None:
    for other in (copy.copy(extension), copy.deepcopy(extension), pickle.loads(pickle.dumps(extension))):
        assert other == extension and hash(other) == hash(extension)
    assert extension != Extension("X-OTHER")


def test_a_command_without_argument_refuses_one() -> None:
    parse = WithoutArgument(Wave)
    assert parse("") == Wave()
    with pytest.raises(LocalProtocolError, match="X-WAVE2 takes no argument"):
        parse("now")


# --- The command lines of extensions ---


def session(*specs: CommandSpec) -> ClientConnection:
    """A client after the greeting and EHLO, on a connection with an extension WAVE of these commands."""
    client = ClientConnection(extensions=(Extension("WAVE", commands=specs),))
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    client.receive_data(b"250-mx\r\n250 WAVE\r\n")
    client.next_event()
    return client


@pytest.mark.parametrize("line, code", [("X-WAVE2\tnow", 501), ("X-WAVE2:now", 500), ("X-WAVE2<now>", 500)])
def test_a_space_follows_the_verb_of_an_extension(line: str, code: int) -> None:
    config = ServerConfig(extensions=(Extension("WAVE", commands=(wave(),)),))
    with pytest.raises(Refused) as caught:
        CommandParser(config, rules_for(config.extensions)).parse(line)
    assert caught.value.reply.code == code


@pytest.mark.parametrize("text", ["a\r\nQUIT", "a\0", "caf\xe9"])
def test_the_argument_of_a_command_of_an_extension_stays_in_its_line(text: str) -> None:
    client = session(CommandSpec(Wave, parse=WithoutArgument(Wave), reply=OK, format=lambda _: text))
    with pytest.raises(LocalProtocolError, match="the argument of X-WAVE2 cannot be sent"):
        client.send(Wave())
    assert client.data_to_send() == b""


def test_a_client_sends_no_command_that_it_has_no_extension_for() -> None:
    client = session()
    with pytest.raises(LocalProtocolError, match="X-WAVE2 belongs to no extension of this connection"):
        client.send(Wave())
    with pytest.raises(LocalProtocolError, match="X-WAVE2 belongs to no extension of this connection"):
        format_command(Wave(), BASE)
    assert client.data_to_send() == b""
