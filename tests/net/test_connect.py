"""The options and methods that the three adapters share: equal signatures, docstrings, and typed errors."""

from __future__ import annotations

import base64
import copy
import inspect
import pickle
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import smtpcore
from smtpcore import (
    ArgumentTypeError,
    Auth,
    AuthenticationFailed,
    AuthenticationUnavailable,
    Command,
    Connect,
    ConnectionFailed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    ErrorContext,
    Exchange,
    Expn,
    Helo,
    LocalProtocolError,
    Mail,
    MessageTooBig,
    Noop,
    ProtocolError,
    Quit,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    SMTPError,
    StartTls,
    TimedOut,
    TlsError,
    TlsInfo,
    TlsUnavailable,
    TransportError,
    sync,
)
from smtpcore import asyncio as asyncio_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net.client import Client
from smtpcore._net.connect import connect_client, open_client
from smtpcore._net.options import ConnectOptions, check_name, check_options, reference_identifier
from smtpcore._net.serveroptions import ServerOptions
from smtpcore._net.stream import run
from smtpcore.extensions import STANDARD, CommandSpec, Extension, Parameter
from smtpcore.transcript import Transcript

from ..helpers.scripted import ANY, EOF, GREETING, QUIT, TLS, Pause, Stream, ehlo, talk

SENDER, ONE, TWO = "a@client.example", "one@mx.example", "two@mx.example"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
DOT = CONTENT + b".\r\n"

ADAPTERS = (sync, asyncio_adapter, trio_adapter)


def options_of(function: Callable[..., Any]) -> list[tuple[str, Any, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default, one.annotation) for one in parameters]


def sections_of(function: Callable[..., Any]) -> dict[str, str]:
    """The sections of a docstring by their titles; ``""`` is what comes before them."""
    parts = re.split(r"^(Args|Returns|Raises|Example):\n", inspect.getdoc(function) or "", flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[0::2], strict=True))


def documented(function: Callable[..., Any]) -> set[str]:
    return set(re.findall(r"^    (\w+):", sections_of(function)["Args"], flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["connect", "send_message"])
def test_a_function_has_the_same_options_in_every_adapter(name: str) -> None:
    functions = [getattr(adapter, name) for adapter in ADAPTERS]
    first, *others = map(options_of, functions)
    assert all(other == first for other in others)
    sections = [sections_of(function) for function in functions]
    for title in ("Args", "Raises"):
        assert len({one[title] for one in sections}) == 1, title
    assert all(set(one) == {"", "Args", "Returns", "Raises", "Example"} for one in sections)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_connect_documents_each_of_its_options(adapter: Any) -> None:
    names = {name for name, *_ in options_of(adapter.connect)}
    assert documented(adapter.connect) == names
    assert names == {"host", "port", *ConnectOptions.__optional_keys__}
    assert documented(adapter.send_message) == {"message", "host", "port", "sender", "recipients", "options"}


def public(cls: type[Any]) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def test_the_blocking_client_has_the_methods_and_properties_of_the_others() -> None:
    assert public(sync.Client) == public(Client) | {"transcript"}
    assert "__getattr__" not in vars(sync.Client)
    for name in public(Client):
        ours, theirs = getattr(sync.Client, name), getattr(Client, name)
        if isinstance(theirs, property):
            assert isinstance(ours, property), name
        else:
            without = [parameter[:3] for parameter in options_of(theirs)]
            assert [parameter[:3] for parameter in options_of(ours)] == without, name
        assert ours.__doc__, name


# --- Arguments ------------------------------------------------------------------------------------------------


def refused(**options: Any) -> LocalProtocolError:
    """The error about an argument of connect(), which comes before a connection is made."""
    with pytest.raises(LocalProtocolError) as caught:
        sync.connect(**{"host": "mx.invalid", **options})
    return caught.value


def test_a_socket_that_cannot_be_used_is_refused() -> None:
    assert isinstance(refused(sock=7), ArgumentTypeError)
    with socket.socket() as sock:
        assert "not connected" in str(refused(sock=sock))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert "stream socket" in str(refused(sock=sock))
    one, two = socket.socketpair()
    with one, two:
        assert "local_address" in str(refused(sock=one, local_address="127.0.0.1"))


@pytest.mark.parametrize("extensions", ["SIZE", 7, [7], (Extension,)])
def test_extensions_are_values(extensions: Any) -> None:
    assert isinstance(refused(extensions=extensions), ArgumentTypeError)


def test_a_host_that_is_bytes_is_refused() -> None:
    assert isinstance(refused(host=b"/run/smtp"), ArgumentTypeError)


@pytest.mark.parametrize(
    "options", [{"security": "tls"}, {"security": "starttls"}, {"auth": ("joe", "secret")}, {"port": 465}]
)
def test_a_certificate_cannot_be_verified_against_a_path(options: Any) -> None:
    assert "sock" in str(refused(host="/run/smtp", **options))
    assert "sock" in str(refused(host=Path("smtp"), **options))


# --- An open stream -------------------------------------------------------------------------------------------


def test_a_session_runs_over_a_stream_that_is_open() -> None:
    stream = Stream([GREETING, ehlo(), ("NOOP", "250 ok"), QUIT])

    async def conversation() -> Reply:
        async with await open_client(stream, security="none", local_hostname="client.example") as client:
            return await client.noop()

    assert run(conversation()) == Reply(250, None, "ok")
    stream.finish()


def test_arguments_of_an_open_stream_are_checked_first() -> None:
    stream = Stream([])
    with pytest.raises(ArgumentTypeError, match="allow_cleartext_auth"):
        run(open_client(stream, allow_cleartext_auth="no"))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="cannot be verified"):
        run(open_client(stream, security="starttls"))
    assert stream.written == b""


# --- The exchanges of an error --------------------------------------------------------------------------------


def failure(steps: Any, conversation: Callable[[Client], Any], **options: Any) -> SMTPError:
    with pytest.raises(SMTPError) as caught:
        talk(steps, conversation, **options)
    assert caught.value.context is not None
    return caught.value


def test_an_error_has_the_dialogue_up_to_it() -> None:
    steps = [
        (f"MAIL FROM:<{SENDER}>", "250 ok"),
        (f"RCPT TO:<{ONE}>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "554 5.7.1 no"),
        QUIT,
    ]
    error = failure(steps, lambda client: client.send(SENDER, ONE, CONTENT))
    assert error.context is not None
    assert error.context.exchanges[0] == Exchange(Connect(), Reply(220, None, "mx.example ESMTP"))
    assert error.context.exchanges[-1] == Exchange(EndOfMessage(), Reply(554, "5.7.1", "no"))
    assert error.context.dialogue() == (
        "S: 220 mx.example ESMTP\nC: EHLO client.example\nS: 250 mx.example greets you\n"
        f"C: MAIL FROM:<{SENDER}>\nS: 250 ok\nC: RCPT TO:<{ONE}>\nS: 250 ok\nC: DATA\nS: 354 go\n"
        "C: (content) .\nS: 554 5.7.1 no"
    )
    assert pickle.loads(pickle.dumps(error)) == copy.copy(error) == error


def test_a_command_without_a_reply_is_the_last_exchange() -> None:
    error = failure([("NOOP", EOF)], lambda client: client.noop())
    assert error.context is not None
    assert error.context.exchanges[-1] == Exchange(Noop(), None)


def test_an_unsolicited_reply_is_the_last_exchange() -> None:
    error = failure([("NOOP", "250 ok\n250 ok")], lambda client: twice(client.noop), last="QUIT")
    assert isinstance(error, RemoteProtocolError) and error.context is not None
    assert error.context.exchanges[-1] == Exchange(None, Reply(250, None, "ok"))


async def twice(method: Callable[[], Any]) -> None:
    await method()
    await method()


def test_no_exchange_shows_a_password() -> None:
    steps = [GREETING, ehlo("AUTH PLAIN"), (ANY, "535 5.7.8 no secret is AGpvZQBzZWNyZXQ="), QUIT]
    stream = Stream(steps)
    with pytest.raises(AuthenticationFailed) as caught:
        run(
            open_client(
                stream,
                security="none",
                auth=("joe", "secret"),
                allow_cleartext_auth=True,
                local_hostname="client.example",
            )
        )
    context = caught.value.context
    assert context is not None
    assert context.exchanges[-1].command == Auth("PLAIN")
    shown = context.dialogue() + repr(context)
    assert "secret" not in shown and "AGpvZ" not in shown


def test_only_the_last_exchanges_are_kept() -> None:
    async def conversation(client: Client) -> None:
        for _ in range(50):
            await client.noop()
        assert len(client.context.exchanges) == 20
        assert {one.command for one in client.context.exchanges} == {Noop()}

    talk([*[("NOOP", "250 ok")] * 50, QUIT], conversation)


# --- Every exception ------------------------------------------------------------------------------------------

PASSWORD = "s3cr3t-p4ssw0rd"
LOGIN = f"AUTH PLAIN {base64.b64encode(f'{chr(0)}joe{chr(0)}{PASSWORD}'.encode()).decode()}"
OFFER = ehlo("AUTH PLAIN", "SIZE 100")
# What an error shows last, without the arguments of commands.
GREETED, HELLO, LOGGED_IN = ("connect", 220), ("EHLO", 250), ("AUTH", 235)


def send_one(client: Client) -> Any:
    return client.send(SENDER, ONE, CONTENT)


def noop(client: Client) -> Any:
    return client.noop()


# What happens: the class of the error, and then whether it is retryable, what the server does after EHLO and a
# login (before them if it begins with the greeting), the conversation, and the last exchange of the error.
FAILURES: list[tuple[type[SMTPError], bool, Any, Any, Any]] = [
    (LocalProtocolError, False, [], lambda client: client.send(SENDER, "one@", CONTENT), LOGGED_IN),
    (ArgumentTypeError, False, [], lambda client: client.send(SENDER, 7, CONTENT), LOGGED_IN),
    (MessageTooBig, False, [], lambda client: client.send(SENDER, ONE, CONTENT * 10), LOGGED_IN),
    (RemoteProtocolError, True, [("NOOP", "what?")], noop, ("NOOP", None)),
    (RemoteProtocolError, True, [("NOOP", "354 what?")], noop, (None, 354)),
    (RemoteProtocolError, True, [("NOOP", "250 ok\n450 busy")], lambda client: twice(client.noop), (None, 450)),
    (RemoteProtocolError, False, [("NOOP", "250 ok\n550 no")], lambda client: twice(client.noop), (None, 550)),
    (ConnectionLost, True, [("NOOP", EOF)], noop, ("NOOP", None)),
    (ConnectionLost, True, [("NOOP", ConnectionResetError())], noop, ("NOOP", None)),
    (TimedOut, True, [("NOOP", Pause(1000))], noop, ("NOOP", None)),
    (ReplyError, True, [("NOOP", "450 4.3.0 later")], noop, ("NOOP", 450)),
    (ReplyError, False, [("NOOP", "500 5.5.1 no")], noop, ("NOOP", 500)),
    (RecipientsRefused, True, [(ANY, "250 ok"), (ANY, "450 x"), (ANY, "250 ok")], send_one, ("RCPT", 450)),
    (RecipientsRefused, False, [(ANY, "250 ok"), (ANY, "550 x"), (ANY, "250 ok")], send_one, ("RCPT", 550)),
    (AuthenticationFailed, False, [GREETING, OFFER, (LOGIN, f"535 {PASSWORD}")], noop, ("AUTH", 535)),
    (AuthenticationFailed, True, [GREETING, OFFER, (LOGIN, "454 4.7.0 later")], noop, ("AUTH", 454)),
    (AuthenticationUnavailable, False, [GREETING, ehlo()], noop, HELLO),
    (TlsUnavailable, True, [GREETING, OFFER], noop, HELLO),
    (TlsError, True, [GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go"), (TLS, OSError())], noop, None),
    (ConnectionFailed, True, ConnectionRefusedError(), noop, None),
]


def fail(steps: Any, conversation: Any, *, security: str) -> SMTPError:
    """The error of a session in which the password was sent, if it came to that."""
    if isinstance(steps, list) and (not steps or steps[0] is not GREETING):
        steps = [GREETING, OFFER, (LOGIN, "235 ok"), *steps]
    stream = Stream([*steps, (ANY, EOF), (ANY, EOF)] if isinstance(steps, list) else [])

    async def open_stream(*arguments: Any, **options: Any) -> Stream:
        if isinstance(steps, BaseException):
            raise steps
        return stream

    async def session() -> None:
        client = await connect_client(
            open_stream,
            "mx.example",
            25,
            {
                "auth": ("joe", PASSWORD),
                "allow_cleartext_auth": True,
                "local_hostname": "client.example",
                "security": security,  # type: ignore[typeddict-item]
                "transcript": Transcript(),
            },
        )
        await conversation(client)

    with pytest.raises(SMTPError) as caught:
        run(session())
    return caught.value


@pytest.mark.parametrize("kind, retryable, steps, conversation, last", FAILURES)
def test_every_error_has_facts_and_no_secrets(
    kind: type[SMTPError], retryable: bool, steps: Any, conversation: Any, last: Any
) -> None:
    error = fail(steps, conversation, security="starttls" if issubclass(kind, TlsError) else "none")
    assert type(error) is kind
    assert error.retryable is retryable
    assert isinstance(error.context, ErrorContext)
    if last is not None:
        command, reply = error.context.exchanges[-1].command, error.context.exchanges[-1].reply
        assert (command and command.verb, reply and reply.code) == last
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and again == error == copy.copy(error)
    assert (again.retryable, again.hint, again.context) == (retryable, error.hint, error.context)
    for shown in (repr(vars(error)), str(error), repr(error), error.context.dialogue(), str(error.transcript)):
        assert PASSWORD not in shown and LOGIN[-8:] not in shown
    assert PASSWORD.encode() not in pickle.dumps(error)


def test_every_public_exception_that_is_raised_is_among_them() -> None:
    bases = {SMTPError, ProtocolError, TransportError}
    public = {one for one in vars(smtpcore).values() if isinstance(one, type) and issubclass(one, SMTPError)}
    assert public - bases == {kind for kind, *_ in FAILURES}


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        "a" * 64 + ".example",
        "..",
        ".example",
        "a\0b",
        "\ud800.example",
        "a." * 128,
        "b\u2024\xfc.example",
        "\xfc\u3002example",
    ],
)
def test_a_host_that_cannot_be_a_name_is_an_error_of_the_caller(host: str) -> None:
    error = refused(host=host)
    assert "is not a valid host name" in str(error) and repr(host) in str(error)
    assert not error.retryable
    assert error.context is not None and error.context.host == host


def test_an_empty_host_is_an_error_of_the_caller() -> None:
    error = refused(host="")
    assert str(error) == "host is empty"
    assert error.context is not None and error.context.phase == "connect"


def test_a_path_that_no_file_system_has_is_an_error_of_the_caller() -> None:
    with pytest.raises(LocalProtocolError, match=r"^host '/run/\\ud800' is not a valid path: ") as caught:
        sync.connect("/run/\ud800")
    assert isinstance(caught.value.__cause__, UnicodeError)
    assert caught.value.context is not None and caught.value.context.host == "/run/\ud800"


@pytest.mark.parametrize(
    "host, name",
    [
        ("b\xfccher.example", "xn--bcher-kva.example"),
        ("BU\u0308CHER.example.", "xn--bcher-kva.example."),
        ("stra\xdfe.example", "xn--strae-oqa.example"),  # "strasse.example" is another domain
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("_mail.example", "_mail.example"),
    ],
)
def test_a_host_is_looked_up_and_verified_with_a_labels(host: str, name: str) -> None:
    stream = Stream([GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go"), (TLS, TlsInfo()), ehlo(), QUIT])
    options = ConnectOptions(security="starttls", local_hostname="client.example")
    client = run(connect_client(stream.open, host, 25, options))
    run(client.quit())
    assert stream.opened[0] == name
    assert stream.handshakes[0]["server_hostname"] == reference_identifier(host) == name.removesuffix(".")


def test_the_longest_host_name_is_looked_up() -> None:
    name = "a." * 126 + "a"
    for one in (name, f"{name}."):
        check_name(one)
    with pytest.raises(LocalProtocolError, match="more than 253 octets"):
        check_name(f"{name}a")


def test_a_host_with_control_characters_does_not_reach_a_terminal_or_a_log() -> None:
    async def unreachable(*place: Any, **options: Any) -> Stream:
        raise OSError("unreachable")

    with pytest.raises(ConnectionFailed) as caught:
        run(connect_client(unreachable, "a\r\n\x1b[2Jb", 25, {}))
    assert str(caught.value).startswith(r"cannot connect to a\x0d\x0a\x1b[2Jb port 25: unreachable")


@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
def test_a_context_for_the_other_side_is_refused_before_anything_is_sent(protocol: Any) -> None:
    context = ssl.SSLContext(protocol)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        error = refused(ssl_context=context, security="starttls")
        ServerOptions(ssl_context=context)
    else:
        with pytest.raises(LocalProtocolError) as caught:
            ServerOptions(ssl_context=context)
        error = caught.value
        check_options({"ssl_context": context})
    assert str(error).startswith("ssl_context is for a ")


# --- The outcome after a cancellation -------------------------------------------------------------------------


class Cancelled(BaseException):
    """As asyncio and trio cancel a task."""


@pytest.mark.parametrize("at, maybe_delivered", [("rcpt", False), ("dot", True)])
def test_the_outcome_of_a_cancelled_message_is_known(at: str, maybe_delivered: bool) -> None:
    steps = [
        GREETING,
        ehlo(),
        (f"MAIL FROM:<{SENDER}>", "250 ok"),
        (f"RCPT TO:<{ONE}>", Cancelled() if at == "rcpt" else "250 ok"),
    ]
    if at == "dot":
        steps += [("DATA", "354 go"), (DOT, Cancelled())]
    stream = Stream(steps)

    async def conversation() -> None:
        client = await open_client(stream, security="none", local_hostname="client.example")
        assert client.last_result is None
        with pytest.raises(Cancelled):
            await client.send(SENDER, ONE, CONTENT)
        await client.close()
        assert client.last_result is not None
        assert client.last_result.maybe_delivered is maybe_delivered
        assert client.last_result.accepted_recipients == ()
        assert client.last_result.retryable_recipients == (ONE,)

    run(conversation())


def test_the_last_result_is_that_of_send() -> None:
    steps = [
        (f"MAIL FROM:<{SENDER}>", "250 ok"),
        (f"RCPT TO:<{ONE}>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        ("NOOP", "250 ok"),
        QUIT,
    ]

    async def conversation(client: Client) -> None:
        result = await client.send(SENDER, ONE, CONTENT)
        await client.noop()
        assert client.last_result == result

    talk(steps, conversation)


# --- command(), and parameters of a message -------------------------------------------------------------------


class Hurry(Command):
    """A command of an extension of the application."""

    __slots__ = ()
    verb = "X-HURRY"


def text(value: str | None) -> str:
    return value or ""


HURRY = Extension(
    "X-HURRY",
    parameters=(Parameter("X-TAG", "MAIL", text, str), Parameter("X-NOTE", "RCPT", text, str)),
    commands=(CommandSpec(Hurry, parse=lambda _: Hurry(), reply=Reply(250, None, "ok")),),
)
EXTENSIONS = (*STANDARD, HURRY)


def test_a_command_of_an_extension_can_be_sent_where_it_is_offered() -> None:
    steps = [("X-HURRY", "250 soon"), ("EXPN staff", "250 joe"), QUIT]

    async def conversation(client: Client) -> list[Reply]:
        return [await client.command(Hurry()), await client.command(Expn("staff"))]

    replies = talk(steps, conversation, keywords=["X-HURRY"], extensions=EXTENSIONS)
    assert [str(reply) for reply in replies] == ["250 soon", "250 joe"]
    error = failure([QUIT], lambda client: client.command(Hurry()), extensions=EXTENSIONS)
    assert "does not offer X-HURRY" in str(error)
    error = failure([("X-HURRY", "550 no"), QUIT], lambda client: client.command(Hurry()), **OFFERED)
    assert isinstance(error, ReplyError)


OFFERED: dict[str, Any] = {"keywords": ["X-HURRY"], "extensions": EXTENSIONS}


@pytest.mark.parametrize(
    "event, method",
    [
        (Ehlo("a.example"), "connect()"),
        (Helo("a.example"), "connect()"),
        (StartTls(), "connect(security='starttls')"),
        (Auth("PLAIN"), "connect(auth=...)"),
        (Data(), "send()"),
        (Quit(), "quit()"),
    ],
)
def test_a_command_with_a_method_of_its_own_is_not_sent_by_command(event: Command, method: str) -> None:
    error = failure([QUIT], lambda client: client.command(event), keywords=["STARTTLS", "AUTH PLAIN"])
    assert isinstance(error, LocalProtocolError)
    assert str(error).startswith(f"command() does not send {event.verb}: {method} does")
    assert error.context is not None and error.context.phase == "command"


def test_an_error_before_anything_is_sent_has_the_phase_of_the_envelope() -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, [], CONTENT))
    assert error.context is not None and error.context.phase == "mail"


@pytest.mark.parametrize("event", ["NOOP", b"NOOP", None, Noop, EndOfMessage()])
def test_a_command_of_the_wrong_type_is_named(event: Any) -> None:
    error = failure([QUIT], lambda client: client.command(event))
    assert isinstance(error, TypeError) and "event is a Command" in str(error)


def test_a_message_can_have_parameters_and_its_recipients_too() -> None:
    steps = [
        (f"MAIL FROM:<{SENDER}> SIZE={len(CONTENT)} X-TAG=7", "250 ok"),
        (f"RCPT TO:<{ONE}>", "250 ok"),
        (f"RCPT TO:<{TWO}> X-NOTE=z", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    result = talk(
        steps,
        lambda client: client.send(Mail(SENDER, {"X-TAG": "7"}), [ONE, Rcpt(TWO, {"X-NOTE": "z"})], CONTENT),
        keywords=["SIZE", "X-HURRY"],
        extensions=EXTENSIONS,
    )
    assert result.accepted_recipients == (ONE, TWO)


@pytest.mark.parametrize(
    "sender, recipient",
    [(Mail(SENDER, {"X-TAG": "7"}), ONE), (SENDER, Rcpt(ONE, {"X-NOTE": "z"}))],
)
def test_a_parameter_that_is_not_offered_is_refused_beforehand(sender: Any, recipient: Any) -> None:
    error = failure([QUIT], lambda client: client.send(sender, [recipient], CONTENT), extensions=EXTENSIONS)
    assert isinstance(error, LocalProtocolError) and "does not offer the parameter" in str(error)


def test_content_that_contradicts_its_parameters_is_refused_before_anything_is_sent() -> None:
    error = failure(
        [QUIT],
        lambda client: client.send(Mail(SENDER, {"BODY": "7BIT"}), ONE, b"\xff\r\n"),
        keywords=["8BITMIME"],
    )
    assert "BODY=7BIT" in str(error)


# --- Asynchronous content -------------------------------------------------------------------------------------


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


async def first_of(source: AsyncIterator[bytes]) -> bytes:
    return await anext(source)


STEPS = [("RCPT TO:<one@mx.example>", "250 ok"), ("DATA", "354 go")]


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_an_asynchronous_iterable_is_sent(keywords: list[str]) -> None:
    body = " BODY=8BITMIME" if keywords else ""
    steps = [(f"MAIL FROM:<{SENDER}>{body}", "250 ok"), *STEPS, (DOT, "250 ok"), QUIT]
    result = talk(
        steps, lambda client: client.send(SENDER, ONE, pieces(CONTENT[:7], b"", CONTENT[7:])), keywords=keywords
    )
    assert result.accepted_recipients == (ONE,)


def test_an_asynchronous_iterable_that_is_empty_gets_no_final_dot() -> None:
    steps = [(f"MAIL FROM:<{SENDER}> BODY=8BITMIME", "250 ok"), *STEPS]
    error = failure(steps, lambda client: client.send(SENDER, ONE, pieces()), keywords=["8BITMIME"])
    assert "the content is empty" in str(error)
    error = failure([QUIT], lambda client: client.send(SENDER, ONE, pieces()))
    assert "the content is empty" in str(error)


def test_eight_bit_asynchronous_content_is_refused_before_anything_is_sent() -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, ONE, pieces(b"\xff")))
    assert "8BITMIME" in str(error)


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_an_asynchronous_generator_that_was_begun_is_closed_when_sending_fails(keywords: list[str]) -> None:
    source: Any = pieces(CONTENT, "text", CONTENT)  # type: ignore[arg-type]
    steps: list[Any] = [(f"MAIL FROM:<{SENDER}> BODY=8BITMIME", "250 ok"), *STEPS, (ANY, b"")][:3]
    error = failure(
        steps if keywords else [QUIT],
        lambda client: client.send(SENDER, ONE, source),
        keywords=keywords,
        last=ANY,
    )
    assert isinstance(error, TypeError)
    with pytest.raises(StopAsyncIteration):
        run(first_of(source))


def test_an_asynchronous_generator_that_was_not_begun_can_be_sent_again() -> None:
    source = pieces(CONTENT)
    failure(
        [(f"MAIL FROM:<{SENDER}> BODY=8BITMIME", "450 later"), QUIT],
        lambda client: client.send(SENDER, ONE, source),
        keywords=["8BITMIME"],
    )
    assert run(first_of(source)) == CONTENT
