"""The transcript: it follows any dialogue, however the octets are cut, and never shows a secret.

A dialogue is written as it is read: a list of octets with the side in front, ``"C"`` or ``"S"``. ``recorded()``
gives it to transcripts whole, octet by octet, and with every piece cut in two at every place, and insists that
the cutting does not matter. ``shown()`` says it in short: the marker and the text of each entry.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import random
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcore import ArgumentTypeError
from smtpcore.transcript import SHOWN_LINE_LENGTH, Entry, Transcript, format_entry, log_to

from .core.test_secrets import SPELLED

Said = tuple[Literal["C", "S"], bytes]
Dialogue = Sequence[Said]


def feed(transcript: Transcript, dialogue: Dialogue) -> Transcript:
    for side, octets in dialogue:
        (transcript.record_client if side == "C" else transcript.record_server)(octets)
    return transcript


def cut(dialogue: Dialogue, at: int) -> list[Said]:
    return [(side, part) for side, octets in dialogue for part in (octets[:at], octets[at:])]


def cuttings(dialogue: Dialogue) -> Iterator[list[Said]]:
    """Octet by octet, and every piece in two at every place."""
    yield [(side, octets[i : i + 1]) for side, octets in dialogue for i in range(len(octets))]
    for at in range(1, max((len(octets) for _, octets in dialogue), default=0)):
        yield cut(dialogue, at)


def timeless(**options: Any) -> Transcript:
    return Transcript(clock=lambda: 0.0, **options)


def recorded(dialogue: Dialogue, *, end: bool = False, **options: Any) -> Transcript:
    transcript = feed(timeless(**options), dialogue)
    others = [feed(timeless(**options), other) for other in cuttings(dialogue)]
    if end:
        for one in (transcript, *others):
            one.record_end()
    for other in others:
        assert other.entries == transcript.entries
    return transcript


def shown(transcript: Transcript) -> list[str]:
    return [format_entry(entry).split(maxsplit=1)[1] for entry in transcript.entries]


def kinds(transcript: Transcript) -> list[str]:
    return [entry.kind for entry in transcript.entries]


GREETING: Said = ("S", b"220 mx.example\r\n")
OK: Said = ("S", b"250 ok\r\n")
TO_DATA: list[Said] = [
    GREETING,
    ("C", b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n"),
    ("S", b"250 ok\r\n250 ok\r\n354 go\r\n"),
]


# --- Following a dialogue ---------------------------------------------------------------------------------


def test_every_line_is_an_entry() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"EHLO c.example\r\n"),
        ("S", b"250-mx.example\r\n250 SIZE 1000\r\n"),
        ("C", b"QUIT\r\n"),
        ("S", b"221 2.0.0 bye\r\n"),
    ]
    transcript = recorded(dialogue)
    assert shown(transcript) == [
        "S: 220 mx.example",
        "C: EHLO c.example",
        "S: 250-mx.example",
        "S: 250 SIZE 1000",
        "C: QUIT",
        "S: 221 2.0.0 bye",
    ]
    assert kinds(transcript) == ["reply", "command", "reply", "reply", "command", "reply"]
    assert [entry.octets for entry in transcript.entries] == [16, 16, 16, 15, 6, 15]


def test_content_is_elided() -> None:
    content = b"Subject: private\r\n\r\nthe plan\r\n..\r\n.\r\n"
    transcript = recorded([*TO_DATA, ("C", content + b"QUIT\r\n"), OK])
    assert shown(transcript)[-3:] == [f"C: [{len(content)} octets of content]", "C: QUIT", "S: 250 ok"]
    assert transcript.entries[-3].kind == "content"
    assert transcript.entries[-3].octets == len(content)


def test_content_is_shown_line_by_line_when_asked_for() -> None:
    transcript = recorded([*TO_DATA, ("C", b"a\r\n..\r\n\r\nb\rc\nd\r\n.\r\nQUIT\r\n"), OK], content=True)
    assert shown(transcript)[-7:] == [
        "C: a",
        "C: ..",
        "C:",
        "C: b\\x0dc\\x0ad",
        "C: .",
        "C: QUIT",
        "S: 250 ok",
    ]
    assert kinds(transcript)[-7:] == ["content"] * 5 + ["command", "reply"]


def test_what_is_sent_ahead_of_354_is_content() -> None:
    ahead: Said = ("C", b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\nQUIT\r\n.\r\nQUIT\r\n")
    transcript = recorded([GREETING, ahead, ("S", b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n")])
    assert shown(transcript)[3:] == [
        "C: DATA",
        "S: 250 ok",
        "S: 250 ok",
        "S: 354 go",
        "C: [9 octets of content]",
        "C: QUIT",
        "S: 250 ok",
        "S: 221 bye",
    ]


def test_commands_follow_a_refused_DATA() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"DATA\r\nRSET\r\n"), ("S", b"503 no\r\n250 ok\r\n")]
    assert shown(recorded(dialogue))[1:] == ["C: DATA", "S: 503 no", "C: RSET", "S: 250 ok"]


def test_content_sent_in_spite_of_a_refusal_is_not_shown() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"DATA\r\nthe plan\r\n.\r\nRSET\r\nFOO\r\n"),
        ("S", b"503 no\r\n500 what\r\n500 what\r\n250 ok\r\n500 what\r\n"),
    ]
    assert shown(recorded(dialogue)) == [
        "S: 220 mx.example",
        "C: DATA",
        "S: 503 no",
        "C: ***",
        "C: ***",
        "C: RSET",
        "C: FOO",
        "S: 500 what",
        "S: 500 what",
        "S: 250 ok",
        "S: 500 what",
    ]
    assert kinds(recorded(dialogue))[3:5] == ["content", "content"]
    assert "C: the plan" in shown(recorded(dialogue, content=True))


@pytest.mark.parametrize("line", [b"BDAT 7", b"bdat  7 last", b" BDAT 7 LAST "])
def test_a_chunk_is_elided_by_its_count(line: bytes) -> None:
    transcript = recorded([GREETING, ("C", line + b"\r\n\r\n.\r\nabQUIT\r\n"), ("S", b"250 ok\r\n221 bye\r\n")])
    assert shown(transcript)[2:4] == ["C: [7 octets of content]", "C: QUIT"]


def test_a_chunk_is_shown_line_by_line_when_asked_for() -> None:
    transcript = recorded([GREETING, ("C", b"BDAT 6\r\na\r\nbc\rBDAT 1 LAST\r\n\nNOOP\r\n")], content=True)
    assert shown(transcript)[1:] == [
        "C: BDAT 6",
        "C: a",
        "C: bc\\x0d",
        "C: BDAT 1 LAST",
        "C: \\x0a",
        "C: NOOP",
    ]


def test_an_empty_chunk_is_only_a_command() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"BDAT 0 LAST\r\nNOOP\r\n"), OK, OK]
    assert shown(recorded(dialogue))[1:] == ["C: BDAT 0 LAST", "C: NOOP", "S: 250 ok", "S: 250 ok"]


@pytest.mark.parametrize("line", [b"BDAT x", b"BDAT 3"])
def test_content_after_a_wrong_count_is_not_shown(line: bytes) -> None:
    transcript = recorded([GREETING, ("C", line + b"\r\nabcthe plan\r\nRSET\r\n")])
    assert "plan" not in str(transcript)
    assert shown(transcript)[-2:] == ["C: ***", "C: RSET"]


def test_a_multi_line_reply_is_one_answer() -> None:
    dialogue: Dialogue = [
        ("S", b"220-mx.example\r\n220-hello\r\n220 there\r\n"),
        ("C", b"EHLO c\r\nDATA\r\na\r\n.\r\n"),
        ("S", b"250-mx.example\r\n250-DSN\r\n250\r\n354-go\r\n354 on\r\n"),
    ]
    assert shown(recorded(dialogue))[3:] == [
        "C: EHLO c",
        "C: DATA",
        "S: 250-mx.example",
        "S: 250-DSN",
        "S: 250",
        "S: 354-go",
        "S: 354 on",
        "C: [6 octets of content]",
    ]


def test_a_line_that_is_not_a_valid_reply_answers_no_command() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"DATA\r\nquit\r\n.\r\n"),
        ("S", b"oops\r\n100 x\n250ok\r\n354 go\n"),
    ]
    assert shown(recorded(dialogue))[2:] == [
        "S: oops",
        "S: 100 x",
        "S: 250ok",
        "S: 354 go",
        "C: [9 octets of content]",
    ]


def test_an_unsolicited_reply_is_shown() -> None:
    assert shown(recorded([GREETING, ("S", b"421 bye\r\n")])) == ["S: 220 mx.example", "S: 421 bye"]


def test_a_235_finds_its_auth_when_a_reply_was_left_out() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"NOOP\r\nAUTH PLAIN x\r\nNOOP\r\n"), ("S", b"235 ok\r\n")]
    assert shown(recorded(dialogue))[-2:] == ["S: 235 ok", "C: NOOP"]


def test_a_354_finds_its_data_when_a_reply_was_left_out() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"NOOP\r\nDATA\r\nquit\r\n.\r\n"), ("S", b"354 go\r\n")]
    assert shown(recorded(dialogue))[-1] == "C: [9 octets of content]"


LMTP: list[Said] = [
    GREETING,
    ("C", b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<b@b>\r\nRCPT TO:<c@b>\r\n"),
    ("S", b"250 ok\r\n250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n"),
]


@pytest.mark.parametrize(
    "content, go",
    [
        (b"DATA\r\nx\r\n.\r\n", b"354 go\r\n"),
        (b"BDAT 3 LAST\r\nx\r\n", b""),
        (b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\n", b"250 a chunk that is not the last\r\n"),
    ],
    ids=["DATA", "BDAT", "two BDAT"],
)
def test_over_lmtp_each_accepted_recipient_has_a_reply(content: bytes, go: bytes) -> None:
    dialogue: Dialogue = [
        *LMTP,
        ("C", content + b"DATA\r\nquit\r\n"),
        ("S", go + b"250 ok\r\n452 full\r\n503 no\r\n"),
    ]
    assert shown(recorded(dialogue))[-3:] == ["S: 452 full", "S: 503 no", "C: quit"]


def test_over_lmtp_a_last_chunk_without_recipients_has_no_reply() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"LHLO c\r\nMAIL FROM:<>\r\nBDAT 0 LAST\r\nDATA\r\nquit\r\n"),
        ("S", b"250 ok\r\n250 ok\r\n503 no\r\n"),
    ]
    assert shown(recorded(dialogue))[-2:] == ["S: 503 no", "C: quit"]


@pytest.mark.parametrize("recipients", [0, 1, 2])
def test_over_smtp_content_has_one_reply_whatever_the_recipients(recipients: int) -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@b>\r\n" * recipients + b"BDAT 0 LAST\r\nDATA\r\nquit\r\n"),
        ("S", b"250 ok\r\n" + b"250 ok\r\n" * recipients + b"250 done\r\n503 no\r\n"),
    ]
    assert shown(recorded(dialogue))[-3:] == ["S: 250 done", "S: 503 no", "C: quit"]


def test_the_recipients_of_one_transaction_do_not_count_in_the_next() -> None:
    dialogue: Dialogue = [
        *LMTP,
        ("C", b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 0 LAST\r\nDATA\r\nquit\r\n"),
        ("S", b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n503 no\r\n"),
    ]
    assert shown(recorded(dialogue))[-2:] == ["S: 503 no", "C: quit"]


def test_a_proxy_header_of_version_1_has_no_reply() -> None:
    proxy = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n"
    dialogue: Dialogue = [("C", proxy), GREETING, ("C", b"DATA\r\nquit\r\n"), ("S", b"503 no\r\n")]
    transcript = recorded(dialogue)
    assert shown(transcript)[0] == "C: " + proxy.decode().strip()
    assert shown(transcript)[-2:] == ["S: 503 no", "C: quit"]


def test_a_PROXY_line_later_is_a_command() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"PROXY UNKNOWN\r\nDATA\r\nquit\r\n"),
        ("S", b"500 what\r\n503 no\r\n"),
    ]
    assert shown(recorded(dialogue))[-3:] == ["S: 500 what", "S: 503 no", "C: quit"]


def test_a_proxy_header_of_version_2_is_elided_and_has_no_reply() -> None:
    proxy = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\r\n" * 6
    transcript = recorded([("C", proxy), GREETING, ("C", b"DATA\r\nquit\r\n"), ("S", b"503 no\r\n")])
    assert shown(transcript) == [
        "C: [28 octets of PROXY header]",
        "S: 220 mx.example",
        "C: DATA",
        "S: 503 no",
        "C: quit",
    ]


def test_an_empty_line_is_a_command_also_at_the_beginning() -> None:
    refused: Said = ("S", b"500 what\r\n")
    go: Said = ("S", b"354 go\r\n")
    expected = ["S: 220 mx.example", "C:", "S: 500 what", "C: DATA", "S: 354 go", "C: [9 octets of content]"]
    data: Said = ("C", b"DATA\r\nquit\r\n.\r\n")
    assert shown(recorded([GREETING, ("C", b"\r\n"), refused, data, go])) == expected
    assert shown(recorded([("C", b"\r\n"), GREETING, refused, data, go])) == expected


# --- TLS --------------------------------------------------------------------------------------------------


def test_starttls_leads_to_tls_and_a_new_session() -> None:
    transcript = timeless()
    feed(transcript, [GREETING, ("C", b"EHLO c\r\nSTARTTLS\r\n"), OK, ("S", b"220 go\r\n")])
    transcript.record_tls("TLSv1.3")
    feed(transcript, [("C", b"EHLO c\r\nDATA\r\nquit\r\n.\r\n"), OK, ("S", b"354 go\r\n")])
    assert shown(transcript) == [
        "S: 220 mx.example",
        "C: EHLO c",
        "C: STARTTLS",
        "S: 250 ok",
        "S: 220 go",
        "-- TLSv1.3",
        "C* EHLO c",
        "C* DATA",
        "S* 250 ok",
        "S* 354 go",
        "C* [9 octets of content]",
    ]
    assert [entry.tls for entry in transcript.entries] == [False] * 5 + [True] * 6


def test_the_handshake_is_elided() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"STARTTLS\r\n\x16hello\r\n"),
        ("S", b"220 go\r\n\x16hello\r\n"),
        ("C", b"finished\r\n"),
        ("S", b"finished\r\n"),
    ]
    for one in (dialogue, *cuttings(dialogue)):
        transcript = feed(timeless(), one)
        transcript.record_tls("TLSv1.3")
        assert shown(transcript)[1:] == [
            "C: STARTTLS",
            "S: 220 go",
            "-- [36 octets of TLS handshake]",
            "-- TLSv1.3",
        ]
        assert transcript.entries[-2].octets == 36


def test_commands_follow_a_refused_STARTTLS() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"STARTTLS\r\nFOO\r\n"), ("S", b"454 no\r\n500 what\r\n")]
    assert shown(recorded(dialogue))[1:] == ["C: STARTTLS", "S: 454 no", "C: FOO", "S: 500 what"]


def test_with_tls_from_the_beginning_the_server_greets_under_tls() -> None:
    transcript = timeless()
    transcript.record_tls("TLSv1.3")
    feed(transcript, [GREETING, ("C", b"DATA\r\nquit\r\n"), ("S", b"503 no\r\n")])
    assert shown(transcript)[-3:] == ["C* DATA", "S* 503 no", "C* quit"]


# --- Secrets ----------------------------------------------------------------------------------------------

PASSWORD = "correct horse battery staple"
SECRET = base64.b64encode(b"\0user\0" + PASSWORD.encode())
CHALLENGE = base64.b64encode(b"<1896.697170952@mx.example>")


def outputs(transcript: Transcript, log: Sequence[str] = ()) -> str:
    entries = transcript.entries
    return "\n".join([str(transcript), repr(transcript), transcript.jsonl(), repr(entries), *log])


def harmless(text: str) -> bool:
    return not any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= c <= "\u202e"
        for c in text.replace("\n", "")
    )


def without_secrets(dialogue: Dialogue, *more: bytes) -> None:
    """Whatever the cutting, and wherever the connection is lost, no output has a secret."""
    transcripts = [feed(timeless(), one) for one in (dialogue, *cuttings(dialogue))]
    for number in range(len(dialogue)):
        side, octets = dialogue[number]
        for end in range(len(octets)):
            lost = feed(timeless(), [*dialogue[:number], (side, octets[:end])])
            lost.record_end()
            transcripts.append(lost)
    for transcript in transcripts:
        text = outputs(transcript).lower()
        for secret in (SECRET, PASSWORD.encode(), *more):
            assert secret.decode().lower() not in text
            assert secret.decode().lower()[:12] not in text


def test_plain_shows_its_name_only() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH PLAIN " + SECRET + b"\r\n"),
        ("S", b"235 2.7.0 welcome\r\n"),
        ("C", b"MAIL FROM:<a@b> AUTH=<>\r\n"),
    ]
    without_secrets(dialogue)
    transcript = recorded(dialogue)
    assert shown(transcript)[1:] == [
        "C: AUTH PLAIN ***",
        "S: 235 2.7.0 welcome",
        "C: MAIL FROM:<a@b> AUTH=<>",
    ]
    assert kinds(transcript)[1:] == ["auth", "reply", "command"]


def test_the_lines_of_login_do_not_show_and_its_prompts_do() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"auth login\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"334 UGFzc3dvcmQ6\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"535 5.7.8 no\r\n"),
        ("C", b"QUIT\r\n"),
    ]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[1:] == [
        "C: auth login",
        "S: 334 VXNlcm5hbWU6",
        "C: ***",
        "S: 334 UGFzc3dvcmQ6",
        "C: ***",
        "S: 535 5.7.8 no",
        "C: QUIT",
    ]


def test_other_challenges_do_not_show() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH CRAM-MD5\r\n"),
        ("S", b"334 " + CHALLENGE + b"\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"334-" + CHALLENGE + b"\r\n334" + CHALLENGE + b"\r\n334 \r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"334\r\n"),
        ("C", b"\r\n"),
        ("S", b"235 ok\r\n"),
    ]
    without_secrets(dialogue, CHALLENGE)
    assert shown(recorded(dialogue))[1:] == [
        "C: AUTH CRAM-MD5",
        "S: 334 ***",
        "C: ***",
        "S: 334-***",
        "S: ***",
        "S: 334",
        "C: ***",
        "S: 334",
        "C: ***",
        "S: 235 ok",
    ]


def test_a_cancelled_exchange_is_over() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH LOGIN\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", b"*\r\n"),
        ("S", b"501 cancelled\r\n"),
        ("C", b"NOOP\r\nFOO\r\n"),
    ]
    assert shown(recorded(dialogue))[3:] == ["C: *", "S: 501 cancelled", "C: NOOP", "C: FOO"]


def test_within_auth_a_line_is_a_response_even_if_it_looks_like_a_command() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"AUTH LOGIN\r\nQUIT " + SECRET + b"\r\n"), ("S", b"334 \r\n")]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[-1] == "C: ***"


def test_credentials_sent_ahead_of_a_refusal_do_not_show() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH LOGIN\r\n" + SECRET + b"\r\n" + SECRET + b"\r\n\r\nRSET\r\nFOO\r\n"),
        ("S", b"504 no\r\n500 what\r\n500 what: " + SECRET.lower() + b"\r\n500 what\r\n250 ok\r\n"),
    ]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[2:] == [
        "S: 504 no",
        "C: ***",
        "C: ***",
        "C: ***",
        "C: RSET",
        "C: FOO",
        "S: 500 what",
        "S: 500 ***",
        "S: 500 what",
        "S: 250 ok",
    ]


@pytest.mark.parametrize(
    "line, text",
    [
        (b"AUTH PLAIN %s", "AUTH PLAIN ***"),
        (b"auth plain %s", "auth plain ***"),
        (b"AUTH  PLAIN %s", "AUTH  PLAIN ***"),
        (b"AUTH\tPLAIN\t%s", "AUTH\\x09PLAIN ***"),
        (b" \tAUTH PLAIN %s", " \\x09AUTH PLAIN ***"),
        (b"\0\xffAUTH PLAIN %s", "\\x00\\xffAUTH PLAIN ***"),
        (b"AUTHPLAIN %s", "AUTH ***"),
        (b"AUTH %s", "AUTH ***"),
        (b"AUTH%s", "AUTH ***"),
        (b"AUTH=%s", "AUTH ***"),
        (b"AUTH X-OWN %s", "AUTH ***"),
        (b"AUTH PLAIN%s", "AUTH ***"),
        (b"AUTH SCRAM-SHA-256-PLUS %s", "AUTH SCRAM-SHA-256-PLUS ***"),
        (b"Authenticate: %s", "Auth ***"),
        (b"NOOP\nAUTH PLAIN %s", "NOOP\\x0aAUTH PLAIN ***"),
        (b"NOOP\r\r AUTH PLAIN %s", "NOOP\\x0d\\x0d AUTH PLAIN ***"),
        (b"BURL imap://u@h/box;urlauth=submit+u:internal:%s LAST", "BURL ***"),
    ],
)
def test_a_secret_does_not_show_however_its_line_was_typed(line: bytes, text: str) -> None:
    dialogue: Dialogue = [GREETING, ("C", line % SECRET + b"\r\n"), ("S", b"500 what\r\n")]
    without_secrets(dialogue)
    assert recorded(dialogue).entries[1].text == text


def test_a_mechanism_without_a_response_hides_nothing() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"AUTH EXTERNAL \r\n"), ("S", b"504 EXTERNAL what\r\n")]
    assert [entry.text for entry in recorded(dialogue).entries[1:]] == ["AUTH EXTERNAL ", "504 EXTERNAL what"]


@pytest.mark.parametrize(
    "echo", [SECRET, SECRET.lower(), SECRET[:6], SECRET[3:15], b"x" + SECRET[:6], b'"' + SECRET + b'"']
)
def test_a_server_that_repeats_a_secret_is_not_quoted(echo: bytes) -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH PLAIN " + SECRET + b"\r\n"),
        ("S", b"500-5.5.1 Command unrecognized:\r\n500 AUTH PLAIN " + echo + b"\r\n"),
    ]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[-2:] == ["S: 500-5.5.1 Command unrecognized:", "S: 500 ***"]


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize(
    "dialogue",
    [
        [("C", b"AUTH PLAIN " + base64.b64encode(b"\0user@example.org\0p4ss word") + b"\r\n")],
        [
            ("C", b"AUTH PLAIN\r\n"),
            ("S", b"334 \r\n"),
            ("C", base64.b64encode(b"\0user@example.org\0p4ss word") + b"\r\n"),
        ],
        [
            ("C", b"AUTH LOGIN\r\n"),
            ("S", b"334 VXNlcm5hbWU6\r\n"),
            ("C", base64.b64encode(b"user@example.org") + b"\r\n"),
            ("S", b"334 UGFzc3dvcmQ6\r\n"),
            ("C", base64.b64encode(b"p4ss word") + b"\r\n"),
        ],
        [
            ("C", b"AUTH LOGIN " + base64.b64encode(b"user@example.org") + b"\r\n"),
            ("S", b"334 UGFzc3dvcmQ6\r\n"),
            ("C", base64.b64encode(b"p4ss word") + b"\r\n"),
        ],
    ],
)
def test_a_server_that_decodes_a_password_and_repeats_it_is_not_quoted(dialogue: Dialogue) -> None:
    said = recorded([("S", b"220 mx\r\n"), *dialogue, ("S", b"535 user@example.org: no p4ss word for you\r\n")])
    assert said.entries[-1].text == "535 ***"
    said = recorded([("S", b"220 mx\r\n"), *dialogue, ("S", b"535 user@example.org has no p4ss\r\n")])
    assert said.entries[-1].text == "535 user@example.org has no p4ss"


def test_the_user_name_of_a_second_attempt_is_not_hidden() -> None:
    attempt: list[Said] = [
        ("C", b"AUTH LOGIN\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", base64.b64encode(b"user@example.org") + b"\r\n"),
        ("S", b"535 user@example.org is unknown\r\n"),
    ]
    said = recorded([("S", b"220 mx\r\n"), *attempt, *attempt])
    assert [entry.text for entry in said.entries].count("535 user@example.org is unknown") == 2


@pytest.mark.req("AUT-52")
def test_an_argument_of_hide_is_not_shown() -> None:
    transcript = timeless()
    transcript.hide("T0ken of mine", "abc", "p\xe4ss")
    feed(transcript, [("S", b"220 the t0KEN of MINE.\r\n220 abc\r\n550 p\xc3\xa4ss?\r\n")])
    assert [entry.text for entry in transcript.entries] == ["220 ***", "220 abc", "550 ***"]


def test_a_secret_with_half_a_character_is_hidden() -> None:
    transcript = timeless()
    transcript.hide("abc\ud800")
    feed(transcript, [("S", b"220 abc\xed\xa0\x80\r\n")])
    assert [entry.text for entry in transcript.entries] == ["220 ***"]


@pytest.mark.parametrize("secret", [b"hunter2", None, ["hunter2"], 5])
def test_a_secret_that_is_not_a_string_is_refused_and_not_shown(secret: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^a secret is a string, not {type(secret).__name__}$"):
        Transcript().hide(secret)


@pytest.mark.parametrize(
    "name, value",
    [("content", "no"), ("content", 1), ("content", None), ("sink", 5), ("sink", "x"), ("clock", None)],
)
def test_an_option_of_the_wrong_type_is_named(name: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^{name} is "):
        Transcript(**{name: value})
    with pytest.raises(ArgumentTypeError, match=r"^text is a string, not bytes "):
        Transcript().record_note(b"x")  # type: ignore[arg-type]


def test_the_secrets_to_hide_are_bounded() -> None:
    transcript = timeless()
    for number in range(1000):
        transcript.hide(f"secret {number}")
        assert len(transcript._secrets._hidden) <= 1100


def test_secrets_that_are_hidden_again_do_not_drop_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpcore.transcript._masking._MOST_HIDDEN", 2)
    transcript = timeless()
    transcript.hide("secret1")
    transcript.hide("secret1")
    feed(transcript, [("S", b"220 secret1\r\n")])
    transcript.hide("another")
    feed(transcript, [("S", b"220 another, secret1\r\n220 secret1\r\n")])
    assert [entry.text for entry in transcript.entries] == ["220 ***", "220 ***", "220 secret1"]


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("password, spelled", [*SPELLED, ("T0ken of mine", "VDBrZW4gb2YgbWluZQ==")])
def test_a_secret_is_not_shown_as_it_is_written_in_quotes_a_url_and_the_like(
    password: str, spelled: str
) -> None:
    hidden = timeless()
    hidden.hide(password)
    feed(hidden, [("S", f"550 ({spelled})\r\n".encode())])
    assert [entry.text for entry in hidden.entries] == ["550 ***"]
    response = base64.b64encode(f"\0user\0{password}".encode())
    said = recorded(
        [GREETING, ("C", b"AUTH PLAIN " + response + b"\r\n"), ("S", f"535 {spelled}\r\n".encode())]
    )
    assert shown(said)[-1] == "S: 535 ***"


@pytest.mark.parametrize("reply", [b"501 what is 'c2U='?", b"501 (c2u=)", b"501 c2U"])
def test_a_short_secret_is_recognized_as_a_word(reply: bytes) -> None:
    dialogue: Dialogue = [GREETING, ("C", b"AUTH PLAIN c2U=\r\n"), ("S", reply + b"\r\n501 sic2U\r\n")]
    assert shown(recorded(dialogue))[-2:] == ["S: 501 ***", "S: 501 sic2U"]


def test_an_empty_response_is_not_a_secret() -> None:
    dialogue: Dialogue = [GREETING, ("C", b"AUTH EXTERNAL =\r\n"), ("S", b"235 = - ok\r\n")]
    assert shown(recorded(dialogue))[-2:] == ["C: AUTH EXTERNAL ***", "S: 235 = - ok"]


def test_a_note_does_not_quote_a_secret() -> None:
    transcript = recorded([GREETING, ("C", b"AUTH PLAIN " + SECRET + b"\r\n")])
    transcript.record_note(f"AUTH was answered 500 {SECRET.decode()}")
    transcript.record_note("connection lost")
    assert shown(transcript)[-2:] == ["-- ***", "-- connection lost"]


def test_a_reply_that_was_left_out_does_not_uncover_a_secret() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"NOOP\r\nAUTH LOGIN\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"235 ok\r\n"),
        ("C", b"QUIT\r\n"),
    ]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[-3:] == ["C: ***", "S: 235 ok", "C: QUIT"]


def test_after_an_unsolicited_challenge_responses_are_masked() -> None:
    dialogue: Dialogue = [
        GREETING,
        ("C", b"XAUTH LOGIN\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"235 ok\r\n"),
    ]
    without_secrets(dialogue)
    assert shown(recorded(dialogue))[-2:] == ["C: ***", "S: 235 ok"]


def test_octets_after_record_end_are_not_shown_as_commands() -> None:
    transcript = feed(timeless(), [GREETING, ("C", b"AUTH LOGIN\r\n"), ("S", b"334 VXNlcm5hbWU6\r\n")])
    transcript.record_end()
    transcript.record_client(SECRET + b"\r\nEHLO c\r\n")
    assert shown(transcript)[-2:] == ["C: ***", "C: EHLO c"]


def test_a_sink_that_raises_does_not_uncover_a_secret() -> None:
    def sink(entry: Entry) -> None:
        if entry.kind == "auth":
            raise ZeroDivisionError

    transcript = timeless(sink=sink)
    with pytest.raises(ZeroDivisionError):
        feed(transcript, [GREETING, ("C", b"AUTH LOGIN\r\n" + SECRET + b"\r\n")])
    with pytest.raises(ZeroDivisionError):
        transcript.record_server(b"334 VXNlcm5hbWU6\r\n")
    assert shown(transcript)[1:] == ["C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", "C: ***"]


@pytest.mark.req("AUT-52")
def test_secrets_are_in_no_output(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    dialogue: Dialogue = [
        GREETING,
        ("C", b"AUTH PLAIN " + SECRET + b"\r\n"),
        ("S", b"535 5.7.8 not " + SECRET + b"\r\n"),
        ("C", b"AUTH LOGIN\r\n"),
        ("S", b"334 VXNlcm5hbWU6\r\n"),
        ("C", SECRET + b"\r\n"),
        ("S", b"235 ok\r\n"),
    ]
    for one in (dialogue, *cuttings(dialogue)):
        transcript = feed(timeless(sink=log_to(logging.getLogger("mail"))), one)
        log = [record.getMessage() for record in caplog.records]
        assert len(log) == len(transcript.entries) == 7
        assert SECRET.decode() not in outputs(transcript, log)
        caplog.clear()


REPLIES = (
    b"220 x\r\n",
    b"250 ok\r\n",
    b"250-a\r\n250 b\r\n",
    b"235 ok\r\n",
    b"334 \r\n",
    b"334 " + CHALLENGE + b"\r\n",
    b"354 go\r\n",
    b"421 bye\r\n",
    b"535 no\r\n",
    b"oops\r\n",
)
COMMANDS = (
    b"EHLO c\r\n",
    b"NOOP\r\n",
    b"FOO\r\n",
    b"\r\n",
    b"DATA\r\n",
    b"DATA\r\ntext\r\n.\r\n",
    b"text\r\n.\r\n",
    b"BDAT 3\r\nabc",
    b"BDAT 0 LAST\r\n",
    b"LHLO c\r\n",
    b"RCPT TO:<a@b>\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN " + SECRET + b"\r\n",
    b"AUTH LOGIN\r\n" + SECRET + b"\r\n" + SECRET + b"\r\n",
)
said = st.one_of(
    st.tuples(st.just("S"), st.sampled_from(REPLIES)), st.tuples(st.just("C"), st.sampled_from(COMMANDS))
)


@st.composite
def cut_dialogues(draw: st.DrawFn) -> tuple[list[Said], list[Said]]:
    """A dialogue that may make no sense, and the same one cut into other pieces."""
    dialogue: list[Any] = draw(st.lists(said, max_size=20))
    pieces: list[Any] = []
    for side, octets in dialogue:
        places = sorted(draw(st.sets(st.integers(0, len(octets)), max_size=4)))
        pieces += [(side, octets[a:b]) for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
    return dialogue, pieces


@given(cut_dialogues(), st.booleans())
def test_how_octets_are_cut_does_not_matter(dialogues: tuple[list[Said], list[Said]], content: bool) -> None:
    whole, pieces = (feed(timeless(content=content), one) for one in dialogues)
    whole.record_end()
    pieces.record_end()
    assert whole.entries == pieces.entries
    assert sum(entry.octets for entry in whole.entries) == sum(len(octets) for _, octets in dialogues[0])


@given(cut_dialogues())
def test_no_dialogue_uncovers_a_secret(dialogues: tuple[list[Said], list[Said]]) -> None:
    transcript = feed(timeless(), dialogues[1])
    text = outputs(transcript)
    transcript.record_end()
    text += outputs(transcript)
    assert SECRET.decode() not in text
    assert CHALLENGE.decode() not in text


ECHO: Said = ("S", b"500-what is\r\n500 " + SECRET + b"\r\n")


@given(
    st.sampled_from([b"AUTH PLAIN " + SECRET, b"AUTH LOGIN\r\n" + SECRET, b"AUTH LOGIN\n" + SECRET]),
    st.sampled_from([b"\r\n", b"\n", b""]),
    st.lists(
        st.sampled_from([ECHO, OK, ("S", b"334 \r\n"), ("S", b"250-x\r\n"), ("C", SECRET), ("C", b"\r\n")])
    ),
    st.sampled_from([b"", b"NOOP\r\n", b"NOOP\r\nNOOP\r\n"]),
)
def test_no_server_can_quote_a_secret(auth: bytes, end: bytes, rest: list[Said], ahead: bytes) -> None:
    transcript = feed(timeless(), [GREETING, ("C", ahead + auth + end), *rest, ECHO])
    transcript.record_end()
    assert SECRET.decode() not in outputs(transcript)


@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=50)), max_size=20))
@example([("C", b"AUTH"), ("C", b"\r"), ("C", b"\n")])
def test_any_octets_are_accepted_and_counted(dialogue: list[Said]) -> None:
    transcript = feed(timeless(), dialogue)
    transcript.record_end()
    assert sum(entry.octets for entry in transcript.entries) == sum(len(octets) for _, octets in dialogue)
    assert harmless(outputs(transcript))


# --- Hostile octets ---------------------------------------------------------------------------------------


def test_control_characters_are_written_out() -> None:
    transcript = recorded([("S", b"220 \x1b[2J\0\r\x9b\r\n"), ("C", "NOOP gr\u00fc\u00df \u202e\r\n".encode())])
    assert shown(transcript) == ["S: 220 \\x1b[2J\\x00\\x0d\\x9b", "C: NOOP gr\u00fc\u00df \\u202e"]
    assert harmless(outputs(transcript))


def test_control_characters_of_notes_are_written_out_too() -> None:
    transcript = timeless()
    transcript.record_note("lost\r\n\x1b[2J\udc80" + "x" * 3 * SHOWN_LINE_LENGTH)
    (text,) = shown(transcript)
    assert text.startswith("-- lost\\x0d\\x0a\\x1b[2J\\udc80xxx")
    assert len(text) < SHOWN_LINE_LENGTH + 100


# --- Bounds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [SHOWN_LINE_LENGTH - 1, SHOWN_LINE_LENGTH, SHOWN_LINE_LENGTH + 1, 3 * SHOWN_LINE_LENGTH]
)
@pytest.mark.parametrize("side", ["C", "S"])
def test_a_long_line_is_cut_and_its_length_is_shown(side: Literal["C", "S"], size: int) -> None:
    line = (b"NOOP " if side == "C" else b"250 ") + b"x" * size
    line = line[:size]
    dialogue: Dialogue = [(side, line + b"\r\n"), (side, b"250 or QUIT\r\n")]
    transcript = feed(timeless(), dialogue)
    told = f" [{size + 2} octets]" if size > SHOWN_LINE_LENGTH else ""
    assert [entry.text for entry in transcript.entries] == [
        line[:SHOWN_LINE_LENGTH].decode() + told,
        "250 or QUIT",
    ]
    assert transcript.entries[0].octets == size + 2
    octets: Dialogue = [(side, said[i : i + 1]) for _, said in dialogue for i in range(len(said))]
    for cutting in (octets, cut(dialogue, SHOWN_LINE_LENGTH), cut(dialogue, size + 1)):
        assert feed(timeless(), cutting).entries == transcript.entries


def test_cutting_a_line_makes_no_line_end() -> None:
    line = b"x" * (SHOWN_LINE_LENGTH - 1) + b"\r" + b"y" * 10
    transcript = feed(timeless(), [("C", line), ("C", b"\n"), ("C", b"z\r\n")])
    (entry,) = transcript.entries
    assert entry.octets == len(line) + 4


def test_only_the_beginning_of_a_line_is_held() -> None:
    transcript = timeless()
    for _ in range(100):
        transcript.record_client(b"x" * 10_000)
        transcript.record_server(b"y" * 10_000)
    assert len(transcript._client.held) + len(transcript._server.held) < 3 * SHOWN_LINE_LENGTH
    transcript.record_end()
    assert [entry.octets for entry in transcript.entries] == [1_000_000, 1_000_000]


def test_long_lines_of_content_and_long_chunks_are_not_held() -> None:
    size = 1_000_000
    transcript = feed(timeless(), [GREETING, ("C", b"BDAT %d\r\n" % (2 * size))])
    for _ in range(200):
        transcript.record_client(b"x" * 10_000)
    assert len(transcript._client.held) < 2 * SHOWN_LINE_LENGTH
    transcript.record_client(b"NOOP\r\n")
    assert shown(transcript)[-2:] == ["C: [2000000 octets of content]", "C: NOOP"]


def test_a_client_too_far_ahead_of_an_answer_is_not_followed_any_more() -> None:
    transcript = feed(timeless(), [GREETING, ("C", b"AUTH LOGIN\r\n" + SECRET + b"\r\n")])
    for _ in range(200):
        transcript.record_client(b"x" * 10_000)
    assert len(transcript._client.held) == 0
    feed(
        transcript,
        [("S", b"334 VXNlcm5hbWU6\r\n500 what is " + SECRET + b"\r\n" + SECRET + b"\r\n"), ("C", SECRET)],
    )
    transcript.record_end()
    size = 2_000_000 + 2 * len(SECRET) + 2
    assert shown(transcript)[1:] == [
        "C: AUTH LOGIN",
        "S: 334 ***",
        "S: 500 ***",
        "S: ***",
        f"C: [{size} octets of a dialogue that could not be followed]",
    ]


def test_a_client_with_too_many_commands_unanswered_is_not_followed_any_more() -> None:
    transcript = feed(timeless(), [GREETING, ("C", b"NOOP\r\n" * 20_000)])
    assert len(transcript._outstanding) < 10_100
    transcript.record_end()
    assert shown(transcript)[-1].endswith("octets of a dialogue that could not be followed]")


def test_the_pieces_of_secrets_that_are_remembered_are_bounded() -> None:
    transcript = feed(timeless(), [GREETING])
    secrets = [random.Random(number).randbytes(900).hex().encode() for number in range(300)]
    for secret in secrets:
        feed(transcript, [("C", b"AUTH PLAIN " + secret + b"\r\n"), ("S", b"535 no\r\n")])
    assert len(transcript._secrets._pieces) < 70_000
    feed(transcript, [("S", b"535 not " + secrets[-1] + b"\r\n")])
    assert shown(transcript)[-1] == "S: 535 ***"


def test_the_oldest_entries_are_dropped_and_counted() -> None:
    seen: list[Entry] = []
    transcript = feed(timeless(max_entries=2, sink=seen.append), [GREETING, ("C", b"NOOP\r\nRSET\r\n"), OK])
    assert shown(transcript) == ["C: RSET", "S: 250 ok"]
    assert transcript.dropped == 2
    assert str(transcript).startswith("[2 entries before these were dropped]\n")
    assert len(seen) == 4


# --- What is unfinished -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dialogue, expected",
    [
        ([], []),
        ([("C", b"\r")], ["C: \\x0d [unfinished]"]),
        ([("C", b"EHL")], ["C: EHL [unfinished]"]),
        ([GREETING, ("C", b"MAIL F")], ["C: MAIL F [unfinished]"]),
        ([GREETING, ("S", b"421 by")], ["S: 421 by [unfinished]"]),
        ([GREETING, ("C", b"AUTH PLAI")], ["C: AUTH *** [unfinished]"]),
        ([GREETING, ("C", b"AUTH LOGIN\r\n")], ["C: AUTH LOGIN"]),
        (
            [GREETING, ("C", b"AUTH LOGIN\r\nc2VjcmV0\r\n")],
            ["C: AUTH LOGIN", "C: [10 octets of data that was sent before the reply arrived]"],
        ),
        (
            [GREETING, ("C", b"DATA\r\nabc\r\n")],
            ["C: DATA", "C: [5 octets of data that was sent before the reply arrived]"],
        ),
        (
            [GREETING, ("C", b"AUTH LOGIN\r\nc2Vj"), ("S", b"334 VXNlcm5hbWU6\r\n334 c2Vj")],
            ["C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6", "C: *** [unfinished]", "S: 334 *** [unfinished]"],
        ),
        (
            [GREETING, ("C", b"AUTH LOGIN\r\n"), ("S", b"334 VXNlcm5hbWU6\r\n")],
            ["C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6"],
        ),
        (
            [GREETING, ("C", b"AUTH LOGIN\r\nc2Vj"), ("S", b"504 no\r\n")],
            ["C: AUTH LOGIN", "S: 504 no", "C: *** [unfinished]"],
        ),
        (
            [GREETING, ("C", b"DATA\r\n"), ("S", b"354 go\r\n"), ("C", b"a\r\nb")],
            ["C: DATA", "S: 354 go", "C: [4 octets of unfinished content]"],
        ),
        ([GREETING, ("C", b"BDAT 9\r\na\r\nb")], ["C: BDAT 9", "C: [4 octets of unfinished content]"]),
        ([GREETING, ("C", b"BDAT 9\r\n")], ["C: BDAT 9"]),
        (
            [GREETING, ("C", b"STARTTLS\r\n"), ("S", b"220 go\r\n"), ("C", b"\x16\x03")],
            ["C: STARTTLS", "S: 220 go", "-- [2 octets of TLS handshake]"],
        ),
    ],
)
def test_unfinished_lines_are_recorded_at_the_end(dialogue: Dialogue, expected: list[str]) -> None:
    transcript = recorded(dialogue, end=True)
    assert [text for text in shown(transcript) if text != "S: 220 mx.example"] == expected
    octets = sum(len(octets) for _, octets in dialogue)
    assert sum(entry.octets for entry in transcript.entries) == octets
    transcript.record_end()
    assert sum(entry.octets for entry in transcript.entries) == octets


def test_unfinished_content_is_shown_when_asked_for() -> None:
    transcript = recorded([GREETING, ("C", b"BDAT 9\r\na\r\nb")], end=True, content=True)
    assert shown(transcript)[-2:] == ["C: a", "C: b [unfinished]"]
    transcript = recorded([GREETING, ("C", b"BDAT 9\r\na\r\n")], end=True, content=True)
    assert shown(transcript)[-1] == "C: a"


def test_octets_before_the_reply_have_the_kind_of_their_command() -> None:
    for line, kind in ((b"AUTH LOGIN", "auth"), (b"DATA", "content")):
        transcript = recorded([GREETING, ("C", line + b"\r\nabc")], end=True)
        assert kinds(transcript)[-1] == kind


def test_another_connection_may_follow() -> None:
    transcript = timeless()
    transcript.record_tls("TLSv1.3")
    feed(transcript, [GREETING, ("C", b"EHLO c\r\n")])
    transcript.record_end()
    feed(transcript, [GREETING, ("C", b"EHLO c\r\nDATA\r\nquit\r\n.\r\n"), OK, ("S", b"354 go\r\n")])
    assert shown(transcript)[-5:] == [
        "C: EHLO c",
        "C: DATA",
        "S: 250 ok",
        "S: 354 go",
        "C: [9 octets of content]",
    ]


# --- Output -----------------------------------------------------------------------------------------------


def ticking() -> Callable[[], float]:
    ticks = count(1000)
    return lambda: float(next(ticks))


def test_a_transcript_is_text() -> None:
    transcript = Transcript(clock=ticking())
    transcript.record_note("connected to 192.0.2.1 port 25")
    feed(transcript, [("S", b"220 hi\r\n"), ("C", b"STARTTLS\r\n"), ("S", b"220 go\r\n")])
    transcript.record_tls("TLSv1.3")
    feed(transcript, [("C", b"QUIT\r\n"), ("S", b"221 bye\r\n")])
    assert str(transcript) == (
        "   0.000 -- connected to 192.0.2.1 port 25\n"
        "   1.000 S: 220 hi\n"
        "   2.000 C: STARTTLS\n"
        "   3.000 S: 220 go\n"
        "   4.000 -- TLSv1.3\n"
        "   5.000 C* QUIT\n"
        "   6.000 S* 221 bye"
    )
    assert repr(transcript) == "<Transcript: 7 entries>"
    assert str(Transcript()) == Transcript().jsonl() == ""


def test_a_transcript_is_JSON_lines() -> None:
    transcript = feed(Transcript(clock=ticking()), [("S", b"220 hi\r\n"), ("C", b'NOOP \xff"\r\n')])
    assert [json.loads(line) for line in transcript.jsonl().splitlines()] == [
        {
            "time": 1000.0,
            "elapsed": 0.0,
            "direction": "S",
            "tls": False,
            "kind": "reply",
            "octets": 8,
            "text": "220 hi",
        },
        {
            "time": 1001.0,
            "elapsed": 1.0,
            "direction": "C",
            "tls": False,
            "kind": "command",
            "octets": 9,
            "text": 'NOOP \\xff"',
        },
    ]


def test_entries_are_values() -> None:
    entry = Entry(1.0, 0.0, "C", False, "command", 6, "QUIT")
    assert recorded([("C", b"QUIT\r\n")]).entries == (Entry(0.0, 0.0, "C", False, "command", 6, "QUIT"),)
    with pytest.raises(AttributeError):
        entry.__setattr__("text", "x")


@pytest.mark.parametrize(
    "read", [str, Transcript.jsonl, lambda one: one.entries, copy.copy, copy.deepcopy, pickle.dumps]
)
def test_a_thread_reads_the_entries_while_the_session_adds_more(read: Callable[[Transcript], object]) -> None:
    transcript = timeless()
    feed(transcript, [GREETING, ("C", b"NOOP\r\n")])
    # Another thread can run wherever a function is called, and does so here at each call.
    sys.setprofile(lambda frame, event, argument: transcript.record_note("meanwhile"))
    try:
        read(transcript)
    finally:
        sys.setprofile(None)
    assert "meanwhile" in str(transcript)


def test_log_to_logs_each_entry(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("mail")
    caplog.set_level(logging.INFO, "mail")
    feed(timeless(sink=log_to(logger, logging.INFO)), [("C", b"NOOP %s%d\r\n")])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "   0.000 C: NOOP %s%d")
    ]
    feed(timeless(sink=log_to(logger)), [("C", b"NOOP\r\n")])
    assert len(caplog.records) == 1
    caplog.set_level(logging.DEBUG, "mail")
    feed(timeless(sink=log_to(logger)), [("C", b"NOOP\r\n")])
    assert caplog.records[-1].levelno == logging.DEBUG


def test_the_time_is_that_of_the_system() -> None:
    (entry,) = feed(Transcript(), [GREETING]).entries
    assert entry.time > 1_700_000_000
    assert entry.elapsed == 0
