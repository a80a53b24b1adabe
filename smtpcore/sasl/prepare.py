"""SASLprep: user names and passwords in the form in which they are compared (RFC 4013)."""

from __future__ import annotations

from .._core.errors import LocalProtocolError

__all__ = ["saslprep"]


def saslprep(text: str, *, stored: bool = False) -> str:
    """A user name or password in the form in which two of them are compared (RFC 4013).

    Args:
        text: As typed by a person.
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
    return prepare(text, stored=stored)


def prepare(text: str, *, stored: bool = False) -> str:
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
