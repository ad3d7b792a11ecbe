"""Where a watch stands: which events are new, and whether the stream may be trusted."""

import grpc

from flowgram.runtime.v1 import event_pb2

from .errors import RequestError, UnavailableError

_TRANSPORT_FAILURES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Cursor:
    """The last sequence that a watch has seen, through any number of streams."""

    def __init__(self, after: int) -> None:
        self.sequence = after
        self.terminated = False
        """The task's last event was seen: nothing comes after it."""

    def accept(self, event: event_pb2.TaskEvent) -> bool:
        """Whether the event is new. What is not durable always is.

        Raises:
            UnavailableError: events are missing before it; the stream must be opened again after `sequence`.
        """
        if event.sequence == 0:
            return True
        if event.sequence <= self.sequence:
            return False
        if event.sequence != self.sequence + 1:
            raise UnavailableError(
                f"event {event.sequence} came after event {self.sequence}", grpc.StatusCode.UNAVAILABLE
            )
        self.sequence = event.sequence
        if event.WhichOneof("event") == "task_status_changed":
            self.terminated = event.task_status_changed.status.terminated
        return True


def may_resume(error: RequestError, *, connected: bool) -> bool:
    """Whether opening the stream again, after the last sequence seen, may help.

    `connected` says that the watch had been under way: then a server that has too many watchers just now (all of
    them come back after a restart) is worth waiting for.
    """
    if isinstance(error, UnavailableError):
        return True
    if connected and error.retry_after is not None:
        return True
    # the service names a reason; without one, the connection broke in the middle of a response
    return connected and not error.reason and error.code in _TRANSPORT_FAILURES
