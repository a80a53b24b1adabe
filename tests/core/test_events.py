"""Events are values: what cannot be made, what is equal, and what is shown."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import smtpcore
from smtpcore import (
    ArgumentTypeError,
    Auth,
    Chunk,
    Command,
    CommandNotSent,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Envelope,
    Event,
    Expn,
    ForwardPath,
    Helo,
    Help,
    InputDiscarded,
    LocalProtocolError,
    Mail,
    MessageAborted,
    Noop,
    Quit,
    Rcpt,
    Reply,
    Response,
    ReversePath,
    Rset,
    StartTls,
    Vrfy,
)
from smtpcore._core import events as _events
from smtpcore._core.commands import format_command
from smtpcore._core.events import TextCommand
from smtpcore._core.parameters import ParameterValue

from ..helpers.standard import RULES

OK = Reply(250, "2.0.0", "ok")
SECRET = "AGFsaWNlAHNlY3JldA=="

# One of each kind, twice over: equal in pairs, and to nothing else.
SAMPLES: list[Callable[[], Event]] = [
    lambda: Ehlo("a.example"),
    lambda: Ehlo("b.example"),
    lambda: Helo("a.example"),
    lambda: Mail("a@example.org"),
    lambda: Mail("a@example.org", {"SIZE": 1}),
    lambda: Mail("A@example.org", {"SIZE": 1}),
    lambda: Mail("a@example.org", {"SIZE": 2}),
    lambda: Mail(""),
    lambda: Rcpt("a@example.org"),
    lambda: Rcpt("b@example.org"),
    lambda: Data(),
    lambda: Rset(),
    lambda: Quit(),
    lambda: StartTls(),
    lambda: Vrfy("a"),
    lambda: Expn("a"),
    lambda: Help("a"),
    lambda: Help(),
    lambda: Noop("a"),
    lambda: Noop(),
    lambda: Auth("PLAIN"),
    lambda: Auth("PLAIN", SECRET),
    lambda: Auth("LOGIN"),
    lambda: Chunk(b"a"),
    lambda: Chunk(b"b"),
    lambda: EndOfMessage(),
    lambda: Connect(),
    lambda: CommandRejected(b"FOO", OK),
    lambda: CommandRejected(b"BAR", OK),
    lambda: MessageAborted(OK),
    lambda: MessageAborted(None),
    lambda: InputDiscarded(b"a"),
    lambda: ConnectionClosed(),
    lambda: Response(Noop(), OK),
    lambda: Response(Rset(), OK),
    lambda: Response(None, OK),
    lambda: Response(EndOfMessage(), OK, ForwardPath("a@example.org")),
    lambda: Response(EndOfMessage(), OK, ForwardPath("b@example.org")),
    lambda: CommandNotSent(Data()),
]


def test_there_is_a_sample_of_every_event() -> None:
    events = {
        one
        for one in vars(_events).values()
        if isinstance(one, type) and issubclass(one, Event) and one.__doc__
    }
    bases = {Event, Command, TextCommand}
    assert {type(make()) for make in SAMPLES} == (events - bases) | RULES.commands.keys()
    assert all(getattr(smtpcore, one.__name__) is one for one in events - {TextCommand})


# --- Values ---


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_events_are_equal_when_they_say_the_same(number: int) -> None:
    event = SAMPLES[number]()
    same = [other for other, make in enumerate(SAMPLES) if event == make()]
    assert same == [number]
    again = SAMPLES[number]()
    assert again is not event and hash(again) == hash(event)
    assert event != "MAIL" and event is not None


def test_the_order_of_parameters_makes_no_difference() -> None:
    one = Mail("a@example.org", {"SIZE": 1, "BODY": "7BIT"})
    other = Mail("a@example.org", {"BODY": "7BIT", "SIZE": 1})
    assert one == other and hash(one) == hash(other)


def test_commands_compare_as_their_addresses_do() -> None:
    assert Mail("a@example.org") == Mail(ReversePath("<a@example.org>")) != Mail("a@EXAMPLE.org")
    assert Rcpt("a@example.org") == Rcpt(ForwardPath("a@example.org")) != Rcpt("a@EXAMPLE.org")
    assert len({Rcpt("a@example.org"), Rcpt("<a@example.org>"), Rcpt("a@example.ORG")}) == 2
    assert Mail("A@example.org") != Mail("a@example.org")


@pytest.mark.parametrize(
    "event, shown",
    [
        (Ehlo("a.example"), "Ehlo(domain='a.example')"),
        (Mail(""), "Mail(reverse_path=ReversePath(''))"),
        (
            Mail("a@b.example", {"SIZE": 1}),
            "Mail(reverse_path=ReversePath('a@b.example'), parameters={'SIZE': 1})",
        ),
        (Rcpt("a@b.example"), "Rcpt(forward_path=ForwardPath('a@b.example'))"),
        (Data(), "Data()"),
        (Noop(), "Noop(argument='')"),
        (Auth("PLAIN", SECRET), "Auth(mechanism='PLAIN')"),
        (Chunk(b"secret"), "Chunk(6 octets)"),
        (CommandRejected(b"X", OK), "CommandRejected(line=b'X', reply=Reply(250, '2.0.0', 'ok'))"),
        (MessageAborted(None), "MessageAborted()"),
        (Response(Quit(), OK), "Response(command=Quit(), reply=Reply(250, '2.0.0', 'ok'))"),
    ],
)
def test_events_show_their_fields(event: Event, shown: str) -> None:
    assert repr(event) == shown


@pytest.mark.req("AUT-52")
def test_no_event_shows_the_secrets_it_carries() -> None:
    auth = Auth("PLAIN", SECRET)
    for event in (auth, Response(auth, OK), CommandNotSent(auth)):
        assert SECRET not in repr(event) and SECRET not in str(event)
    with pytest.raises(LocalProtocolError) as caught:
        Auth("PLAIN", f"{SECRET}\r\n")
    assert SECRET not in str(caught.value)


def fields_of(event: Event) -> list[object]:
    """What a match statement finds."""
    match event:
        case Mail(path, parameters):
            return [str(path), parameters]
        case Rcpt(path, parameters):
            return [str(path), parameters]
        case Ehlo(domain) | Helo(domain):
            return [domain]
        case Vrfy(text) | Expn(text) | Help(text) | Noop(text):
            return [text]
        case Auth(mechanism, initial_response):
            return [mechanism, initial_response]
        case Response(command, reply, recipient):
            return [command, reply, recipient]
        case Chunk(octets) | InputDiscarded(octets):
            return [octets]
        case CommandRejected(line, reply):
            return [line, reply]
        case MessageAborted(reply):
            return [reply]
        case CommandNotSent(command):
            return [command]
    return []


@pytest.mark.parametrize(
    "event, fields",
    [
        (Mail("a@b.example", {"SIZE": 1}), ["a@b.example", {"SIZE": 1}]),
        (Rcpt("a@b.example"), ["a@b.example", {}]),
        (Ehlo("a"), ["a"]),
        (Helo("[192.0.2.1]"), ["[192.0.2.1]"]),
        (Vrfy("a"), ["a"]),
        (Expn("b"), ["b"]),
        (Help("c"), ["c"]),
        (Noop(), [""]),
        (Auth("PLAIN", "="), ["PLAIN", "="]),
        (Response(None, OK), [None, OK, None]),
        (Chunk(b"x"), [b"x"]),
        (InputDiscarded(b"x"), [b"x"]),
        (CommandRejected(b"x", OK), [b"x", OK]),
        (MessageAborted(OK), [OK]),
        (CommandNotSent(Quit()), [Quit()]),
        (Quit(), []),
    ],
)
def test_events_can_be_matched(event: Event, fields: list[object]) -> None:
    assert fields_of(event) == fields


# --- Commands ---

CONTROLS = [chr(code) for code in (*range(32), 127)]
TAKES_TEXT: dict[str, Callable[[str], Command]] = {
    "EHLO": Ehlo,
    "HELO": Helo,
    "MAIL": Mail,
    "RCPT": Rcpt,
    "VRFY": Vrfy,
    "EXPN": Expn,
    "HELP": Help,
    "NOOP": Noop,
    "AUTH mechanism": Auth,
    "AUTH response": lambda text: Auth("PLAIN", text),
    "MAIL path": lambda text: Mail(ReversePath(text)),
    "RCPT path": lambda text: Rcpt(ForwardPath(text)),
    "BODY": lambda text: Mail("a@b.example", {"BODY": text}),
    "MAIL keyword": lambda text: Mail("a@b.example", {text: True}),
    "RCPT keyword": lambda text: Rcpt("a@b.example", {text: True}),
}
ONE_LINE = ("VRFY", "EXPN", "HELP", "NOOP")  # a tab may be in these


@pytest.mark.req("FRM-02", "FRM-12", "MAI-20")
@pytest.mark.parametrize("name", TAKES_TEXT)
def test_no_control_character_gets_into_a_command(name: str) -> None:
    make = TAKES_TEXT[name]
    for control in CONTROLS:
        if control == "\t" and name in ONE_LINE:
            continue
        texts = [f"a{control}b", f"a{control}@b.example", f"a@b{control}.example", f'"{control}"@b.example']
        texts += [control, f"{control}a@b.example", f"a@b.example{control}", f"<a@b.example>{control}"]
        for text in texts:
            with pytest.raises(LocalProtocolError):
                make(text)


INJECTIONS = [
    "a@b.example>\r\nRCPT TO:<c@d.example",
    "a@b.example>\nRCPT TO:<c@d.example>",
    "a@b.example> SIZE=1",
    "a@b.example> RET=HDRS <c@d.example",
    "<a@b.example> SIZE=1>",
    "<a@b.example><c@d.example>",
    "a@b.example>",
    "a>b@c.example",
    "a b@c.example",
    'a"b@c.example',
    '"a" b@c.example',
    '"a"b"@c.example',
    '"a\\"@c.example',
    "a@b.example\r\n",
    "a@b.example\0",
    "a@[192.0.2.1]>\r\nDATA",
    "a@[x>\r\nDATA]",
    "a@b.example\x85RCPT TO:<c@d.example>",
    "a@b.example\u2028",
]


@pytest.mark.req("MAI-20")
@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("kind", [Mail, Rcpt])
def test_no_address_can_inject_parameters_or_commands(kind: type[Mail | Rcpt], text: str) -> None:
    with pytest.raises(LocalProtocolError):
        kind(text)


@pytest.mark.req("MAI-20")
@pytest.mark.parametrize(
    "keyword, value",
    [
        ("SIZE", "1"),
        ("SIZE", -1),
        ("SIZE", True),
        ("SIZE", 10**20),
        ("BODY", "8BITMIME\r\nDATA"),
        ("BODY", "7BIT SIZE=1"),
        ("BODY", ""),
        ("BODY", True),
        ("BODY", 8),
        ("SMTPUTF8", "1"),
        ("SMTPUTF8", 1),
        ("SMTPUTF8", False),
        ("AUTH", "a@b.example"),
        ("AUTH", True),
        ("AUTH", ReversePath("j\xf6rg@b.example")),
        ("size", 1),
        ("FOO", 1),
        ("SIZE=1\r\nDATA", True),
        ("", True),
    ],
)
def test_no_parameter_is_sent_with_a_value_of_another_kind(keyword: str, value: ParameterValue) -> None:
    with pytest.raises(LocalProtocolError):
        format_command(Mail("a@b.example", {"SMTPUTF8": True, keyword: value}), RULES)


def test_parameters_have_typed_values() -> None:
    parameters = {"SIZE": 10**20 - 1, "BODY": "8BITMIME", "SMTPUTF8": True, "AUTH": ReversePath("")}
    mail = Mail("a@b.example", parameters)
    assert (mail.size, mail.body, mail.smtputf8) == (10**20 - 1, "8BITMIME", True)
    assert mail.auth is not None and mail.auth.is_null
    bare = Mail("a@b.example")
    assert (bare.size, bare.body, bare.smtputf8, bare.auth) == (None, None, False, None)
    assert bare.parameters == Rcpt("a@b.example").parameters == {}


def test_paths_can_be_given_as_text_or_as_paths() -> None:
    quoted = '"a b"@example.org'
    for given in (quoted, f"<{quoted}>", ReversePath(quoted)):
        assert Mail(given).reverse_path == ReversePath(quoted)
    for text in (quoted, f"<{quoted}>", ForwardPath(quoted)):
        assert Rcpt(text).forward_path == ForwardPath(quoted)
    mail, rcpt = Mail("a@example.org"), Rcpt("a@example.org")
    assert mail.reverse_path is mail.reverse_path and isinstance(mail.reverse_path, ReversePath)
    assert rcpt.forward_path is rcpt.forward_path and isinstance(rcpt.forward_path, ForwardPath)
    assert Mail("").reverse_path.is_null and Mail("<>").reverse_path.is_null
    assert Rcpt("postmaster").forward_path.is_postmaster


@pytest.mark.req("MAI-23")
def test_the_null_reverse_path_must_be_given_explicitly() -> None:
    with pytest.raises(TypeError):
        Mail()
    with pytest.raises(LocalProtocolError):
        Mail(" ")
    assert Mail("").reverse_path.is_null


@pytest.mark.req("RCP-06")
@pytest.mark.parametrize("text", ["", "<>", " "])
def test_there_is_no_null_recipient(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        Rcpt(text)


def test_an_address_of_more_than_its_length_is_refused() -> None:
    long = f"{'a' * 65}@example.org"
    with pytest.raises(LocalProtocolError, match="64 octets"):
        Mail(long)
    with pytest.raises(LocalProtocolError, match="64 octets"):
        Rcpt(long)
    assert str(Rcpt(f"{'a' * 64}@example.org").forward_path) == f"{'a' * 64}@example.org"


def test_commands_know_whether_they_need_smtputf8() -> None:
    foreign = "j\xf6rg@example.org"
    assert Mail("a@example.org").is_ascii and Rcpt("a@example.org").is_ascii
    assert not Mail(foreign).is_ascii and not Rcpt(foreign).is_ascii
    assert str(Mail(foreign).reverse_path) == str(Rcpt(foreign).forward_path) == foreign


@pytest.mark.req("UTF-15")
@pytest.mark.parametrize("kind", [Ehlo, Helo])
def test_hello_takes_a_domain_or_an_address_literal(kind: type[Ehlo | Helo]) -> None:
    for text in ("a", "mail.example.org", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"):
        assert kind(text).domain == text
    for text in ("", " ", "a b", "a_b", "a.", "-a", "[192.0.2]", "b\xfccher.example", "a>", "192.0.2.1]"):
        with pytest.raises(LocalProtocolError, match=r"address literal"):
            kind(text)


@pytest.mark.req("EHL-28")
@pytest.mark.parametrize("kind", [Ehlo, Helo])
def test_hello_refuses_text_after_the_domain_or_literal(kind: type[Ehlo | Helo]) -> None:
    assert format_command(kind("[192.0.2.1]"), RULES) == f"{kind.verb} [192.0.2.1]\r\n".encode()
    for text in ("[192.0.2.1] foo", "a.example foo"):
        with pytest.raises(LocalProtocolError):
            kind(text)


@pytest.mark.parametrize("kind", [Vrfy, Expn])
def test_vrfy_and_expn_need_an_argument(kind: type[Vrfy | Expn]) -> None:
    for text in ("a", "a b", "<a@b.example>", '"a b"', "j\xf6rg", "a\tb"):
        assert kind(text).argument == text
    for text in ("", " ", "\t", "\u3000", "\x85", "\ud800"):
        with pytest.raises(LocalProtocolError, match=kind.verb):
            kind(text)


@pytest.mark.parametrize("kind", [Help, Noop])
def test_help_and_noop_take_ascii_or_nothing(kind: type[Help | Noop]) -> None:
    assert kind().argument == ""
    assert kind("MAIL FROM").argument == "MAIL FROM"
    with pytest.raises(LocalProtocolError, match=kind.verb):
        kind("j\xf6rg")


@pytest.mark.req("AUT-47")
def test_auth_takes_a_sasl_mechanism_name_only() -> None:
    for name in ("PLAIN", "SCRAM-SHA-256", "X_1", "A" * 20):
        assert Auth(name).mechanism == name
    for name in ("", "plain", "A B", "A" * 21, "A=", "\xc4"):
        with pytest.raises(LocalProtocolError, match="mechanism"):
            Auth(name)


def test_an_initial_response_is_one_word() -> None:
    for response in ("=", SECRET):
        assert Auth("PLAIN", response).initial_response == response
    for response in ("", " ", "a b", "\xe4"):
        with pytest.raises(LocalProtocolError, match="initial response"):
            Auth("PLAIN", response)


@pytest.mark.req("FRM-14")
@pytest.mark.parametrize("kind", [Rset, Data, Quit, StartTls])
def test_commands_without_argument_take_none(kind: Callable[..., Command]) -> None:
    with pytest.raises(TypeError):
        kind("x")
    command = kind()
    assert format_command(command, RULES) == f"{command.verb}\r\n".encode()


# --- Responses ---


@pytest.mark.parametrize(
    "kind, verb",
    [
        *[(Ehlo, "EHLO"), (Helo, "HELO"), (Mail, "MAIL"), (Rcpt, "RCPT"), (Data, "DATA"), (Rset, "RSET")],
        *[(Noop, "NOOP"), (Quit, "QUIT"), (Vrfy, "VRFY"), (Expn, "EXPN"), (Help, "HELP"), (Auth, "AUTH")],
        *[(StartTls, "STARTTLS"), (EndOfMessage, "."), (Connect, "connect")],
    ],
)
def test_a_command_has_its_verb(kind: Any, verb: str) -> None:
    assert kind.verb == verb


def test_a_response_names_its_command_and_recipient() -> None:
    path = ForwardPath("a@b.example")
    assert Response(Rcpt("a@b.example"), OK).recipient == path
    assert Response(EndOfMessage(), OK, path).recipient is path
    assert Response(Data(), OK).recipient is None
    verbs = [Response(one, OK).verb for one in (Mail(""), Auth("PLAIN"), EndOfMessage(), Connect(), None)]
    assert verbs == ["MAIL", "AUTH", ".", "connect", "connection"]


def test_an_envelope_gives_the_paths_of_its_commands() -> None:
    envelope = Envelope(Mail("a@b.example"))
    assert envelope.forward_paths == []
    envelope.rcpts.append(Rcpt("c@d.example"))
    assert envelope.reverse_path == ReversePath("a@b.example")
    assert envelope.forward_paths == [ForwardPath("c@d.example")]
    assert repr(envelope) == "Envelope(ReversePath('a@b.example'), [ForwardPath('c@d.example')])"


def test_envelopes_compare_by_sender_and_recipients() -> None:
    envelope, other = Envelope(Mail("a@b.example")), Envelope(Mail("a@b.example"))
    assert envelope == other != Envelope(Mail("x@b.example"))
    other.rcpts.append(Rcpt("c@d.example"))
    assert envelope != other
    assert envelope != "a@b.example"


@pytest.mark.parametrize("parameters", [{}, {"SIZE": 10, "BODY": "8BITMIME"}])
def test_a_command_with_a_path_survives_pickling(parameters: dict[str, Any]) -> None:
    for command in (Mail("a@b.example", parameters), Rcpt("c@d.example", {})):
        assert pickle.loads(pickle.dumps(command)) == command


@pytest.mark.parametrize("value", [None, b"a@b.example", 5, True, ["a@b.example"], ("a@b.example",), object()])
@pytest.mark.parametrize(
    "kind, name",
    [
        (Mail, "the sender"),
        (Rcpt, "the recipient"),
        (ReversePath, "the sender"),
        (ForwardPath, "the recipient"),
        (Ehlo, "domain"),
        (Helo, "domain"),
        (Vrfy, "argument"),
        (Expn, "argument"),
        (Noop, "argument"),
        (Help, "argument"),
    ],
)
def test_an_argument_that_is_not_a_string_is_named(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^{name} is a string, not {type(value).__name__} "):
        kind(value)
