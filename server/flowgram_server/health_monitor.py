"""The health monitor: keeps the health service up to date with the state of the host."""

from typing import Final

import structlog
from grpc_health.v1 import health_pb2

from flowgram_core.concurrency.clock import Clock
from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.rpc.health import HealthServicer
from flowgram_server.telemetry.readiness import Readiness

_log = structlog.get_logger(__name__)

_INTERVAL: Final = 2.0
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthMonitor:
    """Keeps the health of the runtime service up to date; that of the server as a whole (`""`) is SERVING until it drains.

    Args:
        servicer: The health service.
        application: Says whether tasks can be run and shown.
        clock: Measures the time between two looks.
        readiness: What HTTP probes are answered.
    """

    def __init__(
        self,
        servicer: HealthServicer,
        application: TaskService,
        clock: Clock,
        readiness: Readiness | None = None,
    ) -> None:
        self._readiness = readiness or Readiness()
        self._servicer = servicer
        self._application = application
        self._clock = clock
        self._serving: bool | None = None

    async def look(self) -> None:
        """Looks once, and tells where something has changed."""
        try:
            await self._application.check()
        except (JournalUnavailable, ShuttingDown) as error:
            serving = False
            if self._serving is not False:
                _log.error("not serving: %s", error)
        else:
            serving = True
            if self._serving is False:
                _log.info("serving again")
        if serving is not self._serving:
            self._serving = serving
            self._servicer.set(SERVICE_NAME, _SERVING if serving else _NOT_SERVING)
            self._readiness.set(None if serving else "not serving")

    async def keep(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL)
            await self.look()
