"""What rules may look at: a case, both observations, and where explained differences may spread to."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.flow import Flow
from tests.conformance.observation import Case, NodeSeen, Observation


@dataclass
class Context:
    """What rules may look at.

    Attributes:
        tainted: Nodes that may differ because of an explained difference, with its name.
    """

    case: Case
    flow: Flow
    reference: Observation
    ours: Observation
    tainted: dict[str, str] = field(default_factory=dict)

    def spread(self, node_id: str, rule: str) -> None:
        """Lets a node and what comes behind it differ."""
        for other in self.flow.affected(node_id):
            self.tainted.setdefault(other, rule)

    def failed_nodes(self) -> set[str]:
        """Nodes that failed on either side, but for loops that failed by what is inside."""
        return {
            node_id
            for observation in (self.reference, self.ours)
            for node_id, text in observation.errors
            if node_id and text != "Loop block execute error"
        } | {node_id for node_id, seen in self.ours.nodes.items() if seen.status == "failed"}

    def values_of(self, content: list[Any]) -> list[Any]:
        """What a reference may have found, in any run: the last word on types and emptiness."""
        if len(content) < 2:
            return [None]
        node_id, key, *path = content
        found: list[Any] = [None]
        for observation in (self.ours, self.reference):
            runs = (observation.nodes.get(node_id) or NodeSeen("")).snapshots
            found += [run.outputs.get(key) for run in runs]
        if node_id.endswith("_locals"):
            loop = self.flow.places.get(node_id.removesuffix("_locals"))
            arrays = self.values_of(loop.node["data"].get("loopFor", {}).get("content", [])) if loop else []
            found += [item for array in arrays if isinstance(array, list) for item in array]
        default = self.declared(node_id, key).get("default")
        found += [default, parsed(default)]
        return [_at(value, path) for value in found]

    def declared(self, node_id: str, key: str) -> dict[str, Any]:
        """How a variable is declared; `{}` if it is not."""
        place = self.flow.places.get(node_id)
        if node_id.endswith("_locals") and key == "item":
            loop = self.flow.places.get(node_id.removesuffix("_locals"))
            content = loop.node["data"].get("loopFor", {}).get("content") if loop else None
            items = self.declared(*content).get("items") if content and len(content) == 2 else None
            return items if isinstance(items, dict) else {}
        declared = (
            self.case.schema.get("globalVariable")
            if node_id == "global"
            else place and place.node["data"].get("outputs")
        )
        properties = declared.get("properties") if isinstance(declared, dict) else None
        made = properties.get(key) if isinstance(properties, dict) else None
        return made if isinstance(made, dict) else {}


def parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _at(value: Any, path: list[Any]) -> Any:
    for key in path:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list | str) and str(key).isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
