"""Settings of the runtime as a library: plain values, without a source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowgram_core.engine.limits import Limits
from flowgram_core.hosting.quotas import Quota

DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How tasks are run. Durations are in seconds; 0 means "no limit" where stated.

    Attributes:
        limits: Bounds of each execution.
        max_running_tasks: How many tasks run at once; others wait.
        max_waiting_tasks: How many tasks may wait; beyond it new ones are refused.
        max_schema_bytes: Length of a schema's text, in UTF-8.
        max_inputs_bytes: Length of a task's inputs, in UTF-8.
        max_held_inputs_bytes: Bytes of the inputs of all tasks that run and wait; beyond it new ones are refused.
        max_memory: Bytes of memory that all tasks may hold, as objects; beyond it new ones are refused, and the one that
            holds most fails.
        inline_work: Work of a node run on the event loop; what does more is done in a thread. See `meter`.
        max_nodes: Nodes of a schema, blocks included.
        max_output_bytes: Length of the outputs of one call, as JSON text.
        max_calls: Calls that run at once, over all tasks; 0: no limit.
        max_calls_by_type: The same for single node types, by name.
        max_task_log_bytes: Events of one task; beyond it the task fails; 0: no limit.
        max_journal_bytes: What the journal takes; from 90 % of it on new tasks are refused, at all of it running ones wait;
            0: no limit.
        disk_reserve_bytes: Space that stays free on the journal's disk: below it new tasks are refused, below half of it
            running ones wait; 0: none.
        max_crashes: A task is parked after so many processes in a row died while they worked on it; 0: never.
        max_calls_per_task: How many of them one task may have at once; 0: no limit of its own.
        default_timeout: How long a task may run that asks for no time-out; 0: no limit.
        call_timeouts: How long one call may run, by node type, whatever time-out its node has; a type that is not named has no
            limit of its own.
        cached_documents: Compiled schemas that are kept.
        cached_schema_bytes: The same by the memory of their texts.
        step_budget: Node runs of the core from one commit to the next.
        step_bytes: Bytes of events from one commit to the next; a single event may be larger.
        tail_bytes: Bytes of a running task's latest events that are kept in memory for live watchers.
        retention_age: Finished tasks are removed after so long; 0: never by age.
        retention_count: How many finished tasks are kept; 0: no limit by count.
        retention_interval: How often expired tasks are removed.
        quotas: What namespaces may have, by name; that of `default` is for all that have none of their own.
        secret_names: Node inputs whose values are masked wherever they are shown.
    """

    limits: Limits = field(default_factory=Limits)
    max_running_tasks: int = 10_000
    max_waiting_tasks: int = 10_000
    max_schema_bytes: int = 12 * 1024 * 1024
    max_inputs_bytes: int = 12 * 1024 * 1024
    max_held_inputs_bytes: int = 512 * 1024 * 1024
    max_memory: int = 1024 * 1024 * 1024
    inline_work: int = 4_000_000
    max_nodes: int = 20_000
    max_output_bytes: int = 16 * 1024 * 1024
    max_calls: int = 10_000
    max_calls_by_type: Mapping[str, int] = field(default_factory=dict)
    max_calls_per_task: int = 1_000
    max_task_log_bytes: int = 512 * 1024 * 1024
    max_journal_bytes: int = 64 * 1024**3
    disk_reserve_bytes: int = 256 * 1024 * 1024
    max_crashes: int = 3
    default_timeout: float = DAY
    call_timeouts: Mapping[str, float] = field(default_factory=lambda: {"http": 600.0, "llm": 3600.0})
    cached_documents: int = 256
    cached_schema_bytes: int = 32 * 1024 * 1024
    step_budget: int = 1000
    step_bytes: int = 256 * 1024
    tail_bytes: int = 64 * 1024
    retention_age: float = 7 * DAY
    retention_count: int = 100_000
    retention_interval: float = 60
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    secret_names: frozenset[str] = frozenset({"apiKey"})
