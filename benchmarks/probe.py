"""A server that measures its own event loop: `python -m benchmarks.probe`, with the settings of the environment.

On SIGUSR1 it writes a line of JSON to its output, what was measured since the line before, and begins anew:
`held`, the longest time in milliseconds that the loop did not get to its timers, but for the time that its thread was ready
to run and had no processor; `late`, the same by the wall clock; `collected`, what the longest garbage collection computed. So a wait for a
lock, for the interpreter's lock or for a disk counts as held, and other processes do not. Where the kernel does not tell
how long a thread waited for a processor, `held` is what the thread computed.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flowgram_server.app import Server, run
from flowgram_server.settings.loading import load_settings

_INTERVAL = 0.002


def _excused() -> Callable[[float], float]:
    """Tells how much of so many seconds, since it was last asked, the calling thread wanted to run and could not."""
    try:
        schedstat = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    except OSError:
        computed = time.thread_time()

        def not_computed(seconds: float) -> float:
            nonlocal computed
            before, computed = computed, time.thread_time()
            return max(0.0, seconds - (computed - before))

        return not_computed

    waited = 0.0

    def waiting(_: float) -> float:
        nonlocal waited
        # Nanoseconds on a processor, nanoseconds in the queue for one, and how often.
        before, waited = waited, int(os.pread(schedstat, 100, 0).split()[1]) / 1e9
        return waited - before

    return waiting


class Probe:
    """Measures the event loop that it runs on."""

    def __init__(self) -> None:
        self._worst = dict.fromkeys(("held", "late", "collected"), 0.0)
        self._collecting = 0.0
        self._running: asyncio.Task[None] | None = None

    async def start(self, _: Server) -> None:
        """Measures from now on."""
        gc.callbacks.append(self._collected)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._tell)
        self._running = asyncio.create_task(self._measure())
        self._tell()  # a signal that came before would have ended the process

    async def _measure(self) -> None:
        excused = _excused()
        excused(0)
        while True:
            wall = time.perf_counter()
            await asyncio.sleep(_INTERVAL)
            late = time.perf_counter() - wall - _INTERVAL
            self._note("late", late)
            self._note("held", late - excused(late))

    def _collected(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:  # by the wall clock it would take in how long this thread waits for the interpreter's lock
            self._note("collected", time.thread_time() - self._collecting)

    def _note(self, name: str, seconds: float) -> None:
        self._worst[name] = max(self._worst[name], seconds)

    def _tell(self) -> None:
        line = json.dumps({name: round(seconds * 1e3, 1) for name, seconds in self._worst.items()})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._worst = dict.fromkeys(self._worst, 0.0)


if __name__ == "__main__":
    run(load_settings(), Probe().start)
