"""The generator: case number n of a seed is always the same workflow."""

import json
from collections.abc import Collection
from random import Random
from typing import Any

from tests.conformance import broken, nodes, values
from tests.conformance.bindings import JSON, Known, Style, names
from tests.conformance.graphs import Graph, decorations, globals_of, layered
from tests.conformance.observation import Case
from tests.conformance.values import Schema

KINDS = {
    "structured": 40,
    "layered": 12,
    "conditions": 16,
    "bindings": 14,
    "pure": 8,
    "invalid": 6,
    "inputs": 4,
}
"""Kinds of cases, with their weights."""


_CALLS = ("code", "code", "code", "http", "llm")


def generate(seed: int, number: int, base_url: str, kinds: Collection[str] = KINDS) -> Case:
    """One case.

    Args:
        seed: The series.
        number: The case's number in it.
        base_url: Where `Peer` listens, for http and llm nodes.
        kinds: Which kinds of cases.
    """
    rng = Random(f"{seed}/{number}")  # noqa: S311 - repeatable, not secret
    kind = rng.choices(list(kinds), [KINDS[name] for name in kinds])[0]
    style = Style(differs=rng.random() < 0.12, faults=rng.choice((0.0, 0.03, 0.03, 0.12)))
    schema, inputs = _workflow(rng, kind, style, base_url)
    if kind == "invalid":
        broken.break_schema(rng, schema)
    elif kind == "inputs":
        broken.break_inputs(rng, schema, inputs)
    return Case(f"seed {seed}, case {number} ({kind}{', differs' if style.differs else ''})", schema, inputs)


def _workflow(rng: Random, kind: str, style: Style, base_url: str) -> tuple[JSON, JSON]:
    graph = Graph(rng, style, base_url, () if kind == "pure" else _CALLS, [0])
    declared: Schema = {"type": "object", "properties": {}}
    inputs: JSON = {}
    known: list[Known] = []
    for index in range(rng.randint(1, 6)):
        made = values.schema(rng, 2, "array" if index == 0 and rng.random() < 0.5 else None)
        key = f"in{index}"
        declared["properties"][key] = made
        sample = values.value(rng, made)
        if rng.random() < 0.15:
            made["default"] = (
                json.dumps(sample) if isinstance(sample, list | dict) and rng.random() < 0.5 else sample
            )
        if rng.random() < 0.9:
            inputs[key] = sample
            if rng.random() < 0.2:
                declared.setdefault("required", []).append(key)
        else:
            sample = made.get("default")
        known.append(Known("start_0", key, made, sample))
    if rng.random() < 0.1:
        inputs["undeclared"] = values.anything(rng)
    if rng.random() < 0.03:
        inputs["in_big"] = rng.choice(values.BIG_INTEGERS)
        declared["properties"]["in_big"] = {"type": "integer"}
        known.append(Known("start_0", "in_big", {"type": "integer"}, None))
    schema: JSON = {"nodes": graph.nodes, "edges": graph.edges}
    if rng.random() < 0.25:
        schema["globalVariable"] = _globals(rng)
        known += globals_of(rng, schema["globalVariable"])
    start = graph.add("start_0", "start", {"outputs": declared})
    decorations(rng, graph)
    scope = known
    match kind:
        case "conditions":
            ends = _conditions(rng, graph, start, scope, style)
        case "bindings":
            ends = graph.call(start, scope) if rng.random() < 0.5 else start
        case "layered":
            ends = layered(graph, start, scope, rng.randint(3, 10))
        case _:
            ends = graph.sequence(start, scope, rng.randint(1, 4), 2, looped=False)
    graph.finish(ends, scope, rng.randint(4, 12) if kind == "bindings" else rng.randint(0, 5))
    if rng.random() < 0.3:
        rng.shuffle(graph.nodes)
    return schema, inputs


def _globals(rng: Random) -> Schema:
    made: dict[str, Any] = {}
    for name, declared in names(rng, rng.randint(1, 3), "g").items():
        if rng.random() < 0.8:
            found = values.value(rng, declared)
            declared["default"] = (
                json.dumps(found) if isinstance(found, list | dict) and rng.random() < 0.4 else found
            )
        made[name] = declared
    return {"type": "object", "properties": made}


def _conditions(rng: Random, graph: Graph, ends: list[Any], scope: list[Known], style: Style) -> list[Any]:
    """Condition after condition: each branch leads through a node of its own, and on to the next."""
    for _ in range(rng.randint(2, 6)):
        node_id = graph.new_id("condition")
        data, ports = nodes.branching(rng, scope, style, node_id)
        graph.add(node_id, "condition", data, ends)
        ends = []
        for port in dict.fromkeys((*ports, "else")):
            inner = graph.new_id("way")
            ends += graph.add(inner, "condition", {}, [(node_id, port)])
    return ends
