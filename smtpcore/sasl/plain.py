"""PLAIN: the user name and the password in one message (RFC 4616)."""

from __future__ import annotations

from .base import Failed, PasswordMechanism, ServerMechanism, Step, encoded
from .credentials import Credentials
from .encoding import MechanismError
from .prepare import saslprep

__all__ = ["PlainClient", "PlainServer"]


class PlainClient(PasswordMechanism):
    """PLAIN, the client's side (RFC 4616).

    Attributes:
        authorization_identity: The user to act as, prepared with SASLprep (RFC 4954 4); ``""`` for
            ``username``.
    """

    __slots__ = ("authorization_identity",)

    name = "PLAIN"
    cleartext = True

    def __init__(self, username: str, password: str, authorization_identity: str = "") -> None:
        """Check the three values.

        Raises:
            LocalProtocolError: As in :class:`PasswordMechanism`, or SASLprep prohibits the authorization
                identity.
        """
        super().__init__(username, password)
        self.authorization_identity = ""
        if authorization_identity:
            self.authorization_identity = saslprep(authorization_identity)
            encoded("authorization identity", self.authorization_identity)

    def initial_response(self) -> bytes:
        # message   = [authzid] UTF8NUL authcid UTF8NUL passwd
        return "\0".join((self.authorization_identity, self.username, self._password)).encode("utf-8")

    def respond(self, challenge: bytes) -> bytes:
        raise MechanismError("the server sent a second challenge: PLAIN has one message")


class PlainServer(ServerMechanism):
    """PLAIN, the server's side (RFC 4616): asks about :class:`Credentials`."""

    __slots__ = ()

    name = "PLAIN"
    cleartext = True

    def step(self, response: bytes) -> Step:
        # message   = [authzid] UTF8NUL authcid UTF8NUL passwd
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Failed("a PLAIN message has exactly two NULs", malformed=True)
        authorization_identity = self.text(parts[0])
        username = self.text(parts[1])
        password = self.text(parts[2])
        if username is None or password is None or (parts[0] and authorization_identity is None):
            return Failed("a name or password that is empty or not valid", malformed=True)
        return self.ask(Credentials(self.name, username, authorization_identity, password))
