"""Trace fields (RFC 5321 4.4): Received and Return-Path, and the detection of mail loops.

A server writes one Received field before the content of each message that it accepts, and the server that
makes the final delivery also writes Return-Path. :func:`trace_fields` writes both for a session;
:func:`received_field` and :func:`return_path_field` write one each from values; :func:`count_received` counts
the servers that a message has already passed.

:func:`received_field` accepts only registered clauses and writes only what the grammar allows, because some of
the values, such as the argument of EHLO, come from the client.

The email package of the standard library is not imported: a server that receives mail does without it.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ._core.addresses import ForwardPath, Mailbox, ReversePath, in_ascii, is_address_literal, is_hello_argument
from ._core.content import CONTENT_LINE_LENGTH
from ._core.errors import LocalProtocolError
from ._core.events import Ehlo, Envelope
from ._core.grammar import DOT_STRING
from ._core.headerfields import END_OF_HEADER, fold

if TYPE_CHECKING:
    from ._core.server import ServerConnection

__all__ = [
    "LOOP_THRESHOLD",
    "count_received",
    "received_field",
    "received_from",
    "received_protocol",
    "return_path_field",
    "trace_fields",
]

LOOP_THRESHOLD: Final = 100
"""With this many Received fields a message is in a mail loop (RFC 5321 6.3: at least 100)."""

# Atom          = 1*atext
# msg-id        = "<" id-left "@" id-right ">"                                             ; RFC 5322 3.6.4
_TRACE_ID = re.compile(rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]++|<{DOT_STRING}@(?:{DOT_STRING}|\[[!-Z^-~]*+\])>")
# tls-cipher    = tls-cipher-name / tls-cipher-hex                                           ; RFC 8314 4.3
# tls-cipher-name = ALPHA *(ALPHA / DIGIT / "_")
# tls-cipher-hex  = "0x" 4HEXDIG
_TLS_CIPHER = re.compile(r"[A-Za-z][A-Za-z0-9_]*+|0x[0-9A-Fa-f]{4}")
# OpenSSL's own names of the ciphers before TLS 1.3, from which the registered names can be derived.
_OPENSSL_CIPHER = re.compile(
    r"(?:(ECDHE|DHE)-(RSA|ECDSA)-)?(?:AES(128|256)-(GCM-)?(SHA(?:256|384)?)|CHACHA20-POLY1305)"
)
# "WITH protocol types" and "VIA link types" of the IANA registry "Mail Transmission Types".
_WITH: Final = frozenset(
    "SMTP ESMTP ESMTPA ESMTPS ESMTPSA LMTP LMTPA LMTPS LMTPSA UTF8SMTP UTF8SMTPA UTF8SMTPS UTF8SMTPSA"
    " UTF8LMTP UTF8LMTPA UTF8LMTPS UTF8LMTPSA".split()
)
_VIA: Final = frozenset({"TCP", "UUCP"})
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)

# day-name and month of RFC 5322 3.3, which no locale translates.
_DAYS: Final = "Mon Tue Wed Thu Fri Sat Sun".split()
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class _Session(Protocol):
    """What :func:`trace_fields` reads of a session."""

    @property
    def connection(self) -> ServerConnection: ...

    @property
    def peername(self) -> object: ...


def trace_fields(session: _Session, envelope: Envelope) -> bytes:
    """Write the fields that stand before a message at its final delivery (RFC 5321 4.4).

    Args:
        session: The session that received the message, a ``ServerSession`` of ``smtpcore.sync``,
            ``smtpcore.asyncio`` or ``smtpcore.trio``.
        envelope: The envelope of the message.

    Returns:
        Return-Path and Received, each with its CRLF. The cipher of TLS is left out of Received if no registered
        name of it is known.
    """
    return return_path_field(envelope.reverse_path, smtputf8=envelope.mail.smtputf8) + received_from(
        session, envelope
    )


def received_from(session: _Session, envelope: Envelope | None) -> bytes:
    """Write the Received field of a session (RFC 5321 4.4), with the facts of the session.

    Args:
        session: The session, as for :func:`trace_fields`.
        envelope: The envelope of the message; None outside a mail transaction.

    Returns:
        The field, with its CRLF. The cipher of TLS is left out if no registered name of it is known.

    Raises:
        LocalProtocolError: The client has not sent EHLO or HELO.
    """
    connection, peer = session.connection, session.peername
    hello, tls = connection.hello, connection.tls
    if hello is None:
        raise LocalProtocolError("no Received field before EHLO or HELO")
    utf8 = envelope is not None and envelope.mail.smtputf8

    def received(cipher: str | None) -> bytes:
        return received_field(
            from_domain=hello.domain,
            from_address=peer[0] if isinstance(peer, tuple) else None,
            by=connection.hostname,
            with_protocol=received_protocol(
                esmtp=isinstance(hello, Ehlo),
                tls=tls is not None,
                auth=connection.authenticated is not None,
                smtputf8=utf8,
            ),
            for_path=None if envelope is None else envelope.forward_paths,
            tls=cipher,
            smtputf8=utf8,
        )

    try:
        return received(None if tls is None else tls.cipher)
    except LocalProtocolError:  # an unregistered cipher is not a reason to lose the message
        return received(None)


def received_protocol(
    *, esmtp: bool = True, tls: bool = False, auth: bool = False, smtputf8: bool = False, lmtp: bool = False
) -> str:
    """Return the keyword of the protocol that delivered a message, for WITH (RFC 3848 1, RFC 6531 4.3).

    Args:
        esmtp: The client sent EHLO. If it sent HELO, the keyword is always ``SMTP``.
        tls: TLS is active.
        auth: The client has authenticated.
        smtputf8: MAIL had the SMTPUTF8 parameter.
        lmtp: The client sent LHLO.

    Returns:
        A registered keyword, such as ``"ESMTPSA"``.
    """
    if not (esmtp or lmtp):
        return "SMTP"
    base = "LMTP" if lmtp else "SMTP" if smtputf8 else "ESMTP"
    return ("UTF8" if smtputf8 else "") + base + ("S" if tls else "") + ("A" if auth else "")


def received_field(
    *,
    from_domain: str,
    from_address: str | None,
    by: str,
    with_protocol: str,
    from_name: str | None = None,
    via: str | None = None,
    id: str | None = None,
    for_path: str | Mailbox | Sequence[str | Mailbox] | None = None,
    tls: str | None = None,
    priority: int | None = None,
    date: datetime.datetime | None = None,
    smtputf8: bool = False,
) -> bytes:
    """Write the Received field that a server adds before a message it has accepted (RFC 5321 4.4).

    Args:
        from_domain: The argument of EHLO or HELO. If a lenient server has accepted one that is neither a domain
            nor an address literal, the address literal of ``from_address`` is written instead.
        from_address: The IP address of the client, ``"192.0.2.1"`` or ``"[192.0.2.1]"``; None if it has none,
            as on a Unix socket. Without it a ``from_domain`` that is not a domain becomes ``unknown``.
        by: The server's own domain.
        with_protocol: What :func:`received_protocol` returns.
        from_name: The domain that DNS has for ``from_address``; None if it was not looked up.
        via: ``"TCP"`` or ``"UUCP"``.
        id: An atom or a msg-id (``<a@b>``).
        for_path: The recipient, or all recipients. With more than one, FOR is left out, so that no recipient
            learns of another (RFC 5321 7.2).
        tls: The cipher: its registered name, OpenSSL's name, or ``0x`` and four hexadecimal digits (RFC 8314
            4.3).
        priority: The MT-PRIORITY, -9 to 9 (RFC 6710).
        date: When the message arrived, with its time zone; None for now.
        smtputf8: The message is sent on with SMTPUTF8, so addresses are written in UTF-8. Otherwise domains are
            written with A-labels (RFC 6531 3.7.3).

    Returns:
        The field, folded, CRLF included.

    Raises:
        LocalProtocolError: A value is not allowed by the grammar, or is not registered.
    """
    literal = None if from_address is None else _literal(from_address)
    client = _client_name(from_domain, literal, smtputf8)
    if literal is not None:
        client += f" ({literal})" if from_name is None else f" ({_domain(from_name, smtputf8)} {literal})"
    elif client.startswith("["):  # the grammar demands the client's address after a literal (RFC 5321 4.4)
        client = "unknown"
    clauses = [f"from {client}", f"by {_host_name(by, smtputf8)}"]
    if via is not None:
        clauses.append(f"via {_registered(via, _VIA, 'VIA')}")
    clauses.append(f"with {_registered(with_protocol, _WITH, 'WITH')}")
    if id is not None:
        if not _TRACE_ID.fullmatch(id):
            raise LocalProtocolError(f"{id!r} is neither an atom nor a msg-id (RFC 5321 4.4)")
        clauses.append(f"id {id}")
    paths = [for_path] if isinstance(for_path, (str, Mailbox)) else list(for_path or ())
    if len(paths) == 1:
        path = ForwardPath(str(paths[0]))
        if path.domain:  # FOR <Postmaster>, without a domain, is not in the grammar
            clauses.append(f"for <{_write_address(path, smtputf8, 'FOR')}>")
    if tls is not None:
        clauses.append(f"tls {_cipher(tls)}")
    if priority is not None:
        if not -9 <= priority <= 9:
            raise LocalProtocolError(f"invalid priority: {priority} (from -9 to 9, RFC 6710)")
        clauses.append(f"priority {priority}")
    clauses[-1] += ";"
    clauses.append(_date_time(date))
    octets = fold("Received", [f" {clause}" for clause in clauses])
    if max(map(len, octets.split(b"\r\n"))) > CONTENT_LINE_LENGTH:
        raise LocalProtocolError(f"the id is too long: a line may have {CONTENT_LINE_LENGTH} octets")
    return octets


def return_path_field(reverse_path: str | Mailbox, *, smtputf8: bool = False) -> bytes:
    """Write the Return-Path field, which the server of the final delivery adds at the top (RFC 5321 4.4).

    Args:
        reverse_path: The argument of MAIL; ``""`` for the null reverse-path.
        smtputf8: The address may be written in UTF-8.

    Returns:
        The field, CRLF included: ``b"Return-Path: <>\\r\\n"``.

    Raises:
        LocalProtocolError: ``reverse_path`` is not a valid reverse-path.
    """
    path = ReversePath(str(reverse_path))
    text = _write_address(path, smtputf8, "Return-Path")
    return f"Return-Path: <{text}>\r\n".encode()


def count_received(content: bytes) -> int:
    """Count the Received fields in the header of ``content``, one for each server that a message has passed.

    A message with :data:`LOOP_THRESHOLD` of them or more is in a mail loop and is refused (RFC 5321 6.3).

    Args:
        content: The content, or a beginning of it that contains the whole header.

    Returns:
        The number of fields.
    """
    header_and_more = b"\r\n" + content
    end = END_OF_HEADER.search(header_and_more)
    return len(_RECEIVED.findall(header_and_more, 0, end.start() if end else len(header_and_more)))


def _client_name(text: str, literal: str | None, smtputf8: bool) -> str:
    """Return the argument of EHLO, if RFC 5321 4.4 allows it in FROM; otherwise the client's address."""
    name = text.partition(" ")[0] if text.startswith("[") else text.removesuffix(".")
    try:
        return _host_name(name, smtputf8)
    except LocalProtocolError:
        if not is_hello_argument(text, lenient=True):
            raise
        return literal or "unknown"


def _host_name(text: str, smtputf8: bool) -> str:
    return text if is_hello_argument(text) else _domain(text, smtputf8)


def _domain(text: str, smtputf8: bool) -> str:
    try:
        return _write_address(Mailbox("x", text), smtputf8, "Received").removeprefix("x@")
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{text!r} in a Received field: {error}") from None


def _write_address(mailbox: Mailbox, smtputf8: bool, where: str) -> str:
    """Write an address in UTF-8 or, without SMTPUTF8, in ASCII."""
    text = str(mailbox) if smtputf8 else in_ascii(mailbox)
    if text is None:
        raise LocalProtocolError(
            f"the address {str(mailbox)!r} ({where}) has a local-part that is not ASCII and needs SMTPUTF8"
            " (RFC 6531)"
        )
    return text


def _literal(address: str) -> str:
    """Write an IP address as an address literal (RFC 5321 4.1.3)."""
    if is_address_literal(address):
        return address
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # the zone is valid on the client's host only
    except ValueError:
        raise LocalProtocolError(f"{address!r} is not a valid IP address") from None
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def _registered(word: str, known: frozenset[str], clause: str) -> str:
    if word.upper() not in known:
        raise LocalProtocolError(
            f"{word!r} is not registered for the {clause} clause; registered: {' '.join(sorted(known))}"
        )
    return word.upper()


def _cipher(name: str) -> str:
    """Return the registered name of a cipher; derive it from OpenSSL's name if that follows the pattern."""
    if _TLS_CIPHER.fullmatch(name):
        return name
    match = _OPENSSL_CIPHER.fullmatch(name)
    if match is None:
        raise LocalProtocolError(f"{name!r} is not a registered name of a cipher (RFC 8314 4.3)")
    exchange, signature, bits, mode, digest = match.groups()
    keys = f"{exchange}_{signature}" if exchange else "RSA"
    if bits is None:
        return f"TLS_{keys}_WITH_CHACHA20_POLY1305_SHA256"
    return f"TLS_{keys}_WITH_AES_{bits}_{'GCM' if mode else 'CBC'}_{digest}"


def _date_time(date: datetime.datetime | None) -> str:
    """Write a date-time with a four-digit year and a numeric zone, without obsolete forms (RFC 5321 4.4)."""
    if date is None:
        date = datetime.datetime.now().astimezone()
    offset = date.utcoffset()
    if offset is None:
        raise LocalProtocolError(f"the date {date} has no time zone (RFC 5321 4.4)")
    if offset.total_seconds() % 60:  # the grammar has no seconds in a zone
        date = date.astimezone(datetime.UTC)
    return (
        f"{_DAYS[date.weekday()]}, {date.day:02} {_MONTHS[date.month - 1]} {date.year:04}"
        f" {date:%H:%M:%S} {date:%z}"
    )
