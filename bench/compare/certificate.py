# SPDX-License-Identifier: BSD-3-Clause
"""The certificate of both relays in the parts with TLS: P-256, for 127.0.0.1, made for the run."""

import hashlib
import os
import ssl
import subprocess

from relays import HOST, RelayError

MAKE = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2").split()


class Certificate:
    """Named as derper wants it, in a folder of its own."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "certificate")
        self.chain = os.path.join(self.folder, HOST + ".crt")
        self.key = os.path.join(self.folder, HOST + ".key")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        command = MAKE + ["-subj", "/CN=" + HOST, "-addext", "subjectAltName=IP:" + HOST,
                          "-addext", "basicConstraints=critical,CA:FALSE",
                          "-keyout", self.key, "-out", self.chain]
        try:
            made = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
        except OSError as error:
            raise RelayError(f"openssl, which makes a certificate: {error}") from error
        if made.returncode != 0:
            raise RelayError(f"{' '.join(command)}\n{made.stdout.strip()}")
        with open(self.chain, encoding="ascii") as file:
            self.hash = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()

    def loader_options(self):
        """How hyper-derp-bench knows a relay that has it."""
        return {"tls": True, "pin": "sha256-raw:" + self.hash}
