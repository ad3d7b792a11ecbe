"""The file watch: notices when files of keys and certificates change, so that no restart is needed for them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.errors import CredentialFileUnusable

_INTERVAL: Final = 1.0
"""Seconds between two looks: so long what was revoked may still be valid."""

_State = tuple[int, ...] | None

_log = structlog.get_logger(__name__)


class WatchedFiles:
    """Files that belong together, such as a certificate and its key.

    Args:
        paths: The files.
        load: Reads them, in a thread of its own, and gives what is to be done with what they hold, on the event loop.
            Raises `CredentialFileUnusable` where they cannot be used: what was read before then stays.
        clock: Measures the time between two looks.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], Callable[[], object]], clock: Clock) -> None:
        self._paths = paths
        self._load = load
        self._clock = clock
        self._seen: list[_State] = []
        self._unread = False

    def read(self) -> None:
        """Reads them for the first time. Raises `CredentialFileUnusable`."""
        self._seen = self._states()
        self._load()()

    async def look(self) -> bool:
        """Reads them again if they have changed; whether that was done, and they could be used."""
        states = await asyncio.to_thread(self._states)
        if states == self._seen and not self._unread:
            return False
        # What changes while it is read is read again: its state is taken before.
        is_new, self._seen = states != self._seen, states
        names = ", ".join(map(str, self._paths))
        try:
            apply = await asyncio.to_thread(self._load)
        except CredentialFileUnusable as error:
            # It may be for a moment only, such as where there are too many open files: a key that was revoked must not stay for that.
            self._unread = True
            if is_new:
                _log.error("changed files cannot be used: what was read before stays", reason=str(error))
            return False
        self._unread = False
        apply()
        _log.info("files were read again", files=names)
        return True

    async def keep(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL)
            await self.look()

    def _states(self) -> list[_State]:
        return [_state(path) for path in self._paths]


def _state(path: Path) -> _State:
    """Changes whenever a file does, also where a link to it is set anew, as Kubernetes does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
