"""The interpreter's switch interval: how soon a thread that computes lets the event loop go on.

A thread that wants the interpreter asks for it only after the switch interval, 5 ms by default. Uvloop gives the interpreter up and takes it
again for each callback of libuv, some three times before a timer's coroutine goes on. So beside a thread that reads a large JSON text
the loop was late by 40 to 70 ms, and is by 20 ms with a short interval. Calls take no
longer with it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INTERVAL: Final = 0.001
"""Seconds."""


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Lets threads wait no longer than `INTERVAL` before they ask, while the block lasts. It holds for the whole process."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
