import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from support.fake_application import record
from support.fakes import FakeClock

from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import TaskRecord

pytest.importorskip("temporalio")
from flowgram_core.temporal.task_poll import TaskPoll


class Store:
    """A visibility store that finds what the test puts there, unless it is away."""

    def __init__(self) -> None:
        self.found: list[TaskRecord] = []
        self.asked: list[int] = []
        self.away = False

    async def changed_since(self, since: int) -> Sequence[TaskRecord]:
        self.asked.append(since)
        if self.away:
            raise JournalUnavailable("away")
        return list(self.found)


async def following(watch: AsyncGenerator[TaskChanges, None], clock: FakeClock) -> list[str]:
    """`id status` of each task of the next changes."""
    reading = asyncio.ensure_future(anext(watch))
    while not reading.done():
        await asyncio.sleep(0)
        clock.advance(0.1)
    return [f"{each.task_id} {each.status}" for each in (await reading).tasks]


async def test_what_a_poll_finds_is_given_once() -> None:
    """A task that began comes, comes again when it has ended, and not at the polls in between."""
    store, clock = Store(), FakeClock()
    poll = TaskPoll(store.changed_since, clock, lambda: None)
    watch = poll.watch(TaskFilter(frozenset({2})), None)
    assert await anext(watch) == TaskChanges()
    store.found = [record("a")]
    assert await following(watch, clock) == ["a 2"]
    store.found = [record("a", status=3, end_time=5), record("b"), record("c", status=4, end_time=5)]
    assert await following(watch, clock) == ["a 3", "b 2", "c 4"]
    await watch.aclose()


async def test_what_happens_while_the_store_is_away_is_found_later() -> None:
    """However long that is: the first poll that is answered begins where the last one before has ended."""
    store, clock = Store(), FakeClock()
    watch = TaskPoll(store.changed_since, clock, lambda: None).watch(TaskFilter(), None)
    await anext(watch)
    store.found = [record("a")]
    assert await following(watch, clock) == ["a 2"]
    store.away = True
    reading = asyncio.ensure_future(following(watch, clock))
    while len(store.asked) < 12:  # noqa: ASYNC110 - the time goes on meanwhile
        await asyncio.sleep(0)
    assert not reading.done()
    store.away, store.found = False, [record("a", status=3, end_time=5), record("b", status=4, end_time=5)]
    assert await reading == ["a 3", "b 4"]
    assert clock.now() - store.asked[-1] > 60_000_000
    assert len(set(store.asked[2:])) == 1
    await watch.aclose()


async def test_nothing_is_polled_unless_somebody_watches() -> None:
    """The first watcher begins the poll, all share it, and the last one ends it."""
    store, clock = Store(), FakeClock()
    poll = TaskPoll(store.changed_since, clock, lambda: None)
    watches = [poll.watch(TaskFilter(), None) for _ in range(2)]
    assert store.asked == []
    for watch in watches:
        await anext(watch)
    await clock.sleeping()
    assert len(store.asked) == 1
    await watches[0].aclose()
    clock.advance(1)
    await clock.sleeping()
    assert len(store.asked) == 2
    await watches[1].aclose()
    for _ in range(10):
        await asyncio.sleep(0)
        clock.advance(1)
    assert len(store.asked) == 2
