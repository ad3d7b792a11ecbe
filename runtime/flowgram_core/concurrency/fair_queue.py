"""Fair queues: what waits is served round-robin between its owners, so that one task with much to do starves no other.

`FairQueue` holds items, `FairSemaphore` slots that are waited for. Both know the owner of an item or a slot by a key. Where
that is an `Owner`, the namespaces are served round-robin, and within each its tasks: a namespace with many tasks starves no
other either. Within one key the order is first in, first out.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

_Item = TypeVar("_Item", bound=Hashable)


class Owner(NamedTuple):
    """Whose something is: a key whose group is the namespace. Keys of other types are one group together."""

    namespace: str
    task_id: str


def _group_of(key: Hashable) -> str:
    return key.namespace if isinstance(key, Owner) else ""


class FairQueue(Generic[_Item]):
    """Items in the order in which they are due: one of each group of keys, then the next of each group, and so on.

    Within a group, too, one of each key comes before the next of each. A group or key whose last item was taken has its next
    place behind all that wait. Every operation but iteration takes
    constant time. An item is in the queue once at most.
    """

    def __init__(self) -> None:
        # The group that is served next comes first, and in it the key. No group is without keys, and no key without items.
        self._waiting: OrderedDict[str, OrderedDict[Hashable, OrderedDict[_Item, None]]] = OrderedDict()
        self._paused: dict[Hashable, OrderedDict[_Item, None]] = {}
        self._length = 0

    def __len__(self) -> int:
        """All items, also those of paused keys."""
        return self._length

    def __iter__(self) -> Iterator[_Item]:
        """All items, key after key. The queue must not change meanwhile."""
        waiting = chain.from_iterable(keys.values() for keys in self._waiting.values())
        return chain.from_iterable((*waiting, *self._paused.values()))

    @property
    def has_next(self) -> bool:
        """Whether `pop` has something to give: an item whose key is not paused."""
        return bool(self._waiting)

    def push(self, key: Hashable, item: _Item) -> None:
        """Adds an item behind the others of its key."""
        items = self._paused.get(key)
        if items is None:
            items = self._waiting.setdefault(_group_of(key), OrderedDict()).setdefault(key, OrderedDict())
        self._length += item not in items
        items[item] = None

    def push_front(self, key: Hashable, item: _Item) -> None:
        """Puts an item back that was taken too early: it is the next of all, unless its key is paused."""
        self.push(key, item)
        if key in self._paused:
            self._paused[key].move_to_end(item, last=False)
        else:
            group = _group_of(key)
            keys = self._waiting[group]
            keys[key].move_to_end(item, last=False)
            keys.move_to_end(key, last=False)
            self._waiting.move_to_end(group, last=False)

    def pop(self) -> _Item:
        """Takes the item that is due. Raises `IndexError` if there is none."""
        if not self._waiting:
            raise IndexError("no item is due")
        group, keys = next(iter(self._waiting.items()))
        key, items = next(iter(keys.items()))
        item, _ = items.popitem(last=False)
        self._length -= 1
        if items:
            keys.move_to_end(key)
        else:
            del keys[key]
        if keys:
            self._waiting.move_to_end(group)
        else:
            del self._waiting[group]
        return item

    def discard(self, key: Hashable, item: _Item) -> bool:
        """Removes an item wherever it is. Returns whether it was there."""
        items = self._paused.get(key)
        if items is None:
            keys = self._waiting.get(_group_of(key))
            items = None if keys is None else keys.get(key)
        if items is None or item not in items:
            return False
        del items[item]
        self._length -= 1
        if not items and key not in self._paused:
            self._take(key)
        return True

    def pause(self, key: Hashable) -> None:
        """Passes over what this key has, and will get, until `resume`."""
        if key not in self._paused:
            self._paused[key] = self._take(key)

    def resume(self, key: Hashable) -> None:
        """Ends a pause: the key takes its place behind all of its group that wait. Nothing happens to one that is not paused."""
        items = self._paused.pop(key, None)
        if items:
            self._waiting.setdefault(_group_of(key), OrderedDict())[key] = items

    def _take(self, key: Hashable) -> OrderedDict[_Item, None]:
        """Takes what a key has out of those that wait, and its group if that has no other."""
        group = _group_of(key)
        keys = self._waiting.get(group)
        if keys is None:
            return OrderedDict()
        items = keys.pop(key, None)
        if not keys:
            del self._waiting[group]
        return OrderedDict() if items is None else items


class FairSemaphore:
    """A bounded number of slots. When one gets free, the key that is served next gets it.

    A waiter that is cancelled costs nobody a slot.

    Args:
        slots: How many there are.
        max_per_key: How many of them one key may hold at once; 0: all. A key that holds so many waits even while others
            are free, so that it cannot take all of them for long.
    """

    def __init__(self, slots: int, *, max_per_key: int = 0) -> None:
        self._free = slots
        self._max_per_key = max_per_key or sys.maxsize
        self._held: dict[Hashable, int] = {}
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()
        self._keys: dict[asyncio.Future[None], Hashable] = {}

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._keys)

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds a slot, or waits for one."""
        return not self._held and not self._keys

    async def acquire(self, key: Hashable) -> None:
        """Waits for a slot; returns at once if one is free for this key. `release` gives it back."""
        if self.acquire_at_once(key):
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keys[granted] = key
        self._waiting.push(key, granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(key)  # it was cancelled after the slot had been granted
            elif self._keys.pop(granted, None) is not None:
                self._waiting.discard(key, granted)
            raise

    def acquire_at_once(self, key: Hashable) -> bool:
        """Takes a slot if one is free for this key, and nobody waits; whether it did. `release` gives it back."""
        if self._free > 0 and self._held.get(key, 0) < self._max_per_key and not self._waiting.has_next:
            self._take(key)
            return True
        return False

    def release(self, key: Hashable) -> None:
        """Gives a slot back. Raises `RuntimeError` if the key holds none."""
        held = self._held.get(key, 0)
        if not held:
            raise RuntimeError(f"{key!r} holds no slot")
        if held == 1:
            del self._held[key]
        else:
            self._held[key] = held - 1
        self._free += 1
        self._waiting.resume(key)
        self._grant()

    def slot(self, key: Hashable) -> "_Slot":
        """Waits for a slot, and holds it while the block is entered."""
        return _Slot(self, key)

    def _take(self, key: Hashable) -> None:
        self._free -= 1
        self._held[key] = held = self._held.get(key, 0) + 1
        if held >= self._max_per_key:
            self._waiting.pause(key)

    def _grant(self) -> None:
        while self._free > 0 and self._waiting.has_next:
            granted = self._waiting.pop()
            key = self._keys.pop(granted)
            if not granted.done():  # or its waiter is being cancelled
                self._take(key)
                granted.set_result(None)


class _Slot:
    """A slot while its block is entered. A generator would take a kilobyte, for each of those that wait in the block."""

    __slots__ = ("_key", "_semaphore")

    def __init__(self, semaphore: FairSemaphore, key: Hashable) -> None:
        self._semaphore = semaphore
        self._key = key

    async def __aenter__(self) -> None:
        await self._semaphore.acquire(self._key)

    async def __aexit__(self, *failure: object) -> None:
        self._semaphore.release(self._key)
