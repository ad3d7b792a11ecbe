import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from support.events import changed
from support.fake_application import NOW, batch_of

from flowgram.runtime.v1.report_pb2 import Report
from flowgram.runtime.v1.runtime_service_pb2 import TaskReportResponse
from flowgram_core.engine.events import (
    Event,
    MessageLogged,
    MessageType,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.errors import MessageTooLarge
from flowgram_server.rpc.report import ReportFold, fold_report, node_data

LARGE = 64 * 1024 * 1024


def started(
    sequence: int, node_id: str, at: int, snapshot_id: str | None = None, **given: Any
) -> NodeStatusChanged:
    event = NodeStatusChanged(
        sequence, at, node_id, Status.PROCESSING, at, None, snapshot_id or node_id, (), {"i": 1}, None, "", ""
    )
    return changed(event, **given)


def ended(
    start: NodeStatusChanged, sequence: int, at: int, status: Status = Status.SUCCEEDED, **given: Any
) -> NodeStatusChanged:
    event = changed(
        start, sequence=sequence, at=at, status=status, end_time=at, inputs=None, outputs={"o": 2}
    )
    return changed(event, **given)


async def report_of(
    *steps: Sequence[Event], basic: bool = False, data: dict[str, str] | None = None, max_bytes: int = LARGE
) -> Report:
    async def log() -> AsyncIterator[Batch]:
        for step in steps:
            yield batch_of(*step)

    fold = ReportFold("t1", '{"in":1}', basic=basic, node_data=data or {})
    return TaskReportResponse.FromString(await fold_report(fold, log(), max_bytes, NOW + 10_000_000)).report


async def test_a_whole_task() -> None:
    """A finished task: its status and outputs, its nodes with their runs, its messages, and where its log ends."""
    start = changed(started(2, "start_0", NOW), status=Status.SUCCEEDED, end_time=NOW, outputs={"x": 1})
    llm = started(3, "llm_0", NOW)
    report = await report_of(
        [TaskStatusChanged(1, NOW, Status.PROCESSING, NOW, None, None), start, llm],
        [
            ended(llm, 4, NOW + 5_000_000),
            MessageLogged(5, NOW + 5_000_000, "m1", MessageType.LOG, "done", "llm_0"),
            TaskStatusChanged(6, NOW + 5_000_000, Status.SUCCEEDED, NOW, NOW + 5_000_000, {"out": 3}),
        ],
        data={"llm_0": '{"model":"x"}'},
    )
    assert MessageToDict(report, preserving_proto_field_name=True) == {
        "task_id": "t1",
        "inputs": '{"in":1}',
        "outputs": '{"out":3}',
        "status": span("STATUS_SUCCEEDED", 0, 5),
        "nodes": [
            {
                "node_id": "start_0",
                "status": span("STATUS_SUCCEEDED", 0, 0),
                "snapshots": [
                    {"id": "start_0", "node_id": "start_0", "inputs": '{"i":1}', "outputs": '{"x":1}'}
                ],
            },
            {
                "node_id": "llm_0",
                "status": span("STATUS_SUCCEEDED", 0, 5),
                "snapshots": [
                    {
                        "id": "llm_0",
                        "node_id": "llm_0",
                        "inputs": '{"i":1}',
                        "outputs": '{"o":2}',
                        "data": '{"model":"x"}',
                    }
                ],
            },
        ],
        "messages": [
            {
                "id": "m1",
                "type": "TYPE_LOG",
                "text": "done",
                "node_id": "llm_0",
                "time": "2023-11-14T22:13:25Z",
            }
        ],
        "last_sequence": "6",
    }


def span(status: str, start: int, end: int) -> dict[str, Any]:
    return {
        "status": status,
        "terminated": True,
        "start_time": f"2023-11-14T22:13:{20 + start}Z",
        "end_time": f"2023-11-14T22:13:{20 + end}Z",
        "time_cost": f"{end - start}s",
    }


async def test_runs_of_a_loop() -> None:
    """A node in a loop has one snapshot per run, with its iterations once, and the status of its latest run."""
    first = started(1, "llm_0", NOW, "loop_0[0]/llm_0", iterations=(("loop_0", 0),))
    second = started(3, "llm_0", NOW + 2, "loop_0[1]/llm_0", iterations=(("loop_0", 1),))
    report = await report_of([first], [ended(first, 2, NOW + 1), second])
    (node,) = report.nodes
    assert [snapshot.id for snapshot in node.snapshots] == ["loop_0[0]/llm_0", "loop_0[1]/llm_0"]
    assert [[step.index for step in snapshot.iterations] for snapshot in node.snapshots] == [[0], [1]]
    assert [snapshot.outputs for snapshot in node.snapshots] == ['{"o":2}', ""]
    assert not node.status.terminated


async def test_nodes_come_in_the_order_of_their_first_start() -> None:
    """A node's place in the report is that of its first run, however often it runs later."""
    steps = [started(1, "b", NOW), started(2, "a", NOW), started(3, "b", NOW + 1, "b2")]
    report = await report_of(steps)
    assert [node.node_id for node in report.nodes] == ["b", "a"]


async def test_failure() -> None:
    """A failed run keeps what it took in, and says why it failed."""
    start = started(1, "http_0", NOW)
    end = ended(start, 2, NOW + 1, Status.FAILED, outputs=None, error="no route")
    report = await report_of([start], [end])
    (snapshot,) = report.nodes[0].snapshots
    assert (snapshot.inputs, snapshot.outputs, snapshot.error) == ('{"i":1}', "", "no route")


async def test_basic_view() -> None:
    """The BASIC view has everything but JSON."""
    start = started(1, "if_0", NOW)
    end = ended(start, 2, NOW, branch="else")
    report = await report_of(
        [start, end, TaskStatusChanged(3, NOW, Status.SUCCEEDED, NOW, NOW, {"out": 3})], basic=True
    )
    (snapshot,) = report.nodes[0].snapshots
    assert (report.inputs, report.outputs, snapshot.inputs, snapshot.outputs, snapshot.data) == ("",) * 5
    assert snapshot.branch == "else"
    assert report.status.terminated


async def test_time_goes_on_for_what_is_running() -> None:
    """The time cost of a running task and node is up to now."""
    report = await report_of(
        [TaskStatusChanged(1, NOW, Status.PROCESSING, NOW, None, None), started(2, "llm_0", NOW + 4_000_000)]
    )
    assert report.status.time_cost.seconds == 10
    assert report.nodes[0].status.time_cost.seconds == 6


async def test_an_empty_log() -> None:
    """A task that has not begun has a report, with nothing in it but its inputs."""
    report = await report_of()
    assert report == Report(task_id="t1", inputs='{"in":1}')


async def test_large_reports_are_refused() -> None:
    """A report that is too large is an error, found while it grows and not after all of it was built."""
    steps = [[started(number, f"n{number}", NOW, outputs={"o": "x" * 50_000})] for number in range(1, 40)]
    assert len((await report_of(*steps)).nodes) == 39
    with pytest.raises(MessageTooLarge):
        await report_of(*steps, max_bytes=1_000_000)


async def test_node_data_counts_for_the_size() -> None:
    """What the schema adds to each snapshot counts."""
    steps = [[started(number, "n", NOW, f"n{number}") for number in range(1, 100)]]
    with pytest.raises(MessageTooLarge):
        await report_of(*steps, data={"n": "x" * 10_000}, max_bytes=500_000)


def test_node_data_is_what_the_schema_says_beyond_the_usual() -> None:
    """A node's data comes without title, inputs and outputs; nodes in blocks have theirs, too."""
    inner = {
        "id": "llm_0",
        "type": "llm",
        "meta": {},
        "data": {"title": "x", "inputs": {}, "extra": [1.5, "é"]},
    }
    loop = {
        "id": "loop_0",
        "type": "loop",
        "meta": {},
        "data": {"inputsValues": {}, "outputs": {}, "loopFor": {"type": "ref"}},
        "blocks": [inner],
    }
    schema = {"nodes": [loop, {"id": "end_0", "type": "end", "meta": {}, "data": {}}], "edges": []}
    assert node_data(json.dumps(schema), Secrets()) == {
        "loop_0": '{"loopFor":{"type":"ref"}}',
        "llm_0": '{"extra":[1.5,"é"]}',
        "end_0": "{}",
    }


def test_node_data_has_no_secrets() -> None:
    """What the settings call a secret, and headers that carry credentials, are masked in the data of every node."""
    bound = {"type": "constant", "content": "0123456789abcdef"}
    masked = {"type": "constant", "content": "012…cdef"}
    inner = {"id": "a", "type": "x", "meta": {}, "data": {"moreValues": {"token": bound, "b": bound}}}
    loop = {"id": "l", "type": "loop", "meta": {}, "data": {"headersValues": {"COOKIE": bound}}}
    schema = {"nodes": [{**loop, "blocks": [inner]}], "edges": []}
    assert {
        name: json.loads(data) for name, data in node_data(json.dumps(schema), Secrets({"token"})).items()
    } == {
        "l": {"headersValues": {"COOKIE": masked}},
        "a": {"moreValues": {"token": masked, "b": bound}},
    }


@given(st.data())
async def test_the_report_does_not_depend_on_batches(data: st.DataObject) -> None:
    """However the events of a log were batched, they add up to the same report."""
    events: list[Event] = []
    for number in range(data.draw(st.integers(1, 12))):
        start = started(len(events) + 1, f"n{number % 3}", NOW, f"n{number}", iterations=(("loop", number),))
        events.append(start)
        if data.draw(st.booleans()):
            events.append(ended(start, len(events) + 1, NOW + 1))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(events)))) | {len(events)})
    steps = [events[begin:end] for begin, end in zip([0, *cuts], cuts, strict=False)]
    assert await report_of(*steps) == await report_of(events)


async def test_nodes_of_a_task_that_was_given_up_are_canceled() -> None:
    """A log that ends a task and not its running nodes: these ended with it, and their time does not go on."""
    done, llm, late = started(2, "done", NOW), started(3, "llm_0", NOW + 1_000_000), started(5, "late", NOW)
    report = await report_of(
        [TaskStatusChanged(1, NOW, Status.PROCESSING, NOW, None, None), done, llm],
        [ended(done, 4, NOW + 1_000_000), changed(late, start_time=NOW + 4_000_000)],
        [
            MessageLogged(6, NOW + 3_000_000, "m1", MessageType.ERROR, "cannot go on", ""),
            TaskStatusChanged(7, NOW + 3_000_000, Status.FAILED, NOW, NOW + 3_000_000, None),
        ],
    )
    assert MessageToDict(report.status, preserving_proto_field_name=True) == span("STATUS_FAILED", 0, 3)
    statuses = [MessageToDict(node.status, preserving_proto_field_name=True) for node in report.nodes]
    assert statuses == [
        span("STATUS_SUCCEEDED", 0, 1),
        span("STATUS_CANCELED", 1, 3),
        {**span("STATUS_CANCELED", 4, 3), "time_cost": "0s"},  # the clock was set back
    ]


async def test_a_report_is_folded_as_its_log_is_read() -> None:
    """Of a report that grows too large, the rest of the log is not even read."""
    read = 0

    async def log() -> AsyncIterator[Batch]:
        nonlocal read
        for number in range(1, 40):
            read += 1
            yield batch_of(started(number, f"n{number}", NOW, inputs={"i": "x" * 100_000}))

    with pytest.raises(MessageTooLarge):
        await fold_report(ReportFold("t1", "{}", basic=False, node_data={}), log(), 1_000_000, NOW)
    assert read <= 12
