"""The opening of the guard of calls: reads keys as the settings say, and reads them again when they change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import run_forever
from flowgram_server.auth.api_keys import APIKeys, read_keys
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.file_watch import WatchedFiles
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.settings.security import Auth


@asynccontextmanager
async def open_guard(settings: Auth, clock: Clock) -> AsyncIterator[CallGuard | None]:
    """The guard of a server's calls, for as long as the block lasts; None where everybody may call.

    Raises:
        CredentialFileUnusable: A file of keys cannot be used.
    """
    if not settings.enabled:
        yield None
        return
    authenticator = Authenticator(clock)
    watched = []
    if settings.api_keys_file is not None:
        path = settings.api_keys_file

        def load() -> Callable[[], object]:
            return partial(authenticator.replace_keys, APIKeys(read_keys(path)))

        watched.append(WatchedFiles([path], load, clock))
    for files in watched:
        files.read()
    watching = [
        asyncio.create_task(run_forever("file watch", files.keep, clock), name="file watch")
        for files in watched
    ]
    try:
        yield CallGuard(authenticator, FailureDelay(clock))
    finally:
        for task in watching:
            task.cancel()
