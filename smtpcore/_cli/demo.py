"""``python3 -m smtpcore demo``: one real mail session, explained line by line, and its result, compared.

A client and a server of this package talk over loopback, with STARTTLS and AUTH. The client sends a message
with an attachment to two recipients, of whom the server knows one. The server stores it in a Maildir, in a
folder that is removed at the end. The lines of the client's transcript are printed, with the remarks of an
:class:`~smtpcore._cli.annotator.Annotator`.

At the end the stored file is compared: it has to consist of the two fields that the server adds and of the
content that was sent, octet by octet, and the attachment has to be the one that was attached. If it differs,
the exit code is 1.
"""

from __future__ import annotations

import email
import hashlib
import os
import ssl
import tempfile
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .. import sync
from .._core.addresses import ForwardPath
from .._core.config import ServerConfig
from ..maildir import MaildirHandler
from ..message import PreparedMessage, prepare_message
from ..sasl import Credentials
from ..transcript import Entry, Transcript, format_entry
from .annotator import Annotator
from .common import Colour, Failure, Printer, terminal_width
from .demo_certificate import INSECURE_LOCALHOST_PEM

if TYPE_CHECKING:
    from .._core.parameters import Parameters
    from .._net.session import ServerSession

Say = Callable[..., None]
USER, PASSWORD = "alice", "correct horse battery staple"
SENDER, KNOWN, UNKNOWN = "alice@client.example", "bob@demo.example", "nobody@demo.example"
ATTACHMENT = bytes(range(256)) * 64  # every octet there is
_COLOURS: dict[str, Colour] = {"C": "cyan", "S": "green", "*": "yellow"}
_SHOWN = 14  # lines of the stored message
_INDENT = " " * 12


class Postbox(MaildirHandler):
    """The handler of the server: it has one user and one recipient."""

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        return credentials.matches(PASSWORD if credentials.username == USER else None)

    def accept_recipient(
        self, session: ServerSession, forward_path: ForwardPath, parameters: Parameters
    ) -> bool:
        return str(forward_path) == KNOWN  # False is answered 550


def run(out: TextIO) -> int:
    """Run the demo.

    Args:
        out: The stream to print to.

    Returns:
        0 if the message arrived as it was sent, otherwise 1.
    """
    say = Printer(out, terminal_width(out)).say
    message = _message()
    prepared = prepare_message(message, recipients=[KNOWN, UNKNOWN])
    annotator = Annotator()

    failures: list[Failure] = []

    def show(entry: Entry) -> None:
        remark = annotator.annotate(entry)
        if failures:
            return
        try:
            say(format_entry(entry), _COLOURS[entry.direction], _INDENT)
            if remark is not None:
                say(f"{_INDENT}= {remark}", "dim", f"{_INDENT}  ")
        except Failure as failure:  # raised again later: a session only logs the errors of its transcript
            failures.append(failure)

    say("smtpcore demo: a real server and a real client, on loopback, for one message", "bold")
    say("C is the client, S the server, -- what happens around them; * is under TLS, : is in plaintext.")
    say("The certificate is INSECURE: its key is published with smtpcore. *** hides the password.\n")
    with tempfile.TemporaryDirectory(prefix="smtpcore-demo-") as folder:
        postbox = Postbox(Path(folder, "Maildir"))
        config = ServerConfig(auth_mechanisms=("PLAIN", "LOGIN"), require_auth=True)
        server_context, client_context = _contexts(Path(folder, "certificate.pem"))
        with (
            sync.serve(postbox, hostname="localhost", config=config, ssl_context=server_context) as listener,
            sync.connect(
                *listener.addresses[0],
                security="starttls",
                ssl_context=client_context,
                auth=(USER, PASSWORD),
                local_hostname="client.example",
                timeout=20,
                transcript=Transcript(sink=show),
            ) as client,
        ):
            result = client.send(prepared.sender, prepared.recipients, prepared.content)
        if failures:
            raise failures[0]
        say("\nResults of the client:", "bold")
        for one in result.results:
            say(f"  {one.recipient}: {'accepted' if one.accepted else 'refused'}, {one.reply}", indent="    ")
        files = sorted(path for path in postbox.path.rglob("*") if path.is_file())
        right = (result.accepted_recipients, list(result.refused_recipients)) == ((KNOWN,), [UNKNOWN]) and len(
            files
        ) == 1
        for path in files:
            right = _compare(path.read_bytes(), prepared, path.relative_to(postbox.path), say) and right
    say(f"identical: {'yes' if right else 'NO'}", "green" if right else "red")
    return 0 if right else 1


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Alice <{SENDER}>"
    message["To"] = f"Bob <{KNOWN}>"
    message["Subject"] = "A message from smtpcore, déjà vu"
    message["Date"] = "Wed, 01 Jan 2020 12:00:00 +0000"
    message["Message-ID"] = "<demo@client.example>"
    message.set_content("Hello Bob,\n\nthe next line begins with a dot, which SMTP has to hide:\n.\n")
    message.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="octets.bin")
    return message


def _contexts(pem: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server with the certificate, and of a client that trusts and verifies it."""
    descriptor = os.open(pem, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(INSECURE_LOCALHOST_PEM)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def _compare(stored: bytes, sent: PreparedMessage, name: Path, say: Say) -> bool:
    """Show a stored file, and return whether it is the message."""
    say(f"\nStored as {name.parent}/{name.name}:", "bold")
    lines = stored.decode("utf-8", "replace").splitlines()
    for line in lines[:_SHOWN]:
        say(f"  {line}", indent="    ")
    say(f"  [{len(lines) - _SHOWN} more lines]\n")
    trace, content = stored[: -len(sent.content)], stored[-len(sent.content) :]
    fields = email.message_from_bytes(trace, policy=default).keys()
    say(f"added by the server: {' and '.join(fields)}, {len(trace)} octets (RFC 5321 4.4)")
    attached = [
        part.get_content() for part in email.message_from_bytes(stored, policy=default).iter_attachments()
    ]
    same_message = _same("message", sent.content, content, say)
    same_attachment = _same("attachment", ATTACHMENT, b"".join(attached), say)
    return same_message and same_attachment and fields == ["Return-Path", "Received"]


def _same(what: str, sent: bytes, stored: bytes, say: Say) -> bool:
    for verb, octets in (("sent", sent), ("stored", stored)):
        digest = hashlib.sha256(octets).hexdigest()
        say(f"{what:10} {verb:6} {len(octets):6} octets, sha256 {digest}", indent="  ")
    return sent == stored
