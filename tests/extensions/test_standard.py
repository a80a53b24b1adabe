"""The standard extensions are declared by the same means as any other, and the base protocol needs none."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from pathlib import Path

import pytest

from smtpcore import Chunk, Data, EndOfMessage, Mail, Rcpt
from smtpcore._core.rules import rules_for
from smtpcore.extensions import STANDARD, Extension

from .sessions import lines_to, replies_to, session

ROOT = Path(__file__).resolve().parents[2] / "smtpcore"
EVERYTHING = {
    "smtputf8": True,
    "starttls": True,
    "auth_mechanisms": ("PLAIN",),
    "allow_cleartext_auth": True,
    "expn": True,
}
# A value of each parameter that the standard extensions declare.
VALUES = {"SIZE": "=1", "BODY": "=8BITMIME", "SMTPUTF8": "", "AUTH": "=<>"}
# A line of each command, and the reply. The check of AUTH finds no mechanism under its own keyword.
COMMANDS = {
    "STARTTLS": ("STARTTLS", "220 "),
    "AUTH": ("AUTH PLAIN", "538 "),
    "EXPN": ("EXPN staff", "252 "),
    "HELP": ("HELP", "214 "),
}

each_extension = pytest.mark.parametrize("extension", STANDARD, ids=lambda one: one.keyword)


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports from, without the leading dots."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level > 0}


@pytest.mark.req("EXT-09")
def test_a_message_is_delivered_without_any_extension() -> None:
    joined = session(extensions=())
    assert not joined.client.capabilities
    group = Mail("a@client.example"), Rcpt("b@example.org"), Data()
    assert [reply.code for reply in replies_to(joined, *group)] == [250, 250, 354]
    joined.send(Chunk(b"Subject: x\r\n"), EndOfMessage())
    joined.run()
    assert joined.server_events[-2:] == [Chunk(b"Subject: x\r\n"), EndOfMessage()]


@pytest.mark.req("EXT-09")
def test_the_tables_of_the_base_protocol_name_no_command_of_an_extension() -> None:
    tree = ast.parse((ROOT / "_core" / "state.py").read_text(encoding="utf-8"))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    added = {spec.event.__name__ for extension in STANDARD for spec in extension.commands}
    assert added == {"Auth", "Expn", "Help", "StartTls"} and not named & added
    assert imported(ROOT / "_core" / "state.py") == {"events"}
    # The classes are not those of the base events under another name.
    assert "extensions" not in " ".join(imported(ROOT / "_core" / "events.py"))


def test_each_extension_lengthens_the_lines_of_MAIL_and_RCPT_by_what_its_parameters_need() -> None:
    # RFC 1870 3 (5); " BODY=8BITMIME" (RFC 6152); " SMTPUTF8" with RFC 6531 3.1 (6); RFC 4954 3 (6)
    octets = {"SIZE": 26, "8BITMIME": 14, "SMTPUTF8": 10, "AUTH": 500}
    assert {one.keyword: one.mail_octets for one in STANDARD if one.mail_octets} == octets
    assert not any(one.rcpt_octets for one in STANDARD)


@pytest.mark.parametrize(
    "verb, reply, success",
    [
        ("AUTH", "235 2.7.0 authenticated", {235}),
        ("STARTTLS", "220 2.0.0 begin the TLS handshake", {220}),
        ("HELP", "214 2.0.0 commands:", {211, 214}),
        ("EXPN", "252 2.5.0 not expanded: send mail and see", {250, 252}),
    ],
)
def test_a_command_has_the_replies_of_its_standard(verb: str, reply: str, success: set[int]) -> None:
    (spec,) = (spec for one in STANDARD for spec in one.commands if spec.verb == verb)
    assert (str(spec.reply), spec.success) == (reply, success)


@pytest.mark.parametrize(
    "verb, properties",
    [
        ("AUTH", {"before_auth"}),
        ("STARTTLS", {"before_tls", "before_auth", "unattended"}),
        ("HELP", {"idle", "unasked", "unattended", "before_auth"}),
        ("EXPN", {"idle", "unasked", "unattended", "utf8"}),
    ],
)
def test_a_command_has_the_properties_of_its_extension(verb: str, properties: set[str]) -> None:
    (spec,) = (spec for one in STANDARD for spec in one.commands if spec.verb == verb)
    flags = {field.name for field in dataclasses.fields(spec) if field.type == "bool"}
    assert {name for name in flags if getattr(spec, name)} == properties


@pytest.mark.req("EXT-09")
@each_extension
def test_an_extension_works_under_another_keyword(extension: Extension) -> None:
    """The core finds what an extension declares in its value, and not by the name of its keyword."""
    keyword = f"X-{extension.keyword}"
    renamed = {extension.keyword: keyword}
    extensions = tuple(
        dataclasses.replace(
            one,
            keyword=renamed.get(one.keyword, one.keyword),
            needs=tuple(renamed.get(needed, needed) for needed in one.needs),
        )
        for one in STANDARD
    )
    server = session(extensions=extensions, **EVERYTHING).server
    assert keyword in server.capabilities and extension.keyword not in server.capabilities
    for row in extension.parameters:
        line = f"MAIL FROM:<a@client.example> {row.keyword}{VALUES[row.keyword]}"
        assert lines_to(server, line, "RSET")[0].startswith("250 "), line
    for spec in extension.commands:
        line, code = COMMANDS[spec.verb]
        assert lines_to(server, line)[-1].startswith(code), line


@pytest.mark.req("EXT-09")
@each_extension
def test_an_extension_adds_to_the_base_tables_and_changes_none_of_their_rows(extension: Extension) -> None:
    bare, rules = rules_for(()), rules_for((extension,))
    added = {spec.event for spec in extension.commands}
    for state, kinds in bare.legal.items():
        assert rules.legal[state] - kinds <= added and kinds <= rules.legal[state]
    assert {key: rules.after[key] for key in bare.after} == bare.after
    assert {kind for kind, digit in rules.after.keys() - bare.after.keys()} <= added
    assert {kind: rules.success[kind] for kind in bare.success} == bare.success
    assert rules.success.keys() - bare.success.keys() == added
    assert rules.verbs.keys() == {spec.verb for spec in extension.commands}
    assert {key for rows in rules.parameters.values() for key in rows} == {
        row.keyword for row in extension.parameters
    }


@pytest.mark.req("EXT-09")
@each_extension
def test_the_file_of_an_extension_imports_values_only(extension: Extension) -> None:
    """Not the connections, the parser or the rules: an extension outside the package has no access to them."""
    module = importlib.import_module(extension.offer.__module__)
    assert extension.__class__ is Extension and module.__name__.startswith("smtpcore.extensions.")
    assert module.__file__ is not None
    values = (
        "addresses",
        "capabilities",
        "commandspec",
        "config",
        "errors",
        "events",
        "expressions",
        "grammar",
    )
    allowed = {f"_core.{name}" for name in (*values, "parameters", "replies", "state")}
    assert imported(Path(module.__file__)) <= allowed | {"sasl"}
