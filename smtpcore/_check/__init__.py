"""The conformance check of foreign servers and clients: ``python3 -m smtpcore check``.

**The problem.** A server or client of another project is to be observed exactly, broken ones included. Our own
connections are of no use for that: they refuse to send what is wrong, and end the session at a reply that is.

**The design.** A check is a value (:class:`.table.Check`): a requirement id, its RFC section, one sentence, and
a function. The function gets a session: a blocking socket with a line reader of its own (:mod:`.wire`) that
records every octet. It returns, or raises a verdict. The files in ``server`` and ``client`` hold the checks,
one file for each subject; :mod:`.runner` runs them, each on a connection of its own, and :mod:`.report`
writes the outcomes. Checks of extensions are derived from :class:`smtpcore.extensions.Extension` values
(``server/extensions.py``), so a new extension is checked without a change here.

**Silence** is expensive to observe, so no check waits for it where a later command can prove it: QUIT is
answered with 221, and any reply before that 221 was not owed.
"""
