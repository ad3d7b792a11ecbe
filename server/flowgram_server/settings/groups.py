"""Setting groups: those of the node types and of the Temporal host, and the ranges of numbers."""

import ssl
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from flowgram_core.nodes.network.proxies import check_proxies
from flowgram_core.nodes.node_settings import CodeSettings, HTTPSettings, LLMSettings
from flowgram_core.temporal.settings import TemporalSettings

_LLM = LLMSettings()
_HTTP = HTTPSettings()
_CODE = CodeSettings()
_TEMPORAL = TemporalSettings()

Seconds = Annotated[float, Field(le=1e9)]
"""A duration. What is longer than thirty years is a mistake, and beyond what clocks and timers can count to."""

Count = Annotated[int, Field(le=2**62)]
"""A number of things. What is larger is a mistake, and beyond what the database can count to."""

MessageBytes = Annotated[int, Field(le=2_000_000_000)]
"""The size of a message. What is larger is beyond what gRPC and Protocol Buffers can count to."""


class Group(BaseModel):
    """A table of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _with_usable_proxies(trust_env: bool, info: ValidationInfo) -> bool:
    if trust_env and not info.data.get("deny_private"):
        check_proxies()
    return trust_env


class LLM(Group):
    """How llm nodes call their APIs."""

    connect_timeout: Seconds = Field(
        default=_LLM.connect_timeout, gt=0, description="Seconds that connecting may take."
    )
    read_timeout: Seconds = Field(
        default=_LLM.read_timeout, gt=0, description="Seconds that an API may be silent."
    )
    max_retries: Count = Field(
        default=_LLM.max_retries, ge=0, description="How often a failed call is tried again."
    )
    max_clients: Count = Field(
        default=_LLM.max_clients, ge=1, description="So many API hosts are kept connected."
    )
    max_connections: Count = Field(
        default=_LLM.max_connections, ge=1, description="Calls of one API host at once."
    )
    max_long_connections: Count = Field(
        default=_LLM.max_long_connections,
        ge=0,
        description="Calls of one API host besides, that take more than a second while others wait.",
    )
    max_answer_bytes: Count = Field(
        default=_LLM.max_answer_bytes, ge=1, description="Bytes of an answer's text."
    )
    max_held_bytes: Count = Field(
        default=_LLM.max_held_bytes, ge=1, description="Bytes that all answers under way hold together."
    )
    deny_private: bool | None = Field(
        default=_LLM.deny_private, description="Refuse addresses that are not public; none: as egress says."
    )
    trust_env: bool = Field(
        default=_LLM.trust_env, description="Whether proxies are taken from the environment."
    )

    _proxies_are_usable = field_validator("trust_env")(_with_usable_proxies)


class HTTP(Group):
    """How http nodes make their requests."""

    timeout: Seconds = Field(
        default=_HTTP.timeout, gt=0, description="Seconds for one attempt where a node names none."
    )
    max_parallel: Count = Field(
        default=_HTTP.max_parallel, ge=1, description="Requests at once, over all tasks."
    )
    max_long_parallel: Count = Field(
        default=_HTTP.max_long_parallel,
        ge=0,
        description="Requests besides, that take more than a second while others wait.",
    )
    max_keepalive: Count = Field(
        default=_HTTP.max_keepalive, ge=0, description="Idle connections that are kept."
    )
    keepalive: Seconds = Field(
        default=_HTTP.keepalive, ge=0, description="Seconds in which idle connections are used again."
    )
    max_redirects: Count = Field(
        default=_HTTP.max_redirects, ge=0, description="How many redirects are followed."
    )
    max_response_bytes: Count = Field(
        default=_HTTP.max_response_bytes, ge=1, description="Bytes of a response's body."
    )
    max_held_bytes: Count = Field(
        default=_HTTP.max_held_bytes, ge=1, description="Bytes that all responses under way hold together."
    )
    user_agent: str = Field(
        default=_HTTP.user_agent, description="The User-Agent header where a node names none."
    )
    ca_file: str | None = Field(
        default=_HTTP.ca_file, description="PEM file of the authorities to trust instead."
    )
    deny_private: bool | None = Field(
        default=_HTTP.deny_private, description="Refuse addresses that are not public; none: as egress says."
    )
    trust_env: bool = Field(
        default=_HTTP.trust_env, description="Whether proxies are taken from the environment."
    )

    _proxies_are_usable = field_validator("trust_env")(_with_usable_proxies)

    @field_validator("ca_file")
    @classmethod
    def _is_readable(cls, ca_file: str | None) -> str | None:
        if ca_file:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
            except ssl.SSLError:
                raise ValueError(f"{ca_file}: no certificates in PEM format") from None
            except OSError as error:
                raise ValueError(f"{ca_file}: {error.strerror}") from None
        return ca_file


class Code(Group):
    """How code nodes run their scripts."""

    workers: Count = Field(
        default=_CODE.workers, ge=1, description="Processes, each running one script at a time."
    )
    long_workers: Count = Field(
        default=_CODE.long_workers,
        ge=0,
        description="Processes besides, for scripts that run long while others wait; 0: these keep theirs.",
    )
    time_limit: Seconds = Field(
        default=_CODE.time_limit, gt=0, description="Seconds that one script may run."
    )
    heap_bytes: Count = Field(default=_CODE.heap_bytes, ge=1, description="Bytes of a script's objects.")
    stack_bytes: Count = Field(default=_CODE.stack_bytes, ge=1, description="Bytes of a script's stack.")
    max_result_bytes: Count = Field(
        default=_CODE.max_result_bytes, ge=1, description="Bytes of a result, as JSON text."
    )
    process_bytes: Count = Field(
        default=_CODE.process_bytes, ge=1, description="Bytes of a process's address space."
    )
    jobs_per_worker: Count = Field(
        default=_CODE.jobs_per_worker, ge=0, description="Scripts per process; 0: no limit."
    )


class Temporal(Group):
    """How the Temporal cluster is reached, and what tasks ask of it, where `runtime` is temporal."""

    address: str = Field(
        default=_TEMPORAL.address, description="HOST:PORT of the cluster; empty: of Temporal's configuration."
    )
    namespace: str = Field(
        default=_TEMPORAL.namespace, description="The namespace; empty: of Temporal's configuration."
    )
    profile: str = Field(
        default=_TEMPORAL.profile, description="The profile of Temporal's configuration: TLS, API key."
    )
    config_file: str = Field(
        default=_TEMPORAL.config_file, description="Its file; empty: where Temporal's tools look for it."
    )
    task_queue: str = Field(
        default=_TEMPORAL.task_queue, min_length=1, description="The queue between servers and workers."
    )
    deployment: str = Field(
        default=_TEMPORAL.deployment,
        min_length=1,
        description="The worker deployment, where there is a build id.",
    )
    build_id: str = Field(
        default=_TEMPORAL.build_id, description="The version of this worker; empty: any worker runs any task."
    )
    make_current: bool = Field(
        default=_TEMPORAL.make_current, description="Whether a worker makes its version the current one."
    )
    encryption_keys: dict[str, SecretStr] = Field(
        default={},
        description="Base64 of 32 bytes by name; the first one encrypts, all decrypt.",
    )
    unencrypted: bool = Field(
        default=_TEMPORAL.unencrypted,
        description="Allows histories without encryption, where there are no keys.",
    )
    max_open_tasks: Count = Field(
        default=_TEMPORAL.max_open_tasks, ge=0, description="Open tasks in the namespace; 0: no limit."
    )
    max_calls: Count = Field(
        default=_TEMPORAL.max_calls, ge=1, description="Calls that one worker makes at once."
    )
    max_cached_tasks: Count = Field(
        default=_TEMPORAL.max_cached_tasks, ge=0, description="Tasks that one worker keeps in memory."
    )
    heartbeat_timeout: Seconds = Field(
        default=_TEMPORAL.heartbeat_timeout,
        ge=1,
        description="Seconds of silence after which a call is made again elsewhere.",
    )
    sticky_timeout: Seconds = Field(
        default=_TEMPORAL.sticky_timeout,
        gt=0,
        description="Seconds that a step waits for the worker that has its task in memory.",
    )
    delta_interval: Seconds = Field(
        default=_TEMPORAL.delta_interval,
        ge=0,
        description="Seconds between two looks at a growing answer; 0: none.",
    )
    history_events: Count = Field(
        default=_TEMPORAL.history_events,
        ge=50,
        le=10_000,
        description="Events of a history after which a task goes on in a new one.",
    )
    worker_grace: Seconds = Field(
        default=_TEMPORAL.worker_grace, ge=0, description="Seconds for calls to end when a worker stops."
    )
