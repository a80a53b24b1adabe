"""Mailboxes and paths: what parses, what is refused and why, what is equal, and what is written."""

from __future__ import annotations

import copy
import pickle

import pytest

from smtpcore._core.addresses import (
    ForwardPath,
    Mailbox,
    ReversePath,
    a_label,
    composed,
    in_ascii,
    is_address_literal,
    is_domain,
    is_hello_argument,
    parse_forward_path,
    parse_reverse_path,
    proven,
)
from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.limits import Limits

ATEXT_SPECIALS = "!#$%&'*+-/=?^_`{}~|"
PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]


LIMITS = Limits()


def refused(text: str, *, smtputf8: bool = False, lenient: bool = False, limits: Limits = LIMITS) -> str:
    """Why ``text`` is no forward-path."""
    with pytest.raises(LocalProtocolError) as caught:
        parse_forward_path(text, smtputf8=smtputf8, lenient=lenient, limits=limits)
    return str(caught.value)


def forward(text: str, *, smtputf8: bool = False, lenient: bool = False) -> ForwardPath:
    return proven(ForwardPath, *parse_forward_path(text, smtputf8=smtputf8, lenient=lenient))


# --- What parses, and what it means ---

# The mailbox; then the local-part's meaning and the domain, if they are not the two sides of its only "@".
ORDINARY = [
    "user@example.com",
    "User@EXAMPLE.COM",
    "first.last@example.com",
    "a.b.c.d.e.f@example.com",
    "user+tag@example.com",
    "-dash-@example.com",
    "user@3com.example",
    "user@xn--bcher-kva.example",
    "user@a-b--c.example",
    "host!user@example.com",
    "user%victim.example@example.com",
    "user%victim.example%two@example.com",
    "=?utf-8?q?user=40evil.example?=@example.com",
    "=?utf-8?b?dXNlckBldmlsLmV4YW1wbGU+?=@example.com",
    f"{ATEXT_SPECIALS}@example.com",
    "postmaster@example.com",
    "u@museum",
    "user@[192.0.2.1]",
    "user@[0.0.0.0]",
    "user@[010.001.000.255]",
    "user@[IPv6:2001:db8::1]",
    "user@[IPv6:::]",
    "user@[ipv6:1::]",
]
QUOTED = [
    (r'"first.last"@example.com', "first.last", "first.last"),
    (r'"John Doe"@example.com', "John Doe", r'"John Doe"'),
    (r'""@example.com', "", r'""'),
    (r'" "@example.com', " ", r'" "'),
    (r'".dot"@example.com', ".dot", r'".dot"'),
    (r'"dot."@example.com', "dot.", r'"dot."'),
    (r'"a..b"@example.com', "a..b", r'"a..b"'),
    (r'"(not a comment)"@example.com', "(not a comment)", r'"(not a comment)"'),
    (r'"a@b"@example.com', "a@b", r'"a@b"'),
    (r'"victim@trusted.example"@evil.example', "victim@trusted.example", r'"victim@trusted.example"'),
    (r'"a<b>c"@example.com', "a<b>c", r'"a<b>c"'),
    (r'"x@evil.example> ORCPT=rfc822;root"@a.b', "x@evil.example> ORCPT=rfc822;root", None),
    (r'"a\"b"@example.com', 'a"b', r'"a\"b"'),
    (r'"a\\b"@example.com', "a\\b", r'"a\\b"'),
    (r'"\\\""@example.com', '\\"', r'"\\\""'),
    (r'"\a\b\c"@example.com', "abc", "abc"),
    (r'"Joe\,Smith"@example.com', "Joe,Smith", r'"Joe,Smith"'),
    (r'"a\"@evil.example> b"@example.com', 'a"@evil.example> b', None),
    (r""""!#$%&'()*+,-./:;<=>?@[]^_`{|}~"@a.b""", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", None),
]
INTERNATIONAL = [
    "j\u00f6rg@example.com",
    "a.\u00f6.b@example.com",
    "e\u0301@example.com",
    "a\u010d\u010ab@example.com",  # whose low octets are CR and LF
    "user\uff20evil.example@example.com",  # a fullwidth "@" is none
    "\ufeffa@example.com",
    "\U0001f600@example.com",
    "\u00fc.\u00fc@x",
    "user@b\u00fccher.example",
    "user@\u65e5\u672c.example",
    "user@l\u00b7l\u00e4.example",
    "user@mixed.\u00fc.example",
]


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("smtputf8", [False, True])
def test_a_plain_mailbox_is_its_local_part_and_its_domain(text: str, smtputf8: bool) -> None:
    local_part, _, domain = text.partition("@")
    path = forward(f"<{text}>", smtputf8=smtputf8)
    assert (path.local_part, path.domain, str(path), path.source_route) == (local_part, domain, text, ())
    mailbox = Mailbox.parse(text, smtputf8=smtputf8)
    assert mailbox == path == ReversePath(text) == Mailbox(local_part, domain)
    assert str(Mailbox(local_part, domain)) == text
    assert mailbox.is_ascii


@pytest.mark.req("ADR-18", "RCP-21")
@pytest.mark.parametrize(("text", "meaning", "least"), QUOTED)
def test_a_quoted_mailbox_keeps_its_text_and_gives_its_meaning(
    text: str, meaning: str, least: str | None
) -> None:
    domain = text.rpartition("@")[2]
    path = forward(f"<{text}>")
    assert (path.local_part, path.domain, str(path)) == (meaning, domain, text)
    made = Mailbox(meaning, domain)
    assert made.is_same(path) and path.is_same(made)
    assert str(made) == (text if least is None else f"{least}@{domain}")


@pytest.mark.parametrize("text", INTERNATIONAL)
def test_utf8_is_accepted_with_smtputf8_only(text: str) -> None:
    local_part, _, domain = text.partition("@")
    path = forward(f"<{text}>", smtputf8=True)
    assert (path.local_part, path.domain, str(path)) == (local_part, domain, text)
    assert not path.is_ascii
    assert "SMTPUTF8" in refused(f"<{text}>")
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        Mailbox.parse(text, smtputf8=False)


@pytest.mark.req("UTF-29")
def test_a_decomposed_local_part_is_neither_composed_nor_equal_to_the_composed_one() -> None:
    assert str(Mailbox.parse("e\u0301@x")).encode() == b"e\xcc\x81@x"
    assert Mailbox.parse("e\u0301@x") != Mailbox.parse("\u00e9@x")


@pytest.mark.req("UTF-10")
def test_utf8_may_stand_for_atext_qtext_and_let_dig_only() -> None:
    for good in ("\u00fc.\u00fc@x", '"\u00fc \u00fc"@x', "u@\u00fc-\u00fc.x"):
        assert str(forward(f"<{good}>", smtputf8=True)) == good
    for bad in (
        "\u00fc..\u00fc@x",
        "\u00fc \u00fc@x",
        '"\\\u00fc"@x',
        "u@\u00fc_.x",
        "u@-\u00fc.x",
        "u@\u00fc..x",
    ):
        refused(f"<{bad}>", smtputf8=True)


# --- What is refused ---

REFUSED = {
    # brackets
    "in angle brackets": [
        "user@example.com",
        "<user@example.com",
        "user@example.com>",
        "<user@example.com>x",
        "User Name <user@example.com>",
        "<user@example.com> ",
        " <user@example.com>",
        "",
    ],
    "must be quoted": [
        "<<user@example.com>>",
        "< user@example.com>",
        "<user @example.com>",
        "<us er@example.com>",
        "<us:er@example.com>",
        "<us<er@example.com>",
        "<us(er)@example.com>",
        "<us,er@example.com>",
        "<us[er]@example.com>",
        "<us\\er@example.com>",
        "<(comment)user@example.com>",
        '<user"@example.com>',
        '<first."last"@example.com>',
        "<us\x7fer@example.com>",
        "<us\x00er@example.com>",
        "<us\rer@example.com>",
        "<us\ner@example.com>",
        "<us\ter@example.com>",
    ],
    "quoted local-part": [
        '<"us"er"@example.com>',
        '<"us"er@example.com>',
        '<"user".name@example.com>',
        '<"a" "b"@example.com>',
        '<"a\\"@example.com>',
        '<"us\ner"@example.com>',
        '<"us\\\ner"@example.com>',
        '<"us\rer"@example.com>',
        '<"us\0er"@example.com>',
        '<"a\tb"@example.com>',
        '<"a\\\tb"@example.com>',
        '<"a\x7f"@example.com>',
        '<"' + "\\" * 201 + '"@a.b>',
    ],
    "dots": ["<.user@example.com>", "<user.@example.com>", "<us..er@example.com>", "<.@example.com>"],
    "no @": ["<user>", "<user.example.com>", "< >"],
    "the null path": ["<>"],
    "the domain is empty": ["<user@>"],
    "the source route": [
        "<@>",
        "<@example.com>",
        "<@a.example,:user@example.com>",
        "<@a.example,b.example:user@example.com>",
        "<@a@b:u@c>",
        "<@a u@c>",
        "<@:user@example.com>",
        "<@a_b.example:user@example.com>",
        "<@[192.0.2.1]:user@example.com>",
        "<" + "@a," * 60 + ":u@example.com>",
    ],
    "the address is empty": ["<@a.example:>"],
    "the local-part is empty": ["<@a.example:@b.example:user@example.com>", "<@a.example:@example.com>"],
    "the domain is malformed": [
        "<a@b@example.com>",
        "<a@@example.com>",
        "<user@ example.com>",
        "<user@example.com >",
        "<user@.example.com>",
        "<user@example.com.>",
        "<user@example..com>",
        "<user@-example.com>",
        "<user@example-.com>",
        "<user@exa_mple.com>",
        "<user@exam ple.com>",
        "<user@example.com(comment)>",
        "<user@example.com:25>",
        "<user@example.com/path>",
        "<user@example.com,b>",
        "<user@example.com>,<b@example.com>",
        "<user@example.com> <b@example.com>",
        "<user@example.com>\r\nRCPT TO:<b@example.com>",
        '<user@exam"ple.com>',
        "<user@example.com%evil.example>",
        "<user@host!evil>",
        "<user@exa\\mple.com>",
        "<user@=?utf-8?q?example=2Ecom?=>",
        "<user@example.com\0>",
        "<user@example.com\r\n>",
        "<user@#1234>",
        "<user@192.0.2.1]>",
    ],
    "the address literal is malformed": [
        "<user@[]>",
        "<user@[192.0.2]>",
        "<user@[192.0.2.1.5]>",
        "<user@[192.0.2.256]>",
        "<user@[192.0.2.1.]>",
        "<user@[.192.0.2.1]>",
        "<user@[0001.2.3.4]>",
        "<user@[-1.2.3.4]>",
        "<user@[0x7f.0.0.1]>",
        "<user@[2130706433]>",
        "<user@[ 192.0.2.1]>",
        "<user@[192.0.2.1 ]>",
        "<user@[192.0.2.1>",
        "<user@[192.0.2.1]x>",
        "<user@[192.0.2.1].example>",
        "<user@[IPv6:]>",
        "<user@[IPv6::1]>",
        "<user@[IPv6:2001:db8::1::2]>",
        "<user@[IPv6:fe80::1%eth0]>",
        "<user@[::1]>",
        "<user@[x-unknown:]>",
        "<user@[x:y\\]>",
    ],
    "not registered": ["<user@[x-unknown:data]>", "<user@[IPv4:192.0.2.1]>", "<user@[2001:db8::1]>"],
}


@pytest.mark.parametrize(("why", "text"), [(why, text) for why, texts in REFUSED.items() for text in texts])
@pytest.mark.parametrize("smtputf8", [False, True])
def test_a_malformed_path_is_refused_with_its_reason(why: str, text: str, smtputf8: bool) -> None:
    assert why in refused(text, smtputf8=smtputf8)


@pytest.mark.parametrize(
    "text",
    [
        "j\u00f6 rg@example.com",
        "a\x85b@example.com",  # a C1 control, which RFC 6531 would let pass
        "a\ud83d@example.com",  # half a character
        "user@\ud83d.example",
        "user@b\u00fc_cher.example",
        "user@bu\u0308cher.example",  # not in NFC
        "user@\u0301a\u0301.example",  # begins with a mark
        "user@ab--\u00fc.example",
        "user@\u00fc-.example",
        "user@\u00fc\uff0eexample",  # a fullwidth dot
        "user@\u00fc\u2028.example",
        "user@\u00fc\u20ac.example",  # a symbol
        "user@" + "\u00fc" * 60 + ".example",
    ],
)
def test_a_malformed_utf8_mailbox_is_refused(text: str) -> None:
    refused(f"<{text}>", smtputf8=True)


@pytest.mark.req("ADR-01")
def test_dots_of_an_unquoted_local_part_stand_between_atoms() -> None:
    for local_part in (".", "..", ".a", "a.", "a..b", ".a.b", "a.b."):
        assert "dots" in refused(f"<{local_part}@x.example>")
        for kind in (Mailbox.parse, ReversePath, ForwardPath):
            with pytest.raises(LocalProtocolError, match="dots"):
                kind(f"{local_part}@x.example")
        assert str(Mailbox(local_part, "x.example")) == f'"{local_part}"@x.example'
    for local_part in ("a", "a.b", "a.b.c.d"):
        assert str(Mailbox(local_part, "x.example")) == f"{local_part}@x.example"


@pytest.mark.req("ADR-17")
def test_a_host_is_not_written_as_a_number_sign_and_digits() -> None:
    for host in ("#1234", "#3221225985", "#192.0.2.1", "[#1234]"):
        refused(f"<u@{host}>")
        refused(f"<@{host}:u@x.example>")
        with pytest.raises(LocalProtocolError):
            Mailbox("u", host)


@pytest.mark.req("MAI-19", "ADR-02")
def test_only_atext_stands_unquoted_in_a_local_part() -> None:
    for character in PRINTABLE:
        is_atext = (character.isascii() and character.isalnum()) or character in ATEXT_SPECIALS
        written = f"{character}@x"
        if is_atext:
            assert forward(f"<{written}>").local_part == character
            assert str(Mailbox(character, "x")) == written
        else:
            refused(f"<{written}>")
            assert str(Mailbox(character, "x")) in (f'"{character}"@x', f'"\\{character}"@x')


@pytest.mark.req("ADR-03")
def test_a_quoted_string_holds_printable_ascii_with_quotes_and_backslashes_escaped() -> None:
    for code in range(256):
        character = chr(code)
        bare, paired = f'<"{character}"@x>', f'<"\\{character}"@x>'
        if 32 <= code <= 126:
            assert forward(paired).local_part == character
            if character in '"\\':
                refused(bare)
            else:
                assert forward(bare).local_part == character
        else:
            refused(bare)
            refused(paired)


def test_no_control_character_stands_anywhere_in_a_path() -> None:
    for control in [*map(chr, range(32)), "\x7f"]:
        for text in (f"a{control}b@x.y", f'"a{control}b"@x.y', f'"a\\{control}b"@x.y', f"a@x{control}.y"):
            refused(f"<{text}>")
            refused(f"<{text}>", smtputf8=True, lenient=True)
        with pytest.raises(LocalProtocolError):
            Mailbox(f"a{control}b", "x.y")
        with pytest.raises(LocalProtocolError):
            Mailbox("a", f"x.y{control}")


@pytest.mark.req("ADR-05")
def test_the_empty_quoted_string_is_a_local_part() -> None:
    assert forward('<""@x.y>').local_part == ""


@pytest.mark.req("ADR-06")
def test_a_backslash_escapes_one_character() -> None:
    assert forward(r'<"Joe\,Smith"@x>').local_part == "Joe,Smith"
    assert forward(r'<"\\\\"@x>').local_part == "\\\\"


# --- Domains and literals ---


@pytest.mark.req("ADR-08")
@pytest.mark.parametrize(
    "domain", ["-a.b", "a-.b", "a_b.c", "a..b", ".a", "a.", "", ".", "a b", "\u00fc", "a.b\n"]
)
def test_a_malformed_domain_is_refused(domain: str) -> None:
    assert not is_domain(domain)
    refused(f"<u@{domain}>")


@pytest.mark.req("ADR-09")
def test_a_single_label_is_a_domain() -> None:
    assert is_domain("museum")
    assert forward("<u@museum>").domain == "museum"


@pytest.mark.req("ADR-10")
def test_a_label_has_63_octets_at_most() -> None:
    for template in ("{}", "{}.example", "mail.{}.example"):
        assert is_domain(template.format("a" * 63))
        assert not is_domain(template.format("a" * 64))
    assert forward(f"<u@{'a' * 63}.b>").domain == "a" * 63 + ".b"
    refused(f"<u@{'a' * 64}.b>")


def test_a_domain_has_255_octets_at_most() -> None:
    domain = ".".join(["d" * 63] * 4)
    assert len(domain) == 255 and is_domain(domain)
    assert not is_domain("x." + domain)


LITERALS = [
    pytest.param("[192.0.2.1]", marks=pytest.mark.req("ADR-11")),
    pytest.param("[001.2.3.4]", marks=pytest.mark.req("ADR-11")),
    pytest.param("[255.249.199.99]", marks=pytest.mark.req("ADR-11")),
    pytest.param("[IPv6:2001:db8::1]", marks=pytest.mark.req("ADR-12")),
    pytest.param("[ipv6:::1]", marks=pytest.mark.req("ADR-12")),
    pytest.param("[IPv6:1:2:3:4:5:6::]", marks=pytest.mark.req("ADR-13")),
    pytest.param("[IPv6:::3:4:5:6:7:8]", marks=pytest.mark.req("ADR-13")),
    pytest.param("[IPv6:::ffff:192.0.2.1]", marks=pytest.mark.req("ADR-14")),
    pytest.param("[IPv6:1:2:3:4:5:6:1.2.3.4]", marks=pytest.mark.req("ADR-14")),
    pytest.param("[IPv6:1:2:3:4::1.2.3.4]", marks=pytest.mark.req("ADR-14")),
    pytest.param("[IPv6:1:2:3:4:5:6:7:8]", marks=pytest.mark.req("ADR-15")),
    pytest.param("[IPv6:ABCD:ef01:2:3:4:5:6:7]", marks=pytest.mark.req("ADR-15")),
]
NO_LITERALS = [
    *(
        pytest.param(text, marks=pytest.mark.req("ADR-11"))
        for text in (
            "[256.1.1.1]",
            "[1.2.3]",
            "[1.2.3.4.5]",
            "[1.2.3.4",
            "1.2.3.4]",
            "[1.2.3.4000]",
            "[1..3.4]",
        )
    ),
    *(pytest.param(text, marks=pytest.mark.req("ADR-12")) for text in ("[2001:db8::1]", "[::1]", "[IPv6]")),
    *(
        pytest.param(text, marks=pytest.mark.req("ADR-13"))
        for text in ("[IPv6:1:2:3:4:5:6:7::]", "[IPv6:::2:3:4:5:6:7:8]", "[IPv6:1:2:3:4::5:6:7]")
    ),
    *(
        pytest.param(text, marks=pytest.mark.req("ADR-14"))
        for text in ("[IPv6:1:2:3:4:5::1.2.3.4]", "[IPv6:1:2:3:4:5:6:7:1.2.3.4]", "[IPv6:::1.2.3.256]")
    ),
    *(
        pytest.param(text, marks=pytest.mark.req("ADR-15"))
        for text in (
            "[IPv6:1:2:3:4:5:6:7]",
            "[IPv6:1:2:3:4:5:6:7:8:9]",
            "[IPv6:12345::1]",
            "[IPv6:1::2::3]",
            "[IPv6:g::1]",
        )
    ),
]


@pytest.mark.parametrize("literal", LITERALS)
def test_an_address_literal_is_accepted(literal: str) -> None:
    assert is_address_literal(literal)
    assert forward(f"<u@{literal}>").domain == literal


@pytest.mark.parametrize("literal", NO_LITERALS)
def test_a_malformed_address_literal_is_refused(literal: str) -> None:
    assert not is_address_literal(literal)
    refused(f"<u@{literal}>")


@pytest.mark.req("ADR-16")
def test_a_general_address_literal_is_refused_for_its_tag() -> None:
    assert "not registered" in refused("<u@[X-foo:bar]>")
    for malformed in ("[X-foo:]", "[X-foo-:b]", "[X-foo:b[]", "[X-foo:b\\]", "[X foo:b]", "[X-foo:b c]"):
        assert "malformed" in refused(f"<u@{malformed}>")


# --- Lengths ---


def test_a_local_part_has_64_octets_at_most() -> None:
    assert forward(f"<{'a' * 64}@x>").local_part == "a" * 64
    assert "local-part is longer than 64" in refused(f"<{'a' * 65}@x>")
    assert "local-part is longer than 64" in refused(f'<"{"a" * 63}"@x>')


def test_a_path_has_256_octets_at_most_unless_it_may_have_more() -> None:
    domain = ".".join(["d" * 62] * 4)
    assert len(f"<{'u' * 2}@{domain}>") == 256
    assert forward(f"<uu@{domain}>").domain == domain
    assert "path is longer than 256" in refused(f"<uuu@{domain}>")
    assert parse_forward_path(f"<uuu@{domain}>", limits=Limits(path=257)) == (f"uuu@{domain}", ())
    assert "path is longer than 256" in refused(f"<@{domain}:u@x>")


def test_a_domain_in_a_path_has_255_octets_at_most_unless_it_may_have_more() -> None:
    domain = "d." * 127 + "d"
    assert parse_forward_path(f"<u@{domain}>", limits=Limits(path=512)) == (f"u@{domain}", ())
    assert "domain is longer than 255" in refused(f"<u@d{domain}>", limits=Limits(path=512))
    assert parse_forward_path(f"<u@d{domain}>", limits=Limits(path=512, domain=256)) == (f"u@d{domain}", ())


@pytest.mark.req("UTF-28")
def test_lengths_are_octets_of_utf8() -> None:
    assert forward("<" + "\u00fc" * 32 + "@x>", smtputf8=True).local_part == "\u00fc" * 32
    assert "local-part is longer than 64" in refused("<" + "\u00fc" * 33 + "@x>", smtputf8=True)
    label = "\u65e5" * 20
    domain = f"{label}.{label}.{label}.{label}"
    assert len(f"<u@{domain}>") < 256
    assert forward(f"<u@{domain}>", smtputf8=True).domain == domain
    assert "path is longer than 256" in refused(f"<{'u' * 11}@{domain}>", smtputf8=True)


def test_a_u_label_is_as_long_as_its_a_label() -> None:
    label = "\u00fc" + "a" * 55
    assert len(a_label(label)) == 63
    assert forward(f"<u@{label}.x>", smtputf8=True).domain == f"{label}.x"
    refused(f"<u@a{label}.x>", smtputf8=True)
    # In UTF-8 it may be longer than 63 octets (RFC 5890 4.2).
    label = "\u65e5" * 22
    assert len(label.encode()) > 63
    assert forward(f"<u@{label}.x>", smtputf8=True).domain == f"{label}.x"


def test_an_a_label_follows_idna2008() -> None:
    assert a_label("b\u00fccher") == a_label("B\u00dcCHER") == "xn--bcher-kva"
    assert a_label("stra\u00dfe") == "xn--strae-oqa"  # in IDNA2003, this was "strasse"


# --- Paths ---


def test_the_null_reverse_path_has_neither_local_part_nor_domain() -> None:
    path = proven(ReversePath, *parse_reverse_path("<>"))
    assert path.is_null and path.is_ascii
    assert (str(path), path.local_part, path.domain, path.source_route) == ("", "", "", ())
    assert path == ReversePath("") == ReversePath("<>") == proven(ReversePath, "")
    assert path != ReversePath('""@x') and not ReversePath("u@x").is_null


@pytest.mark.parametrize("text", ["< >", "<@>", "<postmaster>", "", "u@x"])
def test_a_malformed_reverse_path_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        parse_reverse_path(text)


@pytest.mark.parametrize("text", [" ", "@", "postmaster", "<u@x", "u@x>", "<<u@x>>"])
def test_a_malformed_reverse_path_without_brackets_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        ReversePath(text)


@pytest.mark.req("RCP-04")
def test_postmaster_without_a_domain_is_a_recipient_in_any_case() -> None:
    path = forward("<pOsTmAsTeR>")
    assert path.is_postmaster
    assert (str(path), path.local_part, path.domain) == ("pOsTmAsTeR", "pOsTmAsTeR", "")
    assert path.is_same(ForwardPath("Postmaster"))


def test_a_postmaster_with_a_domain_is_another_mailbox_than_one_without() -> None:
    path = ForwardPath("<PostMaster@example.org>")
    assert path.is_postmaster and not ForwardPath("postmaster.x@example.org").is_postmaster
    assert path != ForwardPath("postmaster")
    assert path != ForwardPath("postmaster@example.org")  # for others, the case of a local-part counts


@pytest.mark.parametrize("text", ["", "<>", "< >", "@", "postmaste", "postmaster@"])
def test_a_malformed_forward_path_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        ForwardPath(text)


@pytest.mark.req("RCP-08", "RCP-10")
@pytest.mark.parametrize(
    ("text", "route", "mailbox"),
    [
        ("<@a.x,@b.y:u@d.z>", ("a.x", "b.y"), "u@d.z"),
        ("<@a:u@c>", ("a",), "u@c"),
        ('<@a.example:"x y"@example.com>', ("a.example",), '"x y"@example.com'),
        ("<@a.example:user@[192.0.2.1]>", ("a.example",), "user@[192.0.2.1]"),
        ("<@trusted.example:user@evil.example>", ("trusted.example",), "user@evil.example"),
    ],
)
def test_a_source_route_is_removed_and_never_written(text: str, route: tuple[str, ...], mailbox: str) -> None:
    assert parse_reverse_path(text) == parse_forward_path(text) == (mailbox, route)
    for path in (ReversePath(text), forward(text)):
        assert str(path) == mailbox and path.domain == mailbox.rpartition("@")[2]
        assert path.source_route == route
        assert path == Mailbox.parse(mailbox)


# --- The lenient switch ---


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("<.a..b.@x>", ".a..b.@x"),
        ("<u@a_b.x>", "u@a_b.x"),
        ("<u@_dmarc.x>", "u@_dmarc.x"),
        ("<u@x.y.>", "u@x.y"),
        ("<u@[192.0.2.1]>", "u@[192.0.2.1]"),
        ('<"a b"@x>', '"a b"@x'),
    ],
)
def test_lenient_syntax_accepts_odd_dots_and_underscores(text: str, mailbox: str) -> None:
    assert str(forward(text, lenient=True)) == mailbox


@pytest.mark.parametrize(
    "text", ["<u@a..b>", "<u@x..>", "<u@.x>", "<u@-x>", "<u@>", "<u@.>", "<a b@x>", "<u@[x:y]>"]
)
def test_lenient_syntax_refuses_other_malformed_addresses(text: str) -> None:
    refused(text, lenient=True)


# --- The argument of EHLO ---


@pytest.mark.parametrize(
    "text", ["a.b", "localhost", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"]
)
def test_hello_accepts_a_domain_or_an_address_literal(text: str) -> None:
    assert is_hello_argument(text)
    assert is_hello_argument(text, lenient=True)


@pytest.mark.parametrize(
    "text",
    [
        "a_b.c",
        "_",
        "client.example.",
        "[192.0.2.1] foo",
        "[IPv6:2001:db8::1] (me) and more",
        "[2001:db8:2041:8::19]",
        "[::1]",
        "[IPv6:fe80::1%eth0]",
        "office-.example",
        "-client.example",
        "b\u00fccher.example",
        "M\\xdcLLER-PC",
        "a b",
        "a..b",
        "<script>",
        "[192.0.2.7",
        "[X-foo:bar]",
        "x" * 255,
        "\xdc" * 127,
    ],
)
def test_lenient_hello_accepts_any_printable_text(text: str) -> None:
    assert not is_hello_argument(text)
    assert is_hello_argument(text, lenient=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "client\rX-Evil: 1",
        "[192.0.2.1] a\nX-Evil: 1",
        "a\0",
        "a\tb",
        "a\x7f",
        "a\x85",
        "a\u202eb",
        "a\udc80",
        "x" * 256,
        "\xdc" * 128,
    ],
)
def test_hello_refuses_control_characters_and_overlong_text(text: str) -> None:
    assert not is_hello_argument(text)
    assert not is_hello_argument(text, lenient=True)


# --- Values ---


@pytest.mark.req("FRM-09")
def test_domains_compare_in_any_case_and_local_parts_in_their_own() -> None:
    assert Mailbox.parse("a@EXAMPLE.org").is_same(Mailbox.parse("a@example.ORG"))
    assert not Mailbox.parse("A@x").is_same(Mailbox.parse("a@x"))
    assert Mailbox.parse("a@EXAMPLE.org") != Mailbox.parse("a@example.ORG"), "equality is of the text"


@pytest.mark.req("RCP-21")
def test_different_quotings_of_a_local_part_are_the_same_mailbox() -> None:
    written = ['"a"@x', '"\\a"@x', "a@x"]
    paths = [forward(f"<{text}>") for text in written]
    assert all(path.is_same(other) for path in paths for other in paths) and len(set(paths)) == 3
    assert [str(path) for path in paths] == written


@pytest.mark.parametrize("text", ["u@x", "u@X", '"u"@x', "u@[192.0.2.1]", "\xfc@x"])
def test_a_path_equals_its_exact_text_and_hashes_like_it(text: str) -> None:
    for path in (ReversePath(text), ForwardPath(f"<{text}>"), Mailbox.parse(text)):
        assert path == text and text == path and hash(path) == hash(text)
        assert path != text.swapcase() and path != f"<{text}>"
        assert path in {text} and {path: 1}[text] == 1


def test_the_null_reverse_path_is_false() -> None:
    assert not ReversePath("<>") and ReversePath("<>") == ""
    assert ReversePath("u@x") and ForwardPath("postmaster")


def test_mailboxes_of_all_kinds_compare() -> None:
    assert Mailbox("u", "x") == ReversePath("u@x") == ForwardPath("<u@x>")
    assert Mailbox("u", "x") != 1
    assert ReversePath("") != ForwardPath("postmaster")


def test_proven_text_is_not_validated_again() -> None:
    path = proven(ForwardPath, "a..b@-", ("r",))
    assert (str(path), path.local_part, path.domain, path.source_route) == ("a..b@-", "a..b", "-", ("r",))
    assert type(proven(ReversePath, "a@b")) is ReversePath


@pytest.mark.parametrize("kind", [Mailbox, ReversePath, ForwardPath])
def test_every_kind_of_mailbox_parses_and_shows_itself(kind: type[Mailbox]) -> None:
    mailbox = kind.parse('"a b"@example.org')
    assert type(mailbox) is kind
    assert repr(mailbox) == f"""{kind.__name__}('"a b"@example.org')"""
    assert getattr(mailbox, "source_route", ()) == ()
    assert copy.copy(mailbox) == pickle.loads(pickle.dumps(mailbox)) == mailbox
    match mailbox:
        case Mailbox(local_part, domain):
            assert (local_part, domain) == ("a b", "example.org")


@pytest.mark.parametrize(
    ("local_part", "domain"),
    [
        ("a", "b>\r\nRCPT TO:<c@d"),
        ("a\r\n", "x"),
        ("a", "x\0"),
        ("a", "x>"),
        ("a", ""),
        ("a", "x@y"),
        ("\ud800", "x"),
    ],
)
def test_a_mailbox_refuses_parts_that_would_inject_text(local_part: str, domain: str) -> None:
    with pytest.raises(LocalProtocolError):
        Mailbox(local_part, domain)


@pytest.mark.parametrize(
    "text", ["a@b>\r\nRCPT TO:<c@d", "a@b> SIZE=1", "<a@b> SIZE=1", "a@b\r\n", "<a@b>\r\n", "\0@x"]
)
def test_a_path_refuses_text_that_would_inject_a_command(text: str) -> None:
    for kind in (ReversePath, ForwardPath):
        with pytest.raises(LocalProtocolError):
            kind(text)


@pytest.mark.req("UTF-08")
@pytest.mark.parametrize(
    ("text", "ascii_form"),
    [
        ("u@example.org", "u@example.org"),
        ('"a b"@b\u00fccher.example', '"a b"@xn--bcher-kva.example'),
        ("u@MAIL.B\u00dcCHER.example", "u@MAIL.xn--bcher-kva.example"),
        ("u@[192.0.2.1]", "u@[192.0.2.1]"),
        ("Postmaster", "Postmaster"),
        ("j\u00fcrg@example.org", None),
        ("j\u00fcrg@b\u00fccher.example", None),
    ],
)
def test_without_smtputf8_a_domain_becomes_a_labels_and_a_utf8_local_part_has_no_form(
    text: str, ascii_form: str | None
) -> None:
    assert in_ascii(ForwardPath(text)) == ascii_form
    assert in_ascii(ReversePath("")) == ""
    with pytest.raises(LocalProtocolError, match="too long in ASCII"):
        in_ascii(ForwardPath("u@" + "\u00fc." * 40 + "example"))


def test_decomposed_addresses_as_macos_gives_them_become_nfc() -> None:
    assert composed("ju\u0308rg@bu\u0308cher.example") == "j\u00fcrg@b\u00fccher.example"
    assert composed("\u212bngstr\u00f6m@x") == "\u00c5ngstr\u00f6m@x"
    for unchanged in ("u@example.org", "", "\uff21@x", "\ud800@x"):
        assert composed(unchanged) == unchanged


def test_a_mailbox_has_a_form_in_ascii_if_its_local_part_is_ascii() -> None:
    assert in_ascii(Mailbox.parse("u@x.example")) == "u@x.example"
    assert in_ascii(Mailbox.parse('"a b"@b\u00fccher.example')) == '"a b"@xn--bcher-kva.example'
    assert in_ascii(Mailbox.parse("\u00fc@b\u00fccher.example")) is None
    assert in_ascii(ReversePath("")) == ""
    with pytest.raises(LocalProtocolError, match="too long in ASCII"):
        in_ascii(Mailbox.parse("u@" + "\u00fc." * 40 + "example"))


def test_an_address_becomes_nfc_and_not_nfkc() -> None:
    assert composed("u\u0308@bu\u0308cher.example") == "\u00fc@b\u00fccher.example"
    assert composed("\ufb01@x.example") == "\ufb01@x.example", "NFC, and not NFKC"
    text = "u@x.example"
    assert composed(text) is text


@pytest.mark.parametrize("kind", [ForwardPath, ReversePath])
def test_a_path_may_be_utf8_unless_that_is_refused(kind: type[ForwardPath | ReversePath]) -> None:
    assert str(kind.parse("j\u00f6rg@example.org")) == "j\u00f6rg@example.org"
    with pytest.raises(LocalProtocolError):
        kind.parse("j\u00f6rg@example.org", smtputf8=False)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Bob <b@x.example>", True),
        ('"Bob" <b@x.example>', True),
        ("b <@x.example", False),
        (" <b@x example>", False),
    ],
)
@pytest.mark.parametrize("path", [ReversePath, ForwardPath])
def test_an_address_with_a_name_is_refused_with_the_advice_to_leave_it_out(
    path: type[ReversePath | ForwardPath], text: str, advice: bool
) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        path(text)
    assert str(caught.value).endswith("; the address is given alone, without a name") is advice
