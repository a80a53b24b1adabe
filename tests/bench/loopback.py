"""Servers over loopback: the CPU time of the server's process for each message, beside its peers.

A good part of it is the system's, and what it costs to send a reply depends on whether the other side has to be
woken for it. So these figures are rougher than those in memory.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from .loads import Load
from .measure import Aim, Row, Subject, interleave, measure, number, spread
from .servers import (
    AIOSMTPD,
    CALLBACKS,
    CANNED,
    LOOP,
    MAILDIR,
    MAILDIR_IN_LOOP,
    NODEMAILER,
    PROGRAMS,
    SINK,
    SMTP_SINK,
    STORE,
    THREADS,
    TRIO,
    Server,
    postfix_program,
    running,
    why_missing,
)

SERVERS = (*PROGRAMS, SMTP_SINK, NODEMAILER)
_STORING = (MAILDIR, MAILDIR_IN_LOOP)
_DISCARDING = tuple(name for name in SERVERS if name not in _STORING)
_MIB = 1024 * 1024
_FEW, _MANY = "20 connections", "1,000 connections"


def rows(scale: float) -> Iterator[tuple[Row, dict[str, tuple[str, Load]]]]:
    """Give each row of the results, with the server and the load of each of its subjects."""
    some = partial(_scaled, scale)
    everyone = {name: (name, some(4000)) for name in _DISCARDING}
    yield (
        Row(
            "server-1-kib",
            "server, messages of 1 KiB over 20 connections",
            "us a message",
            (
                Aim(SINK, SMTP_SINK, 1.5, "cost"),
                Aim(STORE, SMTP_SINK, 1.6, "cost"),
                Aim(LOOP, SMTP_SINK, 1.8, "cost"),
                Aim(CALLBACKS, SMTP_SINK, 1.9, "cost"),
                Aim(TRIO, AIOSMTPD, 4, "speed"),
                Aim(THREADS, AIOSMTPD, 2.3, "speed"),
            ),
        ),
        everyone,
    )
    yield (
        Row(
            "server-10-mib",
            "server, messages of 10 MiB over 4 connections",
            "us a message",
            (Aim(SINK, SMTP_SINK, 1, "cost"), Aim(STORE, SMTP_SINK, 1, "cost")),
        ),
        {name: (name, some(12, connections=4, length=10 * _MIB)) for name in _DISCARDING},
    )
    yield (
        Row(
            "server-reconnect",
            "server, a connection for each message of 1 KiB",
            "us a message",
            (Aim(SINK, AIOSMTPD, 3.6, "speed"),),
        ),
        {name: (name, some(1000, reconnect=True)) for name in _DISCARDING},
    )
    yield (
        Row("server-pipelining", "server, messages of 1 KiB over 10 pipelining connections", "us a message"),
        {name: (name, some(4000, connections=10, pipelined=True)) for name in _DISCARDING},
    )
    connections = Row(
        "server-connections",
        "server, messages of 1 KiB over few and many connections",
        "us a message",
        (Aim(f"{SINK}, {_MANY}", f"{SINK}, {_FEW}", 1.3, "cost"),),
    )
    loads = {_FEW: some(4000), _MANY: some(20_000, connections=1000)}
    yield (
        connections,
        {
            f"{name}, {how_many}": (name, load)
            for name in (SINK, SMTP_SINK, CANNED)
            for how_many, load in loads.items()
        },
    )


def _maildir_row(servers: Mapping[str, Server], rounds: int, scale: float) -> Row:
    """Measure how long it takes to store messages safely: here the disk counts, and not the processor."""
    row = Row(
        "server-maildir",
        "server, messages of 1 KiB into a Maildir over 20 connections",
        "us of wall time a message",
        (Aim(MAILDIR, MAILDIR_IN_LOOP, 1, "speed"),),
    )
    load = _scaled(scale, 400)
    return measure(row, {name: partial(_time, servers[name], load) for name in _STORING}, rounds)


def _time(server: Server, load: Load) -> float:
    began = time.monotonic()
    load.send(server.port)
    return (time.monotonic() - began) / load.messages * 1e6


class Results(NamedTuple):
    """What was measured.

    Attributes:
        rows: Of the table.
        curves: Of the diagrams, as they stand in the file of results.
    """

    rows: list[Row]
    curves: list[dict[str, Any]]


class Curve(NamedTuple):
    """How the cost of a message grows with something.

    Attributes:
        key: The name of the curve in files.
        title, axis: For readers.
        loads: A load for each value.
    """

    key: str
    title: str
    axis: str
    loads: Mapping[int, Load]


CURVE_SERVERS = (SINK, STORE, TRIO, THREADS, CANNED, AIOSMTPD, SMTP_SINK, NODEMAILER)


def curves(scale: float) -> list[Curve]:
    """Return what the diagrams show; a scale below 0.1 has one value of each."""
    some = partial(_scaled, scale)
    values = slice(1) if scale < 0.1 else slice(None)
    return [
        Curve(
            "size",
            "CPU time of a server for a message, by its size",
            "octets of content",
            {size: some(count, connections=4, length=size) for size, count in _SIZES[values]},
        ),
        Curve(
            "recipients",
            "CPU time of a server for a message, by its recipients",
            "recipients",
            {number: some(count, recipients=number) for number, count in _RECIPIENTS[values]},
        ),
        Curve(
            "connections",
            "CPU time of a server for a message of 1 KiB, by the number of connections",
            "connections",
            {number: some(count, connections=number) for number, count in _CONNECTIONS[values]},
        ),
    ]


# With how many messages are sent, so that each takes about as long.
_SIZES = [(1024, 2000), (10 * 1024, 1500), (100 * 1024, 400), (_MIB, 60), (10 * _MIB, 8)]
_RECIPIENTS = [(1, 2000), (10, 1000), (100, 200), (1000, 40)]
_CONNECTIONS = [(1, 2000), (20, 2000), (100, 4000), (1000, 20_000)]


def _scaled(scale: float, messages: int, connections: int = 20, **options: Any) -> Load:
    connections = max(1, min(connections, round(messages * scale)))
    return Load(max(connections, round(messages * scale)), connections, **options)


@contextlib.contextmanager
def servers_here(missing: list[str]) -> Iterator[dict[str, Server]]:
    """Run the servers that can be run here, all at a time; a line for each other goes to ``missing``."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in SERVERS:
            if (reason := why_missing(name)) is None:
                found[name] = stack.enter_context(running(name))
            elif reason not in missing:
                missing.append(reason)
                print(f"without {name}: {reason}", flush=True)
        yield found


def _cost(server: Server, load: Load) -> float:
    before = server.cpu()
    load.send(server.port)
    return (server.cpu() - before) / load.messages * 1e6


def run(rounds: int, scale: float, missing: list[str], parts: Sequence[str]) -> Results:
    """Measure the rows (part ``servers``), and what the diagrams show (part ``curves``)."""
    results = Results([], [])
    if not {"servers", "curves"} & set(parts) or _without_source(missing):
        return results
    with servers_here(missing) as servers:
        for server in servers.values():
            _cost(server, _scaled(scale, 200))  # modules are loaded, caches filled
        if "servers" in parts:
            for row, subjects in rows(scale):
                here: dict[str, Subject] = {
                    label: partial(_cost, servers[name], load)
                    for label, (name, load) in subjects.items()
                    if name in servers
                }
                results.rows.append(measure(row, here, rounds))
            results.rows.append(_maildir_row(servers, rounds, scale))
        if "curves" in parts:
            shown = {name: server for name, server in servers.items() if name in CURVE_SERVERS}
            for curve in curves(scale):
                results.curves.append(_measure_curve(curve, shown, max(1, rounds // 2)))
    return results


def _measure_curve(curve: Curve, servers: Mapping[str, Server], rounds: int) -> dict[str, Any]:
    series: dict[str, list[float]] = {name: [] for name in servers}
    for load in curve.loads.values():
        subjects: dict[str, Subject] = {name: partial(_cost, server, load) for name, server in servers.items()}
        for name, values in interleave(subjects, rounds).items():
            series[name].append(spread(values)["median"])
    print(curve.title)
    for name, medians in series.items():
        print(f"    {name:<28} {', '.join(map(number, medians))}")
    print(end="", flush=True)
    return {
        "key": curve.key,
        "title": curve.title,
        "axis": curve.axis,
        "values": list(curve.loads),
        "unit": "us of CPU a message",
        "series": series,
    }


def _without_source(missing: list[str]) -> bool:
    if postfix_program("smtp-source") is not None:
        return False
    missing.append("smtp-source is missing, so no server was measured (apt-get install postfix)")
    print(missing[-1], flush=True)
    return True
