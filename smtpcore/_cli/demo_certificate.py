"""INSECURE BY DESIGN: a certificate for ``localhost`` whose private key is published with smtpcore.

``python3 -m smtpcore demo`` shows STARTTLS from a plain checkout. The standard library can use certificates but
not make them, so this one is part of the package, for the demo and for ``smtpcore.testing``. **Its key is
public**, so every attacker has it: never put the certificate on a server, nor into a store of trusted
certificates. The client of the demo trusts this certificate only, for one connection over loopback. It is for
``localhost``, ``127.0.0.1`` and ``::1``, and valid from 2020 to 2120.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).resolve().parent.parent / "testing" / "insecure-localhost.pem"
INSECURE_LOCALHOST_PEM: Final = _FILE.read_text(encoding="ascii")
