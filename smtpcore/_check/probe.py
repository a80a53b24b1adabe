"""Finds out what a server offers and demands, before the checks begin."""

from __future__ import annotations

from contextlib import suppress

from .session import Judge, Session
from .table import Verdict
from .target import Target
from .wire import Closed, Silent


def probe(target: Target, judge: Judge) -> None:
    """Enter into the target what the server offers, what it demands, and a recipient that it accepts.

    A server that cannot be used at all leaves the target as it was; the checks then say so.

    Raises:
        OSError: No server listens there.
    """
    for tls, auth in ((False, False), (True, False), (False, True), (True, True)):
        if (tls and "STARTTLS" not in target.plain) or (auth and target.user is None):
            continue
        session = Session(target, judge)
        try:
            with suppress(Verdict, Silent, Closed):
                session.ready(tls=tls, auth=auth)
                if _mail_works(session, target):
                    target.needs_tls, target.needs_auth = tls, auth
                    break
        finally:
            _remember(session, target)
            session.end()
    if "STARTTLS" in target.plain and not target.secured:
        session = Session(target)
        with suppress(Verdict, Silent, Closed):
            session.ready(tls=True, auth=False)
        _remember(session, target)
        session.end()


def _remember(session: Session, target: Target) -> None:
    if session.offered is not None:
        if session.wire.tls and not target.implicit_tls:
            target.secured = session.offered
        elif not target.plain:
            target.plain = session.offered


def _mail_works(session: Session, target: Target) -> bool:
    """Whether the server accepts a sender and a recipient."""
    domain = target.domain = session.domain or target.domain
    for sender in dict.fromkeys((target.sender, "check@example.com", f"check@{domain}")):
        reply = session.command(f"MAIL FROM:<{sender}>")
        if reply.kind == 2:
            target.sender = sender
            break
    else:
        return False
    candidates = (
        target.recipient,
        f"postmaster@{domain}",
        "postmaster",
        "postmaster@localhost",
        "postmaster@example.com",
        f"root@{domain}",
        "check@example.com",
    )
    for recipient in dict.fromkeys(filter(None, candidates)):
        if session.command(f"RCPT TO:<{recipient}>").kind == 2:
            target.recipient = recipient
            return True
    return False
