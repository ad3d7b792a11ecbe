"""Small workflow schemas, as JSON texts."""

import json
from itertools import pairwise
from typing import Any


def node(node_id: str, node_type: str, **data: Any) -> dict[str, Any]:
    """A node with its data."""
    return {"id": node_id, "type": node_type, "meta": {"position": {"x": 0, "y": 0}}, "data": data}


def edge(source: str, target: str) -> dict[str, str]:
    """An edge without ports."""
    return {"sourceNodeID": source, "targetNodeID": target}


def chain(*nodes: dict[str, Any]) -> str:
    """The schema of nodes one after the other."""
    edges = [edge(a["id"], b["id"]) for a, b in pairwise(nodes)]
    return json.dumps({"nodes": nodes, "edges": edges})


START = node("start_0", "start", outputs={"type": "object", "properties": {"text": {"type": "string"}}})
END = node(
    "end_0",
    "end",
    inputs={"type": "object", "properties": {"text": {"type": "string"}}},
    inputsValues={"text": {"type": "ref", "content": ["start_0", "text"]}},
)
ECHO = chain(START, END)
"""Gives its input `text` back."""
ENDLESS = chain(
    START,
    node(
        "code_0",
        "code",
        script={"language": "javascript", "content": "async function main() { for (;;) await null; }"},
        inputs={"type": "object", "properties": {}},
        inputsValues={},
        outputs={"type": "object", "properties": {}},
    ),
    END,
)
"""Runs until it is stopped."""
