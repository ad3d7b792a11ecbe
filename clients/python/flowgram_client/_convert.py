"""Messages of the contract to values of this package."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2

from . import _json, models
from .errors import Violation
from .events import Event, MessageLogged, NodeStatusChanged, OutputDelta, TaskStatusChanged
from .messages import Message, MessageType

_EPOCH = datetime.fromtimestamp(0, UTC)


def status(info: report_pb2.StatusInfo) -> dict[str, Any]:
    """The fields of models.StatusInfo."""
    return {
        "status": models.Status(info.status),
        "start_time": info.start_time.ToDatetime(tzinfo=UTC) if info.HasField("start_time") else None,
        "end_time": info.end_time.ToDatetime(tzinfo=UTC) if info.HasField("end_time") else None,
        "time_cost": info.time_cost.ToTimedelta() if info.HasField("time_cost") else None,
    }


def snapshot(message: report_pb2.Snapshot) -> models.Snapshot:
    """A run of a node."""
    return models.Snapshot(
        id=message.id,
        node_id=message.node_id,
        iterations=tuple(models.Iteration(each.loop_node_id, each.index) for each in message.iterations),
        inputs=_json.loads(message.inputs),
        outputs=_json.loads(message.outputs),
        data=_json.loads(message.data),
        branch=message.branch,
        error=message.error,
    )


def message(logged: report_pb2.Message) -> Message:
    """A message of a task."""
    return Message(
        id=logged.id,
        type=MessageType(logged.type),
        text=logged.text,
        node_id=logged.node_id,
        time=logged.time.ToDatetime(tzinfo=UTC) if logged.HasField("time") else None,
    )


def report(received: report_pb2.Report) -> models.Report:
    """Everything about a task."""
    return models.Report(
        task_id=received.task_id,
        inputs=_json.loads(received.inputs),
        outputs=_json.loads(received.outputs),
        nodes={node.node_id: _node_report(node) for node in received.nodes},
        messages=tuple(message(each) for each in received.messages),
        last_sequence=received.last_sequence,
        **status(received.status),
    )


def _node_report(node: report_pb2.NodeReport) -> models.NodeReport:
    return models.NodeReport(
        node_id=node.node_id,
        snapshots=tuple(snapshot(each) for each in node.snapshots),
        **status(node.status),
    )


def result(
    task_id: str, response: runtime_service_pb2.TaskRunResponse | runtime_service_pb2.TaskResultResponse
) -> models.Result:
    """The outcome of a task, as both responses have it."""
    return models.Result(
        task_id=task_id,
        outputs_or_none=_json.loads(response.outputs),
        errors=tuple(message(each) for each in response.errors),
        **status(response.status),
    )


def summary(message: report_pb2.TaskSummary) -> models.TaskSummary:
    """A line of a list."""
    return models.TaskSummary(**_summary_fields(message))


def _summary_fields(message: report_pb2.TaskSummary) -> dict[str, Any]:
    return {
        "task_id": message.task_id,
        "create_time": (
            message.create_time.ToDatetime(tzinfo=UTC) if message.HasField("create_time") else None
        ),
        "labels": dict(message.labels),
        "display_name": message.display_name,
        "namespace": message.namespace,
        "last_sequence": message.last_sequence,
        **status(message.status),
    }


def task(message: report_pb2.Task) -> models.Task:
    """What a task is."""
    return models.Task(
        schema=_json.loads(message.schema),
        inputs=_json.loads(message.inputs),
        timeout=message.timeout.ToTimedelta() if message.HasField("timeout") else None,
        **_summary_fields(message.summary),
    )


def validation(response: runtime_service_pb2.TaskValidateResponse) -> models.Validation:
    """What a check found. Servers of version 0.1 do not send the fields."""
    violations = [Violation(problem.field, problem.text) for problem in response.problems]
    if not response.valid and not violations:
        violations = [Violation("", text) for text in response.errors or ("not valid",)]
    return models.Validation(
        violations=tuple(violations),
        warnings=tuple(Violation(warning.field, warning.text) for warning in response.warnings),
    )


def info(response: runtime_service_pb2.ServerInfoResponse) -> models.ServerInfo:
    """What a server says of itself."""
    return models.ServerInfo(
        name=response.name,
        title=response.title,
        description=response.description,
        runtime=response.runtime,
        version=response.version,
        time=response.time.ToDatetime(tzinfo=UTC) if response.HasField("time") else None,
        node_types=tuple(response.node_types),
        features=tuple(response.features),
        limits=models.ServerLimits(
            max_message_bytes=response.limits.max_message_bytes,
            max_schema_bytes=response.limits.max_schema_bytes,
            max_inputs_bytes=response.limits.max_inputs_bytes,
        ),
        caller=models.Caller(
            name=response.caller.name, namespace=response.caller.namespace, role=response.caller.role
        )
        if response.HasField("caller")
        else None,
    )


def event(received: event_pb2.TaskEvent) -> Event | None:
    """An event; None for a kind that came after this version of the package."""
    time = received.time.ToDatetime(tzinfo=UTC) if received.HasField("time") else _EPOCH
    match received.WhichOneof("event"):
        case "task_status_changed":
            task = received.task_status_changed
            return TaskStatusChanged(
                sequence=received.sequence,
                time=time,
                outputs=_json.loads(task.outputs),
                **status(task.status),
            )
        case "node_status_changed":
            node = received.node_status_changed
            return NodeStatusChanged(
                sequence=received.sequence,
                time=time,
                node_id=node.node_id,
                snapshot=snapshot(node.snapshot),
                **status(node.status),
            )
        case "message":
            return MessageLogged(sequence=received.sequence, time=time, message=message(received.message))
        case "output_delta":
            delta = received.output_delta
            return OutputDelta(
                node_id=delta.node_id,
                snapshot_id=delta.snapshot_id,
                text=delta.text,
                from_start=delta.from_start,
                time=time,
                sequence=received.sequence,
            )
    return None


def events(received: Iterable[event_pb2.TaskEvent]) -> Iterator[Event]:
    """Events, without those of a kind that came after this version of the package."""
    return (converted for each in received if (converted := event(each)) is not None)


def seconds(value: float | timedelta | None) -> float | None:
    """A duration given in either way, in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else value
