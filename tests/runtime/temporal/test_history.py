"""Histories: what their events say of a task."""

from typing import Any

import pytest

pytest.importorskip("temporalio")

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import TaskResultResponse, WatchTaskResponse
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import HistoryDiverged
from flowgram_core.temporal.history import TaskHistory, payloads_of
from flowgram_core.temporal.record import Record
from flowgram_core.temporal.task_input import Position, Shape, TaskInput
from flowgram_server.rpc.codec import Codec

TASK = TaskInput("{}", '{"x": 1}', None, {"a": "b"}, 100, None, Shape(), "named")


def event(kind: str, number: int = 1, **attributes: Any) -> HistoryEvent:
    """An event of a history, at the second of its number."""
    name = f"workflow_execution_{kind}_event_attributes"
    found = HistoryEvent(
        event_id=number,
        event_type=EventType.Value(f"EVENT_TYPE_WORKFLOW_EXECUTION_{kind.upper()}"),
        **{name: attributes},
    )
    found.event_time.FromSeconds(number)
    return found


def begun(position: Position | None = None) -> TaskHistory:
    history = TaskHistory("t1", Codec(Secrets()))
    history.add(event("started"), [TASK.encode(), (position or Position()).encode()])
    return history


def record(first: int, last: int, status: Status = Status.PROCESSING, result: bytes = b"") -> bytes:
    return Record(status, first, last, 1000 + last, 50, b"e" * (last - first + 1), result).encode()


def events(batch: Batch | None) -> list[TaskEvent]:
    assert batch is not None
    return list(WatchTaskResponse.FromString(batch.events).events)


def test_it_begins_with_what_was_asked_for() -> None:
    """Before its first step a task is pending; a run that goes on stands where the one before ended."""
    history = begun()
    assert history.record is not None
    assert (history.record.status, history.record.inputs, history.record.display_name) == (
        1,
        '{"x": 1}',
        "named",
    )
    assert (history.record.create_time, history.record.labels, history.schema) == (100, {"a": "b"}, "{}")
    later = begun(Position(7, 40)).record
    assert later is not None
    assert (later.status, later.last_sequence, later.start_time) == (2, 7, 40)


def test_records_are_the_log() -> None:
    """Each record is a batch once, however often it was written; a gap is an error."""
    history = begun()
    marker = HistoryEvent(event_id=2, event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    batch = history.add(marker, [record(1, 3)])
    assert batch is not None
    assert (batch.first_sequence, batch.last_sequence, batch.events) == (1, 3, b"eee")
    assert history.add(marker, [record(1, 3)]) is None
    with pytest.raises(HistoryDiverged, match="event 5 after event 3"):
        history.add(marker, [record(5, 6)])
    last = history.add(event("completed"), [record(4, 4, Status.SUCCEEDED, b"result")])
    assert last is not None
    found = history.record
    assert found is not None
    assert (found.status, found.last_sequence, found.result, found.end_time) == (3, 4, b"result", 1004)
    assert history.add(event("completed"), [record(4, 4, Status.SUCCEEDED, b"result")]) is None


def test_a_last_record_may_have_no_events() -> None:
    """Where its events were recorded before, the closing event brings the result alone."""
    history = begun()
    marker = HistoryEvent(event_id=2, event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    history.add(marker, [record(1, 4)])
    assert history.add(event("completed"), [record(5, 4, Status.SUCCEEDED, b"r")]) is None
    assert history.record is not None
    assert (history.record.last_sequence, history.record.result) == (4, b"r")


@pytest.mark.parametrize(
    ("closing", "status", "text"),
    [
        (
            event("terminated", 9, reason="too old"),
            Status.FAILED,
            "Task was terminated by an operator: too old",
        ),
        (event("terminated", 9), Status.FAILED, "Task was terminated by an operator"),
        (event("timed_out", 9), Status.FAILED, "Task was ended by a time-out of its cluster"),
        (event("failed", 9), Status.FAILED, "Task failed with an internal error"),
        (event("canceled", 9), Status.CANCELED, ""),
    ],
)
def test_an_end_from_outside(closing: HistoryEvent, status: Status, text: str) -> None:
    """It is reported like any other end, and made of the closing event alone, so that all servers tell the same."""
    ends = []
    for _ in range(2):
        history = begun()
        history.add(HistoryEvent(event_id=2, event_type=EventType.EVENT_TYPE_MARKER_RECORDED), [record(1, 2)])
        batch = history.add(closing, [])
        ends.append((batch, history.record))
    assert ends[0] == ends[1]
    batch, found = ends[0]
    received = events(batch)
    assert [one.message.text for one in received[:-1]] == ([text] if text else [])
    assert received[-1].task_status_changed.status.status == status
    assert found is not None
    assert (found.status, found.last_sequence, found.end_time) == (status, received[-1].sequence, 9_000_000)
    result = TaskResultResponse.FromString(found.result or b"")
    assert result.status == received[-1].task_status_changed.status
    assert [error.text for error in result.errors] == ([text] if status is Status.FAILED else [])


def test_who_canceled_first() -> None:
    """The first request counts, also for the runs that follow, one of which carries it out; a run that goes on names the next."""
    history = begun()
    history.add(event("cancel_requested", 2, identity="one"), [])
    history.add(event("cancel_requested", 3, identity="other"), [])
    assert history.cancel_requested_by == "one"
    history.add(event("continued_as_new", 4, new_execution_run_id="next"), [])
    assert history.following == "next"
    history.add(event("started"), [TASK.encode(), Position(2, 40).encode()])
    assert history.following == ""
    history.add(event("cancel_requested", 2, identity="late"), [])
    assert history.cancel_requested_by == "one"


def test_only_records_are_decoded() -> None:
    """Of the many payloads in a history, those of other activities, memos and markers are left alone."""
    foreign = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    foreign.activity_task_scheduled_event_attributes.activity_type.name = "another"
    foreign.activity_task_scheduled_event_attributes.input.payloads.add(data=b"x")
    assert list(payloads_of(foreign)) == []
    marker = HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    marker.marker_recorded_event_attributes.marker_name = "Version"
    marker.marker_recorded_event_attributes.details["result"].payloads.add(data=b"x")
    assert list(payloads_of(marker)) == []
