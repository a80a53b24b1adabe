"""Finds a message that the server has stored: in a folder, or by a command."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from .shell import Shell

_INTERVAL = 0.02  # seconds between two looks


class Store(Protocol):
    """Where messages show up."""

    def find(self, token: str) -> list[bytes]:
        """Return the messages that contain a token."""
        ...


class Folder:
    """A folder with one message in each file, such as a Maildir; its subfolders count, too.

    Args:
        path: The folder.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._read: dict[Path, tuple[int, bytes]] = {}  # the time of the last change, and the content

    def find(self, token: str) -> list[bytes]:
        """Return the messages that contain a token."""
        for path in self._path.rglob("*"):
            if path.is_file() and path.parent.name != "tmp":
                with suppress(OSError):  # it was moved meanwhile
                    changed = path.stat().st_mtime_ns
                    if path not in self._read or self._read[path][0] != changed:
                        self._read[path] = changed, path.read_bytes()
        return [content for _, content in self._read.values() if token.encode() in content]


class Command:
    """A shell command that prints a message; ``$1`` is the token that the message contains.

    Args:
        command: What the shell runs. It prints nothing while the message is not there.
        timeout: Seconds for one run.
    """

    def __init__(self, command: str, timeout: float = 10.0) -> None:
        self._shell = Shell(command, timeout)

    def find(self, token: str) -> list[bytes]:
        """Return the messages that contain a token: one at most, and none if the command takes too long."""
        printed = self._shell.run(token, output=True)
        return [printed] if token.encode() in printed else []


def wait_for(store: Store, token: str, timeout: float) -> list[bytes]:
    """Wait until a message with a token is there.

    Args:
        store: Where to look.
        token: What it contains.
        timeout: Seconds to wait at most.

    Returns:
        The messages; empty if none has arrived in time.
    """
    deadline = time.monotonic() + timeout
    while not (found := store.find(token)) and time.monotonic() < deadline:
        time.sleep(_INTERVAL)
    return found
