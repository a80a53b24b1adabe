"""The addresses in a field (RFC 5322 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from email.errors import InvalidHeaderDefect
from email.headerregistry import Address, AddressHeader, HeaderRegistry
from typing import NamedTuple

from .._core.addresses import Mailbox, composed, in_ascii
from .._core.errors import LocalProtocolError
from ._octets import Form, NeedsSmtpUtf8
from ._words import decode_words, is_source, text_of

_DISGUISE = "=\ue000?"
REGISTRY = HeaderRegistry()


class _Group(NamedTuple):
    """A group (RFC 5322 3.4); without a name: the mailboxes outside of groups."""

    name: str | None
    members: list[tuple[str, Mailbox]]


def read_groups(name: str, value: object) -> list[_Group]:
    """Read an address field.

    Raises:
        LocalProtocolError: A part of the field is not a valid address.
    """
    words = decode_words if is_source(value) else str
    header: object = value
    if not (isinstance(header, AddressHeader) and _holds_addresses(header)):
        text = text_of(name, value)
        try:
            header = REGISTRY("to", text.replace("=?", _DISGUISE))
        except Exception as error:  # the parser raises IndexError, ValueError and others
            raise LocalProtocolError(f"the {name} field is not a valid list of addresses") from error
    assert isinstance(header, AddressHeader)
    if _is_doubtful(getattr(header, "_parse_tree", None)):
        raise LocalProtocolError(f"the {name} field has encoded words or white space in an address")
    defects: Iterable[object] = getattr(header, "defects", ())
    for defect in defects:
        # The parser continues at the next comma, so an unknown number of addresses is missing.
        if isinstance(defect, InvalidHeaderDefect):
            raise LocalProtocolError(f"the {name} field is not a valid list of addresses: {defect}")
    found: list[_Group] = []
    for group in header.groups:
        members: list[tuple[str, Mailbox]] = []
        for address in group.addresses:
            local_part = _undisguise(address.username)
            try:
                mailbox = Mailbox(composed(local_part), composed(address.domain))
            except LocalProtocolError as error:
                raise LocalProtocolError(f"the {name} field: {error}") from None
            members.append((words(_undisguise(address.display_name)), mailbox))
        group_name = group.display_name
        found.append(_Group(None if group_name is None else words(_undisguise(group_name)), members))
    return found


def _holds_addresses(header: AddressHeader) -> bool:
    """Whether a field holds only addresses; the library accepts a Header object as one, too."""
    return all(isinstance(address, Address) for group in header.groups for address in group.addresses)


def _is_doubtful(tree: object) -> bool:
    """Whether the library may have found an address that was not written in the field.

    In a field that was set as text, it decodes encoded words in addresses, and the given text is lost. In an
    obsolete local-part (with white space around the dots) it also parses the decoded text again as source, so
    the result may be any address. And it removes white space of any script from a domain.
    """
    waiting = [(tree, False)]
    while waiting:
        token, in_address = waiting.pop()
        kind = getattr(token, "token_type", None)
        if in_address:
            if kind in ("encoded-word", "obs-local-part"):
                return True
            if isinstance(token, str) and any(c.isspace() and c not in " \t" for c in token):
                return True
        in_address = in_address or kind == "addr-spec"
        children: Iterable[object] = token if isinstance(token, list) else ()
        waiting += [(child, in_address) for child in children]
    return False


def _undisguise(text: str) -> str:
    return text.replace(_DISGUISE, "=?")


def address_in_ascii(mailbox: Mailbox, where: str) -> str:
    """Return what :func:`smtpcore._core.addresses.in_ascii` does.

    Raises:
        NeedsSmtpUtf8: The local-part has no such form.
    """
    text = in_ascii(mailbox)
    if text is None:
        raise NeedsSmtpUtf8(
            f"the address {str(mailbox)!r} ({where}) has a local-part that is not ASCII and the server does not"
            " offer SMTPUTF8 (RFC 6531)"
        )
    return text


def write_address(mailbox: Mailbox, form: Form, where: str) -> str:
    return str(mailbox) if form.utf8 else address_in_ascii(mailbox, where)
