"""Limits of one execution: bounds on the events, memory and work of a task."""

from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = 2**63 - 1
"""More than anything that is counted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one execution. Beyond each, the task fails with a message that names the limit.

    Attributes:
        max_events: Events of the task.
        max_loop_iterations: Items that one loop goes over.
        max_snapshot_bytes: The inputs, and the outputs, that one run of a node shows, as JSON text; also the texts that
            are made of templates in one run, for whatever they are used.
        max_node_work: Work of one run of a node, in units of about a nanosecond. See `meter`.
        max_task_memory: Bytes of memory that inputs, variables and loop outputs take, as objects.
    """

    max_events: int = 1_000_000
    max_loop_iterations: int = 100_000
    max_snapshot_bytes: int = 32 * 1024 * 1024
    max_node_work: int = 5_000_000_000
    max_task_memory: int = 256 * 1024 * 1024
