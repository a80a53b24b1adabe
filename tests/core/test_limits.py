"""Numbers and switches: their defaults, what they may not be, and that each is explained."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

from smtpcore import ArgumentTypeError, Limits, LocalProtocolError, ServerConfig, Timeouts, TlsInfo
from smtpcore.extensions import STANDARD

CLASSES: list[type[Any]] = [Limits, Timeouts, TlsInfo, ServerConfig]


def names(cls: type[Any]) -> list[str]:
    return [one.name for one in dataclasses.fields(cls)]


def explained(cls: type[Any]) -> list[str]:
    """The names in the Attributes section of a docstring."""
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    section, _, _ = section.partition("\nRaises:\n")
    return re.findall(r"^    (\w+): ", section, re.MULTILINE)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_explains_every_field_in_order(cls: type[Any]) -> None:
    assert explained(cls) == names(cls) != []


@pytest.mark.parametrize("cls", CLASSES)
def test_values_are_frozen_and_refuse_unknown_fields(cls: type[Any]) -> None:
    value = cls()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, names(cls)[0], None)
    with pytest.raises(TypeError):
        cls(no_such_field=1)
    assert not hasattr(value, "__dict__")


def test_limits_timeouts_and_configurations_compare_by_value() -> None:
    assert Limits() == Limits() and Timeouts() == Timeouts() != Timeouts(idle=1)
    config = ServerConfig()
    assert config == ServerConfig() and len({config, config, ServerConfig()}) == 1
    assert config != ServerConfig(help=False)
    assert config.limits == Limits() and config.timeouts == Timeouts()


# --- Limits ---


def test_the_defaults_are_those_of_the_standard_or_larger() -> None:
    assert dataclasses.asdict(Limits()) == {
        "command_line": 512,
        "auth_line": 12290,
        "reply_line": 12294,
        "reply_lines": 256,
        "path": 256,
        "local_part": 64,
        "domain": 255,
        "recipients": 1000,
        "refused_recipients": 100,
        "message_size": 67108864,
        "oversize_factor": 4,
        "content_line": 1048576,
        "bad_commands": 100,
        "auth_attempts": 3,
        "idle_commands": 1000,
        "outstanding_commands": 100,
        "receive_buffer": 1048576,
        "challenges": 20,
        "content_rate": 100.0,
        "upload_rate": 1000.0,
    }
    assert dataclasses.asdict(Timeouts()) == {
        "connect": 30,
        "greeting": 300,
        "command": 300,
        "data_initiation": 120,
        "data_block": 180,
        "data_termination": 600,
        "idle": 300,
        "session": 21600,
        "farewell": 5,
        "recipient": 10,
        "content": 21600,
    }


FLOORS = {
    "command_line": 512,
    "auth_line": 512,
    "reply_line": 512,
    "reply_lines": 1,
    "path": 1,
    "local_part": 1,
    "domain": 1,
    "recipients": 1,
    "message_size": 1,
    "oversize_factor": 1,
    "content_line": 1,
    "bad_commands": 1,
    "auth_attempts": 1,
    "outstanding_commands": 1,
    "receive_buffer": 65536,
    "challenges": 2,
}
# What RFC 5321 4.5.3.1 and RFC 4954 9 guarantee to peers: documented, and the defaults give it.
GUARANTEED = {
    "path": 256,
    "local_part": 64,
    "domain": 255,
    "recipients": 100,
    "content_line": 998,
    "auth_attempts": 3,
}
RATES = ("content_rate", "upload_rate")  # octets a second
OPTIONAL = {"refused_recipients", "message_size", "content_line", "idle_commands"}


@pytest.mark.parametrize(
    "name, floor",
    [
        *FLOORS.items(),
    ],
)
def test_a_limit_below_its_floor_is_refused(name: str, floor: int) -> None:
    assert getattr(Limits(**{name: floor}), name) == floor
    with pytest.raises(LocalProtocolError, match=rf"Limits\.{name} .*at least {floor}\b"):
        Limits(**{name: floor - 1})


@pytest.mark.req("LIM-21")
def test_each_limit_can_be_raised_and_optional_ones_removed() -> None:
    for name in names(Limits):
        assert getattr(Limits(**{name: 10**9}), name) == 10**9
    for name in OPTIONAL:
        assert getattr(Limits(**{name: None}), name) is None


def test_every_limit_has_a_floor_or_is_optional() -> None:
    assert FLOORS.keys() | OPTIONAL | set(RATES) == set(names(Limits))


@pytest.mark.parametrize("name", RATES)
def test_a_rate_is_greater_than_zero(name: str) -> None:
    assert getattr(Limits(**{name: 0.5}), name) == 0.5
    for rate in (0, -1.0, float("nan")):
        with pytest.raises(LocalProtocolError, match=rf"Limits\.{name} must be greater than 0, not {rate}"):
            Limits(**{name: rate})


WRONG_TYPES: list[tuple[type[Any], str, Any]] = [
    *((Limits, name, value) for name in names(Limits) for value in ("5", True, object())),
    *((Limits, name, 2.5) for name in names(Limits) if name not in RATES),
    *((Limits, name, None) for name in names(Limits) if name not in OPTIONAL),
    *((Timeouts, name, value) for name in names(Timeouts) for value in ("5", True, None)),
    *(
        (ServerConfig, name, value)
        for name in names(ServerConfig)
        if isinstance(getattr(ServerConfig(), name), bool)
        for value in ("no", 0, None)
    ),
    (ServerConfig, "auth_mechanisms", "PLAIN"),
    (ServerConfig, "auth_mechanisms", (b"PLAIN",)),
    (ServerConfig, "extensions", "DSN"),
    (ServerConfig, "extensions", ("DSN",)),
    (ServerConfig, "keywords", "X-FOO"),
    (ServerConfig, "limits", 5),
    (ServerConfig, "timeouts", 5),
]


@pytest.mark.parametrize("cls, name, value", WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_an_error_that_names_the_field(
    cls: type[Any], name: str, value: Any
) -> None:
    with pytest.raises(ArgumentTypeError, match=rf"^{cls.__name__}\.{name} is .*, not {type(value).__name__} "):
        cls(**{name: value})


@pytest.mark.parametrize("name", ["unknown_parameters", "address_syntax", "ehlo_syntax", "line_endings", "nul"])
@pytest.mark.parametrize("value", ["Reject", "Strict", "", None, True])
def test_a_misspelt_choice_is_an_error_and_not_the_lenient_one(name: str, value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=rf"^ServerConfig\.{name} is one of .*, not {value!r}"):
        ServerConfig(**{name: value})


def test_a_list_is_accepted_in_place_of_a_tuple() -> None:
    settings: dict[str, Any] = {"auth_mechanisms": ["PLAIN"], "extensions": [*STANDARD]}
    assert ServerConfig(**settings) == ServerConfig(auth_mechanisms=("PLAIN",), extensions=STANDARD)
    assert hash(ServerConfig(**settings))


@pytest.mark.parametrize("name", names(Timeouts))
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_is_greater_than_nothing(name: str, seconds: float) -> None:
    with pytest.raises(LocalProtocolError, match=rf"Timeouts\.{name} must be greater than 0, not {seconds}"):
        Timeouts(**{name: seconds})


@pytest.mark.req("EIG-07", "LIM-15", "AUT-32")
def test_the_defaults_are_what_the_rfcs_ask_for_or_more() -> None:
    limits = Limits()
    for name, floor in (FLOORS | GUARANTEED).items():
        assert getattr(limits, name) >= floor
    # A challenge of the size that RFC 4954 4 finds sufficient, with what is around it.
    assert limits.auth_line >= 12288 + len("\r\n")
    assert limits.reply_line >= len("334 ") + 12288 + len("\r\n")
    # RFC 5321 4.5.3.1.7 asks for 64 Ki; people attach 25 MiB, which become lines of 76 octets of base64.
    assert limits.message_size is not None and limits.message_size >= 25 * 2**20 * 4 / 3 * 78 / 76


# --- Timeouts: RFC 5321 4.5.3.2 ---


@pytest.mark.parametrize(
    "name, minutes",
    [
        pytest.param("greeting", 5, marks=pytest.mark.req("TMO-02")),
        pytest.param("command", 5, marks=pytest.mark.req("TMO-03", "TMO-04")),
        pytest.param("data_initiation", 2, marks=pytest.mark.req("TMO-05")),
        pytest.param("data_block", 3, marks=pytest.mark.req("TMO-06")),
        pytest.param("data_termination", 10, marks=pytest.mark.req("TMO-07")),
        pytest.param("idle", 5, marks=pytest.mark.req("TMO-08")),
    ],
)
def test_a_timeout_is_that_of_the_rfc(name: str, minutes: int) -> None:
    assert getattr(Timeouts(), name) == 60 * minutes


def test_a_session_and_a_message_may_take_hours_by_default() -> None:
    assert Timeouts().session >= 3600
    assert Timeouts().content >= 3600


@pytest.mark.req("TMO-09")
def test_every_timeout_can_be_changed() -> None:
    for name in names(Timeouts):
        changed = dataclasses.replace(Timeouts(), **{name: 1.5})
        assert [one for one in names(Timeouts) if getattr(changed, one) != getattr(Timeouts(), one)] == [name]


# --- TLS ---


def test_the_certificate_is_not_in_the_repr() -> None:
    tls = TlsInfo(version="TLSv1.3", peer_certificate={"subject": "somebody"})
    assert "somebody" not in repr(tls) and "TLSv1.3" in repr(tls)


# --- The configuration of a server ---


@pytest.mark.req("TLS-23")
def test_by_default_neither_tls_nor_authentication_is_required() -> None:
    config = ServerConfig()
    assert not (config.require_tls or config.require_auth or config.never_accepts_mail)


def test_the_defaults_are_safe() -> None:
    config = ServerConfig()
    assert not config.allow_cleartext_auth and config.auth_mechanisms == ()
    assert (config.line_endings, config.nul) == ("reject", "reject")
    assert (config.address_syntax, config.ehlo_syntax, config.unknown_parameters) == (
        "strict",
        "lenient",
        "reject",
    )
    assert not (config.starttls or config.smtputf8 or config.expn)
    assert config.keywords == {}


@pytest.mark.req("UTF-03")
def test_smtputf8_is_not_offered_without_8bitmime() -> None:
    assert ServerConfig(smtputf8=True).eight_bit_mime
    with pytest.raises(LocalProtocolError, match="8BITMIME"):
        ServerConfig(smtputf8=True, eight_bit_mime=False)
    assert not ServerConfig(eight_bit_mime=False).smtputf8


@pytest.mark.req("AUT-47")
def test_mechanism_names_follow_sasl() -> None:
    names = ("SCRAM-SHA-256", "PLAIN", "X_1", "A" * 20)
    assert ServerConfig(auth_mechanisms=names).auth_mechanisms == names
    for name in ("", "plain", "A B", "A" * 21, "A=B", "PLAIN\r\n", "\xc4"):
        with pytest.raises(LocalProtocolError, match="RFC 4422"):
            ServerConfig(auth_mechanisms=("PLAIN", name))


@pytest.mark.req("EHL-13")
@pytest.mark.parametrize(
    "keyword",
    ["", "X=PLAIN", "X BAR", "-X", "X_A", "X.", "X\xc4", "X-A\r\n", "X\tA", "X\n250 A", "AUTH=PLAIN"],
)
def test_a_keyword_follows_the_grammar(keyword: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid EHLO keyword"):
        ServerConfig(keywords={keyword: ""})


@pytest.mark.req("EHL-13")
@pytest.mark.parametrize("parameters", ["\xe4", "a \x7f", "a\x00b", "\u65e5", "ok caf\xe9"])
def test_a_parameter_of_a_keyword_is_printable_ascii(parameters: str) -> None:
    with pytest.raises(LocalProtocolError, match="EHLO parameters"):
        ServerConfig(keywords={"X-FOO": parameters})


@pytest.mark.req("EHL-18")
def test_a_keyword_without_an_extension_starts_with_x() -> None:
    keywords = {"X-FOO": "bar baz=1", "XBAR": "", "x-2": "!~"}
    assert ServerConfig(keywords=keywords).keywords == keywords
    for keyword in ("FOO", "8XFOO", "SIZE", "STARTTLS", "AUTH"):
        with pytest.raises(LocalProtocolError, match="start with X"):
            ServerConfig(keywords={keyword: ""})


def test_the_profile_of_a_submission_server_accepts_other_settings() -> None:
    profile = ServerConfig.submission()
    assert (profile.starttls, profile.require_tls, profile.require_auth) == (True, True, True)
    assert not profile.allow_cleartext_auth
    limits = Limits(recipients=100)
    other = ServerConfig.submission(auth_mechanisms=("SCRAM-SHA-256",), limits=limits)
    assert (other.require_auth, other.auth_mechanisms, other.limits) == (True, ("SCRAM-SHA-256",), limits)
    with pytest.raises(LocalProtocolError):
        ServerConfig.submission(smtputf8=True, eight_bit_mime=False)
