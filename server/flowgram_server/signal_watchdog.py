"""The signal watchdog: a second signal ends the process even while its event loop is held.

Work in C that holds the interpreter lock keeps every thread of the process from running, so that neither the event loop nor a
thread can react to a signal. What still runs is Python's signal handler in C, which writes the number of the signal to the wakeup
descriptor. So that descriptor is a pipe to a small process of its own: it passes the numbers on to the event loop, counts
them, and kills this process some seconds after the second one, unless it has ended.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import structlog

_log = structlog.get_logger(__name__)

_GRACE_PERIOD: Final = 4.7
"""Seconds between the second signal and the kill: the shutdown watchdog, a thread, comes first where threads run."""

_SCRIPT: Final = Path(__file__).with_name("signal_watchdog_process.py")


class SignalWatchdog:
    """Watches while the block lasts. To be entered on the running loop, after its signal handlers were installed.

    If the process beside cannot be started, or dies, signals reach the loop without it, and the log says so.

    Args:
        log_format: In which form the last line of the log is: `json`, or that for people.
        grace_period: Seconds between the second signal and the kill.
    """

    def __init__(self, log_format: str = "console", grace_period: float = _GRACE_PERIOD) -> None:
        self._arguments = (str(os.getpid()), str(grace_period), log_format)
        self._loop_descriptor = -1
        self._signals: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._alive = -1

    def __enter__(self) -> Self:
        self._loop_descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._loop_descriptor)
        if self._loop_descriptor < 0:
            return self
        alive, alive_there = os.pipe()
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", str(_SCRIPT), *self._arguments],
                stdin=read,
                stdout=self._loop_descriptor,
                pass_fds=(alive_there,),
                start_new_session=True,
            )
        except OSError as error:
            _log.warning("the signal watchdog cannot be started", error=error.strerror)
            for descriptor in (alive, read, write):
                os.close(descriptor)
            return self
        finally:
            os.close(alive_there)
        self._signals, self._alive = (read, write), alive
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        asyncio.get_running_loop().add_reader(alive, self._died)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _died(self) -> None:
        _log.warning("the signal watchdog has died")
        self._stop()

    def _stop(self) -> None:
        """Lets signals go to the loop directly, those that are on their way too."""
        if self._signals is None or self._process is None:
            return
        (read, write), self._signals = self._signals, None
        asyncio.get_running_loop().remove_reader(self._alive)
        signal.set_wakeup_fd(self._loop_descriptor)
        self._process.kill()
        self._process.wait()
        os.set_blocking(read, False)
        with suppress(OSError):  # there are none
            os.write(self._loop_descriptor, os.read(read, 512))
        for descriptor in (read, write, self._alive):
            os.close(descriptor)
