"""What a conversation needs of a stream: how a coroutine runs that never suspends, and the pump over reads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smtpcore import sync as sync_adapter
from smtpcore._net.stream import ReadingPump, arrived, expect_silence, pump_of, run

from ..helpers.scripted import Clock, Pause, Stream, clock

__all__ = ["clock"]  # a fixture


def test_run_gives_the_result_or_the_exception() -> None:
    async def give(value: int) -> int:
        if value:
            return value
        raise ValueError("nothing to give")

    assert sync_adapter.run(give(5)) == 5
    with pytest.raises(ValueError, match="nothing to give"):
        sync_adapter.run(give(0))


def test_run_refuses_what_needs_an_event_loop() -> None:
    ended = []

    async def suspend() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(True)

    with pytest.raises(RuntimeError, match="nothing may need an event loop"):
        sync_adapter.run(suspend())
    assert ended == [True]


def test_run_tells_whoever_needs_an_event_loop_at_the_very_place() -> None:
    async def suspend() -> str:
        try:
            await asyncio.sleep(0)
        except RuntimeError as error:
            return str(error)
        return "it went on"

    assert "nothing may need an event loop" in sync_adapter.run(suspend())


# -- a stream that only reads and writes --


def test_a_stream_with_a_pump_of_its_own_is_used_as_it_is() -> None:
    class Pumping(Stream):
        deadline = 0.0

        async def pump(self, take: Any) -> Any:
            raise NotImplementedError

        def begin_write(self, data: bytes, timeout: float | None) -> None:
            raise NotImplementedError

    stream = Pumping([])
    assert pump_of(stream) is stream


def test_a_pump_over_reads_waits_without_a_limit_if_it_has_no_deadline() -> None:
    stream = Stream([(b"", b"there")])
    assert run(ReadingPump(stream).pump(lambda arrival: arrival)) == b"there"
    assert stream.timeouts == [None]


def test_a_pump_over_reads_gives_the_time_that_is_left(clock: Clock) -> None:
    stream = Stream([(b"", [Pause(3), b"one", Pause(4), b"two", Pause(9), b"three"])], clock=clock)
    pump = ReadingPump(stream)
    pump.deadline = clock.now + 10
    arrivals: list[Any] = []

    def take(arrival: bytes | OSError) -> bool | None:
        arrivals.append(arrival)
        return True if isinstance(arrival, OSError) else None

    assert run(pump.pump(take)) is True
    assert arrivals[:2] == [b"one", b"two"]
    assert isinstance(arrivals[2], TimeoutError)
    assert stream.timeouts == [10, 7, 3]
    clock.now += 1
    assert run(pump.pump(take)) is True
    assert stream.timeouts[3:] == [0.0], "a deadline that has passed is not a negative time"


def test_a_pump_over_reads_writes_with_the_stream() -> None:
    async def write() -> None:
        writing = ReadingPump(stream).begin_write(b"NOOP\r\n", 5)
        assert writing is not None
        await writing

    stream = Stream([])
    run(write())
    assert stream.written == b"NOOP\r\n"
    assert stream.write_timeouts == [5]


@pytest.mark.parametrize("early", [None, b"", b"421 bye\r\n"])
def test_what_has_arrived_is_what_the_stream_says(early: bytes | None) -> None:
    stream = Stream([])
    stream.early = early
    assert arrived(stream) == early


def test_a_stream_that_cannot_tell_what_has_arrived_has_nothing() -> None:
    cannot_tell: Any = object()
    assert arrived(cannot_tell) is None


def test_silence_is_expected_only_of_a_stream_that_can_tell() -> None:
    class Noticing(Stream):
        expects_silence = False

    noticing, other = Noticing([]), Stream([])
    for silence in (True, False):
        expect_silence(noticing, silence)
        assert noticing.expects_silence is silence
        expect_silence(other, silence)
        assert not hasattr(other, "expects_silence")
