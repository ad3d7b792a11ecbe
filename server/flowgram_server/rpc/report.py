"""The report of a task, folded from the events of its log."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from flowgram.runtime.v1.event_pb2 import NodeStatusChanged, TaskEvent
from flowgram.runtime.v1.report_pb2 import STATUS_CANCELED, NodeReport, Report, Snapshot, StatusInfo
from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_core.concurrency.offload import run_in_thread_if_large
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.json_text import JSONObject, dumps, loads
from flowgram_core.modeling.normalization import normalize
from flowgram_server.rpc import tags
from flowgram_server.rpc.convert.responses import elapsed
from flowgram_server.rpc.errors import MessageTooLarge
from flowgram_server.rpc.wire import delimited, varint

_PIECE_BYTES = 64 * 1024
_ADVICE = "ask for VIEW_BASIC, or watch the task"

_NOT_DATA = ("title", "inputs", "outputs", "inputsValues")


class _Node:
    """What is known of a node: its status, and its runs, each as it stands in the report."""

    __slots__ = ("snapshots", "status")

    def __init__(self) -> None:
        self.status = StatusInfo()
        self.snapshots: list[bytes] = []


class ReportFold:
    """Adds events to a report. What has ended is kept encoded, as it is sent in the end.

    Args:
        task_id: The task.
        inputs: JSON text of the task's inputs.
        basic: Whether to leave the JSON of inputs and outputs out.
        node_data: By node, the JSON text of its data, which every snapshot of it gets.

    Attributes:
        status: The status of the task.
        size: So many bytes the report has at least.
    """

    def __init__(self, task_id: str, inputs: str, *, basic: bool, node_data: dict[str, str]) -> None:
        self._report = Report(task_id=task_id, inputs="" if basic else inputs)
        self.status = self._report.status
        self.size = len(self._report.inputs)
        self._basic = basic
        self._node_data = node_data
        self._nodes: dict[str, _Node] = {}
        self._running: dict[str, tuple[Snapshot, _Node, int]] = {}

    def add(self, events: bytes) -> None:
        """Adds the events of a serialized `WatchTaskResponse`."""
        event: TaskEvent
        for event in WatchTaskResponse.FromString(events).events:
            kind = event.WhichOneof("event")
            if kind == "node_status_changed":
                self._add_node(event.node_status_changed)
            elif kind == "message":
                self._report.messages.append(event.message)
                self.size += len(event.message.text)
            elif kind == "task_status_changed":
                self.status.CopyFrom(event.task_status_changed.status)
                if not self._basic:
                    self._report.outputs = event.task_status_changed.outputs
                    self.size += len(self._report.outputs)
            self._report.last_sequence = event.sequence

    def encoded(self, now: int) -> bytes:
        """The report so far, as a serialized `TaskReportResponse`; the times of what is running are those of now."""
        for snapshot, node, index in self._running.values():
            node.snapshots[index] = tags.NODE_REPORT_SNAPSHOTS + delimited(snapshot.SerializeToString())
        _go_on(self.status, self.status, now)
        parts = [self._report.SerializeToString()]
        for node_id, node in self._nodes.items():
            _go_on(node.status, self.status, now)
            head = NodeReport(node_id=node_id, status=node.status).SerializeToString()
            parts += (
                tags.REPORT_NODES,
                varint(len(head) + sum(map(len, node.snapshots))),
                head,
                *node.snapshots,
            )
        return b"".join((tags.REPORT_RESPONSE_REPORT, varint(sum(map(len, parts))), *parts))

    def _add_node(self, change: NodeStatusChanged) -> None:
        node = self._nodes.get(change.node_id)
        if node is None:
            node = self._nodes[change.node_id] = _Node()
        news = change.snapshot
        running = self._running.pop(news.id, None)
        if running is not None:
            snapshot, _, index = running
            del news.iterations[:]  # merging would append them
            snapshot.MergeFrom(news)
        else:
            snapshot, index = news, len(node.snapshots)
            snapshot.data = self._node_data.get(change.node_id, "")
            node.snapshots.append(b"")
        if self._basic:
            snapshot.ClearField("inputs")
            snapshot.ClearField("outputs")
        if change.status.terminated:
            node.snapshots[index] = encoded = tags.NODE_REPORT_SNAPSHOTS + delimited(
                snapshot.SerializeToString()
            )
            self.size += len(encoded)
        else:
            kept = Snapshot()
            kept.CopyFrom(snapshot)  # or it would keep all the events that it came with
            self._running[news.id] = kept, node, index
            self.size += len(kept.inputs) + len(kept.data)
        node.status.CopyFrom(change.status)


async def fold_report(fold: ReportFold, batches: AsyncIterable[Batch], max_bytes: int, now: int) -> bytes:
    """The report with all batches added, a piece at a time, so that other work on the event loop goes on in between.

    Args:
        fold: An empty report.
        batches: The task's log.
        max_bytes: No report is larger.
        now: The time that counts for what is running, in microseconds since the epoch.

    Returns:
        A serialized `TaskReportResponse`.

    Raises:
        MessageTooLarge: The report grew beyond `max_bytes`.
    """
    async for piece in _pieces(batches):
        fold.add(piece)
        if fold.size > max_bytes:
            raise MessageTooLarge(max_bytes, _ADVICE)
        await asyncio.sleep(0)
    encoded = await run_in_thread_if_large(fold.size, fold.encoded, now)
    if len(encoded) > max_bytes:
        raise MessageTooLarge(max_bytes, _ADVICE)
    return encoded


def _go_on(status: StatusInfo, task: StatusInfo, now: int) -> None:
    """What has not ended goes on until now, unless its task has ended."""
    if status.terminated or not status.HasField("start_time"):
        return
    until = now
    if task.terminated:  # it was ended from outside, which leaves its nodes as they were
        status.status, status.terminated = STATUS_CANCELED, True
        status.end_time.CopyFrom(task.end_time)
        until = task.end_time.ToMicroseconds()
    status.time_cost.CopyFrom(elapsed(status.start_time.ToMicroseconds(), until))


def node_data(schema: str, secrets: Secrets) -> dict[str, str]:
    """By node, the JSON text of what a valid schema says beyond title, inputs and outputs; blocks included, secrets masked."""
    found: dict[str, str] = {}
    document: Any = normalize(loads(schema, max_members=None))
    pending: list[JSONObject] = list(document["nodes"])
    while pending:
        node = pending.pop()
        data = {key: value for key, value in node["data"].items() if key not in _NOT_DATA}
        found[node["id"]] = dumps(secrets.mask_data(data))
        pending += node.get("blocks") or ()
    return found


async def _pieces(batches: AsyncIterable[Batch]) -> AsyncIterator[bytes]:
    """The events of all batches, joined to pieces that are neither many nor large."""
    joined: list[bytes] = []
    size = 0
    async for batch in batches:
        joined.append(batch.events)
        size += len(batch.events)
        if size >= _PIECE_BYTES:
            yield b"".join(joined)
            joined, size = [], 0
    yield b"".join(joined)
