"""Handlers with callbacks, against scripted clients: what they decide, and what becomes of it on the wire."""

from __future__ import annotations

import asyncio
import errno
import io
import re
import ssl
import types
from collections.abc import Callable
from typing import Any

import pytest

from smtpcore import (
    CommandRejected,
    Credentials,
    LocalProtocolError,
    Mail,
    Noop,
    Quit,
    Reply,
    SecretRequest,
    ServerConfig,
    TlsInfo,
)
from smtpcore._net import callbacks, spool
from smtpcore._net.serveroptions import ServerOptions
from smtpcore._net.serving import session_runner
from smtpcore._net.session import ServerSession
from smtpcore._net.stream import run
from smtpcore.extensions import STANDARD, CommandSpec, Extension
from smtpcore.handlers import Handler
from smtpcore.sasl import SERVER_MECHANISMS, Failed, ServerMechanism, Succeeded

from .helpers.scripted import ANY, EOF, TLS, TLS_BEHIND_220, Stream, serve

BEGIN = [
    ("220", "EHLO client.example"),
    ("250", "MAIL FROM:<a@client.example>"),
    ("250", "RCPT TO:<one@mx.example>"),
]
CONTENT = "Subject: x\n\nbody"
TO_DATA = [*BEGIN, ("250", "DATA")]
TO_CONTENT = [*TO_DATA, ("354", f"{CONTENT}\n.")]
OCTETS = b"Subject: x\r\n\r\nbody\r\n"
SECRET = "the cellar key is under the mat"


def object_with(**methods: Any) -> Any:
    """A handler."""
    return type("SomeHandler", (), {name: staticmethod(method) for name, method in methods.items()})()


def deciding(decision: Any) -> Callable[..., Any]:
    """A plain method that returns this, or raises it."""

    def decide(*arguments: Any) -> Any:
        if isinstance(decision, BaseException):
            raise decision
        return decision

    return decide


def deciding_later(decision: Any) -> Callable[..., Any]:
    """The same, but ``async``."""

    async def decide(*arguments: Any) -> Any:
        return deciding(decision)()

    return decide


@pytest.fixture(params=[deciding, deciding_later], ids=["plain", "async"])
def ways(request: pytest.FixtureRequest) -> Any:
    return request.param


DECISIONS: list[tuple[Any, str]] = [
    (None, "451"),
    (1, "451"),
    ("yes", "451"),
    (Reply(450, "4.2.0", "come again"), "450"),
    (Reply(421, None, "bye"), "421"),
    (RuntimeError(SECRET), "451"),
    (OSError(errno.ENOSPC, "No space left on device"), "452"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "452"),
    (OSError(errno.EIO, "Input/output error"), "451"),
]


def decided(steps: Any, reply: str, handler: Any, **options: Any) -> Stream:
    """See that the last step is answered so."""
    if reply == "421":
        return serve(handler, steps, last="421", **options)
    return serve(handler, [*steps, (reply, "QUIT")], last="221", **options)


# --- Each decision at each place --------------------------------------------------------------------------


def test_what_a_handler_leaves_out_is_granted_but_for_the_mail_itself() -> None:
    stream = serve(Handler(), [*TO_DATA, ("451", "QUIT")], last="221")
    assert b"451 4.3.5 this server is not set up to store mail\r\n" in stream.written


@pytest.mark.parametrize(
    "decision, reply",
    [
        (True, "220"),
        (False, "554"),
        (Reply(554, None, "not you"), "554"),
        (Reply(421, None, "busy"), "421"),
        (None, "421"),
        (1, "421"),
        (RuntimeError(SECRET), "421"),
        (OSError(errno.ENOSPC, "No space left on device"), "421"),
    ],
)
def test_connect(decision: Any, reply: str, ways: Any) -> None:
    handler = object_with(accept_connection=ways(decision))
    stream = serve(handler, [], last="421") if reply == "421" else serve(handler, [(reply, "QUIT")], last="221")
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize("decision, reply", [(True, "250"), (False, "550"), *DECISIONS])
def test_accept_sender(decision: Any, reply: str, ways: Any) -> None:
    stream = decided(BEGIN[:2], reply, object_with(accept_sender=ways(decision)))
    assert SECRET.encode() not in stream.written, "what an exception says is for the log"


@pytest.mark.parametrize("make, reply", [(types.coroutine, "250"), (lambda function: function, "451")])
def test_of_generators_only_those_that_can_be_awaited_decide(
    make: Callable[..., Any], reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    def accept_sender(*arguments: object) -> Any:
        yield from ()
        return True

    decided(BEGIN[:2], reply, object_with(accept_sender=make(accept_sender)))
    assert ("has returned generator" in caplog.text) is (reply == "451")


@pytest.mark.parametrize("decision, reply", [(True, "250"), (False, "550"), *DECISIONS])
def test_accept_recipient(decision: Any, reply: str, ways: Any) -> None:
    stream = decided(BEGIN, reply, object_with(accept_recipient=ways(decision)))
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize("decision, reply", [(True, "250"), (False, "554"), *DECISIONS])
def test_store(decision: Any, reply: str, ways: Any) -> None:
    stream = decided(TO_CONTENT, reply, object_with(store=ways(decision)))
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize(
    "decision, reply", [(False, "451"), (True, "451"), *[row for row in DECISIONS if row[0] not in (1, "yes")]]
)
def test_begin_message_that_gives_no_sink(decision: Any, reply: str, ways: Any) -> None:
    stream = decided(TO_DATA, reply, object_with(begin_message=ways(decision)))
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize(
    "name, verb, config", [("verify_address", "VRFY", {}), ("expand_list", "EXPN", {"expn": True})]
)
@pytest.mark.parametrize(
    "decision, reply",
    [(True, "252"), (False, "550"), (Reply(250, None, "<joe@mx.example>"), "250"), *DECISIONS],
)
def test_verify_and_expand(name: str, verb: str, config: Any, decision: Any, reply: str, ways: Any) -> None:
    steps = [BEGIN[0], ("250", f"{verb} joe")]
    decided(steps, reply, object_with(**{name: ways(decision)}), config=ServerConfig(**config))


@pytest.mark.parametrize("verb, config", [("VRFY", {}), ("EXPN", {"expn": True})])
def test_who_does_not_verify_promises_nothing(verb: str, config: Any) -> None:
    decided([BEGIN[0], ("250", f"{verb} joe")], "252", Handler(), config=ServerConfig(**config))


def test_methods_are_told_what_it_is_about() -> None:
    told: dict[str, Any] = {}

    class SomeHandler:
        def accept_connection(self, session: ServerSession) -> bool:
            told["accept_connection"] = session.peername
            return True

        def accept_sender(self, session: ServerSession, reverse_path: Any, parameters: Any) -> bool:
            told["sender"] = str(reverse_path), dict(parameters)
            return True

        def accept_recipient(self, session: ServerSession, forward_path: Any, parameters: Any) -> bool:
            told["recipient"] = str(forward_path), dict(parameters)
            return True

        def verify_address(self, session: ServerSession, argument: str) -> bool:
            told["verify_address"] = argument
            return True

        def store(self, session: ServerSession, envelope: Any, content: Any) -> bool:
            told["store"] = (
                str(envelope.mail.reverse_path),
                [str(one.forward_path) for one in envelope.rcpts],
            )
            told["content"] = content.read()
            return True

        def on_disconnect(self, session: ServerSession) -> None:
            told["on_disconnect"] = session.connection.state.value

    steps = [
        BEGIN[0],
        ("250", "VRFY joe"),
        ("252", "MAIL FROM:<a@client.example> BODY=8BITMIME"),
        *TO_CONTENT[2:],
        ("250", "QUIT"),
    ]
    serve(SomeHandler(), steps, last="221")
    assert told == {
        "accept_connection": ("192.0.2.2", 25),
        "verify_address": "joe",
        "sender": ("a@client.example", {"BODY": "8BITMIME"}),
        "recipient": ("one@mx.example", {}),
        "store": ("a@client.example", ["one@mx.example"]),
        "content": OCTETS,
        "on_disconnect": "closed",
    }


def test_the_log_names_the_method_that_has_not_decided(caplog: pytest.LogCaptureFixture) -> None:
    """Forgetting ``return True`` is the mistake that everybody makes once."""

    class SomeHandler:
        def accept_recipient(self, *arguments: Any) -> bool:
            return True

        def store(self, *arguments: Any) -> None:
            pass

        def check_credentials(self, *arguments: Any) -> str:
            return SECRET

    decided(TO_CONTENT, "451", SomeHandler())
    (record,) = caplog.records
    assert record.name == "smtpcore"
    assert "SomeHandler.store has to return True, False or a Reply, and has returned NoneType" in record.message


@pytest.mark.parametrize(
    "method, steps, reply",
    [
        ("accept_connection", [], "421"),
        ("accept_sender", BEGIN[:2], "451"),
        ("accept_recipient", BEGIN, "451"),
        ("verify_address", [BEGIN[0], ("250", "VRFY joe")], "451"),
        ("expand_list", [BEGIN[0], ("250", "EXPN staff")], "451"),
    ],
)
@pytest.mark.parametrize("failing", [False, True])
def test_the_log_names_whichever_method_it_is(
    method: str, steps: Any, reply: str, failing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def decide(*arguments: Any) -> None:
        if failing:
            raise RuntimeError

    decide.__qualname__ = f"SomeHandler.{method}"
    decided(steps, reply, object_with(**{method: decide}), config=ServerConfig(expn=True))
    assert [record.message.split()[0] for record in caplog.records] == [f"SomeHandler.{method}"]


@pytest.mark.parametrize(
    "method, steps, decision",
    [
        ("accept_recipient", BEGIN, Reply(450, "4.2.0", "later")),
        ("check_credentials", [BEGIN[0], ("250", "AUTH PLAIN AGpvZQBzZWNyZXQ=")], Reply(534, "5.7.9", "no")),
        ("lookup_secret", [BEGIN[0], ("250", "AUTH X-SECRET c2VjcmV0")], "secret"),
    ],
)
def test_a_decision_after_the_end_of_the_session_is_not_an_error_of_the_method(
    method: str,
    steps: Any,
    decision: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As when the server stops meanwhile: then the decision cannot be sent, whatever it is."""

    def decide(session: ServerSession, *arguments: Any) -> Any:
        session.connection.close(Reply(421, "4.3.2", "bye"))
        return decision

    monkeypatch.setitem(SERVER_MECHANISMS, "X-SECRET", Secret)
    config = ServerConfig(auth_mechanisms=("PLAIN", "X-SECRET"), allow_cleartext_auth=True)
    with pytest.raises(LocalProtocolError):
        serve(object_with(**{method: decide}), steps, last="421", config=config)
    assert caplog.records == []


@pytest.mark.parametrize(
    "method, steps, decision, reply",
    [
        ("accept_connection", [], Reply(250, None, "hello"), "421"),
        ("accept_hello", BEGIN[:1], Reply(220, None, "hello"), "451"),
        ("accept_sender", BEGIN[:2], Reply(354, None, "go on"), "451"),
        ("accept_recipient", BEGIN, Reply(235, "2.7.0", "ok"), "451"),
        ("verify_address", [BEGIN[0], ("250", "VRFY joe")], Reply(250, "2.1.5", "he is known"), "451"),
        ("expand_list", [BEGIN[0], ("250", "EXPN staff")], Reply(250, "2.1.5", "no mailbox"), "451"),
        ("begin_message", TO_DATA, Reply(250, "2.0.0", "ok"), "451"),
        ("store", TO_CONTENT, Reply(251, "2.1.5", "ok"), "451"),
    ],
)
def test_a_reply_that_the_command_cannot_have_refuses_it(
    method: str, steps: Any, decision: Reply, reply: str, ways: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """And the session goes on; the log names the method and what is accepted."""
    handler = object_with(**{method: ways(decision)})
    stream = decided(steps, reply, handler, config=ServerConfig(expn=True))
    assert b"internal error" not in stream.written
    (record,) = caplog.records
    assert " has returned a reply that cannot be sent: " in record.message
    assert record.message.startswith(ways(decision).__qualname__)


def test_the_log_has_what_the_client_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    decided(TO_CONTENT, "451", object_with(store=deciding(RuntimeError(SECRET))))
    (record,) = caplog.records
    assert "decide failed in a session with ('192.0.2.2', 25)" in record.message
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == SECRET


def test_the_log_has_words_for_a_client_without_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """As on a Unix socket."""
    caplog.set_level("INFO", "smtpcore")
    stream = Stream([*TO_DATA, ("354", ["Subject: x\n", EOF])])
    stream.peername = ""
    sink = Sink(failing={"write": RuntimeError()})
    serve(object_with(begin_message=deciding(sink)), [], stream=stream)
    assert "Sink.write failed in a session with a peer without an address" in caplog.messages
    assert "a message from a peer without an address is not stored" in caplog.text


def test_a_class_is_no_handler() -> None:
    class Mailbox:
        pass

    with pytest.raises(TypeError, match=r"not Mailbox, but Mailbox\(\)"):
        session_runner(Mailbox, ServerOptions(), ServerSession)


def test_a_handler_that_needs_an_event_loop_on_blocking_sockets_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def accept_recipient(*arguments: Any) -> bool:
        await asyncio.sleep(0)
        return True

    decided(BEGIN, "451", object_with(accept_recipient=accept_recipient))
    (record,) = caplog.records
    assert "accept_recipient failed" in record.message
    assert "event loop" in str(record.exc_info)


def test_a_full_disk_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    decided(TO_CONTENT, "452", object_with(store=deciding(OSError(errno.ENOSPC, "No space left on device"))))
    (record,) = caplog.records
    assert record.message.endswith(f"with ('192.0.2.2', 25): [Errno {errno.ENOSPC}] No space left on device")
    assert record.exc_info is None


# What the client reads when a handler returns False, None or nothing: the code and the enhanced status code.
OWN_REPLIES = [
    ("accept_connection", [], False, b"554 you are not welcome here"),
    ("accept_connection", [], None, b"421 mx.example local error in processing"),
    pytest.param(
        *("accept_sender", BEGIN[:2], False, b"550 5.7.1 sender not accepted"),
        marks=pytest.mark.req("MAI-18", "SUB-04"),
    ),
    ("accept_sender", BEGIN[:2], None, b"451 4.3.0 local error in processing"),
    pytest.param(
        *("accept_recipient", BEGIN, False, b"550 5.1.1 no such mailbox here"),
        marks=pytest.mark.req("RCP-13"),
    ),
    ("begin_message", TO_DATA, False, b"451 4.3.0 no message can be accepted now"),
    ("begin_message", TO_DATA, None, b"451 4.3.0 local error in processing"),
    pytest.param(*("store", TO_CONTENT, False, b"554 5.6.0 message refused"), marks=pytest.mark.req("SUB-05")),
    ("store", TO_CONTENT, OSError(errno.ENOSPC, "full"), b"452 4.3.1 not enough storage"),
    ("verify_address", [BEGIN[0], ("250", "VRFY joe")], False, b"550 5.1.1 no such mailbox here"),
    ("expand_list", [BEGIN[0], ("250", "EXPN staff")], False, b"550 5.1.1 no such mailing list here"),
]


@pytest.mark.parametrize("method, steps, decision, reply", OWN_REPLIES)
def test_a_refusal_of_a_handler_has_its_status_code(
    method: str, steps: Any, decision: Any, reply: bytes
) -> None:
    handler = object_with(**{method: deciding(decision)})
    code = reply[:3].decode()
    stream = decided(steps, code, handler, config=ServerConfig(expn=True))
    assert b"\r\n" + reply + b"\r\n" in b"\r\n" + stream.written


@pytest.mark.parametrize(
    "returned, kind", [(None, "NoneType"), (True, "bool"), (SECRET, "str"), (object(), "object")]
)
def test_begin_message_that_gives_no_sink_is_told_what_is_missing(
    returned: object, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    decided(TO_DATA, "451", object_with(begin_message=deciding(returned)))
    (record,) = caplog.records
    expected = "has to return a sink with write(), finish() and abort(), False or a Reply, and has returned"
    assert record.message.endswith(f"decide {expected} {kind}")


@pytest.mark.parametrize("missing", ["write", "finish", "abort"])
def test_a_sink_that_lacks_a_method_is_refused_before_its_content(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    methods = {name: lambda *arguments: True for name in ("write", "finish", "abort") if name != missing}
    gone: list[bool] = []
    handler = object_with(
        begin_message=deciding(object_with(**methods)), on_disconnect=lambda session: gone.append(True)
    )
    decided(TO_DATA, "451", handler)
    assert gone == [True] and len(caplog.records) == 1


# --- A function that runs the session itself --------------------------------------------------------------


def test_a_function_that_returns_early_is_logged_and_the_client_is_told_the_truth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not the server that shuts down."""

    async def handle(session: ServerSession) -> None:
        async for event in session:
            if isinstance(event, Mail):
                return
            session.accept()

    stream = serve(handle, BEGIN[:2], last="421")
    assert stream.written.endswith(b"421 4.3.0 mx.example local error in processing\r\n")
    (record,) = caplog.records
    assert "handle has returned before the end of the session with ('192.0.2.2', 25)" in record.message
    assert record.levelname == "ERROR"


def test_a_function_that_sees_the_end_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(session: ServerSession) -> None:
        async for event in session:
            session.accept()
            if isinstance(event, Quit):
                return

    serve(handle, [BEGIN[0], ("250", "QUIT")], last="221")
    assert caplog.records == []


def test_a_function_may_close_the_session_itself(caplog: pytest.LogCaptureFixture) -> None:
    def handle(session: ServerSession) -> None:
        session.connection.close(Reply(421, "4.7.0", "not now"))

    assert serve(handle, [], last="421").written.startswith(b"421 mx.example not now")
    assert caplog.records == []


def test_a_function_that_returns_a_generator_is_reported_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def plain(session: ServerSession) -> Any:
        yield session

    async def later(session: ServerSession) -> Any:
        yield session

    for generator in (plain, later):
        caplog.clear()
        stream = serve(lambda session, call=generator: call(session), [], last="421")
        assert stream.written == b"421 mx.example local error in processing\r\n"
        (record,) = caplog.records
        assert "is a generator function" in record.message
        with pytest.raises(TypeError, match=f"{generator.__name__} is a generator function"):
            session_runner(generator, ServerOptions(), ServerSession)


# --- What is not a handler ---------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, 42, "handler", object(), [], {"store": print}])
def test_an_object_without_a_callback_is_not_a_handler(thing: object) -> None:
    with pytest.raises(
        TypeError, match=r"a handler is a function, or an object with at least one of the methods"
    ):
        session_runner(thing, ServerOptions(), ServerSession)


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("accept_recipent", "did you mean accept_recipient?"),
        ("accept_recipients", "did you mean accept_recipient?"),
        ("accept_sendr", "did you mean accept_sender?"),
        ("begin_mesage", "did you mean begin_message?"),
        ("on_disconected", "did you mean on_disconnect?"),
        ("lookup_secrets", "did you mean lookup_secret?"),
        ("handle_RCPT", "here it is accept_recipient"),
        ("handle_DATA", "here it is store"),
        ("process_message", "here it is store"),
    ],
)
@pytest.mark.parametrize("base", [object, Handler])
def test_a_misspelt_or_foreign_method_is_an_error_with_a_suggestion(
    base: type, name: str, suggestion: str
) -> None:
    methods = {"store": lambda *arguments: True, name: lambda *arguments: False}
    with pytest.raises(TypeError, match=re.escape(f"SomeHandler.{name} ")) as caught:
        session_runner(type("SomeHandler", (base,), methods)(), ServerOptions(), ServerSession)
    assert suggestion in str(caught.value)


def test_names_that_resemble_no_callback_are_the_applications_own() -> None:
    class SomeHandler(Handler):
        accept_senders = ("a", "b")  # not a method

        def _accept_recipent(self) -> None: ...
        def restore(self) -> None: ...
        def reject(self) -> None: ...
        def lookup(self) -> None: ...

    session_runner(SomeHandler(), ServerOptions(), ServerSession)


@pytest.mark.parametrize(
    "method, words",
    [
        (True, "SomeHandler.accept_recipient is a method, not bool True"),
        (
            staticmethod(lambda session: True),
            (
                "SomeHandler.accept_recipient is called with (session, forward_path, parameters), but takes"
                " (session)"
            ),
        ),
    ],
)
def test_a_callback_that_cannot_be_called_is_an_error_before_a_client_connects(
    method: object, words: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        session_runner(type("SomeHandler", (), {"accept_recipient": method})(), ServerOptions(), ServerSession)


def test_an_object_is_either_a_function_or_has_callbacks() -> None:
    class SomeHandler(Handler):
        def __call__(self, session: ServerSession) -> None: ...

    with pytest.raises(TypeError, match="it can be only one kind of handler"):
        session_runner(SomeHandler(), ServerOptions(), ServerSession)


@pytest.mark.parametrize("domains", ["example.org", b"example.org", [None]])
def test_served_domains_are_strings_in_a_collection(domains: Any) -> None:
    handler = object_with(store=deciding(True))
    handler.served_domains = domains
    with pytest.raises(TypeError, match="served_domains is a collection of strings, not"):
        session_runner(handler, ServerOptions(), ServerSession)


# --- The base class ----------------------------------------------------------------------------------------


def test_the_callbacks_of_a_handler_are_looked_up_once_for_all_sessions() -> None:
    looked_up: list[str] = []

    class SomeHandler(Handler):
        def __getattribute__(self, name: str) -> Any:
            looked_up.append(name)
            return super().__getattribute__(name)

    runner = session_runner(SomeHandler(), ServerOptions(hostname="mx.example"), ServerSession)
    assert "accept_sender" in looked_up
    looked_up.clear()
    run(runner(Stream([(ANY, "EHLO client.example\nQUIT"), (ANY, EOF)])))
    assert looked_up == []


def test_the_defaults_of_the_base_class_are_those_of_a_method_that_is_absent() -> None:
    class Calling(Handler):
        """Each method calls the default explicitly."""

        def accept_recipient(self, *arguments: Any) -> Any:
            return super().accept_recipient(*arguments)

        def begin_message(self, *arguments: Any) -> Any:
            return super().begin_message(*arguments)

    for handler in (Handler(), Calling()):
        stream = serve(handler, [*TO_DATA, ("451", "QUIT")], last="221")
        assert b"451 4.3.5 this server is not set up to store mail\r\n" in stream.written


@pytest.mark.parametrize("decision, reply", [(True, "250"), (False, "550"), *DECISIONS])
@pytest.mark.parametrize("hello", ["EHLO", "HELO"])
def test_accept_hello(hello: str, decision: Any, reply: str, ways: Any) -> None:
    decided([("220", f"{hello} client.example")], reply, object_with(accept_hello=ways(decision)))


def test_on_reset_is_called_while_the_envelope_is_still_there() -> None:
    seen: list[Any] = []

    class SomeHandler(Handler):
        def on_reset(self, session: ServerSession) -> None:
            seen.append(session.envelope and str(session.envelope.reverse_path))

    steps = [*BEGIN, ("250", "RSET"), ("250", "RSET"), ("250", "QUIT")]
    serve(SomeHandler(), steps, last="221")
    assert seen == ["a@client.example", None]


@pytest.mark.parametrize("implicit", [False, True])
def test_on_tls_is_called_once_with_the_facts(implicit: bool) -> None:
    info = TlsInfo("TLSv1.3", "TLS_AES_128_GCM_SHA256", server_hostname="mx.example")
    seen: list[Any] = []

    class SomeHandler(Handler):
        def on_tls(self, session: ServerSession, info: TlsInfo) -> None:
            seen.append(info)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    begin: Any = (
        [(TLS, [info])]
        if implicit
        else [("220", "EHLO client.example"), ("250 250 250 250 250 250", "STARTTLS"), (TLS_BEHIND_220, [info])]
    )
    if implicit:
        steps = [*begin, ("220", "EHLO client.example"), (ANY, "QUIT")]
    else:
        steps = [begin[0], (ANY, "STARTTLS"), begin[2], (b"", "EHLO client.example"), (ANY, "QUIT")]
    serve(SomeHandler(), steps, last="221", ssl_context=context, implicit_tls=implicit)
    assert seen == [info]


@pytest.mark.parametrize(
    "decision, reply", [(True, "250"), (False, "550"), (Reply(250, "2.0.0", "done"), "250"), *DECISIONS]
)
def test_on_command_decides_on_a_command_of_an_extension(decision: Any, reply: str, ways: Any) -> None:
    class Xyzzy(Noop):
        verb = "XYZZY"

    extension = Extension(
        "XYZZY", commands=(CommandSpec(Xyzzy, lambda text: Xyzzy(), Reply(250, "2.0.0", "OK")),)
    )
    config = ServerConfig(extensions=(*STANDARD, extension))
    decided([BEGIN[0], ("250", "XYZZY")], reply, object_with(on_command=ways(decision)), config=config)


@pytest.mark.parametrize("unattended, reply", [(False, "451"), (True, "250")])
@pytest.mark.parametrize("calls_the_default", [False, True])
def test_a_command_that_no_handler_decides_on_is_refused_unless_it_is_declared_otherwise(
    unattended: bool, reply: str, calls_the_default: bool
) -> None:
    class Xyzzy(Noop):
        verb = "XYZZY"

    spec = CommandSpec(Xyzzy, lambda text: Xyzzy(), Reply(250, "2.0.0", "OK"), unattended=unattended)
    config = ServerConfig(extensions=(*STANDARD, Extension("XYZZY", commands=(spec,))))

    class WithoutMethod(Handler):
        pass

    class AsksTheDefault(Handler):
        def on_command(self, session: Any, command: Any) -> Any:
            return super().on_command(session, command)

    handler = AsksTheDefault() if calls_the_default else WithoutMethod()
    decided([BEGIN[0], ("250", "XYZZY")], reply, handler, config=config)


# --- The postmaster, and relaying --------------------------------------------------------------------------

POSTMASTERS = ["<Postmaster>", "<postmaster>", "<postmaster@mx.example>", "<POSTMASTER@MX.EXAMPLE>"]


@pytest.mark.req("RCP-05")
@pytest.mark.parametrize("path", POSTMASTERS)
def test_the_postmaster_of_a_served_domain_is_accepted_whatever_accept_recipient_says(path: str) -> None:
    handler = object_with(accept_recipient=deciding(False))
    handler.served_domains = ["MX.example"]
    decided([*BEGIN[:2], ("250", f"RCPT TO:{path}")], "250", handler)


@pytest.mark.req("RCP-05")
@pytest.mark.parametrize("path", POSTMASTERS)
def test_the_postmaster_is_accepted_by_default(path: str) -> None:
    class SomeHandler(Handler):
        served_domains = ("mx.example",)

    decided([*BEGIN[:2], ("250", f"RCPT TO:{path}")], "250", SomeHandler())
    decided([*BEGIN[:2], ("250", f"RCPT TO:{path}")], "250", Handler())


@pytest.mark.parametrize(
    "path, decision, line",
    [
        ("<joe@else.example>", None, b"550 5.7.1 relaying denied"),
        ("<joe@else.example>", False, b"550 5.7.1 relaying denied"),
        ("<postmaster@else.example>", None, b"550 5.7.1 relaying denied"),
        ("<postmaster@else.example>", False, b"550 5.7.1 relaying denied"),
        ("<joe@else.example>", True, b"250 2.1.5 "),
        ("<joe@else.example>", Reply(450, "4.2.0", "later"), b"450 4.2.0 later"),
        ("<joe@MX.example>", None, b"250 2.1.5 "),
        ("<joe@MX.example>", False, b"550 5.1.1 no such mailbox here"),
        ("<joe@MX.example>", True, b"250 2.1.5 "),
    ],
)
def test_recipients_of_other_domains_are_relayed_only_by_an_explicit_yes(
    path: str, decision: Any, line: bytes
) -> None:
    handler = object_with(store=deciding(True))
    if decision is not None:
        handler.accept_recipient = deciding(decision)
    handler.served_domains = {"mx.example"}
    stream = decided([*BEGIN[:2], ("250", f"RCPT TO:{path}")], line[:3].decode(), handler)
    assert b"\r\n" + line in stream.written


# --- Content ----------------------------------------------------------------------------------------------


class Sink:
    """Notes what is done to it; fails where it is told to."""

    def __init__(
        self, *, failing: dict[str, BaseException] | None = None, decision: Any = True, later: bool = False
    ) -> None:
        self.calls: list[str] = []
        self.data = b""
        self._failing = failing or {}
        self._decision = decision
        self._later = later

    def _do(self, name: str, result: Any = None) -> Any:
        self.calls.append(name)

        async def later() -> Any:
            return now()

        def now() -> Any:
            if name in self._failing:
                raise self._failing[name]
            return result

        return later() if self._later else now()

    def write(self, data: bytes) -> Any:
        self.data += data
        return self._do("write")

    def finish(self) -> Any:
        return self._do("finish", self._decision)

    def abort(self) -> Any:
        return self._do("abort")


@pytest.fixture(params=[False, True], ids=["plain", "async"])
def later(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("decision, reply", [(True, "250"), (False, "554"), (Reply(450, None, "no"), "450")])
def test_a_sink_gets_the_pieces_and_decides_at_the_end(decision: Any, reply: str, later: bool) -> None:
    sink = Sink(decision=decision, later=later)
    steps = [*TO_DATA, ("354", ["Subject: x", "\nbody\n."]), (reply, "QUIT")]
    serve(object_with(begin_message=deciding(sink)), steps, last="221")
    assert sink.data == OCTETS
    assert sink.calls == ["write", "write", "finish"], "whatever it decides, it has had its end"


@pytest.mark.parametrize("decision", [None, "yes", RuntimeError(SECRET)])
def test_a_sink_that_does_not_decide_is_aborted(decision: Any, later: bool) -> None:
    failing = {"finish": decision} if isinstance(decision, BaseException) else {}
    sink = Sink(failing=failing, decision=decision, later=later)
    stream = decided(TO_CONTENT, "451", object_with(begin_message=deciding(sink)))
    assert sink.calls == ["write", "finish", "abort"]
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize("number, reply", [(errno.ENOSPC, "452"), (errno.EDQUOT, "452"), (errno.EIO, "451")])
def test_a_sink_that_cannot_write_gets_no_more_and_is_aborted(number: int, reply: str, later: bool) -> None:
    """The reply comes at the true end of the content."""
    sink = Sink(failing={"write": OSError(number, "no")}, later=later)
    steps = [*TO_DATA, ("354", ["Subject: x", "\nbody\n."])]
    decided(steps, reply, object_with(begin_message=deciding(sink)))
    assert sink.calls == ["write", "abort"]


def test_the_next_message_has_a_new_chance(later: bool) -> None:
    sinks = [Sink(failing={"write": OSError(errno.ENOSPC, "no")}, later=later), Sink(later=later)]
    given = iter(sinks)
    steps = [*TO_CONTENT, ("452", BEGIN[1][1]), *TO_CONTENT[2:], ("250", "QUIT")]
    serve(object_with(begin_message=lambda *arguments: next(given)), steps, last="221")
    assert [sink.calls[-1] for sink in sinks] == ["abort", "finish"]


@pytest.mark.req("SES-38")
@pytest.mark.parametrize("end", [EOF, OSError(104, "Connection reset by peer")])
def test_a_sink_is_aborted_when_the_client_vanishes(end: Any, later: bool) -> None:
    sink = Sink(later=later)
    gone: list[bool] = []
    handler = object_with(begin_message=deciding(sink), on_disconnect=lambda session: gone.append(True))
    serve(handler, [*TO_DATA, ("354", ["Subject: x\n", end])])
    assert sink.calls == ["write", "abort"]
    assert gone == [True]


@pytest.mark.req("SES-38")
def test_what_was_stored_before_the_client_vanished_stays() -> None:
    """Once, and what came behind it not at all."""
    stored: list[bytes] = []

    def store(session: Any, envelope: Any, content: Any) -> bool:
        stored.append(content.read())
        return True

    steps = [*TO_CONTENT, ("250", BEGIN[1][1]), *TO_DATA[2:], ("354", ["half", EOF])]
    serve(object_with(store=store), steps)
    assert stored == [OCTETS]


def test_a_sink_is_aborted_when_the_content_is_refused(later: bool) -> None:
    sink = Sink(later=later)
    steps = [*TO_DATA, ("354", b"a\nb\r\n.\r\n")]
    decided(steps, "550", object_with(begin_message=deciding(sink)))
    assert sink.calls[-1] == "abort"
    assert "finish" not in sink.calls


def test_a_sink_is_aborted_when_the_session_is_cancelled(later: bool) -> None:
    sink = Sink(later=later)
    with pytest.raises(KeyboardInterrupt):
        serve(
            object_with(begin_message=deciding(sink)),
            [*TO_DATA, ("354", ["Subject: x\n", KeyboardInterrupt()])],
            last="421",
        )
    assert sink.calls == ["write", "abort"]


def test_354_without_a_sink_is_not_sent(ways: Any, caplog: pytest.LogCaptureFixture) -> None:
    decided(TO_DATA, "451", object_with(begin_message=ways(Reply(354, None, "go on"))))
    (record,) = caplog.records
    assert "has to return a sink with write(), finish() and abort(), False or a Reply" in record.message


def test_a_sink_whose_reply_cannot_be_sent_is_aborted(later: bool) -> None:
    sink = Sink(later=later, decision=Reply(251, "2.1.5", "ok"))
    decided(TO_CONTENT, "451", object_with(begin_message=deciding(sink)))
    assert sink.calls == ["write", "finish", "abort"]


def test_a_sink_that_fails_to_abort_harms_nobody(later: bool, caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(failing={"finish": OSError(), "abort": RuntimeError("again")}, later=later)
    decided(TO_CONTENT, "451", object_with(begin_message=deciding(sink)))
    assert ["Sink.finish" in caplog.messages[0], "Sink.abort" in caplog.messages[1]] == [True, True]


@pytest.mark.parametrize("size", [10, 2000])
def test_store_gets_a_file_whatever_the_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed afterwards."""
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)
    kept: list[Any] = []

    async def store(session: Any, envelope: Any, content: Any) -> bool:
        kept.append(content)
        # A message of any size must not be held in memory.
        assert isinstance(content, io.BytesIO) == (size < 1000)
        return bool(content.read() == b"x" * size + b"\r\n")

    decided([*TO_DATA, ("354", ["x" * size, "."])], "250", object_with(store=store))
    assert kept[0].closed


def test_the_file_of_a_message_that_is_not_finished_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = callbacks.Spool

    class Spool(original):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(callbacks, "Spool", Spool)
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    serve(object_with(store=deciding(True)), [*TO_DATA, ("354", ["x", EOF])])
    assert made[0]._file.closed


# --- AUTH -------------------------------------------------------------------------------------------------

AUTH = ServerConfig(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)
LOGIN = [BEGIN[0], ("250", "AUTH PLAIN AGpvZQBzZWNyZXQ=")]


@pytest.mark.req("AUT-51")
@pytest.mark.parametrize(
    "decision, reply",
    [
        (True, "235"),
        (False, "535"),
        (None, "454"),
        ("yes", "454"),
        (RuntimeError(SECRET), "454"),
        (OSError(errno.ENOSPC, "No space left on device"), "454"),
        (Reply(534, "5.7.9", "too weak"), "534"),
        (Reply(235, "2.7.0", "welcome"), "235"),
        (Reply(250, "2.0.0", "welcome"), "454"),
        (Reply(421, None, "bye"), "421"),
    ],
)
def test_check_credentials(decision: Any, reply: str, ways: Any) -> None:
    stream = decided(LOGIN, reply, object_with(check_credentials=ways(decision)), config=AUTH)
    assert SECRET.encode() not in stream.written


@pytest.mark.parametrize(
    "decision, reply",
    [
        (False, b"535 5.7.8 credentials not accepted\r\n"),
        (None, b"454 4.7.0 temporary authentication failure\r\n"),
    ],
)
def test_a_login_that_is_refused_has_its_status_code(decision: Any, reply: bytes) -> None:
    handler = object_with(check_credentials=deciding(decision))
    assert reply in decided(LOGIN, reply[:3].decode(), handler, config=AUTH).written


def test_credentials_are_checked_with_what_was_given() -> None:
    told: list[Credentials] = []

    def check(session: ServerSession, credentials: Credentials) -> bool:
        told.append(credentials)
        return credentials.matches("secret")

    sessions: list[ServerSession] = []
    handler = object_with(check_credentials=check, on_disconnect=sessions.append)
    decided(LOGIN, "235", handler, config=AUTH)
    assert told[0].username == "joe"
    assert sessions[0].connection.authenticated == "joe"


def test_who_does_not_check_lets_nobody_in() -> None:
    decided(LOGIN, "535", Handler(), config=AUTH)


class Secret(ServerMechanism):
    """Asks for what is on record; right if that is what the client says."""

    name = "X-SECRET"

    def step(self, response: bytes) -> Any:
        self.response = response.decode()
        return self.ask(SecretRequest(self.name, "joe", None))

    def supply(self, secret: Any) -> Any:
        self.answer()
        return Succeeded("joe") if secret == self.response else Failed("wrong")


@pytest.mark.req("AUT-51")
@pytest.mark.parametrize(
    "secret, reply",
    [
        ("secret", "235"),
        ("other", "535"),
        (None, "535"),
        (RuntimeError(SECRET), "454"),
        (OSError(errno.ENOSPC, "No space left on device"), "454"),
    ],
)
def test_stored_secret(secret: Any, reply: str, ways: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVER_MECHANISMS, "X-SECRET", Secret)
    config = ServerConfig(auth_mechanisms=("X-SECRET",))
    steps = [BEGIN[0], ("250", "AUTH X-SECRET c2VjcmV0")]
    stream = decided(steps, reply, object_with(lookup_secret=ways(secret)), config=config)
    assert SECRET.encode() not in stream.written


def test_a_secret_that_the_mechanism_cannot_use_is_a_temporary_failure(
    ways: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Secret):
        def supply(self, secret: Any) -> Any:
            raise LocalProtocolError(f"{secret!r} is not a stored secret")

    monkeypatch.setitem(SERVER_MECHANISMS, "X-SECRET", Picky)
    config = ServerConfig(auth_mechanisms=("X-SECRET",))
    steps = [BEGIN[0], ("250", "AUTH X-SECRET c2VjcmV0")]
    decided(steps, "454", object_with(lookup_secret=ways(SECRET)), config=config)
    (record,) = caplog.records
    assert "a secret that X-SECRET can use" in record.message
    assert SECRET not in record.message and record.exc_info is None


def test_who_keeps_no_secrets_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVER_MECHANISMS, "X-SECRET", Secret)
    config = ServerConfig(auth_mechanisms=("X-SECRET",))
    decided([BEGIN[0], ("250", "AUTH X-SECRET c2VjcmV0")], "535", Handler(), config=config)


# --- The rest ---------------------------------------------------------------------------------------------


def test_what_the_core_refuses_by_itself_can_be_heard_of(ways: Any) -> None:
    heard: list[CommandRejected] = []

    def rejected(session: ServerSession, event: CommandRejected) -> Any:
        heard.append(event)
        return ways(RuntimeError("no matter"))()

    steps = [BEGIN[0], ("250", "XYZZY"), ("500", "DATA")]
    decided(steps, "503", object_with(on_rejected=rejected))
    assert [(event.line, event.reply.code) for event in heard] == [(b"XYZZY", 500), (b"DATA", 503)]


def test_what_the_core_refuses_by_itself_need_not_be_heard_of() -> None:
    decided([BEGIN[0], ("250", "XYZZY")], "500", Handler())


def test_what_came_in_plaintext_after_STARTTLS_is_a_warning_and_is_not_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    steps = [BEGIN[0], ("250", f"STARTTLS\nAUTH PLAIN {SECRET}"), (TLS_BEHIND_220, TlsInfo()), (b"", "QUIT")]
    serve(Handler(), steps, last="221", ssl_context=context)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "('192.0.2.2', 25) sent 44 octets in plaintext after STARTTLS" in record.message
    assert SECRET not in record.message


@pytest.mark.parametrize(
    "content, last, why",
    [
        (b"a\nb\r\n.\r\n", "550", "550 5.6.0 the content has an LF without CR"),
        ([b"a\r\n", EOF], b"", "the connection ended within its content"),
    ],
)
def test_a_message_that_is_not_stored_is_a_line_in_the_log(
    content: Any, last: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "smtpcore")
    steps = [*TO_DATA, ("354", content)]
    if last == "550":
        steps.append(("550", EOF))
        last = b""
    serve(object_with(store=deciding(True)), steps, last=last)
    (record,) = caplog.records
    assert record.message.startswith(f"a message from ('192.0.2.2', 25) is not stored: {why}")


def test_a_failing_farewell_harms_nobody(ways: Any, caplog: pytest.LogCaptureFixture) -> None:
    decided([BEGIN[0]], "250", object_with(on_disconnect=ways(RuntimeError(SECRET))))
    assert len(caplog.records) == 1


def test_what_wants_no_decision_of_the_application_is_answered() -> None:
    steps = [BEGIN[0], ("250", "NOOP"), ("250", "RSET"), ("250", "HELP")]
    decided(steps, "214", Handler())


def test_nothing_is_said_without_a_handler_having_been_asked() -> None:
    """A handler that never comes back gives no 250."""
    with pytest.raises(KeyboardInterrupt):
        serve(object_with(store=deciding(KeyboardInterrupt())), TO_CONTENT, last="421")
