"""The JSON text of a report, made of its serialized message."""

import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from flowgram.runtime.v1.report_pb2 import Message, NodeReport, Report, Snapshot
from flowgram.runtime.v1.runtime_service_pb2 import TaskReportResponse
from flowgram_server.gateway import openapi_models
from flowgram_server.gateway.report_encoding import CHUNK, report_chunks

SECOND = {"seconds": 1_700_000_000, "nanos": 999_999_999}


def shown(report: Report) -> Any:
    return json.loads(b"".join(report_chunks(TaskReportResponse(report=report).SerializeToString())))


def test_an_empty_report_has_all_its_fields() -> None:
    """Objects are empty, and every type of message has its list."""
    assert shown(Report(task_id="t1")) == {
        "id": "t1",
        "inputs": {},
        "outputs": {},
        "workflowStatus": {"status": "pending", "terminated": False, "startTime": 0, "timeCost": 0},
        "reports": {},
        "messages": {"log": [], "info": [], "debug": [], "error": [], "warning": []},
    }


def test_what_a_run_has_not_is_left_out() -> None:
    """Outputs, branch and error come only where there are any; inputs and data always."""
    snapshots = [
        {"id": "a[0]/b", "node_id": "b", "iterations": [{"loop_node_id": "a", "index": 0}]},
        {
            "id": "a[1]/b",
            "node_id": "b",
            "inputs": '{"n":1}',
            "outputs": "{}",
            "branch": "else",
            "error": "no",
        },
    ]
    report = shown(Report(nodes=[{"node_id": "b", "snapshots": snapshots}]))
    assert report["reports"]["b"]["snapshots"] == [
        {"id": "a[0]/b", "nodeID": "b", "inputs": {}, "data": {}},
        {
            "id": "a[1]/b",
            "nodeID": "b",
            "inputs": {"n": 1},
            "data": {},
            "outputs": {},
            "branch": "else",
            "error": "no",
        },
    ]


def test_messages_go_to_the_list_of_their_type() -> None:
    """In order, with the node where there is one; a type of a later version counts as a log."""
    messages = [
        {"id": "1", "type": "TYPE_ERROR", "text": "a", "node_id": "n", "time": SECOND},
        {"id": "2", "type": "TYPE_WARNING", "text": "b"},
        {"id": "3", "type": 99, "text": "c"},
        {"id": "4", "type": "TYPE_ERROR", "text": "d"},
    ]
    received = shown(Report(messages=messages))["messages"]
    assert received["error"] == [
        {"id": "1", "type": "error", "message": "a", "nodeID": "n", "timestamp": 1_700_000_000_999},
        {"id": "4", "type": "error", "message": "d", "timestamp": 0},
    ]
    assert [message["message"] for message in received["warning"]] == ["b"]
    assert received["log"] == [{"id": "3", "type": "log", "message": "c", "timestamp": 0}]


def test_shapes_fit_their_schemas() -> None:
    """What OpenAPI tells of a report is what a report is."""
    report = Report(
        task_id="t1",
        nodes=[{"node_id": "b", "snapshots": [{"id": "b", "node_id": "b", "outputs": "{}"}]}],
        messages=[{"id": "m", "type": "TYPE_INFO", "text": "hi"}],
    )
    received = shown(report)
    dumped = openapi_models.Report.model_validate(received, strict=True).model_dump(
        by_alias=True, exclude_unset=True
    )
    assert dumped == received


def test_a_long_report_comes_in_chunks() -> None:
    """Whether it is long by the runs of one node, by its nodes, or by its messages; and none of it is lost."""
    for wide in (False, True):
        nodes = [
            {"node_id": f"n{number}", "snapshots": [{"id": f"{number}/{run}"} for run in range(runs)]}
            for number, runs in enumerate([1] * 9000 if wide else [9000])
        ]
        messages = [{"type": Message.TYPE_INFO, "id": str(number)} for number in range(1000)]
        report = Report(nodes=nodes, messages=messages)
        chunks = report_chunks(TaskReportResponse(report=report).SerializeToString())
        assert len(chunks) > 1
        assert max(map(len, chunks)) < 2 * CHUNK
        received = json.loads(b"".join(chunks))
        ids = [run["id"] for node in received["reports"].values() for run in node["snapshots"]]
        assert ids == [each["id"] for node in nodes for each in node["snapshots"]]
        assert [each["id"] for each in received["messages"]["info"]] == [each["id"] for each in messages]


RUNS = st.builds(
    Snapshot,
    id=st.text(max_size=3),
    node_id=st.text(max_size=3),
    inputs=st.sampled_from(["", "{}", '{"a":[1,"é"]}', '{"long":"%s"}' % ("x" * 70_000)]),
    outputs=st.sampled_from(["", "{}", '{"a":12345678901234567890}', '{"long":"%s"}' % ("y" * 300_000)]),
    data=st.sampled_from(["", '{"b":null}']),
    branch=st.sampled_from(["", "else"]),
    error=st.sampled_from(["", 'no "way"']),
)


@given(st.lists(st.lists(RUNS, max_size=4), max_size=4), st.sampled_from(["", '{"n": 1e400}']))
def test_all_that_a_report_has_is_told(nodes: list[list[Snapshot]], inputs: str) -> None:
    """In order, whatever is large; JSON of users as the text that it is."""
    report = Report(
        task_id="t\n",
        inputs=inputs,
        nodes=[NodeReport(node_id=str(index), snapshots=runs) for index, runs in enumerate(nodes)],
    )
    text = b"".join(report_chunks(TaskReportResponse(report=report).SerializeToString()))
    assert (inputs or '"inputs":{}').encode() in text
    received = json.loads(text)
    assert received["id"] == report.task_id
    assert [*received["reports"]] == [node.node_id for node in report.nodes]
    for node in report.nodes:
        runs = received["reports"][node.node_id]["snapshots"]
        assert runs == [
            {
                "id": run.id,
                "nodeID": run.node_id,
                "inputs": json.loads(run.inputs or "{}"),
                "data": json.loads(run.data or "{}"),
                **({"outputs": json.loads(run.outputs)} if run.outputs else {}),
                **({"branch": run.branch} if run.branch else {}),
                **({"error": run.error} if run.error else {}),
            }
            for run in node.snapshots
        ]


def test_parts_of_a_message_are_one() -> None:
    """As Protocol Buffers have it: a message that comes in two parts is both together."""
    parts = Report(task_id="t", nodes=[{"node_id": "a"}]), Report(inputs="[]", nodes=[{"node_id": "b"}])
    data = b"".join(TaskReportResponse(report=part).SerializeToString() for part in parts)
    received = json.loads(b"".join(report_chunks(data)))
    assert (received["id"], received["inputs"], [*received["reports"]]) == ("t", [], ["a", "b"])


def test_what_is_no_report_is_refused() -> None:
    """With the error of Protocol Buffers."""
    with pytest.raises(DecodeError):
        report_chunks(TaskReportResponse(report=Report(task_id="t")).SerializeToString()[:-1])
