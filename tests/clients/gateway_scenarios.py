"""What every gateway for browsers does beyond the scenarios of all clients: the parts of HTTP that no client has."""

import asyncio
import json
import signal
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2
from clients.environment import Environment
from clients.gateway_client import JSON_TYPE, GatewayClient, frames
from clients.gateway_process import GatewayProcess
from clients.scenarios import complete, rest
from support.workflows import ECHO

GatewayScenario = Callable[[Environment, GatewayProcess, GatewayClient], Awaitable[None]]

_SECONDS = 30
"""A bound of what is waited for."""


def watch_of(task_id: str) -> str:
    return f"/api/task/watch?taskID={task_id}"


async def refuses_last_event_ids(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A Last-Event-ID that is no sequence is a bad request, one beyond the end cannot be satisfied."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    path = watch_of(task_id)
    for given in ("x", "-1", "1.5", "9" * 30):
        refused(await client.http.get(path, headers={"Last-Event-ID": given}), 400, "ARGUMENT_INVALID")
        refused(await client.http.get(f"{path}&after={given}"), 400, "ARGUMENT_INVALID")
    refused(await client.http.get(path, headers={"Last-Event-ID": "5"}), 416, "SEQUENCE_OUT_OF_RANGE")
    refused(await client.http.get(watch_of("nobody")), 404, "TASK_NOT_FOUND")
    refused(await client.http.get(f"{path}&deltas=maybe"), 400, "ARGUMENT_INVALID")
    refused(await client.http.get("/api/task/watch"), 400, "ARGUMENT_INVALID")


async def sends_a_part_of_a_watch(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A page that draws needs no values, and one that looks at a moment no events after it."""
    task_id = (await client.run_and_wait(ECHO, '{"text": "hi"}')).task_id
    path = f"/api/task/watch?taskID={task_id}"
    async with client.http.stream("GET", f"{path}&view=basic&after=1&until=3") as response:
        received = [json.loads(each["data"]) async for each in frames(response) if "data" in each]
    assert [each["sequence"] for each in received] == [2, 3]
    assert not any("inputs" in each["snapshot"] or "outputs" in each["snapshot"] for each in received)
    for wrong in ("view=all", "until=x", "until=-1"):
        refused(await client.http.get(f"{path}&{wrong}"), 400, "ARGUMENT_INVALID")


async def ends_a_browsers_reconnection(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A browser that comes back after the last event is asked to stop; before it, it gets what it has not seen."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    path = watch_of(task_id)
    response = await client.http.get(path, headers={"Last-Event-ID": "4"})
    assert (response.status_code, response.content) == (204, b"")
    response = await client.http.get(f"{path}&after=1", headers={"Last-Event-ID": "3"})
    lines = response.text.split("\n")
    assert lines[0].startswith("retry: ")
    assert [line for line in lines if line.startswith("id: ")] == ["id: 4"]
    (data,) = (line for line in lines if line.startswith("data: "))
    event = json.loads(data.removeprefix("data: "))
    assert event.keys() == {"type", "sequence", "timestamp", "workflowStatus", "outputs"}
    assert (event["type"], event["sequence"]) == ("task_status_changed", 4)
    status = event["workflowStatus"]
    assert status.keys() == {"status", "terminated", "startTime", "timeCost", "endTime"}
    assert (status["status"], status["terminated"]) == ("succeeded", True)
    assert status["startTime"] <= status["endTime"] == status["startTime"] + status["timeCost"]


async def refuses_bad_bodies(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A body that is not what it should be is a bad request, with all that is wrong with it, in the same words everywhere."""
    for body in (b"{", b"[]", b"", b"{}", b'{"schema": 1}', b'{"schema": "{}"}', b'{"schema": {}, "inputs": {}}',
                 b'{"schema": "", "inputs": {}}', b'{"schema": "{}", "inputs": []}', b'{"schema": "{}", "inputs": {}} {}',
                 b'{"schema": "{}", "inputs": {}, "labels": {"a": 1}}', b'{"schema": "\xff", "inputs": {}}',
                 b'{"schema": "{}", "inputs": {}, "requestID": "%b"}' % (b"x" * 257)):  # fmt: skip
        response = await client.http.post("/api/task/run", content=body, headers=JSON_TYPE)
        assert refused(response, 400, "ARGUMENT_INVALID")["errors"], body
    response = await client.http.put("/api/task/cancel", json={})
    assert refused(response, 400, "ARGUMENT_INVALID")["errors"]
    plain = {"Content-Type": "text/plain"}
    refused(
        await client.http.post("/api/task/run", content=b"{}", headers=plain), 415, "CONTENT_TYPE_UNSUPPORTED"
    )
    refused(await client.http.get("/nowhere"), 404, "NOT_FOUND")
    refused(await client.http.delete("/api/tasks"), 405, "METHOD_NOT_ALLOWED")
    for query in ("status=DONE", "label=x", "pageSize=0", "pageSize=1001", "pageSize=x"):
        assert refused(await client.http.get(f"/api/tasks?{query}"), 400, "ARGUMENT_INVALID")["errors"], query
    many = '{"inputs": [], "labels": {"a": null}, "displayName": 5, "requestID": {}}'
    response = await client.http.post(
        "/api/task/run", content=many, headers={"Content-Type": "application/json"}
    )
    assert refused(response, 400, "ARGUMENT_INVALID")["errors"] == [
        "displayName: must not be number",
        "inputs: must be an object",
        "labels.a: must not be null",
        "requestID: must not be object",
        "schema: is required",
    ]
    response = await client.http.get("/api/tasks?status=x&label=b&pageSize=1.0")
    assert refused(response, 400, "ARGUMENT_INVALID")["errors"] == [
        "label: must be KEY=VALUE",
        "pageSize: must be a number from 1 to 1000",
        "status: must be pending, processing, succeeded, failed or canceled",
    ]
    refused(await client.http.get("/api/tasks?pageToken=x"), 400, "PAGE_TOKEN_INVALID")


async def leaves_documents_as_they_are(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A document that the gateway carries keeps the spelling of its numbers."""
    inputs = '{"text": "<é>", "n": [1.0, 1e2, 0.10, -0, 123456789012345678901234567890]}'
    task_id = (await client.run_and_wait(ECHO, inputs)).task_id
    for path in ("report", "result"):
        response = await client.http.get(f"/api/task/{path}", params={"taskID": task_id})
        assert response.headers["content-type"] == "application/json"
        assert '"text":"<é>"' in response.text.replace(": ", ":")
        if path == "report":
            assert "[1.0,1e2,0.10,-0,123456789012345678901234567890]" in response.text.replace(", ", ",")
    marked = f'\ufeff{{"schema": {json.dumps(ECHO)}, "inputs": {{}}}}'.encode()
    response = await client.http.post("/api/task/run", content=marked, headers=JSON_TYPE)
    assert response.status_code == 200, response.text


async def tells_what_a_task_is(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A task can be asked for, with its name and labels, and is listed with the same fields."""
    body = {"schema": ECHO, "inputs": {"text": "hi"}, "labels": {"team": "blue"}, "displayName": "order 7"}
    task_id = (await client.http.post("/api/task/run", json=body)).json()["taskID"]
    await client.wait(task_id)
    task = (await client.http.get("/api/task", params={"taskID": task_id})).json()
    assert json.loads(task.pop("schema")) == json.loads(ECHO)
    assert task.pop("inputs") == {"text": "hi"}
    task.pop("timeout", None)
    assert (task["taskID"], task["displayName"], task["labels"]) == (task_id, "order 7", {"team": "blue"})
    assert (task["workflowStatus"]["status"], task["lastSequence"]) == ("succeeded", 4)
    (listed,) = (await client.http.get("/api/tasks?pageSize=1")).json()["tasks"]
    assert listed == task
    refused(await client.http.get("/api/task?taskID=nobody"), 404, "TASK_NOT_FOUND")


async def runs_batches(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A batch has a line for each run, also for one that is refused, and for each line that is wrong."""
    lines = [
        json.dumps({"schema": ECHO, "labels": {"batch": "x"}, "maxInFlight": 2}),
        '{"inputs": {"text": "a"}}',
        '{"key": "b", "inputs": {"text": "b", "n": 1.0}}',
        '{"inputs": []}',
        '{"key": "c", "inputs": {"text": 1}}',
    ]
    headers = {"Content-Type": "application/x-ndjson"}
    async with asyncio.timeout(_SECONDS):
        response = await client.http.post("/api/tasks/batch", content="\n".join(lines), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    received = [json.loads(line) for line in response.text.splitlines()]
    by_key = {each["key"]: each for each in received if "key" in each}
    assert (by_key["2"]["outputs"], by_key["b"]["outputs"]) == ({"text": "a"}, {"text": "b"})
    assert by_key["2"]["workflowStatus"]["status"] == "succeeded"
    assert by_key["c"]["error"]["code"] == "INPUTS_INVALID"
    assert by_key["c"]["error"]["errors"]
    (wrong,) = (each for each in received if "line" in each)
    assert (wrong["line"], wrong["error"]["code"]) == (4, "ARGUMENT_INVALID")
    refused(
        await client.http.post("/api/tasks/batch", content=b"{}", headers=headers), 400, "ARGUMENT_INVALID"
    )


async def follows_the_tasks(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A watch of tasks says when nothing is missed any more, and then gives every task that changes."""
    label = str(uuid.uuid4())
    path = f"/api/tasks/watch?label=follows={label}"
    async with client.http.stream("GET", path) as response, asyncio.timeout(_SECONDS):
        changes = (json.loads(each["data"]) async for each in frames(response) if "data" in each)
        assert await anext(changes) == {"type": "live"}
        task_id = await client.run(ECHO, labels={"follows": label})
        async for change in changes:
            assert (change["type"], change["removedTaskIDs"]) == ("tasks_changed", [])
            (task,) = change["tasks"]
            assert (task["taskID"], task["labels"]) == (task_id, {"follows": label})
            if task["workflowStatus"]["terminated"]:
                assert task["lastSequence"] == 4
                break


async def checks_hosts_and_origins(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """Pages of other origins, and those whose name was made to lead here, are refused; those on this machine are not."""
    for host in ("localhost", "127.0.0.1:1", "[::1]:1", "a.localhost"):
        assert (await client.http.get("/api/info", headers={"Host": host})).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "10.1.2.3"):
        refused(await client.http.get("/api/info", headers={"Host": host}), 403, "HOST_NOT_ALLOWED")
    page = {"Origin": "http://localhost:3000"}
    response = await client.http.get("/api/info", headers=page)
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    asking = {
        **page,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    response = await client.http.options("/api/task/cancel", headers=asking)
    assert response.is_success
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "PUT" in response.headers["access-control-allow-methods"]
    for origin in ("http://evil.example", "https://localhost.evil.example", "null"):
        page = {"Origin": origin}
        response = await client.http.get("/api/info", headers=page)
        assert "access-control-allow-origin" not in response.headers
        body = {"schema": ECHO, "inputs": {}}
        refused(await client.http.post("/api/task/run", json=body, headers=page), 403, "ORIGIN_NOT_ALLOWED")
        refused(
            await client.http.options("/api/task/cancel", headers={**asking, **page}),
            403,
            "ORIGIN_NOT_ALLOWED",
        )


async def refuses_large_bodies(_: Environment, __: GatewayProcess, client: GatewayClient) -> None:
    """A body beyond the limit is refused, also where its length is not known before."""

    async def endless() -> Any:
        for _ in range(70):
            yield b" " * 1024 * 1024

    response = await client.http.post("/api/task/run", content=endless(), headers=JSON_TYPE)
    refused(response, 413, "BODY_TOO_LARGE")


async def tells_that_the_server_is_away(
    environment: Environment, _: GatewayProcess, client: GatewayClient
) -> None:
    """While the server is away, a stream that is asked for is answered soon."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    environment.server.kill()
    response = await client.http.get(watch_of(task_id))
    received = refused(response, 503, "UNAVAILABLE")
    assert "127.0.0.1" not in received["message"]
    assert int(response.headers["retry-after"]) >= 1


async def stops_gracefully(environment: Environment, gateway: GatewayProcess, client: GatewayClient) -> None:
    """A gateway that is asked to stop ends its streams, and then itself; the task goes on."""
    task_id = await client.run(environment.gated("graceful"))
    await environment.gate.reached("graceful")
    async with client.http.stream("GET", watch_of(task_id)) as response, asyncio.timeout(_SECONDS):
        seen = ""
        chunks = response.aiter_text()
        while "id: 2\n" not in seen:
            seen += await anext(chunks)
        gateway.process.send_signal(signal.SIGTERM)
        async for chunk in chunks:
            seen += chunk
        assert "event: failure" not in seen
        assert await gateway.process.wait() == 0
    environment.gate.release("graceful")


async def serves_many_streams(environment: Environment, _: GatewayProcess, client: GatewayClient) -> None:
    """Each stream gets everything, also when they all begin before there is anything to tell."""
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
    tells_what_a_task_is,
    sends_a_part_of_a_watch,
    runs_batches,
    follows_the_tasks,
    checks_hosts_and_origins,
    refuses_large_bodies,
    tells_that_the_server_is_away,
    serves_many_streams,
    stops_gracefully,
)
"""What every gateway is put through with the real server."""


def refused(response: httpx2.Response, status: int, *codes: str) -> dict[str, Any]:
    """The body of an answer that must be an error with this status and one of these codes."""
    received: dict[str, Any] = response.json()
    assert response.status_code == status, received
    assert received["code"] in codes, received
    assert received["message"]
    assert received["errors"] is not None
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    return received
