"""The writer thread of the SQLite journal: commits writes in groups, in the order in which they were submitted."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from flowgram_core.concurrency.batching import BatchPolicy
from flowgram_core.concurrency.gil_handoff import GILHandoff
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Write
from flowgram_core.journal.sqlite_errors import unavailable
from flowgram_core.journal.write_groups import Writer

_logger = logging.getLogger(__name__)

_GROUP_WRITES = 256
_GROUP_BYTES = 1 << 20
"""A group that reaches one of these is committed; further writes go into the next."""

CommitListener = Callable[[int, int, float], None]
"""Is notified of a group of writes once it was committed: how many, of how many bytes, in how many seconds. Called in the thread of the
writer; it must not raise.
"""

Action = Callable[[Writer], Any]
"""An operation of the writer between two groups."""


_Request = tuple["asyncio.Future[Any]", Write | Action, int]
"""A request to the writer thread: where its answer goes, what is to be done, and how many bytes a write adds."""


_Answer = tuple["asyncio.Future[Any]", Any, Exception | None]


class WriterThread:
    """Applies writes in the order in which they are submitted. The event loop collects them, and hands them over in groups."""

    def __init__(
        self, writer: Writer, path: Path, handoff: GILHandoff, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._writer = writer
        self._path = path
        self._handoff = handoff
        self._loop = loop
        self._pending: list[_Request] = []
        self._pending_bytes = 0
        self._listeners: list[CommitListener] = []
        self._policy = BatchPolicy()
        self._scheduled: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handed_over = 0  # requests that the thread has and has not answered
        self._queue: SimpleQueue[list[_Request] | None] = SimpleQueue()
        self._writer_thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._writer_thread.start()

    def submit(self, work: Write | Action) -> "asyncio.Future[Any]":
        """Submits a write or an action.

        Returns:
            Done once the write is committed, or the action is done, with the action's result; failed with a `JournalError`
            otherwise. Cancelling it stops neither.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        size = _size(work) if isinstance(work, Write) else 0
        self._pending.append((future, work, size))
        if isinstance(work, Write):
            self._pending_bytes += size
            self._schedule()
        else:
            self._hand_over()
        return future

    def listen(self, on_commit: CommitListener) -> None:
        """Lets a listener know of each group of writes that is committed from now on."""
        self._listeners.append(on_commit)

    def finish(self) -> None:
        """Hands over what is left; nothing may be submitted any more. Called on the loop, as `submit` is."""
        self._hand_over()
        self._queue.put(None)

    def join(self) -> None:
        """Waits until everything submitted is done. Blocks; call it after `finish`."""
        self._writer_thread.join()

    def _schedule(self) -> None:
        """Hands pending writes over once their batch is ready; a full group at once."""
        count = len(self._pending)
        self._policy.observe(count + self._handed_over)
        if count >= _GROUP_WRITES or self._pending_bytes >= _GROUP_BYTES:
            self._hand_over()
        elif count and not self._handed_over and self._scheduled is None:
            # Not yet: other requests of the batch arrive in the same iteration of the event loop.
            self._scheduled = self._loop.call_soon(self._hand_over_if_ready)

    def _hand_over_if_ready(self) -> None:
        self._scheduled = None
        if self._policy.is_ready(len(self._pending)):
            self._hand_over()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._policy.delay, self._time_out)

    def _time_out(self) -> None:
        self._hand_over(timed_out=True)

    def _hand_over(self, *, timed_out: bool = False) -> None:
        for handle in (self._scheduled, self._timer):
            if handle is not None:
                handle.cancel()
        self._scheduled = self._timer = None
        group, self._pending, self._pending_bytes = self._pending, [], 0
        self._policy.batch_started(len(group), timed_out=timed_out)
        self._handed_over += len(group)
        self._handoff.submitted(len(group))
        self._queue.put(group)

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            writes: list[tuple[asyncio.Future[Any], Write, int]] = []
            for future, work, size in group:
                if isinstance(work, Write):
                    writes.append((future, work, size))
                    continue
                self._commit(writes)
                writes = []
                self._deliver([self._act(future, work)])
            self._commit(writes)

    def _commit(self, writes: list[tuple["asyncio.Future[Any]", Write, int]]) -> None:
        if not writes:
            return
        outcomes: list[Any]
        began = time.perf_counter()
        try:
            outcomes = self._writer.apply([write for _, write, _ in writes])
        except Exception:  # the thread must go on, and each waiter must get an error
            _logger.exception("a group of writes failed")
            outcomes = [JournalUnavailable(f"the journal {self._path} failed on a write") for _ in writes]
        self._deliver([(future, None, error) for (future, _, _), error in zip(writes, outcomes, strict=True)])
        if self._listeners:
            seconds = time.perf_counter() - began
            sizes = [size for (_, _, size), error in zip(writes, outcomes, strict=True) if error is None]
            for listener in self._listeners if sizes else ():
                listener(len(sizes), sum(sizes), seconds)

    def _act(self, future: "asyncio.Future[Any]", action: Action) -> _Answer:
        try:
            return future, action(self._writer), None
        except sqlite3.Error as error:
            unusable = unavailable(self._path, error)
            unusable.__cause__ = error
            return future, None, unusable
        except Exception:  # as in `_commit`
            _logger.exception("an action of the journal failed")
            return future, None, JournalUnavailable(f"the journal {self._path} failed on an action")

    def _deliver(self, answers: list[_Answer]) -> None:
        self._handoff.progressed()
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._resolve, answers)

    def _resolve(self, answers: list[_Answer]) -> None:
        """Runs on the loop."""
        self._handoff.completed(len(answers))
        self._handed_over -= len(answers)
        self._schedule()
        for future, value, error in answers:
            if future.done():  # its waiter was cancelled
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


def _size(write: Write) -> int:
    accept, finish = write.accept, write.finish
    size = 0
    try:
        for batch in write.batches:
            size += len(batch.events)
        if accept is not None:
            size += len(accept.inputs) + len(accept.schema)
        if finish is not None:
            size += len(finish.result)
    except TypeError:  # a defect, which the writer finds as well, and reports
        return 0
    return size
