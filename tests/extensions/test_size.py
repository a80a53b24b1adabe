"""SIZE (RFC 1870), the extension by itself and on both roles."""

from __future__ import annotations

from typing import Any

import pytest

from smtpcore import Capabilities, Limits, LocalProtocolError, Mail, ServerConfig
from smtpcore.extensions import SIZE, Facts

from .sessions import lines_to, received, replies_to, session

(PARAMETER,) = SIZE.parameters


@pytest.mark.parametrize("limit, argument", [(1000, "1000"), (None, "0")])
def test_the_offer_names_the_limit(limit: int | None, argument: str) -> None:
    config = ServerConfig(limits=Limits(message_size=limit))
    assert SIZE.offer(config, Facts()) == (argument,)
    assert SIZE.offer(ServerConfig(size=False), Facts()) is None


@pytest.mark.parametrize(
    "arguments, value",
    [
        ((), None),
        (("0",), 0),
        (("1000",), 1000),
        (("9" * 20,), 10**20 - 1),
        (("9" * 21,), None),
        (("x",), None),
    ],
)
def test_a_client_reads_the_limit(arguments: tuple[str, ...], value: int | None) -> None:
    assert SIZE.read(arguments) == value


@pytest.mark.parametrize("text, octets", [("0", 0), ("10", 10), ("9" * 20, 10**20 - 1)])
def test_the_parameter_is_a_number(text: str, octets: int) -> None:
    assert PARAMETER.parse(text) == octets and PARAMETER.format(octets) == text


@pytest.mark.parametrize("text", [None, "", "-1", "1k", "9" * 21, "\u0661"])
def test_another_text_is_not_a_size(text: str | None) -> None:
    with pytest.raises(LocalProtocolError, match="SIZE takes a number of octets"):
        PARAMETER.parse(text)


@pytest.mark.parametrize("value", [True, -1, 10**20, "1", None, 1.5])
def test_another_value_is_not_a_size(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="SIZE takes a number of octets"):
        PARAMETER.format(value)


@pytest.mark.parametrize("octets, refused", [(1000, False), (1001, True)])
def test_the_check_refuses_a_message_that_is_too_big(octets: int, refused: bool) -> None:
    offered = Capabilities([("SIZE", ("1000",))], {"SIZE": SIZE.read})
    assert SIZE.check is not None
    reply = SIZE.check(Mail("a@client.example", {"SIZE": octets}), offered, Facts())
    assert (reply is not None) is refused
    assert reply is None or (reply.code, str(reply.status)) == (552, "5.3.4")


def test_the_check_accepts_any_size_where_no_limit_is_offered() -> None:
    offered = Capabilities([("SIZE", ("0",))], {"SIZE": SIZE.read})
    assert SIZE.check is not None
    assert SIZE.check(Mail("a@client.example", {"SIZE": 10**19}), offered, Facts()) is None


def test_the_size_of_a_message_reaches_the_server() -> None:
    joined = session(limits=Limits(message_size=1000))
    assert joined.client.capabilities.size == 1000
    mail = Mail("a@client.example", {"SIZE": 1000})
    assert [reply.code for reply in replies_to(joined, mail)] == [250]
    assert received(joined) == mail


def test_a_client_does_not_announce_more_than_the_server_accepts() -> None:
    joined = session(limits=Limits(message_size=1000))
    with pytest.raises(LocalProtocolError, match="too big: 1001 octets, accepted are 1000"):
        joined.send(Mail("a@client.example", {"SIZE": 1001}))
    assert lines_to(joined.server, "MAIL FROM:<a@client.example> SIZE=1001")[0].startswith("552 5.3.4 ")
