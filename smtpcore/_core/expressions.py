"""Regular expressions that are compiled when they are used first.

To compile all expressions of the package takes longer than everything else that an import of it does, and most
programs use few of them.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast

_METHODS = frozenset({"finditer", "fullmatch", "match", "search", "split", "sub"})


class Expression:
    """Stands for a compiled expression until a method of that is asked for, and has its methods from then on.

    Args:
        pattern: The text of the expression.
        flags: Those of ``re``.

    Attributes:
        pattern: As given.
        flags: As given.
    """

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self.pattern = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        # Called only for what is not there yet.
        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self.flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def expression(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return an expression that is compiled when it is used first.

    It has the methods of ``re.Pattern``; its other attributes are ``pattern`` and ``flags``.

    Args:
        pattern: The text of the expression.
        flags: Those of ``re``.
    """
    return cast("re.Pattern[AnyStr]", Expression(pattern, flags))
