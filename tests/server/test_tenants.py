"""Two tenants who try to reach each other's tasks, by every method of the contract and every route of the REST gateway.

A method or a route that is new fails here until it has a case: what it shows of the tasks of others has to be thought of.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
import httpx2
import pytest
from fastapi.routing import APIRoute
from grpc import StatusCode
from support.both_ports import serving
from support.gateway import EventStream
from support.raw_http import RawServer, never
from support.serving import refused
from support.workflows import ECHO, END, START, chain, node

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_client import RetryPolicy
from flowgram_client._raw import RawClient
from flowgram_server.auth.api_keys import RoleName, change_keys, new_key
from flowgram_server.gateway.endpoints import Endpoints
from flowgram_server.settings.gateway import GatewaySettings
from flowgram_server.settings.loading import load_settings

METHODS: Final = sorted(
    method.name for method in service.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].methods
)
MISSING: Final = "0" * 32
"""The id of a task that nobody has."""
LABELS: Final = {"team": "x"}


@dataclass
class Tenant:
    """One who calls, with what it owns.

    Attributes:
        stub: Calls by gRPC, as this one.
        http: Asks the REST gateway, as this one.
        ended: A task of its own that has ended.
        running: A task of its own that runs until it is stopped.
    """

    name: str
    stub: Any
    http: httpx2.AsyncClient
    ended: str = ""
    running: str = ""

    async def run(self, schema: str = ECHO, **fields: Any) -> str:
        """The id of a task that was accepted."""
        request = service.TaskRunRequest(schema=schema, inputs='{"text": "a"}', **fields)
        task_id: str = (await self.stub.TaskRun(request)).task_id
        return task_id


@dataclass
class Tenants:
    """Two who share a server: `acme`, whose tasks are to be reached, and `zoo`, who tries."""

    acme: Tenant
    zoo: Tenant
    admin: Tenant

    @property
    def foreign(self) -> tuple[str, str]:
        """The tasks that must not be found."""
        return self.acme.ended, self.acme.running


def waiting(url: str) -> str:
    """A workflow that waits for an answer that does not come."""
    http = node(
        "http_0",
        "http",
        api={"method": "GET", "url": {"type": "template", "content": url}},
        body={"bodyType": "none"},
        timeout={"timeout": 600_000, "retryTimes": 0},
    )
    return chain(START, http, END)


@asynccontextmanager
async def opened_tenants(data: Path) -> AsyncIterator[Tenants]:
    """A server with three keys, and tasks of two of them."""
    keys = data / "keys.json"

    def add_key(namespace: str, role: RoleName) -> str:
        text, key = new_key(namespace=namespace, role=role, lifetime=None, note="", now=datetime.now(UTC))
        change_keys(keys, lambda known: [*known, key])
        return f"Bearer {text}"

    credentials = {
        "acme": add_key("acme", "runner"),
        "zoo": add_key("zoo", "runner"),
        "admin": add_key("default", "admin"),
    }
    flags = {
        "listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "data": data,
        "access_log": False,
        "shutdown_grace": 0.0,
        "auth": {"api_keys_file": keys},
    }
    async with (
        RawServer(never) as silent,
        serving(load_settings(flags=flags)) as ports,
        grpc.aio.insecure_channel(ports.server.address) as channel,
        httpx2.AsyncClient(base_url=f"http://{ports.http}", trust_env=False, timeout=30) as http,
    ):
        tenants = Tenants(
            **{
                name: Tenant(name, _Authorized(channel, credential), _with_header(http, credential))
                for name, credential in credentials.items()
            }
        )
        for tenant in (tenants.acme, tenants.zoo):
            tenant.ended = await tenant.run(wait=True, request_id="same", labels=LABELS)
            tenant.running = await tenant.run(waiting(silent.url), labels=LABELS)
        yield tenants


class _Authorized:
    """A stub that sends a credential with every call."""

    def __init__(self, channel: grpc.aio.Channel, credential: str) -> None:
        self._stub: Any = WorkflowRuntimeServiceStub(channel)
        self._metadata = (("authorization", credential),)

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)

        def authorized(request: Any, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
            return call(request, metadata=(*self._metadata, *metadata), timeout=20)

        return authorized


def _with_header(http: httpx2.AsyncClient, credential: str) -> Any:
    """The client, with a credential in every request."""

    class Authorized:
        base_url = http.base_url

        async def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
            headers = {"Authorization": credential, **more.pop("headers", {})}
            return await http.request(method, path, headers=headers, **more)

        def stream(self, path: str, **more: Any) -> Any:
            return http.stream("GET", path, headers={"Authorization": credential}, timeout=20, **more)

    return Authorized()


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator[Tenants]:
    async with opened_tenants(tmp_path) as opened:
        yield opened


# By gRPC

Case = Callable[[Tenants], Awaitable[None]]


async def hidden(tenants: Tenants, method: str, request_of: Callable[[str], Any]) -> None:
    """Asked for a task of another, a method says what it says of one that does not exist, word for word."""
    call = getattr(tenants.zoo.stub, method)
    expected = await refused(call(request_of(MISSING)))
    assert (expected.code, expected.reason) == (StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    for task_id in tenants.foreign:
        seen = await refused(call(request_of(task_id)))
        assert seen.text == expected.text.replace(MISSING, task_id)
        assert seen.metadata == {"task_id": task_id}
        assert (seen.code, seen.reason, seen.violations) == (expected.code, expected.reason, [])
    for task_id in (tenants.zoo.ended, tenants.zoo.running):  # and its own are there
        answer = call(request_of(task_id))
        await (answer.read() if hasattr(answer, "read") else answer)


async def by_run(tenants: Tenants) -> None:
    """A request id of another's is free; used again, it is one's own task that answers."""
    await tenants.acme.run(request_id="mine")
    for tenant in (tenants.acme, tenants.zoo):
        assert await tenant.run(request_id="same", labels=LABELS) == tenant.ended
        refusal = await refused(
            tenant.stub.TaskRun(service.TaskRunRequest(schema=ECHO, inputs="{}", request_id="same"))
        )
        assert refusal.reason == "REQUEST_ID_REUSED"
    first = await tenants.zoo.run(waiting("http://127.0.0.1:1"), request_id="mine")
    assert first not in tenants.foreign


async def by_run_batch(tenants: Tenants) -> None:
    """So it is in batches: outcomes are of one's own tasks."""
    defaults = service.TaskRunRequest(schema=ECHO, labels=LABELS)
    run = service.BatchRun(key="k", request=service.TaskRunRequest(inputs='{"text": "a"}', request_id="same"))

    async def requests() -> AsyncIterator[Any]:
        yield service.TaskRunBatchRequest(defaults=defaults, runs=[run])

    for tenant in (tenants.acme, tenants.zoo):
        responses = [response async for response in tenant.stub.TaskRunBatch(requests())]
        (outcome,) = responses[0].outcomes
        assert outcome.outcome.task_id == tenant.ended


async def by_validate(tenants: Tenants) -> None:
    """It knows of no tasks."""
    answer = await tenants.zoo.stub.TaskValidate(service.TaskValidateRequest(schema=ECHO, inputs="{}"))
    assert not any(task_id in str(answer) for task_id in tenants.foreign)


async def by_get(tenants: Tenants) -> None:
    await hidden(tenants, "TaskGet", lambda task_id: service.TaskGetRequest(task_id=task_id))


async def by_report(tenants: Tenants) -> None:
    await hidden(tenants, "TaskReport", lambda task_id: service.TaskReportRequest(task_id=task_id))


async def by_result(tenants: Tenants) -> None:
    """With and without waiting: nobody waits for the tasks of others."""
    await hidden(tenants, "TaskResult", lambda task_id: service.TaskResultRequest(task_id=task_id))
    for task_id in tenants.foreign:
        request = service.TaskResultRequest(task_id=task_id, wait=True)
        assert (await refused(tenants.zoo.stub.TaskResult(request))).reason == "TASK_NOT_FOUND"


async def by_cancel(tenants: Tenants) -> None:
    """A foreign task runs on."""
    await hidden(tenants, "TaskCancel", lambda task_id: service.TaskCancelRequest(task_id=task_id))
    shown = await tenants.acme.stub.TaskGet(service.TaskGetRequest(task_id=tenants.acme.running))
    assert not shown.task.summary.status.terminated
    cancel = service.TaskCancelRequest(task_id=tenants.acme.running)
    assert (await tenants.acme.stub.TaskCancel(cancel)).success


async def by_list(tenants: Tenants) -> None:
    """With and without filters; the page of another's list is refused, and so is one that was changed."""
    for filters in ({}, {"labels": LABELS}, {"statuses": [2, 3]}):
        for tenant in (tenants.acme, tenants.zoo):
            page = await tenant.stub.TaskList(service.TaskListRequest(**filters))  # type: ignore[arg-type]  # as given
            assert {task.task_id for task in page.tasks} == {tenant.ended, tenant.running}
            assert {task.namespace for task in page.tasks} == {tenant.name}
    theirs = await tenants.acme.stub.TaskList(service.TaskListRequest(page_size=1))
    own = await tenants.zoo.stub.TaskList(service.TaskListRequest(page_size=1))
    changed = own.next_page_token[:-2] + ("A" if own.next_page_token[-2] != "A" else "B") + "="
    for token in (theirs.next_page_token, changed):
        request = service.TaskListRequest(page_size=1, page_token=token)
        refusal = await refused(tenants.zoo.stub.TaskList(request))
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    request = service.TaskListRequest(page_size=1, page_token=own.next_page_token)
    assert [task.task_id for task in (await tenants.zoo.stub.TaskList(request)).tasks] == [tenants.zoo.ended]


async def by_watch_task(tenants: Tenants) -> None:
    """From any position, also one beyond the end."""
    await hidden(tenants, "WatchTask", lambda task_id: service.WatchTaskRequest(task_id=task_id))
    for after in (1, 10_000):
        request = service.WatchTaskRequest(task_id=tenants.acme.running, after_sequence=after)
        assert (await refused(tenants.zoo.stub.WatchTask(request))).reason == "TASK_NOT_FOUND"


async def by_watch_tasks(tenants: Tenants) -> None:
    """What changes in one namespace is no news in another."""
    watch = tenants.zoo.stub.WatchTasks(service.WatchTasksRequest())
    assert not (await watch.read()).tasks  # it is live
    theirs = await tenants.acme.run(wait=True)
    await tenants.acme.stub.TaskCancel(service.TaskCancelRequest(task_id=tenants.acme.running))
    own = await tenants.zoo.run(wait=True)
    seen: set[str] = set()
    while own not in seen:
        response = await watch.read()
        seen |= {task.task_id for task in response.tasks} | set(response.removed_task_ids)
    assert seen == {own}
    assert theirs not in seen
    watch.cancel()


async def by_server_info(tenants: Tenants) -> None:
    """It tells of the server only."""
    answer = await tenants.zoo.stub.ServerInfo(service.ServerInfoRequest())
    assert not any(word in str(answer) for word in (*tenants.foreign, "acme"))


CASES: Final[dict[str, Case]] = {
    "TaskRun": by_run,
    "TaskRunBatch": by_run_batch,
    "TaskValidate": by_validate,
    "TaskGet": by_get,
    "TaskReport": by_report,
    "TaskResult": by_result,
    "TaskCancel": by_cancel,
    "TaskList": by_list,
    "WatchTask": by_watch_task,
    "WatchTasks": by_watch_tasks,
    "ServerInfo": by_server_info,
}


@pytest.mark.parametrize("method", METHODS)
async def test_tenants_do_not_reach_each_other_by_grpc(tenants: Tenants, method: str) -> None:
    """Whatever the method: foreign tasks do not exist."""
    await CASES[method](tenants)


# By REST


def routes() -> list[str]:
    """METHOD PATH of every route of the API."""
    client = RawClient("127.0.0.1:1", retry=RetryPolicy(attempts=1))
    found = Endpoints(client, GatewaySettings()).router().routes
    return sorted(
        f"{method} {route.path}" for route in found if isinstance(route, APIRoute) for method in route.methods
    )


async def hidden_at(tenants: Tenants, method: str, path: str, **extra: Any) -> None:
    """Asked for a task of another, a route says what it says of one that does not exist, word for word."""

    async def ask(task_id: str) -> tuple[int, str]:
        where = {"json": {"taskID": task_id}} if method == "PUT" else {"params": {"taskID": task_id, **extra}}
        answer = await tenants.zoo.http.request(method, path, **where)
        return answer.status_code, answer.text

    status, text = await ask(MISSING)
    assert (status, json.loads(text)["code"]) == (404, "TASK_NOT_FOUND")
    for task_id in tenants.foreign:
        assert await ask(task_id) == (404, text.replace(MISSING, task_id))


async def at_run(tenants: Tenants) -> None:
    """A request id of another's is free."""
    body = {"schema": ECHO, "inputs": {"text": "b"}, "requestID": "at run"}
    answers = [
        (await tenant.http.request("POST", "/api/task/run", json=body)).json()["taskID"]
        for tenant in (tenants.acme, tenants.zoo, tenants.acme)
    ]
    assert answers[0] == answers[2] != answers[1]


async def at_batch(tenants: Tenants) -> None:
    """So it is in batches."""
    lines = [{"schema": ECHO}, {"key": "k", "inputs": {"text": "b"}, "requestID": "at batch"}]
    body = "\n".join(map(json.dumps, lines)) + "\n"
    headers = {"Content-Type": "application/x-ndjson"}
    found = []
    for tenant in (tenants.acme, tenants.zoo, tenants.acme):
        answer = await tenant.http.request("POST", "/api/tasks/batch", content=body, headers=headers)
        found.append(json.loads(answer.text.splitlines()[0])["taskID"])
    assert found[0] == found[2] != found[1]


async def at_validate(tenants: Tenants) -> None:
    """It knows of no tasks."""
    answer = await tenants.zoo.http.request("POST", "/api/task/validate", json={"schema": ECHO, "inputs": {}})
    assert answer.status_code == 200
    assert not any(task_id in answer.text for task_id in tenants.foreign)


async def at_cancel(tenants: Tenants) -> None:
    """A foreign task runs on."""
    await hidden_at(tenants, "PUT", "/api/task/cancel")
    shown = await tenants.acme.http.request("GET", "/api/task", params={"taskID": tenants.acme.running})
    assert shown.json()["workflowStatus"]["status"] == "processing"


async def at_tasks(tenants: Tenants) -> None:
    """The tasks of one's own, and no page of another's list."""
    for tenant in (tenants.acme, tenants.zoo):
        page = (await tenant.http.request("GET", "/api/tasks")).json()
        assert {task["taskID"] for task in page["tasks"]} == {tenant.ended, tenant.running}
        assert {task["namespace"] for task in page["tasks"]} == {tenant.name}
    theirs = (await tenants.acme.http.request("GET", "/api/tasks", params={"pageSize": 1})).json()
    wanted = {"pageSize": 1, "pageToken": theirs["nextPageToken"]}
    answer = await tenants.zoo.http.request("GET", "/api/tasks", params=wanted)
    assert (answer.status_code, answer.json()["code"]) == (400, "PAGE_TOKEN_INVALID")


async def at_watch_tasks(tenants: Tenants) -> None:
    """What changes in one namespace is no news in another."""
    async with tenants.zoo.http.stream("/api/tasks/watch") as answer:
        stream = EventStream(answer)
        first = await stream.next()
        assert first is not None
        assert first.value["type"] == "live"
        await tenants.acme.run(wait=True)
        own = await tenants.zoo.run(wait=True)
        seen: set[str] = set()
        while own not in seen:
            event = await stream.next()
            assert event is not None
            seen |= {task["taskID"] for task in event.value.get("tasks", [])}
        assert seen == {own}


async def at_info(tenants: Tenants) -> None:
    """It tells of the server only."""
    answer = await tenants.zoo.http.request("GET", "/api/info")
    assert not any(word in answer.text for word in (*tenants.foreign, "acme"))


ROUTE_CASES: Final[dict[str, Case]] = {
    "POST /api/task/run": at_run,
    "POST /api/task/validate": at_validate,
    "GET /api/task": lambda tenants: hidden_at(tenants, "GET", "/api/task"),
    "GET /api/task/report": lambda tenants: hidden_at(tenants, "GET", "/api/task/report"),
    "GET /api/task/result": lambda tenants: hidden_at(tenants, "GET", "/api/task/result"),
    "PUT /api/task/cancel": at_cancel,
    "GET /api/task/watch": lambda tenants: hidden_at(tenants, "GET", "/api/task/watch", after=1),
    "GET /api/tasks/watch": at_watch_tasks,
    "POST /api/tasks/batch": at_batch,
    "GET /api/tasks": at_tasks,
    "GET /api/info": at_info,
}


@pytest.mark.parametrize("route", routes())
async def test_tenants_do_not_reach_each_other_by_rest(tenants: Tenants, route: str) -> None:
    """Whatever the route: foreign tasks do not exist."""
    await ROUTE_CASES[route](tenants)


async def test_an_admin_reaches_the_namespace_that_it_names(tenants: Tenants) -> None:
    """By metadata or header, and one at a time; without a name its own."""
    request = service.TaskGetRequest(task_id=tenants.acme.ended)
    get = tenants.admin.stub.TaskGet
    shown = await get(request, metadata=(("flowgram-namespace", "acme"),))
    assert shown.task.summary.namespace == "acme"
    for metadata in ((), (("flowgram-namespace", "zoo"),)):
        assert (await refused(get(request, metadata=metadata))).reason == "TASK_NOT_FOUND"
    headers = {"Flowgram-Namespace": "zoo"}
    page = (await tenants.admin.http.request("GET", "/api/tasks", headers=headers)).json()
    assert {task["taskID"] for task in page["tasks"]} == {tenants.zoo.ended, tenants.zoo.running}


async def test_namespaces_outlive_a_restart(tmp_path: Path) -> None:
    """A task that goes on after a restart is found by its owner, and by nobody else while it is rebuilt."""
    async with opened_tenants(tmp_path) as tenants:
        task_id = tenants.acme.running
    async with opened_tenants(tmp_path) as again:
        request = service.TaskResultRequest(task_id=task_id, wait=True)
        assert (await refused(again.zoo.stub.TaskResult(request))).reason == "TASK_NOT_FOUND"
        assert (await again.acme.stub.TaskResult(request)).status.terminated
