"""The questions that a mechanism of a server asks the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._core.errors import LocalProtocolError
from .._core.events import Event
from .prepare import prepare

__all__ = ["AuthQuestion", "Credentials", "SecretRequest", "StoredSecret"]


@dataclass(frozen=True, slots=True)
class AuthQuestion(Event):
    """Something only the application can answer. Mechanisms may bring subclasses of their own.

    Attributes:
        mechanism: The mechanism's name.
        username: The authentication identity: whose credentials these are.
        authorization_identity: Whom the client wants to act as, or None for ``username``.
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
    prepare(_FILLER[len(password) :])
    # A password on record may be older than SASLprep and not survive it; it then matches only itself.
    try:
        prepared = prepare(password)
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
