"""Small workflows for tests of the application, and ways to look at what it shows."""

import asyncio
import re
from contextlib import aclosing
from typing import Any

from flowgram_core.embedded.application import Application
from flowgram_core.hosting.service import TaskRequest, TaskService
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling import json_text
from support.graphs import constant, declare, edge, end, node, ref, start


def changed(request: TaskRequest, **changes: Any) -> TaskRequest:
    """A request that differs in these."""
    names = ("schema", "inputs", "request_id", "timeout", "labels", "display_name", "namespace")
    return TaskRequest(**{name: getattr(request, name) for name in names} | changes)


def echo_schema() -> str:
    """Start and end, giving back x."""
    nodes = [start(x="integer"), end(x=("integer", ref("start_0", "x")))]
    return json_text.dumps({"nodes": nodes, "edges": [edge("start_0", "end_0")]})


def call_schema(*ids: str, node_type: str = "code") -> str:
    """Calls side by side between start and end, giving what each call gives as v."""
    calls = [
        node(
            name,
            node_type,
            {
                "inputs": declare(apiKey="string"),
                "inputsValues": {"apiKey": constant("sk-12345678901234567890")},
                "outputs": declare(v="string"),
            },
        )
        for name in ids
    ]
    edges = [edge("start_0", name) for name in ids] + [edge(name, "end_0") for name in ids]
    nodes = [start(x="integer"), *calls, end(**{name: ("string", ref(name, "v")) for name in ids})]
    return json_text.dumps({"nodes": nodes, "edges": edges})


def shown(batches: list[Batch]) -> str:
    return "".join(batch.events.decode() for batch in batches)


def statuses(batches: list[Batch]) -> list[str]:
    """`node STATUS` or `task STATUS` of each event."""
    found = re.findall(
        r"(Task)StatusChanged\(.*?Status\.(\w+)|node_id='(\w+)', status=<Status\.(\w+)", shown(batches)
    )
    return [f"task {status}" if task else f"{name} {state}" for task, status, name, state in found]


async def logged(application: Application, task_id: str) -> list[Batch]:
    """The whole log of a task."""
    return [batch async for batch in application.log(task_id)]


async def reached(application: TaskService, task_id: str, sequence: int) -> None:
    """Returns once an event is shown."""
    async with aclosing(application.watch(task_id, 0)) as watch:
        async for item in watch:
            if isinstance(item, Batch) and item.last_sequence >= sequence:
                return


async def collect(application: Application, task_id: str, after: int = 0) -> list[Batch]:
    return [item async for item in application.watch(task_id, after) if isinstance(item, Batch)]


def quiet() -> RuntimeSettings:
    """Without what is done again and again, whose reads would meet the failing journal."""
    return RuntimeSettings(retention_age=0, retention_count=0, max_journal_bytes=0, disk_reserve_bytes=0)


class HeldJournal(MemoryJournal):
    """A journal that holds commits back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self._go_on = asyncio.Event()

    def commit(self, write: Write) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._commit(write))

    async def _commit(self, write: Write) -> None:
        self.held.set()
        await self._go_on.wait()
        self._go_on.clear()
        await super().commit(write)

    def release(self) -> None:
        self._go_on.set()


class FailingJournal(MemoryJournal):
    """A journal whose next commits fail."""

    failures = 0

    def commit(self, write: Write) -> "asyncio.Future[None]":
        if not self.failures:
            return super().commit(write)
        self.failures -= 1
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(JournalUnavailable("the disk is full"))
        return failed
