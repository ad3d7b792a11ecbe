"""Arguments: what each method of either client is given reaches the server, in the field that it is for."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support.scripted_server import ScriptedServer, history, watched

import flowgram_client as fc
from flowgram.runtime.v1 import report_pb2, runtime_service_pb2

_DEADLINE = 40.0
"""Seconds; the clients' own is 30."""
_SUCCEEDED = {"status": report_pb2.STATUS_SUCCEEDED, "terminated": True}
_RUN = {
    "request_id": "r1",
    "task_timeout": 7,
    "labels": {"tenant": "blue"},
    "display_name": "Triage",
    "timeout": _DEADLINE,
}
_RUN_REQUEST = {
    "schema": '{"nodes":[]}',
    "inputs": '{"n":1}',
    "request_id": "r1",
    "timeout": {"seconds": 7},
    "labels": {"tenant": "blue"},
    "display_name": "Triage",
}

Call = Callable[[Any], Any]

CALLS: dict[str, tuple[str, Call, dict[str, Any], Any]] = {
    # method of the clients: method of the contract, the call, the request, the response
    "run": (
        "TaskRun",
        lambda client: client.run({"nodes": []}, {"n": 1}, **_RUN),
        _RUN_REQUEST,
        runtime_service_pb2.TaskRunResponse(task_id="t1"),
    ),
    "run_and_wait": (
        "TaskRun",
        lambda client: client.run_and_wait({"nodes": []}, {"n": 1}, **_RUN),
        {**_RUN_REQUEST, "wait": True},
        runtime_service_pb2.TaskRunResponse(task_id="t1", status=_SUCCEEDED, outputs="{}"),
    ),
    "result": (
        "TaskResult",
        lambda client: client.result("t1", wait=True, timeout=_DEADLINE),
        {"task_id": "t1", "wait": True},
        runtime_service_pb2.TaskResultResponse(status=_SUCCEEDED, outputs="{}"),
    ),
    "get": (
        "TaskGet",
        lambda client: client.get("t1", timeout=_DEADLINE),
        {"task_id": "t1"},
        runtime_service_pb2.TaskGetResponse(
            task={"summary": {"task_id": "t1"}, "schema": "{}", "inputs": "{}"}
        ),
    ),
    "report": (
        "TaskReport",
        lambda client: client.report("t1", view=fc.View.BASIC, timeout=_DEADLINE),
        {"task_id": "t1", "view": runtime_service_pb2.VIEW_BASIC},
        runtime_service_pb2.TaskReportResponse(report={"task_id": "t1"}),
    ),
    "cancel": (
        "TaskCancel",
        lambda client: client.cancel("t1", reason="enough", timeout=_DEADLINE),
        {"task_id": "t1", "reason": "enough"},
        runtime_service_pb2.TaskCancelResponse(success=True),
    ),
    "validate": (
        "TaskValidate",
        lambda client: client.validate({"nodes": []}, {"n": 1}, timeout=_DEADLINE),
        {"schema": '{"nodes":[]}', "inputs": '{"n":1}'},
        runtime_service_pb2.TaskValidateResponse(valid=True),
    ),
    "list": (
        "TaskList",
        lambda client: client.list(
            statuses=[fc.Status.FAILED], labels={"tenant": "blue"}, page_size=7, timeout=_DEADLINE
        ),
        {"statuses": [report_pb2.STATUS_FAILED], "labels": {"tenant": "blue"}, "page_size": 7},
        runtime_service_pb2.TaskListResponse(),
    ),
    "info": (
        "ServerInfo",
        lambda client: client.info(timeout=_DEADLINE),
        {},
        runtime_service_pb2.ServerInfoResponse(name="n"),
    ),
}

STREAMS: dict[str, tuple[str, Call, dict[str, Any], Any]] = {
    "watch": (
        "WatchTask",
        lambda client: client.watch("t1", after_sequence=2, view=fc.View.BASIC, deltas=True, heartbeat=5),
        {
            "task_id": "t1",
            "after_sequence": 2,
            "view": runtime_service_pb2.VIEW_BASIC,
            "include_deltas": True,
            "heartbeat": {"seconds": 5},
        },
        [watched(*history(4)[2:])],
    ),
}


def _used(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")} - {
        "close",
        "run_batch",
        "watch_tasks",
    }  # these have tests of their own


def test_all_methods_are_here() -> None:
    """A method that comes is a row of the tables above."""
    assert _used(fc.Client) == _used(fc.AsyncClient) == {*CALLS, *STREAMS}


async def _by_both(server: ScriptedServer, call: Call) -> None:
    def blocking() -> None:
        with fc.Client(server.target) as client:
            given = call(client)
            if inspect.isgenerator(given) or hasattr(given, "__next__"):
                list(given)

    await asyncio.to_thread(blocking)
    async with fc.AsyncClient(server.target) as client:
        given = call(client)
        if inspect.isawaitable(given):
            await given
        else:
            [each async for each in given]


async def _check_requests(
    server: ScriptedServer, row: tuple[str, Call, dict[str, Any], Any]
) -> list[float | None]:
    """Makes a call by both clients, and compares what came; gives the time that was left for each."""
    method, call, expected, response = row
    server.on(method, response)
    await _by_both(server, call)
    request = getattr(runtime_service_pb2, f"{method}Request")(**expected)
    assert server.requests(method) == [request, request]
    return server.servicer.time_remaining


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_sends_what_it_was_given(server: ScriptedServer, name: str) -> None:
    """The same request from both clients, within the deadline of the call instead of the client's."""
    remaining = await _check_requests(server, CALLS[name])
    # gRPC sends a deadline rounded up to hundredths of a second.
    assert all(left is not None and 30 < left <= _DEADLINE + 0.1 for left in remaining)


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_asks_for_what_it_was_given(server: ScriptedServer, name: str) -> None:
    """The same request from both clients."""
    await _check_requests(server, STREAMS[name])
