"""What the benchmarks send: the octets of a whole session behind EHLO, and what has to come out of them."""

from __future__ import annotations

from typing import NamedTuple

HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<recipient@example.com>\r\nDATA\r\n"
MIB = 1024 * 1024


class Workload(NamedTuple):
    """Octets for a server.

    Attributes:
        name: What is printed.
        wire: What the client sends behind EHLO, without QUIT.
        units: What the time is divided by.
        unit: Of what.
        messages: How many messages that makes.
        recipients: How many recipients they have together.
        octets: How many octets of content they have together.
        wanted: How many times aiosmtpd we mean to be.
    """

    name: str
    wire: bytes
    units: float
    unit: str
    messages: int
    recipients: int
    octets: int
    wanted: float


def server_workloads(scale: float) -> list[Workload]:
    """The five of them; ``scale`` 1 is their full size."""
    kilobyte = (b"x" * 62 + b"\r\n") * 16
    transactions = round(10_000 * scale)
    hundreds = round(1_000 * scale)
    recipients = b"".join(b"RCPT TO:<recipient%d@example.com>\r\n" % number for number in range(100))
    size = round(64 * MIB * scale)
    line = b"x" * 74 + b"\r\n"
    return [
        Workload(
            "transactions of 1 KiB, pipelined",
            (ENVELOPE + kilobyte + b".\r\n") * transactions,
            transactions,
            "message",
            transactions,
            transactions,
            transactions * len(kilobyte),
            18,
        ),
        Workload(
            "transactions of 100 RCPT",
            (b"MAIL FROM:<sender@example.org>\r\n" + recipients + b"DATA\r\nx\r\n.\r\n") * hundreds,
            hundreds * 100,
            "RCPT",
            hundreds,
            hundreds * 100,
            hundreds * 3,
            45,
        ),
        _one_message("text, 76-octet lines, 1 % dot-stuffed", line * 99 + b"." + line[1:], size, 8),
        _one_message("base64, 76-octet lines", b"QUJD" * 19 + b"\r\n", size, 15),
        _one_message("16-octet lines", b"x" * 14 + b"\r\n", size, 28),
    ]


def _one_message(name: str, block: bytes, size: int, wanted: float) -> Workload:
    content = block * (size // len(block))
    wire = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return Workload(name, ENVELOPE + wire + b".\r\n", len(content) / MIB, "MiB", 1, 1, len(content), wanted)
