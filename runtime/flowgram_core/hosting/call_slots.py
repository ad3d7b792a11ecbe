"""Call slots: how many calls run at once, of all tasks, of a node type, of one task and of a namespace."""

import sys
from collections import Counter
from collections.abc import Mapping

from flowgram_core.concurrency.fair_queue import FairSemaphore, Owner
from flowgram_core.engine.errors import NodeError
from flowgram_core.hosting.quotas import Quotas


class CallSlots:
    """Bounds the calls that run at once; others wait, and get free slots round-robin: between namespaces, then between tasks.

    Args:
        total: Over all node types; 0: no limit.
        by_type: For single node types.
        per_task: How many of the total one task may have at once; 0: all.
        quotas: How many the tasks of one namespace may have at once.

    Attributes:
        running: Calls that have a slot, by node type.
        waiting: Calls that wait for one, by node type.
    """

    def __init__(
        self, total: int, by_type: Mapping[str, int], per_task: int = 0, quotas: Quotas | None = None
    ) -> None:
        slots = total or (sys.maxsize if per_task else 0)
        self._total = FairSemaphore(slots, max_per_key=per_task) if slots else None
        self._by_type = {name: FairSemaphore(count) for name, count in by_type.items() if count}
        self._quotas = quotas or Quotas({})
        self._by_namespace: dict[str, FairSemaphore] = {}  # of those with a quota that make calls now
        self.running: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    def slot(self, node_type: str, owner: Owner) -> "_CallSlot":
        """Waits for a slot for a call, and holds it while the block is entered.

        Raises on entering:
            NodeError: The namespace may make no calls.
        """
        return _CallSlot(self, node_type, owner)

    def semaphores(self, node_type: str, owner: Owner) -> list[FairSemaphore]:
        """What a call has to acquire. The narrower limits first: who waits for these must not keep others from theirs."""
        limit = self._quotas.of(owner.namespace).max_calls
        found: list[FairSemaphore] = []
        if limit is not None:
            if not limit:
                raise NodeError(f"Namespace {owner.namespace} may make no calls: its quota max_calls is 0")
            found.append(self._by_namespace.setdefault(owner.namespace, FairSemaphore(limit)))
        of_type = self._by_type.get(node_type)
        if of_type is not None:
            found.append(of_type)
        if self._total is not None:
            found.append(self._total)
        return found

    def forget_idle(self, namespace: str) -> None:
        """Drops the semaphore of a namespace that makes no calls now."""
        semaphore = self._by_namespace.get(namespace)
        if semaphore is not None and semaphore.is_idle:
            del self._by_namespace[namespace]


class _CallSlot:
    """A slot while its block is entered. No generator, which takes a kilobyte: thousands of calls may wait in theirs.

    Where coroutines that wait for nothing cost too much, `enter_at_once`, else `enter`, and `leave` do what the block does.
    """

    __slots__ = ("_held", "_node_type", "_owner", "_slots")

    def __init__(self, slots: CallSlots, node_type: str, owner: Owner) -> None:
        self._slots = slots
        self._node_type = node_type
        self._owner = owner
        self._held: list[FairSemaphore] = []

    def enter_at_once(self) -> bool:
        """Enters the block if nothing has to be waited for; whether it did. Raises as `CallSlots.slot` says."""
        owner = self._owner
        semaphores = self._slots.semaphores(self._node_type, owner)
        for position, semaphore in enumerate(semaphores):
            if not semaphore.acquire_at_once(owner):
                for acquired in semaphores[:position]:
                    acquired.release(owner)
                return False
        self._held = semaphores
        self._slots.running[self._node_type] += 1
        return True

    async def enter(self) -> None:
        """Waits for a slot, and enters the block. Raises as `CallSlots.slot` says."""
        waiting = self._slots.waiting
        waiting[self._node_type] += 1
        try:
            for semaphore in self._slots.semaphores(self._node_type, self._owner):
                await semaphore.acquire(self._owner)
                self._held.append(semaphore)
        except BaseException:
            self._release()
            raise
        finally:
            waiting[self._node_type] -= 1
        self._slots.running[self._node_type] += 1

    def leave(self) -> None:
        """Gives the slot back."""
        self._slots.running[self._node_type] -= 1
        self._release()

    async def __aenter__(self) -> None:
        if not self.enter_at_once():
            await self.enter()

    async def __aexit__(self, *failure: object) -> None:
        self.leave()

    def _release(self) -> None:
        for semaphore in reversed(self._held):
            semaphore.release(self._owner)
        self._held = []
        self._slots.forget_idle(self._owner.namespace)
