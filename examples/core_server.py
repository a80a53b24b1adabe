"""A server made of the core and a blocking socket: one client at a time, mail into a Maildir.

    python examples/core_server.py --domain example.org --port 8025

``ServerConnection`` does all the SMTP. What is left is here: answer events, send, read, and do the TLS
handshake when it is time. ``threaded_server.py`` does the same with an adapter, for many clients.
"""

from __future__ import annotations

import argparse
import contextlib
import mailbox
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
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)
from smtpcore.message import received_field, return_path_field, with_keyword


def converse(
    sock: socket.socket,
    connection: ServerConnection,
    domain: str,
    inbox: mailbox.Maildir,
    context: ssl.SSLContext | None,
) -> None:
    """Serve one client, until the session is over."""
    content = bytearray()
    with contextlib.ExitStack() as stack:
        stack.enter_context(sock)
        sock.settimeout(connection.timeout)
        while True:
            # Answer everything that has happened. The core has answered all that is not valid already.
            while (event := connection.next_event()) is not None:
                match event:
                    case Rcpt(forward_path=path) if not (path.is_postmaster or path.domain.lower() == domain):
                        # Without such a rule a server that passes mail on would do so for everybody.
                        connection.reject(550, "5.7.1", "not for this domain")
                    case Data():
                        content.clear()
                        connection.accept()
                    case Chunk(data=data):
                        content += data  # the core keeps none of it; Limits.message_size bounds it
                    case MessageAborted():
                        content.clear()  # it was refused, or the client is gone: what came is void
                    case EndOfMessage():
                        assert connection.envelope is not None
                        try:
                            store(inbox, connection, connection.envelope, content)
                        except OSError:
                            connection.reject(451, "4.3.0", "cannot store the message now")
                        else:
                            connection.accept()  # 250: from here on it is ours to lose
                    case ConnectionClosed():
                        sock.sendall(connection.data_to_send())
                        return
                    case _ if connection.unanswered is not None:
                        connection.accept()  # the usual reply: to the connection, EHLO, MAIL, NOOP, QUIT, ...

            # Nothing more can happen before the client has got its replies. So send them, and read.
            sock.sendall(connection.data_to_send())
            if connection.state is State.TLS and context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
                connection.tls_started(TlsInfo(version=sock.version()))
                continue
            try:
                octets = sock.recv(65536)
            except TimeoutError:
                connection.close(Reply(421, "4.4.2", "timeout"))
            else:
                connection.receive_data(octets)  # b"" is the end, and the core wants to know


def store(inbox: mailbox.Maildir, connection: ServerConnection, envelope: Envelope, content: bytearray) -> None:
    """Make the message safe: Maildir writes, calls fsync(), and only then gives the file its name."""
    assert connection.hello is not None
    trace = return_path_field(envelope.reverse_path) + received_field(
        from_domain=connection.hello.domain,
        from_address=str(connection.peer),
        by=connection.hostname,
        with_protocol=with_keyword(esmtp=isinstance(connection.hello, Ehlo), tls=connection.tls is not None),
        for_path=envelope.forward_paths,
    )
    inbox.add((trace + content).replace(b"\r\n", b"\n"))


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
    inbox = mailbox.Maildir(args.maildir)
    with socket.create_server((args.host, args.port)) as listener, contextlib.suppress(KeyboardInterrupt):
        print("listening on port", listener.getsockname()[1], flush=True)
        while True:
            sock, address = listener.accept()
            connection = ServerConnection(args.hostname, config=config, peer=address[0])
            try:
                converse(sock, connection, args.domain.lower(), inbox, context)
            except OSError as error:
                print(f"lost {address[0]}: {error}")


if __name__ == "__main__":
    main()
