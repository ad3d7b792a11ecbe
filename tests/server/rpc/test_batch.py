"""Batches of runs on one stream, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from support.fake_application import NOW, FakeApplication, record
from support.serving import refused, serving
from support.workflows import ENDLESS, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    BatchOutcome,
    BatchRun,
    TaskGetRequest,
    TaskListRequest,
    TaskResultRequest,
    TaskRunBatchRequest,
    TaskRunBatchResponse,
    TaskRunRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.journal.interface import TaskRecord
from flowgram_server.app import Server, open_server
from flowgram_server.rpc.batch_stream import batch_responses
from flowgram_server.settings.loading import load_settings

OUTPUTS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ECHO = chain(
    node("start_0", "start", outputs=OUTPUTS),
    node(
        "end_0",
        "end",
        inputs=OUTPUTS,
        inputsValues={"n": {"type": "ref", "content": ["start_0", "n"]}},
    ),
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    flags = {"listen": "127.0.0.1:0", "data": tmp_path, "code": {"workers": 1}, "access_log": False}
    async with open_server(load_settings(flags=flags)) as server:
        yield server


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield WorkflowRuntimeServiceStub(channel)


def run(key: str, **fields: Any) -> BatchRun:
    return BatchRun(key=key, request=TaskRunRequest(**fields))


def numbered(numbers: Iterable[int]) -> list[BatchRun]:
    return [run(str(number), inputs=json.dumps({"n": number}), request_id=f"r{number}") for number in numbers]


def first(schema: str = ECHO, runs: Iterable[BatchRun] = (), **fields: Any) -> TaskRunBatchRequest:
    return TaskRunBatchRequest(defaults=TaskRunRequest(schema=schema), runs=runs, **fields)


async def outcomes(stub: Any, requests: Iterable[TaskRunBatchRequest]) -> list[BatchOutcome]:
    return [outcome async for response in stub.TaskRunBatch(iter(requests)) for outcome in response.outcomes]


def reason(outcome: BatchOutcome) -> str:
    info = ErrorInfo()
    assert outcome.rejected.details[0].Unpack(info)
    return info.reason


async def test_every_run_has_its_outcome(stub: Any) -> None:
    """Over several requests; each outcome has the key of its run and is that of a task that has terminated."""
    found = await outcomes(stub, [first(runs=numbered(range(100))), first_less(numbered(range(100, 250)))])
    assert {each.key: json.loads(each.outcome.outputs)["n"] for each in found} == {
        str(n): n for n in range(250)
    }
    assert {each.outcome.status.status for each in found} == {Status.STATUS_SUCCEEDED}


def first_less(runs: Iterable[BatchRun]) -> TaskRunBatchRequest:
    return TaskRunBatchRequest(runs=runs)


async def test_an_empty_batch(stub: Any) -> None:
    """Without runs, and without any request, the stream ends with OK."""
    assert await outcomes(stub, [first()]) == []
    assert await outcomes(stub, []) == []


async def test_the_same_runs_again_are_the_same_tasks(stub: Any) -> None:
    """By their request ids; also twice in one request. Other inputs under a used id are refused, for that run only."""
    once = await outcomes(stub, [first(runs=numbered(range(5)))])
    again = await outcomes(stub, [first(runs=[*numbered(range(5)), *numbered(range(5))])])
    ids = {each.key: each.outcome.task_id for each in once}
    assert len(again) == 10
    assert all(each.outcome.task_id == ids[each.key] for each in again)
    clash = run("clash", inputs='{"n": 7}', request_id="r0")
    refusal, fine = sorted(
        await outcomes(stub, [first(runs=[clash, *numbered([9])])]), key=lambda each: each.key != "clash"
    )
    assert reason(refusal) == "REQUEST_ID_REUSED"
    assert fine.outcome.outputs == '{"n":9}'


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"inputs": '{"n": "x"}'}, "INPUTS_INVALID"),
        ({"inputs": "nonsense"}, "INPUTS_INVALID"),
        ({"schema": "{}", "inputs": '{"n": 1}'}, "SCHEMA_INVALID"),
        ({"inputs": '{"n": 1}', "request_id": "x" * 300}, "ARGUMENT_INVALID"),
        ({"inputs": '{"n": 1}', "timeout": Duration(seconds=-1)}, "ARGUMENT_INVALID"),
    ],
)
async def test_a_refused_run_does_not_end_the_stream(stub: Any, fields: dict[str, Any], wanted: str) -> None:
    """It has the status that TaskRun would have; the others run."""
    found = await outcomes(stub, [first(runs=[run("bad", **fields), *numbered([1])])])
    by_key = {each.key: each for each in found}
    assert by_key["bad"].rejected.code != 0
    assert reason(by_key["bad"]) == wanted
    assert by_key["1"].outcome.outputs == '{"n":1}'


async def test_a_run_may_say_what_differs(stub: Any) -> None:
    """Schema and name replace those of the defaults; labels are added to them."""
    defaults = TaskRunRequest(schema=ECHO, labels={"a": "1"}, display_name="all", inputs='{"n": 3}')
    other = run("own", schema=ECHO, labels={"b": "2"}, display_name="one", inputs='{"n": 4}')
    found = {
        each.key: each.outcome
        for each in await outcomes(
            stub, [TaskRunBatchRequest(defaults=defaults, runs=[run("as they are"), other])]
        )
    }
    assert found["as they are"].outputs == '{"n":3}'
    task = (await stub.TaskGet(TaskGetRequest(task_id=found["own"].task_id))).task.summary
    assert (dict(task.labels), task.display_name) == ({"a": "1", "b": "2"}, "one")


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([TaskRunBatchRequest(runs=numbered([1]))], "defaults"),
        ([TaskRunBatchRequest(defaults=TaskRunRequest(schema=ECHO, request_id="r"))], "defaults.request_id"),
        ([first(max_in_flight=-1)], "max_in_flight"),
        (
            [TaskRunBatchRequest(defaults=TaskRunRequest(schema=ECHO, timeout=Duration(seconds=-1)))],
            "defaults.timeout",
        ),
        ([first(), first()], "defaults"),
        ([first(runs=[run("x" * 257)])], "runs.key"),
    ],
)
async def test_a_malformed_batch_is_refused(
    stub: Any, requests: list[TaskRunBatchRequest], field: str
) -> None:
    """What concerns no single run ends the stream, with the field that is wrong."""
    found = await refused(stub.TaskRunBatch(iter(requests)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert [name for name, _ in found.violations] == [field]


async def test_a_failed_task_is_an_outcome(stub: Any) -> None:
    """What goes wrong while a task runs is data."""
    timed = TaskRunRequest(schema=ENDLESS, timeout=Duration(nanos=200_000_000))
    (found,) = await outcomes(stub, [TaskRunBatchRequest(defaults=timed, runs=[run("slow")])])
    assert found.outcome.status.status == Status.STATUS_FAILED


async def test_runs_of_many_messages_are_accepted_together() -> None:
    """Those that come while others are accepted go into one write, however small their messages are."""
    released, began, groups = asyncio.Event(), asyncio.Event(), []

    class Slow(FakeApplication):
        async def run_many(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
            groups.append(len(requests))
            began.set()
            await released.wait()
            return await super().run_many(requests)

    application = Slow()
    application.records["t1"] = record(status=3, end_time=NOW, result=b"")

    async def requests() -> AsyncIterator[TaskRunBatchRequest]:
        yield first(runs=numbered([0]))
        await began.wait()
        for number in range(1, 31):
            yield first_less(numbered([number]))
        released.set()

    responses = batch_responses(requests(), application, "default", lambda _: b"")
    answers = [TaskRunBatchResponse.FromString(each) async for each in responses]
    assert groups == [1, 30]
    assert sum(len(answer.outcomes) for answer in answers) == 31


async def test_a_slow_reader_slows_down_the_sender() -> None:
    """While outcomes are not taken no more requests are read than runs may be in flight; and then all are."""
    application = FakeApplication()
    application.records["t1"] = record(status=3, end_time=NOW, result=b"")
    read = 0

    async def requests() -> AsyncIterator[TaskRunBatchRequest]:
        nonlocal read
        yield first(max_in_flight=4)
        for read in range(1, 101):
            yield TaskRunBatchRequest(runs=[run(str(read))])

    responses = batch_responses(requests(), application, "default", lambda _: b"")
    taken = decoded(await anext(responses))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert read <= len(taken) + 4 + 1
    async for response in responses:
        taken += decoded(response)
    assert sorted(taken, key=int) == [str(number) for number in range(1, 101)]


def decoded(response: bytes) -> list[str]:
    return [outcome.key for outcome in TaskRunBatchResponse.FromString(response).outcomes]


async def test_a_broken_stream_leaves_the_tasks_running(stub: Any) -> None:
    """They are found in the list, and go on."""
    defaults = TaskRunRequest(schema=ENDLESS, labels={"batch": "b"})
    call = stub.TaskRunBatch(
        iter([TaskRunBatchRequest(defaults=defaults, runs=[run("a", inputs='{"n": 1}')])])
    )
    listing = TaskListRequest(labels={"batch": "b"})
    tasks: list[Any] = []
    while not tasks:
        tasks = list((await stub.TaskList(listing)).tasks)
    call.cancel()
    result = await stub.TaskResult(TaskResultRequest(task_id=tasks[0].task_id))
    assert not result.status.terminated


async def test_a_drain_ends_the_stream() -> None:
    """With UNAVAILABLE, so that the client begins again with the runs that have no outcome."""
    async with serving() as service:
        call = service.stub.TaskRunBatch(iter([first(runs=[run("a")])]))
        await service.application.waiting.wait()
        service.application.raises = ShuttingDown()
        service.application.ended.set()
        found = await refused(call)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
