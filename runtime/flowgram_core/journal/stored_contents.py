"""The contents of tasks as the SQLite journal stores them: as they are, or sealed.

Contents are schemas, inputs, causes, events and results. Each is sealed with associated data of its own, and can be read whether it
was sealed or not: a file may have been begun without encryption, or be continued without it.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Final

from flowgram_core.journal.associated_data import proof_associated_data
from flowgram_core.journal.encryption import (
    KeyMissing,
    Keys,
    NotDecrypted,
    Sealer,
    is_sealed,
    unseal,
)
from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable, JournalUndecipherable
from flowgram_core.journal.transaction import transaction

_logger = logging.getLogger(__name__)

_PROOF: Final = b"flowgram"
"""What is sealed with each key that a file was encrypted with, so that a wrong key is found at once."""
_PROOFS: Final = "SELECT name, proof FROM encryption_keys"
_ADD_PROOF: Final = "INSERT INTO encryption_keys (name, proof) VALUES (?, ?)"


class ContentReader:
    """Reads stored contents.

    Args:
        keys: Those that may be needed.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        self._keys = keys or Keys({})

    def text(self, value: object, associated_data: str, what: str) -> str:
        """A text; see `content`."""
        if isinstance(value, str):
            return value
        opened = self.content(value, associated_data, what)
        try:
            return opened.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise _damaged(what) from None

    def content(self, value: object, associated_data: str, what: str) -> bytes:
        """A content.

        Args:
            value: As it is stored.
            associated_data: With which it was sealed.
            what: Names it in errors: "the inputs of task 'x'".

        Raises:
            JournalDamaged: It is not what was written.
            JournalUndecipherable: It needs a key that is not there.
        """
        if not isinstance(value, bytes):
            raise _damaged(what)
        if not is_sealed(value):
            return value
        try:
            return unseal(self._keys, value, associated_data)
        except KeyMissing as error:
            raise JournalUndecipherable(f"{what} cannot be read: {error}") from None
        except NotDecrypted:  # the key is right: that was looked at when the file was opened
            raise _damaged(what) from None


def _damaged(what: str) -> JournalDamaged:
    return JournalDamaged(f"the journal is damaged: {what} is not what was written")


def check_keys(connection: sqlite3.Connection, path: Path, keys: Keys | None, *, writable: bool) -> None:
    """Compares keys with those that a file was encrypted with, and records the one that it is encrypted with from now on.

    A key that is missing is logged: what was encrypted with it cannot be read, and all else can.

    Raises:
        JournalUnavailable: A key is not the one of that name with which the file was encrypted.
        sqlite3.Error: It cannot be read or written.
    """
    proofs = dict(connection.execute(_PROOFS).fetchall())
    keys = keys or Keys({})
    for name in keys.names:
        if (proof := proofs.get(name)) is not None and not _is_proof(keys, proof, name):
            raise JournalUnavailable(
                f"the encryption key {name!r} is not the one of that name with which the journal {path} was encrypted"
            )
    if missing := sorted(proofs.keys() - keys.names):
        _logger.warning(
            "the journal %s was encrypted with keys that are not given: %s; what is encrypted with them cannot be read",
            path,
            ", ".join(missing),
        )
    if keys and writable and keys.names[0] not in proofs:
        with transaction(connection):
            connection.execute(
                _ADD_PROOF, (keys.names[0], Sealer(keys).seal(_PROOF, proof_associated_data(keys.names[0])))
            )


def _is_proof(keys: Keys, proof: bytes, name: str) -> bool:
    try:
        return unseal(keys, proof, proof_associated_data(name)) == _PROOF
    except (KeyMissing, NotDecrypted):
        return False
