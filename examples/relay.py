"""A gateway: accepts mail for one domain and passes it on, joining our server to our client.

    python examples/relay.py --domain example.org --port 8025 --next-host 127.0.0.1 --next-port 2525

Nothing is stored here, so nothing can be lost: each command of a transaction is passed on when it arrives, and
answered with the reply of the next hop. Each recipient gets its own reply, and the gateway never replies 250 to
a message before the next hop has. Both roles use the same classes, so a received command can be sent as it is.

The next hop must be on this machine or on a trusted network: the connection to it is in plaintext.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import time
from collections.abc import Mapping

import smtpcore.sync
from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    LocalProtocolError,
    Mail,
    MessageAborted,
    Quit,
    Rcpt,
    Reply,
    ReplyError,
    Response,
    Rset,
    SMTPError,
    Timeouts,
)
from smtpcore.sync import ServerSession
from smtpcore.trace import LOOP_THRESHOLD, count_received, received_field, received_protocol

# While we wait for the next hop, our client waits for us. RFC 5321 4.5.3.2 gives it ten minutes after the
# final dot and five otherwise, so our own timeouts are shorter.
TIMEOUTS = Timeouts(greeting=60, command=120, data_initiation=60, data_block=120, data_termination=540)

HEADER_MOST = 256 * 1024  # the header must end within so many octets

UNREACHABLE = Reply(451, "4.4.1", "the next server cannot be reached now")
LOOP = Reply(554, "5.4.6", "mail loop: too many Received fields")
CANNOT_CONVERT = Reply(554, "5.6.3", "the next server does not accept 8-bit content")


class NextHop:
    """The client's side: a connection to the next hop, for one transaction."""

    def __init__(self, host: str, port: int, own_name: str) -> None:
        self._connection = ClientConnection(timeouts=TIMEOUTS, max_line=None)
        self._socket = socket.create_connection((host, port), timeout=30)
        try:
            greeting = self._response()
            if not greeting.reply.is_success:
                raise ReplyError(greeting)
            hello = self.ask(Ehlo(own_name))
            if not hello.is_success:
                raise ReplyError(Response(Ehlo(own_name), hello))
        except BaseException:
            self.break_off()
            raise
        self.capabilities = self._connection.capabilities

    def ask(self, command: Command | EndOfMessage) -> Reply:
        """Send a command, or the end of the content, and wait for the reply."""
        self._connection.send(command)
        return self._response().reply

    def write(self, data: bytes) -> None:
        """Send a piece of the content. This waits until the next hop reads, and our client waits too."""
        self._connection.send(Chunk(data))
        self._socket.settimeout(self._connection.timeout)
        self._socket.sendall(self._connection.data_to_send())

    def quit(self) -> None:
        """End the session with QUIT; its reply does not matter."""
        with contextlib.suppress(OSError, SMTPError):
            self.ask(Quit())
        self._socket.close()

    def break_off(self) -> None:
        """Disconnect at once. Content without its final dot is discarded (RFC 5321 4.1.1.10)."""
        self._socket.close()

    def _response(self) -> Response:
        event = self._next_event()
        if isinstance(event, Response):
            return event
        raise ConnectionLost(f"the next hop has closed the connection ({event!r})")

    def _next_event(self) -> Event:
        # One deadline for the whole reply, so that octets which drip in do not prolong it.
        deadline = time.monotonic() + self._connection.timeout
        while (event := self._connection.next_event()) is None:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            self._socket.sendall(self._connection.data_to_send())
            self._connection.receive_data(self._socket.recv(65536))
        return event


class Gateway:
    """``serve()`` calls it for each client, in a thread of its own."""

    def __init__(self, domain: str, next_host: str, next_port: int) -> None:
        self.domain = domain.lower()
        self.next_hop = (next_host, next_port)

    def __call__(self, session: ServerSession) -> None:
        transaction = Transaction(self, session)
        try:
            for event in session:
                match event:
                    case Mail():
                        session.send(transaction.begin(event))
                    case Rcpt(forward_path=path) if not (
                        path.is_postmaster or path.domain.lower() == self.domain
                    ):
                        # A gateway that passes on mail for any domain is an open relay.
                        session.reject(550, "5.7.1", "not for this domain")
                    case Rcpt():
                        session.send(transaction.pass_on(event))
                    case Data():
                        session.send(transaction.begin_content())
                    case Chunk(data=data):
                        transaction.write(data)
                    case EndOfMessage():
                        session.send(transaction.end())
                    case MessageAborted():
                        transaction.break_off()
                    case Rset() | Ehlo() | Helo():
                        transaction.break_off()
                        session.accept()
                    case _ if session.unanswered:
                        session.accept()
        finally:
            transaction.break_off()  # unless it is complete


class Transaction:
    """A mail transaction on its way from a client to the next hop. Every method returns the reply."""

    def __init__(self, gateway: Gateway, session: ServerSession) -> None:
        self.gateway = gateway
        self.session = session
        self.hop: NextHop | None = None
        self.failure: Reply | None = None  # why the rest of the content is not passed on
        self.beginning = bytearray()  # the beginning of the content, with the header

    def begin(self, mail: Mail) -> Reply:
        """Connect to the next hop, and pass MAIL on."""
        trace = len(self.trace())
        try:
            self.hop = NextHop(*self.gateway.next_hop, self.session.connection.hostname)
            if self.hop.capabilities.exceeds_size((mail.size or 0) + trace):
                self.break_off()
                return Reply(552, "5.3.4", "the message is too big for the next server")
        except (OSError, SMTPError) as error:
            return self.lost(error)
        # The client's parameters, as far as the next hop offers them.
        parameters: dict[str, int | str] = {}
        if "SIZE" in self.hop.capabilities and mail.size is not None:
            parameters["SIZE"] = mail.size + trace
        if "8BITMIME" in self.hop.capabilities:
            parameters["BODY"] = "8BITMIME"
        reply = self.pass_on(Mail(mail.reverse_path, parameters))
        if not reply.is_success:
            self.break_off()
        return reply

    def pass_on(self, command: Command | EndOfMessage) -> Reply:
        """Pass a command on, and return the reply of the next hop."""
        if self.hop is None:
            return UNREACHABLE
        try:
            reply = self.hop.ask(command)
        except (OSError, SMTPError) as error:
            return self.lost(error)
        if reply.code == 421:
            self.break_off()  # the next hop has closed the connection
        return as_ours(command, reply)

    def begin_content(self) -> Reply:
        """Pass DATA on, and send the Received field."""
        reply = self.pass_on(Data())
        self.failure = None
        self.beginning.clear()
        if reply.is_intermediate:
            self.write(self.trace())
        return reply

    def write(self, data: bytes) -> None:
        """Pass a piece of the content on at once; without the final dot the next hop discards it."""
        if len(self.beginning) < HEADER_MOST:
            self.beginning += data
        if self.hop is not None and self.failure is None:
            try:
                self.hop.write(data)
            except LocalProtocolError:  # 8-bit content, and the next hop does not offer 8BITMIME
                self.failure = CANNOT_CONVERT
            except OSError as error:
                self.failure = self.lost(error)

    def end(self) -> Reply:
        """End the content, and return the reply of the next hop."""
        reply = self.failure
        if count_received(bytes(self.beginning)) > LOOP_THRESHOLD:
            reply = LOOP
        if reply is None:
            # If the connection breaks now, the next hop may have the message, and the client, which gets 451,
            # sends it again. A duplicate is better than a lost message (RFC 5321 4.1.1.4).
            reply = self.pass_on(EndOfMessage())
            if self.hop is not None:
                self.hop.quit()
        self.break_off()
        return reply

    def break_off(self) -> None:
        """End the transaction."""
        if self.hop is not None:
            self.hop.break_off()
            self.hop = None

    def lost(self, error: Exception) -> Reply:
        """Log that the next hop is unreachable or broke the protocol, and return 451."""
        print("next hop:", error, flush=True)
        self.break_off()
        return UNREACHABLE

    def trace(self) -> bytes:
        """Make the Received field that every server must add (RFC 5321 4.4)."""
        connection = self.session.connection
        assert connection.hello is not None
        return received_field(
            from_domain=connection.hello.domain,
            from_address=self.session.peername[0],
            by=connection.hostname,
            with_protocol=received_protocol(esmtp=isinstance(connection.hello, Ehlo)),
        )


SUCCESS: Mapping[type[Event], Reply] = {
    Mail: Reply(250, "2.1.0", "sender ok"),
    Rcpt: Reply(250, "2.1.5", "recipient ok"),
    Data: Reply(354, None, "send the message"),
    EndOfMessage: Reply(250, "2.0.0", "message accepted by the next server"),
}


def as_ours(command: Command | EndOfMessage, reply: Reply) -> Reply:
    """Translate a reply of the next hop into one for our client."""
    if reply.severity < 4:
        return SUCCESS[type(command)]
    if reply.code in (421, 503, 530, 534, 535, 538):
        # It concerns our session with the next hop, not this mail: the client should try again.
        print("next hop:", reply, flush=True)
        return Reply(451, "4.3.0", "the next server gives no service now")
    try:
        return Reply.sanitized(reply.code, reply.status, reply.text)
    except LocalProtocolError:  # a code that RFC 5321 does not allow here
        return Reply.sanitized(451 if reply.is_transient else 554, reply.status, reply.text)


def main() -> None:
    parser = argparse.ArgumentParser(description="A gateway that passes mail on to another server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 for a free one")
    parser.add_argument("--domain", default="example.org", help="the domain to take mail for")
    parser.add_argument("--next-host", default="127.0.0.1")
    parser.add_argument("--next-port", type=int, default=2525)
    args = parser.parse_args()

    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # in all threads, so that one can wait for them
    gateway = Gateway(args.domain, args.next_host, args.next_port)
    with smtpcore.sync.serve(gateway, args.host, args.port) as server:
        print("listening on port", server.addresses[0][1], flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
