"""The exceptions: who is to blame, what is known, and what is shown."""

from __future__ import annotations

import base64
import copy
import dataclasses
import inspect
import re
import traceback
from typing import Any

import pytest

from smtpcore import (
    ArgumentTypeError,
    AuthenticationUnavailable,
    Connect,
    ConnectionFailed,
    ConnectionLost,
    Data,
    EndOfMessage,
    ErrorContext,
    LocalProtocolError,
    Mail,
    ProtocolError,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    Response,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
    TransportError,
)
from smtpcore._core import errors as _errors
from smtpcore._core import failures as _failures
from smtpcore._net import errors as _net_errors
from smtpcore._net.stream import run
from smtpcore.transcript import Transcript
from tests.helpers.scripted import ANY, EOF, GREETING, Stream, connect, ehlo

REFUSED = Response(Mail("a@example.org"), Reply(550, "5.7.1", "go away"))
LATER = Response(Rcpt("a@example.org"), Reply(451, "4.3.0", "not now"))
MODULES = (_errors, _failures, _net_errors)
ERRORS = [
    *{
        one: None
        for module in MODULES
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Exception)
    }
]


def make(cls: type[SMTPError]) -> SMTPError:
    return cls(REFUSED) if issubclass(cls, ReplyError) else cls("it failed")


@pytest.mark.parametrize("cls", ERRORS)
def test_every_error_is_an_SMTPError_and_has_no_context_at_first(cls: type[SMTPError]) -> None:
    error = make(cls)
    assert isinstance(error, SMTPError)
    assert (error.context, error.hint, error.transcript, error.result) == (None, None, None, None)


@pytest.mark.parametrize("cls", ERRORS)
def test_a_hint_is_shown_after_the_message(cls: type[SMTPError]) -> None:
    error = make(cls)
    text = str(error)
    assert text and "hint" not in text
    error.hint = "try port 587"
    assert str(error) == f"{text} (hint: try port 587)"
    assert make(cls).hint is None, "the hint of one is not that of all"


def test_error_classes_tell_local_mistakes_remote_mistakes_and_lost_connections_apart() -> None:
    assert issubclass(LocalProtocolError, ProtocolError) and issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(ConnectionLost, ProtocolError) and not issubclass(ReplyError, ProtocolError)
    assert issubclass(TlsUnavailable, TlsError)
    for kind in (ConnectionLost, ConnectionFailed, TimedOut):
        assert kind.__bases__[0] is TransportError, "none is another"
    with pytest.raises(TimeoutError):
        raise TimedOut("no answer")


def test_a_remote_protocol_error_carries_the_offending_reply() -> None:
    reply = Reply(354)
    assert RemoteProtocolError("what?").reply is None
    assert RemoteProtocolError("what?", reply=reply).reply is reply
    assert str(RemoteProtocolError("what?", reply=reply)) == "what?"


@pytest.mark.parametrize("kind", [RemoteProtocolError, ConnectionLost, TimedOut])
def test_the_message_of_an_error_may_be_given_by_its_name(kind: Any) -> None:
    assert str(kind(message="it failed")) == "it failed"


@pytest.mark.parametrize(
    "error, retryable",
    [
        *[(kind("no"), False) for kind in (SMTPError, ProtocolError, LocalProtocolError)],
        *[(kind("no"), True) for kind in (RemoteProtocolError, TlsError, TlsUnavailable)],
        *[(kind("no"), True) for kind in (TransportError, ConnectionLost, ConnectionFailed, TimedOut)],
        *[(ReplyError(REFUSED), False), (ReplyError(LATER), True)],
        *[(RemoteProtocolError("no", reply=Reply(code)), code < 500) for code in (250, 354, 451, 550)],
        (AuthenticationUnavailable("no"), False),
    ],
)
def test_every_error_says_whether_another_attempt_may_succeed(error: SMTPError, retryable: bool) -> None:
    assert error.retryable is retryable


@pytest.mark.parametrize("cls", [TransportError, ConnectionLost, ConnectionFailed, TimedOut])
def test_a_lost_connection_lists_the_unanswered_commands(cls: type[TransportError]) -> None:
    error = cls("gone")
    assert (error.outstanding, error.maybe_delivered) == ((), False)
    error = cls("gone", outstanding=[Mail(""), Data()], maybe_delivered=True)
    assert (error.outstanding, error.maybe_delivered) == ((Mail(""), Data()), True)
    assert str(error) == "gone"


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if issubclass(cls, ReplyError)])
def test_a_refusal_carries_its_reply_and_says_whether_to_try_again(cls: type[ReplyError]) -> None:
    error = cls(REFUSED)
    assert (error.response, error.reply, error.retryable) == (REFUSED, REFUSED.reply, False)
    assert cls(LATER).retryable
    assert str(error) == "MAIL was answered 550 5.7.1 go away"
    assert str(cls(LATER, "nobody was taken")) == "nobody was taken"


def test_a_refused_message_or_connection_is_described_in_words() -> None:
    reply = Reply(451, "4.3.0", "later")
    assert str(ReplyError(Response(EndOfMessage(), reply))) == "the message was refused: 451 4.3.0 later"
    assert str(ReplyError(Response(Connect(), reply))) == "the connection was refused: 451 4.3.0 later"


def test_a_wrong_type_is_a_local_error_and_a_type_error() -> None:
    assert issubclass(ArgumentTypeError, LocalProtocolError)
    assert issubclass(ArgumentTypeError, TypeError)


def test_a_refusal_shows_nothing_that_a_terminal_would_obey() -> None:
    reply = Reply._received(550, None, ("\x1b[2Jgone\x9b2J",))
    assert str(RecipientsRefused(Response(Data(), reply))).isprintable()


TRICKS = "\x07\x1b]0;x\x07\x1b[2J\x7f\x9b2J\u202ecod\u2066.\u061c\u2028\u200b\ufeff"


@pytest.mark.req("RPL-10", "EHL-12")
@pytest.mark.parametrize(
    "steps, options",
    [
        ([(b"", f"554 {TRICKS}")], {}),
        ([(b"", f"220-{TRICKS}\n521 {TRICKS}")], {}),
        ([(b"", f"354 {TRICKS}")], {}),
        ([(b"", TRICKS)], {}),
        ([GREETING, (ANY, f"550 {TRICKS} https://x.example/{TRICKS}")], {}),
        ([GREETING, (ANY, f"250-mx\n250-X-A {TRICKS}\n250 AUTH {TRICKS}")], {"security": "starttls"}),
        ([GREETING, (ANY, f"250-mx\n250-STARTTLS {TRICKS}\n250 X")], {"auth": ("user", "password")}),
        ([GREETING, (ANY, f"250-mx\n250-AUTH {TRICKS}\n250 X-B {TRICKS}")], {"auth": ("user", "password")}),
        ([GREETING, (ANY, f"250 mx\n250 {TRICKS}")], {"auth": ("user", "password")}),
        ([GREETING, ehlo("STARTTLS"), ("STARTTLS", f"454 {TRICKS}")], {"security": "starttls"}),
        (
            [GREETING, ehlo("AUTH PLAIN"), (ANY, f"535 {TRICKS}")],
            {"auth": ("user", "password"), "allow_cleartext_auth": True},
        ),
        (
            [GREETING, ehlo("AUTH PLAIN"), (ANY, f"334 {TRICKS}"), ("*", f"235 {TRICKS}")],
            {"auth": ("user", "password"), "allow_cleartext_auth": True},
        ),
    ],
)
def test_nothing_that_a_terminal_would_obey_gets_into_an_error(steps: Any, options: dict[str, Any]) -> None:
    with pytest.raises(SMTPError) as caught:
        connect(Stream([*steps, (ANY, EOF)]), **options)
    error = caught.value
    assert error.context is not None
    shown = [str(error), repr(error), error.hint or "", repr(error.context), *error.context.capabilities]
    shown += [repr(getattr(error, "reply", None)), getattr(error, "line", None) or ""]
    shown += traceback.format_exception(error)
    for text in shown:
        assert text.replace("\n", "").isprintable()


PASSWORD = "s3cr3t-p4ssw0rd"
MESSAGE = base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode()


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("echo", [PASSWORD, MESSAGE, f"AUTH PLAIN {MESSAGE[:-8]}"])
@pytest.mark.parametrize(
    "answer",
    ["421 {}", "535 {}", "{}", "999 {}", b"535 {}\n", "535-{}\n550 {}", ["334 ", "235 {}"], "235 ok\n250 {}"],
)
def test_no_error_and_no_transcript_shows_a_secret(answer: Any, echo: str) -> None:
    said = [answer] if isinstance(answer, (str, bytes)) else answer
    said = [
        one.replace(b"{}", echo.encode()) if isinstance(one, bytes) else one.replace("{}", echo) for one in said
    ]
    steps = [
        (b"", "220 x"),
        (ANY, "250-x\n250 AUTH PLAIN"),
        *((ANY, one) for one in said),
        (ANY, EOF),
        (ANY, EOF),
    ]
    transcript = Transcript()
    options = {"auth": ("user", PASSWORD), "allow_cleartext_auth": True, "transcript": transcript}
    with pytest.raises(SMTPError) as caught:
        run(connect(Stream(steps), **options).noop())
    error = caught.value
    shown = [str(error), repr(error), error.hint or "", repr(error.context), *traceback.format_exception(error)]
    shown += [repr(getattr(error, "reply", None)), str(getattr(error, "reply", None)), str(transcript)]
    for text in shown:
        assert PASSWORD not in text
        assert MESSAGE[:-8] not in text


def test_the_context_of_a_copied_error_is_independent() -> None:
    facts = ErrorContext(host="mx.example.org", port=25)
    other = copy.copy(facts)
    other.phase = "rcpt"
    assert (facts.phase, facts.security, facts.tls, facts.capabilities) == ("connect", "none", False, ())
    assert facts != other and facts == ErrorContext(host="mx.example.org", port=25)
    with pytest.raises(AttributeError):
        facts.no_such_fact = 1


def test_the_docstring_explains_every_fact_in_order() -> None:
    _, _, section = inspect.cleandoc(ErrorContext.__doc__ or "").partition("Attributes:\n")
    assert re.findall(r"^    (\w+): ", section, re.MULTILINE) == [
        one.name for one in dataclasses.fields(ErrorContext)
    ]


@pytest.mark.parametrize("cls", ERRORS)
def test_the_docstring_explains_the_attributes(cls: type[SMTPError]) -> None:
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    for name in re.findall(r"^    (\w+): ", section, re.MULTILINE):
        assert hasattr(make(cls), name)
    own = [name for name in vars(make(cls)) if name not in section]
    assert all(any(name in (base.__doc__ or "") for base in cls.__mro__[1:]) for name in own)


def test_errors_of_two_classes_are_never_equal() -> None:
    assert SMTPError("x") == SMTPError("x")
    assert (SMTPError("x") == LocalProtocolError("x")) is False
    assert (SMTPError("x") == "x") is False


def test_a_wrong_type_is_told_with_the_value() -> None:
    error = _errors.wrong_type("port", "a number", "25")
    assert isinstance(error, ArgumentTypeError)
    assert str(error) == "port is a number, not str '25'"
