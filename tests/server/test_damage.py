"""The server on a journal that is damaged, full, or not its own: clear errors, and what can be read is served."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from support.processes import serve_until_error
from support.serving import refused
from support.workflows import ECHO, ENDLESS

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskCancelRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import Server, open_server
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.hosts import JOURNAL_FILE
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings

LONG = '{"text": "' + "x" * 3000 + '"}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "data": tmp_path,
            "code": {"workers": 1},
            "retention_age": 0,
            "retention_count": 0,
        }
    )


async def fill(settings: Settings) -> list[str]:
    """Runs tasks, and closes the server; their ids."""
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        request = TaskRunRequest(schema=ECHO, inputs=LONG, wait=True)
        return [(await stub.TaskRun(request)).task_id for _ in range(30)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path: Path) -> None:
    path.write_bytes(bytes(index * 7 % 251 for index in range(path.stat().st_size)))


def seal(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (truncate, "is damaged"),
        (scramble, "is damaged"),
        (seal, "cannot be used"),
    ],
)
async def test_a_file_that_cannot_be_used_is_a_clear_error(
    settings: Settings, break_it: Callable[[Path], None], text: str
) -> None:
    """The command names the file and says what to do, in a line, and ends."""
    await fill(settings)
    path = settings.data / JOURNAL_FILE
    break_it(path)
    status, received = await serve_until_error(settings.data)
    assert status == ExitStatus.NOT_STARTED
    assert str(path) in received
    assert text in received
    assert "Traceback" not in received


async def test_a_second_server_learns_which_process_has_the_journal(settings: Settings) -> None:
    """It does not start; the first one is not disturbed."""
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        status, received = await serve_until_error(settings.data)
        assert status == ExitStatus.NOT_STARTED
        assert "in use by another server (process " in received
        stub: Any = WorkflowRuntimeServiceStub(channel)
        assert (await stub.TaskRun(TaskRunRequest(schema=ECHO, wait=True))).task_id


async def test_what_can_be_read_of_a_damaged_file_is_served(settings: Settings) -> None:
    """A task whose log is damaged is UNAVAILABLE, and never wrong; every other call is answered."""
    bad, *good = await fill(settings)
    with sqlite3.connect(settings.data / JOURNAL_FILE) as connection:
        connection.execute(
            "UPDATE events SET events = x'00' WHERE task = (SELECT number FROM tasks WHERE task_id = ?)",
            (bad,),
        )
    connection.close()
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        for call in (
            stub.TaskReport(TaskReportRequest(task_id=bad)),
            stub.WatchTask(WatchTaskRequest(task_id=bad)),
        ):
            received = await refused(call)
            assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
            assert str(settings.data) not in received.text
        assert (await stub.TaskResult(TaskResultRequest(task_id=bad))).outputs
        assert len((await stub.TaskList(TaskListRequest())).tasks) == 30
        for task_id in good:
            assert (await stub.TaskReport(TaskReportRequest(task_id=task_id))).report.outputs
        assert (await stub.TaskRun(TaskRunRequest(schema=ECHO, wait=True))).outputs


async def test_records_beside_a_damaged_one_are_served(settings: Settings) -> None:
    """A list has all tasks that can be read; a changed result is UNAVAILABLE, and never given."""
    no_labels, wrong_result, *good = await fill(settings)
    with closing(sqlite3.connect(settings.data / JOURNAL_FILE)) as connection, connection:
        connection.execute("UPDATE tasks SET labels = '{' WHERE task_id = ?", (no_labels,))
        connection.execute("UPDATE tasks SET result = x'00' WHERE task_id = ?", (wrong_result,))
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        listed = (await stub.TaskList(TaskListRequest())).tasks
        assert {task.task_id for task in listed} == {wrong_result, *good}
        for task_id in (no_labels, wrong_result):
            received = await refused(stub.TaskResult(TaskResultRequest(task_id=task_id)))
            assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert (await stub.TaskResult(TaskResultRequest(task_id=good[0]))).outputs


def limit_pages(server: Server, spare: int) -> None:
    """Lets the journal's file grow by so many pages, as a disk with little space would."""
    connection = server.application._journal._connection  # type: ignore[attr-defined]  # it is the one in SQLite
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + spare}")


async def test_a_full_disk_stops_no_reads_and_loses_nothing(settings: Settings) -> None:
    """New tasks are UNAVAILABLE, running ones stand still, all that was shown can be read; with space they go on."""
    done, *_ = await fill(settings)
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        running = (await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id
        limit_pages(server, 0)
        large = TaskRunRequest(schema=ECHO, inputs='{"text": "' + "x" * 500_000 + '"}', request_id="large")
        received = await refused(stub.TaskRun(large))
        assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert (await stub.TaskReport(TaskReportRequest(task_id=done))).report.outputs
        assert (await stub.ServerInfo(ServerInfoRequest())).name
        result = await stub.TaskResult(TaskResultRequest(task_id=running))
        assert result.status.status == Status.STATUS_PROCESSING
        limit_pages(server, 100_000)
        assert (await stub.TaskCancel(TaskCancelRequest(task_id=running))).success
        assert (await stub.TaskRun(large)).task_id
