"""What a runtime was seen to do with a case: the common form in which two runtimes are compared."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """A workflow with its inputs.

    Attributes:
        name: Where it came from, such as `seed 5, case 17`.
        schema: The workflow schema.
        inputs: The inputs of the task.
    """

    name: str
    schema: dict[str, Any]
    inputs: dict[str, Any]

    @property
    def schema_text(self) -> str:
        """The schema as JSON text, in ASCII: lone surrogates have no UTF-8."""
        return json.dumps(self.schema)

    @property
    def inputs_text(self) -> str:
        """The inputs as JSON text, in ASCII."""
        return json.dumps(self.inputs)


@dataclass
class Snapshot:
    """One run of a node. `inputs` and `outputs` are `{}` where the node did not come that far.

    `iterations`, the loop iterations around it, are known of this project's runs only.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    branch: str = ""
    error: str = ""
    iterations: tuple[tuple[str, int], ...] = ()


@dataclass
class NodeSeen:
    """A node that has started: the status of its last run, and all its runs in order."""

    status: str
    snapshots: list[Snapshot] = field(default_factory=list)


@dataclass
class Observation:
    """What became of a case.

    Attributes:
        problems: What validation complains of. If there is any, nothing ran, and all else is empty.
        status: The status of the task: `succeeded`, `failed` or `canceled`; `stuck` if it never ended.
        outputs: The outputs of the task.
        nodes: The nodes that have started, in the order in which they first did.
        errors: The error messages: (node id, text), in order.
    """

    problems: list[str] = field(default_factory=list)
    status: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, NodeSeen] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For people to read, with the nodes' snapshots in short."""
        if self.problems:
            return {"problems": self.problems}
        return {
            "status": self.status,
            "outputs": self.outputs,
            "nodes": {
                node_id: [seen.status, *({k: v for k, v in vars(s).items() if v} for s in seen.snapshots)]
                for node_id, seen in self.nodes.items()
            },
            "errors": self.errors,
        }
