from enum import IntEnum
from typing import Any

import pytest

from flowgram.runtime.v1 import report_pb2, runtime_service_pb2
from flowgram_client import MessageType, Status, View


@pytest.mark.parametrize(
    ("ours", "contract", "prefix"),
    [
        (Status, report_pb2.Status, "STATUS_"),
        (MessageType, report_pb2.Message.Type, "TYPE_"),
        (View, runtime_service_pb2.View, "VIEW_"),
    ],
)
def test_enums_are_the_contracts(ours: type[IntEnum], contract: Any, prefix: str) -> None:
    """Each name has the number that the contract gives it, and none is missing (but for a view that is none)."""
    theirs = dict(contract.items())
    if ours is View:
        theirs.pop("VIEW_UNSPECIFIED")
    assert {prefix + each.name: int(each) for each in ours} == theirs


def test_a_status_of_tomorrow_is_no_crash() -> None:
    """A number that this version does not know reads as unspecified, which is not terminated."""
    assert Status(99) is Status.UNSPECIFIED
    assert not Status(99).terminated
    assert MessageType(99) is MessageType.UNSPECIFIED
