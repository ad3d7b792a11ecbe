"""Events of the core with some of their fields changed."""

from typing import Any

from flowgram_core.engine.events import NodeStatusChanged

_FIELDS = (
    "sequence", "at", "node_id", "status", "start_time", "end_time", "snapshot_id", "iterations", "inputs", "outputs",
    "branch", "error",
)  # fmt: skip


def changed(event: NodeStatusChanged, **fields: Any) -> NodeStatusChanged:
    """A copy of an event with other values in some fields."""
    unknown = fields.keys() - set(_FIELDS)
    if unknown:
        raise TypeError(f"an event has no {', '.join(sorted(unknown))}")
    return NodeStatusChanged(*(fields.get(name, getattr(event, name)) for name in _FIELDS))
