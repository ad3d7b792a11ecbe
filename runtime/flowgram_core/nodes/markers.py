"""The marker nodes block-start, block-end, break and continue: they have no outputs.

The engine itself carries out what break and continue mean for their loop.
"""

from typing import Final

from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject

_NOTHING: Final = NodeResult({})


class MarkerNode(Trusted):
    """A node with outputs `{}`.

    Attributes:
        type: `block-start`, `block-end`, `break` or `continue`.
    """

    def __init__(self, node_type: str) -> None:
        self.type = node_type

    def bind(self, node: Node) -> PureBehavior:  # noqa: ARG002 - all markers behave alike
        """The outputs are empty."""
        return _Marker()


class _Marker(PureBehavior):
    def run(self, scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG002
        return _NOTHING
