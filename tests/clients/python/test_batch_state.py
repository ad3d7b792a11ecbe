"""What a batch sends and yields, without a server."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

import flowgram_client as fc
from flowgram.runtime.v1.runtime_service_pb2 import (
    BatchOutcome,
    TaskRunBatchResponse,
    TaskRunRequest,
    TaskRunResponse,
)
from flowgram_client._batch import BatchState


def state(*, max_in_flight: int = 0, ordered: bool = False, attempts: int = 3) -> BatchState:
    return BatchState(
        TaskRunRequest(schema="{}"),
        batch_id="b",
        max_in_flight=max_in_flight,
        ordered=ordered,
        retry=fc.RetryPolicy(attempts=attempts, initial=0.5),
    )


def response(*outcomes: BatchOutcome) -> TaskRunBatchResponse:
    return TaskRunBatchResponse(outcomes=outcomes)


def done(number: int) -> BatchOutcome:
    return BatchOutcome(key=str(number), outcome=TaskRunResponse(task_id=f"task-{number}"))


def refused(number: int, code: int, retry_after: int | None = None) -> BatchOutcome:
    status = status_pb2.Status(code=code)
    if retry_after is not None:
        info = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_after))
        status.details.add().Pack(info)
    return BatchOutcome(key=str(number), rejected=status)


def test_outcomes_that_wait_for_earlier_ones_take_room() -> None:
    """With a window of two, one run without an outcome and one outcome that is held back leave none."""
    batch = state(max_in_flight=2, ordered=True)
    for number in range(2):
        assert batch.has_room
        batch.add({"n": number})
    assert not batch.has_room
    assert batch.received(response(done(1))) == []
    assert not batch.has_room
    assert [outcome.index for outcome in batch.received(response(done(0)))] == [0, 1]
    assert batch.has_room
    assert batch.finished


def test_the_first_outcome_of_a_run_counts() -> None:
    """A run that was sent on two streams may have two."""
    batch = state()
    batch.add({})
    batch.add({})
    assert [outcome.index for outcome in batch.received(response(done(1), done(1)))] == [1]
    assert batch.received(response(done(1))) == []
    assert not batch.finished


@pytest.mark.parametrize(
    ("code", "retry_after", "tried_again"),
    [
        (code_pb2.UNAVAILABLE, None, True),
        (code_pb2.RESOURCE_EXHAUSTED, 7, True),
        (code_pb2.RESOURCE_EXHAUSTED, None, False),
        (code_pb2.INVALID_ARGUMENT, 7, False),
    ],
)
def test_what_is_refused_for_now_is_tried_again(
    code: int, retry_after: int | None, *, tried_again: bool
) -> None:
    """After the longest pause that was advised, and so often as the policy says; then the refusal is the outcome."""
    batch = state(attempts=3)
    batch.add({})
    if tried_again:
        for _ in range(2):
            assert batch.received(response(refused(0, code, retry_after))) == []
            assert batch.take_retry_delay() == (retry_after or 0.5)
            assert batch.take_retry_delay() == 0
            assert [len(message.runs) for message in batch.first_requests()] == [0, 1]
    (outcome,) = batch.received(response(refused(0, code, retry_after)))
    assert outcome.result is None
    assert outcome.error is not None
    assert batch.finished


def test_a_stream_begins_with_the_runs_without_an_outcome() -> None:
    """In order, under their request ids, in messages of bounded size."""
    batch = state(max_in_flight=300)
    for number in range(200):
        batch.add({"n": number})
    batch.received(response(*(done(number) for number in range(0, 200, 2))))
    defaults, *messages = batch.first_requests()
    assert (defaults.defaults.schema, defaults.max_in_flight) == ("{}", 300)
    assert [len(message.runs) for message in messages] == [64, 36]
    runs = [run for message in messages for run in message.runs]
    assert [run.key for run in runs] == [str(number) for number in range(1, 200, 2)]
    assert [run.request.request_id for run in runs] == [f"b/{run.key}" for run in runs]
    large = state()
    for _ in range(3):
        large.add({"text": "x" * 600_000})
    assert [len(message.runs) for message in large.first_requests()] == [0, 2, 1]
