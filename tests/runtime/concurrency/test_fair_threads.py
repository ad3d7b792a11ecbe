"""Fair threads: whose work is begun, and what becomes of work that is cancelled or fails."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.fair_threads import FairThreads


@pytest.fixture
async def threads() -> AsyncIterator[FairThreads]:
    made = FairThreads(1, "test")
    yield made
    made.shutdown()


async def test_owners_are_served_round_robin(threads: FairThreads) -> None:
    """Between namespaces, then between the tasks of each, while one thread does it all."""
    done: list[str] = []
    gate = threading.Event()
    waiting = [threads.submit(Owner("x", "t"), gate.wait)]  # type: ignore[arg-type]  # what it gives does not matter
    for name in ("a.t1.1", "a.t1.2", "a.t2.1", "a.t3.1", "b.t9.1", "b.t9.2"):
        namespace, task_id, _ = name.split(".")
        waiting.append(threads.submit(Owner(namespace, task_id), lambda name=name: done.append(name)))
    gate.set()
    await asyncio.gather(*map(asyncio.wrap_future, waiting))
    assert done == ["a.t1.1", "b.t9.1", "a.t2.1", "b.t9.2", "a.t3.1", "a.t1.2"]


async def test_what_has_not_begun_can_be_cancelled(threads: FairThreads) -> None:
    """It is never begun, and the next one is; what runs cannot be."""
    gate, begun, done = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        begun.set()
        gate.wait()

    running = threads.submit("a", hold)
    cancelled = threads.submit("a", lambda: done.append("cancelled"))
    following = threads.submit("a", lambda: done.append("following"))
    await asyncio.to_thread(begun.wait)
    assert (running.cancel(), cancelled.cancel()) == (False, True)
    gate.set()
    await asyncio.wrap_future(following)
    assert done == ["following"]


async def test_work_that_fails_gives_its_thread_back(threads: FairThreads) -> None:
    """The error goes to the one who waits."""

    def fail() -> None:
        raise ZeroDivisionError

    failing, following = threads.submit("a", fail), threads.submit("a", lambda: None)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wrap_future(failing)
    await asyncio.wrap_future(following)


async def test_after_the_end_nothing_is_begun() -> None:
    """What waits is cancelled; what runs is not waited for."""
    threads = FairThreads(1, "test")
    gate = threading.Event()
    running = threads.submit("a", gate.wait)  # type: ignore[arg-type]  # what it gives does not matter
    waiting = threads.submit("b", lambda: None)
    threads.shutdown()
    assert waiting.cancelled()
    gate.set()
    await asyncio.wrap_future(running)
