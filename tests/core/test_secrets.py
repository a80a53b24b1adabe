"""What a session must not show: which texts of a server hold a secret, and what is left of them."""

from __future__ import annotations

import base64

import pytest

from smtpcore._core.secrets import Secrets

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
