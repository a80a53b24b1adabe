"""A server that looks at content while it passes, and refuses with 550 at its end.

    python examples/content_check.py --forbid "make money fast" --attachments 3 --port 8025

Content arrives in pieces, cut anywhere. Each piece is checked and then written to the disk, so a message costs
the memory of one piece. The reply comes after the final dot, even if a check fails earlier, because a client
does not read replies while it sends content. A refused message never gets into the Maildir.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence

import smtpcore.sync
from smtpcore import Envelope, Reply
from smtpcore.handlers import Handler
from smtpcore.maildir import MaildirHandler, MaildirSink
from smtpcore.sync import ServerSession


class Limit:
    """Counts occurrences of some octets in the whole content, in upper or lower case.

    It sees content as it is on the wire. A real filter decodes quoted-printable and base64 first.

    Args:
        octets: What is counted.
        most: The greatest number that is accepted.
        complaint: The text of the reply beyond that number.
    """

    def __init__(self, octets: bytes, most: int, complaint: str) -> None:
        self.octets = octets.lower()
        self.most = most
        self.complaint = complaint
        self._seen = 0
        self._tail = b""  # the last octets, in which an occurrence may begin

    def feed(self, data: bytes) -> None:
        text = self._tail + data.lower()
        self._seen += text.count(self.octets)
        # One octet short of an occurrence, so none is counted twice.
        self._tail = text[max(0, len(text) - len(self.octets) + 1) :]

    @property
    def exceeded(self) -> bool:
        return self._seen > self.most


class CheckedMessage:
    """A sink: receives one message, piece by piece, and decides at the end."""

    def __init__(self, limits: Sequence[Limit], file: MaildirSink) -> None:
        self.limits = limits
        self.file = file

    def write(self, data: bytes) -> None:
        """Check and store a piece. If this fails (a full disk), the message is refused at its end."""
        for limit in self.limits:
            limit.feed(data)
        self.file.write(data)

    def finish(self) -> bool | Reply:
        """Refuse the complete message, or store it and return True."""
        for limit in self.limits:
            if limit.exceeded:
                self.file.abort()
                return Reply(550, "5.7.1", limit.complaint)
        return self.file.finish()

    def abort(self) -> None:
        """Discard the message: the client is gone, the library refused it, or something here failed."""
        self.file.abort()


class MailServer(Handler):
    """Accepts mail for one domain that passes the checks."""

    def __init__(self, domain: str, inbox: MaildirHandler, forbidden: Sequence[str], attachments: int) -> None:
        self.served_domains = (domain,)  # other recipients are refused
        self.inbox = inbox
        self.forbidden = forbidden
        self.attachments = attachments

    def begin_message(self, session: ServerSession, envelope: Envelope) -> CheckedMessage:
        """Accept DATA, and return the sink that receives the content."""
        limits = [Limit(word.encode(), 0, "the message has forbidden words") for word in self.forbidden]
        limits.append(
            Limit(
                b"\r\nContent-Disposition: attachment",
                self.attachments,
                f"the message has more than {self.attachments} attachments",
            )
        )
        return CheckedMessage(limits, self.inbox.begin_message(session, envelope))


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server that checks content.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--maildir", default="maildir")
    parser.add_argument("--forbid", action="append", default=[], help="a word or phrase; may be repeated")
    parser.add_argument("--attachments", type=int, default=10, help="how many a message may have")
    args = parser.parse_args()

    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # in all threads, so that one can wait for them
    handler = MailServer(args.domain, MaildirHandler(args.maildir), args.forbid, args.attachments)
    with smtpcore.sync.serve(handler, args.host, args.port) as server:
        print("listening on port", server.addresses[0][1], flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
