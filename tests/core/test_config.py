"""The configuration of a server: its defaults are safe, and a value that is not valid is named."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from smtpcore import ArgumentTypeError, Limits, LocalProtocolError, ServerConfig, Timeouts
from smtpcore.extensions import Extension, Facts

OFFERED = ("pipelining", "size", "eight_bit_mime", "enhanced_status_codes", "help")
OFF = (
    *("smtputf8", "starttls", "expn", "require_tls", "require_auth", "allow_cleartext_auth"),
    "never_accepts_mail",
)


def test_by_default_nothing_is_offered_that_needs_a_decision_and_nothing_lenient_is_accepted() -> None:
    config = ServerConfig()
    assert all(getattr(config, name) is True for name in OFFERED)
    assert all(getattr(config, name) is False for name in OFF)
    assert (config.auth_mechanisms, config.extensions, config.keywords) == ((), None, {})
    assert (config.unknown_parameters, config.line_endings, config.nul) == ("reject", "reject", "reject")
    assert (config.address_syntax, config.ehlo_syntax) == ("strict", "lenient")
    assert (config.limits, config.timeouts) == (Limits(), Timeouts())


def test_a_submission_server_demands_TLS_and_authentication() -> None:
    config = ServerConfig.submission(help=False)
    assert (config.starttls, config.require_tls, config.require_auth) == (True, True, True)
    assert config.auth_mechanisms == ("PLAIN", "LOGIN")
    assert not config.help
    assert not ServerConfig.submission(require_auth=False).require_auth


@pytest.mark.parametrize("name", ["unknown_parameters", "address_syntax", "ehlo_syntax", "line_endings", "nul"])
@pytest.mark.parametrize("value", ["", "Reject", "acept", "lenien"])
def test_a_misspelt_choice_is_refused(name: str, value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"ServerConfig.{name} is one of ") as caught:
        ServerConfig(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("limits", {}, "a Limits"),
        ("timeouts", 5, "a Timeouts"),
        ("keywords", "X-A", "a mapping of strings"),
        ("auth_mechanisms", "PLAIN", "a tuple of strings"),
        ("auth_mechanisms", (5,), "a tuple of strings"),
        ("extensions", (5,), "a tuple of Extension values, or None"),
        ("size", "no", "True or False"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name: str, value: Any, words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"ServerConfig.{name} is {words}, not "):
        ServerConfig(**{name: value})


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({"smtputf8": True, "eight_bit_mime": False}, "only be offered together with 8BITMIME"),
        ({"auth_mechanisms": ("plain",)}, "'plain' is not a valid SASL mechanism name"),
        ({"keywords": {"X A": ""}}, "'X A' is not a valid EHLO keyword"),
        ({"keywords": {"SIZE": ""}}, "'SIZE' must start with X"),
        ({"keywords": {"X-A": "b\tc\0"}}, "must be printable ASCII words"),
    ],
)
def test_values_that_are_not_valid_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        ServerConfig(**settings)


def test_lists_become_tuples_and_the_mapping_of_the_caller_is_copied() -> None:
    keywords = {"X-A": "b"}
    config = ServerConfig(auth_mechanisms=["PLAIN"], extensions=[Extension("X-B")], keywords=keywords)  # type: ignore[arg-type]
    keywords["X-A"] = "c"
    assert (config.auth_mechanisms, config.extensions) == (("PLAIN",), (Extension("X-B"),))
    assert config.keywords == {"X-A": "b"}
    assert hash(config) == hash(dataclasses.replace(config))


def test_an_extension_that_declares_only_its_keyword_adds_nothing_else() -> None:
    extension = Extension("X-A")
    assert extension.offer(ServerConfig(), Facts()) == ()
    assert extension.read(("b", "c")) == ("b", "c")
    assert (extension.parameters, extension.commands, extension.needs, extension.check) == ((), (), (), None)
    assert (extension.mail_octets, extension.rcpt_octets, extension.varies) == (0, 0, False)


@pytest.mark.parametrize("keyword", ["x-a", "X A", "", "-A"])
def test_the_keyword_of_an_extension_is_valid_and_in_upper_case(keyword: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not a valid EHLO keyword"):
        Extension(keyword)


def test_nothing_is_known_of_a_session_at_first() -> None:
    facts = Facts()
    assert (facts.tls, facts.authenticated, facts.hello, facts.mail) == (None, None, None, None)
    assert (facts.peer, facts.config) == (None, None)
