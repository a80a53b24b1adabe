"""An extension declared outside the library: keyword, parameters, a command, for both roles.

The extension is called HOLD. A server that offers it accepts

* ``HOLD=hours`` with MAIL: keep the message for so long before delivery. The argument of the EHLO keyword is
  the largest number of hours: 24, and 72 under TLS;
* ``URGENT`` with RCPT: do not hold the message for this recipient. Without HOLD at MAIL it is refused;
* ``HOLD-STATUS [name]``: how many messages are held. It is legal between transactions and in a transaction with
  a recipient, and it may stand anywhere in a pipelined group.

Run it as it stands: on each of the adapters a server and a client hold a session over the loopback interface.
With a certificate the session begins with STARTTLS:

    python examples/private_extension.py --certificate server.pem --authority ca.pem
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from typing import Any

import smtpcore.asyncio
import smtpcore.sync
from smtpcore import Capabilities, Command, LocalProtocolError, Mail, Rcpt, Reply, ServerConfig, State
from smtpcore.extensions import STANDARD, CommandSpec, Extension, Facts, Group, Parameter
from smtpcore.handlers import Handler


class HoldStatus(Command):
    """HOLD-STATUS: asks how many messages are held.

    Args:
        name: The sender whose messages are counted; ``""`` for all.
    """

    __slots__ = ("name",)
    __match_args__ = ("name",)
    verb = "HOLD-STATUS"

    name: str

    def __init__(self, name: str = "") -> None:
        if not (name.isascii() and name.isprintable()) or " " in name:
            raise LocalProtocolError(f"{name!r} is not a valid name: one word of printable ASCII, or nothing")
        self.name = name


def format_status(command: HoldStatus) -> str:
    return command.name


def offer(config: ServerConfig, facts: Facts) -> list[str]:
    return ["72" if facts.tls is not None else "24"]


def read(arguments: tuple[str, ...]) -> int | None:
    return parse_hours(arguments[0]) if arguments else None


def parse_hours(value: str | None) -> int:
    if value is None or not (value.isascii() and value.isdigit() and len(value) <= 4):
        raise LocalProtocolError("HOLD takes a number of hours, of 1 to 4 digits")
    return int(value)


def format_hours(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 9999:
        raise LocalProtocolError(f"HOLD takes a number of hours from 0 to 9999, not {value!r}")
    return str(value)


def check(command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
    hours, most = None, capabilities.value("HOLD")
    if isinstance(command, Mail):
        hours = command.parameters.get("HOLD")
    if isinstance(hours, int) and isinstance(most, int) and hours > most:
        return Reply(504, "5.5.4", f"HOLD={hours} is too long: at most {most} hours")
    if isinstance(command, Rcpt) and "URGENT" in command.parameters:
        if facts.mail is None or "HOLD" not in facts.mail.parameters:
            return Reply(501, "5.5.4", "URGENT needs HOLD at MAIL")
    return None


HOLD = Extension(
    "HOLD",
    offer=offer,
    read=read,
    parameters=(Parameter("HOLD", "MAIL", parse_hours, format_hours), Parameter.flag("URGENT", "RCPT")),
    commands=(
        CommandSpec(
            HoldStatus,
            parse=HoldStatus,
            format=format_status,
            reply=Reply(250, "2.0.0", "no messages are held"),
            states=frozenset({State.READY, State.RCPT}),
            group=Group.ANYWHERE,
        ),
    ),
    check=check,
    mail_octets=len(" HOLD=9999"),
    rcpt_octets=len(" URGENT"),
)
EXTENSIONS = (*STANDARD, HOLD)
CONFIG = ServerConfig(extensions=EXTENSIONS)


class Holding(Handler):
    """A handler that counts the messages that it is asked to hold."""

    def __init__(self) -> None:
        self.held = 0

    def accept_sender(self, session: object, reverse_path: object, parameters: Any) -> bool:
        self.held += "HOLD" in parameters
        return True

    def on_command(self, session: object, command: Command) -> Reply | bool:
        if isinstance(command, HoldStatus):
            return Reply(250, "2.0.0", f"{self.held} messages of {command.name or 'all senders'} are held")
        return False


# What the client says. The server's replies to these are the output of the program.
COMMANDS = (
    HoldStatus(),
    Mail("alice@client.example", {"HOLD": 20}),
    Rcpt("bob@example.org", {"URGENT": True}),
    HoldStatus("alice"),
)


def show(adapter: str, capabilities: Capabilities, replies: list[Reply]) -> None:
    print(f"{adapter}: HOLD up to {capabilities.value('HOLD')} hours")
    for reply in replies:
        print(f"  {reply}")


def run_sync(server: dict[str, Any], client: dict[str, Any]) -> None:
    with smtpcore.sync.serve(Holding(), config=CONFIG, **server) as listener:
        port = listener.addresses[0][1]
        with smtpcore.sync.connect("localhost", port, extensions=EXTENSIONS, **client) as session:
            show("sync", session.capabilities, [session.command(command) for command in COMMANDS])


async def run_asyncio(server: dict[str, Any], client: dict[str, Any]) -> None:
    async with smtpcore.asyncio.serve(Holding(), config=CONFIG, **server) as listener:
        port = listener.addresses[0][1]
        async with smtpcore.asyncio.connect("localhost", port, extensions=EXTENSIONS, **client) as session:
            show("asyncio", session.capabilities, [await session.command(command) for command in COMMANDS])


def run_trio(server: dict[str, Any], client: dict[str, Any]) -> None:
    import trio

    import smtpcore.trio

    async def run() -> None:
        async with smtpcore.trio.serve(Holding(), config=CONFIG, **server) as listener:
            port = listener.addresses[0][1]
            async with smtpcore.trio.connect("localhost", port, extensions=EXTENSIONS, **client) as session:
                show("trio", session.capabilities, [await session.command(command) for command in COMMANDS])

    trio.run(run)


def main() -> None:
    parser = argparse.ArgumentParser(description="An extension declared outside the library.")
    parser.add_argument("--certificate", help="PEM file with the server's key and certificate for localhost")
    parser.add_argument("--authority", help="PEM file with the certificate of its authority")
    args = parser.parse_args()
    server: dict[str, Any] = {}
    client: dict[str, Any] = {}
    if args.certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.certificate)
        server["ssl_context"] = context
        client["ssl_context"] = ssl.create_default_context(cafile=args.authority)
        client["security"] = "starttls"
    run_sync(server, client)
    asyncio.run(run_asyncio(server, client))
    run_trio(server, client)


if __name__ == "__main__":
    main()
