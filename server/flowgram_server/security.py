"""What protects the ports of a server: its guard of calls, its certificates and the gateway's private socket.

All is read as the settings say, and read again when files change.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import run_forever
from flowgram_server.auth.api_keys import APIKeys, read_keys
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.file_watch import WatchedFiles
from flowgram_server.auth.private_socket import private_socket
from flowgram_server.auth.tls import ServerTLS
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.settings.security import Auth
from flowgram_server.settings.server import Settings


class Security(NamedTuple):
    """What protects the ports of a server.

    Attributes:
        guard: Lets calls through; None: everybody may call.
        tls: The certificates of the ports; None: they are not encrypted.
        private_target: Where the embedded gateway reaches the server, as a gRPC target; None: by its port, like others.
    """

    guard: CallGuard | None
    tls: ServerTLS | None
    private_target: str | None


@asynccontextmanager
async def open_security(settings: Settings, clock: Clock) -> AsyncIterator[Security]:
    """What protects the ports of a server, kept up to date for as long as the block lasts.

    Raises:
        CredentialFileUnusable: A file of keys or certificates cannot be used.
    """
    watched: list[WatchedFiles] = []
    tls = None
    if settings.tls.files is not None:
        tls = ServerTLS(settings.tls.files)
        watched.append(WatchedFiles(settings.tls.files.paths, tls.load, clock))
    authenticator = None
    if settings.auth.enabled:
        authenticator = _authenticator(settings.auth, clock, watched)
    for files in watched:
        files.read()
    guard = None if authenticator is None else CallGuard(authenticator, FailureDelay(clock))
    private = settings.http_listen and (guard is not None or tls is not None)
    with private_socket() if private else nullcontext() as target:
        async with _kept(watched, clock):
            yield Security(guard, tls, target)


def _authenticator(settings: Auth, clock: Clock, watched: list[WatchedFiles]) -> Authenticator:
    """The authenticator, which knows nobody before the files that are to be watched have been read."""
    authenticator = Authenticator(clock)
    path = settings.api_keys_file
    if path is not None:

        def load() -> Callable[[], object]:
            return partial(authenticator.replace_keys, APIKeys(read_keys(path)))

        watched.append(WatchedFiles([path], load, clock))
    return authenticator


@asynccontextmanager
async def _kept(watched: Sequence[WatchedFiles], clock: Clock) -> AsyncIterator[None]:
    watching = [
        asyncio.create_task(run_forever("file watch", files.keep, clock), name="file watch")
        for files in watched
    ]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
