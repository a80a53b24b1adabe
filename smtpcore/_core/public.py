"""Public objects show their public name: ``smtpcore.Reply``, not ``smtpcore._core.replies.Reply``."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType


def publish(module: str, namespace: Mapping[str, object]) -> None:
    """Name the module as the home of the classes and functions in its ``__all__``, as reprs and pickles show.

    What another public module has published already keeps its name.

    Args:
        module: ``__name__`` of the module.
        namespace: ``globals()`` at its end.
    """
    names = namespace["__all__"]
    assert isinstance(names, list)
    for name in names:
        one = namespace[name]
        if isinstance(one, (type, FunctionType)) and (
            "._" in one.__module__ or one.__module__.startswith(f"{module}.")
        ):
            one.__module__ = module
