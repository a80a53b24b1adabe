"""The transcript: what was said on a connection, fit to be shown to anybody.

A :class:`Transcript` is given the octets of both directions as they travel, cut anywhere, and makes one
:class:`Entry` of each line::

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

First the seconds since the first entry. Then ``C`` for the client, ``S`` for the server, and ``--`` for what
is no octets at all. Then ``*`` under TLS and ``:`` in plaintext.

**It only listens.** It shares nothing with the connection classes and believes neither side: it works as
well for sessions of other software. From the octets alone it has to know what must not be shown, and that
takes a little SMTP. A line of a client is a command, a response within AUTH, or content, and which of these
is decided by the *replies*: behind DATA comes content if the answer is 354 and the next command if it is not.
So replies are matched to commands, in order. Where the next line depends on an answer that has not come
(behind DATA, AUTH and STARTTLS), the octets of the client wait for it, unseen. Thus an entry stands where
its meaning became known; for a client that pipelines, this may be a moment later than it was sent.

The order in which the octets of the two directions are handed over matters, how they are cut does not.

**What does not show:**

* *Secrets.* Of AUTH only the mechanism shows, if it is a known one: behind ``AUTH`` people have forgotten
  the mechanism and typed the password. Lines of an exchange are ``***``, and so are challenges, save for the
  two prompts of LOGIN: those of CRAM-MD5 and the like help to guess the password offline. A server may
  refuse AUTH while the client has already sent the rest, which then arrives as commands. So behind AUTH
  nothing is shown that does not begin with a known verb. Servers also echo what they do not understand: the
  text of a reply with a piece of a secret in it is ``***``, and so is one with a whole password that the server
  has decoded: the end of a PLAIN message, a response of LOGIN after the first, and whatever ``hide()`` was
  told. (To know these again, hashes are kept and never the octets.)
* *Content*, unless asked for: one entry tells how much of it there was.
* *The handshake of TLS*, should its octets pass by.
* *Anything a terminal might obey*, which is written out: ``\\x1b``.

When in doubt, it shows less. A client that cannot be followed (it sends a megabyte ahead of an answer) is
not shown any further. What is unfinished when the connection ends is shown by the same rules.

A line ends in CRLF for a client (RFC 5321 2.3.8): of one that sends bare LFs, only the replies show until
the end. Servers that end their lines in a bare LF are understood.
"""

from __future__ import annotations

from ._entry import SHOWN_LINE_LENGTH, Entry, format_entry, log_to
from ._recorder import Transcript

__all__ = ["SHOWN_LINE_LENGTH", "Entry", "Transcript", "format_entry", "log_to"]

for _public in (Entry, Transcript, format_entry, log_to):
    _public.__module__ = __name__
