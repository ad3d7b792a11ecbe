"""The shutdown watchdog: kills a process that does not end in time.

Whatever clients have seen is durable, so this is as safe as a kill. It needs a thread that runs; where the interpreter lock is held,
`signal_watchdog` is what is left.
"""

import os
import threading
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

_GRACE_PERIOD: Final = 4.0
"""Seconds between the last request and the end: more than an orderly end takes."""

_STATUS: Final = 1


class ShutdownWatchdog:
    """Ends the process some seconds after it was asked to for the last time. In a thread: the event loop may be held up."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """From now on the seconds count. Beginning twice is beginning once."""
        if self._timer is None:
            self._timer = threading.Timer(_GRACE_PERIOD, _end)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """The process ends by itself."""
        if self._timer is not None:
            self._timer.cancel()


def _end() -> None:
    _log.error("ended by force", reason="something does not end", seconds=_GRACE_PERIOD)
    os._exit(_STATUS)
