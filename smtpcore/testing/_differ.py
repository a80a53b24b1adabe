"""The same sessions to two servers: the shortest one in which they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from .._core.errors import LocalProtocolError
from . import strategies
from ._peers import Peer, Target, checked_target, connect
from ._stored import shown

_REPLY: Final = re.compile(rb"(?:[0-9]{3}-[^\n]*+\n)*([0-9]{3})(?: [^\n]*)?\r?\n")
_LINES: Final = (
    b"EHLO client.example",
    b"MAIL FROM:<a@example.com>",
    b"RCPT TO:<b@example.com>",
    b"DATA",
    b"a\r\n.",
    b"RSET",
    b"NOOP",
    b"HELO client.example",
    b"MAIL FROM:<>",
    b"RCPT TO:<Postmaster>",
    b"VRFY a",
    b".",
    b"a\n.\n",
    b"QUIT",
)
_SETTINGS: Final = settings(
    deadline=None,
    database=None,
    max_examples=200,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass(frozen=True)
class Difference:
    """A session that two servers answer differently.

    Attributes:
        lines: What the client sends, without CRLF.
        first: The reply codes of the first server, one item for each line.
        second: Those of the second server.
    """

    lines: tuple[bytes, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]

    def __str__(self) -> str:
        width = max((len(shown(line)) for line in self.lines), default=0)
        rows = zip(self.lines, self.first, self.second, strict=True)
        return "\n".join(f"C: {shown(line):{width}}  {a or '-':11} {b or '-'}" for line, a, b in rows)


def _play(target: Target, lines: Sequence[bytes], digits: int) -> tuple[str, ...]:
    """Send lines one by one; return the reply codes to each."""
    peer = connect(target)
    try:
        _codes(peer, digits)
        outcome = []
        for line in lines:
            peer.send(line + b"\r\n")
            outcome.append(_codes(peer, digits))
        return tuple(outcome)
    finally:
        peer.close()


def _codes(peer: Peer, digits: int) -> str:
    octets = peer.receive(wait=True) or b""
    while octets and (more := peer.receive(wait=_REPLY.search(octets) is None)):
        octets += more
    return " ".join(code.decode("ascii")[:digits] for code in _REPLY.findall(octets))


def differ(
    server_a: Target,
    server_b: Target,
    *,
    compare: Literal["class", "code"] = "class",
    allow_remote: bool = False,
    settings: settings | None = None,
) -> Difference | None:
    """Send the same sessions to two servers.

    Args:
        server_a: A host and a port; or a function that makes a connection, as for ``ServerMachine.against()``.
        server_b: The other one.
        compare: ``"class"``: the first digit of each reply code; ``"code"``: the code.
        allow_remote: A host may be another machine. Only for servers that are yours to test.
        settings: Of Hypothesis. None: 200 examples.

    Returns:
        The shortest session found in which the replies differ; None if they never do. Of a server that keeps
        state between sessions, such as a greylist, it may be one that gives the same replies the next time.

    Raises:
        LocalProtocolError: A host is another machine, or ``compare`` is not possible.
        ArgumentTypeError: A server is given as something else.
    """
    if compare not in ("class", "code"):
        raise LocalProtocolError(f"compare is 'class' or 'code', not {compare!r}")
    targets = [checked_target(one, allow_remote) for one in (server_a, server_b)]
    digits = 1 if compare == "class" else 3
    found: list[Difference] = []
    lines = st.one_of(st.sampled_from(_LINES), strategies.near_misses().map(lambda line: line[:-2]))

    @(settings or _SETTINGS)
    @given(st.lists(lines, max_size=6))
    def same(session: list[bytes]) -> None:
        first, second = (_play(target, session, digits) for target in targets)
        if first != second:
            found.append(Difference(tuple(session), first, second))
            raise _DifferentError

    try:
        same()
    except (_DifferentError, Flaky):  # Flaky: the second time the replies were the same
        if not found:
            raise
        return min(found, key=lambda one: (len(one.lines), sum(map(len, one.lines))))
    return None


class _DifferentError(Exception):
    pass
