"""The client for asyncio: performs the flows with coroutines."""

# ruff: noqa: ASYNC109 - a timeout here is the deadline of the call, which is sent to the server

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

from . import _convert, models
from ._async_batch import AsyncBatch
from ._channel import Credentials, Metadata, Token, channel_options
from ._flow import Call, Emit, Flow, Open, Read, Sleep, Walk
from ._operations import Operations
from ._requests import BatchSource, JSONSource, Seconds
from ._status import client_closed, error_from_rpc, silent
from .errors import FlowgramError, RequestError
from .events import Event
from .retry import RECONNECT, RETRY, RetryPolicy

T = TypeVar("T")


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> grpc.aio.Channel:
    """A channel with this package's options; those in `options` win. It connects at its first call."""
    settings = channel_options(target, options)
    if credentials is None:
        return grpc.aio.insecure_channel(target, settings)
    return grpc.aio.secure_channel(target, credentials, settings)


class AsyncClient:
    """A client of one server, for one event loop. Make it inside the loop; use `async with`, or `close` it.

    Every method raises RequestError, as `errors` draws it, where its call fails.

    Args:
        target: `host:port`, or any other gRPC target.
        credentials: for TLS, as from `grpc.ssl_channel_credentials()`; None connects in the clear.
        metadata: sent with every call.
        token: an API key, or a token, that says who calls; a function that gives it is asked at every call, so that
            tokens may be renewed. Use TLS with it: otherwise anybody on the way can read it.
        options: channel options of gRPC, which win over this package's own.
        channel: use this channel, which stays open, instead of `target`, `credentials` and `options`.
        timeout: seconds that a call may take, its retries included, unless the call says otherwise. Calls that
            wait for a task, and watches, have no limit but their own.
        retry: for calls that are answered at once.
        reconnect: for watches and for calls that wait for a task; failures count anew after any progress.
        sleep, rand, clock: where waits, jitter and (monotonic) time come from.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        token: Token | None = None,
        options: Sequence[tuple[str, Any]] = (),
        channel: grpc.aio.Channel | None = None,
        timeout: Seconds | None = 30.0,
        retry: RetryPolicy = RETRY,
        reconnect: RetryPolicy = RECONNECT,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owns_channel = channel is None
        if channel is None:
            channel = open_channel(target, credentials, options)
        self._channel = channel
        self._stub = WorkflowRuntimeServiceStub(channel)
        self._credentials = Credentials(metadata, token)
        self._sleep = sleep
        self._rand = rand
        self._reconnect = reconnect
        self._operations = Operations(
            timeout=timeout, retry=retry, reconnect=reconnect, rand=rand, clock=clock
        )

    async def run(
        self,
        schema: JSONSource,
        inputs: JSONSource | None = None,
        *,
        request_id: str | None = None,
        task_timeout: Seconds | None = None,
        labels: Mapping[str, str] | None = None,
        display_name: str = "",
        timeout: Seconds | None = None,
    ) -> str:
        """Start a task, and return its id once the server has accepted it durably.

        Safe to repeat: after UNAVAILABLE the same request is sent again, and never starts a second task.

        Args:
            schema: the workflow, as a mapping or as JSON text.
            inputs: the workflow's inputs, likewise; None is `{}`.
            request_id: names this request, so that a program may repeat it even after it was restarted itself.
            task_timeout: the task fails when it has run for this long.
            labels: to find the task by with `list`.
            display_name: a name for people, shown in lists.
            timeout: for this call, not for the task.

        Raises:
            InvalidWorkflowError: the schema or the inputs are not valid; `violations` lists all that is wrong.
            AlreadyExistsError: the request id was used before with a different request.
            ResourceExhaustedError: the server runs as many tasks as it may; see `retry_after`.
            InvalidValueError: something in the mappings is not JSON, such as NaN. Nothing was sent.
        """
        flow = self._operations.run(
            schema,
            inputs,
            request_id=request_id,
            task_timeout=task_timeout,
            labels=labels,
            display_name=display_name,
            timeout=timeout,
        )
        return await self._finish(flow)

    async def run_and_wait(
        self,
        schema: JSONSource,
        inputs: JSONSource | None = None,
        *,
        request_id: str | None = None,
        task_timeout: Seconds | None = None,
        labels: Mapping[str, str] | None = None,
        display_name: str = "",
        timeout: Seconds | None = None,
    ) -> models.Result:
        """Start a task, and wait until it has ended; one call where all goes well.

        How the task ended is no exception until its outputs are asked for: `(await run_and_wait(…)).outputs`
        gives them, or raises TaskFailedError or TaskCanceledError. With a `timeout`, the result may be one that has not
        ended yet (`terminated` is false, and `outputs` raises TaskUnfinishedError); the task goes on.

        Arguments and errors are those of `run`.
        """
        flow = self._operations.run_and_wait(
            schema,
            inputs,
            request_id=request_id,
            task_timeout=task_timeout,
            labels=labels,
            display_name=display_name,
            timeout=timeout,
        )
        return await self._finish(flow)

    def run_batch(
        self,
        schema: JSONSource,
        rows: Iterable[BatchSource] | AsyncIterable[BatchSource],
        *,
        batch_id: str | None = None,
        ordered: bool = False,
        max_in_flight: int = 0,
        task_timeout: Seconds | None = None,
        labels: Mapping[str, str] | None = None,
        display_name: str = "",
    ) -> AsyncGenerator[models.BatchOutcome, None]:
        """Run a workflow once for each row of inputs, over one stream; yields the outcome of each row.

        Rows are taken as there is room: any iterable will do, however long. A row that the server refuses is an outcome,
        too, and the others run. Where the connection breaks, or the server restarts, the batch goes on, and no row is run
        twice; with the same `batch_id` that holds for a program that was restarted itself, too. Leaving the iteration
        early leaves the tasks that were accepted running.

        Args:
            schema: the workflow, as a mapping or as JSON text.
            rows: the inputs of each run, as `run` takes them; an iterable, or an async one.
            batch_id: names the batch; made up if it is not given. Row N (from 0) has the request id
                `BATCH_ID/N`, a `BatchRow` that of its own `row_id`.
            ordered: yield outcomes in the order of the rows; else as they come.
            max_in_flight: rows that may be without an outcome at once; 0 is a default.
            task_timeout: a row's task fails when it has run for this long.
            labels: to find the tasks by with `list`.
            display_name: a name for people, of all tasks.

        Raises:
            InvalidValueError: a row is not JSON. What the rows raise themselves is raised, too.
            UnavailableError: the server was away for longer than `reconnect` bears.
        """
        state = self._operations.batch(
            schema,
            batch_id=batch_id,
            ordered=ordered,
            max_in_flight=max_in_flight,
            task_timeout=task_timeout,
            labels=labels,
            display_name=display_name,
        )
        batch = AsyncBatch(
            state,
            rows,
            stub=self._stub,
            metadata=self._call_metadata,
            reconnect=self._reconnect,
            sleep=self._sleep,
            rand=self._rand,
        )
        return batch.outcomes()

    def watch(
        self,
        task_id: str,
        *,
        after_sequence: int = 0,
        view: models.View = models.View.FULL,
        deltas: bool = False,
        heartbeat: Seconds | None = 10.0,
        timeout: Seconds | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of a task after the sequence `after_sequence`: those that were, then each new one, until its last.

        Every event comes once and in order. Where the connection breaks, or the server restarts, the watch goes
        on after the last event seen; it gives up when `reconnect` does. A slow consumer slows down only itself.
        Ending the watch early never touches the task; to end it at a certain point, use
        `async with contextlib.aclosing(client.watch(…)) as events`.

        Args:
            task_id: the task.
            after_sequence: the sequence of the last event already seen.
            view: BASIC leaves the JSON of inputs and outputs out.
            deltas: also give the text of language models as it arrives (live only; see OutputDelta).
            heartbeat: how often the server shows that it is there while nothing happens. A connection that is
                silent for three times as long counts as dead, and is made anew. None waits for ever.
            timeout: for the whole watch.

        Raises:
            TaskNotFoundError: no such task.
            SequenceOutOfRangeError: `after_sequence` is beyond the last event.
        """
        flow = self._operations.watch(
            task_id,
            _convert.events,
            after_sequence=after_sequence,
            view=view,
            deltas=deltas,
            heartbeat=heartbeat,
            timeout=timeout,
        )
        return self._items(flow)

    async def result(
        self, task_id: str, *, wait: bool = False, timeout: Seconds | None = None
    ) -> models.Result:
        """The outcome of a task: as it is now, or, with `wait`, when it has ended or the timeout is near.

        Raises:
            TaskNotFoundError: no such task.
        """
        return await self._finish(self._operations.result(task_id, wait=wait, timeout=timeout))

    async def get(self, task_id: str, *, timeout: Seconds | None = None) -> models.Task:
        """What a task is: its schema and inputs (secrets masked), labels, name, times and status.

        Raises:
            TaskNotFound: no such task.
        """
        return await self._finish(self._operations.get(task_id, timeout=timeout))

    async def report(
        self, task_id: str, *, view: models.View = models.View.FULL, timeout: Seconds | None = None
    ) -> models.Report:
        """Everything known about a task now: the runs of every node that has started, and all messages.

        Raises:
            TaskNotFoundError: no such task.
        """
        return await self._finish(self._operations.report(task_id, view=view, timeout=timeout))

    async def cancel(self, task_id: str, *, reason: str = "", timeout: Seconds | None = None) -> bool:
        """Stop a task. True if this call did, false if it had ended already. `reason` is kept as a message.

        Raises:
            TaskNotFoundError: no such task.
        """
        return await self._finish(self._operations.cancel(task_id, reason=reason, timeout=timeout))

    async def validate(
        self, schema: JSONSource, inputs: JSONSource | None = None, *, timeout: Seconds | None = None
    ) -> models.Validation:
        """What is wrong with a schema and inputs, and what is probably not meant, without running them."""
        return await self._finish(self._operations.validate(schema, inputs, timeout=timeout))

    def list(
        self,
        *,
        statuses: Iterable[models.Status] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 100,
        timeout: Seconds | None = None,
    ) -> AsyncGenerator[models.TaskSummary, None]:
        """Tasks, newest first, in one of these statuses (any, if none is given) and with all of these labels.

        A page is asked for when the iteration needs it; `timeout` is for each.
        """
        flow = self._operations.list(statuses=statuses, labels=labels, page_size=page_size, timeout=timeout)
        return self._items(flow)

    def watch_tasks(
        self,
        *,
        statuses: Iterable[models.Status] = (),
        labels: Mapping[str, str] | None = None,
        heartbeat: Seconds | None = 10.0,
        timeout: Seconds | None = None,
    ) -> AsyncGenerator[models.TaskSummary | models.TaskRemoved, None]:
        """The tasks, then each one whenever it changes, in one of these statuses (any, if none is given) and with all labels.

        First come the tasks as `list` gives them, newest first, then changes: keep them by `task_id`, each replaces the
        one before. A task that changes so that it no longer fits comes once more. `TaskRemoved` says that a task is no
        longer there. Where the connection breaks, or the server restarts, what changed meanwhile follows; `TaskRemoved`
        then also comes for tasks that no longer fit. The watch never ends by itself; it gives up when `reconnect` does.

        Args:
            statuses: only tasks in one of these.
            labels: only tasks with all of these.
            heartbeat: as in `watch`.
            timeout: for the whole watch.
        """
        flow = self._operations.watch_tasks(
            statuses=statuses, labels=labels, heartbeat=heartbeat, timeout=timeout
        )
        return self._items(flow)

    async def info(self, *, timeout: Seconds | None = None) -> models.ServerInfo:
        """Name, version and capabilities of the server."""
        return await self._finish(self._operations.info(timeout=timeout))

    async def close(self) -> None:
        """Close the connection; calls under way end with CallCanceledError. A channel of the caller's stays open."""
        if self._owns_channel:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _call_metadata(self) -> Metadata:
        """The metadata of a call that begins now."""
        return self._credentials.metadata()

    async def _finish(self, flow: Flow[T]) -> T:
        """Perform a flow that emits nothing."""
        try:
            walk = Walk(flow)
            performer = _Performer(self._stub, self._call_metadata, self._sleep)
            while walk.effect is not None:
                await performer.step(walk)
        except FlowgramError as error:
            raise error.with_traceback(
                None
            ) from None  # the frames inside of the flow are of no use to a caller
        return walk.result

    async def _items(self, flow: Flow[None]) -> AsyncGenerator[Any, None]:
        """Perform a flow, and give what it emits."""
        stub = self._begin_stream()
        performer = _Performer(stub, self._call_metadata, self._sleep)
        try:
            walk = Walk(flow)
            while walk.effect is not None:
                if isinstance(walk.effect, Emit):
                    yield walk.effect.item
                    walk.reply(None)
                else:
                    await performer.step(walk)
        except FlowgramError as error:
            raise error.with_traceback(None) from None
        finally:
            performer.close()
            self._end_stream(stub)

    def _begin_stream(self) -> WorkflowRuntimeServiceStub:
        """By what a stream is made that begins now."""
        return self._stub

    def _end_stream(self, stub: WorkflowRuntimeServiceStub) -> None:
        """A stream that was made by `stub` has ended."""


class _Performer:
    """Performs the effects of one flow."""

    def __init__(
        self,
        stub: WorkflowRuntimeServiceStub,
        metadata: Callable[[], Metadata],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._sleep = sleep
        self._stream: Any = None

    async def step(self, walk: Walk[Any]) -> None:
        """Perform the walk's effect, and pass on the reply or the error."""
        try:
            reply = await self._perform(walk.effect)
        except RequestError as error:
            walk.fail(error)
        except grpc.RpcError as error:
            walk.fail(error_from_rpc(error))
        except grpc.aio.UsageError:  # the channel was closed before the call began
            walk.fail(client_closed())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # nobody cancelled this task: gRPC says in this way that the channel was closed under the call
            walk.fail(client_closed())
        else:
            walk.reply(reply)

    async def _perform(self, effect: object) -> Any:
        match effect:
            case Call():
                method = getattr(self._stub, effect.method)
                return await method(effect.request, timeout=effect.timeout, metadata=self._metadata())
            case Open():
                self.close()
                method = getattr(self._stub, effect.method)
                self._stream = method(effect.request, timeout=effect.timeout, metadata=self._metadata())
                return None
            case Read():
                return await self._read(effect.silence)
            case Sleep():
                return await self._sleep(effect.seconds)
        raise AssertionError(f"no such effect: {effect!r}")

    async def _read(self, silence: float | None) -> Any:
        time_limit = asyncio.timeout(silence)
        task = asyncio.current_task()
        cancellations = task.cancelling() if task is not None else 0
        try:
            async with time_limit:
                response = await self._stream.read()
        except TimeoutError:
            raise silent(silence) from None
        except asyncio.CancelledError:
            # Before Python 3.11.3 a task that was being cancelled when it began to read gets this instead.
            if time_limit.expired() and task is not None and task.cancelling() <= cancellations:
                raise silent(silence) from None
            raise
        return None if response is grpc.aio.EOF else response

    def close(self) -> None:
        """End the watch, if there is one."""
        if self._stream is not None:
            self._stream.cancel()
