"""Lists of tasks, out of the cluster's visibility store.

That store sorts running workflows before all others, and takes no ORDER BY. So a page is found by windows of the time of
creation: they are counted, from the newest backwards, until one holds about a page; that one is listed and sorted here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio.api.enums.v1 import WorkflowExecutionStatus as ExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from flowgram_core.concurrency.clock import Clock
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE, check_namespace
from flowgram_core.modeling.json_text import loads
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.cluster import Cluster, as_datetime
from flowgram_core.temporal.names import (
    CREATED_ATTRIBUTE,
    LABELS_ATTRIBUTE,
    LABELS_MEMO,
    NAME_MEMO,
    NAMESPACE_ATTRIBUTE,
    WORKFLOW,
)
from flowgram_core.temporal.workflow_ids import owner_of

_FIRST_WINDOW: Final = 60_000_000
"""Microseconds; later windows are as wide as the ones before suggest."""
_AHEAD: Final = 60_000_000
"""Clocks of other servers may be ahead by so much."""
_WIDER: Final = 8
_LISTED: Final = 1000
"""So many tasks are listed at once, at most, and as few as a page where that is more."""
_ID_BITS: Final = 12

_STATUSES: Final[Mapping[int, Status]] = {
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING: Status.PROCESSING,
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: Status.SUCCEEDED,
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: Status.FAILED,
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: Status.FAILED,
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: Status.FAILED,
    ExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: Status.CANCELED,
}
_NAMES: Final[Mapping[int, Sequence[str]]] = {
    Status.PENDING: (),  # cannot be distinguished from PROCESSING here
    Status.PROCESSING: ("Running",),
    Status.SUCCEEDED: ("Completed",),
    Status.FAILED: ("Failed", "Terminated", "TimedOut"),
    Status.CANCELED: ("Canceled",),
}


def label_key(name: str, value: str) -> str:
    """What a label is found by: search attributes stand readable in the cluster, so it is a hash."""
    return hashlib.sha256(f"{name}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def order_of(create_time: int, task_id: str) -> int:
    """The position of a task in lists: by its creation, then by its id."""
    low = int.from_bytes(hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).digest()[:2], "big")
    return create_time << _ID_BITS | low >> (16 - _ID_BITS)


class TaskLists:
    """Lists the tasks of a namespace.

    Args:
        cluster: Has them.
        clock: Tells where the newest ones are.
    """

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock

    async def page(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str,
    ) -> list[TaskRecord]:
        """See `TaskService.tasks`. Records have neither inputs nor result, and no number of their last event."""
        filters = self._filters(statuses, labels, namespace)
        if filters is None:
            return []
        found: list[TaskRecord] = []
        # All tasks of the window's last microsecond are looked at: `before` may stand within it.
        end = (self._clock.now() + _AHEAD if before is None else before >> _ID_BITS) + 1
        width, left = _FIRST_WINDOW, await self._cluster.count(_query(filters, 0, end))
        while left and len(found) < limit:
            begin = max(0, end - width)
            count = left if begin == 0 else await self._cluster.count(_query(filters, begin, end))
            wanted = limit - len(found)
            if count > max(2 * wanted, _LISTED) and width > 1:
                width = max(1, width * wanted // count)
                continue
            if count:
                listed = [
                    await self._record(info)
                    async for info in self._cluster.executions(_query(filters, begin, end), _LISTED)
                ]
                listed.sort(key=lambda record: -record.order)
                found += (record for record in listed if before is None or record.order < before)
                left -= min(left, count)
            if begin == 0:
                break
            end = begin
            width = width * _WIDER if count < wanted else width
        return found[:limit]

    async def changed_since(self, time: int) -> list[TaskRecord]:
        """The tasks that began or ended at a time, in microseconds since the epoch, or after it."""
        begin = _quoted(as_datetime(time).isoformat())
        query = (
            f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew' "
            f"AND (StartTime >= {begin} OR CloseTime >= {begin})"
        )
        return [await self._record(info) async for info in self._cluster.executions(query, _LISTED)]

    async def open_tasks(self, namespace: str | None = None) -> int:
        """How many tasks have not ended: of a namespace, or of all."""
        query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'Running'"
        return await self._cluster.count(query if namespace is None else f"{query} AND {_within(namespace)}")

    async def started_since(self, time: int, namespace: str) -> int:
        """How many tasks of a namespace were accepted at a time, in microseconds since the epoch, or after it."""
        filters = self._filters(frozenset(), {}, namespace)
        return await self._cluster.count(_query(filters or [], time, self._clock.now() + _AHEAD))

    def _filters(
        self, statuses: frozenset[int], labels: Mapping[str, str], namespace: str
    ) -> list[str] | None:
        """The conditions of a list; None where nothing can fulfill them."""
        filters = [f"WorkflowType = '{WORKFLOW}'", _within(namespace)]
        names = [name for status in sorted(statuses) for name in _NAMES.get(status, ())]
        if statuses and not names:
            return None
        if names:
            filters.append(f"ExecutionStatus IN ({', '.join(map(_quoted, names))})")
        else:
            filters.append("ExecutionStatus != 'ContinuedAsNew'")
        filters += (
            f"{LABELS_ATTRIBUTE} = '{label_key(name, value)}'" for name, value in sorted(labels.items())
        )
        return filters

    async def _record(self, info: WorkflowExecutionInfo) -> TaskRecord:
        namespace, task_id = owner_of(info.execution.workflow_id)
        start_time = info.start_time.ToMicroseconds()
        created = info.search_attributes.indexed_fields.get(CREATED_ATTRIBUTE)
        create_time = start_time if created is None else _micros(loads(created.data))
        status = _STATUSES.get(info.status, Status.PROCESSING)
        memo = info.memo.fields
        kept = [name for name in (LABELS_MEMO, NAME_MEMO) if name in memo]
        values: dict[str, Any] = {}
        if kept:
            decoded = await self._cluster.decoded_values([memo[name] for name in kept])
            values = dict(zip(kept, decoded, strict=True))
        return TaskRecord(
            task_id=task_id,
            create_time=create_time,
            inputs="",
            schema_hash=b"",
            labels=values.get(LABELS_MEMO, {}),
            timeout=None,
            status=status,
            start_time=min(create_time, start_time)
            if info.first_run_id != info.execution.run_id
            else start_time,
            end_time=info.close_time.ToMicroseconds() if status.terminated else None,
            last_sequence=0,
            result=None,
            order=order_of(create_time, task_id),
            request_hash=b"",
            display_name=values.get(NAME_MEMO, ""),
            namespace=namespace,
        )


def _within(namespace: str) -> str:
    """The condition that a task belongs to a namespace."""
    if namespace == DEFAULT_NAMESPACE:
        return f"{NAMESPACE_ATTRIBUTE} IS NULL"
    return f"{NAMESPACE_ATTRIBUTE} = {_quoted(check_namespace(namespace))}"


def _query(filters: Sequence[str], begin: int, end: int) -> str:
    window = [
        f"{CREATED_ATTRIBUTE} >= {_quoted(as_datetime(begin).isoformat())}",
        f"{CREATED_ATTRIBUTE} < {_quoted(as_datetime(end).isoformat())}",
    ]
    return " AND ".join([*filters, *window])


def _micros(time: Any) -> int:
    """A time as the cluster writes it, in microseconds since the epoch."""
    return round((datetime.fromisoformat(time) - as_datetime(0)) / timedelta(microseconds=1))


def _quoted(text: str) -> str:
    return f"'{text}'"
