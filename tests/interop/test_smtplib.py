"""The standard library's client and our three servers."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import ours
from .ours import (
    MESSAGE,
    NOBODY,
    PASSWORD,
    RECIPIENT,
    SENDER,
    USER,
    Certificates,
    Mailbox,
    Stored,
    is_letter,
    letter,
    serving,
)

pytestmark = pytest.mark.parametrize("adapter", ours.ADAPTERS)


@contextmanager
def connected(port: int, security: str, certificates: Certificates) -> Iterator[smtplib.SMTP]:
    context = certificates.client()
    if security == "tls":
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, timeout=60, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    with client:
        if security == "starttls":
            client.starttls(context=context)
        client.ehlo()
        yield client


@pytest.mark.req("DAT-10", "DAT-13", "DAT-36")
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_messages_arrive_octet_by_octet(adapter: str, security: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, security)) as port,
        connected(port, security, certificates) as client,
    ):
        assert client.sendmail(SENDER, [RECIPIENT], MESSAGE) == {}
        assert client.sendmail("", [RECIPIENT], ours.EIGHT_BIT, mail_options=["BODY=8BITMIME"]) == {}
    assert mailbox.messages == [
        Stored(SENDER, [RECIPIENT], MESSAGE),
        Stored("", [RECIPIENT], ours.EIGHT_BIT),
    ]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_users_log_in(adapter: str, mechanism: str, security: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, security)) as port,
        connected(port, security, certificates) as client,
    ):
        client.user, client.password = USER, "wrong"
        method = getattr(client, f"auth_{mechanism.lower()}")
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth(mechanism, method)
        assert refused.value.smtp_code == 535
        client.password = PASSWORD
        assert client.auth(mechanism, method)[0] == 235
        client.sendmail(SENDER, [RECIPIENT], MESSAGE)
    assert mailbox.users == [USER]
    assert len(mailbox.messages) == 1


@pytest.mark.req("AUT-28")
def test_nobody_is_asked_for_a_password_in_the_clear(adapter: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, "starttls")) as port,
        connected(port, "none", certificates) as client,
    ):
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.login(USER, PASSWORD)
        client.user, client.password = USER, PASSWORD
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.auth("PLAIN", client.auth_plain)
    assert mailbox.users == []


def test_send_message(adapter: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, "starttls")) as port,
        connected(port, "starttls", certificates) as client,
    ):
        client.login(USER, PASSWORD)
        assert client.send_message(letter()) == {}
    (stored,) = mailbox.messages
    assert (stored.sender, stored.recipients) == (SENDER, [RECIPIENT])
    assert is_letter(stored.content)


def test_refused_recipients(adapter: str) -> None:
    mailbox = Mailbox()
    with serving(adapter, mailbox) as port, smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        refused = client.sendmail(SENDER, [NOBODY, RECIPIENT], MESSAGE)
        assert refused == {NOBODY: (550, b"5.1.1 no such mailbox here")}
        with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
            client.sendmail(SENDER, [NOBODY], MESSAGE)
        assert error.value.recipients == refused
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE)]


def test_a_message_that_is_too_big_is_refused_by_its_size(adapter: str) -> None:
    with serving(adapter, Mailbox()) as port, smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo()
        size = int(client.esmtp_features["size"])
        assert client.mail(SENDER, [f"SIZE={size}"])[0] == 250
        client.rset()
        assert client.mail(SENDER, [f"SIZE={size + 1}"])[0] == 552


def still_serves(port: int, security: str, certificates: Certificates, mailbox: Mailbox) -> None:
    mailbox.messages.clear()
    with connected(port, security, certificates) as client:
        client.sendmail(SENDER, [RECIPIENT], MESSAGE)
    assert mailbox.messages == [Stored(SENDER, [RECIPIENT], MESSAGE)]


def test_tls_on_a_plain_port_disturbs_nobody(adapter: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, "starttls")) as port,
        connected(port, "none", certificates) as witness,
    ):
        with (
            socket.create_connection(("127.0.0.1", port), 60) as sock,
            pytest.raises(ssl.SSLError),
        ):
            certificates.client().wrap_socket(sock, server_hostname="127.0.0.1")
        still_serves(port, "starttls", certificates, mailbox)
        assert witness.noop()[0] == 250


def test_plain_smtp_on_a_tls_port_disturbs_nobody(adapter: str, certificates: Certificates) -> None:
    mailbox = Mailbox()
    with (
        serving(adapter, mailbox, **ours.options(certificates, "tls")) as port,
        connected(port, "tls", certificates) as witness,
    ):
        with socket.create_connection(("127.0.0.1", port), 60) as sock:
            sock.sendall(b"EHLO client.example\r\n")
            answer = sock.makefile("rb").read()
        assert not answer.startswith(b"220")  # nothing but a TLS alert, if anything, and the end
        still_serves(port, "tls", certificates, mailbox)
        assert witness.noop()[0] == 250
