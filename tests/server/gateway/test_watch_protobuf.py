"""Watches in the contract's own encoding, for clients that accept it: one WatchTaskResponse that grows."""

import json

import grpc
from support.gateway import GatewayUnderTest, gateway_to
from support.scripted_server import HANG, Refusal, ScriptedServer, history, watched
from support.workflows import ECHO, ENDLESS

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoResponse, WatchTaskResponse
from flowgram_server.settings.gateway import GatewaySettings

ACCEPT = {"Accept": "application/x-protobuf, text/event-stream;q=0.5"}


def events_of(body: bytes) -> list[TaskEvent]:
    """The events of a body, after the one that comes first, in which nothing happened."""
    nothing, *events = WatchTaskResponse.FromString(body).events
    assert nothing == TaskEvent()
    return events


async def test_a_task_that_has_ended(gateway: GatewayUnderTest) -> None:
    """All its events come, as the contract has them; the parameters mean what they do for Server-Sent Events."""
    task_id = await gateway.run(ECHO, {"text": "large"})
    async with gateway.watch(task_id) as events:
        await events.rest()
    answer = await gateway.http.get("/api/task/watch", params={"taskID": task_id}, headers=ACCEPT)
    assert answer.headers["content-type"] == "application/x-protobuf"
    seen = events_of(answer.content)
    assert [event.sequence for event in seen] == [1, 2, 3, 4]
    assert seen[-1].task_status_changed.outputs == '{"text":"large"}'
    query = {"taskID": task_id, "after": 1, "until": 3, "view": "basic"}
    answer = await gateway.http.get("/api/task/watch", params=query, headers=ACCEPT)
    part = events_of(answer.content)
    assert [event.sequence for event in part] == [2, 3]
    assert b"large" not in answer.content
    query = {"taskID": task_id, "after": 4}
    answer = await gateway.http.get("/api/task/watch", params=query, headers=ACCEPT)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_pieces_add_up(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """What came in several responses, deltas among them, is one message; so is the error that ends it on the way."""
    first, second, *_ = history(9)
    delta = TaskEvent(output_delta={"node_id": "llm_0", "snapshot_id": "llm_0", "text": "Hel"})
    refusal = Refusal(grpc.StatusCode.NOT_FOUND, "no task" * 30, "TASK_NOT_FOUND")
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(first), watched(delta, second), refusal])
    query = {"taskID": "t1", "deltas": "true"}
    answer = await before_scripted.http.get("/api/task/watch", params=query, headers=ACCEPT)
    body = answer.content
    assert events_of(body) == [first, delta, second]
    error = json.loads(body[body.index(b'{"code"') :])
    assert error == {"code": "TASK_NOT_FOUND", "message": "no task" * 30, "errors": []}
    known = WatchTaskResponse.FromString(body)
    known.DiscardUnknownFields()
    # Field 1000, and the length of the error, which is 260.
    assert body.removeprefix(known.SerializeToString())[:4] == b"\xc2\x3e\x84\x02"


async def test_silence_is_filled(scripted: ScriptedServer) -> None:
    """By events in which nothing happened, and which have no sequence."""
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(*history(9)[:1]), HANG])
    body = b""
    async with (
        gateway_to(scripted.target, GatewaySettings(heartbeat=0.01)) as gateway,
        gateway.http.stream("GET", "/api/task/watch?taskID=t1", headers=ACCEPT, timeout=None) as answer,
    ):
        async for chunk in answer.aiter_raw():
            body += chunk
            if body.endswith(b"\n\0\n\0"):
                break
    first, *silence = events_of(body)
    assert first == history(9)[0]
    assert set(map(TaskEvent.SerializeToString, silence)) == {b""}


async def test_the_end_of_the_gateway(gateway: GatewayUnderTest) -> None:
    """New ones are answered 200, and end at once, as Server-Sent Events do."""
    task_id = await gateway.run(ENDLESS)
    gateway.gateway.end_watches()
    answer = await gateway.http.get("/api/task/watch", params={"taskID": task_id}, headers=ACCEPT)
    assert (answer.status_code, events_of(answer.content)) == (200, [])
    assert (await gateway.http.put("/api/task/cancel", json={"taskID": task_id})).json()["success"]
