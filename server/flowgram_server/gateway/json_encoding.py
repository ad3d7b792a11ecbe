"""JSON encoding: messages of the contract in the shapes that the FlowGram editor expects.

JSON objects of users, which the contract carries as text, are put in as that text: their numbers keep every digit. Times
are whole milliseconds, since the epoch where they are moments.
"""

from typing import Any, Final

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flowgram.runtime.v1.report_pb2 import (
    STATUS_CANCELED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_PROCESSING,
    STATUS_SUCCEEDED,
    Message,
    Snapshot,
    StatusInfo,
    Task,
    TaskSummary,
)
from flowgram.runtime.v1.runtime_service_pb2 import (
    Caller,
    Problem,
    ServerInfoResponse,
    TaskListResponse,
    TaskValidateResponse,
    WatchTasksResponse,
)

STATUSES: dict[str, int] = {
    "pending": STATUS_PENDING,
    "processing": STATUS_PROCESSING,
    "succeeded": STATUS_SUCCEEDED,
    "failed": STATUS_FAILED,
    "canceled": STATUS_CANCELED,
}
"""The number of each status, by FlowGram's word for it."""

_STATUS_WORDS: dict[int, str] = {number: word for word, number in STATUSES.items()}

MESSAGE_TYPES: dict[int, str] = {
    Message.TYPE_LOG: "log",
    Message.TYPE_INFO: "info",
    Message.TYPE_DEBUG: "debug",
    Message.TYPE_ERROR: "error",
    Message.TYPE_WARNING: "warning",
}
"""FlowGram's word for each type of message, by its number."""

LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")
"""For JSON text that is to be one line: ends of lines stand between its parts only, where a blank means the same."""

_EMPTY = orjson.Fragment(b"{}")


def encode(value: Any) -> bytes:
    """The JSON text of a shape."""
    return orjson.dumps(value)


def json_object(text: str) -> orjson.Fragment:
    """A JSON object that the contract carries as text; no text is an empty object."""
    return orjson.Fragment(text) if text else _EMPTY


def milliseconds(time: Timestamp | Duration) -> int:
    """Whole milliseconds, cut off toward zero. The message's own method takes twice as long, and there are some per event."""
    nanos = time.nanos
    return time.seconds * 1000 + (nanos // 1_000_000 if nanos >= 0 else -(-nanos // 1_000_000))


def status(info: StatusInfo) -> dict[str, Any]:
    """A status and its times. What has not started has a `startTime` of 0: FlowGram demands a number."""
    shaped = {
        "status": _STATUS_WORDS.get(info.status, "pending"),
        "terminated": info.terminated,
        "startTime": milliseconds(info.start_time),
        "timeCost": milliseconds(info.time_cost),
    }
    if info.HasField("end_time"):
        shaped["endTime"] = milliseconds(info.end_time)
    return shaped


def whole_snapshot(received: Snapshot) -> dict[str, Any]:
    """One run of a node, with the fields that FlowGram demands."""
    return {
        "id": received.id,
        "nodeID": received.node_id,
        "inputs": json_object(received.inputs),
        "data": json_object(received.data),
        **outcome(received),
    }


def outcome(received: Snapshot) -> dict[str, Any]:
    """What a run of a node has come to, so far as it has."""
    shaped: dict[str, Any] = {}
    if received.outputs:
        shaped["outputs"] = orjson.Fragment(received.outputs)
    if received.branch:
        shaped["branch"] = received.branch
    if received.error:
        shaped["error"] = received.error
    return shaped


def message(received: Message) -> dict[str, Any]:
    """Something that a task has to say."""
    shaped = {"id": received.id, "type": MESSAGE_TYPES.get(received.type, "log"), "message": received.text}
    if received.node_id:
        shaped["nodeID"] = received.node_id
    return {**shaped, "timestamp": milliseconds(received.time)}


def task_list(received: TaskListResponse) -> dict[str, Any]:
    """One page of tasks."""
    shaped: dict[str, Any] = {"tasks": [task_summary(each) for each in received.tasks]}
    if received.next_page_token:
        shaped["nextPageToken"] = received.next_page_token
    return shaped


def task_summary(message: TaskSummary) -> dict[str, Any]:
    """A task in a list."""
    shaped: dict[str, Any] = {
        "taskID": message.task_id,
        "workflowStatus": status(message.status),
        "createTime": milliseconds(message.create_time),
        "labels": dict(message.labels),
        "lastSequence": message.last_sequence,
    }
    if message.display_name:
        shaped["displayName"] = message.display_name
    if message.namespace:
        shaped["namespace"] = message.namespace
    return shaped


def task(message: Task) -> dict[str, Any]:
    """What a task is. The schema is JSON text, as in the request that runs it."""
    shaped = {
        **task_summary(message.summary),
        "schema": message.schema,
        "inputs": json_object(message.inputs),
    }
    if message.HasField("timeout"):
        shaped["timeout"] = milliseconds(message.timeout)
    return shaped


def task_changes(received: WatchTasksResponse) -> dict[str, Any]:
    """Tasks that changed, and ids of those that were removed."""
    return {
        "type": "tasks_changed",
        "tasks": [task_summary(each) for each in received.tasks],
        "removedTaskIDs": list(received.removed_task_ids),
    }


def validation(message: TaskValidateResponse) -> dict[str, Any]:
    """Whether a workflow could run. The editor knows `valid` and `errors`; the rest is there where there is any."""
    shaped: dict[str, Any] = {"valid": message.valid}
    if not message.valid:
        shaped["errors"] = list(message.errors)
        shaped["problems"] = [_problem(each) for each in message.problems]
    if message.warnings:
        shaped["warnings"] = [_problem(each) for each in message.warnings]
    return shaped


def _problem(message: Problem) -> dict[str, str]:
    return {"field": message.field, "text": message.text}


def caller(received: Caller) -> dict[str, Any]:
    """Who calls."""
    return {"name": received.name, "namespace": received.namespace, "role": received.role}


def server_info(received: ServerInfoResponse) -> dict[str, Any]:
    """What a server says of itself."""
    shape: dict[str, Any] = {
        "name": received.name,
        "title": received.title,
        "description": received.description,
        "runtime": received.runtime,
        "version": received.version,
        "time": _rfc3339(received.time),
        "nodeTypes": list(received.node_types),
        "features": list(received.features),
        "limits": {
            "maxMessageBytes": received.limits.max_message_bytes,
            "maxSchemaBytes": received.limits.max_schema_bytes,
            "maxInputsBytes": received.limits.max_inputs_bytes,
        },
    }
    if received.HasField("caller"):
        shape["caller"] = caller(received.caller)
    return shape


def _rfc3339(time: Timestamp) -> str:
    """A moment as JavaScript's `toISOString` writes it."""
    return time.ToDatetime().isoformat(timespec="milliseconds") + "Z"
