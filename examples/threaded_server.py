"""A server with callbacks, a thread for each client: mail into a Maildir, passwords under TLS.

    python examples/threaded_server.py --domain example.org --port 8025

``serve()`` needs an object with some methods. Their results decide: True accepts, False refuses, a ``Reply`` is
sent as it is, and None, or an exception, is answered 451.
"""

from __future__ import annotations

import argparse
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path

import smtpcore.sync
from smtpcore import Credentials, ForwardPath, Reply, ReversePath, ServerConfig
from smtpcore.maildir import MaildirHandler
from smtpcore.sync import ServerSession


class MailServer(MaildirHandler):
    """Accepts mail for one domain. Its methods are called in the threads of the sessions, several at a time.

    ``MaildirHandler`` has the method that stores messages and returns True when they are safe on the disk.
    """

    def __init__(self, path: str, domain: str, passwords: Mapping[str, str]) -> None:
        super().__init__(path)
        self.domain = domain.lower()
        self.passwords = passwords

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        """AUTH. It is called under TLS only: in plaintext AUTH is not offered."""
        # None for an unknown user: the comparison then takes the same time.
        return credentials.matches(self.passwords.get(credentials.username))

    def accept_sender(
        self, session: ServerSession, reverse_path: ReversePath, parameters: Mapping[str, object]
    ) -> bool | Reply:
        """MAIL: our own addresses need a login."""
        if self.is_ours(reverse_path.domain) and session.connection.authenticated is None:
            return Reply(530, "5.7.0", "log in to send mail as one of us")
        return True

    def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Mapping[str, object]
    ) -> bool | Reply:
        """RCPT: refuse other domains, so that this server is not a relay."""
        if forward_path.is_postmaster or self.is_ours(forward_path.domain):
            return True
        return Reply(550, "5.7.1", "not for this domain")

    def is_ours(self, domain: str) -> bool:
        return domain.lower() == self.domain


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server with threads.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--maildir", default="maildir")
    parser.add_argument("--certificate", help="PEM file with certificate and key, for STARTTLS and AUTH")
    parser.add_argument("--passwords", type=Path, help="a file with a name:password on each line")
    args = parser.parse_args()

    context: ssl.SSLContext | None = None
    if args.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.certificate)
    passwords: dict[str, str] = {}
    if args.passwords:
        for line in args.passwords.read_text().splitlines():
            name, _, password = line.partition(":")
            passwords[name] = password
    handler = MailServer(args.maildir, args.domain, passwords)
    config = ServerConfig(auth_mechanisms=("PLAIN", "LOGIN") if passwords else ())

    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # in all threads, so that one can wait for them
    with smtpcore.sync.serve(handler, args.host, args.port, ssl_context=context, config=config) as server:
        print("listening on port", server.addresses[0][1], flush=True)
        signal.sigwait(stop)
    # After the block all sessions have ended: messages on their way had some seconds to complete.


if __name__ == "__main__":
    main()
