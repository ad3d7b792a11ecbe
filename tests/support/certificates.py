"""A certificate for 127.0.0.1 and its key, made for a run of the tests."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

from support.toolchains import require


class Certificate(NamedTuple):
    """A certificate that signs itself.

    Attributes:
        file: In PEM; it is its own authority.
        key: In PEM.
    """

    file: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Of a server that has the certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.file, self.key)
        return context


def make_certificate(folder: Path) -> Certificate:
    """Makes one in a folder; skips the test where there is no openssl."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    subprocess.run(
        [
            *(
                require("openssl"),
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", made.key, "-out", made.file),
        ],
        check=True,
        capture_output=True,
    )
    return made
