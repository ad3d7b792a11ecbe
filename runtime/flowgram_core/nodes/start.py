"""The start node: outputs the inputs of the task."""

from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject


class StartNode(Trusted):
    """The node that a workflow begins with."""

    type = "start"

    def bind(self, node: Node) -> PureBehavior:  # noqa: ARG002 - all start nodes behave alike
        """The outputs are the task's inputs, as they came."""
        return PureBehavior(_run)


def _run(scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG001
    return NodeResult(scope.task_inputs)
