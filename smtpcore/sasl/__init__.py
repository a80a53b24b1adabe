"""SASL mechanisms as step objects, for both sides, without I/O (RFC 4422, RFC 4954).

A mechanism is an object that is told what the peer said and answers with what to do next. It sees
octets, never base64, reply codes or lines; whoever drives it sees base64 and lines, never the inside of
a mechanism. The whole interface is this.

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

import abc
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from .._core.errors import LocalProtocolError
from .._core.events import Event
from .._core.grammar import MECHANISM

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


class MechanismError(LocalProtocolError):
    """The exchange cannot go on; a client answers with ``*``, a server with 501 (RFC 4954 4)."""


# --- Names and octets -------------------------------------------------------------------------------------


def is_mechanism_name(name: str) -> bool:
    """Whether ``name``, in any case, is a ``sasl-mech``: 1 to 20 of A-Z, 0-9, "-", "_" (RFC 4422 3.1)."""
    # upper() makes ASCII letters of a few others, such as a dotless i.
    return name.isascii() and MECHANISM.fullmatch(name.upper()) is not None


def encode_base64(data: bytes) -> str:
    """Octets as the text of a challenge or response; empty text for none (RFC 4954 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str | bytes) -> bytes:
    """The octets of a challenge or response, which must be *the* encoding of them (RFC 4954 4, 8).

    Two texts never stand for the same octets: no character outside the alphabet is skipped, ``=`` pads
    the end only, and the bits that padding leaves over are zero.

    Args:
        text: The line without its CRLF, or a 334 without its ``334 ``.

    Raises:
        MechanismError: ``text`` is anything else.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        data = binascii.a2b_base64(text)
    except ValueError:  # wrong padding, or not ASCII
        data = None
    # The decoder of the standard library is lenient, even when it is asked to be strict. The encoder has
    # no choice.
    if data is None or encode_base64(data) != text:
        raise MechanismError("not valid base64 (RFC 4954 4)")
    return data


def encode_initial_response(data: bytes) -> str:
    """Octets as the argument behind the mechanism's name, where none are ``=`` (RFC 4954 4)."""
    return encode_base64(data) or "="


def decode_initial_response(text: str | bytes) -> bytes:
    """The octets of the argument behind the mechanism's name (RFC 4954 4).

    Raises:
        MechanismError: It is neither ``=`` nor base64 of at least one octet.
    """
    if text in ("=", b"="):
        return b""
    if not text:
        raise MechanismError('an empty initial response is written "=" (RFC 4954 4)')
    return decode_base64(text)


def saslprep(text: str, *, stored: bool = False) -> str:
    """A user name or password in the form in which two of them are compared (RFC 4013).

    Args:
        text: As somebody typed it.
        stored: The result will be kept, in a table of accounts or below a hash, so code points that
            Unicode 3.2 does not assign are refused. In what a client presents they are let through, since
            they can only fail to match (RFC 3454 7).

    Returns:
        The prepared text. It may be empty, which no caller should take for a name or a password.

    Raises:
        LocalProtocolError: ``text`` holds a prohibited character or mixes directions. The message does
            not quote it.
    """
    if text.isascii() and text.isprintable():
        return text
    return _prepare(text, stored=stored)


def _prepare(text: str, *, stored: bool = False) -> str:
    """Do what saslprep() does, without its short cut."""
    # Seldom needed, and a megabyte to load.
    import stringprep
    from unicodedata import ucd_3_2_0

    # RFC 4013 2.1. ZERO WIDTH SPACE is in both tables; it becomes a space, as the first named rule has it.
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    # RFC 4013 2.2
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    # The tables are functions in Python, so each different character is looked up once.
    characters = set(prepared)

    # RFC 4013 2.3, without C.1.2: those have become spaces, and normalisation makes no new ones.
    prohibited = (
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    if any(table(character) for table in prohibited for character in characters):
        raise LocalProtocolError("a character that SASLprep prohibits (RFC 4013 2.3)")

    # RFC 4013 2.4, RFC 3454 6: text with a right-to-left character begins and ends with one and has no
    # left-to-right character.
    right_to_left = stringprep.in_table_d1
    if any(map(right_to_left, characters)) and not (
        right_to_left(prepared[0])
        and right_to_left(prepared[-1])
        and not any(map(stringprep.in_table_d2, characters))
    ):
        raise LocalProtocolError("text of mixed direction (RFC 4013 2.4)")

    # RFC 4013 2.5
    if stored and any(map(stringprep.in_table_a1, characters)):
        raise LocalProtocolError("a code point that Unicode 3.2 does not assign (RFC 4013 2.5)")
    return prepared


def _check_name(cls: type) -> None:
    name = vars(cls).get("name")  # a class between the base and a mechanism has none of its own
    if name is not None and not (is_mechanism_name(name) and name == name.upper()):
        raise LocalProtocolError(f"{name!r} is no SASL mechanism name (RFC 4422 3.1)")


# --- What a server's mechanism answers --------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class AuthQuestion(Event):
    """Something only the application can answer. Mechanisms may bring subclasses of their own.

    Attributes:
        mechanism: The mechanism's name.
        username: The authentication identity: whose credentials these are.
        authorization_identity: Whom the client wants to act as, or None for whoever ``username`` is.
            Another name than ``username`` must be refused unless that user may act for it
            (RFC 4422 3.6).
    """

    mechanism: str
    username: str
    authorization_identity: str | None


@dataclass(frozen=True, slots=True)
class Credentials(AuthQuestion):
    """May ``username`` come in with this password? Answer with accept or reject.

    Attributes:
        password: As the client sent it; prepared with SASLprep unless that is switched off.
    """

    password: str = field(repr=False)

    def matches(self, password: str | None, *, any_identity: bool = False) -> bool:
        """Whether this is the password on record, and the client asks for no identity but its own.

        Both passwords are prepared (RFC 4013, RFC 4616 2) and compared in a time that does not depend on
        where they differ. The work is the same whether there is such an account or not, and whether its
        password is ASCII or not: a client must not learn which accounts exist (RFC 4422 3.6).

        Args:
            password: The password on record, in clear. None if there is no such account.
            any_identity: Leave ``authorization_identity`` to the caller, who decides who may act for whom.
        """
        # Loads the whole of hashlib, which a client never needs.
        from hmac import compare_digest

        presented = _comparable(self.password)
        on_record = _comparable(password or "")
        equal = compare_digest(presented, presented if password is None else on_record)
        own = any_identity or self.authorization_identity in (None, self.username)
        return equal and own and password is not None


# Different letters of one script, so that each costs SASLprep as much as a letter of a password.
_FILLER = "".join(map(chr, range(0x4E00, 0x4E00 + 32)))


def _comparable(password: str) -> bytes:
    # SASLprep works on each character, and on ASCII alone not at all. The filler makes up for what a password
    # of up to 32 characters does not cost.
    _prepare(_FILLER[len(password) :])
    # A password on record may be older than SASLprep and not survive it; it then matches only itself.
    try:
        prepared = _prepare(password)
    except LocalProtocolError:
        prepared = ""
    return (prepared or password).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class SecretRequest(AuthQuestion):
    """What is stored for ``username``? Answer with supply, or with reject.

    Asked by mechanisms in which the password itself never travels.
    """


class StoredSecret:
    """What a server keeps in place of a password; a mechanism that has such a form subclasses this."""

    __slots__ = ()


Step: TypeAlias = Challenge | AuthQuestion | Succeeded | Failed


# --- Server mechanisms ------------------------------------------------------------------------------------


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
            return Failed("an empty or unusable name or password", malformed=True)
        return self.ask(Credentials(self.name, username, authorization_identity, password))


class LoginServer(ServerMechanism):
    """LOGIN, the server's side: obsolete, never standardised, and what many devices can do.

    An initial response is taken for the user name, which spares the first question.
    """

    __slots__ = ("_username",)

    name = "LOGIN"
    cleartext = True

    def __init__(self, *, prepare: bool = True) -> None:
        super().__init__(prepare=prepare)
        self._username: str | None = None

    def first_challenge(self) -> bytes:
        return b"Username:"

    def step(self, response: bytes) -> Step:
        text = self.text(response)
        if text is None:
            return Failed("an empty or unusable name or password", malformed=True)
        if self._username is None:
            self._username = text
            return Challenge(b"Password:")
        return self.ask(Credentials(self.name, self._username, None, text))


SERVER_MECHANISMS: dict[str, type[ServerMechanism]] = {
    PlainServer.name: PlainServer,
    LoginServer.name: LoginServer,
}
"""What a server can be configured to offer, by name; a mechanism of your own may be added."""


# --- Client mechanisms ------------------------------------------------------------------------------------


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
            MechanismError: It has not: whoever this is, it is not the server the password is for.
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
        _encoded("user name", username)
        _encoded("password", password)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(username={self.username!r})"


def _encoded(what: str, text: str) -> bytes:
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


class PlainClient(PasswordMechanism):
    """PLAIN, the client's side (RFC 4616).

    Attributes:
        authorization_identity: Whom to act as, prepared with SASLprep (RFC 4954 4); ``""`` for whoever
            ``username`` is.
    """

    __slots__ = ("authorization_identity",)

    name = "PLAIN"
    cleartext = True

    def __init__(self, username: str, password: str, authorization_identity: str = "") -> None:
        """Check all three.

        Raises:
            LocalProtocolError: As in :class:`PasswordMechanism`, or the authorization identity does not
                survive SASLprep.
        """
        super().__init__(username, password)
        self.authorization_identity = ""
        if authorization_identity:
            self.authorization_identity = saslprep(authorization_identity)
            _encoded("authorization identity", self.authorization_identity)

    def initial_response(self) -> bytes:
        # message   = [authzid] UTF8NUL authcid UTF8NUL passwd
        return "\0".join((self.authorization_identity, self.username, self._password)).encode("utf-8")

    def respond(self, challenge: bytes) -> bytes:
        raise MechanismError("PLAIN has one message only, and the server asks for more")


class LoginClient(PasswordMechanism):
    """LOGIN, the client's side: the user name, then the password, whatever the server calls them."""

    __slots__ = ("_answers",)

    name = "LOGIN"
    cleartext = True

    def __init__(self, username: str, password: str) -> None:
        super().__init__(username, password)
        self._answers: list[str] = []

    def initial_response(self) -> None:
        self._answers = [self._password, self.username]

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise MechanismError("LOGIN has a user name and a password, and the server asks for more")
        return self._answers.pop().encode("utf-8")


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
        offered: The parameters of the AUTH keyword, in any case; what is no mechanism name is ignored.
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
