"""A typed client of the FlowGram runtime, for asyncio and for threads.

    from flowgram_client import Client

    with Client("127.0.0.1:50051") as client:
        task_id = client.run(schema, {"prompt": "Hi"})
        for event in client.watch(task_id):
            print(event)
        print(client.result(task_id).outputs)

`AsyncClient` has the same methods for asyncio. JSON documents go in and come out as dicts.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import errors as _errors
from ._json import JSONObject
from ._sync import Client
from ._version import __version__
from .errors import (
    AlreadyExistsError,
    CallCanceledError,
    DeadlineExceededError,
    FlowgramError,
    InvalidArgumentError,
    InvalidValueError,
    InvalidWorkflowError,
    OutcomeError,
    PermissionDeniedError,
    RequestError,
    ResourceExhaustedError,
    SequenceOutOfRangeError,
    ServerError,
    TaskCanceledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskUnfinishedError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
)
from .events import Event, MessageLogged, NodeStatusChanged, OutputDelta, TaskStatusChanged
from .messages import Message, MessageType
from .models import (
    BatchOutcome,
    BatchRow,
    Caller,
    Iteration,
    NodeReport,
    Report,
    Result,
    ServerInfo,
    ServerLimits,
    Snapshot,
    Status,
    StatusInfo,
    Task,
    TaskRemoved,
    TaskSummary,
    Validation,
    View,
)
from .retry import RetryPolicy

if _TYPE_CHECKING:
    from ._async import AsyncClient

__all__ = [
    "AlreadyExistsError",
    "AsyncClient",
    "BatchOutcome",
    "BatchRow",
    "CallCanceledError",
    "Caller",
    "Client",
    "DeadlineExceededError",
    "Event",
    "FlowgramError",
    "InvalidArgumentError",
    "InvalidValueError",
    "InvalidWorkflowError",
    "Iteration",
    "JSONObject",
    "Message",
    "MessageLogged",
    "MessageType",
    "NodeReport",
    "NodeStatusChanged",
    "OutcomeError",
    "OutputDelta",
    "PermissionDeniedError",
    "Report",
    "RequestError",
    "ResourceExhaustedError",
    "Result",
    "RetryPolicy",
    "SequenceOutOfRangeError",
    "ServerError",
    "ServerInfo",
    "ServerLimits",
    "Snapshot",
    "Status",
    "StatusInfo",
    "Task",
    "TaskCanceledError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskRemoved",
    "TaskStatusChanged",
    "TaskSummary",
    "TaskUnfinishedError",
    "UnauthenticatedError",
    "UnavailableError",
    "Validation",
    "View",
    "Violation",
    "__version__",
]


def __getattr__(name: str) -> _Any:
    """`AsyncClient`, which is imported when it is used; and the exceptions by the names that they had in 0.1."""
    if name == "AsyncClient":
        from ._async import AsyncClient  # noqa: PLC0415 - programs that use threads need none of it

        globals()[name] = AsyncClient
        return AsyncClient
    return getattr(_errors, name)
