"""A client made of the core and a blocking socket: sends a message from standard input.

    python examples/core_client.py --from a@example.com --to b@example.org --port 8025 <message.eml

``ClientConnection`` implements SMTP. The rest is one loop: react to the replies, send, and read.
``smtpcore.sync.connect()`` does this and more (HELO, AUTH, hints) in one line.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import sys
from collections.abc import Sequence

from smtpcore import (
    Chunk,
    ClientConnection,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Mail,
    Quit,
    Rcpt,
    Reply,
    Response,
    SMTPError,
    StartTls,
    State,
    TlsInfo,
    normalize_line_endings,
)


def send(
    host: str,
    port: int,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    context: ssl.SSLContext | None = None,
) -> dict[str, Reply]:
    """Send a message.

    Args:
        context: With it the message is sent under TLS only; None: in plaintext.

    Returns:
        The last reply for each recipient; a recipient is missing if its RCPT was never sent.
    """
    connection = ClientConnection()
    results: dict[str, Reply] = {}
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection((host, port), timeout=30))
        while True:
            # React to everything that has happened.
            while (event := connection.next_event()) is not None:
                match event:
                    case Response(command=Connect(), reply=reply) if reply.is_success:
                        connection.send(Ehlo(own_name(sock)))
                    case Response(command=Ehlo(), reply=reply) if reply.is_success:
                        if context is not None and connection.tls is None:
                            connection.send(StartTls())  # raises if it is not offered, so nothing is sent
                        else:
                            # All at once: the core waits for replies between them where it must.
                            connection.send(mail(connection, sender, content))
                            for recipient in recipients:
                                connection.send(Rcpt(recipient))
                            connection.send(Data())
                    case Response(command=StartTls(), reply=reply) if reply.is_success:
                        pass  # the state is TLS now: see below
                    case Response(command=Mail(), reply=reply):
                        if not reply.is_success:  # and so the commands after it fail as well
                            results = dict.fromkeys(recipients, reply)
                    case Response(command=Rcpt(forward_path=path), reply=reply):
                        results.setdefault(str(path), reply)
                    case Response(command=Data(), reply=reply) if reply.is_intermediate:
                        if any(one.is_success for one in results.values()):
                            sock.settimeout(connection.timeout)
                            for start in range(0, len(content), 65536):
                                connection.send(Chunk(content[start : start + 65536]))
                                sock.sendall(connection.data_to_send())
                        # Without an accepted recipient a lone dot ends the empty content.
                        connection.send(EndOfMessage())
                    case Response(command=EndOfMessage() | Data(), reply=reply):
                        # The reply is for all accepted recipients: with 2yz they have the message.
                        results |= {path: reply for path, rcpt in results.items() if rcpt.is_success}
                        quit_if_possible(connection)
                    case CommandNotSent(command=Data()):
                        quit_if_possible(connection)  # no recipient was accepted, so it was held back
                    case CommandNotSent() | Response(command=Quit()):
                        pass
                    case Response(reply=reply):
                        # The connection, EHLO or STARTTLS was refused, or the reply is an unsolicited 421.
                        results = dict.fromkeys(recipients, reply)
                        quit_if_possible(connection)
                    case ConnectionClosed():
                        return results

            # Nothing more can happen before the server replies. So send what is pending, and read.
            sock.sendall(connection.data_to_send())
            if connection.state is State.TLS and context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname=host))
                connection.tls_started(TlsInfo(version=sock.version()))
                connection.send(Ehlo(own_name(sock)))  # what was offered in plaintext is forgotten
                continue
            sock.settimeout(connection.timeout)
            connection.receive_data(sock.recv(65536))


def own_name(sock: socket.socket) -> str:
    """Return the argument of EHLO: a client without a domain name gives its address (RFC 5321 4.1.4)."""
    address = sock.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def mail(connection: ClientConnection, sender: str, content: bytes) -> Mail:
    """Make MAIL with the parameters that the server offers."""
    parameters: dict[str, int | str] = {}
    if "SIZE" in connection.capabilities:
        parameters["SIZE"] = len(content)
    if "8BITMIME" in connection.capabilities and not content.isascii():
        parameters["BODY"] = "8BITMIME"
    return Mail(sender, parameters)


def quit_if_possible(connection: ClientConnection) -> None:
    """Send QUIT, unless the server has closed with a 421."""
    if connection.state is not State.CLOSED:
        connection.send(Quit())


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a message from standard input.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--from", dest="sender", required=True)
    parser.add_argument("--to", dest="recipients", action="append", required=True, help="may be repeated")
    parser.add_argument("--starttls", action="store_true", help="send under TLS only")
    parser.add_argument("--cafile", help="a certificate authority to trust, in place of the system's")
    args = parser.parse_args()

    context = ssl.create_default_context(cafile=args.cafile) if args.starttls or args.cafile else None
    content = normalize_line_endings(sys.stdin.buffer.read())  # lines of SMTP end in CRLF, those of files in LF
    try:
        results = send(args.host, args.port, args.sender, args.recipients, content, context)
    except (OSError, SMTPError) as error:
        print("failed:", error)
        return 1
    for recipient, reply in results.items():
        print(f"{recipient}: {reply}")
    return 0 if results and all(reply.is_success for reply in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
