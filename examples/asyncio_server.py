"""A server as a loop over events, on asyncio: content goes to disk as it arrives.

    python examples/asyncio_server.py --domain example.org --port 8025

Callbacks (see ``threaded_server.py``) are shorter. A loop sees every event, and has to answer each command
before it asks for the next event.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import smtpcore.asyncio
from smtpcore import Chunk, CommandRejected, Data, EndOfMessage, MessageAborted, Rcpt
from smtpcore.asyncio import ServerSession
from smtpcore.maildir import MaildirHandler, MaildirSink


class MailServer:
    """Accepts mail for one domain. ``serve()`` calls it for each client."""

    def __init__(self, domain: str, inbox: MaildirHandler) -> None:
        self.domain = domain.lower()
        self.inbox = inbox

    async def __call__(self, session: ServerSession) -> None:
        message: MaildirSink | None = None
        try:
            async for event in session:
                match event:
                    case Rcpt(forward_path=path) if not (
                        path.is_postmaster or path.domain.lower() == self.domain
                    ):
                        session.reject(550, "5.7.1", "not for this domain")
                    case Data():
                        assert session.envelope is not None
                        message = self.inbox.begin_message(session, session.envelope)
                        session.accept()
                    case Chunk(data=data) if message is not None:
                        message.write(data)  # at most 64 KiB, into the system's cache: no thread is needed
                    case EndOfMessage() if message is not None:
                        # This waits for the disk, so a thread does it: other sessions go on.
                        await asyncio.to_thread(message.finish)
                        message = None
                        session.accept()  # 250: this server is responsible for the message now
                    case MessageAborted(reply=reply) if message is not None:
                        message.abort()
                        message = None
                        print("a message was aborted:", reply or "the connection is lost", flush=True)
                    case CommandRejected(line=line, reply=reply):
                        print(f"{line!r} was answered {reply}", flush=True)
                    case _ if session.unanswered:
                        session.accept()  # the usual reply: to the connection, EHLO, MAIL, NOOP, QUIT, ...
        finally:
            # If storing fails, the exception ends the session with 421, and the client keeps the message.
            if message is not None:
                message.abort()


async def serve(host: str, port: int, server: MailServer) -> None:
    """Serve until a signal says to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with smtpcore.asyncio.serve(server, host, port) as listener:
        print("listening on port", listener.addresses[0][1], flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server on asyncio.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--maildir", default="maildir")
    args = parser.parse_args()
    asyncio.run(serve(args.host, args.port, MailServer(args.domain, MaildirHandler(args.maildir))))


if __name__ == "__main__":
    main()
