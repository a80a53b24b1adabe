"""The state machine of an SMTP session, as two tables. Both roles run on them.

**Theory of operation.** A session is in one state. ``LEGAL`` says which commands may come in it, and
``TRANSITIONS`` where a command with its reply leads. Nothing else, anywhere, decides on a transition: not the
server, which looks up what its application answered, nor the client, which looks up what the server answered.

::

    OPENING --220--> GREETED --EHLO 250--> READY --MAIL 250--> MAIL --RCPT 250--> RCPT --DATA 354--> CONTENT
       |                ^                  ^ | ^                |                  |                  |
      554               |   TLS <-STARTTLS-+ | +------- RSET, EHLO, HELO ----------+----------- . ----+
       v                +----|  220          |
    REFUSED                             AUTH | 334 ... 235, 535
                                       AUTHENTICATING

(QUIT leads to CLOSED from everywhere, and so does every 421.)

* A reply counts by its class, the first digit (RFC 5321 4.2.1): 2 success, 3 intermediate, 4 and 5 failure.
  The one exception is 421, which ends the session whatever it answers (RFC 5321 3.8).
* What ``TRANSITIONS`` does not list changes nothing. So a refused command leaves the state as it was (RFC 5321
  4.1.4) without a rule of its own.
* The end of the content is answered like a command. After it the transaction is over, however it is answered
  (RFC 5321 4.1.1.4), which is why all three classes are listed.
* 354 asks for content even if MAIL or all RCPT of the same pipelined group were refused: a client then sends
  an empty one (RFC 2920 3.1). A server never gets there, since DATA is not legal without a recipient.
* QUIT cannot be refused (RFC 5321 4.1.1.10); a client closes the connection whatever the reply is.
* ``Connect`` stands for the opening of the connection, which the server answers as well.
* The TLS handshake is not a reply: ``HANDSHAKEN`` is where it leads, to a session in which no
  command has been sent yet (RFC 3207 4.2).
* An AUTH exchange goes back and forth within AUTHENTICATING; every line in it is a response, whatever it looks
  like (RFC 4954 4), so no command is legal there.

Only the commands of RFC 5321 stand here. An extension brings the rows of its commands along, and ``rules``
merges them in; STARTTLS and AUTH, whose states are drawn above, are such extensions.

The sets at the end are the policies of RFC 3207 4 and RFC 4954 6: what remains legal until TLS is active or the
client has authenticated. They take away from ``LEGAL`` and never add.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from .events import (
    Connect,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Vrfy,
)


class State(enum.Enum):
    """Where a session is."""

    OPENING = "opening"
    """Connected; the server has not sent its greeting yet."""
    REFUSED = "refused"
    """Opened with 554 or 521: nothing but QUIT makes sense (RFC 5321 3.1)."""
    GREETED = "greeted"
    """Waiting for EHLO or HELO."""
    READY = "ready"
    """No mail transaction under way; MAIL may begin one."""
    AUTHENTICATING = "authenticating"
    """In an AUTH exchange."""
    TLS = "tls"
    """STARTTLS was answered 220: the next octets are a TLS handshake."""
    MAIL = "mail"
    """In a transaction that has no recipient yet."""
    RCPT = "rcpt"
    """In a transaction with at least one recipient."""
    CONTENT = "content"
    """Content is being sent, up to the final dot."""
    CLOSED = "closed"
    """The session is over."""

    # Enum's own hash is a Python function, and a slow one for a key that is looked up several times a command.
    __hash__ = object.__hash__


_OPENING, _REFUSED, _GREETED, _READY = State.OPENING, State.REFUSED, State.GREETED, State.READY
_AUTHENTICATING, _TLS, _MAIL, _RCPT = State.AUTHENTICATING, State.TLS, State.MAIL, State.RCPT
_CONTENT, _CLOSED = State.CONTENT, State.CLOSED

# RFC 5321 4.1.4: "The NOOP, HELP, EXPN, VRFY, and RSET commands can be used at any time during a session, or
# without previously initializing a session"; 4.1.1.10: QUIT "at any time".
ANY_TIME: Final[frozenset[State]] = frozenset({_GREETED, _READY, _MAIL, _RCPT})
_ALWAYS = frozenset({Noop, Vrfy, Rset, Quit, Ehlo, Helo})

Transitions = Mapping[tuple[type[Event], int], Mapping[State, State]]

LEGAL: Final[Mapping[State, frozenset[type[Event]]]] = {
    _OPENING: frozenset({Connect}),
    _REFUSED: frozenset({Quit}),
    _GREETED: _ALWAYS,
    _READY: _ALWAYS | {Mail},
    _AUTHENTICATING: frozenset(),
    _TLS: frozenset(),
    _MAIL: _ALWAYS | {Rcpt},
    _RCPT: _ALWAYS | {Rcpt, Data},
    _CONTENT: frozenset({EndOfMessage}),
    _CLOSED: frozenset(),
}

_LIVE = (_REFUSED, _GREETED, _READY, _MAIL, _RCPT)
_TO_CLOSED: Mapping[State, State] = dict.fromkeys(_LIVE, _CLOSED)
_TO_READY = {_GREETED: _READY, _READY: _READY, _MAIL: _READY, _RCPT: _READY}

TRANSITIONS: Final[Transitions] = {
    (Connect, 2): {_OPENING: _GREETED},
    (Connect, 4): {_OPENING: _REFUSED},
    (Connect, 5): {_OPENING: _REFUSED},
    (Ehlo, 2): _TO_READY,
    (Helo, 2): _TO_READY,
    (Mail, 2): {_READY: _MAIL},
    (Rcpt, 2): {_MAIL: _RCPT},
    (Data, 3): {_READY: _CONTENT, _MAIL: _CONTENT, _RCPT: _CONTENT},
    (EndOfMessage, 2): {_CONTENT: _READY},
    (EndOfMessage, 4): {_CONTENT: _READY},
    (EndOfMessage, 5): {_CONTENT: _READY},
    (Rset, 2): {_MAIL: _READY, _RCPT: _READY},
    (Quit, 2): _TO_CLOSED,
    (Quit, 4): _TO_CLOSED,
    (Quit, 5): _TO_CLOSED,
}

HANDSHAKEN: Final[Mapping[State, State]] = {_TLS: _GREETED}

_UNCHANGED: Mapping[State, State] = {}


def after(transitions: Transitions, command: type[Event], code: int, state: State) -> State:
    """Where ``command``, with a reply of ``code``, leads from ``state``.

    Args:
        transitions: ``TRANSITIONS``, or what the rules of a connection have made of it.
        command: The class of the command.
        code: The reply code.
        state: The state before.
    """
    if code == 421:
        return _CLOSED
    return transitions.get((command, code // 100), _UNCHANGED).get(state, state)


# What is legal before TLS where the server requires it: RFC 3207 4.
BEFORE_TLS: Final[frozenset[type[Event]]] = frozenset({Noop, Ehlo, Quit, Connect, EndOfMessage})
# What is legal before authentication where the server requires it: RFC 4954 6.
BEFORE_AUTH: Final[frozenset[type[Event]]] = frozenset({Ehlo, Helo, Noop, Rset, Quit, Connect, EndOfMessage})

# Commands that do not further the delivery of mail; EHLO and HELO do so once, while nothing else may come.
IDLE: Final[frozenset[type[Event]]] = frozenset({Noop, Rset, Vrfy, Ehlo, Helo})

# The verbs of RFC 5321 that every server implements, in the order of HELP (RFC 5321 4.5.1).
VERBS: Final[tuple[str, ...]] = ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "VRFY")

# Commands that may stand anywhere in a pipelined group; all others end one (RFC 2920 3.1). The end of the
# content may be followed by the next group.
PIPELINED: Final[frozenset[type[Event]]] = frozenset({Rset, Mail, Rcpt, EndOfMessage})

# The reply codes that a command may succeed with (RFC 5321 4.3.2, RFC 3207 4, RFC 4954 4, 6). Failure may have
# any code of 4yz and 5yz.
SUCCESS: Final[Mapping[type[Event], frozenset[int]]] = {
    Connect: frozenset({220}),
    Ehlo: frozenset({250}),
    Helo: frozenset({250}),
    Mail: frozenset({250}),
    Rcpt: frozenset({250, 251}),
    Data: frozenset({354}),
    EndOfMessage: frozenset({250}),
    Rset: frozenset({250}),
    Noop: frozenset({250}),
    Vrfy: frozenset({250, 251, 252}),
    Quit: frozenset({221}),
}
