"""The HTTP server: serves an ASGI application on the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from flowgram_server.http_connection import bounded_connections
from flowgram_server.settings.gateway import ConnectionLimits

_GRACE = 2
"""Seconds that answers get to end where nothing else is said."""

_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept: clients that poll use it again."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process that this server is a part of."""
        yield


@asynccontextmanager
async def listening(
    app: ASGIApp, listener: socket.socket, *, grace: int = _GRACE, limits: ConnectionLimits | None = None
) -> AsyncIterator[None]:
    """Serves while the block lasts; then answers under way get `grace` seconds to end, and the socket is closed."""
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            http=bounded_connections(limits or ConnectionLimits()),  # type: ignore[arg-type]  # it is only called
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=grace,
        )
    )
    # Connections that come before it accepts them wait in the socket's backlog.
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
