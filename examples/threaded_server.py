"""A server with callbacks, a thread for each client: mail into a Maildir, passwords under TLS.

    python examples/threaded_server.py --domain example.org --port 8025

``serve()`` calls the methods of a ``Handler``. Their results decide: True accepts, False refuses, a ``Reply``
is sent as it is. After None or an exception the server replies 451.
"""

from __future__ import annotations

import argparse
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path

import smtpcore.sync
from smtpcore import Credentials, Reply, ReversePath, ServerConfig
from smtpcore.maildir import MaildirHandler
from smtpcore.sync import ServerSession


class MailServer(MaildirHandler):
    """Accepts mail for one domain. Its methods are called in the threads of the sessions, several at a time.

    ``MaildirHandler`` is a ``Handler`` with the method that stores messages: it returns True when they are safe
    on the disk.
    """

    def __init__(self, path: str, domain: str, passwords: Mapping[str, str]) -> None:
        super().__init__(path)
        self.domain = domain.lower()
        self.served_domains = (self.domain,)  # other recipients are refused, so this server is not a relay
        self.passwords = passwords

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        """Decide on AUTH, which the server offers under TLS only."""
        # The comparison takes the same time if the user is unknown and the password None.
        return credentials.matches(self.passwords.get(credentials.username))

    def accept_sender(
        self, session: ServerSession, reverse_path: ReversePath, parameters: Mapping[str, object]
    ) -> bool | Reply:
        """Decide on MAIL: senders of the own domain have to log in."""
        if reverse_path.domain.lower() == self.domain and session.authenticated is None:
            return Reply(530, "5.7.0", "log in to send mail with this sender")
        return True


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
    # After the block all sessions have ended. Messages that were being received had some seconds to complete.


if __name__ == "__main__":
    main()
