"""Messages: the envelope, the octets, and what changes before sending."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import hashlib
import inspect
import re
import sys
from collections.abc import Sequence
from email import encoders
from email.header import Header, decode_header, make_header
from email.headerregistry import Address, Group
from email.message import EmailMessage
from email.message import Message as OldMessage
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, parseaddr
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

import smtpcore.sync
from smtpcore._core.errors import LocalProtocolError
from smtpcore.message import NESTING_LIMIT, PreparedMessage, prepare_message
from smtpcore.message._words import decode_words


def new_message(**fields: object) -> EmailMessage:
    """A message of the current interface; the fields' hyphens are underscores."""
    message = EmailMessage()
    for name, value in {"From": "from@example.org", "To": "to@example.org", **fields}.items():
        if value is not None:
            message[name.replace("_", "-")] = value
    message.set_content("Hello\n")
    return message


def old_message(**fields: object) -> OldMessage:
    """Make the same message with the older interface, which accepts any value."""
    message = OldMessage()
    for name, value in {"From": "from@example.org", "To": "to@example.org", **fields}.items():
        if value is not None:
            message[name.replace("_", "-")] = value
    message.set_payload("Hello\n")
    return message


def parsed(octets: bytes, *, modern: bool = True) -> OldMessage:
    policy = email.policy.default if modern else email.policy.compat32
    message: OldMessage = email.message_from_bytes(octets, policy=policy)
    return message


def again(message: PreparedMessage) -> EmailMessage:
    """What a receiver reads."""
    result = parsed(message.content)
    assert isinstance(result, EmailMessage)
    return result


def header_of(message: PreparedMessage) -> list[bytes]:
    return message.content.partition(b"\r\n\r\n")[0].split(b"\r\n")


def body_of(message: PreparedMessage) -> bytes:
    return (b"\r\n" + message.content).partition(b"\r\n\r\n")[2]


def text_of(message: OldMessage) -> str:
    assert isinstance(message, EmailMessage)
    text = message.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def words_decoded(text: str) -> str:
    """As RFC 2047 says; the newer parser of the library keeps spaces between encoded words."""
    return str(make_header(decode_header(text)))


def enveloped(message: OldMessage, *, eight_bit_mime: bool = True, smtputf8: bool = True) -> PreparedMessage:
    """Prepare a message with an envelope that does not depend on its header."""
    return prepare_message(
        message, sender="", recipients=["u@x"], eight_bit_mime=eight_bit_mime, smtputf8=smtputf8
    )


def refused(message: OldMessage, **options: bool) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        enveloped(message, **options)
    return str(caught.value)


# --- The envelope ---


def test_the_envelope_is_that_of_the_header() -> None:
    message = prepare_message(new_message(Cc="c1@x, c2@x", Bcc="b@x", Subject="Hi"))
    assert message.sender == "from@example.org"
    assert message.recipients == ("to@example.org", "c1@x", "c2@x", "b@x")
    assert (message.eight_bit, message.smtputf8) == (False, False)


@pytest.mark.parametrize("modern", [True, False])
def test_the_envelope_of_a_parsed_message_is_the_same(modern: bool) -> None:
    octets = b'From: A <a@x>\nTo: "B, C" <b@x>,\n g: <c@x>, d@x;, none:;\nCC: <b@X>\nbcc: e@x\n\nHello\n'
    message = prepare_message(parsed(octets, modern=modern))
    assert (message.sender, message.recipients) == ("a@x", ("b@x", "c@x", "d@x", "e@x"))


def test_blind_copies_are_not_in_the_content() -> None:
    message = new_message(
        Bcc="hidden@example.org", Resent_Bcc="hidden@example.org", Return_Path="<hidden@example.org>"
    )
    message.add_attachment(new_message(Bcc="mentioned@example.org"))
    content = enveloped(message).content
    assert b"hidden" not in content
    assert b"\r\nBcc: mentioned@example.org\r\n" in content  # a message that is quoted is content


def test_the_message_that_was_given_is_not_changed() -> None:
    message = new_message(Bcc="b@x", Subject="\u00fc" * 100)
    message.add_attachment(b"\xff\n", "application", "octet-stream", cte="binary")
    message.set_boundary("boundary")
    before = message.as_bytes(), message.keys()
    prepare_message(message, eight_bit_mime=False)
    assert (message.as_bytes(), message.keys()) == before


def test_a_given_envelope_is_used_without_reading_the_header() -> None:
    message = new_message(From="this is no address", To=None)
    prepared = prepare_message(
        message, sender="<s@x>", recipients=["<a@x>", "b@X", "b@x", "Postmaster", '"q q"@x']
    )
    assert prepared.sender == "s@x"
    assert prepared.recipients == ("a@x", "b@X", "Postmaster", '"q q"@x')
    assert prepare_message(message, sender="", recipients=["a@x"]).sender == ""


def test_the_reverse_path_is_Sender_or_the_first_mailbox_of_From() -> None:
    assert prepare_message(new_message(From="a@x, b@x", Sender="c@x")).sender == "c@x"
    assert prepare_message(new_message(From="a@x, b@x")).sender == "a@x"


@pytest.mark.parametrize("modern", [True, False])
def test_the_envelope_is_that_of_the_newest_resent_block(modern: bool) -> None:
    octets = (
        b"Received: by y; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
        b"Resent-Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nResent-From: r2@x\r\nResent-To: t2@x\r\n"
        b"Resent-Cc: c2@x\r\nResent-Bcc: b2@x\r\n"
        b"Resent-From: r1@x\r\nResent-To: t1@x\r\nResent-Sender: s1@x\r\n"
        b"From: a@x\r\nTo: t@x\r\nBcc: b@x\r\n\r\n"
    )
    message = prepare_message(parsed(octets, modern=modern))
    assert (message.sender, message.recipients) == ("r2@x", ("t2@x", "c2@x", "b2@x"))
    assert b"b2@x" not in message.content and b"b@x" not in message.content
    assert b"Resent-From: r2@x\r\nResent-To: t2@x" in message.content


@pytest.mark.parametrize("trace", [b"Received: by y", b"return-path: <r@x>"])
def test_a_resent_block_ends_at_a_trace_field(trace: bytes) -> None:
    octets = b"Resent-To: t2@x\n%b\nResent-From: r1@x\nFrom: a@x\nTo: t@x\n\n"
    message = prepare_message(parsed(octets % trace))
    assert (message.sender, message.recipients) == ("a@x", ("t2@x",))


def test_resent_sender_is_preferred_to_resent_from() -> None:
    assert prepare_message(new_message(Resent_From="r@x", Resent_To="t@x", Resent_Sender="s@x")).sender == "s@x"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"From": None}, "neither Sender nor From"),
        ({"To": None}, "no recipients"),
        ({"To": "undisclosed-recipients:;"}, "no recipients"),
        ({"Resent-From": "a@x"}, "no recipients"),
        ({"To": "nonsense"}, "the To field"),
        ({"To": "a@x, @b"}, "the To field"),
        ({"To": "a@x b@x"}, "the To field"),
        ({"To": "a@x (comment"}, "the To field"),
        ({"To": "a@under_score.example"}, "'a@under_score.example' is not a valid mailbox"),
    ],
)
@pytest.mark.parametrize("kind", [new_message, old_message])
def test_a_doubtful_envelope_is_refused(
    kind: type[OldMessage], fields: dict[str, object], problem: str
) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        prepare_message(kind(**fields))


def test_a_field_that_breaks_the_standard_parser_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="the To field is not a valid list of addresses"):
        prepare_message(old_message(To="a@x, b@"))


@pytest.mark.parametrize(
    ("sender", "recipients", "problem"),
    [
        ("nonsense", ["a@x"], "'nonsense' is not a valid sender"),
        ("a@x\r\nRCPT TO:<b@x>", ["a@x"], "is not a valid sender"),
        ("", [], "no recipients"),
        ("", "a@x", "a sequence of strings"),
        ("", [""], "'' is not a valid recipient"),
        ("", ["a@x>\r\nDATA"], "is not a valid recipient"),
        ("", ["a@x, b@x"], "one string is one recipient"),
        ("", ["nonsense"], "no @"),
    ],
)
def test_a_given_envelope_must_be_valid(sender: str, recipients: Sequence[str], problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        prepare_message(new_message(), sender=sender, recipients=recipients)
    assert ("one string is one recipient" in str(caught.value)) == any("," in one for one in recipients)


# --- Addresses in the header ---


def test_encoded_words_are_decoded_in_names_and_never_in_addresses() -> None:
    octets = b"From: a@x\nTo: =?utf-8?q?victim=40x=2C?= <=?utf-8?q?evil=40y?=@z>\nCc: =?utf-8?q?c=40x?=@x\n\n"
    for modern in (True, False):
        assert prepare_message(parsed(octets, modern=modern)).recipients == (
            "=?utf-8?q?evil=40y?=@z",
            "=?utf-8?q?c=40x?=@x",
        )
    with pytest.raises(LocalProtocolError):
        prepare_message(parsed(b"From: a@x\nTo: =?utf-8?q?c=40x?=\n\n"))


@pytest.mark.parametrize(
    "name",
    [
        "Plain Name",
        "Last, First",
        'The "Q"',
        "back\\slash",
        "J\u00fcrgen, M\u00fcller",
        "=?utf-8?q?x?=",
        "\u65e5\u672c\u8a9e" * 20,
        "x" * 250,
        "x" * 2000,
        "bell\x07inside",
    ],
)
def test_display_names_survive_writing_and_reading(name: str) -> None:
    for value in (Address(name, "to", "example.org"), None):
        message = (
            old_message(To=formataddr((name, "to@example.org"))) if value is None else new_message(To=value)
        )
        prepared = prepare_message(message)
        assert prepared.recipients == ("to@example.org",)
        assert prepared.content.isascii()
        written = str(parsed(prepared.content, modern=False)["To"])
        read = words_decoded(parseaddr(written)[0])
        # In a field that is source, what looks like an encoded word is one.
        assert read == (words_decoded(name) if value is None else name)


def test_a_name_in_ascii_is_quoted_not_encoded() -> None:
    message = new_message(To=[Address("Last, First", "a", "x"), Address("First Last", "b", "x")])
    assert b'To: "Last, First" <a@x>, First Last <b@x>\r\n' in prepare_message(message).content


@pytest.mark.parametrize(
    "text",
    [
        "=?utf-8?q?x=40evil?=@d",
        "a@=?utf-8?q?evil=2Ecom?=",
        "=?utf-8?q?x?= <=?utf-8?q?x=40evil?=@d>",
        "=?utf-8?q?a=40evil=2C?= b@d",
        "=?utf-8?q?a=40evil=2C?= =?utf-8?q?b?= .c@d",
        "a@b\u00a0c",
        "a@b\u3000.c",
    ],
)
def test_an_address_that_the_library_has_decoded_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="the To field"):
        prepare_message(new_message(To=text))


@pytest.mark.parametrize("text", ["a@b\u00a0c", "a@b\u3000.c", "a@b\x1cc", "a . b@c", "a(c).b@c"])
def test_an_address_that_the_library_would_decode_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="white space in an address"):
        prepare_message(old_message(To=text))


def test_white_space_of_any_script_stays_in_a_name() -> None:
    prepared = prepare_message(old_message(To="\u65e5\u3000\u672c <a@x>, B\u00a0C <b@x>"))
    assert prepared.recipients == ("a@x", "b@x")
    assert [a.display_name for a in again(prepared)["To"].addresses] == ["\u65e5\u3000\u672c", "B\u00a0C"]


def test_groups_and_long_lists_are_folded_between_addresses() -> None:
    people = [Address(f"Number {number}", f"n{number}", "example.org") for number in range(20)]
    fields = [
        Group("A group", tuple(people[:3])),
        Group("Gr\u00fcn", tuple(people[3:5])),
        Group("Empty"),
        *people[5:],
    ]
    prepared = prepare_message(new_message(To=fields))
    assert prepared.recipients == tuple(f"n{number}@example.org" for number in range(20))
    assert max(map(len, header_of(prepared))) <= 78
    assert re.search(rb" =\?utf-8\?[^?]*\?[^?]*\?= :", prepared.content)
    assert [str(a) for a in again(prepared)["To"].addresses] == [str(a) for a in people]
    assert [g.display_name for g in again(prepared)["To"].groups if g.display_name] == [
        "A group",
        "Gr\u00fcn",
        "Empty",
    ]


def test_a_quoted_local_part_stays_one() -> None:
    octets = b'From: a@x\nTo: "a b"@x, "\\"quoted\\" name" <"x@y"@z>\n\n'
    assert prepare_message(parsed(octets)).recipients == ('"a b"@x', '"x@y"@z')
    assert b'To: "a b"@x, "\\"quoted\\" name" <"x@y"@z>\r\n' in prepare_message(parsed(octets)).content


def test_an_invalid_address_field_is_sent_if_the_envelope_is_given() -> None:
    assert b"\r\nTo: nonsense without at\r\n" in enveloped(new_message(To="nonsense without at")).content
    assert "Reply-To" in refused(old_message(Reply_To="n\u00f6nsense"))


# --- SMTPUTF8 ---


def test_smtputf8_is_needed_for_a_local_part_only() -> None:
    message = new_message(From="J\u00f6rg <from@example.org>", Subject="Gr\u00fc\u00dfe")
    message.set_content("\u00e4\n")
    prepared = prepare_message(message)
    assert (prepared.smtputf8, prepared.eight_bit) == (False, True)
    assert all(line.isascii() for line in header_of(prepared))


@pytest.mark.parametrize("field", ["From", "To", "Cc", "Reply-To", "Bcc"])
def test_a_local_part_in_utf8_needs_smtputf8_and_8bitmime(field: str) -> None:
    message = new_message(
        **{field: "J\u00f6rg <j\u00f6rg@b\u00fccher.example>", "Subject": "Gr\u00fc\u00dfe, J\u00f6rg"}
    )
    prepared = prepare_message(message)
    assert prepared.smtputf8
    if field != "Bcc":
        assert prepared.eight_bit
        assert (
            f"{field}: ".encode() + '"J\u00f6rg" <j\u00f6rg@b\u00fccher.example>'.encode() in prepared.content
        )
    assert "Subject: Gr\u00fc\u00dfe, J\u00f6rg\r\n".encode() in prepared.content
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        prepare_message(message, smtputf8=False)
    with pytest.raises(LocalProtocolError, match="8BITMIME"):
        prepare_message(message, eight_bit_mime=False)


def test_a_local_part_in_utf8_in_a_given_envelope_needs_smtputf8() -> None:
    prepared = prepare_message(new_message(), sender="j\u00f6rg@x", recipients=["u@b\u00fccher.example"])
    assert (prepared.smtputf8, prepared.eight_bit) == (True, False)
    assert (prepared.sender, prepared.recipients) == ("j\u00f6rg@x", ("u@b\u00fccher.example",))
    with pytest.raises(LocalProtocolError, match=r"\(envelope\) has a local-part that is not ASCII"):
        prepare_message(new_message(), sender="j\u00f6rg@x", smtputf8=False)
    with pytest.raises(LocalProtocolError, match="SMTPUTF8 but without 8BITMIME"):
        prepare_message(new_message(), sender="j\u00f6rg@x", eight_bit_mime=False)


@pytest.mark.parametrize("length, kept", [(998, True), (999, False)])
def test_text_beside_the_parts_is_kept_if_it_can_be_sent(length: int, kept: bool) -> None:
    preamble = b"x" * length
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--\r\n" % preamble
    assert (preamble in enveloped(parsed(octets)).content) is kept


@pytest.mark.parametrize("coding", [b"8bit", b"binary"])
@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_message_may_be_any_kind_of_octets(kind: Any, coding: bytes) -> None:
    octets = b"From: a@x\r\nTo: b@x\r\nContent-Transfer-Encoding: %b\r\n\r\nx\r\n" % coding
    given = kind(octets)
    prepared = prepare_message(given)
    assert prepared == prepare_message(octets)
    assert type(prepared.content) is bytes


def test_the_content_is_not_shown_with_a_prepared_message() -> None:
    shown = repr(prepare_message(new_message(Subject="confidential")))
    assert "confidential" not in shown
    assert "to@example.org" in shown


def test_no_date_and_no_message_id_are_added() -> None:
    assert header_names(prepare_message(new_message())) == [
        "from",
        "to",
        "content-type",
        "content-transfer-encoding",
        "mime-version",
    ]
    octets = b"From: from@example.org\r\nTo: to@example.org\r\n\r\nHello\r\n"
    assert prepare_message(octets).content == octets


def header_names(message: PreparedMessage) -> list[str]:
    return [line.partition(b":")[0].decode().lower() for line in header_of(message)]


@pytest.mark.req("UTF-08")
def test_a_domain_alone_goes_out_in_a_labels() -> None:
    message = prepare_message(
        new_message(To="u@b\u00fccher.example, v@Stra\u00dfe.mail.example"), smtputf8=False
    )
    assert message.recipients == ("u@xn--bcher-kva.example", "v@xn--strae-oqa.mail.example")
    assert (message.smtputf8, message.eight_bit) == (False, False)
    assert b"To: u@xn--bcher-kva.example, v@xn--strae-oqa.mail.example\r\n" in message.content


def test_an_address_as_some_systems_give_it_is_composed() -> None:
    decomposed = "bu\u0308cher.example"
    message = prepare_message(new_message(From=f"f@{decomposed}", To=f"u@{decomposed}"), smtputf8=False)
    assert (message.sender, message.recipients) == ("f@xn--bcher-kva.example", ("u@xn--bcher-kva.example",))
    message = prepare_message(new_message(), sender=f"f@{decomposed}", recipients=[f"u\u0308@{decomposed}"])
    assert (message.sender, message.recipients) == (
        "f@b\u00fccher.example",
        ("\u00fc@b\u00fccher.example",),
    )


def test_with_smtputf8_what_could_not_be_read_again_is_encoded_all_the_same() -> None:
    for subject in (
        " \u00e4 ",
        "\u00e4\x07",
        "\u00e4\u202e",
        "\u00e4 =?utf-8?q?=3D=3Futf-8=3Fq=3Fthis=3F=3D?=",
    ):
        message = new_message(Subject=subject)
        prepared = prepare_message(message, sender="\u00fc@x")
        assert str(again(prepared)["Subject"]) == str(message["Subject"])
        assert next(line for line in header_of(prepared) if line.startswith(b"Subject")).isascii()


def test_a_domain_that_is_too_long_in_a_labels_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="too long in ASCII"):
        prepare_message(new_message(), sender="u@" + "\u00fc." * 40 + "example")


@pytest.mark.parametrize("modern", [True, False])
def test_utf8_in_a_parsed_header_is_encoded_or_with_smtputf8_left_alone(modern: bool) -> None:
    message = parsed(
        "From: J\u00f6rg <from@x>\nTo: to@x\nSubject: Gr\u00fc\u00dfe =?utf-8?q?a?=\n\n".encode(),
        modern=modern,
    )
    prepared = prepare_message(message)
    assert (prepared.smtputf8, prepared.content.isascii()) == (False, True)
    assert str(again(prepared)["Subject"]) == "Gr\u00fc\u00dfe a"
    assert again(prepared)["From"].addresses[0].display_name == "J\u00f6rg"
    prepared = prepare_message(message, sender="\u00fc@x")
    assert (
        "From: J\u00f6rg <from@x>\r\nTo: to@x\r\nSubject: Gr\u00fc\u00dfe =?utf-8?q?a?=\r\n".encode()
        in prepared.content
    )


def test_header_octets_that_are_not_UTF8_are_replaced() -> None:
    prepared = enveloped(parsed(b"Subject: a\xffb\n\n", modern=False))
    assert str(again(prepared)["Subject"]) == "a\ufffdb"
    prepared = prepare_message(
        parsed(b"Subject: a\xffb\n\n", modern=False), sender="\u00fc@x", recipients=["u@x"]
    )
    assert "Subject: a\ufffdb\r\n".encode() in prepared.content


# --- Fields ---


def test_a_parsed_field_is_sent_unchanged() -> None:
    fields = (
        b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=abc\r\n  def\r\nSubject:  two  spaces \r\n"
        b"To: a@x (comment),\r\n   =?utf-8?q?n?= <b@x>\r\nX-Words: =?utf-8?q?x?=\r\n"
        b"Content-Type: text/plain;\r\n\tcharset=us-ascii\r\n"
    )
    for modern in (True, False):
        content = enveloped(parsed(fields.replace(b"\r\n", b"\n") + b"\nHello\n", modern=modern)).content
        # The standard library writes one space after the colon.
        assert content == fields.replace(b"Subject:  two", b"Subject: two") + b"\r\nHello\r\n"


def test_a_parsed_field_that_cannot_be_sent_is_written_anew() -> None:
    prepared = enveloped(
        parsed(b"Subject: " + b"word " * 300 + b"end\nX-A: a\n \n b\nX-B: a\0b\n\n", modern=False)
    )
    assert max(map(len, header_of(prepared))) <= 78
    assert str(again(prepared)["Subject"]) == "word " * 300 + "end"
    assert all(line.strip() for line in header_of(prepared))
    assert b"\0" not in prepared.content


def test_a_subject_that_is_set_is_folded_encoded_and_read_again() -> None:
    for subject in (
        "",
        "short",
        "many words " * 20 + "end",
        "x" * 990,
        "x" * 2000,
        "\u00fcber alles " * 30 + "end",
        "\U0001f600" * 50,
        "ASCII that looks like =?utf-8?q?this?=",
        "=?utf-8?q?=3D=3Futf-8=3Fq=3Fthis=3F=3D?=",
        "tab\tinside",
        " leading and trailing ",
    ):
        message = new_message(Subject=subject)
        prepared = enveloped(message)
        assert prepared.content.isascii()
        assert max(map(len, header_of(prepared))) <= 998
        assert str(again(prepared)["Subject"]).strip() == str(message["Subject"]).strip()


def test_words_are_encoded_in_whole_characters_of_75_octets_at_most() -> None:
    prepared = enveloped(new_message(Subject="\u65e5" * 100))
    words = re.findall(rb"=\?utf-8\?b\?[^?]*\?=", prepared.content)
    assert len(words) > 5 and all(len(word) <= 75 for word in words)
    for word in words:
        assert set(str(make_header(decode_header(word.decode())))) == {"\u65e5"}


@pytest.mark.parametrize(
    "name", ["Subject", "X-A", "X-Of-Twenty-Octets-x", *("X-" + "y" * n for n in (32, 33, 70))]
)
def test_a_line_with_an_encoded_word_has_76_octets_at_most(name: str) -> None:
    for length in range(1, 70):
        text = "a" * length + "\xe4" * length
        prepared = enveloped(new_message(**{name: text}))
        lines = [line for line in prepared.content.split(b"\r\n") if b"=?utf-8?" in line]
        assert lines and max(map(len, lines)) <= 76
        assert str(again(prepared)[name]).strip() == text


def test_a_line_with_an_encoded_name_and_an_address_has_76_octets_at_most() -> None:
    for length in range(1, 60):
        content = enveloped(new_message(Cc=f"J\xf6rg <{'b' * length}@example.org>, plain@example.org")).content
        lines = [line for line in content.split(b"\r\n") if b"=?utf-8?" in line]
        assert lines and max(map(len, lines)) <= 76


def test_the_space_between_encoded_words_is_not_a_part_of_the_text() -> None:
    assert decode_words("=?utf-8?q?J=C3=B6?= =?utf-8?q?rg?= =?utf-8?b?IMOk?= x") == "J\xf6rg \xe4 x"


def test_words_that_cannot_be_decoded_are_kept() -> None:
    octets = "Subject: =?x-unknown?q?a?= b =?utf-8?q?=C3=A4?= \u00fc\n\n".encode()
    prepared = enveloped(parsed(octets, modern=False))
    subject = str(parsed(prepared.content, modern=False)["Subject"])
    assert words_decoded(subject) == "=?x-unknown?q?a?= b \u00e4 \u00fc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", "a\r\nBcc: evil@x"),
        ("Subject", "a\nBcc: evil@x"),
        ("Subject", "a\rBcc: evil@x"),
        ("Subject", "a\r\n\r\nbody"),
        ("To", "a@x\nBcc: evil@x"),
        ("X-A\r\nBcc: evil@x\r\nX-B", "a"),
        ("X A", "a"),
        ("X:A", "a"),
        ("", "a"),
        ("X-\u00c4", "a"),
        ("Content-Type", "text/plain\r\nBcc: evil@x"),
        ("Subject", "half a character \ud83d"),
    ],
)
def test_no_value_can_add_a_field(name: str, value: str) -> None:
    message = OldMessage()
    message[name] = value
    message.set_payload("body")
    refused(message)


def test_a_header_that_folds_itself_cannot_add_a_field() -> None:
    kind = type(email.policy.SMTP.header_factory("Content-Disposition", "attachment"))
    text = "Content-Disposition: attachment\r\nBcc: evil@x\r\n"
    evil = type("Evil", (kind,), {"fold": lambda self, *, policy: text})
    message = old_message()
    message["Content-Disposition"] = evil("Content-Disposition", "attachment")
    assert "Content-Disposition" in refused(message)


def test_a_file_name_in_any_script_is_read_again() -> None:
    message = new_message()
    message.add_attachment(b"x", "application", "pdf", filename="\u0444\u0430\u0439\u043b \u65e5\u672c.pdf")
    prepared = prepare_message(message)
    assert all(map(bytes.isascii, prepared.content.split(b"\r\n")))
    assert (
        next(again(prepared).iter_attachments()).get_filename() == "\u0444\u0430\u0439\u043b \u65e5\u672c.pdf"
    )


def test_a_field_with_parameters_that_cannot_be_written_is_refused() -> None:
    for name in ("Content-Disposition", "Content-Type"):
        assert f"{name} field cannot be written" in refused(old_message(**{name: "attachment; \u00fc=x"}))


# --- Bodies ---


@pytest.mark.parametrize("kind", [EmailMessage, OldMessage])
def test_line_ends_of_all_kinds_become_crlf_and_the_last_line_gets_one(kind: type[OldMessage]) -> None:
    message = kind()
    message.set_payload("a\nb\rc\r\nd\n\r\ne")
    assert body_of(enveloped(message)) == b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n"
    assert enveloped(parsed(b"\n")).content == b"\r\n"
    assert enveloped(OldMessage()).content == b"\r\n"


def test_dots_are_left_to_the_content_encoder() -> None:
    assert body_of(enveloped(parsed(b"\n.\n..\n"))) == b".\r\n..\r\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Just a few \u00fcmlauts in a long line\n", "quoted-printable"), ("\u65e5\u672c\u8a9e\n", "base64")],
)
def test_eight_bits_are_encoded_for_a_server_without_8bitmime(text: str, encoding: str) -> None:
    message = new_message()
    message.set_content(text, cte="8bit")
    prepared = prepare_message(message)
    assert prepared.eight_bit and text.encode().replace(b"\n", b"\r\n") in prepared.content
    assert again(prepared)["Content-Transfer-Encoding"] == "8bit"
    prepared = prepare_message(message, eight_bit_mime=False)
    assert not prepared.eight_bit and prepared.content.isascii()
    assert again(prepared)["Content-Transfer-Encoding"] == encoding
    assert text_of(again(prepared)) == text


def test_the_encodings_around_an_encoded_part_are_corrected() -> None:
    octets = (
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n"
        b"Content-Transfer-Encoding: 8bit\n\n"
        b"--outer\nContent-Type: multipart/alternative; boundary=inner\nContent-Transfer-Encoding: 8bit\n\n"
        b"--inner\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        b"\xc3\xa4 and more of it\n"
        b"--inner--\n--outer\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nASCII\n--outer--\n"
    )
    assert enveloped(parsed(octets)).content == octets.replace(b"\n", b"\r\n")
    prepared = enveloped(parsed(octets), eight_bit_mime=False)
    encodings = [part["Content-Transfer-Encoding"] for part in again(prepared).walk()]
    assert encodings == ["7bit", "7bit", "quoted-printable", "7bit"]
    # A label that promises less than the part contains is corrected too.
    mislabelled = octets.replace(b"Content-Transfer-Encoding: 8bit\n", b"")
    prepared = enveloped(parsed(mislabelled))
    encodings = [part["Content-Transfer-Encoding"] for part in again(prepared).walk()]
    assert encodings == ["8bit", "8bit", "8bit", None]


def test_text_without_a_charset_gets_one_if_it_is_not_ASCII() -> None:
    prepared = enveloped(parsed("Subject: a\n\n\u00e4\n".encode(), modern=False))
    assert header_of(prepared) == [
        b"Subject: a",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
    ]
    assert b"charset=unknown-8bit" in enveloped(parsed(b"\n\xff\n", modern=False)).content


def test_a_mime_version_stands_in_the_message_only_and_once() -> None:
    octets = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\xc3\xa4\n--b--\n"
    assert enveloped(parsed(octets)).content.count(b"MIME-Version") == 1
    assert enveloped(parsed(b"MIME-Version: 1.0\n\n\xc3\xa4\n")).content.count(b"MIME-Version") == 1


def test_binary_parts_are_encoded() -> None:
    message = new_message()
    message.add_attachment(b"plain", "application", "octet-stream", cte="binary")
    content = prepare_message(message).content
    assert b"binary" not in content
    assert b"\r\n\r\nplain\r\n--" in content


def test_a_header_object_of_the_older_interface_is_a_value() -> None:
    prepared = prepare_message(old_message(Subject=Header("Gr\u00fc\u00dfe", "iso-8859-1")))
    assert str(again(prepared)["Subject"]) == "Gr\u00fc\u00dfe"


def test_a_word_that_fits_no_line_stays_on_the_first() -> None:
    assert b"Subject: " + b"x" * 900 in header_of(enveloped(new_message(Subject="x" * 900)))


def test_long_lines_are_encoded_if_possible() -> None:
    for line in ("x" * 999, "\u00fc" + "x" * 997):
        prepared = enveloped(parsed(b"Content-Type: text/plain; charset=utf-8\n\n" + line.encode() + b"\n"))
        assert prepared.content.isascii() and max(map(len, prepared.content.split(b"\r\n"))) <= 78
        assert text_of(again(prepared)) == line + "\n"
    untouched = enveloped(parsed(b"\n" + b"x" * 998 + b"\n"))
    assert untouched.content == b"\r\n" + b"x" * 998 + b"\r\n"


def test_a_long_line_that_ends_a_part_is_encoded_with_crlf() -> None:
    text = b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 999 + b"\r\n--b--\r\n"
    content = enveloped(parsed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + text)).content
    assert b"=\r\n" in content and content.count(b"\n") == content.count(b"\r\n")


def test_NUL_is_encoded_if_possible() -> None:
    prepared = enveloped(parsed(b"Content-Type: text/plain\n\na\0b\n"))
    assert b"\0" not in prepared.content
    assert again(prepared).get_payload(decode=True) == b"a\0b\n"


@pytest.mark.parametrize("encoding", ["binary", "8bit", "quoted-printable"])
@pytest.mark.parametrize(
    "octets",
    [b"a\nb", b"\r", b"a\r\n\n", b"", b"plain", b"\xff\xfe", bytes(range(256)), b"x" * 1200, b"a\0b"],
)
@pytest.mark.parametrize("eight_bit", [True, False])
def test_attachments_arrive_octet_for_octet(encoding: str, octets: bytes, eight_bit: bool) -> None:
    message = new_message()
    message.add_attachment(octets, "application", "octet-stream", cte=encoding, filename="f")
    prepared = prepare_message(message, eight_bit_mime=eight_bit)
    assert next(again(prepared).iter_attachments()).get_content() == octets
    alone = new_message()
    alone.set_content(octets, "application", "octet-stream", cte=encoding)
    assert again(prepare_message(alone, eight_bit_mime=eight_bit)).get_content() == octets


def test_base64_is_not_touched() -> None:
    message = new_message()
    message.add_attachment(bytes(range(256)) * 10, "image", "png", filename="f")
    expected = message.as_bytes(policy=email.policy.SMTP).partition(b"\r\n\r\n")[2]
    assert body_of(prepare_message(message)) == expected


@pytest.mark.parametrize("modern", [True, False])
def test_base64_in_one_line_that_is_too_long_is_put_on_lines(modern: bool) -> None:
    octets = bytes(range(256)) * 4
    header = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    message = header + b"\r\n" + base64.b64encode(octets) + b"\r\n"
    for prepared in (
        enveloped(parsed(message, modern=modern)),
        prepare_message(message, sender="", recipients=["u@x"]),
    ):
        assert prepared.content.startswith(header)
        assert max(map(len, prepared.content.split(b"\r\n"))) == 76
        assert again(prepared).get_payload(decode=True) == octets


def test_malformed_base64_is_not_changed() -> None:
    octets = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nA\r\n"
    assert enveloped(parsed(octets)).content == octets
    octets = (
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"A" * 1001 + b"\r\n"
    )
    assert "longer than 998" in refused(parsed(octets))


def test_an_unknown_encoding_is_not_changed() -> None:
    octets = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-own\r\n\r\na\r\nb\r\n"
    assert enveloped(parsed(octets)).content == octets


@pytest.mark.parametrize("coding", ["base64", "quoted-printable"])
def test_octets_above_127_in_an_encoded_part_are_labelled_8bit(coding: str) -> None:
    octets = (
        f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {coding}\n\n\u00e4\n".encode()
    )
    prepared = enveloped(parsed(octets, modern=False))
    assert again(prepared)["Content-Transfer-Encoding"] == "8bit"


class Refusing(email.policy.EmailPolicy):
    """A policy of the application, for fields that are set."""

    def header_store_parse(self, name: str, value: str) -> tuple[str, str]:
        raise ValueError(name)


@pytest.mark.parametrize("policy", [email.policy.compat32, email.policy.default, Refusing()])
@pytest.mark.parametrize(
    "coding, text, decoded",
    [
        ("quoted-printable", "=41\xe4=42\n", "A\xe4B\r\n"),
        ("x-uuencode", "begin 666 x\n#0T-#\n \nend\n\xe4\n", "CCC\r\n"),
    ],
)
def test_octets_above_127_in_an_encoded_part_leave_the_rest_decoded(
    policy: Any, coding: str, text: str, decoded: str
) -> None:
    octets = f"From: a@x\nTo: b@x\nContent-Transfer-Encoding: {coding}\n\n{text}".encode()
    message = email.message_from_bytes(octets, policy=policy)
    assert body_of(prepare_message(message)) == decoded.encode()


def test_the_first_of_two_fields_counts_and_both_are_sent() -> None:
    octets = b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx\r\n"
    assert enveloped(parsed(octets, modern=False)).content == octets


def test_text_of_the_older_interface_that_never_was_octets_gets_a_charset() -> None:
    message = old_message()
    message.set_payload("\u00e4\u65e5\n")
    assert text_of(again(prepare_message(message))) == "\u00e4\u65e5\n"
    message = old_message(**{"Content-Type": "text/plain; charset=iso-8859-1"})
    message.set_payload("\u00e4\n")
    assert body_of(prepare_message(message)) == b"\xe4\r\n"
    message = old_message(**{"Content-Type": "text/plain; charset=x-unknown"})
    message.set_payload("\u00e4\u65e5\n")
    assert text_of(again(prepare_message(message))) == "\u00e4\u65e5\n"


def test_octets_of_an_unknown_charset_are_kept() -> None:
    octets = (
        b"Content-Type: text/plain; charset=x-unknown\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\xff\r\n"
    )
    assert enveloped(parsed(octets, modern=False)).content == octets


def test_messages_of_the_older_interface_with_parts() -> None:
    message = MIMEMultipart()
    message["From"], message["To"], message["Subject"] = "a@x", "b@x", "Gr\u00fc\u00dfe"
    message.attach(MIMEText("t\u00e4xt\n", _charset="utf-8"))
    message.attach(MIMEApplication(bytes(range(256))))
    prepared = prepare_message(message, eight_bit_mime=False)
    text, file = again(prepared).iter_parts()
    assert text_of(text) == "t\u00e4xt\n"
    assert file.get_content() == bytes(range(256))
    assert str(again(prepared)["Subject"]) == "Gr\u00fc\u00dfe"


# --- Parts ---

SIGNED = (
    b"From: a@x\r\nTo: b@x\r\nSubject: signed\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/signed; boundary="sig"; protocol="application/pgp-signature"\r\n'
    b"\r\n"
    b"preamble\r\n"
    b"--sig\r\n"
    b"Content-Type: multipart/mixed;\r\n   boundary=in\r\n"
    b"\r\n"
    b"--in\r\nContent-Type:text/plain;charset=utf-8 \r\nX-Odd:  =?utf-8?q?x?=\r\n\r\n%s\r\n"
    b"--in--\r\n"
    b"\r\n"
    b"--sig\r\nContent-Type: application/pgp-signature\r\n\r\nSIGNATURE\r\n"
    b"--sig--\r\n"
)


def signed_octets(octets: bytes) -> bytes:
    """What a verifier looks at: the first part (RFC 1847 2.1)."""
    return octets.partition(b"\r\n--sig\r\n")[2].partition(b"\r\n--sig\r\n")[0]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_only_line_ends_of_a_signed_part_change(modern: bool, line_end: bytes) -> None:
    octets = (
        (SIGNED % b"text  \r\n\r\n").replace(b":text/plain", b": text/plain").replace(b"Odd:  =", b"Odd: =")
    )
    prepared = prepare_message(parsed(octets.replace(b"\r\n", line_end), modern=modern))
    assert signed_octets(prepared.content) == signed_octets(octets)
    assert not prepared.smtputf8


QUOTED = (
    b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nTo: \r\nBcc: z@x\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n%s"
)


@pytest.mark.parametrize("modern", [True, False])
def test_a_message_within_a_signed_part_is_not_changed(modern: bool) -> None:
    octets = SIGNED.replace(SIGNED.partition(b"--sig\r\n")[2].partition(b"\r\n--sig\r\n")[0], QUOTED)
    # Outside, each of these is changed: the label, and what depends on its line ends.
    prepared = enveloped(parsed(octets % b"\xff\r\n", modern=modern))
    assert signed_octets(prepared.content) == QUOTED % b"\xff\r\n"
    assert "8BITMIME" in refused(parsed(octets % b"\xff\r\n", modern=modern), eight_bit_mime=False)
    assert "longer than 998" in refused(parsed(octets % (b"x" * 999), modern=modern))
    outside = enveloped(parsed(QUOTED % b"\xff\n", modern=modern))
    assert b"Content-Transfer-Encoding: base64" in outside.content


@pytest.mark.parametrize("modern", [True, False])
def test_a_delivery_status_within_a_signed_part_is_not_changed(modern: bool) -> None:
    status = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\nX-A: \xc3\xa4\r\n\r\n"
        b"Action: failed\r\n"
    )
    octets = SIGNED.replace(SIGNED.partition(b"--sig\r\n")[2].partition(b"\r\n--sig\r\n")[0], status)
    assert signed_octets(enveloped(parsed(octets, modern=modern)).content) == status
    assert "SMTPUTF8" in refused(parsed(octets, modern=modern), smtputf8=False)


def test_malformed_content_of_a_signed_part_is_not_repaired() -> None:
    octets = (SIGNED % b"text").replace(b":text/plain", b": text/plain").replace(b"Odd:  =", b"Odd: =")
    octets = octets.replace(b"boundary=in", b'boundary="in*"').replace(b"--in", b"pre\xc3\xa4mble\r\n--in*", 1)
    octets = octets.replace(b"--in--", b"--in*--")
    assert signed_octets(prepare_message(parsed(octets)).content) == signed_octets(octets)


def test_octets_above_127_in_a_signed_part_need_8BITMIME() -> None:
    octets = SIGNED % "t\u00e4xt".encode()
    octets = octets.replace(b":text/plain", b": text/plain").replace(b"Odd:  =", b"Odd: =")
    prepared = prepare_message(parsed(octets))
    assert signed_octets(prepared.content) == signed_octets(octets)
    assert again(prepared)["Content-Transfer-Encoding"] == "8bit"
    assert "8BITMIME" in refused(parsed(octets), eight_bit_mime=False)


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        (b"x" * 998 + b"\r\n" + b"x" * 999, "line 17 of the content is longer than 998"),
        (b"a\0b", "contains a NUL"),
    ],
)
def test_a_signed_part_that_cannot_be_sent_is_refused(inside: bytes, problem: str) -> None:
    assert problem in refused(parsed(SIGNED % inside))


def test_utf8_in_the_header_of_a_signed_part_needs_smtputf8() -> None:
    octets = (SIGNED % b"text").replace(b"X-Odd:  =?utf-8?q?x?=", "X-Odd: \u00fc".encode())
    assert "SMTPUTF8" in refused(parsed(octets, modern=False), smtputf8=False)
    prepared = prepare_message(parsed(octets, modern=False))
    assert prepared.smtputf8 and "X-Odd: \u00fc\r\n".encode() in prepared.content


def test_eight_bits_in_a_signed_part_that_is_said_to_be_encoded_are_refused() -> None:
    octets = (SIGNED % b"\xe4").replace(b"X-Odd: ", b"Content-Transfer-Encoding: base64\r\nX-Odd: ")
    assert "signed part is base64" in refused(parsed(octets, modern=False))


def test_a_quoted_message_is_encoded_inside_not_outside() -> None:
    inner = new_message(Subject="inner")
    inner.set_content("\u00e4 and so on, and so forth\n", cte="8bit")
    message = new_message()
    message.add_attachment(inner)
    prepared = prepare_message(message, eight_bit_mime=False)
    attached = next(again(prepared).iter_attachments())
    assert attached.get_content_type() == "message/rfc822"
    assert text_of(attached.get_content()) == "\u00e4 and so on, and so forth\n"
    assert prepared.content.isascii()


def test_a_delivery_status_keeps_its_groups() -> None:
    octets = (
        b"Content-Type: multipart/report; boundary=b; report-type=delivery-status\r\n"
        b"MIME-Version: 1.0\r\n\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; mx.example.org\r\n\r\n"
        b"Final-Recipient: rfc822; a@x\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"\r\n--b--\r\n"
    )
    prepared = enveloped(parsed(octets))
    assert prepared.content == octets


def test_a_missing_or_invalid_boundary_is_replaced() -> None:
    message = MIMEMultipart(_subparts=[MIMEText("a\n"), MIMEText("--bad\n"), MIMEText("--bad--\n")])
    for boundary in (None, "bad", "b\u00e4d", "x" * 71):
        if boundary is not None:
            message.set_param("boundary", boundary)
        prepared = enveloped(message)
        assert [text_of(part) for part in again(prepared).iter_parts()] == [
            "a\n",
            "--bad\n",
            "--bad--\n",
        ]
        assert re.fullmatch("=_[0-9a-f]{40}", again(prepared).get_boundary() or "")
    message.set_param("boundary", "good")
    assert again(enveloped(message)).get_boundary() == "good"
    message.preamble = "--good"
    assert again(enveloped(message)).get_boundary() != "good"


def test_a_multipart_without_parts_gets_an_empty_one() -> None:
    message = OldMessage()
    message["Content-Type"] = "multipart/mixed; boundary=b"
    message.set_payload([])
    assert body_of(enveloped(message)) == b"--b\r\n\r\n--b--\r\n"


def test_a_preamble_or_epilogue_that_cannot_be_sent_is_removed() -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n%s\r\n--b\r\n\r\ntext\r\n--b--\r\n%s"
    untouched = octets % (b"preamble", b"epilogue\r\n")
    assert enveloped(parsed(untouched)).content == untouched
    for trouble in (b"pre\xc3\xa4mble", b"x" * 999, b"a\0b"):
        content = enveloped(parsed(octets % (trouble, trouble))).content
        assert trouble not in content and b"\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n" in content


def test_a_multipart_in_a_multipart_keeps_its_epilogue() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n"
        b"--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
        b"--i\r\n\r\ntext\r\n--i--\r\nepilogue\r\n--o--\r\n"
    )
    assert enveloped(parsed(octets)).content == octets


def test_parts_in_a_type_without_parts_are_refused() -> None:
    message = OldMessage()
    message["Content-Type"] = "text/plain"
    message.set_payload([OldMessage()])
    assert "has parts that this type does not allow" in refused(message)
    message = OldMessage()
    message["Content-Type"] = "multipart/mixed"
    message.set_payload(["no message"])
    assert "has parts that this type does not allow" in refused(message)
    message.set_payload(5)
    assert "neither text nor parts" in refused(message)


def test_a_multipart_without_parts_in_bytes_is_sent_unchanged() -> None:
    octets = b"Content-Type: multipart/mixed\r\n\r\nno parts\r\n"
    assert enveloped(parsed(octets)).content == octets
    assert "part whose type says that it has parts" in refused(parsed(octets + b"x" * 999))
    assert "8BITMIME" in refused(parsed(octets + b"\xc3\xa4\r\n"), eight_bit_mime=False)


def test_the_first_of_several_mime_fields_counts() -> None:
    octets = (
        b"Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n\nt\xc3\xa4xt, and more of it\n"
    )
    prepared = enveloped(parsed(octets, modern=False), eight_bit_mime=False)
    assert parsed(prepared.content, modern=False)["Content-Transfer-Encoding"] == "quoted-printable"


# --- A message given as bytes ---

FILE = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=x.example; s=sel;\r\n\th=from:to; bh=a=; b=b=\r\n"
    b"From: Anna <a@x.example>\r\nTo:b@y.example\r\nSubject:   three blanks\r\nX-Empty:\r\n"
    b"Message-ID:\r\n <1@x.example>\r\nX-Folded: a\r\n \r\n b \r\n\r\nhello\r\n"
)
MULTIPART_FILE = (
    b"From: a@x.example\r\nTo:b@y.example\r\nContent-Type:multipart/mixed;boundary=b\r\n\r\n"
    b"--b  \r\nContent-Type:  text/plain\r\n\r\n.\r\n--b\t\r\nno header\r\n--b--  \r\nepilogue\r\n"
)


@pytest.mark.parametrize("octets", [FILE, MULTIPART_FILE, FILE.partition(b"\r\n\r\n")[0] + b"\r\n"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_message_given_as_bytes_goes_out_as_it_is_but_for_its_line_ends(
    octets: bytes, line_end: bytes, kind: type[bytes]
) -> None:
    prepared = prepare_message(kind(octets.replace(b"\r\n", line_end)))
    assert prepared.content == octets
    assert (prepared.sender, prepared.recipients) == ("a@x.example", ("b@y.example",))
    assert prepare_message(octets, eight_bit_mime=False, smtputf8=False).content == octets


@pytest.mark.parametrize(
    "field", [b"Bcc: z@y.example\r\n", b"Bcc :z@y.example\r\n", b"RETURN-PATH:\r\n <z@y.example>\r\n"]
)
def test_only_Bcc_and_the_like_are_removed_from_bytes(field: bytes) -> None:
    octets = FILE.replace(b"Subject:", field + b"Subject:")
    prepared = prepare_message(octets)
    assert prepared.content == FILE
    if b"cc" in field:
        assert prepared.recipients == ("b@y.example", "z@y.example")


def test_an_obsolete_space_before_a_colon_ends_no_header() -> None:
    prepared = prepare_message(b"From : a@x\r\nTo : b@x\r\n\r\nText : stays\r\n")
    assert (prepared.sender, prepared.recipients) == ("a@x", ("b@x",))
    assert prepared.content.endswith(b"\r\n\r\nText : stays\r\n")


def test_an_empty_address_field_of_a_file_stays() -> None:
    octets = b"From: a@x\r\nTo: b@x\r\nCc:\r\nReply-To: \r\n\r\n"
    assert prepare_message(octets).content == octets


def test_bytes_that_begin_with_an_empty_line_have_no_header() -> None:
    for octets in (b"\r\nFrom: a@x\r\n", b"\r\n"):
        assert prepare_message(octets, sender="", recipients=["u@x"]).content == octets
    assert prepare_message(b"no field\r\n", sender="", recipients=["u@x"]).content == b"\r\nno field\r\n"
    with pytest.raises(LocalProtocolError, match="the message is empty"):
        prepare_message(b"", sender="", recipients=["u@x"])


def test_the_line_that_separates_messages_in_a_mailbox_is_not_sent() -> None:
    assert prepare_message(b"From a@x Thu Jan  1 00:00:00 2026\n" + FILE).content == FILE


EIGHT_BIT_FILE = (
    "From:a@x.example\r\nTo:b@y.example\r\nContent-Type:text/plain;charset=utf-8\r\n"
    "Content-Transfer-Encoding:%s\r\n\r\ngr\u00fc\u00dfe, and quite a few words more\r\n"
)


@pytest.mark.parametrize("encoding", ["8bit", "7bit", "binary"])
def test_eight_bits_in_bytes_are_encoded_only_for_a_server_without_8bitmime(encoding: str) -> None:
    octets = (EIGHT_BIT_FILE % encoding).encode()
    untouched = prepare_message(octets)
    assert untouched.eight_bit
    assert untouched.content == octets.replace(b"Encoding:binary", b"Encoding: 8bit")
    prepared = prepare_message(octets, eight_bit_mime=False)
    assert not prepared.eight_bit
    assert header_of(prepared)[:3] == header_of(untouched)[:3]
    assert body_of(prepared) == b"gr=C3=BC=C3=9Fe, and quite a few words more\r\n"
    # Without a label nothing has to change, either.
    bare = b"From:a@x\r\nTo:b@x\r\n\r\n\xfc\r\n"
    assert prepare_message(bare).content == bare


def test_the_label_8bit_is_corrected_for_a_server_without_8BITMIME() -> None:
    octets = b"From:a@x\r\nTo:b@x\r\nContent-Transfer-Encoding:8bit\r\n\r\nascii\r\n"
    assert prepare_message(octets).content == octets
    assert prepare_message(octets, eight_bit_mime=False).content == octets.replace(b":8bit", b": 7bit")
    for label in (b": BINARY", b":Binary "):
        assert prepare_message(octets.replace(b":8bit", label)).content == octets.replace(b":8bit", b": 7bit")


def test_a_long_line_in_bytes_is_encoded_and_the_header_stays() -> None:
    octets = FILE + b"x" * 999 + b"\r\n"
    prepared = prepare_message(octets)
    assert prepared.content.startswith(FILE.partition(b"\r\n\r\n")[0])
    assert again(prepared)["Content-Transfer-Encoding"] == "quoted-printable"


def test_binary_data_in_bytes_keeps_its_line_ends() -> None:
    octets = b"From:a@x\nTo:b@x\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\na\nb\r\n"
    prepared = prepare_message(octets)
    assert again(prepared).get_payload(decode=True) == b"a\nb\r\n"
    assert header_of(prepared)[0] == b"From:a@x"
    # What is not binary consists of lines (RFC 2045 2.7), so its line ends are those of the file.
    assert b"\r\n\r\na\r\nb\r\n" in prepare_message(octets.replace(b"binary", b"7bit")).content


def test_utf8_in_the_header_of_bytes_is_encoded_unless_it_may_be_signed() -> None:
    unsigned = "From:a@x\r\nTo: b@x\r\nSubject:gr\u00fc\u00df\r\nX:  y\r\n\r\ntext\r\n".encode()
    prepared = prepare_message(unsigned)
    assert not prepared.smtputf8
    assert prepared.content.isascii() and b"\r\nX:  y\r\n\r\ntext\r\n" in prepared.content
    signed = b"DKIM-Signature: v=1\r\n" + unsigned
    prepared = prepare_message(signed)
    assert prepared.smtputf8 and prepared.content == signed
    for server in ({"smtputf8": False}, {"eight_bit_mime": False}):
        assert prepare_message(signed, **server).content.isascii()
    latin = b"DKIM-Signature: v=1\r\nSubject: \xfc\r\n\r\n"
    assert not prepare_message(latin, sender="", recipients=["u@x"]).smtputf8


def test_utf8_in_the_header_of_a_part_of_bytes_is_encoded() -> None:
    octets = (
        "From:a@x\r\nTo:b@x\r\nContent-Type:multipart/mixed;boundary=b\r\n\r\n"
        "--b\r\nContent-Description:gr\u00fc\u00df\r\n\r\ntext\r\n--b--\r\n"
    ).encode()
    prepared = prepare_message(octets)
    assert prepared.content.isascii() and not prepared.smtputf8


def test_signed_parts_of_bytes_keep_the_space_after_each_colon() -> None:
    octets = (
        b"From: a@x\r\nBcc: z@x\r\nTo: b@x\r\nX: "
        + b"x" * 995
        + b"\r\n"
        + (SIGNED % b"text").partition(b"\r\n")[2]
    )
    octets = octets.replace(b"To: b@x\r\nSubject", b"Subject", 1)
    assert signed_octets(prepare_message(octets).content) == signed_octets(octets)
    # Also if a part of the message has to be encoded.
    octets += b"\0"
    assert signed_octets(prepare_message(octets).content) == signed_octets(octets)


@pytest.mark.parametrize("message", ["From: a@x\r\n\r\n", None, 5, [b"x"]])
def test_an_object_that_is_not_a_message_is_a_TypeError(message: object) -> None:
    function: object = prepare_message
    assert callable(function)
    with pytest.raises(TypeError, match="a message is an EmailMessage or bytes, not"):
        function(message)


@pytest.mark.parametrize(
    ("arguments", "named"), [({"sender": 5}, "sender"), ({"recipients": [None]}, "a recipient")]
)
def test_an_envelope_of_another_type_is_named(arguments: dict[str, object], named: str) -> None:
    function: object = prepare_message
    assert callable(function)
    with pytest.raises(TypeError, match=f"{named} is a str, not"):
        function(new_message(), **arguments)


def test_a_folded_first_line_of_a_parsed_field_stays_empty() -> None:
    octets = b"From: a@x\r\nTo: b@x\r\nMessage-ID:\r\n <1@x.example>\r\n\r\n"
    for modern in (True, False):
        assert prepare_message(parsed(octets, modern=modern)).content == octets


class Store:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []

    def accept_recipient(self, session: object, forward_path: object, parameters: object) -> bool:
        return True

    def store(self, session: object, envelope: object, content: BinaryIO) -> bool:
        self.contents.append(content.read())
        return True


def test_the_documented_ways_to_send_signed_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed: list[bytes] = []

    def sign(content: bytes, selector: bytes, domain: bytes, key: bytes) -> bytes:
        signed.append(content)
        return b"DKIM-Signature: v=1;\r\n b=" + base64.b64encode(hashlib.sha256(content).digest()) + b"\r\n"

    monkeypatch.setitem(sys.modules, "dkim", SimpleNamespace(sign=sign))
    monkeypatch.chdir(tmp_path)
    Path("signed.eml").write_bytes(FILE)
    Path("key.pem").write_bytes(b"key")
    text = (Path(__file__).parents[2] / "docs" / "messages.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    with_a_date, from_a_file, with_a_signature = blocks
    names: dict[str, EmailMessage] = {}
    exec(with_a_date, names)
    assert names["message"].keys() == ["Date", "Message-ID"]
    store = Store()
    with smtpcore.sync.serve(store) as listener:
        for block in (from_a_file, with_a_signature):
            assert "8025" in block
            exec(block.replace("8025", str(listener.addresses[0][1])), {})
    assert store.contents[0] == FILE
    signature, _, content = store.contents[1].partition(b"From:")
    assert b"From:" + content == signed[0]
    assert signature == sign(signed[0], b"", b"", b"")
    assert signed[0].isascii()


# --- Digests ---

DIGEST = (
    b"From: list@x.example\r\nTo: b@y.example\r\nSubject: digest\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/digest; boundary="d"\r\n\r\n'
    b"--d\r\n\r\nFrom: one@x.example\r\nSubject: first\r\n\r\ntext\r\n"
    b"--d\r\nContent-Description: the second\r\n\r\nFrom: two@x.example\r\nSubject: second\r\n\r\n%s\r\n"
    b"--d\r\nContent-Type: text/plain\r\n\r\nno message\r\n"
    b"--d--\r\n"
)
IN_A_MIXED = (
    b"From: list@x.example\r\nTo: b@y.example\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\ncontents\r\n--m\r\n"
    + DIGEST.partition(b"MIME-Version: 1.0\r\n")[2].removesuffix(b"\r\n")
    + b"\r\n--m--\r\n"
)


@pytest.mark.parametrize("octets", [DIGEST % b"text", IN_A_MIXED % b"text"])
@pytest.mark.parametrize("modern", [True, False])
def test_a_part_of_a_digest_is_a_message_by_default(octets: bytes, modern: bool) -> None:
    assert prepare_message(parsed(octets, modern=modern)).content == octets
    assert prepare_message(octets).content == octets


@pytest.mark.parametrize("octets", [DIGEST, IN_A_MIXED])
@pytest.mark.parametrize("modern", [True, False])
def test_eight_bits_in_a_digest_are_encoded_in_its_messages(octets: bytes, modern: bool) -> None:
    prepared = prepare_message(
        parsed(octets % "gr\u00fc\u00dfe, and so on".encode(), modern=modern), eight_bit_mime=False
    )
    assert prepared.content.isascii()
    digest = next(part for part in again(prepared).walk() if part.get_content_type() == "multipart/digest")
    kinds = [part.get_content_type() for part in digest.iter_parts()]
    assert kinds == ["message/rfc822", "message/rfc822", "text/plain"]
    assert all("content-transfer-encoding" not in part for part in digest.iter_parts())
    assert text_of(next(part for part in [*digest.iter_parts()][1].walk() if part["Subject"])).startswith(
        "gr\u00fc"
    )
    prepared = prepare_message(parsed(octets % b"\xfc", modern=modern))
    digest = next(part for part in again(prepared).walk() if part.get_content_type() == "multipart/digest")
    assert [part["content-transfer-encoding"] for part in digest.iter_parts()] == [None, "8bit", None]


def test_a_part_that_is_taken_out_of_a_digest_says_that_it_is_a_message() -> None:
    part = next(again(enveloped(parsed(DIGEST % b"text"))).iter_parts())
    for message in (part, MIMEMultipart(_subparts=[part])):
        kinds = [one.get_content_type() for one in again(enveloped(message)).walk()]
        assert "message/rfc822" in kinds


def test_a_part_that_is_taken_out_of_a_digest_keeps_the_type_that_it_has() -> None:
    digest = parsed(
        b"From: list@x.example\r\nTo: b@y.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/digest; boundary="d"\r\n\r\n'
        b'--d\r\nContent-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n\r\ntext\r\n--m--\r\n\r\n--d--\r\n'
    )
    message = MIMEMultipart(_subparts=[digest.get_payload(0)])
    kinds = [one.get_content_type() for one in again(enveloped(message)).walk()]
    assert kinds == ["multipart/mixed", "multipart/mixed", "text/plain"]


@pytest.mark.parametrize("coding", ["8bit", "base64", "quoted-printable", "another than it says"])
def test_a_message_that_was_set_as_text_is_not_encoded_as_a_whole(coding: str) -> None:
    inner = (
        "Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\u00fc\u00dfe, and so on\r\n".encode()
    )
    part = MIMEBase("message", "rfc822")
    part.set_payload(inner.decode("ascii", "surrogateescape"))
    if coding == "base64":
        encoders.encode_base64(part)
    elif coding == "quoted-printable":
        encoders.encode_quopri(part)
    elif coding == "another than it says":
        part["Content-Transfer-Encoding"] = "quoted-printable"
    message = MIMEMultipart(_subparts=[part])
    for eight_bit in (True, False):
        prepared = enveloped(message, eight_bit_mime=eight_bit)
        assert prepared.content.isascii() is not eight_bit
        attached = next(again(prepared).iter_parts())
        assert attached["Content-Transfer-Encoding"] in (None, "7bit", "8bit")
        assert text_of(attached.get_content()) == "gr\u00fc\u00dfe, and so on\n"


def test_no_message_is_left_out_of_a_part_that_holds_two() -> None:
    message = OldMessage()
    message["Content-Type"] = "message/rfc822"
    message.set_payload([new_message(), new_message()])
    assert "holds 2 messages" in refused(message)
    message.set_payload([])
    assert body_of(enveloped(message)) == b""


def test_malformed_base64_of_a_message_is_not_changed() -> None:
    part = MIMEBase("message", "rfc822")
    part["Content-Transfer-Encoding"] = "base64"
    part.set_payload("A")
    assert body_of(enveloped(part)) == b"A\r\n"


# --- Values of the older interface ---


@pytest.mark.parametrize(
    "parameter",
    ["charset*=utf-8''utf-8", "charset*0=utf; charset*1=-8", "charset*=us-ascii'en'utf-8", "charset=idna"],
)
@pytest.mark.parametrize("eight_bit", [True, False])
@pytest.mark.parametrize("modern", [True, False])
def test_a_charset_in_the_way_of_rfc_2231(parameter: str, eight_bit: bool, modern: bool) -> None:
    octets = (
        f"Content-Type: text/plain; {parameter}\r\nFrom: a@b.example\r\nTo: x@y\r\n\r\nh\u00e4\r\n".encode()
    )
    prepared = prepare_message(parsed(octets, modern=modern), eight_bit_mime=eight_bit)
    assert prepared.recipients == ("x@y",)
    assert f"Content-Type: text/plain; {parameter}\r\n".encode() in prepared.content
    assert parsed(prepared.content, modern=False).get_payload(decode=True) == "h\u00e4\r\n".encode()


@pytest.mark.parametrize("parameter", ["charset*=a\0b''x", "boundary*=idna''x%E4", "x*; x*0="])
def test_a_parameter_that_python_cannot_read_is_an_error_of_ours(parameter: str) -> None:
    assert "Content-Type field cannot be read" in refused(
        parsed(f"Content-Type: text/plain; {parameter}\r\n\r\nh\u00e4\r\n".encode(), modern=False)
    )


@pytest.mark.parametrize("name", ["Subject", "To", "Content-Type", "Content-Transfer-Encoding", "X-A", "Bcc"])
@pytest.mark.parametrize("value", [None, 5, b"text/plain", ("a", "b"), ["u@x"], Address("", "a", "x")])
def test_a_field_is_text_or_a_header_and_nothing_else(name: str, value: object) -> None:
    message = OldMessage()
    message[name] = value
    message.set_payload("text")
    problem = f"the {name} field is set to a {type(value).__name__}"
    if name in ("To", "Bcc"):
        with pytest.raises(LocalProtocolError, match=problem):
            prepare_message(message, sender="")
    if name != "Bcc":
        assert problem in refused(message)


def test_header_objects_are_read_in_every_field() -> None:
    message = OldMessage()
    fields = {
        "From": "J\u00f6rg <a@x>",
        "To": "b@x",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        "Content-Disposition": "inline",
    }
    for name, value in fields.items():
        message[name] = Header(value, "utf-8")
    message.set_payload("gr\u00fc\u00df\n".encode().decode("ascii", "surrogateescape"))
    prepared = prepare_message(message, eight_bit_mime=False)
    assert (prepared.sender, prepared.recipients) == ("a@x", ("b@x",))
    assert text_of(again(prepared)) == "gr\u00fc\u00df\n"
    message["X"] = Header("\udcff\u00e4", "unknown-8bit")
    assert "octets and characters together" in refused(message)


def test_a_name_of_a_field_is_text() -> None:
    message = OldMessage()
    assert isinstance(message, OldMessage)
    message.set_raw(5, "x")  # type: ignore[arg-type]
    assert "the name of a field is a str, not 5" in refused(message)


@pytest.mark.parametrize("text", ["\ud83d", "\u00e4\udcff", "\udcff\u00e4\ud83d"])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    message = old_message(**{"Content-Type": "text/plain; charset=utf-8"})
    message.set_payload(text)
    assert "lone surrogate" in refused(message)


# --- Depth ---


def nested(levels: int, kind: str) -> bytes:
    """A message with so many levels, the message itself being the first."""
    if kind == "message/rfc822":
        return b"Content-Type: message/rfc822\r\n\r\n" * (levels - 1) + b"Subject: innermost\r\n\r\ntext\r\n"
    octets = b""
    for level in range(levels - 1):
        octets += b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
    return octets + b"\r\ntext\r\n" + b"".join(b"--b%d--\r\n" % level for level in reversed(range(levels - 1)))


@pytest.mark.req("SEC-01")
@pytest.mark.parametrize("kind", ["multipart/mixed", "message/rfc822"])
def test_parts_are_nested_a_hundred_levels_deep_at_most(kind: str) -> None:
    octets = nested(NESTING_LIMIT, kind)
    assert enveloped(parsed(octets)).content == octets
    assert prepare_message(octets, sender="", recipients=["u@x"]).content == octets
    for levels in (NESTING_LIMIT + 1, 5000):
        with pytest.raises(LocalProtocolError, match="nested too deep: 100 levels are allowed"):
            prepare_message(nested(levels, kind), sender="", recipients=["u@x"])
    assert "nested too deep" in refused(parsed(nested(NESTING_LIMIT + 1, kind)))


def test_a_caller_that_is_deep_in_calls_gets_no_recursion_error() -> None:
    octets = nested(NESTING_LIMIT, "multipart/mixed")
    message = parsed(octets)

    def call(depth: int) -> None:
        if depth:
            call(depth - 1)
        else:
            for one in (octets, message):
                with pytest.raises(LocalProtocolError, match="nested too deep"):
                    prepare_message(one, sender="", recipients=["u@x"])

    used = len(inspect.stack(0))
    call(sys.getrecursionlimit() - used - 100)


def test_a_message_in_itself_is_nested_too_deep() -> None:
    message = MIMEMultipart()
    message.attach(message)
    assert "nested too deep" in refused(message)
    inner = MIMEBase("message", "rfc822")
    inner.set_payload(nested(NESTING_LIMIT + 1, "message/rfc822").decode() + "x" * 999)
    assert "nested too deep" in refused(inner)


@pytest.mark.req("SEC-01")
@pytest.mark.parametrize("text", ["(" * 5000, "(" * 200 + ")" * 200 + " a@x", "<" * 5000, "a@x, " + "[" * 5000])
def test_an_address_field_is_not_read_deeper_than_python_can(text: str) -> None:
    for message in (old_message(To=text), parsed(f"From: a@x\r\nTo: {text}\r\n\r\n".encode())):
        with contextlib.suppress(LocalProtocolError):
            assert prepare_message(message).recipients == ("a@x",)


# --- Fields without an address ---


@pytest.mark.parametrize("name", ["To", "Cc", "Reply-To", "Sender", "Resent-Cc", "Mail-Followup-To"])
@pytest.mark.parametrize("kind", [new_message, old_message])
def test_an_address_field_without_an_address_is_not_sent(kind: type[OldMessage], name: str) -> None:
    for value in ("", " ", " , ", "(a comment)", Header("")):
        if kind is new_message and (isinstance(value, Header) or (name == "Sender" and value.strip(" "))):
            continue  # the standard library accepts neither
        content = enveloped(kind(**{"To": None, name: value})).content
        assert name.encode() not in content
        assert (
            f"{name}: undisclosed-recipients:;\r\n".encode()
            in enveloped(old_message(**{"To": None, name: "undisclosed-recipients:;"})).content
        )
    content = enveloped(parsed(f"From: a@x\r\n{name}: \r\nSubject: \r\n\r\n".encode())).content
    assert content == b"From: a@x\r\nSubject: \r\n\r\n"


def test_an_attached_message_is_kept_as_it_is() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\nFrom: a@x\r\nTo: \r\n\r\n"
    assert enveloped(parsed(octets)).content == octets


def test_an_empty_group_is_kept() -> None:
    message = new_message(To=[Group("undisclosed-recipients")], Cc=[])
    content = enveloped(message).content
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in content and b"Cc" not in content


# --- Normalization ---


@pytest.mark.parametrize("kind", [new_message, old_message])
def test_addresses_are_sent_in_normalization_form_c(kind: type[OldMessage]) -> None:
    decomposed = "ju\u0308rg@bu\u0308cher.example"
    message = prepare_message(kind(From="a@x", To=decomposed, Cc="b@bu\u0308cher.example"))
    assert message.recipients == ("j\u00fcrg@b\u00fccher.example", "b@b\u00fccher.example")
    if kind is new_message:
        assert "To: j\u00fcrg@b\u00fccher.example\r\n".encode() in message.content
    message = prepare_message(
        new_message(), sender=decomposed, recipients=[decomposed, "j\u00fcrg@b\u00fccher.example"]
    )
    assert (message.sender, message.recipients) == (
        "j\u00fcrg@b\u00fccher.example",
        ("j\u00fcrg@b\u00fccher.example",),
    )
    message = prepare_message(kind(To="b@bu\u0308cher.example"), smtputf8=False)
    assert message.recipients == ("b@xn--bcher-kva.example",)


@pytest.mark.parametrize(
    "name, value",
    [
        ("eight_bit_mime", "no"),
        ("eight_bit_mime", None),
        ("smtputf8", 1),
        ("smtputf8", "yes"),
        ("recipients", 5),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(name: str, value: Any) -> None:
    options: Any = {name: value}
    with pytest.raises(TypeError, match=f"^{name} is .*, not {type(value).__name__} "):
        prepare_message(b"From: a@x.example\r\nTo: b@y.example\r\n\r\nbody\r\n", **options)
