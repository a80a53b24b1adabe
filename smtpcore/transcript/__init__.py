"""The transcript: the dialogue of a connection, without secrets.

A :class:`Transcript` is given the octets of both directions as they travel, in pieces of any size, and makes
one :class:`Entry` of each line::

       0.000 -- connected to 192.0.2.1 port 587
       0.004 S: 220 mx.example ESMTP
       0.005 C: EHLO client.example
       0.009 S: 250-mx.example
       0.009 S: 250 STARTTLS
       0.010 C: STARTTLS
       0.014 S: 220 2.0.0 go ahead
       0.031 -- TLSv1.3 TLS_AES_256_GCM_SHA384
       0.032 C* EHLO client.example
       0.036 S* 250-mx.example
       0.036 S* 250 AUTH PLAIN
       0.037 C* AUTH PLAIN ***
       0.052 S* 235 2.7.0 welcome

Each line has the seconds since the first entry; ``C`` for the client, ``S`` for the server, ``--`` for a note;
then ``*`` under TLS and ``:`` in plaintext.

**It only listens.** It shares nothing with the connection classes and trusts neither side, so it also works
for sessions of other software. It has to find out from the octets alone what must not be shown. A line of a
client is a command, a response within AUTH, or content, and the *replies* decide which: after DATA, content
follows if the reply is 354, otherwise a command. So replies are matched to commands, in order. Where the
meaning of the next line depends on a reply that has not arrived (after DATA, AUTH and STARTTLS), the octets of
the client are held until it arrives. An entry therefore appears when its meaning is known, which may be later
than the octets were sent if the client pipelines.

The octets of both directions have to be recorded in the order in which they travel. How they are cut into
pieces does not matter.

**What is not shown:**

* *Secrets.* Of AUTH only the mechanism is shown, and only a known one, because users have typed the password
  in its place. Lines of an exchange are shown as ``***``. So are challenges, except the two prompts of LOGIN,
  because those of CRAM-MD5 and others help to guess the password offline. If a server refuses AUTH, responses
  that the client has already sent arrive as commands, so after AUTH a line is shown only if it begins with a
  known verb. Servers also repeat what they do not understand: the text of a reply is shown as ``***`` if it
  contains a piece of a secret, or a whole password that the server has decoded (the end of a PLAIN message, a
  response of LOGIN after the first, an argument of ``hide()``). The recorder keeps hashes for this, never the
  octets.
* *Content*, unless ``content=True``: one entry gives its number of octets.
* *The TLS handshake*, if its octets are recorded.
* *Control characters*, which a terminal might obey: they are written as ``\\x1b``.

In doubt less is shown. If the client sends a megabyte before a reply arrives, the dialogue cannot be followed,
and nothing that the client sends is shown from there on. The same rules apply to lines that are unfinished when
the connection ends.

A line of a client ends in CRLF (RFC 5321 2.3.8). If a client sends bare LFs, only the replies are shown until
the end. Servers that end their lines in a bare LF are understood.
"""

from __future__ import annotations

from ._entry import SHOWN_LINE_LENGTH, Entry, format_entry, log_to
from ._recorder import Transcript

__all__ = ["SHOWN_LINE_LENGTH", "Entry", "Transcript", "format_entry", "log_to"]

for _public in (Entry, Transcript, format_entry, log_to):
    _public.__module__ = __name__
