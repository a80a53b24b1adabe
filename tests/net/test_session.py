"""Sessions of a server, run event by event against scripted clients: time, TLS, ends of all kinds."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from smtpcore import (
    Chunk,
    Connect,
    EndOfMessage,
    Event,
    Limits,
    LocalProtocolError,
    Mail,
    MessageAborted,
    Noop,
    Rcpt,
    Reply,
    ServerConfig,
    Timeouts,
    TlsInfo,
)
from smtpcore import sync as sync_adapter
from smtpcore._net import session as _sessions
from smtpcore._net.serveroptions import ServerOptions
from smtpcore._net.serving import session_runner
from smtpcore._net.session import ServerSession
from smtpcore._net.stream import run
from smtpcore.transcript import Transcript

from ..helpers.scripted import ANY, EOF, TLS, TLS_BEHIND_220, Clock, Pause, Stream, clock, serve

__all__ = ["clock"]  # a fixture

INFO = TlsInfo("TLSv1.3", "A_CIPHER")
HELLO = ("220", "EHLO client.example")
BEGIN = [HELLO, ("250", "MAIL FROM:<a@client.example>"), ("250", "RCPT TO:<one@mx.example>"), ("250", "DATA")]
STARTTLS = [HELLO, ("250", "STARTTLS")]
SECRET = "the cellar key is under the mat"
LONG = Pause(1_000_000)


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class Recorder:
    """An event-level handler that grants everything, and notes what has happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.session: ServerSession | None = None

    async def __call__(self, session: ServerSession) -> None:
        self.session = session
        async for event in session:
            self.events.append(event)
            if session.unanswered:
                session.accept()

    @property
    def content(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, Chunk))

    @property
    def last(self) -> Event:
        return self.events[-1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


# --- Event by event ---------------------------------------------------------------------------------------


def test_a_session_is_an_iterator_of_events(recorder: Recorder) -> None:
    stream = serve(recorder, [*BEGIN, ("354", "x\n."), ("250", "QUIT")], last="221")
    kinds = [type(event).__name__ for event in recorder.events]
    assert kinds == "Connect Ehlo Mail Rcpt Data Chunk EndOfMessage Quit".split()
    assert recorder.content == b"x\r\n"
    assert recorder.session is not None
    assert recorder.session.peername == recorder.session.connection.peer == ("192.0.2.2", 25)
    assert stream.written.startswith(b"220 mx.example ESMTP")
    assert stream.closed


def test_the_end_of_a_session_is_told_as_often_as_it_is_asked_for() -> None:
    ends: list[Event | None] = []

    async def handle(session: ServerSession) -> None:
        while await session.next_event() is not None:
            if session.unanswered:
                session.accept()
        ends.extend([await session.next_event(), await session.next_event()])
        ends.extend([event async for event in session])

    serve(handle, [HELLO, ("250", "QUIT")], last="221")
    assert ends == [None, None]


def test_a_plain_function_can_run_a_session_on_blocking_sockets() -> None:
    seen: list[str] = []

    def handle(session: sync_adapter.ServerSession) -> None:
        for event in session:
            seen.append(type(event).__name__)
            match event:
                case Rcpt(forward_path=path) if str(path) == "no@mx.example":
                    session.reject(550, "5.1.1", "no such mailbox")
                case Mail():
                    session.send(Reply(250, "2.1.0", "welcome"))
                case _ if session.unanswered:
                    session.accept("as you like")

    stream = Stream([HELLO, ("250", "MAIL FROM:<>"), ("250", "RCPT TO:<no@mx.example>"), ("550", "QUIT")])

    async def session() -> None:
        options = ServerOptions(hostname="mx.example")
        await session_runner(handle, options, sync_adapter.ServerSession)(stream)
        await stream.close()

    run(session())
    stream.finish("221")
    assert seen == ["Connect", "Ehlo", "Mail", "Rcpt", "Quit"]
    assert (
        b"250 2.1.0 welcome\r\n550 5.1.1 no such mailbox\r\n221 2.0.0 mx.example as you like" in stream.written
    )


def test_replies_to_a_group_leave_in_one_write(recorder: Recorder) -> None:
    group = "MAIL FROM:<a@client.example>\nRCPT TO:<one@mx.example>\nRCPT TO:<two@mx.example>\nDATA"
    stream = serve(recorder, [HELLO, ("250", group), ("250 250 250 354", "x\n."), ("250", "QUIT")], last="221")
    assert len(stream.sizes) == 5


def test_a_handler_that_returns_early_has_the_farewell_said_for_it() -> None:
    async def handle(session: ServerSession) -> None:
        async for _ in session:
            session.accept()
            return

    stream = serve(handle, [], last="220 421")
    assert b"421 4.3.0 mx.example local error in processing\r\n" in stream.written


def test_a_handler_may_ignore_its_session_altogether() -> None:
    serve(lambda session: None, [], last="421")


def test_a_handler_that_fails_has_421_said_for_it() -> None:
    """And nothing of what has happened."""

    async def handle(session: ServerSession) -> None:
        async for event in session:
            session.accept()
            if isinstance(event, Mail):
                raise RuntimeError(SECRET)

    stream = Stream(BEGIN[:2])
    with pytest.raises(RuntimeError, match=SECRET):
        serve(handle, [], stream=stream, last="250 421")
    assert b"421 4.3.0 mx.example internal error\r\n" in stream.written
    assert SECRET.encode() not in stream.written


def test_a_handler_that_does_not_answer_fails() -> None:
    async def handle(session: ServerSession) -> None:
        await session.next_event()
        await session.next_event()

    with pytest.raises(LocalProtocolError, match="has to be answered first"):
        serve(handle, [], last="421")


def test_credentials_can_be_answered_by_the_way() -> None:
    config = ServerConfig(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)

    async def handle(session: ServerSession) -> None:
        async for event in session:
            if type(event).__name__ == "Credentials":
                with pytest.raises(LocalProtocolError):
                    session.supply_secret("secret")  # which PLAIN does not ask for
                session.accept(identity="jim")
                assert session.connection.authenticated == "jim"
            elif session.unanswered:
                session.accept()

    steps = [HELLO, ("250", "AUTH PLAIN AGpvZQBzZWNyZXQ="), ("235", "QUIT")]
    serve(handle, steps, config=config, last="221")


def test_a_session_can_be_closed_from_beside_it(recorder: Recorder) -> None:
    """It is not in the middle of a read then, but of a write."""
    stream = Stream([HELLO])
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        await original(data, timeout)
        if data.startswith(b"250"):
            assert recorder.session is not None
            recorder.session.connection.close()

    vars(stream)["write"] = write
    serve(recorder, [], stream=stream, last="250 421")


# --- Time -------------------------------------------------------------------------------------------------


@pytest.mark.req("TMO-10")
@pytest.mark.parametrize("seconds", [300.0, 7.0])
def test_a_client_that_is_silent_is_told_421(seconds: float, recorder: Recorder, clock: Clock) -> None:
    config = ServerConfig(timeouts=Timeouts(idle=seconds))
    stream = serve(recorder, [HELLO, ("250", [LONG])], last="421", clock=clock, config=config)
    assert b"421 4.4.2 mx.example timeout, closing connection\r\n" in stream.written
    assert clock.now == 1000 + seconds


def test_a_client_whose_lines_end_in_LF_is_told_so_at_the_timeout(recorder: Recorder, clock: Clock) -> None:
    stream = serve(recorder, [("220", [b"EHLO client.example\n", LONG])], last="421", clock=clock)
    assert b"timeout, closing connection: received LF without CR, lines end in CRLF\r\n" in stream.written
    assert [type(event).__name__ for event in recorder.events] == ["Connect"]


@pytest.mark.req("TMO-10")
def test_a_message_whose_client_falls_silent_is_void(recorder: Recorder, clock: Clock) -> None:
    serve(recorder, [*BEGIN, ("354", ["x\n", LONG])], last="421", clock=clock)
    assert isinstance(recorder.last, MessageAborted)
    assert recorder.content == b"x\r\n"


def test_each_command_has_its_own_time(recorder: Recorder, clock: Clock) -> None:
    steps = [HELLO, *[("250", [Pause(299), "NOOP"])] * 5, ("250", "QUIT")]
    serve(recorder, steps, last="221", clock=clock)


def test_a_command_that_drips_in_has_no_more_time_than_another(recorder: Recorder, clock: Clock) -> None:
    drops: list[Any] = []
    for octet in b"NOOP at leisure":
        drops += [bytes([octet]), Pause(61)]
    serve(recorder, [HELLO, ("250", drops)], last="421", clock=clock)
    assert clock.now == 1300


def test_a_session_that_only_passes_the_time_has_an_end(recorder: Recorder, clock: Clock) -> None:
    config = ServerConfig(timeouts=Timeouts(session=1000.0))
    steps = [HELLO, *[("250", [Pause(250), "NOOP"])] * 3, ("250", [Pause(249), "NOOP"]), ("250", [LONG])]
    serve(recorder, steps, last="421", clock=clock, config=config)
    assert clock.now == 2000


def drip(octets: int, seconds: float, times: int) -> list[Any]:
    return [action for _ in range(times) for action in ["x" * (octets - 2), Pause(seconds)]]


def test_content_that_comes_in_time_is_not_hurried(recorder: Recorder, clock: Clock) -> None:
    """Though the time of the session is over meanwhile."""
    config = ServerConfig(timeouts=Timeouts(session=1000.0), limits=Limits(content_rate=10.0))
    steps = [*BEGIN, ("354", [*drip(1000, 99, 50), "."])]
    serve(recorder, steps, last="250 421", clock=clock, config=config)
    assert clock.now == 1000 + 50 * 99, "it had its message in, and then no time for more"
    assert len(recorder.content) == 50_000


def test_content_that_drips_in_is_cut_off(recorder: Recorder, clock: Clock) -> None:
    """One piece every so often would otherwise last for ever."""
    config = ServerConfig(timeouts=Timeouts(idle=300.0), limits=Limits(content_rate=10.0))
    steps = [*BEGIN, ("354", drip(1000, 250, 50))]
    serve(recorder, steps, last="421", clock=clock, config=config)
    assert isinstance(recorder.last, MessageAborted)
    assert clock.now == 1000 + 300 + 3 * 1000 / 10


def test_refused_content_has_as_much_time_as_any_other(recorder: Recorder, clock: Clock) -> None:
    """Who sends it slowly is to hear why it is refused, and not that the time is up."""
    config = ServerConfig(timeouts=Timeouts(idle=300.0), limits=Limits(content_rate=10.0))
    steps = [*BEGIN, ("354", [b"a bare\n", *drip(1000, 99, 50), "."]), ("550", "QUIT")]
    serve(recorder, steps, last="221", clock=clock, config=config)
    assert clock.now == 1000 + 50 * 99


def test_refused_content_that_drips_in_is_cut_off(recorder: Recorder, clock: Clock) -> None:
    config = ServerConfig(timeouts=Timeouts(idle=300.0), limits=Limits(content_rate=10.0))
    steps = [*BEGIN, ("354", [b"a bare\r\r\n", *drip(1000, 250, 50)])]
    serve(recorder, steps, last="421", clock=clock, config=config)
    assert clock.now == 1000 + 300 + (9 + 3 * 1000) / 10


def test_the_next_message_begins_with_time_of_its_own(recorder: Recorder, clock: Clock) -> None:
    """Even if it follows so closely that nobody has waited in between."""
    again = "MAIL FROM:<a@client.example>\nRCPT TO:<one@mx.example>\nDATA"
    config = ServerConfig(timeouts=Timeouts(idle=300.0), limits=Limits(content_rate=1e9))
    steps = [
        *BEGIN,
        ("354", [Pause(299), f"x\n.\n{again}"]),
        ("250 250 250 354", [Pause(299), "x\n."]),
        ("250", "QUIT"),
    ]
    serve(recorder, steps, last="221", clock=clock, config=config)


def test_a_deadline_that_has_passed_ends_the_session_before_the_next_read(clock: Clock) -> None:
    """A client that floods never lets the session wait, so no wait can time out."""
    config = ServerConfig(timeouts=Timeouts(session=1000.0))
    seen: list[str] = []

    async def handle(session: ServerSession) -> None:
        async for event in session:
            seen.append(type(event).__name__)
            clock.now += 400  # the handler takes its time
            session.accept()

    stream = serve(handle, [HELLO, ("250", "NOOP")], last="250 421", clock=clock, config=config)
    assert seen == ["Connect", "Ehlo", "Noop"]
    assert b"421 4.4.2 mx.example timeout" in stream.written


def test_a_deadline_that_has_passed_ends_the_session_in_a_flood(clock: Clock) -> None:
    config = ServerConfig(timeouts=Timeouts(session=1000.0))
    seen: list[str] = []

    async def handle(session: ServerSession) -> None:
        async for event in session:
            seen.append(type(event).__name__)
            clock.now += 9
            session.accept()

    stream = serve(handle, [HELLO, ("250", "\n".join(["NOOP"] * 900))], last=ANY, clock=clock, config=config)
    assert len(seen) <= 1000 / 9 + _sessions.TURN
    assert stream.written.endswith(b"421 4.4.2 mx.example timeout, closing connection\r\n")


def test_content_that_is_fast_enough_has_an_end_all_the_same(recorder: Recorder, clock: Clock) -> None:
    """Content at the minimum rate could otherwise go on for days."""
    config = ServerConfig(timeouts=Timeouts(idle=300.0, content=2000.0), limits=Limits(content_rate=10.0))
    serve(recorder, [*BEGIN, ("354", drip(1000, 99, 50))], last="421", clock=clock, config=config)
    assert isinstance(recorder.last, MessageAborted)
    assert clock.now == 1000 + 2000


def test_the_time_that_a_reply_takes_is_not_the_time_of_the_client(recorder: Recorder, clock: Clock) -> None:
    """RFC 5321 4.5.3.2.7: the server waits for the next command, and it comes after the reply."""
    stream = Stream([HELLO, ("250", [Pause(299), "QUIT"])], clock=clock)
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        await original(data, timeout)
        clock.now += 100

    vars(stream)["write"] = write
    serve(recorder, [], stream=stream, last="221")


# --- Fairness ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, code", [("NOOP", "250"), ("EHLO x.example", "250"), ("NONSENSE", "500")])
def test_a_flood_of_commands_lets_other_sessions_run(line: str, code: str) -> None:
    """Each turn sends its replies, so that they are not all held until the end."""
    recorder = Recorder()
    limits = Limits(bad_commands=10_000)
    flood = "\n".join([line] * 990)
    stream = serve(
        recorder, [HELLO, (ANY, flood), (ANY, "QUIT")], last="221", config=ServerConfig(limits=limits)
    )
    assert len(recorder.events) == 993
    assert stream.turns == 9
    replies = max(stream.sizes) / (len(stream.written) / 993)
    assert replies <= _sessions.TURN + 1


def test_a_flood_of_reads_without_events_lets_other_sessions_run(recorder: Recorder) -> None:
    """Under TLS each octet may be a record of its own, and thousands of them arrive at a time."""
    drops: list[Any] = [bytes([octet]) for octet in b"NOOP " + b"x" * 490 + b"\r\n"]
    stream = serve(recorder, [HELLO, ("250", drops), ("250", "QUIT")], last="221")
    assert stream.turns == 5


def test_long_replies_are_not_held_until_there_are_many() -> None:
    text = "x" * 5000

    async def handle(session: ServerSession) -> None:
        async for event in session:
            session.accept(text if type(event).__name__ == "Noop" else None)

    stream = serve(handle, [HELLO, ("250", "\n".join(["NOOP"] * 95)), (ANY, EOF)])
    assert len(stream.written) > 95 * 5000
    assert max(stream.sizes) < _sessions.OUTPUT + _sessions.LOOK * 6000
    assert stream.turns == 0


def test_a_session_that_is_over_stays_so() -> None:
    async def handle(session: ServerSession) -> None:
        while (event := await session.next_event()) is not None:
            if session.unanswered:
                session.accept()
            ends.append(event)
        assert await session.next_event() is None

    ends: list[Event] = []
    serve(handle, [HELLO, ("250", "QUIT")], last="221")
    assert len(ends) == 3


# --- Connections that break -------------------------------------------------------------------------------


@pytest.mark.req("SES-39")
@pytest.mark.parametrize("end", [EOF, ConnectionResetError(104, "Connection reset by peer")])
@pytest.mark.parametrize("steps", [[], [HELLO], BEGIN[:2], BEGIN[:3]])
def test_a_client_that_vanishes_is_no_error(steps: Any, end: Any, recorder: Recorder) -> None:
    code = "250" if steps else "220"
    serve(recorder, [*steps, (code, end)])
    assert isinstance(recorder.events[0], Connect)
    assert not isinstance(recorder.last, (EndOfMessage, MessageAborted))


@pytest.mark.req("SES-38")
@pytest.mark.parametrize("end", [EOF, ConnectionResetError(104, "Connection reset by peer")])
def test_a_message_whose_client_vanishes_is_void(end: Any, recorder: Recorder) -> None:
    serve(recorder, [*BEGIN, ("354", ["x\n", end])])
    assert isinstance(recorder.last, MessageAborted)
    assert not any(isinstance(event, EndOfMessage) for event in recorder.events)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), TimeoutError("the peer took too long")])
def test_a_client_that_does_not_take_its_replies_is_gone(error: OSError, recorder: Recorder) -> None:
    def broken(stream: Stream) -> None:
        stream.write_error = error
        stream.aborted = True

    transcript = Transcript()
    serve(recorder, [HELLO, ("250", [broken, "NOOP"])], transcript=lambda: transcript)
    assert "the connection broke" in str(transcript)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), TimeoutError("the peer took too long")])
def test_a_message_that_was_complete_before_the_client_was_gone_is_taken(
    error: OSError, recorder: Recorder
) -> None:
    """The 354 cannot be written any more, but what the client had sent has arrived."""

    def broken(stream: Stream) -> None:
        stream.write_error = error
        stream.aborted = True
        stream.early = b"x\r\n.\r\nNOOP\r\n"

    serve(recorder, [*BEGIN[:-1], ("250", [broken, "DATA"])])
    assert recorder.content == b"x\r\n"
    assert any(isinstance(event, EndOfMessage) for event in recorder.events)


def test_what_came_in_place_of_a_handshake_is_no_command_when_the_client_is_gone(
    context: ssl.SSLContext, recorder: Recorder
) -> None:
    def broken(stream: Stream) -> None:
        stream.write_error = BrokenPipeError(32, "Broken pipe")
        stream.aborted = True
        stream.early = b"NOOP\r\n"

    serve(recorder, [HELLO, ("250", [broken, "STARTTLS"])], ssl_context=context)
    assert not any(isinstance(event, Noop) for event in recorder.events)


def test_half_a_message_that_came_before_the_client_was_gone_is_void(recorder: Recorder) -> None:
    def broken(stream: Stream) -> None:
        stream.write_error = BrokenPipeError(32, "Broken pipe")
        stream.aborted = True
        stream.early = b"x\r\n."

    serve(recorder, [*BEGIN[:-1], ("250", [broken, "DATA"])])
    assert isinstance(recorder.last, MessageAborted)
    assert not any(isinstance(event, EndOfMessage) for event in recorder.events)


def test_commands_that_arrived_before_the_client_was_gone_are_run(recorder: Recorder) -> None:
    """The first reply that cannot be sent is the last one that is tried."""

    def broken(stream: Stream) -> None:
        stream.write_error = BrokenPipeError(32, "Broken pipe")

    stream = serve(recorder, [HELLO, ("250", [broken, "\n".join(["NOOP"] * 3 * _sessions.TURN)])])
    assert len(recorder.events) == 2 + 3 * _sessions.TURN
    assert len(stream.write_timeouts) == 3


# --- The server stops -------------------------------------------------------------------------------------


def stop(stream: Stream) -> None:
    assert stream.idle, "the session can be ended here"
    stream.stopping = True


@pytest.mark.req("SES-37")
@pytest.mark.parametrize("steps", [[], [HELLO], BEGIN[:2], BEGIN[:3]])
def test_a_server_that_stops_says_421(steps: Any, recorder: Recorder) -> None:
    code = "250" if steps else "220"
    stream = serve(recorder, [*steps, (code, [stop, EOF])], last="421")
    assert b"421 4.3.2 mx.example service is shutting down\r\n" in stream.written


@pytest.mark.req("SES-37")
def test_a_message_under_way_is_waited_for_when_the_server_stops(recorder: Recorder) -> None:
    def stops(stream: Stream) -> None:
        assert not stream.idle
        stream.stopping = True

    serve(recorder, [*BEGIN, ("354", ["x", stops, "."]), ("250", EOF)], last="421")
    assert recorder.content == b"x\r\n"
    assert isinstance(recorder.last, EndOfMessage)


def test_a_client_that_goes_while_the_server_stops_is_gone(recorder: Recorder) -> None:
    def stops(stream: Stream) -> None:
        stream.stopping = True

    serve(recorder, [*BEGIN, ("354", ["x\n", stops, EOF])], last=ANY)
    assert isinstance(recorder.last, MessageAborted)


# --- TLS --------------------------------------------------------------------------------------------------


def test_with_a_certificate_starttls_is_offered(recorder: Recorder, context: ssl.SSLContext) -> None:
    steps = [*STARTTLS, (TLS_BEHIND_220, INFO), (b"", "EHLO client.example"), ("250", "QUIT")]
    stream = serve(recorder, steps, last="221", ssl_context=context)
    assert recorder.session is not None
    assert recorder.session.connection.tls == INFO
    first, _, second = stream.written.partition(b"220 2.0.0")
    assert b"STARTTLS" in first
    assert b"STARTTLS" not in second
    (handshake,) = stream.handshakes
    assert handshake == {"context": context, "server_side": True, "server_hostname": None, "timeout": 30.0}


def test_without_a_certificate_starttls_is_not_offered(recorder: Recorder) -> None:
    stream = serve(recorder, [HELLO, ("250", "STARTTLS"), ("502", "QUIT")], last="221")
    assert b"STARTTLS" not in stream.written


def test_the_context_may_be_made_for_each_connection(recorder: Recorder, context: ssl.SSLContext) -> None:
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(context)
        return context

    steps = [*STARTTLS, (TLS_BEHIND_220, INFO), (b"", "QUIT")]
    for _ in range(2):
        serve(recorder, steps, last="221", ssl_context=make)
    assert len(made) == 2


@pytest.mark.parametrize(
    "failure", [ssl.SSLError(1, "no shared cipher"), TimeoutError(), ConnectionResetError()]
)
def test_a_handshake_that_fails_ends_the_session_without_a_word(
    failure: Any, recorder: Recorder, context: ssl.SSLContext
) -> None:
    serve(recorder, [*STARTTLS, (TLS_BEHIND_220, failure)], ssl_context=context)


def test_a_context_that_cannot_be_made_is_a_failure_of_the_handshake(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "smtpcore")

    def make() -> ssl.SSLContext:
        raise FileNotFoundError(2, "No such file or directory")

    serve(recorder, STARTTLS, last="220", ssl_context=make)
    ours, handshake = caplog.records
    assert ours.levelno == logging.ERROR, "it is a fault of the server, and not of this client"
    assert ours.getMessage() == "the function ssl_context failed"
    assert ours.exc_info is not None and isinstance(ours.exc_info[1], FileNotFoundError)
    assert handshake.getMessage() == "no TLS handshake with ('192.0.2.2', 25): No such file or directory"


@pytest.mark.req("TLS-30")
def test_tls_from_the_start(recorder: Recorder, context: ssl.SSLContext) -> None:
    """The greeting comes under it, and STARTTLS is not offered."""
    transcript = Transcript()
    steps = [(TLS, INFO), HELLO, ("250", "QUIT")]
    stream = serve(
        recorder, steps, last="221", ssl_context=context, implicit_tls=True, transcript=lambda: transcript
    )
    assert recorder.session is not None
    assert recorder.session.connection.tls == INFO
    assert b"STARTTLS" not in stream.written
    assert str(transcript).index("TLSv1.3 A_CIPHER") < str(transcript).index("220 mx.example")


@pytest.mark.parametrize(
    "first, hint", [(b"EHLO client.example\r\n", True), (b"\x80\x01", False), (b"", False)]
)
def test_who_fails_to_begin_with_tls_gets_no_session(
    first: bytes, hint: bool, recorder: Recorder, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """That is a line in the log, since scanners do it all day long."""
    caplog.set_level(logging.INFO, "smtpcore")
    stream = Stream([(TLS, ssl.SSLError(1, "wrong version number"))])
    stream.first_octets = first
    serve(recorder, [], stream=stream, ssl_context=context, implicit_tls=True)
    assert recorder.events == []
    assert stream.written == b""
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "no TLS handshake with ('192.0.2.2', 25)" in record.message
    assert ("plain SMTP" in record.message) is hint


# --- Options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        ({"implicit_tls": True}, "needs an ssl_context"),
        ({"config": ServerConfig(starttls=True)}, "without an ssl_context"),
        ({"config": ServerConfig(require_tls=True)}, "without an ssl_context"),
        ({"hostname": "not a host"}, "neither a domain nor an address literal"),
        ({"config": ServerConfig(auth_mechanisms=("X-NONE",))}, "no SASL mechanism X-NONE"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anybody_connects(options: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        ServerOptions(**options)


def test_the_name_of_the_server_is_that_of_the_machine(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    none: Any = None
    monkeypatch.setattr("socket.gethostname", lambda: "host.mx.example")
    assert serve(recorder, [HELLO, ("250", EOF)], hostname=none).written.startswith(b"220 host.mx.example ")
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    assert serve(recorder, [HELLO, ("250", EOF)], hostname=none).written.startswith(b"220 [192.0.2.1] ")


@pytest.mark.parametrize(
    "outcome, words",
    [
        (INFO, "TLSv1.3 A_CIPHER"),
        (ssl.SSLError(1, "no shared cipher"), "the TLS handshake failed: no shared cipher"),
    ],
)
def test_a_transcript_tells_of_tls(
    outcome: Any, words: str, recorder: Recorder, context: ssl.SSLContext
) -> None:
    transcript = Transcript()
    steps = [*STARTTLS, (TLS_BEHIND_220, outcome), *([(b"", EOF)] if outcome is INFO else [])]
    serve(recorder, steps, ssl_context=context, transcript=lambda: transcript)
    assert words in str(transcript)


def test_each_session_has_its_own_transcript(recorder: Recorder) -> None:
    made: list[Transcript] = []

    def make() -> Transcript:
        made.append(Transcript())
        return made[-1]

    for name in ("one", "two"):
        serve(recorder, [("220", f"EHLO {name}.example"), ("250", "QUIT")], last="221", transcript=make)
        assert recorder.session is not None
        assert recorder.session.transcript is made[-1]
    assert "one.example" in str(made[0])
    assert "two.example" not in str(made[0])
    assert "two.example" in str(made[1])


def test_a_session_may_go_without_a_transcript(recorder: Recorder) -> None:
    serve(recorder, [HELLO, ("250", "QUIT")], last="221", transcript=lambda: None)
    assert recorder.session is not None
    assert recorder.session.transcript is None


# --- The pause before the greeting ---


def test_a_client_that_waits_is_greeted_after_the_pause(recorder: Recorder, clock: Clock) -> None:
    stream = serve(recorder, [(b"", Pause(5)), ("220", "QUIT")], last="221", greet_pause=3.0, clock=clock)
    assert stream.timeouts[0] == 3.0


def test_a_client_that_leaves_in_the_pause_is_not_an_error(recorder: Recorder, clock: Clock) -> None:
    serve(recorder, [(b"", EOF)], last=ANY, greet_pause=3.0, clock=clock)
    serve(recorder, [(b"", ConnectionResetError())], last=ANY, greet_pause=3.0, clock=clock)


def test_without_a_pause_nothing_is_read_before_the_greeting(recorder: Recorder) -> None:
    serve(recorder, [("220", "QUIT")], last="221")
