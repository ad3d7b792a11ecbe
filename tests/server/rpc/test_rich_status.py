from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from structlog.testing import capture_logs

from flowgram_core.hosting.errors import (
    InvalidWorkflow,
    RequestConflict,
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.modeling.errors import Problem
from flowgram_server.rpc.errors import (
    ArgumentInvalid,
    MessageTooLarge,
    PageTokenInvalid,
    RequestTooLarge,
    TooManyWatches,
    Violation,
)
from flowgram_server.rpc.rich_status import RichStatus, rich_status

METADATA_LIMIT = 8192
"""What clients accept of trailing metadata if nobody has set another limit."""

_Detail = TypeVar("_Detail", bound=Message)


def details(status: RichStatus, kind: type[_Detail]) -> list[_Detail]:
    found = []
    for packed in Status.FromString(status.details).details:
        detail = kind()
        if packed.Unpack(detail):
            found.append(detail)
    return found


@pytest.mark.parametrize(
    ("error", "code", "reason", "metadata"),
    [
        (TaskNotFound("t1"), StatusCode.NOT_FOUND, "TASK_NOT_FOUND", {"task_id": "t1"}),
        (RequestConflict("r1"), StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", {"request_id": "r1"}),
        (SequenceOutOfRange(9, 4), StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE", {"last_sequence": "4"}),
        (ShuttingDown(), StatusCode.UNAVAILABLE, "SHUTTING_DOWN", {}),
        (PageTokenInvalid(), StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID", {}),
        (
            MessageTooLarge(5, "x"),
            StatusCode.RESOURCE_EXHAUSTED,
            "MESSAGE_TOO_LARGE",
            {"max_bytes": "5", "message": "response"},
        ),
        (
            RequestTooLarge(6, 5),
            StatusCode.RESOURCE_EXHAUSTED,
            "MESSAGE_TOO_LARGE",
            {"max_bytes": "5", "message": "request"},
        ),
    ],
)
def test_status_carries_the_reason(
    error: Exception, code: StatusCode, reason: str, metadata: dict[str, str]
) -> None:
    """The status, its text, and ErrorInfo with domain, reason and what the reason is about."""
    status = rich_status(error)
    received = Status.FromString(status.details)
    assert (status.code, status.reason) == (code, reason)
    assert (received.code, received.message) == (code.value[0], status.text)
    assert status.text == str(error)
    (info,) = details(status, ErrorInfo)
    assert (info.domain, info.reason, dict(info.metadata)) == ("flowgram.runtime", reason, metadata)


def test_all_problems_are_field_violations() -> None:
    """Each problem of a workflow is a violation with its place, in order."""
    problems = tuple(Problem(f"schema.nodes[{number}].id", f"problem {number}") for number in range(20))
    (bad_request,) = details(rich_status(InvalidWorkflow(problems)), BadRequest)
    assert [(v.field, v.description) for v in bad_request.field_violations] == list(problems)


def test_arguments_are_field_violations() -> None:
    """Each field that is not as it should be is named with what was expected."""
    status = rich_status(
        ArgumentInvalid(Violation("view", "must be VIEW_FULL"), Violation("task_id", "is required"))
    )
    assert status.text == "view must be VIEW_FULL; task_id is required"
    (bad_request,) = details(status, BadRequest)
    assert [v.field for v in bad_request.field_violations] == ["view", "task_id"]


@pytest.mark.parametrize("error", [TooManyTasks("full", 1.5), TooManyWatches(1, 1.5)])
def test_a_full_server_says_when_to_try_again(error: Exception) -> None:
    """Limits that pass by themselves come with a time to wait."""
    (retry,) = details(rich_status(error), RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500


@pytest.mark.parametrize("character", ["x", "é", "漢", "\ud800"])
def test_details_fit_into_metadata(character: str) -> None:
    """However many and however long the problems are, every client can receive the status, and learns how many there are."""
    problems = tuple(Problem(f"schema.nodes[{number}]", character * 1000) for number in range(1000))
    status = rich_status(InvalidWorkflow(problems))
    percent_encoded = sum(3 if byte >= 0x80 else 1 for byte in status.text.encode())
    assert len(status.details) + percent_encoded < METADATA_LIMIT - 512
    (bad_request,) = details(status, BadRequest)
    received = len(bad_request.field_violations) - 1
    assert received >= 1
    assert bad_request.field_violations[-1].description.startswith(f"and {1000 - received} more")


def test_of_many_arguments_the_rest_is_counted() -> None:
    """No call lists all violations of a request's fields, so none is named."""
    violations = [Violation(f"statuses[{number}]", "x" * 300) for number in range(100)]
    (bad_request,) = details(rich_status(ArgumentInvalid(*violations)), BadRequest)
    received = len(bad_request.field_violations) - 1
    assert bad_request.field_violations[-1].description == f"and {100 - received} more"


def test_a_defect_tells_an_id_and_nothing_else() -> None:
    """An unexpected error's own text stays in the log, where its id finds it."""
    with capture_logs() as logs:
        status = rich_status(KeyError("/etc/passwd SELECT * FROM tasks"))
    assert status.code is StatusCode.INTERNAL
    assert "passwd" not in status.text
    assert b"passwd" not in status.details
    (info,) = details(status, ErrorInfo)
    assert [line["error_id"] for line in logs] == [info.metadata["error_id"]]
    assert isinstance(logs[0]["exc_info"], KeyError)


def test_the_storage_is_not_described() -> None:
    """The journal's text names a file, and is not for clients."""
    status = rich_status(JournalUnavailable("/var/lib/flowgram/journal.sqlite3: disk full"))
    assert (status.code, status.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert "/var" not in status.text
    assert b"/var" not in status.details
