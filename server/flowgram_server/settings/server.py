"""Settings of the server: all of them with their defaults and bounds, and the plain dataclasses that its parts take.

Durations are in seconds, sizes in bytes. `loading` says where the values come from.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flowgram_core.engine.limits import Limits
from flowgram_core.hosting.quotas import Quota
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.nodes.node_settings import CodeSettings, EgressSettings, HTTPSettings, LLMSettings
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets
from flowgram_core.temporal.settings import TemporalSettings, within_temporal
from flowgram_server.address import host_and_port, is_loopback
from flowgram_server.auth.exposure import exposure_problems
from flowgram_server.descriptors import ConnectionShares, connection_shares, raise_limit
from flowgram_server.logs import LogFormat, LogLevel
from flowgram_server.rpc.servicer import ServiceLimits
from flowgram_server.settings.egress import Egress
from flowgram_server.settings.encryption import Encryption
from flowgram_server.settings.environment import PREFIX
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.gateway import ConnectionLimits, GatewaySettings, host_name_of, origin_of
from flowgram_server.settings.groups import HTTP, LLM, Code, Count, MessageBytes, Seconds, Temporal
from flowgram_server.settings.quotas import NamespaceName, NamespaceQuota
from flowgram_server.settings.secrets import Secret, SecretName
from flowgram_server.settings.security import TLS, Auth

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LIMITS = Limits()
_RUNTIME = RuntimeSettings()
_SERVICE = ServiceLimits()
_GATEWAY = GatewaySettings()

_MAX_BODY_REST = 1024 * 1024
"""Bytes of a request body beside schema and inputs."""

_Dataclass = TypeVar("_Dataclass", bound="DataclassInstance")


class Settings(BaseSettings):
    """All settings of the server."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    listen: str = Field(
        default="127.0.0.1:50051", description="HOST:PORT to serve on; port 0 takes any that is free."
    )
    http_listen: str = Field(
        default="127.0.0.1:4000", description="HOST:PORT of the REST gateway; empty: there is none."
    )
    cors_origins: Annotated[frozenset[str], NoDecode] = Field(
        default=_GATEWAY.cors_origins,
        description="Origins whose pages may use the REST gateway; loopback: those on this machine; *: all.",
    )
    metrics_listen: str = Field(
        default="127.0.0.1:9464",
        description="HOST:PORT for scrapers of metrics and for probes; empty: there are no metrics.",
    )
    runtime: Literal["embedded", "temporal"] = Field(
        default="embedded", description="What runs tasks: this process, or the workers of a Temporal cluster."
    )
    with_worker: bool = Field(default=False, description="Whether a server on Temporal is a worker as well.")
    allowed_hosts: Annotated[frozenset[str], NoDecode] = Field(
        default=_GATEWAY.allowed_hosts,
        description="Names in a Host header that the REST gateway answers, beside this machine's; *: all.",
    )
    trusted_proxies: Annotated[frozenset[str], NoDecode] = Field(
        default=_GATEWAY.trusted_proxies,
        description="Addresses and networks of proxies whose X-Forwarded-For the REST gateway believes.",
    )
    insecure_remote: bool = Field(
        default=False, description="Allows to listen beyond loopback without TLS and authentication."
    )
    max_connections: Count = Field(
        default=0, ge=0, description="gRPC connections at once; 0: half of the file descriptors."
    )
    max_http_connections: Count = Field(
        default=0, ge=0, description="HTTP connections at once; 0: a quarter of the file descriptors."
    )
    data: Path = Field(
        default=Path("data"), description="The directory of the journal; made if it is missing."
    )
    storage: Literal["sqlite", "memory"] = Field(
        default="sqlite", description="Where tasks are kept; memory: nowhere."
    )
    durability: Literal["normal", "full"] = Field(
        default="normal",
        description="What a commit survives: the death of the process, or (full) the loss of power too.",
    )
    shutdown_grace: Seconds = Field(
        default=10.0, ge=0, description="Seconds for running tasks and calls to end at shutdown."
    )
    log_level: LogLevel = Field(default="info", description="What is logged: this and what is graver.")
    log_format: LogFormat = Field(
        default="auto", description="json, console, or auto: console on a terminal."
    )
    access_log: bool = Field(default=True, description="Whether every call is logged.")

    audit_log: Path | None = Field(
        default=None, description="File of the audit log, a line of JSON per decision; -: standard output."
    )

    max_message_bytes: MessageBytes = Field(
        default=_SERVICE.max_message_bytes,
        ge=65_536,
        description="Bytes of one gRPC message.",
    )
    max_streams: Count = Field(default=5_000, ge=1, description="Calls at once on one gRPC connection.")
    max_watches: Count = Field(default=_SERVICE.max_watches, ge=1, description="Clients that watch at once.")
    max_report_events: Count = Field(
        default=_SERVICE.max_report_events, ge=2, description="Events that one report adds up."
    )
    max_running_tasks: Count = Field(
        default=_RUNTIME.max_running_tasks, ge=1, description="Tasks that run at once."
    )
    max_waiting_tasks: Count = Field(
        default=_RUNTIME.max_waiting_tasks, ge=0, description="Tasks that may wait to run."
    )
    max_schema_bytes: Count = Field(default=_RUNTIME.max_schema_bytes, ge=1, description="Bytes of a schema.")
    max_inputs_bytes: Count = Field(
        default=_RUNTIME.max_inputs_bytes, ge=1, description="Bytes of a task's inputs."
    )
    max_held_inputs_bytes: Count = Field(
        default=_RUNTIME.max_held_inputs_bytes,
        ge=1,
        description="Bytes of the inputs of all tasks that run and wait.",
    )
    max_nodes: Count = Field(
        default=_RUNTIME.max_nodes, ge=2, description="Nodes of a schema, blocks included."
    )
    max_loop_iterations: Count = Field(
        default=_LIMITS.max_loop_iterations, ge=0, description="Items that one loop goes over."
    )
    max_events: Count = Field(default=_LIMITS.max_events, ge=2, description="Events of one task.")
    max_snapshot_bytes: Count = Field(
        default=_LIMITS.max_snapshot_bytes,
        ge=1,
        description="Bytes of the inputs, and of the outputs, of one run.",
    )
    max_node_work: Count = Field(
        default=_LIMITS.max_node_work,
        ge=1,
        description="Work of one run of a node, in units of about a nanosecond.",
    )
    max_task_memory: Count = Field(
        default=_LIMITS.max_task_memory, ge=1, description="Bytes of memory that one task may hold."
    )
    max_memory: Count = Field(
        default=_RUNTIME.max_memory, ge=1, description="Bytes of memory that all tasks may hold."
    )
    max_output_bytes: Count = Field(
        default=_RUNTIME.max_output_bytes, ge=1, description="Bytes of one call's outputs."
    )
    max_calls: Count = Field(
        default=_RUNTIME.max_calls, ge=0, description="Calls at once, over all tasks; 0: no limit."
    )
    max_calls_by_type: dict[str, Annotated[Count, Field(ge=1)]] = Field(
        default=dict(_RUNTIME.max_calls_by_type), description="The same for single node types."
    )
    max_task_log_bytes: Count = Field(
        default=_RUNTIME.max_task_log_bytes,
        ge=0,
        description="Bytes of one task's events; 0: no limit.",
    )
    max_journal_bytes: Count = Field(
        default=_RUNTIME.max_journal_bytes,
        ge=0,
        description="Bytes of the journal; 0: no limit.",
    )
    disk_reserve_bytes: Count = Field(
        default=_RUNTIME.disk_reserve_bytes,
        ge=0,
        description="Bytes that stay free on the journal's disk; 0: none.",
    )
    max_crashes: Count = Field(
        default=_RUNTIME.max_crashes,
        ge=0,
        description="Processes in a row that die while they work on a task before it is parked; 0: never.",
    )
    max_calls_per_task: Count = Field(
        default=_RUNTIME.max_calls_per_task, ge=0, description="Calls at once of one task; 0: no limit."
    )
    default_timeout: Seconds = Field(
        default=_RUNTIME.default_timeout,
        ge=0,
        description="Seconds that a task may run that names none; 0: no limit.",
    )
    call_timeouts: dict[str, Annotated[Seconds, Field(gt=0)]] = Field(
        default=dict(_RUNTIME.call_timeouts),
        description="Seconds that one call may run, by node type, whatever time-out its node has.",
    )
    retention_age: Seconds = Field(
        default=_RUNTIME.retention_age,
        ge=0,
        description="Seconds after which finished tasks are removed; 0: never by age.",
    )
    retention_count: Count = Field(
        default=_RUNTIME.retention_count,
        ge=0,
        description="Finished tasks that are kept; 0: no limit by count.",
    )
    retention_interval: Seconds = Field(
        default=_RUNTIME.retention_interval,
        gt=0,
        description="Seconds between two looks through the finished tasks.",
    )
    cached_documents: Count = Field(
        default=_RUNTIME.cached_documents, ge=1, description="Compiled schemas that are kept."
    )
    cached_schema_bytes: Count = Field(
        default=_RUNTIME.cached_schema_bytes, ge=0, description="Bytes of their texts, in all."
    )
    secret_names: Annotated[frozenset[str], NoDecode] = Field(
        default=_RUNTIME.secret_names,
        description="Node inputs whose values are masked; by commas in the environment.",
    )
    llm: LLM = LLM()
    http: HTTP = HTTP()
    code: Code = Code()
    temporal: Temporal = Temporal()
    egress: Egress = Egress()
    secrets: dict[SecretName, Secret] = Field(
        default={}, description="Secrets that workflows may use, by name."
    )
    quotas: dict[NamespaceName, NamespaceQuota] = Field(
        default={},
        description="What namespaces may have, by name; default is for all that have none of their own.",
    )
    encryption: Encryption = Encryption()
    tls: TLS = TLS()
    auth: Auth = Auth()

    @field_validator("http_listen", "metrics_listen")
    @classmethod
    def _is_address_or_none(cls, listen: str) -> str:
        return cls._is_address(listen) if listen else listen

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str) -> str:
        host_and_port(listen)
        return listen

    @field_validator("call_timeouts", mode="before")
    @classmethod
    def _with_defaults(cls, timeouts: Any) -> Any:
        """Types that are not named keep their defaults."""
        return {**_RUNTIME.call_timeouts, **timeouts} if isinstance(timeouts, dict) else timeouts

    @field_validator("secret_names", "cors_origins", "allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split_names(cls, names: Any) -> Any:
        return (
            [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names
        )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: frozenset[str]) -> frozenset[str]:
        return frozenset(map(origin_of, origins))

    @field_validator("allowed_hosts")
    @classmethod
    def _are_host_names(cls, names: frozenset[str]) -> frozenset[str]:
        return frozenset(map(host_name_of, names))

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: frozenset[str]) -> frozenset[str]:
        return frozenset(str(ipaddress.ip_network(network)) for network in networks)

    def check_node_types(self, calling: Collection[str]) -> None:
        """Raises `InvalidSettings` where a setting by node type names one that makes no calls: it would limit nothing."""
        unknown = [
            f'{setting}: no node type "{name}" makes calls; those that do are {", ".join(sorted(calling))}'
            for setting in ("max_calls_by_type", "call_timeouts")
            for name in getattr(self, setting)
            if name not in calling
        ]
        if unknown:
            raise InvalidSettings("\n".join(unknown))

    @model_validator(mode="after")
    def _have_authorities(self) -> Self:
        if self.auth.certificates and self.tls.client_ca_file is None:
            raise ValueError("auth.certificates needs tls.client_ca_file")
        return self

    @model_validator(mode="after")
    def _can_count_bytes(self) -> Self:
        counted = [name for name, limits in self.quotas.items() if limits.max_bytes is not None]
        if counted and self.runtime == "temporal":
            raise ValueError(
                f"quotas.{counted[0]}.max_bytes: what tasks take in a Temporal cluster is not counted"
            )
        return self

    def check_exposure(self) -> None:
        """Raises `InvalidSettings` where the server could be reached from elsewhere without TLS and authentication."""
        problems = exposure_problems(
            {"listen": self.listen, "http_listen": self.http_listen},
            has_tls=self.tls.files is not None,
            has_auth=self.auth.enabled,
            insecure_remote=self.insecure_remote,
        )
        if problems:
            raise InvalidSettings("\n".join(problems))

    def runtime_settings(self) -> RuntimeSettings:
        """What concerns the runtime."""
        settings = _pick(RuntimeSettings, self, limits=_pick(Limits, self), quotas=self._quotas())
        return within_temporal(settings) if self.runtime == "temporal" else settings

    def temporal_settings(self) -> TemporalSettings:
        """What concerns the Temporal host."""
        keys = {name: key.get_secret_value() for name, key in self.temporal.encryption_keys.items()}
        keys = keys or self.encryption.texts()
        return _pick(TemporalSettings, self.temporal, encryption_keys=keys)

    def service(self) -> ServiceLimits:
        """What concerns the service."""
        runtime = self.runtime_settings()  # what a host takes may be less
        return _pick(
            ServiceLimits,
            self,
            quotas=self._quotas(),
            max_schema_bytes=runtime.max_schema_bytes,
            max_inputs_bytes=runtime.max_inputs_bytes,
        )

    def _quotas(self) -> dict[str, Quota]:
        return {name: limits.quota() for name, limits in self.quotas.items()}

    def gateway(self) -> GatewaySettings:
        """What concerns the REST gateway."""
        # What the service would refuse need not be read: a text may take twice its length in JSON, and some is left for names.
        runtime = self.runtime_settings()
        texts = 2 * runtime.max_schema_bytes + runtime.max_inputs_bytes
        body = min(self.max_message_bytes, texts + _MAX_BODY_REST)
        connections = ConnectionLimits(
            max_connections=self.max_http_connections or self.connection_shares().http
        )
        return _pick(
            GatewaySettings,
            self,
            max_body_bytes=body,
            max_bodies_bytes=max(_GATEWAY.max_bodies_bytes, 2 * body),
            connections=connections,
        )

    def workflow_secrets(self) -> WorkflowSecrets:
        """The secrets that workflows may use; what keeps one from being read is in the log."""
        secrets = WorkflowSecrets({name: secret.source() for name, secret in self.secrets.items()})
        secrets.check()
        return secrets

    def egress_settings(self, *, is_exposed: bool = False) -> EgressSettings:
        """What concerns the connections of nodes.

        Args:
            is_exposed: Whether tasks come from beyond this machine, though the server does not listen there.
        """
        listens_beyond = any(listen and not is_loopback(listen) for listen in (self.listen, self.http_listen))
        return EgressSettings(
            allow=self.egress.allowing(),
            deny=self.egress.denying(),
            deny_private=is_exposed or listens_beyond,
            proxy=self.egress.proxy_address(),
        )

    def connection_shares(self) -> ConnectionShares:
        """How the process's file descriptors are shared between connections, as the settings want it."""
        return connection_shares(
            raise_limit(),
            http_calls=_asked_for(self.http, "max_parallel", "max_long_parallel"),
            llm_calls=_asked_for(self.llm, "max_connections", "max_long_connections"),
        )

    def lowered_limits(self) -> dict[str, int]:
        """The limits of calls that were set, and for which the process has too few file descriptors: what they are instead."""
        http, llm = self.http_settings(), self.llm_settings()
        limits = {
            "http.max_parallel": (self.http, http),
            "http.max_long_parallel": (self.http, http),
            "llm.max_connections": (self.llm, llm),
            "llm.max_long_connections": (self.llm, llm),
        }
        found: dict[str, int] = {}
        for setting, (given, used) in limits.items():
            name = setting.partition(".")[2]
            if name in given.model_fields_set and getattr(used, name) < getattr(given, name):
                found[setting] = getattr(used, name)
        return found

    def llm_settings(self) -> LLMSettings:
        """What concerns llm nodes."""
        calls = self.connection_shares().llm_calls
        short = min(self.llm.max_connections, calls)
        long = min(self.llm.max_long_connections, calls - short)
        return _pick(LLMSettings, self.llm, max_connections=short, max_long_connections=long)

    def http_settings(self) -> HTTPSettings:
        """What concerns http nodes."""
        calls = self.connection_shares().http_calls
        short = min(self.http.max_parallel, calls)
        long = min(self.http.max_long_parallel, calls - short)
        return _pick(HTTPSettings, self.http, max_parallel=short, max_long_parallel=long)

    def code_settings(self) -> CodeSettings:
        """What concerns code nodes."""
        return _pick(CodeSettings, self.code)


def _asked_for(group: BaseModel, *names: str) -> int:
    """The sum of those of the settings that were set."""
    return sum(getattr(group, name) for name in names if name in group.model_fields_set)


def _pick(wanted: type[_Dataclass], source: BaseModel, **given: Any) -> _Dataclass:
    """A dataclass filled with the settings of the same names; the rest keeps its defaults."""
    found = {
        field.name: getattr(source, field.name) for field in fields(wanted) if hasattr(source, field.name)
    }
    return wanted(**(found | given))
