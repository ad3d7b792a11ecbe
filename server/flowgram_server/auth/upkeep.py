"""Background refreshes while a program runs: files of keys and certificates are read again when they change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import run_forever
from flowgram_server.auth.file_watch import WatchedFiles


class Upkeep:
    """What is kept up to date while the server runs.

    Args:
        clock: Measures times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._work: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def watch(self, paths: Sequence[Path], load: Callable[[], Callable[[], object]]) -> None:
        """Reads files now, and again when they change. Raises `CredentialFileUnusable`."""
        files = WatchedFiles(paths, load, self._clock)
        files.read()
        self.run("file watch", files.keep)

    def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does some work in the background."""
        self._work.append((name, work))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Does it all, for as long as the block lasts."""
        tasks = [
            asyncio.create_task(run_forever(name, work, self._clock), name=name) for name, work in self._work
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
