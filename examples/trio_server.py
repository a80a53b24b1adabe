"""A server with async callbacks, on trio: a shutdown in which no message is lost.

    python examples/trio_server.py --domain example.org --port 8025

On SIGINT or SIGTERM it stops accepting connections. Sessions between messages get 421 at once; those that are
receiving a message have ``--grace`` seconds to complete it. A message that was answered 250 is stored. The
client is still responsible for any other.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Mapping

import trio

import smtpcore.trio
from smtpcore import Envelope, ForwardPath, Reply
from smtpcore.handlers import Handler
from smtpcore.maildir import MaildirHandler, MaildirSink
from smtpcore.trio import ServerSession


class Message:
    """A sink: receives the content of one message, piece by piece."""

    def __init__(self, file: MaildirSink, limiter: trio.CapacityLimiter) -> None:
        self.file = file
        self.limiter = limiter

    def write(self, data: bytes) -> None:
        self.file.write(data)  # at most 64 KiB, into the system's cache: no thread is needed

    async def finish(self) -> bool:
        """Store the complete message. After True the server replies 250 and is responsible for the message."""
        # A thread waits for the disk, so that other sessions go on.
        return await trio.to_thread.run_sync(self.file.finish, limiter=self.limiter)

    def abort(self) -> None:
        self.file.abort()


class MailServer(Handler):
    """Accepts mail for one domain."""

    def __init__(self, domain: str, inbox: MaildirHandler) -> None:
        self.domain = domain.lower()
        self.inbox = inbox
        self.disk = trio.CapacityLimiter(4)  # messages that are written to the disk at the same time

    async def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Mapping[str, object]
    ) -> bool | Reply:
        """Decide on RCPT. A query of a database would be awaited here."""
        if forward_path.is_postmaster or forward_path.domain.lower() == self.domain:
            return True
        return Reply(550, "5.7.1", "not for this domain")

    def begin_message(self, session: ServerSession, envelope: Envelope) -> Message:
        """Accept DATA, and return the sink of the content."""
        return Message(self.inbox.begin_message(session, envelope), self.disk)


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
    trio.run(serve, args.host, args.port, args.grace, MailServer(args.domain, MaildirHandler(args.maildir)))


if __name__ == "__main__":
    main()
