"""Events of the core with some of their fields changed."""

from typing import Any, TypeVar

from flowgram_core.engine.events import Event, MessageLogged, NodeStatusChanged, TaskStatusChanged

_Event = TypeVar("_Event", bound=Event)

_TASK_FIELDS = ("sequence", "at", "status", "start_time", "end_time", "outputs")
_NODE_FIELDS = (
    "sequence", "at", "node_id", "status", "start_time", "end_time", "snapshot_id", "iterations", "inputs", "outputs",
    "branch", "error",
)  # fmt: skip
_MESSAGE_FIELDS = ("sequence", "at", "id", "type", "text", "node_id")
_FIELDS: dict[type, tuple[str, ...]] = {
    TaskStatusChanged: _TASK_FIELDS,
    NodeStatusChanged: _NODE_FIELDS,
    MessageLogged: _MESSAGE_FIELDS,
}


def changed(event: _Event, **fields: Any) -> _Event:
    """A copy of an event with other values in some fields."""
    names = _FIELDS[type(event)]
    unknown = fields.keys() - set(names)
    if unknown:
        raise TypeError(f"such an event has no {', '.join(sorted(unknown))}")
    return type(event)(*(fields.get(name, getattr(event, name)) for name in names))
