"""The client for threads: performs the flows with blocking calls."""

import random
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from flowgram.runtime.v1 import event_pb2
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

from . import _convert, models
from ._channel import call_metadata, channel_options
from ._flow import Call, Emit, Flow, Open, Read, Sleep, Walk
from ._operations import JSONSource, Operations, Seconds
from ._status import client_closed, error_from_rpc, silent
from ._watchdog import Watchdog
from .errors import RequestError
from .events import Event
from .retry import RECONNECT, RETRY, RetryPolicy

T = TypeVar("T")


class Client:
    """A blocking client of one server; threads may share it. Use it in a `with` block, or `close` it.

    Its methods, their arguments and errors are those of AsyncClient, where they are described in full, without
    `await`; so are its own arguments, but for `sleep`, which blocks, and `channel`, which is a `grpc.Channel`.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        options: Sequence[tuple[str, Any]] = (),
        channel: grpc.Channel | None = None,
        timeout: Seconds | None = 30.0,
        retry: RetryPolicy = RETRY,
        reconnect: RetryPolicy = RECONNECT,
        sleep: Callable[[float], object] = time.sleep,
        rand: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owns_channel = channel is None
        if channel is None:
            settings = channel_options(target, options)
            if credentials is None:
                channel = grpc.insecure_channel(target, settings)
            else:
                channel = grpc.secure_channel(target, credentials, settings)
        self._channel = channel
        self._stub = WorkflowRuntimeServiceStub(channel)
        self._metadata = call_metadata(metadata)
        self._sleep = sleep
        self._operations = Operations(
            timeout=timeout, retry=retry, reconnect=reconnect, rand=rand, clock=clock
        )

    def run(
        self,
        schema: JSONSource,
        inputs: JSONSource | None = None,
        *,
        request_id: str | None = None,
        task_timeout: Seconds | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> str:
        """Start a task, and return its id once the server has accepted it durably."""
        flow = self._operations.run(
            schema, inputs, request_id=request_id, task_timeout=task_timeout, labels=labels, timeout=timeout
        )
        return self._finish(flow)

    def run_and_wait(
        self,
        schema: JSONSource,
        inputs: JSONSource | None = None,
        *,
        request_id: str | None = None,
        task_timeout: Seconds | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
    ) -> models.Result:
        """Start a task, and wait until it has ended; its `outputs` raise TaskFailed if it failed."""
        flow = self._operations.run_and_wait(
            schema, inputs, request_id=request_id, task_timeout=task_timeout, labels=labels, timeout=timeout
        )
        return self._finish(flow)

    def watch(
        self,
        task_id: str,
        *,
        after: int = 0,
        view: models.View = models.View.FULL,
        deltas: bool = False,
        heartbeat: Seconds | None = 10.0,
        timeout: Seconds | None = None,
    ) -> Generator[Event, None, None]:
        """The events of a task after the sequence `after`: each once and in order, through any reconnection."""
        flow = self._operations.watch(
            task_id,
            _convert.event,
            after=after,
            view=view,
            deltas=deltas,
            heartbeat=heartbeat,
            timeout=timeout,
        )
        return self._items(flow)

    def watch_raw(
        self,
        task_id: str,
        *,
        after: int = 0,
        view: models.View = models.View.FULL,
        deltas: bool = False,
        heartbeat: Seconds | None = 10.0,
        timeout: Seconds | None = None,
    ) -> Generator[event_pb2.TaskEvent, None, None]:
        """As `watch`, but gives the contract's messages, with JSON as the text it came in: for gateways."""
        flow = self._operations.watch(
            task_id,
            _convert.nothing,
            after=after,
            view=view,
            deltas=deltas,
            heartbeat=heartbeat,
            timeout=timeout,
        )
        return self._items(flow)

    def result(self, task_id: str, *, wait: bool = False, timeout: Seconds | None = None) -> models.Result:
        """The outcome of a task: as it is now, or, with `wait`, when it has ended or the timeout is near."""
        return self._finish(self._operations.result(task_id, wait=wait, timeout=timeout))

    def report(
        self, task_id: str, *, view: models.View = models.View.FULL, timeout: Seconds | None = None
    ) -> models.Report:
        """Everything known about a task now: the runs of every node that has started, and all messages."""
        return self._finish(self._operations.report(task_id, view=view, timeout=timeout))

    def cancel(self, task_id: str, *, reason: str = "", timeout: Seconds | None = None) -> bool:
        """Stop a task. True if this call did, false if it had ended already. `reason` is kept as a message."""
        return self._finish(self._operations.cancel(task_id, reason=reason, timeout=timeout))

    def validate(
        self, schema: JSONSource, inputs: JSONSource | None = None, *, timeout: Seconds | None = None
    ) -> tuple[str, ...]:
        """All problems of a schema and inputs, without running them. Empty: `run` would accept them."""
        return self._finish(self._operations.validate(schema, inputs, timeout=timeout))

    def list(
        self,
        *,
        statuses: Iterable[models.Status] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 100,
        timeout: Seconds | None = None,
    ) -> Generator[models.TaskSummary, None, None]:
        """Tasks, newest first, in one of these statuses (any, if none is given) and with all of these labels."""
        flow = self._operations.list(statuses=statuses, labels=labels, page_size=page_size, timeout=timeout)
        return self._items(flow)

    def info(self, *, timeout: Seconds | None = None) -> models.ServerInfo:
        """Name, version and capabilities of the server."""
        return self._finish(self._operations.info(timeout=timeout))

    def call_raw(self, method: str, request: Message, *, timeout: Seconds | None = None) -> Any:
        """Make a unary call with the contract's own messages, with JSON as text: for gateways."""
        return self._finish(self._operations.call(method, request, timeout=timeout))

    def close(self) -> None:
        """Close the connection; calls under way end with CallCanceled. A channel of the caller's stays open."""
        if self._owns_channel:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, flow: Flow[T]) -> T:
        """Perform a flow that emits nothing."""
        walk = Walk(flow)
        performer = _Performer(self._stub, self._metadata, self._sleep)
        while walk.effect is not None:
            performer.step(walk)
        return walk.result

    def _items(self, flow: Flow[None]) -> Generator[Any, None, None]:
        """Perform a flow, and give what it emits."""
        walk = Walk(flow)
        performer = _Performer(self._stub, self._metadata, self._sleep)
        try:
            while walk.effect is not None:
                if isinstance(walk.effect, Emit):
                    yield walk.effect.item
                    walk.reply(None)
                else:
                    performer.step(walk)
        finally:
            performer.close()


class _ChannelClosed(Exception):
    """A call was to begin on a channel that was closed before."""


class _Performer:
    """Performs the effects of one flow."""

    def __init__(
        self,
        stub: WorkflowRuntimeServiceStub,
        metadata: tuple[tuple[str, str | bytes], ...],
        sleep: Callable[[float], object],
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._sleep = sleep
        self._stream: Any = None
        self._watchdog: Watchdog | None = None

    def step(self, walk: Walk[Any]) -> None:
        """Perform the walk's effect, and tell it what came of it."""
        try:
            reply = self._perform(walk.effect)
        except RequestError as error:
            walk.fail(error)
        except grpc.RpcError as error:
            walk.fail(error_from_rpc(error))
        except _ChannelClosed:
            walk.fail(client_closed())
        else:
            walk.reply(reply)

    def _perform(self, effect: object) -> Any:
        match effect:
            case Call():
                return self._begin(effect.method, effect.request, effect.timeout)
            case Open():
                self.close()
                self._stream = self._begin("WatchTask", effect.request, effect.timeout)
                return None
            case Read():
                return self._read(effect.silence)
            case Sleep():
                return self._sleep(effect.seconds)
        raise AssertionError(f"no such effect: {effect!r}")

    def _begin(self, name: str, request: Message, timeout: float | None) -> Any:
        method = getattr(self._stub, name)
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except ValueError as error:
            if "closed" in str(error):  # gRPC has no type for it
                raise _ChannelClosed from None
            raise

    def _read(self, silence: float | None) -> Any:
        if silence is None:
            return next(self._stream, None)
        if self._watchdog is None:
            self._watchdog = Watchdog(silence, self._stream.cancel)
        self._watchdog.waits()
        try:
            return next(self._stream, None)
        except grpc.RpcError:
            if self._watchdog.expired:
                raise silent(silence) from None
            raise
        finally:
            self._watchdog.got()

    def close(self) -> None:
        """End the watch, if there is one."""
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self._stream is not None:
            self._stream.cancel()
