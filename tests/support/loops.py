"""Tells whether work leaves the event loop to others."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def let_the_loop_go_on(loop: asyncio.AbstractEventLoop) -> None:
    """Waits for a round of a loop; on the loop's own thread there is none to come."""
    went_on = threading.Event()
    loop.call_soon_threadsafe(went_on.set)
    assert went_on.wait(10), "the event loop stands still"


class CountingThreads(ThreadPoolExecutor):
    """Threads that count what they are given to do.

    Attributes:
        works: How much that is.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.works = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.works += 1
        return super().submit(fn, *args, **kwargs)
