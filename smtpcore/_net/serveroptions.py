"""The options of a server, checked when ``serve()`` is called."""

from __future__ import annotations

import dataclasses
import functools
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from .._core.config import ServerConfig
from .._core.errors import LocalProtocolError
from .._core.server import ServerConnection
from .options import check_side, wrong_type

if TYPE_CHECKING:
    from ..transcript import Transcript

logger = logging.getLogger("smtpcore")

_DEFAULT_CONFIG = ServerConfig()


class ServeOptions(TypedDict, total=False):
    """The keyword arguments of ``serve()`` that become :class:`ServerOptions`; ``serve()`` documents them."""

    hostname: str | None
    config: ServerConfig | Callable[[Any], ServerConfig] | None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None
    implicit_tls: bool
    transcript: Callable[[], Transcript | None] | None
    greet_pause: float


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of a server, checked."""

    hostname: str | None = None
    config: ServerConfig | Callable[[Any], ServerConfig] | None = None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None
    implicit_tls: bool = False
    transcript: Callable[[], Transcript | None] | None = None
    greet_pause: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.hostname, (str, type(None))):
            raise wrong_type("hostname", "a string", self.hostname)
        if self.config is not None and not (isinstance(self.config, ServerConfig) or callable(self.config)):
            raise wrong_type("config", "a ServerConfig, or a function of the peer's address", self.config)
        context = self.ssl_context
        if context is not None and not (isinstance(context, ssl.SSLContext) or callable(context)):
            raise wrong_type("ssl_context", "an ssl.SSLContext, or a function that returns one", context)
        if isinstance(context, ssl.SSLContext):
            check_side(context, server_side=True)
        if not isinstance(self.implicit_tls, bool):
            raise wrong_type("implicit_tls", "True or False", self.implicit_tls)
        if self.transcript is not None and not callable(self.transcript):
            raise wrong_type("transcript", "a function that returns a Transcript", self.transcript)
        check_seconds("greet_pause", self.greet_pause)
        if self.implicit_tls and self.ssl_context is None:
            raise LocalProtocolError("TLS from the start needs an ssl_context")
        config = self.fixed_config
        if self.ssl_context is None and (config.starttls or config.require_tls):
            raise LocalProtocolError("STARTTLS cannot be offered, or TLS required, without an ssl_context")
        ServerConnection(self.hostname or "[127.0.0.1]", config=config)  # what it refuses is refused here

    @property
    def fixed_config(self) -> ServerConfig:
        """The configuration; the default while it depends on the peer."""
        return self.config if isinstance(self.config, ServerConfig) else _DEFAULT_CONFIG

    def for_peer(self, peername: object) -> ServerOptions:
        """The same options with the configuration for one peer."""
        if self.config is None or isinstance(self.config, ServerConfig):
            return self
        config = self.config(peername)
        if not isinstance(config, ServerConfig):
            raise wrong_type("what config() returns", "a ServerConfig", config)
        return dataclasses.replace(self, config=config)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        context = self.ssl_context
        assert context is not None
        if isinstance(context, ssl.SSLContext):
            return context
        try:
            return context()
        except OSError:  # the caller cannot distinguish it from a handshake that the client has failed
            logger.exception("the function ssl_context failed")
            raise


def check_seconds(name: str, value: object) -> None:
    """Raise an error unless a value is a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number of seconds", value)
    if not value >= 0:  # NaN is not, either
        raise LocalProtocolError(f"{name} is a number of seconds, 0 or more, not {value!r}")


@functools.lru_cache(maxsize=16)
def with_starttls(config: ServerConfig) -> ServerConfig:
    return dataclasses.replace(config, starttls=True)
