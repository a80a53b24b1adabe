"""An AUTH exchange (RFC 4954 4): one object for each side, with the same shape.

An exchange stands between a connection and a SASL mechanism. The connection gives it the peer's lines, without
their ends, and gets back what comes next: a response, a step, or the reply that breaks the exchange off. The
mechanism sees octets only. Base64, cancelling with ``*`` and the initial response are handled here; states,
counts of failures and the octets of replies are the connection's.
"""

from __future__ import annotations

from ..extensions.auth import Auth
from ..sasl import (
    ClientMechanism,
    MechanismError,
    ServerMechanism,
    Step,
    StoredSecret,
    decode_base64,
    decode_initial_response,
    encode_initial_response,
)
from . import replytexts as texts
from .commands import format_command
from .replies import Reply
from .rules import Rules


class ClientExchange:
    """The client's side.

    Args:
        mechanism: The mechanism with its credentials.
        most: How many challenges are answered before the server is found to be broken.

    Attributes:
        initial: The initial response; None: the server sends the first data.
        names: The user names of the mechanism, which are not secret.
        cancelled: ``*`` was sent, to which the server has to reply 501.
    """

    __slots__ = ("_challenges", "_held_response", "_mechanism", "_most", "cancelled", "initial", "names")

    def __init__(self, mechanism: ClientMechanism, most: int) -> None:
        self._mechanism = mechanism
        self._most = most
        self._challenges = 0
        self._held_response: bytes | None = None
        self.initial = mechanism.initial_response()
        self.cancelled = False
        names = (getattr(mechanism, name, None) for name in ("username", "authorization_identity"))
        self.names = frozenset(name for name in names if isinstance(name, str))

    def command(self, rules: Rules, max_line: int) -> tuple[Auth, bytes]:
        """Return the AUTH command that begins the exchange, and its octets.

        Args:
            rules: Those of the connection.
            max_line: Octets of a command line. An initial response that does not fit is held back: it becomes
                the response to an empty challenge (RFC 4954 4).
        """
        initial, name = self.initial, self._mechanism.name
        command = Auth(name, None if initial is None else encode_initial_response(initial))
        octets = format_command(command, rules)
        if initial is not None and len(octets) > max_line:
            self._held_response = initial
            command = Auth(name)
            octets = format_command(command, rules)
        return command, octets

    def respond(self, challenge: str) -> bytes | None:
        """Return the response to the text of a 334; None cancels the exchange: ``*`` has to be sent."""
        self._challenges += 1
        try:
            if self._challenges > self._most:
                raise MechanismError("too many challenges")
            data = decode_base64(challenge)
            if self._held_response is None:
                return self._mechanism.respond(data)
        except MechanismError:
            self.cancelled = True
            return None
        response, self._held_response = self._held_response, None
        return response

    def finish(self) -> str:
        """Return why the server's 235 is not to be believed; an empty text if it is."""
        if self.cancelled:
            return "the exchange had been cancelled"
        try:
            self._mechanism.verify_success()
        except MechanismError as error:
            return str(error)
        return ""


class ServerExchange:
    """The server's side.

    Args:
        mechanism: A fresh mechanism.

    Attributes:
        refusal: The reply to send if the exchange fails.
    """

    __slots__ = ("_mechanism", "refusal")

    def __init__(self, mechanism: ServerMechanism) -> None:
        self._mechanism = mechanism
        self.refusal = texts.BAD_CREDENTIALS

    def begin(self, initial_response: str | None) -> Step | Reply:
        """Return the first step, or the reply that breaks the exchange off.

        Args:
            initial_response: As it stands in the command.
        """
        initial: bytes | None = None
        if initial_response is not None:
            if self._mechanism.server_first:
                return texts.NO_INITIAL_RESPONSE
            try:
                initial = decode_initial_response(initial_response)
            except MechanismError:
                return texts.NOT_BASE64
        return self._mechanism.start(initial)

    def respond(self, line: bytes) -> Step | Reply:
        """Return the step after a line of the client, or the reply that breaks the exchange off."""
        if line == b"*":
            return texts.CANCELLED
        try:
            response = decode_base64(line)
        except MechanismError:
            return texts.NOT_BASE64
        return self._mechanism.step(response)

    def accept(self, identity: str | None) -> Step:
        """Return the step after the application has accepted the credentials."""
        return self._mechanism.accepted(identity)

    def reject(self, reply: Reply) -> Step:
        """Return the step after the application has refused with this reply."""
        step = self._mechanism.rejected()
        self.refusal = reply
        return step

    def supply(self, secret: str | StoredSecret | None) -> Step:
        """Return the step after the application has given a stored secret."""
        return self._mechanism.supply(secret)
