"""The process of the signal watchdog: passes signals on to an event loop, and kills its process if the second one has no effect.

Run as a script, without site-packages: it imports nothing but the standard library. Standard input gives the numbers of signals,
one byte each, as Python's handler in C writes them; standard output takes them to the event loop.
"""

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

_STOP = {signal.SIGTERM, signal.SIGINT}


def main(pid: int, grace: float, log_format: str) -> None:
    """Passes signals on until the process has ended, or has to be killed."""
    for number in (*_STOP, signal.SIGHUP):  # they may be sent to the whole group
        signal.signal(number, signal.SIG_IGN)
    stops = 0
    deadline: float | None = None
    while True:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([0], [], [], timeout)
        if not readable:
            _kill(pid, grace, log_format)
            return
        numbers = os.read(0, 512)
        if not numbers:  # it has ended by itself
            return
        with suppress(OSError):  # the loop has a full buffer, or is gone: what counts is counted here
            os.write(1, numbers)
        stops += sum(number in _STOP for number in numbers)
        if stops >= 2 and deadline is None:
            deadline = time.monotonic() + grace


def _kill(pid: int, grace: float, log_format: str) -> None:
    if os.getppid() != pid:
        return
    fields = {"reason": "the event loop is held", "seconds": grace, "level": "error"}
    if log_format == "json":
        line = json.dumps(
            {
                "event": "ended by force",
                **fields,
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    else:
        line = f"[error    ] ended by force  reason='{fields['reason']}' seconds={grace:g}"
    with suppress(OSError):  # nobody reads the log any more
        os.write(2, f"{line}\n".encode())
    os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
