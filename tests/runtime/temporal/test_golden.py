"""The golden workflows on Temporal: the same events as of the core alone, but for their times."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message
from support.driving import drive, link_schema
from support.golden import FOLDER
from support.ordered_calls import Answers, OrderedCalls
from support.temporal_host import TemporalHost, temporal_host
from support.temporal_server import TemporalServer

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_core.engine.activations import CallFailed, CallSucceeded
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.temporal.settings import within_temporal
from flowgram_server.rpc.codec import Codec

_AT_A_POINT = {"cancel", "timeout", "queued"}
"""Golden workflows that are stopped at an exact event, or wait: on a cluster the place is not the test's to choose."""
_AT_ONCE = 6


def timeless(events: Iterable[TaskEvent]) -> list[TaskEvent]:
    """Events without their times."""
    found = list(events)
    for event in found:
        _forget_times(event)
    return found


def _forget_times(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in {"time", "start_time", "end_time", "time_cost"}:
            message.ClearField(field.name)
        elif field.message_type is not None and not field.is_repeated:
            _forget_times(value)


def alone(golden: dict[str, Any]) -> tuple[list[TaskEvent], list[str]]:
    """The events that the core alone gives, and in which order its calls end."""
    answers, order = golden.get("answers", {}), list(golden.get("order", ()))

    def answer(call: Call) -> dict[str, Any]:
        outputs: dict[str, Any] = answers[call.key if call.key in answers else call.node.id]
        if "error" in outputs:
            raise NodeError(outputs["error"])
        return outputs

    def choose(calls: list[Call]) -> int:
        return [call.key for call in calls].index(order.pop(0)) if order else 0

    driven = drive(
        link_schema(golden["schema"], LLMNode(), HTTPNode(), CodeNode()),
        golden["inputs"],
        answer,
        choose,
        limits=Limits(**golden.get("limits", {})),
    )
    encoded = Codec(Secrets()).encode(driven.events)
    outcomes = [given for given, _ in driven.log if isinstance(given, CallSucceeded | CallFailed)]
    return timeless(WatchTaskResponse.FromString(encoded).events), [given.key for given in outcomes]


async def on_temporal(host: TemporalHost, answers: Answers, golden: dict[str, Any]) -> list[TaskEvent]:
    """The events that a golden workflow gives on a cluster; each call ends once the end before it has been seen."""
    _, ends = alone(golden)
    front = host.front()
    task = await front.run(TaskRequest(json.dumps(golden["schema"]), json.dumps(golden["inputs"])))
    answers.outputs[task.task_id] = golden.get("answers", {})
    ends = ends[::-1]
    if ends:
        answers.release(task.task_id, ends[-1])
    events: list[TaskEvent] = []
    async for item in front.watch(task.task_id, 0):
        assert isinstance(item, Batch)
        for event in WatchTaskResponse.FromString(item.events).events:
            events.append(event)
            changed = event.node_status_changed
            if ends and changed.snapshot.id == ends[-1] and changed.status.terminated:
                ends.pop()
                if ends:
                    answers.release(task.task_id, ends[-1])
    return timeless(events)


def load() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


async def test_golden_workflows(cluster: TemporalServer) -> None:
    """Every golden workflow gives the same events, in the same order, with the same identities."""
    answers, room = Answers(), asyncio.Semaphore(_AT_ONCE)
    types = [OrderedCalls(inner, answers) for inner in (LLMNode(), HTTPNode(), CodeNode())]
    goldens = load()
    different: dict[str, tuple[list[TaskEvent], list[TaskEvent]]] = {}
    played = 0
    async with temporal_host(cluster.address, *types) as host, host.worker():

        async def play(name: str, golden: dict[str, Any]) -> None:
            nonlocal played
            if golden.keys() & _AT_A_POINT:
                return
            settings = within_temporal(RuntimeSettings(limits=Limits(**golden.get("limits", {}))))
            own = TemporalHost(host.client, host.temporal, settings, host.node_types)
            async with room:
                checked = await own.front().validate(
                    json.dumps(golden["schema"]), json.dumps(golden["inputs"])
                )
                if checked.problems:
                    return  # the core is tested with more than a service accepts
                found, wanted = await on_temporal(own, answers, golden), alone(golden)[0]
            played += 1
            assert found[-1].task_status_changed.status.status >= Status.SUCCEEDED
            if found != wanted:
                different[name] = found, wanted

        await asyncio.gather(*(play(name, golden) for name, golden in goldens.items()))
    assert different == {}
    assert played > 60
