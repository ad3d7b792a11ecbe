"""The codec: events and results as wire messages of the contract.

An event is encoded once, when it happens. The bytes of a batch are a serialized `WatchTaskResponse` with the batch's
events: what is stored is what a watcher gets, and two batches one after the other are such a response again.

Messages are put together from tags and encoded values. The tests compare everything that is written with what Protocol
Buffers reads.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mypy_extensions import mypyc_attr

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_core.engine.events import (
    Event,
    Finished,
    Iterations,
    MessageLogged,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.modeling.json_text import JSONObject, encode
from flowgram_core.modeling.status import Status
from flowgram_server.rpc import tags
from flowgram_server.rpc.wire import (
    SMALL,
    SMALL_VARINTS,
    delimited,
    duration,
    skip_delimited,
    timestamp,
    utf8,
    varint,
)

HEARTBEAT = b""
"""A `WatchTaskResponse` without events."""

_CACHED_NODES = 10_000


class _Node(NamedTuple):
    """What events about a node have in common.

    Attributes:
        in_event: The beginning of a `NodeStatusChanged`, up to the value of its status.
        in_snapshot: The node id in a `Snapshot`.
        snapshot: The beginning of a `Snapshot` of a run that has the id of its node: outside of loops.
    """

    in_event: bytes
    in_snapshot: bytes
    snapshot: bytes


@mypyc_attr(allow_interpreted_subclasses=True)
class Codec:
    """Encodes events and results. Several threads may do so at once.

    Args:
        secrets: Masks the inputs and outputs of snapshots.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._mask_inputs = secrets.mask_inputs
        self._mask_outputs = secrets.mask_outputs
        self._nodes: dict[str, _Node] = {}
        self._moment = _Moment(0)
        # One attribute: several threads may encode at once.
        self._last_value: tuple[JSONObject, bytes] = _NO_VALUE

    def masking(self, names: Iterable[str]) -> "Codec":
        """Such a codec for other secrets."""
        return Codec(Secrets(names))

    def encode(self, events: Sequence[Event]) -> bytes:
        """The events as a serialized `WatchTaskResponse`."""
        parts: list[bytes] = []
        moment = self._moment
        iterations: Iterations = ()
        encoded_iterations = b""
        for event in events:
            if event.at != moment.at:
                moment = self._moment_at(event.at)
            if isinstance(event, NodeStatusChanged):
                if event.iterations is not iterations:
                    iterations = event.iterations
                    encoded_iterations = b"".join(map(_iteration, iterations))
                kind, body = (
                    tags.EVENT_NODE_STATUS_CHANGED,
                    self._node_status_changed(event, moment, encoded_iterations),
                )
            elif isinstance(event, TaskStatusChanged):
                kind, body = tags.EVENT_TASK_STATUS_CHANGED, self._task_status_changed(event, moment)
            else:
                kind, body = tags.EVENT_MESSAGE, _message(event, moment.time)
            number, length, tagged_time = event[0], len(body), moment.tagged_time
            sequence = SMALL_VARINTS[number] if number < SMALL else varint(number)
            size = SMALL_VARINTS[length] if length < SMALL else varint(length)
            length += 2 + len(sequence) + len(tagged_time) + len(size)
            event_size = SMALL_VARINTS[length] if length < SMALL else varint(length)
            parts += (
                tags.RESPONSE_EVENTS,
                event_size,
                tags.EVENT_SEQUENCE,
                sequence,
                tagged_time,
                kind,
                size,
                body,
            )
        return b"".join(parts)

    def encode_result(self, finished: Finished) -> bytes:
        """The outcome of a task as a serialized `TaskResultResponse`."""
        status, _, _, start_time, end_time = finished
        parts = [tags.RESULT_STATUS, self._moment_at(end_time).status_info(status, start_time, end_time)]
        if finished.outputs is not None:
            parts += (tags.RESULT_OUTPUTS, self._json(finished.outputs))
            self._last_value = _NO_VALUE  # it is the last use of it, and may be large
        for error in finished.errors:
            parts += (tags.RESULT_ERRORS, delimited(_message(error, timestamp(error.at))))
        return b"".join(parts)

    def _node_status_changed(self, event: NodeStatusChanged, moment: "_Moment", iterations: bytes) -> bytes:
        _, _, node_id, status, start_time, end_time, snapshot_id, _, inputs, outputs, branch, error = event
        status_info = moment.status_info(status, start_time, end_time)
        node = self._nodes.get(node_id) or self._node(node_id)
        if snapshot_id is node_id:
            parts = [node.snapshot, iterations]
        else:
            key = snapshot_id.encode() if snapshot_id.isascii() else utf8(snapshot_id)
            length = len(key)
            size = SMALL_VARINTS[length] if length < SMALL else varint(length)
            parts = [tags.SNAPSHOT_ID, size, key, node.in_snapshot, iterations]
        if not inputs and not outputs and inputs is not None and outputs is not None:
            parts.append(_NOTHING)
        else:
            if inputs is not None:
                parts += (
                    tags.SNAPSHOT_INPUTS,
                    self._json(self._mask_inputs(inputs)) if inputs else _EMPTY_OBJECT,
                )
            if outputs is not None:
                # What has no inputs and gives outputs at once is mostly the start node: its outputs are the task's inputs.
                mask = self._mask_outputs if inputs or inputs is None else self._mask_inputs
                parts += (tags.SNAPSHOT_OUTPUTS, self._json(mask(outputs)) if outputs else _EMPTY_OBJECT)
        if branch:
            parts += (tags.SNAPSHOT_BRANCH, _text(branch))
        if error:
            parts += (tags.SNAPSHOT_ERROR, _text(error))
        snapshot = b"".join(parts)
        length = len(snapshot)
        size = SMALL_VARINTS[length] if length < SMALL else varint(length)
        return b"".join((node.in_event, status_info, tags.NODE_SNAPSHOT, size, snapshot))

    def _task_status_changed(self, event: TaskStatusChanged, moment: "_Moment") -> bytes:
        _, _, status, start_time, end_time, outputs = event
        status_info = moment.status_info(status, start_time, end_time)
        if outputs is None:
            return tags.TASK_STATUS + status_info
        return b"".join((tags.TASK_STATUS, status_info, tags.TASK_OUTPUTS, self._json(outputs)))

    def _moment_at(self, at: int) -> "_Moment":
        moment = self._moment
        if at != moment.at:
            self._moment = moment = _Moment(at)
        return moment

    def _json(self, value: JSONObject) -> bytes:
        # The outputs of the last node are its inputs, the outputs of the task, and its result: one object.
        last_value, encoded = self._last_value
        if value is not last_value:
            encoded = delimited(encode(value))
            self._last_value = value, encoded
        return encoded

    def _node(self, node_id: str) -> "_Node":
        if len(self._nodes) >= _CACHED_NODES:
            self._nodes.clear()
        encoded = _text(node_id)
        in_snapshot = tags.SNAPSHOT_NODE_ID + encoded
        snapshot = tags.SNAPSHOT_ID + encoded + in_snapshot
        node = _Node(tags.NODE_ID + encoded + tags.NODE_STATUS, in_snapshot, snapshot)
        return self._nodes.setdefault(node_id, node)


def encode_delta(*, node_id: str, snapshot_id: str, text: str, at: int, from_start: bool = False) -> bytes:
    """A piece of text that a node gave as a serialized `WatchTaskResponse`."""
    start = tags.DELTA_FROM_START + b"\x01" if from_start else b""
    node, snapshot = tags.DELTA_NODE_ID + _text(node_id), tags.DELTA_SNAPSHOT_ID + _text(snapshot_id)
    delta = b"".join((node, snapshot, tags.DELTA_TEXT, _text(text), start))
    event = b"".join((tags.EVENT_TIME, timestamp(at), tags.EVENT_OUTPUT_DELTA, delimited(delta)))
    return tags.RESPONSE_EVENTS + delimited(event)


def without_first(events: bytes, count: int) -> bytes:
    """A serialized `WatchTaskResponse` without its first `count` events."""
    return events[skip_delimited(events, count) :] if count else events


def split(events: bytes, max_bytes: int) -> Iterator[bytes]:
    """A serialized `WatchTaskResponse` in pieces that are such responses too, of at most so many bytes.

    An event is never cut: one that is larger comes as it is.
    """
    if len(events) <= max_bytes:
        yield events
        return
    begin = end = 0
    while end < len(events):
        following = skip_delimited(events, 1, end)
        if following - begin > max_bytes and end > begin:
            yield events[begin:end]
            begin = end
        end = following
    yield events[begin:]


def to_basic(events: bytes) -> bytes:
    """A serialized `WatchTaskResponse` in the BASIC view: without the JSON of inputs and outputs."""
    response = service.WatchTaskResponse.FromString(events)
    for event in response.events:
        match event.WhichOneof("event"):
            case "node_status_changed":
                snapshot = event.node_status_changed.snapshot
                snapshot.ClearField("inputs")
                snapshot.ClearField("outputs")
            case "task_status_changed":
                event.task_status_changed.ClearField("outputs")
            case _:
                pass
    return response.SerializeToString()


class _Moment:
    """What the events of one step share.

    Attributes:
        at: The time of the step.
        time: The same, encoded.
        tagged_time: The same as a field of an event.
        ended: By status, the `StatusInfo` of runs that began and ended now; empty where it was not needed yet.
    """

    __slots__ = ("at", "ended", "tagged_time", "time")

    def __init__(self, at: int) -> None:
        self.at = at
        self.time = duration(at)
        self.tagged_time = tags.EVENT_TIME + self.time
        self.ended = _NONE_ENDED.copy()

    def status_info(self, status: Status, start_time: int, end_time: int | None) -> bytes:
        """The `StatusInfo` of a task or run that moves to a status now."""
        if start_time == self.at:
            if end_time == self.at:
                return self.ended[status] or self._end(status)
            if end_time is None:
                return delimited(b"".join((_STATUS[status], tags.STATUS_START_TIME, self.time, _NO_TIME)))
        return _status_info(status, start_time, end_time, self.at)

    def _end(self, status: Status) -> bytes:
        time = self.time
        start, end = tags.STATUS_START_TIME + time, tags.STATUS_END_TIME + time
        info = b"".join((_STATUS[status], start, end, _NO_TIME))
        self.ended[status] = encoded = delimited(info)
        return encoded


_NO_TIME = tags.STATUS_TIME_COST + b"\x00"
_NONE_ENDED = [b""] * (max(Status) + 1)
_STATUS = [
    tags.STATUS_STATUS
    + varint(status)
    + (tags.STATUS_TERMINATED + b"\x01" if status >= Status.SUCCEEDED else b"")
    for status in range(max(Status) + 1)
]
"""By status: the fields of a `StatusInfo` that follow from it, `status` and `terminated`."""
_EMPTY_OBJECT = delimited(b"{}")
_NOTHING = tags.SNAPSHOT_INPUTS + _EMPTY_OBJECT + tags.SNAPSHOT_OUTPUTS + _EMPTY_OBJECT
"""The inputs and outputs of a node that has neither."""
_NO_VALUE: tuple[JSONObject, bytes] = ({}, _EMPTY_OBJECT)


def _message(event: MessageLogged, time: bytes) -> bytes:
    parts = [tags.MESSAGE_ID, _text(event.id), tags.MESSAGE_TYPE, varint(event.type)]
    parts += (tags.MESSAGE_TEXT, _text(event.text))
    if event.node_id:
        parts += (tags.MESSAGE_NODE_ID, _text(event.node_id))
    return b"".join((*parts, tags.MESSAGE_TIME, time))


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


def _iteration(iteration: tuple[str, int]) -> bytes:
    loop_node_id, index = iteration
    loop = tags.ITERATION_LOOP_NODE_ID + _text(loop_node_id)
    return tags.SNAPSHOT_ITERATIONS + delimited(loop + tags.ITERATION_INDEX + varint(index))


def _text(text: str) -> bytes:
    return delimited(utf8(text))
