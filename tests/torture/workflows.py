"""The workflows of the torture test: each has an outcome that does not depend on timing, and calls that tell who they are.

A call's key is the task's tag and the snapshot id of its run; the peer answers by the snapshot id alone, so that tasks of one
shape and size all have the same outcome.
"""

import json
from itertools import pairwise
from typing import Any, NamedTuple

from tests.support.graphs import condition, constant, declare, edge, end, node, ref, start

_ITEMS = {"type": "array", "items": {"type": "integer"}}
_START = start(base="string", api="string", tag="string", items=_ITEMS, more=_ITEMS)
SIZES = (1, 2, 4)


class Variant(NamedTuple):
    """A workflow and the size of its inputs.

    Attributes:
        shape: A name in `SHAPES`.
        size: How many items its loops go over.
    """

    shape: str
    size: int

    def inputs(self, base_url: str, tag: str) -> str:
        """The inputs of one task, as JSON text."""
        return json.dumps(
            {
                "base": base_url,
                "api": f"{base_url}/v1",
                "tag": tag,
                "items": list(range(self.size)),
                "more": list(range(100 * self.size)),
            }
        )


def _template(text: str) -> dict[str, Any]:
    return {"type": "template", "content": text}


def _http(node_id: str, prefix: str = "") -> dict[str, Any]:
    url = f"{{{{start_0.base}}}}/{{{{start_0.tag}}}}/{prefix}{node_id}"
    return node(
        node_id,
        "http",
        {
            "api": {"method": "GET", "url": _template(url)},
            "body": {"bodyType": "none"},
            "timeout": {"timeout": 60_000, "retryTimes": 0},
            "outputs": declare(body="string", statusCode="integer"),
        },
    )


def _llm(node_id: str) -> dict[str, Any]:
    values = {
        "modelName": constant("torture"),
        "apiKey": constant("sk-12345678901234567890"),
        "apiHost": ref("start_0", "api"),
        "temperature": constant(0.5),
        "prompt": _template("{{start_0.tag}}"),
    }
    types = {
        "modelName": "string",
        "apiKey": "string",
        "apiHost": "string",
        "temperature": "number",
        "prompt": "string",
    }
    return node(
        node_id,
        "llm",
        {"inputs": declare(**types), "inputsValues": values, "outputs": declare(result="string")},
    )


def _code(node_id: str, content: str, **values: Any) -> dict[str, Any]:
    return node(
        node_id,
        "code",
        {
            "script": {"language": "javascript", "content": content},
            "inputs": declare(**dict.fromkeys(values, "string")),
            "inputsValues": values,
            "outputs": declare(v="string"),
        },
    )


def _loop(node_id: str, items: dict[str, Any], outputs: dict[str, Any], *blocks: Any) -> dict[str, Any]:
    nodes = [node(f"{node_id}_first", "block-start"), *blocks, node(f"{node_id}_last", "block-end")]
    edges = [edge(one["id"], other["id"]) for one, other in pairwise(nodes)]
    return node(node_id, "loop", {"loopFor": items, "loopOutputs": outputs}, blocks=nodes, edges=edges)


def _beside(*branches: dict[str, Any], **values: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    edges = [found for each in branches for found in (edge("start_0", each["id"]), edge(each["id"], "end_0"))]
    return {"nodes": [_START, *branches, end(**values)], "edges": edges}


def _after(*steps: dict[str, Any], **values: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    nodes = [_START, *steps, end(**values)]
    return {"nodes": nodes, "edges": [edge(one["id"], other["id"]) for one, other in pairwise(nodes)]}


_JOIN = "function main({params}) { return {v: Object.values(params).join('+')} }"
_BUSY = "function main({params}) { let n = 0; for (let i = 0; i < 3e6; i++) n += i % 7; return {v: `${n}`} }"
_THROW = "function main({params}) { throw new Error('as planned: ' + params.a) }"


def _branching() -> dict[str, Any]:
    """A call, a decision over what it gave, and one of two ways on; the other's nodes are skipped."""
    decide = condition("decide", ref("http_a", "statusCode"), "eq", 200)
    nodes = [_START, _http("http_a"), decide, _llm("llm_b"), _http("http_never"), _code("code_c", _JOIN)]
    nodes[-1]["data"]["inputsValues"] = {"a": ref("llm_b", "result"), "b": ref("http_never", "body")}
    nodes[-1]["data"]["inputs"] = declare(a="string", b="string")
    edges = [
        edge("start_0", "http_a"), edge("http_a", "decide"), edge("decide", "llm_b", "yes"),
        edge("decide", "http_never", "else"), edge("llm_b", "code_c"), edge("http_never", "code_c"),
        edge("code_c", "end_0"),
    ]  # fmt: skip
    return {"nodes": [*nodes, end(v=("string", ref("code_c", "v")))], "edges": edges}


_OUTER = "outer[{{outer_locals.index}}]/"
_INNER = f"{_OUTER}inner[{{{{inner_locals.index}}}}]/"

SHAPES: dict[str, str] = {
    name: json.dumps(schema)
    for name, schema in {
        "parallel": _beside(
            _http("http_a"), _http("http_b"), _llm("llm_c"), _code("code_d", _BUSY),
            a=("string", ref("http_a", "body")), b=("string", ref("http_b", "body")),
            c=("string", ref("llm_c", "result")), d=("string", ref("code_d", "v")),
        ),
        "wide": _beside(
            *(_http(f"http_{index}") for index in range(10)),
            **{f"v{index}": ("string", ref(f"http_{index}", "body")) for index in range(10)},
        ),
        "chain": _after(
            _http("http_a"), _llm("llm_b"), _code("code_c", _JOIN, a=ref("http_a", "body"), b=ref("llm_b", "result")),
            _http("http_d"), v=("string", ref("code_c", "v")), d=("string", ref("http_d", "body")),
        ),
        "loops": _after(
            _loop(
                "outer", ref("start_0", "items"), {"texts": ref("llm_x", "result"), "inner": ref("inner", "bodies")},
                _loop("inner", ref("start_0", "items"), {"bodies": ref("http_y", "body")}, _http("http_y", _INNER)),
                _llm("llm_x"),
            ),
            texts=("array", ref("outer", "texts")), inner=("array", ref("outer", "inner")),
        ),
        "long": _after(
            _loop("outer", ref("start_0", "more"), {"n": ref("outer_locals", "index")},
                  node("set", "variable", {"assign": []})),
            _http("http_a"), a=("string", ref("http_a", "body")), n=("array", ref("outer", "n")),
        ),
        "failing": _after(_http("http_a"), _code("code_b", _THROW, a=ref("http_a", "body"))),
        "branching": _branching(),
    }.items()
}  # fmt: skip
"""Schemas, as JSON texts, by name."""

VARIANTS = [Variant(shape, size) for shape in SHAPES for size in SIZES]
