from typing import Any

from support.graphs import declare, edge, end, node, start

from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.validation import validate_schema
from flowgram_core.modeling.warnings import MAX_WARNINGS, find_warnings


def workflow(*nodes: dict[str, Any], edges: list[dict[str, Any]], **inputs: str) -> dict[str, Any]:
    schema = {"nodes": [start(**inputs), *nodes, end()], "edges": edges}
    assert validate_schema(schema) == ()
    return schema


def loop(*edges: dict[str, Any]) -> dict[str, Any]:
    blocks = [node("bs", "block-start", {}), node("inner", "llm", {}), node("be", "block-end", {})]
    return {**node("loop_0", "loop", {}), "blocks": blocks, "edges": list(edges)}


def test_a_workflow_without_oddities() -> None:
    """Comments and groups need no edges, and declared inputs are no matter, be they given or not."""
    schema = workflow(
        loop(edge("bs", "inner"), edge("inner", "be")),
        node("note", "comment", {}),
        node("frame", "group", {}),
        edges=[edge("start_0", "loop_0"), edge("loop_0", "end_0")],
        x="integer",
        y="string",
    )
    assert find_warnings(schema, {"x": 1}) == ()
    assert find_warnings(schema) == ()


def test_nodes_that_can_never_run() -> None:
    """Those that no path leads to from the start, in the workflow and in a loop; an edge from another such node is none."""
    schema = workflow(
        loop(edge("bs", "be")),
        node("lost", "llm", {}),
        node("after", "llm", {}),
        edges=[
            edge("start_0", "loop_0"),
            edge("loop_0", "end_0"),
            edge("lost", "after"),
            edge("after", "end_0"),
        ],
    )
    assert find_warnings(schema) == (
        Problem("schema.nodes[2]", 'Node "lost" can never run: no edges lead to it from the start'),
        Problem("schema.nodes[3]", 'Node "after" can never run: no edges lead to it from the start'),
        Problem(
            "schema.nodes[1].blocks[1]", 'Node "inner" can never run: no edges lead to it from the start'
        ),
    )


def test_a_loop_whose_block_has_no_edges() -> None:
    """It is one warning, not one for each node inside."""
    schema = workflow(loop(), edges=[edge("start_0", "loop_0"), edge("loop_0", "end_0")])
    text = 'Loop "loop_0" has no edges between its blocks: nothing in it runs'
    assert find_warnings(schema) == (Problem("schema.nodes[1].edges", text),)


def test_an_expression() -> None:
    """It is named with its input and its node."""
    values = {"a": {"type": "constant", "content": 1}, "b": {"type": "expression", "content": "1 + 1"}}
    asks = node("llm_0", "llm", {"inputs": declare(a="integer", b="integer"), "inputsValues": values})
    schema = workflow(asks, edges=[edge("start_0", "llm_0"), edge("llm_0", "end_0")])
    (warning,) = find_warnings(schema)
    assert warning.path == "schema.nodes[1].data.inputsValues.b"
    assert warning.text.startswith('Input "b" of node "llm_0" is an expression, which is not evaluated')


def test_inputs_that_nobody_declared() -> None:
    """Each is named, in the order in which they were given."""
    schema = workflow(edges=[edge("start_0", "end_0")], x="integer")
    assert find_warnings(schema, {"z\ud800": 0, "x": 1, "y": 2}) == (
        Problem("inputs.z\ufffd", 'Input "z\ufffd" is not declared by the start node: no node can use it'),
        Problem("inputs.y", 'Input "y" is not declared by the start node: no node can use it'),
    )


def test_very_many_warnings_are_cut() -> None:
    """Only the first are given."""
    lost = [node(f"n{number}", "llm", {}) for number in range(MAX_WARNINGS + 1)]
    assert len(find_warnings(workflow(*lost, edges=[edge("start_0", "end_0")]))) == MAX_WARNINGS
