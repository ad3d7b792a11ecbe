"""The HTTP server of an ASGI application, on the event loop that runs already."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

_GRACE = 2
"""Seconds that answers get to end."""

_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept: clients that poll use it again."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process that this server is a part of."""
        yield


@asynccontextmanager
async def listening(app: ASGIApp, listen: str) -> AsyncIterator[str]:
    """Serves while the block lasts; then answers under way get a moment to end. Gives HOST:PORT, with the real port.

    Args:
        app: What to serve.
        listen: HOST:PORT; port 0 takes any that is free.

    Raises:
        OSError: The address cannot be listened on.
    """
    host, _, port = listen.rpartition(":")
    listener = _socket(host, int(port))
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            http="h11",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    try:
        # Connections that come before it accepts them wait in the socket's backlog.
        yield f"{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def _socket(host: str, port: int) -> socket.socket:
    name = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    listener = socket.create_server((name, port), family=family)
    # Connections inherit both: events leave at once, and a client whose machine has vanished is noticed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listener
