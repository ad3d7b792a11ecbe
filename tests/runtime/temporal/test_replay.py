"""Recorded histories: this version gets to exactly what is recorded, and one that does not is noticed."""

import asyncio
import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("temporalio")

from support.events import changed
from support.temporal_histories import FOLDER, AnsweringCalls
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from flowgram_core.engine.events import Event
from flowgram_core.engine.node_type import Behavior, NodeType
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.condition.node import ConditionNode
from flowgram_core.nodes.registry import Registry, pure_node_types
from flowgram_core.temporal.payload_codec import data_converter
from flowgram_core.temporal.settings import within_temporal
from flowgram_core.temporal.task_environment import TaskEnvironment, provide
from flowgram_core.temporal.task_workflow import TaskWorkflow
from flowgram_server.rpc.codec import Codec

HISTORIES = sorted(FOLDER.glob("*.json.gz"))


class OtherCodec(Codec):
    """Encodes one event otherwise: a release that writes events in another way."""

    def masking(self, names: Iterable[str]) -> "OtherCodec":
        return OtherCodec(Secrets(names))

    def encode(self, events: Sequence[Event]) -> bytes:
        return super().encode([changed(event, at=event.at + 1) for event in events])


class OtherConditions:
    """Conditions that choose by another rule: a release with another meaning."""

    type = "condition"

    def bind(self, node: Node) -> Behavior:
        conditions = node.data["conditions"]
        turned = {**node.data, "conditions": [_turned(found) for found in conditions]}
        return ConditionNode().bind(Node(node.id, node.type, node.title, turned, node.resolve_inputs))


def _turned(found: dict[str, object]) -> dict[str, object]:
    value = found["value"]
    assert isinstance(value, dict)
    return {**found, "value": {**value, "operator": "lte"}}


async def replayed(path: Path, *more: NodeType, codec: Codec | None = None) -> Exception | None:
    """What goes wrong when a history is replayed."""
    settings = within_temporal(RuntimeSettings())
    registry = Registry((*pure_node_types(), AnsweringCalls(), *more))
    environment = TaskEnvironment(registry.node_types, settings, codec or Codec(Secrets()))
    replayer = Replayer(
        workflows=[TaskWorkflow],
        data_converter=data_converter({}, unencrypted=True),
        interceptors=[provide(environment)],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    text = await asyncio.to_thread(lambda: gzip.decompress(path.read_bytes()).decode())
    history = WorkflowHistory.from_json(path.stem, text)
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name.partition(".")[0])
async def test_histories_are_replayed(path: Path) -> None:
    """Tasks that run on another worker, or after an upgrade, go on: loops, calls side by side, ends of all kinds."""
    assert await replayed(path) is None


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.name.partition(".")[0])
async def test_other_bytes_are_noticed(path: Path) -> None:
    """Where events differ by one bit, the task stands still instead of telling something else than it has shown."""
    assert await replayed(path, codec=OtherCodec(Secrets())) is not None


@pytest.mark.parametrize("name", ["loop_1", "continued_1", "pure_1"])
async def test_another_meaning_is_noticed(name: str) -> None:
    """A core that takes another path through a workflow fails on the histories that go through it."""
    assert await replayed(FOLDER / f"{name}.json.gz", OtherConditions()) is not None
