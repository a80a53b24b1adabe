"""Service extensions: what an EHLO keyword makes legal.

An extension is a row: its parameters, and by how much it lengthens command lines. Everything else
asks the rows: a server, which parameters to take from what it offers; a client, which to send to what it was
offered. Adding an extension means adding a row here, its parameters' rows in ``parameters``, and a class for
each new command in ``events``.

:class:`Capabilities` is the list of keywords itself, the same value on both sides: a server writes it into
its reply to EHLO, a client reads it out of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from .grammar import EHLO_KEYWORD
from .parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, Parameter
from .replies import visible_ascii


@dataclass(frozen=True, slots=True)
class Extension:
    """What one EHLO keyword means.

    Attributes:
        keyword: In upper case.
        mail_octets: By so many octets MAIL lines may be longer than 512.
        rcpt_octets: The same for RCPT lines.
    """

    keyword: str
    mail_octets: int = 0
    rcpt_octets: int = 0


EXTENSIONS: Final[Mapping[str, Extension]] = {
    one.keyword: one
    for one in (
        Extension("PIPELINING"),  # RFC 2920
        Extension("SIZE", mail_octets=26),  # RFC 1870 3 (5)
        # RFC 6152 names no number; this is what " BODY=8BITMIME" takes.
        Extension("8BITMIME", mail_octets=14),
        Extension("SMTPUTF8", mail_octets=10),  # RFC 6531 3.1
        Extension("ENHANCEDSTATUSCODES"),  # RFC 2034
        Extension("STARTTLS"),  # RFC 3207
        Extension("AUTH", mail_octets=500),  # RFC 4954 3
        Extension("EXPN"),  # RFC 5321 3.5.2
        Extension("HELP"),  # RFC 5321 4.1.1.8
    )
}


class Capabilities(Mapping[str, tuple[str, ...]]):
    """The EHLO keywords a server offers, each with its parameters, in order.

    A mapping: ``"PIPELINING" in capabilities``, ``capabilities["SIZE"]``. Keywords are looked up in any case
    and kept in upper case; parameters are kept as they are (RFC 5321 4.1.1.1), so in those of another server
    anything but printable ASCII is written out: ``\\x1b`` for ESC.

    Args:
        keywords: Keywords with their parameters.
    """

    def __init__(self, keywords: Iterable[tuple[str, Sequence[str]]] = ()) -> None:
        self._keywords: dict[str, tuple[str, ...]] = {}
        for keyword, parameters in keywords:
            # AUTH has been seen on two lines, and as AUTH=: the mechanisms of all of them count.
            keyword = keyword.upper()
            self._keywords[keyword] = (*self._keywords.get(keyword, ()), *parameters)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Capabilities:
        """Read the lines of a reply to EHLO behind the first, which is a greeting and never a keyword.

        What is no ehlo-line is left out: no server is worth losing for it (RFC 5321 4.1.1.1). An ehlo-param is
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
        return cls(keywords)

    def lines(self) -> list[str]:
        """The lines of a reply to EHLO behind the first."""
        return [" ".join((keyword, *parameters)) for keyword, parameters in self._keywords.items()]

    def too_big(self, octets: int) -> bool:
        """Whether the server has said that it takes no message of this size (RFC 1870 7)."""
        return octets > (self.size or octets)

    @cached_property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, in upper case."""
        return tuple(dict.fromkeys(name.upper() for name in self._keywords.get("AUTH", ())))

    @cached_property
    def size(self) -> int | None:
        """Octets of content taken at most; 0: no fixed limit; None: it is not said (RFC 1870 3)."""
        number = (*self._keywords.get("SIZE", ()), "")[0]
        return int(number) if number.isascii() and number.isdigit() and len(number) <= 20 else None

    @cached_property
    def mail_parameters(self) -> Mapping[str, Parameter]:
        """The parameters of MAIL that are legal."""
        return self._legal(MAIL_PARAMETERS)

    @cached_property
    def rcpt_parameters(self) -> Mapping[str, Parameter]:
        """The parameters of RCPT that are legal."""
        return self._legal(RCPT_PARAMETERS)

    def _legal(self, parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
        return {keyword: one for keyword, one in parameters.items() if one.extension in self._keywords}

    @cached_property
    def mail_octets(self) -> int:
        """By so many octets a MAIL line may be longer than others (RFC 5321 4.5.3.1.4)."""
        return sum(EXTENSIONS[keyword].mail_octets for keyword in self._keywords if keyword in EXTENSIONS)

    @cached_property
    def rcpt_octets(self) -> int:
        """The same for RCPT."""
        return sum(EXTENSIONS[keyword].rcpt_octets for keyword in self._keywords if keyword in EXTENSIONS)

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


NO_CAPABILITIES: Final = Capabilities()
