"""Exceptions of the client.

FlowgramError
├── InvalidValueError (ValueError)  refused before anything was sent: NaN, a set, a number too large …
├── RequestError                    a call failed; nothing of what it asked for is known to have happened
│   ├── InvalidArgumentError        the server names every violation
│   │   └── InvalidWorkflowError    … of a schema or of its inputs
│   ├── TaskNotFoundError           no such task, or its retention has passed
│   ├── UnauthenticatedError        the server asks for credentials, and got none, or none that are valid
│   ├── PermissionDeniedError       the credentials do not allow the call
│   ├── AlreadyExistsError          the request id was used before with a different request
│   ├── SequenceOutOfRangeError     a watch was to begin beyond the last event
│   ├── ResourceExhaustedError      too many tasks are running, or a message is too large
│   ├── UnavailableError            no server, or one that is going away; retried before it is raised
│   ├── DeadlineExceededError       no answer within the timeout
│   ├── CallCanceledError           the call was ended on the way, or the client is closed
│   └── ServerError                 everything else, by its `code`
└── OutcomeError                    raised by `Result.outputs` of a task that has none
    ├── TaskFailedError
    ├── TaskCanceledError
    └── TaskUnfinishedError         the task goes on; the call's deadline came first

The names of 0.1 without `Error` (`TaskFailed` …), and `Problem` for `Violation`, still work, and warn.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import grpc

from .messages import Message


class FlowgramError(Exception):
    """The base of every error that this package raises."""


class InvalidValueError(FlowgramError, ValueError):
    """A value cannot be sent: it is not JSON, not Unicode, of another type or out of its range.

    The text names the field. Nothing was sent.
    """


class Violation(NamedTuple):
    """One thing that is wrong with a request."""

    field: str
    """The field, as in `schema.nodes[2].id`."""
    description: str
    """What is wrong there."""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


_WRONG = {"SCHEMA_INVALID": "the workflow is not valid", "INPUTS_INVALID": "the inputs are not valid"}


class RequestError(FlowgramError):
    """A call ended with a status other than OK."""

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code, reason, metadata, violations, retry_after)
        self.message = message
        """The server's own words, or the transport's."""
        self.code = code
        """The gRPC status."""
        self.reason = reason
        """The stable UPPER_SNAKE reason of the service; empty where the transport failed."""
        self.metadata = dict(metadata or {})
        """Particulars of the reason."""
        self.violations = tuple(violations)
        """What is wrong with the request, in the server's order."""
        self.retry_after = retry_after
        """Seconds after which the server suggests another attempt."""

    def __str__(self) -> str:
        if not self.violations:
            return self.message or self.code.name.lower().replace("_", " ")
        # The server's own words are a digest of the violations.
        return "\n  ".join([_WRONG.get(self.reason, "the request is not valid"), *map(str, self.violations)])


class InvalidArgumentError(RequestError):
    """The request is wrong; `violations` lists all that is."""


class InvalidWorkflowError(InvalidArgumentError):
    """The schema or the inputs are wrong; `violations` lists all that is."""


class TaskNotFoundError(RequestError):
    """No such task, or its retention has passed."""


class UnauthenticatedError(RequestError):
    """The server asks for credentials, and the call has none, or none that are valid: see `token`."""


class PermissionDeniedError(RequestError):
    """The credentials are valid, and do not allow this call."""


class AlreadyExistsError(RequestError):
    """The request id was used before, with a different request."""


class SequenceOutOfRangeError(RequestError):
    """The watch was to begin beyond the task's last event."""


class ResourceExhaustedError(RequestError):
    """A limit is reached; `retry_after` says when to try again, if that helps."""


class UnavailableError(RequestError):
    """The server cannot be reached, is going away, or has fallen silent."""


class DeadlineExceededError(RequestError):
    """No answer came in time. A task that was started goes on."""


class CallCanceledError(RequestError):
    """The call was ended before its answer came, or never began: the client was closed, or a proxy gave up."""


class ServerError(RequestError):
    """The server failed, or refused for a reason of its own; see `code` and `reason`."""


class OutcomeError(FlowgramError):
    """A task has no outputs."""

    def __init__(self, message: str, task_id: str, errors: Sequence[Message] = ()) -> None:
        super().__init__(message, task_id, errors)
        self.message = message
        self.task_id = task_id
        self.errors = tuple(errors)
        """The task's error messages, in order."""

    def __str__(self) -> str:
        return self.message


class TaskFailedError(OutcomeError):
    """The task failed; `errors` says why."""


class TaskCanceledError(OutcomeError):
    """The task was canceled."""


class TaskUnfinishedError(OutcomeError):
    """The task has not ended yet."""


_OLD_NAMES = {
    "AlreadyExists": AlreadyExistsError,
    "CallCanceled": CallCanceledError,
    "DeadlineExceeded": DeadlineExceededError,
    "InvalidArgument": InvalidArgumentError,
    "InvalidValue": InvalidValueError,
    "InvalidWorkflow": InvalidWorkflowError,
    "Problem": Violation,
    "ResourceExhausted": ResourceExhaustedError,
    "SequenceOutOfRange": SequenceOutOfRangeError,
    "TaskCanceled": TaskCanceledError,
    "TaskFailed": TaskFailedError,
    "TaskNotFound": TaskNotFoundError,
    "TaskUnfinished": TaskUnfinishedError,
    "Unavailable": UnavailableError,
}


def __getattr__(name: str) -> Any:
    """The classes by the names that they had in 0.1."""
    try:
        renamed = _OLD_NAMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    warnings.warn(
        f"flowgram_client.{name} is now {renamed.__name__}; the old name goes with the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    return renamed
