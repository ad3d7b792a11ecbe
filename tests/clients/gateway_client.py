"""A gateway for browsers as a client: calls are HTTP requests, as docs/clients/gateway.md describes them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self

import httpx2
from clients.client_protocol import CallFailed, Event, Report, Result

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

_NAMES = ("", "PENDING", "PROCESSING", "SUCCEEDED", "FAILED", "CANCELED")


class GatewayClient:
    """A browser of sorts, to be entered."""

    has_deadlines = False

    def __init__(self, url: str) -> None:
        self.http = httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.http.aclose()

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        response = await self.http.request(method, path, json=body, **options)
        if response.is_error:
            raise _failure(response.status_code, response.text)
        told: dict[str, Any] = json.loads(response.text)
        return told

    async def run(
        self,
        schema: str,
        inputs: str = "",
        *,
        request_id: str = "",
        labels: Mapping[str, str] | None = None,
        deadline: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        assert deadline is None
        body: dict[str, Any] = {"schema": schema, "inputs": inputs}
        if request_id:
            body["request_id"] = request_id
        if labels:
            body["labels"] = labels
        task_id: str = (await self._ask("POST", "/tasks", body, headers=metadata))["task_id"]
        return task_id

    async def run_and_wait(self, schema: str, inputs: str = "", *, deadline: float | None = None) -> Result:
        assert deadline is None
        # the documents as objects, where `run` sends their texts
        body = f'{{"schema":{schema},"inputs":{inputs or "{}"},"wait":true}}'
        headers = {"Content-Type": "application/json"}
        response = await self.http.post("/tasks", content=body.encode(), headers=headers)
        if response.is_error:
            raise _failure(response.status_code, response.text)
        told = json.loads(response.text)
        return _result(told["task_id"], told)

    async def result(self, task_id: str) -> Result:
        return _result(task_id, await self._ask("GET", f"/tasks/{task_id}"))

    async def wait(self, task_id: str, *, deadline: float | None = None) -> Result:
        assert deadline is None
        return _result(task_id, await self._ask("GET", f"/tasks/{task_id}", params={"wait": "true"}))

    async def report(self, task_id: str, *, basic: bool = False) -> Report:
        view = "basic" if basic else "full"
        told = (await self._ask("GET", f"/tasks/{task_id}/report", params={"view": view}))["report"]
        return Report(
            told["task_id"],
            _status(told),
            told.get("inputs"),
            told.get("outputs"),
            [node["node_id"] for node in told["nodes"]],
            [message["text"] for message in told["messages"]],
            told["last_sequence"],
        )

    async def cancel(self, task_id: str, reason: str = "") -> bool:
        body = {"reason": reason} if reason else None
        success: bool = (await self._ask("POST", f"/tasks/{task_id}/cancel", body))["success"]
        return success

    async def validate(self, schema: str, inputs: str = "") -> Sequence[str]:
        told = await self._ask("POST", "/validate", {"schema": schema, "inputs": inputs})
        assert told["valid"] == (not told["errors"])
        problems: list[str] = told["errors"]
        return problems

    async def list(
        self, *, statuses: Sequence[int] = (), labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> Sequence[str]:
        parameters: dict[str, Any] = {
            "status": [_NAMES[number] for number in statuses],
            "label": [f"{key}={value}" for key, value in (labels or {}).items()],
        }
        if page_size:
            parameters["page_size"] = page_size
        ids: list[str] = []
        while True:
            page = await self._ask("GET", "/tasks", params=parameters)
            ids += [task["task_id"] for task in page["tasks"]]
            if not page["next_page_token"]:
                return ids
            parameters["page_token"] = page["next_page_token"]

    async def info(self) -> Mapping[str, Any]:
        return await self._ask("GET", "/info")

    @asynccontextmanager
    async def watch(
        self, task_id: str, *, after: int = 0, basic: bool = False, deadline: float | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        assert deadline is None
        parameters = {"view": "basic" if basic else "full"}
        headers = {"Last-Event-ID": str(after)} if after else {}
        async with aclosing(self._events(f"/tasks/{task_id}/events", parameters, headers)) as events:
            yield events

    async def _events(self, path: str, parameters: Any, headers: Any) -> AsyncGenerator[Event, None]:
        async with self.http.stream("GET", path, params=parameters, headers=headers) as response:
            if response.is_error:
                await response.aread()
                raise _failure(response.status_code, response.text)
            if response.status_code == 204:
                return
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            fields: dict[str, str] = {}
            async for line in _lines(response):
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                    continue
                if fields.get("event") == "failure":
                    raise _failure(200, fields["data"])
                if "data" in fields:
                    event = _event(json.loads(fields["data"]))
                    assert fields.get("id", "0") == str(event.sequence)
                    yield event
                fields = {}


async def _lines(response: httpx2.Response) -> AsyncIterator[str]:
    """The lines of a stream, which end with a line feed and nothing else."""
    left = b""
    async for chunk in response.aiter_bytes():
        *lines, left = (left + chunk).split(b"\n")
        for line in lines:
            yield line.decode()


def _failure(status: int, body: str) -> CallFailed:
    told = json.loads(body)
    kind = _KINDS.get(told["code"], "other")
    assert status in (200, STATUSES.get(kind, status)), (status, told)
    return CallFailed(
        kind,
        told["message"],
        "" if told["code"] == "UNAVAILABLE" else told["code"],
        told.get("errors", ()),
    )


def _status(told: Mapping[str, Any]) -> str:
    status: str = told["status"]["status"]
    return status.removeprefix("STATUS_")


def _result(task_id: str, told: Mapping[str, Any]) -> Result:
    return Result(task_id, _status(told), told.get("outputs"), [each["text"] for each in told["errors"]])


def _event(told: Mapping[str, Any]) -> Event:
    sequence = told["sequence"]
    if task := told.get("task_status_changed"):
        return Event(sequence, "task", _status(task), outputs=task.get("outputs"))
    if node := told.get("node_status_changed"):
        run = node["snapshot"]
        return Event(
            sequence,
            "node",
            _status(node),
            node["node_id"],
            inputs=run.get("inputs"),
            outputs=run.get("outputs"),
        )
    if message := told.get("message"):
        return Event(sequence, "message", node_id=message["node_id"], text=message["text"])
    delta = told["output_delta"]
    return Event(sequence, "delta", node_id=delta["node_id"], text=delta["text"])
