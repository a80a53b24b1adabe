"""The handler of ``python3 -m smtpcore serve``: it prints messages, stores them in a Maildir, or both."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO, cast

from .._core.events import CommandRejected, Envelope
from .._core.printable import printable
from .._core.state import State
from .._net.session import ServerSession
from .._net.sources import IN_MEMORY
from ..handlers import blocking
from ..maildir import MaildirHandler, MaildirSink
from ..sasl import Credentials

logger = logging.getLogger("smtpcore.serve")

_LOGGED = 5  # the log names at most so many recipients of a message


class Receiver:
    """A handler that accepts mail for every recipient.

    Args:
        maildir: Stores the messages; None: they are not stored.
        accounts: User names and their passwords.
        show: Print the messages.
    """

    def __init__(self, maildir: MaildirHandler | None, accounts: dict[str, str], *, show: bool) -> None:
        self._maildir = maildir
        self._accounts = accounts
        self._show = show
        self._printing = threading.Lock()

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        """Compare the password, and log a wrong one."""
        good = credentials.matches(self._accounts.get(credentials.username))
        if not good:
            logger.info("%s: wrong password for %r", _peer(session), credentials.username)
        return good

    def on_rejected(self, session: ServerSession, event: CommandRejected) -> None:
        """Log the reply if it ends the session: the client has reached a limit."""
        if session.connection.state is State.CLOSED:
            logger.info("%s: the session ends: %s", _peer(session), event.reply)

    def begin_message(self, session: ServerSession, envelope: Envelope) -> Delivery:
        """Return the sink of a message."""
        stored = None if self._maildir is None else self._maildir.begin_message(session, envelope)
        return Delivery(stored, self.print_message if self._show else None, _peer(session), envelope)

    def print_message(self, content: BinaryIO, peer: str) -> None:
        """Print a message as ``smtpd.DebuggingServer`` did, with its control characters written out."""
        lines = [
            "\t".join(printable(text) for text in line.decode("utf-8", "backslashreplace").split("\t"))
            for line in content.read().split(b"\r\n")
        ]
        del lines[-1:]  # the content ends in CRLF
        if "" in lines:
            lines.insert(lines.index(""), f"X-Peer: {peer}")
        text = "\n".join(
            ["---------- MESSAGE FOLLOWS ----------", *lines, "------------ END MESSAGE ------------", ""]
        )
        with self._printing:
            sys.stdout.write(text)
            sys.stdout.flush()  # an error has to be raised here, before the 250, so that the message is refused


class Delivery:
    """The sink of one message.

    Args:
        stored: The sink that stores the message; None: it is not stored.
        show: Called with the complete message and ``peer``; None: it is not printed.
        peer: The address of the client.
        envelope: The sender and the recipients, for the log.
    """

    def __init__(
        self,
        stored: MaildirSink | None,
        show: Callable[[BinaryIO, str], None] | None,
        peer: str,
        envelope: Envelope,
    ) -> None:
        self._stored = stored
        self._show = show
        self._peer = peer
        first = map(str, envelope.forward_paths[:_LOGGED])
        more = len(envelope.rcpts) - _LOGGED
        recipients = ", ".join(first) + (f" and {more} more" if more > 0 else "")
        self._envelope = f"from <{envelope.reverse_path}> for {recipients}"
        self._octets = 0
        # A message is printed when it is complete, so that messages of several sessions do not mix.
        self._copy = None if show is None else tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)

    def write(self, data: bytes) -> None:
        """Store and copy a piece of the content."""
        self._octets += len(data)
        if self._stored is not None:
            self._stored.write(data)
        if self._copy is not None:
            self._copy.write(data)

    @blocking
    def finish(self) -> bool:
        """Store, print and log the complete message; return True."""
        where = ""
        if self._stored is not None:
            self._stored.finish()
            where = f", stored as {self._stored.path.name}"
        if self._copy is not None and self._show is not None:
            self._copy.seek(0)
            self._show(cast(BinaryIO, self._copy), self._peer)
            self._copy.close()
        logger.info("%s: message %s: %d octets%s", self._peer, printable(self._envelope), self._octets, where)
        return True

    def abort(self) -> None:
        """Discard the message."""
        if self._stored is not None:
            self._stored.abort()
        if self._copy is not None:
            self._copy.close()


def _peer(session: ServerSession) -> str:
    name = session.peername
    return str(name[0]) if isinstance(name, tuple) else "a local client"
