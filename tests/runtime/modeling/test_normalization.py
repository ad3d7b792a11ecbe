import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import edge, end, node, start

from flowgram_core.modeling.normalization import normalize
from flowgram_core.modeling.validation import validate_schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "group", "comment", "loop"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["nodes", "edges", "blocks", "type", "data", "meta", "id", "sourcePortID"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_is_malformed_does_no_harm(schema: Any) -> None:
    """Any JSON value is taken, and one that is normalized already stays as it is."""
    once = normalize(schema)
    assert normalize(copy.deepcopy(once)) == once


def test_a_schema_without_oddities_stays_as_it_is() -> None:
    """Nothing is added to it, and nothing moved."""
    schema = {"nodes": [start(x="integer"), node("g", "group"), end()], "edges": [edge("start_0", "end_0")]}
    assert normalize(copy.deepcopy(schema)) == schema


@pytest.mark.parametrize(("port", "text"), [(0, "0"), (1.5, "1.5"), (1.0, "1")])
def test_port_ids_that_are_numbers(port: float, text: str) -> None:
    """They become what JavaScript prints; a boolean is none, and stays a problem."""
    (given_edge,) = normalize({"nodes": [], "edges": [{"sourcePortID": port, "targetPortID": port}]})["edges"]
    assert given_edge == {"sourcePortID": text, "targetPortID": text}
    assert normalize({"nodes": [], "edges": [{"sourcePortID": True}]})["edges"] == [{"sourcePortID": True}]


def test_nodes_of_groups_move_to_the_graph_around() -> None:
    """Behind their group, in their order; in blocks of loops, too. Edges follow those of the graph."""
    inner = {"id": "inner", "type": "group", "blocks": [node("b", "llm")], "edges": [edge("a", "b")]}
    group = {"id": "g", "type": "group", "blocks": [node("a", "llm"), inner], "edges": [edge("b", "be")]}
    blocks = [node("bs", "block-start"), group, node("be", "block-end")]
    loop = node("loop_0", "loop", blocks=blocks, edges=[edge("bs", "a")])
    schema = {"nodes": [start(), loop, end()], "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]}
    (_, loop, _) = normalize(schema)["nodes"]
    assert [each["id"] for each in loop["blocks"]] == ["bs", "g", "a", "inner", "b", "be"]
    assert loop["edges"] == [edge("bs", "a"), edge("b", "be"), edge("a", "b")]
    assert validate_schema(schema) == ()


def test_only_nodes_of_the_picture_may_lack_parts() -> None:
    """Of other nodes, missing data or meta stay problems."""
    schema = {"nodes": [{"id": "a", "type": "comment"}, {"id": "b", "type": "llm"}], "edges": []}
    paths = [problem.path for problem in validate_schema(normalize(schema))]
    assert [path for path in paths if path.startswith("schema.nodes[0]")] == []
    assert [path for path in paths if path.startswith("schema.nodes[1]")] == [
        "schema.nodes[1].meta",
        "schema.nodes[1].data",
    ]


@pytest.mark.parametrize("kind", ["comment", "group"])
def test_null_in_a_node_of_the_picture_is_as_if_absent(kind: str) -> None:
    """It says nothing that anybody needs; in other nodes null is malformed."""
    nulls = dict.fromkeys(("meta", "data", "blocks", "edges"))
    picture = {"id": "p", "type": kind, **nulls}
    assert normalize({"nodes": [picture], "edges": []})["nodes"] == [
        {"id": "p", "type": kind, "meta": {}, "data": {}}
    ]
    other = {"id": "n", "type": "code", **nulls}
    assert normalize({"nodes": [dict(other)], "edges": []})["nodes"] == [other]
