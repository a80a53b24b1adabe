"""What ``serve()`` checks of a handler before a client connects."""

from __future__ import annotations

import difflib
import inspect
from typing import Final

from ..handlers import Handler

# The names of methods that other libraries call, and the methods that have their place here.
_FOREIGN: Final = {
    "handle_HELO": "accept_hello",
    "handle_EHLO": "accept_hello",
    "handle_MAIL": "accept_sender",
    "handle_RCPT": "accept_recipient",
    "handle_DATA": "store",
    "handle_RSET": "on_reset",
    "handle_NOOP": "nothing: the server answers NOOP",
    "handle_QUIT": "on_disconnect",
    "handle_VRFY": "verify_address",
    "handle_AUTH": "check_credentials",
    "handle_STARTTLS": "on_tls",
    "handle_exception": "nothing: exceptions are logged and answered 451",
    "handle_message": "store",
    "process_message": "store",
}
_METHODS: Final = tuple(name for name, value in vars(Handler).items() if inspect.isfunction(value))
_NEARLY: Final = 0.85  # difflib's ratio; accept_recipent has 0.97, restore and store have 0.83


def check_handler(handler: object) -> None:
    """Raise TypeError for what cannot be a handler."""
    if isinstance(handler, type):
        raise TypeError(
            f"a handler is a function or an object: not {handler.__name__}, but {handler.__name__}()"
        )
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"{name_of(handler)} is a generator function: a handler has no yield")
    if inspect.isroutine(handler):
        return
    what = type(handler).__name__ + ("" if _is_object_of_an_application(handler) else f" {handler!r:.80}")
    for name in dir(handler):
        static = inspect.getattr_static(handler, name, None)
        is_method = callable(static) or isinstance(static, (staticmethod, classmethod))
        if name.startswith("_") or name in _METHODS or not is_method:
            continue
        if name in _FOREIGN:
            raise TypeError(
                f"{what}.{name} is a method of another library's handlers: here it is {_FOREIGN[name]}"
            )
        if near := difflib.get_close_matches(name, _METHODS, 1, _NEARLY):
            raise TypeError(
                f"{what}.{name} is never called: did you mean {near[0]}? (a method with another purpose may"
                " begin with an underscore)"
            )
    present = [name for name in _METHODS if getattr(handler, name, None) is not None]
    if callable(handler):
        if present:
            raise TypeError(f"{what} is callable and has {present[0]}: it can be only one kind of handler")
    elif not present:
        raise TypeError(
            f"a handler is a function, or an object with at least one of the methods {', '.join(_METHODS)}: not"
            f" {what}"
        )
    for name in present:
        _check_method(f"{what}.{name}", getattr(handler, name), name)
    domains = getattr(handler, "served_domains", None)
    if domains is not None and (
        isinstance(domains, (str, bytes)) or not all(isinstance(domain, str) for domain in domains)
    ):
        raise TypeError(f"{what}.served_domains is a collection of strings, not {domains!r:.80}")


def _check_method(where: str, method: object, name: str) -> None:
    if not callable(method):
        raise TypeError(f"{where} is a method, not {type(method).__name__} {method!r:.80}")
    parameters = list(inspect.signature(getattr(Handler, name)).parameters)[1:]
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of some built-in functions
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        raise TypeError(f"{where} is called with ({', '.join(parameters)}), but takes {signature}") from None


def _is_object_of_an_application(handler: object) -> bool:
    return type(handler).__module__ != "builtins"


def name_of(method: object) -> str:
    """The name of a function or an object for logs and errors."""
    return str(getattr(method, "__qualname__", repr(method)))
