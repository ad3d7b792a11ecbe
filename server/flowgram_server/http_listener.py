"""The HTTP server: serves an ASGI application on the running event loop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from flowgram_server.http_connection import bounded_connections
from flowgram_server.settings.gateway import ConnectionLimits

_GRACE = 2
"""Seconds that answers get to end where nothing else is said."""

_HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a peer gets for the handshake of TLS."""

_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept: clients that poll use it again."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to accept connections. With TLS, uvicorn itself gives a peer a minute for the handshake."""
        if self._tls is None:
            await super().startup(sockets)
            return
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=each,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT,
                backlog=self.config.backlog,
            )
            for each in sockets or ()
        ]
        self.started = True

    def _connection(self) -> asyncio.Protocol:
        connection: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as in uvicorn
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process that this server is a part of."""
        yield


@asynccontextmanager
async def listening(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace: int = _GRACE,
    limits: ConnectionLimits | None = None,
    tls: ssl.SSLContext | None = None,
    trusted_proxies: Collection[str] = (),
) -> AsyncIterator[None]:
    """Serves while the block lasts; then answers under way get `grace` seconds to end, and the socket is closed.

    Args:
        app: Answers the requests. Where a client has sent a certificate, `scope["state"]` has it; see `http_connection`.
        listener: Where to listen.
        grace: Seconds.
        limits: Bounds of the connections.
        tls: Encrypts them; None: they are not.
        trusted_proxies: Networks of proxies that are believed whom they forward a request for. Of others, nothing of the kind is
            believed, also from this machine: who calls would be free to say so.
    """
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
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=[*trusted_proxies],
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=grace,
        ),
        tls,
    )
    # Connections that come before it accepts them wait in the socket's backlog.
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
