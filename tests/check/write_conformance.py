"""Check servers and clients, and write docs/reference/conformance.md.

The command is ``python -m tests.check.write_conformance``.

It needs the programs of tests/interop and root, for Postfix and Exim. A failure of a careful server without an
argument in ARGUMENTS is an error: it may be a false alarm.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from smtpcore._check.client.runner import check_client
from smtpcore._check.client.scenarios import SCENARIOS
from smtpcore._check.runner import check_server
from smtpcore._check.table import ORDER, Outcome, Result
from smtpcore._check.target import Target

from ..interop.ours import PASSWORD, USER, Certificates
from .clients import CLIENTS
from .peers import SERVERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.md"

CAREFUL = frozenset(("smtpcore, threads", "smtpcore, asyncio", "smtpcore, trio", "smtpcore", "Postfix", "Exim"))

_LONG = "It cuts a command line of more than 16 KiB into several, and reads each part as a command."
_ECHO = "It quotes the argument of a command as it came, control characters and length included."
_PARAMETER = "It reads an unknown parameter as a part of the path, and answers 501 for 555."
_FIRST_LINE = "It looks for keywords in the first line of the reply to EHLO, too."
_HELO = "It tries HELO after any refusal of EHLO, 421 included."
ARGUMENTS = {
    ("Postfix", "lf-ends-no-line"): (
        "It reads LF as the end of a command line, for old clients. In 3.7 `smtpd_forbid_bare_newline` is about"
        " the content only, and exempts `mynetworks` unless `smtpd_forbid_bare_newline_exclusions` is empty."
    ),
    ("Exim", "lf-ends-no-line"): "It reads LF as the end of a command line, for old clients.",
    ("Exim", "command-line-too-long"): _LONG,
    ("Exim", "mail-line-too-long"): _LONG,
    ("Exim", "endless-line"): _LONG,
    ("Exim", "one-reply-per-command"): _LONG,
    ("Exim", "replies-do-not-echo-a-cr"): _ECHO,
    ("Exim", "reply-lines-end-in-crlf"): _ECHO,
    ("Exim", "reply-text"): _ECHO,
    ("Exim", "reply-length"): _ECHO,
    (
        "Exim",
        "size-parameter-malformed",
    ): "It reads the digits at the beginning of a size, and ignores the rest.",
    ("Exim", "size-malformed"): "It reads the digits at the beginning of a size, and ignores the rest.",
    (
        "Exim",
        "size-parameter-without-value",
    ): "It reads the digits at the beginning of a size, and ignores the rest.",
    ("Exim", "mail-unknown-parameter"): _PARAMETER,
    ("Exim", "mail-unknown-flag"): _PARAMETER,
    ("Exim", "rcpt-unknown-parameter"): _PARAMETER,
    ("Exim", "utf8-malformed"): "It does not look at the octets of a local-part where SMTPUTF8 is declared.",
    ("Exim", "bdat-enormous"): (
        "A size of 2^62 overflows its counter: the chunk counts as empty, and its octets are read as commands."
    ),
    ("OpenSMTPD", "*"): (
        "It refuses a second EHLO, a domain of 255 octets in the first one, and RSET and VRFY where it sees no"
        " use for them. It passes SIZE and RET on without reading them, compares NOTIFY with that of the"
        " recipient before, and answers 503 to unknown parameters."
    ),
    ("aiosmtpd", "*"): "A library for tests and applications: it leaves much of the syntax to its handler.",
    (
        "smtp-sink",
        "*",
    ): "A sink for load tests: it looks at the first letters of a command, and accepts nearly all.",
    ("smtp-server", "*"): "It leaves the syntax of addresses and of some parameters to its handler.",
    ("smtplib", "client-understands-codes"): "It takes 250 and 251 for success, and no other 2yz code.",
    ("smtplib", "client-gives-up-after-421"): _HELO,
    ("swaks", "client-waits-for-replies"): "`--pipeline` makes it pipeline whatever the second EHLO offers.",
    (
        "swaks",
        "client-forgets-what-was-offered",
    ): "`--pipeline` makes it pipeline whatever the second EHLO offers.",
    (
        "swaks",
        "client-refuses-injected-replies",
    ): "It reads the plaintext after the 220 of STARTTLS from its buffer.",
    (
        "swaks",
        "client-uses-what-is-offered",
    ): _FIRST_LINE,
    ("swaks", "client-gives-up-after-421"): _HELO,
    (
        "swaks",
        "client-ends-after-a-failed-handshake",
    ): "`--tls-optional` makes it go on in plaintext on the same connection.",
    ("swaks", "client-understands-codes-alone"): "It expects a space after the code.",
    ("swaks", "client-understands-codes"): "It takes 250 for success after MAIL and RCPT, and no other code.",
    ("swaks", "client-ends-with-quit"): "It closes where it does not understand a reply.",
    ("curl", "client-gives-up-after-421"): "`--mail-rcpt-allowfails` makes it go on after any refused RCPT.",
    (
        "curl",
        "client-uses-what-is-offered",
    ): _FIRST_LINE,
    ("curl", "client-reads-keywords-in-any-case"): "It compares keywords as they are written.",
    ("msmtp", "client-waits-for-replies"): "It looks for `PIPELINING` anywhere in the reply to EHLO.",
    ("msmtp", "client-gives-up-after-421"): _HELO,
    ("msmtp", "client-understands-codes-alone"): "It expects a space after the code.",
    ("msmtp", "client-understands-codes"): "It takes 250 for success, and no other 2yz code.",
    ("msmtp", "client-sends-to-those-accepted"): "It sends to all recipients or to none, and says so.",
    ("msmtp", "client-ends-with-quit"): "It closes where it does not understand a reply.",
}

_HEAD = """\
# Conformance of servers and clients

What [`python3 -m smtpcore check`](../how-to/check-a-server.md) says about some servers and clients, each in a
configuration for tests (`tests/check/peers.py` and `tests/check/clients.py`). This page is written by
`python -m tests.check.write_conformance`.

A *fail* is an offence against a MUST, or against a rule of security. *Permitted latitude* is what an RFC
permits and does not recommend. *Not offered* counts extensions that the server does not have, and checks that
need an option.
"""


def main() -> int:
    """Check all, and write the page."""
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificates = _certificates(folder)
        servers = dict(_servers(certificates))
        clients = dict(_clients())
    text = "".join(_page(servers, clients))
    PAGE.write_text(text, encoding="utf-8")
    unargued = [
        f"{subject}: {result.name}: {result.why}"
        for subject, results in (*servers.items(), *clients.items())
        for result in results
        if subject in CAREFUL and result.outcome is Outcome.FAIL and not _argument(subject, result)
    ]
    sys.stderr.write("".join(f"without an argument: {line}\n" for line in unargued))
    return 1 if unargued else 0


def _certificates(folder: Path) -> Certificates:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    found = Certificates(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    authority.cert_pem.write_to_path(str(found.authority))
    issued.private_key_pem.write_to_path(str(found.key))
    for number, certificate in enumerate(issued.cert_chain_pems):
        certificate.write_to_path(str(found.chain), append=number > 0)
    return found


def _servers(certificates: Certificates) -> Iterator[tuple[str, list[Result]]]:
    for subject in SERVERS:
        try:
            with subject.start(certificates) as port:
                user = (USER, PASSWORD) if subject.user else None
                yield subject.name, check_server(Target("127.0.0.1", port, user=user))
        except pytest.skip.Exception as missing:
            sys.stderr.write(f"left out: {subject.name}: {missing}\n")


def _clients() -> Iterator[tuple[str, list[Result]]]:
    for name, client in CLIENTS:
        try:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                yield name, check_client(listener, client)
        except pytest.skip.Exception as missing:
            sys.stderr.write(f"left out: {name}: {missing}\n")


def _argument(subject: str, result: Result) -> str:
    return ARGUMENTS.get((subject, result.name)) or ARGUMENTS.get((subject, "*"), "")


def _page(servers: dict[str, list[Result]], clients: dict[str, list[Result]]) -> Iterator[str]:
    yield _HEAD
    checks = len(next(iter(servers.values())))
    yield f"\n## Servers\n\n{checks} checks and rules.\n\n"
    yield from _table("server", servers)
    yield f"\n## Clients\n\nEach client sends one message with dots to each of {len(SCENARIOS)} servers.\n\n"
    yield from _table("client", clients)
    yield "\n## Each failure, argued\n"
    for subject, results in (*servers.items(), *clients.items()):
        failed = [result for result in results if result.outcome is Outcome.FAIL]
        if not failed:
            continue
        yield f"\n### {subject}\n\n"
        general = ARGUMENTS.get((subject, "*"))
        if general:
            yield f"{general}\n\n"
        for result in failed:
            argument = ARGUMENTS.get((subject, result.name), "")
            yield f"- {result.requirement} `{result.name}`: {result.sentence}. {argument}".rstrip() + "\n"


def _table(kind: str, subjects: dict[str, list[Result]]) -> Iterator[str]:
    yield f"| {kind} | {' | '.join(ORDER)} |\n|---|{'---|' * len(ORDER)}\n"
    for subject, results in subjects.items():
        found = Counter(result.outcome for result in results)
        yield f"| {subject} | {' | '.join(str(found[outcome]) for outcome in ORDER)} |\n"


if __name__ == "__main__":
    os.environ.pop("SMTPCORE_REQUIRE_PEERS", None)
    sys.exit(main())
