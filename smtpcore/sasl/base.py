"""The interfaces of a mechanism, one for each side, and the steps of a server; the package describes both."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from .._core.errors import LocalProtocolError
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
    """Send these octets in a 334; the client's response goes to :meth:`ServerMechanism.step`.

    Attributes:
        data: The challenge before base64; often empty.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The client is who it says: answer 235 (RFC 4954 6).

    Attributes:
        identity: Who the session now acts for.
    """

    identity: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The client is not authenticated: answer what the application chose, else 535 or 501.

    Attributes:
        reason: What went wrong, for a log. It holds nothing the client sent.
        malformed: The response was not what the mechanism prescribes (501); otherwise the credentials
            are at fault (535 5.7.8).
    """

    reason: str
    malformed: bool = False


Step: TypeAlias = Challenge | AuthQuestion | Succeeded | Failed


def _check_name(cls: type) -> None:
    name = vars(cls).get("name")  # a class between the base and a mechanism has none of its own
    if name is not None and not (is_mechanism_name(name) and name == name.upper()):
        raise LocalProtocolError(f"{name!r} is not a valid SASL mechanism name (RFC 4422 3.1)")


class ServerMechanism(abc.ABC):
    """One exchange of one mechanism, the server's side. Make a new one for each AUTH command.

    A subclass states its ``name`` and two facts and implements :meth:`step`. It puts every question
    through :meth:`ask`.

    Attributes:
        name: As in the EHLO reply, in upper case.
        cleartext: A listener learns a secret, so this is for TLS only (RFC 4954 4).
        server_first: AUTH with an initial response is to be answered 501 5.7.0 (RFC 4954 4).
        prepare: Whether names and passwords go through SASLprep (RFC 4616 2 recommends it).
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
            initial_response: The octets that came with the AUTH command; None if there were none, which
                is not the same as ``b""`` (RFC 4954 4).
        """
        if initial_response is None:
            return Challenge(self.first_challenge())
        if self.server_first:
            return Failed("an initial response, where the server speaks first", malformed=True)
        return self.step(initial_response)

    def first_challenge(self) -> bytes:
        """What to send when no initial response came: nothing, if the client is first (RFC 4422 5)."""
        return b""

    @abc.abstractmethod
    def step(self, response: bytes) -> Step:
        """Take the response to the last :class:`Challenge`, or the initial response."""

    def supply(self, secret: str | StoredSecret | None) -> Step:
        """Take the answer to a :class:`SecretRequest`.

        Args:
            secret: The password, or what is stored in its place; None: there is no such account. A
                mechanism then goes on as if there were one, and fails at the end (RFC 4422 3.6).

        Raises:
            LocalProtocolError: No secret was asked for, or this is not of a kind the mechanism can use.
        """
        raise LocalProtocolError(f"{self.name} asks for no stored secret")

    def accepted(self, identity: str | None = None) -> Step:
        """Take a yes to the last question.

        Args:
            identity: Who the session acts for; by default the question's ``username``. An application that
                lets one user act as another says so here.

        Raises:
            LocalProtocolError: There is no question, or it is one that yes does not answer.
        """
        question = self.answer()
        if isinstance(question, SecretRequest):
            self.ask(question)
            raise LocalProtocolError(f"{self.name} asked for a stored secret: supply() it, or reject")
        return Succeeded(question.username if identity is None else identity)

    def rejected(self) -> Step:
        """Take a no to the last question.

        Raises:
            LocalProtocolError: There is no question.
        """
        self.answer()
        return Failed("refused by the application")

    def ask(self, question: AuthQuestion) -> AuthQuestion:
        """For subclasses: remember the question and return it as the step."""
        self._question = question
        return question

    def answer(self) -> AuthQuestion:
        """For subclasses: the question that is now being answered; it can be answered once."""
        question, self._question = self._question, None
        if question is None:
            raise LocalProtocolError(f"{self.name} has asked nothing")
        return question

    def text(self, octets: bytes) -> str | None:
        """For subclasses: a name or password as text; None if it is none, and the exchange has failed.

        It must be UTF-8 without NUL (RFC 4616 2), and not empty, even after preparation (RFC 4954 4).
        """
        try:
            text = octets.decode("utf-8")
            return None if "\0" in text else (saslprep(text) if self.prepare else text) or None
        except (UnicodeDecodeError, LocalProtocolError):
            return None


class ClientMechanism(abc.ABC):
    """One mechanism with its credentials, the client's side.

    May be used for one exchange after another: each begins with :meth:`initial_response`.

    Attributes:
        name: As in the EHLO reply, in upper case.
        cleartext: A listener learns a secret, so this is for TLS only (RFC 4954 4).
    """

    __slots__ = ()

    name: ClassVar[str]
    cleartext: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        _check_name(cls)

    @abc.abstractmethod
    def initial_response(self) -> bytes | None:
        """Begin an exchange: what to send first, or None if the server is first."""

    @abc.abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """Answer a challenge.

        Raises:
            MechanismError: The exchange is to be cancelled.
        """

    def verify_success(self) -> None:
        """Called at the 235, for mechanisms in which the server has to prove something too.

        Raises:
            MechanismError: It has not: the peer is not the server the password is for.
        """
        return


class PasswordMechanism(ClientMechanism):
    """A mechanism that needs a user name and a password only: :func:`choose_mechanism` may choose it.

    Attributes:
        username: The authentication identity.
    """

    __slots__ = ("_password", "username")

    def __init__(self, username: str, password: str) -> None:
        """Check both.

        Raises:
            LocalProtocolError: One is empty, holds a NUL or cannot be encoded as UTF-8 (RFC 4616 2). The
                message does not quote it.
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
    if not text or "\0" in text:
        raise LocalProtocolError(f"the {what} must not be empty or hold a NUL (RFC 4616 2)")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        pass  # the exception quotes a character, so it must not become the context of the next one
    raise LocalProtocolError(f"the {what} cannot be encoded as UTF-8")
