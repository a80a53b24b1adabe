"""The strategies: what they draw is what they promise, and it shrinks to what a person would have written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    CommandRejected,
    Data,
    Ehlo,
    EndOfMessage,
    LocalProtocolError,
    Mail,
    Noop,
    Rcpt,
    RemoteProtocolError,
    Reply,
    ServerConfig,
    ServerConnection,
)
from smtpcore.extensions import STANDARD, CommandSpec, Extension, Parameter
from smtpcore.testing import strategies

T = TypeVar("T")

QUICK = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def smallest(strategy: st.SearchStrategy[T], condition: Callable[[T], bool]) -> T:
    """The example that a strategy shrinks to; the phase that explains it would go on to others."""
    return find(
        strategy, condition, settings=settings(max_examples=10_000, phases=[Phase.generate, Phase.shrink])
    )


class Etrn(Command):
    """A command of a private extension."""

    __slots__ = ("node",)
    __match_args__ = ("node",)
    verb = "ETRN"
    node: str

    def __init__(self, node: str) -> None:
        self.node = node


def _read_node(text: str) -> Etrn:
    if re.fullmatch(r"[a-z0-9.-]+", text) is None:
        raise LocalProtocolError("ETRN takes a domain")
    return Etrn(text)


def _read_date(value: str | None) -> str:
    if value is None or re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:]{8}Z", value) is None:
        raise LocalProtocolError("not a date")
    return value


PRIVATE = (
    *STANDARD,
    Extension(
        "X-WHEN",
        parameters=(
            Parameter("WHEN", "MAIL", _read_date, str),
            Parameter.of_names("PRIO", "RCPT", "LOW", "HIGH"),
            Parameter.flag("QUIET", "RCPT"),
        ),
        commands=(CommandSpec(Etrn, _read_node, Reply(250), format=lambda command: command.node),),
        mail_octets=100,
        rcpt_octets=100,
    ),
)
CONFIG = ServerConfig(
    ehlo_syntax="strict",
    smtputf8=True,
    expn=True,
    starttls=True,
    auth_mechanisms=("PLAIN", "LOGIN"),
    allow_cleartext_auth=True,
    extensions=PRIVATE,
)


def server() -> ServerConnection:
    """A server that has accepted EHLO."""
    connection = ServerConnection("mx.example", config=CONFIG)
    connection.next_event()
    connection.accept()
    connection.receive_data(b"EHLO client.example\r\n")
    connection.next_event()
    connection.accept()
    connection.data_to_send()
    return connection


def in_its_state(command: Command) -> ServerConnection:
    """A server in a state in which a command is legal."""
    connection = server()
    if isinstance(command, (Rcpt, Data)):
        connection.receive_data(b"MAIL FROM:<a@a.example> SMTPUTF8\r\n")
        connection.next_event()
        connection.accept()
    if isinstance(command, Data):
        connection.receive_data(b"RCPT TO:<a@a.example>\r\n")
        connection.next_event()
        connection.accept()
    return connection


@given(strategies.mailboxes(utf8=True))
def test_a_mailbox_is_read_as_it_is_written(mailbox: object) -> None:
    assert strategies.Mailbox.parse(str(mailbox)) == mailbox


@QUICK
@given(st.data(), strategies.commands(PRIVATE))
def test_a_line_in_any_spelling_is_the_command(data: st.DataObject, command: Command) -> None:
    line = data.draw(strategies.command_lines(command, PRIVATE))
    assert line.endswith(b"\r\n")
    assert b"\n" not in line[:-2]
    connection = in_its_state(command)
    connection.receive_data(line)
    event = connection.next_event()
    if command.verb == "AUTH":  # the core answers it
        assert not isinstance(event, CommandRejected) or event.reply.code in (334, 501, 504, 535)
    else:
        assert event == command


@QUICK
@given(strategies.near_misses(PRIVATE))
def test_a_near_miss_is_refused(line: bytes) -> None:
    connection = server()
    connection.receive_data(line + b"NOOP end\r\n")
    event = connection.next_event()
    assert isinstance(event, CommandRejected)
    assert event.reply.code >= 500


@given(st.data(), st.binary(max_size=300))
def test_pieces_make_the_octets(data: st.DataObject, octets: bytes) -> None:
    pieces = data.draw(strategies.chunked(octets))
    assert b"".join(pieces) == octets
    assert all(pieces)


@given(strategies.replies())
def test_a_reply_is_read_as_it_was_sent(reply: Reply) -> None:
    client = ClientConnection()
    client.receive_data(Reply(220, None, "hello").encode())
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    client.receive_data(b"250 mx.example\r\n")
    client.next_event()
    client.send(Noop())
    client.data_to_send()
    client.receive_data(reply.encode())
    if reply.severity == 3:
        with pytest.raises(RemoteProtocolError):
            client.next_event()
    else:
        event = client.next_event()
        assert event is not None
        assert event.reply.code == reply.code


@given(strategies.broken_replies())
def test_a_broken_reply_is_not_one_that_may_be_sent(octets: bytes) -> None:
    one = rb"(?:([2-5][0-5][0-9])-[\t -~]*\r\n(?=\1))*[2-5][0-5][0-9](?: [\t -~]*)?\r\n"
    assert re.fullmatch(one, octets) is None or max(map(len, octets.split(b"\n"))) > 511


@given(strategies.content(legal=True))
def test_legal_content_is_accepted_as_it_is(octets: bytes) -> None:
    connection = in_its_state(Data())
    connection.receive_data(b"DATA\r\n")
    connection.next_event()
    connection.accept()
    connection.receive_data(re.sub(rb"^\.", b"..", octets, flags=re.MULTILINE) + b".\r\n")
    received = b""
    while isinstance(event := connection.next_event(), Chunk):
        received += event.data
    assert isinstance(event, EndOfMessage)
    assert received == octets


@pytest.mark.parametrize("sign", [b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\0", b"\r\n..", b"x" * 998, b"\xff"])
def test_content_has_what_is_dangerous(sign: bytes) -> None:
    found = smallest(strategies.content(), lambda octets: sign in octets)
    assert len(found) <= len(sign) + 8


def test_what_is_drawn_shrinks_to_what_a_person_would_write() -> None:
    simple = ("a@a", '""@a')  # the second one with old versions of Hypothesis
    assert str(smallest(strategies.mailboxes(), lambda mailbox: True)) in simple
    mail = smallest(strategies.commands(), lambda command: isinstance(command, Mail))
    assert mail in (Mail(""), *map(Mail, simple))
    assert smallest(strategies.content(), lambda octets: True) == b""
    assert smallest(strategies.transactions(), lambda one: True).rcpts in [(Rcpt(one),) for one in simple]
    assert smallest(strategies.sessions(), lambda session: True) == strategies.Session(Ehlo("a"), (), False)
    assert smallest(strategies.chunked(b"a\r\n.\r\n"), lambda pieces: len(pieces) > 1) == [b"a", b"\r\n.\r\n"]


@pytest.mark.parametrize("keyword", ["SIZE", "BODY", "SMTPUTF8", "AUTH", "WHEN"])
def test_each_parameter_of_mail_is_drawn(keyword: str) -> None:
    found = smallest(strategies.parameters("MAIL", PRIVATE), lambda given: keyword in given)
    assert list(found) == [keyword]


@pytest.mark.parametrize("verb", ["STARTTLS", "AUTH", "EXPN", "HELP", "ETRN"])
def test_each_command_of_an_extension_is_drawn(verb: str) -> None:
    assert smallest(strategies.commands(PRIVATE), lambda command: command.verb == verb).verb == verb


def test_values_of_ones_own_take_the_place_of_those_found() -> None:
    values = {"SIZE": st.just(7)}
    assert smallest(strategies.parameters("MAIL", values=values), lambda given: "SIZE" in given) == {"SIZE": 7}


def test_a_parameter_of_which_nothing_is_known_is_left_out() -> None:
    def nothing(value: str | None) -> object:
        raise LocalProtocolError("no")

    row = Parameter("NONE", "MAIL", nothing, str)
    assert strategies.parameter_values(row) is None
    assert (
        smallest(strategies.parameters("MAIL", (Extension("X-NONE", parameters=(row,)),)), lambda one: True)
        == {}
    )
