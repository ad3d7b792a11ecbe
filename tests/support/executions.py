"""Executions to be driven by hand, input by input."""

import itertools
from typing import Any

from flowgram_core.engine.activations import Start
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import Limits
from support.driving import link_schema
from support.graphs import declare, edge, end, node, ref, start


def calls(*ids: str, **inputs: Any) -> Execution:
    """Calls side by side between start and end."""
    outputs = {"outputs": declare(v="string")}
    nodes = [start(x="integer"), *(node(name, "code", outputs) for name in ids)]
    nodes.append(end(**{name: ("string", ref(name, "v")) for name in ids}))
    edges = [edge("start_0", name) for name in ids] + [edge(name, "end_0") for name in ids]
    return Execution(link_schema({"nodes": nodes, "edges": edges}), inputs)


def looping(items: list[Any], *blocks: dict[str, Any], limits: Limits | None = None) -> Execution:
    """A loop over items, whose blocks come one after the other."""
    nodes = [node("first", "block-start"), *blocks, node("last", "block-end")]
    edges = [edge(one["id"], other["id"]) for one, other in itertools.pairwise(nodes)]
    loop = node("loop", "loop", {"loopFor": ref("start_0", "items")}, blocks=nodes, edges=edges)
    declared = {"type": "array", "items": {"type": "integer"}}
    schema = {
        "nodes": [start(items=declared), loop, end()],
        "edges": [edge("start_0", "loop"), edge("loop", "end_0")],
    }
    return Execution(link_schema(schema), {"items": items}, limits)


def started(execution: Execution, at: int = 10) -> Execution:
    """After its start, with no work left."""
    execution.apply(Start(at))
    execution.advance(1000)
    return execution
