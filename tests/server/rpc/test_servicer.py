import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from support.fake_application import NOW, FakeApplication, batch_of, record
from support.serving import Service, refused, serving

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskCancelRequest,
    TaskGetRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskResultResponse,
    TaskRunRequest,
    TaskValidateRequest,
    View,
    WatchTaskRequest,
    WatchTasksRequest,
)
from flowgram_core.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.hosting import errors as runtime
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.status import Status as TaskStatus
from flowgram_server.rpc.codec import Codec

ERROR = MessageLogged(3, NOW + 7, "m1", MessageType.ERROR, "went wrong", "llm_0")
RESULT = Codec(Secrets()).encode_result(Finished(TaskStatus.SUCCEEDED, {"x": 1}, (), NOW, NOW + 5))
FAILURE = Codec(Secrets()).encode_result(Finished(TaskStatus.FAILED, None, (ERROR,), NOW, NOW + 7))


def end(application: FakeApplication, *, failed: bool = False) -> None:
    """Lets the task terminate."""
    application.records["t1"] = record(
        status=4 if failed else 3, end_time=NOW + 5, result=FAILURE if failed else RESULT
    )
    application.ended.set()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


async def test_run_answers_with_the_task(service: Service) -> None:
    """TaskRun hands over everything, and answers with the task as it is accepted."""
    answer = await service.stub.TaskRun(
        TaskRunRequest(
            schema="{}",
            inputs='{"a":1}',
            request_id="r1",
            timeout=Duration(seconds=2),
            labels={"team": "x"},
            display_name="order 7",
        )
    )
    (request,) = service.application.requests
    assert (request.schema, request.inputs, request.request_id) == ("{}", '{"a":1}', "r1")
    assert (request.timeout, request.labels) == (2_000_000, {"team": "x"})
    assert request.display_name == "order 7"
    assert answer.task_id == "t1"
    assert answer.status.status == Status.STATUS_PROCESSING
    assert answer.status.start_time.ToMicroseconds() == NOW
    assert not answer.outputs


async def test_run_without_a_timeout_leaves_it_open(service: Service) -> None:
    """An unset timeout is not a timeout of zero."""
    await service.stub.TaskRun(TaskRunRequest(schema="{}"))
    assert service.application.requests[0].timeout is None


async def test_run_waits_for_the_outcome(service: Service) -> None:
    """With `wait`, TaskRun answers with the outcome once the task has terminated."""
    call = service.stub.TaskRun(TaskRunRequest(schema="{}", wait=True))
    await service.application.waiting.wait()
    assert not call.done()
    end(service.application)
    answer = await call
    assert (answer.status.status, answer.outputs, len(answer.errors)) == (
        Status.STATUS_SUCCEEDED,
        '{"x":1}',
        0,
    )


async def test_run_tells_why_a_task_failed(service: Service) -> None:
    """The outcome of a failed task has its error messages; the call itself is OK."""
    end(service.application, failed=True)
    answer = await service.stub.TaskRun(TaskRunRequest(schema="{}", wait=True))
    assert answer.status.status == Status.STATUS_FAILED
    assert [(error.text, error.node_id) for error in answer.errors] == [("went wrong", "llm_0")]


@pytest.mark.parametrize("method", ["TaskRun", "TaskResult"])
async def test_waiting_ends_before_the_deadline(service: Service, method: str) -> None:
    """A deadline that comes first is answered in time, with the task as it is."""
    request = TaskRunRequest(schema="{}", wait=True)
    if method == "TaskResult":
        request = TaskResultRequest(task_id="t1", wait=True)
    answer = await getattr(service.stub, method)(request, timeout=2.5)
    assert answer.status.status == Status.STATUS_PROCESSING


async def test_run_tells_the_task_when_the_server_shuts_down(service: Service) -> None:
    """Somebody who waits gets the id of the task that was accepted, also when the outcome will come later."""

    async def wait(task_id: str, *, namespace: str) -> None:
        raise runtime.ShuttingDown

    service.application.wait = wait
    answer = await service.stub.TaskRun(TaskRunRequest(schema="{}", wait=True))
    assert (answer.task_id, answer.status.status) == ("t1", Status.STATUS_PROCESSING)


async def test_run_tells_the_task_when_the_store_goes_away(service: Service) -> None:
    """The id of an accepted task arrives, also where its outcome, or how it is now, cannot be read for the moment."""

    async def wait(task_id: str, *, namespace: str) -> None:
        service.application.raises = JournalUnavailable("away")
        raise JournalUnavailable("away")

    service.application.wait = wait
    answer = await service.stub.TaskRun(TaskRunRequest(schema="{}", wait=True))
    assert (answer.task_id, answer.status.status) == ("t1", Status.STATUS_PROCESSING)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (
            runtime.InvalidWorkflow((Problem("schema.nodes", "x"),)),
            StatusCode.INVALID_ARGUMENT,
            "SCHEMA_INVALID",
        ),
        (
            runtime.InvalidWorkflow((Problem("inputs", "x"),), in_inputs=True),
            StatusCode.INVALID_ARGUMENT,
            "INPUTS_INVALID",
        ),
        (runtime.RequestConflict("r1"), StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (runtime.TooManyTasks("full", 1.0), StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS"),
        (runtime.ShuttingDown(), StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
        (RuntimeError("secret"), StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_run_is_refused(service: Service, error: Exception, code: StatusCode, reason: str) -> None:
    """What keeps a task from starting is the status of the call, with its reason."""
    service.application.raises = error
    received = await refused(service.stub.TaskRun(TaskRunRequest(schema="{}")))
    assert (received.code, received.reason) == (code, reason)
    assert "secret" not in received.text


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (TaskRunRequest(), "schema"),
        (TaskRunRequest(schema="{}", timeout=Duration(seconds=-1)), "timeout"),
        (TaskRunRequest(schema="{}", timeout=Duration()), "timeout"),
        (TaskRunRequest(schema="{}", timeout=Duration(seconds=2**62)), "timeout"),
        (TaskRunRequest(schema="{}", request_id="x" * 257), "request_id"),
        (TaskRunRequest(schema="{}", labels={"": "x"}), "labels"),
        (TaskReportRequest(), "task_id"),
        (TaskReportRequest(task_id="t1", view=7), "view"),
        (TaskResultRequest(), "task_id"),
        (TaskCancelRequest(), "task_id"),
        (TaskCancelRequest(task_id="t1", reason="x" * 4097), "reason"),
        (TaskListRequest(page_size=-1), "page_size"),
        (TaskListRequest(page_size=1001), "page_size"),
        (TaskListRequest(statuses=[1, 0]), "statuses[1]"),
        (TaskListRequest(statuses=[17]), "statuses[0]"),
        (TaskListRequest(labels={"k": "v\0"}), "labels['k']"),
        (WatchTaskRequest(), "task_id"),
        (WatchTaskRequest(task_id="t1", after_sequence=-1), "after_sequence"),
        (WatchTaskRequest(task_id="t1", view=7), "view"),
        (WatchTaskRequest(task_id="t1", heartbeat=Duration(seconds=-1)), "heartbeat"),
        (WatchTaskRequest(task_id="t1", heartbeat=Duration()), "heartbeat"),
        (
            WatchTasksRequest(statuses=[9], labels={"": ""}, heartbeat=Duration()),
            "statuses[0] labels heartbeat",
        ),
        (
            TaskRunRequest(
                request_id="x" * 257, timeout=Duration(seconds=-1), labels={"": "v" * 513, "k" * 129: ""}
            ),
            "schema request_id timeout labels labels[''] labels",
        ),
        (TaskRunRequest(schema="{}", display_name="x" * 257), "display_name"),
        (TaskRunRequest(schema="{}", display_name="a\0b"), "display_name"),
        (TaskGetRequest(), "task_id"),
        (TaskReportRequest(view=7), "task_id view"),
        (TaskCancelRequest(reason="x" * 4097), "task_id reason"),
        (TaskListRequest(page_size=-1, statuses=[0, 1, 9]), "page_size statuses[0] statuses[2]"),
        (
            WatchTaskRequest(after_sequence=-1, view=7, heartbeat=Duration()),
            "heartbeat task_id after_sequence view",
        ),
    ],
)
async def test_impossible_fields_are_named(service: Service, request_: object, fields: str) -> None:
    """All fields that are missing or out of their range are named, and nothing was asked of the application."""
    method = type(request_).__name__.removesuffix("Request")
    received = await refused(getattr(service.stub, method)(request_))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert sorted(violation[0] for violation in received.violations) == sorted(fields.split())
    assert received.text.startswith(received.violations[0][0])
    assert not service.application.requests
    assert not service.application.asked


@pytest.mark.parametrize(
    "request_",
    [
        TaskGetRequest(task_id="t9"),
        TaskReportRequest(task_id="t9"),
        TaskResultRequest(task_id="t9"),
        TaskResultRequest(task_id="t9", wait=True),
        TaskCancelRequest(task_id="t9"),
        WatchTaskRequest(task_id="t9"),
    ],
)
async def test_unknown_tasks_are_not_found(service: Service, request_: object) -> None:
    """Every call about a task that does not exist says so, and names it."""
    method = type(request_).__name__.removesuffix("Request")
    received = await refused(getattr(service.stub, method)(request_))
    assert (received.code, received.reason) == (StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert received.metadata == {"task_id": "t9"}


async def test_validate(service: Service) -> None:
    """Problems are the answer of TaskValidate, and none means valid."""
    answer = await service.stub.TaskValidate(TaskValidateRequest(schema="{", inputs="["))
    assert (answer.valid, list(answer.errors)) == (True, [])
    assert service.application.asked["validate"] == ("{", "[")
    service.application.problems = (Problem("schema", "no JSON"), Problem("schema.nodes", "missing"))
    answer = await service.stub.TaskValidate(TaskValidateRequest())
    assert (answer.valid, list(answer.errors)) == (False, ["no JSON", "missing"])
    assert [(each.field, each.text) for each in answer.problems] == [
        ("schema", "no JSON"),
        ("schema.nodes", "missing"),
    ]
    service.application.problems = ()
    service.application.warnings = (Problem("inputs.x", "not declared"),)
    answer = await service.stub.TaskValidate(TaskValidateRequest())
    assert (answer.valid, [(each.field, each.text) for each in answer.warnings]) == (
        True,
        [("inputs.x", "not declared")],
    )


async def test_get(service: Service) -> None:
    """A task is reported with its name, times and time-out; its schema and inputs have their secrets masked."""
    service.application.records["t1"] = record(
        inputs='{"a":{"apiKey":"sk-one"},"apiKey":"sk-two","n":12345678901234567890}',
        labels={"team": "x"},
        timeout=2_500_000,
        last_sequence=4,
        display_name="order 7",
    )
    service.application.schemas["t1"] = (
        '{"nodes":[{"id":"a","type":"http","meta":{},"data":{"headersValues":'
        '{"Authorization":{"type":"constant","content":"Bearer sk-three"}}}}],"edges":[]}'
    )
    found = (await service.stub.TaskGet(TaskGetRequest(task_id="t1"))).task
    assert (found.summary.task_id, found.summary.display_name) == ("t1", "order 7")
    assert dict(found.summary.labels) == {"team": "x"}
    assert found.summary.create_time.ToMicroseconds() == NOW
    assert found.timeout.ToMicroseconds() == 2_500_000
    assert found.last_sequence == found.summary.last_sequence == 4
    assert found.inputs == '{"a":{"apiKey":"…"},"apiKey":"…","n":12345678901234567890}'
    assert "sk-three" not in found.schema
    assert found.schema.startswith('{"nodes":[{"id":"a","type":"http"')


async def test_report(service: Service) -> None:
    """TaskReport folds the log of the task."""
    service.application.records["t1"] = record(inputs='{"a":1}')
    service.application.logs["t1"] = [
        batch_of(TaskStatusChanged(1, NOW, TaskStatus.PROCESSING, NOW, None, None)),
        batch_of(TaskStatusChanged(2, NOW, TaskStatus.SUCCEEDED, NOW, NOW, {"x": 1})),
    ]
    report = (await service.stub.TaskReport(TaskReportRequest(task_id="t1"))).report
    assert (report.task_id, report.inputs, report.outputs, report.last_sequence) == (
        "t1",
        '{"a":1}',
        '{"x":1}',
        2,
    )
    assert report.status.status == Status.STATUS_SUCCEEDED
    basic = (await service.stub.TaskReport(TaskReportRequest(task_id="t1", view=View.VIEW_BASIC))).report
    assert (basic.inputs, basic.outputs, basic.last_sequence) == ("", "", 2)


async def test_report_of_a_task_that_waits(service: Service) -> None:
    """A task without any event is PENDING."""
    service.application.records["t1"] = record(status=1, start_time=None)
    report = (await service.stub.TaskReport(TaskReportRequest(task_id="t1"))).report
    assert report.status.status == Status.STATUS_PENDING
    assert not report.status.HasField("start_time")


async def test_a_report_of_too_many_events_is_refused(service: Service) -> None:
    """Before its log is read."""
    service.application.records["t1"] = record(last_sequence=200_001)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.TaskReport(TaskReportRequest(task_id="t1"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_report_events = 200000" in (caught.value.details() or "")


async def test_result_now(service: Service) -> None:
    """Without `wait`, TaskResult answers at once: with the status, and once there is an outcome with that."""
    answer = await service.stub.TaskResult(TaskResultRequest(task_id="t1"))
    assert (answer.status.status, answer.outputs) == (Status.STATUS_PROCESSING, "")
    end(service.application)
    answer = await service.stub.TaskResult(TaskResultRequest(task_id="t1"))
    assert answer == TaskResultResponse.FromString(RESULT)


async def test_result_waits(service: Service) -> None:
    """With `wait`, TaskResult answers once the task has terminated."""
    call = service.stub.TaskResult(TaskResultRequest(task_id="t1", wait=True))
    await service.application.waiting.wait()
    end(service.application, failed=True)
    assert await call == TaskResultResponse.FromString(FAILURE)


async def test_cancel(service: Service) -> None:
    """TaskCancel hands the reason over, and says whether it was this call that stopped the task."""
    answer = await service.stub.TaskCancel(TaskCancelRequest(task_id="t1", reason="too late"))
    assert answer.success
    assert service.application.asked["cancel"] == ("t1", "too late")
    end(service.application)
    assert not (await service.stub.TaskCancel(TaskCancelRequest(task_id="t1"))).success


async def test_list_in_pages(service: Service) -> None:
    """Pages follow each other without gaps or repeats, newest first, and the last one says that it is."""
    service.application.records = {
        f"t{n}": record(f"t{n}", order=n, labels={"n": str(n)}) for n in range(1, 8)
    }
    seen, token, pages = [], "", 0
    while token or not pages:
        page = await service.stub.TaskList(TaskListRequest(page_size=3, page_token=token))
        seen += [(task.task_id, dict(task.labels)) for task in page.tasks]
        token, pages = page.next_page_token, pages + 1
    assert seen == [(f"t{n}", {"n": str(n)}) for n in range(7, 0, -1)]
    assert pages == 3


async def test_a_long_list_gives_others_their_turn(service: Service) -> None:
    """A page with many labels has megabytes: it is encoded some tasks at a time, and is whole in the end."""
    labels = {str(n): "v" * 500 for n in range(64)}
    service.application.records = {f"t{n}": record(f"t{n}", order=n, labels=labels) for n in range(1, 102)}
    page = await service.stub.TaskList(TaskListRequest(page_size=100))
    assert [task.task_id for task in page.tasks] == [f"t{n}" for n in range(101, 1, -1)]
    assert dict(page.tasks[-1].labels) == labels
    assert page.next_page_token
    assert service.application.time_slices == 4


async def test_list_of_exactly_one_page(service: Service) -> None:
    """A page that is full and the last one promises no other."""
    service.application.records = {f"t{n}": record(f"t{n}", order=n) for n in range(1, 4)}
    page = await service.stub.TaskList(TaskListRequest(page_size=3))
    assert (len(page.tasks), page.next_page_token) == (3, "")


async def test_list_hands_its_filters_over(service: Service) -> None:
    """Statuses and labels reach the application."""
    await service.stub.TaskList(TaskListRequest(statuses=[4, 5], labels={"a": "b"}))
    assert service.application.asked["tasks"] == (101, None, frozenset({4, 5}), {"a": "b"})


@pytest.mark.parametrize("changes", [{"statuses": [4]}, {"labels": {"a": "b"}}, {"page_token": "x"}])
async def test_page_tokens_from_elsewhere(service: Service, changes: dict[str, object]) -> None:
    """A token of another list, or of none, is refused."""
    service.application.records = {f"t{n}": record(f"t{n}", order=n) for n in range(1, 4)}
    token = (await service.stub.TaskList(TaskListRequest(page_size=1))).next_page_token
    received = await refused(service.stub.TaskList(TaskListRequest(**({"page_token": token} | changes))))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert [violation[0] for violation in received.violations] == ["page_token"]


async def test_times_of_a_listed_task(service: Service) -> None:
    """A task in a list has its times; the time cost of one that runs is up to now."""
    service.application.records = {
        "t1": record("t1", order=2, create_time=NOW - 9, start_time=NOW - 5_000_000),
        "t2": record("t2", order=1, status=3, start_time=NOW - 8, end_time=NOW - 2),
    }
    running, ended = (await service.stub.TaskList(TaskListRequest())).tasks
    assert running.create_time.ToMicroseconds() == NOW - 9
    assert (running.status.time_cost.seconds, running.status.terminated) == (5, False)
    assert ended.status.end_time.ToMicroseconds() == NOW - 2
    assert ended.status.time_cost.ToMicroseconds() == 6


async def test_watch_tasks(service: Service) -> None:
    """The filter is handed over; empty changes are empty messages; an error of the runtime ends the stream."""
    request = WatchTasksRequest(statuses=[3, 4], labels={"a": "b"}, heartbeat=Duration(nanos=1000))
    stream = service.stub.WatchTasks(request)
    watched = service.application.watched_tasks
    watched.put_nowait(TaskChanges())
    assert (await stream.read()).ByteSize() == 0
    wanted = TaskFilter(frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED}), {"a": "b"})
    assert service.application.asked["watch_tasks"] == (wanted, 0.1)
    watched.put_nowait(TaskChanges((record(last_sequence=4, display_name="x"),), ("t2",)))
    response = await stream.read()
    (task,) = response.tasks
    assert (task.task_id, task.last_sequence, task.display_name) == ("t1", 4, "x")
    assert list(response.removed_task_ids) == ["t2"]
    watched.put_nowait(runtime.WatcherBehind())
    received = await refused(stream.read())
    assert (received.code, received.reason) == (StatusCode.ABORTED, "WATCH_BEHIND")


async def test_server_info(service: Service) -> None:
    """ServerInfo says what answers, what time it is there, and which node types it knows."""
    info = await service.stub.ServerInfo(ServerInfoRequest())
    assert (info.name, info.runtime) == ("flowgram-server", "fake")
    assert info.title
    assert info.description
    assert info.version
    assert info.time.ToMicroseconds() == NOW
    assert list(info.node_types) == ["end", "start"]
    assert info.limits.max_message_bytes == 64 * 1024 * 1024
    assert info.limits.max_schema_bytes == info.limits.max_inputs_bytes == 12 * 1024 * 1024


async def test_few_reports_are_put_together_at_once(service: Service) -> None:
    """Those beyond wait, and have their report all the same."""
    application = service.application
    application.logs_go_on.clear()
    reports = [
        asyncio.ensure_future(service.stub.TaskReport(TaskReportRequest(task_id="t1"))) for _ in range(20)
    ]
    for _ in range(8):
        await application.logs_opened.acquire()
    await service.stub.ServerInfo(ServerInfoRequest())
    assert application.open_logs == 8
    application.logs_go_on.set()
    assert {answer.report.task_id for answer in await asyncio.gather(*reports)} == {"t1"}


async def test_lists_that_take_long_wait_for_each_other_alone(service: Service) -> None:
    """Those that look through all tasks in vain do not take the readers from who asks for one task."""
    application, stub = service.application, service.stub
    application.found.clear()
    lists = [asyncio.ensure_future(stub.TaskList(TaskListRequest(labels={"no": "task"}))) for _ in range(20)]
    await stub.TaskResult(TaskResultRequest(task_id="t1"))
    assert 0 < application.searching <= 2
    application.found.set()
    assert all(not answer.next_page_token for answer in await asyncio.gather(*lists))
    assert application.searching == 20
