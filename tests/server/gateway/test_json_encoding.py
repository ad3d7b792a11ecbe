import json
from typing import Any

from flowgram.runtime.v1.report_pb2 import Message, Status, StatusInfo
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


def test_the_time_of_a_server_is_a_text() -> None:
    """As JavaScript writes it."""
    assert json_encoding.server_info(ServerInfoResponse(time=SECOND))["time"] == "2023-11-14T22:13:20.999Z"
