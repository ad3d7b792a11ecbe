"""Node types of other packages, in a running application: what they do to others."""

from typing import Any

from support.fakes import running_application
from support.graphs import constant, declare, edge, end, node, ref, start

from flowgram_runtime.application import TaskRequest
from flowgram_runtime.engine.node_type import Call, CallBehavior
from flowgram_runtime.modeling import json_text
from flowgram_runtime.modeling.document import Node
from flowgram_runtime.nodes.executor import CallContext


def one_node(node_type: str = "foreign") -> str:
    """start, a node with a constant list `c`, end, which gives the node's output `v`."""
    array = {"type": "array", "items": {"type": "integer"}}
    data = {
        "notes": {"seen": []},
        "inputs": declare(c=array),
        "inputsValues": {"c": constant([1])},
        "outputs": declare(v=array),
    }
    nodes = [start(), node("a", node_type, data), end(v=(array, ref("a", "v")))]
    return json_text.dumps({"nodes": nodes, "edges": [edge("start_0", "a"), edge("a", "end_0")]})


class Changing:
    """A node type whose executor changes all that it gets."""

    type = "foreign"

    def bind(self, node: Node) -> CallBehavior:
        return CallBehavior(lambda scope, inputs: inputs)

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        call.inputs["c"].append(2)
        call.node.data["notes"]["seen"].append(3)
        return {"v": call.inputs["c"] + call.node.data["notes"]["seen"]}


async def test_an_executor_cannot_change_the_schema_for_others() -> None:
    """Each call of a schema begins with what the schema says, whatever the calls before it did with it."""
    async with running_application(Changing()) as application:
        for _ in range(3):
            record = await application.run(TaskRequest(one_node()))
            record = await application.wait(record.task_id)
            assert record.result == b"('SUCCEEDED', {'v': [1, 2, 3]}, [])"
