"""TLS as values: two channels that are joined in memory, without a connection."""

from __future__ import annotations

import os
import ssl
from typing import Any

import pytest

from smtpcore._net.tls import OWN_OUTPUT, READ_SIZE, TlsChannel


def joined(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, name: str | None = "localhost"
) -> tuple[TlsChannel, TlsChannel]:
    """A server's and a client's channel after their handshake."""
    server = TlsChannel(server_context, True, None)
    client = TlsChannel(client_context, False, name)
    done = [False, False]
    while not all(done):
        done[1] = client.shake_hands()
        carry(client, server)
        done[0] = server.shake_hands()
        carry(server, client)
    return server, client


def carry(sender: TlsChannel, receiver: TlsChannel) -> None:
    if octets := sender.output():
        receiver.feed(octets)


def test_data_of_many_records_arrives_as_it_was_sent(server_context: Any, client_context: Any) -> None:
    server, client = joined(server_context, client_context)
    assert server.decrypt() is None, "nothing has arrived"
    for sender, receiver in ((server, client), (client, server)):
        for size in (0, 1, 16384, 16385, 200_000):
            data = os.urandom(size)
            if octets := sender.encrypt(data):
                receiver.feed(octets)
            assert (receiver.decrypt() or b"") == data
            assert receiver.decrypt() is None


def test_the_tickets_of_a_server_are_no_data(server_context: Any, client_context: Any) -> None:
    _, client = joined(server_context, client_context)
    assert client.decrypt() is None


def test_a_handshake_waits_for_input(client_context: Any) -> None:
    client = TlsChannel(client_context, False, "localhost")
    assert client.shake_hands() is False
    assert client.owed > 0
    assert client.output()[:1] == b"\x16", "the first record is of the handshake (RFC 8446 5.1)"
    assert client.owed == 0
    assert client.output() == b""


@pytest.mark.parametrize("announced", [True, False])
def test_what_arrived_before_the_end_is_given_before_it(
    server_context: Any, client_context: Any, announced: bool
) -> None:
    server, client = joined(server_context, client_context)
    server.feed(client.encrypt(b"last"))
    octets = client.farewell() if announced else b""
    assert bool(octets) is announced, "close_notify is a record (RFC 8446 6.1)"
    server.feed(octets)
    assert server.decrypt() == b"last"
    assert server.decrypt() == b""
    assert server.decrypt() == b"", "the end stays the end"


@pytest.mark.parametrize("garbage", ["plaintext", "a changed record"])
@pytest.mark.parametrize("last", [b"", b"last"])
def test_an_attack_on_a_channel_is_never_taken_for_its_end(
    server_context: Any, client_context: Any, last: bytes, garbage: str
) -> None:
    server, client = joined(server_context, client_context)
    if last:
        server.feed(client.encrypt(last))
    if garbage == "plaintext":
        server.feed(b"QUIT\r\n")
    else:
        octets = client.encrypt(b"QUIT\r\n")
        server.feed(octets[:-1] + bytes([octets[-1] ^ 1]))
    if last:
        assert server.decrypt() == last
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.decrypt()


def test_what_the_system_did_not_accept_goes_before_further_output(
    server_context: Any, client_context: Any
) -> None:
    server, client = joined(server_context, client_context)
    octets = client.encrypt(b"first")
    server.feed(octets[:10])
    client.put_back(octets[10:])
    assert client.owed == len(octets) - 10
    server.feed(client.encrypt(b" and second"))
    assert client.owed == 0
    assert server.decrypt() == b"first and second"
    octets = client.encrypt(b"third")
    client.put_back(octets)
    assert client.output() == octets
    assert client.output() == b"", "it is sent once"


def test_the_facts_of_both_sides(server_context: Any, client_context: Any) -> None:
    server, client = joined(server_context, client_context)
    ours, theirs = server.info(), client.info()
    assert ours.version == theirs.version == "TLSv1.3"
    assert ours.cipher == theirs.cipher
    assert ours.cipher in {one["name"] for one in client_context.get_ciphers()}
    assert ours.server_hostname == theirs.server_hostname == "localhost"
    assert ours.peer_certificate is None, "the client has none"
    assert theirs.peer_certificate is not None
    assert theirs.peer_certificate["subjectAltName"] == (("DNS", "localhost"),)


def test_a_certificate_that_was_not_verified_is_not_a_fact(server_context: Any) -> None:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    _, client = joined(server_context, unverified)
    assert client.info().peer_certificate is None


def test_a_client_that_asks_for_no_name_has_none(server_context: Any, client_context: Any) -> None:
    client_context.check_hostname = False
    server, client = joined(server_context, client_context, None)
    assert server.info().server_hostname is None
    assert client.info().server_hostname is None


def test_the_callback_of_the_application_for_server_names_stays_in_place(
    server_context: Any, client_context: Any
) -> None:
    asked = []

    def choose(ssl_object: Any, name: str | None, context: ssl.SSLContext) -> None:
        asked.append((name, context is server_context))

    server_context.sni_callback = choose
    for _ in range(2):
        server, _client = joined(server_context, client_context)
        assert server.info().server_hostname == "localhost"
    assert asked == [("localhost", True)] * 2, "once for each handshake, however many there were before"


def test_a_server_name_that_the_application_refuses_ends_the_handshake(
    server_context: Any, client_context: Any
) -> None:
    server_context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    with pytest.raises(ssl.SSLError, match=r"(?i)sni|callback|unrecognized"):
        joined(server_context, client_context)


def test_a_context_of_clients_is_left_as_it_is(server_context: Any, client_context: Any) -> None:
    joined(server_context, client_context)
    assert client_context.sni_callback is None


def test_the_sizes_are_what_the_documents_say() -> None:
    assert READ_SIZE == OWN_OUTPUT == 65536
