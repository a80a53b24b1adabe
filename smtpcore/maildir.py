"""A Maildir to receive into: a message that was answered 250 survives a crash and a power failure.

A Maildir is a folder with three folders in it. A message is written into ``tmp``. When it is complete and safe
on the disk, it is linked into ``new``, where mail readers find it, and removed from ``tmp``; ``cur`` belongs to
the readers. So no reader ever sees an incomplete message, and no lock is needed.

**The order is the point.** With its 250 a server becomes responsible for a message, and must not lose it for
frivolous reasons (RFC 5321 6.1). So ``finish()`` synchronizes the file with the disk, then links it, then
synchronizes the *folder*, because without that the name could be lost, and only then returns True. If a step
fails, the message is removed and the client gets 451 or 452: it still has the message and tries again later.

**A link, not a rename.** ``rename()`` would replace a file of the same name, a message that was answered 250.
Names contain the time, the process and a counter, but two containers may both have process 1, and a clock may
be set back. ``link()`` fails if the name exists, and the message gets another name.

A crash leaves files in ``tmp``. Files that were not used for 36 hours are removed, as maildir(5) says: when a
:class:`MaildirHandler` is made, and after that at most once an hour, when a message begins.

A message is stored once, whatever the number of its recipients. It begins with Return-Path and Received, the
fields of a server that makes final delivery (RFC 5321 4.4). With ``trace=False`` the file is the content as
received, octet by octet. Line ends stay CRLF.

``finish()`` blocks until the disk has the message: in an asyncio or trio server all sessions wait for that,
some milliseconds for each message. The module needs POSIX, where a folder can be synchronized.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._core.events import Envelope
from .handlers import Handler
from .trace import trace_fields

if TYPE_CHECKING:
    from ._net.session import ServerSession

_ABANDONED = 36 * 3600  # seconds after which a file in tmp belongs to no delivery (maildir(5))
_BETWEEN_SWEEPS = 3600  # seconds
# The errors of link() on a file system without hard links, such as FAT.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})

_counter = itertools.count(1)


class MaildirHandler(Handler):
    """A handler that stores each message in a Maildir: ``serve(MaildirHandler("inbox"))``.

    It accepts every recipient. To accept fewer, inherit from it and override ``accept_recipient()``, or set
    ``served_domains``.

    Args:
        path: The folder. If it does not exist, it is created with access for its owner only.
        trace: Write Return-Path and Received before the content.

    Raises:
        OSError: The folders cannot be created.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | os.PathLike[str], *, trace: bool = True) -> None:
        self.path = Path(path)
        self._trace = trace
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("tmp", "new", "cur"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        _sync(self.path)
        self._sweep()

    def begin_message(self, session: ServerSession, envelope: Envelope) -> MaildirSink:
        """Create the file of a message; see :class:`~smtpcore.handlers.Handler`.

        Args:
            session: The session.
            envelope: The sender and the recipients.

        Returns:
            The sink that stores the content.

        Raises:
            OSError: The file cannot be written; DATA is answered 451, or 452 if there is no room.
        """
        if time.monotonic() - self._swept > _BETWEEN_SWEEPS:
            self._sweep()
        sink = MaildirSink(self.path)
        if self._trace:
            try:
                sink.write(trace_fields(session, envelope))
            except BaseException:
                sink.abort()
                raise
        return sink

    def _sweep(self) -> None:
        """Remove abandoned files from ``tmp``."""
        self._swept = time.monotonic()
        oldest = time.time() - _ABANDONED
        with contextlib.suppress(OSError), os.scandir(self.path / "tmp") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process removed it first, or it is a folder
                    facts = entry.stat(follow_symlinks=False)
                    if max(facts.st_atime, facts.st_mtime) < oldest:
                        os.unlink(entry.path)


class MaildirSink:
    """Stores the content of one message.

    Args:
        maildir: The folder of the Maildir.

    Attributes:
        path: The file of the message: in ``tmp``, and after ``finish()`` in ``new``.
    """

    def __init__(self, maildir: Path) -> None:
        self._new = maildir / "new"
        self.path, descriptor = _create_in(maildir / "tmp")
        self._file = open(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Write the next piece of the content.

        Args:
            data: The octets.

        Raises:
            OSError: The piece cannot be written, for example because the disk is full.
        """
        self._file.write(data)

    def finish(self) -> bool:
        """Make the message safe on the disk, and move it to ``new``.

        Returns:
            True: the server may reply 250.

        Raises:
            OSError: The message is not safe; call ``abort()``.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._publish()
        _sync(self._new)
        return True

    def _publish(self) -> None:
        """Move the file into ``new`` without replacing a file that is there."""
        source = self.path
        target = self._new / source.name
        try:
            while not _link(source, target):
                target = self._new / _unique_name()
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Only rename() is left, which replaces a file: 64 random bits make the name unique.
            self.path = source.rename(self._new / _unique_name(f"R{secrets.token_hex(8)}"))
            return
        self.path = target
        with contextlib.suppress(OSError):  # the message is in new; a sweep removes the name in tmp
            source.unlink()

    def abort(self) -> None:
        """Remove the file, from ``tmp`` or ``new``: the message was not answered 250."""
        with contextlib.suppress(OSError):  # close() writes the buffer, which may fail again
            self._file.close()
        self.path.unlink(missing_ok=True)


def _create_in(folder: Path) -> tuple[Path, int]:
    """Create a file with a new name; return its path and a descriptor to write to."""
    while True:
        path = folder / _unique_name()
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name; return False if the name exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _unique_name(more: str = "") -> str:
    """Return a name that no other process of this host and no other message of this process uses."""
    now = time.time_ns()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{now // 10**9}.M{now // 1000 % 10**6}P{os.getpid()}Q{next(_counter)}{more}.{host}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
