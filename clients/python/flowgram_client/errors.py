"""What can go wrong between a program and the service.

FlowgramError
├── InvalidValue (ValueError)   refused before anything was sent: NaN, a set, a number too large …
├── RequestError                a call failed; nothing of what it asked for is known to have happened
│   ├── InvalidArgument         the server names every problem
│   │   └── InvalidWorkflow     … of a schema or of its inputs
│   ├── TaskNotFound            no such task, or its retention has passed
│   ├── AlreadyExists           the request id was used before with a different request
│   ├── SequenceOutOfRange      a watch was to begin beyond the last event
│   ├── ResourceExhausted       too many tasks are running, or a message is too large
│   ├── Unavailable             no server, or one that is going away; retried before it is raised
│   ├── DeadlineExceeded        no answer within the timeout
│   ├── CallCanceled            the call was ended on the way, or the client is closed
│   └── ServerError             everything else, by its `code`
└── OutcomeError                raised by `Result.outputs` of a task that has none
    ├── TaskFailed
    ├── TaskCanceled
    └── TaskUnfinished          the task goes on; the call's deadline came first
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import grpc

if TYPE_CHECKING:
    from .models import Message


class FlowgramError(Exception):
    """The base of every error that this package raises."""


class InvalidValue(FlowgramError, ValueError):
    """A value cannot be sent: it is not JSON, not Unicode, of another type or out of its range.

    The text names the place. Nothing was sent.
    """


class Problem(NamedTuple):
    """One thing that is wrong with a request."""

    path: str
    """The place, as in `schema.nodes[2].id`."""
    text: str
    """What is wrong there."""

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class RequestError(FlowgramError):
    """A call ended with a status other than OK."""

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        problems: Sequence[Problem] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code, reason, metadata, problems, retry_after)
        self.message = message
        """The server's own words, or the transport's."""
        self.code = code
        """The gRPC status."""
        self.reason = reason
        """The stable UPPER_SNAKE reason of the service; empty where the transport failed."""
        self.metadata = dict(metadata or {})
        """Particulars of the reason."""
        self.problems = tuple(problems)
        """What is wrong with the request, in the server's order."""
        self.retry_after = retry_after
        """Seconds after which the server suggests another attempt."""

    def __str__(self) -> str:
        lines = [self.message or self.code.name.lower().replace("_", " ")]
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


class InvalidArgument(RequestError):
    """The request is wrong; `problems` lists all that is."""


class InvalidWorkflow(InvalidArgument):
    """The schema or the inputs are wrong; `problems` lists all that is."""


class TaskNotFound(RequestError):
    """No such task, or its retention has passed."""


class AlreadyExists(RequestError):
    """The request id was used before, with a different request."""


class SequenceOutOfRange(RequestError):
    """The watch was to begin beyond the task's last event."""


class ResourceExhausted(RequestError):
    """A limit is reached; `retry_after` says when to try again, if that helps."""


class Unavailable(RequestError):
    """The server cannot be reached, is going away, or has fallen silent."""


class DeadlineExceeded(RequestError):
    """No answer came in time. A task that was started goes on."""


class CallCanceled(RequestError):
    """The call was ended before its answer came, or never began: the client was closed, or a proxy gave up."""


class ServerError(RequestError):
    """The server failed, or refused for a reason of its own; see `code` and `reason`."""


class OutcomeError(FlowgramError):
    """A task has no outputs."""

    def __init__(self, message: str, task_id: str, errors: "Sequence[Message]" = ()) -> None:
        super().__init__(message, task_id, errors)
        self.message = message
        self.task_id = task_id
        self.errors = tuple(errors)
        """The task's error messages, in order."""

    def __str__(self) -> str:
        return self.message


class TaskFailed(OutcomeError):
    """The task failed; `errors` says why."""


class TaskCanceled(OutcomeError):
    """The task was canceled."""


class TaskUnfinished(OutcomeError):
    """The task has not ended yet."""
