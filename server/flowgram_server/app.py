"""The composition of the server, and its life: everything is opened in order, and closed in reverse.

    journal -> node types -> application -> gRPC server -> REST gateway

Shutting down. The first signal drains: health says NOT_SERVING, no task is accepted any more, watches end with UNAVAILABLE,
and what runs gets the grace period. What has not ended then goes on after the next start. A second signal ends at once, and
so does the first one while the server starts. What does not end then within seconds is ended by force.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from pathlib import Path
from typing import Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # public, and not declared so
from grpc_reflection.v1alpha import reflection

from flowgram.runtime.v1 import error_reason_pb2  # noqa: F401 - see where reflection is enabled
from flowgram_core.concurrency.clock import Clock, SystemClock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.embedded.application import Application
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.connection import Synchronous
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Journal
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.read_only import open_journal
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.errors import NodeTypeUnusable
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.registry import Registry, installed_node_types, pure_node_types
from flowgram_server.address import AddressUnusable, address_of
from flowgram_server.gateway.embedded import bind_embedded, open_embedded
from flowgram_server.gc_tuning import tuned_gc
from flowgram_server.logs import configure_logs
from flowgram_server.rpc.access_log import AccessLog
from flowgram_server.rpc.codec import Codec
from flowgram_server.rpc.handlers import SERVICE_NAME, add_service
from flowgram_server.rpc.servicer import RuntimeServicer
from flowgram_server.settings.server import Settings
from flowgram_server.shutdown_watchdog import ShutdownWatchdog
from flowgram_server.task_ids import TaskIDs

JOURNAL_FILE: Final = "journal.sqlite3"

_CALL_GRACE: Final = 1.0
"""Seconds that calls get to end once the application has drained: their answers are on the way."""

_MAX_PENDING_CALLS: Final = 100_000

_REFUSED_WITH_A_REASON: Final = 1024 * 1024
"""Requests up to so many bytes beyond the limit are read, to be refused in the words of the contract."""

_log = structlog.get_logger(__name__)


class ListenError(Exception):
    """The server cannot listen where it should; the text is for operators."""


CANNOT_START: Final = (ListenError, JournalUnavailable, NodeTypeUnusable)
"""Why a server does not start; the texts are for operators."""


class Server:
    """A server that is serving.

    Attributes:
        address: HOST:PORT, with the real port.
        application: What it serves.
    """

    def __init__(
        self,
        address: str,
        application: TaskService,
        grpc_server: grpc.aio.Server,
        servicer: health_aio.HealthServicer,
    ) -> None:
        self.address = address
        self.application = application
        self._grpc_server = grpc_server
        self._health = servicer

    async def drain(self, grace: float) -> None:
        """Ends what can be ended within so many seconds, and then serves no more."""
        await self._health.enter_graceful_shutdown()
        await self.application.drain(grace)
        await self._grpc_server.stop(min(grace, _CALL_GRACE))


@asynccontextmanager
async def open_server(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Server]:
    """A server on the running event loop, for as long as the block lasts. On leaving, calls are cut off: drain first.

    Raises:
        InvalidSettings: A setting is about a node type that there is not.
        JournalUnavailable: The journal cannot be opened.
        ListenError: The address cannot be listened on.
        NodeTypeUnusable: A node type of another package is none, or cannot be opened.
    """
    clock = clock or SystemClock()
    runtime = settings.runtime()
    secrets = Secrets(runtime.secret_names)
    fairness = FairScheduler()
    registry = Registry(
        (
            *pure_node_types(),
            LLMNode(settings.llm_settings(), time_slice=fairness.time_slice),
            HTTPNode(
                settings.http_settings(), time_slice=fairness.time_slice, secret_names=runtime.secret_names
            ),
            CodeNode(settings.code_settings()),
            *installed_node_types(),
        )
    )
    settings.check_node_types(registry.executors.keys())
    async with _opened_journal(settings) as journal, registry.opened():
        application = Application(
            journal=journal,
            codec=Codec(secrets),
            registry=registry,
            settings=runtime,
            clock=clock,
            new_task_id=TaskIDs(clock),
            fairness=fairness,
        )
        async with (
            application.opened(),
            _serving(
                settings, application, RuntimeServicer(application, clock, secrets, settings.service())
            ) as server,
        ):
            yield server


async def serve(
    settings: Settings,
    stops: "StopSignals",
    on_ready: Callable[[Server], Awaitable[None]] | None = None,
) -> None:
    """Serves until it is told to stop.

    Args:
        settings: How.
        stops: Tells when.
        on_ready: Called once the server answers.

    Raises:
        InvalidSettings: A setting is about a node type that there is not.
        JournalUnavailable: The journal cannot be opened.
        ListenError: The address cannot be listened on.
        NodeTypeUnusable: A node type of another package is none, or cannot be opened.
    """
    try:
        listener = bind_embedded(settings)
    except AddressUnusable as error:
        raise ListenError(str(error)) from None
    started = asyncio.Event()
    with nullcontext() if listener is None else closing(listener):
        serving = asyncio.create_task(_serve(settings, listener, stops, started, on_ready), name="serve")
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


async def _serve(
    settings: Settings,
    listener: socket.socket | None,
    stops: "StopSignals",
    started: asyncio.Event,
    on_ready: Callable[[Server], Awaitable[None]] | None,
) -> None:
    async with (
        open_server(settings) as server,
        open_embedded(settings, listener, server.address) as gateway,
    ):
        started.set()
        _log.info(
            "serving",
            address=server.address,
            http=listener and address_of(listener),
            event_loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )
        if on_ready is not None:
            await on_ready(server)
        await stops.first.wait()
        _log.info("draining", grace=settings.shutdown_grace)
        if gateway is not None:
            gateway.end_watches()
        await _drain(server, settings.shutdown_grace, stops)


async def _drain(server: Server, grace: float, stops: "StopSignals") -> None:
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


class StopSignals:
    """Requests to stop: the first one asks to drain, the second one to end at once.

    Args:
        on_second: Called at the second one and all after it.
    """

    def __init__(self, on_second: Callable[[], None] = lambda: None) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self._on_second = on_second

    def stop(self) -> None:
        """Asks once more."""
        if self.first.is_set():
            self.second.set()
            self._on_second()
        self.first.set()

    def listen(self, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        """Makes the process's signals ask."""
        loop = asyncio.get_running_loop()
        for number in signals:
            loop.add_signal_handler(number, self.stop)


def run(settings: Settings, on_ready: Callable[[Server], Awaitable[None]] | None = None) -> None:
    """Serves in this process until SIGTERM or SIGINT. Raises as `serve` does."""
    configure_logs(settings.log_level, settings.log_format)

    last_resort = ShutdownWatchdog()

    async def main() -> None:
        stops = StopSignals(last_resort.begin)
        stops.listen()
        try:
            async with tuned_gc(SystemClock()):
                await serve(settings, stops, on_ready)
        finally:
            last_resort.begin()  # all is closed; but what was left alone may keep the event loop from ending

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(main())
    finally:
        last_resort.cancel()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's event loops, which do the same in less time, where there is a uvloop."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


@asynccontextmanager
async def _opened_journal(settings: Settings) -> AsyncIterator[Journal]:
    journal: Journal = MemoryJournal()
    if settings.storage == "sqlite":
        journal = await _opened_file(Path(settings.data) / JOURNAL_FILE, settings.durability)
    try:
        yield journal
    finally:
        await journal.close()


async def _opened_file(path: Path, durability: Synchronous) -> Journal:
    """The journal in a file. Where the opening is cancelled, it is closed again, and then none has it."""
    opening = asyncio.create_task(open_journal(path, synchronous=durability))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(JournalUnavailable):
            await (await opening).close()
        raise


@asynccontextmanager
async def _serving(
    settings: Settings, application: TaskService, servicer: RuntimeServicer
) -> AsyncIterator[Server]:
    interceptors = [AccessLog(structlog.get_logger("access").bind())] if settings.access_log else []
    server = grpc.aio.server(options=_options(settings), interceptors=interceptors)
    add_service(server, servicer, settings.max_message_bytes)
    health_servicer = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)  # type: ignore[no-untyped-call]  # generated without types
    # Reflection tells of what was imported: the reasons of errors, too, which no method names.
    services = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(services, server)  # type: ignore[no-untyped-call]  # the library has no types
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError:
        raise ListenError(f"cannot listen on {settings.listen}: is another server running there?") from None
    await server.start()
    try:
        for name in ("", SERVICE_NAME):
            await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        host = settings.listen.rpartition(":")[0]
        yield Server(f"{host}:{port}", application, server, health_servicer)
    finally:
        await server.stop(None)


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        # A request that is a little too large is refused by the handlers, with a reason; gRPC itself gives none.
        ("grpc.max_receive_message_length", settings.max_message_bytes + _REFUSED_WITH_A_REASON),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would share the calls between them, each with its own tasks.
        ("grpc.so_reuseport", 0),
        # Clients that ping every 10 seconds, also without calls, are welcome; the rest is for their clocks.
        ("grpc.http2.min_ping_interval_without_data_ms", 8_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Calls that come in a burst wait for the loop. Beyond 1,000 of them gRPC would cancel some at random.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # A watcher whose machine has vanished is noticed, and its call ends.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
