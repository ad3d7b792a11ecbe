import json
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from support.scripted_server import Refusal, ScriptedServer, status_event, watched

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2
from flowgram_server.cli.root import run_command

Code = grpc.StatusCode
INFO = runtime_service_pb2.ServerInfoResponse()
ACCEPTED = runtime_service_pb2.TaskRunResponse(task_id="t1")


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    file = tmp_path / "workflow.json"
    file.write_text('{"schema": {"nodes": [], "edges": []}, "inputs": {"n": 12345678901234567890}}')
    return str(file)


def node_event(sequence: int, status: int, snapshot: str, **more: Any) -> event_pb2.TaskEvent:
    event = event_pb2.TaskEvent(sequence=sequence)
    node = event.node_status_changed
    node.node_id = snapshot.rpartition("/")[2]
    node.status.status = status  # type: ignore[assignment]  # a number of the enum
    if status != report_pb2.STATUS_PROCESSING:
        node.status.time_cost.FromMilliseconds(1250)
    node.snapshot.CopyFrom(report_pb2.Snapshot(id=snapshot, **more))
    return event


def message_event(sequence: int, text: str, node_id: str = "") -> event_pb2.TaskEvent:
    event = event_pb2.TaskEvent(sequence=sequence)
    event.message.CopyFrom(report_pb2.Message(text=text, node_id=node_id, type=report_pb2.Message.TYPE_ERROR))
    return event


def delta_event(snapshot: str, text: str) -> event_pb2.TaskEvent:
    event = event_pb2.TaskEvent()
    event.output_delta.node_id = snapshot.rpartition("/")[2]
    event.output_delta.snapshot_id = snapshot
    event.output_delta.text = text
    return event


def ended(sequence: int, status: int, outputs: str = "") -> event_pb2.TaskEvent:
    event = status_event(sequence, status, outputs)
    event.task_status_changed.status.time_cost.FromMilliseconds(2500)
    return event


IN_LOOP = [{"loop_node_id": "loop_0", "index": 3}]
GOOD = [
    status_event(1, report_pb2.STATUS_PROCESSING),
    node_event(2, report_pb2.STATUS_SUCCEEDED, "condition_0", branch="if_1"),
    node_event(3, report_pb2.STATUS_PROCESSING, "loop_0[3]/llm_0", iterations=IN_LOOP),
    delta_event("loop_0[3]/llm_0", "Hello,\nwor"),
    node_event(
        4,
        report_pb2.STATUS_SUCCEEDED,
        "loop_0[3]/llm_0",
        iterations=IN_LOOP,
        outputs='{"result": "Hello,\\nworld"}',
    ),
    ended(5, report_pb2.STATUS_SUCCEEDED, '{"answer": "Grüße", "n": 12345678901234567890}'),
]
BAD = [
    status_event(1, report_pb2.STATUS_PROCESSING),
    node_event(2, report_pb2.STATUS_FAILED, "llm_0", error="no \x1b[31mmodel"),
    message_event(3, "no \x1b[31mmodel", "llm_0"),
    ended(4, report_pb2.STATUS_FAILED),
]


async def test_plain_progress(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """In a pipe, each run is a line with its status, iteration and time; a model's text comes in whole lines."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(*GOOD)])
    done = await flowgram("run", workflow, "--label", "team=x", "--timeout", "5", "--request-id", "r1")
    assert done.status == 0
    assert done.err == ""
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:7] == [
        "task t1",
        "succeeded condition_0 1.25 s → if_1",
        "processing loop_0[3]/llm_0",
        "loop_0[3]/llm_0 | Hello,",
        "loop_0[3]/llm_0 | world",
        "succeeded loop_0[3]/llm_0 1.25 s",
        "succeeded in 2.50 s",
    ]
    assert json.loads("".join(lines[7:])) == {"answer": "Grüße", "n": 12345678901234567890}
    (request,) = server.requests("TaskRun")
    assert json.loads(request.inputs) == {"n": 12345678901234567890}
    assert json.loads(request.schema) == {"nodes": [], "edges": []}
    assert (dict(request.labels), request.timeout.seconds, request.request_id) == ({"team": "x"}, 5, "r1")


async def test_a_failed_task_exits_with_1(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """The reasons stand at the end, and nothing in them can steer the terminal."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(*BAD)])
    done = await flowgram("run", workflow)
    assert done.status == 1
    assert done.out.splitlines()[-2:] == [
        "failed in 2.50 s",
        "  llm_0: no \N{REPLACEMENT CHARACTER}[31mmodel",
    ]
    assert "\x1b" not in done.out


async def test_a_canceled_task_exits_with_3(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """Canceled is neither success nor failure."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(ended(1, report_pb2.STATUS_CANCELED))])
    assert (await flowgram("run", workflow)).status == 3


async def test_json_lines(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """For programs: a line for the task, for each event, and for the result; nothing else."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(*GOOD)])
    done = await flowgram("run", workflow, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == [
        "task",
        "task_status_changed",
        "node_status_changed",
        "node_status_changed",
        "output_delta",
        "node_status_changed",
        "task_status_changed",
        "result",
    ]
    assert lines[0]["task_id"] == "t1"
    assert lines[2]["snapshot"]["branch"] == "if_1"
    assert lines[3]["snapshot"]["iterations"] == [{"loop_node_id": "loop_0", "index": 3}]
    assert lines[5]["time_cost"] == 1.25
    assert lines[-1]["outputs"] == {"answer": "Grüße", "n": 12345678901234567890}
    assert lines[-1]["status"] == "succeeded"


async def test_quiet(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """Only the outputs are printed; errors go to the standard error stream."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(*GOOD)], [watched(*BAD)])
    assert json.loads((await flowgram("run", workflow, "-q")).out)["answer"] == "Grüße"
    done = await flowgram("run", workflow, "-q")
    assert (done.status, done.out) == (1, "")
    assert "model" in done.err


async def test_detach(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """With --detach the id is all that is printed; for programs, the same line as without --detach."""
    server.on("TaskRun", ACCEPTED, ACCEPTED)
    assert await flowgram("run", workflow, "-d") == (0, "t1\n", "")
    done = await flowgram("run", workflow, "-d", "--json")
    assert (done.status, json.loads(done.out)) == (0, {"type": "task", "task_id": "t1"})


async def test_invalid_workflow(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """Each problem is a line of its own; the exit status is 2."""
    server.on(
        "TaskRun",
        Refusal(
            Code.INVALID_ARGUMENT, "not valid", "SCHEMA_INVALID", [("schema.nodes[0]", "a"), ("schema", "b")]
        ),
    )
    done = await flowgram("run", workflow)
    assert done == (2, "", "flowgram: the workflow is not valid\n  schema.nodes[0]: a\n  schema: b\n")


async def test_too_many_tasks(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """A refusal that may pass says when to try again."""
    server.on("TaskRun", Refusal(Code.RESOURCE_EXHAUSTED, "too many", "TOO_MANY_TASKS", retry_after=2.0))
    done = await flowgram("run", workflow)
    assert done == (5, "", "flowgram: too many (try again in 2 s)\n")


async def test_a_lost_connection_is_reported(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """The display says that it waits, and goes on where it was."""
    server.on("TaskRun", ACCEPTED)
    server.on("WatchTask", [watched(*GOOD[:2]), Refusal(Code.UNAVAILABLE)], [watched(*GOOD[2:])])
    done = await flowgram("run", workflow)
    assert done.status == 0
    assert done.err.startswith("connection lost; trying again in ")
    assert [request.after_sequence for request in server.requests("WatchTask")] == [0, 2]


async def test_watch_from_a_sequence(server: ScriptedServer, flowgram: Any) -> None:
    """Watch --after shows what came later; the outcome decides the exit status here too."""
    server.on("ServerInfo", INFO)
    server.on("WatchTask", [watched(*GOOD[2:])])
    done = await flowgram("watch", "t1", "--after", "2")
    assert done.status == 0
    assert done.out.startswith("processing loop_0[3]/llm_0")
    assert server.requests("WatchTask")[0].after_sequence == 2


async def test_watch_of_a_task_that_has_nothing_more_to_tell(server: ScriptedServer, flowgram: Any) -> None:
    """After the last event, the outcome is asked for."""
    server.on("ServerInfo", INFO)
    server.on("WatchTask", [])
    server.on(
        "TaskResult", runtime_service_pb2.TaskResultResponse(status={"status": report_pb2.STATUS_CANCELED})
    )
    assert (await flowgram("watch", "t1", "--after", "9")).status == 3


async def test_watch_of_an_unknown_task(server: ScriptedServer, flowgram: Any) -> None:
    """What the server refuses is one line, and exit status 5."""
    server.on("ServerInfo", INFO)
    server.on("WatchTask", [Refusal(Code.NOT_FOUND, "no task 't1'", "TASK_NOT_FOUND")])
    assert await flowgram("watch", "t1") == (5, "", "flowgram: no task 't1'\n")


async def test_no_server(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """An unreachable server is reported as such, with what to do."""
    await server.stop()
    done = await flowgram("run", workflow)
    assert done.status == 4
    assert done.err.startswith(f"flowgram: cannot reach {server.target}: ")
    assert "flowgram serve" in done.err


async def test_watch_without_a_server(server: ScriptedServer, flowgram: Any) -> None:
    """Nothing was lost yet, and nothing is known to go on: it is reported as by every other command."""
    await server.stop()
    done = await flowgram("watch", "t1")
    assert (done.status, done.out) == (4, "")
    assert done.err.startswith(f"flowgram: cannot reach {server.target}: ")
    assert "connection lost" not in done.err
    assert "goes on" not in done.err


async def test_watch_of_a_failed_task_from_a_sequence(server: ScriptedServer, flowgram: Any) -> None:
    """Why it failed was said before; it is reported in the end all the same."""
    outcome = runtime_service_pb2.TaskResultResponse(
        status={"status": report_pb2.STATUS_FAILED}, errors=[BAD[2].message]
    )
    server.on("ServerInfo", INFO)
    server.on("WatchTask", [watched(*BAD[3:])])
    server.on("TaskResult", outcome)
    done = await flowgram("watch", "t1", "--after", "3")
    assert done.status == 1
    assert done.out.splitlines()[-2:] == ["failed", "  llm_0: no \N{REPLACEMENT CHARACTER}[31mmodel"]


@pytest.mark.parametrize("again", ["ello,\nworld", "Hello", "rld", ""])
async def test_a_text_that_is_written_anew(
    again: str, server: ScriptedServer, flowgram: Any, workflow: str
) -> None:
    """After a lost connection what was heard counts for nothing: it goes on elsewhere, or begins again."""
    first, second, began, _, end, last = GOOD
    run = began.node_status_changed.snapshot.id
    server.on("TaskRun", ACCEPTED)
    server.on(
        "WatchTask",
        [watched(first, second, began, delta_event(run, "Hello,\nHel")), Refusal(Code.UNAVAILABLE)],
        [watched(*([delta_event(run, again)] if again else []), end, last)],
    )
    lines = [" ".join(each.split()) for each in (await flowgram("run", workflow)).out.splitlines()]
    at = lines.index("succeeded loop_0[3]/llm_0 1.25 s")
    assert lines[at - 2 : at] == ["loop_0[3]/llm_0 | Hello,", "loop_0[3]/llm_0 | world"]


@pytest.mark.parametrize(
    ("content", "inputs", "said"),
    [
        (b'{"nodes": [}', None, "workflow.json: not JSON: Expecting value at line 1, column 12"),
        (b'{"nodes": NaN}', None, "workflow.json: not JSON: NaN is no JSON number"),
        (
            b'{"schema": {}, "inputs": {"n": -1.5e400}}',
            None,
            "workflow.json: -1.5e400 is larger than 1.7976931348623157e+308",
        ),
        (b"\xff", None, "workflow.json: not UTF-8, at byte 0"),
        (b"[" * 100_000, None, "workflow.json: nested too deeply"),
        (
            b'{"nodes": []}',
            "{",
            "--inputs: not JSON: Expecting property name enclosed in double quotes at line 1",
        ),
        (b'{"nodes": []}', "@/nowhere/x.json", "/nowhere/x.json: No such file or directory"),
    ],
)
async def test_files_that_cannot_be_read(
    flowgram: Any, tmp_path: Path, content: bytes, inputs: str | None, said: str
) -> None:
    """The message names the file and the place; the server is not bothered."""
    file = tmp_path / "workflow.json"
    file.write_bytes(content)
    done = await flowgram("run", str(file), *(() if inputs is None else ("--inputs", inputs)))
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


async def test_a_bare_schema_goes_as_it_is(server: ScriptedServer, flowgram: Any, tmp_path: Path) -> None:
    """A file that is a schema is sent unchanged, with the inputs of the command line."""
    file = tmp_path / "schema.json"
    file.write_text('{ "nodes" : [1.0], "edges": [] }')
    inputs = tmp_path / "inputs.json"
    inputs.write_text('{"a": 1e2}')
    server.on("TaskRun", ACCEPTED)
    await flowgram("run", str(file), "-d", "--inputs", f"@{inputs}")
    (request,) = server.requests("TaskRun")
    assert request.schema == '{ "nodes" : [1.0], "edges": [] }'
    assert request.inputs == '{"a": 1e2}'
    assert request.display_name == "schema"


async def test_a_name_in_place_of_the_files(server: ScriptedServer, flowgram: Any, workflow: str) -> None:
    """--name names the task, and an empty one leaves it without a name."""
    server.on("TaskRun", ACCEPTED)
    await flowgram("run", workflow, "-d", "--name", "order 7")
    await flowgram("run", workflow, "-d", "--name", "")
    assert [request.display_name for request in server.requests("TaskRun")] == ["order 7", ""]


@pytest.mark.parametrize(
    "wrong",
    [
        ["run"],
        ["run", "x", "--label", "y"],
        ["run", "x", "--timeout", "inf"],
        ["run", "x", "--timeout", "1e300"],
        ["watch", "x", "--after", "99999999999999999999"],
        ["list", "--limit", "99999999999999999999"],
        ["nonsense"],
        ["list", "--status", "done"],
    ],
)
async def test_wrong_usage_exits_with_2(flowgram: Any, wrong: list[str]) -> None:
    """Usage errors say what was expected."""
    done = await flowgram(*wrong)
    assert done.status == 2
    assert "Error: " in done.err


@pytest.mark.parametrize(
    "wrong",
    [
        ["run", "WORKFLOW", "--timeout", "nan"],
        ["run", "WORKFLOW", "--request-id", "\udcff"],
        ["run", "WORKFLOW", "--metadata", "A=b"],
        ["result", "\udcff"],
        ["watch", "\udcff"],
        ["cancel", "x", "--reason", "\udcff"],
        ["list", "--label", "a=\udcff"],
    ],
)
async def test_what_cannot_be_sent_exits_with_2(
    server: ScriptedServer, flowgram: Any, workflow: str, wrong: list[str]
) -> None:
    """One line says what it is; a terminal may hand over bytes that are no text."""
    server.on("ServerInfo", INFO)
    done = await flowgram(*(workflow if each == "WORKFLOW" else each for each in wrong))
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("no\nway"), MemoryError()])
def test_an_unexpected_error_has_a_status_of_its_own(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one line, and never 1, which says that a task failed."""

    @click.command()
    def command() -> None:
        raise error

    assert run_command(command, "flowgram", []) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"flowgram: unexpected error: {type(error).__name__}:")
