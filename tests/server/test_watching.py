import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from support.fake_application import NOW, batch_of
from support.serving import Service, refused, serving

from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    View,
    WatchTaskRequest,
    WatchTaskResponse,
)
from flowgram_core.engine.events import NodeStatusChanged
from flowgram_core.hosting.errors import SequenceOutOfRange, ShuttingDown
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.service import Heartbeat
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.servicer import ServiceLimits


def steps(first: int, last: int, *, padding: int = 0) -> Batch:
    """A batch of node runs with these sequences."""
    outputs = {"text": "x" * padding}
    return batch_of(
        *(
            NodeStatusChanged(
                n, NOW, f"n{n}", Status.SUCCEEDED, NOW, NOW, f"n{n}", (), {"a": n}, outputs, "", ""
            )
            for n in range(first, last + 1)
        )
    )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def read(call: grpc.aio.UnaryStreamCall) -> WatchTaskResponse:
    response = await call.read()
    assert response is not grpc.aio.EOF
    return response


def sequences(response: WatchTaskResponse) -> list[int]:
    return [event.sequence for event in response.events]


async def test_events_come_as_they_happen(service: Service) -> None:
    """Each batch is sent when it is there, and the stream ends with OK when the task has ended."""
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
    service.application.watched.put_nowait(steps(1, 2))
    assert sequences(await read(call)) == [1, 2]
    service.application.watched.put_nowait(steps(3, 3))
    assert sequences(await read(call)) == [3]
    service.application.watched.put_nowait(None)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK
    assert service.application.asked["watch"] == ("t1", 0, False, None)


@pytest.mark.parametrize("after", [0, 1, 3, 4])
async def test_a_watch_begins_within_a_batch(service: Service, after: int) -> None:
    """A watcher gets nothing again: the events that it has seen are cut off the first batch."""
    service.application.watched.put_nowait(steps(1, 5))
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1", after_sequence=after))
    assert sequences(await read(call)) == list(range(after + 1, 6))


async def test_basic_view(service: Service) -> None:
    """The BASIC view has no JSON."""
    service.application.watched.put_nowait(steps(1, 1))
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1", view=View.VIEW_BASIC))
    (event,) = (await read(call)).events
    snapshot = event.node_status_changed.snapshot
    assert (snapshot.id, snapshot.inputs, snapshot.outputs) == ("n1", "", "")


async def test_deltas_and_heartbeats(service: Service) -> None:
    """Deltas are asked for and sent without a sequence; a heartbeat is a response without events."""
    request = WatchTaskRequest(task_id="t1", include_deltas=True, heartbeat=Duration(nanos=250_000_000))
    call = service.stub.WatchTask(request)
    service.application.watched.put_nowait(OutputDelta("llm_0", "llm_0", "Hel", NOW))
    service.application.watched.put_nowait(Heartbeat())
    (event,) = (await read(call)).events
    assert (event.sequence, event.output_delta.text) == (0, "Hel")
    assert await read(call) == WatchTaskResponse()
    assert service.application.asked["watch"] == ("t1", 0, True, 0.25)


async def test_heartbeats_have_a_shortest_interval(service: Service) -> None:
    """A client cannot make the server send heartbeats without end."""
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1", heartbeat=Duration(nanos=1000)))
    await service.application.opened_watch.wait()
    assert service.application.asked["watch"] == ("t1", 0, False, 0.1)
    call.cancel()


async def test_responses_are_bounded(service: Service) -> None:
    """A large batch comes in several responses of about a megabyte, complete and in order."""
    service.application.watched.put_nowait(steps(1, 50, padding=100_000))
    service.application.watched.put_nowait(None)
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
    responses = [response async for response in call]
    assert [sequence for response in responses for sequence in sequences(response)] == list(range(1, 51))
    assert len(responses) > 1
    assert max(response.ByteSize() for response in responses) <= 1024 * 1024


async def test_an_event_larger_than_a_message() -> None:
    """An event that cannot be sent ends the watch with an error that says what to do."""
    async with serving(ServiceLimits(max_message_bytes=100_000)) as service:
        service.application.watched.put_nowait(steps(1, 1))
        service.application.watched.put_nowait(steps(2, 2, padding=200_000))
        call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
        assert sequences(await read(call)) == [1]
        received = await refused(call)
        assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert "VIEW_BASIC" in received.text


async def test_a_position_beyond_the_end(service: Service) -> None:
    """A position that the log does not reach is OUT_OF_RANGE, and says how far the log goes."""
    service.application.watched.put_nowait(SequenceOutOfRange(9, 4))
    received = await refused(service.stub.WatchTask(WatchTaskRequest(task_id="t1", after_sequence=9)))
    assert (received.code, received.reason) == (StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE")
    assert received.metadata == {"last_sequence": "4"}


async def test_the_server_shuts_down(service: Service) -> None:
    """A watch that the server must end is UNAVAILABLE, so that the client watches on elsewhere or later."""
    service.application.watched.put_nowait(steps(1, 1))
    service.application.watched.put_nowait(ShuttingDown())
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
    assert sequences(await read(call)) == [1]
    received = await refused(call)
    assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert received.text == "the server is shutting down"


async def test_watches_are_limited_apart_from_other_calls() -> None:
    """One watcher too many is refused with a time to try again; other calls, and later watchers, are not."""
    async with serving(ServiceLimits(max_watches=1)) as service:
        first = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
        await service.application.opened_watch.wait()
        received = await refused(service.stub.WatchTask(WatchTaskRequest(task_id="t1")))
        assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WATCHES")
        assert received.text == "1 clients watch or wait: the limit max_watches is reached"
        assert received.retry_after > 0
        await service.stub.ServerInfo(ServerInfoRequest())
        first.cancel()
        await service.application.closed_watch.wait()
        service.application.watched.put_nowait(steps(1, 1))
        second = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
        assert sequences(await read(second)) == [1]


async def test_a_watcher_leaves_while_nothing_happens(service: Service) -> None:
    """A watcher that disconnects while it waits is cleaned up."""
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
    await service.application.opened_watch.wait()
    call.cancel()
    await service.application.closed_watch.wait()
    assert service.application.open_watches == 0


async def test_a_watcher_leaves_between_two_events(service: Service) -> None:
    """A watcher that disconnects after an event is cleaned up, though there is more."""
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
    service.application.watched.put_nowait(steps(1, 1))
    await read(call)
    call.cancel()
    for number in range(2, 100):
        service.application.watched.put_nowait(steps(number, number))
    await service.application.closed_watch.wait()
    assert service.application.open_watches == 0


async def test_a_watcher_leaves_under_back_pressure(service: Service) -> None:
    """A watcher that reads nothing holds the stream up, not the server, and is cleaned up when it disconnects."""
    for number in range(1, 101):
        service.application.watched.put_nowait(steps(number, number, padding=1_000_000))
    async with grpc.aio.insecure_channel(service.address) as channel:
        call = channel.unary_stream("/flowgram.runtime.v1.WorkflowRuntimeService/WatchTask")(
            WatchTaskRequest(task_id="t1").SerializeToString()
        )
        await service.application.opened_watch.wait()
        before = 0
        while (left := service.application.watched.qsize()) != before:
            before = left
            for _ in range(50):  # what could be sent meanwhile, is
                await service.stub.ServerInfo(ServerInfoRequest())
        assert left > 50
        call.cancel()
        await service.application.closed_watch.wait()
    assert service.application.open_watches == 0


async def test_a_connection_is_lost(service: Service) -> None:
    """A watcher whose connection breaks is cleaned up like one that cancels."""
    channel = grpc.aio.insecure_channel(service.address)
    call = channel.unary_stream("/flowgram.runtime.v1.WorkflowRuntimeService/WatchTask")(
        WatchTaskRequest(task_id="t1").SerializeToString()
    )
    await service.application.opened_watch.wait()
    await channel.close()
    await service.application.closed_watch.wait()
    assert call.done()


async def test_a_deadline_passes(service: Service) -> None:
    """A watch with a deadline ends with it, and is cleaned up."""
    call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"), timeout=0.2)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.read()
    assert error.value.code() is StatusCode.DEADLINE_EXCEEDED
    await service.application.closed_watch.wait()


async def test_many_watchers_leave_at_once(service: Service) -> None:
    """No watcher is forgotten when many leave in the same moment."""
    calls = [service.stub.WatchTask(WatchTaskRequest(task_id="t1")) for _ in range(50)]
    while service.application.open_watches < len(calls):
        service.application.opened_watch.clear()
        await service.application.opened_watch.wait()
    for call in calls:
        call.cancel()
    while service.application.open_watches:
        service.application.closed_watch.clear()
        await service.application.closed_watch.wait()
    assert not [task for task in asyncio.all_tasks() if "watch" in task.get_name()]
