"""The live log: the most recent events of one running task, and the watchers that wait for more.

Watchers hold a cursor, not a queue. The live log keeps the last few batches, so that watchers that keep up do not read the
journal, and wakes all waiting ones when there is more. A slow watcher slows down only itself.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.journal.interface import Batch

_WOKEN_AT_ONCE: Final = 100


def join(batches: Sequence[Batch]) -> Batch:
    """Consecutive batches as one: encoded events can be concatenated."""
    if len(batches) == 1:
        return batches[0]
    first, last = batches[0], batches[-1]
    events = b"".join(batch.events for batch in batches)
    return Batch(first.first_sequence, last.last_sequence, last.at, None, events)


class OutputDelta(NamedTuple):
    """A piece of a call's output as it arrives: live only, without a sequence.

    Attributes:
        node_id: The node that is called.
        snapshot_id: The run of the node.
        text: The piece.
        at: When it came, in microseconds since the epoch.
    """

    node_id: str
    snapshot_id: str
    text: str
    at: int


class DeltaReader:
    """The deltas that one watcher has not seen. Pieces of one call are joined, so that a slow reader holds one delta per call."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[str, list[str], int]] = {}

    def add(self, delta: OutputDelta) -> None:
        """Keeps a piece until `take`."""
        node_id, pieces, _ = self._pending.get(delta.snapshot_id, (delta.node_id, [], 0))
        pieces.append(delta.text)
        self._pending[delta.snapshot_id] = (node_id, pieces, delta.at)

    def forget(self, snapshot_id: str) -> None:
        """Drops what is pending of a call: it has ended, and its outputs repeat it."""
        self._pending.pop(snapshot_id, None)

    @property
    def pending(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._pending)

    def take(self) -> list[OutputDelta]:
        """What is pending, one delta for each call."""
        if not self._pending:
            return []
        pending, self._pending = self._pending, {}
        return [
            OutputDelta(node_id, snapshot_id, "".join(pieces), at)
            for snapshot_id, (node_id, pieces, at) in pending.items()
        ]


class LiveLog:
    """The live end of a task's log.

    Attributes:
        last_sequence: The last event that is durable.
        ended: Whether no more events will come: the task has terminated, or is no longer active here.
    """

    def __init__(self, tail_bytes: int, last_sequence: int = 0) -> None:
        self.last_sequence = last_sequence
        self.ended = False
        self._tail: deque[Batch] = deque()
        self._tail_bytes = 0
        self._max_tail_bytes = tail_bytes
        self._waiters: set[asyncio.Future[bool]] = set()
        self._readers: set[DeltaReader] = set()

    def publish(self, batches: Iterable[Batch]) -> None:
        """Shows batches that are durable now."""
        for batch in batches:
            self._tail.append(batch)
            self._tail_bytes += len(batch.events)
            self.last_sequence = batch.last_sequence
        while self._tail_bytes > self._max_tail_bytes:
            self._tail_bytes -= len(self._tail.popleft().events)
        self._wake()

    def end(self) -> None:
        """Wakes all watchers: no more events will come."""
        self.ended = True
        self._wake()

    def nudge(self) -> None:
        """Wakes all watchers, to check the state of the server."""
        self._wake()

    def since(self, after_sequence: int) -> list[Batch] | None:
        """The batches after a sequence, or None if the live log does not reach back so far."""
        if after_sequence >= self.last_sequence:
            return []
        if not self._tail or self._tail[0].first_sequence > after_sequence + 1:
            return None
        found: list[Batch] = []
        for batch in reversed(self._tail):
            if batch.last_sequence <= after_sequence:
                break
            found.append(batch)
        found.reverse()
        return found

    def open_deltas(self) -> DeltaReader:
        """A reader of the deltas from now on; close it with `close_deltas`."""
        reader = DeltaReader()
        self._readers.add(reader)
        return reader

    def close_deltas(self, reader: DeltaReader) -> None:
        """Closes a reader."""
        self._readers.discard(reader)

    def emit(self, delta: OutputDelta) -> None:
        """Passes a delta to the readers."""
        for reader in self._readers:
            reader.add(delta)
        if self._readers:
            self._wake()

    def forget_deltas(self, snapshot_id: str) -> None:
        """Drops the pending deltas of a call that has ended."""
        for reader in self._readers:
            reader.forget(snapshot_id)

    async def changed(self, clock: Clock, max_seconds: float | None = None) -> bool:
        """Waits until there is something new, or for so many seconds; says whether there is."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        timer = (
            None if max_seconds is None else clock.call_later(max_seconds, lambda: _settle(waiter, new=False))
        )
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiters:
            _wake_some(list(self._waiters))
            self._waiters.clear()


def _wake_some(waiters: list[asyncio.Future[bool]]) -> None:
    """Wakes waiters; of many, only some in each iteration of the event loop, so that other work gets in between."""
    for waiter in waiters[-_WOKEN_AT_ONCE:]:
        _settle(waiter, new=True)
    del waiters[-_WOKEN_AT_ONCE:]
    if waiters:
        asyncio.get_running_loop().call_soon(_wake_some, waiters)


def _settle(waiter: asyncio.Future[bool], *, new: bool) -> None:
    if not waiter.done():
        waiter.set_result(new)
