"""A batch: many runs on one stream, accepted together, whose outcomes go out as they come.

A run holds a slot from when it is read until its outcome was taken by the client. Requests are read no further while no slot
is free: so a client that reads slowly slows down its own sending, and nothing piles up here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, cast

from flowgram.runtime.v1.runtime_service_pb2 import BatchRun, TaskRunBatchRequest, TaskRunRequest
from flowgram_core.concurrency.wake_up import WakeUp
from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.hosting.service import TaskRequest, TaskService
from flowgram_core.journal.interface import TaskRecord
from flowgram_server.rpc import tags
from flowgram_server.rpc.convert import arguments
from flowgram_server.rpc.convert.requests import task_request
from flowgram_server.rpc.errors import ArgumentInvalid, Violation
from flowgram_server.rpc.large_requests import LargeMessage, rest_of
from flowgram_server.rpc.rich_status import rich_status
from flowgram_server.rpc.wire import delimited, utf8

DEFAULT_IN_FLIGHT: Final = 256
MAX_IN_FLIGHT: Final = 4096
MAX_KEY: Final = 256

_RESPONSE_BYTES: Final = 256 * 1024
"""Outcomes are joined to responses of about this size."""
_ACCEPTED_TOGETHER: Final = 64
"""Runs that are accepted in one go: more gain nothing, and hold up the first one's outcome."""
_READ_AHEAD_BYTES: Final = 1024 * 1024
"""So much of the inputs of runs that wait to be accepted is read, or one run."""
_ACCEPTORS: Final = 2
"""Groups of runs that are accepted at once: while one becomes durable, the next one is checked."""


class BatchDefaults:
    """What the runs of a batch have in common; turns each run into a request of its own.

    Args:
        request: The first request of the stream.
        namespace: Whose tasks they are to be.

    Raises:
        ArgumentInvalid: It has no defaults, or they are out of their range.
    """

    def __init__(self, request: TaskRunBatchRequest, namespace: str) -> None:
        violations: arguments.Violations = []
        if not request.HasField("defaults"):
            violations.append(Violation("defaults", "is required in the first request"))
        if request.defaults.request_id:
            violations.append(Violation("defaults.request_id", "must be empty: every run has one of its own"))
        if not 0 <= request.max_in_flight <= 2**31 - 1:
            violations.append(
                Violation("max_in_flight", f"must not be negative, and is {request.max_in_flight}")
            )
        arguments.accept(violations)
        self.max_in_flight = min(request.max_in_flight or DEFAULT_IN_FLIGHT, MAX_IN_FLIGHT)
        self._defaults = request.defaults
        self._namespace = namespace
        self._base: TaskRequest | None = None
        if request.defaults.schema:
            try:
                self._base = task_request(request.defaults, namespace)
            except ArgumentInvalid as error:
                raise ArgumentInvalid(
                    *(Violation(f"defaults.{field}", text) for field, text in error.violations)
                ) from None

    def request_of(self, run: BatchRun) -> TaskRequest:
        """What one run asks for. Raises `ArgumentInvalid`."""
        own = run.request
        base = self._base
        if base is not None and not own.schema and {field.number for field, _ in own.ListFields()} <= _USUAL:
            inputs, request_id = own.inputs, own.request_id
            if len(request_id) > arguments.MAX_REQUEST_ID:
                violations: arguments.Violations = []
                arguments.short(violations, "request_id", request_id, arguments.MAX_REQUEST_ID)
                arguments.accept(violations)
            return TaskRequest(
                base.schema,
                inputs or base.inputs,
                request_id,
                base.timeout,
                base.labels,
                base.display_name,
                base.namespace,
            )
        merged = TaskRunRequest()
        merged.CopyFrom(rest_of(self._defaults))
        merged.MergeFrom(rest_of(own))
        texts = {"schema": own.schema or self._defaults.schema, "inputs": own.inputs or self._defaults.inputs}
        return task_request(cast("TaskRunRequest", LargeMessage(merged, texts)), self._namespace)


_USUAL: Final = frozenset(
    TaskRunRequest.DESCRIPTOR.fields_by_name[name].number for name in ("inputs", "request_id")
)
"""The numbers of the fields that runs set, mostly; with others the messages are merged."""


class Batch:
    """One batch on its way: reads runs, has them accepted, and hands out their outcomes. See `batch_stream` for its use.

    Args:
        first: The first request of the stream.
        requests: The others.
        application: Runs the tasks.
        namespace: Whose they are to be.
        encode: The serialized `TaskRunResponse` of a task that has terminated.

    Raises:
        ArgumentInvalid: The first request has no defaults, or they are not as they should be.
    """

    def __init__(
        self,
        first: TaskRunBatchRequest,
        requests: AsyncIterator[TaskRunBatchRequest],
        application: TaskService,
        namespace: str,
        encode: Callable[[TaskRecord], bytes],
    ) -> None:
        self._defaults = BatchDefaults(first, namespace)
        self._first = first
        self._requests = requests
        self._application = application
        self._namespace = namespace
        self._encode = encode
        self._free = self._defaults.max_in_flight
        self._in_flight = 0
        self._taken = 0  # outcomes of the response that the client is taking
        self._read_ahead: deque[BatchRun] = deque()
        self._read_ahead_bytes = 0
        self._arrived = asyncio.Event()
        self._idle_acceptors = 0
        self._ready: deque[bytes] = deque()
        self._news = WakeUp()
        self._room = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._acceptors: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to read and to accept."""
        self._reader = asyncio.create_task(self._read(), name="batch reader")
        self._acceptors = [
            asyncio.create_task(self._accept_all(), name="batch acceptor") for _ in range(_ACCEPTORS)
        ]
        for task in (self._reader, *self._acceptors):
            task.add_done_callback(lambda _: self._news.set())

    async def next_response(self) -> bytes | None:
        """The next serialized response; the one before has been taken. None: all runs have an outcome, and no more will come.

        Raises:
            ArgumentInvalid: A key is not as it should be, or defaults came again.
            ShuttingDown: The service ends before the tasks do. They go on after the next start.
        """
        reader = self._reader
        assert reader is not None  # noqa: S101 - it was started
        self._free += self._taken
        self._in_flight -= self._taken
        if self._taken:
            self._room.set()
        self._taken = 0
        while not self._ready:
            if self._failure is not None:
                raise self._failure
            for acceptor in self._acceptors:
                if acceptor.done():
                    acceptor.result()
            if reader.done():
                reader.result()
                if not self._in_flight:
                    return None
            await self._news.wait()
        return self._take()

    async def close(self) -> None:
        """Stops reading and accepting. The tasks go on."""
        left = [*self._acceptors, *self._waiting]
        if self._reader is not None:
            left.append(self._reader)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _take(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._ready and (not parts or size + len(self._ready[0]) <= _RESPONSE_BYTES):
            size += len(self._ready[0])
            parts.append(self._ready.popleft())
        self._taken = len(parts)
        return b"".join(parts)

    async def _read(self) -> None:
        await self._read_runs(self._first)
        async for request in self._requests:
            if request.HasField("defaults"):
                raise ArgumentInvalid(Violation("defaults", "may be in the first request only"))
            await self._read_runs(request)

    async def _read_runs(self, request: TaskRunBatchRequest) -> None:
        for run in request.runs:
            if len(run.key) > MAX_KEY:
                text = f"must have at most {MAX_KEY} characters, not {len(run.key)}"
                raise ArgumentInvalid(Violation("runs.key", text))
            while not self._free or self._is_far_ahead():
                self._room.clear()
                await self._room.wait()
            self._free -= 1
            self._in_flight += 1
            self._read_ahead.append(run)
            self._read_ahead_bytes += len(run.request.inputs)
            if self._idle_acceptors:
                self._arrived.set()

    def _is_far_ahead(self) -> bool:
        return len(self._read_ahead) >= _ACCEPTED_TOGETHER or self._read_ahead_bytes >= _READ_AHEAD_BYTES

    async def _accept_all(self) -> None:
        """Accepts what has come while the runs before were accepted, whatever messages it came in."""
        while True:
            while not self._read_ahead:  # another acceptor may have taken all
                self._arrived.clear()
                self._idle_acceptors += 1
                await self._arrived.wait()  # where it is cancelled, the batch ends
                self._idle_acceptors -= 1
            runs = list(self._read_ahead)
            self._read_ahead.clear()
            self._read_ahead_bytes = 0
            self._room.set()
            await self._accept(runs)

    async def _accept(self, runs: Sequence[BatchRun]) -> None:
        requests: list[TaskRequest] = []
        keys: list[str] = []
        for run in runs:
            try:
                requests.append(self._defaults.request_of(run))
            except ArgumentInvalid as error:
                self._reject(run.key, error)
            else:
                keys.append(run.key)
        outcomes = await self._application.run_many(requests)
        for key, outcome in zip(keys, outcomes, strict=True):
            if isinstance(outcome, ShuttingDown):
                self._fail(outcome)
            elif isinstance(outcome, Exception):
                self._reject(key, outcome)
            elif outcome.ended:
                self._finish(key, outcome)
            else:
                waiting = asyncio.create_task(self._wait(key, outcome.task_id))
                self._waiting.add(waiting)
                waiting.add_done_callback(self._waiting.discard)

    async def _wait(self, key: str, task_id: str) -> None:
        try:
            self._finish(key, await self._application.wait(task_id, namespace=self._namespace))
        except ShuttingDown as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of this run only
            self._reject(key, error)

    def _fail(self, error: Exception) -> None:
        """Ends the stream: the client is to come back, with all runs that have no outcome."""
        self._failure = self._failure or error
        self._news.set()

    def _finish(self, key: str, record: TaskRecord) -> None:
        self._add(key, tags.OUTCOME_OUTCOME + delimited(self._encode(record)))

    def _reject(self, key: str, error: Exception) -> None:
        self._add(key, tags.OUTCOME_REJECTED + delimited(rich_status(error).details))

    def _add(self, key: str, result: bytes) -> None:
        outcome = tags.OUTCOME_KEY + delimited(utf8(key)) + result if key else result
        self._ready.append(tags.BATCH_OUTCOMES + delimited(outcome))
        self._news.set()
