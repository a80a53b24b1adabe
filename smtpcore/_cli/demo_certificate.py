"""INSECURE BY DESIGN: a certificate for ``localhost`` whose private key is published in this file.

``python3 -m smtpcore demo`` shows STARTTLS from a plain checkout. The standard library can use certificates but
not make them, so this one is part of the package. **Its key is public**, so every attacker has it: never put
the certificate on a server, nor into a store of trusted certificates. The client of the demo trusts this
certificate only, for one connection over loopback. It is for ``localhost``, ``127.0.0.1`` and ``::1``, and
valid from 2020 to 2120.
"""

from __future__ import annotations

from typing import Final

INSECURE_LOCALHOST_PEM: Final = """\
-----BEGIN CERTIFICATE-----
MIICODCCAd+gAwIBAgIUQmsoycvSlIv3qjrAx+XVww2ybfQwCgYIKoZIzj0EAwIw
SDEyMDAGA1UECgwpSU5TRUNVUkUgc210cGNvcmUgZGVtbzogdGhlIGtleSBpcyBw
dWJsaWMxEjAQBgNVBAMMCWxvY2FsaG9zdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIw
MDEwMTAwMDAwMFowSDEyMDAGA1UECgwpSU5TRUNVUkUgc210cGNvcmUgZGVtbzog
dGhlIGtleSBpcyBwdWJsaWMxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABN7iL/soYvpEaQt3lk0cop60M2BQ1LNVyB9WXb8eriDW
LBMHi+iIyvezVOJf5U2g4qqsvVo5/lfTNq8YF8eb8RajgaQwgaEwLAYDVR0RBCUw
I4IJbG9jYWxob3N0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAABMAwGA1UdEwEB/wQC
MAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQW
BBT5gLOtHD/wVonk5a0/Ztfe8L5PJzAfBgNVHSMEGDAWgBT5gLOtHD/wVonk5a0/
Ztfe8L5PJzAKBggqhkjOPQQDAgNHADBEAh9PyZScdXWoG25sL+FAuSqq8B5foxpl
73toH6Ksv5fUAiEAnc9X6a/Cq1p3YF3HhBdhahzIuDylb2f+Hihofcc08v4=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgO3yTM7Fq1N1XD7Sr
ZcaE7x/Gr//t7C7DclOtJjcu/yuhRANCAATe4i/7KGL6RGkLd5ZNHKKetDNgUNSz
VcgfVl2/Hq4g1iwTB4voiMr3s1TiX+VNoOKqrL1aOf5X0zavGBfHm/EW
-----END PRIVATE KEY-----
"""
