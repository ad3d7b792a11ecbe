"""The operators' endpoint: `/metrics`, `/healthz` and `/readyz` over HTTP, on a port of their own."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flowgram_server.address import AddressUnusable, bind
from flowgram_server.http_listener import listening
from flowgram_server.quick_imports import quick_imports
from flowgram_server.settings.gateway import ConnectionLimits
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.probes import health_routes
from flowgram_server.telemetry.readiness import Readiness
from flowgram_server.telemetry.telemetry import Telemetry
from flowgram_server.telemetry.tracing import open_tracing

_log = structlog.get_logger(__name__)

_MAX_CONNECTIONS = 64
"""Connections of scrapers and probes at once."""

Exposition = Callable[[str], tuple[bytes, str]]
"""Gives the metrics, and their media type, for an `Accept` header."""


def bind_metrics(settings: Settings) -> socket.socket | None:
    """Where a server is to listen for scrapers and probes; None if it is not to.

    Where nobody asked for an address and the default one is taken, the server goes without, and says so.

    Raises:
        AddressUnusable: The address that was asked for cannot be listened on.
    """
    if not settings.metrics_listen:
        return None
    try:
        return bind(settings.metrics_listen)
    except AddressUnusable as error:
        if "metrics_listen" in settings.model_fields_set:
            raise
        _log.warning(
            "no metrics",
            reason=str(error),
            hint="--metrics-listen names another address; an empty one is none",
        )
        return None


@asynccontextmanager
async def open_telemetry(listener: socket.socket | None) -> AsyncIterator[Telemetry]:
    """The telemetry of a program while the block lasts: metrics where there is a listener, traces where the environment wants them.

    Raises:
        TracingUnusable: Traces are wanted, and cannot be made.
    """
    async with open_tracing() as tracing:
        if listener is None:
            yield Telemetry(tracing=tracing)
            return
        with quick_imports():
            from flowgram_server.telemetry.metrics import Metrics  # noqa: PLC0415 - costs a server without them nothing

        metrics = Metrics()
        telemetry = Telemetry(metrics, tracing)
        app = create_app(metrics.exposition, telemetry.readiness)
        with telemetry.measuring():
            async with listening(app, listener, grace=1, limits=ConnectionLimits(_MAX_CONNECTIONS)):
                yield telemetry


def create_app(exposition: Exposition, readiness: Readiness) -> Starlette:
    """The endpoint as an ASGI application."""

    async def metrics(request: Request) -> Response:
        body, media_type = exposition(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return Starlette(routes=[Route("/metrics", metrics), *health_routes(readiness)])
