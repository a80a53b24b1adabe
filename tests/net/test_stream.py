"""What a conversation needs of a stream: how a coroutine runs that never suspends."""

from __future__ import annotations

import asyncio

import pytest

from smtpcore import sync as sync_adapter


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
