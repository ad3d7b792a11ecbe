"""Batches without any I/O: which runs are still without an outcome, and what is sent and yielded next.

Runs are numbered; the number is the key, and makes the request id together with the id of the batch. So a run that is sent
again, after the connection broke or the server was full, is never run twice.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flowgram.runtime.v1.runtime_service_pb2 import (
    BatchOutcome,
    BatchRun,
    TaskRunBatchRequest,
    TaskRunBatchResponse,
    TaskRunRequest,
)

from . import _convert, _json, models
from ._status import error_from_details
from .errors import InvalidValueError, RequestError, ResourceExhaustedError, UnavailableError
from .retry import RetryPolicy

_WINDOW = 256
"""Runs that may be without an outcome at once, where the caller does not say."""
_MOST_IN_FLIGHT = 4096
_MESSAGE_RUNS = 64
_MESSAGE_BYTES = 1024 * 1024


class BatchState:
    """The runs of one batch.

    Args:
        defaults: What the runs have in common.
        batch_id: Makes their request ids.
        max_in_flight: So many may be without an outcome at once; 0: a default.
        ordered: Whether outcomes are yielded in the order of the runs.
        retry: How often a run is tried again that the server refuses for now.
    """

    def __init__(
        self,
        defaults: TaskRunRequest,
        *,
        batch_id: str,
        max_in_flight: int,
        ordered: bool,
        retry: RetryPolicy,
    ) -> None:
        if not 0 <= max_in_flight <= _MOST_IN_FLIGHT:
            raise InvalidValueError(f"max_in_flight: {max_in_flight} is not between 0 and {_MOST_IN_FLIGHT}")
        self.retry_after = 0.0
        self._defaults = defaults
        self._batch_id = batch_id
        self._max_in_flight = max_in_flight
        self._window = max_in_flight or _WINDOW
        self._ordered = ordered
        self._retry = retry
        self._pending: dict[int, BatchRun] = {}
        self._attempts: dict[int, int] = {}
        self._row_ids: dict[int, str] = {}
        self._held_back: dict[int, models.BatchOutcome] = {}
        self._next_run = 0
        self._next_outcome = 0

    @property
    def has_room(self) -> bool:
        """Whether another run may be added now."""
        return len(self._pending) + len(self._held_back) < self._window

    @property
    def finished(self) -> bool:
        """Whether all runs that were added have an outcome."""
        return not self._pending

    def add(self, row: Mapping[str, Any] | str | models.BatchRow | None) -> BatchRun:
        """The next run, to be sent. Raises `InvalidValueError` where the inputs are not JSON."""
        number = self._next_run
        inputs, row_id = (row.inputs, row.row_id) if isinstance(row, models.BatchRow) else (row, str(number))
        text = "" if inputs is None else _json.dumps(inputs, f"rows[{number}]")
        request = TaskRunRequest(inputs=text, request_id=f"{self._batch_id}/{row_id}")
        run = BatchRun(key=str(number), request=request)
        self._next_run += 1
        self._pending[number] = run
        self._row_ids[number] = row_id
        return run

    def first_requests(self) -> Iterator[TaskRunBatchRequest]:
        """The requests that a stream begins with: the defaults, then all runs that have no outcome yet."""
        yield TaskRunBatchRequest(defaults=self._defaults, max_in_flight=self._max_in_flight)
        message = TaskRunBatchRequest()
        for run in list(self._pending.values()):
            message.runs.append(run)
            if is_full(message):
                yield message
                message = TaskRunBatchRequest()
        if message.runs:
            yield message

    def received(self, response: TaskRunBatchResponse) -> list[models.BatchOutcome]:
        """The outcomes to yield now that a response has come."""
        found: list[models.BatchOutcome] = []
        for message in response.outcomes:
            number = int(message.key)
            if number not in self._pending:  # it was sent twice, and its first outcome counts
                continue
            outcome = self._outcome(number, message)
            if outcome is None:
                continue
            del self._pending[number], self._row_ids[number]
            self._attempts.pop(number, None)
            if not self._ordered:
                found.append(outcome)
                continue
            self._held_back[number] = outcome
            while self._next_outcome in self._held_back:
                found.append(self._held_back.pop(self._next_outcome))
                self._next_outcome += 1
        return found

    def _outcome(self, number: int, message: BatchOutcome) -> models.BatchOutcome | None:
        """What became of a run; None if it is to be sent again."""
        if message.HasField("outcome"):
            result = _convert.result(message.outcome.task_id, message.outcome)
            return models.BatchOutcome(number, self._row_ids[number], result, None)
        error = error_from_details(message.rejected)
        is_full = isinstance(error, ResourceExhaustedError) and error.retry_after is not None
        if is_full or isinstance(error, UnavailableError):
            attempts = self._attempts[number] = self._attempts.get(number, 0) + 1
            if attempts < self._retry.attempts:
                self.retry_after = max(self.retry_after, error.retry_after or self._retry.initial)
                return None
        return models.BatchOutcome(number, self._row_ids[number], None, error)

    def take_retry_delay(self) -> float:
        """Seconds to wait before the runs that were refused for now are sent again."""
        delay, self.retry_after = self.retry_after, 0.0
        return delay


def is_full(message: TaskRunBatchRequest) -> bool:
    """Whether a request has as many runs as it should."""
    return len(message.runs) >= _MESSAGE_RUNS or message.ByteSize() >= _MESSAGE_BYTES


def is_broken_off(error: RequestError, *, has_received: bool) -> bool:
    """Whether a stream that ended in this way is to be begun again.

    Where it had given something, a token that has expired meanwhile may have been renewed.
    """
    return isinstance(error, UnavailableError) or (has_received and error.reason == "CREDENTIALS_INVALID")
