"""What smtpcore costs that does nothing yet: memory of an idle core and connection, CPU time of the import."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from .measure import Aim, Row, Subject, measure
from .servers import AIOSMTPD, CANNED, HOST, ROOT, SINK, THREADS, TRIO, running, why_missing
from .workloads import HELLO

_CORES = """if True:
    import gc, os
    from smtpcore import ServerConnection
    def greeted():
        connection = ServerConnection("mx.example.org")
        for read in (b"", b"EHLO client.example\\r\\n"):
            if read:
                connection.receive_data(read)
            while connection.next_event() is not None:
                connection.accept()
            connection.data_to_send()
        return connection
    def resident():
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    some = [greeted() for _ in range(100)]
    before = resident()
    many = [greeted() for _ in range({count})]
    print((resident() - before) / {count} / 1024)
"""
_IMPORT = "above the interpreter"
_HEAVY = ("asyncio", "email", "ssl", "trio")
_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)


def run(rounds: int, scale: float, missing: list[str]) -> list[Row]:
    """Measure all rows."""
    heavy = [name for name in imported() if name.partition(".")[0] in _HEAVY]
    if heavy:
        sys.exit(f"import smtpcore pulls in {', '.join(heavy)}")
    idle: dict[str, Subject] = {"core": partial(_idle_core, max(200, round(10_000 * scale)))}
    connections = max(20, round(2000 * scale))
    for name in (SINK, TRIO, THREADS, CANNED, AIOSMTPD):
        if why_missing(name) is None:
            idle[name] = partial(_idle_connection, name, connections)
    return [
        measure(
            Row(
                "memory",
                "server, memory of an idle connection after EHLO",
                "KiB of resident memory",
                (Aim("core", "", 1.1, "value"), Aim(SINK, "", 6, "value")),
            ),
            idle,
            max(1, rounds // 2),
        ),
        measure(
            Row("import", "import smtpcore", "ms of CPU time", (Aim(_IMPORT, "", 25, "value"),)),
            {_IMPORT: _import_time},
            2 * rounds,
        ),
    ]


def _idle_core(count: int) -> float:
    program = _CORES.format(count=count)
    return float(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT))


def _idle_connection(name: str, count: int) -> float:
    with running(name) as server, ExitStack() as stack:
        _greet(stack, server.port, 50)
        before = _resident(server.pid)
        _greet(stack, server.port, count)
        return (_resident(server.pid) - before) / count / 1024


def _greet(stack: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        sock = stack.enter_context(socket.create_connection((HOST, port), 60))
        _read_reply(sock)
        sock.sendall(HELLO)
        _read_reply(sock)


def _read_reply(sock: socket.socket) -> None:
    data = b""
    while not re.search(rb"^\d\d\d .*\n\Z", data, re.MULTILINE):
        data += sock.recv(4096)


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _import_time() -> float:
    """Return the milliseconds of CPU time that `import smtpcore` adds to an interpreter that does nothing."""
    return (_cpu_of_statement("import smtpcore") - _cpu_of_statement("pass")) * 1000


def _cpu_of_statement(statement: str) -> float:
    process = subprocess.Popen([sys.executable, "-S", "-E", "-c", statement], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, statement
    return usage.ru_utime + usage.ru_stime


def imported() -> list[str]:
    """Return the modules that `import smtpcore` pulls in, as `-X importtime` reports them."""
    command = [sys.executable, "-S", "-E", "-X", "importtime", "-c", "import smtpcore"]
    log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    return _IMPORTED.findall(log)
