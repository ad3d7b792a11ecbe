"""Batches for asyncio: sends rows while there is room, and yields outcomes as they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunBatchRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

from . import models
from ._batch import BatchState, is_broken_off, is_full
from ._channel import Metadata
from ._status import client_closed, error_from_rpc
from .errors import FlowgramError, RequestError
from .retry import RetryPolicy


class AsyncBatch:
    """Runs the rows of one batch.

    Args:
        state: Which runs have no outcome yet.
        rows: The inputs of the runs.
        stub, metadata: Where and how calls are made.
        reconnect: When to give up after the connection broke.
        sleep, rand: Where waits and jitter come from.
    """

    def __init__(
        self,
        state: BatchState,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        stub: WorkflowRuntimeServiceStub,
        metadata: Callable[[], Metadata],
        reconnect: RetryPolicy,
        sleep: Callable[[float], Awaitable[object]],
        rand: Callable[[], float],
    ) -> None:
        self._state = state
        self._rows = iter(rows) if isinstance(rows, Iterable) else None
        self._async_rows = None if isinstance(rows, Iterable) else aiter(rows)
        self._fetching: asyncio.Future[tuple[Any]] | None = None
        self._stream = 0
        self._stub: Any = stub
        self._metadata = metadata
        self._reconnect = reconnect
        self._sleep = sleep
        self._rand = rand
        self._all_sent = False
        self._room = asyncio.Event()
        self._row_error: BaseException | None = None

    async def outcomes(self) -> AsyncGenerator[models.BatchOutcome, None]:
        """The outcome of every row; of a stream that broke off the rest comes over another one."""
        failures = 0
        while True:
            self._stream += 1
            has_received = False
            call = self._stub.TaskRunBatch(self._requests(self._stream), metadata=self._metadata())
            try:
                async for response in call:
                    failures, has_received = 0, True
                    for outcome in self._state.received(response):
                        self._room.set()
                        yield outcome
                    self._room.set()
                if self._row_error is not None:
                    raise self._row_error
                if self._all_sent and self._state.finished:
                    return
                delay: float | None = self._state.take_retry_delay()
            except grpc.RpcError as failure:
                if self._row_error is not None:
                    raise self._row_error from None
                error = error_from_rpc(failure)
                delay = self._delay_after(error, failures := failures + 1, has_received=has_received)
            except grpc.aio.UsageError:
                raise client_closed() from None
            except FlowgramError as error:
                raise error.with_traceback(None) from None
            finally:
                self._stream += 1  # what still sends on this one takes no more rows
                self._room.set()
                call.cancel()
            await self._sleep(delay or 0.0)

    def _delay_after(self, error: RequestError, failures: int, *, has_received: bool) -> float:
        delay = self._reconnect.delay(failures, self._rand, advice=error.retry_after)
        if delay is None or not is_broken_off(error, has_received=has_received):
            raise error.with_traceback(None) from None
        return delay

    async def _requests(self, stream: int) -> AsyncIterator[TaskRunBatchRequest]:
        """What one stream sends. An error of the rows ends it, and is raised where outcomes are read."""
        for request in list(self._state.first_requests()):
            yield request
        try:
            while not self._all_sent and (message := await self._next_message(stream)) is not None:
                if message.runs:
                    yield message
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - raised where the caller is
            self._row_error, self._all_sent = error, True

    async def _next_message(self, stream: int) -> TaskRunBatchRequest | None:
        """The next rows; None once this stream has ended."""
        message = TaskRunBatchRequest()
        while not is_full(message):
            while not self._state.has_room and stream == self._stream:
                if message.runs:
                    return message
                self._room.clear()
                await self._room.wait()
            if self._async_rows is not None:
                await self._fetch(self._async_rows)
            if stream != self._stream:
                return None
            try:
                row = self._next_row()
            except (StopIteration, StopAsyncIteration):
                self._all_sent = True
                break
            message.runs.append(self._state.add(row))
            if self._async_rows is not None:  # who knows when the next one comes
                break
        return message

    async def _fetch(self, rows: AsyncIterator[Any]) -> None:
        """Waits for the next row, which stays where it is if this stream ends meanwhile."""
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(_next(rows))
        await asyncio.wait([self._fetching])

    def _next_row(self) -> Any:
        if self._rows is not None:
            return next(self._rows)
        fetched, self._fetching = self._fetching, None
        if fetched is None:
            raise AssertionError("no row was fetched")
        return fetched.result()[0]


async def _next(rows: AsyncIterator[Any]) -> tuple[Any]:
    return (await anext(rows),)
