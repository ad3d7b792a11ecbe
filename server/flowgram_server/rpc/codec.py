"""The codec: events and results as wire messages of the contract.

An event is encoded once, when it happens. The bytes of a batch are a serialized `WatchTaskResponse` with the batch's
events: what is stored is what a watcher gets, and two batches one after the other are such a response again.

What begins a field is written as a byte here: its number in the contract times 8, plus 0 for a number and 2 for a text
or a message. The tests compare everything that is written with what Protocol Buffers reads.
"""

from collections.abc import Iterable, Iterator, Sequence

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
from flowgram_server.rpc.wire import delimited, duration, skip_delimited, timestamp, utf8, varint

HEARTBEAT = b""
"""A `WatchTaskResponse` without events."""

_CACHED_NODE_IDS = 10_000


class Codec:
    """Encodes events and results. Several threads may do so at once.

    Args:
        secrets: Masks the inputs and outputs of snapshots.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._mask_inputs = secrets.mask_inputs
        self._mask_outputs = secrets.mask_outputs
        self._node_ids: dict[str, bytes] = {}
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
                kind, body = b"\x22", self._node_status_changed(event, moment, encoded_iterations)
            elif isinstance(event, TaskStatusChanged):
                kind, body = b"\x1a", self._task_status_changed(event, moment)
            else:
                kind, body = b"\x2a", _message(event, moment.time)
            number, tagged_time, size = varint(event[0]), moment.tagged_time, varint(len(body))
            event_size = varint(2 + len(number) + len(tagged_time) + len(size) + len(body))
            parts += (b"\x0a", event_size, b"\x08", number, tagged_time, kind, size, body)
        return b"".join(parts)

    def encode_result(self, finished: Finished) -> bytes:
        """The outcome of a task as a serialized `TaskResultResponse`."""
        status, _, _, start_time, end_time = finished
        parts = [b"\x0a", self._moment_at(end_time).status_info(status, start_time, end_time)]
        if finished.outputs is not None:
            parts += (b"\x12", self._json(finished.outputs))
            self._last_value = _NO_VALUE  # it is the last use of it, and may be large
        for error in finished.errors:
            parts += (b"\x1a", delimited(_message(error, timestamp(error.at))))
        return b"".join(parts)

    def _node_status_changed(self, event: NodeStatusChanged, moment: "_Moment", iterations: bytes) -> bytes:
        _, _, node_id, status, start_time, end_time, snapshot_id, _, inputs, outputs, branch, error = event
        status_info = moment.status_info(status, start_time, end_time)
        encoded_id = self._node_ids.get(node_id) or self._node_id(node_id)
        key = encoded_id if snapshot_id is node_id else _text(snapshot_id)
        parts = [b"\x0a", key, b"\x12", encoded_id, iterations]
        if inputs is not None:
            parts += (b"\x22", self._json(self._mask_inputs(inputs)) if inputs else _EMPTY_OBJECT)
        if outputs is not None:
            # What has no inputs and gives outputs at once is mostly the start node: its outputs are the task's inputs.
            mask = self._mask_outputs if inputs or inputs is None else self._mask_inputs
            parts += (b"\x2a", self._json(mask(outputs)) if outputs else _EMPTY_OBJECT)
        if branch:
            parts += (b"\x3a", _text(branch))
        if error:
            parts += (b"\x42", _text(error))
        snapshot = delimited(b"".join(parts))
        return b"".join((b"\x0a", encoded_id, b"\x12", status_info, b"\x1a", snapshot))

    def _task_status_changed(self, event: TaskStatusChanged, moment: "_Moment") -> bytes:
        _, _, status, start_time, end_time, outputs = event
        status_info = moment.status_info(status, start_time, end_time)
        if outputs is None:
            return b"\x0a" + status_info
        return b"".join((b"\x0a", status_info, b"\x12", self._json(outputs)))

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

    def _node_id(self, node_id: str) -> bytes:
        if len(self._node_ids) >= _CACHED_NODE_IDS:
            self._node_ids.clear()
        return self._node_ids.setdefault(node_id, _text(node_id))


def encode_delta(*, node_id: str, snapshot_id: str, text: str, at: int, from_start: bool = False) -> bytes:
    """A piece of text that a node gave as a serialized `WatchTaskResponse`."""
    start = b"\x20\x01" if from_start else b""
    delta = b"".join((b"\x0a", _text(node_id), b"\x12", _text(snapshot_id), b"\x1a", _text(text), start))
    return b"\x0a" + delimited(b"".join((b"\x12", timestamp(at), b"\x32", delimited(delta))))


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
        self.tagged_time = b"\x12" + self.time
        self.ended = _NONE_ENDED.copy()

    def status_info(self, status: Status, start_time: int, end_time: int | None) -> bytes:
        """The `StatusInfo` of a task or run that moves to a status now."""
        if start_time == self.at:
            if end_time == self.at:
                return self.ended[status] or self._end(status)
            if end_time is None:
                return delimited(b"".join((_STATUS[status], b"\x1a", self.time, b"\x2a\x00")))
        return _status_info(status, start_time, end_time, self.at)

    def _end(self, status: Status) -> bytes:
        time = self.time
        info = b"".join((_STATUS[status], b"\x1a", time, b"\x22", time, b"\x2a\x00"))
        self.ended[status] = encoded = delimited(info)
        return encoded


_NONE_ENDED = [b""] * (max(Status) + 1)
_STATUS = [
    b"\x08" + varint(status) + (b"\x10\x01" if status >= Status.SUCCEEDED else b"")
    for status in range(max(Status) + 1)
]
"""By status: the fields of a `StatusInfo` that follow from it, `status` and `terminated`."""
_EMPTY_OBJECT = delimited(b"{}")
_NO_VALUE: tuple[JSONObject, bytes] = ({}, _EMPTY_OBJECT)


def _message(event: MessageLogged, time: bytes) -> bytes:
    parts = [b"\x0a", _text(event.id), b"\x10", varint(event.type), b"\x1a", _text(event.text)]
    if event.node_id:
        parts += (b"\x22", _text(event.node_id))
    return b"".join((*parts, b"\x2a", time))


def _status_info(status: Status, start_time: int, end_time: int | None, at: int) -> bytes:
    parts = [_STATUS[status]]
    if start_time:
        parts += (b"\x1a", timestamp(start_time))
    if end_time is not None:
        parts += (b"\x22", timestamp(end_time))
    if start_time:
        elapsed = (at if end_time is None else end_time) - start_time
        parts += (b"\x2a", duration(elapsed) if elapsed > 0 else b"\x00")
    return delimited(b"".join(parts))


def _iteration(iteration: tuple[str, int]) -> bytes:
    loop_node_id, index = iteration
    return b"\x1a" + delimited(b"".join((b"\x0a", _text(loop_node_id), b"\x10", varint(index))))


def _text(text: str) -> bytes:
    return delimited(utf8(text))
