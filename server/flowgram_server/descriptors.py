"""File descriptors: the connection limits that follow from them, and a warning when they run out."""

import asyncio
import os
import resource
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from flowgram_core.concurrency.clock import Clock

_log = structlog.get_logger(__name__)

_RESERVE: Final = 128
"""Descriptors for the journal, workers, pipes, listeners and libraries."""
_MOST: Final = 131_072
"""More are of no use to one process, and some systems say that there is no limit."""
_LEAST: Final = 8

_CHECK_INTERVAL: Final = 5.0
_NEARLY_ALL: Final = 0.9


class ConnectionShares(NamedTuple):
    """How the descriptors are shared between connections.

    Attributes:
        grpc: Incoming connections of gRPC: half of them.
        http: Incoming connections of the REST gateway: a quarter.
        http_calls: Connections of http nodes: half of what is left.
        llm_calls: Connections of llm nodes: the other half.
    """

    grpc: int
    http: int
    http_calls: int
    llm_calls: int


def raise_limit() -> int:
    """Lets the process have as many descriptors as it may, within reason; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else min(soft, _MOST)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower bound of its own, which it does not tell
        return soft
    return wanted


def connection_shares(descriptors: int, http_calls: int = 0, llm_calls: int = 0) -> ConnectionShares:
    """The connections that a process with so many descriptors may have.

    Calls get what the settings ask for even where it is more than their share, as long as a quarter is left for incoming
    connections; these then share what is left as before.

    Args:
        descriptors: How many the process may have.
        http_calls: Connections of http nodes that the settings ask for; 0: their share.
        llm_calls: The same of llm nodes.
    """
    free = max(0, descriptors - _RESERVE)
    share = free // 8
    llm = max(share, min(llm_calls, free * 3 // 4 - share))
    http = max(share, min(http_calls, free * 3 // 4 - llm))
    left = free - http - llm
    return ConnectionShares(*(max(_LEAST, part) for part in (left * 2 // 3, left // 3, http, llm)))


async def watch_descriptors(limit: int, clock: Clock, folder: Path = Path("/proc/self/fd")) -> None:
    """Logs when nearly all descriptors are used, and when that is over; until it is cancelled.

    Args:
        limit: How many there are.
        clock: Measures the interval.
        folder: Has an entry for each one that is used; where there is no such folder nothing is watched.
    """
    scarce = False
    # In a thread: the system takes some milliseconds to list ten thousand.
    while (used := await asyncio.to_thread(_used, folder)) is not None:
        if scarce != (used >= limit * _NEARLY_ALL):
            scarce = not scarce
            if scarce:
                _log.warning("file descriptors are running out", used=used, limit=limit)
            else:
                _log.info("there are file descriptors again", used=used, limit=limit)
        await clock.sleep(_CHECK_INTERVAL)


def _used(folder: Path) -> int | None:
    try:
        return len(os.listdir(folder))  # noqa: PTH208 - a path object for each one would take ten times as long
    except OSError:
        return None
