"""Messages, for all of them: what is attached arrives octet for octet, and what goes out is fit for SMTP."""

from __future__ import annotations

import contextlib
import email
import email.policy
from email.header import Header, decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.message import Message as OldMessage
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcore._core.errors import LocalProtocolError
from smtpcore.message import PreparedMessage, prepare_message
from smtpcore.trace import count_received, received_field

FILES = st.one_of(
    st.binary(max_size=300),
    st.text(st.sampled_from("ab \t.\r\n-=\0\u00e9\u65e5"), max_size=60).map(str.encode),
    st.builds(bytes.__mul__, st.sampled_from([b"x", b"\xff", b"a\n", b"\r", b".\r\n"]), st.integers(0, 1200)),
)
TYPES = st.sampled_from(["application/octet-stream", "image/png", "text/plain", "text/csv", "font/ttf"])
ENCODINGS = st.sampled_from(["7bit", "8bit", "binary", "quoted-printable", "base64"])
SEVEN_BIT = bytes(octet & 127 for octet in range(256))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def new_message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "from@example.org"
    message["To"] = "to@example.org"
    return message


def parse(prepared: PreparedMessage) -> EmailMessage:
    parsed = email.message_from_bytes(prepared.content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def assert_fit_for_smtp(prepared: PreparedMessage, *, eight_bit: bool) -> None:
    content = prepared.content
    assert content.endswith(b"\r\n")
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\0" not in content
    assert eight_bit or content.isascii()
    assert prepared.eight_bit is not content.isascii()


@given(FILES, TYPES, ENCODINGS, st.booleans(), st.booleans())
def test_an_attachment_arrives_octet_for_octet(
    octets: bytes, kind: str, encoding: str, eight_bit: bool, alone: bool
) -> None:
    message = new_message()
    maintype, _, subtype = kind.partition("/")
    if encoding == "7bit":
        octets = octets.translate(SEVEN_BIT)  # or the library refuses it
    if alone:
        message.set_content(octets, maintype, subtype, filename="f", cte=encoding)
    else:
        message.set_content("text")
        message.add_attachment(octets, maintype, subtype, filename="f", cte=encoding)
    prepared = prepare_message(message, eight_bit_mime=eight_bit)
    assert_fit_for_smtp(prepared, eight_bit=eight_bit)
    part = parse(prepared) if alone else next(parse(prepared).iter_attachments())
    assert part.get_content_type() == kind
    arrived = part.get_payload(decode=True)
    assert isinstance(arrived, bytes)
    if maintype == "text" and encoding in ("7bit", "8bit", "binary"):
        # In text a line end is a line end, and text ends in one.
        assert lines(arrived) == lines(octets)
    elif maintype == "text" and encoding == "quoted-printable" and alone:
        assert arrived in (octets, octets + b"\r\n")
    else:
        assert arrived == octets


def lines(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")


@given(TEXTS, st.sampled_from(["utf-8", "iso-8859-15"]), st.one_of(st.none(), ENCODINGS), st.booleans())
def test_text_arrives_character_for_character(
    text: str, charset: str, encoding: str | None, eight_bit: bool
) -> None:
    text = text.encode(charset, "ignore").decode(charset)
    message = new_message()
    try:
        message.set_content(text, charset=charset, cte=encoding)
    except ValueError:  # of the library: this text does not go by this encoding
        message.set_content(text, charset=charset)
    prepared = prepare_message(message, eight_bit_mime=eight_bit)
    assert_fit_for_smtp(prepared, eight_bit=eight_bit)
    assert parse(prepared).get_content().splitlines() == message.get_content().splitlines()


@given(TEXTS, TEXTS)
def test_subject_and_names_arrive_as_they_were_set(subject: str, name: str) -> None:
    message = new_message()
    subject, name = (" ".join(text.split()) for text in (subject, name))
    with contextlib.suppress(ValueError):  # of the library, which refuses line ends
        message["Subject"] = subject
        message["Cc"] = Address(name, "cc", "example.org")
        prepared = prepare_message(message)
        assert_fit_for_smtp(prepared, eight_bit=False)
        parsed = parse(prepared)
        assert str(parsed["Subject"]) == str(message["Subject"])
        # The library's newer parser leaves a space between encoded words.
        raw = email.message_from_bytes(prepared.content)["Cc"]
        assert str(make_header(decode_header(parseaddr(raw)[0]))) == name


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_any_octets_make_a_message_fit_for_smtp_or_a_local_protocol_error(
    octets: bytes, eight_bit: bool, modern: bool
) -> None:
    policy = email.policy.default if modern else email.policy.compat32
    message = email.message_from_bytes(octets, policy=policy)
    with contextlib.suppress(LocalProtocolError):
        prepared = prepare_message(
            message, sender="", recipients=["u@x"], eight_bit_mime=eight_bit, smtputf8=eight_bit
        )
        assert_fit_for_smtp(prepared, eight_bit=eight_bit)


PIECES = st.lists(
    st.sampled_from(
        [
            b"From: a@b\r\n",
            b"To: =?utf-8?q?=C3=A4?= <c@d>, e@f\r\n",
            b"Bcc: hidden@example.org\r\n",
            b"Subject: \xc3\xa4\r\n",
            b"Subject: \xff\n \xfe\n",
            b"MIME-Version: 1.0\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"Content-Type: multipart/signed; boundary=b\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Type: text/plain; charset=iso-8859-1\r\n",
            b"Content-Type: application/pdf\r\n",
            b"Content-Type: \xe4/\xe4; charset=\xe4\r\n",
            b"Content-Transfer-Encoding: 8bit\r\n",
            b"Content-Transfer-Encoding: base64\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"Content-Transfer-Encoding: binary\r\n",
            b"\r\n",
            b"\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"text\r\n",
            b"text\xe4\n",
            b"=E4=\n",
            b"w6Q=\r\n",
            b"\0",
            b"x" * 1000,
        ]
    ),
    max_size=16,
).map(b"".join)


@given(PIECES, st.booleans(), st.booleans())
def test_any_pieces_make_a_message_fit_for_smtp_or_a_local_protocol_error(
    octets: bytes, eight_bit: bool, modern: bool
) -> None:
    policy = email.policy.default if modern else email.policy.compat32
    message = email.message_from_bytes(octets, policy=policy)
    with contextlib.suppress(LocalProtocolError):
        prepared = prepare_message(message, sender="", recipients=["u@x"], eight_bit_mime=eight_bit)
        assert_fit_for_smtp(prepared, eight_bit=eight_bit)
        header = (b"\r\n" + prepared.content).partition(b"\r\n\r\n")[0]
        assert b"\r\nBcc:" not in header
        if b"multipart" in octets:
            return  # broken ones may be read in another way the next time
        # What has been prepared needs no preparation.
        again = email.message_from_bytes(prepared.content, policy=policy)
        assert (
            prepare_message(again, sender="", recipients=["u@x"], eight_bit_mime=eight_bit).content
            == prepared.content
        )


@given(st.text(), st.text(), st.text(), st.one_of(st.none(), st.text()))
def test_a_received_field_is_one_field_whatever_a_client_says(
    hello: str, address: str, recipient: str, identity: str | None
) -> None:
    for from_address in (address, "192.0.2.1", None):
        for for_path in (recipient, "u@x"):
            with contextlib.suppress(LocalProtocolError):
                octets = received_field(
                    from_domain=hello,
                    from_address=from_address,
                    by="mx.example.org",
                    with_protocol="ESMTP",
                    id=identity,
                    for_path=for_path,
                )
                assert octets.isascii() and b"\0" not in octets
                assert octets.count(b"\n") == octets.count(b"\r\n ") + 1
                assert count_received(octets) == 1


@pytest.mark.parametrize("kind", [EmailMessage, OldMessage])
@given(name=st.text(max_size=20), value=st.text(max_size=40))
def test_no_field_that_is_set_adds_another(kind: type[OldMessage], name: str, value: str) -> None:
    message = kind()
    with contextlib.suppress(LocalProtocolError, ValueError, IndexError):
        message[name] = value
        message.set_payload("body")
        prepared = prepare_message(message, sender="", recipients=["u@x"])
        header, _, body = (b"\r\n" + prepared.content).partition(b"\r\n\r\n")
        assert body == b"body\r\n"
        assert all(line.startswith((b" ", b"\t")) for line in header.split(b"\r\n")[2:])


# --- Messages as programs make them ---

NAMES = st.sampled_from(
    "From To Cc Bcc Sender Reply-To Resent-From Resent-To Subject Date Message-ID Received X-A MIME-Version"
    " Content-Type Content-Type Content-Transfer-Encoding Content-Disposition Content-ID DKIM-Signature".split()
)
# What breaks parsers: of addresses, of parameters, of encoded words, of charsets.
SPLINTERS = st.lists(
    st.sampled_from(
        [
            "a@b", ", ", "<", ">", "(", ")", ":", ";", "@", '"', "\\", "[", "]", ".", " ", "\t", "\r\n ", "\n",
            "=?utf-8?q?", "=C3=A4", "?=", "=?idna?b?eA==?=", "\u00e4", "\u3000", "\ud800", "\udce4", "\ufffd",
            "text/plain", "multipart/mixed", "multipart/digest", "multipart/signed", "message/rfc822",
            "message/delivery-status", "application/pdf", "; charset=", "; charset*=", "utf-8''utf-8",
            "idna''x", "\0", "a\0''b", "; boundary=", "; boundary*=", "; boundary*0*=", "b", "utf-16",
            "; name*99999999999=", "undefined", "unicode_escape", "base64", "quoted-printable", "8bit",
            "binary", "x-uuencode",
        ]
    ),
    max_size=6,
).map("".join)  # fmt: skip
PIECES_OF_TEXT = st.lists(
    st.sampled_from(
        ["a", "\n", "\r", "=", "=E4", "w6Q=", "\0", "\u00e4", "\u65e5", "\udce4", "\ud83d", "--b\n", "x" * 999]
    ),
    max_size=5,
).map("".join)
VALUES = st.one_of(
    SPLINTERS,
    st.builds(Header, st.text(max_size=5), st.sampled_from(["utf-8", "us-ascii", "unknown-8bit"])),
    st.sampled_from([None, 5, b"a@b", ("a", "b"), Address("A", "a", "b"), [Address("A", "a", "b")]]),
)
POLICIES = st.sampled_from(
    [email.policy.default, email.policy.compat32, email.policy.strict, email.policy.SMTPUTF8]
)


@st.composite
def built_messages(draw: st.DrawFn) -> OldMessage:
    """A message built by setting what comes, as far as the library takes it."""
    policy = draw(POLICIES)
    message: OldMessage = OldMessage(policy) if policy is email.policy.compat32 else EmailMessage(policy)
    for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=6)):
        with contextlib.suppress(Exception):  # of the library, which may raise anything
            message[name] = value
    payload = draw(
        st.one_of(
            PIECES_OF_TEXT,
            st.sampled_from([None, b"octets", 5, [], ["text"], [message]]),
            st.lists(st.deferred(built_messages), max_size=3),
        )
    )
    with contextlib.suppress(Exception):
        message.set_payload(payload, draw(st.sampled_from([None, "utf-8", "us-ascii", "utf-16"])))
    if draw(st.booleans()):
        message.preamble, message.epilogue = draw(PIECES_OF_TEXT), draw(PIECES_OF_TEXT)
    return message


ENVELOPES = st.sampled_from([{"sender": "", "recipients": ["u@x"]}, {}])


@pytest.mark.req("SEC-01")
@settings(max_examples=300)
@given(built_messages(), ENVELOPES, st.booleans(), st.booleans())
def test_any_message_that_is_built_is_fit_for_smtp_or_a_local_protocol_error(
    message: OldMessage, envelope: dict[str, Any], eight_bit: bool, smtputf8: bool
) -> None:
    with contextlib.suppress(LocalProtocolError):
        prepared = prepare_message(message, **envelope, eight_bit_mime=eight_bit, smtputf8=smtputf8)
        assert_fit_for_smtp(prepared, eight_bit=eight_bit)


FIELDS_AS_OCTETS = st.lists(
    st.builds(lambda name, value: f"{name}: {value}\r\n".encode("utf-8", "surrogatepass"), NAMES, SPLINTERS),
    max_size=6,
).map(b"".join)
ANY_OCTETS = st.one_of(
    st.binary(max_size=200),
    PIECES,
    st.builds(
        lambda *parts: b"".join(parts),
        FIELDS_AS_OCTETS,
        st.sampled_from([b"\r\n", b"\n", b"", b"\r\n--b\r\n"]),
        FIELDS_AS_OCTETS,
        PIECES,
    ),
)


@pytest.mark.req("SEC-01")
@settings(max_examples=300)
@given(ANY_OCTETS, POLICIES, ENVELOPES, st.booleans(), st.booleans())
def test_any_octets_are_fit_for_smtp_or_a_local_protocol_error(
    octets: bytes, policy: Any, envelope: dict[str, Any], eight_bit: bool, smtputf8: bool
) -> None:
    with contextlib.suppress(LocalProtocolError):
        prepared = prepare_message(octets, **envelope, eight_bit_mime=eight_bit, smtputf8=smtputf8)
        assert_fit_for_smtp(prepared, eight_bit=eight_bit)
    try:
        message = email.message_from_bytes(octets, policy=policy)
    except Exception:  # of the library, which may raise anything
        return
    with contextlib.suppress(LocalProtocolError):
        prepared = prepare_message(message, **envelope, eight_bit_mime=eight_bit, smtputf8=smtputf8)
        assert_fit_for_smtp(prepared, eight_bit=eight_bit)


@given(ANY_OCTETS, st.booleans())
def test_prepared_bytes_need_no_further_change(octets: bytes, eight_bit: bool) -> None:
    with contextlib.suppress(LocalProtocolError):
        first = prepare_message(octets, sender="", recipients=["u@x"], eight_bit_mime=eight_bit, smtputf8=False)
        second = prepare_message(
            first.content, sender="", recipients=["u@x"], eight_bit_mime=eight_bit, smtputf8=False
        )
        assert second.content == first.content


@given(ANY_OCTETS)
def test_bytes_in_which_nothing_has_to_change_do_not_change(octets: bytes) -> None:
    octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    octets = b"From: a@b\r\nTo:c@d\r\n\r\n" + octets
    fit = b"\0" not in octets and max(map(len, octets.split(b"\r\n"))) <= 998
    if fit and b"binary" not in octets.lower():
        assert prepare_message(octets).content == octets
