"""The embedded gateway: it runs in the server's process, and calls the server over gRPC like any other client."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from flowgram_server.address import AddressUnusable, bind, from_within
from flowgram_server.quick_imports import quick_imports
from flowgram_server.security import Security
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.readiness import Readiness

if TYPE_CHECKING:
    from flowgram_server.gateway.serve import Gateway

_log = structlog.get_logger(__name__)

_MOST_STREAM_CONNECTIONS = 64


def bind_embedded(settings: Settings) -> socket.socket | None:
    """Where the gateway of a server is to listen; None if there is to be none.

    Where nobody asked for an address and the default one is taken, the server goes without a gateway, and says so.

    Raises:
        AddressUnusable: The address that was asked for cannot be listened on.
    """
    if not settings.http_listen:
        return None
    try:
        return bind(settings.http_listen)
    except AddressUnusable as error:
        if "http_listen" in settings.model_fields_set:
            raise
        _log.warning(
            "no REST gateway", reason=str(error), hint="--http names another address, --no-http none"
        )
        return None


@asynccontextmanager
async def open_embedded(
    settings: Settings,
    listener: socket.socket | None,
    address: str,
    security: Security,
    readiness: Readiness,
) -> AsyncIterator["Gateway | None"]:
    """The gateway of a server, for as long as the block lasts.

    Args:
        settings: Those of the server.
        listener: Where it listens; None: there is none.
        address: Where the server listens.
        security: What protects the ports.
        readiness: Whether the server can be given work.
    """
    if listener is None:
        yield None
        return
    with quick_imports():  # costs a server without it nothing, and keeps none from listening for gRPC first
        from flowgram_client._raw import RawClient  # noqa: PLC0415
        from flowgram_server.gateway.forwarding import forwarded  # noqa: PLC0415
        from flowgram_server.gateway.serve import RETRY, open_gateway  # noqa: PLC0415

    client = RawClient(
        security.private_target or from_within(address),
        retry=RETRY,
        # As many watches as there may be, whatever else there is.
        stream_connections=min(settings.max_watches // settings.max_streams + 1, _MOST_STREAM_CONNECTIONS),
        # A proxy of the environment leads out of this machine, under whatever name the server listens.
        options=(("grpc.enable_http_proxy", 0),),
        call_metadata=None if security.guard is None else forwarded.get,
    )
    tls = None if security.tls is None else security.tls.http_context()
    async with (
        client,
        open_gateway(
            client,
            listener,
            settings.gateway(),
            forwards=security.guard is not None,
            private=security.private_target is not None,
            audit=security.audit,
            tls=tls,
            readiness=readiness,
        ) as gateway,
    ):
        yield gateway
