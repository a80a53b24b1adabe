"""Places for sessions: how many there are, and how many one address gets."""

from __future__ import annotations

import pytest

from smtpcore._net import listener as _listener


def test_places_are_counted_in_all_and_for_each_address() -> None:
    places = _listener.Places(300, None)
    for _ in range(_listener.PER_ADDRESS):
        assert places.take(("192.0.2.1", 1)) is None
    assert places.take(("192.0.2.1", 2)) == "too many connections from 192.0.2.1"
    for _ in range(150):
        assert places.take(("127.0.0.1", 1)) is None
    for _ in range(50):
        assert places.take(("::1", 1, 0, 0)) is None
    assert places.take(("192.0.2.2", 1)) is _listener.TOO_MANY
    places.refused.add("any reason")
    places.give_back(places.key(("192.0.2.1", 7)))
    assert places.refused == set()
    assert places.take(("192.0.2.1", 3)) is None
    assert places.take(("192.0.2.2", 1)) is _listener.TOO_MANY


def test_a_network_of_64_bits_is_one_address() -> None:
    places = _listener.Places(100, 2)
    assert places.take(("2001:db8::1", 1, 0, 0)) is None
    assert places.take(("2001:db8::ffff", 1, 0, 0)) is None
    assert places.take(("2001:db8:0:0:1::", 1, 0, 0)) == "too many connections from 2001:db8:0:0:1::"
    assert places.take(("2001:db8:0:1::", 1, 0, 0)) is None
    assert places.take(("fe80::1%eth0", 1, 0, 2)) is None
    assert places.take(("fe80::2%eth0", 1, 0, 2)) is None
    assert places.take(("fe80::3%eth0", 1, 0, 2)) is not None


def test_an_IPv4_client_of_an_IPv6_socket_counts_by_its_IPv4_address() -> None:
    places = _listener.Places(300, None)
    for _ in range(_listener.PER_ADDRESS):
        assert places.take(("::ffff:192.0.2.1", 1, 0, 0)) is None
    assert places.take(("192.0.2.1", 1)) == "too many connections from 192.0.2.1"
    assert places.take(("::ffff:192.0.2.2", 1, 0, 0)) is None
    for _ in range(150):
        assert places.take(("::ffff:127.0.0.1", 1, 0, 0)) is None


def test_what_has_no_address_is_not_counted_by_it() -> None:
    places = _listener.Places(3, 1)
    for _ in range(3):
        assert places.take("") is None
    assert places.take("") is _listener.TOO_MANY
    assert _listener.Places(1, 1).take(("127.0.0.1", 1)) is None, "a number that is given counts for loopback"


class Limited:
    """Stands for the module ``resource``."""

    RLIMIT_NOFILE, RLIM_INFINITY = 7, -1

    def __init__(self, soft: int) -> None:
        self._soft = soft

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self._soft, 1_000_000


@pytest.mark.parametrize(
    "soft, asked, given, level",
    [
        (1024, 5000, 496, "WARNING"),
        (1024, _listener.MAX_CONNECTIONS, 496, "INFO"),
        (1024, 496, 496, None),
        (10, 5, 1, "WARNING"),
        (Limited.RLIM_INFINITY, 5000, 5000, None),
        (None, 5000, 5000, None),
    ],
)
def test_sessions_are_no_more_than_descriptors_allow(
    soft: int | None,
    asked: int,
    given: int,
    level: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each has room for its socket and for a file of its message."""
    caplog.set_level("INFO", "smtpcore")
    monkeypatch.setattr(_listener, "resource", None if soft is None else Limited(soft))
    assert _listener.affordable(asked) == given
    assert [record.levelname for record in caplog.records] == [level] * (level is not None)
    if level is not None:
        assert f"at most {given} sessions at a time, not {asked}" in caplog.text
