"""The blocking client: on grpcio-testing's channel, where a test plays the server call by call, and on a real one."""

import asyncio
import inspect
import queue
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest
from support.scripted_server import HANG, Refusal, history, watched

import flowgram_client as fc
from flowgram.runtime.v1 import report_pb2, runtime_service_pb2

SERVICE = runtime_service_pb2.DESCRIPTOR.services_by_name["WorkflowRuntimeService"]
Code = grpc.StatusCode
SUCCEEDED = {"status": report_pb2.STATUS_SUCCEEDED, "terminated": True}


class Desk:
    """A client in a thread of its own, and the test in the place of the server."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())
        self.naps: list[float] = []
        self.client = fc.Client(channel=self._channel, sleep=self.naps.append, metadata=[("tenant", "blue")])

    def start(self, work: Any, *args: Any, **options: Any) -> "Future[Any]":
        return self._thread.submit(work, *args, **options)

    def answer(
        self, method: str, response: Any = None, refusal: Refusal | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Wait for the next call of a method, and answer it; its request and metadata."""
        metadata, request, call = self._channel.take_unary_unary(SERVICE.methods_by_name[method])
        call.send_initial_metadata(())
        if refusal is None:
            call.terminate(response, (), Code.OK, "")
        else:
            call.terminate(None, refusal.trailing(), refusal.code, refusal.message)
        return request, dict(metadata)

    def take_watch(self) -> tuple[Any, Any]:
        """Wait for the next watch; its request, and the stream to play."""
        _, request, call = self._channel.take_unary_stream(SERVICE.methods_by_name["WatchTask"])
        call.send_initial_metadata(())
        return request, call


@pytest.fixture
def desk() -> Iterator[Desk]:
    with ThreadPoolExecutor(1) as thread:
        yield Desk(thread)


def test_run(desk: Desk) -> None:
    """Schema and inputs go as JSON, with a request id and the client's metadata; the task's id comes back."""
    running = desk.start(desk.client.run, {"nodes": []}, {"n": 2**70})
    request, metadata = desk.answer("TaskRun", runtime_service_pb2.TaskRunResponse(task_id="t1"))
    assert running.result() == "t1"
    assert (request.schema, request.inputs) == ('{"nodes":[]}', f'{{"n":{2**70}}}')
    assert request.request_id
    assert metadata["tenant"] == "blue"


def test_run_is_repeated_with_the_same_request_id(desk: Desk) -> None:
    """After UNAVAILABLE the very same request is sent again, after the wait that the server asked for."""
    running = desk.start(desk.client.run, {})
    first, _ = desk.answer(
        "TaskRun", refusal=Refusal(Code.UNAVAILABLE, reason="SHUTTING_DOWN", retry_after=3.0)
    )
    second, _ = desk.answer("TaskRun", runtime_service_pb2.TaskRunResponse(task_id="t1"))
    assert running.result() == "t1"
    assert first == second
    assert desk.naps == [3.0]


def test_refusals_are_exceptions(desk: Desk) -> None:
    """The rich details of a status come with the exception."""
    running = desk.start(desk.client.run, {})
    desk.answer(
        "TaskRun", refusal=Refusal(Code.INVALID_ARGUMENT, "no", "SCHEMA_INVALID", [("schema", "bad")])
    )
    with pytest.raises(fc.InvalidWorkflowError) as caught:
        running.result()
    assert caught.value.violations == (fc.Violation("schema", "bad"),)


def test_nan_never_leaves_the_process(desk: Desk) -> None:
    """Inputs that are not JSON are refused before anything is sent."""
    with pytest.raises(fc.InvalidValueError, match=r"inputs\.x: nan"):
        desk.client.run({}, {"x": float("nan")})


def test_run_and_wait(desk: Desk) -> None:
    """One call runs a workflow; its result has the outputs as a dict."""
    running = desk.start(desk.client.run_and_wait, {})
    response = runtime_service_pb2.TaskRunResponse(task_id="t1", status=SUCCEEDED, outputs='{"a":1}')
    request, _ = desk.answer("TaskRun", response)
    assert request.wait
    assert running.result().outputs == {"a": 1}


def test_the_other_calls(desk: Desk) -> None:
    """Each method sends its request and gives its answer as plain values."""
    waiting = desk.start(desk.client.result, "t1", wait=True)
    desk.answer("TaskResult", runtime_service_pb2.TaskResultResponse(status=SUCCEEDED, outputs="{}"))
    assert waiting.result().outputs == {}
    waiting = desk.start(desk.client.report, "t1")
    desk.answer(
        "TaskReport", runtime_service_pb2.TaskReportResponse(report={"task_id": "t1", "last_sequence": 3})
    )
    assert waiting.result().last_sequence == 3
    waiting = desk.start(desk.client.cancel, "t1", reason="enough")
    request, _ = desk.answer("TaskCancel", runtime_service_pb2.TaskCancelResponse(success=True))
    assert waiting.result() is True
    assert request.reason == "enough"
    waiting = desk.start(desk.client.validate, {}, {})
    desk.answer("TaskValidate", runtime_service_pb2.TaskValidateResponse(errors=["a"]))
    assert waiting.result().violations == (fc.Violation("", "a"),)
    waiting = desk.start(desk.client.info)
    desk.answer("ServerInfo", runtime_service_pb2.ServerInfoResponse(name="n"))
    assert waiting.result().name == "n"


def test_list_asks_for_pages_as_it_goes(desk: Desk) -> None:
    """Pages come as one sequence."""
    listing = desk.start(lambda: [task.task_id for task in desk.client.list(page_size=1)])
    first = runtime_service_pb2.TaskListResponse(tasks=[{"task_id": "b"}], next_page_token="x")
    desk.answer("TaskList", first)
    request, _ = desk.answer("TaskList", runtime_service_pb2.TaskListResponse(tasks=[{"task_id": "a"}]))
    assert listing.result() == ["b", "a"]
    assert request.page_token == "x"


def test_watch_goes_on_after_the_last_event_seen(desk: Desk) -> None:
    """A stream cut in the middle is opened again with the last sequence; no gap, no repeat."""
    log = history(4)
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()

    def watch() -> None:
        for event in desk.client.watch("t1", heartbeat=None):
            seen.put(event.sequence)

    watching = desk.start(watch)
    request, call = desk.take_watch()
    assert request.after_sequence == 0
    call.send_response(watched(*log[:2]))
    assert [seen.get(), seen.get()] == [1, 2]
    call.terminate((), Code.UNAVAILABLE, "cut")
    request, call = desk.take_watch()
    assert request.after_sequence == 2
    call.send_response(watched(*log[1:]))
    call.terminate((), Code.OK, "")
    assert [seen.get(), seen.get()] == [3, 4]
    watching.result()
    assert len(desk.naps) == 1


async def test_on_a_real_server(server: Any) -> None:
    """On a real connection too: details of errors are read, and watches go on."""
    log = history(4)
    server.on("TaskRun", Refusal(Code.INVALID_ARGUMENT, "no", "SCHEMA_INVALID", [("schema", "bad")]))
    server.on("WatchTask", [watched(*log[:2]), Refusal(Code.UNAVAILABLE)], [watched(*log[2:])])

    def use() -> list[int]:
        with fc.Client(server.target) as client:
            with pytest.raises(fc.InvalidWorkflowError) as caught:
                client.run({})
            assert caught.value.violations == (fc.Violation("schema", "bad"),)
            return [event.sequence for event in client.watch("t1")]

    assert await asyncio.to_thread(use) == [1, 2, 3, 4]


async def test_a_silent_server_is_left(server: Any) -> None:
    """Without a heartbeat for too long, the watch opens a new stream."""
    log = history(3)
    server.on("WatchTask", [watched(log[0]), HANG], [watched(*log[1:])])

    def use() -> list[int]:
        with fc.Client(server.target) as client:
            return [event.sequence for event in client.watch("t1", heartbeat=0.02)]

    assert await asyncio.to_thread(use) == [1, 2, 3]
    await server.servicer.left.wait()


async def test_leaving_a_watch_ends_its_call(server: Any) -> None:
    """The server learns that a watcher has gone."""
    server.on("WatchTask", [watched(history(2)[0]), HANG])

    def use() -> None:
        with fc.Client(server.target) as client:
            events = client.watch("t1")
            next(events)
            events.close()

    await asyncio.to_thread(use)
    await server.servicer.left.wait()


async def test_closing_the_client_ends_its_calls(server: Any) -> None:
    """A call under way in another thread ends with CallCanceledError."""
    server.on("WatchTask", [HANG])
    client = fc.Client(server.target)
    watching = asyncio.ensure_future(asyncio.to_thread(list, client.watch("t1")))
    await server.servicer.hanging.wait()
    await asyncio.to_thread(client.close)
    with pytest.raises(fc.CallCanceledError):
        await watching


@pytest.mark.parametrize("use", [lambda client: client.info(), lambda client: next(client.watch("t1"))])
async def test_a_closed_client_makes_no_calls(server: Any, use: Callable[[fc.Client], object]) -> None:
    """A call after `close` ends with CallCanceledError, and not with an error of gRPC's own."""
    client = fc.Client(server.target)
    client.close()
    with pytest.raises(fc.CallCanceledError, match="the client was closed"):
        use(client)


def test_both_clients_have_the_same_methods() -> None:
    """Whatever AsyncClient can do, Client can, with the same arguments and defaults."""

    def surface(kind: type) -> dict[str, list[Any]]:
        return {
            name: [
                (each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()
            ]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert surface(fc.Client) == surface(fc.AsyncClient)
    sync, asynchronous = (inspect.signature(each).parameters for each in (fc.Client, fc.AsyncClient))
    assert list(sync) == list(asynchronous)
    assert [each.default for each in sync.values() if each.name != "sleep"] == [
        each.default for each in asynchronous.values() if each.name != "sleep"
    ]


async def test_a_traceback_has_no_frames_from_inside() -> None:
    """A failed call shows the caller's line and the method, and neither the flow nor gRPC's own error."""
    once = fc.RetryPolicy(attempts=1)
    with fc.Client("127.0.0.1:1", retry=once, reconnect=once) as client:
        for call in (client.info, lambda: list(client.watch("t1"))):
            with pytest.raises(fc.UnavailableError) as caught:
                await asyncio.to_thread(call)
            shown = "".join(traceback.format_exception(caught.value))
            inside = [line for line in shown.splitlines() if "flowgram_client" in line and "File" in line]
            assert 1 <= len(inside) <= 2, shown
            assert "During handling" not in shown
            assert "_operations.py" not in shown
    async with fc.AsyncClient("127.0.0.1:1", retry=once) as client_of_loop:
        with pytest.raises(fc.UnavailableError) as caught:
            await client_of_loop.info()
        shown = "".join(traceback.format_exception(caught.value))
        assert "_operations.py" not in shown
        assert "During handling" not in shown


def test_methods_are_described_alike() -> None:
    """Each method of the blocking client has the whole text of the other one's."""
    for name in (
        "run",
        "run_and_wait",
        "watch",
        "result",
        "report",
        "cancel",
        "validate",
        "list",
        "info",
        "close",
    ):
        text = inspect.getdoc(getattr(fc.AsyncClient, name))
        assert text is not None
        text = text.replace("(await run_and_wait(…))", "run_and_wait(…)")
        text = text.replace("async with contextlib.aclosing", "with contextlib.closing")
        assert inspect.getdoc(getattr(fc.Client, name)) == text


async def test_a_token(server: Any) -> None:
    """It is sent with every call, by a thread's client, too; of a function it is the one of the moment."""
    server.on("TaskResult", *(runtime_service_pb2.TaskResultResponse(status=SUCCEEDED) for _ in range(3)))
    tokens = iter(["one", "two"])

    def ask() -> None:
        with fc.Client(server.target, token="key") as client:
            client.result("t1")
        with fc.Client(server.target, token=lambda: next(tokens)) as client:
            client.result("t1")
            client.result("t1")

    await asyncio.to_thread(ask)
    sent = [metadata["authorization"] for metadata in server.servicer.metadata]
    assert sent == ["Bearer key", "Bearer one", "Bearer two"]
