"""The grammar of RFC 5321 4.1.2 and 4.1.3 as regular expressions, the ABNF above each.

The expressions work on ``str``, not on ``bytes``: what arrives is decoded once as latin-1, where every
octet is one character at the same offset, and matched in place. So a match gives its parts as text
without slicing a line out and without decoding each part, which is most of the cost of a command.
Octets above 127 do not match there; the slow path decodes UTF-8 (RFC 6531 3.3) first.

No repetition is backtracked into: a set of characters is repeated possessively (``[a-z]++``), a group inside
an atomic group (``(?>(?:...)*)``). So the time to refuse hostile input is linear in its length. A group is
never repeated possessively: CPython before 3.11.5 matches that wrongly (https://github.com/python/cpython/issues/106052).
``tests/core/test_grammar.py`` holds both rules for every expression of the package.
"""

from __future__ import annotations

from .expressions import expression

# atext         = ALPHA / DIGIT / "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "/" / "=" / "?" /
#                 "^" / "_" / "`" / "{" / "|" / "}" / "~"                              ; RFC 5322 3.2.3
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~-"

# Dot-string    = Atom *("." Atom)
# Atom          = 1*atext
DOT_STRING = rf"[{_ATEXT}]++(?>(?:\.[{_ATEXT}]++)*)"

# Quoted-string = DQUOTE *QcontentSMTP DQUOTE
# QcontentSMTP  = qtextSMTP / quoted-pairSMTP
# quoted-pairSMTP = %d92 %d32-126
# qtextSMTP     = %d32-33 / %d35-91 / %d93-126
_QTEXT = r" !#-\[\]-~"
QUOTED_STRING = rf'"(?>(?:[{_QTEXT}]++|\\[ -~])*)"'

# sub-domain    = Let-dig [Ldh-str]
# Ldh-str       = *( ALPHA / DIGIT / "-" ) Let-dig
# Domain        = sub-domain *("." sub-domain)
#
# One repeat for both rules: a sub-domain is letters and digits with hyphens between them. It matches in three
# quarters of the time that a repeat within a repeat takes.
DOMAIN = r"[A-Za-z0-9]++(?>(?:\.[A-Za-z0-9]++|-++[A-Za-z0-9]++)*)"

# esmtp-param   = esmtp-keyword ["=" esmtp-value]
# esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
# esmtp-value   = 1*(%d33-60 / %d62-126)
ESMTP_PARAM = r"[A-Za-z0-9][A-Za-z0-9-]*+(?>(?:=[!-<>-~]++)?)"

# Of a mailbox that is no longer than this neither the local-part, nor the domain, nor a label can be too long:
# one comparison instead of four.
SHORT_MAILBOX = 64

# A path and the parameters after it, as nearly every client writes them, to the end of the line. Address
# literals, source routes, <Postmaster> and all errors are left to the slow path.
#
# mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
# rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF
_COMMON_MAILBOX = rf"((?:{DOT_STRING}|{QUOTED_STRING})@{DOMAIN})"
COMMON_MAILBOX = expression(_COMMON_MAILBOX)
_COMMON_END = rf">(|(?>(?:[ ]{ESMTP_PARAM})+))\r\n"
MAIL_REST = expression(rf" [Ff][Rr][Oo][Mm]:<(?>{_COMMON_MAILBOX}?){_COMMON_END}")
RCPT_REST = expression(rf" [Tt][Oo]:<{_COMMON_MAILBOX}{_COMMON_END}")

# ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
HELLO_REST = expression(rf" ({DOMAIN})\r\n")

IS_DOMAIN = expression(DOMAIN)

# The slow path's mailbox: any local-part, then whatever stands after the "@", checked by hand.
#
# Local-part    = Dot-string / Quoted-string
# atext         =/ UTF8-non-ascii                                                       ; RFC 6531 3.3
# qtextSMTP     =/ UTF8-non-ascii                                ; but quoted-pairSMTP stays what it is
# The C1 controls are left out: no name has them, and some terminals act upon them. Surrogates are not UTF-8.
_UTF8_NON_ASCII = r"\xa0-\ud7ff\ue000-\U0010ffff"
_UTF8_ATEXT = _UTF8_NON_ASCII + _ATEXT
_UTF8_DOT_STRING = rf"[{_UTF8_ATEXT}]++(?>(?:\.[{_UTF8_ATEXT}]++)*)"
_UTF8_QUOTED_STRING = rf'"(?>(?:[{_QTEXT}{_UTF8_NON_ASCII}]++|\\[ -~])*)"'
IS_DOT_STRING = expression(_UTF8_DOT_STRING)
LOCAL_PART_AT = expression(rf"({_UTF8_DOT_STRING}|{_UTF8_QUOTED_STRING})@")
# The lenient switch: dots anywhere in an unquoted local-part, as some phones and devices send them.
LENIENT_LOCAL_PART_AT = expression(rf"([.{_UTF8_ATEXT}]++|{_UTF8_QUOTED_STRING})@")
# The lenient domain: underscores, and a trailing dot that is not kept.
_LENIENT_LABEL = r"[A-Za-z0-9_]++(?>(?:-++[A-Za-z0-9_]++)*)"
LENIENT_DOMAIN = expression(rf"{_LENIENT_LABEL}(?>(?:\.{_LENIENT_LABEL})*)")

# sub-domain    =/ U-label                                                              ; RFC 6531 3.3
# Only its frame: what a U-label may hold is not regular.
_UTF8_LET_DIG = rf"[{_UTF8_NON_ASCII}A-Za-z0-9]"
IS_UTF8_LABEL = expression(rf"{_UTF8_LET_DIG}++(?>(?:-++{_UTF8_LET_DIG}++)*)")

# A-d-l         = At-domain *( "," At-domain )
# At-domain     = "@" Domain
SOURCE_ROUTE = expression(rf"@({DOMAIN}(?>(?:,@{DOMAIN})*)):")

# address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"
ADDRESS_LITERAL = expression(r"\[([!-Z^-~]++)\]")
# IPv4-address-literal = Snum 3("." Snum)
# Snum          = 1*3DIGIT  ; 0 through 255
IPV4 = expression(r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
# IPv6-hex      = 1*4HEXDIG
IPV6_HEX = expression(r"[0-9A-Fa-f]{1,4}")
# General-address-literal  = Standardized-tag ":" 1*dcontent
# Standardized-tag = Ldh-str
GENERAL_LITERAL = expression(r"[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]++")

# xtext         = *( xchar / hexchar )                                                      ; RFC 3461 4
# xchar         = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="
# hexchar       = ASCII "+" immediately followed by two upper case hexadecimal digits
XTEXT = expression(r"(?>(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*)")

# ehlo-keyword  = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
# ehlo-param    = 1*(%d33-126)
EHLO_KEYWORD = expression(r"[A-Za-z0-9][A-Za-z0-9-]*")
EHLO_PARAMETER = expression(r"[!-~]+")

# sasl-mech     = 1*20mech-char ; A-Z 0-9 "-" "_"                                         ; RFC 4422 3.1
MECHANISM = expression(r"[A-Z0-9_-]{1,20}")

# A path on the slow path: everything up to the ">" that no quoted string holds.
PATH = expression(r'<(?>(?:"(?>(?:[^"\\]|\\.)*)"|[^">])*)>')

# String arguments and their like: printable ASCII, spaces and tabs; and UTF-8 with SMTPUTF8 (RFC 6531 3.7.4).
PRINTABLE = expression(r"[\t -~\u00a0-\ud7ff\ue000-\U0010ffff]*+")

# initial-response = base64 / "="    ; its frame only: whether it decodes is for SASL            ; RFC 4954 8
INITIAL_RESPONSE = expression(r"[!-~]+")

# Anything a command line may not hold: controls other than HT (RFC 5321 2.3.8, 4.1.2). CR and LF are here
# too: a line handed to this expression has lost its CRLF, so one that is left stands alone.
CONTROL = expression(r"[\x00-\x08\x0a-\x1f\x7f]")


def is_ipv6(text: str) -> bool:
    """Whether ``text`` is an IPv6-addr of RFC 5321 4.1.3 (the part after ``IPv6:``).

    Stricter than ``inet_pton``: "::" stands for at least two groups, and an IPv4 tail counts as two.
    """
    # IPv6-addr   = IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp
    head, compressed, tail = text.partition("::")
    groups = (head.split(":") if head else []) + (tail.split(":") if tail else [])
    width = len(groups)
    if groups and "." in groups[-1]:
        if (compressed and not tail) or IPV4.fullmatch(groups.pop()) is None:
            return False
        width += 1
    if not all(IPV6_HEX.fullmatch(group) for group in groups):
        return False
    return width <= 6 if compressed else width == 8
