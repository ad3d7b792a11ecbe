from flowgram.runtime.v1 import report_pb2 as _report_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskEvent(_message.Message):
    __slots__ = ("sequence", "time", "task_status_changed", "node_status_changed", "message", "output_delta")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TASK_STATUS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    NODE_STATUS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_DELTA_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    task_status_changed: TaskStatusChanged
    node_status_changed: NodeStatusChanged
    message: _report_pb2.Message
    output_delta: OutputDelta
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., task_status_changed: _Optional[_Union[TaskStatusChanged, _Mapping]] = ..., node_status_changed: _Optional[_Union[NodeStatusChanged, _Mapping]] = ..., message: _Optional[_Union[_report_pb2.Message, _Mapping]] = ..., output_delta: _Optional[_Union[OutputDelta, _Mapping]] = ...) -> None: ...

class TaskStatusChanged(_message.Message):
    __slots__ = ("status", "outputs")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    status: _report_pb2.StatusInfo
    outputs: str
    def __init__(self, status: _Optional[_Union[_report_pb2.StatusInfo, _Mapping]] = ..., outputs: _Optional[str] = ...) -> None: ...

class NodeStatusChanged(_message.Message):
    __slots__ = ("node_id", "status", "snapshot")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    status: _report_pb2.StatusInfo
    snapshot: _report_pb2.Snapshot
    def __init__(self, node_id: _Optional[str] = ..., status: _Optional[_Union[_report_pb2.StatusInfo, _Mapping]] = ..., snapshot: _Optional[_Union[_report_pb2.Snapshot, _Mapping]] = ...) -> None: ...

class OutputDelta(_message.Message):
    __slots__ = ("node_id", "snapshot_id", "text", "from_start")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    snapshot_id: str
    text: str
    from_start: bool
    def __init__(self, node_id: _Optional[str] = ..., snapshot_id: _Optional[str] = ..., text: _Optional[str] = ..., from_start: bool = ...) -> None: ...
