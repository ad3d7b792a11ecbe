"""A gateway for browsers as a client: calls are HTTP requests, as docs/rest.md describes them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self

import httpx2
from clients.client_protocol import CallFailed, Checked, Event, Outcome, Report, Result, Task

_KINDS = {
    "SCHEMA_INVALID": "invalid_workflow",
    "INPUTS_INVALID": "invalid_workflow",
    "ARGUMENT_INVALID": "invalid_argument",
    "PAGE_TOKEN_INVALID": "invalid_argument",
    "TASK_NOT_FOUND": "task_not_found",
    "REQUEST_ID_REUSED": "already_exists",
    "SEQUENCE_OUT_OF_RANGE": "sequence_out_of_range",
    "RESOURCE_EXHAUSTED": "resource_exhausted",
    "UNAVAILABLE": "unavailable",
    "SHUTTING_DOWN": "unavailable",
}
STATUSES = {
    "invalid_workflow": 400,
    "invalid_argument": 400,
    "task_not_found": 404,
    "already_exists": 409,
    "resource_exhausted": 413,
    "sequence_out_of_range": 416,
    "unavailable": 503,
}
"""The HTTP status that goes with each kind of failure."""

_NAMES = ("", "pending", "processing", "succeeded", "failed", "canceled")
_WAIT_SECONDS = 90
JSON_TYPE = {"Content-Type": "application/json"}


class GatewayClient:
    """A browser of sorts, to be entered."""

    has_deadlines = False
    is_gateway = True

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.http.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self.http.request(method, f"/api{path}", **options)
        if response.is_error:
            raise _failure(response.status_code, response.text)
        received: dict[str, Any] = json.loads(response.text)
        return received

    async def _post(
        self, path: str, schema: str, inputs: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        members = {"schema": json.dumps(schema), "inputs": inputs or "{}"}  # the inputs keep their spelling
        members |= {name: json.dumps(value) for name, value in more.items() if value}
        body = ",".join(f"{json.dumps(name)}:{text}" for name, text in members.items())
        return await self._ask(
            "POST", path, content=f"{{{body}}}".encode(), headers={**JSON_TYPE, **(headers or {})}
        )

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
        assert deadline is None
        more = {"requestID": request_id, "labels": labels, "displayName": name}
        received = await self._post("/task/run", schema, inputs, metadata, **more)
        task_id: str = received["taskID"]
        return task_id

    async def run_and_wait(self, schema: str, inputs: str = "", *, deadline: float | None = None) -> Result:
        return await self.wait(await self.run(schema, inputs), deadline=deadline)

    async def result(self, task_id: str) -> Result:
        received = await self._report(task_id)
        outputs = received["outputs"] if received["workflowStatus"]["status"] == "succeeded" else None
        if outputs is not None:
            assert await self._ask("GET", "/task/result", params={"taskID": task_id}) == outputs
        return Result(
            task_id, _status(received), outputs, [each["message"] for each in received["messages"]["error"]]
        )

    async def wait(self, task_id: str, *, deadline: float | None = None) -> Result:
        async with asyncio.timeout(_WAIT_SECONDS):
            while True:
                try:
                    async with self.watch(task_id, deadline=deadline) as events:
                        async for _ in events:
                            pass
                    return await self.result(task_id)
                except CallFailed as failure:  # as a page that comes back while the server is being replaced
                    if failure.kind != "unavailable":
                        raise

    async def _report(self, task_id: str) -> dict[str, Any]:
        return await self._ask("GET", "/task/report", params={"taskID": task_id})

    async def report(self, task_id: str, *, basic: bool = False) -> Report:
        assert not basic
        received = await self._report(task_id)
        messages = [message for each in received["messages"].values() for message in each]
        messages.sort(key=lambda message: message["timestamp"])
        task = await self._ask("GET", "/task", params={"taskID": task_id})
        return Report(
            received["id"],
            _status(received),
            received["inputs"],
            received["outputs"],
            list(received["reports"]),
            [message["message"] for message in messages],
            task["lastSequence"],
        )

    async def cancel(self, task_id: str, reason: str = "") -> bool:
        success: bool = (await self._ask("PUT", "/task/cancel", json={"taskID": task_id}))["success"]
        return success

    async def validate(self, schema: str, inputs: str = "") -> Checked:
        received = await self._post("/task/validate", schema, inputs)
        problems, warnings = (
            [(each["field"], each["text"]) for each in received.get(name, [])]
            for name in ("problems", "warnings")
        )
        assert received.get("errors", []) == [text for _, text in problems]
        assert received["valid"] == (not problems)
        return Checked(problems, warnings)

    async def get(self, task_id: str) -> Task:
        received = await self._ask("GET", "/task", params={"taskID": task_id})
        schema = json.loads(received["schema"])
        return Task(
            received["taskID"],
            _status(received),
            received["displayName"],
            received["labels"],
            schema,
            received["inputs"],
        )

    async def run_batch(self, schema: str, runs: Sequence[tuple[str, str]]) -> Sequence[Outcome]:
        lines = [json.dumps({"schema": schema})]
        lines += [f'{{"key": {json.dumps(key)}, "inputs": {inputs or "{}"}}}' for key, inputs in runs]
        headers = {"Content-Type": "application/x-ndjson"}
        response = await self.http.post("/api/tasks/batch", content="\n".join(lines), headers=headers)
        if response.is_error:
            raise _failure(response.status_code, response.text)
        outcomes = []
        for line in response.text.splitlines():
            received = json.loads(line)
            if "error" in received:
                outcomes.append(Outcome(received["key"], None, received["error"]["code"]))
            else:
                outputs = received["outputs"] if received["workflowStatus"]["status"] == "succeeded" else None
                result = Result(received["taskID"], _status(received), outputs, received.get("errors", []))
                outcomes.append(Outcome(received["key"], result, ""))
        return outcomes

    @asynccontextmanager
    async def watch_tasks(self, labels: Mapping[str, str]) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        parameters = {"label": [f"{key}={value}" for key, value in labels.items()]}

        async def changes() -> AsyncGenerator[tuple[str, str], None]:
            async with self.http.stream("GET", "/api/tasks/watch", params=parameters) as response:
                async for fields in frames(response):
                    change = json.loads(fields.get("data", "{}"))
                    tasks = change.get("tasks", [])
                    if change.get("type") == "live":
                        tasks = (await self._ask("GET", "/tasks", params=parameters))["tasks"]
                    for task in tasks:
                        yield task["taskID"], _status(task)

        async with aclosing(changes()) as received:
            yield received

    async def list(
        self, *, statuses: Sequence[int] = (), labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> Sequence[str]:
        parameters: dict[str, Any] = {
            "status": [_NAMES[number] for number in statuses],
            "label": [f"{key}={value}" for key, value in (labels or {}).items()],
        }
        if page_size:
            parameters["pageSize"] = page_size
        ids: list[str] = []
        while True:
            page = await self._ask("GET", "/tasks", params=parameters)
            ids += [task["taskID"] for task in page["tasks"]]
            if not page.get("nextPageToken"):
                return ids
            parameters["pageToken"] = page["nextPageToken"]

    async def info(self) -> Mapping[str, Any]:
        received = await self._ask("GET", "/info")
        return {"name": received["name"], "node_types": received["nodeTypes"]}

    @asynccontextmanager
    async def watch(
        self, task_id: str, *, after: int = 0, basic: bool = False, deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        assert deadline is None
        assert not basic
        headers = {"Last-Event-ID": str(after)} if after else {}
        async with aclosing(self._events({"taskID": task_id}, headers)) as events:
            yield events

    async def _events(self, parameters: Any, headers: Any) -> AsyncGenerator[Event, None]:
        async with self.http.stream("GET", "/api/task/watch", params=parameters, headers=headers) as response:
            if response.is_error:
                await response.aread()
                raise _failure(response.status_code, response.text)
            if response.status_code == 204:
                return
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            async for fields in frames(response):
                if fields.get("event") == "failure":
                    raise _failure(200, fields["data"])
                if "data" in fields:
                    event = _event(json.loads(fields["data"]))
                    assert fields.get("id", "0") == str(event.sequence)
                    yield event


async def frames(response: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    """The events of a stream of Server-Sent Events, with their fields. Its lines end with a line feed and nothing else."""
    fields: dict[str, str] = {}
    left = b""
    async for chunk in response.aiter_bytes():
        *lines, left = (left + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.decode().partition(": ")
            if line:
                fields[name] = value
                continue
            yield fields
            fields = {}


def _failure(status: int, body: str) -> CallFailed:
    received = json.loads(body)
    kind = _KINDS.get(received["code"], "other")
    assert status in (200, STATUSES.get(kind, status)), (status, received)
    return CallFailed(
        kind,
        received["message"],
        "" if received["code"] == "UNAVAILABLE" else received["code"],
        received["errors"],
    )


def _status(received: Mapping[str, Any], name: str = "workflowStatus") -> str:
    status: str = received[name]["status"]
    return status.upper()


def _event(received: Mapping[str, Any]) -> Event:
    sequence = received.get("sequence", 0)
    match received["type"]:
        case "task_status_changed":
            return Event(sequence, "task", _status(received), outputs=received.get("outputs"))
        case "node_status_changed":
            run = received["snapshot"]
            return Event(
                sequence,
                "node",
                _status(received, "nodeStatus"),
                received["nodeID"],
                inputs=run.get("inputs"),
                outputs=run.get("outputs"),
            )
        case "message":
            message = received["message"]
            return Event(sequence, "message", node_id=message.get("nodeID", ""), text=message["message"])
        case _:
            return Event(sequence, "delta", node_id=received["nodeID"], text=received["text"])
