"""A fair semaphore with an overflow: while others wait, long holders move to reserve slots, so that short work is served soon.

The same thought as the long workers of code nodes: no number of calls that hang keeps a quick one from its turn, until the
reserve is used up too.
"""

import asyncio
from collections.abc import Hashable
from typing import Final

from flowgram_core.concurrency.fair_queue import FairSemaphore

LONG: Final = 1.0
"""Seconds after which a holder is a long one."""


class OverflowSemaphore:
    """A bounded number of slots, and of further ones for those that hold theirs for long while others wait.

    Slots are given to the keys that wait for them in turn, see `FairSemaphore`.

    Args:
        slots: How many there are.
        overflow: How many long holders may have theirs besides; 0: none.
        long_after: Seconds after which a holder is a long one.
    """

    def __init__(self, slots: int, overflow: int, long_after: float = LONG) -> None:
        self._slots = FairSemaphore(slots)
        self._overflow = overflow
        self._long_after = long_after
        self._holders: dict[Holder, None] = {}  # those with a slot of the first kind, the oldest first
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return self._slots.waiting

    def slot(self, key: Hashable) -> "Holder":
        """Waits for a slot, and holds one while the block is entered."""
        return Holder(self, key)

    async def _acquire(self, holder: "Holder") -> None:
        if not self._slots.free:
            self._watch_holders()
        await self._slots.acquire(holder.key)
        self._hold(holder)

    def _acquire_at_once(self, holder: "Holder") -> bool:
        if not self._slots.acquire_at_once(holder.key):
            return False
        self._hold(holder)
        return True

    def _hold(self, holder: "Holder") -> None:
        holder.since = asyncio.get_running_loop().time()
        self._holders[holder] = None

    def _release(self, holder: "Holder") -> None:
        if holder.moved:
            self._overflow += 1
            self._watch_holders()
        else:
            del self._holders[holder]
            self._slots.release(holder.key)

    def _watch_holders(self) -> None:
        """Looks at the oldest holder when it has become a long one."""
        if self._timer is None and self._overflow > 0 and self._holders:
            loop = asyncio.get_running_loop()
            due = next(iter(self._holders)).since + self._long_after
            self._timer = loop.call_at(max(due, loop.time()), self._move_long_holders)

    def _move_long_holders(self) -> None:
        self._timer = None
        long_since = asyncio.get_running_loop().time() - self._long_after
        # As many as wait: those that get a slot now are new holders, and wait no more.
        while self._slots.waiting and self._overflow > 0 and self._holders:
            holder = next(iter(self._holders))
            if holder.since > long_since:
                break
            del self._holders[holder]
            holder.moved = True
            self._overflow -= 1
            self._slots.release(holder.key)
        if self._slots.waiting:
            self._watch_holders()


class Holder:
    """One that holds a slot while its block is entered; `moved` says that it is one of the overflow.

    Where coroutines that wait for nothing cost too much, `enter_at_once`, else `enter`, and `leave` do what the block does.
    """

    __slots__ = ("_semaphore", "key", "moved", "since")

    def __init__(self, semaphore: OverflowSemaphore, key: Hashable) -> None:
        self._semaphore = semaphore
        self.key = key
        self.since = 0.0
        self.moved = False

    def enter_at_once(self) -> bool:
        """Enters the block if no slot has to be waited for; whether it did. `leave` ends it."""
        return self._semaphore._acquire_at_once(self)  # noqa: SLF001 - its other half

    async def enter(self) -> None:
        """Waits for a slot, and enters the block; `leave` ends it."""
        await self._semaphore._acquire(self)  # noqa: SLF001 - its other half

    def leave(self) -> None:
        """Gives the slot back."""
        self._semaphore._release(self)  # noqa: SLF001 - its other half

    async def __aenter__(self) -> None:
        await self._semaphore._acquire(self)  # noqa: SLF001 - its other half

    async def __aexit__(self, *failure: object) -> None:
        self._semaphore._release(self)  # noqa: SLF001 - its other half
