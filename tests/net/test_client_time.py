"""The client: how long it waits for what, on a clock of the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from smtpcore import (
    TimedOut,
    Timeouts,
)
from smtpcore._net import options as _options
from smtpcore._net.stream import run

from ..helpers.messages import (
    BEFORE_TLS,
    CONTENT,
    DOT,
    INFO,
    MAIL,
    ONE,
    PLAIN,
    RCPT,
    SENDER,
    UNPIPELINED,
    content_of,
    failure,
    refused,
    sending,
)
from ..helpers.scripted import (
    GREETING,
    QUIT,
    TLS,
    Clock,
    Pause,
    Stream,
    clock,
    connect,
    ehlo,
    talk,
)

__all__ = ["clock"]  # a fixture

# --- Time -------------------------------------------------------------------------------------------------

LONG = Pause(100_000)


@pytest.mark.req("TMO-01")
@pytest.mark.parametrize(
    "steps, phase, seconds",
    [
        ([(b"", [LONG])], "greeting", 300),
        ([GREETING, ("EHLO client.example", [LONG])], "ehlo", 300),
        ([GREETING, ehlo("STARTTLS"), ("STARTTLS", [LONG])], "starttls", 300),
        ([*BEFORE_TLS, (TLS, TimeoutError())], "tls", 0),
        ([*BEFORE_TLS, (TLS, INFO), ehlo("AUTH PLAIN"), (PLAIN, [LONG])], "auth", 300),
    ],
)
def test_every_wait_has_an_end_and_the_error_says_which_it_was(
    steps: Any, phase: str, seconds: float, clock: Clock
) -> None:
    error = refused(steps, TimedOut, security="starttls", auth=("joe", "secret"), clock=clock)
    assert error.context.phase == phase
    assert f"(phase: {phase})" in str(error)
    assert error.context.idle == seconds


@pytest.mark.req("TMO-01", "TMO-02", "TMO-03", "TMO-04", "TMO-05", "TMO-06", "TMO-07", "TMO-12")
def test_each_wait_has_the_time_that_rfc_5321_gives_it(clock: Clock) -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED, (DOT, "250 ok"), ("NOOP", "250 ok"), QUIT], clock=clock)
    client = connect(stream)
    run(client.send(SENDER, [ONE], CONTENT))
    run(client.noop())
    run(client.quit())
    assert stream.opened == ("mx.example", 25, None, 30)
    #                          greeting EHLO MAIL RCPT DATA dot NOOP QUIT
    assert stream.timeouts == [300, 300, 300, 300, 120, 600, 300, 5]
    assert set(stream.write_timeouts) == {180}


@pytest.mark.req("TMO-09")
@pytest.mark.parametrize(
    "timeout, opened, reads",
    [
        (10, 10, [10, 10, 10, 10, 10, 10, 5]),
        (200, 30, [200, 200, 200, 200, 120, 200, 5]),
        (
            Timeouts(connect=1, greeting=2, command=3, data_initiation=4, data_termination=6, farewell=7),
            1,
            [2, 3, 3, 3, 4, 6, 7],
        ),
    ],
)
def test_every_time_can_be_changed(timeout: Any, opened: float, reads: list[float], clock: Clock) -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED, (DOT, "250 ok"), QUIT], clock=clock)
    client = connect(stream, timeout=timeout)
    run(client.send(SENDER, [ONE], CONTENT))
    run(client.quit())
    assert stream.opened[3] == opened
    assert stream.timeouts == reads


def test_octets_that_drip_in_do_not_prolong_a_wait(clock: Clock) -> None:
    drops: list[Any] = []
    for octet in b"220 mx.example":
        drops += [bytes([octet]), Pause(101)]
    error = refused([(b"", drops)], TimedOut, clock=clock)
    assert clock.now == 1000 + 300
    assert error.context.first_octets == b"220"


def test_a_deadline_is_for_the_session_as_a_whole(clock: Clock) -> None:
    """It counts from before the connection is made."""

    class Slow(Stream):
        async def open(self, *args: Any, **options: Any) -> Stream:
            clock.now += 10
            return await super().open(*args, **options)

    stream = Slow(
        [GREETING, ehlo("STARTTLS"), ("STARTTLS", "220 go"), (TLS, INFO), ("EHLO client.example", [LONG])],
        clock=clock,
    )
    with pytest.raises(TimedOut) as caught:
        connect(stream, security="starttls", deadline=20)
    assert stream.opened[3] == 20
    assert stream.handshakes[0]["timeout"] == 10
    assert stream.timeouts == [10, 10, 10, 10]
    assert stream.write_timeouts == [10, 10, 10]
    assert clock.now == 1020
    assert caught.value.context is not None
    assert caught.value.context.phase == "ehlo"


def test_a_write_that_takes_too_long_is_a_timeout() -> None:
    stream = Stream([GREETING, ehlo(), *UNPIPELINED])
    client = connect(stream)
    original = stream.write

    async def write(data: bytes, timeout: float | None) -> None:
        if data.startswith(b"Subject"):
            raise TimeoutError("the peer took too long")
        await original(data, timeout)

    vars(stream)["write"] = write
    with pytest.raises(
        TimedOut, match=r"did not take what was sent in the 180 s .*\(phase: content\)"
    ) as caught:
        run(client.send(SENDER, [ONE], CONTENT))
    assert caught.value.maybe_delivered, "the final dot is in that write"
    assert stream.aborted


def test_recipients_answered_just_in_time_do_not_hold_a_client_for_days(clock: Clock) -> None:
    """Each wait is within its time: 83 hours in all."""
    names = [f"user{number}@mx.example" for number in range(1000)]
    steps = [(MAIL, "250 ok"), *((f"RCPT TO:<{name}>", [Pause(299), "250 ok"]) for name in names)]
    began = clock.now
    stream = Stream([GREETING, ehlo(), *steps], clock=clock)
    client = connect(stream)
    with pytest.raises(TimedOut, match=r"no reply to RCPT in the 11500 s allowed for the whole transaction"):
        run(client.send(SENDER, names, CONTENT))
    assert clock.now - began == 1500 + 10 * 1000


def test_content_that_is_taken_slowly_does_not_hold_a_client_for_days(clock: Clock) -> None:
    """Each write is within its time: 20 hours in all, for 25 MiB."""

    class Slow(Stream):
        async def write(self, data: bytes, timeout: float | None) -> None:
            await super().write(data, timeout)
            if len(data) > 1000:
                assert timeout is not None
                if timeout < 179:
                    clock.now += timeout
                    raise TimeoutError("the peer took too long")
                clock.now += 179

    content = b"0123456789abcd\r\n" * 1_638_400
    stream = Slow([GREETING, ehlo(), *UNPIPELINED], clock=clock)
    client = connect(stream)
    with pytest.raises(TimedOut, match=r"allowed for the whole transaction .*\(phase: content\)") as caught:
        run(client.send(SENDER, [ONE], content))
    octets = len(content_of(stream))
    assert 1510 + octets / 1000 - 180 < clock.now - 1000 <= 1510 + octets / 1000 + 180
    assert clock.now < 4 * 3600
    assert not caught.value.maybe_delivered


def test_a_message_may_use_all_the_waits_that_rfc_5321_gives_it(clock: Clock) -> None:
    steps = [
        (MAIL, [Pause(299), "250 ok"]),
        (RCPT, [Pause(299), "250 ok"]),
        ("DATA", [Pause(119), "354 go"]),
        (DOT, [Pause(599), "250 ok"]),
        QUIT,
    ]
    assert talk(steps, sending(), clock=clock).accepted_recipients == (ONE,)


def test_the_time_that_the_application_takes_is_not_the_servers(clock: Clock) -> None:
    def content() -> Iterator[bytes]:
        for _ in range(10):
            clock.now += 10_000
            yield CONTENT

    steps = [
        (f"{MAIL} BODY=8BITMIME", "250 ok"),
        *UNPIPELINED[1:],
        (CONTENT * 10 + b".\r\n", [Pause(500), "250 ok"]),
        QUIT,
    ]
    talk(steps, sending(content=content()), keywords=["8BITMIME"], clock=clock)


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, r"no reply to MAIL in the 300 s allowed for it \(phase: mail\)"),
        ({"timeout": 7}, r"no reply to MAIL in the 7 s allowed for it"),
        ({"deadline": 20}, r"no reply to MAIL in the 20 s allowed for the session \(deadline\)"),
    ],
)
def test_the_error_says_which_wait_it_was(options: Any, words: str, clock: Clock) -> None:
    error = failure([(MAIL, [LONG])], sending(), TimedOut, clock=clock, **options)
    assert re.match(words, str(error)), str(error)


def test_a_timeout_in_one_number_leaves_the_time_for_each_recipient() -> None:
    timeouts = _options.timeouts_of({"timeout": 3})
    assert (timeouts.command, timeouts.farewell) == (3, 3)
    assert timeouts.recipient == 10
