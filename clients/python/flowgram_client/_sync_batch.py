"""Batches for threads: gRPC sends rows in a thread of its own, while the caller iterates over the outcomes."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import grpc

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunBatchRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

from . import models
from ._batch import BatchState, is_broken_off, is_full
from ._channel import Metadata
from ._status import client_closed, error_from_rpc
from .errors import RequestError
from .retry import RetryPolicy


class SyncBatch:
    """Runs the rows of one batch; see `AsyncBatch`. Rows are taken in a thread of gRPC's."""

    def __init__(
        self,
        state: BatchState,
        rows: Iterable[Any],
        *,
        stub: WorkflowRuntimeServiceStub,
        metadata: Callable[[], Metadata],
        reconnect: RetryPolicy,
        sleep: Callable[[float], object],
        rand: Callable[[], float],
    ) -> None:
        self._state = state
        self._rows = iter(rows)
        self._stub: Any = stub
        self._metadata = metadata
        self._reconnect = reconnect
        self._sleep = sleep
        self._rand = rand
        self._all_sent = False
        self._row_error: BaseException | None = None
        self._changed = threading.Condition()
        self._stream = 0

    def outcomes(self) -> Generator[models.BatchOutcome, None, None]:
        """The outcome of every row; of a stream that broke off the rest comes over another one."""
        failures = 0
        while True:
            with self._changed:
                self._stream += 1
                requests = self._requests(self._stream)
            has_received = False
            try:
                call = self._stub.TaskRunBatch(requests, metadata=self._metadata())
            except ValueError as error:  # gRPC has no type for a channel that was closed
                if "closed" not in str(error):
                    raise
                raise client_closed() from None
            try:
                for response in call:
                    failures, has_received = 0, True
                    with self._changed:
                        found = self._state.received(response)
                        self._changed.notify_all()
                    yield from found
                if self._row_error is not None:
                    raise self._row_error
                with self._changed:
                    if self._all_sent and self._state.finished:
                        return
                    delay = self._state.take_retry_delay()
            except grpc.RpcError as failure:
                if self._row_error is not None:
                    raise self._row_error from None
                failures += 1
                delay = self._delay_after(error_from_rpc(failure), failures, has_received=has_received)
            finally:
                with self._changed:  # the thread that sends is to stop, too
                    self._stream += 1
                    self._changed.notify_all()
                call.cancel()
            self._sleep(delay)

    def _delay_after(self, error: RequestError, failures: int, *, has_received: bool) -> float:
        delay = self._reconnect.delay(failures, self._rand, advice=error.retry_after)
        if delay is None or not is_broken_off(error, has_received=has_received):
            raise error.with_traceback(None) from None
        return delay

    def _requests(self, stream: int) -> Iterator[TaskRunBatchRequest]:
        with self._changed:
            first = list(self._state.first_requests())
        yield from first
        try:
            while not self._all_sent:
                message = self._next_message(stream)
                if message is None:
                    return
                if message.runs:
                    yield message
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the caller is
            self._row_error, self._all_sent = error, True

    def _next_message(self, stream: int) -> TaskRunBatchRequest | None:
        """The next rows; None once this stream has ended."""
        message = TaskRunBatchRequest()
        while not is_full(message):
            with self._changed:
                while not self._state.has_room and not message.runs and stream == self._stream:
                    self._changed.wait()
                if stream != self._stream:
                    return None
                if not self._state.has_room:
                    break
                # Under the lock: where a stream breaks off while a row is taken, the row must be among the pending ones.
                try:
                    row = next(self._rows)
                except StopIteration:
                    self._all_sent = True
                    break
                message.runs.append(self._state.add(row))
        return message
