from typing import Any

import grpc
from support.scripted_server import HANG, Refusal, history, watched

from flowgram.runtime.v1 import runtime_service_pb2
from flowgram_client import RetryPolicy, Status
from flowgram_client._raw import RawClient

FAST = RetryPolicy(initial=0.01, maximum=0.01)
CHANGED = runtime_service_pb2.WatchTasksResponse(tasks=[{"task_id": "t1"}])
EMPTY = runtime_service_pb2.WatchTasksResponse()


async def test_events_have_json_as_it_came(server: Any) -> None:
    """A watch gives the contract's own messages, those of a response together."""
    server.on("WatchTask", [watched(*history(2))])
    async with RawClient(server.target) as client:
        ((_, last),) = [events async for events in client.watch_events("t1")]
    assert last.task_status_changed.outputs == '{"a":1}'


async def test_calls_have_json_as_it_came_and_are_repeated(server: Any) -> None:
    """A call gives the contract's own response, with the retries of every client."""
    response = runtime_service_pb2.TaskResultResponse(outputs='{"a": 1.10}')
    server.on("TaskResult", Refusal(grpc.StatusCode.UNAVAILABLE), response)
    request = runtime_service_pb2.TaskResultRequest(task_id="t1")
    async with RawClient(server.target, retry=FAST) as client:
        assert await client.call("TaskResult", request) == response
    assert server.requests("TaskResult") == [request, request]


async def test_changes_say_when_they_are_live(server: Any) -> None:
    """None comes at the start and after each reconnection, and heartbeats are left out."""
    server.on(
        "WatchTasks",
        [EMPTY, EMPTY, CHANGED, Refusal(grpc.StatusCode.ABORTED, reason="WATCH_BEHIND")],
        [CHANGED, HANG],
    )
    given = []
    async with RawClient(server.target, reconnect=FAST) as client:
        async for response in client.watch_changes(statuses=[Status.FAILED], labels={"a": "b"}):
            given.append(response)
            if len(given) == 4:
                break
    assert given == [None, CHANGED, None, CHANGED]
    (request, _) = server.requests("WatchTasks")
    assert (list(request.statuses), dict(request.labels)) == ([4], {"a": "b"})


async def test_streams_have_connections_of_their_own(server: Any) -> None:
    """Shared evenly, and used again: as many as wanted, whatever a server takes on one, and none keeps a call waiting."""
    server.on("WatchTask", *([[watched(*history(1)), HANG]] * 5))
    server.on("TaskResult", runtime_service_pb2.TaskResultResponse(outputs="{}"))
    async with RawClient(server.target, stream_connections=2) as client:
        watches = [client.watch_events("t1") for _ in range(4)]
        for watch in watches:
            await anext(watch)
        await watches.pop(0).aclose()
        watches.append(client.watch_events("t1"))
        await anext(watches[-1])
        await client.call("TaskResult", runtime_service_pb2.TaskResultRequest(task_id="t1"))
        for watch in watches:
            await watch.aclose()
    first, second, third, fourth, fifth, call = server.servicer.peers
    assert {first, third} == {fifth, third}
    assert {second} == {fourth} != {first}
    assert call not in {first, second}
