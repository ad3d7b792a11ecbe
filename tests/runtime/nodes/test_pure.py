"""The node types that only mark a place or hand on what they get: start, end, block-start, block-end, break, continue."""

import pytest
from support.pure_nodes import run_pure
from support.scopes import Variables

from flowgram_core.engine.node_type import NodeResult
from flowgram_core.nodes.end import EndNode
from flowgram_core.nodes.markers import MarkerNode
from flowgram_core.nodes.start import StartNode


def test_start_gives_the_inputs_of_the_task() -> None:
    """As they came, without defaults, whatever the node's own inputs are."""
    scope = Variables(task_inputs={"x": 1, "extra": None})
    outputs = {"type": "object", "properties": {"y": {"type": "integer", "default": 5}}}
    assert run_pure(StartNode(), scope, inputs={"z": 1}, outputs=outputs) == NodeResult(
        {"x": 1, "extra": None}
    )


def test_end_gives_its_inputs() -> None:
    """They are the outputs of the node."""
    assert run_pure(EndNode(), Variables(), inputs={"x": 1}) == NodeResult({"x": 1})


@pytest.mark.parametrize("node_type", ["block-start", "block-end", "break", "continue"])
def test_marks_give_nothing(node_type: str) -> None:
    """Their outputs are `{}`, and they choose no branch."""
    mark = MarkerNode(node_type)
    assert mark.type == node_type
    assert run_pure(mark, Variables(), inputs={"x": 1}) == NodeResult({}, "")
