"""The Python client, sync or async, as the scenarios know clients."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from clients.client_protocol import CallFailed, Checked, Event, Outcome, Report, Result, Task

import flowgram_client as fc

_KINDS: tuple[tuple[type[fc.FlowgramError], str], ...] = (
    (fc.CallCanceledError, "canceled"),
    (fc.DeadlineExceededError, "deadline_exceeded"),
    (fc.InvalidWorkflowError, "invalid_workflow"),
    (fc.InvalidArgumentError, "invalid_argument"),
    (fc.TaskNotFoundError, "task_not_found"),
    (fc.AlreadyExistsError, "already_exists"),
    (fc.SequenceOutOfRangeError, "sequence_out_of_range"),
    (fc.ResourceExhaustedError, "resource_exhausted"),
    (fc.UnavailableError, "unavailable"),
)
"""The errors of the package; the first one that fits counts."""

Connect = Callable[[Sequence[tuple[str, str]]], Any]
"""Makes a client that sends this metadata."""


class PythonClient:
    """Either client; `connect` makes one whose methods are coroutines or block."""

    has_deadlines = True
    is_gateway = False

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._client = connect(())

    async def close(self) -> None:
        await _settled(self._client.close)

    async def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        return await _recorded(getattr(self._client, method), *arguments, **named)

    async def run(
        self,
        schema: str,
        inputs: str = "",
        *,
        request_id: str = "",
        labels: Mapping[str, str] | None = None,
        name: str = "",
        deadline: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        client = self._connect(tuple((metadata or {}).items()))
        try:
            task_id: str = await _recorded(
                client.run,
                schema,
                inputs or None,
                request_id=request_id or None,
                labels=labels,
                display_name=name,
                timeout=deadline,
            )
        finally:
            await _settled(client.close)
        return task_id

    async def run_and_wait(self, schema: str, inputs: str = "", *, deadline: float | None = None) -> Result:
        return _result(await self._call("run_and_wait", schema, inputs or None, timeout=deadline))

    async def result(self, task_id: str) -> Result:
        return _result(await self._call("result", task_id))

    async def wait(self, task_id: str, *, deadline: float | None = None) -> Result:
        return _result(await self._call("result", task_id, wait=True, timeout=deadline))

    async def report(self, task_id: str, *, basic: bool = False) -> Report:
        received: fc.Report = await self._call("report", task_id, view=_view(basic=basic))
        messages = [message.text for message in received.messages]
        return Report(
            received.task_id,
            received.status.name,
            received.inputs,
            received.outputs,
            list(received.nodes),
            messages,
            received.last_sequence,
        )

    async def cancel(self, task_id: str, reason: str = "") -> bool:
        success: bool = await self._call("cancel", task_id, reason=reason)
        return success

    async def validate(self, schema: str, inputs: str = "") -> Checked:
        found: fc.Validation = await self._call("validate", schema, inputs or None)
        assert found.valid == (not found.violations)
        return Checked(
            *([(v.field, v.description) for v in each] for each in (found.violations, found.warnings))
        )

    async def get(self, task_id: str) -> Task:
        task: fc.Task = await self._call("get", task_id)
        return Task(task.task_id, task.status.name, task.display_name, task.labels, task.schema, task.inputs)

    async def run_batch(self, schema: str, runs: Sequence[tuple[str, str]]) -> Sequence[Outcome]:
        rows = [fc.BatchRow(inputs or None, row_id=key) for key, inputs in runs]
        async with aclosing(_items(self._client.run_batch(schema, rows))) as outcomes:
            return [
                Outcome(
                    each.row_id, each.result and _result(each.result), each.error.reason if each.error else ""
                )
                async for each in outcomes
            ]

    @asynccontextmanager
    async def watch_tasks(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        async with aclosing(_items(self._client.watch_tasks(labels=labels))) as changes:
            yield (
                (each.task_id, each.status.name) async for each in changes if isinstance(each, fc.TaskSummary)
            )

    async def list(
        self, *, statuses: Sequence[int] = (), labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> Sequence[str]:
        wanted = [fc.Status(number) for number in statuses]
        tasks = self._client.list(statuses=wanted, labels=labels, page_size=page_size or 100)
        async with aclosing(_items(tasks)) as items:
            return [task.task_id async for task in items]

    async def info(self) -> Mapping[str, Any]:
        info: fc.ServerInfo = await self._call("info")
        return {"name": info.name, "node_types": info.node_types}

    @asynccontextmanager
    async def watch(
        self, task_id: str, *, after: int = 0, basic: bool = False, deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        received = self._client.watch(
            task_id, after_sequence=after, view=_view(basic=basic), timeout=deadline
        )
        async with aclosing(_items(received)) as items:
            yield (_event(item) async for item in items)


async def _settled(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a method gives, wherever it blocks or waits."""
    if asyncio.iscoroutinefunction(call):
        return await call(*arguments, **named)
    return await asyncio.to_thread(call, *arguments, **named)


async def _recorded(call: Callable[..., Awaitable[Any] | Any], *arguments: Any, **named: Any) -> Any:
    try:
        return await _settled(call, *arguments, **named)
    except fc.FlowgramError as error:
        raise _failure(error) from error


async def _items(received: Any) -> AsyncGenerator[Any, None]:
    """What a generator of either kind gives."""
    try:
        if isinstance(received, Generator):
            while (item := await asyncio.to_thread(next, received, None)) is not None:
                yield item
        else:
            async for item in received:
                yield item
    except fc.FlowgramError as error:
        raise _failure(error) from error
    finally:
        if isinstance(received, Generator):
            await asyncio.to_thread(received.close)
        else:
            await received.aclose()


def _failure(error: fc.FlowgramError) -> CallFailed:
    kind = next((name for type_, name in _KINDS if isinstance(error, type_)), "other")
    reason = error.reason if isinstance(error, fc.RequestError) else ""
    violations = error.violations if isinstance(error, fc.RequestError) else ()
    return CallFailed(kind, str(error), reason, [each.description for each in violations])


def _view(*, basic: bool) -> fc.View:
    return fc.View.BASIC if basic else fc.View.FULL


def _result(received: fc.Result) -> Result:
    errors = [message.text for message in received.errors]
    return Result(received.task_id, received.status.name, received.outputs_or_none, errors)


def _event(received: Any) -> Event:
    match received:
        case fc.TaskStatusChanged():
            return Event(received.sequence, "task", received.status.name, outputs=received.outputs)
        case fc.NodeStatusChanged():
            run = received.snapshot
            return Event(
                received.sequence,
                "node",
                received.status.name,
                received.node_id,
                inputs=run.inputs,
                outputs=run.outputs,
            )
        case fc.MessageLogged():
            return Event(
                received.sequence, "message", node_id=received.message.node_id, text=received.message.text
            )
        case fc.OutputDelta():
            return Event(received.sequence, "delta", node_id=received.node_id, text=received.text)
    raise AssertionError(received)
