"""SMTP as a state machine: octets in, events out; answers in, octets out. No sockets, no clocks, no threads.

The core is :class:`ServerConnection` and :class:`ClientConnection`, and the events they have in common.
``smtpcore.sync``, ``smtpcore.asyncio`` and ``smtpcore.trio`` put it on the network; ``smtpcore.message``
makes envelope and octets of an ``EmailMessage``; ``smtpcore.sasl`` has the authentication mechanisms.
"""

from ._addresses import ForwardPath as ForwardPath
from ._addresses import Mailbox as Mailbox
from ._addresses import ReversePath as ReversePath
from ._addresses import is_hello_argument as is_hello_argument
from ._client import ClientConnection as ClientConnection
from ._content import normalize_line_endings as normalize_line_endings
from ._errors import AuthenticationFailed as AuthenticationFailed
from ._errors import AuthenticationUnavailable as AuthenticationUnavailable
from ._errors import ConnectFailed as ConnectFailed
from ._errors import ConnectionLost as ConnectionLost
from ._errors import LocalProtocolError as LocalProtocolError
from ._errors import MessageTooBig as MessageTooBig
from ._errors import ProtocolError as ProtocolError
from ._errors import RecipientsRefused as RecipientsRefused
from ._errors import RemoteProtocolError as RemoteProtocolError
from ._errors import ReplyError as ReplyError
from ._errors import SessionFacts as SessionFacts
from ._errors import SMTPError as SMTPError
from ._errors import TimedOut as TimedOut
from ._errors import TlsError as TlsError
from ._errors import TlsUnavailable as TlsUnavailable
from ._events import Auth as Auth
from ._events import Chunk as Chunk
from ._events import Command as Command
from ._events import CommandRejected as CommandRejected
from ._events import Connect as Connect
from ._events import ConnectionClosed as ConnectionClosed
from ._events import Data as Data
from ._events import Ehlo as Ehlo
from ._events import EndOfMessage as EndOfMessage
from ._events import Envelope as Envelope
from ._events import Event as Event
from ._events import Expn as Expn
from ._events import Helo as Helo
from ._events import Help as Help
from ._events import InputDiscarded as InputDiscarded
from ._events import Mail as Mail
from ._events import MessageAborted as MessageAborted
from ._events import Noop as Noop
from ._events import NotSent as NotSent
from ._events import Quit as Quit
from ._events import Rcpt as Rcpt
from ._events import Response as Response
from ._events import Rset as Rset
from ._events import StartTls as StartTls
from ._events import Vrfy as Vrfy
from ._extensions import Capabilities as Capabilities
from ._limits import Limits as Limits
from ._limits import ServerConfig as ServerConfig
from ._limits import Timeouts as Timeouts
from ._limits import TlsInfo as TlsInfo
from ._replies import EnhancedStatus as EnhancedStatus
from ._replies import Reply as Reply
from ._replies import describe as describe
from ._results import RecipientResult as RecipientResult
from ._results import SendResult as SendResult
from ._server import ServerConnection as ServerConnection
from ._state import AFTER as AFTER
from ._state import LEGAL as LEGAL
from ._state import State as State
from .sasl import Credentials as Credentials
from .sasl import SecretRequest as SecretRequest

__version__ = "0.1.0"
