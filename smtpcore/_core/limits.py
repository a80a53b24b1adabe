"""Every number of the core, each with its RFC section or its reason.

* :class:`Limits`: how much of anything is held or accepted;
* :class:`Timeouts`: how long each wait may last (the core only *states* them, the stream enforces them);
* :class:`TlsInfo`: the facts of a TLS channel.

They are frozen dataclasses, made once per server and shared by all its connections, so the 200 ns that
freezing costs do not matter here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from .errors import LocalProtocolError, wrong_type

# What a field accepts, by its annotation: the words for the error text, and the types.
_ACCEPTED: Final[dict[object, tuple[str, tuple[type, ...]]]] = {
    "bool": ("True or False", (bool,)),
    "int": ("a whole number", (int,)),
    "int | None": ("a whole number or None", (int, type(None))),
    "float": ("a number", (int, float)),
}


def check_types(settings: Any) -> None:
    """Check the fields of a dataclass whose annotation is one of ``_ACCEPTED``.

    A configuration often comes from text. Without the check ``"no"`` would count as True, and a string in place
    of a number would fail in the middle of a session.

    Raises:
        ArgumentTypeError: A value has another type. True is not accepted as a number.
    """
    for one in fields(settings):
        if one.type in _ACCEPTED:
            words, types = _ACCEPTED[one.type]
            value = getattr(settings, one.name)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise wrong_type(f"{type(settings).__name__}.{one.name}", words, value)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in octets and counts. A peer that reaches one gets a reply; it causes no exception and no growth.

    **Warning:** RFC 5321 4.5.3.1 guarantees peers a ``path`` of 256 octets, a ``local_part`` of 64, a
    ``domain`` of 255, 100 ``recipients`` and a ``content_line`` of 998; RFC 4954 9 asks for three
    ``auth_attempts``. Smaller values are accepted, for tests. On the network they make a server refuse mail
    that it has to accept.

    Attributes:
        command_line: A command line with its CRLF (RFC 5321 4.5.3.1.4). MAIL and RCPT lines may be longer
            by what each offered extension adds.
        auth_line: A line of an AUTH exchange, with CRLF. RFC 4954 4 finds 12,288 octets enough.
        reply_line: A reply line that a client accepts. RFC 5321 4.5.3.1.5 says 512; real servers exceed it, and
            a challenge of 12,288 octets has to fit (RFC 4954 4).
        reply_lines: Lines of one reply. An endless EHLO reply must not exhaust the client's memory.
        path: A path with its brackets (RFC 5321 4.5.3.1.3).
        local_part: RFC 5321 4.5.3.1.1.
        domain: RFC 5321 4.5.3.1.2.
        recipients: Accepted recipients of one transaction; the next one is answered 452. RFC 5321
            4.5.3.1.8 asks for at least 100.
        refused_recipients: Refused RCPT commands in one session before 421: the client may be guessing names
            (RFC 5321 7.8 permits it). None: no limit.
        message_size: Content octets, as SIZE counts them (RFC 1870 5). It is announced, and longer content is
            refused with 552. An attachment of 25 MiB, which many providers accept, is 35 MiB of base64
            (RFC 2045 6.8). None: no limit is announced or enforced.
        oversize_factor: Content beyond ``message_size`` is read and discarded, so that the client gets its 552
            (RFC 5321 3.3), and so are the octets of a refused BDAT; beyond this multiple of ``message_size``
            the reply is 421 and the session ends.
        content_line: Octets of one content line without CRLF. RFC 5321 4.5.3.1.6 guarantees only 998,
            but content is streamed, so length costs nothing, and real senders exceed it. None: no limit.
        bad_commands: Commands that the core refuses (syntax, sequence, unknown) before 421.
        auth_attempts: Failed AUTH exchanges before 421; RFC 4954 9 asks for at least three.
        idle_commands: Commands without progress since the last accepted message before 421: they cost an
            attacker nothing. Such are NOOP, RSET, HELP, VRFY, EXPN, repeated EHLO and HELO, and all that is
            refused for another reason than syntax or sequence; ten refused recipients count as one command.
            None: no limit.
        outstanding_commands: Commands a client has sent whose reply has not arrived (RFC 2920 3.1: the
            window is bounded so that two full socket buffers cannot deadlock).
        receive_buffer: Octets that a connection buffers until the application fetches them with
            ``next_event()``.
        challenges: Challenges of one AUTH exchange that a client answers before it gives up on the server.
        content_rate: Octets a second. A server ends the session with 421 when content arrives more slowly than
            this, on average, after the first ``Timeouts.idle`` seconds: otherwise a sender of one octet a
            minute could keep a session for ever.
        upload_rate: Octets a second, the slowest average at which a client sends content before it gives up:
            see ``Timeouts.recipient``.

    Raises:
        ArgumentTypeError: A value has the wrong type.
        LocalProtocolError: A value is below its minimum.
    """

    command_line: int = 512
    auth_line: int = 12288 + 2
    reply_line: int = 4 + 12288 + 2
    reply_lines: int = 256
    path: int = 256
    local_part: int = 64
    domain: int = 255
    recipients: int = 1000
    refused_recipients: int | None = 100
    message_size: int | None = 64 * 1024 * 1024
    oversize_factor: int = 4
    content_line: int | None = 1024 * 1024
    bad_commands: int = 100
    auth_attempts: int = 3
    idle_commands: int | None = 1000
    outstanding_commands: int = 100
    receive_buffer: int = 1024 * 1024
    challenges: int = 20
    content_rate: float = 100.0
    upload_rate: float = 1000.0

    def __post_init__(self) -> None:
        check_types(self)
        # Only what would break the protocol or the connection itself; RFC 5321 4.5.3.1 promises more to peers.
        floors = {
            "command_line": 512,
            "path": 1,
            "local_part": 1,
            "domain": 1,
            "recipients": 1,
            "auth_attempts": 1,
            "reply_line": 512,
            "reply_lines": 1,
            "auth_line": 512,
            "oversize_factor": 1,
            "bad_commands": 1,
            "outstanding_commands": 1,
            "receive_buffer": 65536,
            "challenges": 2,
        }
        for name, floor in floors.items():
            if getattr(self, name) < floor:
                raise LocalProtocolError(f"Limits.{name} must be at least {floor}, not {getattr(self, name)}")
        for name in ("content_line", "message_size"):  # SIZE 0 would say that there is no limit (RFC 1870 3)
            value = getattr(self, name)
            if value is not None and value < 1:
                raise LocalProtocolError(f"Limits.{name} must be None or at least 1, not {value}")
        for name in ("content_rate", "upload_rate"):
            if not getattr(self, name) > 0:
                raise LocalProtocolError(f"Limits.{name} must be greater than 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each wait, RFC 5321 4.5.3.2. The stream enforces what the core states.

    Attributes:
        connect: For the TCP connection and, with implicit TLS, the handshake (no RFC value).
        greeting: For the 220 (4.5.3.2.1).
        command: For the reply to a command other than the ones below (4.5.3.2.2, 4.5.3.2.3).
        data_initiation: For the 354 (4.5.3.2.4).
        data_block: For one write of content to be accepted (4.5.3.2.5); each write has its own.
        data_termination: For the reply to the final dot (4.5.3.2.6). A short value causes duplicates.
        idle: For the client's next command or content (4.5.3.2.7).
        session: For a whole session with a client, except the message that is being received: a client that
            sends NOOP now and then must not occupy a connection for ever.
        farewell: For the reply to QUIT. Nothing depends on that reply, so it is short.
        recipient: For each recipient, in the bound of a client's whole transaction. The bound is twice
            ``command``, plus ``data_initiation``, ``data_block`` and ``data_termination``, which covers every
            wait of a small message; plus ``recipient`` for each recipient; plus a second for each
            ``Limits.upload_rate`` octets of content that were sent. Without it a server that always replies
            just in time could hold the client for days. The time in which the application produces content
            does not count.
        content: For receiving the content of one message, at whatever rate: at the minimum rate it could
            otherwise last for days.

    Raises:
        ArgumentTypeError: A value has the wrong type.
        LocalProtocolError: A value is not greater than 0.
    """

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data_initiation: float = 120.0
    data_block: float = 180.0
    data_termination: float = 600.0
    idle: float = 300.0
    session: float = 6 * 3600.0
    farewell: float = 5.0
    recipient: float = 10.0
    content: float = 6 * 3600.0

    def __post_init__(self) -> None:
        check_types(self)
        for one in fields(self):
            seconds = getattr(self, one.name)
            if not seconds > 0:  # NaN is not greater either
                raise LocalProtocolError(f"Timeouts.{one.name} must be greater than 0, not {seconds!r}")


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """The facts of the TLS channel of a connection.

    Attributes:
        version: ``"TLSv1.3"``.
        cipher: The name of the cipher suite.
        server_hostname: The name that the client asked for (SNI).
        peer_certificate: The verified certificate of the peer as the ``ssl`` module decodes it.
        too_weak: The channel does not satisfy the policy: a server then answers 554 to everything but QUIT
            (RFC 3207 4.1), and a client closes.
    """

    version: str | None = None
    cipher: str | None = None
    server_hostname: str | None = None
    peer_certificate: Mapping[str, object] | None = field(default=None, repr=False)
    too_weak: bool = False
