from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_PENDING: _ClassVar[Status]
    STATUS_PROCESSING: _ClassVar[Status]
    STATUS_SUCCEEDED: _ClassVar[Status]
    STATUS_FAILED: _ClassVar[Status]
    STATUS_CANCELED: _ClassVar[Status]
STATUS_UNSPECIFIED: Status
STATUS_PENDING: Status
STATUS_PROCESSING: Status
STATUS_SUCCEEDED: Status
STATUS_FAILED: Status
STATUS_CANCELED: Status

class StatusInfo(_message.Message):
    __slots__ = ("status", "terminated", "start_time", "end_time", "time_cost")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TERMINATED_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TIME_COST_FIELD_NUMBER: _ClassVar[int]
    status: Status
    terminated: bool
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    time_cost: _duration_pb2.Duration
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., terminated: bool = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., time_cost: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Iteration(_message.Message):
    __slots__ = ("loop_node_id", "index")
    LOOP_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    loop_node_id: str
    index: int
    def __init__(self, loop_node_id: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("id", "node_id", "iterations", "inputs", "outputs", "data", "branch", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    node_id: str
    iterations: _containers.RepeatedCompositeFieldContainer[Iteration]
    inputs: str
    outputs: str
    data: str
    branch: str
    error: str
    def __init__(self, id: _Optional[str] = ..., node_id: _Optional[str] = ..., iterations: _Optional[_Iterable[_Union[Iteration, _Mapping]]] = ..., inputs: _Optional[str] = ..., outputs: _Optional[str] = ..., data: _Optional[str] = ..., branch: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("node_id", "status", "snapshots")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    status: StatusInfo
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, node_id: _Optional[str] = ..., status: _Optional[_Union[StatusInfo, _Mapping]] = ..., snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("id", "type", "text", "node_id", "time")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[Message.Type]
        TYPE_LOG: _ClassVar[Message.Type]
        TYPE_INFO: _ClassVar[Message.Type]
        TYPE_DEBUG: _ClassVar[Message.Type]
        TYPE_WARNING: _ClassVar[Message.Type]
        TYPE_ERROR: _ClassVar[Message.Type]
    TYPE_UNSPECIFIED: Message.Type
    TYPE_LOG: Message.Type
    TYPE_INFO: Message.Type
    TYPE_DEBUG: Message.Type
    TYPE_WARNING: Message.Type
    TYPE_ERROR: Message.Type
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: Message.Type
    text: str
    node_id: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., type: _Optional[_Union[Message.Type, str]] = ..., text: _Optional[str] = ..., node_id: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("task_id", "inputs", "outputs", "status", "nodes", "messages", "last_sequence")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    inputs: str
    outputs: str
    status: StatusInfo
    nodes: _containers.RepeatedCompositeFieldContainer[NodeReport]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    last_sequence: int
    def __init__(self, task_id: _Optional[str] = ..., inputs: _Optional[str] = ..., outputs: _Optional[str] = ..., status: _Optional[_Union[StatusInfo, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeReport, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class TaskSummary(_message.Message):
    __slots__ = ("task_id", "status", "create_time", "labels", "display_name", "namespace", "last_sequence")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    status: StatusInfo
    create_time: _timestamp_pb2.Timestamp
    labels: _containers.ScalarMap[str, str]
    display_name: str
    namespace: str
    last_sequence: int
    def __init__(self, task_id: _Optional[str] = ..., status: _Optional[_Union[StatusInfo, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., display_name: _Optional[str] = ..., namespace: _Optional[str] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("summary", "schema", "inputs", "timeout", "last_sequence")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    summary: TaskSummary
    schema: str
    inputs: str
    timeout: _duration_pb2.Duration
    last_sequence: int
    def __init__(self, summary: _Optional[_Union[TaskSummary, _Mapping]] = ..., schema: _Optional[str] = ..., inputs: _Optional[str] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., last_sequence: _Optional[int] = ...) -> None: ...
