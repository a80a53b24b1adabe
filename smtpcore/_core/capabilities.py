"""``Capabilities``: the EHLO keywords that a server offers, the same value on both sides.

A server writes it into its reply to EHLO, a client reads it out of one. What a keyword means is told by its
``Extension``; the values that extensions make of the arguments are kept here beside the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Self

from .errors import LocalProtocolError
from .grammar import EHLO_KEYWORD
from .printable import visible_ascii

Reader = Callable[[tuple[str, ...]], object]
_NO_READERS: Final[Mapping[str, Reader]] = MappingProxyType({})


class Capabilities(Mapping[str, tuple[str, ...]]):
    """The EHLO keywords a server offers, each with its parameters, in order.

    A mapping: ``"PIPELINING" in capabilities``, ``capabilities["SIZE"]``. Keywords are looked up in any case
    and kept in upper case; parameters are kept as they are (RFC 5321 4.1.1.1), so in those of another server
    anything but printable ASCII is written out: ``\\x1b`` for ESC.

    Args:
        keywords: Keywords with their parameters.
        readers: What makes a value of the parameters, by keyword.
    """

    __slots__ = ("_compiled", "_keywords", "_values")

    def __init__(
        self, keywords: Iterable[tuple[str, Sequence[str]]] = (), readers: Mapping[str, Reader] = _NO_READERS
    ) -> None:
        # What the rules of a connection have derived from the keywords, with these rules: see Rules.offered().
        self._compiled: tuple[object, Any] | None = None
        self._keywords: dict[str, tuple[str, ...]] = {}
        for keyword, parameters in keywords:
            # AUTH has been seen on two lines, and as AUTH=: the mechanisms of all of them count.
            keyword = keyword.upper()
            self._keywords[keyword] = (*self._keywords.get(keyword, ()), *parameters)
        self._values = {
            keyword: _value(readers[keyword], arguments)
            for keyword, arguments in self._keywords.items()
            if keyword in readers
        }

    @classmethod
    def parse(cls, lines: Iterable[str], readers: Mapping[str, Reader] = _NO_READERS) -> Self:
        """Read the lines of a reply to EHLO after the first, which is a greeting and never a keyword.

        A line that is not a valid ehlo-line is ignored (RFC 5321 4.1.1.1). An ehlo-param is
        printable ASCII there; other characters in it are written out, so that nothing a terminal might obey
        gets into an exception, a hint or a log.
        """
        keywords: list[tuple[str, Sequence[str]]] = []
        for line in lines:
            if line[:5].upper() == "AUTH=":
                line = f"AUTH {line[5:]}"
            keyword, *parameters = line.replace("\t", " ").strip(" ").split(" ")
            if EHLO_KEYWORD.fullmatch(keyword):
                keywords.append((keyword, [visible_ascii(one) for one in parameters if one]))
        return cls(keywords, readers)

    def lines(self) -> list[str]:
        """The lines of a reply to EHLO after the first."""
        return [" ".join((keyword, *parameters)) for keyword, parameters in self._keywords.items()]

    def exceeds_size(self, octets: int) -> bool:
        """Whether a message of so many octets is more than the server accepts (RFC 1870 7)."""
        return octets > (self.size or octets)

    def value(self, keyword: str) -> object:
        """What the extension has made of the arguments of a keyword.

        Args:
            keyword: In any case.

        Returns:
            The value, such as a number for SIZE; None if the keyword is not offered, if no extension of the
            connection reads it, or if its arguments are malformed.
        """
        return self._values.get(keyword.upper())

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, in upper case (RFC 4954 3)."""
        names = self._values.get("AUTH")
        return names if isinstance(names, tuple) else ()

    @property
    def size(self) -> int | None:
        """Octets of content accepted at most (RFC 1870 3); 0: no fixed limit; None: not offered, or none."""
        octets = self._values.get("SIZE")
        return octets if isinstance(octets, int) else None

    def __getitem__(self, keyword: str) -> tuple[str, ...]:
        return self._keywords[keyword.upper()]

    def __contains__(self, keyword: object) -> bool:
        return isinstance(keyword, str) and keyword.upper() in self._keywords

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)

    def __reduce__(self) -> tuple[object, ...]:
        # Not what was worked out from the keywords: the rows of parameters hold functions.
        return Capabilities, (list(self._keywords.items()),)

    def __repr__(self) -> str:
        return f"<Capabilities: {', '.join(self.lines()) or 'none'}>"


def _value(read: Reader, arguments: tuple[str, ...]) -> object:
    """The value of the arguments; None if they are malformed, since no server is worth losing for them."""
    try:
        return read(arguments)
    except LocalProtocolError:
        return None


NO_CAPABILITIES: Final = Capabilities()
