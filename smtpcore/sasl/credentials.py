"""The questions that a mechanism of a server asks the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._core.errors import ArgumentTypeError, LocalProtocolError
from .._core.events import Event
from .prepare import prepare

__all__ = ["AuthQuestion", "Credentials", "SecretRequest", "StoredSecret"]


@dataclass(frozen=True, slots=True)
class AuthQuestion(Event):
    """A question of a mechanism to the application. Mechanisms can have subclasses of their own.

    Attributes:
        mechanism: The mechanism's name.
        username: The authentication identity: the user whose credentials these are.
        authorization_identity: The user as whom the client wants to act, or None for ``username``. Any other
            name must be refused unless ``username`` may act for it (RFC 4422 3.6).
    """

    mechanism: str
    username: str
    authorization_identity: str | None


@dataclass(frozen=True, slots=True)
class Credentials(AuthQuestion):
    """Asks whether ``username`` has this password. Answer with accept or reject.

    Attributes:
        password: As the client sent it; prepared with SASLprep, unless the mechanism has ``prepare=False``.
    """

    password: str = field(repr=False)

    def matches(self, password: str | None, *, any_identity: bool = False) -> bool:
        """Return whether this is the stored password, and the client wants to act as no other user.

        Both passwords are prepared (RFC 4013, RFC 4616 2) and compared in a time that does not depend on where
        they differ. The work is the same for an account that does not exist and for a password that is not
        ASCII, because a client must not learn which accounts exist (RFC 4422 3.6).

        Args:
            password: The stored password, in clear. None if there is no such account.
            any_identity: Do not look at ``authorization_identity``: the caller decides about it.

        Raises:
            ArgumentTypeError: ``password`` is neither a string nor None. The error does not show it.
        """
        if not isinstance(password, str | None):
            raise ArgumentTypeError(f"the stored password is a string or None, not {type(password).__name__}")
        # Imported here because it loads the whole of hashlib, which a client never needs.
        from hmac import compare_digest

        presented = _comparable(self.password)
        on_record = _comparable(password or "")
        equal = compare_digest(presented, presented if password is None else on_record)
        own = any_identity or self.authorization_identity in (None, self.username)
        return equal and own and password is not None


# Letters of one script, all different, so that each costs SASLprep as much as a letter of a password.
_FILLER = "".join(map(chr, range(0x4E00, 0x4E00 + 32)))


def _comparable(password: str) -> bytes:
    # The time of SASLprep grows with the characters, and for ASCII it is almost nothing. The filler makes all
    # passwords of up to 32 characters take the same time.
    prepare(_FILLER[len(password) :])
    # A stored password may be older than SASLprep and contain what it prohibits. It then matches only itself.
    try:
        prepared = prepare(password)
    except LocalProtocolError:
        prepared = ""
    return (prepared or password).encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class SecretRequest(AuthQuestion):
    """Asks for the stored secret of ``username``. Answer with supply or reject.

    Mechanisms ask this in which the client does not send the password.
    """


class StoredSecret:
    """What a server stores in place of a password. A mechanism with such a form has a subclass."""

    __slots__ = ()
