"""A moment: the times and statuses that the events of one step have in common, encoded once for all of them."""

from typing import Final, final

from flowgram_core.modeling.status import SUCCEEDED, Status
from flowgram_server.rpc import tags
from flowgram_server.rpc.wire import delimited, duration, timestamp, varint

_NO_TIME: Final = tags.STATUS_TIME_COST + b"\x00"
_NONE_ENDED: Final = [b""] * (max(Status) + 1)
_STATUS: Final = [
    tags.STATUS_STATUS
    + varint(status)
    + (tags.STATUS_TERMINATED + b"\x01" if status >= Status.SUCCEEDED else b"")
    for status in range(max(Status) + 1)
]
"""By status: the fields of a `StatusInfo` that follow from it, `status` and `terminated`."""


@final
class Moment:
    """What the events of one step share.

    Attributes:
        at: The time of the step.
        time: The same, encoded.
        node_time: The same as a field of an event, up to the size of a `NodeStatusChanged`.
        task_time: Up to that of a `TaskStatusChanged`.
        message_time: Up to that of a message.
    """

    __slots__ = ("_ended", "_node_succeeded", "at", "message_time", "node_time", "task_time", "time")

    def __init__(self, at: int) -> None:
        self.at = at
        self.time = time = duration(at)
        tagged_time = tags.EVENT_TIME + time
        self.node_time: bytes = tagged_time + tags.EVENT_NODE_STATUS_CHANGED
        self.task_time: bytes = tagged_time + tags.EVENT_TASK_STATUS_CHANGED
        self.message_time: bytes = tagged_time + tags.EVENT_MESSAGE
        # By status, of what began and ended now; empty where it was not needed yet.
        self._ended: list[bytes] = _NONE_ENDED.copy()
        self._node_succeeded = b""  # of runs that did; empty as well

    def node_status(self, status: Status, start_time: int, end_time: int | None) -> bytes:
        """The `StatusInfo` of a run that moves to a status now, and the tag of its snapshot."""
        if start_time != self.at or end_time is None or end_time != self.at:
            return self.status_info(status, start_time, end_time) + tags.NODE_SNAPSHOT
        if status is not SUCCEEDED:
            return self.status_info(status, start_time, end_time) + tags.NODE_SNAPSHOT
        if not self._node_succeeded:
            self._node_succeeded = self.status_info(status, start_time, end_time) + tags.NODE_SNAPSHOT
        return self._node_succeeded

    def status_info(self, status: Status, start_time: int, end_time: int | None) -> bytes:
        """The `StatusInfo` of a task or run that moves to a status now."""
        if start_time == self.at:
            if end_time is None:
                return delimited(b"".join((_STATUS[status], tags.STATUS_START_TIME, self.time, _NO_TIME)))
            if end_time == self.at:
                return self._ended[status] or self._end(status)
        return _status_info(status, start_time, end_time, self.at)

    def _end(self, status: Status) -> bytes:
        time = self.time
        info = b"".join((_STATUS[status], tags.STATUS_START_TIME, time, tags.STATUS_END_TIME, time, _NO_TIME))
        self._ended[status] = encoded = delimited(info)
        return encoded


def _status_info(status: Status, start_time: int, end_time: int | None, at: int) -> bytes:
    parts = [_STATUS[status]]
    if start_time:
        parts += (tags.STATUS_START_TIME, timestamp(start_time))
    if end_time is not None:
        parts += (tags.STATUS_END_TIME, timestamp(end_time))
    if start_time:
        elapsed = (at if end_time is None else end_time) - start_time
        parts += (tags.STATUS_TIME_COST, duration(elapsed) if elapsed > 0 else b"\x00")
    return delimited(b"".join(parts))
