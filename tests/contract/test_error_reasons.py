import re
from pathlib import Path

import pytest

from flowgram.runtime.v1.error_reason_pb2 import ErrorReason
from flowgram_server.rpc.errors import ANSWERS, INTERNAL

PROTOS = Path(__file__).parents[2] / "protos" / "flowgram" / "runtime" / "v1"
RESERVED = {
    "INPUTS_INVALID": "INVALID_ARGUMENT",  # shares its exception with SCHEMA_INVALID
    "MEMORY_LIMIT": "RESOURCE_EXHAUSTED",
    "STORAGE_FULL": "RESOURCE_EXHAUSTED",
}
"""The statuses of reasons that no exception of the table of answers stands for."""
COMMENT_AND_VALUE = re.compile(r"((?:^  //[^\n]*\n)+)  ERROR_REASON_(\w+) = \d+;", re.MULTILINE)


def comments() -> dict[str, str]:
    """The comment of each reason, by its name without the prefix."""
    text = (PROTOS / "error_reason.proto").read_text(encoding="utf-8")
    found = {
        name: re.sub(r"^  // ?", "", comment, flags=re.MULTILINE)
        for comment, name in COMMENT_AND_VALUE.findall(text)
    }
    assert {f"ERROR_REASON_{name}" for name in found} == set(ErrorReason.keys())
    del found["UNSPECIFIED"]
    return found


@pytest.mark.parametrize("reason", comments())
def test_a_reason_says_its_status_and_has_an_example(reason: str) -> None:
    """A reason's comment begins with the status that it comes with, and shows it in an ErrorInfo."""
    comment = comments()[reason]
    codes = {answer.code.name for answer in (*ANSWERS.values(), INTERNAL) if answer.reason == reason}
    codes = codes or {RESERVED[reason]}
    assert {comment.split(".")[0]} == codes
    assert "\nExample: " in comment
    assert f'"reason": "{reason}", "domain": "flowgram.runtime"' in comment


def test_the_service_names_every_reason() -> None:
    """Every reason is listed at the call that may give it, or for all calls."""
    text = (PROTOS / "runtime_service.proto").read_text(encoding="utf-8")
    assert {reason for reason in comments() if reason not in text} == set()
