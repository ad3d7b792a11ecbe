"""The codec: events and results as wire messages of the contract.

An event is encoded once, when it happens. The bytes of a batch are a serialized `WatchTaskResponse` with the batch's
events: what is stored is what a watcher gets, and two batches one after the other are such a response again.

Messages are put together from tags and encoded values. The tests compare everything that is written with what Protocol
Buffers reads.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

from mypy_extensions import mypyc_attr

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
from flowgram_server.rpc import tags
from flowgram_server.rpc.moment import Moment
from flowgram_server.rpc.wire import (
    SMALL,
    SMALL_VARINTS,
    delimited,
    timestamp,
    utf8,
    varint,
)

_CACHED_NODES: Final = 10_000


@final
class _Node:
    """What events about a node have in common.

    Attributes:
        in_event: The beginning of a `NodeStatusChanged`, up to the value of its status.
        in_snapshot: The node id in a `Snapshot`.
        snapshot: The beginning of a `Snapshot` of a run that has the id of its node: outside of loops.
        in_loop: What follows the prefix in a `Snapshot` of a run in a loop, for a node whose key is its id.
        key_length: How many bytes of that are the key.
    """

    __slots__ = ("_silent", "_started", "in_event", "in_loop", "in_snapshot", "key_length", "snapshot")

    def __init__(self, node_id: str) -> None:
        key = utf8(node_id)
        encoded = delimited(key)
        self.key_length: int = len(key)
        self.in_event: bytes = tags.NODE_ID + encoded + tags.NODE_STATUS
        self.in_snapshot: bytes = tags.SNAPSHOT_NODE_ID + encoded
        self.in_loop: bytes = key + self.in_snapshot
        self.snapshot: bytes = tags.SNAPSHOT_ID + encoded + self.in_snapshot
        # One attribute each: several threads may encode at once.
        self._silent: tuple[str, bytes] = ("", delimited(self.snapshot + _NOTHING))
        self._started: tuple[bytes, bytes] = (b"", self.in_event)

    def silent_snapshot(self, branch: str) -> bytes:
        """The `Snapshot` of a run outside of loops that had neither inputs nor outputs, delimited."""
        known, encoded = self._silent
        if known != branch:
            encoded = delimited(self.snapshot + _nothing_but(branch))
            self._silent = branch, encoded
        return encoded

    def up_to_snapshot(self, status_info: bytes) -> bytes:
        """The beginning of a `NodeStatusChanged`, up to the value of its snapshot."""
        known, encoded = self._started
        if known is not status_info:
            encoded = self.in_event + status_info
            self._started = status_info, encoded
        return encoded


@mypyc_attr(allow_interpreted_subclasses=True)
class Codec:
    """Encodes events and results. Several threads may do so at once.

    Args:
        secrets: Masks the inputs and outputs of snapshots.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._nodes: dict[str, _Node] = {}
        self._loops: dict[str, bytes] = {}
        self._moment = Moment(0)
        # One attribute each: several threads may encode at once.
        self._last_value: tuple[JSONObject, bytes] = _NO_VALUE
        self._last_branch: tuple[str, bytes] = ("", _NOTHING)

    def masking(self, names: Iterable[str]) -> "Codec":
        """Such a codec for other secrets."""
        return Codec(Secrets(names))

    def encode(self, events: Sequence[Event]) -> bytes:
        """The events as a serialized `WatchTaskResponse`."""
        # One list of all parts, joined once: lengths are added up before, from the innermost message to the outermost.
        parts: list[bytes] = []
        moment = self._moment
        iterations: Iterations = ()
        encoded_iterations = b""
        prefix = ""
        encoded_prefix = b""
        for event in events:
            if isinstance(event, NodeStatusChanged):
                if event.at != moment.at:
                    moment = self._moment_at(event.at)
                if event.iterations is not iterations:
                    iterations = event.iterations
                    encoded_iterations = self._iterations(iterations)
                if event.key_prefix is not prefix:
                    prefix = event.key_prefix
                    encoded_prefix = utf8(prefix)
                if encoded_prefix:
                    self._add_run_in_loop(parts, event, moment, encoded_prefix, encoded_iterations)
                else:
                    self._add_run(parts, event, moment, encoded_iterations)
            elif isinstance(event, TaskStatusChanged):
                if event.at != moment.at:
                    moment = self._moment_at(event.at)
                body = self._task_status_changed(event, moment)
                _begin_event(parts, event.sequence, moment.task_time, len(body))
                parts.append(body)
            else:
                if event.at != moment.at:
                    moment = self._moment_at(event.at)
                body = _message(event, moment.time)
                _begin_event(parts, event.sequence, moment.message_time, len(body))
                parts.append(body)
        return b"".join(parts)

    def encode_result(self, finished: Finished) -> bytes:
        """The outcome of a task as a serialized `TaskResultResponse`."""
        status, start_time, end_time = finished.status, finished.start_time, finished.end_time
        parts = [tags.RESULT_STATUS, self._moment_at(end_time).status_info(status, start_time, end_time)]
        if finished.outputs is not None:
            parts += (tags.RESULT_OUTPUTS, self._json(finished.outputs))
            self._last_value = _NO_VALUE  # it is the last use of it, and may be large
        for error in finished.errors:
            parts += (tags.RESULT_ERRORS, delimited(_message(error, timestamp(error.at))))
        return b"".join(parts)

    def _add_run(
        self, parts: list[bytes], event: NodeStatusChanged, moment: Moment, iterations: bytes
    ) -> None:
        node_id, inputs, outputs = event.node_id, event.inputs, event.outputs
        node = self._nodes.get(node_id)
        if node is None:
            node = self._node(node_id)
        status_info = moment.node_status(event.status, event.start_time, event.end_time)
        is_silent = inputs is not None and outputs is not None and not inputs and not outputs
        is_silent = is_silent and not event.error
        if is_silent and event.key is node_id and not iterations:
            snapshot = node.silent_snapshot(event.branch)
        else:
            begin = (
                node.snapshot if event.key is node_id else _SNAPSHOT_ID + _text(event.key) + node.in_snapshot
            )
            values = self._silent_values(event.branch) if is_silent else self._values(event, inputs, outputs)
            length = len(begin) + len(iterations) + len(values)
            size = SMALL_VARINTS[length] if length < SMALL else varint(length)
            snapshot = b"".join((size, begin, iterations, values))
        length = len(node.in_event) + len(status_info) + len(snapshot)
        _begin_event(parts, event.sequence, moment.node_time, length)
        parts.append(node.in_event)
        parts.append(status_info)
        parts.append(snapshot)

    def _add_run_in_loop(
        self,
        parts: list[bytes],
        event: NodeStatusChanged,
        moment: Moment,
        prefix: bytes,
        iterations: bytes,
    ) -> None:
        node_id, inputs, outputs = event.node_id, event.inputs, event.outputs
        node = self._nodes.get(node_id)
        if node is None:
            node = self._node(node_id)
        begin = node.up_to_snapshot(moment.node_status(event.status, event.start_time, event.end_time))
        if event.key is node_id:
            key_length, end_of_key = node.key_length, node.in_loop
        else:
            key = utf8(event.key)
            key_length, end_of_key = len(key), key + node.in_snapshot
        key_length += len(prefix)
        key_size = SMALL_VARINTS[key_length] if key_length < SMALL else varint(key_length)
        if inputs is not None and outputs is not None and not inputs and not outputs and not event.error:
            values = self._silent_values(event.branch)
        else:
            values = self._values(event, inputs, outputs)
        length = (
            len(_SNAPSHOT_ID) + len(key_size) + len(prefix) + len(end_of_key) + len(iterations) + len(values)
        )
        head = _SNAPSHOT_HEADS[length] if length < _FEW_BYTES else varint(length) + _SNAPSHOT_ID
        _begin_event(
            parts, event.sequence, moment.node_time, len(begin) + len(head) - len(_SNAPSHOT_ID) + length
        )
        parts.append(begin)
        parts.append(head)
        parts.append(key_size)
        parts.append(prefix)
        parts.append(end_of_key)
        parts.append(iterations)
        parts.append(values)

    def _iterations(self, iterations: Iterations) -> bytes:
        encoded = b""
        for loop_node_id, index in iterations:
            loop = self._loops.get(loop_node_id)
            if loop is None:
                loop = self._loop(loop_node_id)
            number = SMALL_VARINTS[index] if index < SMALL else varint(index)
            length = len(loop) + len(number)
            size = SMALL_VARINTS[length] if length < SMALL else varint(length)
            encoded = b"".join((encoded, _SNAPSHOT_ITERATIONS, size, loop, number))
        return encoded

    def _loop(self, loop_node_id: str) -> bytes:
        if len(self._loops) >= _CACHED_NODES:
            self._loops.clear()
        encoded = tags.ITERATION_LOOP_NODE_ID + _text(loop_node_id) + tags.ITERATION_INDEX
        return self._loops.setdefault(loop_node_id, encoded)

    def _silent_values(self, branch: str) -> bytes:
        """The end of a `Snapshot` without inputs and outputs."""
        if not branch:
            return _NOTHING
        known, encoded = self._last_branch
        if known != branch:
            encoded = _nothing_but(branch)
            self._last_branch = branch, encoded
        return encoded

    def _values(
        self, event: NodeStatusChanged, inputs: JSONObject | None, outputs: JSONObject | None
    ) -> bytes:
        """The end of a `Snapshot`: from the inputs on."""
        parts: list[bytes] = []
        if inputs is not None:
            parts.append(tags.SNAPSHOT_INPUTS)
            parts.append(self._json(self._secrets.mask_inputs(inputs)) if inputs else _EMPTY_OBJECT)
        if outputs is not None:
            parts.append(tags.SNAPSHOT_OUTPUTS)
            if not outputs:
                parts.append(_EMPTY_OBJECT)
            elif inputs or inputs is None:
                parts.append(self._json(self._secrets.mask_outputs(outputs)))
            else:
                # What has no inputs and gives outputs at once is mostly the start node: its outputs are the task's inputs.
                parts.append(self._json(self._secrets.mask_inputs(outputs)))
        if event.branch:
            parts.append(tags.SNAPSHOT_BRANCH)
            parts.append(_text(event.branch))
        if event.error:
            parts.append(tags.SNAPSHOT_ERROR)
            parts.append(_text(event.error))
        return b"".join(parts)

    def _task_status_changed(self, event: TaskStatusChanged, moment: Moment) -> bytes:
        status_info = moment.status_info(event.status, event.start_time, event.end_time)
        outputs = event.outputs
        if outputs is None:
            return tags.TASK_STATUS + status_info
        return b"".join((tags.TASK_STATUS, status_info, tags.TASK_OUTPUTS, self._json(outputs)))

    def _moment_at(self, at: int) -> Moment:
        moment = self._moment
        if at != moment.at:
            self._moment = moment = Moment(at)
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
        return self._nodes.setdefault(node_id, _Node(node_id))


def _nothing_but(branch: str) -> bytes:
    """The end of the `Snapshot` of a run without inputs and outputs."""
    return _NOTHING + tags.SNAPSHOT_BRANCH + _text(branch) if branch else _NOTHING


def _begin_event(parts: list[bytes], sequence: int, tagged_time: bytes, length: int) -> None:
    """The beginning of an event, up to its body of so many bytes."""
    number = SMALL_VARINTS[sequence] if sequence < SMALL else varint(sequence)
    size = SMALL_VARINTS[length] if length < SMALL else varint(length)
    length += len(_EVENT_SEQUENCE) + len(number) + len(tagged_time) + len(size)
    parts.append(
        _EVENT_HEADS[length]
        if length < _FEW_BYTES
        else tags.RESPONSE_EVENTS + varint(length) + tags.EVENT_SEQUENCE
    )
    parts.append(number)
    parts.append(tagged_time)
    parts.append(size)


# Here, where they are looked at for every event, without a look into the other module.
_EVENT_SEQUENCE: Final = tags.EVENT_SEQUENCE
_SNAPSHOT_ID: Final = tags.SNAPSHOT_ID
_SNAPSHOT_ITERATIONS: Final = tags.SNAPSHOT_ITERATIONS
_FEW_BYTES: Final = 1024
_EVENT_HEADS: Final = tuple(
    tags.RESPONSE_EVENTS + varint(length) + tags.EVENT_SEQUENCE for length in range(_FEW_BYTES)
)
"""By the length of an event: its beginning, up to its number."""
_SNAPSHOT_HEADS: Final = tuple(varint(length) + tags.SNAPSHOT_ID for length in range(_FEW_BYTES))
"""By the length of a snapshot: its beginning, up to its id."""
_EMPTY_OBJECT: Final = delimited(b"{}")
_NOTHING: Final = tags.SNAPSHOT_INPUTS + _EMPTY_OBJECT + tags.SNAPSHOT_OUTPUTS + _EMPTY_OBJECT
"""The inputs and outputs of a node that has neither."""
_NO_VALUE: Final[tuple[JSONObject, bytes]] = ({}, _EMPTY_OBJECT)


def _message(event: MessageLogged, time: bytes) -> bytes:
    parts = [tags.MESSAGE_ID, _text(event.id), tags.MESSAGE_TYPE, varint(event.type)]
    parts += (tags.MESSAGE_TEXT, _text(event.text))
    if event.node_id:
        parts += (tags.MESSAGE_NODE_ID, _text(event.node_id))
    return b"".join((*parts, tags.MESSAGE_TIME, time))


def _text(text: str) -> bytes:
    return delimited(utf8(text))
