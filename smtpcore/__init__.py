"""SMTP as a state machine without I/O: octets in, events out; decisions in, octets out.

The core is :class:`ServerConnection` and :class:`ClientConnection`, which share their events.
``smtpcore.sync``, ``smtpcore.asyncio`` and ``smtpcore.trio`` run it on the network; ``smtpcore.message``
turns an ``EmailMessage`` into an envelope and octets; ``smtpcore.sasl`` has the authentication mechanisms.
"""

import sys as _sys

# Before all imports and in the syntax of old versions, to which the other modules are syntax errors.
if _sys.hexversion < 0x030B0000:
    _text = "smtpcore needs Python 3.11 or later; this is Python " + ".".join(map(str, _sys.version_info[:3]))
    if _sys.argv[:1] == ["-m"]:  # python -m smtpcore
        _sys.exit(_text)
    raise ImportError(_text)

from ._core.addresses import ForwardPath, Mailbox, ReversePath
from ._core.capabilities import Capabilities
from ._core.client import ClientConnection
from ._core.config import ServerConfig
from ._core.content import normalize_line_endings
from ._core.errors import ArgumentTypeError, LocalProtocolError, ProtocolError, SMTPError
from ._core.events import (
    Chunk,
    Command,
    CommandNotSent,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Envelope,
    Event,
    Helo,
    InputDiscarded,
    Mail,
    MessageAborted,
    Noop,
    Quit,
    Rcpt,
    Response,
    Rset,
    Vrfy,
)
from ._core.failures import ConnectionLost, RemoteProtocolError, TransportError
from ._core.limits import Limits, Timeouts, TlsInfo
from ._core.public import publish as _publish
from ._core.replies import EnhancedStatusCode, Reply, describe
from ._core.server import ServerConnection
from ._core.state import State
from ._net.errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ErrorContext,
    MessageTooBig,
    RecipientsRefused,
    ReplyError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
from ._net.results import Exchange, RecipientResult, SendOutcome, SendResult
from ._version import __version__ as __version__
from .extensions.auth import Auth
from .extensions.expn import Expn
from .extensions.help import Help
from .extensions.starttls import StartTls
from .sasl import Credentials, SecretRequest

__all__ = [
    "ArgumentTypeError",
    "Auth",
    "AuthenticationFailed",
    "AuthenticationUnavailable",
    "Capabilities",
    "Chunk",
    "ClientConnection",
    "Command",
    "CommandNotSent",
    "CommandRejected",
    "Connect",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "Credentials",
    "Data",
    "Ehlo",
    "EndOfMessage",
    "EnhancedStatusCode",
    "Envelope",
    "ErrorContext",
    "Event",
    "Exchange",
    "Expn",
    "ForwardPath",
    "Helo",
    "Help",
    "InputDiscarded",
    "Limits",
    "LocalProtocolError",
    "Mail",
    "Mailbox",
    "MessageAborted",
    "MessageTooBig",
    "Noop",
    "ProtocolError",
    "Quit",
    "Rcpt",
    "RecipientResult",
    "RecipientsRefused",
    "RemoteProtocolError",
    "Reply",
    "ReplyError",
    "Response",
    "ReversePath",
    "Rset",
    "SMTPError",
    "SecretRequest",
    "SendOutcome",
    "SendResult",
    "ServerConfig",
    "ServerConnection",
    "StartTls",
    "State",
    "TimedOut",
    "Timeouts",
    "TlsError",
    "TlsInfo",
    "TlsUnavailable",
    "TransportError",
    "Vrfy",
    "describe",
    "normalize_line_endings",
]

_publish(__name__, globals())
