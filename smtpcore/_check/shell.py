"""Runs a shell command, and ends all that it has started when its time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess


class Shell:
    """A shell command, run any number of times, one after the other.

    Each run has a process group of its own. Otherwise only the shell could be ended, and what it has started
    would go on.

    Args:
        command: What the shell runs.
        timeout: Seconds for one run.

    Attributes:
        exit_code: Of the last run; None before the first one ends, negative if a signal has ended it.
    """

    def __init__(self, command: str, timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None

    def run(self, *arguments: str, output: bool = False) -> bytes:
        """Run the command, and wait for its end or its time-out.

        Args:
            arguments: ``$1`` and the others.
            output: Wait for what it prints, and return it.

        Returns:
            What it has printed; ``b""`` without ``output``, and if it has not ended in time.
        """
        with subprocess.Popen(
            ["/bin/sh", "-c", self._command, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        ) as self._process:
            try:
                return self._process.communicate(timeout=self._timeout)[0] or b""
            except subprocess.TimeoutExpired:
                return b""
            finally:
                self.kill()
                self.exit_code = self._process.wait()

    def kill(self) -> None:
        """End a run that has not ended; from any thread."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
