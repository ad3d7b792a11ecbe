"""The compiler: from the text of a schema to a Document."""

import hashlib
from typing import Any

import pytest
from support.graphs import constant, declare, edge, end, node, ref, start
from support.scopes import Variables

from flowgram_core.modeling import json_text
from flowgram_core.modeling.compiler import compile_declarations, compile_schema, digest
from flowgram_core.modeling.document import Declaration, Document, Graph, Node
from flowgram_core.modeling.errors import SchemaInvalid
from flowgram_core.modeling.values import UNDEFINED


def compiled(nodes: list[dict[str, Any]], edges: list[dict[str, Any]], **more: Any) -> Document:
    return compile_schema(json_text.dumps({"nodes": nodes, "edges": edges, **more}))


def by_id(graph: Graph) -> dict[str, Node]:
    return {found.id: found for found in graph.nodes}


def waits(graph: Graph) -> dict[str, int]:
    return {found.id: found.waits for found in graph.nodes}


def test_nodes_keep_the_order_of_the_schema() -> None:
    """Positions are places in the schema's list; the start is known by its position."""
    document = compiled([end(), node("a", "code"), start()], [edge("start_0", "a"), edge("a", "end_0")])
    assert [found.id for found in document.root.nodes] == ["end_0", "a", "start_0"]
    assert document.root.start == 2
    assert [(outgoing.port, outgoing.target) for outgoing in by_id(document.root)["a"].edges] == [
        ("defaultOutput", 0)
    ]


def test_edges_keep_their_order_and_ports() -> None:
    """The edges of a node come in the order of the schema; an edge that names no port has the default one."""
    edges = [
        edge("if", "end_0", "b"),
        edge("start_0", "if"),
        edge("if", "a", "a"),
        edge("if", "end_0", ""),
        edge("if", "a"),
    ]
    document = compiled([start(), node("if", "condition"), node("a", "code"), end()], edges)
    found = by_id(document.root)["if"].edges
    assert [(outgoing.port, outgoing.target) for outgoing in found] == [
        ("b", 3),
        ("a", 2),
        ("", 3),
        ("defaultOutput", 2),
    ]


def test_a_node_waits_for_its_edges_from_nodes_that_can_be_reached() -> None:
    """Edges from nodes that cannot be reached from the start do not count, nor do those nodes' own."""
    nodes = [start(), node("a", "code"), node("lost", "code"), node("behind", "code"), end()]
    edges = [
        edge("start_0", "a"),
        edge("start_0", "end_0"),
        edge("a", "end_0"),
        edge("lost", "behind"),
        edge("behind", "end_0"),
    ]
    document = compiled(nodes, edges)
    assert waits(document.root) == {"start_0": 0, "a": 1, "lost": 0, "behind": 0, "end_0": 2}


def test_two_edges_between_two_nodes_count_twice() -> None:
    """Each edge is decided for itself."""
    document = compiled([start(), end()], [edge("start_0", "end_0", "a"), edge("start_0", "end_0", "b")])
    assert waits(document.root)["end_0"] == 2


def test_the_data_of_a_node_is_what_is_left() -> None:
    """Title, inputs, their values and outputs are worked out; the rest is the node type's."""
    data = {
        "title": "A",
        "inputs": declare(x="integer"),
        "inputsValues": {"x": constant(5)},
        "outputs": declare(y={"type": "array", "items": {"type": "string"}, "default": "[1]"}),
        "script": {"content": "x"},
        "extra": None,
    }
    document = compiled([start(), node("a", "code", data), end()], [edge("start_0", "a"), edge("a", "end_0")])
    found = by_id(document.root)["a"]
    assert found.title == "A"
    assert found.type == "code"
    assert found.data == {"script": {"content": "x"}, "extra": None}
    assert found.resolve_inputs(Variables()) == {"x": 5}
    assert found.outputs == (Declaration("y", "array", "string", [1]),)
    assert document.nodes == 3


def test_a_script_without_declared_inputs_has_all_values() -> None:
    """Of whatever types they are; what is absent stays away. Other nodes take nothing that they do not declare."""
    values = {
        "a": constant(5),
        "b": constant({"c": [1]}),
        "d": constant(None),
        "e": ref("start_0", "f"),
        "g": ref("x", "y"),
    }
    data = {"inputsValues": values}
    document = compiled([start(), node("code_0", "code", data), node("llm_0", "llm", data), end()], [])
    found = by_id(document.root)
    variables = Variables({"start_0.f": "text"})
    assert found["code_0"].resolve_inputs(variables) == {"a": 5, "b": {"c": [1]}, "e": "text"}
    assert found["llm_0"].resolve_inputs(variables) == {}


def test_a_node_without_title_is_named_after_its_id() -> None:
    """FlowGram's name for it."""
    document = compiled([start(), end()], [edge("start_0", "end_0")])
    assert by_id(document.root)["end_0"].title == "end-end_0-untitled"


def test_blocks_of_loops_are_graphs_of_their_own() -> None:
    """A loop's block is compiled as the workflow is, at any depth; its nodes count as well."""
    inner = node(
        "inner",
        "loop",
        {"loopFor": ref("outer_locals", "item")},
        blocks=[node("inner_start", "block-start"), node("inner_end", "block-end", {"note": 1})],
        edges=[edge("inner_start", "inner_end")],
    )
    blocks = [node("outer_end", "block-end"), inner, node("outer_start", "block-start")]
    outer = node(
        "outer", "loop", {}, blocks=blocks, edges=[edge("outer_start", "inner"), edge("inner", "outer_end")]
    )
    document = compiled([start(), outer, end()], [edge("start_0", "outer"), edge("outer", "end_0")])
    block = by_id(document.root)["outer"].block
    assert block is not None
    assert block.start == 2
    assert waits(block) == {"outer_end": 1, "inner": 1, "outer_start": 0}
    deepest = by_id(block)["inner"].block
    assert deepest is not None
    assert [found.id for found in deepest.nodes] == ["inner_start", "inner_end"]
    assert deepest.nodes[1].data == {"note": 1}
    assert document.nodes == 8


def test_only_loops_have_blocks() -> None:
    """A loop without blocks has none, and what other nodes have is no part of the flow."""
    blocks = [node("first", "block-start"), node("last", "block-end")]
    group = node("group_0", "group", {}, blocks=blocks, edges=[edge("first", "last")])
    document = compiled([start(), node("loop", "loop"), group, end()], [edge("start_0", "end_0")])
    assert by_id(document.root)["loop"].block is None
    assert by_id(document.root)["group_0"].block is None


def test_the_inputs_schema_is_what_start_declares() -> None:
    """Kept as it is, for the validation of inputs."""
    document = compiled([start(x="integer"), end()], [edge("start_0", "end_0")])
    assert document.inputs_schema == declare(x="integer")
    assert document.inputs_schema_size == len('{"type":"object","properties":{"x":{"type":"integer"}}}')


def test_global_variables() -> None:
    """`globalVariable` declares them, with their defaults."""
    document = compiled(
        [start(), end()],
        [edge("start_0", "end_0")],
        globalVariable=declare(a="string", b={"type": "object", "default": "{}"}),
    )
    assert document.global_variables == (
        Declaration("a", "string", None, UNDEFINED),
        Declaration("b", "object", None, {}),
    )


def test_unknown_fields_are_ignored() -> None:
    """The editor adds its own, to everything."""
    nodes = [{**start(), "key": 1, "extra": {}}, {**end(), "isPropertyRequired": True}]
    edges = [{**edge("start_0", "end_0"), "data": 1}]
    document = compiled(nodes, edges, groups=[], view={"zoom": 1})
    assert waits(document.root) == {"start_0": 0, "end_0": 1}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"a": {"type": "string"}}, [("a", "string", None, UNDEFINED)]),
        ({"a": {"type": "array", "items": {"type": "integer"}}}, [("a", "array", "integer", UNDEFINED)]),
        ({"a": {"type": "array", "items": True}}, [("a", "array", None, UNDEFINED)]),
        ({"a": {"type": "string", "default": None}}, [("a", "string", None, None)]),
        ({"a": {"type": "string", "default": ""}}, [("a", "string", None, "")]),
        ({"a": {"type": "map", "default": '{"b": 1}'}}, [("a", "map", None, {"b": 1})]),
        ({"a": {"type": "array", "default": "["}}, [("a", "array", None, "[")]),
        ({"a": {}}, [("a", None, None, UNDEFINED)]),
        ({"a": True, "b": {"type": 5}}, [("a", None, None, UNDEFINED), ("b", None, None, UNDEFINED)]),
        ({"": {"type": "string"}, "a": None, "b": False}, []),
    ],
)
def test_declarations(schema: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    """Each named property with a schema declares a variable; a missing default is not a null one."""
    found = compile_declarations({"type": "object", "properties": schema})
    assert found == tuple(Declaration(*fields) for fields in expected)


@pytest.mark.parametrize(
    "declare_schema",
    [None, {}, [], {"type": "object"}, {"type": "array", "properties": {"a": {}}}, {"properties": {"a": {}}}],
)
def test_only_object_schemas_declare(declare_schema: Any) -> None:
    """Anything else declares nothing."""
    assert compile_declarations(declare_schema) == ()


def test_the_digest_is_that_of_the_text() -> None:
    """SHA-256 of the UTF-8 text: other blanks, another schema."""
    text = json_text.dumps({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})
    assert compile_schema(text).digest == hashlib.sha256(text.encode()).digest() == digest(text)
    assert digest(text + " ") != digest(text)


def test_text_that_is_no_json() -> None:
    """The one problem names the place."""
    with pytest.raises(SchemaInvalid) as caught:
        compile_schema('{"nodes": [\n  oops')
    (problem,) = caught.value.problems
    assert problem.path == "schema"
    assert problem.text.startswith("Workflow schema is not valid JSON: ")
    assert "line 2, column 3" in problem.text


def test_a_broken_schema_gives_all_problems() -> None:
    """Nothing is compiled, and everything is said at once."""
    with pytest.raises(SchemaInvalid) as caught:
        compiled([start(), node("", "code"), node("a", "")], [])
    assert len(caught.value.problems) >= 3
