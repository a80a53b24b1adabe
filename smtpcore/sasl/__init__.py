"""SASL mechanisms as step objects, for both sides, without I/O (RFC 4422, RFC 4954).

A mechanism is an object that receives the octets of the peer and returns what to do next. Base64, lines and
reply codes are the connection's part: a mechanism never sees them. A mechanism has no security layer (RFC 4422
3.7): TLS encrypts the session. This is the whole interface.

**A client's mechanism** returns octets to send, and cancels the exchange by raising :class:`MechanismError`::

    initial_response() -> bytes | None     the exchange begins; None: the server sends first
    respond(challenge) -> bytes            once for each 334
    verify_success() -> None               at the 235: raise, unless the *server* has proven itself as well

If an initial response does not fit into the command line, the connection sends it as the response to the first
challenge, which is empty (RFC 4954 4).

**A server's mechanism** returns a :data:`Step` from each of its methods::

                         +------------ step(response) <-----------+
                         v                                        |
    start(initial) --> Challenge(data)   "334 " base64(data), and a line comes back
                  \\
                   --> AuthQuestion          for the application, which has the accounts
                  |      |  accepted() / rejected(), or supply(secret) for a SecretRequest
                  |      +--> the next Step, of any kind
                  |
                  +--> Succeeded(identity)   235
                  +--> Failed(reason)        535, 501, or the reply of the application

The decision of the application need not end the exchange. An OAuth mechanism answers ``rejected()`` with a
challenge that carries its error report, and fails at the response to it. SCRAM answers ``accepted()`` with a
challenge that carries the server's signature, and succeeds at the empty response to it, because a 235 carries
no data in SMTP (RFC 4954 4).

No ``repr``, exception or :class:`Failed` contains a password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._core.public import publish as _publish
from .base import Challenge, ClientMechanism, Failed, PasswordMechanism, ServerMechanism, Step, Succeeded
from .credentials import AuthQuestion, Credentials, SecretRequest, StoredSecret
from .encoding import (
    MechanismError,
    decode_base64,
    decode_initial_response,
    encode_base64,
    encode_initial_response,
    is_mechanism_name,
)
from .login import LoginClient, LoginServer
from .plain import PlainClient, PlainServer
from .prepare import saslprep

__all__ = [
    "CLIENT_MECHANISMS",
    "SERVER_MECHANISMS",
    "AuthQuestion",
    "Challenge",
    "ClientMechanism",
    "Credentials",
    "Failed",
    "LoginClient",
    "LoginServer",
    "MechanismError",
    "PasswordMechanism",
    "PlainClient",
    "PlainServer",
    "SecretRequest",
    "ServerMechanism",
    "Step",
    "StoredSecret",
    "Succeeded",
    "choose_mechanism",
    "decode_base64",
    "decode_initial_response",
    "encode_base64",
    "encode_initial_response",
    "is_mechanism_name",
    "saslprep",
]

SERVER_MECHANISMS: dict[str, type[ServerMechanism]] = {
    PlainServer.name: PlainServer,
    LoginServer.name: LoginServer,
}
"""The mechanisms that a server can offer, by name. An application can add its own."""

CLIENT_MECHANISMS: dict[str, type[PasswordMechanism]] = {
    PlainClient.name: PlainClient,
    LoginClient.name: LoginClient,
}
"""The mechanisms of a client with a user name and a password, by name, strongest first."""


def choose_mechanism(
    offered: Iterable[str],
    *,
    username: str,
    password: str,
    tls: bool,
    allow_cleartext: bool = False,
    mechanisms: Mapping[str, type[PasswordMechanism]] = CLIENT_MECHANISMS,
) -> ClientMechanism | None:
    """Return the strongest mechanism that the server offers, whatever its order (RFC 4422 6.1.2).

    Args:
        offered: The arguments of the AUTH keyword, in any case. Text that is not a mechanism name is ignored.
        username: The authentication identity.
        password: Its password.
        tls: TLS is active and the server's certificate has been verified (RFC 4954 14).
        allow_cleartext: A mechanism that shows the password on the wire may be chosen without TLS.
        mechanisms: The mechanisms to choose from, strongest first.

    Returns:
        The mechanism with the credentials; None if none is both offered and permitted.

    Raises:
        LocalProtocolError: The user name or the password cannot be sent.
    """
    names = {name.upper() for name in offered if is_mechanism_name(name)}
    for name, mechanism in mechanisms.items():
        if name in names and (tls or allow_cleartext or not mechanism.cleartext):
            return mechanism(username, password)
    return None


_publish(__name__, globals())
