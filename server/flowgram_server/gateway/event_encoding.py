"""Event encoding: the events of a task as the bytes that a watch sends.

For clients that can read it there is the contract's own encoding, which costs next to nothing. Server-Sent Events are put together
from byte strings: a task has tens of thousands of events, and a page that opens it waits for all of them. So an event is not made into a
dictionary first, as the other answers are: its members are written into templates, each attribute of a message is read once, and
what many events share (nodes, statuses, iterations) is encoded once. The shapes are those of docs/rest.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import orjson

from flowgram.runtime.v1.event_pb2 import NodeStatusChanged, OutputDelta, TaskEvent, TaskStatusChanged
from flowgram.runtime.v1.report_pb2 import Snapshot, StatusInfo
from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_server.gateway import json_encoding
from flowgram_server.gateway.json_encoding import LINE_ENDS, milliseconds

_PIECE: Final = 500
"""So many events are encoded at once, in some milliseconds; then others have their turn."""

_FAILURE: Final = 1000
"""The field that says why a watch ended, in the encoding of the contract, which has no such field: clients skip it."""

_text = orjson.dumps


def serialized(events: Sequence[TaskEvent]) -> bytes:
    """Events as a serialized `WatchTaskResponse`. What several calls give makes one such response, put together."""
    return WatchTaskResponse(events=events).SerializeToString()


def serialized_failure(body: bytes) -> bytes:
    """The body of an error, as a part of a serialized `WatchTaskResponse`."""
    return _varint(_FAILURE << 3 | 2) + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def pieces(events: Sequence[TaskEvent]) -> Iterator[bytes]:
    """Events as Server-Sent Events, some hundred at a time."""
    remaining = iter(events)
    while piece := list(islice(remaining, _PIECE)):
        yield frames(piece)


def frames(events: Iterable[TaskEvent]) -> bytes:
    """Events as Server-Sent Events, each with its sequence as the id; nothing for a kind that is not known.

    What is not durable has no id, so that nobody resumes after it.
    """
    encoder = _Encoder()
    return b"".join([encoder.frame(event) for event in events])


class _Encoder:
    """Encodes some events. It keeps as much as they are, so it is for one piece only."""

    def __init__(self) -> None:
        self._ids: dict[str, bytes] = {}
        self._statuses: dict[bytes, bytes] = {}

    def frame(self, event: TaskEvent) -> bytes:
        """An event; nothing for a kind that is not known."""
        kind = event.WhichOneof("event")
        match kind:
            case "node_status_changed":
                members = self._node_status_changed(event.node_status_changed)
            case "output_delta":
                members = _output_delta(event.output_delta)
            case "message":
                said = json_encoding.message(event.message)
                members = b'"message":%b' % json_encoding.encode(said)
            case "task_status_changed":
                members = self._task_status_changed(event.task_status_changed)
            case _:
                return b""
        sequence, at = event.sequence, milliseconds(event.time)
        if not sequence:
            return b'data: {"type":"%b","timestamp":%d,%b}\n\n' % (kind.encode(), at, members)
        template = b'id: %d\ndata: {"type":"%b","sequence":%d,"timestamp":%d,%b}\n\n'
        return template % (sequence, kind.encode(), sequence, at, members)

    def _node_status_changed(self, changed: NodeStatusChanged) -> bytes:
        node_id, snapshot = changed.node_id, changed.snapshot
        return b'"nodeID":%b,"nodeStatus":%b,"snapshot":{"id":%b,"nodeID":%b%b}' % (
            self._ids.get(node_id) or self._id(node_id),
            self._status(changed.status),
            _text(snapshot.id),
            self._id(snapshot.node_id),
            self._news(snapshot),
        )

    def _news(self, snapshot: Snapshot) -> bytes:
        """The members that an event tells of a run: the one that ends it repeats nothing."""
        encoded = b""
        if iterations := snapshot.iterations:
            each = [
                b'{"loopNodeID":%b,"index":%d}' % (self._id(one.loop_node_id), one.index)
                for one in iterations
            ]
            encoded = b',"iterations":[%b]' % b",".join(each)
        if inputs := snapshot.inputs:
            encoded += b',"inputs":%b' % _on_one_line(inputs)
        if outputs := snapshot.outputs:
            encoded += b',"outputs":%b' % _on_one_line(outputs)
        if branch := snapshot.branch:
            encoded += b',"branch":%b' % self._id(branch)
        if error := snapshot.error:
            encoded += b',"error":%b' % _text(error)
        return encoded

    def _task_status_changed(self, changed: TaskStatusChanged) -> bytes:
        members = b'"workflowStatus":%b' % self._status(changed.status)
        if outputs := changed.outputs:
            members += b',"outputs":%b' % _on_one_line(outputs)
        return members

    def _status(self, status: StatusInfo) -> bytes:
        key = status.SerializeToString()  # one step to the whole of it; there are a dozen in its fields
        encoded = self._statuses.get(key)
        if encoded is None:
            encoded = self._statuses[key] = json_encoding.encode(json_encoding.status(status))
        return encoded

    def _id(self, name: str) -> bytes:
        encoded = self._ids.get(name)
        if encoded is None:
            encoded = self._ids[name] = _text(name)
        return encoded


def _output_delta(delta: OutputDelta) -> bytes:
    ids = b'"nodeID":%b,"snapshotID":%b' % (_text(delta.node_id), _text(delta.snapshot_id))
    return b'%b,"text":%b%b' % (ids, _text(delta.text), b',"fromStart":true' if delta.from_start else b"")


def _on_one_line(text: str) -> bytes:
    """JSON text without ends of lines: they stand between its parts only, where a blank means the same."""
    return text.encode().translate(LINE_ENDS) if "\n" in text or "\r" in text else text.encode()
