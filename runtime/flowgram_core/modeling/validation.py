"""Validation of a workflow schema: format, cycles, ends of edges, start and end nodes, ids.

FlowGram's rules in FlowGram's order and words; but where it stops at the first problem of a rule, all are found, and
what it leaves unchecked (unique ids) is checked. A schema that is broken in one place is still checked in the others.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from flowgram_core.modeling import javascript
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.inputs_validation import MAX_PROBLEMS
from flowgram_core.modeling.json_text import to_well_formed
from flowgram_core.modeling.schema import (
    NOT_UNICODE,
    EdgeSchema,
    NodeFormat,
    WorkflowFormat,
    WorkflowSchema,
)
from flowgram_core.modeling.values import UNDEFINED

MAX_BLOCK_DEPTH = 64
"""Blocks may be nested so deeply in blocks."""

_WORKFLOW_TEXTS = {
    "": "Workflow schema must be a valid object",
    "nodes": "Workflow schema must have a valid nodes array",
    "edges": "Workflow schema must have a valid edges array",
}

# In the order of the checks, which is also the order in which they are reported.
_NODE_TEXTS = {
    "": "must be a valid object",
    "id": "must be a non-empty string",
    "type": "must be a non-empty string",
    "meta": "must be a valid object",
    "data": "must be a valid object",
    "blocks": "must be an array if present",
    "edges": "must be an array if present",
    "data.inputs": "must be a valid object if present",
    "data.outputs": "must be a valid object if present",
    "data.inputsValues": "must be a valid object if present",
    "data.title": "must be a string if present",
}
_EDGE_TEXTS = {
    "": "must be a valid object",
    "sourceNodeID": "must be a non-empty string",
    "targetNodeID": "must be a non-empty string",
    "sourcePortID": "must be a string if present",
    "targetPortID": "must be a string if present",
}
_NOT_UNICODE_TEXT = "must be valid Unicode"


class _EndTexts(NamedTuple):
    """The types of the node that a graph begins with and the one it ends with, and the error texts about them."""

    start: str
    end: str
    no_start_and_no_end: str
    no_start: str
    no_end: str
    more_starts: str
    more_ends: str


_ROOT_ENDS = _EndTexts(
    start="start",
    end="end",
    no_start_and_no_end="Workflow schema must have a start node and an end node",
    no_start="Workflow schema must have a start node",
    no_end="Workflow schema must have an end node",
    more_starts="Workflow schema must have only one start node",
    more_ends="Workflow schema must have only one end node",
)
_BLOCK_ENDS = _EndTexts(
    start="block-start",
    end="block-end",
    no_start_and_no_end="Workflow block schema must have a block-start node and a block-end node",
    no_start="Workflow block schema must have a block-start node",
    no_end="Workflow block schema must have an block-end node",
    more_starts="Workflow block schema must have only one block-start node",
    more_ends="Workflow block schema must have only one block-end node",
)


class Graph(NamedTuple):
    """One graph of a schema that may be broken: its readable nodes and edges, each with its path.

    Attributes:
        holder: The type of the node that it is in; None for the outermost one.
    """

    path: str
    nodes: list[tuple[str, dict[str, Any]]]
    edges: list[tuple[str, dict[str, Any]]]
    ends: _EndTexts
    depth: int
    holder: Any = None


def validate_schema(schema: Any) -> tuple[Problem, ...]:
    """All problems of a workflow schema, in order; empty if it is valid. Of very many, the first ones and a note.

    Takes any JSON value, and a time that is linear in its size.
    """
    problems = list(islice(_problems(schema), MAX_PROBLEMS + 1))
    if len(problems) > MAX_PROBLEMS:
        problems[-1] = Problem("schema", f"only the first {MAX_PROBLEMS} problems are listed")
    return tuple(Problem(path, to_well_formed(text)) for path, text in problems)


def _problems(schema: Any) -> Iterator[Problem]:
    graphs = list(graphs_of(schema))
    try:
        yield from _problems_of(graphs, schema)
    finally:  # also where enough problems were found
        found: list[Any] = [graphs]
        del graphs
        dispose(found)


def _problems_of(graphs: list[Graph], schema: Any) -> Iterator[Problem]:
    too_deep = next((graph for graph in graphs if graph.depth > MAX_BLOCK_DEPTH), None)
    if too_deep is not None:
        # Alone, for the models recurse.
        text = f"Workflow schema blocks must not be nested more than {MAX_BLOCK_DEPTH} levels deep"
        yield Problem(too_deep.path, text)
        return
    yield from _format_problems(schema)
    for rule in (_cycle_problems, _edge_problems, _end_problems):
        yield from chain.from_iterable(map(rule, graphs))
    yield from _identity_problems(graphs)
    yield from _inputs_problems(graphs)


def graphs_of(schema: Any) -> Iterator[Graph]:
    """The graphs of a schema, each before those inside it."""
    if not isinstance(schema, dict) or not isinstance(schema.get("nodes"), list):
        return
    pending: list[tuple[str, str, Any, Any, _EndTexts, int, Any]]
    pending = [("schema", "nodes", schema["nodes"], schema.get("edges"), _ROOT_ENDS, 0, None)]
    while pending:
        path, member, nodes, edges, ends, depth, holder = pending.pop()
        graph = Graph(
            path=f"{path}.{member}",
            nodes=_objects(nodes, f"{path}.{member}"),
            edges=_objects(edges, f"{path}.edges"),
            ends=ends,
            depth=depth,
            holder=holder,
        )
        yield graph
        if depth <= MAX_BLOCK_DEPTH:
            pending += [
                (
                    node_path,
                    "blocks",
                    node["blocks"],
                    node.get("edges"),
                    _BLOCK_ENDS,
                    depth + 1,
                    node.get("type"),
                )
                for node_path, node in reversed(graph.nodes)
                if isinstance(node.get("blocks"), list)
            ]


def _objects(members: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(members, list):
        return []
    return [(f"{path}[{index}]", member) for index, member in enumerate(members) if isinstance(member, dict)]


def _format_problems(schema: Any) -> Iterator[Problem]:
    """Format problems: for each graph, before those inside it, of its nodes and then of its edges."""
    try:
        found = WorkflowSchema.model_validate(schema)
    except ValidationError:
        pass  # it has only the first error of each list
    else:
        parts = [found]
        del found
        dispose(parts)
        return
    yield from _errors_of(schema, WorkflowFormat, _WORKFLOW_TEXTS, "schema")
    pending = [("schema", "nodes", schema)]
    while pending:
        path, member, holder = pending.pop()
        if not isinstance(holder, dict):
            continue
        inside = []
        for index, node in enumerate(_listed(holder, member)):
            node_path = f"{path}.{member}[{index}]"
            yield from _errors_of(node, NodeFormat, _NODE_TEXTS, node_path, f"nodes[{index}]")
            inside.append((node_path, "blocks", node))
        for index, edge in enumerate(_listed(holder, "edges")):
            yield from _errors_of(edge, EdgeSchema, _EDGE_TEXTS, f"{path}.edges[{index}]", f"edges[{index}]")
        pending += reversed(inside)


def _listed(holder: dict[str, Any], member: str) -> list[Any]:
    members = holder.get(member)
    return members if isinstance(members, list) else []


def _errors_of(
    value: Any, model: type[BaseModel], texts: dict[str, str], path: str, name: str = ""
) -> Iterator[Problem]:
    """The format problems of one part of a schema, in the order of the texts."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        kinds = {".".join(map(str, detail["loc"])): detail["type"] for detail in details}
        for member in filter(kinds.__contains__, texts):
            text = _NOT_UNICODE_TEXT if kinds[member] == NOT_UNICODE else texts[member]
            inner = f".{member}" if member else ""
            yield Problem(path + inner, f"{name}{inner} {text}" if name else text)


def _cycle_problems(graph: Graph) -> Sequence[Problem]:
    """At most one: the first edge found that closes a cycle."""
    targets: dict[Any, list[tuple[str, Any]]] = {_key(node, "id"): [] for _, node in graph.nodes}
    for path, edge in graph.edges:
        source, target = _key(edge, "sourceNodeID"), _key(edge, "targetNodeID")
        if source in targets and target in targets:
            targets[source].append((path, target))
    problem = _first_cycle(targets)
    found: list[Any] = [targets]
    del targets
    dispose(found)
    return problem


def _first_cycle(targets: dict[Any, list[tuple[str, Any]]]) -> Sequence[Problem]:
    done: set[Any] = set()
    for first, first_edges in targets.items():
        if first in done:
            continue
        # Depth first, with a stack of its own: a chain may be as long as the schema.
        visiting = {first}
        stack = [(first, iter(first_edges))]
        while stack:
            node, edges = stack[-1]
            for path, target in edges:
                if target in visiting:
                    return [Problem(path, "Workflow schema contains a cycle, which is not allowed")]
                if target not in done:
                    visiting.add(target)
                    stack.append((target, iter(targets[target])))
                    break
            else:
                stack.pop()
                visiting.discard(node)
                done.add(node)
    return []


def _edge_problems(graph: Graph) -> Iterator[Problem]:
    ids = {_key(node, "id") for _, node in graph.nodes}
    for path, edge in graph.edges:
        for end, member in (("source", "sourceNodeID"), ("target", "targetNodeID")):
            named = edge.get(member)
            # One that is malformed has been reported for that.
            if named and isinstance(named, str) and _key(edge, member) not in ids:
                yield Problem(f"{path}.{member}", f'Workflow schema edge {end} node "{named}" not exist')


def _key(item: dict[str, Any], member: str) -> Any:
    """A member's value as a dict key that tells apart what JavaScript's `Map` does; UNDEFINED where it is missing."""
    value = item.get(member, UNDEFINED)
    if isinstance(value, str) or value is UNDEFINED:
        return value
    return javascript.identity(value)


def _end_problems(graph: Graph) -> Sequence[Problem]:
    ends = graph.ends
    types = [node.get("type") for _, node in graph.nodes]
    starts = sum(node_type == ends.start for node_type in types)
    finals = sum(node_type == ends.end for node_type in types)
    if not starts and not finals:
        return [Problem(graph.path, ends.no_start_and_no_end)]
    texts = (
        (not starts, ends.no_start),
        (not finals, ends.no_end),
        (starts > 1, ends.more_starts),
        (finals > 1, ends.more_ends),
    )
    return [Problem(graph.path, text) for broken, text in texts if broken]


def _identity_problems(graphs: list[Graph]) -> Iterator[Problem]:
    """Ids name nodes in the whole schema: a snapshot, a reference or a message shows no more than the id."""
    seen: set[str] = set()
    for graph in graphs:
        for path, node in graph.nodes:
            node_id = node.get("id")
            if not isinstance(node_id, str) or not node_id.strip(javascript.WHITESPACE):
                continue
            if node_id in seen:
                yield Problem(f"{path}.id", f'Workflow schema node id "{node_id}" is not unique')
            seen.add(node_id)


def _inputs_problems(graphs: list[Graph]) -> Iterator[Problem]:
    """A start node without `outputs` would refuse all inputs."""
    starts = [item for graph in graphs[:1] for item in graph.nodes if item[1].get("type") == graph.ends.start]
    if len(starts) != 1:
        return
    path, start = starts[0]
    data = start.get("data")
    if isinstance(data, dict) and "outputs" not in data:
        text = "Workflow schema start node must have outputs, which declare the inputs of the workflow"
        yield Problem(f"{path}.data.outputs", text)
