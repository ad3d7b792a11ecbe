"""Tells how much is freed in one go, in any thread: while it is, no other thread goes on."""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_EACH = 64
"""Calls and returns of functions between two looks, which take some microseconds each."""


class Freeing:
    """Looks at the blocks of memory every now and then, as functions are called and return.

    A value that goes in one go is seen at the next look; what goes in parts takes many calls.

    Attributes:
        most: The most blocks that were freed between two looks.
    """

    def __init__(self) -> None:
        self.most = 0
        self._calls = 0
        self._blocks = sys.getallocatedblocks()

    def count(self, *_: FrameType | str | Any) -> None:
        """Counts a call, or a return: the profile function of all threads."""
        self._calls += 1
        if not self._calls % _EACH:
            self.look()

    def look(self) -> None:
        """Compares with the last time."""
        blocks = sys.getallocatedblocks()
        self.most = max(self.most, self._blocks - blocks)
        self._blocks = blocks


@contextmanager
def watched_freeing() -> Iterator[Freeing]:
    """Looks on while the block lasts, in this thread and those that begin meanwhile. Nothing is left to the collector."""
    gc.collect()
    gc.disable()
    freeing = Freeing()
    threading.setprofile(freeing.count)
    sys.setprofile(freeing.count)
    try:
        yield freeing
    finally:
        sys.setprofile(None)
        freeing.look()
        threading.setprofile(None)  # type: ignore[arg-type]  # it ends what was begun
        gc.enable()
