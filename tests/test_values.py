"""Everything public that is a value: it compares by value, and can be copied, deep-copied and pickled.

There is a sample of each public class, or a reason why it is none; a new name without either fails the test.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from types import MappingProxyType
from typing import Any

import pytest

import smtpcore
from smtpcore import (
    ArgumentTypeError,
    Auth,
    AuthenticationFailed,
    AuthenticationUnavailable,
    Capabilities,
    Chunk,
    CommandNotSent,
    CommandRejected,
    Connect,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    Credentials,
    Data,
    Ehlo,
    EndOfMessage,
    EnhancedStatusCode,
    Envelope,
    ErrorContext,
    Event,
    Exchange,
    Expn,
    ForwardPath,
    Helo,
    Help,
    InputDiscarded,
    Limits,
    LocalProtocolError,
    Mail,
    Mailbox,
    MessageAborted,
    MessageTooBig,
    Noop,
    ProtocolError,
    Quit,
    Rcpt,
    RecipientResult,
    RecipientsRefused,
    RemoteProtocolError,
    Reply,
    ReplyError,
    Response,
    ReversePath,
    Rset,
    SecretRequest,
    SendOutcome,
    SendResult,
    ServerConfig,
    SMTPError,
    StartTls,
    State,
    TimedOut,
    Timeouts,
    TlsError,
    TlsInfo,
    TlsUnavailable,
    TransportError,
    Vrfy,
    message,
    sasl,
    transcript,
)
from smtpcore._core.commands import CommandParser

from .helpers.standard import RULES

REPLY = Reply(550, "5.1.1", ["no such", "user"])
RECEIVED = Reply._received(571, None, ("\x1b\xe4",))
RCPT = Rcpt("b@example.com")
RESULT = SendResult("a@example.org", (RecipientResult("b@example.com", REPLY, False, False),), REPLY)


def with_facts(error: SMTPError) -> SMTPError:
    """An error as it leaves an adapter."""
    error.context = ErrorContext(
        host="mx.example", port=25, reply=REPLY, capabilities=("SIZE 1",), first_octets=b"2"
    )
    error.hint = "try port 587"
    error.transcript = transcript.Transcript(sink=lambda entry: None)
    error.transcript.record_server(b"220 mx\r\n")
    error.result = RESULT
    error.add_note("in the queue run of noon")
    return error


def parsed(line: bytes) -> Event:
    """A command as a server gets it, which goes past the constructor."""
    command = CommandParser(ServerConfig(address_syntax="lenient"), RULES).parse(line.decode())
    assert command is not None
    return command


# Two different values of each class, or only one if all are equal.
SAMPLES: dict[type, list[Any]] = {
    Auth: [Auth("PLAIN", "AA=="), Auth("LOGIN")],
    Capabilities: [Capabilities([("SIZE", ("1",)), ("X-FOO", ())], RULES.readers), Capabilities()],
    Chunk: [Chunk(b"a"), Chunk(b"b")],
    CommandRejected: [CommandRejected(b"FOO", REPLY), CommandRejected(b"BAR", REPLY)],
    Connect: [Connect()],
    ConnectionClosed: [ConnectionClosed()],
    Credentials: [Credentials("PLAIN", "joe", None, "secret"), Credentials("PLAIN", "joe", None, "other")],
    Data: [Data()],
    Ehlo: [Ehlo("a.example"), Ehlo("[192.0.2.1]")],
    EndOfMessage: [EndOfMessage()],
    EnhancedStatusCode: [EnhancedStatusCode(5, 1, 1), EnhancedStatusCode.parse("4.7.0")],
    Envelope: [Envelope(Mail("a@example.org")), Envelope(Mail(""))],
    Expn: [Expn("list"), Expn("other")],
    ForwardPath: [ForwardPath("@relay.example:a@example.org"), ForwardPath("Postmaster")],
    Helo: [Helo("a.example"), Helo("b.example")],
    Help: [Help("MAIL"), Help()],
    InputDiscarded: [InputDiscarded(b"a"), InputDiscarded(b"b")],
    Limits: [Limits(), Limits(message_size=None)],
    Mail: [
        Mail("a@example.org"),
        Mail("a@example.org", {"SIZE": 1, "AUTH": ReversePath("")}),
        Mail("", MappingProxyType({"BODY": "8BITMIME"})),
        parsed(b"MAIL FROM:<a..b@example.org>"),
    ],
    Mailbox: [Mailbox("a b", "example.org"), Mailbox.parse("\xe4@example.org")],
    MessageAborted: [MessageAborted(REPLY), MessageAborted(None)],
    Noop: [Noop("x"), Noop()],
    CommandNotSent: [CommandNotSent(RCPT), CommandNotSent(Data())],
    Quit: [Quit()],
    Rcpt: [RCPT, Rcpt("Postmaster"), parsed(b"RCPT TO:<a.@example.org>")],
    RecipientResult: [*RESULT.results, RecipientResult("b@example.com", None, False, True)],
    Reply: [REPLY, RECEIVED, Reply(250)],
    Response: [
        Response(RCPT, REPLY),
        Response(None, RECEIVED),
        Response(Data(), REPLY, ForwardPath("a@b.example")),
    ],
    ReversePath: [ReversePath("a@example.org"), ReversePath("")],
    Rset: [Rset()],
    SecretRequest: [SecretRequest("X", "joe", None), SecretRequest("X", "joe", "bob")],
    SendResult: [RESULT, SendResult("", ())],
    SendOutcome: [SendOutcome(1, RESULT), SendOutcome(2, RESULT), SendOutcome(1, None, SMTPError("no"))],
    Exchange: [Exchange(RCPT, REPLY), Exchange(RCPT, None), Exchange(None, REPLY)],
    ServerConfig: [
        ServerConfig(),
        ServerConfig(keywords=MappingProxyType({"X-FOO": "bar"})),
        ServerConfig(limits=Limits(recipients=100)),
        ServerConfig(timeouts=Timeouts(idle=1)),
        ServerConfig(require_auth=True),
    ],
    ErrorContext: [ErrorContext(), ErrorContext(host="mx.example", capabilities=("SIZE",), reply=REPLY)],
    StartTls: [StartTls()],
    State: [*State],
    Timeouts: [Timeouts(), Timeouts(connect=1)],
    TlsInfo: [TlsInfo("TLSv1.3", peer_certificate={"subject": ()}), TlsInfo()],
    Vrfy: [Vrfy("Smith"), Vrfy("Jones")],
    **{
        kind: [kind("no"), kind("not now"), with_facts(kind("no"))]
        for kind in (
            *(
                SMTPError,
                ProtocolError,
                LocalProtocolError,
                TlsError,
                TlsUnavailable,
                AuthenticationUnavailable,
            ),
            sasl.MechanismError,
        )
    },
    RemoteProtocolError: [
        RemoteProtocolError("no", reply=REPLY, line="550"),
        RemoteProtocolError("no", reply=REPLY),
        with_facts(RemoteProtocolError("no", reply=REPLY)),
    ],
    ArgumentTypeError: [ArgumentTypeError("wrong"), with_facts(ArgumentTypeError("wrong"))],
    **{
        lost: [
            lost("gone"),
            lost("gone", outstanding=[RCPT, Data()]),
            lost("gone", maybe_delivered=True),
            with_facts(lost("gone")),
        ]
        for lost in (TransportError, ConnectionLost, ConnectionFailed, TimedOut)
    },
    **{
        refusal: [
            refusal(Response(RCPT, REPLY)),
            refusal(Response(Data(), REPLY)),
            refusal(Response(RCPT, REPLY), "in other words"),
            with_facts(refusal(Response(RCPT, REPLY))),
        ]
        for refusal in (ReplyError, AuthenticationFailed, MessageTooBig, RecipientsRefused)
    },
    message.PreparedMessage: [
        message.PreparedMessage("a@b.example", ("c@d.example",), b"x\r\n", False, False),
        message.PreparedMessage("", (), b"\r\n", False, False),
    ],
    sasl.Challenge: [sasl.Challenge(b"x"), sasl.Challenge(b"")],
    sasl.Failed: [sasl.Failed("no"), sasl.Failed("no", malformed=True)],
    sasl.AuthQuestion: [sasl.AuthQuestion("X", "joe", None), sasl.AuthQuestion("X", "bob", None)],
    sasl.Succeeded: [sasl.Succeeded("joe"), sasl.Succeeded("bob")],
    transcript.Entry: [
        transcript.Entry(1.0, 0.0, "C", False, "command", 6, "QUIT"),
        transcript.Entry(1.0, 0.0, "S", True, "reply", 6, "221"),
    ],
}
NO_VALUES: dict[type, str] = {
    smtpcore.ClientConnection: "a session under way",
    smtpcore.ServerConnection: "a session under way",
    smtpcore.Command: "a base class",
    Event: "a base class",
    sasl.StoredSecret: "a base class",
    sasl.ClientMechanism: "a base class",
    sasl.ServerMechanism: "a base class",
    sasl.PasswordMechanism: "a base class",
    sasl.PlainClient: "holds a password, and an exchange under way",
    sasl.LoginClient: "holds a password, and an exchange under way",
    sasl.PlainServer: "an exchange under way",
    sasl.LoginServer: "an exchange under way",
}
MODULES = (smtpcore, sasl, message)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_class_has_a_sample_or_a_reason(module: Any) -> None:
    classes = [one for name in module.__all__ if isinstance(one := getattr(module, name), type)]
    assert [one for one in classes if one not in SAMPLES and one not in NO_VALUES] == []
    assert not SAMPLES.keys() & NO_VALUES.keys()


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_the_sample_is_one(kind: type) -> None:
    assert all(type(one) is kind for one in SAMPLES[kind])


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_a_value_is_equal_to_its_copies_and_to_no_other(kind: type) -> None:
    for number, value in enumerate(SAMPLES[kind]):
        copies = [copy.copy(value), copy.deepcopy(value)]
        copies += [
            pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ]
        for one in copies:
            assert type(one) is kind
            assert one == value
            assert str(one) == str(value)
            assert repr(one) == repr(value)
            if kind.__hash__ is not None and kind is not TlsInfo:  # which may hold a dict
                assert hash(one) == hash(value)
            for other in SAMPLES[kind][:number] + SAMPLES[kind][number + 1 :]:
                assert one != other
        assert value != object()


@pytest.mark.parametrize(
    "kind", [kind for kind in SAMPLES if issubclass(kind, SMTPError)], ids=lambda kind: kind.__name__
)
def test_an_error_keeps_everything_but_what_its_recorder_does(kind: type[SMTPError]) -> None:
    error = SAMPLES[kind][-1]
    for one in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert one.transcript.entries == error.transcript.entries
        assert one.transcript.dropped == error.transcript.dropped
        for name in vars(error):
            assert name == "transcript" or getattr(one, name) == getattr(error, name)
        with pytest.raises(kind):
            raise one


def test_a_copied_transcript_is_a_record_of_its_own() -> None:
    calls: list[transcript.Entry] = []
    original = transcript.Transcript(sink=calls.append, max_entries=1)
    original.record_note("first")
    original.record_note("second")
    copied = copy.deepcopy(original)
    copied.record_note("third")
    assert [entry.text for entry in copied.entries] == ["third"]
    assert [entry.text for entry in original.entries] == ["second"]
    assert (copied.dropped, original.dropped, len(calls)) == (2, 1, 2)


def test_a_configuration_does_not_change_with_what_it_was_made_of() -> None:
    keywords = {"X-FOO": "bar"}
    config = ServerConfig(keywords=keywords)
    keywords["X-BAR"] = ""
    assert config == ServerConfig(keywords={"X-FOO": "bar"})
    assert config == dataclasses.replace(config)
    assert {ServerConfig(): 1}[ServerConfig()] == 1
