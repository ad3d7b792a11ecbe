"""The health monitor: what gRPC's health service and HTTP probes learn of the state of the host."""

from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from support.fakes import FakeClock

from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_server.health_monitor import HealthMonitor
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.rpc.health import HealthServicer
from flowgram_server.telemetry.readiness import Readiness

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Host:
    """A host that can be used, or not."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


async def statuses(servicer: HealthServicer) -> tuple[Any, Any]:
    """Of the runtime service, and of the server as a whole."""
    requests = (health_pb2.HealthCheckRequest(service=name) for name in (SERVICE_NAME, ""))
    found = [(await servicer.Check(request, None)).status for request in requests]  # type: ignore[arg-type]  # not used
    return found[0], found[1]


@pytest.mark.parametrize("error", [JournalUnavailable("full"), ShuttingDown()])
async def test_a_host_that_cannot_be_used_for_a_while(error: Exception) -> None:
    """The runtime service is NOT_SERVING and unready, the server as a whole is not; both are back with the host."""
    host, servicer, readiness = Host(), HealthServicer(), Readiness()
    monitor = HealthMonitor(servicer, host, FakeClock(), readiness)  # type: ignore[arg-type]  # has what is used
    assert readiness.problem == "starting"
    for _ in range(2):
        host.error = None
        await monitor.look()
        assert (await statuses(servicer), readiness.problem) == ((SERVING, SERVING), None)
        host.error = error
        await monitor.look()
        assert (await statuses(servicer), readiness.problem) == ((NOT_SERVING, SERVING), "not serving")


async def test_draining_is_for_good() -> None:
    """Whatever becomes of the host: no name serves any more, and nothing is ready."""
    host, servicer, readiness = Host(), HealthServicer(), Readiness()
    monitor = HealthMonitor(servicer, host, FakeClock(), readiness)  # type: ignore[arg-type]  # as above
    await monitor.look()
    readiness.drain()
    servicer.enter_graceful_shutdown()
    host.error = JournalUnavailable("full")
    await monitor.look()
    host.error = None
    await monitor.look()
    assert (await statuses(servicer), readiness.problem) == ((NOT_SERVING, NOT_SERVING), "draining")
