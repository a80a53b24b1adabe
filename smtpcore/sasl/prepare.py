"""SASLprep: user names and passwords in the form in which they are compared (RFC 4013)."""

from __future__ import annotations

from .._core.errors import LocalProtocolError

__all__ = ["saslprep"]


def saslprep(text: str, *, stored: bool = False) -> str:
    """Prepare a user name or a password for comparison (RFC 4013).

    Args:
        text: As the user typed it.
        stored: The result will be stored, as text or as a hash, so code points that Unicode 3.2 does not assign
            are refused. In the text of a client they are permitted, because they can only fail to match
            (RFC 3454 7).

    Returns:
        The prepared text. It may be empty, and is then not a valid name or password.

    Raises:
        LocalProtocolError: ``text`` contains a prohibited character or mixes directions. The error does not
            quote it.
    """
    if text.isascii() and text.isprintable():
        return text
    return prepare(text, stored=stored)


def prepare(text: str, *, stored: bool = False) -> str:
    """Prepare any text; saslprep() returns ASCII without calling this."""
    # Imported here because it is rarely needed and loads a megabyte.
    import stringprep
    from unicodedata import ucd_3_2_0

    # RFC 4013 2.1. ZERO WIDTH SPACE is in both tables. It becomes a space, because that rule is named first.
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    # RFC 4013 2.2
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    # The tables are functions in Python, so each different character is looked up once.
    characters = set(prepared)

    # RFC 4013 2.3, without C.1.2: these characters have become spaces, and normalization creates none.
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
        raise LocalProtocolError("the text has a character that SASLprep prohibits (RFC 4013 2.3)")

    # RFC 4013 2.4, RFC 3454 6: text with a right-to-left character begins and ends with one and has no
    # left-to-right character.
    right_to_left = stringprep.in_table_d1
    if any(map(right_to_left, characters)) and not (
        right_to_left(prepared[0])
        and right_to_left(prepared[-1])
        and not any(map(stringprep.in_table_d2, characters))
    ):
        raise LocalProtocolError("the text mixes left-to-right and right-to-left characters (RFC 4013 2.4)")

    # RFC 4013 2.5
    if stored and any(map(stringprep.in_table_a1, characters)):
        raise LocalProtocolError("the text has a code point that Unicode 3.2 does not assign (RFC 4013 2.5)")
    return prepared
