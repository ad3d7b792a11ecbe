"""Shared encoding of task changes: a message that many watchers of WatchTasks get is encoded once for all of them."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.hosting.task_changes import TaskChanges
from flowgram_server.rpc.convert.watch import watch_tasks_responses

_KEPT: Final = 16
_GOOD_FOR: Final = 1_000_000
"""Microseconds: how long tasks have been running is said, too."""


class _Encoded(NamedTuple):
    changes: TaskChanges
    at: int
    responses: Sequence[bytes]


class SharedChanges:
    """Encodes changes of tasks for their watchers.

    Args:
        clock: Tells for how long tasks have been running.
        max_bytes: No response is larger.
    """

    def __init__(self, clock: Clock, max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._kept: deque[_Encoded] = deque(maxlen=_KEPT)

    def responses(self, changes: TaskChanges) -> Sequence[bytes]:
        """The serialized `WatchTasksResponse`s of changes; see `watch_tasks_responses`."""
        now = self._clock.now()
        for each in self._kept:
            if each.changes is changes and 0 <= now - each.at < _GOOD_FOR:
                return each.responses
        responses = list(watch_tasks_responses(changes, now, self._max_bytes))
        self._kept.append(_Encoded(changes, now, responses))
        return responses
