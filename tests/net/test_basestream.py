"""The streams of the adapters: what they have in common, on a stream in memory.

`tests/net/test_streams.py` has the same and more over sockets, on each adapter.
"""

from __future__ import annotations

import math
import ssl
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from smtpcore._net import basestream as _basestream
from smtpcore._net.basestream import BaseStream, peer_in_words
from smtpcore._net.stream import Take, run
from smtpcore._net.tls import OWN_OUTPUT, READ_SIZE, TlsChannel

BROKEN = "closed, or an earlier call failed"


class MemoryStream(BaseStream):
    """A stream without a system below it.

    Attributes:
        arriving: What arrives, in turn: octets, ``b""`` for the end, an OSError, a function that is called when
            a pump comes to it. A pump that finds nothing here would wait for ever.
        sent: What the system has accepted.
        room: How many octets it accepts at once.
        failure: Raised by each write.
        broken, woken: How often the stream was broken, and its reader woken.
        last: What was given to ``_finish()``.
        waits: The deadlines of the writes that waited.
    """

    def __init__(self, *arriving: Any) -> None:
        super().__init__()
        self.arriving = deque(arriving)
        self.sent = b""
        self.room = 1 << 30
        self.failure: BaseException | None = None
        self.broken = self.woken = 0
        self.last: bytes | None = None
        self.waits: list[float] = []

    async def _pump(self, take: Take[Any]) -> Any:
        while True:
            assert self.arriving, "this would wait for ever"
            arrival = self.arriving.popleft()
            if callable(arrival):
                arrival()
                continue
            if isinstance(arrival, OSError):
                arrival = self._failed(arrival)
            if (result := take(arrival)) is not None:
                return result

    def _receive_now(self) -> bytes | None:
        if not self.arriving:
            return None
        arrival = self.arriving.popleft()
        if isinstance(arrival, BaseException):
            raise arrival
        assert isinstance(arrival, bytes)
        return arrival

    def _offer(self, data: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        accepted = data[: self.room]
        self.sent += accepted
        self.room -= len(accepted)
        return data[len(accepted) :]

    async def _send(self, data: bytes, deadline: float) -> None:
        self._check_silence()
        self.waits.append(deadline)
        if self.failure is not None:
            raise self.failure
        self.sent += data

    def _break(self) -> None:
        self.broken += 1

    async def _finish(self, last: bytes) -> None:
        self.last = last

    def _wake_reader(self) -> None:
        self.woken += 1

    async def give_way(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(_basestream, "time", clock)
    return clock


def assert_broken(stream: MemoryStream) -> None:
    assert stream.broken == 1
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConnectionAbortedError, match=BROKEN):
        run(stream.read(1))
    with pytest.raises(ConnectionAbortedError, match=BROKEN):
        run(stream.write(b"x", 1))
    with pytest.raises(ConnectionAbortedError, match=BROKEN):
        run(stream.start_tls(context, server_side=False, server_hostname="mx.example", timeout=1))
    assert stream.broken == 1


# -- reading --


@pytest.mark.parametrize(
    "peername, words", [(("192.0.2.1", 25), ("192.0.2.1", 25)), ("/run/lmtp", "/run/lmtp")]
)
def test_a_peer_with_an_address_is_named_by_it(peername: Any, words: object) -> None:
    assert peer_in_words(peername) == words


def test_a_peer_without_an_address_is_named_all_the_same() -> None:
    assert peer_in_words("") == "a peer without an address"


def test_a_new_stream_knows_nothing_yet() -> None:
    stream = MemoryStream()
    assert (stream.peername, stream.sockname, stream.tls, stream.first_octets) == ("", "", None, b"")
    assert not (stream.idle or stream.stopping or stream.expects_silence)
    assert stream.farewell is None
    assert stream.deadline == math.inf


def test_each_read_gives_what_arrives_next() -> None:
    stream = MemoryStream(b"one", b"two", b"")
    assert [run(stream.read(None)) for _ in range(3)] == [b"one", b"two", b""]


@pytest.mark.parametrize("timeout, deadline", [(5, 1005.0), (0, 1000.0), (None, math.inf)])
def test_a_read_sets_the_deadline(clock: SimpleNamespace, timeout: float | None, deadline: float) -> None:
    stream = MemoryStream(b"one")
    run(stream.read(timeout))
    assert stream.deadline == deadline


def test_a_read_that_times_out_leaves_the_stream_as_it_is() -> None:
    stream = MemoryStream(TimeoutError("the peer took too long"), b"late")
    with pytest.raises(TimeoutError):
        run(stream.read(1))
    assert run(stream.read(1)) == b"late"
    assert stream.broken == 0


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), TimeoutError(110, "timed out")])
def test_an_error_of_the_system_breaks_the_stream(error: OSError) -> None:
    """TCP's own time-out is a TimeoutError too, with a number."""
    stream = MemoryStream(error)
    with pytest.raises(type(error)):
        run(stream.read(1))
    assert_broken(stream)


def test_a_pump_goes_on_until_its_function_gives_something() -> None:
    stream = MemoryStream(b"a", b"b", b"c")
    seen = []

    def take(arrival: Any) -> int | None:
        seen.append(arrival)
        return 0 if arrival == b"b" else None

    assert run(stream.pump(take)) == 0, "only None means to go on"
    assert seen == [b"a", b"b"]


def test_one_caller_at_a_time_may_read() -> None:
    stream = MemoryStream()

    def second() -> None:
        with pytest.raises(RuntimeError, match="in use"):
            run(stream.read(1))
        with pytest.raises(RuntimeError, match="in use"):
            stream.arrived()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(RuntimeError, match="in use"):
            run(stream.start_tls(context, server_side=False, server_hostname="mx.example", timeout=1))

    stream.arriving.extend([second, b"for the first"])
    assert run(stream.read(1)) == b"for the first"
    assert stream.broken == 0


# -- what has arrived --


def test_what_has_arrived_is_given_without_waiting() -> None:
    stream = MemoryStream()
    assert stream.arrived() is None
    stream.arriving.extend([b"there", b""])
    assert stream.arrived() == b"there"
    assert stream.arrived() == b""
    assert stream.arrived() == b"", "the end stays the end"
    assert run(stream.read(1)) == b""


def test_an_error_that_has_arrived_breaks_the_stream() -> None:
    stream = MemoryStream(ConnectionResetError(104, "reset"))
    with pytest.raises(ConnectionResetError):
        stream.arrived()
    assert stream.arrived() is None
    assert_broken(stream)


def test_what_had_arrived_before_a_write_failed_is_given_once() -> None:
    stream = MemoryStream(b"552 ", b"no\r\n", b"")
    stream.failure = BrokenPipeError(32, "Broken pipe")
    with pytest.raises(BrokenPipeError):
        run(stream.write(b"x", 1))
    assert stream.arrived() == b"552 no\r\n"
    assert stream.arrived() is None
    assert_broken(stream)


def test_of_what_had_arrived_there_is_a_limit() -> None:
    stream = MemoryStream(*[bytes(READ_SIZE)] * 3)
    stream.failure = BrokenPipeError(32, "Broken pipe")
    with pytest.raises(BrokenPipeError):
        run(stream.write(b"x", 1))
    assert stream.arrived() == bytes(READ_SIZE)


def test_a_reset_after_last_words_does_not_lose_them() -> None:
    stream = MemoryStream(b"552 no\r\n", ConnectionResetError(104, "reset"))
    stream.failure = BrokenPipeError(32, "Broken pipe")
    with pytest.raises(BrokenPipeError):
        run(stream.write(b"x", 1))
    assert stream.arrived() == b"552 no\r\n"


def test_last_words_are_left_to_a_reader() -> None:
    stream = MemoryStream()

    def failing_write() -> None:
        stream.failure = BrokenPipeError(32, "Broken pipe")
        with pytest.raises(BrokenPipeError):
            run(stream.write(b"x", 1))

    stream.arriving.extend([failing_write, b"552 no\r\n"])
    assert run(stream.read(1)) == b"552 no\r\n"
    assert stream.arrived() is None


# -- writing --


def test_a_write_that_the_system_accepts_at_once_needs_no_waiting() -> None:
    stream = MemoryStream()
    assert stream.begin_write(b"one", 1) is None
    assert stream.begin_write(b"two", None) is None
    assert stream.sent == b"onetwo"
    assert stream.waits == []


@pytest.mark.parametrize("timeout, deadline", [(5, 1005.0), (None, math.inf)])
def test_the_rest_of_a_write_waits_until_its_deadline(
    clock: SimpleNamespace, timeout: float | None, deadline: float
) -> None:
    stream = MemoryStream()
    stream.room = 3
    run(stream.write(b"abcdef", timeout))
    assert stream.sent == b"abcdef"
    assert stream.waits == [deadline]
    stream.room = 3
    run(stream.write(b"ghi", 1))
    assert stream.sent == b"abcdefghi"


def test_one_caller_at_a_time_may_write() -> None:
    stream = MemoryStream()
    stream.room = 0
    writing = stream.begin_write(b"first", 1)
    assert writing is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(RuntimeError, match="in use"):
        stream.begin_write(b"second", 1)
    with pytest.raises(RuntimeError, match="in use"):
        run(stream.start_tls(context, server_side=False, server_hostname="mx.example", timeout=1))

    async def go_on() -> None:
        await writing

    run(go_on())
    assert stream.sent == b"first"
    assert stream.broken == 0


@pytest.mark.parametrize("room", [0, 100])
@pytest.mark.parametrize("error", [TimeoutError("too long"), BrokenPipeError(32, "gone"), KeyboardInterrupt()])
def test_a_write_that_fails_breaks_the_stream(room: int, error: BaseException) -> None:
    stream = MemoryStream()
    if room:
        stream.failure = error
        with pytest.raises(type(error)):
            stream.begin_write(b"x", 1)
    else:
        stream.room = 0
        writing = stream.begin_write(b"x", 1)
        assert writing is not None
        stream.failure = error

        async def go_on() -> None:
            await writing

        with pytest.raises(type(error)):
            run(go_on())
    assert_broken(stream)


@pytest.mark.parametrize("arrival", [b"552 no\r\n", b""])
def test_a_write_that_waits_ends_when_an_expected_silence_is_broken(arrival: bytes) -> None:
    stream = MemoryStream(arrival)
    stream.room, stream.expects_silence = 0, True
    with pytest.raises(ConnectionAbortedError, match="the peer has replied, or closed, before all was sent"):
        run(stream.write(b"x", 1))
    assert stream.arrived() == (arrival or None)
    assert stream.broken == 1


def test_a_write_that_waits_leaves_what_arrives_to_a_reader() -> None:
    stream = MemoryStream()
    stream.room, stream.expects_silence = 0, True
    stream.arriving.extend([lambda: run(stream.write(b"x", 1)), b"552 no\r\n"])
    assert run(stream.read(1)) == b"552 no\r\n"
    assert stream.sent == b"x"


def test_a_write_goes_on_in_silence_and_where_none_is_expected() -> None:
    for stream in (MemoryStream(), MemoryStream(b"250 ok\r\n")):
        stream.expects_silence = not stream.arriving
        stream.room = 0
        run(stream.write(b"x", 1))
        assert stream.sent == b"x"
    assert stream.arrived() == b"250 ok\r\n"


# -- the end --


def test_an_idle_stream_that_stops_is_at_its_end_and_can_be_written() -> None:
    stream = MemoryStream(b"too late")
    stream.idle = True
    stream.stop()
    assert (stream.stopping, stream.woken) == (True, 1)
    assert run(stream.read(1)) == b""
    assert stream.arrived() == b""
    run(stream.write(b"421 bye\r\n", 1))
    assert stream.sent == b"421 bye\r\n"


def test_a_stream_that_is_not_idle_goes_on_when_the_server_stops() -> None:
    stream = MemoryStream(b"content")
    stream.stop()
    assert run(stream.read(1)) == b"content"


def test_a_stream_that_is_aborted_is_broken_once() -> None:
    stream = MemoryStream()
    stream.abort()
    stream.abort()
    assert_broken(stream)
    run(stream.close())
    assert stream.last == b""


def test_a_stream_that_is_closed_is_of_no_use_any_more() -> None:
    stream = MemoryStream()
    run(stream.close())
    assert stream.last == b""
    with pytest.raises(ConnectionAbortedError, match=BROKEN):
        run(stream.read(1))
    run(stream.close())


def test_a_farewell_is_sent_before_the_connection_is_broken() -> None:
    stream = MemoryStream()
    stream.farewell = lambda: b"421 bye\r\n"
    stream.dismiss()
    assert stream.sent == b"421 bye\r\n"
    assert_broken(stream)
    stream.dismiss()
    assert stream.sent == b"421 bye\r\n", "once"


def test_a_farewell_does_not_come_between_the_octets_of_a_writer() -> None:
    stream = MemoryStream()
    stream.room = 3
    writing = stream.begin_write(b"abcdef", 1)
    assert writing is not None
    stream.farewell = lambda: b"421 bye\r\n"
    stream.room = 100
    stream.dismiss()
    assert stream.sent == b"abc"
    assert stream.broken == 1
    writing.close()  # type: ignore[attr-defined]


def test_a_farewell_to_a_peer_that_is_gone_raises_nothing() -> None:
    stream = MemoryStream()
    stream.farewell = lambda: b"421 bye\r\n"
    stream.failure = BrokenPipeError(32, "gone")
    stream.dismiss()
    assert_broken(stream)


def test_a_stream_without_a_farewell_is_only_broken() -> None:
    stream = MemoryStream()
    stream.dismiss()
    assert stream.sent == b""
    assert_broken(stream)


# -- TLS --


class TlsClient:
    """The client of a stream that is the server; what it has to say arrives when the stream waits for it."""

    def __init__(self, stream: MemoryStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self.channel = TlsChannel(context, False, "localhost")
        self.done = False

    def go_on(self) -> None:
        self.hear()
        if not self.done:
            self.done = self.channel.shake_hands()
        self.stream.arriving.append(self.channel.output())
        if not self.done:
            self.stream.arriving.append(self.go_on)

    def hear(self) -> None:
        heard, self.stream.sent = self.stream.sent, b""
        if heard:
            self.channel.feed(heard)


def in_tls(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, room: int = 1 << 30
) -> tuple[MemoryStream, TlsClient]:
    stream = MemoryStream()
    stream.room = room
    client = TlsClient(stream, client_context)
    stream.arriving.append(client.go_on)
    info = run(stream.start_tls(server_context, server_side=True, server_hostname=None, timeout=60))
    client.hear()
    assert info is stream.tls
    assert info.version == "TLSv1.3"
    assert client.channel.decrypt() is None
    return stream, client


def test_data_goes_both_ways_in_tls(server_context: Any, client_context: Any) -> None:
    stream, client = in_tls(server_context, client_context)
    assert stream.first_octets[:1] == b"\x16"
    assert len(stream.first_octets) == 64
    run(stream.write(b"220 mx.example\r\n", 1))
    assert b"220" not in stream.sent
    client.hear()
    assert client.channel.decrypt() == b"220 mx.example\r\n"
    stream.arriving.append(client.channel.encrypt(b"EHLO client.example\r\n"))
    assert run(stream.read(1)) == b"EHLO client.example\r\n"
    assert stream.arrived() is None
    octets = client.channel.encrypt(b"NOOP\r\n")
    stream.arriving.extend([octets[:9], octets[9:]])
    assert stream.arrived() == b"NOOP\r\n"


def test_a_handshake_waits_until_the_system_accepts_what_it_sends(
    server_context: Any, client_context: Any, clock: SimpleNamespace
) -> None:
    stream, _ = in_tls(server_context, client_context, room=1)
    assert stream.waits
    assert set(stream.waits) == {1060.0}, "the deadline of the handshake"


def test_a_pump_in_tls_goes_on_until_its_function_gives_something(
    server_context: Any, client_context: Any
) -> None:
    stream, client = in_tls(server_context, client_context)
    stream.arriving.extend(client.channel.encrypt(line) for line in (b"NOOP\r\n", b"RSET\r\n", b"QUIT\r\n"))
    seen = []

    def take(arrival: Any) -> int | None:
        seen.append(arrival)
        return 0 if arrival == b"RSET\r\n" else None

    assert run(stream.pump(take)) == 0
    assert seen == [b"NOOP\r\n", b"RSET\r\n"]
    assert len(stream.arriving) == 1


def test_half_a_record_is_waited_for(server_context: Any, client_context: Any) -> None:
    stream, client = in_tls(server_context, client_context)
    octets = client.channel.encrypt(b"NOOP\r\n")
    stream.arriving.append(octets[:9])
    assert stream.arrived() is None
    stream.arriving.append(octets[9:])
    assert run(stream.read(1)) == b"NOOP\r\n"


def test_what_comes_together_with_the_end_of_tls_is_given_before_it(
    server_context: Any, client_context: Any
) -> None:
    stream, client = in_tls(server_context, client_context)
    stream.arriving.append(client.channel.encrypt(b"QUIT\r\n") + client.channel.farewell())
    assert run(stream.read(1)) == b"QUIT\r\n"
    assert run(stream.read(1)) == b"", "without another octet"


def test_a_stream_in_tls_that_is_idle_stops(server_context: Any, client_context: Any) -> None:
    stream, _ = in_tls(server_context, client_context)
    stream.idle = True
    stream.stop()
    assert run(stream.read(1)) == b""


def test_an_error_below_tls_is_given_as_it_is(server_context: Any, client_context: Any) -> None:
    stream, _ = in_tls(server_context, client_context)
    stream.arriving.extend([TimeoutError("the peer took too long"), ConnectionResetError(104, "reset")])
    with pytest.raises(TimeoutError):
        run(stream.read(1))
    with pytest.raises(ConnectionResetError):
        run(stream.read(1))
    assert_broken(stream)


def test_records_without_data_do_not_prolong_a_read(
    server_context: Any, client_context: Any, clock: SimpleNamespace
) -> None:
    stream, client = in_tls(server_context, client_context)
    octets = client.channel.encrypt(b"NOOP\r\n")

    def later() -> None:
        clock.now += 5

    stream.arriving.extend([octets[:2], later, octets[2:4], later, octets[4:6]])
    with pytest.raises(TimeoutError, match="the peer took too long"):
        run(stream.read(10))
    assert not stream.arriving
    assert stream.broken == 0
    stream.arriving.append(octets[6:])
    assert run(stream.read(10)) == b"NOOP\r\n", "nothing is lost"


def test_data_that_comes_at_the_deadline_is_given(
    server_context: Any, client_context: Any, clock: SimpleNamespace
) -> None:
    stream, client = in_tls(server_context, client_context)
    stream.arriving.append(client.channel.encrypt(b"NOOP\r\n"))
    assert run(stream.read(0)) == b"NOOP\r\n"


def test_garbage_is_answered_with_an_alert(server_context: Any, client_context: Any) -> None:
    stream, client = in_tls(server_context, client_context)
    stream.arriving.append(b"this is not TLS")
    with pytest.raises(ssl.SSLError):
        run(stream.read(1))
    client.hear()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.channel.decrypt()
    assert_broken(stream)


def test_an_alert_that_cannot_be_sent_does_not_hide_the_error(server_context: Any, client_context: Any) -> None:
    stream, _ = in_tls(server_context, client_context)
    stream.arriving.append(b"this is not TLS")
    stream.failure = BrokenPipeError(32, "gone")
    with pytest.raises(ssl.SSLError):
        run(stream.read(1))
    assert_broken(stream)


def test_close_sends_close_notify_after_what_was_written(server_context: Any, client_context: Any) -> None:
    stream, client = in_tls(server_context, client_context)
    run(stream.write(b"221 bye\r\n", 1))
    client.hear()
    run(stream.close())
    assert stream.last
    client.channel.feed(stream.last)
    assert client.channel.decrypt() == b"221 bye\r\n"
    assert client.channel.decrypt() == b""


def test_close_does_not_come_between_the_octets_of_a_writer(server_context: Any, client_context: Any) -> None:
    stream, _ = in_tls(server_context, client_context)
    stream.room = 3
    writing = stream.begin_write(b"abcdef", 1)
    assert writing is not None
    run(stream.close())
    assert stream.last == b""
    writing.close()  # type: ignore[attr-defined]


def test_a_farewell_is_encrypted(server_context: Any, client_context: Any) -> None:
    stream, client = in_tls(server_context, client_context)
    stream.farewell = lambda: b"421 bye\r\n"
    stream.dismiss()
    client.hear()
    assert client.channel.decrypt() == b"421 bye\r\n"


class Endless:
    """Stands for a context whose handshake never ends, and which owes octets to the peer."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> Endless:
        self.incoming, self.outgoing = incoming, outgoing
        return self

    def do_handshake(self) -> None:
        raise ssl.SSLWantReadError

    def read(self, size: int) -> bytes:
        data = self.incoming.read(size)
        self.outgoing.write(data)
        if rest := data.replace(b"K", b""):
            return rest
        raise ssl.SSLWantReadError


def endless_handshake(stream: MemoryStream, timeout: float | None) -> None:
    context: Any = Endless()
    run(stream.start_tls(context, server_side=False, server_hostname=None, timeout=timeout))


def test_a_handshake_without_an_end_has_a_deadline(clock: SimpleNamespace) -> None:
    def later() -> None:
        clock.now += 5

    stream = MemoryStream(b"a", later, b"b", later, b"c")
    with pytest.raises(TimeoutError, match="the peer took too long"):
        endless_handshake(stream, 10)
    assert not stream.arriving
    assert stream.tls is None
    assert_broken(stream)


def test_a_handshake_ends_when_the_server_stops() -> None:
    stream = MemoryStream(b"a")
    stream.idle = stream.stopping = True
    with pytest.raises(ConnectionAbortedError, match="the server stops"):
        endless_handshake(stream, 10)
    assert_broken(stream)


def test_an_error_in_a_handshake_breaks_the_stream() -> None:
    stream = MemoryStream(b"a", ConnectionResetError(104, "reset"))
    with pytest.raises(ConnectionResetError):
        endless_handshake(stream, None)
    assert stream.first_octets == b"a"
    assert_broken(stream)


def test_a_handshake_that_fails_sends_the_alert(authority: trustme.CA) -> None:
    new, old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(new)
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    stream = MemoryStream()
    client = TlsClient(stream, old)
    stream.arriving.append(client.go_on)
    with pytest.raises(ssl.SSLError):
        run(stream.start_tls(new, server_side=True, server_hostname=None, timeout=None))
    client.hear()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.channel.shake_hands()
    assert_broken(stream)


def owing(*arriving: Any) -> MemoryStream:
    """A stream in TLS that owes its peer all that has arrived, of which K is not data."""
    context: Any = Endless()
    context.do_handshake = lambda: None
    context.version = context.cipher = context.getpeercert = lambda: None
    context.server_hostname = None
    context.write = lambda data: context.outgoing.write(data)
    stream = MemoryStream()
    run(stream.start_tls(context, server_side=False, server_hostname=None, timeout=None))
    stream.arriving.extend(arriving)
    return stream


def test_what_tls_owes_is_sent_with_a_read_and_has_a_limit() -> None:
    stream = owing(b"KKxx")
    assert run(stream.read(1)) == b"xx"
    assert stream.sent == b"KKxx"
    stream.room = 0
    size = OWN_OUTPUT - 1
    stream.arriving.extend([b"K" * (size - 1) + b"x", b"x", b"x"])
    assert run(stream.read(1)) == b"x"
    assert run(stream.read(1)) == b"x", f"{OWN_OUTPUT} octets may wait"
    with pytest.raises(ConnectionAbortedError, match="asks for TLS messages and does not read them: 65537"):
        run(stream.read(1))
    assert_broken(stream)


def test_what_tls_owes_does_not_come_between_the_octets_of_a_writer() -> None:
    stream = owing(b"Kx", b"K", b"y")
    stream.room = 1
    writing = stream.begin_write(b"abc", 1)
    assert writing is not None
    stream.room = 100
    assert run(stream.read(1)) == b"x", "a reader does not wait for the writer, either"

    async def go_on() -> None:
        await writing

    run(go_on())
    assert stream.sent == b"abc"
    assert run(stream.read(1)) == b"y"
    assert stream.sent == b"abcKxKy"


def test_the_clock_of_streams_is_that_of_the_system() -> None:
    before = time.monotonic()
    stream = MemoryStream(b"x")
    run(stream.read(5))
    assert before + 5 <= stream.deadline <= time.monotonic() + 5
