"""Checks of what a client does about AUTH."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ..wire import shown
from .player import Seen
from .rounds import ClientTable

CHECKS: Final = ClientTable()
each = CHECKS.each


@each("AUT-15", "4954 4", "Responses are base64", "auth", "refusing-auth")
def writes_base64(seen: Seen) -> str | bool:
    responses = [line.rstrip(b"\r\n") for line in seen.responses if line != b"*\r\n"]
    for command in seen.commands:
        if command.verb == "AUTH":
            responses += command.argument.split(b" ")[1:]
    for response in responses:
        try:
            base64.b64decode(b"" if response == b"=" else response, validate=True)
        except binascii.Error:
            return f"not valid base64: {shown(response, 20)}"
    return bool(responses)


@each(
    "AUT-27",
    "4954 4",
    "Only mechanisms that are offered are used",
    "auth",
    "refusing-auth",
    "auth-by-something-else",
)
def uses_offered_mechanisms(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.verb == "AUTH":
            found = True
            offered = b"PLAIN LOGIN" if seen.scenario.name != "auth-by-something-else" else b"X-FROBNICATE"
            if command.argument.upper().split(b" ")[0] not in offered.split():
                return f"a mechanism that is not offered: {shown(command.argument, 20)}"
    return found


@each("RPL-22", "4954 4", "The client waits for each challenge", "auth", "refusing-auth")
def waits_for_challenges(seen: Seen) -> str | bool:
    if seen.early_response:
        return "a response comes before its challenge"
    return bool(seen.first("AUTH"))


@each("AUT-13", "4954 4", "A challenge that is not base64 is answered by a star", "auth-with-a-bad-challenge")
def cancels_a_bad_challenge(seen: Seen) -> str | bool:
    for response in seen.responses:
        if response != b"*\r\n":
            return f"the response is {shown(response, 20)}"
    return bool(seen.responses)


@each("AUT-04", "4954 4", "AUTH comes before a transaction, and once", "auth")
def authenticates_once(seen: Seen) -> str | bool:
    logins = [command for command in seen.commands if command.verb == "AUTH"]
    if any(command.mail for command in logins):
        return "AUTH within a transaction"
    if len(logins) > 1:
        return "AUTH after a success"
    return bool(logins)


@each(
    "AUT-31",
    "4954 4",
    "After a refused login the client does not go on as if it had been accepted",
    "refusing-auth",
    level="MAY",
)
def accepts_a_refused_login(seen: Seen) -> str | bool:
    if not seen.first("AUTH"):
        return False
    return "mail after a refused login" if seen.contents else True
