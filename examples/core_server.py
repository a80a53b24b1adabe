"""A server made of the core and a blocking socket: one client at a time, mail into a Maildir.

    python examples/core_server.py --domain example.org --port 8025

``ServerConnection`` implements SMTP. The rest is here: answer events, send, read, and do the TLS handshake
after STARTTLS. ``threaded_server.py`` is a similar server on an adapter, for many clients.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl

from smtpcore import (
    Chunk,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Envelope,
    MessageAborted,
    Rcpt,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.maildir import MaildirHandler, MaildirSink
from smtpcore.trace import received_field, received_protocol, return_path_field


class Session:
    """One client's session: the answers of the application."""

    def __init__(self, connection: ServerConnection, domain: str, inbox: MaildirHandler) -> None:
        self.connection = connection
        self.domain = domain.lower()
        self.inbox = inbox
        self.message: MaildirSink | None = None

    def converse(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """The loop around the core: answer, send, read, until the session is over."""
        connection = self.connection
        with contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            stack.callback(self.drop)  # an incomplete message is always removed
            sock.settimeout(connection.timeout)
            while True:
                while (event := connection.next_event()) is not None:
                    if isinstance(event, ConnectionClosed):
                        sock.sendall(connection.data_to_send())  # the last reply
                        return
                    self.answer(event)

                # Nothing more can happen before the client has its replies. So send them, and read.
                sock.sendall(connection.data_to_send())
                if connection.state is State.TLS and context is not None:
                    sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
                    connection.tls_started(TlsInfo(version=sock.version()))
                    continue
                try:
                    octets = sock.recv(65536)
                except TimeoutError:
                    connection.close(connection.timeout_reply)
                else:
                    connection.receive_data(octets)  # b"" is the end of the input: the core must know

    def answer(self, event: object) -> None:
        """Answer an event. The core has already answered invalid commands."""
        connection = self.connection
        match event:
            case Rcpt(forward_path=path) if not (path.is_postmaster or path.domain.lower() == self.domain):
                # Without such a rule a server that passes mail on is an open relay.
                connection.reject(550, "5.7.1", "not for this domain")
            case Data():
                assert connection.envelope is not None
                self.message = MaildirSink(self.inbox.path)
                self.message.write(trace_fields(connection, connection.envelope))
                connection.accept()
            case Chunk(data=data) if self.message is not None:
                self.message.write(data)  # the core does not keep it
            case EndOfMessage() if self.message is not None:
                self.message.finish()  # returns when the file is safe on the disk, or raises
                self.message = None
                connection.accept()  # 250: this server is responsible for the message now
            case MessageAborted():
                self.drop()  # the core refused it, or the connection is lost
            case _ if connection.unanswered is not None:
                connection.accept()  # the usual reply: to the connection, EHLO, MAIL, NOOP, QUIT, ...

    def drop(self) -> None:
        """Remove an incomplete message."""
        if self.message is not None:
            self.message.abort()
            self.message = None


def trace_fields(connection: ServerConnection, envelope: Envelope) -> bytes:
    """The fields that the last server adds at the top of a message (RFC 5321 4.4)."""
    hello = connection.hello
    assert hello is not None
    return return_path_field(envelope.reverse_path) + received_field(
        from_domain=hello.domain,
        from_address=str(connection.peer),
        by=connection.hostname,
        with_protocol=received_protocol(esmtp=isinstance(hello, Ehlo), tls=connection.tls is not None),
        for_path=envelope.forward_paths,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server on the core of smtpcore.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--hostname", default="localhost", help="the server's name")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--maildir", default="maildir")
    parser.add_argument("--certificate", help="PEM file with certificate and key, for STARTTLS")
    args = parser.parse_args()

    context: ssl.SSLContext | None = None
    if args.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.certificate)
    config = ServerConfig(starttls=context is not None)
    inbox = MaildirHandler(args.maildir)
    with socket.create_server((args.host, args.port)) as listener, contextlib.suppress(KeyboardInterrupt):
        print("listening on port", listener.getsockname()[1], flush=True)
        while True:
            sock, address = listener.accept()
            connection = ServerConnection(args.hostname, config=config, peer=address[0])
            try:
                Session(connection, args.domain, inbox).converse(sock, context)
            except OSError as error:  # of the network or the disk: without a 250 the client keeps its message
                print(f"lost {address[0]}: {error}", flush=True)


if __name__ == "__main__":
    main()
