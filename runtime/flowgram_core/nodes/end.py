"""The end node: its inputs are its outputs, and the outputs of the task."""

from typing import Any, Final

from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject


class EndNode(Trusted):
    """The node that collects the outputs of a workflow."""

    type = "end"

    def bind(self, node: Node) -> PureBehavior:  # noqa: ARG002 - all end nodes behave alike
        """The outputs are the inputs; the engine makes them the task's."""
        return _End()


class _End(PureBehavior):
    def run(self, scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG002
        result: NodeResult = _new(NodeResult, (inputs, ""))
        return result


# A NamedTuple's own constructor costs twice as much.
_new: Final[Any] = tuple.__new__
