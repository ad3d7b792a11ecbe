"""Warnings about a valid workflow: what does not keep it from running, and is probably not meant."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.json_text import JSONObject, to_well_formed
from flowgram_core.modeling.normalization import LAYOUT_TYPES
from flowgram_core.modeling.validation import Graph, graphs_of

MAX_WARNINGS = 1000
"""So many warnings are given; a schema may have one at every node."""


def find_warnings(schema: Any, inputs: JSONObject | None = None) -> tuple[Problem, ...]:
    """What is probably not meant in a valid schema and its valid inputs, in order; of very many, the first.

    Args:
        schema: The schema as a normalized JSON value, which `validate_schema` finds no problem in.
        inputs: The inputs; None if there are none to look at.
    """
    found = islice(_warnings(schema, inputs), MAX_WARNINGS)
    return tuple(Problem(to_well_formed(path), to_well_formed(text)) for path, text in found)


def _warnings(schema: Any, inputs: JSONObject | None) -> Iterator[Problem]:
    for graph in graphs_of(schema):
        yield from _unreachable(graph)
        for path, node in graph.nodes:
            if node["type"] == "loop" and node.get("blocks") and not node.get("edges"):
                text = f'Loop "{node["id"]}" has no edges between its blocks: nothing in it runs'
                yield Problem(f"{path}.edges", text)
            yield from _expressions(path, node)
    if inputs is not None:
        yield from _undeclared(schema, inputs)


def _unreachable(graph: Graph) -> Iterator[Problem]:
    targets: dict[str, list[str]] = {}
    for _, edge in graph.edges:
        targets.setdefault(edge["sourceNodeID"], []).append(edge["targetNodeID"])
    if graph.holder is not None and not targets:
        return  # the loop is warned of
    reached = [node["id"] for _, node in graph.nodes if node["type"] == graph.ends.start]
    seen = set(reached)
    for node_id in reached:
        for target in targets.get(node_id, ()):
            if target not in seen:
                seen.add(target)
                reached.append(target)
    for path, node in graph.nodes:
        if node["id"] not in seen and node["type"] not in LAYOUT_TYPES:
            text = f'Node "{node["id"]}" can never run: no edges lead to it from the start'
            yield Problem(path, text)


def _expressions(path: str, node: JSONObject) -> Iterator[Problem]:
    values = node.get("data", {}).get("inputsValues")
    for name, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict) and value.get("type") == "expression":
            text = f'Input "{name}" of node "{node["id"]}" is an expression, which is not evaluated: the node will fail'
            yield Problem(f"{path}.data.inputsValues.{name}", text)


def _undeclared(schema: Any, inputs: JSONObject) -> Iterator[Problem]:
    start = next(node for node in schema["nodes"] if node["type"] == "start")
    declared = start["data"].get("outputs")
    properties = declared.get("properties") if isinstance(declared, dict) else None
    for name in inputs:
        if not isinstance(properties, dict) or name not in properties:
            text = f'Input "{name}" is not declared by the start node: no node can use it'
            yield Problem(f"inputs.{name}", text)
