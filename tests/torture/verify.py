"""What must hold in the end: everything that was reported is in the log, and the tasks went as they should."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.torture.history import History, Outcome, outcome_of, split_events
from tests.torture.mock_server import CallKey
from tests.torture.workflows import Variant

from flowgram.runtime.v1 import event_pb2, report_pb2
from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.journal.sqlite import SQLiteJournal

_MUCH = 1 << 26


async def logs(data: Path) -> dict[str, tuple[TaskRecord, list[bytes]]]:
    """All tasks of a journal that no server has open, by id, with their events."""
    journal = await SQLiteJournal.open(data / "journal.sqlite3")
    try:
        found: dict[str, tuple[TaskRecord, list[bytes]]] = {}
        for record in await journal.tasks(limit=1_000_000, before=None, statuses=frozenset(), labels={}):
            batches = await journal.read(record.task_id, 0, _MUCH)
            found[record.task_id] = (
                record,
                [event for batch in batches for event in split_events(batch.events)],
            )
        return found
    finally:
        await journal.close()


def violations(
    history: list[History],
    stored: Mapping[str, tuple[TaskRecord, list[bytes]]],
    calls: Mapping[CallKey, list[float]],
    undisturbed: Mapping[Variant, Outcome],
    late_calls: float = 0.0,
) -> Iterator[str]:
    """What was promised and does not hold, one text each.

    Args:
        history: What users were reported.
        stored: The record and the events of each task.
        calls: When each call came.
        undisturbed: How tasks of each variant go.
        late_calls: A call may come so many seconds after its run was seen to be canceled, once; after any other end none may.
    """
    ids = {task.task_id for task in history}
    if extra := stored.keys() - ids:
        yield f"{len(extra)} tasks are stored that nobody has seen"
    for task in history:
        if task.task_id not in stored:
            yield f"{task.tag}: was accepted as {task.task_id!r}, and is not stored"
            continue
        record, events = stored[task.task_id]
        for problem in (
            *_of_the_log(task, record, events),
            *_of_the_outcome(task, events, undisturbed[task.variant]),
            *_of_the_reports(task, events),
            *_of_the_calls(task, calls, late_calls),
        ):
            yield f"{task.tag} ({task.variant.shape}, {task.variant.size}): {problem}"


def _of_the_log(history: History, record: TaskRecord, events: list[bytes]) -> Iterator[str]:
    sequences = [event_pb2.TaskEvent.FromString(event).sequence for event in events]
    if sequences != list(range(1, len(events) + 1)) or record.last_sequence != len(events):
        yield f"its log has the sequences {sequences}"
        return
    for sequence, event in history.events.items():
        if sequence > len(events) or events[sequence - 1] != event:
            yield f"event {sequence} was seen, and is not in the log as it was"
    last = event_pb2.TaskEvent.FromString(events[-1])
    if not last.task_status_changed.status.terminated:
        yield "it has not terminated"
    elif history.result is None:
        yield "its result was never seen"
    else:
        result = service.TaskResultResponse.FromString(history.result)
        if result.status != last.task_status_changed.status:
            yield f"its result says {result.status.status}, its log {last.task_status_changed.status.status}"
        if result.outputs != last.task_status_changed.outputs:
            yield "its result has other outputs than its log"
    if len(history.events) != len(events):
        yield f"{len(history.events)} of its {len(events)} events were seen, although it was watched to its end"


def _of_the_outcome(history: History, events: list[bytes], expected: Outcome) -> Iterator[str]:
    outcome = outcome_of(iter(events), history.tag)
    if outcome["task"]["status"] != report_pb2.STATUS_CANCELED:
        if history.canceled:
            yield "its cancel was answered with success, and it was not canceled"
        if outcome != expected:
            yield f"it went as {_difference(outcome, expected)}"
        return
    if not history.cancel_asked:
        yield "it was canceled, and nobody had asked for it"
    for snapshot_id, run in outcome["runs"].items():
        ended = run["status"] != report_pb2.STATUS_CANCELED
        if ended and run != expected["runs"].get(snapshot_id):
            yield f"before it was canceled, {snapshot_id} went as {run}"


def _difference(outcome: Outcome, expected: Outcome) -> str:
    for part in outcome:
        if outcome[part] != expected[part]:
            return f"{json.dumps(outcome[part])[:500]} and should as {json.dumps(expected[part])[:500]}"
    return "it should"


def _of_the_reports(history: History, events: list[bytes]) -> Iterator[str]:
    """A report is the fold of the log up to its last sequence."""
    for report in history.reports:
        expected = outcome_of(iter(events[: report.last_sequence]), history.tag)
        runs: dict[str, dict[str, Any]] = {}
        for node in report.nodes:
            for snapshot in node.snapshots:
                named = {
                    name: getattr(snapshot, name).replace(history.tag, "TAG")
                    for name in ("inputs", "outputs", "branch", "error")
                }
                runs[snapshot.id] = {name: value for name, value in named.items() if value}
        for run in expected["runs"].values():
            del run["status"]
        if runs != expected["runs"]:
            yield f"a report up to event {report.last_sequence} is not what the log says"
        messages = sorted(
            [message.type, message.text.replace(history.tag, "TAG"), message.node_id]
            for message in report.messages
        )
        if messages != expected["messages"]:
            yield f"a report up to event {report.last_sequence} has the messages {messages}"
        status = expected["task"].get("status", report_pb2.STATUS_PENDING)
        if report.status.status != status:
            yield f"a report up to event {report.last_sequence} has the status {report.status.status}"


def _of_the_calls(history: History, calls: Mapping[CallKey, list[float]], late_calls: float) -> Iterator[str]:
    for snapshot_id, (seen, status) in history.ended_runs.items():
        made = calls.get(CallKey(history.tag, snapshot_id), ())
        late = [when for when in made if when > seen]
        allowed = late_calls if status == report_pb2.STATUS_CANCELED else 0.0
        if late and (late[-1] > seen + allowed or len(late) > 1):
            yield (
                f"{snapshot_id} was called after its end was seen, with status {status}; "
                f"calls, in seconds from then: {', '.join(f'{when - seen:.3f}' for when in made)}"
            )
