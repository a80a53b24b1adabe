"""ENHANCEDSTATUSCODES (RFC 2034), the extension by itself and on both roles."""

from __future__ import annotations

import pytest

from smtpcore import EnhancedStatusCode, Mail, ServerConfig
from smtpcore.extensions import ENHANCEDSTATUSCODES, Facts

from .sessions import replies_to, session


@pytest.mark.parametrize("switch, offer", [(True, ()), (False, None)])
def test_the_offer_follows_the_switch(switch: bool, offer: tuple[str, ...] | None) -> None:
    config = ServerConfig(enhanced_status_codes=switch)
    assert ENHANCEDSTATUSCODES.offer(config, Facts()) == offer


def test_it_declares_nothing_but_the_keyword() -> None:
    assert ENHANCEDSTATUSCODES.parameters == ENHANCEDSTATUSCODES.commands == ()
    assert ENHANCEDSTATUSCODES.check is None


@pytest.mark.parametrize("offered", [True, False])
def test_a_reply_has_a_status_code_where_it_is_offered(offered: bool) -> None:
    (reply,) = replies_to(session(enhanced_status_codes=offered), Mail("a@client.example"))
    assert reply.status == (EnhancedStatusCode(2, 1, 0) if offered else None)
    assert reply.text == "sender ok"
