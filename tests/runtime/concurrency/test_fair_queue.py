"""Fair queues: the order in which items are due, and who gets a slot."""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flowgram_core.concurrency.fair_queue import FairQueue, FairSemaphore, Owner

KEYS = st.sampled_from("abc")
INDICES = st.integers(0, 5)


def pop_all(queue: FairQueue[str]) -> list[str]:
    return [queue.pop() for _ in range(len(queue))]


def test_keys_are_served_round_robin() -> None:
    """One item of each key, then the next of each; within a key the order stays."""
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.push(item[0], item)
    assert pop_all(queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    with pytest.raises(IndexError):
        queue.pop()


def test_namespaces_are_served_round_robin_and_their_tasks_within() -> None:
    """However many tasks one namespace has; keys that are no owners are one group beside the namespaces."""
    queue: FairQueue[str] = FairQueue()
    for name in ("a.t1.1", "a.t1.2", "a.t2.1", "a.t3.1", "b.t9.1", "b.t9.2", "b.t8.1"):
        namespace, task_id, _ = name.split(".")
        queue.push(Owner(namespace, task_id), name)
    queue.push("nobody", "n1")
    queue.push("a", "n2")
    assert pop_all(queue) == [
        *("a.t1.1", "b.t9.1", "n1"),
        *("a.t2.1", "b.t8.1", "n2"),
        *("a.t3.1", "b.t9.2", "a.t1.2"),
    ]


def test_a_new_key_is_served_within_one_round() -> None:
    """However much the others have, and however often they come back."""
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.push("busy", f"busy{number}")
    queue.pop()
    queue.push("new", "new1")
    assert [queue.pop(), queue.pop()] == ["busy1", "new1"]


def test_what_is_put_back_is_next() -> None:
    """Before all others, of its own key and of other keys."""
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "b1"):
        queue.push(item[0], item)
    taken = queue.pop()
    queue.push_front("a", taken)
    assert pop_all(queue) == ["a1", "b1", "a2"]


def test_a_paused_key_is_passed_over() -> None:
    """Its items wait, those that come meanwhile too, until it goes on; it can be emptied meanwhile."""
    queue: FairQueue[str] = FairQueue()
    queue.push("a", "a1")
    queue.pause("a")
    queue.push("a", "a2")
    queue.push_front("a", "a0")
    assert (len(queue), queue.has_next, sorted(queue)) == (3, False, ["a0", "a1", "a2"])
    queue.push("b", "b1")
    assert queue.pop() == "b1"
    assert queue.discard("a", "a1")
    queue.resume("a")
    queue.resume("a")
    assert pop_all(queue) == ["a0", "a2"]


class FairQueueModel(RuleBasedStateMachine):
    """A queue beside the plainest description of what it must do: lists of groups, of keys and of items."""

    keys: Sequence[Hashable] = tuple("abc")

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.order: list[
            tuple[str, list[Hashable]]
        ] = []  # the groups, with the keys that wait and are not paused
        self.items: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        self.paused: set[Hashable] = set()
        self.numbers = itertools.count()

    def key_at(self, index: int) -> Hashable:
        return self.keys[index % len(self.keys)]

    def take(self, key: Hashable) -> None:
        """The key waits no more."""
        group = key.namespace if isinstance(key, Owner) else ""
        self.order = [
            (name, [other for other in keys if name != group or other != key]) for name, keys in self.order
        ]
        self.order = [(name, keys) for name, keys in self.order if keys]

    def wait(self, key: Hashable, *, first: bool = False) -> None:
        group = key.namespace if isinstance(key, Owner) else ""
        keys = next((keys for name, keys in self.order if name == group), [])
        if key in self.paused or (not first and key in keys):
            return
        others = [other for other in keys if other != key]
        keys = [key, *others] if first else [*others, key]
        if first:
            self.order = [(group, keys), *(each for each in self.order if each[0] != group)]
        elif len(keys) == 1:
            self.order.append((group, keys))
        else:
            self.order = [(name, keys if name == group else own) for name, own in self.order]

    @rule(index=INDICES)
    def push(self, index: int) -> None:
        key = self.key_at(index)
        number = next(self.numbers)
        self.items[key].append(number)
        self.wait(key)
        self.queue.push(key, number)

    @rule(index=INDICES)
    def push_front(self, index: int) -> None:
        key = self.key_at(index)
        number = next(self.numbers)
        self.items[key].appendleft(number)
        self.wait(key, first=True)
        self.queue.push_front(key, number)

    @rule()
    def pop(self) -> None:
        if not self.order:
            with pytest.raises(IndexError):
                self.queue.pop()
            return
        group, keys = self.order.pop(0)
        key = keys.pop(0)
        assert self.queue.pop() == self.items[key].popleft()
        if self.items[key]:
            keys.append(key)
        if keys:
            self.order.append((group, keys))

    @rule(index=INDICES, data=st.data())
    def discard(self, index: int, data: st.DataObject) -> None:
        key = self.key_at(index)
        assert not self.queue.discard(key, -1)
        if self.items[key]:
            number = data.draw(st.sampled_from(sorted(self.items[key])))
            self.items[key].remove(number)
            if not self.items[key]:
                self.take(key)
            assert self.queue.discard(key, number)

    @rule(index=INDICES)
    def pause(self, index: int) -> None:
        key = self.key_at(index)
        self.paused.add(key)
        self.take(key)
        self.queue.pause(key)

    @rule(index=INDICES)
    def resume(self, index: int) -> None:
        key = self.key_at(index)
        if key in self.paused:
            self.paused.remove(key)
            if self.items[key]:
                self.wait(key)
        self.queue.resume(key)

    @invariant()
    def holds_the_same(self) -> None:
        assert self.queue.has_next == bool(self.order)
        assert len(self.queue) == sum(map(len, self.items.values()))
        assert sorted(self.queue) == sorted(itertools.chain.from_iterable(self.items.values()))


class OwnersModel(FairQueueModel):
    """The same with owners in two namespaces, beside a key that is none."""

    keys = (Owner("x", "a"), Owner("x", "b"), Owner("y", "a"), Owner("y", "b"), Owner("y", "c"), "x")


TestFairQueueModel = FairQueueModel.TestCase
TestFairQueueModel.__doc__ = "Whatever is done in whatever order, the queue does what its model does."
TestOwnersModel = OwnersModel.TestCase
TestOwnersModel.__doc__ = "Also where keys have groups."


async def granted(waiters: dict[str, asyncio.Task[None]]) -> list[str]:
    """Which of the waiters have got their slot."""
    for _ in range(3):
        await asyncio.sleep(0)
    return [name for name, waiter in waiters.items() if waiter.done()]


async def test_slots_go_to_the_keys_round_robin() -> None:
    """A task that waits with many calls does not hold up one that waits with one."""
    semaphore = FairSemaphore(1)
    await semaphore.acquire("a")
    waiters = {name: asyncio.create_task(semaphore.acquire(name[0])) for name in ("a1", "a2", "b1")}
    assert await granted(waiters) == []
    assert semaphore.waiting == 3
    for key, seen in (("a", ["a1"]), ("a", ["a1", "b1"]), ("b", ["a1", "a2", "b1"])):
        semaphore.release(key)
        assert await granted(waiters) == seen
    semaphore.release("a")
    assert (semaphore.free, semaphore.waiting) == (1, 0)


async def test_one_key_holds_no_more_than_its_share() -> None:
    """With `max_per_key` the last slots stay for others; its own are given on within the key."""
    semaphore = FairSemaphore(3, max_per_key=2)
    waiters = {
        name: asyncio.create_task(semaphore.acquire(name[0])) for name in ("a1", "a2", "a3", "a4", "b1")
    }
    assert await granted(waiters) == ["a1", "a2", "b1"]
    semaphore.release("b")
    assert await granted(waiters) == ["a1", "a2", "b1"]
    assert semaphore.free == 1
    semaphore.release("a")
    assert await granted(waiters) == ["a1", "a2", "a3", "b1"]


async def test_nobody_overtakes_who_waits() -> None:
    """A slot that is given back goes to a waiter, not to one that comes before the waiter wakes."""
    semaphore = FairSemaphore(1)
    await semaphore.acquire("a")
    waiters = {"b": asyncio.create_task(semaphore.acquire("b"))}
    assert await granted(waiters) == []
    semaphore.release("a")
    waiters["c"] = asyncio.create_task(semaphore.acquire("c"))
    assert await granted(waiters) == ["b"]


async def test_a_slot_that_nobody_holds_cannot_be_given_back() -> None:
    """A mistake of the caller must not add slots."""
    semaphore = FairSemaphore(1)
    with pytest.raises(RuntimeError, match="'a' holds no slot"):
        semaphore.release("a")
    assert semaphore.free == 1


@given(
    st.lists(st.tuples(st.sampled_from(["start", "cancel", "end", "run"]), KEYS), max_size=60),
    st.integers(0, 3),
)
def test_slots_are_neither_lost_nor_made(steps: list[tuple[str, str]], max_per_key: int) -> None:
    """Whichever is cancelled at any time, no more slots than there are are held, no key has more than its share, and all come back."""

    async def scenario() -> None:
        semaphore = FairSemaphore(3, max_per_key=max_per_key)
        held: list[str] = []
        running: dict[asyncio.Task[None], str] = {}
        ends: dict[asyncio.Task[None], asyncio.Event] = {}

        async def hold(key: str, end: asyncio.Event) -> None:
            async with semaphore.slot(key):
                held.append(key)
                try:
                    assert len(held) <= 3
                    assert not max_per_key or held.count(key) <= max_per_key
                    await end.wait()
                finally:
                    held.remove(key)

        for step, key in steps:
            if step == "start":
                end = asyncio.Event()
                task = asyncio.create_task(hold(key, end))
                running[task], ends[task] = key, end
            elif step == "run":
                await asyncio.sleep(0)
            elif task_of_key := next((task for task, its in running.items() if its == key), None):
                del running[task_of_key]
                if step == "cancel":
                    task_of_key.cancel()
                else:
                    ends[task_of_key].set()
        for end in ends.values():
            end.set()
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        assert (held, semaphore.free, semaphore.waiting) == ([], 3, 0)

    asyncio.run(scenario())
