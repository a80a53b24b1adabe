"""The programs of other people that the interoperability tests talk to.

On a developer's machine a peer may be missing: its tests are skipped, with what to install. Where
``SMTPCORE_REQUIRE_PEERS`` is set, as on CI, which installs them all, a missing peer is a failure: a test that
was skipped would look much like one that passed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

VARIABLE = "SMTPCORE_REQUIRE_PEERS"

# What brings a program that is not the package's namesake.
_PACKAGES = {
    "smtp-sink": "postfix",
    "smtp-source": "postfix",
    "node": "nodejs",
    "exim4": "exim4-daemon-light (or, beside Postfix, unpack it and let PATH lead there)",
    "postconf": "postfix",
}
SECONDS = 60  # for anything here to happen; nothing comes near it on a machine that works

# Debian keeps servers where the PATH of an ordinary user does not lead.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def missing(peer: str, remedy: str) -> NoReturn:
    """Skip the test, or fail it where peers are required."""
    reason = f"{peer} is not here: {remedy}"
    if os.environ.get(VARIABLE):
        pytest.fail(f"{reason} ({VARIABLE} is set)", pytrace=False)
    pytest.skip(reason)


def require(program: str) -> str:
    """The path of a program, such as ``swaks``, ``curl``, ``msmtp``, ``smtp-source`` or ``smtp-sink``."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    found = shutil.which(program, path=search)
    if found is None:
        missing(program, f"apt-get install {_PACKAGES.get(program, program)}")
    return found


def require_module(name: str) -> ModuleType:
    """A Python package that is a peer, such as ``aiosmtpd``."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(name, f"pip install {name.partition('.')[0]}")


def require_node(*packages: str) -> str:
    """The path of node, which finds these npm packages by ``require()`` when started with our environment.

    They are found wherever node finds them: in a folder that ``NODE_PATH`` names, for one.
    """
    node = require("node")
    for package in packages:
        probe = [node, "-e", "require.resolve(process.argv[1])", package]
        if subprocess.run(probe, capture_output=True, timeout=60, check=False).returncode != 0:
            missing(package, f"npm install {package}, and let NODE_PATH name its node_modules")
    return node


def run(*command: str, input: bytes | None = None) -> bytes:
    """Run a client to its end, which has to be a success; what it printed."""
    done = subprocess.run(command, input=input, capture_output=True, timeout=SECONDS, check=False)
    told = b"\n".join((done.stdout, done.stderr)).decode(errors="replace")
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{told}"
    return done.stdout


def free_port() -> int:
    """A port for a program that cannot choose one itself and tell it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, port: int) -> Iterator[None]:
    """A server while the block lasts, from when it takes connections on."""
    with tempfile.TemporaryFile() as log:
        # The leader of a group of its own: what it has started itself has to end as well.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            assert _takes_connections(process, port), f"{command[0]} does not serve"
            yield
        except BaseException:
            log.seek(0)
            sys.stderr.write(f"{command[0]} said:\n{log.read().decode(errors='replace')}")
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _takes_connections(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), SECONDS):
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            return False
    return False


@contextlib.contextmanager
def running_postfix(program: str, folder: Path, port: int, delivery: str) -> Iterator[None]:
    """Run Postfix with the ``main.cf`` in a folder.

    Args:
        program: The program ``postfix``.
        folder: ``main.cf`` is in its folder ``etc``.
        port: Where it listens, on 127.0.0.1.
        delivery: The service that delivers: ``"smtp"`` or ``"discard"``.
    """
    services = [
        f"127.0.0.1:{port} inet n - n - - smtpd",
        "postlog unix-dgram n - n - 1 postlogd",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        f"{delivery} unix - - n - - {delivery}",
        "anvil unix - - n - 1 anvil",
        *(f"{name} unix - - n - 0 bounce" for name in ("bounce", "defer", "trace")),
    ]
    (folder / "etc" / "master.cf").write_text("\n".join(services) + "\n")
    configured = ["-c", str(folder / "etc")]
    run(program, *configured, "check")  # makes the folders of the queue
    daemons = run(require("postconf"), *configured, "-h", "daemon_directory").decode().strip()
    with running(f"{daemons}/master", *configured, "-d", port=port):
        yield
