"""A recorder only listens: whenever it fails, the session is the one that it would be without a recorder."""

from __future__ import annotations

import ast
import errno
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import smtpcore
from smtpcore import ConnectionFailed, TlsInfo
from smtpcore._net import client as _flows
from smtpcore._net.connect import connect_client
from smtpcore._net.recorder import Recorder
from smtpcore._net.stream import run
from smtpcore.handlers import Handler
from smtpcore.transcript import Entry, Transcript

from ..helpers.scripted import EOF, QUIT, TLS_BEHIND_220, serve, talk

PACKAGE = Path(smtpcore.__file__).parent
CALLS = ("record_client", "record_server", "record_tls", "record_note", "record_end")
MAIL = [
    ("220", "EHLO client.example"),
    ("250", "MAIL FROM:<a@client.example>\nRCPT TO:<b@mx.example>\nDATA"),
    ("250 250 354", "Subject: x\n\nbody\n."),
]


class Failing:
    """A recorder that fails at its ``number``-th call, and at each later one."""

    def __init__(self, number: int, error: BaseException) -> None:
        self.calls: list[str] = []
        self._number = number
        self._error = error

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if len(self.calls) >= self._number:
            raise self._error

    def record_client(self, data: bytes) -> None:
        self._called("record_client")

    def record_server(self, data: bytes) -> None:
        self._called("record_server")

    def record_tls(self, description: str) -> None:
        self._called("record_tls")

    def record_note(self, text: str) -> None:
        self._called("record_note")

    def record_end(self) -> None:
        self._called("record_end")


def delivered(factory: Callable[[], Any] | None) -> tuple[list[bytes], bytes]:
    """Serve one message, under TLS; returns what was stored, and all that was written to the client."""
    stored: list[bytes] = []

    class Store:
        def store(self, session: object, envelope: object, content: Any) -> bool:
            stored.append(content.read())
            return True

    steps = [MAIL[0], ("250", "STARTTLS"), (TLS_BEHIND_220, TlsInfo()), (b"", MAIL[0][1]), *MAIL[1:]]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stream = serve(Store(), [*steps, ("250", "QUIT")], last="221", ssl_context=context, transcript=factory)
    return stored, stream.written


CALLS_OF_A_SESSION = 15  # that takes one message; one of them has the 250 for it


@pytest.mark.parametrize("number", range(1, CALLS_OF_A_SESSION + 1))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("a defect")])
def test_a_server_does_not_notice_that_its_recorder_fails(
    number: int, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    without = delivered(None)
    recorder = Failing(number, error)
    assert delivered(lambda: recorder) == without
    assert without[0] == [b"Subject: x\r\n\r\nbody\r\n"]
    assert len(recorder.calls) == number  # and none after it has failed
    (record,) = caplog.records
    assert record.message.startswith("a recorder failed and is not called again in this session")
    assert record.name == "smtpcore"
    assert str(error) in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, RuntimeError)


def test_a_session_makes_as_many_calls_as_the_test_above_lets_fail() -> None:
    recorder = Failing(1000, RuntimeError())
    delivered(lambda: recorder)
    assert len(recorder.calls) == CALLS_OF_A_SESSION and set(recorder.calls) == set(CALLS) - {"record_note"}


def test_a_sink_that_fails_does_not_make_a_duplicate_of_a_stored_message() -> None:
    def sink(entry: Entry) -> None:
        if entry.text.startswith("250 2.0.0"):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert b"\r\n250 2.0.0 message accepted\r\n" in delivered(lambda: Transcript(sink=sink))[1]


@pytest.mark.parametrize("made", [OSError(errno.EMFILE, "Too many open files"), object()])
def test_a_recorder_that_cannot_be_made_or_is_none_costs_no_session(
    made: object, caplog: pytest.LogCaptureFixture
) -> None:
    def factory() -> object:
        if isinstance(made, Exception):
            raise made
        return made

    assert delivered(factory) == delivered(None)
    (record,) = caplog.records
    assert record.message.startswith(
        "no recorder could be made for a session: " if isinstance(made, Exception) else "a recorder failed"
    )


def test_secrets_are_passed_on_to_be_hidden() -> None:
    transcript = Transcript()
    recorder = Recorder(transcript)
    recorder.hide("correct horse")
    recorder.record_server(b"220 mx.example\r\n")
    recorder.record_server(b"500 unknown: correct horse\r\n")
    assert "correct horse" not in str(transcript)
    assert "500 ***" in str(transcript)


@pytest.mark.parametrize("steps", [[MAIL[0], ("250", EOF)], [MAIL[0], ("250", ConnectionResetError())]])
def test_a_recorder_that_fails_when_the_client_is_gone(steps: Any) -> None:
    for number in range(1, 7):
        serve(Handler(), steps, transcript=lambda number=number: Failing(number, RuntimeError()))


def test_a_client_does_not_notice_that_its_recorder_fails(caplog: pytest.LogCaptureFixture) -> None:
    steps = [
        ("MAIL FROM:<a@client.example>", "250 ok"),
        ("RCPT TO:<b@mx.example>", "250 ok"),
        ("DATA", "354 go"),
        ("Subject: x\n\nbody\n.", "250 stored"),
        QUIT,
    ]

    async def send(client: _flows.Client) -> Any:
        return await client.send("a@client.example", ["b@mx.example"], b"Subject: x\r\n\r\nbody\r\n")

    everything = Failing(1000, RuntimeError())
    talk(steps, send, transcript=everything)
    assert set(everything.calls) == {"record_client", "record_server", "record_note", "record_end"}
    for number in range(1, len(everything.calls) + 1):
        caplog.clear()
        recorder = Failing(number, RuntimeError("a defect"))
        assert talk(steps, send, transcript=recorder).accepted_recipients == ("b@mx.example",)
        assert len(recorder.calls) == number
        assert len(caplog.records) == 1


def test_a_connection_that_fails_is_told_whatever_the_recorder_does() -> None:
    async def fails(*arguments: object, **options: object) -> Any:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    recorder: Any = Failing(1, RuntimeError())
    with pytest.raises(ConnectionFailed):
        run(connect_client(fails, "mx.example", 25, {"transcript": recorder}))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_what_ends_the_program_is_not_swallowed(error: BaseException) -> None:
    failing: Any = Failing(1, error)
    with pytest.raises(type(error)):
        Recorder(failing).record_note("x")


# -- the rule --


def unguarded_calls(source: str) -> list[int]:
    """The lines in which a method of a transcript is called that may fail."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CALLS
        and ast.unparse(node.func.value).endswith("transcript")
    ]


def test_the_rule_finds_a_call_that_is_not_guarded() -> None:
    assert unguarded_calls(
        "self.transcript.record_note(x)\ntranscript.record_end()\nself._recorder.record_end()\n"
    ) == [1, 2]


@pytest.mark.parametrize(
    "module",
    [
        "_net/client",
        "_net/dialogue",
        "_net/sending",
        "_net/connect",
        "_net/session",
        "_net/basestream",
        "_net/stream",
        "_net/listener",
        "_net/callbacks",
        "_net/serving",
        "sync",
        "asyncio",
        "trio",
    ],
)
def test_sessions_call_their_recorder_in_one_way(module: str) -> None:
    assert unguarded_calls((PACKAGE / f"{module}.py").read_text(encoding="utf-8")) == []
