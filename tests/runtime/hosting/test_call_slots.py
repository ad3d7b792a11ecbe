"""Slots: how many calls run at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.hosting.call_slots import CallSlots


class Workers:
    """Calls that hold their slots until they are let go.

    Attributes:
        running: Those that have a slot, in the order in which they got it.
    """

    def __init__(self, slots: CallSlots) -> None:
        self._slots = slots
        self.running: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, node_type: str = "llm", task_id: str = "task") -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, node_type, task_id))

    async def _run(self, name: str, node_type: str, task_id: str) -> None:
        namespace, _, _ = task_id.rpartition("/")
        async with self._slots.slot(node_type, Owner(namespace, task_id)):
            self.running.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.running.remove(name)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await settled()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])
        await settled()


async def settled() -> None:
    """Lets all that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def working(total: int, **by_type: int) -> AsyncIterator[Workers]:
    workers = Workers(CallSlots(total, by_type))
    try:
        yield workers
    finally:
        for name in workers.tasks:
            await workers.cancel(name)


async def test_calls_beyond_the_limit_wait() -> None:
    """First come, first served, whatever their types."""
    async with working(2) as workers:
        for name in "abcd":
            workers.begin(name, f"type {name}")
        await settled()
        assert workers.running == ["a", "b"]
        await workers.end("b")
        assert workers.running == ["a", "c"]
        await workers.end("a")
        assert workers.running == ["c", "d"]


async def test_without_a_limit_nothing_waits() -> None:
    """0 stands for no limit, in total and for a type."""
    async with working(0, llm=0) as workers:
        for index in range(50):
            workers.begin(str(index))
        await settled()
        assert len(workers.running) == 50


async def test_a_type_may_have_its_own_limit() -> None:
    """Calls that wait for their type keep no others from theirs."""
    async with working(3, llm=1) as workers:
        for name in ("llm 1", "llm 2", "llm 3"):
            workers.begin(name, "llm")
        for name in ("http 1", "http 2", "http 3"):
            workers.begin(name, "http")
        await settled()
        assert workers.running == ["llm 1", "http 1", "http 2"]
        await workers.end("llm 1")
        assert workers.running == ["http 1", "http 2", "http 3"]
        await workers.end("http 1")
        assert workers.running == ["http 2", "http 3", "llm 2"]


async def test_a_call_that_is_cancelled_leaves_the_queue() -> None:
    """Whether it runs or waits, for the total or for its type: the next one in line comes on."""
    async with working(1, llm=1) as workers:
        workers.begin("a", "http")
        workers.begin("b", "llm")
        workers.begin("c", "llm")
        workers.begin("d", "http")
        await settled()
        assert workers.running == ["a"]
        await workers.cancel("b")
        await workers.cancel("a")
        assert workers.running == ["d"]
        await workers.end("d")
        assert workers.running == ["c"]
        await workers.cancel("c")
        workers.begin("e", "llm")
        await settled()
        assert workers.running == ["e"]


async def test_a_call_that_raises_gives_back_its_slot() -> None:
    """An error inside is no reason to keep it."""
    slots = CallSlots(1, {"llm": 1})
    for _ in range(3):
        with pytest.raises(OSError, match="no"):
            async with slots.slot("llm", Owner("default", "task")):
                raise OSError("no")
    async with slots.slot("llm", Owner("default", "task")):
        pass


async def test_free_slots_go_to_the_tasks_round_robin() -> None:
    """A task with many calls is no reason for another one to wait for all of them."""
    async with working(1, llm=1) as workers:
        for number in range(5):
            workers.begin(f"many-{number}", task_id="many")
        await settled()
        workers.begin("one", task_id="other")
        await settled()
        assert workers.running == ["many-0"]
        await workers.end("many-0")
        assert workers.running == ["many-1"]  # it was due when the other task came
        await workers.end("many-1")
        assert workers.running == ["one"]
        await workers.end("one")
        assert workers.running == ["many-2"]


@pytest.mark.parametrize("total", [0, 10])
async def test_one_task_has_no_more_than_its_share(total: int) -> None:
    """The rest is free for others at once, however long its calls take."""
    workers = Workers(CallSlots(total, {}, 2))
    try:
        for number in range(5):
            workers.begin(f"many-{number}", task_id="many")
        await settled()
        assert workers.running == ["many-0", "many-1"]
        workers.begin("one", task_id="other")
        await settled()
        assert workers.running == ["many-0", "many-1", "one"]
        await workers.end("many-0")
        assert workers.running == ["many-1", "one", "many-2"]
    finally:
        for name in workers.tasks:
            await workers.cancel(name)
