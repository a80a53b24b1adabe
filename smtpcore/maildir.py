"""Store messages in a Maildir: mail that was answered 250 survives a crash and a power cut.

A Maildir is a folder with three folders in it. A message is written into ``tmp``. When the message is whole
and safe, it is linked into ``new``, where mail readers find it, and removed from ``tmp``; ``cur`` belongs to
those readers. So a reader never sees half a message, and no lock is needed.

**The order is the point.** With its 250 a server accepts the responsibility for a message, and must not lose
it for frivolous reasons (RFC 5321 6.1). So ``finish()`` first synchronizes the file with the disk, then links
it, then synchronizes the *folder*, since a reader does not find a name that is not on the disk, and only then
returns True. If a step fails, the message is removed again and the client gets 451 or 452: it still has the
message, and sends it again.

**A link, not a rename**: ``rename()`` replaces a file that has the same name, which would be a message that
was answered 250. Names contain the time, the process and a counter, but two containers may both be process 1,
and a clock may be set back. ``link()`` fails if the name exists, and the message gets another one.

**No session waits for the disk of another.** Synchronizing takes some milliseconds. On asyncio and trio
``finish()`` runs in a worker thread (:func:`smtpcore.handlers.blocking`), several messages at a time, which
most disks and file systems synchronize together. A session that is cancelled meanwhile waits for its thread,
and removes the message, since its client did not get 250.

A crash leaves files in ``tmp``. Those that were not used for 36 hours are removed, as maildir(5) says: when a
:class:`MaildirHandler` is made, and later at most once an hour, when a message begins.

A message is delivered once, however many recipients it has, since there is one mailbox. The message begins
with the fields that RFC 5321 4.4 requires of a server that makes final delivery, Return-Path and Received;
``trace=False`` leaves them out, and the file is then the content as it was received, octet by octet. Line
ends stay CRLF.

This module needs POSIX, where a folder can be synchronized.
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
from .handlers import Handler, blocking
from .trace import trace_fields

if TYPE_CHECKING:
    from ._net.session import ServerSession

_ABANDONED = 36 * 3600  # seconds after which a file in tmp belongs to no delivery (maildir(5))
_BETWEEN_SWEEPS = 3600  # seconds
# What link() gives on a file system without hard links, such as FAT.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})

_counter = itertools.count(1)


class MaildirHandler(Handler):
    """A handler that stores each message: ``serve(MaildirHandler("inbox"))``.

    It accepts mail for every recipient. A handler of your own that does not can inherit from it, or call
    ``begin_message()`` of one. A sink of your own that calls ``finish()`` of a :class:`MaildirSink` should
    mark its own ``finish()`` with :func:`smtpcore.handlers.blocking`.

    Args:
        path: The folder; it is made, for its owner only, if it is missing.
        trace: Put Return-Path and Received before the message.

    Raises:
        OSError: The folders cannot be made.

    Attributes:
        path: As given.
    """

    def __init__(self, path: str | os.PathLike[str], *, trace: bool = True) -> None:
        self.path = Path(path)
        self._trace = trace
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("tmp", "new", "cur"):
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        _sync(self.path)
        for folder in missing:
            with contextlib.suppress(PermissionError):  # a folder may be writable and not readable
                _sync(folder.parent)
        self._sweep()

    def begin_message(self, session: ServerSession, envelope: Envelope) -> MaildirSink:
        """Begin a message in ``tmp``; see :meth:`smtpcore.handlers.Handler.begin_message`.

        Args:
            session: The session, for the trace fields.
            envelope: The sender and the recipients.

        Returns:
            The sink that stores the content.

        Raises:
            OSError: The file cannot be made; DATA is answered 451, or 452 if there is no room.
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
        """Remove the files in ``tmp`` of deliveries that did not end."""
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
        path: Where the message is at the moment: in ``tmp``, and after ``finish()`` in ``new``.
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
            OSError: The disk is full, for instance.
        """
        self._file.write(data)

    @blocking
    def finish(self) -> bool:
        """Make the message safe, and show it to readers.

        Returns:
            True: from here on this server has the responsibility for the message.

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
            # rename() is what remains. 64 random bits in the name see to it that the name is free.
            self.path = source.rename(self._new / _unique_name(f"R{secrets.token_hex(8)}"))
            return
        self.path = target
        with contextlib.suppress(OSError):  # the message is in new; a sweep removes the name in tmp
            source.unlink()

    def abort(self) -> None:
        """Remove the message, in whichever folder it is: its client did not get 250."""
        with contextlib.suppress(OSError):  # closing writes what is left, which may be what failed
            self._file.close()
        self.path.unlink(missing_ok=True)


def _create_in(folder: Path) -> tuple[Path, int]:
    """Create a file under a name that is free; give its path and a descriptor to write to."""
    while True:
        path = folder / _unique_name()
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name; False if the name exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _unique_name(more: str = "") -> str:
    """Give a name that no other process on this host, and no other message of this process, has."""
    now = time.time_ns()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{now // 10**9}.M{now // 1000 % 10**6}P{os.getpid()}Q{next(_counter)}{more}.{host}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
