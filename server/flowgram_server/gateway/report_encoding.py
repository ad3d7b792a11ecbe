"""The JSON text of a task's report, made of its serialized message a part at a time: for a thread, which holds up nobody."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message as ProtoMessage

from flowgram.runtime.v1.report_pb2 import Message, NodeReport, Report, Snapshot
from flowgram.runtime.v1.runtime_service_pb2 import TaskReportResponse
from flowgram_server.gateway.json_encoding import (
    MESSAGE_TYPES,
    encode,
    message,
    outcome,
    status,
    whole_snapshot,
)
from flowgram_server.message_fields import fields_of

CHUNK: Final = 256 * 1024
"""Bytes of a chunk, or some more."""
_AT_ONCE: Final = 200
"""Parts of a report that are put in shape at once."""
_LARGE: Final = 64 * 1024
"""Bytes of a run whose texts are passed on as they are."""

_Bytes: TypeAlias = bytes | memoryview
_NO_OBJECT: Final = b"{}"


def _number(of: type[ProtoMessage], field: str) -> int:
    return of.DESCRIPTOR.fields_by_name[field].number


_REPORT = _number(TaskReportResponse, "report")
_NODES, _MESSAGES = _number(Report, "nodes"), _number(Report, "messages")
_INPUTS, _OUTPUTS = _number(Report, "inputs"), _number(Report, "outputs")
_SNAPSHOTS = _number(NodeReport, "snapshots")
_RUN_TEXTS = {_number(Snapshot, name): name for name in ("inputs", "outputs", "data")}


def report_chunks(response: bytes) -> list[bytes]:
    """The JSON text of a report, in chunks.

    Args:
        response: A serialized `TaskReportResponse`, whose texts are JSON.

    Raises:
        DecodeError: It is none.
    """
    chunks: list[bytes] = []
    parts: list[_Bytes] = []
    size = 0
    for part in _report(_Split(memoryview(response), _REPORT).joined(_REPORT)):
        parts.append(part)
        size += len(part)
        if size >= CHUNK:
            chunks.append(b"".join(parts))
            parts, size = [], 0
    return [*chunks, b"".join(parts)]


class _Split:
    """A message, with some of its fields apart.

    Attributes:
        rest: Its other fields: a serialized message.
        apart: The values of the fields that are apart, in order, by number.
    """

    def __init__(self, data: memoryview, *numbers: int) -> None:
        rest: list[memoryview] = []
        self.apart: dict[int, list[memoryview]] = {number: [] for number in numbers}
        for field in fields_of(data):
            values = self.apart.get(field.number)
            if values is None:
                rest.append(data[field.start : field.end])
            else:
                values.append(data[field.begin : field.end])
        self.rest = b"".join(rest)

    def joined(self, number: int) -> memoryview:
        """The message in a field: where it came in several parts, these together are it."""
        values = self.apart[number]
        return values[0] if len(values) == 1 else memoryview(b"".join(values))

    def text(self, number: int) -> _Bytes:
        """The last text of a field that may be there once."""
        values = self.apart[number]
        return values[-1] if values else b""


def _report(data: memoryview) -> Iterator[_Bytes]:
    split = _Split(data, _NODES, _MESSAGES, _INPUTS, _OUTPUTS)
    report = Report.FromString(split.rest)
    yield b'{"id":%b,"inputs":' % encode(report.task_id)
    yield from _windows(split.text(_INPUTS) or _NO_OBJECT)
    yield b',"outputs":'
    yield from _windows(split.text(_OUTPUTS) or _NO_OBJECT)
    yield b',"workflowStatus":%b,"reports":{' % encode(status(report.status))
    for index, node in enumerate(split.apart[_NODES]):
        yield from _node(node, b"," if index else b"")
    yield b'},"messages":{'
    by_type: dict[str, list[Message]] = {word: [] for word in MESSAGE_TYPES.values()}
    for each in map(Message.FromString, map(bytes, split.apart[_MESSAGES])):
        by_type[MESSAGE_TYPES.get(each.type, "log")].append(each)
    for index, (word, found) in enumerate(by_type.items()):
        yield b"%b%b:[" % (b"," if index else b"", encode(word))
        yield from _in_pieces(found, message)
        yield b"]"
    yield b"}}"


def _node(data: memoryview, comma: bytes) -> Iterator[_Bytes]:
    """All runs of a node. The status is that of the latest one."""
    split = _Split(data, _SNAPSHOTS)
    node = NodeReport.FromString(split.rest)
    head = encode({"id": node.node_id, **status(node.status)})
    yield b'%b%b:%b,"snapshots":[' % (comma, encode(node.node_id), head[:-1])
    small: list[memoryview] = []
    comma = b""
    for run in split.apart[_SNAPSHOTS]:
        if len(run) <= _LARGE:
            small.append(run)
            if len(small) < _AT_ONCE:
                continue
        if small:
            yield comma
            yield _small_runs(small)
            small, comma = [], b","
        if len(run) > _LARGE:
            yield comma
            yield from _large_run(run)
            comma = b","
    if small:
        yield comma
        yield _small_runs(small)
    yield b"]}"


def _small_runs(runs: Iterable[memoryview]) -> bytes:
    return encode([whole_snapshot(Snapshot.FromString(bytes(run))) for run in runs])[1:-1]


def _large_run(data: memoryview) -> Iterator[_Bytes]:
    """One run, whose texts are not decoded."""
    split = _Split(data, *_RUN_TEXTS)
    snapshot = Snapshot.FromString(split.rest)
    texts = {name: split.text(number) for number, name in _RUN_TEXTS.items()}
    yield encode({"id": snapshot.id, "nodeID": snapshot.node_id})[:-1]
    for name in ("inputs", "data", "outputs"):
        if texts[name] or name != "outputs":
            yield b",%b:" % encode(name)
            yield from _windows(texts[name] or _NO_OBJECT)
    others = encode(outcome(snapshot))[1:]
    yield b"," + others if len(others) > 1 else others


def _in_pieces(parts: Iterable[Any], shape: Callable[[Any], Any]) -> Iterator[bytes]:
    remaining = iter(parts)
    comma = b""
    while piece := [shape(each) for each in islice(remaining, _AT_ONCE)]:
        yield comma + encode(piece)[1:-1]
        comma = b","


def _windows(text: _Bytes) -> Iterator[_Bytes]:
    for start in range(0, len(text), CHUNK):
        yield text[start : start + CHUNK]
