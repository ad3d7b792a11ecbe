"""The private socket: by which the embedded gateway reaches its own server, and nobody else does.

It is a Unix socket in a folder that only this user may enter. So the server believes what comes by it of a caller, such as the
client certificate that the gateway's TLS has checked: no connection from outside can ever be one of this kind.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flowgram_server.auth.errors import CredentialFileUnusable

PRIVATE_PEER: Final = "unix:"
"""What gRPC says of where a call by it comes from; all others come from addresses."""

CERTIFICATE_KEY: Final = "flowgram-client-certificate-bin"
"""Metadata of a call by it: the client certificate of the caller, in DER."""

PEER_KEY: Final = "flowgram-peer"
"""Metadata of a call by it: HOST:PORT of the caller."""

_MAX_PATH: Final = 100
"""Characters; the system's limit is 103 or 107."""


@contextmanager
def private_socket() -> Iterator[str]:
    """Where to listen, as a gRPC target, for as long as the block lasts.

    Raises:
        CredentialFileUnusable: No such folder can be made.
    """
    try:
        folder = tempfile.mkdtemp(prefix="flowgram-")
    except OSError as error:
        raise CredentialFileUnusable(
            f"no folder for the gateway's socket can be made in {tempfile.gettempdir()}: {error.strerror}; "
            "TMPDIR names another place"
        ) from None
    try:
        path = Path(folder) / "grpc.sock"
        if len(str(path)) > _MAX_PATH:
            raise CredentialFileUnusable(f"{path}: too long for a socket's path; TMPDIR names another place")
        yield f"unix:{path}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
