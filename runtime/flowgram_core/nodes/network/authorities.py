"""The certificate authorities that TLS connections trust, as files."""

import os
import platform
import ssl
from pathlib import Path
from typing import Final, NamedTuple

_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
"""Where Linux distributions keep the system's authorities in one file."""


class Authorities(NamedTuple):
    """Where to find the trusted authorities.

    Attributes:
        file: A PEM file.
        directory: A directory of PEM files, named by their hashes as `openssl rehash` does.
        is_native: Ask the operating system instead (macOS).
    """

    file: str | None = None
    directory: str | None = None
    is_native: bool = False


def find_authorities(*, ca_file: str | None = None, trust_env: bool) -> Authorities:
    """Those of the PEM file, else those that the environment names if it is trusted, else the system's."""
    if ca_file is not None:
        return Authorities(file=ca_file)
    if trust_env and (file := os.environ.get("SSL_CERT_FILE")):
        return Authorities(file=file)
    if trust_env and (directory := os.environ.get("SSL_CERT_DIR")):
        return Authorities(directory=directory)
    if platform.system() == "Darwin":
        return Authorities(is_native=True)
    paths = ssl.get_default_verify_paths()
    # One file is read once and kept; of a directory, files are read for each connection.
    for candidate in (paths.openssl_cafile, *_BUNDLES):
        if Path(candidate).is_file():
            return Authorities(file=candidate)
    return Authorities(directory=paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None)
