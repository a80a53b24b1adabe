"""``Rules``: the tables of the base protocol with those of a set of extensions merged in.

During a session the core looks things up in tables: which commands are legal in a state, where a reply
leads, which verbs there are. ``rules_for()`` merges the rows of the extensions into these tables once for each
set of extensions and caches the result, so an extension costs nothing on the fast path.

An extension can only add rows. It can neither remove nor change a row of the base protocol, and two claims to
one keyword, verb or parameter are an error when the set is built. Extensions can share one thing only, a
parameter with named values: 8BITMIME and BINARYMIME each own values of BODY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .capabilities import Capabilities
from .commandspec import CommandSpec, Group
from .config import Extension, Facts, ServerConfig
from .errors import LocalProtocolError
from .events import Command, Event
from .expressions import expression
from .limits import TlsInfo
from .parameters import Parameter
from .replies import Reply
from .state import (
    BEFORE_AUTH,
    BEFORE_TLS,
    IDLE,
    LEGAL,
    PIPELINED,
    SUCCESS,
    TRANSITIONS,
    VERBS,
    State,
    Transitions,
)

Check = Callable[[Command, Capabilities, Facts], Reply | None]

# A verb of an extension: the letters of RFC 5321 4.1.1, and digits and hyphens, as in keywords.
_VERB = expression(r"[A-Z][A-Z0-9-]*")


class Offered(NamedTuple):
    """The parameters, line lengths and checks of the extensions that are offered.

    Attributes:
        parameters: The rows that are legal, by command and keyword.
        octets: How many octets longer the lines of each command may be.
        checks: The checks of the extensions that are offered.
    """

    parameters: Mapping[str, Mapping[str, Parameter]]
    octets: Mapping[str, int]
    checks: tuple[Check, ...]


class Rules:
    """The tables of the base protocol and a set of extensions. Make one with :func:`rules_for`.

    Attributes:
        extensions: The set, in the order in which EHLO lists it.
        by_keyword: The extensions by keyword.
        owner: The extension that has added a command, by the class of the command.
        commands: The specs of the added commands, by class.
        verbs: These specs by verb.
        parameters: Every row by command (``"MAIL"``, ``"RCPT"``) and keyword.
        legal: The commands that are legal in each state.
        after: The next state, by command and first digit of the reply, then by state.
        success: The reply codes of each command that mean success.
        succeeds: The next state after a command that succeeds, by state.
        expected: The first digit of the reply to a command that succeeds.
        pipelined: Commands that may stand anywhere in a pipelined group.
        alone: Commands that are sent only when nothing is outstanding.
        idle: Commands that make no progress in delivering mail.
        before_tls: Commands that a server which requires TLS accepts before it.
        before_auth: Commands that a server which requires authentication accepts before it.
        readers: The function that converts the arguments of each keyword to a value.
        varies: Whether an offer depends on other facts than TLS and authentication.
    """

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self.extensions = tuple(extensions)
        self.by_keyword: dict[str, Extension] = {}
        self.owner: dict[type[Event], Extension] = {}
        self.commands: dict[type[Event], CommandSpec] = {}
        self.verbs: dict[str, CommandSpec] = {}
        self.parameters: dict[str, dict[str, Parameter]] = {"MAIL": {}, "RCPT": {}}
        for extension in self.extensions:
            self._add(extension)
        self.readers = {extension.keyword: extension.read for extension in self.extensions}
        self.varies = any(extension.varies for extension in self.extensions)

        specs = self.commands.values()
        self.legal: dict[State, frozenset[type[Event]]] = {
            state: kinds | {spec.event for spec in specs if state in spec.states}
            for state, kinds in LEGAL.items()
        }
        self.after: Transitions = {
            **TRANSITIONS,
            **{(spec.event, digit): moves for spec in specs for digit, moves in spec.leads.items()},
        }
        self.success: dict[type[Event], frozenset[int]] = {
            **SUCCESS,
            **{spec.event: spec.success for spec in specs},
        }
        self.expected = {kind: min(codes) // 100 for kind, codes in self.success.items()}
        self.succeeds: dict[type[Event], Mapping[State, State]] = {
            kind: self.after.get((kind, digit), {}) for kind, digit in self.expected.items()
        }
        self.pipelined = PIPELINED | {spec.event for spec in specs if spec.group is Group.ANYWHERE}
        self.alone = frozenset({spec.event for spec in specs if spec.group is Group.ALONE})
        self.idle = IDLE | {spec.event for spec in specs if spec.idle}
        self.before_tls = BEFORE_TLS | {spec.event for spec in specs if spec.before_tls}
        self.before_auth = BEFORE_AUTH | {spec.event for spec in specs if spec.before_auth}

    def _add(self, extension: Extension) -> None:
        keyword = extension.keyword
        if keyword in self.by_keyword:
            raise LocalProtocolError(f"two extensions claim the EHLO keyword {keyword}")
        self.by_keyword[keyword] = extension
        for spec in extension.commands:
            verb = spec.event.verb
            if _VERB.fullmatch(verb) is None:
                raise LocalProtocolError(
                    f"{verb!r} is not a valid verb: letters, digits and hyphens, in upper case, a letter first"
                )
            if verb in VERBS or verb in self.verbs:
                raise LocalProtocolError(f"the verb {verb} of the extension {keyword} is claimed already")
            self.verbs[verb] = self.commands[spec.event] = spec
            self.owner[spec.event] = extension
        for command, rows in self.parameters.items():
            _merge(rows, extension, command)

    def offered_parameters(self, command: str, capabilities: Capabilities) -> Mapping[str, Parameter]:
        """The parameters of a command that are legal where these extensions are offered.

        Args:
            command: ``"MAIL"`` or ``"RCPT"``.
            capabilities: What is offered; keywords of other extensions do not matter.
        """
        return self.offered(capabilities).parameters[command]

    def extra_octets(self, command: str, capabilities: Capabilities) -> int:
        """How many octets longer than others the lines of a command may be (RFC 5321 4.5.3.1.4)."""
        return self.offered(capabilities).octets[command]

    def offered(self, capabilities: Capabilities) -> Offered:
        """The tables that follow from an offer, which caches them: a server has few offers and many lines."""
        compiled = capabilities._compiled
        if compiled is not None and compiled[0] is self:
            offered: Offered = compiled[1]
            return offered
        offered = _compile(self, frozenset(name for name in self.by_keyword if name in capabilities))
        capabilities._compiled = self, offered
        return offered

    def offer(self, config: ServerConfig, facts: Facts) -> Capabilities:
        """Return what a server offers under these circumstances, in the order of the set.

        Raises:
            LocalProtocolError: An extension is offered without another one that it needs.
        """
        key = None if self.varies else (config, facts.tls is not None, facts.authenticated is not None)
        return _offer(self, config, facts) if key is None else _usual_offer(self, *key)

    def refusal(self, command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
        """Run the checks of all extensions on MAIL and RCPT, and that of the owner on a command of its own.

        Returns:
            The reply that refuses it, or None.
        """
        owner = self.owner.get(command.__class__)
        if owner is not None:
            return None if owner.check is None else owner.check(command, capabilities, facts)
        for check in self.offered(capabilities).checks:
            reply = check(command, capabilities, facts)
            if reply is not None:
                return reply
        return None


@lru_cache(maxsize=256)
def _compile(rules: Rules, keywords: frozenset[str]) -> Offered:
    offered = [extension for extension in rules.extensions if extension.keyword in keywords]
    parameters: dict[str, dict[str, Parameter]] = {"MAIL": {}, "RCPT": {}}
    for command, rows in parameters.items():
        for extension in offered:
            _merge(rows, extension, command)
    octets = {
        "MAIL": sum(extension.mail_octets for extension in offered),
        "RCPT": sum(extension.rcpt_octets for extension in offered),
    }
    return Offered(parameters, octets, tuple(one.check for one in offered if one.check is not None))


def _merge(rows: dict[str, Parameter], extension: Extension, command: str) -> None:
    """Add the parameters that an extension has for a command."""
    for parameter in extension.parameters:
        if parameter.command == command:
            there = rows.get(parameter.keyword)
            rows[parameter.keyword] = parameter if there is None else there.merged_with(parameter)


# One configuration serves thousands of connections; most offers depend on TLS and authentication only.
@lru_cache(maxsize=256)
def _usual_offer(rules: Rules, config: ServerConfig, tls: bool, authenticated: bool) -> Capabilities:
    return _offer(rules, config, Facts(TlsInfo() if tls else None, "" if authenticated else None))


def _offer(rules: Rules, config: ServerConfig, facts: Facts) -> Capabilities:
    offered: list[tuple[str, Sequence[str]]] = []
    for extension in rules.extensions:
        arguments = extension.offer(config, facts)
        if arguments is not None:
            offered.append((extension.keyword, arguments))
    for keyword, arguments in config.keywords.items():
        if keyword.upper() in rules.by_keyword:
            raise LocalProtocolError(f"the EHLO keyword {keyword} belongs to an extension: see its switch")
        offered.append((keyword, arguments.split()))
    capabilities = Capabilities(offered, rules.readers)
    for extension in rules.extensions:
        for needed in extension.needs if extension.keyword in capabilities else ():
            if needed not in capabilities:
                raise LocalProtocolError(f"{extension.keyword} may only be offered together with {needed}")
    return capabilities


@lru_cache(maxsize=64)
def rules_for(extensions: tuple[Extension, ...]) -> Rules:
    """Return the rules of a set of extensions; they are made once for each set.

    Args:
        extensions: The set, in the order in which EHLO is to list it.

    Raises:
        LocalProtocolError: Two of them claim the same keyword, verb or parameter.
    """
    return Rules(extensions)
