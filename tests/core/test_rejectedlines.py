"""Lines that a server refuses: no secret is shown, and no more than the beginning."""

from __future__ import annotations

import pytest

from smtpcore._core.rejectedlines import (
    CHUNK,
    COUNTED_CHUNK,
    HANDSHAKE_RECORD,
    HTTP,
    SHOWN,
    head_of,
    without_secrets,
)


@pytest.mark.parametrize(
    "line, shown",
    [
        (b"AUTH PLAIN AGEAc2VjcmV0", b"AUTH PLAIN ***"),
        (b"auth login YQ==", b"AUTH login ***"),
        (b"AUTH AGEAc2VjcmV0", b"AUTH ***"),  # the mechanism is missing, so this is the secret
        (b"AUTH X-OTHER c2VjcmV0", b"AUTH ***"),
        (b" \t AUTHPLAIN c2VjcmV0", b"AUTH PLAIN ***"),
        (b"AUTH\xa0PLAIN c2VjcmV0", b"AUTH PLAIN ***"),
        (b"AUTH", b"AUTH ***"),
        (b"NOOP\nAUTH PLAIN c2VjcmV0", b"NOOP"),
        (b"NOOP\n auth PLAIN c2VjcmV0", b"NOOP"),
        (b"NOOP\n\tAUTH PLAIN c2VjcmV0", b"NOOP"),
        (b"NOOP\nRSET", b"NOOP\nRSET"),
        (b"MAIL FROM:<a@b.example> AUTH=<>", b"MAIL FROM:<a@b.example> AUTH=<>"),
    ],
)
def test_a_line_is_shown_without_its_secret(line: bytes, shown: bytes) -> None:
    assert without_secrets(line) == shown


def test_only_the_beginning_of_a_line_is_shown() -> None:
    assert SHOWN == 200
    assert without_secrets(b"x" * 201) == b"x" * 200
    assert head_of(b"x" * 201) == b"x" * 200
    assert head_of(b"one\ntwo\nthree") == b"one"


@pytest.mark.parametrize("line", [b"BDAT 5", b"bdat 5 LAST", b" BDAT 5", b"BDAT", b"BDAT5", b"\0BDAT x"])
def test_a_BDAT_is_recognised_however_it_was_mistyped(line: bytes) -> None:
    assert CHUNK.match(line)


@pytest.mark.parametrize("line", [b"BDATA 5", b"XBDAT 5", b"RBDAT"])
def test_another_word_is_not_a_BDAT(line: bytes) -> None:
    assert CHUNK.match(line) is None


@pytest.mark.parametrize(
    "line, count",
    [
        (b"BDAT 5", b"5"),
        (b"bdat  5  last", b"5"),
        (b"BDAT 5 LAST \t", b"5"),
        (b"BDAT " + b"9" * 20, b"9" * 20),
        (b"BDAT " + b"9" * 21, None),
        (b"BDAT -5", None),
        (b"BDAT 5x", None),
        (b"BDAT 5 FIRST", None),
        (b"BDAT", None),
    ],
)
def test_only_a_BDAT_that_follows_the_standard_has_a_count(line: bytes, count: bytes | None) -> None:
    match = COUNTED_CHUNK.fullmatch(line)
    assert (match and match[1]) == count


def test_a_TLS_handshake_begins_with_an_octet_that_no_command_has() -> None:
    assert HANDSHAKE_RECORD == b"\x16"  # handshake(22), RFC 8446 5.1


@pytest.mark.parametrize(
    "line, http",
    [(b"GET / HTTP/1.1", True), (b"post /x HTTP/1.0", True), (b"GET HTTP/", False), (b"HELP a HTTP", False)],
)
def test_a_web_browser_is_recognised(line: bytes, http: bool) -> None:
    assert (HTTP.match(line) is not None) is http
