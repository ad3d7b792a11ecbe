"""Fair threads: a thread pool whose threads are shared round-robin between the owners of the work."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from flowgram_core.concurrency.fair_queue import FairQueue


class _Job:
    """Work that waits for a thread, and the future of its end."""

    __slots__ = ("future", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.future: Future[None] = Future()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - raised to the waiter of the future
            self.future.set_exception(error)
        else:
            self.future.set_result(None)


class FairThreads:
    """Threads for the work of many owners: while more wait than there are threads, they get one in turn; see `FairQueue`.

    It belongs to the event loop on which it is first used.

    Args:
        threads: How many there are, at most.
        name: What their names begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._free = threads
        self._waiting: FairQueue[_Job] = FairQueue()
        self._closed = False

    def submit(self, owner: Hashable, work: Callable[[], None]) -> "Future[None]":
        """Has a thread do some work of an owner, when it is the owner's turn. Called on the loop.

        Returns:
            Done with the work, or with what it raises. It can be cancelled as long as the work has not begun.
        """
        job = _Job(work)
        self._waiting.push(owner, job)
        self._start_waiting()
        return job.future

    def shutdown(self) -> None:
        """Begins nothing any more; what waits is cancelled, and what runs goes on."""
        self._closed = True
        while self._waiting.has_next:
            self._waiting.pop().future.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start_waiting(self) -> None:
        while self._free and self._waiting.has_next and not self._closed:
            job = self._waiting.pop()
            if job.future.set_running_or_notify_cancel():
                self._free -= 1
                received = partial(self._tell_end, asyncio.get_running_loop())
                self._executor.submit(job.run).add_done_callback(received)

    def _tell_end(self, loop: asyncio.AbstractEventLoop, _: "Future[None]") -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits
            loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self._free += 1
        self._start_waiting()
