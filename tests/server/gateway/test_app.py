"""The application around the endpoints: CORS, errors of every kind, OpenAPI."""

import asyncio
from typing import Any

import grpc
import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from structlog.testing import capture_logs
from support.gateway import GatewayUnderTest, gateway_to
from support.scripted_server import HANG, Refusal, ScriptedServer
from support.workflows import ECHO

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoResponse
from flowgram_server.gateway.serve import RETRY
from flowgram_server.settings.gateway import GatewaySettings

JSON_TYPE = {"Content-Type": "application/json"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
JUDGED_BY_THE_SERVICE = {"POST /api/task/run", "GET /api/tasks"}
"""What these take cannot be described by a schema alone: a workflow, a page token."""


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:5173",
    ],
)
async def test_pages_of_this_machine_may_use_it(before_scripted: GatewayUnderTest, origin: str) -> None:
    """By default; errors can be read by them too."""
    answer = await before_scripted.http.options("/api/task/run", headers={"Origin": origin, **PREFLIGHT})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    for path in ("/api/nothing", "/api/task/report"):
        answer = await before_scripted.http.get(path, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://example.com:3000",
        "null",
    ],
)
async def test_pages_from_elsewhere_may_not(before_scripted: GatewayUnderTest, origin: str) -> None:
    """Neither by asking first, nor without."""
    answer = await before_scripted.http.options("/api/task/run", headers={"Origin": origin, **PREFLIGHT})
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert "access-control-allow-origin" not in answer.headers
    headers = {"Origin": origin, **JSON_TYPE}
    answer = await before_scripted.http.post("/api/task/run", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_that_asks_for_too_much(before_scripted: GatewayUnderTest) -> None:
    """A method that nothing here has is refused in the shape of every error, as the page may read."""
    headers = {"Origin": "http://localhost", "Access-Control-Request-Method": "PATCH"}
    answer = await before_scripted.http.options("/api/task/run", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.headers["access-control-allow-origin"] == "http://localhost"
    assert answer.json() == {"code": "ARGUMENT_INVALID", "message": "Disallowed CORS method", "errors": []}


async def test_origins_by_name(scripted: ScriptedServer) -> None:
    """Those that the settings name, and no others."""
    scripted.on("ServerInfo", ServerInfoResponse())
    origins = GatewaySettings(cors_origins=frozenset({"https://editor.example.com"}))
    async with gateway_to(scripted.target, origins) as gateway:
        for origin, allowed in (("https://editor.example.com", True), ("http://localhost:3000", False)):
            answer = await gateway.http.get("/api/info", headers={"Origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed
    async with gateway_to(scripted.target, GatewaySettings(cors_origins=frozenset({"*"}))) as gateway:
        answer = await gateway.http.get("/api/info", headers={"Origin": "https://any.example"})
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_body_that_is_too_large(scripted: ScriptedServer) -> None:
    """413 by the gateway's own limit."""
    async with gateway_to(scripted.target, GatewaySettings(max_body_bytes=100)) as gateway:
        answer = await gateway.http.post("/api/task/run", content=b"x" * 101, headers=JSON_TYPE)
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "TOO_MANY_TASKS", retry_after=1.5), 429, "2"),
        (Refusal(grpc.StatusCode.UNAVAILABLE, "closing", "SHUTTING_DOWN"), 503, "1"),
        (Refusal(grpc.StatusCode.INTERNAL, "internal error", "INTERNAL"), 500, None),
        (Refusal(grpc.StatusCode.UNIMPLEMENTED, "?"), 502, None),
    ],
)
async def test_refusals_of_the_service(
    scripted: ScriptedServer,
    before_scripted: GatewayUnderTest,
    refusal: Refusal,
    status: int,
    retry_after: str | None,
) -> None:
    """A fitting status, the service's reason, and when to try again."""
    scripted.on("TaskRun", refusal)
    answer = await before_scripted.http.post("/api/task/run", json={"schema": ECHO, "inputs": {}})
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert answer.json()["code"] == (refusal.reason or refusal.code.name)


async def test_a_server_that_is_away(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """503; a gateway that retries for longer is answered when it is back."""
    await scripted.stop()
    answer = await before_scripted.http.get("/api/info")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["message"] == "the runtime cannot be reached at the moment"
    scripted.on("ServerInfo", ServerInfoResponse(name="back"))
    await scripted.start()
    async with gateway_to(scripted.target, retry=RETRY) as gateway:
        assert (await gateway.http.get("/api/info")).json()["name"] == "back"


async def test_a_defect_is_reported_without_its_insides(
    scripted: ScriptedServer, before_scripted: GatewayUnderTest
) -> None:
    """An answer that cannot be made is 500, in JSON, and can be read by pages."""
    scripted.on("ServerInfo", ServerInfoResponse(time={"seconds": 2**62}))
    with capture_logs() as logs:
        answer = await before_scripted.http.get("/api/info", headers={"Origin": "http://localhost"})
    assert [(line["event"], line["path"]) for line in logs] == [("internal error", "/api/info")]
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, "http://localhost")
    assert answer.json() == {
        "code": "INTERNAL",
        "message": "internal error: the gateway's log has more",
        "errors": [],
    }


async def test_a_client_that_leaves_in_the_middle_of_its_body(before_scripted: GatewayUnderTest) -> None:
    """Nobody is there to answer, and nothing is wrong: the gateway goes on."""
    host, _, port = before_scripted.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "POST /api/task/run HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await before_scripted.http.get("/api/nothing")).status_code == 404


async def test_a_request_under_way_when_the_gateway_stops(scripted: ScriptedServer) -> None:
    """It gets a moment; then the gateway ends without it."""
    scripted.on("ServerInfo", HANG)
    async with gateway_to(scripted.target) as gateway:
        asking = asyncio.create_task(gateway.http.get("/api/info"))
        await scripted.servicer.hanging.wait()
    with pytest.raises(httpx2.RequestError):
        await asking


async def test_documentation(gateway: GatewayUnderTest) -> None:
    """The API is described for programs, endpoint by endpoint."""
    described = (await gateway.http.get("/api/openapi.json")).json()
    assert set(described["paths"]) == {
        "/api/task",
        "/api/tasks/batch",
        "/api/tasks/watch",
        "/api/info",
        "/api/session",
        "/api/task/cancel",
        "/api/task/report",
        "/api/task/result",
        "/api/task/run",
        "/api/task/validate",
        "/api/task/watch",
        "/api/tasks",
    }
    assert "422" not in str(described)
    watch = described["paths"]["/api/task/watch"]["get"]["responses"]
    assert [list(watch[status]["content"]) for status in ("200", "404")] == [
        ["text/event-stream", "application/x-protobuf"],
        ["application/json"],
    ]


def probe(operation: Any, mode: Any) -> None:
    """Sends requests to an operation, valid or invalid ones, and checks the answers against its description."""
    excluded = [positive_data_acceptance] if operation.label in JUDGED_BY_THE_SERVICE else []

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=excluded)

    check()


STREAMS = {"GET /api/tasks/watch", "POST /api/tasks/batch"}
"""The first one never ends, and the other takes lines: both have tests of their own."""

SESSIONS = {"GET /api/session", "POST /api/session", "DELETE /api/session"}
"""A gateway before a server that asks for no credentials refuses them all, whatever is sent; so they have tests, too."""


def probe_all(url: str) -> set[str]:
    """Probes every operation of an API but the streams; their names."""
    described = (
        found.ok() for found in schemathesis.openapi.from_url(f"{url}/api/openapi.json").get_all_operations()
    )
    operations = [operation for operation in described if operation.label not in STREAMS | SESSIONS]
    for operation in operations:
        probe(operation, schemathesis.GenerationMode.POSITIVE)
        if operation.label != "GET /api/info":  # nothing about it can be wrong
            probe(operation, schemathesis.GenerationMode.NEGATIVE)
    return {operation.label for operation in operations}


async def test_every_answer_is_as_described(gateway: GatewayUnderTest) -> None:
    """Whatever is sent: no 5xx, no invalid request accepted, and each answer has the shape that OpenAPI tells."""
    await gateway.run(ECHO)
    probed = await asyncio.to_thread(probe_all, gateway.url)
    assert len(probed) == 9
