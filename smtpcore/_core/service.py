"""``Service``: what all sessions of one server share, worked out once from its configuration.

A server has one configuration and one host name for thousands of connections. What follows from the two is the
same in each: the rules, which commands are legal, how a command line is read, the octets of the ordinary
replies. It depends on the session only by its :class:`Terms`: whether TLS is active, whether the client has
authenticated, and whether it has introduced itself by HELO. So a connection holds a reference to its terms and
changes it when one of these three changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from ..extensions import STANDARD
from ..extensions.help import Help
from ..sasl import SERVER_MECHANISMS
from . import replytexts as texts
from .addresses import is_address_literal, is_domain
from .capabilities import NO_CAPABILITIES, Capabilities
from .commands import CommandParser
from .config import Facts, ServerConfig
from .errors import LocalProtocolError
from .events import Ehlo, Event, Helo, Quit
from .limits import TlsInfo
from .replies import Reply
from .rules import Rules, rules_for
from .serverreplies import WITH_HOSTNAME, WITHOUT_STATUS, with_hostname
from .state import VERBS, State

Successes = Mapping[type[Event], tuple[bytes, Mapping[State, State]]]


class Terms:
    """What a service offers and permits to a session under certain circumstances.

    Args:
        service: The service.
        facts: The circumstances.

    Attributes:
        capabilities: What is offered.
        parser: What reads command lines. After HELO it knows no extensions (RFC 5321 2.2.1).
        permitted: What may come at all; None: anything that the state allows.
        refusal: The reply to what is not permitted.
        legal: What may come in each state.
        successes: What ``accept()`` sends, as octets, and where that leads, for each event.
    """

    __slots__ = ("capabilities", "legal", "parser", "permitted", "refusal", "successes")

    def __init__(self, service: Service, facts: Facts) -> None:
        config, rules = service.config, service.rules
        self.capabilities = rules.offer(config, facts)
        usable = NO_CAPABILITIES if isinstance(facts.hello, Helo) else self.capabilities
        self.parser = CommandParser(config, rules, usable)
        self.permitted: frozenset[type[Event]] | None = None
        self.refusal = texts.NEED_AUTH
        if facts.tls is not None and facts.tls.too_weak:
            self.permitted, self.refusal = frozenset({Quit}), texts.WEAK_TLS
        elif facts.tls is None and config.require_tls:
            self.permitted, self.refusal = rules.before_tls, texts.NEED_TLS
        elif facts.authenticated is None and config.require_auth:
            self.permitted = rules.before_auth
        self.legal: Mapping[State, frozenset[type[Event]]] = rules.legal
        if self.permitted is not None:
            self.legal = {state: kinds & self.permitted for state, kinds in rules.legal.items()}
        self.successes: Successes = service.successes(self.capabilities)


class Service:
    """A server's configuration and host name, with what follows from them.

    Args:
        hostname: The server's own domain, or an address literal.
        config: The configuration.

    Attributes:
        hostname: As given.
        config: As given.
        rules: Those of its extensions.

    Raises:
        LocalProtocolError: ``hostname`` is neither a domain nor an address literal, or a SASL mechanism is not
            known.
    """

    __slots__ = ("_terms", "config", "hostname", "rules")

    def __init__(self, hostname: str, config: ServerConfig) -> None:
        if not (is_domain(hostname) or is_address_literal(hostname)):
            raise LocalProtocolError(
                f"the host name {hostname!r} is neither a domain nor an address literal (RFC 5321 4.2)"
            )
        for name in config.auth_mechanisms:
            if name not in SERVER_MECHANISMS:
                raise LocalProtocolError(f"no SASL mechanism {name}: there are {', '.join(SERVER_MECHANISMS)}")
        self.hostname = hostname
        self.config = config
        self.rules: Rules = rules_for(STANDARD if config.extensions is None else config.extensions)
        self._terms: dict[tuple[bool, bool, bool, bool], Terms] = {}

    def terms(
        self,
        tls: TlsInfo | None,
        authenticated: str | None,
        hello: Ehlo | Helo | None,
        all_facts: Callable[[], Facts],
    ) -> Terms:
        """Return the terms of a session, from a cache unless an extension looks at other facts as well.

        Args:
            tls, authenticated, hello: As in Facts.
            all_facts: Gives all facts. It is called only where the terms have to be made.
        """
        if self.rules.varies:
            return Terms(self, all_facts())
        too_weak = tls is not None and tls.too_weak
        key = (tls is not None, too_weak, authenticated is not None, hello.__class__ is Helo)
        terms = self._terms.get(key)
        if terms is None:
            terms = self._terms[key] = Terms(self, all_facts())
        return terms

    def success(self, kind: type[Event], capabilities: Capabilities) -> Reply:
        """Return the ordinary reply to what has been accepted, without host name and keywords."""
        spec = self.rules.commands.get(kind)
        reply = texts.SUCCESS[kind] if spec is None else spec.reply
        if kind is Help:
            owner = self.rules.owner
            verbs = [verb for verb, one in self.rules.verbs.items() if owner[one.event].keyword in capabilities]
            return Reply(reply.code, reply.status, " ".join((reply.text, *VERBS, *verbs)))
        return reply

    def named(self, kind: type[Event], reply: Reply, capabilities: Capabilities) -> Reply:
        """Put the host name into a reply where it belongs, and the keywords into a success of EHLO.

        Args:
            kind: The class of what is answered.
            reply: The reply.
            capabilities: What is offered.
        """
        if reply.is_success and kind is Ehlo:
            # ehlo-ok-rsp: the host name, a greeting, then a keyword on each line (RFC 5321 4.1.1.1)
            return with_hostname(self.hostname, reply, tuple(capabilities.lines()))
        if reply.is_success and kind is Helo:
            return with_hostname(self.hostname, reply, ())
        return with_hostname(self.hostname, reply) if reply.code in WITH_HOSTNAME else reply

    def successes(self, capabilities: Capabilities) -> Successes:
        """Encode every ordinary success.

        Args:
            capabilities: What is offered.
        """
        successes = {}
        for kind in (*texts.SUCCESS, *self.rules.commands):
            reply = self.named(kind, self.success(kind, capabilities), capabilities)
            enhanced = self.config.enhanced_status_codes and kind not in WITHOUT_STATUS
            leads_to = self.rules.after.get((kind, reply.severity), {})
            successes[kind] = reply.encode(enhanced=enhanced), leads_to
        return successes


# The configuration is a key by its value, since an application may make an equal one for each connection.
@lru_cache(maxsize=256)
def service_for(hostname: str, config: ServerConfig) -> Service:
    """Return the service of a host name and a configuration, made once.

    Raises:
        LocalProtocolError: As :class:`Service`.
    """
    return Service(hostname, config)
