"""Answers that are put together from encoded parts are what Protocol Buffers would write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram.runtime.v1.report_pb2 import Message, StatusInfo
from flowgram.runtime.v1.runtime_service_pb2 import TaskResultResponse, TaskRunResponse
from flowgram_core.journal.interface import TaskRecord
from flowgram_server.rpc.convert.responses import status_info, task_run

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


def record(result: bytes | None, *, status: int = 3) -> TaskRecord:
    return TaskRecord(
        task_id="0192-a",
        create_time=1,
        inputs="{}",
        schema_hash=b"",
        labels={},
        timeout=None,
        status=status,
        start_time=2_000_001,
        end_time=None if result is None else 3_000_001,
        last_sequence=4,
        result=result,
        order=1,
        request_hash=b"",
        display_name="",
    )


@given(TEXTS, st.lists(TEXTS, max_size=3), st.integers(3, 5))
def test_the_answer_to_a_run_has_the_whole_result(outputs: str, errors: list[str], status: int) -> None:
    """Whatever the stored result says, the answer of TaskRun says too, beside the task's id."""
    info = StatusInfo(status=status, terminated=True)  # type: ignore[arg-type]  # any number of the contract
    messages = [Message(id=f"message_{index}", text=text) for index, text in enumerate(errors)]
    result = TaskResultResponse(status=info, outputs=outputs, errors=messages).SerializeToString()
    assert TaskRunResponse.FromString(task_run(record(result), 5_000_000, 100_000)) == TaskRunResponse(
        task_id="0192-a", status=info, outputs=outputs, errors=messages
    )


def test_the_answer_to_a_run_that_goes_on_has_the_status() -> None:
    """A task that has not ended is named with its status and the time that it has taken so far."""
    running = record(None, status=2)
    assert TaskRunResponse.FromString(task_run(running, 5_000_001, 100_000)) == TaskRunResponse(
        task_id="0192-a", status=status_info(running, 5_000_001)
    )


@pytest.mark.parametrize("room", [0, 1])
def test_the_answer_to_a_run_always_has_the_id(room: int) -> None:
    """An outcome that does not fit is left out but for its status; to the byte."""
    info = status_info(record(b"", status=3), 0)
    whole = TaskRunResponse(task_id="0192-a", status=info, outputs="x" * 1000)
    result = TaskResultResponse(status=info, outputs=whole.outputs).SerializeToString()
    limit = whole.ByteSize() - 1 + room
    whole.outputs = whole.outputs if room else ""
    assert TaskRunResponse.FromString(task_run(record(result, status=3), 0, limit)) == whole
