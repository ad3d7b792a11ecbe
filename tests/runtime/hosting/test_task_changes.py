import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_application import record
from support.fakes import FakeClock

from flowgram_core.hosting.errors import ShuttingDown, WatcherBehind
from flowgram_core.hosting.task_changes import TaskChangeLog, TaskChanges, TaskFilter
from flowgram_core.journal.interface import RemovedTask
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

PENDING, PROCESSING, SUCCEEDED, FAILED = 1, 2, 3, 4
ALL = TaskFilter()


def always_open() -> None:
    pass


def change_log(clock: FakeClock, *, kept: int = 100, kept_characters: int = 10_000) -> TaskChangeLog:
    return TaskChangeLog(clock, always_open, kept=kept, kept_characters=kept_characters)


def removed_task(task_id: str, namespace: str = DEFAULT_NAMESPACE) -> RemovedTask:
    return RemovedTask(task_id, namespace)


async def opened(
    log: TaskChangeLog, wanted: TaskFilter = ALL, heartbeat: float | None = None
) -> AsyncGenerator[TaskChanges, None]:
    """A watch that is live."""
    watch = log.watch(wanted, heartbeat)
    assert await anext(watch) == TaskChanges()
    return watch


def received(changes: TaskChanges) -> list[str]:
    """`id status` of each task, `-id` of each that was removed."""
    tasks = [f"{each.task_id} {each.status}" for each in changes.tasks]
    return tasks + [f"-{task_id}" for task_id in changes.removed]


async def test_a_watcher_gets_what_changes_after_it_became_live() -> None:
    """New tasks, new statuses and removed tasks; not what happened before, nor what is no change of status."""
    clock = FakeClock()
    log = change_log(clock)
    log.changed(record("before"), None)
    watch = await opened(log)
    log.changed(record("a", inputs="[1]", result=b"x"), None)
    log.changed(record("b", status=PROCESSING, last_sequence=9), PROCESSING)
    log.removed([removed_task("c")])
    changes = await anext(watch)
    assert received(changes) == ["a 2", "-c"]
    assert (changes.tasks[0].inputs, changes.tasks[0].result) == ("", None)
    await watch.aclose()


async def test_changes_of_one_task_within_a_short_time_are_one() -> None:
    """The next answer comes a moment after the one before, with each task as it is then; one that is gone is only gone."""
    clock = FakeClock()
    log = change_log(clock)
    watch = await opened(log)
    log.changed(record("a", status=PENDING), None)
    assert received(await anext(watch)) == ["a 1"]
    following = asyncio.ensure_future(anext(watch))
    await clock.sleeping()
    log.changed(record("b"), None)
    log.changed(record("a", status=PROCESSING), PENDING)
    log.changed(record("a", status=SUCCEEDED), PROCESSING)
    log.removed([removed_task("b")])
    await asyncio.sleep(0)
    assert not following.done()
    clock.advance(0.1)
    assert received(await following) == ["a 3", "-b"]
    await watch.aclose()


async def test_a_filter_by_status_and_labels() -> None:
    """A task that stops to fit comes once more; a new one that does not fit never does; removed ones always do."""
    clock = FakeClock()
    log = change_log(clock)
    watch = await opened(log, TaskFilter(frozenset({PROCESSING}), {"team": "x"}))
    log.changed(record("a", labels={"team": "x", "n": "1"}), None)
    log.changed(record("other", labels={"team": "y"}), None)
    log.changed(record("queued", status=PENDING, labels={"team": "x"}), None)
    assert received(await anext(watch)) == ["a 2"]
    log.changed(record("a", status=FAILED, labels={"team": "x", "n": "1"}), PROCESSING)
    log.changed(record("queued", status=SUCCEEDED, labels={"team": "x"}), PENDING)
    log.removed([removed_task("other")])
    following = asyncio.ensure_future(anext(watch))
    await clock.sleeping()
    clock.advance(0.1)
    assert received(await following) == ["a 4", "-other"]
    await watch.aclose()


async def test_a_silent_watch_has_heartbeats() -> None:
    """Empty changes come after each such time; without a heartbeat asked for, none do."""
    clock = FakeClock()
    log = change_log(clock)
    watch, silent = await opened(log, heartbeat=5), await opened(log)
    for _ in range(2):
        beat = asyncio.ensure_future(anext(watch))
        await clock.sleeping()
        clock.advance(5)
        assert await beat == TaskChanges()
    nothing = asyncio.ensure_future(anext(silent))
    await asyncio.sleep(0)
    clock.advance(1000)
    await asyncio.sleep(0)
    assert not nothing.done()
    log.removed([removed_task("a")])
    assert received(await nothing) == ["-a"]
    await watch.aclose()
    await silent.aclose()


async def test_a_watcher_that_falls_behind_learns_of_it() -> None:
    """Changes are kept up to a number, and up to a size of labels; one that missed some hears of it, others go on."""
    clock = FakeClock()
    for log, labels in (
        (change_log(clock, kept=10), {}),
        (change_log(clock, kept_characters=1000), {"label": "x" * 95}),
    ):
        slow, fast = await opened(log), await opened(log)
        for number in range(10):
            log.changed(record(f"t{number}", labels=labels), None)
        assert len((await anext(fast)).tasks) == 10
        log.changed(record("t10", labels=labels), None)
        with pytest.raises(WatcherBehind):
            await anext(slow)
        following = asyncio.ensure_future(anext(fast))
        await clock.sleeping()
        clock.advance(0.1)
        assert received(await following) == ["t10 2"]
        await fast.aclose()


async def test_a_task_that_changes_often_pushes_nobody_out() -> None:
    """Only its latest change is kept."""
    log = change_log(FakeClock(), kept=2, kept_characters=10)
    watch = await opened(log)
    log.changed(record("a", labels={"k": "v"}), None)
    for number in range(100):
        log.changed(record("b", status=number % 2 + 1, display_name="name"), None)
    assert received(await anext(watch)) == ["a 2", "b 2"]
    await watch.aclose()


async def test_many_changes_come_in_bounded_parts() -> None:
    """No answer has more than a thousand, and those that are left follow at once."""
    log = change_log(FakeClock(), kept=5000)
    watch = await opened(log)
    for number in range(2500):
        log.changed(record(f"t{number}"), None)
    parts = [await anext(watch) for _ in range(3)]
    assert [len(part.tasks) for part in parts] == [1000, 1000, 500]
    assert len({each.task_id for part in parts for each in part.tasks}) == 2500
    await watch.aclose()


async def test_the_end_of_the_service_ends_watches() -> None:
    """Those that wait are woken, and new ones do not begin."""
    closing = asyncio.Event()

    def check_open() -> None:
        if closing.is_set():
            raise ShuttingDown

    log = TaskChangeLog(FakeClock(), check_open)
    watch = await opened(log)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    closing.set()
    log.wake()
    with pytest.raises(ShuttingDown):
        await waiting
    with pytest.raises(ShuttingDown):
        await anext(log.watch(TaskFilter()))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4))),
    st.frozensets(st.integers(1, 4)),
)
def test_whenever_a_watcher_reads_it_ends_with_the_tasks_as_they_are(
    steps: list[tuple[int, int]], statuses: frozenset[int]
) -> None:
    """Whatever changes, and however the reads lie in between: what was given last of each task that fits is how it is."""

    async def follow() -> None:
        clock = FakeClock()
        log = change_log(clock)
        watch = await opened(log, TaskFilter(statuses), heartbeat=1)
        current: dict[str, int] = {}
        seen: dict[str, int] = {}

        async def read() -> None:
            reading = asyncio.ensure_future(anext(watch))
            while not reading.done():
                await asyncio.sleep(0)
                clock.advance(1)
            changes = await reading
            seen.update({each.task_id: each.status for each in changes.tasks})
            for task_id in changes.removed:
                seen.pop(task_id, None)

        for number, (task, status) in enumerate(steps):
            task_id = f"t{task}"
            if status:
                log.changed(record(task_id, status=status), current.get(task_id))
                current[task_id] = status
            elif current.pop(task_id, None):
                log.removed([removed_task(task_id)])
            if number % 3 == 0:
                await read()
        await read()
        await read()

        def fits(tasks: dict[str, int]) -> dict[str, int]:
            return {
                task_id: status for task_id, status in tasks.items() if not statuses or status in statuses
            }

        assert fits(seen) == fits(current)
        await watch.aclose()

    asyncio.run(follow())


async def test_namespaces_are_apart() -> None:
    """A watcher gets the changes and removals of its namespace, and is not woken by those of others."""
    clock = FakeClock()
    log = change_log(clock)
    watch = await opened(log, TaskFilter(namespace="acme"), heartbeat=5)
    log.changed(record("theirs"), None)
    log.removed([removed_task("their-old"), removed_task("old", "acme")])
    log.changed(record("own", namespace="acme"), None)
    assert received(await anext(watch)) == ["own 2", "-old"]
    await watch.aclose()


async def test_a_busy_namespace_pushes_out_its_own_changes_only() -> None:
    """Each keeps its share of what is kept, as long as somebody watches it."""
    clock = FakeClock()
    log = change_log(clock, kept=10)
    quiet = await opened(log, TaskFilter(namespace="acme"))
    busy = await opened(log)
    for number in range(5):
        log.changed(record(f"q{number}", namespace="acme"), None)
    for number in range(6):
        log.changed(record(f"b{number}"), None)
    with pytest.raises(WatcherBehind):
        await anext(busy)
    assert len(received(await anext(quiet))) == 5
    await quiet.aclose()


async def test_watchers_of_the_same_tasks_share_what_is_found() -> None:
    """The same object for all of one filter, so that what is made of it is made once."""
    log = change_log(FakeClock())
    first, second = await opened(log), await opened(log)
    other = await opened(log, TaskFilter(labels={"team": "a"}))
    log.changed(record("a"), None)
    log.changed(record("b", labels={"team": "a"}), None)
    found = await anext(first)
    assert await anext(second) is found
    assert received(found) == ["a 2", "b 2"]
    assert received(await anext(other)) == ["b 2"]
    for watch in (first, second, other):
        await watch.aclose()


async def test_many_watchers_are_answered_less_often() -> None:
    """Each gets everything, later."""
    clock = FakeClock()
    log = change_log(clock)
    watches = [await opened(log) for _ in range(401)]
    log.changed(record("a"), None)
    for watch in watches:
        assert received(await anext(watch)) == ["a 2"]
    log.changed(record("b"), None)
    following = asyncio.ensure_future(anext(watches[0]))
    for seconds, is_done in ((0.25, False), (0.1, True)):
        await asyncio.sleep(0)
        clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0)
        assert following.done() == is_done
    assert received(await following) == ["b 2"]
    for watch in watches:
        await watch.aclose()


async def test_each_answer_waits_for_a_time_slice() -> None:
    """So that thousands of watchers that wake at once leave time for others."""
    slices = 0

    async def time_slice() -> None:
        nonlocal slices
        slices += 1

    log = TaskChangeLog(FakeClock(), always_open, time_slice)
    watch = await opened(log)
    log.changed(record("a"), None)
    await anext(watch)
    assert slices == 1
    await watch.aclose()
