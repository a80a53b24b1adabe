"""What the interoperability tests share."""

from __future__ import annotations

import pytest
import trustme

from .ours import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    found = Certificates(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    authority.cert_pem.write_to_path(str(found.authority))
    issued.private_key_pem.write_to_path(str(found.key))
    for number, certificate in enumerate(issued.cert_chain_pems):
        certificate.write_to_path(str(found.chain), append=number > 0)
    return found
