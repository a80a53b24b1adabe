"""The context of an error: what is known before anything has happened, and its dialogue as text."""

from __future__ import annotations

from smtpcore import EndOfMessage, ErrorContext, Mail, Reply
from smtpcore._net.results import Exchange


def test_before_a_connection_nothing_is_known() -> None:
    context = ErrorContext()
    assert (context.host, context.port, context.security, context.tls) == ("", 0, "none", False)
    assert (context.phase, context.last_command, context.reply) == ("connect", None, None)
    assert (context.capabilities, context.octets_received, context.first_octets) == ((), 0, b"")
    assert (context.idle, context.exchanges, context.dialogue()) == (0.0, (), "")


def test_the_dialogue_has_a_line_for_each_command_and_each_reply() -> None:
    exchanges = (
        Exchange(Mail("a@client.example"), Reply(250, "2.1.0", "ok")),
        Exchange(EndOfMessage(), None),
    )
    assert ErrorContext(exchanges=exchanges).dialogue().splitlines() == [
        "C: MAIL FROM:<a@client.example>",
        "S: 250 2.1.0 ok",
        "C: (content) .",
    ]
