"""A fake of the runtime's application, for tests of the service around it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from flowgram_core.engine.events import Event
from flowgram_core.hosting.errors import FlowgramError, TaskNotFound
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.program_cache import Validation
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import Heartbeat, TaskRequest
from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.modeling.errors import Problem
from flowgram_server.rpc.codec import Codec

NOW = 1_700_000_000_000_000
SCHEMA = '{"nodes":[],"edges":[]}'


def record(task_id: str = "t1", **changes: Any) -> TaskRecord:
    """A task that is running, where nothing else is said."""
    values: dict[str, Any] = {
        "create_time": NOW,
        "inputs": "{}",
        "schema_hash": b"hash",
        "labels": {},
        "timeout": None,
        "status": 2,
        "start_time": NOW,
        "end_time": None,
        "last_sequence": 0,
        "result": None,
        "order": 1,
        "request_hash": b"",
        "display_name": "",
    }
    return TaskRecord(task_id, **(values | changes))


def batch_of(*events: Event) -> Batch:
    """The batch of a step."""
    return Batch(events[0].sequence, events[-1].sequence, events[0].at, None, Codec(Secrets()).encode(events))


class FakeApplication:
    """Says what the test gave it to say, and keeps what it was asked.

    Attributes:
        runtime: What ServerInfo tells.
        node_types: What ServerInfo tells.
        signing_keys: What page tokens are signed with.
        records: The tasks, by id.
        schemas: Their schemas, by id; `SCHEMA` where there is none.
        logs: Their logs, by id.
        requests: What `run` was called with.
        asked: What the other methods were called with, by name.
        raises: Raised by every method, if it is set.
        problems: What `validate` finds.
        warnings: What else it finds.
        ended: Set when the tasks have terminated: `wait` answers with `record`s of then.
        waiting: Set when somebody waits.
        watched: What a watch gives; it waits for more until None comes.
        watched_tasks: What a watch of tasks gives, likewise.
        opened_watch: Set when a watch was opened.
        open_watches: How many watches are open now.
        closed_watch: Set when a watch was closed.
        open_logs: How many logs are being read now.
        logs_opened: Released with each that is opened.
        logs_go_on: While it is not set, nothing more of them is read.
        time_slices: How often somebody waited for a turn.
        turns_go_on: While it is not set, nobody gets one.
    """

    def __init__(self) -> None:
        self.runtime = "fake"
        self.node_types: tuple[str, ...] = ("end", "start")
        self.signing_keys: Sequence[bytes] = (b"key",)
        self.records: dict[str, TaskRecord] = {"t1": record()}
        self.schemas: dict[str, str] = {}
        self.logs: dict[str, list[Batch]] = {}
        self.requests: list[TaskRequest] = []
        self.searching = 0
        self.found = asyncio.Event()
        self.found.set()
        self.asked: dict[str, Any] = {}
        self.raises: Exception | None = None
        self.problems: tuple[Problem, ...] = ()
        self.warnings: tuple[Problem, ...] = ()
        self.ended = asyncio.Event()
        self.waiting = asyncio.Event()
        self.watched: asyncio.Queue[Batch | OutputDelta | Heartbeat | Exception | None] = asyncio.Queue()
        self.watched_tasks: asyncio.Queue[TaskChanges | Exception | None] = asyncio.Queue()
        self.open_watches = 0
        self.opened_watch = asyncio.Event()
        self.closed_watch = asyncio.Event()
        self.open_logs = 0
        self.logs_opened = asyncio.Semaphore(0)
        self.logs_go_on = asyncio.Event()
        self.time_slices = 0
        self.slices_go_on = asyncio.Event()
        self.slices_go_on.set()
        self.logs_go_on.set()

    async def time_slice(self) -> None:
        self.time_slices += 1
        await self.slices_go_on.wait()

    async def check(self) -> None:
        self._raise()

    async def run(self, request: TaskRequest) -> TaskRecord:
        self._raise()
        self.requests.append(request)
        return self.records["t1"]

    async def run_many(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
        outcomes: list[TaskRecord | Exception] = []
        for request in requests:
            try:
                outcomes.append(await self.run(request))
            except FlowgramError as error:
                outcomes.append(error)
        return outcomes

    async def validate(self, schema: str, inputs: str) -> Validation:
        self._raise()
        self.asked["validate"] = (schema, inputs)
        return Validation(self.problems, self.warnings)

    async def task(self, task_id: str, *, namespace: str) -> TaskRecord:
        self._raise()
        found = self.records.get(task_id)
        if found is None or found.namespace != namespace:
            raise TaskNotFound(task_id)
        return found

    async def wait(self, task_id: str, *, namespace: str) -> TaskRecord:
        found = await self.task(task_id, namespace=namespace)
        if found.status < 3:
            self.waiting.set()
            await self.ended.wait()
        return await self.task(task_id, namespace=namespace)

    async def cancel(self, task_id: str, reason: str, *, namespace: str) -> bool:
        self.asked["cancel"] = (task_id, reason)
        return (await self.task(task_id, namespace=namespace)).status < 3

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str,
    ) -> list[TaskRecord]:
        self._raise()
        self.asked["tasks"] = (limit, before, statuses, labels)
        self.searching += 1
        await self.found.wait()
        newest_first = sorted(self.records.values(), key=lambda found: -found.order)
        fitting = (found for found in newest_first if before is None or found.order < before)
        return [found for found in fitting if found.namespace == namespace][:limit]

    async def schema(self, task_id: str, *, namespace: str) -> str:
        await self.task(task_id, namespace=namespace)
        return self.schemas.get(task_id, SCHEMA)

    async def log(self, task_id: str, *, namespace: str) -> AsyncGenerator[Batch, None]:
        await self.task(task_id, namespace=namespace)
        self.open_logs += 1
        self.logs_opened.release()
        try:
            await self.logs_go_on.wait()
            for batch in self.logs.get(task_id, []):
                yield batch
        finally:
            self.open_logs -= 1

    async def watch(
        self,
        task_id: str,
        after_sequence: int,
        *,
        namespace: str,
        deltas: bool = False,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        self.asked["watch"] = (task_id, after_sequence, deltas, heartbeat)
        await self.task(task_id, namespace=namespace)
        self.open_watches += 1
        self.opened_watch.set()
        try:
            while (item := await self.watched.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.open_watches -= 1
            self.closed_watch.set()

    async def watch_tasks(
        self, wanted: TaskFilter, *, heartbeat: float | None = None
    ) -> AsyncGenerator[TaskChanges, None]:
        self._raise()
        self.asked["watch_tasks"] = (wanted, heartbeat)
        while (item := await self.watched_tasks.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def drain(self, grace: float) -> None:
        self.asked["drain"] = grace

    def _raise(self) -> None:
        if self.raises is not None:
            raise self.raises
