"""Settings of the Temporal host: plain values, wherever they come from. It can be imported without the extra."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flowgram_core.hosting.settings import RuntimeSettings

MAX_VALUE_BYTES: Final = 384 * 1024
"""Of the inputs and the outputs of one node run. One event may hold both; a history takes 2 MiB at once."""
MAX_SCHEMA_BYTES: Final = 1024 * 1024
"""Of a schema: it begins the history together with the task's inputs, which are those of a node run, too."""
MAX_NODE_WORK: Final = 250_000_000
"""Of one node run: at most about half a second on the slowest machines that were measured.

A worker's SDK fails a step that takes more than 2 s, and does it again, for ever. That cannot be set.
"""
MAX_STEP_WORK: Final = 100_000_000
"""Of one step, before its last node run."""
MAX_CONTINUED_BYTES: Final = 2304 * 1024
"""Of what a new run of a workflow begins with: JSON text, of which compression leaves 2 MiB at the very most."""
MAX_HISTORY_EVENTS: Final = 40_000
"""Of a task that cannot go on in a new run. At 51,200 a cluster ends the workflow by itself,"""
MAX_HISTORY_BYTES: Final = 40 * 1024 * 1024
"""and at 50 MiB."""


@dataclass(frozen=True, slots=True)
class TemporalSettings:
    """How the Temporal cluster is reached, and what tasks ask of it. Durations are in seconds.

    Attributes:
        address: HOST:PORT of the cluster's front; empty: of the profile.
        namespace: The namespace; empty: of the profile.
        profile: The profile of Temporal's own configuration (TEMPORAL_* variables, temporal.toml): TLS, API key.
        config_file: That file; empty: where it is by default.
        task_queue: The queue that servers put tasks on and workers take them from.
        deployment: The name of the worker deployment, where `build_id` is given.
        build_id: The version of this worker: tasks stay on the version that they began on. Empty: any worker runs any task.
        make_current: Whether a worker makes its version the current one, unless a newer version is.
        encryption_keys: Base64 of 32 bytes by the name of the key; the first one encrypts, all decrypt.
        unencrypted: Allows that there are no keys: schemas, inputs, outputs and API keys stand readable in the history.
        max_open_tasks: So many tasks may be open in the namespace; beyond it new ones are refused. 0: no limit.
        max_calls: Calls that one worker makes at once.
        max_cached_tasks: Tasks that one worker keeps in memory between their steps.
        heartbeat_timeout: A call whose worker has been silent for so long is made again elsewhere.
        sticky_timeout: A step waits so long for the worker that has its task in memory.
        delta_interval: How often a call tells what it has of an answer; 0: never.
        history_events: A task goes on in a new run of its workflow from so many events of its history.
        worker_grace: Calls get so long to end when a worker stops; then they are made again elsewhere.
    """

    address: str = ""
    namespace: str = ""
    profile: str = ""
    config_file: str = ""
    task_queue: str = "flowgram"
    deployment: str = "flowgram"
    build_id: str = ""
    make_current: bool = False
    encryption_keys: Mapping[str, str] = field(default_factory=dict)
    unencrypted: bool = False
    max_open_tasks: int = 1_000_000
    max_calls: int = 200
    max_cached_tasks: int = 1_000
    heartbeat_timeout: float = 5.0
    sticky_timeout: float = 2.0
    delta_interval: float = 0.25
    history_events: int = 2_000
    worker_grace: float = 5.0


def within_temporal(settings: RuntimeSettings) -> RuntimeSettings:
    """The runtime's settings, within what a history and a worker can take.

    A batch, a call and its outcome each are one payload of the history; a node run is work of one step.
    """
    limits = settings.limits
    return replace(
        settings,
        limits=replace(
            limits,
            max_snapshot_bytes=min(limits.max_snapshot_bytes, MAX_VALUE_BYTES),
            max_node_work=min(limits.max_node_work, MAX_NODE_WORK),
        ),
        max_output_bytes=min(settings.max_output_bytes, MAX_VALUE_BYTES),
        max_schema_bytes=min(settings.max_schema_bytes, MAX_SCHEMA_BYTES),
        max_inputs_bytes=min(settings.max_inputs_bytes, MAX_VALUE_BYTES),
    )
