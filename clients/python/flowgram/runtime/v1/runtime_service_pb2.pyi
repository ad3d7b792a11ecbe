from flowgram.runtime.v1 import event_pb2 as _event_pb2
from flowgram.runtime.v1 import report_pb2 as _report_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class View(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEW_UNSPECIFIED: _ClassVar[View]
    VIEW_BASIC: _ClassVar[View]
    VIEW_FULL: _ClassVar[View]
VIEW_UNSPECIFIED: View
VIEW_BASIC: View
VIEW_FULL: View

class TaskRunRequest(_message.Message):
    __slots__ = ("schema", "inputs", "request_id", "timeout", "labels", "wait", "display_name")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    schema: str
    inputs: str
    request_id: str
    timeout: _duration_pb2.Duration
    labels: _containers.ScalarMap[str, str]
    wait: bool
    display_name: str
    def __init__(self, schema: _Optional[str] = ..., inputs: _Optional[str] = ..., request_id: _Optional[str] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., wait: bool = ..., display_name: _Optional[str] = ...) -> None: ...

class TaskRunResponse(_message.Message):
    __slots__ = ("task_id", "status", "outputs", "errors")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    status: _report_pb2.StatusInfo
    outputs: str
    errors: _containers.RepeatedCompositeFieldContainer[_report_pb2.Message]
    def __init__(self, task_id: _Optional[str] = ..., status: _Optional[_Union[_report_pb2.StatusInfo, _Mapping]] = ..., outputs: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[_report_pb2.Message, _Mapping]]] = ...) -> None: ...

class TaskValidateRequest(_message.Message):
    __slots__ = ("schema", "inputs")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    schema: str
    inputs: str
    def __init__(self, schema: _Optional[str] = ..., inputs: _Optional[str] = ...) -> None: ...

class TaskValidateResponse(_message.Message):
    __slots__ = ("valid", "errors", "problems", "warnings")
    VALID_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    errors: _containers.RepeatedScalarFieldContainer[str]
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    warnings: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, valid: bool = ..., errors: _Optional[_Iterable[str]] = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("field", "text")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    field: str
    text: str
    def __init__(self, field: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class TaskGetRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class TaskGetResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _report_pb2.Task
    def __init__(self, task: _Optional[_Union[_report_pb2.Task, _Mapping]] = ...) -> None: ...

class TaskReportRequest(_message.Message):
    __slots__ = ("task_id", "view")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    view: View
    def __init__(self, task_id: _Optional[str] = ..., view: _Optional[_Union[View, str]] = ...) -> None: ...

class TaskReportResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: _report_pb2.Report
    def __init__(self, report: _Optional[_Union[_report_pb2.Report, _Mapping]] = ...) -> None: ...

class TaskResultRequest(_message.Message):
    __slots__ = ("task_id", "wait")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    wait: bool
    def __init__(self, task_id: _Optional[str] = ..., wait: bool = ...) -> None: ...

class TaskResultResponse(_message.Message):
    __slots__ = ("status", "outputs", "errors")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    status: _report_pb2.StatusInfo
    outputs: str
    errors: _containers.RepeatedCompositeFieldContainer[_report_pb2.Message]
    def __init__(self, status: _Optional[_Union[_report_pb2.StatusInfo, _Mapping]] = ..., outputs: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[_report_pb2.Message, _Mapping]]] = ...) -> None: ...

class TaskCancelRequest(_message.Message):
    __slots__ = ("task_id", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TaskCancelResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: bool = ...) -> None: ...

class TaskListRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "statuses", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    statuses: _containers.RepeatedScalarFieldContainer[_report_pb2.Status]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[_report_pb2.Status, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TaskListResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_report_pb2.TaskSummary]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[_report_pb2.TaskSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchTaskRequest(_message.Message):
    __slots__ = ("task_id", "after_sequence", "view", "include_deltas", "heartbeat")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DELTAS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    after_sequence: int
    view: View
    include_deltas: bool
    heartbeat: _duration_pb2.Duration
    def __init__(self, task_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., view: _Optional[_Union[View, str]] = ..., include_deltas: bool = ..., heartbeat: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchTaskResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.TaskEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[_event_pb2.TaskEvent, _Mapping]]] = ...) -> None: ...

class WatchTasksRequest(_message.Message):
    __slots__ = ("statuses", "labels", "heartbeat")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedScalarFieldContainer[_report_pb2.Status]
    labels: _containers.ScalarMap[str, str]
    heartbeat: _duration_pb2.Duration
    def __init__(self, statuses: _Optional[_Iterable[_Union[_report_pb2.Status, str]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., heartbeat: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchTasksResponse(_message.Message):
    __slots__ = ("tasks", "removed_task_ids")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_report_pb2.TaskSummary]
    removed_task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tasks: _Optional[_Iterable[_Union[_report_pb2.TaskSummary, _Mapping]]] = ..., removed_task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfoResponse(_message.Message):
    __slots__ = ("name", "title", "description", "runtime", "version", "time", "node_types", "features", "limits", "caller")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPES_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    description: str
    runtime: str
    version: str
    time: _timestamp_pb2.Timestamp
    node_types: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: ServerLimits
    caller: Caller
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., runtime: _Optional[str] = ..., version: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., node_types: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class Caller(_message.Message):
    __slots__ = ("name", "namespace", "role")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    role: str
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("max_message_bytes", "max_schema_bytes", "max_inputs_bytes")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_SCHEMA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INPUTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_message_bytes: int
    max_schema_bytes: int
    max_inputs_bytes: int
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_schema_bytes: _Optional[int] = ..., max_inputs_bytes: _Optional[int] = ...) -> None: ...

class TaskRunBatchRequest(_message.Message):
    __slots__ = ("defaults", "max_in_flight", "runs")
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    defaults: TaskRunRequest
    max_in_flight: int
    runs: _containers.RepeatedCompositeFieldContainer[BatchRun]
    def __init__(self, defaults: _Optional[_Union[TaskRunRequest, _Mapping]] = ..., max_in_flight: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[BatchRun, _Mapping]]] = ...) -> None: ...

class BatchRun(_message.Message):
    __slots__ = ("key", "request")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    key: str
    request: TaskRunRequest
    def __init__(self, key: _Optional[str] = ..., request: _Optional[_Union[TaskRunRequest, _Mapping]] = ...) -> None: ...

class TaskRunBatchResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[BatchOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[BatchOutcome, _Mapping]]] = ...) -> None: ...

class BatchOutcome(_message.Message):
    __slots__ = ("key", "outcome", "rejected")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    key: str
    outcome: TaskRunResponse
    rejected: _status_pb2.Status
    def __init__(self, key: _Optional[str] = ..., outcome: _Optional[_Union[TaskRunResponse, _Mapping]] = ..., rejected: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
