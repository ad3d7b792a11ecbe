"""A client in another language: a process that makes the calls that it is given. This is how it is given them.

A runner is started with the server's address as its only argument, and ends with status 0 when its stdin ends. Both
streams are JSON, one object per line; calls run side by side. A call, with its arguments, and the rest if it is wanted:

    {"id": 1, "call": "run", "arguments": {"schema": "{…}", "inputs": "{…}"}, "timeout": 1.5, "metadata": {"k": "v"}}

`timeout` bounds the call, in seconds. Exactly one line ends it:

    {"id": 1, "result": "0199…"}
    {"id": 1, "error": {"kind": "invalid_workflow", "message": "…", "reason": "SCHEMA_INVALID",
                        "violations": [["schema.nodes", "is missing"]]}}

`kind` is what the error is in the runner's language: canceled, deadline_exceeded, invalid_workflow, invalid_argument,
task_not_found, already_exists, sequence_out_of_range, resource_exhausted, unavailable, other. `{"id": 1, "cancel": true}` ends a
call before it is answered; its error is canceled then.

    call          arguments (all may be left out)             result
    run           schema, inputs, request_id, labels, name    the task's id
    run_and_wait  schema, inputs                              RESULT
    result, wait  task_id                                     RESULT
    report        task_id, basic                              {task_id, status, inputs, outputs, nodes, messages, last_sequence}
    cancel        task_id, reason                             whether this call did
    validate      schema, inputs                              {violations, warnings}, each [[field, text], …]
    get           task_id                                     {task_id, status, name, labels, schema, inputs}
    run_batch     schema, runs ([[key, inputs], …])           [{key, result (RESULT or null), refusal (a reason)}, …], as they come
    list          statuses (numbers), labels, page_size       the ids of all tasks, through all pages
    info                                                      {name, node_types}
    watch         task_id, after, basic                       null, after the events
    watch_tasks   labels                                      never; the tasks that there are when the watch is live, then
                                                              those that change, as events {task_id, status}

RESULT is {task_id, status, outputs, errors}. A status is a word such as "SUCCEEDED". Schemas, inputs and outputs are JSON
texts in strings, "" where there are none; `nodes` are ids, `messages` and `errors` texts.

A watch gives events, each on a line of its own, but only when they are wanted: `{"id": 2, "demand": 1}` asks for one more,
or for the end, if that comes next. A runner reads nothing from its client that is not wanted.

    {"id": 2, "event": {"sequence": 1, "kind": "task", "status": "PROCESSING", "outputs": ""}}
    {"id": 2, "event": {"sequence": 2, "kind": "node", "status": "SUCCEEDED", "node_id": "llm_0", "inputs": "{…}", "outputs": "{…}"}}
    {"id": 2, "event": {"sequence": 3, "kind": "message", "node_id": "", "text": "…"}}
    {"id": 2, "event": {"sequence": 0, "kind": "delta", "node_id": "llm_0", "text": "…"}}
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from clients.client_protocol import CallFailed, Checked, Event, Outcome, Report, Result, Task

_MAX_LINE = 256 * 1024 * 1024


class RunnerClient:
    """A client behind a runner's process. Use `running`."""

    has_deadlines = True
    is_gateway = False

    def __init__(self, process: Process) -> None:
        self._process = process
        self._calls: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            received = json.loads(line)
            self._calls[received["id"]].put_nowait(received)
        for queue in self._calls.values():
            queue.put_nowait({"error": {"kind": "other", "message": "the runner has ended"}})

    def _send(self, command: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    def _begin(
        self,
        call: str,
        arguments: Mapping[str, Any],
        deadline: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        number = len(self._calls) + 1
        self._calls[number] = asyncio.Queue()
        command: dict[str, Any] = {"id": number, "call": call, "arguments": arguments}
        if deadline is not None:
            command["timeout"] = deadline
        if metadata:
            command["metadata"] = metadata
        self._send(command)
        return number

    async def _call(self, call: str, arguments: Mapping[str, Any], **bounds: Any) -> Any:
        return _outcome(await self._calls[self._begin(call, arguments, **bounds)].get())

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
        arguments = {"schema": schema, "inputs": inputs, "request_id": request_id, "labels": labels or {}}
        arguments["name"] = name
        task_id: str = await self._call("run", arguments, deadline=deadline, metadata=metadata)
        return task_id

    async def run_and_wait(self, schema: str, inputs: str = "", *, deadline: float | None = None) -> Result:
        return _result(
            await self._call("run_and_wait", {"schema": schema, "inputs": inputs}, deadline=deadline)
        )

    async def result(self, task_id: str) -> Result:
        return _result(await self._call("result", {"task_id": task_id}))

    async def wait(self, task_id: str, *, deadline: float | None = None) -> Result:
        return _result(await self._call("wait", {"task_id": task_id}, deadline=deadline))

    async def report(self, task_id: str, *, basic: bool = False) -> Report:
        received = await self._call("report", {"task_id": task_id, "basic": basic})
        documents = {name: document(received[name]) for name in ("inputs", "outputs")}
        return Report(**{**received, **documents})

    async def cancel(self, task_id: str, reason: str = "") -> bool:
        success: bool = await self._call("cancel", {"task_id": task_id, "reason": reason})
        return success

    async def validate(self, schema: str, inputs: str = "") -> Checked:
        received = await self._call("validate", {"schema": schema, "inputs": inputs})
        return Checked(
            *([(field, text) for field, text in received[name]] for name in ("violations", "warnings"))
        )

    async def get(self, task_id: str) -> Task:
        received = await self._call("get", {"task_id": task_id})
        return Task(**{**received, **{name: document(received[name]) for name in ("schema", "inputs")}})

    async def run_batch(self, schema: str, runs: Sequence[tuple[str, str]]) -> Sequence[Outcome]:
        received = await self._call("run_batch", {"schema": schema, "runs": runs})
        return [
            Outcome(each["key"], each["result"] and _result(each["result"]), each["refusal"])
            for each in received
        ]

    @asynccontextmanager
    async def watch_tasks(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        async with self._watch("watch_tasks", {"labels": labels}) as events:
            yield ((received["task_id"], received["status"]) async for received in events)

    async def list(
        self, *, statuses: Sequence[int] = (), labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> Sequence[str]:
        arguments = {"statuses": list(statuses), "labels": labels or {}, "page_size": page_size}
        ids: list[str] = await self._call("list", arguments)
        return ids

    async def info(self) -> Mapping[str, Any]:
        info: dict[str, Any] = await self._call("info", {})
        return info

    @asynccontextmanager
    async def watch(
        self, task_id: str, *, after: int = 0, basic: bool = False, deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        arguments = {"task_id": task_id, "after": after, "basic": basic}
        async with self._watch("watch", arguments, deadline) as events:
            yield (_event(received) async for received in events)

    @asynccontextmanager
    async def _watch(
        self, call: str, arguments: Mapping[str, Any], deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        number = self._begin(call, arguments, deadline)
        lines = self._calls[number]
        ended = False

        async def events() -> AsyncIterator[dict[str, Any]]:
            nonlocal ended
            while True:
                self._send({"id": number, "demand": 1})
                received = await lines.get()
                if "event" not in received:
                    ended = True
                    _outcome(received)
                    return
                yield received["event"]

        try:
            yield events()
        finally:
            if not ended:
                self._send({"id": number, "cancel": True})
                while "event" in (received := await lines.get()):
                    pass
                assert received["error"]["kind"] == "canceled", received

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._reader
        assert await self._process.wait() == 0


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[RunnerClient]:
    """The client behind a runner, for as long as the block lasts. The runner must end by itself at the end of stdin."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_MAX_LINE)
    try:
        client = RunnerClient(process)
        yield client
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def document(text: str | None) -> Any:
    """A JSON document; None where there is none."""
    return json.loads(text) if text else None


def _outcome(received: Mapping[str, Any]) -> Any:
    if error := received.get("error"):
        descriptions = [description for _, description in error.get("violations", ())]
        raise CallFailed(error["kind"], error["message"], error.get("reason", ""), descriptions)
    return received.get("result")


def _result(received: Mapping[str, Any]) -> Result:
    return Result(received["task_id"], received["status"], document(received["outputs"]), received["errors"])


def _event(received: Mapping[str, Any]) -> Event:
    documents = {name: document(received.get(name)) for name in ("inputs", "outputs")}
    return Event(**{**received, **documents})
