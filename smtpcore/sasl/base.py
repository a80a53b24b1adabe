"""The interfaces of a mechanism, one for each side, and the steps of a server: the package explains them."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from .._core.errors import ArgumentTypeError, LocalProtocolError
from .credentials import AuthQuestion, SecretRequest, StoredSecret
from .encoding import is_mechanism_name
from .prepare import saslprep

__all__ = [
    "Challenge",
    "ClientMechanism",
    "Failed",
    "PasswordMechanism",
    "ServerMechanism",
    "Step",
    "Succeeded",
]


@dataclass(frozen=True, slots=True)
class Challenge:
    """A step: send these octets in a 334. The client's response goes to :meth:`ServerMechanism.step`.

    Attributes:
        data: The challenge before base64; often empty.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A step: the client is authenticated, so the server replies 235 (RFC 4954 6).

    Attributes:
        identity: The identity that the session has from now on.
    """

    identity: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A step: the client is not authenticated. The server sends the application's reply, otherwise 535 or 501.

    Attributes:
        reason: What went wrong, for a log. It contains nothing that the client sent.
        malformed: The response does not follow the mechanism (501). Otherwise the credentials are wrong (535
            5.7.8).
    """

    reason: str
    malformed: bool = False


Step: TypeAlias = Challenge | AuthQuestion | Succeeded | Failed


def _check_name(cls: type) -> None:
    name = vars(cls).get("name")  # a class between the base and a mechanism has none of its own
    if name is not None and not (is_mechanism_name(name) and name == name.upper()):
        raise LocalProtocolError(f"{name!r} is not a valid SASL mechanism name (RFC 4422 3.1)")


class ServerMechanism(abc.ABC):
    """One exchange of one mechanism, the server's side. Each AUTH command needs a new object.

    A subclass sets ``name``, ``cleartext`` and ``server_first``, and implements :meth:`step`. It returns each
    question through :meth:`ask`.

    Attributes:
        name: As in the EHLO reply, in upper case.
        cleartext: The exchange shows a secret, so the mechanism is for TLS only (RFC 4954 4).
        server_first: AUTH with an initial response is answered 501 5.7.0 (RFC 4954 4).
        prepare: Whether names and passwords go through SASLprep, which RFC 4616 2 recommends.
    """

    __slots__ = ("_question", "prepare")

    name: ClassVar[str]
    cleartext: ClassVar[bool] = False
    server_first: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        _check_name(cls)

    def __init__(self, *, prepare: bool = True) -> None:
        self.prepare = prepare
        self._question: AuthQuestion | None = None

    def start(self, initial_response: bytes | None) -> Step:
        """Begin the exchange.

        Args:
            initial_response: The octets of the initial response. None if AUTH had none; ``b""`` is an empty one
                (RFC 4954 4).
        """
        if initial_response is None:
            return Challenge(self.first_challenge())
        if self.server_first:
            return Failed("an initial response, although the server sends first", malformed=True)
        return self.step(initial_response)

    def first_challenge(self) -> bytes:
        """Return the challenge after AUTH without an initial response (RFC 4422 5).

        It is empty if the client sends first.
        """
        return b""

    @abc.abstractmethod
    def step(self, response: bytes) -> Step:
        """Continue with the response to the last :class:`Challenge`, or with the initial response."""

    def supply(self, secret: str | StoredSecret | None) -> Step:
        """Continue with the answer to a :class:`SecretRequest`.

        Args:
            secret: The password, or its stored form. None if there is no such account: the mechanism then goes
                on as if there were one, and fails at the end (RFC 4422 3.6).

        Raises:
            LocalProtocolError: There is no such request, or the mechanism cannot use this kind of secret.
        """
        raise LocalProtocolError(f"{self.name} asks for no stored secret")

    def accepted(self, identity: str | None = None) -> Step:
        """Continue after the application has accepted the last question.

        Args:
            identity: The identity that the session gets; by default the question's ``username``. It differs if
                the application lets one user act as another.

        Raises:
            LocalProtocolError: There is no question, or it is a :class:`SecretRequest`.
        """
        question = self.answer()
        if isinstance(question, SecretRequest):
            self.ask(question)
            raise LocalProtocolError(f"{self.name} asked for a stored secret: supply() it, or reject")
        return Succeeded(question.username if identity is None else identity)

    def rejected(self) -> Step:
        """Continue after the application has rejected the last question.

        Raises:
            LocalProtocolError: There is no question.
        """
        self.answer()
        return Failed("refused by the application")

    def ask(self, question: AuthQuestion) -> AuthQuestion:
        """Remember a question, and return it as the step. For subclasses."""
        self._question = question
        return question

    def answer(self) -> AuthQuestion:
        """Return the question that is being answered, and forget it. For subclasses."""
        question, self._question = self._question, None
        if question is None:
            raise LocalProtocolError(f"{self.name} has not asked a question")
        return question

    def text(self, octets: bytes) -> str | None:
        """Return a name or a password as text, or None if it is not valid. For subclasses.

        It must be UTF-8 without NUL (RFC 4616 2), and not empty, also after preparation (RFC 4954 4).
        """
        try:
            text = octets.decode("utf-8")
            return None if "\0" in text else (saslprep(text) if self.prepare else text) or None
        except (UnicodeDecodeError, LocalProtocolError):
            return None


class ClientMechanism(abc.ABC):
    """One mechanism with its credentials, the client's side.

    It can be used for several exchanges; each begins with :meth:`initial_response`.

    Attributes:
        name: As in the EHLO reply, in upper case.
        cleartext: The exchange shows a secret, so the mechanism is for TLS only (RFC 4954 4).
    """

    __slots__ = ()

    name: ClassVar[str]
    cleartext: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        _check_name(cls)

    @abc.abstractmethod
    def initial_response(self) -> bytes | None:
        """Begin an exchange: return the initial response, or None if the server sends first."""

    @abc.abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """Answer a challenge.

        Raises:
            MechanismError: The exchange cannot go on; the client cancels it.
        """

    def verify_success(self) -> None:
        """Check at the 235 that the server has proven its identity, in mechanisms where it has to.

        Raises:
            MechanismError: It has not, so the peer may not be the server that the password is for.
        """
        return


class PasswordMechanism(ClientMechanism):
    """A mechanism that needs only a user name and a password; :func:`choose_mechanism` can choose it.

    Attributes:
        username: The authentication identity.
    """

    __slots__ = ("_password", "username")

    def __init__(self, username: str, password: str) -> None:
        """Check both values.

        Raises:
            LocalProtocolError: One is empty, contains NUL or cannot be encoded as UTF-8 (RFC 4616 2). The error
                does not quote it.
            ArgumentTypeError: One is not a string.
        """
        self.username = username
        self._password = password
        encoded("user name", username)
        encoded("password", password)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(username={self.username!r})"


def encoded(what: str, text: str) -> bytes:
    # authcid   = 1*SAFE
    # authzid   = 1*SAFE
    # passwd    = 1*SAFE
    # SAFE      = UTF1 / UTF2 / UTF3 / UTF4     ;; any UTF-8 encoded Unicode character except NUL
    if not isinstance(text, str):  # the error does not show the value, which may be a password
        raise ArgumentTypeError(f"the {what} is a string, not {type(text).__name__}")
    if not text or "\0" in text:
        raise LocalProtocolError(f"the {what} must not be empty or contain NUL (RFC 4616 2)")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        pass  # the exception quotes a character, so it must not become the context of the next one
    raise LocalProtocolError(f"the {what} cannot be encoded as UTF-8")
