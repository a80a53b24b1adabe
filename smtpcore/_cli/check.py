"""``python3 -m smtpcore check``: the conformance of a foreign server or client, judged from outside."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from .._check.client import CHECKS as CLIENT_CHECKS
from .._check.client.certificates import AUTHORITY_PEM
from .._check.client.rounds import Rounds
from .._check.client.runner import check_client
from .._check.client.scenarios import SCENARIOS
from .._check.report import as_json, as_junit, exit_code, lines
from .._check.rules import RULES, Rule
from .._check.runner import UNANSWERED, check_server
from .._check.server import CHECKS
from .._check.session import Session
from .._check.shell import Shell
from .._check.stored import Command, Folder
from .._check.table import Check, Outcome, Result
from .._check.target import Target
from .._core.printable import printable
from .common import (
    EX_CANTCREAT,
    EX_NOHOST,
    EX_PROTOCOL,
    EX_UNAVAILABLE,
    EX_USAGE,
    PORT,
    Failure,
    complain,
    write,
)

_PATIENCE = 6  # times the timeout: for a client to connect, or to end


def run(options: argparse.Namespace) -> int:
    """Check a server or a client.

    Args:
        options: The command line.

    Returns:
        EX_OK, EX_PROTOCOL if a check has failed, EX_UNAVAILABLE if nothing could be judged.

    Raises:
        Failure: No server listens there, or an option is wrong.
    """
    if options.list:
        return _list(client=options.client)
    _refuse_wrong(options)
    host, port = _address(options.target or f"127.0.0.1:{PORT}")
    if not options.remote and not _is_loopback(host):
        raise Failure(
            EX_USAGE,
            f"{host} is not on this machine (hint: --remote, if its operator knows that it will get bad input)",
        )
    if options.client:
        results = _check_client(options, host, port)
    else:
        results = _check_server(options, host, port)
    peer = _shown(host, port)
    try:
        if options.junit:
            _save(options.junit, as_junit(results, peer))
        if options.json and options.json != "-":
            _save(options.json, as_json(results, peer) + "\n")
    finally:  # the report is not lost with a file, nor a file with a reader such as head
        if options.json == "-":
            write(sys.stdout, as_json(results, peer) + "\n")
        else:
            for line in lines(results, everything=options.all):
                write(sys.stdout, f"{printable(line)}\n")
    return exit_code(results, EX_PROTOCOL, EX_UNAVAILABLE)


def _refuse_wrong(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect, and files that cannot be written, before anything is sent."""
    for path in filter(None, (options.junit, options.json)):
        if path != "-" and (not Path(path).parent.is_dir() or Path(path).is_dir()):
            raise Failure(
                EX_CANTCREAT, f"cannot write {path}: it is a folder, or is in a folder that does not exist"
            )
    for_clients = {
        "--run": options.run,
        "--scenario": options.scenario,
        "--save-ca": options.save_ca,
        "--require-tls": options.require_tls,
    }
    for name in (name for name, value in for_clients.items() if value and not options.client):
        raise Failure(EX_USAGE, f"{name} is for a client (hint: --client)")
    checks: Iterable[Check[Session] | Check[Rounds] | Rule]
    checks = CLIENT_CHECKS if options.client else (*CHECKS, *RULES)
    known = {name for check in checks for name in (check.name, check.requirement)}
    for name in options.only:
        if name not in known:
            raise Failure(EX_USAGE, f"--only {name}: there is no such check or requirement (hint: --list)")


def _check_server(options: argparse.Namespace, host: str, port: int) -> list[Result]:
    target = Target(
        host,
        port,
        timeout=options.timeout,
        implicit_tls=options.implicit_tls,
        sender=options.sender,
        recipient=options.recipient,
        patience=options.patience,
    )
    if options.user:
        from .send import password_for

        target.user = options.user, password_for(options)
    if options.stored:
        target.store = Folder(options.stored) if Path(options.stored).is_dir() else Command(options.stored)
    try:
        results = check_server(target, only=frozenset(options.only))
    except socket.gaierror as error:
        raise Failure(EX_NOHOST, f"{host}: {error.strerror}") from None
    except OSError as error:
        raise Failure(EX_UNAVAILABLE, f"{_shown(host, port)}: {error.strerror or error}") from None
    if any(one.why == UNANSWERED for one in results) and not options.implicit_tls:
        complain(f"smtpcore: {UNANSWERED} (hint: --implicit-tls, if it expects TLS from the start)")
    return results


def _check_client(options: argparse.Namespace, host: str, port: int) -> list[Result]:
    scenarios = [one for one in SCENARIOS if not options.scenario or one.name in options.scenario]
    if len(scenarios) < len(set(options.scenario)):
        raise Failure(EX_USAGE, "no such server (hint: --client --list)")
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Failure(EX_UNAVAILABLE, f"cannot listen on {_shown(host, port)}: {error.strerror}") from None
    if options.save_ca:
        _save(options.save_ca, AUTHORITY_PEM)
    shell = Shell(options.run or "", options.timeout * _PATIENCE)
    with listener, contextlib.ExitStack() as at_end:
        at_end.callback(shell.kill)  # the command does not get the Ctrl-C of the terminal
        port = listener.getsockname()[1]
        complain(f"smtpcore: listening on {_shown(host, port)}")
        results = check_client(
            listener,
            (lambda host, port: shell.run(host, str(port))) if options.run else None,
            demands_tls=options.require_tls,
            timeout=options.timeout,
            patience=options.timeout * _PATIENCE,
            scenarios=scenarios,
            announce=lambda scenario: complain(f"smtpcore: next: a server that {scenario.sentence}"),
        )
    if options.run and {one.outcome for one in results} <= {Outcome.INCONCLUSIVE, Outcome.NOT_OFFERED}:
        complain(
            f"smtpcore: no client has connected; the last exit code of the command was {shell.exit_code}"
            " (hint: run it by hand, with a host and a port as $1 and $2)"
        )
    only = set(options.only)
    return [one for one in results if not only or only & {one.name, one.requirement}]


def _list(*, client: bool) -> int:
    for row in (*map(_row, CLIENT_CHECKS),) if client else (*map(_row, CHECKS), *map(_row, RULES)):
        write(sys.stdout, f"{row}\n")
    for scenario in SCENARIOS if client else ():
        write(sys.stdout, f"server  {scenario.name:47} {scenario.sentence}\n")
    return 0


def _row(one: Check[Session] | Check[Rounds] | Rule) -> str:
    return f"{one.requirement:7} {one.level:6} {one.name:40} {one.sentence} (RFC {one.rfc})"


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    # int() raises an error of its own for thousands of digits.
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise Failure(EX_USAGE, f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except socket.gaierror as error:
        raise Failure(EX_NOHOST, f"{host}: {error.strerror}") from None
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _save(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(EX_CANTCREAT, f"cannot write {path}: {error.strerror}") from None
