"""Random graphs: sequences, branches that rejoin, forks, loops within loops, and graphs without such a plan."""

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.conformance import nodes, values
from tests.conformance.bindings import JSON, Known, Style, inputs, names, reference
from tests.conformance.values import Schema

End = tuple[str, str | None]
"""Where a path goes on: a node, and its port if it branches."""


class Graph:
    """A workflow, or the block of a loop, while it is made. `scope` is what the next node of the path can see."""

    def __init__(
        self, rng: Random, style: Style, base_url: str, calls: tuple[str, ...], counter: list[int]
    ) -> None:
        self.rng = rng
        self.style = style
        self.nodes: list[JSON] = []
        self.edges: list[JSON] = []
        self._base_url = base_url
        self._calls = calls
        self._counter = counter

    def new_id(self, kind: str) -> str:
        """A node id that is not taken."""
        self._counter[0] += 1
        return (
            f"{kind}_{self._counter[0]}" if self.rng.random() < 0.9 else f"{self._counter[0]}-{kind} \u00fc"
        )

    def add(self, node_id: str, kind: str, data: JSON, ends: Sequence[End] = (), **more: Any) -> list[End]:
        """Adds a node behind the open ends, and gives its own."""
        if self.rng.random() < 0.4:
            data = {"title": f"{kind} {node_id}", **data}
        self.nodes.append(
            {"id": node_id, "type": kind, "meta": {"position": {"x": 0, "y": 0}}, "data": data, **more}
        )
        self.connect(ends, node_id)
        return [(node_id, None)]

    def connect(self, ends: Sequence[End], target: str) -> None:
        """Leads open ends to a node."""
        for source, port in ends:
            edge = {"sourceNodeID": source, "targetNodeID": target}
            if port is not None:
                edge["sourcePortID"] = port
            self.edges.append(edge)

    def sequence(
        self, ends: list[End], scope: list[Known], size: int, depth: int, *, looped: bool
    ) -> list[End]:
        """A path of some elements. It grows the scope, and gives the ends that are left open."""
        rng = self.rng
        for _ in range(size):
            if not ends:
                break
            roll = rng.random()
            if roll < 0.3 and depth > 0:
                ends = self._branches(ends, scope, depth - 1, looped=looped)
            elif roll < 0.4 and depth > 0:
                ends = self._fork(ends, scope, depth - 1, looped=looped)
            elif roll < 0.6 and depth > 0 and (rng.random() < 0.03 or any(k.kind == "array" for k in scope)):
                ends = self.loop(ends, scope, depth - 1)
            elif roll > 0.995:
                ends = self.add(
                    self.new_id("odd"), rng.choice(("unknown-type", "comment", "group")), {}, ends
                )
            else:
                ends = self.call(ends, scope)
        return ends

    def call(self, ends: list[End], scope: list[Known]) -> list[End]:
        """A node that makes a call; if there are none, a condition without conditions, which takes all ways on."""
        if not self._calls:
            return self.add(self.new_id("condition"), "condition", {}, ends)
        kind = self.rng.choice(self._calls)
        node_id = self.new_id(kind)
        if kind == "code":
            data, declared = nodes.code(self.rng, scope, self.style)
        elif kind == "llm":
            data, declared = nodes.llm(self.rng, scope, self.style, self._base_url)
        else:
            data, declared = nodes.http(self.rng, scope, self.style, self._base_url)
        ends = self.add(node_id, kind, data, ends)
        scope.extend(Known(node_id, key, schema, sample) for key, schema, sample in declared)
        return ends

    def _branches(self, ends: list[End], scope: list[Known], depth: int, *, looped: bool) -> list[End]:
        rng = self.rng
        node_id = self.new_id("condition")
        data, ports = nodes.branching(rng, scope, self.style, node_id)
        self.add(node_id, "condition", data, ends)
        left_open: list[End] = []
        direct = False
        for port in dict.fromkeys((*ports, "else")):
            roll = rng.random()
            if roll < self.style.faults / 6:
                continue
            start: list[End] = [(node_id, port)]
            if looped and roll < 0.35:
                kind = rng.choice(("break", "continue", "continue"))
                self.add(self.new_id(kind), kind, {}, start)
            elif roll < 0.55 and (self.style.differs or not direct):
                # Two ports that lead straight to one node make the reference run it twice.
                direct = True
                left_open += start
            else:
                inner = list(scope)
                found = self.sequence(start, inner, rng.randint(1, 2), depth, looped=looped)
                if found == start and direct and not self.style.differs:
                    found = self.call(start, inner)
                direct = direct or found == start
                left_open += found
                scope += [known for known in inner if known not in scope and rng.random() < 0.4]
        return left_open

    def _fork(self, ends: list[End], scope: list[Known], depth: int, *, looped: bool) -> list[End]:
        rng = self.rng
        base = list(scope)
        left_open: list[End] = []
        for _ in range(rng.randint(2, 3)):
            inner = list(base)
            node_ends = self.call(ends, inner)
            found = self.sequence(node_ends, inner, rng.randint(0, 2), depth, looped=looped)
            left_open += found
            scope += [known for known in inner if known not in scope]
        return left_open

    def loop(self, ends: list[End], scope: list[Known], depth: int) -> list[End]:
        """A loop over an array that is known, or over a mistake."""
        rng = self.rng
        node_id = self.new_id("loop")
        arrays = [known for known in scope if known.kind == "array" and known.sample]
        over, _, sample = reference(rng, scope, "array", self.style.faults)
        if arrays and rng.random() < 0.8:
            known = rng.choice(arrays)
            over, sample = {"type": "ref", "content": [known.node_id, known.key]}, known.sample
        declared = next((k.schema for k in scope if [k.node_id, k.key] == over["content"]), {})
        item = sample[0] if isinstance(sample, list) and sample else None
        items: Schema = declared.get("items") or {"type": values.type_of(item)}
        outer = list(scope)
        inner = [
            *outer,
            Known(f"{node_id}_locals", "item", items, item),
            Known(f"{node_id}_locals", "index", {"type": "number"}, 0),
        ] * 2  # What is of the loop is referred to more often.
        block = Graph(rng, self.style, self._base_url, self._calls, self._counter)
        before = block.add(self.new_id("block_start"), "block-start", {})
        always = list(inner)
        first = block.sequence(
            before, always, rng.randint(0, 1), 0 if rng.random() < 0.5 else depth, looped=True
        )
        certain = [k for k in always if k not in outer] if all(port is None for _, port in first) else []
        left_open = block.sequence(first, list(always), rng.randint(0, 2), depth, looped=True)
        block.add(self.new_id("block_end"), "block-end", {}, left_open)
        data: JSON = {"loopFor": over}
        if rng.random() < 0.85:
            data["loopOutputs"] = self._loop_outputs(certain or inner[-2:], always)
        if rng.random() < 0.1:
            data |= inputs(rng, scope, self.style, names(rng, 1))
        if rng.random() < 0.15:
            data["outputs"] = {
                "type": "object",
                "properties": {"out0": {"type": "array", "items": {"type": "string"}}},
            }
        if rng.random() < self.style.faults / 8:
            del data["loopFor"]
        ends = self.add(node_id, "loop", data, ends, blocks=block.nodes, edges=block.edges)
        for name, made in data.get("loopOutputs", {}).items():
            kind = next(
                (k.schema for k in always if [k.node_id, k.key] == made.get("content")), {"type": "string"}
            )
            scope.append(Known(node_id, name, {"type": "array", "items": kind}, [None]))
        return ends

    def _loop_outputs(self, certain: list[Known], seen: list[Known]) -> JSON:
        """What a loop collects. Values that an iteration may lack make the reference fail."""
        made: JSON = {}
        for index in range(self.rng.randint(1, 3)):
            if self.style.differs and self.rng.random() < 0.3:
                made[f"out{index}"] = reference(self.rng, seen, faults=self.style.faults)[0]
            else:
                known = self.rng.choice(certain)
                made[f"out{index}"] = {"type": "ref", "content": [known.node_id, known.key]}
        return made

    def finish(self, ends: list[End], scope: list[Known], size: int) -> None:
        """The end node, with outputs from all over the scope."""
        data = inputs(self.rng, scope, self.style, names(self.rng, size, "result"))
        for index, known in enumerate(self.rng.sample(scope, min(len(scope), size))):
            if known.kind and self.rng.random() < 0.7:
                data.get("inputs", {}).get("properties", {})[f"known{index}"] = known.schema
                data["inputsValues"][f"known{index}"] = {"type": "ref", "content": [known.node_id, known.key]}
        self.add("end_0", "end", data, ends)


def layered(graph: Graph, start: list[End], scope: list[Known], size: int) -> list[End]:
    """A graph without structure: every node has one to three predecessors among those before it."""
    rng = graph.rng
    seen: dict[str, list[Known]] = {start[0][0]: list(scope)}
    ports: dict[str, list[str]] = {}
    open_nodes: list[str] = [start[0][0]]
    for _ in range(size):
        sources = rng.sample(list(seen), min(len(seen), rng.choice((1, 1, 2, 3))))
        ends: list[End] = [(node, rng.choice(ports[node]) if node in ports else None) for node in sources]
        visible = list({id(k): k for node in sources for k in seen[node]}.values())
        if rng.random() < 0.45:
            node_id = graph.new_id("condition")
            data, keys = nodes.branching(rng, visible, graph.style, node_id)
            graph.add(node_id, "condition", data, ends)
            ports[node_id] = [*dict.fromkeys(keys), "else"]
        else:
            node_id = graph.call(ends, visible)[0][0]
        seen[node_id] = visible
        open_nodes = [node for node in open_nodes if node not in sources] + [node_id]
    used = {(edge["sourceNodeID"], edge.get("sourcePortID")) for edge in graph.edges}
    left: list[End] = [(node, None) for node in open_nodes if node not in ports]
    left += [(node, port) for node, keys in ports.items() for port in keys if (node, port) not in used]
    scope[:] = list({id(k): k for node in open_nodes for k in seen[node]}.values()) or scope
    return left


def decorations(rng: Random, graph: Graph) -> None:
    """What the editor draws beside the flow."""
    if rng.random() < 0.2:
        graph.add(graph.new_id("comment"), "comment", {"note": "hello", "size": {"width": 1}})
    if rng.random() < 0.1:
        graph.add(graph.new_id("group"), "group", {"parentID": "root", "blockIDs": ["end_0"]})


def globals_of(rng: Random, schema: Schema) -> list[Known]:
    """The variables of a `globalVariable` declaration."""
    return [
        Known("global", key, made, made.get("default"))
        for key, made in schema.get("properties", {}).items()
        if rng.random() < 0.9
    ]
