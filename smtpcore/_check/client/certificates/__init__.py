"""INSECURE BY DESIGN: the certificates of the servers that are played, private keys included.

A client that verifies certificates has to trust ``authority.pem``, and then accepts ``valid.pem`` only. The key
of the authority was destroyed. The standard library can use certificates but not make them, so they are part of
the package; but for the expired one they are valid from 2020 to 2120.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, Literal

Certificate = Literal["valid", "wrong-name", "expired", "untrusted"]
"""``untrusted`` is for the right name, and has signed itself."""

_FOLDER: Final = Path(__file__).resolve().parent
AUTHORITY_PEM: Final = (_FOLDER / "authority.pem").read_text(encoding="ascii")
"""The certificate that a client has to trust."""


def context_of(certificate: Certificate) -> ssl.SSLContext:
    """Return a server's context with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_FOLDER / f"{certificate}.pem")
    return context
