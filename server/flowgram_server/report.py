"""The report of a task: what the events of its log add up to."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from flowgram.runtime.v1.event_pb2 import NodeStatusChanged, TaskEvent
from flowgram.runtime.v1.report_pb2 import STATUS_CANCELED, NodeReport, Report, Snapshot
from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_runtime.journal.port import Batch
from flowgram_runtime.modeling.json_text import JSONObject, dumps, loads
from flowgram_runtime.secrets import Secrets
from flowgram_server.convert.responses import elapsed
from flowgram_server.errors import MessageTooLarge

_PIECE_BYTES = 64 * 1024
_NOT_DATA = ("title", "inputs", "outputs", "inputsValues")


class ReportFold:
    """Adds events to a report.

    Args:
        task_id: The task.
        inputs: JSON text of the task's inputs.
        basic: Whether to leave the JSON of inputs and outputs out.
        node_data: By node, the JSON text of its data, which every snapshot of it gets.
    """

    def __init__(self, task_id: str, inputs: str, *, basic: bool, node_data: dict[str, str]) -> None:
        self.report = Report(task_id=task_id, inputs="" if basic else inputs)
        self._basic = basic
        self._node_data = node_data
        self._nodes: dict[str, NodeReport] = {}
        self._running: dict[str, Snapshot] = {}

    def add(self, events: bytes) -> None:
        """Adds the events of a serialized `WatchTaskResponse`."""
        event: TaskEvent
        for event in WatchTaskResponse.FromString(events).events:
            kind = event.WhichOneof("event")
            if kind == "node_status_changed":
                self._add_node(event.node_status_changed)
            elif kind == "message":
                self.report.messages.append(event.message)
            elif kind == "task_status_changed":
                self.report.status.CopyFrom(event.task_status_changed.status)
                if not self._basic:
                    self.report.outputs = event.task_status_changed.outputs
            self.report.last_sequence = event.sequence

    def _add_node(self, change: NodeStatusChanged) -> None:
        node = self._nodes.get(change.node_id)
        if node is None:
            node = self._nodes[change.node_id] = self.report.nodes.add(node_id=change.node_id)
        node.status.CopyFrom(change.status)
        news = change.snapshot
        snapshot = self._running.pop(news.id, None)
        if snapshot is None:
            snapshot = node.snapshots.add()
            snapshot.CopyFrom(news)
            snapshot.data = self._node_data.get(change.node_id, "")
        else:
            del news.iterations[:]  # merging would append them
            snapshot.MergeFrom(news)
        if not change.status.terminated:
            self._running[news.id] = snapshot
        if self._basic:
            snapshot.ClearField("inputs")
            snapshot.ClearField("outputs")


async def fold_report(fold: ReportFold, batches: Iterable[Batch], max_bytes: int, now: int) -> Report:
    """The report with all batches added, a piece at a time, so that others have their turn in between.

    Args:
        fold: An empty report.
        batches: The task's log.
        max_bytes: No report is larger.
        now: The time that counts for what is running, in microseconds since the epoch.

    Raises:
        MessageTooLarge: The report grew beyond `max_bytes`.
    """
    folded = 0
    next_check = max_bytes
    for piece in _pieces(batches):
        fold.add(piece)
        folded += len(piece)
        if folded > next_check:
            if fold.report.ByteSize() > max_bytes:
                break
            next_check = 2 * folded
        await asyncio.sleep(0)
    if fold.report.ByteSize() > max_bytes:
        raise MessageTooLarge(max_bytes, "ask for VIEW_BASIC, or watch the task")
    task = fold.report.status
    for status in (task, *(node.status for node in fold.report.nodes)):
        if status.terminated or not status.HasField("start_time"):
            continue
        until = now
        if task.terminated:  # it was given up, and nobody was there to end its nodes
            status.status, status.terminated = STATUS_CANCELED, True
            status.end_time.CopyFrom(task.end_time)
            until = task.end_time.ToMicroseconds()
        status.time_cost.CopyFrom(elapsed(status.start_time.ToMicroseconds(), until))
    return fold.report


def node_data(schema: str, secrets: Secrets) -> dict[str, str]:
    """By node, the JSON text of what a valid schema says beyond title, inputs and outputs; blocks included, secrets masked."""
    found: dict[str, str] = {}
    document: Any = loads(schema)
    pending: list[JSONObject] = list(document["nodes"])
    while pending:
        node = pending.pop()
        data = {key: value for key, value in node["data"].items() if key not in _NOT_DATA}
        found[node["id"]] = dumps(secrets.mask_data(data))
        pending += node.get("blocks") or ()
    return found


def _pieces(batches: Iterable[Batch]) -> Iterator[bytes]:
    """The events of all batches, joined to pieces that are neither many nor large."""
    joined: list[bytes] = []
    size = 0
    for batch in batches:
        joined.append(batch.events)
        size += len(batch.events)
        if size >= _PIECE_BYTES:
            yield b"".join(joined)
            joined, size = [], 0
    yield b"".join(joined)
