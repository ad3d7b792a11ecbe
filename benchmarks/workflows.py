"""The workflows that are measured."""

from itertools import pairwise
from typing import Any

JSON = dict[str, Any]

META = {"position": {"x": 0, "y": 0}}


def _node(node_id: str, node_type: str, data: JSON | None = None, **more: Any) -> JSON:
    return {"id": node_id, "type": node_type, "meta": META, "data": data or {}, **more}


def _edge(source: str, target: str, port: str | None = None) -> JSON:
    edge = {"sourceNodeID": source, "targetNodeID": target}
    return edge if port is None else {**edge, "sourcePortID": port}


def _ref(*content: str) -> JSON:
    return {"type": "ref", "content": list(content)}


def _condition(node_id: str, left: JSON) -> JSON:
    value = {"left": left, "operator": "gte", "right": {"type": "constant", "content": 0}}
    return _node(node_id, "condition", {"conditions": [{"key": "yes", "value": value}]})


def _start(**types: JSON) -> JSON:
    return _node("start_0", "start", {"outputs": {"type": "object", "properties": types}})


def _end(**values: tuple[str, JSON]) -> JSON:
    return _node(
        "end_0",
        "end",
        {
            "inputs": {
                "type": "object",
                "properties": {name: {"type": kind} for name, (kind, _) in values.items()},
            },
            "inputsValues": {name: binding for name, (_, binding) in values.items()},
        },
    )


_NUMBER = {"type": "number"}
_ARRAY = {"type": "array", "items": {"type": "number"}}
_X = _ref("start_0", "x")


def echo() -> tuple[JSON, JSON]:
    """Start and end."""
    return {"nodes": [_start(x=_NUMBER), _end(x=("number", _X))], "edges": [_edge("start_0", "end_0")]}, {
        "x": 1
    }


def chain(length: int) -> tuple[JSON, JSON]:
    """Conditions one after the other."""
    ids = [f"condition_{index}" for index in range(length)]
    edges = [_edge("start_0", ids[0])]
    edges += [_edge(source, target, "yes") for source, target in zip(ids, [*ids[1:], "end_0"], strict=True)]
    return {
        "nodes": [_start(x=_NUMBER), *(_condition(name, _X) for name in ids), _end(x=("number", _X))],
        "edges": edges,
    }, {"x": 1}


def fan(width: int) -> tuple[JSON, JSON]:
    """Conditions side by side, joined at the end."""
    ids = [f"condition_{index}" for index in range(width)]
    edges = [edge for name in ids for edge in (_edge("start_0", name), _edge(name, "end_0", "yes"))]
    return {
        "nodes": [_start(x=_NUMBER), *(_condition(name, _X) for name in ids), _end(x=("number", _X))],
        "edges": edges,
    }, {"x": 1}


def layers(nodes: int, width: int) -> tuple[JSON, JSON]:
    """Layers of conditions; each leads to two of the next layer."""
    ids = [f"condition_{index}" for index in range(nodes)]
    edges = [_edge("start_0", name) for name in ids[:width]]
    for index, name in enumerate(ids):
        layer, column = divmod(index, width)
        following = ids[(layer + 1) * width : (layer + 2) * width]
        targets = (following[column], following[(column + 1) % width]) if following else ("end_0",)
        edges += [_edge(name, target, "yes") for target in targets]
    return {
        "nodes": [_start(x=_NUMBER), *(_condition(name, _X) for name in ids), _end(x=("number", _X))],
        "edges": edges,
    }, {"x": 1}


def columns(nodes: int, height: int) -> tuple[JSON, JSON]:
    """So many nodes that do nothing, with start and end, in columns of so many, each at a place of its own."""
    ids = [f"step_{index}" for index in range(nodes - 2)]
    steps = [
        _placed(_node(name, "variable", {"assign": []}), 1 + index // height, index % height)
        for index, name in enumerate(ids)
    ]
    edges = [
        _edge("start_0" if index < height else ids[index - height], name) for index, name in enumerate(ids)
    ]
    edges += [_edge(name, "end_0") for name in ids[-height:]]
    start, end = _placed(_start(), 0, height // 2), _placed(_end(), 2 + len(ids) // height, height // 2)
    return {"nodes": [start, *steps, end], "edges": edges}, {}


def _placed(node: JSON, column: int, row: int) -> JSON:
    return {**node, "meta": {"position": {"x": column * 460, "y": row * 160}}}


def loop(items: int) -> tuple[JSON, JSON]:
    """A loop with one condition in its block."""
    blocks = [
        _node("block_start_0", "block-start"),
        _condition("condition_0", _ref("loop_0_locals", "index")),
        _node("block_end_0", "block-end"),
    ]
    edges = [_edge("block_start_0", "condition_0"), _edge("condition_0", "block_end_0", "yes")]
    data = {"loopFor": _ref("start_0", "items"), "loopOutputs": {"found": _ref("loop_0_locals", "item")}}
    nodes = [_start(items=_ARRAY), _node("loop_0", "loop", data, blocks=blocks, edges=edges), _end()]
    return {"nodes": nodes, "edges": [_edge("start_0", "loop_0"), _edge("loop_0", "end_0")]}, {
        "items": list(range(items))
    }


def calling(url: str, count: int = 1) -> tuple[JSON, JSON]:
    """Http calls one after the other."""
    ids = [f"http_{index}" for index in range(count)]
    calls = [
        _node(
            node_id,
            "http",
            {
                "api": {"method": "GET", "url": {"type": "template", "content": url}},
                "body": {"bodyType": "none"},
                "timeout": {"timeout": 3_600_000, "retryTimes": 0},
            },
        )
        for node_id in ids
    ]
    path = ["start_0", *ids, "end_0"]
    nodes = [_start(x={"type": "string"}), *calls, _end(x=("string", _X))]
    return {"nodes": nodes, "edges": [_edge(one, other) for one, other in pairwise(path)]}, {"x": "1"}


def lengths(text: str, count: int) -> tuple[JSON, JSON]:
    """A template that has the length of a text so many times."""
    template = {"type": "template", "content": "{{start_0.x.length}}" * count}
    nodes = [_start(x={"type": "string"}), _end(x=("string", template))]
    return {"nodes": nodes, "edges": [_edge("start_0", "end_0")]}, {"x": text}


def _branching(left: JSON, operator: str, right: JSON, count: int, **types: JSON) -> JSON:
    conditions = [
        {"key": f"key_{index}", "value": {"left": left, "operator": operator, "right": right}}
        for index in range(count)
    ]
    branch = _node("branch_0", "multi-condition", {"branch": [{"logic": "or", "conditions": conditions}]})
    edges = [_edge("start_0", "branch_0")]
    edges += [_edge("branch_0", "end_0", port) for port in ("branch.0", "else")]
    return {"nodes": [_start(**types), branch, _end()], "edges": edges}


def searches(text: str, count: int) -> tuple[JSON, JSON]:
    """So many searches for something that is nearly everywhere in a text of many `a`, and nowhere."""
    wanted = {"type": "constant", "content": "a" * 40 + "b"}
    return _branching(_X, "contains", wanted, count, x={"type": "string"}), {"x": text}


def memberships(items: int, count: int) -> tuple[JSON, JSON]:
    """So many searches for a number that is not in an array of so many."""
    schema = _branching(_X, "in", _ref("start_0", "items"), count, x=_NUMBER, items=_ARRAY)
    return schema, {"x": -1, "items": list(range(items))}


def enumerated(values: list[int]) -> JSON:
    """A schema whose input is one of these numbers."""
    return {
        "nodes": [_start(x={"type": "number", "enum": values}), _end()],
        "edges": [_edge("start_0", "end_0")],
    }


def collecting(text: str, times: int, items: int) -> tuple[JSON, JSON]:
    """A loop that collects a text, so many times itself, in each of so many iterations."""
    grown = {"type": "template", "content": "{{start_0.x}}" * times + "{{loop_0_locals.index}}"}
    variable: JSON = {
        "assign": [{"operator": "declare", "left": "grown", "right": grown}],
        "outputs": {"type": "object", "properties": {"grown": {"type": "string"}}},
    }
    blocks = [
        _node("block_start_0", "block-start"),
        _node("variable_0", "variable", variable),
        _node("block_end_0", "block-end"),
    ]
    edges = [_edge("block_start_0", "variable_0"), _edge("variable_0", "block_end_0")]
    data = {"loopFor": _ref("start_0", "items"), "loopOutputs": {"all": _ref("variable_0", "grown")}}
    nodes = [
        _start(x={"type": "string"}, items=_ARRAY),
        _node("loop_0", "loop", data, blocks=blocks, edges=edges),
        _end(),
    ]
    return {"nodes": nodes, "edges": [_edge("start_0", "loop_0"), _edge("loop_0", "end_0")]}, {
        "x": text,
        "items": list(range(items)),
    }


def script(content: str) -> tuple[JSON, JSON]:
    """One code node."""
    data = {"script": {"language": "javascript", "content": content}}
    nodes = [_start(), _node("code_0", "code", data), _end()]
    return {"nodes": nodes, "edges": [_edge("start_0", "code_0"), _edge("code_0", "end_0")]}, {}


def asking(url: str) -> tuple[JSON, JSON]:
    """One question to a language model."""
    inputs = {
        "modelName": _constant("m"),
        "apiKey": _constant("sk-of-a-benchmark"),
        "apiHost": _constant(f"{url}/v1"),
        "temperature": {"type": "constant", "content": 0.5},
        "prompt": {"type": "template", "content": "Say something about {{start_0.x}}."},
    }
    types = {name: {"type": "number" if name == "temperature" else "string"} for name in inputs}
    node = _node(
        "llm_0",
        "llm",
        {
            "inputsValues": inputs,
            "inputs": {"type": "object", "properties": types},
            "outputs": {"type": "object", "properties": {"result": {"type": "string"}}},
        },
    )
    nodes = [_start(x={"type": "string"}), node, _end(x=("string", _ref("llm_0", "result")))]
    return {"nodes": nodes, "edges": [_edge("start_0", "llm_0"), _edge("llm_0", "end_0")]}, {"x": "loops"}


def _constant(text: str) -> JSON:
    return {"type": "constant", "content": text}


def doubling() -> tuple[JSON, JSON]:
    """One script that doubles a number."""
    content = "async function main({ params }) { return { doubled: params.x * 2 }; }"
    node = _node(
        "code_0",
        "code",
        {
            "script": {"language": "javascript", "content": content},
            "inputsValues": {"x": _X},
            "inputs": {"type": "object", "properties": {"x": _NUMBER}},
            "outputs": {"type": "object", "properties": {"doubled": _NUMBER}},
        },
    )
    nodes = [_start(x=_NUMBER), node, _end(x=("number", _ref("code_0", "doubled")))]
    return {"nodes": nodes, "edges": [_edge("start_0", "code_0"), _edge("code_0", "end_0")]}, {"x": 21}
