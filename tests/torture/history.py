"""What a client has seen about its tasks, and what it must therefore never see again."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.torture.workflows import Variant

from flowgram.runtime.v1 import event_pb2, report_pb2
from flowgram.runtime.v1 import runtime_service_pb2 as service

_EVENTS_FIELD = 0x0A


class EndedRun(NamedTuple):
    """The end of a node's run, as it was seen.

    Attributes:
        seen: When, first (`time.monotonic`).
        status: How it ended.
    """

    seen: float
    status: int


class Violation(AssertionError):
    """A promise that was broken; the text says which."""


@dataclass
class History:
    """What was reported about one task.

    Attributes:
        variant: What it runs.
        tag: Its name among all tasks of the test, by which its calls are known.
        task_id: Its id, once it was accepted.
        events: The bytes of each event, by sequence.
        ended_runs: The runs of nodes whose end was seen.
        terminated: Whether its last event was seen.
        result: The bytes of its result, once that was reported.
        reports: All reports.
        canceled: Whether a cancel was answered with success.
        cancel_asked: Whether a cancel may have reached the server.
        checked: How often something that was reported before was reported again, the same.
    """

    variant: Variant
    tag: str
    task_id: str = ""
    events: dict[int, bytes] = field(default_factory=dict)
    ended_runs: dict[str, EndedRun] = field(default_factory=dict)
    terminated: bool = False
    result: bytes | None = None
    reports: list[report_pb2.Report] = field(default_factory=list)
    canceled: bool = False
    cancel_asked: bool = False
    checked: int = 0

    def accepted(self, task_id: str) -> None:
        """An answer to its request named this id."""
        if self.task_id and self.task_id != task_id:
            raise Violation(f"{self.tag}: one request_id, two tasks: {self.task_id} and {task_id}")
        self.task_id = task_id

    def saw(self, events: bytes, after: int) -> int:
        """A watcher that had seen `after` got a response; gives the last sequence that it has seen now."""
        for encoded in split_events(events):
            event = event_pb2.TaskEvent.FromString(encoded)
            if not event.sequence:
                continue
            if event.sequence != after + 1:
                raise Violation(f"{self.tag}: event {event.sequence} follows event {after}")
            after = event.sequence
            known = self.events.setdefault(after, encoded)
            if known is not encoded:
                self.checked += 1
                if known != encoded:
                    raise Violation(f"{self.tag}: event {after} was {known!r}, and now is {encoded!r}")
            elif event.HasField("node_status_changed"):
                changed = event.node_status_changed
                if changed.status.terminated:
                    ended = EndedRun(time.monotonic(), changed.status.status)
                    self.ended_runs.setdefault(changed.snapshot.id, ended)
            elif event.HasField("task_status_changed"):
                self.terminated = event.task_status_changed.status.terminated
        return after

    def settled(self, result: bytes) -> None:
        """An answer had its result."""
        if self.result is not None:
            self.checked += 1
            if self.result != result:
                raise Violation(f"{self.tag}: its result was {self.result!r}, and now is {result!r}")
        self.result = result

    def reported(self, report: report_pb2.Report) -> None:
        """An answer gave a report."""
        self.reports.append(report)


def split_events(response: bytes) -> Iterator[bytes]:
    """The events of a serialized `WatchTaskResponse`, each as it was sent."""
    position = 0
    while position < len(response):
        if response[position] != _EVENTS_FIELD:
            raise Violation(f"a response has a field that is no event: {response[:40]!r}")
        length = shift = 0
        while True:
            position += 1
            length |= (response[position] & 0x7F) << shift
            shift += 7
            if not response[position] & 0x80:
                break
        position += 1
        yield response[position : position + length]
        position += length


def result_of(answer: service.TaskRunResponse | service.TaskResultResponse) -> bytes:
    """The result in an answer, whichever call gave it."""
    result = service.TaskResultResponse(status=answer.status, outputs=answer.outputs, errors=answer.errors)
    return result.SerializeToString(deterministic=True)


Outcome = dict[str, Any]
"""How a task went, without times and without its tag: comparable with other tasks of its variant."""


def outcome_of(events: Iterator[bytes], tag: str) -> Outcome:
    """How a task went, folded from its events."""
    runs: dict[str, dict[str, Any]] = {}
    task: dict[str, Any] = {}
    messages = []
    for encoded in events:
        event = event_pb2.TaskEvent.FromString(encoded)
        match event.WhichOneof("event"):
            case "node_status_changed":
                changed = event.node_status_changed
                run = runs.setdefault(changed.snapshot.id, {})
                run["status"] = changed.status.status
                for name in ("inputs", "outputs", "branch", "error"):
                    if value := getattr(changed.snapshot, name):
                        run[name] = value
            case "task_status_changed":
                task = {
                    "status": event.task_status_changed.status.status,
                    "outputs": event.task_status_changed.outputs,
                }
            case _:
                messages.append((event.message.type, event.message.text, event.message.node_id))
    plain: Outcome = json.loads(
        json.dumps({"task": task, "runs": runs, "messages": sorted(messages)}).replace(tag, "TAG")
    )
    return plain
