"""What can be said of a workflow's graph without running it, and where the reference decides by luck.

The reference keeps a set of nodes that count as executed. A node runs whenever one of its predecessors has just run and
all of them are in the set. A node that branches puts the nodes behind the other branches into the set, except those
behind the chosen one. Where such a node runs after all, because another live path leads to it, what comes behind it may
run early, twice or never: `races` finds those places, from the branches that were chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.observation import Case, Observation

DEFAULT_PORT = "defaultOutput"
_LEAVES = {"end", "block-end", "break", "continue"}


@dataclass
class Place:
    """A node where it stands.

    Attributes:
        node: Its schema.
        loop: The id of the loop around it, or None at the root.
        targets: Its outgoing edges: (port, target), in order.
        sources: Where its incoming edges come from.
    """

    node: dict[str, Any]
    loop: str | None
    targets: list[tuple[str, str]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


class Flow:
    """All nodes of a valid workflow by id, with the relations between them."""

    def __init__(self, case: Case) -> None:
        self.places: dict[str, Place] = {}
        self._later: dict[str, frozenset[str]] = {}
        self._add(case.schema["nodes"], case.schema["edges"], None)
        self._port_targets: dict[str, set[str]] = {}
        for place in self.places.values():
            for port, target in place.targets:
                self._port_targets.setdefault(port, set()).add(target)

    def _add(self, nodes: list[dict[str, Any]], edges: list[dict[str, Any]], loop: str | None) -> None:
        for node in nodes:
            self.places[node["id"]] = Place(node, loop)
        for edge in edges:
            port = edge.get("sourcePortID", DEFAULT_PORT)
            self.places[edge["sourceNodeID"]].targets.append((port, edge["targetNodeID"]))
            self.places[edge["targetNodeID"]].sources.append(edge["sourceNodeID"])
        for node in nodes:
            if node.get("blocks") is not None:
                self._add(node["blocks"], node.get("edges") or [], node["id"])

    def later(self, node_id: str) -> frozenset[str]:
        """The nodes of the same graph that come behind a node."""
        if node_id not in self._later:
            found: dict[str, None] = {}
            waiting = [target for _, target in self.places[node_id].targets]
            while waiting:
                target = waiting.pop()
                if target not in found:
                    found[target] = None
                    waiting += [following for _, following in self.places[target].targets]
            self._later[node_id] = frozenset(found)
        return self._later[node_id]

    def loops_around(self, node_id: str) -> Iterator[str]:
        """The loops around a node, innermost first."""
        loop = self.places[node_id].loop
        while loop is not None:
            yield loop
            loop = self.places[loop].loop

    def inside(self, loop: str) -> set[str]:
        """All nodes within a loop, inner loops included."""
        return {node_id for node_id in self.places if loop in self.loops_around(node_id)}

    def affected(self, node_id: str) -> set[str]:
        """The node, and all that may run after it or see what it gave."""
        found = {node_id, *self.later(node_id)}
        loop = self.places[node_id].loop
        if loop is not None:
            found |= self.inside(loop) | self.affected(loop)
        for other in list(found):
            if self.places[other].node["type"] == "loop":
                found |= self.inside(other)
        return found

    def concurrent(self, left: str, right: str) -> bool:
        """Whether neither of two nodes has to wait for the other."""
        if left == right:
            return False
        lefts = [left, *self.loops_around(left)]
        rights = [right, *self.loops_around(right)]
        if left in rights or right in lefts:
            return False
        for outer_left in lefts:
            for outer_right in rights:
                if self.places[outer_left].loop == self.places[outer_right].loop:
                    return outer_right not in self.later(outer_left) and outer_left not in self.later(
                        outer_right
                    )
        return False

    def marked(self, node_id: str, branch: str) -> tuple[list[str], set[str]]:
        """What the reference goes on with after a branch is chosen, and what it then counts as executed."""
        targets = [target for _, target in self.places[node_id].targets]
        if not branch:
            return targets, set()
        # Ports of one name are one port to it, whosever they are.
        followed = self._port_targets.get(branch, set())
        chosen = [target for target in targets if target in followed]
        skipped = [target for target in targets if target not in followed]
        kept = {node for target in chosen for node in (target, *self.later(target))}
        return chosen, {node for target in skipped for node in (target, *self.later(target))} - kept


@dataclass
class _Run:
    """One run of a node in one graph instance: the branch it chose, and whether it came to its end."""

    branch: str
    ended: bool


def races(flow: Flow, ours: Observation) -> dict[str, str]:
    """Nodes that the reference treats by luck, with the reason."""
    frames: dict[object, dict[str, _Run]] = {}
    for node_id, seen in ours.nodes.items():
        for snapshot in seen.snapshots:
            ended = not snapshot.error and (seen.status == "succeeded" or snapshot is not seen.snapshots[-1])
            frames.setdefault(snapshot.iterations, {})[node_id] = _Run(snapshot.branch, ended)
    found: dict[str, str] = {}
    for ran in frames.values():
        found |= _races_in(flow, ran)
    return found


def _races_in(flow: Flow, ran: dict[str, _Run]) -> dict[str, str]:
    found: dict[str, str] = {}
    marked: set[str] = set()
    for node_id, run in ran.items():
        chosen, skipped = flow.marked(node_id, run.branch)
        marked |= skipped
        targets = flow.places[node_id].targets
        if flow.places[node_id].node["type"] in _LEAVES:
            found |= {target: "behind a leaf" for _, target in targets}
        taken = [target for port, target in targets if not run.branch or port == run.branch]
        for target in set(chosen):
            if chosen.count(target) > 1:
                found[target] = "runs twice"
            elif target not in taken:
                found[target] = "shared ports"
    found |= {node_id: "mixed join" for node_id in marked if _may_run(flow, ran, node_id)}
    for node_id in ran:
        for source in flow.places[node_id].sources:
            if source not in ran and source not in marked:
                found[node_id] = "unreachable source"
    return found


def _may_run(flow: Flow, ran: dict[str, _Run], node_id: str) -> bool:
    """Whether a node has run, or might have if the task had gone on: one of its edges is taken, or undecided."""
    if node_id in ran:
        return True
    for source in flow.places[node_id].sources:
        run = ran.get(source)
        if run is None or not run.ended:
            if _may_run(flow, ran, source):
                return True
        elif any(
            target == node_id and (not run.branch or port == run.branch)
            for port, target in flow.places[source].targets
        ):
            return True
    return False
