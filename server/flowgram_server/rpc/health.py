"""The health service (grpc.health.v1), with a bound on its watchers, none of whom can hold up another or a shutdown."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowgram_server.rpc.grpc_types import Context

ServingStatus = health_pb2.HealthCheckResponse.ServingStatus

_MAX_WATCHERS: Final = 1000


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says which services can be used now.

    Args:
        max_watchers: So many calls of Watch may be open; one more is RESOURCE_EXHAUSTED.
    """

    def __init__(self, max_watchers: int = _MAX_WATCHERS) -> None:
        self._statuses: dict[str, ServingStatus] = {"": health_pb2.HealthCheckResponse.SERVING}
        self._changed = asyncio.Event()
        self._max_watchers = max_watchers
        self._watchers = 0
        self._shutting_down = False

    def set(self, service: str, status: ServingStatus) -> None:
        """Sets the status of a service. During a shutdown it stays NOT_SERVING."""
        if not self._shutting_down and self._statuses.get(service) != status:
            self._statuses[service] = status
            self._notify()

    def enter_graceful_shutdown(self) -> None:
        """Says of all services, for good, that they are not serving."""
        for service in self._statuses:
            self._statuses[service] = health_pb2.HealthCheckResponse.NOT_SERVING
        self._shutting_down = True
        self._notify()

    async def Check(  # noqa: N802 - the name is the contract's
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a service now; NOT_FOUND if there is no such service."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - as above
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a service, now and whenever it has changed; of an unknown one SERVICE_UNKNOWN."""
        if self._watchers >= self._max_watchers:
            text = f"{self._watchers} clients watch the health of this server: no more may"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._watchers += 1
        sent: ServingStatus | None = None
        try:
            while True:
                changed = self._changed
                status = self._statuses.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
                if status != sent:
                    sent = status
                    yield health_pb2.HealthCheckResponse(status=status)
                else:
                    await changed.wait()
        finally:
            self._watchers -= 1

    async def List(  # noqa: N802 - as above
        self,
        request: Any,  # noqa: ARG002 - it has no fields
        context: Context,  # noqa: ARG002 - nothing can go wrong
    ) -> Any:
        """The status of all services. Releases of the library that do not know the method never call it."""
        return health_pb2.HealthListResponse(
            statuses={
                service: health_pb2.HealthCheckResponse(status=status)
                for service, status in self._statuses.items()
            }
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
