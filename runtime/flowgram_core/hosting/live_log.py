"""The live log: the most recent events of one running task, and the watchers that wait for more.

Watchers hold a cursor, not a queue. The live log keeps the last few batches, so that watchers that keep up do not read the
journal, and wakes all waiting ones when there is more. A slow watcher slows down only itself.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.waiters import Waiters
from flowgram_core.journal.interface import Batch

_KEPT_TEXT: Final = 64 * 1024
"""Characters of the text of a running call that are kept for watchers that come late; of longer ones, the last."""

_KEPT_PIECES: Final = 256


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
        from_start: Whether this is all there is so far, and not a continuation.
    """

    node_id: str
    snapshot_id: str
    text: str
    at: int
    from_start: bool = False


class _Text:
    """The text of a running call so far, or its end if it is long."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.at = 0
        self._pieces: list[str] = []
        self._size = 0

    def add(self, text: str, at: int) -> None:
        self._pieces.append(text)
        self._size += len(text)
        self.at = at
        if self._size > 2 * _KEPT_TEXT or len(self._pieces) > _KEPT_PIECES:
            kept = "".join(self._pieces)[-_KEPT_TEXT:]
            self._pieces, self._size = [kept], len(kept)

    def delta(self, snapshot_id: str) -> OutputDelta:
        text = "".join(self._pieces)[-_KEPT_TEXT:]
        return OutputDelta(self.node_id, snapshot_id, text, self.at, from_start=True)


class _Pending(NamedTuple):
    """What a watcher has not seen of a call."""

    node_id: str
    pieces: list[str]
    at: int
    from_start: bool


class DeltaReader:
    """The deltas that one watcher has not seen. Pieces of one call are joined, so that a slow reader holds one delta per call."""

    def __init__(self, so_far: Iterable[OutputDelta] = ()) -> None:
        self._pending: dict[str, _Pending] = {}
        self._begun: set[str] = set()  # calls of which the watcher has the text so far
        for delta in so_far:
            self.add(delta)

    def add(self, delta: OutputDelta) -> None:
        """Keeps a piece until `take`."""
        pending = self._pending.get(delta.snapshot_id)
        if pending is None:
            pending = _Pending(delta.node_id, [], 0, delta.snapshot_id not in self._begun)
            self._begun.add(delta.snapshot_id)
        pending.pieces.append(delta.text)
        self._pending[delta.snapshot_id] = pending._replace(at=delta.at)

    def forget(self, snapshot_id: str) -> None:
        """Drops what is pending of a call: it has ended, and its outputs repeat it."""
        self._pending.pop(snapshot_id, None)
        self._begun.discard(snapshot_id)

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
            OutputDelta(node_id, snapshot_id, "".join(pieces), at, from_start)
            for snapshot_id, (node_id, pieces, at, from_start) in pending.items()
        ]


class LiveLog:
    """The live end of a task's log.

    Attributes:
        last_sequence: The last event that is durable.
        ended: Whether no more events will come: the task has terminated, or is no longer active here.
    """

    __slots__ = (
        "_max_tail_bytes", "_readers", "_tail", "_tail_bytes", "_texts", "_waiters", "ended", "last_sequence",
    )  # fmt: skip

    def __init__(self, tail_bytes: int, last_sequence: int = 0) -> None:
        self.last_sequence = last_sequence
        self.ended = False
        self._tail: list[Batch] = []  # a deque takes 760 bytes when it is empty
        self._tail_bytes = 0
        self._max_tail_bytes = tail_bytes
        # Most tasks are never watched, and have no deltas.
        self._waiters: Waiters | None = None
        self._readers: set[DeltaReader] | None = None
        self._texts: dict[str, _Text] | None = None

    def publish(self, batches: Iterable[Batch]) -> None:
        """Shows batches that are durable now."""
        for batch in batches:
            self._tail.append(batch)
            self._tail_bytes += len(batch.events)
            self.last_sequence = batch.last_sequence
        surplus = 0
        while self._tail_bytes > self._max_tail_bytes:
            self._tail_bytes -= len(self._tail[surplus].events)
            surplus += 1
        if surplus:
            del self._tail[:surplus]
        self.nudge()

    def end(self) -> None:
        """Wakes all watchers: no more events will come."""
        self.ended = True
        self.nudge()

    def nudge(self) -> None:
        """Wakes all watchers, to check the state of the server."""
        if self._waiters is not None:
            self._waiters.wake()

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
        """A reader of the deltas, with the text so far of the running calls first; close it with `close_deltas`."""
        texts = self._texts or {}
        reader = DeltaReader(text.delta(snapshot_id) for snapshot_id, text in texts.items())
        if self._readers is None:
            self._readers = set()
        self._readers.add(reader)
        return reader

    def close_deltas(self, reader: DeltaReader) -> None:
        """Closes a reader."""
        if self._readers is not None:
            self._readers.discard(reader)

    def emit(self, delta: OutputDelta) -> None:
        """Passes a delta to the readers."""
        if self._texts is None:
            self._texts = {}
        text = self._texts.get(delta.snapshot_id)
        if text is None:
            text = self._texts[delta.snapshot_id] = _Text(delta.node_id)
        text.add(delta.text, delta.at)
        if self._readers:
            for reader in self._readers:
                reader.add(delta)
            self.nudge()

    def forget_deltas(self, snapshot_id: str) -> None:
        """Drops the text and the pending deltas of a call that has ended."""
        if self._texts:
            self._texts.pop(snapshot_id, None)
        for reader in self._readers or ():
            reader.forget(snapshot_id)

    async def changed(self, clock: Clock, max_seconds: float | None = None) -> bool:
        """Waits until there is something new, or for so many seconds; says whether there is."""
        if self._waiters is None:
            self._waiters = Waiters()
        return await self._waiters.wait(clock, max_seconds)
