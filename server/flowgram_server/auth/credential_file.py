"""Reading of files of keys and certificates, in bounded time and memory, whatever is at their place."""

import os
import stat
from pathlib import Path
from typing import Final

from flowgram_server.auth.errors import CredentialFileUnusable

_MAX_BYTES: Final = 16 * 1024 * 1024


def read_credentials(path: Path, max_bytes: int = _MAX_BYTES) -> bytes:
    """What a file holds.

    A pipe or a device is none: who reads them may wait for ever, and a key that is revoked meanwhile would stay valid.

    Raises:
        CredentialFileUnusable: It cannot be read, is no regular file, or is larger than so many bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CredentialFileUnusable(f"{path}: is no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CredentialFileUnusable(f"{path}: {error.strerror}") from None
    if len(data) > max_bytes:
        raise CredentialFileUnusable(f"{path}: has more than {max_bytes} bytes")
    return data
