"""The check of a server's time-out for a client that is silent."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..idle import IdleClient
from ..session import Session
from ..table import Failed, Inconclusive, Table, Verdict
from ..target import Target
from ..wire import Closed, Silent

CHECKS: Final = Table[Session]()
check = CHECKS.check

_RECOMMENDED: Final = 300.0  # seconds, of RFC 5321 4.5.3.2.7
_FAR_TOO_EARLY: Final = 10.0  # seconds: a lost packet and a look-up in the DNS take as long
_OBSERVED: Final = 2.5
"""Seconds for which a client is silent at least. All other checks take more, so that nothing is waited for."""


@check("TMO-08", "5321 4.5.3.2.7, 3.8", "A silent client has five minutes, and 421 ends its session then")
def idle_client(session: Session) -> None:
    target = session.target
    session.ready()
    idle = target.idle or IdleClient(session.wire)
    while idle.ended is None and (remaining := max(_OBSERVED, target.patience) - idle.seconds) > 0:
        idle.look(remaining)
    if idle.ended is None:
        why = f"a silent client is not ended within {idle.seconds:.0f} s"
        raise Failed(why) if target.patience else Inconclusive(f"{why} (hint: --patience)")
    try:
        how = idle.wire.read_reply()
        recommended = how.code == 421
    except (Closed, Silent):
        how, recommended = None, False
    session.wire.dialog[:] = idle.wire.dialog
    what = f"a silent client is ended after {idle.ended:.1f} s: {how or 'the connection is closed'}"
    if idle.ended < _FAR_TOO_EARLY:
        raise Failed(what)
    if idle.ended < _RECOMMENDED or not recommended:
        session.permit(f"{what} (recommended: 421 after {_RECOMMENDED:.0f} s)")


def beside_others(target: Target) -> IdleClient | None:
    """Begin a silent session, if the server serves others beside it.

    Returns:
        The session; None for a server that serves one client at a time.
    """
    with suppress(OSError, Closed):
        idle = Session(target)
        with suppress(Verdict, Closed, Silent, OSError):
            idle.ready()
            if _is_served(Session(target)):
                return IdleClient(idle.wire)
        idle.wire.close()
    return None


def _is_served(session: Session) -> bool:
    try:
        return session.greeting().kind == 2
    finally:
        session.end()
