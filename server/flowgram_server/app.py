"""The server's composition and life cycle: everything is opened in order, and closed in reverse.

    host (its store, its node types) -> gRPC server -> REST gateway

Shutting down. The first signal drains: health says NOT_SERVING, no task is accepted any more, watches end with UNAVAILABLE,
and what runs gets the grace period. What has not ended then goes on after the next start. A second signal ends at once, and
so does the first one while the server starts. What does not end then within seconds is ended by force.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from typing import Final, NamedTuple

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc

from flowgram_core import IS_COMPILED
from flowgram_core.concurrency.clock import Clock, SystemClock
from flowgram_core.concurrency.supervision import run_forever
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.nodes.errors import NodeTypeUnusable
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.temporal.errors import TemporalError
from flowgram_server.address import AddressUnusable, address_of, host_and_port
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.descriptors import raise_limit, watch_descriptors
from flowgram_server.gateway.embedded import bind_embedded, open_embedded
from flowgram_server.gc_tuning import tuned_gc
from flowgram_server.health_monitor import HealthMonitor
from flowgram_server.hosts import open_host
from flowgram_server.logs import configure_logs, json_lines
from flowgram_server.rpc.access_log import AccessLog
from flowgram_server.rpc.audit_calls import AuditedCalls
from flowgram_server.rpc.handlers import SERVICE_NAME, add_service
from flowgram_server.rpc.health import HealthServicer
from flowgram_server.rpc.observed_calls import ObservedServer
from flowgram_server.rpc.reflection import add_reflection
from flowgram_server.rpc.servicer import RuntimeServicer
from flowgram_server.security import Security, open_security
from flowgram_server.settings.server import Settings
from flowgram_server.shutdown_watchdog import ShutdownWatchdog
from flowgram_server.signal_watchdog import SignalWatchdog
from flowgram_server.stop_signals import StopSignals
from flowgram_server.telemetry.endpoint import bind_metrics, open_telemetry
from flowgram_server.telemetry.readiness import Readiness
from flowgram_server.telemetry.sources import Sources
from flowgram_server.telemetry.telemetry import Telemetry
from flowgram_server.telemetry.tracing import TracingUnusable
from flowgram_server.thread_switching import short_switch_interval

_CALL_GRACE: Final = 1.0
"""Seconds that calls get to end once the application has drained: their answers are on the way."""

_MAX_METADATA_BYTES: Final = 16 * 1024
"""Bytes of the names and values of a call's metadata, with 32 more for each; a call with more is RESOURCE_EXHAUSTED."""

_MAX_PENDING_CALLS: Final = 100_000

_REFUSED_WITH_A_REASON: Final = 1024 * 1024
"""Requests up to so many bytes beyond the limit are read, to be refused in the words of the contract."""

_HANDSHAKE_TIMEOUT_MS: Final = 10_000
_IDLE_TIMEOUT_MS: Final = 30 * 60 * 1000
"""Clients connect again by themselves; those that ask now and then do not notice."""

_log = structlog.get_logger(__name__)


class ListenError(Exception):
    """The server cannot listen where it should; the text is for operators."""


CANNOT_START: Final = (
    TracingUnusable,
    CredentialFileUnusable,
    ListenError,
    JournalUnavailable,
    NodeTypeUnusable,
    TemporalError,
)
"""Why a server does not start; the texts are for operators."""


class Server:
    """A server that is serving.

    Attributes:
        address: HOST:PORT, with the real port.
        application: What it serves.
        security: What protects its ports.
    """

    def __init__(
        self,
        address: str,
        application: TaskService,
        grpc_server: grpc.aio.Server,
        health_servicer: HealthServicer,
        security: Security,
        readiness: Readiness,
    ) -> None:
        self.address = address
        self.application = application
        self.security = security
        self._grpc_server = grpc_server
        self._health = health_servicer
        self._readiness = readiness

    async def drain(self, grace: float) -> None:
        """Ends what can be ended within so many seconds, and then serves no more."""
        self._readiness.drain()
        self._health.enter_graceful_shutdown()
        await self.application.drain(grace)
        await self._grpc_server.stop(min(grace, _CALL_GRACE))


@asynccontextmanager
async def open_server(
    settings: Settings,
    clock: Clock | None = None,
    own_ports: OwnPorts | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Server]:
    """A server on the running event loop, for as long as the block lasts. On leaving, calls are cut off: drain first.

    Args:
        settings: How.
        clock: Measures all times.
        own_ports: Other ports of this process, which workflows must not reach either.
        telemetry: What is notified of what it does.

    Raises:
        CredentialFileUnusable: A file of keys or certificates cannot be used.
        InvalidSettings: A setting is about a node type that there is not.
        JournalUnavailable: The journal cannot be opened.
        ListenError: The address cannot be listened on.
        NodeTypeUnusable: A node type of another package is none, or cannot be opened.
        TemporalError: Something keeps the server from using Temporal at all; that the cluster is away is no error.
    """
    clock, telemetry = clock or SystemClock(), telemetry or Telemetry()
    own_ports = own_ports or OwnPorts()
    own_ports.add(host_and_port(settings.listen)[1])
    secrets = Secrets(settings.secret_names)
    features = ("auth",) if settings.auth.enabled else ()
    async with (
        open_security(settings, clock) as security,
        open_host(settings, clock, own_ports, telemetry) as application,
    ):
        servicer = RuntimeServicer(application, clock, secrets, settings.service(), features)
        async with _serving(settings, application, servicer, security, clock, telemetry) as server:
            own_ports.add(host_and_port(server.address)[1])
            yield server


async def serve(
    settings: Settings,
    stops: StopSignals,
    on_ready: Callable[[Server], Awaitable[None]] | None = None,
) -> None:
    """Serves until it is asked to stop.

    Args:
        settings: How.
        stops: Tells when.
        on_ready: Called once the server answers.

    Raises:
        CredentialFileUnusable: A file of keys or certificates cannot be used.
        InvalidSettings: A setting is about a node type that there is not, or leaves the server open to strangers.
        JournalUnavailable: The journal cannot be opened.
        ListenError: The address cannot be listened on.
        NodeTypeUnusable: A node type of another package is none, or cannot be opened.
    """
    settings.check_exposure()
    started = asyncio.Event()
    with _listeners(settings) as listeners:
        serving = asyncio.create_task(_serve(settings, listeners, stops, started, on_ready), name="serve")
        stopping = asyncio.create_task(stops.first.wait(), name="first signal")
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if started.is_set():
                await asyncio.wait((serving,))
        finally:
            stopping.cancel()
            serving.cancel()  # nothing to drain yet, or it has ended
            await asyncio.wait((serving, stopping))
    if not serving.cancelled():
        serving.result()
    _log.info("stopped")


class _Listeners(NamedTuple):
    """The sockets that listen for HTTP, where it is wanted."""

    gateway: socket.socket | None
    metrics: socket.socket | None


@contextmanager
def _listeners(settings: Settings) -> Iterator[_Listeners]:
    with ExitStack() as stack:
        found = []
        for bind in (bind_embedded, bind_metrics):
            try:
                listener = bind(settings)
            except AddressUnusable as error:
                raise ListenError(str(error)) from None
            found.append(listener if listener is None else stack.enter_context(closing(listener)))
        yield _Listeners(*found)


async def _serve(
    settings: Settings,
    listeners: _Listeners,
    stops: StopSignals,
    started: asyncio.Event,
    on_ready: Callable[[Server], Awaitable[None]] | None,
) -> None:
    own_ports = OwnPorts(host_and_port(address_of(listener))[1] for listener in listeners if listener)
    async with (
        open_telemetry(listeners.metrics) as telemetry,
        open_server(settings, own_ports=own_ports, telemetry=telemetry) as server,
        open_embedded(
            settings, listeners.gateway, server.address, server.security, telemetry.readiness
        ) as gateway,
    ):
        started.set()
        _log.info(
            "serving",
            address=server.address,
            http=listeners.gateway and address_of(listeners.gateway),
            metrics=listeners.metrics and address_of(listeners.metrics),
            event_loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
            compiled=IS_COMPILED,
        )
        if lowered := settings.lowered_limits():
            _log.warning(
                "too few file descriptors for the limits of calls", descriptors=raise_limit(), **lowered
            )
        if on_ready is not None:
            await on_ready(server)
        await stops.first.wait()
        _log.info("draining", grace=settings.shutdown_grace)
        if gateway is not None:
            gateway.end_watches()
        await _drain(server, settings.shutdown_grace, stops)


async def _drain(server: Server, grace: float, stops: StopSignals) -> None:
    """Drains until that is done, or the second signal comes."""
    drain = asyncio.create_task(server.drain(grace), name="drain")
    second_signal = asyncio.create_task(stops.second.wait(), name="second signal")
    try:
        await asyncio.wait((drain, second_signal), return_when=asyncio.FIRST_COMPLETED)
    finally:
        drain.cancel()
        second_signal.cancel()
        await asyncio.wait((drain, second_signal))
    if not drain.cancelled():
        await drain


def run(settings: Settings, on_ready: Callable[[Server], Awaitable[None]] | None = None) -> None:
    """Serves in this process until SIGTERM or SIGINT. Raises as `serve` does."""
    configure_logs(settings.log_level, settings.log_format)

    watchdog = ShutdownWatchdog()

    async def main() -> None:
        stops = StopSignals(watchdog.begin)
        stops.listen()
        clock = SystemClock()
        watching = asyncio.create_task(watch_descriptors(raise_limit(), clock), name="descriptors")
        try:
            # Entered first: it needs the signal handlers, and outlives all that may hold the loop.
            with SignalWatchdog(settings.log_format):
                async with tuned_gc(clock):
                    await serve(settings, stops, on_ready)
        finally:
            watching.cancel()
            watchdog.begin()  # all is closed; but what was left alone may keep the event loop from ending

    try:
        with short_switch_interval(), asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(main())
    finally:
        watchdog.cancel()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's event loops, which do the same in less time, where there is a uvloop."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


@asynccontextmanager
async def _serving(
    settings: Settings,
    application: TaskService,
    servicer: RuntimeServicer,
    security: Security,
    clock: Clock,
    telemetry: Telemetry,
) -> AsyncIterator[Server]:
    observers = telemetry.call_observers
    if settings.access_log:
        only_faults = settings.log_level in {"warning", "error"}
        logger = structlog.get_logger("access").bind()
        observers.append(AccessLog(logger, only_faults=only_faults, lines=json_lines()))
    if security.audit is not None:
        observers.append(AuditedCalls(security.audit, SERVICE_NAME))
    readiness = telemetry.readiness
    telemetry.attach(Sources(watches=lambda: servicer.watches, serving=lambda: readiness.problem is None))
    max_connections = settings.max_connections or settings.connection_shares().grpc
    server = grpc.aio.server(options=_options(settings, max_connections))
    services = ObservedServer(server, observers)
    add_service(services, servicer, settings.service(), guard=security.guard)
    health_servicer = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, services)  # type: ignore[no-untyped-call]  # generated without types
    add_reflection(services, (SERVICE_NAME, health.SERVICE_NAME))
    try:
        if security.tls is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, security.tls.grpc_credentials())
        if security.private_target is not None:
            server.add_insecure_port(security.private_target)
    except RuntimeError:
        raise ListenError(f"cannot listen on {settings.listen}: is another server running there?") from None
    await server.start()
    monitor = HealthMonitor(health_servicer, application, clock, readiness)
    await monitor.look()
    monitoring = asyncio.create_task(run_forever("health", monitor.keep, clock), name="health")
    try:
        host = settings.listen.rpartition(":")[0]
        yield Server(f"{host}:{port}", application, server, health_servicer, security, readiness)
    finally:
        monitoring.cancel()
        await server.stop(None)
        if (lines := json_lines()) is not None:
            lines.flush()


def _options(settings: Settings, max_connections: int) -> list[tuple[str, int]]:
    return [
        # A request that is a little too large is refused by the handlers, with a reason; gRPC itself gives none.
        ("grpc.max_receive_message_length", settings.service().max_request_bytes + _REFUSED_WITH_A_REASON),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would share the calls between them, each with its own tasks.
        ("grpc.so_reuseport", 0),
        # Clients that ping every 10 seconds, also without calls, are welcome; the rest is for their clocks.
        ("grpc.http2.min_ping_interval_without_data_ms", 8_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Calls that come in a burst wait for the loop. Beyond 1,000 of them gRPC would cancel some at random.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # By default gRPC refuses metadata between 8 and 16 KB at random, so that clients notice that they are close.
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        # A watcher whose machine has vanished is noticed, and its call ends.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A peer that connects and says nothing, or says nothing any more, costs a descriptor.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
        ("grpc.http2.settings_timeout", _HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_connection_idle_ms", _IDLE_TIMEOUT_MS),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_concurrent_streams", settings.max_streams),
        # Calls that are begun and reset at once, again and again, cost the peer a ping each.
        ("grpc.http2.ping_on_rst_stream_percent", 10),
    ]
