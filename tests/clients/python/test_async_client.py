"""The asyncio client against a real grpc.aio server that follows a script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from support.cancelling import while_cancelled
from support.scripted_server import HANG, Refusal, history, watched

import flowgram_client as fc
from flowgram.runtime.v1 import report_pb2, runtime_service_pb2

Code = grpc.StatusCode
SUCCEEDED = {"status": report_pb2.STATUS_SUCCEEDED, "terminated": True}


@pytest.fixture
async def client(server: Any, naps: Any) -> AsyncIterator[fc.AsyncClient]:
    async with fc.AsyncClient(server.target, sleep=naps, metadata=[("tenant", "blue")]) as client:
        yield client


async def test_run_sends_what_it_was_given(server: Any, client: fc.AsyncClient) -> None:
    """Schema, inputs, time limit, labels and metadata arrive; integers keep all their digits."""
    server.on("TaskRun", runtime_service_pb2.TaskRunResponse(task_id="t1"))
    task_id = await client.run(
        {"nodes": []},
        {"n": 2**70, "s": "…"},
        task_timeout=timedelta(minutes=1),
        labels={"team": "x"},
        timeout=5,
    )
    assert task_id == "t1"
    (request,) = server.requests("TaskRun")
    assert request.schema == '{"nodes":[]}'
    assert request.inputs == f'{{"n":{2**70},"s":"…"}}'
    assert request.timeout.ToTimedelta() == timedelta(minutes=1)
    assert dict(request.labels) == {"team": "x"}
    assert request.request_id
    assert not request.wait
    assert server.servicer.metadata[0]["tenant"] == "blue"
    assert 0 < server.servicer.time_remaining[0] < 6


async def test_a_token_that_changes(server: Any, naps: Any) -> None:
    """Every attempt at a call has the token of its moment, and so does a watch that connects again."""
    tokens = iter(["one", "two", "three", "four"])
    server.on("TaskRun", Refusal(Code.UNAVAILABLE), runtime_service_pb2.TaskRunResponse(task_id="t1"))
    log = history(4)
    server.on("WatchTask", [watched(*log[:2]), Refusal(Code.UNAVAILABLE)], [watched(*log[2:])])
    async with fc.AsyncClient(server.target, sleep=naps, token=lambda: next(tokens)) as client:
        await client.run({})
        async for _ in client.watch("t1"):
            pass
    sent = [metadata["authorization"] for metadata in server.servicer.metadata]
    assert sent == ["Bearer one", "Bearer two", "Bearer three", "Bearer four"]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", fc.UnauthenticatedError),
        (Code.PERMISSION_DENIED, "PERMISSION_DENIED", fc.PermissionDeniedError),
    ],
)
async def test_calls_that_are_not_allowed(
    server: Any, client: fc.AsyncClient, code: Code, reason: str, kind: type[fc.RequestError]
) -> None:
    """They have errors of their own, and are not tried again."""
    server.on("TaskResult", Refusal(code, reason=reason))
    with pytest.raises(kind) as caught:
        await client.result("t1")
    assert caught.value.reason == reason
    assert len(server.servicer.metadata) == 1


async def test_run_survives_an_unavailable_server(server: Any, client: fc.AsyncClient, naps: Any) -> None:
    """A retry carries the request id of the first attempt, after at least the wait that the server asked for."""
    away = Refusal(Code.UNAVAILABLE, reason="SHUTTING_DOWN", retry_after=3.0)
    server.on("TaskRun", away, runtime_service_pb2.TaskRunResponse(task_id="t1"))
    assert await client.run({}, request_id="mine") == "t1"
    assert [request.request_id for request in server.requests("TaskRun")] == ["mine", "mine"]
    assert naps.taken == [3.0]


async def test_invalid_workflow(server: Any, client: fc.AsyncClient) -> None:
    """All problems come with the exception."""
    server.on(
        "TaskRun", Refusal(Code.INVALID_ARGUMENT, "no", "SCHEMA_INVALID", [("schema", "a"), ("b", "c")])
    )
    with pytest.raises(fc.InvalidWorkflowError) as caught:
        await client.run({})
    assert caught.value.violations == (fc.Violation("schema", "a"), fc.Violation("b", "c"))


async def test_nan_never_leaves_the_process(server: Any, client: fc.AsyncClient) -> None:
    """Inputs that are not JSON are refused before anything is sent."""
    with pytest.raises(fc.InvalidValueError, match=r"inputs\.x: nan"):
        await client.run({}, {"x": float("nan")})
    assert server.requests("TaskRun") == []


async def test_run_and_wait(server: Any, client: fc.AsyncClient) -> None:
    """One call runs a workflow; its result has the outputs as a dict."""
    server.on(
        "TaskRun",
        runtime_service_pb2.TaskRunResponse(
            task_id="t1", status=SUCCEEDED, outputs='{"n": 12345678901234567890}'
        ),
    )
    result = await client.run_and_wait({}, {})
    assert result.outputs == {"n": 12345678901234567890}
    assert server.requests("TaskRun")[0].wait


async def test_a_failed_task_raises_where_its_outputs_are_asked_for(
    server: Any, client: fc.AsyncClient
) -> None:
    """Failure is data until somebody wants the outputs."""
    errors = [{"text": "no model", "type": 5, "node_id": "llm_0"}, {"text": "x"}]
    failed = runtime_service_pb2.TaskRunResponse(
        task_id="t1", status={"status": report_pb2.STATUS_FAILED, "terminated": True}, errors=errors
    )
    server.on("TaskRun", failed)
    result = await client.run_and_wait({}, {})
    assert result.status is fc.Status.FAILED
    assert result.errors[0].node_id == "llm_0"
    assert result.errors[0].type is fc.MessageType.ERROR
    with pytest.raises(fc.TaskFailedError, match="task t1 failed: no model; x") as caught:
        _ = result.outputs
    assert caught.value.errors == result.errors


async def test_a_canceled_task_has_no_outputs(server: Any, client: fc.AsyncClient) -> None:
    """Canceled is an exception of its own."""
    server.on(
        "TaskResult", runtime_service_pb2.TaskResultResponse(status={"status": report_pb2.STATUS_CANCELED})
    )
    with pytest.raises(fc.TaskCanceledError):
        _ = (await client.result("t1", wait=True)).outputs


async def test_watch_gives_typed_events(server: Any, client: fc.AsyncClient) -> None:
    """Each kind of event comes as its own class, with dicts, UTC times and timedeltas."""
    node = runtime_service_pb2.WatchTaskResponse()
    event = node.events.add(sequence=2)
    event.time.FromDatetime(datetime(2024, 5, 6, 7, 8, 9, 10, UTC))
    event.node_status_changed.node_id = "llm_0"
    event.node_status_changed.status.status = report_pb2.STATUS_SUCCEEDED
    event.node_status_changed.status.time_cost.FromMilliseconds(1500)
    event.node_status_changed.status.start_time.FromSeconds(1)
    event.node_status_changed.snapshot.id = "loop_0[3]/llm_0"
    event.node_status_changed.snapshot.inputs = '{"prompt": "hi"}'
    event.node_status_changed.snapshot.iterations.add(loop_node_id="loop_0", index=3)
    delta = node.events.add()
    delta.output_delta.text = "he"
    log = history(4)
    server.on("WatchTask", [watched(log[0]), node, watched(log[2], log[3])])
    started, ran, said_more, logged, ended = [each async for each in client.watch("t1", deltas=True)]
    assert isinstance(started, fc.TaskStatusChanged)
    assert started.status is fc.Status.PROCESSING
    assert isinstance(ran, fc.NodeStatusChanged)
    assert ran.snapshot.inputs == {"prompt": "hi"}
    assert ran.snapshot.outputs is None
    assert ran.snapshot.iterations == (fc.Iteration("loop_0", 3),)
    assert ran.time == datetime(2024, 5, 6, 7, 8, 9, 10, UTC)
    assert ran.time_cost == timedelta(seconds=1.5)
    assert ran.start_time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert ran.end_time is None
    assert isinstance(said_more, fc.OutputDelta)
    assert (said_more.text, said_more.sequence) == ("he", 0)
    assert isinstance(logged, fc.MessageLogged)
    assert logged.message.text == "step 3"
    assert isinstance(ended, fc.TaskStatusChanged)
    assert ended.terminated
    assert ended.outputs == {"a": 1}
    assert server.requests("WatchTask")[0].include_deltas


async def test_watch_goes_on_after_the_last_event_seen(server: Any, client: fc.AsyncClient) -> None:
    """A stream cut in the middle is opened again with the last sequence; no gap, no repeat."""
    log = history(6)
    server.on(
        "WatchTask",
        [watched(*log[:2]), Refusal(Code.UNAVAILABLE)],
        [Refusal(Code.UNAVAILABLE)],
        [watched(*log[1:4]), Refusal(Code.UNAVAILABLE)],
        [watched(*log[4:])],
    )
    events = [event async for event in client.watch("t1")]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert [request.after_sequence for request in server.requests("WatchTask")] == [0, 2, 2, 4]


async def test_watch_survives_a_restart_of_the_server(server: Any) -> None:
    """The server goes away in the middle of a watch, and one on the same port takes over."""
    log = history(4)
    server.on("WatchTask", [watched(*log[:2]), HANG], [watched(*log[2:])])
    async with fc.AsyncClient(server.target) as client:
        events = client.watch("t1")
        seen = [await anext(events), await anext(events)]
        await server.restart()
        seen += [event async for event in events]
    assert [event.sequence for event in seen] == [1, 2, 3, 4]
    assert [request.after_sequence for request in server.requests("WatchTask")][-1] == 2


async def test_watch_raises_what_cannot_be_mended(server: Any, client: fc.AsyncClient) -> None:
    """An unknown task and a sequence beyond the end are errors at once."""
    server.on("WatchTask", [Refusal(Code.NOT_FOUND, reason="TASK_NOT_FOUND")])
    with pytest.raises(fc.TaskNotFoundError):
        await anext(client.watch("t1"))
    assert len(server.requests("WatchTask")) == 1


async def test_a_silent_server_is_left(server: Any, client: fc.AsyncClient) -> None:
    """Without a heartbeat for too long, the watch opens a new stream."""
    log = history(3)
    server.on("WatchTask", [watched(log[0]), HANG], [watched(*log[1:])])
    events = [event async for event in client.watch("t1", heartbeat=0.02)]
    assert [event.sequence for event in events] == [1, 2, 3]
    await server.servicer.left.wait()


async def test_a_silent_server_is_left_also_while_the_task_is_cancelled(
    server: Any, client: fc.AsyncClient
) -> None:
    """In what it does before it ends, a watch works as ever."""
    log = history(3)
    server.on("WatchTask", [watched(log[0]), HANG], [watched(*log[1:])])

    async def watch() -> list[int]:
        return [event.sequence async for event in client.watch("t1", heartbeat=0.02)]

    assert await while_cancelled(watch) == [1, 2, 3]


async def test_leaving_a_watch_ends_its_call(server: Any, client: fc.AsyncClient) -> None:
    """The server learns that a watcher has gone."""
    server.on("WatchTask", [watched(history(2)[0]), HANG])
    async with contextlib.aclosing(client.watch("t1")) as events:
        await anext(events)
    await server.servicer.left.wait()


async def test_cancellation_passes_through(server: Any, client: fc.AsyncClient) -> None:
    """A cancelled task gets its CancelledError, and the server learns of it."""
    server.on("WatchTask", [HANG])
    server.on("TaskResult", HANG)
    for waiting in (anext(client.watch("t1")), client.result("t1", wait=True)):
        server.servicer.hanging.clear()
        server.servicer.left.clear()
        task = asyncio.ensure_future(waiting)
        await server.servicer.hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.servicer.left.wait()


async def test_closing_the_client_ends_its_calls(server: Any) -> None:
    """Calls under way end with an exception of this package, not with a cancellation nobody asked for."""
    server.on("WatchTask", [HANG])
    server.on("TaskResult", HANG)
    for method in ("watch", "result"):
        client = fc.AsyncClient(server.target)
        server.servicer.hanging.clear()
        waiting = anext(client.watch("t1")) if method == "watch" else client.result("t1", wait=True)
        task = asyncio.ensure_future(waiting)
        await server.servicer.hanging.wait()
        await client.close()
        with pytest.raises(fc.CallCanceledError):
            await task


@pytest.mark.parametrize("use", [lambda client: client.info(), lambda client: anext(client.watch("t1"))])
async def test_a_closed_client_makes_no_calls(
    server: Any, use: Callable[[fc.AsyncClient], Awaitable[object]]
) -> None:
    """A call after `close` ends with CallCanceledError, and not with an error of gRPC's own."""
    client = fc.AsyncClient(server.target)
    await client.close()
    with pytest.raises(fc.CallCanceledError, match="the client was closed"):
        await use(client)


async def test_the_deadline_is_the_callers(server: Any, client: fc.AsyncClient) -> None:
    """A call that is not answered in time raises DeadlineExceededError."""
    server.on("TaskReport", HANG)
    with pytest.raises(fc.DeadlineExceededError):
        await client.report("t1", timeout=timedelta(milliseconds=50))


async def test_no_server(naps: Any) -> None:
    """Where nothing listens, UnavailableError is raised once the policy gives up."""
    async with fc.AsyncClient("127.0.0.1:1", sleep=naps, retry=fc.RetryPolicy(attempts=3)) as client:
        with pytest.raises(fc.UnavailableError):
            await client.info()
    assert len(naps.taken) == 2


async def test_report(server: Any, client: fc.AsyncClient) -> None:
    """A report comes as dataclasses: nodes by id in their order, JSON as dicts."""
    report = report_pb2.Report(
        task_id="t1",
        inputs='{"q": 1}',
        status={"status": report_pb2.STATUS_PROCESSING},
        nodes=[
            {
                "node_id": "b",
                "status": SUCCEEDED,
                "snapshots": [{"id": "b", "node_id": "b", "branch": "if_1", "data": "{}"}],
            },
            {"node_id": "a", "status": {"status": report_pb2.STATUS_PROCESSING}},
        ],
        messages=[{"text": "hello", "type": report_pb2.Message.TYPE_INFO}],
        last_sequence=9,
    )
    server.on("TaskReport", runtime_service_pb2.TaskReportResponse(report=report))
    received = await client.report("t1", view=fc.View.BASIC)
    assert list(received.nodes) == ["b", "a"]
    assert received.nodes["b"].snapshots[0].branch == "if_1"
    assert received.nodes["b"].snapshots[0].data == {}
    assert received.nodes["b"].terminated
    assert (received.inputs, received.outputs, received.last_sequence) == ({"q": 1}, None, 9)
    assert received.messages[0].type is fc.MessageType.INFO
    assert server.requests("TaskReport")[0].view == runtime_service_pb2.VIEW_BASIC


async def test_cancel_validate_and_info(server: Any, client: fc.AsyncClient) -> None:
    """The small calls translate their requests and answers."""
    server.on("TaskCancel", runtime_service_pb2.TaskCancelResponse(success=True))
    assert await client.cancel("t1", reason="enough") is True
    assert server.requests("TaskCancel")[0].reason == "enough"
    server.on(
        "TaskValidate",
        runtime_service_pb2.TaskValidateResponse(errors=["a", "b"]),
        runtime_service_pb2.TaskValidateResponse(valid=True, warnings=[{"field": "schema", "text": "odd"}]),
    )
    found = await client.validate({})
    assert (found.valid, [str(each) for each in found.violations]) == (False, ["a", "b"])
    found = await client.validate("{}", {})
    assert (found.valid, found.violations, found.warnings) == (True, (), (fc.Violation("schema", "odd"),))
    server.on("ServerInfo", runtime_service_pb2.ServerInfoResponse(name="n", version="1", node_types=["llm"]))
    info = await client.info()
    assert (info.name, info.version, info.node_types, info.time) == ("n", "1", ("llm",), None)


async def test_list_pages_as_it_goes(server: Any, client: fc.AsyncClient) -> None:
    """Filters go with every page; tasks come as one sequence."""
    server.on(
        "TaskList",
        runtime_service_pb2.TaskListResponse(
            tasks=[{"task_id": "b", "labels": {"k": "v"}}], next_page_token="x"
        ),
        runtime_service_pb2.TaskListResponse(tasks=[{"task_id": "a", "status": SUCCEEDED}]),
    )
    tasks = [
        t async for t in client.list(statuses=[fc.Status.FAILED, fc.Status.SUCCEEDED], labels={"k": "v"})
    ]
    assert [task.task_id for task in tasks] == ["b", "a"]
    assert tasks[0].labels == {"k": "v"}
    assert tasks[1].status is fc.Status.SUCCEEDED
    first, second = server.requests("TaskList")
    assert (first.page_token, second.page_token) == ("", "x")
    assert list(second.statuses) == [report_pb2.STATUS_FAILED, report_pb2.STATUS_SUCCEEDED]


async def test_a_large_report_arrives(server: Any, client: fc.AsyncClient) -> None:
    """GRPC's own limit of 4 MB on what a client receives does not hold here."""
    text = '{"text":"' + "x" * (6 * 1024 * 1024) + '"}'
    server.on("TaskReport", runtime_service_pb2.TaskReportResponse(report={"task_id": "t1", "outputs": text}))
    report = await client.report("t1")
    assert report.outputs is not None
    assert len(report.outputs["text"]) == 6 * 1024 * 1024


async def test_a_channel_of_the_callers_stays_open(server: Any) -> None:
    """A client that was given a channel does not close it."""
    server.on("ServerInfo", runtime_service_pb2.ServerInfoResponse(name="n"))
    async with grpc.aio.insecure_channel(server.target) as channel:
        async with fc.AsyncClient(channel=channel) as client:
            await client.info()
        async with fc.AsyncClient(channel=channel) as client:
            assert (await client.info()).name == "n"
