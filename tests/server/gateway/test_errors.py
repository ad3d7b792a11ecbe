import grpc
import pytest

from flowgram_client import RequestError, Violation
from flowgram_server.gateway.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ContentTypeUnsupported,
    CredentialsMissing,
    ErrorAnswer,
    GatewayError,
    GatewayOverloaded,
    RequestInvalid,
    SessionForeign,
    answer_to,
)

Code = grpc.StatusCode


def test_every_own_error_has_an_answer() -> None:
    """No error of the gateway's own can be forgotten in the table."""
    examples = [
        RequestInvalid("a", "b"),
        BodyTooLarge(5),
        ContentTypeUnsupported(""),
        BodyTimedOut(),
        GatewayOverloaded(),
        CredentialsMissing(),
        SessionForeign(),
    ]
    assert {type(each) for each in examples} == set(GatewayError.__subclasses__())
    answers = [answer_to(each) for each in examples]
    assert [answer.status for answer in answers] == [400, 413, 415, 408, 503, 401, 403]
    assert [answer.retry_after for answer in answers] == [None, None, None, None, 1, None, None]
    assert answers[0] == ErrorAnswer(400, "ARGUMENT_INVALID", "a; b", ("a", "b"))


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_status_has_an_answer(code: grpc.StatusCode) -> None:
    """A status that nobody foresaw is the gateway's trouble with its server: 502."""
    answer = answer_to(RequestError("ipv4:10.0.0.1 refused", code))
    assert 400 <= answer.status < 600
    assert answer.code == code.name
    assert "10.0.0.1" not in answer.message


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (Code.INVALID_ARGUMENT, "SCHEMA_INVALID", 400),
        (Code.NOT_FOUND, "TASK_NOT_FOUND", 404),
        (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", 409),
        (Code.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE", 416),
        (Code.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS", 429),
        (Code.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES", 429),
        (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", 500),
        (Code.RESOURCE_EXHAUSTED, "", 413),
        (Code.INTERNAL, "INTERNAL", 500),
        (Code.UNAVAILABLE, "SHUTTING_DOWN", 503),
        (Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", 503),
        (Code.UNAVAILABLE, "", 503),
        (Code.CANCELLED, "", 503),
        (Code.DEADLINE_EXCEEDED, "", 504),
        (Code.UNIMPLEMENTED, "", 502),
    ],
)
def test_reasons_pass_through(code: grpc.StatusCode, reason: str, status: int) -> None:
    """The service's reason and words are the client's too; where there are none, the gateway has its own."""
    answer = answer_to(RequestError("the service's words", code, reason))
    assert (answer.status, answer.code) == (status, reason or code.name)
    assert (answer.message == "the service's words") == bool(reason)


def test_which_message_is_too_large() -> None:
    """A request that is too large is the client's mistake, an answer is not."""
    for message, status in (("request", 413), ("response", 500)):
        error = RequestError("", Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", {"message": message})
        assert (answer_to(error).status, answer_to(error).code) == (status, "MESSAGE_TOO_LARGE")


def test_when_to_try_again() -> None:
    """Whole seconds, rounded up; a second where the service names no time; nothing where it would not help."""
    assert (
        answer_to(RequestError("", Code.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS", retry_after=1.2)).retry_after
        == 2
    )
    assert answer_to(RequestError("", Code.UNAVAILABLE)).retry_after == 1
    assert answer_to(RequestError("", Code.NOT_FOUND, "TASK_NOT_FOUND")).retry_after is None


def test_problems_as_texts() -> None:
    """Those of a workflow stand for themselves, as in a validation; others begin with the field."""
    problems = [Violation("schema.nodes[0].id", "Node must have an id")]
    assert answer_to(RequestError("", Code.INVALID_ARGUMENT, "SCHEMA_INVALID", {}, problems)).errors == (
        "Node must have an id",
    )
    problems = [Violation("labels", "must be at most 64 labels, not 65")]
    assert answer_to(RequestError("", Code.INVALID_ARGUMENT, "ARGUMENT_INVALID", {}, problems)).errors == (
        "labels must be at most 64 labels, not 65",
    )
