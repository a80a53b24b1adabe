"""A server on Twisted, made of the core: mail for one domain into a Maildir, with STARTTLS.

    python examples/twisted_server.py --domain example.org --port 8025

``smtpcore`` has no adapter for Twisted and needs none: ``ServerConnection`` implements SMTP, and this file is
the loop around it. It shows what a loop in another framework has to do:

* An event may be answered later. The file is synchronized in a thread; until that is done the protocol asks
  the core for no further event and reads nothing.
* Back pressure in both directions. A client that does not read its replies fills Twisted's buffer, Twisted
  calls ``pauseProducing()``, and the protocol reads no further commands.
* A deadline belongs to an event. Octets that drip in without completing a command do not prolong it.
* The handshake starts in the state ``TLS``, after the replies were written; the core has discarded what the
  client sent too early.

It needs ``pip install 'twisted[tls]'``. Left out are a limit for the length of a whole session
(``Timeouts.session``), a minimum rate of content, and the trace fields that a server has to add at final
delivery (RFC 5321 4.4); ``core_server.py`` shows the latter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpcore import (
    Chunk,
    ConnectionClosed,
    Data,
    EndOfMessage,
    Event,
    MessageAborted,
    Rcpt,
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.maildir import MaildirSink

HANDSHAKE_TIMEOUT = 30  # seconds
CLOSE_TIMEOUT = 30  # seconds for a client to read the last reply


@implementer(IHandshakeListener, IPushProducer)
class ServerProtocol(Protocol, TimeoutMixin):
    """One client's session.

    Args:
        server: What all sessions share.
        connection: The core.
    """

    def __init__(self, server: MailServer, connection: ServerConnection) -> None:
        self.server = server
        self.connection = connection
        self.message: MaildirSink | None = None
        self.storing = False  # a thread makes the message safe; its EndOfMessage is not answered yet
        self.full = False  # Twisted's output buffer is
        self.ended: Deferred[None] = Deferred()

    # -- what Twisted calls --

    def connectionMade(self) -> None:
        self.server.sessions.add(self)
        self.transport.registerProducer(self, True)
        self.setTimeout(self.connection.timeout)
        self.advance()

    def dataReceived(self, data: bytes) -> None:
        if self.connection.state is not State.CLOSED:
            self.connection.receive_data(data)
            self.advance()

    def handshakeCompleted(self) -> None:
        handle = self.transport.getHandle()
        info = TlsInfo(version=handle.get_protocol_version_name(), cipher=handle.get_cipher_name())
        self.connection.tls_started(info)
        self.setTimeout(self.connection.timeout)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.setTimeout(None)
        self.connection.receive_data(b"")
        if not self.storing:
            self.drop()  # otherwise the thread completes: complete messages are kept
        self.server.sessions.discard(self)
        self.ended.callback(None)

    def timeoutConnection(self) -> None:
        if self.connection.state is State.TLS or self.connection.state is State.CLOSED:
            self.transport.abortConnection()  # no reply is possible, or the client does not read it
        else:
            self.close(Reply(421, "4.4.2", "timeout"))

    def pauseProducing(self) -> None:
        self.full = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.full = False
        self.advance()

    def stopProducing(self) -> None:
        self.full = True

    # -- the loop --

    def advance(self) -> None:
        """Answer the events, send the replies, and continue to read unless an answer is pending."""
        connection = self.connection
        while not (self.storing or self.full):
            event = connection.next_event()
            if event is None or isinstance(event, ConnectionClosed):
                break
            self.answer(event)
            self.resetTimeout()
        if octets := connection.data_to_send():
            self.transport.write(octets)
        if connection.state is State.CLOSED:
            self.transport.unregisterProducer()  # loseConnection() waits for a registered producer
            self.transport.loseConnection()
            self.setTimeout(CLOSE_TIMEOUT)
        elif self.storing or self.full:
            self.transport.pauseProducing()
        elif connection.state is State.TLS and not self.transport.TLS:
            self.setTimeout(HANDSHAKE_TIMEOUT)
            self.transport.startTLS(self.server.tls)
        else:
            self.transport.resumeProducing()
            if connection.state is State.CONTENT:
                self.resetTimeout()  # refused content is read to its end without events

    def answer(self, event: Event) -> None:
        """Answer an event. The core has already answered invalid commands."""
        connection = self.connection
        match event:
            case Rcpt(forward_path=path) if not (
                path.is_postmaster or path.domain.lower() == self.server.domain
            ):
                connection.reject(550, "5.7.1", "not for this domain")
            case Data():
                self.message = MaildirSink(self.server.maildir)
                connection.accept()
            case Chunk(data=data) if self.message is not None:
                self.message.write(data)
            case EndOfMessage() if self.message is not None:
                self.storing = True
                self.setTimeout(None)  # the client waits for this server
                deferToThread(self.message.finish).addCallbacks(self.stored, self.not_stored)
            case MessageAborted():
                self.drop()
            case _ if connection.unanswered is not None:
                connection.accept()

    def stored(self, result: bool) -> None:
        self.message = None
        self.resume_after_storing(None)

    def not_stored(self, failure: Failure) -> None:
        failure.printTraceback()
        self.drop()
        self.resume_after_storing(Reply(451, "4.3.0", "local error in processing"))

    def resume_after_storing(self, refusal: Reply | None) -> None:
        self.storing = False
        if self.connection.unanswered is not None:  # the session may have ended in the meantime
            if refusal is None:
                self.connection.accept()  # 250: the message is on the disk
            else:
                self.connection.send(refusal)
        if not self.ended.called:
            self.setTimeout(self.connection.timeout)
            self.advance()
        if self.server.stopping:
            self.close()

    def drop(self) -> None:
        """Remove an incomplete message."""
        if self.message is not None:
            self.message.abort()
            self.message = None

    def close(self, reply: Reply | None = None) -> None:
        """End the session with 421, after the reply to a message that is being stored."""
        if not (self.storing or self.ended.called):
            self.connection.close(reply)
            self.full = False
            self.advance()


class MailServer(Factory):
    """Creates a protocol for each client.

    Args:
        domain: The domain to accept mail for.
        maildir: The Maildir; its folders exist.
        certificate: A PEM file with certificate and key, None: STARTTLS is not offered.
    """

    def __init__(self, domain: str, maildir: Path, certificate: str | None) -> None:
        self.domain = domain.lower()
        self.maildir = maildir
        self.config = ServerConfig(starttls=certificate is not None)
        self.tls = None if certificate is None else DefaultOpenSSLContextFactory(certificate, certificate)
        self.sessions: set[ServerProtocol] = set()
        self.stopping = False

    def buildProtocol(self, address: object) -> ServerProtocol:
        return ServerProtocol(self, ServerConnection("localhost", config=self.config, peer=address))

    def stop(self) -> DeferredList:
        """End all sessions; return a Deferred that fires when they have ended."""
        self.stopping = True
        sessions = list(self.sessions)
        for session in sessions:
            session.close()
        return DeferredList([session.ended for session in sessions])


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server on Twisted.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to accept mail for")
    parser.add_argument("--maildir", default="maildir")
    parser.add_argument("--certificate", help="PEM file with certificate and key, for STARTTLS")
    args = parser.parse_args()
    maildir = Path(args.maildir)
    for folder in ("tmp", "new", "cur"):
        (maildir / folder).mkdir(parents=True, exist_ok=True)
    server = MailServer(args.domain, maildir, args.certificate)
    port = reactor.listenTCP(args.port, server, interface=args.host)
    reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    print("listening on port", port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
