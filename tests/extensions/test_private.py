"""An extension from outside the package, on the wire: what a server and a client make of its declaration."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import smtpcore
from smtpcore import (
    ClientConnection,
    Command,
    CommandNotSent,
    CommandRejected,
    Data,
    Ehlo,
    Limits,
    LocalProtocolError,
    Mail,
    Noop,
    Rcpt,
    RemoteProtocolError,
    Reply,
    Response,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.extensions import STANDARD, CommandSpec, Extension, Facts, Group, Parameter, WithoutArgument
from smtpcore.transcript import Transcript

ROOT = Path(__file__).resolve().parents[2]


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("private_extension", ROOT / "examples/private_extension.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


private: Any = example()
HoldStatus = private.HoldStatus
EXTENSIONS: tuple[Extension, ...] = private.EXTENSIONS
TLS = TlsInfo(version="TLSv1.3")


def server(**settings: Any) -> ServerConnection:
    """A server that has greeted its client, after EHLO."""
    tls = settings.pop("tls", None)
    peer = settings.pop("peer", None)
    config = ServerConfig(**{"extensions": EXTENSIONS} | settings)
    connection = ServerConnection("mx.example", config=config, tls=tls, peer=peer)
    tell(connection, "EHLO client.example")
    return connection


def tell(connection: ServerConnection, *lines: str) -> list[Any]:
    """What comes of these lines: events, each followed by the text of its reply; all are accepted."""
    assert lines
    connection.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    happened: list[Any] = []
    while (event := connection.next_event()) is not None:
        if connection.unanswered is not None:
            connection.accept()
        happened += [event, connection.data_to_send().decode().rstrip("\r\n")]
    return happened


def replies(connection: ServerConnection, *lines: str) -> list[str]:
    return [one for one in tell(connection, *lines) if isinstance(one, str) and one]


def client(*keywords: str, extensions: tuple[Extension, ...] = EXTENSIONS) -> ClientConnection:
    """A client after EHLO, to which the server has offered these keywords."""
    connection = ClientConnection(extensions=extensions)
    connection.receive_data(b"220 mx.example\r\n")
    assert connection.next_event() is not None
    connection.send(Ehlo("client.example"))
    connection.data_to_send()
    hear(connection, "\r\n".join(["250-mx.example", *(f"250-{one}" for one in keywords), "250 X-LAST"]))
    return connection


def hear(connection: ClientConnection, *lines: str) -> list[Any]:
    connection.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    happened = []
    while (event := connection.next_event()) is not None:
        happened.append(event)
    return happened


# --- The server ---


@pytest.mark.req("EXT-01", "EXT-08")
@pytest.mark.parametrize("tls, hours", [(None, "24"), (TLS, "72")])
def test_the_argument_of_the_keyword_depends_on_TLS(tls: TlsInfo | None, hours: str) -> None:
    assert server(tls=tls).capabilities["HOLD"] == (hours,)


@pytest.mark.req("EXT-05", "EXT-08")
@pytest.mark.parametrize(
    "parameters, reply",
    [
        (" HOLD=24", "250 2.1.0"),
        (" hold=0", "250 2.1.0"),
        (" HOLD=25", "504 5.5.4 HOLD=25 is too long: at most 24 hours"),
        (" HOLD=x", "501 5.5.4 parameter HOLD: HOLD takes a number of hours"),
        (" HOLD", "501 5.5.4 parameter HOLD:"),
        (" HOLD=1 HOLD=1", "501 5.5.4 duplicate parameter HOLD"),
        (" URGENT", "555 5.5.4 parameter URGENT"),
        (" HOLDX=1", "555 5.5.4 parameter HOLDX"),
    ],
)
def test_a_parameter_of_MAIL_is_parsed_and_checked(parameters: str, reply: str) -> None:
    connection = server()
    event, said = tell(connection, f"MAIL FROM:<a@client.example>{parameters}")
    assert said.startswith(reply)
    if reply.startswith("250"):
        assert isinstance(event, Mail) and event.parameters["HOLD"] == int(parameters[6:])
    else:
        assert isinstance(event, CommandRejected) and connection.state is State.READY


@pytest.mark.req("EXT-05")
def test_a_parameter_is_555_where_its_keyword_is_not_offered() -> None:
    line = "MAIL FROM:<a@client.example> HOLD=1"
    assert replies(server(extensions=STANDARD), line)[0].startswith("555 5.5.4")
    rows = private.HOLD.parameters
    hidden = Extension("HOLD", offer=lambda config, facts: None, parameters=rows)
    assert replies(server(extensions=(*STANDARD, hidden)), line)[0].startswith("555 5.5.4")
    connection = ServerConnection("mx.example", config=private.CONFIG)
    assert replies(connection, "HELO client.example", line)[2].startswith("555 5.5.4")


@pytest.mark.req("EXT-08")
def test_a_check_sees_the_parameters_of_two_commands() -> None:
    connection = server()
    rcpt = "RCPT TO:<b@example.org> URGENT"
    assert replies(connection, "MAIL FROM:<>", rcpt)[1] == "501 5.5.4 URGENT needs HOLD at MAIL"
    assert replies(connection, "RSET", "MAIL FROM:<> HOLD=1", rcpt)[2].startswith("250 2.1.5")
    assert connection.envelope is not None


@pytest.mark.req("EXT-08")
def test_an_offer_depends_on_the_peer_and_on_authentication() -> None:
    def offer(config: ServerConfig, facts: Facts) -> list[str] | None:
        return [] if facts.peer == "submission" and facts.authenticated is not None else None

    extension = Extension("BURL", offer=offer, varies=True)
    settings = {
        "extensions": (*STANDARD, extension),
        "auth_mechanisms": ("PLAIN",),
        "allow_cleartext_auth": True,
    }
    for peer, offered in (("relay", False), ("submission", True)):
        connection = server(peer=peer, **settings)
        assert "BURL" not in connection.capabilities
        tell(connection, "AUTH PLAIN AGFsaWNlAHNlY3JldA==")
        assert ("BURL" in connection.capabilities) is offered


@pytest.mark.req("EXT-06")
def test_a_command_is_an_event_of_its_own_class_with_its_argument() -> None:
    connection = server()
    event, said = tell(connection, "hold-status  alice ")
    assert event == HoldStatus("alice") and event.__class__ is HoldStatus
    assert said == "250 2.0.0 no messages are held"


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize(
    "before, reply",
    [
        ([], "250"),
        (["MAIL FROM:<>"], "503 5.5.1"),
        (["MAIL FROM:<>", "RCPT TO:<b@example.org>"], "250"),
    ],
)
def test_a_command_is_legal_in_its_states_only(before: list[str], reply: str) -> None:
    connection = server()
    tell(connection, "NOOP", *before)
    state = connection.state
    assert replies(connection, "HOLD-STATUS")[0].startswith(reply)
    assert connection.state is state


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize(
    "line, reply",
    [
        ("HOLD-STATUS a b", "501 5.5.4 'a b' is not a valid name"),
        ("HOLD-STATUS\ta", "501 5.5.2"),
        ("HOLD-STATUSX", "500 5.5.2"),
        ("HOLD", "500 5.5.2"),
        ("HOLD-STATUS " + "a" * 500, "500 5.5.2 line too long"),
        ("HOLD-STATUS \xe4", "501 5.5.2 the command is not ASCII"),
    ],
)
def test_a_malformed_command_never_reaches_the_application(line: str, reply: str) -> None:
    event, said = tell(server(smtputf8=True), line)
    assert isinstance(event, CommandRejected) and said.startswith(reply)


@pytest.mark.req("EXT-06")
def test_a_command_of_a_keyword_that_is_not_offered_is_502() -> None:
    spec = private.HOLD.commands
    hidden = Extension("HOLD", offer=lambda config, facts: None, commands=spec)
    assert replies(server(extensions=(*STANDARD, hidden)), "HOLD-STATUS")[0].startswith("502 5.5.1")
    assert "HOLD-STATUS" not in replies(server(extensions=(*STANDARD, hidden)), "HELP")[0]


@pytest.mark.req("EXT-06")
def test_a_command_succeeds_with_its_declared_codes_only() -> None:
    connection = server()
    connection.receive_data(b"HOLD-STATUS\r\n")
    connection.next_event()
    with pytest.raises(LocalProtocolError, match="succeeds with 250, not with 252"):
        connection.send(Reply(252, "2.0.0", "perhaps"))
    connection.send(Reply(451, "4.3.0", "later"))
    assert connection.data_to_send() == b"451 4.3.0 later\r\n"


@pytest.mark.req("EXT-06")
def test_HELP_lists_a_command() -> None:
    assert "HOLD-STATUS" in replies(server(), "HELP")[0].split()


class Wave(Command):
    """A command that does not further the delivery of mail."""

    __slots__ = ()
    verb = "WAVE"


def waving(**options: Any) -> tuple[Extension, ...]:
    reply = Reply(250, "2.0.0", "hello")
    spec = CommandSpec(Wave, parse=WithoutArgument(Wave), reply=reply, **options)
    return (*STANDARD, Extension("X-WAVE", commands=(spec,)))


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize("idle, codes", [(True, ["250", "250", "421"]), (False, ["250", "250", "250"])])
def test_an_idle_command_is_counted(idle: bool, codes: list[str]) -> None:
    connection = server(extensions=waving(idle=idle), limits=Limits(idle_commands=2))
    assert [said[:3] for said in replies(connection, "WAVE", "WAVE", "WAVE")] == codes


@pytest.mark.req("EXT-06")
def test_malformed_commands_are_counted_as_errors() -> None:
    connection = server(extensions=waving(), limits=Limits(bad_commands=2))
    said = replies(connection, "WAVE 1", "WAVE 2", "WAVE 3")
    assert [one[:3] for one in said] == ["501", "501", "421"] and connection.state is State.CLOSED


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize("before_tls", [True, False])
def test_a_command_waits_for_required_TLS_unless_it_is_declared_otherwise(before_tls: bool) -> None:
    connection = server(extensions=waving(before_tls=before_tls), starttls=True, require_tls=True)
    assert replies(connection, "WAVE")[0][:3] == ("250" if before_tls else "530")


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize("utf8", [True, False])
def test_a_command_may_hold_UTF8_if_it_is_declared_so(utf8: bool) -> None:
    class Say(Command):
        __slots__ = ("text",)
        verb = "SAY"

        def __init__(self, text: str) -> None:
            self.text = text

    spec = CommandSpec(Say, parse=Say, reply=Reply(250, "2.0.0", "said"), utf8=utf8)
    connection = server(extensions=(*STANDARD, Extension("SAY", commands=(spec,))), smtputf8=True)
    connection.receive_data("SAY \xe4\r\n".encode())
    event = connection.next_event()
    assert event == Say("\xe4") if utf8 else isinstance(event, CommandRejected)


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize(
    "extensions, shown",
    [(EXTENSIONS, ("command", "HOLD-STATUS alice")), (STANDARD, ("auth", "***"))],
    ids=["declared", "not declared"],
)
def test_the_transcript_knows_the_verb_of_a_declared_command(
    extensions: tuple[Extension, ...], shown: tuple[str, str]
) -> None:
    # After a refused AUTH a line may be a response that the client sent early, unless its verb is known.
    transcript = Transcript(extensions=extensions)
    transcript.record_server(b"220 mx.example\r\n")
    transcript.record_client(b"AUTH PLAIN\r\n")
    transcript.record_server(b"535 5.7.8 no\r\n")
    transcript.record_client(b"HOLD-STATUS alice\r\n")
    transcript.record_server(b"250 2.0.0 1 message\r\n")
    *_, command, reply = transcript.entries
    assert (command.direction, command.kind, command.text) == ("C", *shown)
    assert (reply.direction, reply.kind, reply.text) == ("S", "reply", "250 2.0.0 1 message")


@pytest.mark.req("EXT-06")
def test_the_reply_to_a_declared_command_does_not_answer_another() -> None:
    transcript = Transcript(extensions=EXTENSIONS)
    transcript.record_server(b"220 mx.example\r\n")
    transcript.record_client(b"HOLD-STATUS\r\nDATA\r\nSubject: a secret\r\n.\r\n")
    transcript.record_server(b"250 none\r\n354 go on\r\n250 accepted\r\n")
    assert [entry.kind for entry in transcript.entries if entry.direction == "C"] == [
        "command",
        "command",
        "content",
    ]


# --- The client ---


@pytest.mark.req("EXT-07")
def test_a_client_pipelines_a_command_that_may_stand_anywhere() -> None:
    connection = client("PIPELINING", "HOLD 24")
    for command in (HoldStatus(), Mail("", {"HOLD": 24}), Rcpt("b@example.org", {"URGENT": True})):
        connection.send(command)
    connection.send(HoldStatus("b"))
    connection.send(Data())
    assert connection.data_to_send().decode().split("\r\n") == [
        "HOLD-STATUS",
        "MAIL FROM:<> HOLD=24",
        "RCPT TO:<b@example.org> URGENT",
        "HOLD-STATUS b",
        "DATA",
        "",
    ]


@pytest.mark.req("EXT-07")
@pytest.mark.parametrize(
    "group, first, second",
    [
        (Group.ANYWHERE, b"RSET\r\nWAVE\r\nNOOP\r\n", b""),
        (Group.LAST, b"RSET\r\nWAVE\r\n", b""),
        (Group.ALONE, b"RSET\r\n", b"WAVE\r\n"),
    ],
)
def test_a_client_groups_a_command_as_it_is_declared(group: Group, first: bytes, second: bytes) -> None:
    connection = client("PIPELINING", "X-WAVE", extensions=waving(group=group))
    for command in (smtpcore.Rset(), Wave(), Noop()):
        connection.send(command)
    assert connection.data_to_send() == first
    hear(connection, "250 reset")
    assert connection.data_to_send() == second


@pytest.mark.req("EXT-07")
def test_a_client_sends_nothing_that_is_not_offered() -> None:
    connection = client("PIPELINING")
    for command in (HoldStatus(), Mail("", {"HOLD": 1})):
        with pytest.raises(LocalProtocolError, match="HOLD"):
            connection.send(command)
    with pytest.raises(LocalProtocolError, match="WAVE belongs to no extension"):
        client("X-WAVE").send(Wave())
    assert connection.data_to_send() == b""


@pytest.mark.req("EXT-07")
@pytest.mark.parametrize("reply", ["252 perhaps", "354 go on", "235 yes"])
def test_a_client_rejects_a_success_that_is_not_declared(reply: str) -> None:
    connection = client("HOLD 24")
    connection.send(HoldStatus())
    connection.data_to_send()
    with pytest.raises(RemoteProtocolError):
        hear(connection, reply)


@pytest.mark.req("EXT-07")
def test_a_client_relates_replies_to_commands() -> None:
    connection = client("HOLD 24")
    connection.send(HoldStatus())
    connection.data_to_send()
    assert hear(connection, "550 no") == [Response(HoldStatus(), Reply(550, None, "no"))]
    connection.send(Mail("", {"HOLD": 1}))
    connection.send(Rcpt("b@example.org", {"URGENT": True}))
    connection.data_to_send()
    assert hear(connection, "550 no")[-1] == CommandNotSent(Rcpt("b@example.org", {"URGENT": True}))


@pytest.mark.req("EXT-08")
def test_a_client_checks_parameters_before_it_sends_them() -> None:
    connection = client("HOLD 24")
    with pytest.raises(LocalProtocolError, match="MAIL cannot be sent: HOLD=25 is too long: at most 24 hours"):
        connection.send(Mail("", {"HOLD": 25}))
    with pytest.raises(LocalProtocolError, match="hours from 0 to 9999"):
        connection.send(Mail("", {"HOLD": "1"}))
    connection.send(Mail(""))
    with pytest.raises(LocalProtocolError, match="RCPT cannot be sent: URGENT needs HOLD at MAIL"):
        connection.send(Rcpt("b@example.org", {"URGENT": True}))


@pytest.mark.req("EXT-01", "EXT-07")
@pytest.mark.parametrize("argument, value", [("HOLD 72", 72), ("HOLD x", None), ("HOLD", None)])
def test_a_client_reads_the_argument_of_the_keyword(argument: str, value: int | None) -> None:
    capabilities = client(argument).capabilities
    assert "HOLD" in capabilities and capabilities.value("hold") == value


# --- Errors of an extension ---


def failing(*arguments: object) -> Any:
    raise ZeroDivisionError("an error of the extension")


@pytest.mark.parametrize(
    "line, extension",
    [
        ("WAVE", {"commands": (CommandSpec(Wave, parse=failing, reply=Reply(250)),)}),
        ("MAIL FROM:<> WAVE", {"parameters": (Parameter("WAVE", "MAIL", failing, failing),)}),
        ("MAIL FROM:<> SIZE=1", {"check": failing}),
    ],
)
def test_an_error_of_an_extension_is_raised_and_the_session_can_go_on(line: str, extension: Any) -> None:
    connection = server(extensions=(*STANDARD, Extension("X-WAVE", **extension)))
    connection.receive_data(f"{line}\r\nNOOP\r\n".encode())
    with pytest.raises(ZeroDivisionError):
        connection.next_event()
    assert connection.next_event() == Noop()
    connection.accept()
    assert connection.data_to_send() == b"250 2.0.0 ok\r\n"


# --- The standard extensions: see also test_standard.py ---


@pytest.mark.req("EXT-09")
@pytest.mark.parametrize("left_out", STANDARD, ids=lambda one: one.keyword)
def test_a_standard_extension_can_be_left_out(left_out: Extension) -> None:
    needed = {"SMTPUTF8", "8BITMIME"} if left_out.keyword == "8BITMIME" else {left_out.keyword}
    rest = tuple(one for one in STANDARD if one.keyword not in needed)
    everything = {"starttls": True, "auth_mechanisms": ("PLAIN",), "allow_cleartext_auth": True, "expn": True}
    capabilities = server(extensions=rest, smtputf8=True, **everything).capabilities
    assert not needed & capabilities.keys()
    connection = server(extensions=rest, smtputf8=True, **everything)
    for spec in left_out.commands:
        assert replies(connection, spec.verb)[0][:3] in ("500", "502")
    for row in left_out.parameters:
        assert replies(connection, f"MAIL FROM:<> {row.keyword}")[0][:3] == "555"


# Where the core names a keyword, a verb or an event of an extension all the same, and why.
DOCUMENTED: dict[str, set[str]] = {
    "capabilities.py": {"AUTH", "SIZE"},  # the properties mechanisms and size; AUTH= of old servers
    "client.py": {"AUTH", "PIPELINING", "SMTPUTF8", "8BITMIME"},  # the exchange, groups, text that is not ASCII
    "commands.py": {"SMTPUTF8"},  # UTF-8 in command lines
    "config.py": {"SMTPUTF8", "8BITMIME"},
    "events.py": {"AUTH", "SIZE", "SMTPUTF8", "8BITMIME"},  # properties of Mail
    "server.py": {"AUTH"},
}


@pytest.mark.req("EXT-09")
def test_the_core_names_standard_keywords_only_where_it_says_so() -> None:
    keywords = {one.keyword for one in STANDARD}
    for path in (ROOT / "smtpcore" / "_core").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in keywords
        }
        assert named <= DOCUMENTED.get(path.name, set()), path.name
