"""A server with async callbacks, on trio: a shutdown in which no message is lost.

    python examples/trio_server.py --domain example.org --port 8025

On SIGINT or SIGTERM it stops accepting connections; sessions that are between messages are told 421 at once,
those in the middle of one have ``--grace`` seconds to finish it. What was answered 250 is
stored, and what was not is still the client's.
"""

from __future__ import annotations

import argparse
import mailbox
import signal
from collections.abc import Mapping
from typing import BinaryIO

import trio

import smtpcore.trio
from smtpcore import Ehlo, Envelope, ForwardPath, Reply
from smtpcore.message import received_field, return_path_field, with_keyword
from smtpcore.trio import ServerSession


class MailServer:
    """Takes mail for one domain."""

    def __init__(self, domain: str, inbox: mailbox.Maildir) -> None:
        self.domain = domain.lower()
        self.inbox = inbox
        self.disk = trio.CapacityLimiter(4)  # messages that are written at the same time

    async def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Mapping[str, object]
    ) -> bool | Reply:
        """RCPT. A look-up in a database would be awaited here."""
        if forward_path.is_postmaster or forward_path.domain.lower() == self.domain:
            return True
        return Reply(550, "5.7.1", "not for this domain")

    async def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> bool:
        """The message is here, whole. True is answered 250, and then it is ours to lose."""
        octets = (trace(session, envelope) + content.read()).replace(b"\r\n", b"\n")
        # A thread waits for the disk, so that nobody else has to.
        await trio.to_thread.run_sync(self.inbox.add, octets, limiter=self.disk)
        return True


def trace(session: ServerSession, envelope: Envelope) -> bytes:
    """The fields that the last server has to put in front (RFC 5321 4.4)."""
    connection = session.connection
    assert connection.hello is not None
    return return_path_field(envelope.reverse_path) + received_field(
        from_domain=connection.hello.domain,
        from_address=session.peername[0],
        by=connection.hostname,
        with_protocol=with_keyword(esmtp=isinstance(connection.hello, Ehlo), tls=connection.tls is not None),
        for_path=envelope.forward_paths,
    )


async def serve(host: str, port: int, grace: float, server: MailServer) -> None:
    """Serve until a signal says to stop."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with smtpcore.trio.serve(server, host, port, grace=grace) as listener:
            print("listening on port", listener.addresses[0][1], flush=True)
            async for _ in signals:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server on trio.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--maildir", default="maildir")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds for messages under way at the end")
    args = parser.parse_args()
    trio.run(serve, args.host, args.port, args.grace, MailServer(args.domain, mailbox.Maildir(args.maildir)))


if __name__ == "__main__":
    main()
