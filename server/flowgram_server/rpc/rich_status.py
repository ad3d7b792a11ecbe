"""Rich statuses: an error as the `google.rpc.Status` that gRPC clients of every language can read.

It travels in the trailing metadata. Clients refuse metadata beyond some 8 KB, so the details are bounded: of a long list of
problems only the first are sent, with the number of the others.
"""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from flowgram_core.hosting.errors import (
    InvalidWorkflow,
    MemoryLimitReached,
    QuotaExceeded,
    RequestConflict,
    SequenceOutOfRange,
    StorageFull,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_server.rpc.access_log import note
from flowgram_server.rpc.errors import (
    INTERNAL,
    Answer,
    ArgumentInvalid,
    MessagesTooLarge,
    MessageTooLarge,
    PageTokenInvalid,
    RequestTooLarge,
    TooManyWatches,
    Violation,
    answer_to,
)
from flowgram_server.rpc.grpc_types import Context

DOMAIN = "flowgram.runtime"
DETAILS_KEY = "grpc-status-details-bin"

_MAX_TEXT = 200
_MAX_DESCRIPTION = 400
_MAX_VIOLATIONS_BYTES = 4_600

_log = structlog.get_logger(__name__)


class RichStatus(NamedTuple):
    """How a call ends.

    Attributes:
        code: The status.
        text: What people read.
        reason: What programs branch on.
        details: The serialized `google.rpc.Status`.
    """

    code: StatusCode
    text: str
    reason: str
    details: bytes


def rich_status(error: Exception) -> RichStatus:
    """How a call that raised an error ends. A defect is logged with an id, and only the id is sent."""
    answer = answer_to(error)
    text = _clipped(str(error) if answer.text is None else answer.text, _MAX_TEXT)
    info = ErrorInfo(reason=answer.reason, domain=DOMAIN, metadata=_metadata(error, answer))
    status = Status(code=answer.code.value[0], message=text)
    for detail in (info, *_more_details(error)):
        status.details.add().Pack(detail)
    return RichStatus(answer.code, text, answer.reason, status.SerializeToString())


async def abort(context: Context, error: Exception) -> NoReturn:
    """Ends a call that raised an error."""
    status = rich_status(error)
    note(reason=status.reason)
    _forget_frames(error)
    try:
        await context.abort(status.code, status.text, ((DETAILS_KEY, status.details),))
    except grpc.aio.AbortError as aborted:
        context.add_done_callback(partial(_forget_frames, aborted))  # type: ignore[arg-type]  # the stub names a class of its own
        raise


def _forget_frames(error: BaseException | None, *_: Any) -> None:
    """Lets go of what was in the functions that an error came through.

    The context of a call keeps its error, and these functions have the context: all that they had, such as a report that was too
    large, would stay until the garbage collector comes.
    """
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _metadata(error: Exception, answer: Answer) -> dict[str, str]:
    if answer is INTERNAL:
        error_id = secrets.token_hex(6)
        _log.error("internal error", error_id=error_id, exc_info=error)
        return {"error_id": error_id}
    match error:
        case TaskNotFound():
            return {"task_id": _clipped(error.task_id, _MAX_TEXT)}
        case QuotaExceeded():
            return {"namespace": error.namespace, "limit": error.limit}
        case RequestConflict():
            return {"request_id": _clipped(error.request_id, _MAX_TEXT)}
        case SequenceOutOfRange():
            return {"last_sequence": str(error.last_sequence)}
        case RequestTooLarge():
            return {"max_bytes": str(error.limit), "message": "request"}
        case MessageTooLarge():
            return {"max_bytes": str(error.limit), "message": "response"}
        case _:
            return {}


def _more_details(error: Exception) -> list[Message]:
    match error:
        case ArgumentInvalid() | PageTokenInvalid():
            return [_bad_request(error.violations)]
        case InvalidWorkflow():
            violations = [Violation(problem.path, problem.text) for problem in error.problems]
            return [_bad_request(violations, ": TaskValidate lists all of them")]
        case MemoryLimitReached() | MessagesTooLarge() | StorageFull() | TooManyTasks() | TooManyWatches():
            return [_retry_info(error.retry_after)]
        case QuotaExceeded():
            failure = QuotaFailure()
            failure.violations.add(subject=f"namespace:{error.namespace}", description=str(error))
            return [failure] if error.retry_after is None else [failure, _retry_info(error.retry_after)]
        case _:
            return []


def _retry_info(seconds: float) -> RetryInfo:
    detail = RetryInfo()
    detail.retry_delay.FromMilliseconds(round(seconds * 1000))
    return detail


def _bad_request(violations: Sequence[Violation], advice: str = "") -> BadRequest:
    bad_request = BadRequest()
    size = 0
    for number, (field, description) in enumerate(violations):
        violation = bad_request.field_violations.add(
            field=_clipped(field, _MAX_DESCRIPTION), description=_clipped(description, _MAX_DESCRIPTION)
        )
        size += violation.ByteSize()
        if size > _MAX_VIOLATIONS_BYTES:
            violation.field = ""
            violation.description = f"and {len(violations) - number} more{advice}"
            break
    return bad_request


def _clipped(text: str, limit: int) -> str:
    """At most so many characters of a text, and nothing that UTF-8 cannot say."""
    clipped = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return clipped.encode("utf-8", "replace").decode()
