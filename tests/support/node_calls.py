"""Runs single node types as the engine and the host do, without either."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.engine.node_type import Call, CallBehavior, NodeType
from flowgram_core.modeling.bindings import compile_inputs
from flowgram_core.modeling.document import Node
from support.scopes import Variables


@dataclass
class FakeContext:
    """Keeps the deltas."""

    task_id: str = "task-1"
    namespace: str = "default"
    idempotency_key: str = "task-1/node_0"
    deltas: list[str] = field(default_factory=list)

    @property
    def owner(self) -> Owner:
        return Owner(self.namespace, self.task_id)

    def emit_delta(self, text: str) -> None:
        self.deltas.append(text)


def make_node(node_type: str, data: dict[str, Any]) -> Node:
    return Node(id="node_0", type=node_type, title="", data=data, resolve_inputs=compile_inputs(None, None))


def prepare(
    node_type: NodeType,
    data: dict[str, Any],
    inputs: dict[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Call:
    """The call of a node with these data and inputs. Raises what its preparation raises."""
    node = make_node(node_type.type, data)
    behavior = node_type.bind(node)
    assert isinstance(behavior, CallBehavior)
    return Call("node_0", node, behavior.prepare(Variables(dict(variables or {})), inputs or {}))
