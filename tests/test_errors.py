"""The exceptions: who is to blame, what is known, and what is shown."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re

import pytest

from smtpcore import (
    ArgumentTypeError,
    Connect,
    ConnectFailed,
    ConnectionLost,
    Data,
    EndOfMessage,
    LocalProtocolError,
    Mail,
    ProtocolError,
    Rcpt,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    Response,
    SessionFacts,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
    _errors,
)

REFUSED = Response(Mail("a@example.org"), Reply(550, "5.7.1", "go away"))
LATER = Response(Rcpt("a@example.org"), Reply(451, "4.3.0", "not now"))
ERRORS = [one for one in vars(_errors).values() if isinstance(one, type) and issubclass(one, Exception)]


def make(cls: type[SMTPError]) -> SMTPError:
    return cls(REFUSED) if issubclass(cls, ReplyError) else cls("it failed")


@pytest.mark.parametrize("cls", ERRORS)
def test_everything_is_an_smtp_error_without_facts_until_there_are_any(cls: type[SMTPError]) -> None:
    error = make(cls)
    assert isinstance(error, SMTPError)
    assert (error.facts, error.hint, error.transcript, error.result) == (None, None, None, None)


@pytest.mark.parametrize("cls", ERRORS)
def test_a_hint_is_shown_behind_what_happened(cls: type[SMTPError]) -> None:
    error = make(cls)
    text = str(error)
    assert text and "hint" not in text
    error.hint = "try port 587"
    assert str(error) == f"{text} (hint: try port 587)"
    assert make(cls).hint is None, "the hint of one is not that of all"


def test_who_is_to_blame() -> None:
    assert issubclass(LocalProtocolError, ProtocolError) and issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(ConnectionLost, ProtocolError) and not issubclass(ReplyError, ProtocolError)
    assert issubclass(ConnectFailed, ConnectionLost) and issubclass(TlsUnavailable, TlsError)
    assert issubclass(TimedOut, ConnectionLost)
    with pytest.raises(TimeoutError):
        raise TimedOut("no answer")


def test_the_peers_mistake_may_have_been_a_reply() -> None:
    reply = Reply(354)
    assert RemoteProtocolError("what?").reply is None
    assert RemoteProtocolError("what?", reply=reply).reply is reply
    assert str(RemoteProtocolError("what?", reply=reply)) == "what?"


@pytest.mark.parametrize("cls", [ConnectionLost, ConnectFailed, TimedOut])
def test_a_lost_connection_tells_what_was_unanswered(cls: type[ConnectionLost]) -> None:
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


def test_a_refusal_of_what_is_not_a_command_is_told_in_words() -> None:
    reply = Reply(451, "4.3.0", "later")
    assert str(ReplyError(Response(EndOfMessage(), reply))) == "the message was refused: 451 4.3.0 later"
    assert str(ReplyError(Response(Connect(), reply))) == "the connection was refused: 451 4.3.0 later"


def test_a_wrong_type_is_a_local_error_and_a_type_error() -> None:
    assert issubclass(ArgumentTypeError, LocalProtocolError)
    assert issubclass(ArgumentTypeError, TypeError)


def test_a_refusal_shows_nothing_that_a_terminal_would_obey() -> None:
    reply = Reply._received(550, None, ("\x1b[2Jgone\x9b2J",))
    assert str(RecipientsRefused(Response(Data(), reply))).isprintable()


def test_facts_belong_to_one_conversation() -> None:
    facts = SessionFacts(host="mx.example.org", port=25)
    other = copy.copy(facts)
    other.phase = "rcpt"
    assert (facts.phase, facts.security, facts.tls, facts.offered) == ("connect", "none", False, ())
    assert facts != other and facts == SessionFacts(host="mx.example.org", port=25)
    with pytest.raises(AttributeError):
        facts.no_such_fact = 1


def test_the_docstring_explains_every_fact_in_order() -> None:
    _, _, section = inspect.cleandoc(SessionFacts.__doc__ or "").partition("Attributes:\n")
    assert re.findall(r"^    (\w+): ", section, re.MULTILINE) == [
        one.name for one in dataclasses.fields(SessionFacts)
    ]


@pytest.mark.parametrize("cls", ERRORS)
def test_the_docstring_explains_the_attributes(cls: type[SMTPError]) -> None:
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    for name in re.findall(r"^    (\w+): ", section, re.MULTILINE):
        assert hasattr(make(cls), name)
    own = [name for name in vars(make(cls)) if name not in section]
    assert all(any(name in (base.__doc__ or "") for base in cls.__mro__[1:]) for name in own)
