"""Random workflows for property tests: layered graphs of conditions, calls and loops that always reach their end."""

from typing import Any

from hypothesis import strategies as st

META = {"position": {"x": 0, "y": 0}}


def edge(source: str, target: str, port: str | None = None) -> dict[str, str]:
    shown = {"sourceNodeID": source, "targetNodeID": target}
    return shown if port is None else {**shown, "sourcePortID": port}


def node(node_id: str, node_type: str, data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": node_type, "meta": META, "data": data or {}, **more}


def ref(*content: str) -> dict[str, Any]:
    return {"type": "ref", "content": list(content)}


def constant(content: Any) -> dict[str, Any]:
    return {"type": "constant", "content": content}


def condition(
    node_id: str, left: dict[str, Any], operator: str, right: Any, key: str = "yes"
) -> dict[str, Any]:
    value = {"left": left, "operator": operator, "right": constant(right)}
    return node(node_id, "condition", {"conditions": [{"key": key, "value": value}]})


def declare(**types: Any) -> dict[str, Any]:
    """An object schema: each property is a type's name, or a schema."""
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return {"type": "object", "properties": properties}


def start(**types: Any) -> dict[str, Any]:
    return node("start_0", "start", {"outputs": declare(**types)})


def end(**values: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """An end node: each value is its type and its binding."""
    data = {
        "inputs": declare(**{name: kind for name, (kind, _) in values.items()}),
        "inputsValues": {name: binding for name, (_, binding) in values.items()},
    }
    return node("end_0", "end", data)


@st.composite
def _layer(
    draw: st.DrawFn, prefix: str, first: str, last: str, size: int, depth: int
) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[str]]:
    """Nodes between a first and a last one, their edges, and the ids of the calls among them."""
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []
    calls: list[str] = []
    ids = [first]
    for index in range(size):
        node_id = f"{prefix}{index}"
        kinds = ["condition", "code", "code"] + (["loop"] if depth else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "condition":
            nodes.append(condition(node_id, ref("start_0", "x"), "gt", draw(st.integers(0, 4))))
        elif kind == "code":
            nodes.append(node(node_id, "code", {"outputs": declare(v="string")}))
            calls.append(node_id)
        else:
            nodes.append(draw(_loop(node_id, depth - 1)))
        for source in draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True)):
            port = draw(st.sampled_from(["yes", "else"])) if _is_condition(nodes, source) else None
            edges.append(edge(source, node_id, port))
        ids.append(node_id)
    for node_id in ids:
        taken = {found.get("sourcePortID") for found in edges if found["sourceNodeID"] == node_id}
        wanted = {"yes", "else"} if _is_condition(nodes, node_id) else {None}
        edges += [edge(node_id, last, port) for port in sorted(wanted - taken, key=str)]
    return nodes, draw(st.permutations(edges)), calls


def _is_condition(nodes: list[dict[str, Any]], node_id: str) -> bool:
    return any(found["id"] == node_id and found["type"] == "condition" for found in nodes)


@st.composite
def _loop(draw: st.DrawFn, node_id: str, depth: int) -> dict[str, Any]:
    first, last = f"{node_id}_start", f"{node_id}_end"
    nodes, edges, calls = draw(_layer(f"{node_id}_", first, last, draw(st.integers(1, 3)), depth))
    data: dict[str, Any] = {"loopFor": ref("start_0", "items")}
    if calls:
        data["loopOutputs"] = {"found": ref(calls[-1], "v")}
    blocks = [node(first, "block-start"), *nodes, node(last, "block-end")]
    return node(node_id, "loop", data, blocks=blocks, edges=edges)


@st.composite
def workflows(draw: st.DrawFn, max_size: int = 8) -> tuple[dict[str, Any], dict[str, Any]]:
    """A valid schema and inputs for it; the workflow succeeds whatever its calls answer."""
    nodes, edges, calls = draw(_layer("n", "start_0", "end_0", draw(st.integers(1, max_size)), 2))
    values = {call: ("string", ref(call, "v")) for call in calls}
    for found in nodes:
        if found["type"] == "loop" and "loopOutputs" in found["data"]:
            values[found["id"]] = ("array", ref(found["id"], "found"))
    items = {"type": "array", "items": {"type": "integer"}}
    schema = {"nodes": [start(x="integer", items=items), *nodes, end(**values)], "edges": edges}
    inputs = {"x": draw(st.integers(0, 5)), "items": draw(st.lists(st.integers(), max_size=2))}
    return schema, inputs
