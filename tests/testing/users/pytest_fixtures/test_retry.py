"""What smtplib makes of each fault, and what an application with a queue makes of smtplib."""

import smtplib

import pytest

from smtpcore.testing import early_552, greylist, mailbox_full, on, rate_limit, tarpit

CONTENT = "Subject: Report\r\n\r\n" + "All is well.\r\n" * 100


def send(server):
    with smtplib.SMTP(server.host, server.port) as client:
        client.sendmail("ann@example.org", ["bob@example.org"], CONTENT)


def deliver(server, attempts=3):
    """Send a message; return the number of the attempt that the server has accepted, or 0."""
    for attempt in range(1, attempts + 1):
        try:
            send(server)
        except (OSError, smtplib.SMTPException):
            continue
        return attempt
    return 0


@pytest.mark.parametrize(
    "rule, accepted",
    [
        (greylist(), 2),
        (tarpit(0.01), 1),
        (mailbox_full(), 0),
        (on("CONNECT", times=2).reply("421 4.3.2 busy"), 3),
        (on("CONNECT", times=1).garbage(), 2),
        (on("EHLO", times=1).disconnect(5), 2),
        (on("MAIL", times=1).reply("451 4.3.0 later"), 2),
        (on("DATA", times=1).reply("554 5.7.1 no"), 2),
        (on(".", times=1).reply("452 4.3.1 full"), 2),
        (early_552(after=100), 0),
        (on("*").split(1), 1),
        (on("RCPT", times=1).reply("250-ok\n251 ok"), 1),
    ],
    ids=lambda value: str(getattr(value, "verb", "")),
)
def test_a_message_is_delivered_when_the_fault_is_over(smtp_faults, rule, accepted):
    server = smtp_faults(rule)
    assert deliver(server) == accepted
    assert len(server.messages) == (accepted > 0)


def test_the_rate_is_limited(smtp_faults):
    server = smtp_faults(rate_limit(messages=2))
    assert [deliver(server, attempts=1) for _ in range(3)] == [1, 1, 0]


def test_a_lost_reply_makes_a_duplicate(smtp_faults):
    server = smtp_faults(on(".", times=1).disconnect())
    assert deliver(server) == 2
    assert len(server.messages) == 2  # RFC 1047: the client cannot know
