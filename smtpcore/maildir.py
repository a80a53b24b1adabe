"""A Maildir to receive into: mail that was answered 250 survives a crash and a power cut.

A Maildir is a folder with three folders in it. A message is written into ``tmp``, and when it is whole and safe
it is renamed into ``new``, where whatever reads mail finds it; ``cur`` belongs to those readers. Nobody ever
sees half a message, and nobody needs a lock.

**The order is the point.** With its 250 a server takes the responsibility for a message, and must not lose it
for frivolous reasons (RFC 5321 6.1). So ``finish()`` first has the file written to the disk, then renames it,
then has the *folder* written to the disk, since a name that is not on the disk is a message nobody finds, and
only then says True. Whatever fails on the way, the message is removed again and the client hears 451 or 452: it
still has the message, and comes back.

A message is delivered once, however many recipients it has: there is one box here. In front of it stand the
fields that RFC 5321 4.4 asks of a server that makes final delivery, Return-Path and Received; ``trace=False``
leaves them out, and the file is then the content as it came, octet by octet. Line ends stay CRLF.

The disk is waited for: in an asyncio or trio server all sessions pause for that long, some milliseconds a
message. It needs POSIX, where a folder can be synchronized.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import Ehlo, Envelope, LocalProtocolError
from .message import received_field, return_path_field, with_keyword

if TYPE_CHECKING:
    from ._sessions import ServerSession

_counter = itertools.count(1)


class Maildir:
    """A handler that stores what it gets: ``serve(Maildir("inbox"))``.

    It takes mail for everybody. A handler of your own that does not can inherit from it, or call
    ``begin_message()`` of one.

    Args:
        path: The folder; it is made, for its owner only, if it is not there.
        trace: Put Return-Path and Received in front.

    Raises:
        OSError: The folders cannot be made.

    Attributes:
        path: As given.
    """

    def __init__(self, path: str | os.PathLike[str], *, trace: bool = True) -> None:
        self.path = Path(path)
        self._trace = trace
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("tmp", "new", "cur"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        _sync(self.path)

    def begin_message(self, session: ServerSession, envelope: Envelope) -> MaildirSink:
        """A message begins; see :class:`~smtpcore.handlers.Handler`.

        Raises:
            OSError: It cannot be stored; DATA is answered 451, or 452 if there is no room.
        """
        sink = MaildirSink(self.path)
        if self._trace:
            try:
                sink.write(trace_fields(session, envelope))
            except BaseException:
                sink.abort()
                raise
        return sink


class MaildirSink:
    """Takes the content of one message.

    Args:
        maildir: The folder of the Maildir.

    Attributes:
        path: Where the message is at the moment: in ``tmp``, and after ``finish()`` in ``new``.
    """

    def __init__(self, maildir: Path) -> None:
        self.path = maildir / "tmp" / _unique_name()
        self._new = maildir / "new"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = open(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            OSError: The disk is full, for instance.
        """
        self._file.write(data)

    def finish(self) -> bool:
        """Make the message safe, and show it to readers.

        Returns:
            True. From here on the message is ours.

        Raises:
            OSError: It is not safe; call ``abort()``.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.path = self.path.rename(self._new / self.path.name)
        _sync(self._new)
        return True

    def abort(self) -> None:
        """Remove what there is of the message, wherever it is: nobody has been told that it is stored."""
        with contextlib.suppress(OSError):  # closing writes what is left, which may be what failed
            self._file.close()
        self.path.unlink(missing_ok=True)


def trace_fields(session: ServerSession, envelope: Envelope) -> bytes:
    """The fields that stand in front of a message at its final delivery (RFC 5321 4.4).

    Args:
        session: With whom it came.
        envelope: For whom it came.

    Returns:
        Return-Path and Received, each with its CRLF.
    """
    connection = session.connection
    hello, tls = connection.hello, connection.tls
    assert hello is not None  # there is no envelope without
    utf8 = envelope.mail.smtputf8

    def received(cipher: str | None) -> bytes:
        return received_field(
            from_domain=hello.domain,
            from_address=session.peername[0] if isinstance(session.peername, tuple) else None,
            by=connection.hostname,
            with_protocol=with_keyword(
                esmtp=isinstance(hello, Ehlo),
                tls=tls is not None,
                auth=connection.authenticated is not None,
                smtputf8=utf8,
            ),
            for_path=envelope.forward_paths,
            tls=cipher,
            smtputf8=utf8,
        )

    try:
        line = received(None if tls is None else tls.cipher)
    except LocalProtocolError:  # a cipher that has no registered name is left out: it must not cost the message
        line = received(None)
    return return_path_field(envelope.reverse_path, smtputf8=utf8) + line


def _unique_name() -> str:
    """A name that no other process, and no other message of this one, chooses."""
    now = time.time_ns()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{now // 10**9}.M{now // 1000 % 10**6}P{os.getpid()}Q{next(_counter)}.{host}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
