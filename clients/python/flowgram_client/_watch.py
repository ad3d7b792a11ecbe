"""Progress of watches: which events and changes of tasks are new, and whether a stream may be opened again."""

from collections.abc import Iterable, Iterator

import grpc

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2

from . import _convert, models
from .errors import RequestError, UnavailableError

_BEHIND = "WATCH_BEHIND"
_INVALID = "CREDENTIALS_INVALID"
_TRANSPORT_FAILURES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Cursor:
    """The last sequence that a watch has seen, through any number of streams."""

    def __init__(self, after: int) -> None:
        self.sequence = after
        self.terminated = False
        """The task's last event was seen: nothing comes after it."""

    def accept(
        self, events: Iterable[event_pb2.TaskEvent]
    ) -> tuple[list[event_pb2.TaskEvent], UnavailableError | None]:
        """Those of the events of a response that are new; what is not durable always is.

        Where events are missing in between, only those before the gap, and the error for which the stream must be opened
        again after `sequence`.
        """
        new: list[event_pb2.TaskEvent] = []
        for event in events:
            sequence = event.sequence
            if sequence:
                if sequence <= self.sequence:
                    continue
                if sequence != self.sequence + 1:
                    message = f"event {sequence} came after event {self.sequence}"
                    return new, UnavailableError(message, grpc.StatusCode.UNAVAILABLE)
                self.sequence = sequence
                if event.HasField("task_status_changed"):
                    self.terminated = event.task_status_changed.status.terminated
            new.append(event)
        return new, None


class TaskTable:
    """The tasks that a watch of tasks has given, by their versions, so that each is given once as it is.

    Args:
        statuses: The filter of the watch; empty: any.
    """

    def __init__(self, statuses: Iterable[int]) -> None:
        self._statuses = frozenset(statuses)
        self._given: dict[str, tuple[int, int]] = {}  # the last sequence and the status, by task
        self._listed: set[str] = set()

    def listed(self, tasks: Iterable[report_pb2.TaskSummary]) -> Iterator[models.TaskSummary]:
        """Those of a page of a list that are news."""
        for task in tasks:
            self._listed.add(task.task_id)
            yield from self._merged(task)

    def begin_list(self) -> None:
        """A list begins, from its first page on."""
        self._listed.clear()

    def end_list(self) -> Iterator[models.TaskRemoved]:
        """The list is complete: the tasks that were given before and are no longer in it."""
        missing = self._given.keys() - self._listed
        self._listed.clear()
        for task_id in sorted(missing):
            del self._given[task_id]
            yield models.TaskRemoved(task_id)

    def changed(
        self, response: runtime_service_pb2.WatchTasksResponse
    ) -> Iterator[models.TaskSummary | models.TaskRemoved]:
        """Those of the changes that are news."""
        for task in response.tasks:
            yield from self._merged(task)
        for task_id in response.removed_task_ids:
            if self._given.pop(task_id, None) is not None:
                yield models.TaskRemoved(task_id)

    def _merged(self, task: report_pb2.TaskSummary) -> Iterator[models.TaskSummary]:
        # Statuses only move on; where a server sends no sequences, they alone order summaries.
        version = (task.last_sequence, task.status.status)
        if self._given.get(task.task_id, (-1, 0)) >= version:
            return
        if not self._statuses or task.status.status in self._statuses:
            self._given[task.task_id] = version
        else:  # it is given for the last time
            self._given.pop(task.task_id, None)
        yield _convert.summary(task)


def may_resume(error: RequestError, *, connected: bool, failures: int) -> bool:
    """Whether opening the stream again, after the last sequence seen, may help.

    `connected` says that the watch had been under way: then a server that has too many watchers just now (all of
    them come back after a restart) is worth waiting for. `failures` are those in a row before this one: where there are none,
    a token that has expired during the stream may have been renewed.
    """
    if isinstance(error, UnavailableError) or error.reason == _BEHIND:
        return True
    if connected and (error.retry_after is not None or (not failures and error.reason == _INVALID)):
        return True
    # the service names a reason; without one, the connection broke in the middle of a response
    return connected and not error.reason and error.code in _TRANSPORT_FAILURES
