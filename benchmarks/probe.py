"""A server that measures its own event loop: `python -m benchmarks.probe`, with the settings of the environment.

On SIGUSR1 it writes a line of JSON to its output, what was measured since the line before, and begins anew:
`held`, the longest time in milliseconds that the loop did not get to its timers, so far as its own thread computed;
`late`, the same by the wall clock, other processes and threads included; `collected`, the longest garbage collection.
"""

import asyncio
import gc
import json
import signal
import sys
import time
from typing import Any

from flowgram_server.app import Server, run
from flowgram_server.settings import load_settings

_INTERVAL = 0.002


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

    async def _measure(self) -> None:
        while True:
            wall, computed = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_INTERVAL)
            late = time.perf_counter() - wall - _INTERVAL
            self._note("late", late)
            self._note("held", min(late, time.thread_time() - computed))

    def _collected(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self._note("collected", time.perf_counter() - self._collecting)

    def _note(self, name: str, seconds: float) -> None:
        self._worst[name] = max(self._worst[name], seconds)

    def _tell(self) -> None:
        line = json.dumps({name: round(seconds * 1e3, 1) for name, seconds in self._worst.items()})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._worst = dict.fromkeys(self._worst, 0.0)


if __name__ == "__main__":
    run(load_settings(), Probe().start)
