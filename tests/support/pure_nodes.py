"""Runs pure node types as the engine does, without it."""

from typing import Any

from flowgram_core.engine.node_type import NodeResult, NodeType, PureBehavior, RunScope
from flowgram_core.modeling.bindings import compile_inputs
from flowgram_core.modeling.compiler import compile_declarations
from flowgram_core.modeling.document import Node


def run_pure(
    node_type: NodeType,
    scope: RunScope,
    data: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
    outputs: dict[str, Any] | None = None,
) -> NodeResult:
    """What a node of the id `node_0` gives. Raises what it raises."""
    node = Node(
        id="node_0",
        type=node_type.type,
        title="",
        data=data or {},
        resolve_inputs=compile_inputs(None, None),
        outputs=compile_declarations(outputs),
    )
    behavior = node_type.bind(node)
    assert isinstance(behavior, PureBehavior)
    return behavior.run(scope, inputs or {})
