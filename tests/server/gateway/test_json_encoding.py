import asyncio
import json
from typing import Any

from flowgram.runtime.v1.report_pb2 import Message, Report, Status, StatusInfo
from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoResponse
from flowgram_server.gateway import json_encoding, openapi_models

SECOND = {"seconds": 1_700_000_000, "nanos": 999_999_999}


def shown(value: Any) -> Any:
    return json.loads(json_encoding.encode(value))


def test_every_status_and_type_has_a_word() -> None:
    """The words are FlowGram's, and each number of the contract has one."""
    assert list(json_encoding.STATUSES) == list(openapi_models.StatusWord.__args__)
    assert sorted(json_encoding.STATUSES.values()) == [number for number in Status.values() if number]
    assert sorted(json_encoding.MESSAGE_TYPES) == [number for number in Message.Type.values() if number]
    assert set(json_encoding.MESSAGE_TYPES.values()) == set(openapi_models.MessageWord.__args__)


def test_what_has_not_started() -> None:
    """FlowGram demands numbers: there are zeros, and no end."""
    assert shown(json_encoding.status(StatusInfo(status="STATUS_PENDING"))) == {
        "status": "pending",
        "terminated": False,
        "startTime": 0,
        "timeCost": 0,
    }


def test_times_are_whole_milliseconds() -> None:
    """Rounded down, as the moments themselves are in FlowGram."""
    info = StatusInfo(
        status="STATUS_CANCELED",
        terminated=True,
        start_time=SECOND,
        end_time=SECOND,
        time_cost={"nanos": 1_999_999},
    )
    assert shown(json_encoding.status(info)) == {
        "status": "canceled",
        "terminated": True,
        "startTime": 1_700_000_000_999,
        "endTime": 1_700_000_000_999,
        "timeCost": 1,
    }


async def test_an_empty_report_has_all_its_fields() -> None:
    """Objects are empty, and every type of message has its list."""
    assert shown(await json_encoding.report(Report(task_id="t1"))) == {
        "id": "t1",
        "inputs": {},
        "outputs": {},
        "workflowStatus": {"status": "pending", "terminated": False, "startTime": 0, "timeCost": 0},
        "reports": {},
        "messages": {"log": [], "info": [], "debug": [], "error": [], "warning": []},
    }


async def test_what_a_run_has_not_is_left_out() -> None:
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
    report = shown(await json_encoding.report(Report(nodes=[{"node_id": "b", "snapshots": snapshots}])))
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


async def test_messages_go_to_the_list_of_their_type() -> None:
    """In order, with the node where there is one; a type of a later version counts as a log."""
    messages = [
        {"id": "1", "type": "TYPE_ERROR", "text": "a", "node_id": "n", "time": SECOND},
        {"id": "2", "type": "TYPE_WARNING", "text": "b"},
        {"id": "3", "type": 99, "text": "c"},
        {"id": "4", "type": "TYPE_ERROR", "text": "d"},
    ]
    received = shown(await json_encoding.report(Report(messages=messages)))["messages"]
    assert received["error"] == [
        {"id": "1", "type": "error", "message": "a", "nodeID": "n", "timestamp": 1_700_000_000_999},
        {"id": "4", "type": "error", "message": "d", "timestamp": 0},
    ]
    assert [message["message"] for message in received["warning"]] == ["b"]
    assert received["log"] == [{"id": "3", "type": "log", "message": "c", "timestamp": 0}]


def test_the_time_of_a_server_is_a_text() -> None:
    """As JavaScript writes it."""
    assert json_encoding.server_info(ServerInfoResponse(time=SECOND))["time"] == "2023-11-14T22:13:20.999Z"


async def test_shapes_fit_their_schemas() -> None:
    """What OpenAPI tells of a report is what a report is."""
    report = Report(
        task_id="t1",
        nodes=[{"node_id": "b", "snapshots": [{"id": "b", "node_id": "b", "outputs": "{}"}]}],
        messages=[{"id": "m", "type": "TYPE_INFO", "text": "hi"}],
    )
    received = shown(await json_encoding.report(report))
    dumped = openapi_models.Report.model_validate(received, strict=True).model_dump(
        by_alias=True, exclude_unset=True
    )
    assert dumped == received


async def test_a_long_report_lets_others_run() -> None:
    """Whether it is long by the runs of one node, by its nodes, or by its messages; and none of it is lost."""
    for wide in (False, True):
        nodes = [
            {"node_id": f"n{number}", "snapshots": [{"id": f"{number}/{run}"} for run in range(runs)]}
            for number, runs in enumerate([1] * 3000 if wide else [3000])
        ]
        messages = [{"type": Message.TYPE_INFO, "id": str(number)} for number in range(1000)]
        fairness = 0

        async def count() -> None:
            nonlocal fairness
            while True:
                fairness += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        received = shown(await json_encoding.report(Report(nodes=nodes, messages=messages)))
        counting.cancel()
        assert fairness >= 4000 / 200
        ids = [run["id"] for node in received["reports"].values() for run in node["snapshots"]]
        assert ids == [each["id"] for node in nodes for each in node["snapshots"]]
        assert [each["id"] for each in received["messages"]["info"]] == [each["id"] for each in messages]
