"""What connect() is given: refused before anything is sent, under its name, or meant as it is taken."""

from __future__ import annotations

import enum
import ssl
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
