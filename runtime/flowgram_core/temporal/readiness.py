"""Readiness of a cluster: checks what tasks need there, and creates what is missing where that is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType, WorkerVersioningMode
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.temporal.names import CREATED_ATTRIBUTE, LABELS_ATTRIBUTE, NAMESPACE_ATTRIBUTE
from flowgram_core.temporal.settings import TemporalSettings

_TIMEOUT: Final = timedelta(seconds=10)
ATTRIBUTES: Final[Mapping[str, IndexedValueType.ValueType]] = {
    LABELS_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    CREATED_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    NAMESPACE_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
}
_TYPE_NAMES: Final = {
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
    IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
}
_MIN_BLOB_BYTES: Final = 2 * 1024 * 1024
_MIN_MEMO_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: Whether it is as it should be.
        text: What was found.
        remedy: What to do where it is not: lines of text.
    """

    ok: bool
    text: str
    remedy: str = ""


async def ensure_attributes(client: Client) -> list[Finding]:
    """Makes the search attributes that are missing, and says which there are."""
    try:
        known = await _attributes(client)
    except RPCError as error:
        commands = "\n".join(_command(client, name) for name in ATTRIBUTES)
        text = f"search attributes cannot be listed: {error.message}"
        return [Finding(ok=False, text=text, remedy=commands)]
    missing = {name: kind for name, kind in ATTRIBUTES.items() if name not in known}
    findings = [_attribute_finding(name, known[name]) for name in ATTRIBUTES if name in known]
    if not missing:
        return findings
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing),
            timeout=_TIMEOUT,
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # another server was faster
            return [*findings, *(_missing_finding(client, name, error) for name in missing)]
    return findings + [Finding(ok=True, text=f"search attribute {name} was made") for name in missing]


async def check(client: Client, settings: RuntimeSettings, temporal: TemporalSettings) -> list[Finding]:
    """Looks at everything that tasks need of a cluster. A cluster that does not answer is one finding."""
    try:
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=_TIMEOUT)
        namespace = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=_TIMEOUT
        )
    except (RPCError, RuntimeError) as error:
        text = error.message if isinstance(error, RPCError) else str(error)
        return [
            Finding(
                ok=False,
                text=f"the cluster does not answer: {text}",
                remedy="check address, namespace, TLS and API key",
            )
        ]
    findings = [
        Finding(ok=True, text=f"namespace {client.namespace} of a Temporal server {info.server_version}")
    ]
    findings += await ensure_attributes(client)
    findings.append(
        _retention_finding(namespace.config.workflow_execution_retention_ttl.ToTimedelta(), settings)
    )
    limits = namespace.namespace_info.limits
    findings.append(
        _size_finding("blobs", limits.blob_size_limit_error, _MIN_BLOB_BYTES, "limit.blobSize.error")
    )
    findings.append(
        _size_finding("memos", limits.memo_size_limit_error, _MIN_MEMO_BYTES, "limit.memoSize.error")
    )
    findings.append(await _worker_finding(client, temporal))
    findings.append(
        Finding(ok=not temporal.unencrypted, text="histories are encrypted")
        if not temporal.unencrypted
        else Finding(ok=False, text="histories are not encrypted", remedy="give [temporal.encryption_keys]")
    )
    return findings


async def _attributes(client: Client) -> Mapping[str, IndexedValueType.ValueType]:
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=_TIMEOUT
    )
    return found.custom_attributes


def _attribute_finding(name: str, kind: IndexedValueType.ValueType) -> Finding:
    wanted = ATTRIBUTES[name]
    if kind == wanted:
        return Finding(ok=True, text=f"search attribute {name}")
    return Finding(
        ok=False,
        text=f"search attribute {name} has another type than {_TYPE_NAMES[wanted]}",
        remedy="remove it, or use another namespace",
    )


def _missing_finding(client: Client, name: str, error: RPCError) -> Finding:
    text = f"search attribute {name} is missing, and may not be made from here: {error.message}"
    return Finding(ok=False, text=text, remedy=_command(client, name))


def _command(client: Client, name: str) -> str:
    """What makes a search attribute, for somebody who may."""
    kind = _TYPE_NAMES[ATTRIBUTES[name]]
    return f"temporal operator search-attribute create --namespace {client.namespace} --name {name} --type {kind}"


def _retention_finding(retention: timedelta, settings: RuntimeSettings) -> Finding:
    longest = timedelta(seconds=settings.default_timeout)
    text = f"retention of {retention}"
    if not settings.default_timeout:
        return Finding(
            ok=False,
            text=f"{text}, while tasks may run without limit (default_timeout = 0)",
            remedy="the first events of a task that runs for longer cannot be read: set default_timeout",
        )
    if retention < longest:
        return Finding(
            ok=False,
            text=f"{text}, less than tasks may run (default_timeout = {longest})",
            remedy="temporal operator namespace update --retention, to the longest time-out and the age that you want",
        )
    return Finding(ok=True, text=f"{text}, tasks may run for {longest}")


def _size_finding(what: str, limit: int, least: int, key: str) -> Finding:
    if not limit:
        return Finding(
            ok=True, text=f"the limit of {what} is not given by this server: {least} bytes are needed ({key})"
        )
    ok = limit >= least
    remedy = "" if ok else f"set {key} to {least} at least"
    return Finding(ok=ok, text=f"{what} of up to {limit} bytes", remedy=remedy)


async def _worker_finding(client: Client, temporal: TemporalSettings) -> Finding:
    try:
        found = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=temporal.task_queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            ),
            timeout=_TIMEOUT,
        )
    except RPCError as error:
        return Finding(ok=False, text=f"the queue {temporal.task_queue} cannot be looked at: {error.message}")
    count = len(found.pollers)
    if not count:
        return Finding(
            ok=False,
            text=f"no worker on the queue {temporal.task_queue}",
            remedy="start one: flowgram worker",
        )
    text = f"{count} {'worker' if count == 1 else 'workers'} on the queue {temporal.task_queue}"
    current = found.versioning_info.current_deployment_version.build_id
    # Workers without a version run what begins while no version is current.
    versions = {_version_of(poller) for poller in found.pollers}
    if current in versions:
        return Finding(ok=True, text=text)
    there = ", ".join(sorted(version or "without a version" for version in versions))
    return Finding(
        ok=False,
        text=f"{text}, but new tasks wait for one {f'of version {current}' if current else 'without a version'}: there are {there}",
        remedy="make the version of these workers the current one: flowgram worker --make-current, "
        "or temporal worker deployment set-current-version",
    )


def _version_of(poller: PollerInfo) -> str:
    """The build id of a worker; empty where it has none, or does not go by it."""
    options = poller.deployment_options
    versioned = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
    return options.build_id if options.worker_versioning_mode == versioned else ""
