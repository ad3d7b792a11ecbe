"""Interruptible work: it runs in a thread of its own, so that Ctrl-C never stops it halfway."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, TypeVar

_T = TypeVar("_T")

_LOOK: Final = 0.1
"""Seconds. Python notices a signal before it begins to wait, and while it waits, but not at the instant in between."""


def interruptible(work: Callable[[], _T]) -> _T:
    """Do work in a thread of its own, and wait for it. Ctrl-C ends the waiting; what is left of the work is then left alone.

    Python raises `KeyboardInterrupt` in the main thread, wherever that is: also between the taking of a lock and the block
    that gives it back. Where it is one of gRPC's locks, closing the channel would wait for it for ever.
    """
    future: Future[_T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the work is waited for
            future.set_exception(error)

    threading.Thread(target=do, name="apart", daemon=True).start()
    while not future.done():
        wait((future,), timeout=_LOOK)
    return future.result()
