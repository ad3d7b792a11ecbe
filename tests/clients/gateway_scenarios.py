"""What every gateway for browsers does beyond the scenarios of all clients: the parts of HTTP that no client has."""

import json
import signal
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2
from clients.environment import Environment
from clients.gateway_client import GatewayClient
from clients.gateway_process import GatewayProcess
from clients.scenarios import complete, rest
from support.workflows import ECHO

GatewayScenario = Callable[[Environment, GatewayProcess, GatewayClient], Awaitable[None]]


async def refuses_last_event_ids(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A Last-Event-ID that is no sequence is a bad request, one beyond the end cannot be satisfied."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    path = f"/tasks/{task_id}/events"
    for given in ("x", "-1", "1.0", "9" * 30):
        refused(await client.http.get(path, headers={"Last-Event-ID": given}), 400, "ARGUMENT_INVALID")
        refused(await client.http.get(path, params={"after": given}), 400, "ARGUMENT_INVALID")
    refused(await client.http.get(path, headers={"Last-Event-ID": "5"}), 416, "SEQUENCE_OUT_OF_RANGE")
    refused(await client.http.get("/tasks/nobody/events"), 404, "TASK_NOT_FOUND")
    for parameters in ({"view": "all"}, {"deltas": "1"}, {"afer": "1"}):
        refused(await client.http.get(path, params=parameters), 400, "ARGUMENT_INVALID")


async def ends_a_browsers_reconnection(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A browser that comes back after the last event is told to stop; before it, it gets what it has not seen."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    path = f"/tasks/{task_id}/events"
    response = await client.http.get(path, headers={"Last-Event-ID": "4"})
    assert (response.status_code, response.content) == (204, b"")
    response = await client.http.get(path, params={"after": "1"}, headers={"Last-Event-ID": "3"})
    lines = response.text.split("\n")
    assert lines[0].startswith("retry: ")
    assert [line for line in lines if line.startswith("id: ")] == ["id: 4"]
    (data,) = (line for line in lines if line.startswith("data: "))
    event = json.loads(data.removeprefix("data: "))
    assert list(event) == ["sequence", "time", "task_status_changed"]
    assert event["sequence"] == 4
    assert list(event["task_status_changed"]["status"]) == [
        "status",
        "terminated",
        "start_time",
        "end_time",
        "time_cost",
    ]
    assert event["task_status_changed"]["status"]["status"] == "STATUS_SUCCEEDED"
    assert event["task_status_changed"]["status"]["time_cost"].endswith("s")


async def refuses_bad_bodies(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A body that is not what it should be is a bad request, with what is wrong with it."""
    json_type = {"Content-Type": "application/json"}
    for body in (b"{", b"[]", b"", b'{"schema": 1}', b'{"schema": {}, "inputs": []}', b'{"schema": {}, "more": 1}',
                 b'{"schema": {}, "timeout": 3}', b'{"schema": {}, "wait": "yes"}', b'{"schema": {}} {}',
                 b'{"schema": {}, "labels": {"a": 1}}'):  # fmt: skip
        response = await client.http.post("/tasks", content=body, headers=json_type)
        assert refused(response, 400, "ARGUMENT_INVALID")["errors"], body
    refused(await client.http.post("/tasks", content=b"{}", headers=json_type), 400, "ARGUMENT_INVALID")
    refused(
        await client.http.post("/tasks", content=b'{"schema": "\xff"}', headers=json_type),
        400,
        "ARGUMENT_INVALID",
        "SCHEMA_INVALID",
    )
    plain = {"Content-Type": "text/plain"}
    refused(await client.http.post("/tasks", content=b"{}", headers=plain), 415, "CONTENT_TYPE_UNSUPPORTED")
    refused(await client.http.get("/nowhere"), 404, "NOT_FOUND")
    refused(await client.http.delete("/tasks"), 405, "METHOD_NOT_ALLOWED")
    refused(await client.http.get("/tasks", params={"status": "DONE"}), 400, "ARGUMENT_INVALID")
    refused(await client.http.get("/tasks", params={"page_token": "x"}), 400, "PAGE_TOKEN_INVALID")


async def leaves_documents_as_they_are(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A document that the gateway carries keeps the spelling of its numbers."""
    inputs = '{"text": "<é>", "n": [1.0, 1e2, 0.10, -0, 123456789012345678901234567890]}'
    for given in (inputs, json.dumps(inputs)):
        body = f'{{"schema": {ECHO}, "inputs": {given}, "wait": true}}'
        response = await client.http.post(
            "/tasks", content=body.encode(), headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 200, response.text
        report = await client.http.get(f"/tasks/{response.json()['task_id']}/report")
        compact = '{"text":"<é>","n":[1.0,1e2,0.10,-0,123456789012345678901234567890]}'
        assert f'"inputs":{compact}' in report.text


async def answers_with_where_the_task_is(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A task that was made has a place, where its outcome is."""
    response = await client.http.post(
        "/tasks", json={"schema": ECHO, "timeout": "60s", "request_id": str(uuid.uuid4())}
    )
    assert response.status_code == 201
    place = response.headers["location"]
    assert place == f"/tasks/{response.json()['task_id']}"
    outcome = await client.http.get(place, params={"wait": "true"})
    assert outcome.json()["status"]["terminated"]
    assert (await client.http.get("/healthz")).json() == {"status": "ok"}


async def tells_that_the_server_is_away(
    environment: Environment, _: GatewayProcess, client: GatewayClient
) -> None:
    """While the server is away, a stream that is asked for is answered soon, and the gateway itself is well."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    environment.server.kill()
    response = await client.http.get(f"/tasks/{task_id}/events")
    told = refused(response, 503, "UNAVAILABLE")
    assert "127.0.0.1" not in told["message"]
    assert int(response.headers["retry-after"]) >= 1
    assert (await client.http.get("/healthz")).status_code == 200


async def stops_gracefully(environment: Environment, gateway: GatewayProcess, client: GatewayClient) -> None:
    """A gateway that is told to stop ends its streams and waits properly, and then itself; the task goes on."""
    task_id = await client.run(environment.gated("graceful"))
    await environment.gate.reached("graceful")
    path = f"/tasks/{task_id}/events"
    async with client.http.stream("GET", path) as response:
        chunks = response.aiter_text()
        seen = ""
        while "id: 2\n" not in seen:
            seen += await anext(chunks)
        gateway.process.send_signal(signal.SIGTERM)
        async for chunk in chunks:
            seen += chunk
    assert "event: failure" not in seen
    assert await gateway.process.wait() == 0
    environment.gate.release("graceful")


async def serves_many_streams(environment: Environment, _: GatewayProcess, client: GatewayClient) -> None:
    """Each stream is told everything, also when they all begin before there is anything to tell."""
    task_id = await client.run(environment.gated("many"))
    await environment.gate.reached("many")
    async with client.watch(task_id) as first, client.watch(task_id, after=2) as second:
        seen = [await anext(first)]
        environment.gate.release("many")
        assert [event.sequence for event in await rest(second)][:1] == [3]
        complete(seen + await rest(first))


GATEWAY_SCENARIOS: Sequence[GatewayScenario] = (
    refuses_last_event_ids,
    ends_a_browsers_reconnection,
    refuses_bad_bodies,
    leaves_documents_as_they_are,
    answers_with_where_the_task_is,
    tells_that_the_server_is_away,
    serves_many_streams,
    stops_gracefully,
)
"""What every gateway is put through with the real server."""


def refused(response: httpx2.Response, status: int, *codes: str) -> dict[str, Any]:
    """The body of an answer that must be an error with this status and one of these codes."""
    told: dict[str, Any] = response.json()
    assert response.status_code == status, told
    assert told["code"] in codes, told
    assert told["message"]
    assert response.headers["content-type"].startswith("application/json")
    return told
