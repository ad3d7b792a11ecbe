"""Node types of other packages, in a running application: what they do to others, and what their mistakes do."""

from typing import Any

import pytest
from support.fakes import running_application
from support.graphs import constant, declare, edge, end, node, ref, start

from flowgram_core.engine.node_type import Behavior, Call, CallBehavior, NodeResult, PureBehavior
from flowgram_core.hosting.program_cache import Validation
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling import json_text
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.executor import CallContext


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


class Broken:
    """A node type that raises, or gives a set, where a test says.

    Args:
        where: `bind`, `run` or `prepare`.
    """

    type = "foreign"

    def __init__(self, where: str) -> None:
        self._where = where

    def bind(self, node: Node) -> Behavior:
        if self._where == "bind":
            raise ZeroDivisionError("detail")
        given: Any = {"v": {1}}
        if self._where == "run":
            return PureBehavior(lambda scope, inputs: NodeResult(given))
        return CallBehavior(lambda scope, inputs: given)


@pytest.mark.parametrize(
    ("where", "text", "detail"),
    [
        ("bind", "Node type foreign failed with an internal error", "ZeroDivisionError: detail"),
        ("run", "Node type foreign gave outputs that are no JSON: set is no JSON value", "TypeError: set"),
        (
            "prepare",
            "Node type foreign gave inputs of a call that are no JSON: set is no JSON value",
            "TypeError: set",
        ),
    ],
)
async def test_a_node_type_that_is_broken_breaks_its_node(
    where: str, text: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The task is accepted, and fails when it comes to the node; the log has where the mistake is. The schema is valid."""
    async with running_application(Broken(where)) as application:
        assert await application.validate(one_node(), "") == Validation()
        record = await application.run(TaskRequest(one_node()))
        record = await application.wait(record.task_id)
        assert record.result == f"('FAILED', None, ['{text}'])".encode()
    (line,) = [vars(found) for found in caplog.records if found.getMessage() == "a node type raised"]
    assert (line["task_id"], line["node_id"]) == ("task-1", "a")
    assert detail in line["exception"]
    assert "test_foreign_node_types.py" in line["exception"] or where != "bind"
