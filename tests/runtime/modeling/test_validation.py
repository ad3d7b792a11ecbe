import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.inputs_validation import MAX_PROBLEMS
from flowgram_core.modeling.schema import WorkflowSchema
from flowgram_core.modeling.validation import MAX_BLOCK_DEPTH, validate_schema

CYCLE = "Workflow schema contains a cycle, which is not allowed"


def node(node_id: str, node_type: str = "llm", **members: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"outputs": {"type": "object"}} if node_type == "start" else {}
    return {"id": node_id, "type": node_type, "meta": {"position": {"x": 0, "y": 0}}, "data": data, **members}


def edge(source: str, target: str, **members: Any) -> dict[str, Any]:
    return {"sourceNodeID": source, "targetNodeID": target, **members}


def workflow(*nodes: Any, edges: Any = ()) -> dict[str, Any]:
    return {"nodes": [node("s", "start"), *nodes, node("e", "end")], "edges": list(edges)}


def loop(node_id: str, *blocks: Any, edges: Any = (), **members: Any) -> dict[str, Any]:
    ends = (node(f"{node_id}_bs", "block-start"), node(f"{node_id}_be", "block-end"))
    return node(node_id, "loop", blocks=[*ends, *blocks], edges=list(edges), **members)


def test_a_valid_schema_has_no_problems() -> None:
    """Start, end, a loop with a graph inside, a diamond, unknown types and members: nothing to complain about."""
    schema = workflow(
        loop("l", node("a", "no-such-type"), edges=[edge("l_bs", "a"), edge("a", "l_be", sourcePortID="p")]),
        node("b", extra=None),
        node("g", "group", data={"title": "", "blockIDs": ["b"]}),
        edges=[edge("s", "l"), edge("s", "b"), edge("l", "e"), edge("b", "e"), edge("b", "e")],
    )
    assert validate_schema({**schema, "groups": None, "globalVariable": 5}) == ()


@pytest.mark.parametrize("schema", [None, True, 5, "text", [], [{}]])
def test_a_schema_is_an_object(schema: Any) -> None:
    """Any other JSON value is refused as a whole."""
    assert validate_schema(schema) == (Problem("schema", "Workflow schema must be a valid object"),)


@pytest.mark.parametrize("value", [None, {}, "nodes", 5])
def test_nodes_and_edges_are_arrays(value: Any) -> None:
    """Missing or of another kind, each is reported."""
    nodes = Problem("schema.nodes", "Workflow schema must have a valid nodes array")
    edges = Problem("schema.edges", "Workflow schema must have a valid edges array")
    assert validate_schema({}) == (nodes, edges)
    assert validate_schema({"nodes": value, "edges": value}) == (nodes, edges)
    assert validate_schema({**workflow(), "edges": value}) == (edges,)


@pytest.mark.parametrize(
    ("members", "member", "text"),
    [
        ({"id": ""}, "id", "must be a non-empty string"),
        ({"id": " \n\u3000"}, "id", "must be a non-empty string"),
        ({"id": 5}, "id", "must be a non-empty string"),
        ({"id": "\ud800"}, "id", "must be valid Unicode"),
        ({"type": None}, "type", "must be a non-empty string"),
        ({"meta": None}, "meta", "must be a valid object"),
        ({"meta": []}, "meta", "must be a valid object"),
        ({"data": "x"}, "data", "must be a valid object"),
        ({"data": []}, "data", "must be a valid object"),
        ({"blocks": None}, "blocks", "must be an array if present"),
        ({"blocks": {}}, "blocks", "must be an array if present"),
        ({"edges": ""}, "edges", "must be an array if present"),
        ({"data": {"inputs": None}}, "data.inputs", "must be a valid object if present"),
        ({"data": {"inputs": []}}, "data.inputs", "must be a valid object if present"),
        ({"data": {"outputs": 5}}, "data.outputs", "must be a valid object if present"),
        ({"data": {"inputsValues": "x"}}, "data.inputsValues", "must be a valid object if present"),
        ({"data": {"title": None}}, "data.title", "must be a string if present"),
    ],
)
def test_the_members_of_a_node(members: dict[str, Any], member: str, text: str) -> None:
    """Each malformed member is named, inside blocks too, where the text counts from the block's own nodes."""
    broken = node("x", **members)
    assert validate_schema(workflow(broken)) == (
        Problem(f"schema.nodes[1].{member}", f"nodes[1].{member} {text}"),
    )
    assert validate_schema(workflow(loop("l", broken))) == (
        Problem(f"schema.nodes[1].blocks[2].{member}", f"nodes[2].{member} {text}"),
    )


def test_members_that_are_missing() -> None:
    """A node needs id, type, meta and data; an edge needs both ends."""
    problems = validate_schema({**workflow({}), "edges": [{}]})
    assert [problem.text for problem in problems[:6]] == [
        "nodes[1].id must be a non-empty string",
        "nodes[1].type must be a non-empty string",
        "nodes[1].meta must be a valid object",
        "nodes[1].data must be a valid object",
        "edges[0].sourceNodeID must be a non-empty string",
        "edges[0].targetNodeID must be a non-empty string",
    ]


@pytest.mark.parametrize("end", [None, "", 5, True, [], {}])
def test_an_edge_with_a_malformed_end_is_reported_once(end: Any) -> None:
    """It is no edge to a node that does not exist as well."""
    problems = validate_schema({**workflow(), "edges": [{"sourceNodeID": end, "targetNodeID": "e"}]})
    assert [problem.text for problem in problems if problem.path.endswith("sourceNodeID")] == [
        "edges[0].sourceNodeID must be a non-empty string"
    ]


@pytest.mark.parametrize("member", [None, [], 5, "x"])
def test_nodes_and_edges_are_objects(member: Any) -> None:
    """Whatever else lies in the arrays is named by its position."""
    assert validate_schema({**workflow(member), "edges": [member]}) == (
        Problem("schema.nodes[1]", "nodes[1] must be a valid object"),
        Problem("schema.edges[0]", "edges[0] must be a valid object"),
    )


@pytest.mark.parametrize("member", ["sourcePortID", "targetPortID"])
@pytest.mark.parametrize("value", [None, 5, []])
def test_ports_are_strings(member: str, value: Any) -> None:
    """A port may be missing, not null; inside blocks the text counts from the block's own edges."""
    broken = edge("s", "e", **{member: value})
    text = f"edges[0].{member} must be a string if present"
    assert validate_schema(workflow(edges=[broken])) == (Problem(f"schema.edges[0].{member}", text),)
    inner = edge("l_bs", "l_be", **{member: value})
    assert validate_schema(workflow(loop("l", edges=[inner]))) == (
        Problem(f"schema.nodes[1].edges[0].{member}", text),
    )


def test_all_problems_are_reported_in_order() -> None:
    """By rule, then by graph from the outside in, then nodes before edges, then by position."""
    schema = {
        "nodes": [
            loop(
                "l",
                node("a", meta=None),
                edges=[edge("a", "a"), edge("l_bs", "nowhere", sourcePortID=1)],
                data=5,
            ),
            node("s", "start", data={"title": 1, "outputs": {}}, blocks=5),
            node("a"),
        ],
        "edges": [edge("", "s"), edge("s", "l"), edge("l", "s")],
    }
    assert validate_schema(schema) == (
        Problem("schema.nodes[0].data", "nodes[0].data must be a valid object"),
        Problem("schema.nodes[1].blocks", "nodes[1].blocks must be an array if present"),
        Problem("schema.nodes[1].data.title", "nodes[1].data.title must be a string if present"),
        Problem("schema.edges[0].sourceNodeID", "edges[0].sourceNodeID must be a non-empty string"),
        Problem("schema.nodes[0].blocks[2].meta", "nodes[2].meta must be a valid object"),
        Problem("schema.nodes[0].edges[1].sourcePortID", "edges[1].sourcePortID must be a string if present"),
        Problem("schema.edges[1]", CYCLE),
        Problem("schema.nodes[0].edges[0]", CYCLE),
        Problem(
            "schema.nodes[0].edges[1].targetNodeID", 'Workflow schema edge target node "nowhere" not exist'
        ),
        Problem("schema.nodes", "Workflow schema must have an end node"),
        Problem("schema.nodes[0].blocks[2].id", 'Workflow schema node id "a" is not unique'),
    )


@pytest.mark.parametrize(
    ("types", "texts"),
    [
        ([], ["must have a start node and an end node"]),
        (["llm"], ["must have a start node and an end node"]),
        (["end"], ["must have a start node"]),
        (["start"], ["must have an end node"]),
        (["start", "start", "end"], ["must have only one start node"]),
        (["start", "end", "end"], ["must have only one end node"]),
        (["start", "start"], ["must have an end node", "must have only one start node"]),
        (["start", "start", "end", "end"], ["must have only one start node", "must have only one end node"]),
    ],
)
def test_one_start_and_one_end(types: list[str], texts: list[str]) -> None:
    """The root has exactly one of each."""
    nodes = [node(f"n{index}", node_type) for index, node_type in enumerate(types)]
    expected = tuple(Problem("schema.nodes", f"Workflow schema {text}") for text in texts)
    assert validate_schema({"nodes": nodes, "edges": []}) == expected


@pytest.mark.parametrize(
    ("types", "texts"),
    [
        ([], ["must have a block-start node and a block-end node"]),
        (["start", "end"], ["must have a block-start node and a block-end node"]),
        (["block-end"], ["must have a block-start node"]),
        (["block-start"], ["must have an block-end node"]),
        (["block-start", "block-start", "block-end"], ["must have only one block-start node"]),
        (["block-start", "block-end", "block-end"], ["must have only one block-end node"]),
    ],
)
@pytest.mark.parametrize("node_type", ["loop", "group", "llm"])
def test_one_block_start_and_one_block_end(types: list[str], texts: list[str], node_type: str) -> None:
    """Every list of blocks has exactly one of each, an empty one and one of any type of node included."""
    blocks = [node(f"n{index}", inner_type) for index, inner_type in enumerate(types)]
    expected = tuple(Problem("schema.nodes[1].blocks", f"Workflow block schema {text}") for text in texts)
    assert validate_schema(workflow(node("x", node_type, blocks=blocks))) == expected


def test_edges_stay_in_their_graph() -> None:
    """An edge cannot lead into a block, out of one, or nowhere."""
    schema = workflow(
        loop("l", node("a"), edges=[edge("a", "e")]),
        edges=[edge("s", "a"), edge("x", "y")],
    )
    assert validate_schema(schema) == (
        Problem("schema.edges[0].targetNodeID", 'Workflow schema edge target node "a" not exist'),
        Problem("schema.edges[1].sourceNodeID", 'Workflow schema edge source node "x" not exist'),
        Problem("schema.edges[1].targetNodeID", 'Workflow schema edge target node "y" not exist'),
        Problem("schema.nodes[1].edges[0].targetNodeID", 'Workflow schema edge target node "e" not exist'),
    )


def test_blocks_need_no_edges() -> None:
    """A loop without `edges` has blocks that are not connected."""
    bare = loop("l")
    del bare["edges"]
    assert validate_schema(workflow(bare)) == ()


def test_a_cycle_anywhere() -> None:
    """Cycles are found in parts that nothing leads to, and in each graph for itself."""
    schema = workflow(
        node("a"),
        node("b"),
        loop("l", node("c"), edges=[edge("c", "c")]),
        edges=[edge("s", "e"), edge("a", "b"), edge("b", "a")],
    )
    assert validate_schema(schema) == (
        Problem("schema.edges[2]", CYCLE),
        Problem("schema.nodes[3].edges[0]", CYCLE),
    )


@given(st.integers(min_value=0), st.integers(1, 8), st.floats(0, 0.6))
def test_cycles_are_those_that_removing_leaves_does_not_dissolve(
    seed: int, size: int, density: float
) -> None:
    """On random graphs the search agrees with Kahn's algorithm."""
    chance = random.Random(seed)  # noqa: S311 - shapes of graphs, not secrets
    pairs = [(a, b) for a in range(size) for b in range(size) if chance.random() < density]
    edges = [edge(f"n{a}", f"n{b}") for a, b in pairs]
    texts = {
        problem.text
        for problem in validate_schema(workflow(*(node(f"n{i}") for i in range(size)), edges=edges))
    }
    left = set(range(size))
    while leaves := {a for a in left if not any(source == a and target in left for source, target in pairs)}:
        left -= leaves
    assert texts == ({CYCLE} if left else set())


def test_ids_are_unique_in_the_whole_schema() -> None:
    """Every further use of an id is reported, across blocks."""
    schema = workflow(node("a"), loop("l", node("s"), loop("m", node("a"))), node("a"))
    assert validate_schema(schema) == (
        Problem("schema.nodes[3].id", 'Workflow schema node id "a" is not unique'),
        Problem("schema.nodes[2].blocks[2].id", 'Workflow schema node id "s" is not unique'),
        Problem("schema.nodes[2].blocks[3].blocks[2].id", 'Workflow schema node id "a" is not unique'),
    )


def test_a_start_node_without_outputs() -> None:
    """It would refuse all inputs, and is refused itself."""
    schema = workflow()
    schema["nodes"][0]["data"] = {}
    assert validate_schema(schema) == (
        Problem(
            "schema.nodes[0].data.outputs",
            "Workflow schema start node must have outputs, which declare the inputs of the workflow",
        ),
    )


def test_a_long_chain() -> None:
    """The length of a path is no matter: nothing recurses along edges."""
    nodes = [node(f"n{index}") for index in range(10_000)]
    chain = [edge(f"n{index}", f"n{index + 1}") for index in range(9_999)]
    assert validate_schema(workflow(*nodes, edges=chain)) == ()
    (problem,) = validate_schema(workflow(*nodes, edges=[*chain, edge("n9999", "n0")]))
    assert problem == Problem("schema.edges[9999]", CYCLE)


def test_a_layered_graph_is_not_walked_path_by_path() -> None:
    """A graph with more paths than can be counted takes no longer than its edges."""
    nodes = [node(f"n{layer}_{index}") for layer in range(100) for index in range(3)]
    edges = [
        edge(f"n{layer}_{a}", f"n{layer + 1}_{b}") for layer in range(99) for a in range(3) for b in range(3)
    ]
    assert validate_schema(workflow(*nodes, edges=edges)) == ()


def nested(depth: int) -> dict[str, Any]:
    inner = loop("l0")
    for level in range(1, depth):
        inner = loop(f"l{level}", inner)
    return workflow(inner)


def test_the_nesting_of_blocks_has_a_limit() -> None:
    """Deeper blocks are refused, and do not exhaust the stack."""
    assert validate_schema(nested(MAX_BLOCK_DEPTH)) == ()
    for depth in (MAX_BLOCK_DEPTH + 1, 5_000):
        (problem,) = validate_schema(nested(depth))
        assert (
            problem.text
            == f"Workflow schema blocks must not be nested more than {MAX_BLOCK_DEPTH} levels deep"
        )
        assert problem.path.startswith("schema.nodes[1].blocks[2].blocks[2].blocks")


@pytest.mark.parametrize(
    "schema",
    [
        {"nodes": [0] * 2_000, "edges": []},
        {"nodes": [{}] * 2_000, "edges": [{}] * 2_000},
        workflow(loop("l") | {"blocks": [0] * 2_000, "edges": [0] * 2_000}),
        workflow(*[node("a")] * 2_000),
        workflow(edges=[edge("nobody", "s")] * 2_000),
    ],
    ids=["nodes", "members", "blocks", "ids", "edges"],
)
def test_of_very_many_problems_the_first_are_reported(schema: Any) -> None:
    """And that there are more: a text may have one at every other byte."""
    problems = validate_schema(schema)
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == Problem("schema", f"only the first {MAX_PROBLEMS} problems are listed")


MEMBERS = st.sampled_from(
    [
        "id",
        "type",
        "meta",
        "data",
        "blocks",
        "edges",
        "nodes",
        "title",
        "outputs",
        "sourceNodeID",
        "targetNodeID",
        "sourcePortID",
    ]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["start", "end"]),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(MEMBERS | st.text(), values, max_size=8),
    max_leaves=30,
)


@st.composite
def damaged_schemas(draw: st.DrawFn) -> Any:
    """A valid schema, some of its values replaced by others."""
    schema = workflow(
        loop("l", node("a"), loop("m"), edges=[edge("a", "m", sourcePortID="p")]),
        edges=[edge("s", "l"), edge("l", "e")],
    )
    for _ in range(draw(st.integers(1, 3))):
        place: Any = schema
        while keys := list(place if isinstance(place, dict) else range(len(place))):
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or draw(st.booleans()):
                place[key] = draw(json_values)
                break
            place = place[key]
    return schema


@given(json_values | damaged_schemas())
def test_any_json_value_gets_an_answer(schema: Any) -> None:
    """Nothing raises; texts are valid Unicode; and what has no problem, the models accept."""
    problems = validate_schema(schema)
    for problem in problems:
        assert problem.path.startswith("schema")
        assert problem.text.encode()
    if not problems:
        WorkflowSchema.model_validate(schema)
