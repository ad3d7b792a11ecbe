"""Where the state of a server is read when somebody asks for its metrics."""

from collections.abc import Callable
from typing import Final, NamedTuple

from flowgram_core.hosting.observation import HostStatistics

OTHER: Final = "other"
"""The label of what has no label of its own: the number of labels is bounded, whatever clients send."""


class Sources(NamedTuple):
    """Where the state is read; None: there is no such thing here.

    Attributes:
        runtime: The kind of host, or of a program beside it.
        host: What the host does.
        watches: Clients that watch, or wait for a task.
        workers: Processes that run scripts.
        ended_workers: How many of them have ended so far.
        serving: Whether tasks can be run and shown.
        node_types: The node types that get labels of their own.
    """

    runtime: str | None = None
    node_types: frozenset[str] = frozenset()
    host: Callable[[], HostStatistics] | None = None
    watches: Callable[[], int] | None = None
    workers: Callable[[], int] | None = None
    ended_workers: Callable[[], int] | None = None
    serving: Callable[[], bool] | None = None
