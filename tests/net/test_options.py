"""What connect() is given: refused before anything is sent, under its name, or meant as it is taken."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from smtpcore import ArgumentTypeError, ConnectionFailed, Limits, LocalProtocolError, Timeouts, sasl
from smtpcore._net import options as _options
from smtpcore._net.connect import connect_client
from smtpcore._net.stream import run
from smtpcore.transcript import Transcript


async def never(*args: Any, **options: Any) -> Any:
    raise AssertionError("a connection was made")


def refused(host: Any = "mx.example", port: Any = 25, **options: Any) -> LocalProtocolError:
    """The error about an argument, which comes before a connection is made."""
    given: Any = options
    with pytest.raises(LocalProtocolError) as caught:
        run(connect_client(never, host, port, given))
    return caught.value


class Port(enum.IntEnum):
    SUBMISSION = 587


@pytest.mark.req("TLS-24", "TLS-30")
@pytest.mark.parametrize(
    "port, number, security",
    [
        (465, 465, "tls"),
        ("465", 465, "tls"),
        ("0465", 465, "tls"),
        (587, 587, "starttls"),
        ("587", 587, "starttls"),
        (Port.SUBMISSION, 587, "starttls"),
        (25, 25, "opportunistic"),
        ("25", 25, "opportunistic"),
    ],
)
def test_security_does_not_depend_on_the_type_of_the_port(port: Any, number: int, security: str) -> None:
    opened: list[Any] = []

    async def open_stream(host: str, port: int, **options: Any) -> Any:
        opened.append((host, port))
        raise ConnectionRefusedError

    with pytest.raises(ConnectionFailed) as caught:
        run(connect_client(open_stream, "mx.example", port, {}))
    assert opened == [("mx.example", number)]
    assert type(opened[0][1]) is int
    assert caught.value.context is not None
    assert (caught.value.context.port, caught.value.context.security) == (number, security)


@pytest.mark.parametrize("port", [0, "0", 25])
def test_with_a_path_the_port_may_be_that_of_the_addresses_of_a_server(port: Any) -> None:
    opened: list[tuple[str, int]] = []

    async def open_stream(host: str, port: int, **options: Any) -> Any:
        opened.append((host, port))
        raise FileNotFoundError

    with pytest.raises(ConnectionFailed):
        run(connect_client(open_stream, "/run/mx", port, {}))
    assert opened == [("/run/mx", int(port))]
    assert str(refused("/run/mx", port=-1)) == "invalid port: -1 (0-65535)"


@pytest.mark.parametrize(
    "port", [0, -1, 65536, "", "smtp", "465 ", "+465", "4_6_5", "\u0664\u0666\u0665", "99999", "1" * 5000]
)
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    assert str(refused(port=port)) == f"invalid port: {port!r:.80} (1-65535)"


@pytest.mark.parametrize(
    "name, value",
    [
        ("host", None),
        ("host", b"mx.example"),
        ("port", None),
        ("port", 25.0),
        ("port", True),
        ("port", b"25"),
        ("ssl_context", True),
        ("ssl_context", "cert.pem"),
        ("ssl_context", False),
        ("auth", "joe:secret"),
        ("auth", ("joe",)),
        ("auth", ("joe", None)),
        ("auth", ("joe", b"secret")),
        ("auth", ("joe", "secret", "more")),
        ("auth", {"joe": "secret"}),
        ("auth", ()),
        ("auth", sasl.PlainClient),
        ("allow_cleartext_auth", "no"),
        ("allow_cleartext_auth", 1),
        ("allow_cleartext_auth", None),
        ("local_hostname", b"client.example"),
        ("local_hostname", 7),
        ("local_address", ("192.0.2.1", 0)),
        ("timeout", "5"),
        ("timeout", True),
        ("timeout", (3, 5)),
        ("deadline", "5"),
        ("deadline", True),
        ("transcript", True),
        ("transcript", "trace.txt"),
        ("limits", {"reply_line": 1000}),
        ("limits", Limits),
    ],
)
def test_an_option_of_the_wrong_type_is_named_before_a_connection_is_made(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert isinstance(error, ArgumentTypeError)
    assert str(error).startswith(f"{name} is ")


@pytest.mark.parametrize(
    "name, words", [("timeout", "a number of seconds or Timeouts"), ("deadline", "a number of seconds")]
)
def test_a_time_says_what_it_may_be(name: str, words: str) -> None:
    assert str(refused(**{name: "5"})) == f"{name} is {words}, not str '5'"
    assert str(refused(**{name: -1})) == f"{name} is {words} above 0, not -1"


@pytest.mark.parametrize(
    "name, value",
    [
        ("security", ""),
        ("security", "STARTTLS"),
        ("security", b"tls"),
        ("security", True),
        ("security", []),
        ("timeout", 0),
        ("timeout", -1.5),
        ("timeout", float("nan")),
        ("deadline", 0),
        ("deadline", float("nan")),
        ("local_hostname", "x\r\nMAIL FROM:<evil@example.com>"),
        ("local_hostname", "x\n"),
        ("local_hostname", "a\0b"),
        ("local_hostname", "\u202ecba"),
        ("local_address", "localhost"),
        ("local_address", "192.0.2.1:0"),
        ("local_address", "a\0b"),
        ("local_address", ""),
        ("ssl_context", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
    ],
)
def test_an_option_that_makes_no_sense_is_named_before_a_connection_is_made(name: str, value: Any) -> None:
    assert str(refused(**{name: value})).startswith(f"{name} is ")


@pytest.mark.parametrize("auth", ["joe:hunter2", ("joe", b"hunter2"), {"joe": "hunter2"}, b"hunter2"])
def test_a_password_in_the_wrong_type_is_not_shown(auth: Any) -> None:
    error = refused(auth=auth)
    assert "hunter2" not in str(error) + repr(error)


def test_options_that_are_right_are_taken() -> None:
    _options.check_options({})
    _options.check_options(
        {
            "security": "tls",
            "ssl_context": ssl.create_default_context(),
            "auth": ("joe", "secret"),
            "allow_cleartext_auth": True,
            "local_hostname": "client.example",
            "local_address": "127.0.0.1",
            "timeout": 2.5,
            "deadline": 3,
            "transcript": Transcript(),
            "limits": Limits(),
        }
    )
    nothing: Any = dict.fromkeys(
        "security ssl_context auth local_hostname local_address timeout deadline transcript limits".split()
    )
    _options.check_options(nothing)
    _options.check_options({"auth": sasl.PlainClient("joe", "secret"), "timeout": Timeouts()})
    pair: Any = ["joe", "secret"]
    _options.check_options({"auth": pair})


@pytest.mark.parametrize(
    "host, name",
    [
        ("mx.example", "mx.example"),
        ("mx.example.", "mx.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%1.", "fe80::1"),
        ("mx%example", "mx%example"),
        (".", "."),
    ],
)
def test_what_is_verified_is_not_always_what_is_connected_to(host: str, name: str) -> None:
    assert _options.reference_identifier(host) == name


def test_a_deadline_that_is_too_large_for_a_clock_is_none() -> None:
    assert _options.deadline_of({"deadline": 10**400}) == math.inf


def test_a_word_is_not_a_deadline() -> None:
    assert str(refused(deadline="5")) == "deadline is a number of seconds, not str '5'"
    assert str(refused(deadline=0)) == "deadline is a number of seconds above 0, not 0"


def test_a_deadline_is_kept_and_by_default_there_is_none() -> None:
    assert _options.deadline_of({"deadline": 5.0}) == 5.0
    assert _options.deadline_of({}) == math.inf


def test_a_number_is_the_most_that_each_wait_may_last() -> None:
    usual = Timeouts()
    assert _options.timeouts_of({"timeout": 60.0}) == Timeouts(
        **{one.name: min(60.0, getattr(usual, one.name)) for one in dataclasses.fields(Timeouts)}
    )
    # What a recipient adds to the time of a transaction is not a wait.
    assert _options.timeouts_of({"timeout": 5.0}).recipient == usual.recipient
    assert _options.timeouts_of({}) == usual


@pytest.mark.parametrize("kind", ["text", "TLS", "datagram", "not connected"])
def test_only_a_connected_plain_stream_socket_is_accepted(kind: str) -> None:
    with contextlib.ExitStack() as stack:
        near, far = map(stack.enter_context, socket.socketpair())
        assert far.fileno() != near.fileno()
        made: dict[str, Callable[[], Any]] = {
            "text": lambda: "socket",
            "TLS": lambda: ssl.create_default_context().wrap_socket(
                near, server_hostname="mx.example", do_handshake_on_connect=False
            ),
            "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "not connected": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        }
        given = made[kind]()
        if isinstance(given, socket.socket):
            stack.enter_context(given)
        words = {
            "text": "sock is a connected socket.socket, not str",
            "TLS": "sock is a plain socket, not an SSLSocket",
            "datagram": "sock is a stream socket, not a datagram socket",
            "not connected": "sock is not connected: ",
        }
        assert str(refused(sock=given)).startswith(words[kind])


def context(*, check_hostname: bool) -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname = check_hostname
    return made


@pytest.mark.parametrize("host", ["", "/run/mx"])
@pytest.mark.parametrize(
    "security, options, verifies",
    [
        ("none", {}, False),
        ("opportunistic", {}, False),
        ("opportunistic", {"auth": ("a", "b")}, True),
        ("starttls", {}, True),
        ("tls", {}, True),
        ("none", {"ssl_context": context(check_hostname=True)}, False),
        ("tls", {"ssl_context": context(check_hostname=True)}, True),
        ("tls", {"ssl_context": context(check_hostname=False)}, False),
    ],
)
def test_a_certificate_that_is_verified_needs_the_name_of_a_host(
    host: str, security: Any, options: Any, verifies: bool
) -> None:
    _options.check_reference("mx.example", security, options)
    if verifies:
        with pytest.raises(LocalProtocolError, match="is not the name of a host"):
            _options.check_reference(host, security, options)
    else:
        _options.check_reference(host, security, options)


def test_an_extension_of_another_type_is_named() -> None:
    with pytest.raises(ArgumentTypeError, match="each of extensions is an Extension, not str 'X'"):
        run(connect_client(never, "mx.example", 25, {"extensions": ("X",)}))  # type: ignore[typeddict-item]
