"""The composition of a gateway: its application and its HTTP server around a client of the service."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flowgram_client import RetryPolicy
from flowgram_client._raw import RawClient
from flowgram_server.auth.audit import AuditLog
from flowgram_server.gateway.app import create_app
from flowgram_server.gateway.console import FEATURE, read_bundle
from flowgram_server.gateway.endpoints import Endpoints
from flowgram_server.gateway.forwarding import Forwarding
from flowgram_server.gateway.host_check import AllowedHosts
from flowgram_server.gateway.sessions import SessionEndpoints, Sessions
from flowgram_server.http_listener import listening
from flowgram_server.settings.gateway import GatewaySettings
from flowgram_server.telemetry.readiness import Readiness

RETRY: Final = RetryPolicy(attempts=6)
"""How the client of a gateway retries: for some two seconds, because pages that poll give up at the first error."""


class Gateway:
    """A gateway that is serving."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def end_watches(self) -> None:
        """Ends all watches, and takes no new ones: their clients are to come back after the restart."""
        self._endpoints.stopping.set()


@asynccontextmanager
async def open_gateway(
    client: RawClient,
    listener: socket.socket,
    settings: GatewaySettings,
    *,
    forwards: bool = True,
    private: bool = False,
    tls: ssl.SSLContext | None = None,
    audit: AuditLog | None = None,
    readiness: Readiness | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway on the running event loop, for as long as the block lasts. On leaving, answers under way get a moment.

    Args:
        client: A client of the service.
        listener: Where it listens; it is closed at the end.
        settings: How it serves.
        forwards: Whether the credentials of callers are sent on to the service.
        private: Whether the service believes what the gateway says of a caller's certificate and address.
        tls: Encrypts what is sent; None: nothing is.
        audit: Where refusals of the gateway itself are written; None: nowhere.
        readiness: What probes are answered; None: that it is ready.
    """
    console = await asyncio.to_thread(read_bundle)
    endpoints = Endpoints(client, settings, features=(FEATURE,) if console else ())
    gateway = Gateway(endpoints)
    allowed_hosts = AllowedHosts(listener.getsockname()[0], settings.allowed_hosts)
    sessions = Sessions()
    app = create_app(
        endpoints,
        settings.cors_origins,
        allowed_hosts,
        console,
        readiness,
        SessionEndpoints(client, sessions),
        audit,
    )
    serving = Forwarding(app, sessions.authorization, private=private) if forwards else app
    async with listening(
        serving,
        listener,
        limits=settings.connections,
        tls=tls,
        trusted_proxies=settings.trusted_proxies,
    ):
        try:
            yield gateway
        finally:
            gateway.end_watches()
