"""What the benchmarks in memory send: the octets of whole sessions, and what has to come out of them."""

from __future__ import annotations

import functools
from typing import NamedTuple

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<sender@example.org>\r\n"
RCPT = b"RCPT TO:<recipient@example.com>\r\n"
ENVELOPE = MAIL + RCPT + b"DATA\r\n"
KILOBYTE = (b"x" * 62 + b"\r\n") * 16
MIB = 1024 * 1024
READ = 65536


class Workload(NamedTuple):
    """Octets for a server.

    Attributes:
        key: The name of the workload in files of results.
        title: The name of the workload for readers.
        reads: The octets that the client sends after EHLO, as they arrive, without QUIT.
        units: The time is divided by this number.
        unit: What is counted by ``units``.
        messages: How many messages that makes.
        recipients: How many recipients they have together.
        octets: How many octets of content they have together.
        replies: How many positive replies the server sends.
        wanted: How many times as fast as aiosmtpd the server is meant to be.
        lock_step: The client waits for the reply to each read.
    """

    key: str
    title: str
    reads: list[bytes]
    units: float
    unit: str
    messages: int
    recipients: int
    octets: int
    replies: int
    wanted: float
    lock_step: bool = False


def server_workloads(scale: float) -> list[Workload]:
    """Return the workloads; ``scale`` 1 is their full size."""
    transactions = max(1, round(10_000 * scale))
    hundreds = max(1, round(1_000 * scale))
    commands = max(1, round(50_000 * scale))
    size = max(READ, round(64 * MIB * scale))
    line = b"x" * 74 + b"\r\n"
    hundred = b"".join(b"RCPT TO:<recipient%d@example.com>\r\n" % number for number in range(100))
    parameters = b"MAIL FROM:<sender@example.org> SIZE=1024 BODY=8BITMIME SMTPUTF8\r\n"
    quoted = b'MAIL FROM:<"sen der"@example.org>\r\n'
    transaction = functools.partial(_transactions, count=transactions)
    return [
        transaction("pipelined", "messages of 1 KiB, pipelined", [ENVELOPE + KILOBYTE + b".\r\n"], wanted=18),
        transaction(
            "lock-step",
            "messages of 1 KiB, a command at a time",
            [MAIL, RCPT, b"DATA\r\n", KILOBYTE + b".\r\n"],
            wanted=17,
        ),
        Workload(
            "recipients",
            "messages to 100 recipients",
            _cut((MAIL + hundred + b"DATA\r\nx\r\n.\r\n") * hundreds),
            hundreds * 100,
            "RCPT",
            hundreds,
            hundreds * 100,
            hundreds * 3,
            hundreds * 103,
            50,
        ),
        _commands("noop", "NOOP", b"NOOP\r\n", commands, 1, 12),
        _commands("parameters", "MAIL with 3 parameters, and RSET", parameters + b"RSET\r\n", commands, 2, 25),
        _commands("quoted", "MAIL with a quoted local-part, and RSET", quoted + b"RSET\r\n", commands, 2, 30),
        _one_message("text", "text, 76-octet lines, 1 % dot-stuffed", line * 99 + b"." + line[1:], size, 8),
        _one_message("base64", "base64, 76-octet lines", b"QUJD" * 19 + b"\r\n", size, 15),
        _one_message("short-lines", "16-octet lines", b"x" * 14 + b"\r\n", size, 28),
    ]


def _cut(octets: bytes) -> list[bytes]:
    return [octets[start : start + READ] for start in range(0, len(octets), READ)]


def _transactions(key: str, title: str, segments: list[bytes], wanted: float, count: int) -> Workload:
    lock_step = len(segments) > 1
    reads = segments * count if lock_step else _cut(segments[0] * count)
    octets = count * len(KILOBYTE)
    return Workload(key, title, reads, count, "message", count, count, octets, count * 4, wanted, lock_step)


def _commands(key: str, title: str, lines: bytes, count: int, replies: int, wanted: float) -> Workload:
    return Workload(key, title, _cut(lines * count), count, "command", 0, 0, 0, count * replies, wanted)


def _one_message(key: str, title: str, block: bytes, size: int, wanted: float) -> Workload:
    content = block * (size // len(block))
    wire = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    reads = _cut(ENVELOPE + wire + b".\r\n")
    return Workload(key, title, reads, len(content) / MIB, "MiB", 1, 1, len(content), 4, wanted)
