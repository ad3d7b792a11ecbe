"""A typed client of the FlowGram runtime, for asyncio and for threads.

    from flowgram_client import Client

    with Client("127.0.0.1:50051") as client:
        task_id = client.run(schema, {"prompt": "Hi"})
        for event in client.watch(task_id):
            print(event)
        print(client.result(task_id).outputs)

`AsyncClient` has the same methods for asyncio. JSON documents go in and come out as dicts.
"""

from ._async import AsyncClient
from ._json import JSONObject
from ._sync import Client
from ._version import __version__
from .errors import (
    AlreadyExists,
    CallCanceled,
    DeadlineExceeded,
    FlowgramError,
    InvalidArgument,
    InvalidValue,
    InvalidWorkflow,
    OutcomeError,
    Problem,
    RequestError,
    ResourceExhausted,
    SequenceOutOfRange,
    ServerError,
    TaskCanceled,
    TaskFailed,
    TaskNotFound,
    TaskUnfinished,
    Unavailable,
)
from .events import Event, MessageLogged, NodeStatusChanged, OutputDelta, TaskStatusChanged
from .models import (
    Iteration,
    Message,
    MessageType,
    NodeReport,
    Report,
    Result,
    ServerInfo,
    Snapshot,
    Status,
    StatusInfo,
    TaskSummary,
    View,
)
from .retry import RetryPolicy

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "CallCanceled",
    "Client",
    "DeadlineExceeded",
    "Event",
    "FlowgramError",
    "InvalidArgument",
    "InvalidValue",
    "InvalidWorkflow",
    "Iteration",
    "JSONObject",
    "Message",
    "MessageLogged",
    "MessageType",
    "NodeReport",
    "NodeStatusChanged",
    "OutcomeError",
    "OutputDelta",
    "Problem",
    "Report",
    "RequestError",
    "ResourceExhausted",
    "Result",
    "RetryPolicy",
    "SequenceOutOfRange",
    "ServerError",
    "ServerInfo",
    "Snapshot",
    "Status",
    "StatusInfo",
    "TaskCanceled",
    "TaskFailed",
    "TaskNotFound",
    "TaskStatusChanged",
    "TaskSummary",
    "TaskUnfinished",
    "Unavailable",
    "View",
    "__version__",
]
