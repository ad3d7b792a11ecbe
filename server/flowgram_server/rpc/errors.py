"""Errors of the service, and the table from every error to a gRPC status and a reason.

ServiceError
├── ArgumentInvalid     fields of a request are missing or out of their range; carries all of them
├── PageTokenInvalid    a page token that this service did not make, or made for other filters
├── TooManyWatches      the limit of watchers is reached
├── RequestTooLarge     the request is larger than the service takes
├── MessageTooLarge     the answer is larger than the service may send
└── ReportTooLong       a task has more events than a report may add up

Those of the runtime are in `flowgram_core.hosting.errors` and `flowgram_core.journal.errors`, those of authentication in
`flowgram_server.auth.errors`. `ANSWERS` is the one table
from an error to a status and a reason; what is not in it is a defect, and answered as INTERNAL.
"""

from collections.abc import Mapping
from typing import NamedTuple

from grpc import StatusCode

from flowgram_core.hosting import errors as runtime
from flowgram_core.journal import errors as journal
from flowgram_server.auth import errors as auth


class Violation(NamedTuple):
    """One thing that is wrong with a request.

    Attributes:
        field: The field, as a path of field names: `page_size`, `schema.nodes[2].id`.
        description: What was expected there, and what was found.
    """

    field: str
    description: str


class ServiceError(Exception):
    """Base of the service's own errors."""


class ArgumentInvalid(ServiceError):
    """Fields of a request are missing or out of their range.

    Attributes:
        violations: All of them.
    """

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{field} {description}" for field, description in violations))
        self.violations = violations


class PageTokenInvalid(ServiceError):
    """A page token that this service did not make, or made for other filters.

    Attributes:
        violations: The one field that is wrong.
    """

    def __init__(self) -> None:
        self.violations = (
            Violation("page_token", "is not the next_page_token of a list with the same statuses and labels"),
        )
        super().__init__(" ".join(self.violations[0]))


class TooManyWatches(ServiceError):
    """The limit of watchers is reached.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(f"{limit} clients watch or wait: the limit max_watches is reached")
        self.retry_after = retry_after


class MessagesTooLarge(ServiceError):
    """The requests and answers that are under way hold all the memory that they may.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(f"the messages that are under way have {limit} bytes or nearly so: no more may")
        self.retry_after = retry_after


class RequestTooLarge(ServiceError):
    """The request is larger than the service takes.

    Attributes:
        limit: So many bytes it may have.
    """

    def __init__(self, size: int, limit: int, what: str = "the limit max_message_bytes =") -> None:
        super().__init__(f"the request has {size} bytes, more than {what} {limit}")
        self.limit = limit


RAISE_THE_LIMIT = "only a server with a higher limit can send it"
"""What there is to say of an answer that cannot be asked for in parts."""


class MessageTooLarge(ServiceError):
    """The answer is larger than the service may send.

    The hint says what else can be asked for.

    Attributes:
        limit: So many bytes it may have.
    """

    def __init__(self, limit: int, hint: str) -> None:
        super().__init__(f"the answer has more than {limit} bytes, the limit max_message_bytes: {hint}")
        self.limit = limit


class ReportTooLong(ServiceError):
    """A task has more events than a report may add up."""

    def __init__(self, events: int, limit: int) -> None:
        super().__init__(
            f"the task has {events} events, more than the limit max_report_events = {limit}: watch the task"
        )


class Answer(NamedTuple):
    """What a client gets to know of an error.

    Attributes:
        code: The status of the call.
        reason: The reason, for programs to branch on: an `ErrorReason` of the contract without its prefix.
        text: What people read; None: the text of the error itself, which is meant for them.
    """

    code: StatusCode
    reason: str
    text: str | None = None


INTERNAL = Answer(
    StatusCode.INTERNAL, "INTERNAL", "internal error: the server's log has more under the error_id"
)
_STORAGE = Answer(
    StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", "the store of tasks cannot be used at the moment"
)
_INPUTS_INVALID = Answer(StatusCode.INVALID_ARGUMENT, "INPUTS_INVALID")

ANSWERS: Mapping[type[Exception], Answer] = {
    ArgumentInvalid: Answer(StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID"),
    PageTokenInvalid: Answer(StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    TooManyWatches: Answer(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES"),
    MessagesTooLarge: Answer(StatusCode.RESOURCE_EXHAUSTED, "MEMORY_LIMIT"),
    RequestTooLarge: Answer(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    MessageTooLarge: Answer(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    ReportTooLong: Answer(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    auth.CredentialsMissing: Answer(StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING"),
    auth.CredentialsInvalid: Answer(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"),
    auth.PermissionDenied: Answer(StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
    runtime.InvalidWorkflow: Answer(StatusCode.INVALID_ARGUMENT, "SCHEMA_INVALID"),
    runtime.RequestConflict: Answer(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    runtime.TaskNotFound: Answer(StatusCode.NOT_FOUND, "TASK_NOT_FOUND"),
    runtime.SequenceOutOfRange: Answer(StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE"),
    runtime.TooManyTasks: Answer(StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS"),
    runtime.MemoryLimitReached: Answer(StatusCode.RESOURCE_EXHAUSTED, "MEMORY_LIMIT"),
    runtime.WatcherBehind: Answer(StatusCode.ABORTED, "WATCH_BEHIND"),
    runtime.QuotaExceeded: Answer(StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    runtime.StorageFull: Answer(StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL"),
    runtime.TaskOverLimit: INTERNAL,
    runtime.CallWithdrawn: INTERNAL,
    runtime.ShuttingDown: Answer(StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
    journal.JournalUnavailable: _STORAGE,
    journal.JournalDamaged: _STORAGE,
    journal.JournalUndecipherable: Answer(
        StatusCode.UNAVAILABLE,
        "STORAGE_UNAVAILABLE",
        "this part of the store of tasks is encrypted with a key that the server does not have",
    ),
    journal.JournalClosed: Answer(StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "the server is shutting down"),
    journal.JournalFileExists: INTERNAL,
    journal.WriteRejected: INTERNAL,
    journal.DuplicateRequest: INTERNAL,
    journal.InvalidWrite: INTERNAL,
}


def answer_to(error: Exception) -> Answer:
    """What a client gets to know of an error."""
    if isinstance(error, runtime.InvalidWorkflow) and error.in_inputs:
        return _INPUTS_INVALID
    return ANSWERS.get(type(error), INTERNAL)
