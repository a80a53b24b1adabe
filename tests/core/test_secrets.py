"""What a session must not show: which texts of a server hold a secret, and what is left of them."""

from __future__ import annotations

import base64

import pytest

from smtpcore import ClientConnection, Ehlo, RemoteProtocolError, Response
from smtpcore._core.secrets import Secrets, spellings
from smtpcore.sasl import CLIENT_MECHANISMS

PASSWORD = "s3cr3t-p4ssw0rd"
NAMES = frozenset({"user@example.org"})


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def remember(*responses: bytes) -> Secrets:
    secrets = Secrets()
    for response in responses:
        secrets.add(response, NAMES)
    return secrets


PLAIN = b"\0user@example.org\0" + PASSWORD.encode()
OAUTH = b"user=user@example.org\1auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t\1\1"


def test_without_secrets_nothing_is_masked() -> None:
    assert Secrets().mask("AUTH PLAIN AHVzZXIAczNjcjN0") == "AUTH PLAIN AHVzZXIAczNjcjN0"
    assert Secrets().texts == ()


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize(
    "text, masked",
    [
        (f"bad password {PASSWORD}!", "bad password ***!"),
        (f"bad password {PASSWORD.upper()}", "bad password ***"),
        (f"500 AUTH PLAIN {b64(PLAIN)}", "500 AUTH PLAIN ***"),
        (f"500 AUTH PLAIN {b64(PLAIN).upper()}", "500 AUTH PLAIN ***"),
        (f"500 auth plain {b64(PLAIN)[:20]}...", "500 auth plain ***..."),
        (f"500 ...{b64(PLAIN)[9:30]}", "500 ...***"),
        (f"'{b64(PASSWORD.encode())}'", "'***'"),
        ("user@example.org is unknown", "user@example.org is unknown"),
        ("authentication succeeded, have a good day", "authentication succeeded, have a good day"),
        ("", ""),
    ],
)
def test_a_secret_is_masked_wherever_it_stands(text: str, masked: str) -> None:
    secrets = remember(PLAIN)
    assert secrets.texts == (PASSWORD,)
    for _ in range(2):
        assert secrets.mask(text) == masked


@pytest.mark.req("AUT-52")
def test_any_eight_characters_of_a_base64_response_are_masked_and_seven_are_not() -> None:
    secrets = remember(PLAIN)
    encoded = b64(PLAIN)
    for at in range(len(encoded) - 7):
        assert secrets.mask(f"500 {encoded[at : at + 8]}") == "500 ***"
        assert secrets.mask(f"500 {encoded[at : at + 7]}") == f"500 {encoded[at : at + 7]}"


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("name", [b"u", b"us", b"use"])
def test_the_base64_of_a_password_is_masked_wherever_it_stood_in_the_response(name: bytes) -> None:
    # Its base64 is a part of that of the response only if a multiple of three octets precede it.
    secrets = remember(b"\0" + name + b"\0" + PASSWORD.encode())
    assert secrets.mask(f"no: {b64(PASSWORD.encode())}") == "no: ***"


@pytest.mark.parametrize("password", ["p\xe4ssw\xf6rd \u65e5\u672c", "p\xe4sswort"])
def test_a_secret_is_known_in_every_charset(password: str) -> None:
    secrets = remember(b"\0user\0" + password.encode())
    for text in (password, password.encode().decode("latin-1")):
        assert secrets.mask(f"no: {text}.") == "no: ***."


SPELLED = [
    ("a\"b\\c'd", "a\\\"b\\\\c'd"),  # a quoted-string, JSON
    ("a\"b\\c'd", "a\"b\\\\c\\'d"),  # in single quotes, as Python's repr()
    ("a b/c%d&e", "a%20b%2Fc%25d%26e"),
    ("a b/c%d&e", "a%20b/c%25d%26e"),
    ("a b/c%d&e", "a+b%2fc%25d%26e"),
    ("a b=c+d", "a+20b+3Dc+2Bd"),  # xtext
    ("a<b>\"c'&d", "a&lt;b&gt;&quot;c&#x27;&amp;d"),
    ("a<b>\"c'&d", "a&lt;b&gt;\"c'&amp;d"),
    ("p\xe4ss-w\xf6rd", "p%C3%A4ss-w%C3%B6rd"),
    ("p\xe4ss-w\xf6rd", "p\\u00e4ss-w\\u00f6rd"),
    ("p\xe4ss-w\xf6rd", "p\\xe4ss-w\\xf6rd"),
    ("p\xe4ss-w\xf6rd", "p?ss-w?rd"),
    ("p\xe4ss-w\xf6rd", "P\xc4SS-W\xd6RD"),
]


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("password, spelled", SPELLED)
def test_a_secret_is_masked_as_it_is_written_in_quotes_a_url_and_the_like(password: str, spelled: str) -> None:
    secrets = remember(b"\0user\0" + password.encode())
    assert secrets.mask(f"no: {password}.") == "no: ***."
    assert secrets.mask(f"no: {spelled}.") == "no: ***."


def test_letters_and_digits_have_one_spelling() -> None:
    assert spellings("s3cret") == {"s3cret"}
    assert "" not in spellings("\xe4\xf6\xfc")
    assert "???" not in spellings("\xe4\xf6\xfc"), "it would match in texts without the secret"


@pytest.mark.req("AUT-52")
def test_the_base64_of_a_secret_is_masked_without_its_padding() -> None:
    assert remember(b"\0u\0abcd").mask("no YWJjZA or YWJjZA==") == "no *** or ***"


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("at", range(1, len(PASSWORD)))
def test_a_secret_that_is_folded_into_two_lines_is_masked_in_both(at: int) -> None:
    secrets = remember(PLAIN)
    lines = ["first", f"no: {PASSWORD[:at]}", f"{PASSWORD[at:]}, sorry", "last"]
    assert secrets.mask_lines(lines) == ["first", "no: ***", "***, sorry", "last"]
    assert secrets.mask_lines(["first", "last"]) == ["first", "last"]
    assert secrets.mask_lines([PASSWORD[:4], PASSWORD[4:8], PASSWORD[8:]]) == ["***", "***", "***"]
    again = [PASSWORD[:at], f"{PASSWORD[at:]} and {PASSWORD[:at]}", PASSWORD[at:]]
    assert secrets.mask_lines(again) == ["***", "*** and ***", "***"]
    assert secrets.mask_lines([PASSWORD * 2, PASSWORD]) == ["******", "***"]


def refused(*reply: bytes) -> ClientConnection:
    """A client that has sent its password, and whose server has replied."""
    connection = ClientConnection()
    connection.receive_data(b"220 mx.example\r\n")
    connection.next_event()
    connection.send(Ehlo("client.example"))
    connection.data_to_send()
    connection.receive_data(b"250-mx.example\r\n250 AUTH PLAIN\r\n")
    connection.next_event()
    connection.authenticate(CLIENT_MECHANISMS["PLAIN"]("user", PASSWORD), allow_cleartext=True)
    connection.data_to_send()
    connection.receive_data(b"".join(reply))
    return connection


FOLDED = f"535-no {PASSWORD[:9]}\r\n".encode(), f"535-{PASSWORD[9:]}!\r\n".encode()


@pytest.mark.req("AUT-52")
def test_a_reply_that_is_folded_within_a_secret_shows_no_part_of_it() -> None:
    event = refused(*FOLDED, b"535 bye\r\n").next_event()
    assert isinstance(event, Response)
    assert event.reply.lines == ("no ***", "***!", "bye")


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("last", [b"450 x\r\n", b"nonsense\r\n"])
def test_an_invalid_reply_that_is_folded_within_a_secret_shows_no_part_of_it(last: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        refused(*FOLDED, last).next_event()
    assert caught.value.reply is not None
    assert caught.value.reply.lines == ("no ***", "***!")
    assert PASSWORD[:9] not in str(caught.value)


def test_a_token_is_masked_without_the_words_around_it() -> None:
    secrets = remember(OAUTH)
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t"
    assert secrets.mask(f"token {token} of user@example.org expired") == "token *** of user@example.org expired"
    assert secrets.mask(f"auth=Bearer {token}") == "***"
    assert secrets.mask("auth failed") == "auth failed"


def test_a_binary_response_is_masked() -> None:
    response = b"\xff\xfe\x80-binary-\xe4\xf6\x00\x01\x02\xfftail\xff"
    secrets = remember(response)
    assert secrets.mask(f"no {b64(response)}") == "no ***"
    assert secrets.mask("no \xff\xfe\x80-binary-\xe4\xf6") == "no ***"


def test_words_of_eight_characters_in_a_key_value_pair_are_secrets_and_shorter_ones_are_not() -> None:
    secrets = remember(b"auth=Bearer token678 shorter")
    assert secrets.mask("token678 shorter Bearer") == "*** shorter Bearer"


def test_short_secrets_are_not_masked_but_their_base64_is() -> None:
    secrets = remember(b"\0u\0abc")
    assert secrets.texts == ()
    assert secrets.mask(f"abc {b64(bytes([0]) + b'u' + bytes([0]) + b'abc')} abc") == "abc *** abc"
    assert remember(b"x", b"").mask("x eA==") == "x ***"
    assert remember(b"x").mask("eager") == "eager"


@pytest.mark.req("AUT-52")
def test_a_secret_of_four_characters_is_masked() -> None:
    secrets = remember(b"\0user@example.org\0a1b2")
    assert secrets.texts == ("a1b2",)
    assert secrets.mask("535 a1b2 is wrong") == "535 *** is wrong"


def test_all_secrets_of_a_session_are_kept() -> None:
    secrets = remember(b"first-secret")
    assert secrets.mask("second-secret") == "second-secret"
    secrets.add(b"second-secret", frozenset())
    assert secrets.mask("first-secret second-secret") == "*** ***"
    assert secrets.texts == ("first-secret", "second-secret")


def test_what_is_remembered_as_harmless_has_an_end() -> None:
    secrets = remember(PLAIN)
    for number in range(1000):
        assert secrets.mask(f"{number} ok") == f"{number} ok"
        assert len(secrets._harmless) <= 256
    for length in (128, 129, 200):
        secrets.mask(("x " * 100)[:length])
    assert max(map(len, secrets._harmless)) == 128
