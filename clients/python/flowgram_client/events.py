"""The events of a task, as a watch yields them."""

from dataclasses import dataclass
from datetime import datetime

from ._json import JSONObject
from .messages import Message
from .models import Snapshot, StatusInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatusChanged(StatusInfo):
    """The task started or ended."""

    sequence: int
    """1, 2, 3 … within the task; watch after it to go on from here."""
    time: datetime
    outputs: JSONObject | None = None
    """The task's outputs, with SUCCEEDED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatusChanged(StatusInfo):
    """A node started or ended one run.

    The event that ends a run repeats nothing that the event that started it carried: merge the two by
    `snapshot.id`. A node that does no I/O sends its end alone.
    """

    sequence: int
    time: datetime
    node_id: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLogged:
    """The task or one of its nodes has something to say."""

    sequence: int
    time: datetime
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDelta:
    """Text of a language model as it arrives.

    Live only: it has no sequence. A watch that begins, or begins again, while a node runs gets the text so far first,
    with `from_start`. All of it is in the outputs of the node's run.
    """

    node_id: str
    snapshot_id: str
    text: str
    from_start: bool = False
    """This is all the text of the run so far: it replaces what was shown. Of a very long text it is the last part."""
    time: datetime | None = None
    sequence: int = 0


Event = TaskStatusChanged | NodeStatusChanged | MessageLogged | OutputDelta
"""Any event. Every one has a `sequence`; 0 for what is not durable."""
