"""SASL mechanisms as step objects, for both sides, without I/O (RFC 4422, RFC 4954).

A mechanism is an object that is told what the peer said and answers with what to do next. It sees
octets, never base64, reply codes or lines; its driver sees base64 and lines, never the inside of
a mechanism. A mechanism has no security layer (RFC 4422 3.7): TLS encrypts the session. The whole
interface is this.

**The client** is asked for octets and gives up by raising :class:`MechanismError`::

    initial_response() -> bytes | None     the exchange begins; None: the server speaks first
    respond(challenge) -> bytes            once for every 334
    verify_success() -> None               at the 235: has the *server* proven itself as well?

An initial response that does not fit into the command line is held back and becomes the answer to the
first, empty, challenge (RFC 4954 4). The mechanism need not know.

**The server** answers everything it is told with a :data:`Step`::

                         +------------ step(response) <-----------+
                         v                                        |
    start(initial) --> Challenge(data)   "334 " base64(data), and a line comes back
                  \\
                   --> AuthQuestion          for the application, which alone knows the accounts
                  |      |  accepted() / rejected(), or supply(secret) for a SecretRequest
                  |      +--> the next Step, whatever it is
                  |
                  +--> Succeeded(identity)   235
                  +--> Failed(reason)        535, 501, or the reply the application chose

What the application said is only one more input: it need not be the end. So an OAuth mechanism answers
``rejected()`` with the challenge that carries its error report and fails at the response to it, and SCRAM
answers ``accepted()`` with the challenge that carries the server's signature and succeeds at the empty
response to that (a 235 carries no data in SMTP, RFC 4954 4). Neither is a special case for the driver.

Nothing here shows a password: not a ``repr``, not an exception, not a :class:`Failed`.
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
"""What a server can be configured to offer, by name; a mechanism of your own may be added."""

CLIENT_MECHANISMS: dict[str, type[PasswordMechanism]] = {
    PlainClient.name: PlainClient,
    LoginClient.name: LoginClient,
}
"""What a client with a user name and a password can do, by name, strongest first."""


def choose_mechanism(
    offered: Iterable[str],
    *,
    username: str,
    password: str,
    tls: bool,
    allow_cleartext: bool = False,
    mechanisms: Mapping[str, type[PasswordMechanism]] = CLIENT_MECHANISMS,
) -> ClientMechanism | None:
    """The strongest mechanism the server offers, in our order and not in its (RFC 4422 6.1.2).

    Args:
        offered: The parameters of the AUTH keyword, in any case; text that is not a mechanism name is
            ignored.
        username: The authentication identity.
        password: Its password.
        tls: TLS is active and the server's certificate has been verified (RFC 4954 14).
        allow_cleartext: Show the password to everyone on the path if that is all the server offers.
        mechanisms: What to choose from, strongest first.

    Returns:
        The mechanism, ready for use; None if none is both offered and safe.

    Raises:
        LocalProtocolError: The user name or the password cannot be sent.
    """
    names = {name.upper() for name in offered if is_mechanism_name(name)}
    for name, mechanism in mechanisms.items():
        if name in names and (tls or allow_cleartext or not mechanism.cleartext):
            return mechanism(username, password)
    return None


_publish(__name__, globals())
