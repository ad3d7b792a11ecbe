"""The shrinker: makes a workflow smaller as long as the disagreement about it remains."""

import copy
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.conformance.observation import Case

StillDiffers = Callable[[Case], Awaitable[bool]]


async def shrink(case: Case, still_differs: StillDiffers, attempts: int = 600) -> Case:
    """The smallest case found that still differs.

    Args:
        case: One that differs.
        still_differs: Whether a smaller one does as well.
        attempts: How many to try at most.
    """
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(case):
            if attempts <= 0:
                return case
            attempts -= 1
            if await still_differs(candidate):
                case = candidate
                smaller = True
                break
    return case


def _candidates(case: Case) -> Iterator[Case]:
    """Cases with one thing less, larger things first."""
    for path in _graph_paths(case.schema, ()):
        graph = _at(case.schema, path)
        name = "nodes" if "nodes" in graph else "blocks"
        for index in reversed(range(len(graph[name]))):
            yield replace(case, schema=_without_node(case.schema, path, name, index, bridged=False))
            yield replace(case, schema=_without_node(case.schema, path, name, index, bridged=True))
        for index in reversed(range(len(graph.get("edges") or ()))):
            yield replace(case, schema=_without(case.schema, (*path, "edges", index)))
    if "globalVariable" in case.schema:
        yield replace(case, schema=_without(case.schema, ("globalVariable",)))
    for path in _graph_paths(case.schema, ()):
        graph = _at(case.schema, path)
        name = "nodes" if "nodes" in graph else "blocks"
        for index, node in enumerate(graph[name]):
            for inner in _value_paths(node.get("data") if isinstance(node, dict) else None, ()):
                yield replace(case, schema=_without(case.schema, (*path, name, index, "data", *inner)))
    for inner in _value_paths(case.inputs, ()):
        yield replace(case, inputs=_without(case.inputs, inner))


def _graph_paths(graph: dict[str, Any], path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    name = "nodes" if "nodes" in graph else "blocks"
    if not isinstance(graph.get(name), list):
        return
    yield path
    for index, node in enumerate(graph[name]):
        if isinstance(node, dict) and isinstance(node.get("data"), dict) and "blocks" in node:
            yield from _graph_paths(node, (*path, name, index))


def _value_paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Everything within a value, outer things first."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    for key in keys:
        yield (*path, key)
    for key in keys:
        yield from _value_paths(value[key], (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    made = copy.deepcopy(value)
    del _at(made, path[:-1])[path[-1]]
    return made


def _without_node(
    schema: dict[str, Any], path: tuple[Any, ...], name: str, index: int, *, bridged: bool
) -> dict[str, Any]:
    """The schema without a node and its edges; bridged: its predecessors lead to its successors instead."""
    made: dict[str, Any] = copy.deepcopy(schema)
    graph = _at(made, path)
    removed = graph[name].pop(index)
    node_id = removed.get("id") if isinstance(removed, dict) else None
    edges = [edge for edge in graph.get("edges") or () if isinstance(edge, dict)]
    graph["edges"] = [
        edge for edge in edges if node_id not in {edge.get("sourceNodeID"), edge.get("targetNodeID")}
    ]
    if bridged:
        targets = dict.fromkeys(
            edge.get("targetNodeID") for edge in edges if edge.get("sourceNodeID") == node_id
        )
        graph["edges"] += [
            {**edge, "targetNodeID": target}
            for edge in edges
            if edge.get("targetNodeID") == node_id
            for target in targets
        ]
    return made
