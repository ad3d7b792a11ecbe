"""Responses: records of tasks as messages of the contract."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flowgram.runtime.v1.report_pb2 import StatusInfo, Task, TaskSummary
from flowgram.runtime.v1.runtime_service_pb2 import TaskResultResponse, TaskRunResponse
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.status import Status
from flowgram_server.rpc import tags
from flowgram_server.rpc.wire import delimited, following_numbers

_MICROSECONDS = 1_000_000


def timestamp(microseconds: int) -> Timestamp:
    """A time, given in microseconds since the epoch."""
    seconds, remainder = divmod(microseconds, _MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=remainder * 1000)


def elapsed(begin: int, end: int) -> Duration:
    """The time between two times, given in microseconds; none if the clock was set back."""
    seconds, remainder = divmod(max(end - begin, 0), _MICROSECONDS)
    return Duration(seconds=seconds, nanos=remainder * 1000)


def status_info(record: TaskRecord, now: int) -> StatusInfo:
    """The status of a task. `now` counts for one that is running."""
    status = Status(record.status)
    info = StatusInfo(status=record.status, terminated=status.terminated)  # type: ignore[arg-type]  # a number of the enum
    if record.start_time is not None:
        info.start_time.CopyFrom(timestamp(record.start_time))
        until = now if record.end_time is None else record.end_time
        info.time_cost.CopyFrom(elapsed(record.start_time, until))
    if record.end_time is not None:
        info.end_time.CopyFrom(timestamp(record.end_time))
    return info


def task_result(record: TaskRecord, now: int) -> bytes:
    """The serialized `TaskResultResponse`: the result of a task that has ended, the status of another."""
    if record.result is not None:
        return record.result
    return TaskResultResponse(status=status_info(record, now)).SerializeToString()


def task_run(record: TaskRecord, now: int, max_bytes: int) -> bytes:
    """The serialized `TaskRunResponse` that names a task, with its outcome if it has ended.

    An outcome that would make it larger than `max_bytes` is left out but for the status: the task was accepted, and
    its caller must learn its id.
    """
    task_id, result = tags.RUN_TASK_ID + delimited(record.task_id.encode()), record.result
    if result is not None and len(task_id) + len(result) <= max_bytes:
        return following_numbers(result, task_id)
    return task_id + TaskRunResponse(status=status_info(record, now)).SerializeToString()


def task_summary(record: TaskRecord, now: int) -> TaskSummary:
    """A line of a list."""
    return TaskSummary(
        task_id=record.task_id,
        status=status_info(record, now),
        create_time=timestamp(record.create_time),
        labels=record.labels,
        display_name=record.display_name,
        last_sequence=record.last_sequence,
        namespace=record.namespace,
    )


def task(record: TaskRecord, schema: str, inputs: str, now: int) -> Task:
    """What a task is; of its schema and inputs, JSON texts, what may be shown."""
    message = Task(
        summary=task_summary(record, now), schema=schema, inputs=inputs, last_sequence=record.last_sequence
    )
    if record.timeout is not None:
        message.timeout.CopyFrom(elapsed(0, record.timeout))
    return message
