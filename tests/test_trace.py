"""The trace fields: Received, Return-Path, and mail loops."""

from __future__ import annotations

import datetime
import re

import pytest

from smtpcore._core.addresses import ForwardPath, Mailbox, ReversePath
from smtpcore._core.errors import LocalProtocolError
from smtpcore.trace import (
    LOOP_THRESHOLD,
    count_received,
    received_field,
    received_protocol,
    return_path_field,
)

DATE = datetime.datetime(2026, 3, 1, 12, 30, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))


def received(**changes: object) -> str:
    arguments: dict[str, object] = {
        "from_domain": "client.example",
        "from_address": "192.0.2.1",
        "by": "mx.example.org",
        "with_protocol": "ESMTP",
        "date": DATE,
    }
    function: object = received_field
    assert callable(function)
    octets = function(**(arguments | changes))
    assert isinstance(octets, bytes) and octets.endswith(b"\r\n")
    return octets.decode()


def on_one_line(text: str) -> str:
    return text.replace("\r\n ", " ").removesuffix("\r\n")


@pytest.mark.req("TRC-02")
@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({}, "from client.example ([192.0.2.1]) by "),
        ({"from_address": "[192.0.2.1]"}, "from client.example ([192.0.2.1]) by "),
        ({"from_address": "2001:db8::1"}, "from client.example ([IPv6:2001:db8::1]) by "),
        ({"from_address": "fe80::1%eth0"}, "from client.example ([IPv6:fe80::1]) by "),
        ({"from_name": "host.example"}, "from client.example (host.example [192.0.2.1]) by "),
        ({"from_domain": "[192.0.2.9]"}, "from [192.0.2.9] ([192.0.2.1]) by "),
        ({"from_domain": "[192.0.2.9] and more"}, "from [192.0.2.9] ([192.0.2.1]) by "),
        ({"from_domain": "client.example."}, "from client.example ([192.0.2.1]) by "),
        ({"from_domain": "under_score.example"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "[::1]"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "[IPv6:fe80::1%eth0]"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "office-.example"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "M\\xdcLLER-PC"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "client (comment)"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "<script>"}, "from [192.0.2.1] ([192.0.2.1]) by "),
        ({"from_domain": "M\xdcLLER-PC"}, "from xn--mller-pc-65a ([192.0.2.1]) by "),
        ({"from_domain": "my pc", "from_address": None}, "from unknown by "),
        ({"from_domain": "[192.0.2.9]", "from_address": None}, "from unknown by "),
        ({"from_domain": "[192.0.2.9] and more", "from_address": None}, "from unknown by "),
    ],
)
def test_the_FROM_clause_has_the_name_and_the_address(changes: dict[str, object], clause: str) -> None:
    assert on_one_line(received(**changes)).startswith(f"Received: {clause}mx.example.org with ESMTP; ")


def test_a_client_without_an_address_has_only_its_name() -> None:
    assert received(from_address=None).startswith("Received: from client.example by mx.example.org")


def test_all_clauses_in_their_order() -> None:
    text = received(
        via="tcp",
        with_protocol="esmtps",
        id="ABC-1",
        for_path="u@example.net",
        tls="TLS_AES_128_GCM_SHA256",
        priority=-3,
    )
    assert on_one_line(text) == (
        "Received: from client.example ([192.0.2.1]) by mx.example.org via TCP with ESMTPS id ABC-1"
        " for <u@example.net> tls TLS_AES_128_GCM_SHA256 priority -3; Sun, 01 Mar 2026 12:30:05 +0100"
    )
    assert max(map(len, text.split("\r\n"))) <= 78


@pytest.mark.req("TRC-03", "TRC-12")
def test_the_for_clause_has_one_path_or_none() -> None:
    assert "for <u@x>" in received(for_path="u@x")
    assert "for <u@x>" in received(for_path=["<u@x>"])
    assert "for <u@x>" in received(for_path=ForwardPath("<@a:u@x>"))
    for none in (None, [], ["u@x", "v@x"], [ForwardPath("u@x"), Mailbox("v", "x")], "Postmaster"):
        assert " for " not in received(for_path=none)
        assert "u@x" not in received(for_path=none)


@pytest.mark.req("TRC-04")
def test_the_date_has_a_year_of_four_digits_and_a_numeric_zone() -> None:
    pattern = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
    odd_zone = datetime.timezone(datetime.timedelta(seconds=3599))
    for date in (
        DATE,
        DATE.astimezone(datetime.UTC),
        DATE.replace(year=999),
        DATE.replace(tzinfo=odd_zone),
        None,
    ):
        assert re.fullmatch(pattern, on_one_line(received(date=date)).partition("; ")[2])
    assert received(date=DATE.astimezone(datetime.UTC)).endswith("+0000\r\n")
    assert received(date=DATE.replace(tzinfo=odd_zone)).endswith("11:30:06 +0000\r\n")
    with pytest.raises(LocalProtocolError, match="time zone"):
        received(date=DATE.replace(tzinfo=None))


@pytest.mark.req("TRC-06", "TRC-07")
def test_the_WITH_keyword_follows_from_the_session() -> None:
    table = {
        (False, False): ("ESMTP", "UTF8SMTP", "LMTP", "UTF8LMTP"),
        (True, False): ("ESMTPS", "UTF8SMTPS", "LMTPS", "UTF8LMTPS"),
        (False, True): ("ESMTPA", "UTF8SMTPA", "LMTPA", "UTF8LMTPA"),
        (True, True): ("ESMTPSA", "UTF8SMTPSA", "LMTPSA", "UTF8LMTPSA"),
    }
    for (tls, auth), keywords in table.items():
        made = tuple(
            received_protocol(tls=tls, auth=auth, smtputf8=smtputf8, lmtp=lmtp)
            for lmtp in (False, True)
            for smtputf8 in (False, True)
        )
        assert made == keywords
        assert all(f"with {keyword};" in received(with_protocol=keyword) for keyword in keywords)
        assert received_protocol(esmtp=False, tls=tls, auth=auth) == "SMTP"
    assert received_protocol(esmtp=False, lmtp=True) == "LMTP"
    assert "with SMTP;" in received(with_protocol="SMTP")


@pytest.mark.req("TRC-08")
@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("0x1301", "0x1301"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
        ("DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("AES128-SHA", None),
    ],
)
def test_the_tls_clause_comes_after_WITH(given: str, written: str | None) -> None:
    text = on_one_line(received(with_protocol="ESMTPS", tls=given))
    assert f"with ESMTPS tls {written or 'TLS_RSA_WITH_AES_128_CBC_SHA'};" in text


@pytest.mark.req("TRC-09")
def test_the_priority_clause() -> None:
    for priority in (-9, 0, 9):
        assert f" priority {priority};" in received(priority=priority)
    for priority in (-10, 10):
        with pytest.raises(LocalProtocolError, match="from -9 to 9"):
            received(priority=priority)


@pytest.mark.req("TRC-13")
@pytest.mark.parametrize(
    "changes",
    [{"via": "DECNET"}, {"with_protocol": "HTTP"}, {"with_protocol": ""}, {"with_protocol": "ESMTP id x"}],
)
def test_what_is_not_registered_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError, match="not registered"):
        received(**changes)


def test_no_value_can_add_a_clause() -> None:
    with pytest.raises(TypeError):
        received(comment="anything")


@pytest.mark.parametrize("identity", ["abc", "a-b_1", "<a.b@mx.example.org>", "<a@[x]>"])
def test_the_id_clause(identity: str) -> None:
    assert f" id {identity};" in received(id=identity)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "a b"},
        {"id": ""},
        {"id": "a.b"},
        {"id": "<a>"},
        {"id": "a;\r\nX-Evil: 1"},
        {"id": "x" * 1000},
        {"from_domain": "client\r\nX-Evil: 1"},
        {"from_domain": "x" * 256},
        {"from_domain": ""},
        {"from_domain": "client\u202e"},
        {"from_address": "client"},
        {"from_address": "192.0.2.1]\r\nX-Evil: 1"},
        {"from_name": "host\r\nX-Evil: 1"},
        {"by": "mx example"},
        {"for_path": "nonsense"},
        {"for_path": "u@x>\r\nX-Evil: 1"},
        {"tls": "unknown cipher"},
        {"tls": "0x13"},
    ],
)
def test_what_the_grammar_does_not_allow_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        received(**changes)


@pytest.mark.req("TRC-14")
def test_trace_fields_are_ascii_unless_the_message_goes_on_with_smtputf8() -> None:
    names: dict[str, object] = {"from_domain": "b\u00fccher.example", "by": "mx.b\u00fccher.example"}
    text = on_one_line(received(**names, for_path="u@b\u00fccher.example"))
    assert "from xn--bcher-kva.example " in text and "by mx.xn--bcher-kva.example" in text
    assert "for <u@xn--bcher-kva.example>" in text and text.isascii()
    assert return_path_field("u@b\u00fccher.example") == b"Return-Path: <u@xn--bcher-kva.example>\r\n"
    for path in ("\u00fc@x", ForwardPath("\u00fc@x")):
        with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
            received(for_path=path)
        with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
            return_path_field(path)
    text = on_one_line(received(**names, for_path="\u00fc@b\u00fccher.example", smtputf8=True))
    assert "from b\u00fccher.example " in text and "for <\u00fc@b\u00fccher.example>" in text
    assert return_path_field("\u00fc@x", smtputf8=True) == "Return-Path: <\u00fc@x>\r\n".encode()


@pytest.mark.req("TRC-10")
def test_the_return_path_field() -> None:
    for null in ("", "<>", ReversePath("")):
        assert return_path_field(null) == b"Return-Path: <>\r\n"
    assert return_path_field("<u@x>") == return_path_field(ReversePath("u@x")) == b"Return-Path: <u@x>\r\n"
    assert return_path_field('"a b"@x') == b'Return-Path: <"a b"@x>\r\n'
    for wrong in ("nonsense", "u@x>\r\nX-Evil: 1", "u@x\r\n"):
        with pytest.raises(LocalProtocolError):
            return_path_field(wrong)


@pytest.mark.req("TRC-11")
def test_a_hundred_Received_fields_are_a_loop() -> None:
    assert LOOP_THRESHOLD == 100
    field = received().encode()
    assert count_received(field * 100 + b"\r\nbody\r\n") == 100


def test_received_fields_are_counted_in_the_header_only() -> None:
    assert count_received(b"") == 0
    assert (
        count_received(b"received: a\r\nRECEIVED : b\r\nX-Received: c\r\n received: d\r\nTo: Received: e\r\n")
        == 2
    )
    assert count_received(b"Received: a\r\n\r\nReceived: b\r\n") == 1
    assert count_received(b"Received: a\n\nReceived: b\n") == 1
    assert count_received(b"\r\nReceived: a\r\n") == 0
