"""Quotas of a server, as clients by gRPC and REST meet them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from support.both_ports import serving, settings_for
from support.serving import refusal
from support.workflows import ECHO

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_client import AsyncClient, ResourceExhaustedError, RetryPolicy
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings

RUN = service.TaskRunRequest(schema=ECHO, inputs='{"text": "a"}')


@pytest.fixture
async def ports(tmp_path: Path, quota: dict[str, Any]) -> AsyncIterator[Any]:
    async with serving(settings_for(tmp_path, quotas={"default": quota})) as opened:
        yield opened


def details(error: grpc.aio.AioRpcError) -> tuple[QuotaFailure, RetryInfo]:
    """What a status says of a quota."""
    metadata = dict(iter(error.trailing_metadata() or ()))
    failure, retry = QuotaFailure(), RetryInfo()
    for detail in Status.FromString(metadata["grpc-status-details-bin"]).details:
        detail.Unpack(failure)
        detail.Unpack(retry)
    return failure, retry


@pytest.mark.parametrize("quota", [{"max_starts_per_second": 0.01}])
async def test_a_refusal_says_which_limit_and_when_to_come_back(ports: Any) -> None:
    """By gRPC with QuotaFailure and RetryInfo, by REST with 429 and Retry-After, in the client with `retry_after`."""
    async with grpc.aio.insecure_channel(ports.server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        await stub.TaskRun(RUN)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.TaskRun(RUN)
    refused = refusal(caught.value)
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refused.metadata == {"namespace": "default", "limit": "max_starts_per_second"}
    failure, retry = details(caught.value)
    (violation,) = failure.violations
    assert violation.subject == "namespace:default"
    assert violation.description == refused.text
    assert "the limit max_starts_per_second = 0.01 is reached" in refused.text
    assert 0 < retry.retry_delay.seconds <= 100
    async with httpx2.AsyncClient(base_url=f"http://{ports.http}", trust_env=False) as http:
        answer = await http.post("/api/task/run", json={"schema": ECHO, "inputs": {"text": "a"}})
    assert (answer.status_code, answer.json()["code"]) == (429, "QUOTA_EXCEEDED")
    assert 0 < int(answer.headers["Retry-After"]) <= 100
    async with AsyncClient(ports.server.address, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(ResourceExhaustedError) as error:
            await client.run(ECHO, {"text": "a"})
    assert (error.value.reason, error.value.retry_after is not None) == ("QUOTA_EXCEEDED", True)


@pytest.mark.parametrize("quota", [{"max_tasks": 0}, {"max_starts_per_second": 0}, {"max_bytes": 0}])
async def test_none_at_all(ports: Any) -> None:
    """A quota of 0 refuses every task, tells no time to try again, and leaves the rest as it is."""
    async with grpc.aio.insecure_channel(ports.server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.TaskRun(RUN)
        assert refusal(caught.value).reason == "QUOTA_EXCEEDED"
        failure, retry = details(caught.value)
        assert len(failure.violations) == 1
        assert not retry.HasField("retry_delay")
        assert not (await stub.TaskList(service.TaskListRequest())).tasks


@pytest.mark.parametrize("quota", [{"max_watches": 1}])
async def test_watches_are_counted(ports: Any) -> None:
    """One that ends makes room; a task that is run and waited for is accepted all the same."""
    async with grpc.aio.insecure_channel(ports.server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        first = stub.WatchTasks(service.WatchTasksRequest())
        await first.read()
        second = stub.WatchTasks(service.WatchTasksRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await second.read()
        assert refusal(caught.value).metadata["limit"] == "max_watches"
        request = service.TaskRunRequest(schema=ECHO, inputs='{"text": "a"}', wait=True)
        assert (await stub.TaskRun(request)).task_id
        first.cancel()
        while True:  # until the server has noticed
            third = stub.WatchTasks(service.WatchTasksRequest())
            try:
                await third.read()
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() is StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - the other errors end the test
        third.cancel()


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"a b": {}}, r"quotas\.a b\..*must be 1 to 64 letters"),
        ({"acme": {"max_tasks": -1}}, r"quotas\.acme\.max_tasks: .*greater than or equal to 0"),
        ({"acme": {"max_starts_per_second": float("inf")}}, r"quotas\.acme\.max_starts_per_second"),
        ({"acme": {"max_task": 1}}, r"quotas\.acme\.max_task: there is no such setting"),
        ({"acme": {"max_calls": 1.5}}, r"quotas\.acme\.max_calls"),
    ],
)
def test_quotas_that_make_no_sense(quotas: dict[str, Any], expected: str) -> None:
    """The server does not start, and says which one and why."""
    with pytest.raises(InvalidSettings, match=expected):
        load_settings(flags={"quotas": quotas})


def test_bytes_are_not_counted_on_temporal() -> None:
    """So a quota of them is refused, and not passed over."""
    flags = {"runtime": "temporal", "quotas": {"acme": {"max_bytes": 1}}}
    with pytest.raises(InvalidSettings, match=r"quotas\.acme\.max_bytes: what tasks take .* is not counted"):
        load_settings(flags=flags)


def test_quotas_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, or limit by limit."""
    monkeypatch.setenv("FLOWGRAM_QUOTAS", '{"team-A": {"max_tasks": 7}}')
    monkeypatch.setenv("FLOWGRAM_QUOTAS__default__max_watches", "3")
    found = load_settings().runtime_settings().quotas
    assert (found["team-A"].max_tasks, found["default"].max_watches) == (7, 3)
