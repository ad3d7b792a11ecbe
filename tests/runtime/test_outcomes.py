"""Outcomes of calls as the log will have them."""

import asyncio
from typing import Any

import pytest
from support.applications import call_schema, logged
from support.fakes import ScriptedCalls, running_application
from support.loops import let_the_loop_go_on

from flowgram_core.concurrency.offload import LARGE
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling.json_text import MAX_DEPTH
from flowgram_core.modeling.status import Status


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def containing_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["v"] = value
    return value


async def result_of(outputs: Any) -> bytes:
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        calls.answer("a", outputs)
        return (await application.wait(record.task_id)).result or b""


@pytest.mark.parametrize(
    "outputs",
    [
        [1],
        None,
        "text",
        {"v": {1, 2}},
        {"v": b"x"},
        {1: {2}},
        {float("nan"): 1},
        {"v": nested(MAX_DEPTH + 1)},
        {"v": 10**5000},
        {"v": ["x" * LARGE, {1, 2}]},
        {1: "x" * LARGE},
        containing_itself(),
    ],
)
async def test_outputs_that_no_log_can_have_fail_the_node(
    outputs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no JSON object, or nested deeper than texts may be: the task fails, and does not hang; the log says why."""
    text = "Node type code gave outputs that are no JSON object, or are nested too deeply"
    assert await result_of(outputs) == f"('FAILED', None, ['{text}'])".encode()
    (line,) = [vars(record) for record in caplog.records if record.getMessage() == "a node type raised"]
    assert (line["call"], line["node_id"]) == ("task-1/a", "a")
    assert line["exception"].startswith("Traceback")


async def test_outputs_may_be_as_deep_as_texts_may_be() -> None:
    """The limit itself is fine."""
    assert (await result_of({"v": nested(MAX_DEPTH)})).startswith(b"('SUCCEEDED'")


async def test_the_core_goes_on_with_what_the_log_says() -> None:
    """A value that JSON changes is changed before it is used: tuples are arrays, what is not finite is null."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        calls.answer("a", {"v": "x", "w": (1, float("nan"))})
        await application.wait(record.task_id)
        log = await logged(application, record.task_id)
    assert b"outputs={'v': 'x', 'w': [1, None]}" in b"".join(batch.events for batch in log)


@pytest.mark.parametrize("text", ["x" * 92, "ä" * 46, "😀" * 23])
async def test_outputs_are_bounded_in_bytes(text: str) -> None:
    """Of their own JSON text in UTF-8, not of what the log has around it: `{"v":"…"}` has eight more."""
    for limit, fits in ((100, True), (99, False)):
        calls = ScriptedCalls()
        settings = RuntimeSettings(max_output_bytes=limit)
        async with running_application(calls, settings=settings) as application:
            record = await application.run(TaskRequest(call_schema("a")))
            await calls.running("a")
            calls.answer("a", {"v": text})
            result = (await application.wait(record.task_id)).result or b""
            assert (b"max_output_bytes = 99" not in result) is fits


async def test_large_outputs_are_what_small_ones_are() -> None:
    """They are worked through in a thread, and nothing shows it; a cancel meanwhile is a cancel."""
    text = "ä" * 2_000_000
    assert await result_of({"v": text}) == f"('SUCCEEDED', {{'a': '{text}'}}, [])".encode()
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        calls.answer("a", {"v": text})
        await asyncio.sleep(0)
        assert await application.cancel(record.task_id, "")
        assert (await application.wait(record.task_id)).status == Status.CANCELED


class WaitingNumber(float):
    """Says what it is only after the loop went on."""

    loop: asyncio.AbstractEventLoop

    def __abs__(self) -> float:
        let_the_loop_go_on(self.loop)
        return float.__abs__(self)

    def __repr__(self) -> str:
        let_the_loop_go_on(self.loop)
        return float.__repr__(self)


async def test_the_loop_goes_on_while_large_outputs_are_written() -> None:
    """Others are served meanwhile."""
    number = WaitingNumber(1.5)
    number.loop = asyncio.get_running_loop()
    text = "x" * LARGE
    assert await result_of({"v": text, "w": number}) == f"('SUCCEEDED', {{'a': '{text}'}}, [])".encode()
