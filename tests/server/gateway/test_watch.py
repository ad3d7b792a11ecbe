"""Watches as Server-Sent Events: against the real server, and against one that does what a test says."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.gateway import EventStream, GatewayUnderTest, gateway_to, sequences
from support.scripted_server import HANG, Refusal, ScriptedServer, history, log_event, watched
from support.workflows import ECHO, ENDLESS

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoResponse, WatchTasksResponse
from flowgram_server.app import open_server
from flowgram_server.gateway.serve import RETRY
from flowgram_server.gateway.watch import Outbox, WatchQuery, WatchResponse, event_frames
from flowgram_server.settings.gateway import GatewaySettings
from flowgram_server.settings.loading import load_settings

KINDS = ["task_status_changed", "node_status_changed", "node_status_changed", "task_status_changed"]


async def test_a_task_that_has_ended(gateway: GatewayUnderTest) -> None:
    """All its events come, numbered, in FlowGram's shapes, and the stream ends."""
    task_id = await gateway.run(ECHO, {"text": "line\nend"})
    async with gateway.watch(task_id) as events:
        assert events.answer.headers["content-type"].startswith("text/event-stream")
        assert "no-cache" in events.answer.headers["cache-control"]
        seen = await events.rest()
    assert sequences(seen) == [1, 2, 3, 4]
    assert [event.value["type"] for event in seen] == KINDS
    assert [event.value["sequence"] for event in seen] == [1, 2, 3, 4]
    assert seen[1].value["snapshot"]["outputs"] == {"text": "line\nend"}
    assert seen[3].value["outputs"] == {"text": "line\nend"}
    assert seen[3].value["workflowStatus"]["terminated"]


@pytest.mark.parametrize(
    ("after", "headers", "wanted"),
    [
        (2, None, [3, 4]),
        (None, {"Last-Event-ID": "3"}, [4]),
        (0, {"Last-Event-ID": "3"}, [4]),
        (3, {"Last-Event-ID": "1"}, [2, 3, 4]),
    ],
)
async def test_going_on(
    gateway: GatewayUnderTest, after: int | None, headers: dict[str, str] | None, wanted: list[int]
) -> None:
    """A watch goes on after the last event that was seen; what a browser says of itself wins."""
    task_id = await gateway.run(ECHO)
    async with gateway.watch(task_id) as events:
        await events.rest()
    async with gateway.watch(task_id, after, headers) as events:
        assert sequences(await events.rest()) == wanted


async def test_a_part_of_the_events(gateway: GatewayUnderTest) -> None:
    """A watch that ends at a sequence gives that event and no later one; the basic view has no values."""
    task_id = await gateway.run(ECHO, {"text": "large"})
    async with gateway.watch(task_id, after=1, until=2) as events:
        (only,) = await events.rest()
    assert only.value["snapshot"]["outputs"] == {"text": "large"}
    async with gateway.watch(task_id, view="basic") as events:
        seen = await events.rest()
    assert sequences(seen) == [1, 2, 3, 4]
    assert "large" not in "".join(event.data for event in seen)
    assert (await gateway.http.get(f"/api/task/watch?taskID={task_id}&view=odd")).status_code == 400


async def test_nothing_more_to_come(gateway: GatewayUnderTest) -> None:
    """204 tells a browser that it need not connect again."""
    task_id = await gateway.run(ECHO)
    async with gateway.watch(task_id) as events:
        await events.rest()
    async with gateway.watch(task_id, headers={"Last-Event-ID": "4"}) as events:
        assert events.answer.status_code == 204
        assert await events.answer.aread() == b""


@pytest.mark.parametrize(
    ("last_event_id", "status", "code"),
    [
        ("5", 416, "SEQUENCE_OUT_OF_RANGE"),
        ("9" * 18, 416, "SEQUENCE_OUT_OF_RANGE"),
        ("9" * 30, 400, "ARGUMENT_INVALID"),
        ("-1", 400, "ARGUMENT_INVALID"),
        ("four", 400, "ARGUMENT_INVALID"),
        ("NaN", 400, "ARGUMENT_INVALID"),
        ("1.5", 400, "ARGUMENT_INVALID"),
    ],
)
async def test_positions_that_are_none(
    gateway: GatewayUnderTest, last_event_id: str, status: int, code: str
) -> None:
    """No number is 400, beyond the end 416; the answer is JSON, as of every error."""
    task_id = await gateway.run(ECHO)
    async with gateway.watch(task_id) as events:
        await events.rest()
    async with gateway.watch(task_id, headers={"Last-Event-ID": last_event_id}) as events:
        await events.answer.aread()
        assert (events.answer.status_code, events.answer.json()["code"]) == (status, code)
        assert events.answer.headers["content-type"] == "application/json"


async def test_live_through_a_restart_of_the_server(tmp_path: Path) -> None:
    """The connection stays, and every event comes once and in order, those after the restart too."""
    flags = {"data": tmp_path, "code": {"workers": 1}, "access_log": False}
    async with AsyncExitStack() as stack:
        async with open_server(load_settings(flags={**flags, "listen": "127.0.0.1:0"})) as server:
            address = server.address
            gateway = await stack.enter_async_context(gateway_to(address, retry=RETRY))
            task_id = await gateway.run(ENDLESS)
            events = await stack.enter_async_context(gateway.watch(task_id))
            before = await events.until("node_status_changed", nodeID="code_0")
        async with open_server(load_settings(flags={**flags, "listen": address})):
            answer = await gateway.http.put("/api/task/cancel", json={"taskID": task_id})
            assert answer.json() == {"success": True}
            after = await events.rest()
    numbers = [event["sequence"] for event in before] + sequences(after)
    assert numbers == list(range(1, len(numbers) + 1))
    assert after[-1].value["workflowStatus"]["status"] == "canceled"


async def test_the_end_of_the_gateway(gateway: GatewayUnderTest) -> None:
    """Streams end where they are, and new ones at once, for browsers to come back until there is a server again.

    An `EventSource` takes any status but 200 for final, and reads a stream that ends for a connection that broke.
    """
    task_id = await gateway.run(ENDLESS)
    async with gateway.watch(task_id) as events:
        await events.until("node_status_changed", nodeID="code_0")
        gateway.gateway.end_watches()
        assert await events.rest() == []
    async with gateway.watch(task_id) as events:
        assert events.answer.status_code == 200
        assert events.answer.headers["content-type"].startswith("text/event-stream")
        assert await events.answer.aread() == b"retry: 1000\n\n"
    assert (await gateway.http.put("/api/task/cancel", json={"taskID": task_id})).json()["success"]


async def test_the_end_of_the_gateway_before_the_first_event(
    scripted: ScriptedServer, before_scripted: GatewayUnderTest
) -> None:
    """A watch that has nothing to tell yet is answered in the same way."""
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [HANG])

    async def stop() -> None:
        await scripted.servicer.hanging.wait()
        before_scripted.gateway.end_watches()

    stopping = asyncio.create_task(stop())
    async with before_scripted.watch("t1") as events:
        assert events.answer.status_code == 200
        assert await events.answer.aread() == b"retry: 1000\n\n"
    await stopping


async def test_a_client_that_leaves_ends_the_watch(
    scripted: ScriptedServer, before_scripted: GatewayUnderTest
) -> None:
    """Also where nothing happens: the server learns it at once."""
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(*history(9)[:2]), HANG])
    async with before_scripted.watch("t1") as events:
        assert await events.next() is not None
        await scripted.servicer.hanging.wait()
    await scripted.servicer.left.wait()


async def test_tasks_as_they_change(gateway: GatewayUnderTest) -> None:
    """First `live`, then each task that fits when it is accepted and when it ends, shaped as in a list."""
    query = {"label": "team=blue", "status": ["processing", "canceled"]}
    async with gateway.http.stream("GET", "/api/tasks/watch", params=query, timeout=None) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = EventStream(answer)
        first = await events.next()
        assert first is not None
        assert (first.id, first.value) == ("", {"type": "live"})
        await gateway.run(ECHO, {"text": "hi"}, labels={"team": "red"})
        task_id = await gateway.run(ENDLESS, labels={"team": "blue"}, displayName="order 7")
        started = await events.next()
        assert started is not None
        (task,) = started.value["tasks"]
        assert (task["taskID"], task["displayName"]) == (task_id, "order 7")
        assert task["workflowStatus"]["status"] == "processing"
        await gateway.http.put("/api/task/cancel", json={"taskID": task_id})
        ended = await events.next()
        assert ended is not None
        listed = (await gateway.http.get("/api/tasks", params=query)).json()["tasks"]
        assert ended.value == {"type": "tasks_changed", "tasks": listed, "removedTaskIDs": []}
        assert listed[0]["workflowStatus"]["status"] == "canceled"
        assert listed[0]["lastSequence"] > task["lastSequence"]


async def test_a_lost_server_makes_a_watch_of_tasks_live_anew(
    scripted: ScriptedServer, before_scripted: GatewayUnderTest
) -> None:
    """What changed meanwhile was not seen: the page has to list again."""
    changed = WatchTasksResponse(removed_task_ids=["t1"])
    lost = Refusal(grpc.StatusCode.UNAVAILABLE)
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTasks", [WatchTasksResponse(), changed, lost], [changed, HANG])
    async with before_scripted.http.stream("GET", "/api/tasks/watch", timeout=None) as answer:
        events = EventStream(answer)
        seen = [await events.next() for _ in range(4)]
    assert [each and each.value["type"] for each in seen] == ["live", "tasks_changed"] * 2
    assert seen[1] is not None
    assert seen[1].value == {"type": "tasks_changed", "tasks": [], "removedTaskIDs": ["t1"]}


async def test_silence_is_filled(scripted: ScriptedServer) -> None:
    """Comments show that the connection lives."""
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(*history(9)[:1]), HANG])
    async with (
        gateway_to(scripted.target, GatewaySettings(heartbeat=0.01)) as gateway,
        gateway.watch("t1") as events,
    ):
        await events.next()
        reading = asyncio.ensure_future(events.next())
        while not events.comments:
            await asyncio.wait({reading}, timeout=0.01)
        reading.cancel()
    assert set(events.comments) == {": heartbeat"}


async def test_deltas(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """They come if they are asked for, and have no id: nobody can go on after one."""
    delta = TaskEvent(output_delta={"node_id": "llm_0", "snapshot_id": "llm_0", "text": "Hel"})
    first, last = history(2)
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(first, delta, last)])
    async with before_scripted.watch("t1", deltas="true") as events:
        seen = await events.rest()
    assert scripted.requests("WatchTask")[0].include_deltas
    assert [event.id for event in seen] == ["1", "", "2"]
    assert seen[1].value == {
        "type": "output_delta",
        "timestamp": 0,
        "nodeID": "llm_0",
        "snapshotID": "llm_0",
        "text": "Hel",
    }


async def test_a_failure_on_the_way(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """The status has been sent already, so the error comes as an event of its own kind, and the stream ends."""
    refusal = Refusal(grpc.StatusCode.NOT_FOUND, "no task", "TASK_NOT_FOUND")
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [watched(*history(9)[:2]), refusal])
    async with before_scripted.watch("t1") as events:
        assert events.answer.status_code == 200
        seen = await events.rest()
    assert sequences(seen[:2]) == [1, 2]
    assert (seen[2].event, seen[2].id) == ("failure", "")
    assert seen[2].value == {"code": "TASK_NOT_FOUND", "message": "no task", "errors": []}


async def test_too_many_watchers(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """The limit is the server's, and so is the time to come back."""
    refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", "TOO_MANY_WATCHES", retry_after=5)
    scripted.on("ServerInfo", ServerInfoResponse())
    scripted.on("WatchTask", [refusal])
    async with before_scripted.watch("t1") as events:
        assert (events.answer.status_code, events.answer.headers["retry-after"]) == (429, "5")


async def test_a_server_that_is_away(scripted: ScriptedServer, before_scripted: GatewayUnderTest) -> None:
    """A watch cannot begin then; one that had begun would wait."""
    await scripted.stop()
    async with before_scripted.watch("t1") as events:
        await events.answer.aread()
        assert (events.answer.status_code, events.answer.json()["code"]) == (503, "UNAVAILABLE")
        assert events.answer.json()["message"] == "the runtime cannot be reached at the moment"
    await scripted.start()


async def test_an_outbox_holds_up_its_reader() -> None:
    """Beyond the limit a reader waits until everything was taken."""
    outbox = Outbox(limit=3)
    await outbox.put(b"ab")
    reader = asyncio.create_task(outbox.put(b"cd"))
    await asyncio.sleep(0)
    assert not reader.done()
    assert await outbox.wait(1)
    assert outbox.take() == b"abcd"
    await reader
    assert not outbox.finished
    outbox.close()
    assert outbox.finished


class EndlessClient:
    """A client whose watch never ends, and is never short of events."""

    def __init__(self) -> None:
        self.given = 0
        self.ended = asyncio.Event()

    async def call(self, method: str, request: Any) -> Any:
        return None

    async def watch_events(self, task_id: str, **options: Any) -> AsyncGenerator[list[TaskEvent], None]:
        try:
            while True:
                self.given += 1
                yield [log_event(self.given, "x" * 1000)]
        finally:
            self.ended.set()


async def test_a_slow_client_holds_up_the_stream() -> None:
    """While a client reads nothing, nothing is read from the server for it, beyond a bounded number of events."""
    client = EndlessClient()
    stuck, leave = asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        if message.get("body", b"").startswith(b"id:"):
            stuck.set()
            await asyncio.Event().wait()

    async def receive() -> Any:
        await leave.wait()
        return {"type": "http.disconnect"}

    frames = partial(event_frames, client, WatchQuery("t1", 0, deltas=False))
    response = WatchResponse(client, frames, stopping=asyncio.Event(), heartbeat=60)  # type: ignore[arg-type]  # a fake
    answering = asyncio.create_task(response({"type": "http"}, receive, send))
    await stuck.wait()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert client.given < 200
    leave.set()
    await answering
    assert client.ended.is_set()


async def test_a_defect_breaks_the_answer_off() -> None:
    """It does not look like the end of the task."""

    class BrokenClient(EndlessClient):
        async def watch_events(self, task_id: str, **options: Any) -> AsyncGenerator[list[TaskEvent], None]:
            raise RuntimeError("defect")
            yield

    async def send(message: Any) -> None:
        raise AssertionError("nothing was to be sent")

    client = BrokenClient()
    frames = partial(event_frames, client, WatchQuery("t1", 0, deltas=False))
    response = WatchResponse(client, frames, stopping=asyncio.Event(), heartbeat=60)  # type: ignore[arg-type]  # a fake
    with pytest.raises(RuntimeError, match="defect"):
        await response({"type": "http"}, asyncio.Event().wait, send)  # type: ignore[arg-type]  # it never receives
