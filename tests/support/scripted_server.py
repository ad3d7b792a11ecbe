"""A scripted server: a real grpc.aio server on a port of its own, whose answers a test writes down beforehand."""

# ruff: noqa: N802 - the methods have the names of the contract

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2
from flowgram.runtime.v1.runtime_service_pb2_grpc import (
    WorkflowRuntimeServiceServicer,
    add_WorkflowRuntimeServiceServicer_to_server,
)
from support.ports import lasting_port

HANG = "hang"
"""A step of a stream: nothing more comes until the client leaves."""


@dataclass
class Refusal:
    """A status other than OK, with the details that the service sends."""

    code: grpc.StatusCode
    message: str = "refused"
    reason: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)
    retry_after: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def trailing(self) -> tuple[tuple[str, bytes], ...]:
        details: list[Message] = []
        if self.reason:
            details.append(
                error_details_pb2.ErrorInfo(
                    reason=self.reason, domain="flowgram.runtime", metadata=self.metadata
                )
            )
        if self.problems:
            details.append(
                error_details_pb2.BadRequest(
                    field_violations=[{"field": path, "description": text} for path, text in self.problems]
                )
            )
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(retry)
        if not details:
            return ()
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return (("grpc-status-details-bin", status.SerializeToString()),)


class ScriptedServicer(WorkflowRuntimeServiceServicer):
    """Answers each method's calls with the steps of its script, one after the other; the last one repeats."""

    def __init__(self) -> None:
        self.script: dict[str, deque[Any]] = defaultdict(deque)
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: list[dict[str, Any]] = []
        self.time_remaining: list[float | None] = []
        self.peers: list[str] = []
        self.left = asyncio.Event()
        """A client has left a stream that was hanging."""
        self.hanging = asyncio.Event()
        """A stream has come to its HANG."""

    def on(self, method: str, *steps: Any) -> None:
        self.script[method].extend(steps)

    def _next(self, method: str, request: Any, context: Any) -> Any:
        self.requests[method].append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.time_remaining.append(context.time_remaining())
        self.peers.append(context.peer())
        steps = self.script[method]
        return steps.popleft() if len(steps) > 1 else steps[0]

    async def _unary(self, method: str, request: Any, context: Any) -> Any:
        step = self._next(method, request, context)
        if step is HANG:
            await self._hang()
        if isinstance(step, Refusal):
            await refuse(context, step)
        return step

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def TaskRun(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskRun", request, context)

    async def TaskValidate(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskValidate", request, context)

    async def TaskGet(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskGet", request, context)

    async def TaskReport(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskReport", request, context)

    async def TaskResult(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskResult", request, context)

    async def TaskCancel(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskCancel", request, context)

    async def TaskList(self, request: Any, context: Any) -> Any:
        return await self._unary("TaskList", request, context)

    async def ServerInfo(self, request: Any, context: Any) -> Any:
        return await self._unary("ServerInfo", request, context)

    async def WatchTask(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for response in self._stream("WatchTask", request, context):
            yield response

    async def WatchTasks(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for response in self._stream("WatchTasks", request, context):
            yield response

    async def _stream(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        for step in self._next(method, request, context):
            if step is HANG:
                await self._hang()
            elif isinstance(step, Refusal):
                await refuse(context, step)
            else:
                yield step


async def refuse(context: Any, refusal: Refusal) -> None:
    await context.abort(refusal.code, refusal.message, refusal.trailing())


class ScriptedServer:
    """A scripted servicer on a port of its own."""

    def __init__(self) -> None:
        self.servicer = ScriptedServicer()
        self.port = lasting_port()
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def on(self, method: str, *steps: Any) -> None:
        self.servicer.on(method, *steps)

    def requests(self, method: str) -> list[Any]:
        return self.servicer.requests[method]

    async def start(self) -> None:
        self._server = grpc.aio.server()
        add_WorkflowRuntimeServiceServicer_to_server(self.servicer, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        assert self._server is not None
        await self._server.stop(None)

    async def restart(self) -> None:
        await self.stop()
        await self.start()


def status_event(sequence: int, status: int, outputs: str = "") -> event_pb2.TaskEvent:
    event = event_pb2.TaskEvent(sequence=sequence)
    event.time.FromMicroseconds(1_700_000_000_000_000 + sequence)
    event.task_status_changed.status.status = status  # type: ignore[assignment]  # a number of the enum
    event.task_status_changed.status.terminated = status >= report_pb2.STATUS_SUCCEEDED
    event.task_status_changed.outputs = outputs
    return event


def log_event(sequence: int, text: str) -> event_pb2.TaskEvent:
    event = event_pb2.TaskEvent(sequence=sequence)
    event.time.FromMicroseconds(1_700_000_000_000_000 + sequence)
    event.message.text = text
    return event


def history(count: int) -> list[event_pb2.TaskEvent]:
    """The events of a task that ran well: it starts, says something count - 2 times, and ends."""
    middle = [log_event(i, f"step {i}") for i in range(2, count)]
    return [
        status_event(1, report_pb2.STATUS_PROCESSING),
        *middle,
        status_event(count, report_pb2.STATUS_SUCCEEDED, '{"a":1}'),
    ]


def watched(*events: event_pb2.TaskEvent) -> runtime_service_pb2.WatchTaskResponse:
    return runtime_service_pb2.WatchTaskResponse(events=events)
