"""Whether a client may send a command: by the state, by what the server offers, and by the extensions.

Each function raises :class:`~smtpcore.LocalProtocolError`, before anything has changed.
"""

from __future__ import annotations

from .capabilities import Capabilities
from .config import Facts
from .errors import LocalProtocolError
from .events import Command, Mail, Rcpt
from .parameters import format_parameters
from .rules import Rules
from .state import State


def illegal(command: Command, state: State, rules: Rules) -> LocalProtocolError:
    """Return the error about a command that is not legal in a state."""
    if command.__class__ not in rules.success:
        return LocalProtocolError(f"{command.verb} belongs to no extension of this connection")
    return LocalProtocolError(
        f"{command.__class__.__name__} cannot come in the state {state.value!r} (RFC 5321 4.1.4)"
    )


def check_ascii(octets: bytes, mail: Mail | None, commands: tuple[Mail | Rcpt, ...]) -> None:
    """Raise if the octets of these commands have UTF-8 in them, and this MAIL does not allow it."""
    if not octets.isascii() and (mail is None or not mail.smtputf8):
        foreign = next(str(command._path) for command in commands if not command.is_ascii)
        raise LocalProtocolError(f"the address {foreign!r} is not ASCII, which needs SMTPUTF8 (RFC 6531 3.4)")


def write_parameters(command: Mail | Rcpt, rules: Rules, offered: Capabilities, facts: Facts) -> str:
    """Write the parameters; raise if the server does not offer them, or if their extensions object."""
    rows = rules.parameters[command.verb]
    legal = rules.offered_parameters(command.verb, offered)
    for keyword in command.parameters:
        # A parameter that no extension here knows may be sent where the server offers a keyword like it.
        if keyword not in legal and (keyword in rows or keyword not in offered):
            raise LocalProtocolError(_not_offered(keyword, command.verb, rules))
    parameters = format_parameters(command.parameters, legal)
    _check_by_extensions(command, rules, offered, facts)
    return parameters


def _not_offered(keyword: str, verb: str, rules: Rules) -> str:
    others = [other for other, rows in rules.parameters.items() if keyword in rows]
    if others and verb not in others:
        return f"{keyword} is a parameter of {others[0]}, not of {verb}"
    return f"the server does not offer the parameter {keyword} of {verb} (RFC 5321 2.2.1)"


def check_offered(command: Command, rules: Rules, offered: Capabilities, facts: Facts) -> None:
    """Raise if the server does not offer the extension of a command, or if that objects."""
    _check_by_extensions(command, rules, offered, facts)
    keyword = rules.owner[command.__class__].keyword
    if keyword not in offered and not rules.commands[command.__class__].unasked:
        needed_by = "" if keyword == command.verb else f", which {command.verb} needs"
        raise LocalProtocolError(f"the server does not offer {keyword}{needed_by} (RFC 5321 2.2.1)")


def _check_by_extensions(command: Command, rules: Rules, offered: Capabilities, facts: Facts) -> None:
    refusal = rules.refusal(command, offered, facts)
    if refusal is not None:
        raise LocalProtocolError(f"{command.verb} cannot be sent: {refusal.text}")
