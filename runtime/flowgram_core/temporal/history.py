"""Reading of workflow histories: events of a history in, batches of a task's log out. Pure.

A record of a step stands in one of four places: in a marker; in what a call carries; and the last one in the workflow's result
or in the details of its failure. A workflow that was ended past its code, by an operator or a time-out of the cluster, gets
a message and a final status here, made of nothing but its closing event: everybody who reads it gets the same.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from flowgram_core.engine.events import Event, Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.hosting.codec import Codec
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import HistoryDiverged
from flowgram_core.temporal.names import CALL, FAILED
from flowgram_core.temporal.record import Record
from flowgram_core.temporal.task_input import Position, TaskInput
from flowgram_core.temporal.workflow_ids import owner_of

STARTED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
_MARKER: Final = EventType.EVENT_TYPE_MARKER_RECORDED
_CALL: Final = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
_CANCEL_REQUESTED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
_COMPLETED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
_FAILED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
_CANCELED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
_TERMINATED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
_TIMED_OUT: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT
_CONTINUED: Final = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
CLOSED: Final = frozenset({_COMPLETED, _FAILED, _CANCELED, _TERMINATED, _TIMED_OUT})

_LOCAL_ACTIVITY_MARKER: Final = "core_local_activity"


def payloads_of(event: HistoryEvent) -> Sequence[Payload]:
    """The payloads of an event that `TaskHistory.add` wants decoded: a record, or what the workflow was started with."""
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            return event.workflow_execution_started_event_attributes.input.payloads[:2]
        case EventType.EVENT_TYPE_MARKER_RECORDED:
            marker = event.marker_recorded_event_attributes
            if marker.marker_name == _LOCAL_ACTIVITY_MARKER and "result" in marker.details:
                return marker.details["result"].payloads[:1]
        case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == CALL:
                return scheduled.input.payloads[:1]
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
            return event.workflow_execution_completed_event_attributes.result.payloads[:1]
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            failure = event.workflow_execution_failed_event_attributes.failure
            if failure.application_failure_info.type == FAILED:
                return failure.application_failure_info.details.payloads[:1]
        case _:
            pass
    return ()


class TaskHistory:
    """A task as far as its history has been read.

    Attributes:
        owner: The task, and the namespace that it belongs to.
        record: The task as of the last event; None before the first.
        schema: Its schema.
        position: Where its log stood before the first run that was read.
        cancel_requested_by: Who asked first for it to be canceled, in the runs that were read.
        following: The run that goes on after the one that was read to its end, or empty.
        event_id: The last event of the present run that was read.
    """

    def __init__(self, workflow_id: str, codec: Codec) -> None:
        self.workflow_id = workflow_id
        self.owner = owner_of(workflow_id)
        self.record: TaskRecord | None = None
        self.schema = ""
        self.position = Position()
        self.cancel_requested_by = ""
        self.following = ""
        self.event_id = 0
        self._codec = codec

    def add(self, event: HistoryEvent, decoded: Sequence[bytes]) -> Batch | None:
        """Takes in the next event.

        Args:
            event: The event.
            decoded: Its payloads of `payloads_of`.

        Returns:
            The part of the log that came with it, if it brought one that is new.

        Raises:
            PayloadUnreadable: What it holds is of a later release, or damaged.
            HistoryDiverged: The log has a gap here.
        """
        self.event_id = event.event_id
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                self.following = ""
                self._begin(decoded)
                return None
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                self.following = (
                    event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
                )
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                requested = event.workflow_execution_cancel_requested_event_attributes
                self.cancel_requested_by = self.cancel_requested_by or requested.identity
            case _:
                pass
        record = self._known()
        batch = self._add(Record.decode(decoded[0])) if decoded and decoded[0] else None
        if event.event_type in CLOSED and not self._known().ended:
            return self._ended_from_outside(event, record)
        return batch

    def _known(self) -> TaskRecord:
        if self.record is None:
            raise HistoryDiverged("a history that does not begin with its start")
        return self.record

    def _begin(self, decoded: Sequence[bytes]) -> None:
        if self.record is not None:
            return
        task = TaskInput.decode(decoded[0])
        self.position = Position.decode(decoded[1]) if len(decoded) > 1 else Position()
        self.schema = task.schema
        begun = self.position.sequence > 0
        self.record = TaskRecord(
            task_id=self.owner.task_id,
            create_time=task.create_time,
            inputs=task.inputs,
            schema_hash=hashlib.sha256(task.schema.encode("utf-8", "surrogatepass")).digest(),
            labels=task.labels,
            timeout=task.timeout,
            status=Status.PROCESSING if begun else Status.PENDING,
            start_time=self.position.start_time or None,
            end_time=None,
            last_sequence=self.position.sequence,
            result=None,
            order=task.create_time,
            request_hash=b"",
            display_name=task.display_name,
            namespace=self.owner.namespace,
        )

    def _add(self, found: Record) -> Batch | None:
        """Takes in a record; one that was written twice counts once."""
        record = self._known()
        if record.ended:
            return None
        is_new = found.last_sequence > record.last_sequence
        if is_new and found.first_sequence != record.last_sequence + 1:
            raise HistoryDiverged(
                f"a log goes on with event {found.first_sequence} after event {record.last_sequence}"
            )
        if is_new or found.result:
            self.record = record.moved(
                found.status,
                found.start_time or None,
                found.at if found.result else None,
                max(found.last_sequence, record.last_sequence),
                found.result or None,
            )
        return found.batch if is_new else None

    def _ended_from_outside(self, event: HistoryEvent, record: TaskRecord) -> Batch:
        at = event.event_time.ToMicroseconds()
        status, kind, text = _end_of(event)
        events: list[Event] = []
        sequence, start_time = record.last_sequence, record.start_time or 0
        if text:
            sequence += 1
            events.append(MessageLogged(sequence, at, f"message_{sequence}", kind, text, ""))
        errors = tuple(
            said for said in events if isinstance(said, MessageLogged) and kind is MessageType.ERROR
        )
        sequence += 1
        events.append(TaskStatusChanged(sequence, at, status, start_time, at, None))
        result = self._codec.encode_result(Finished(status, None, errors, start_time, at))
        batch = Batch(record.last_sequence + 1, sequence, at, None, self._codec.encode(events))
        self.record = record.moved(status, start_time or None, at, sequence, result)
        return batch


def _end_of(event: HistoryEvent) -> tuple[Status, MessageType, str]:
    """How a workflow ended whose code did not say so: the status, and a message of this kind."""
    match event.event_type:
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:  # before its code ran for the first time
            return Status.CANCELED, MessageType.INFO, ""
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            reason = event.workflow_execution_terminated_event_attributes.reason
            return (
                Status.FAILED,
                MessageType.ERROR,
                _with_reason("Task was terminated by an operator", reason),
            )
        case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
            return Status.FAILED, MessageType.ERROR, "Task was ended by a time-out of its cluster"
        case _:
            return Status.FAILED, MessageType.ERROR, "Task failed with an internal error"


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
