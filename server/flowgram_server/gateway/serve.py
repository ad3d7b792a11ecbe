"""The gateway as a whole: its client of the service, its application and its HTTP server, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from flowgram_client import AsyncClient, RetryPolicy
from flowgram_server.gateway.app import LOOPBACK, create_app
from flowgram_server.gateway.endpoints import Endpoints
from flowgram_server.gateway.listener import listening

PATIENCE: Final = RetryPolicy(attempts=6)
"""So long a request waits for a service that is away, some two seconds: pages that poll give up at the first error."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway serves.

    Attributes:
        listen: HOST:PORT; port 0 takes any that is free.
        cors_origins: The origins whose pages may use it; `*` stands for all, `loopback` for those on this machine.
        max_body_bytes: No request body is larger.
        heartbeat: Seconds of silence after which a watch sends a comment.
    """

    listen: str = "127.0.0.1:4000"
    cors_origins: frozenset[str] = frozenset({LOOPBACK})
    max_body_bytes: int = 64 * 1024 * 1024
    heartbeat: float = 15.0


class Gateway:
    """A gateway that is serving.

    Attributes:
        address: HOST:PORT, with the real port.
    """

    def __init__(self, address: str, endpoints: Endpoints) -> None:
        self.address = address
        self._endpoints = endpoints

    def end_watches(self) -> None:
        """Ends all watches, and takes no new ones: their clients are to come back after the restart."""
        self._endpoints.stopping.set()


@asynccontextmanager
async def open_gateway(
    target: str, settings: GatewaySettings, retry: RetryPolicy = PATIENCE
) -> AsyncIterator[Gateway]:
    """A gateway on the running event loop, for as long as the block lasts. On leaving, answers under way get a moment.

    Args:
        target: HOST:PORT of the service.
        settings: How it serves.
        retry: How long requests wait for a service that is away.

    Raises:
        OSError: The address cannot be listened on.
    """
    async with AsyncClient(target, retry=retry) as client:
        endpoints = Endpoints(client, max_body_bytes=settings.max_body_bytes, heartbeat=settings.heartbeat)
        app = create_app(endpoints, settings.cors_origins)
        async with listening(app, settings.listen) as address:
            gateway = Gateway(address, endpoints)
            try:
                yield gateway
            finally:
                gateway.end_watches()
