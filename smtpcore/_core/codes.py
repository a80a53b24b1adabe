"""The registries of reply codes and enhanced status codes: what each means, in words.

``describe()`` in ``replies`` uses them. ``tests/test_status_codes.py`` compares them with the RFCs.
"""

from __future__ import annotations

from typing import Final

# By first digit of the reply code (RFC 5321 4.2.1) or by class of the enhanced status code (RFC 3463 3.1).
SEVERITIES: Final[dict[int, str]] = {
    2: "success",
    3: "accepted so far, more is expected",
    4: "temporary failure, worth retrying later",
    5: "permanent failure, not worth retrying unchanged",
}

# The reply codes of RFC 5321 4.2.3 and of the extensions, and those that only the registry of RFC 5248 names.
CODES: Final[dict[int, str]] = {
    211: "system status or help",
    214: "help for a human reader",
    220: "service ready",
    221: "goodbye, the connection is being closed",
    235: "authentication succeeded",
    250: "done as requested",
    251: "user is elsewhere and mail will be forwarded (ETRN: nothing is waiting)",
    252: "user not verified but mail will be tried (ETRN: delivery of waiting mail has started)",
    253: "delivery of a number of waiting messages has started",
    334: "next step of the authentication, with a challenge in base64",
    354: "ready for the message, which a line with a single dot ends",
    355: "interrupted transaction can be resumed from this offset",
    421: "service not available, the connection is being closed",
    422: "password has to be converted for this mechanism",
    430: "command not possible now",
    432: "password has to be converted for this mechanism: log in with PLAIN once",
    450: "mailbox unavailable for now: busy, or held off by policy",
    451: "aborted because of an error in processing",
    452: "not enough storage, or too many recipients at once",
    453: "no mail is waiting for you",
    454: "TLS or authentication is unavailable for now",
    455: "parameters cannot be honoured for now",
    458: "mail waiting for this node cannot be queued",
    459: "node not allowed to ask for its mail",
    500: "command not recognized, or its line too long",
    501: "error in the arguments, or authentication cancelled",
    502: "command not implemented",
    503: "command out of order",
    504: "argument or mechanism not implemented",
    521: "host never accepts mail",
    523: "encryption needed",
    524: "encryption needed for this mechanism",
    525: "account disabled",
    530: "authentication or TLS has to come first",
    533: "not authorized",
    534: "mechanism too weak",
    535: "credentials not accepted",
    538: "encryption required for this mechanism",
    550: "mailbox unavailable, unknown or refused by policy",
    551: "user is elsewhere and mail is not forwarded",
    552: "message too big, or storage quota exceeded",
    553: "mailbox name not allowed",
    554: "transaction failed, or no mail service here",
    555: "parameter of MAIL or RCPT unknown or not implemented",
    556: "domain of the recipient accepts no mail",
}

# RFC 3463 3.2 to 3.8.
SUBJECTS: Final[dict[int, str]] = {
    0: "about an undefined subject",
    1: "about an address",
    2: "about the mailbox",
    3: "about the mail system",
    4: "about the network or routing",
    5: "about the protocol",
    6: "about the content",
    7: "about security or policy",
}

# The registry of RFC 5248, whatever the class: RFC 3463, or the RFC in the comment of the entry.
STATUSES: Final[dict[str, str]] = {
    "X.0.0": "no further information",
    "X.1.0": "address status",
    "X.1.1": "recipient mailbox does not exist",
    "X.1.2": "recipient domain does not exist or takes no mail",
    "X.1.3": "recipient address malformed",
    "X.1.4": "recipient address ambiguous",
    "X.1.5": "recipient address valid",
    "X.1.6": "recipient has moved and left no new address",
    "X.1.7": "sender address malformed",
    "X.1.8": "sender domain does not exist or takes no mail",
    "X.1.9": "relayed to a system without the extension asked for",  # RFC 3886
    "X.1.10": "recipient domain has a null MX",  # RFC 7505
    "X.2.0": "mailbox status",
    "X.2.1": "mailbox disabled",
    "X.2.2": "mailbox full",
    "X.2.3": "message longer than the mailbox allows",
    "X.2.4": "mailing list cannot be expanded",
    "X.3.0": "mail system status",
    "X.3.1": "storage of the mail system full",
    "X.3.2": "mail system not accepting messages",
    "X.3.3": "mail system lacks a feature asked for",
    "X.3.4": "message too big for the mail system",
    "X.3.5": "mail system misconfigured",
    "X.3.6": "priority changed",  # RFC 6710
    "X.4.0": "network or routing status",
    "X.4.1": "no answer from the next host",
    "X.4.2": "connection lost or timed out",
    "X.4.3": "directory or DNS failure",
    "X.4.4": "no route to the destination",
    "X.4.5": "mail system congested",
    "X.4.6": "routing loop",
    "X.4.7": "delivery time expired",
    "X.5.0": "protocol status",
    "X.5.1": "command invalid or out of order",
    "X.5.2": "syntax error",
    "X.5.3": "too many recipients",
    "X.5.4": "arguments invalid",
    "X.5.5": "wrong version of the protocol",
    "X.5.6": "line of the authentication too long",  # RFC 4954
    "X.6.0": "content status",
    "X.6.1": "media type not supported",
    "X.6.2": "conversion needed but forbidden",
    "X.6.3": "conversion needed but not supported",
    "X.6.4": "converted with loss",
    "X.6.5": "conversion failed",
    "X.6.6": "content cannot be fetched",  # RFC 4468
    "X.6.7": "address with non-ASCII characters not permitted",  # RFC 6531
    "X.6.8": "answer would need UTF-8",  # RFC 6531
    "X.6.9": "recipient cannot get a message with a UTF-8 header",  # RFC 6531
    "X.6.10": "answer would need UTF-8 (superseded by X.6.8)",  # RFC 6531
    "X.7.0": "security status",
    "X.7.1": "not authorized, refused",
    "X.7.2": "expansion of the mailing list prohibited",
    "X.7.3": "conversion between security schemes needed but impossible",
    "X.7.4": "security feature not supported",
    "X.7.5": "cryptographic failure",
    "X.7.6": "cryptographic algorithm not supported",
    "X.7.7": "message integrity damaged",
    "X.7.8": "credentials invalid",  # RFC 4954
    "X.7.9": "authentication mechanism too weak",  # RFC 4954
    "X.7.10": "encryption needed",  # RFC 5248
    "X.7.11": "encryption required for the authentication mechanism",  # RFC 4954
    "X.7.12": "password has to be converted",  # RFC 4954
    "X.7.13": "account disabled",  # RFC 5248
    "X.7.14": "third server has to be trusted first",  # RFC 5248
    "X.7.15": "priority too low",  # RFC 6710
    "X.7.16": "message too big for its priority",  # RFC 6710
    "X.7.17": "mailbox has a new owner",  # RFC 7293
    "X.7.18": "domain has a new owner",  # RFC 7293
    "X.7.19": "change of owner cannot be checked",  # RFC 7293
    "X.7.20": "no valid DKIM signature",  # RFC 7372
    "X.7.21": "no acceptable DKIM signature",  # RFC 7372
    "X.7.22": "no valid DKIM signature of the author's domain",  # RFC 7372
    "X.7.23": "SPF check failed",  # RFC 7372
    "X.7.24": "SPF check impossible",  # RFC 7372
    "X.7.25": "reverse DNS of the client wrong",  # RFC 7372
    "X.7.26": "several authentication checks of the message failed",  # RFC 7372
    "X.7.27": "sender domain has a null MX",  # RFC 7505
    "X.7.28": "looks like part of a flood of mail",
    "X.7.29": "ARC check failed",  # RFC 8617
    "X.7.30": "REQUIRETLS needed",  # RFC 8689
}
