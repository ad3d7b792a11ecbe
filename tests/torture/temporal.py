"""A Temporal cluster, two workers and two servers, of which one after the other is killed and started again, or stopped for a while."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import psutil
from tests.support.ports import lasting_port
from tests.support.temporal_server import BINARY
from tests.torture.history import split_events

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.journal.interface import TaskRecord

HEARTBEAT_TIMEOUT = 2.0
"""Short, so that calls are made again soon after a kill."""
_STOPPED = 1.5 * HEARTBEAT_TIMEOUT
"""So long a worker stands still: it counts as dead, its calls are made by the other one, and then it goes on where it was."""
_TIMEOUT = 120.0
_READ_TIMEOUT = 30.0
_LONGEST_LINE = 1 << 24
_REPORTED = {
    "not serving",  # the cluster was killed
    "waiting for Temporal",
    "temporal failed",
}
"""What servers and workers may say while the cluster is away."""


class _Part:
    """One process.

    Attributes:
        serving: Set once it has said that it serves.
    """

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str], ready: str) -> None:
        self.name = name
        self.serving = asyncio.Event()
        self.complaints: list[str] = []
        self.children: list[psutil.Process] = []
        self._command = command
        self._environment = environment
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        self.serving.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, **self._environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
        )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        assert self._listening is not None
        process, self._process = self._process, None
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            self.children += psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
        await self._listening
        return await process.wait()

    async def stand_still(self, seconds: float) -> None:
        """Stops it for so long, and lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if self._ready in text:
                self.serving.set()
            try:
                fields = json.loads(text)
            except ValueError:
                continue
            event = str(fields.get("event"))
            if fields.get("level") in {"error", "critical"} and not event.startswith(tuple(_REPORTED)):
                self.complaints.append(f"{self.name}: {text[:2000]}")


class TemporalProcesses:
    """All processes; the interface is that of one server's process.

    Attributes:
        target: Both servers, as gRPC names several addresses.
        seconds_to_start: How long the last start took.
    """

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        cluster, *servers = (f"127.0.0.1:{lasting_port()}" for _ in range(3))
        self.target = f"ipv4:{','.join(servers)}"
        self.seconds_to_start = 2.0
        self._started = 0.0
        self._killed = 0
        environment = {
            "FLOWGRAM_LOG_FORMAT": "json",
            "FLOWGRAM_ACCESS_LOG": "false",
            "FLOWGRAM_METRICS_LISTEN": "",  # the process with the default address would ask models for their usage, others not
            "FLOWGRAM_CODE__WORKERS": "1",
            "FLOWGRAM_SHUTDOWN_GRACE": "5",
            "FLOWGRAM_TEMPORAL__ADDRESS": cluster,
            "FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS": json.dumps({"torture": "A" * 43 + "="}),
            # Tasks go on soon after a kill; and there are many runs of a workflow for one task.
            "FLOWGRAM_TEMPORAL__HEARTBEAT_TIMEOUT": f"{HEARTBEAT_TIMEOUT:g}",
            "FLOWGRAM_TEMPORAL__STICKY_TIMEOUT": "1",
            "FLOWGRAM_TEMPORAL__HISTORY_EVENTS": "60",
        }
        port, file = cluster.rpartition(":")[2], str(data / "temporal.sqlite3")
        attributes = ["FlowgramLabels=KeywordList", "FlowgramCreated=Datetime", "FlowgramNamespace=Keyword"]
        flowgram = [sys.executable, "-m", "flowgram_server.cli"]
        serve = [*flowgram, "serve", "--runtime", "temporal", "--no-http", "--data", str(data)]
        self._cluster = _Part(
            "cluster",
            [str(BINARY), "--port", port, "--db-filename", file, "--until-stdin-closes"]
            + [argument for name in attributes for argument in ("--search-attribute", name)],
            {},
            "serving",
        )
        self._workers = [
            _Part(f"worker {index + 1}", [*flowgram, "worker"], environment, '"working"')
            for index in range(2)
        ]
        self._servers = [
            _Part(f"server {index + 1}", [*serve, "--listen", target], environment, '"serving"')
            for index, target in enumerate(servers)
        ]
        self._parts = [self._cluster, *self._servers, *self._workers]
        self._victims = [
            self._workers[0],
            self._servers[0],
            self._cluster,
            self._workers[1],
            self._servers[1],
        ]

    @property
    def complaints(self) -> list[str]:
        """What servers and workers logged as errors that they should not have met."""
        return [text for part in self._parts for text in part.complaints]

    @property
    def serving(self) -> bool:
        """Whether all of them have said that they serve."""
        return all(part.running and part.serving.is_set() for part in self._parts)

    async def start(self) -> None:
        """Starts those that do not run, and returns at once."""
        self._started = time.monotonic()
        for part in self._parts:
            if not part.running:
                await part.start()

    async def ready(self) -> None:
        """Returns once all serve."""
        async with asyncio.timeout(_TIMEOUT):
            for part in self._parts:
                await part.serving.wait()
        self.seconds_to_start = time.monotonic() - self._started

    async def kill(self) -> None:
        """Ends the next one in turn with SIGKILL. Each time round, before the last one, a worker stands still for a while."""
        victim = self._victims[self._killed % len(self._victims)]
        self._killed += 1
        if victim is self._victims[-1]:
            await self._workers[0].stand_still(_STOPPED)
        await victim.end(signal.SIGKILL)

    async def stop(self) -> int:
        """Asks servers and workers to end with SIGTERM; the first exit status that is not 0."""
        async with asyncio.timeout(_TIMEOUT):
            statuses = [
                await part.end(signal.SIGTERM) for part in (*self._servers, *self._workers) if part.running
            ]
        return next((status for status in statuses if status), 0)

    async def close(self) -> None:
        """Ends all that run."""
        for part in reversed(self._parts):
            if part.running:
                await part.end(signal.SIGKILL)

    def left_behind(self) -> list[int]:
        """Worker processes of killed workers that are still there after a while."""
        children = [child for part in self._parts for child in part.children]
        _, alive = psutil.wait_procs(children, timeout=10)
        return [child.pid for child in alive]

    async def logs(self, task_ids: Sequence[str]) -> dict[str, tuple[TaskRecord, list[bytes]]]:
        """The log of each task, read anew by each server: they must agree byte for byte."""
        found: dict[str, tuple[TaskRecord, list[bytes]]] = {}
        targets = self.target.removeprefix("ipv4:").split(",")
        for target in targets:
            async with grpc.aio.insecure_channel(target) as channel:
                stub = WorkflowRuntimeServiceStub(channel)
                watch = channel.unary_stream(
                    "/flowgram.runtime.v1.WorkflowRuntimeService/WatchTask",
                    request_serializer=service.WatchTaskRequest.SerializeToString,
                    response_deserializer=bytes,
                )
                for task_id in task_ids:
                    request = service.WatchTaskRequest(task_id=task_id)
                    events = [
                        event
                        async for response in watch(request, timeout=_READ_TIMEOUT)
                        for event in split_events(response)
                    ]
                    result = await stub.TaskResult(
                        service.TaskResultRequest(task_id=task_id), timeout=_READ_TIMEOUT
                    )
                    record = _record(task_id, result.status.status, len(events))
                    if found.setdefault(task_id, (record, events)) != (record, events):
                        raise AssertionError(f"two servers have different logs of {task_id}")
        return found


def _record(task_id: str, status: int, last_sequence: int) -> TaskRecord:
    return TaskRecord(task_id, 0, "", b"", {}, None, status, None, None, last_sequence, None, 0, b"", "")


@asynccontextmanager
async def temporal_processes(data: Path) -> AsyncIterator[TemporalProcesses]:
    """Processes that were not started yet; killed if they run at the end."""
    processes = TemporalProcesses(data)
    try:
        yield processes
    finally:
        await processes.close()
