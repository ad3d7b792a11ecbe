"""The lock that keeps a second server from opening the same journal."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.sqlite_errors import unavailable


class FileLock:
    """An exclusive lock beside the journal's file, held until `release` or the end of the process.

    SQLite's own locks are not used for this: they come and go with transactions, and operators may read the file
    while a server runs.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Takes the lock `<path>.lock`.

        Args:
            path: The journal's file.
            writes: Whether the lock is required, and created if it is missing. A reader goes without it where none
                can be created: nobody can write there.

        Raises:
            JournalUnavailable: Another server holds it, or it cannot be created.
        """
        lock = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(
                lock, (os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY) | os.O_CLOEXEC, 0o600
            )
        except FileNotFoundError as error:
            if writes:
                raise unavailable(path, error) from error
            return
        except OSError as error:
            raise unavailable(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JournalUnavailable(
                f"the journal {path} is in use by another server (process {owner or 'unknown'})"
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise unavailable(path, error) from error
        with suppress(OSError):  # informational: shown to an operator who finds the file locked
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Releases the lock. The file stays: deleting it would let two servers hold two locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
