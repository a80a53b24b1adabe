"""What the connections of one server share, and what makes them differ."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from smtpcore import Ehlo, LocalProtocolError, ServerConfig, ServerConnection, TlsInfo
from smtpcore._core.config import Facts
from smtpcore._core.events import Helo, Mail, Noop, Quit, Rcpt
from smtpcore._core.service import Service, Terms, service_for
from smtpcore._core.state import State
from smtpcore.extensions import STANDARD, Extension
from smtpcore.extensions.help import Help
from smtpcore.extensions.starttls import StartTls

ROOT = Path(__file__).resolve().parents[2]
REQUIRING = ServerConfig(
    starttls=True, require_tls=True, require_auth=True, auth_mechanisms=("PLAIN",), smtputf8=True
)
TLS = TlsInfo(version="TLSv1.3")
WEAK = TlsInfo(too_weak=True)


def terms_of(service: Service, facts: Facts) -> Terms:
    return service.terms(facts.tls, facts.authenticated, facts.hello, lambda: facts)


def idle(config: ServerConfig) -> ServerConnection:
    """A connection after EHLO, with nothing under way."""
    connection = ServerConnection("mx.example.org", config=config)
    assert connection.next_event() is not None
    connection.accept()
    connection.receive_data(b"EHLO client.example\r\n")
    assert connection.next_event() == Ehlo("client.example")
    connection.accept()
    assert connection.next_event() is None
    connection.data_to_send()
    return connection


def test_equal_configurations_share_a_service() -> None:
    config = ServerConfig(limits=ServerConfig().limits, keywords={"X-A": "b"})
    assert service_for("mx.example", config) is service_for("mx.example", ServerConfig(keywords={"X-A": "b"}))
    assert service_for("mx.example", config) is not service_for("mx2.example", config)
    assert service_for("mx.example", config) is not service_for("mx.example", ServerConfig())


@pytest.mark.parametrize("hostname", ["", "two words", "[192.0.2]", "-a"])
def test_a_host_name_that_is_not_valid_is_refused(hostname: str) -> None:
    with pytest.raises(LocalProtocolError, match="host name"):
        service_for(hostname, ServerConfig())


def test_a_mechanism_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="NO-SUCH"):
        service_for("mx.example", ServerConfig(auth_mechanisms=("PLAIN", "NO-SUCH")))


@pytest.mark.parametrize(
    "facts, permitted, code",
    [
        (Facts(), {Noop, Ehlo, StartTls, Quit}, 530),
        (Facts(TLS), {Noop, Ehlo, Helo, StartTls, Quit}, 530),
        (Facts(TLS, "anna"), {Noop, Ehlo, Helo, StartTls, Quit, Mail, Rcpt}, 530),
        (Facts(WEAK), {Quit}, 554),
        (Facts(WEAK, "anna"), {Quit}, 554),
    ],
)
def test_the_terms_say_what_is_permitted(facts: Facts, permitted: set[type], code: int) -> None:
    terms = terms_of(service_for("mx.example", REQUIRING), facts)
    asked = {Noop, Ehlo, Helo, StartTls, Quit, Mail, Rcpt}
    assert {kind for kind in asked if terms.permitted is None or kind in terms.permitted} == permitted
    assert terms.refusal.code == code
    legal = {kind for kinds in terms.legal.values() for kind in kinds}
    assert legal & asked == permitted


def test_sessions_under_the_same_circumstances_have_the_same_terms() -> None:
    service = service_for("mx.example", REQUIRING)
    seen = [
        terms_of(service, facts)
        for facts in (Facts(), Facts(TLS), Facts(WEAK), Facts(TLS, "anna"), Facts(hello=Helo("a.example")))
    ]
    assert len({id(terms) for terms in seen}) == 5
    assert terms_of(service, Facts(TLS, "otto", Ehlo("b.example"), peer="p")) is seen[3]
    assert terms_of(service, Facts(TlsInfo(cipher="x"))) is seen[1]


def test_after_HELO_the_parser_knows_no_extensions_and_EHLO_still_offers_them() -> None:
    terms = terms_of(service_for("mx.example", ServerConfig()), Facts(hello=Helo("a.example")))
    assert "SIZE" in terms.capabilities
    assert b"250-SIZE" in terms.successes[Ehlo][0]
    assert terms.parser.parse("MAIL FROM:<>") == Mail("")
    with pytest.raises(Exception, match="555"):
        terms.parser.parse("MAIL FROM:<> SIZE=1")


def test_terms_are_made_for_each_session_where_an_offer_depends_on_more() -> None:
    def offer(config: ServerConfig, facts: Facts) -> Sequence[str] | None:
        return (str(facts.peer),)

    extension = Extension("PEER", offer=offer, varies=True)
    service = service_for("mx.example", ServerConfig(extensions=(*STANDARD, extension)))
    assert terms_of(service, Facts(peer="p")).capabilities["PEER"] == ("p",)
    assert b"PEER q\r\n" in terms_of(service, Facts(peer="q")).successes[Ehlo][0]


def test_a_success_leads_where_the_tables_say() -> None:
    successes = terms_of(service_for("mx.example", ServerConfig()), Facts()).successes
    assert successes[Quit] == (
        b"221 2.0.0 mx.example goodbye\r\n",
        dict.fromkeys((State.REFUSED, State.GREETED, State.READY, State.MAIL, State.RCPT), State.CLOSED),
    )
    assert successes[Noop] == (b"250 2.0.0 ok\r\n", {})


@pytest.mark.parametrize(
    "settings, verbs",
    [
        ({}, "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP"),
        ({"expn": True, "starttls": True}, "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS EXPN HELP"),
    ],
)
def test_help_lists_the_commands_that_the_server_has(settings: dict[str, Any], verbs: str) -> None:
    successes = terms_of(service_for("mx.example", ServerConfig(help=True, **settings)), Facts()).successes
    head, *listed = successes[Help][0].decode().split()
    assert (head, listed[:2]) == ("214", ["2.0.0", "commands:"])
    assert sorted(listed[2:]) == sorted(verbs.split())


def test_successes_have_enhanced_status_codes_where_they_are_offered() -> None:
    service = service_for("mx.example", ServerConfig(enhanced_status_codes=False))
    successes = terms_of(service, Facts()).successes
    assert successes[Noop][0] == b"250 ok\r\n"
    assert successes[Rcpt][0] == b"250 recipient ok\r\n"


def test_connections_of_one_configuration_share_their_terms() -> None:
    config = ServerConfig()
    first, second = idle(config), idle(ServerConfig())
    assert first._terms is second._terms
    assert first.capabilities is second.capabilities


def test_an_idle_connection_takes_little_memory() -> None:
    """In a fresh interpreter, since tests that set attributes of other instances change the size of all."""
    probe = """
import tracemalloc
from smtpcore import ServerConfig
from tests.core.test_service import idle
config = ServerConfig()
idle(config), idle(config)
tracemalloc.start()
connections = [idle(config) for _ in range(100)]
print(tracemalloc.get_traced_memory()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) / 100 < 1126  # 1.1 KiB


def test_an_idle_connection_leaves_no_reference_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        connection = idle(ServerConfig())
        del connection
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_idle_connection_keeps_nothing_of_a_large_read() -> None:
    connection = idle(ServerConfig())
    connection.receive_data(b"NOOP\r\n" * 900)
    while connection.next_event() is not None:
        connection.accept()
    assert connection._buffer.data == b"" and connection._buffer.text == ""
