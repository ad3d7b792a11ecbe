"""The cluster: the requests that the Temporal host makes, with errors in the host's own terms.

Every method raises `JournalUnavailable` where the cluster cannot be used at the moment: for tasks it is the store.
"""

import logging
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import EventType, HistoryEventFilterType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    RecordActivityTaskHeartbeatRequest,
    RequestCancelWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.hosting.errors import TaskNotFound
from flowgram_core.journal.errors import JournalUnavailable, JournalUndecipherable
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.temporal.errors import PayloadUndecipherable, TemporalError
from flowgram_core.temporal.names import (
    CREATED_ATTRIBUTE,
    LABELS_ATTRIBUTE,
    LABELS_MEMO,
    NAME_MEMO,
    NAMESPACE_ATTRIBUTE,
    REQUEST_MEMO,
    WORKFLOW,
)
from flowgram_core.temporal.workflow_ids import owner_of

_log = logging.getLogger(__name__)

_LABELS: Final = SearchAttributeKey.for_keyword_list(LABELS_ATTRIBUTE)
_NAMESPACE: Final = SearchAttributeKey.for_keyword(NAMESPACE_ATTRIBUTE)
_CREATED: Final = SearchAttributeKey.for_datetime(CREATED_ATTRIBUTE)
_TIMEOUT: Final = timedelta(seconds=10)
_LONG_POLL: Final = timedelta(seconds=60)
"""The cluster answers a long poll after some 20 seconds, also where there is nothing new."""
_BROKEN: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED})
_NAMESPACE_NOT_FOUND: Final = "NamespaceNotFoundFailure"


class Cluster:
    """A namespace of a Temporal cluster, seen through one client.

    Args:
        client: The client.
        task_queue: Where tasks are put.
        clock: Measures the delays between attempts.
    """

    def __init__(self, client: Client, task_queue: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._task_queue = task_queue
        self._namespace = client.namespace

    def use(self, client: Client) -> None:
        """Makes requests by another client from now on: a worker on the same one may begin with a task at once."""
        self._client = client

    async def start(
        self,
        workflow_id: str,
        args: Sequence[bytes],
        *,
        created: datetime,
        labels: Mapping[str, str],
        label_keys: Sequence[str],
        display_name: str,
        request_hash: bytes,
        eager: bool,
    ) -> str | None:
        """Starts the workflow of a task. Its namespace is kept to be found by.

        Args:
            workflow_id: Of the task; see `workflow_ids`.
            args: What the workflow is started with.
            created: When the task was accepted.
            labels: Its labels, kept in the memo.
            label_keys: What they are found by.
            display_name: Its name for people, kept in the memo.
            request_hash: Of the request, where it has an id; kept in the memo.
            eager: Whether a worker on the same client may begin at once.

        Returns:
            The run that began; None if there is, or was, a workflow with this id.
        """
        attributes: list[SearchAttributePair[Any]] = [SearchAttributePair(_CREATED, created)]
        namespace, _ = owner_of(workflow_id)
        if namespace != DEFAULT_NAMESPACE:  # whose tasks are as they were before there were namespaces
            attributes.append(SearchAttributePair(_NAMESPACE, namespace))
        memo: dict[str, Any] = {}
        if labels:
            attributes.append(SearchAttributePair(_LABELS, list(label_keys)))
            memo[LABELS_MEMO] = dict(labels)
        if display_name:
            memo[NAME_MEMO] = display_name
        if request_hash:
            memo[REQUEST_MEMO] = request_hash.hex()
        with self._errors():
            try:
                started = await self._client.start_workflow(
                    WORKFLOW,
                    args=list(args),
                    id=workflow_id,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo=memo or None,
                    search_attributes=TypedSearchAttributes(attributes),
                    request_eager_start=eager,
                    # Where the cluster has fairness switched on, it serves namespaces round-robin; calls inherit the key.
                    priority=Priority(fairness_key=namespace),
                    rpc_timeout=_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return None
        return started.first_execution_run_id

    async def describe(self, workflow_id: str) -> DescribeWorkflowExecutionResponse:
        """What the cluster knows of a task's newest run. Raises `TaskNotFound`."""
        with self._errors(workflow_id):
            found = await self._client.workflow_service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._namespace, execution=WorkflowExecution(workflow_id=workflow_id)
                ),
                retry=True,
                timeout=_TIMEOUT,
            )
        if found.workflow_execution_info.type.name != WORKFLOW:
            raise TaskNotFound(owner_of(workflow_id).task_id)
        return found

    async def history(
        self, workflow_id: str, run_id: str, token: bytes, *, wait: bool, page_size: int = 0
    ) -> GetWorkflowExecutionHistoryResponse:
        """A page of the history of one run. Raises `TaskNotFound`.

        Args:
            workflow_id: Of the task; see `workflow_ids`.
            run_id: The run; empty: the newest.
            token: Of the page before.
            wait: Wait for more events while the run goes on; the answer may be empty all the same.
            page_size: So many events at most; 0: as many as the cluster gives.
        """
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            next_page_token=token,
            maximum_page_size=page_size,
            wait_new_event=wait,
            skip_archival=True,
        )
        with self._errors(workflow_id):
            return await (self._long_poll(request) if wait else self._history(request, _TIMEOUT))

    async def closing_event(self, workflow_id: str, run_id: str = "") -> HistoryEvent:
        """The event that ends a task, waiting for it over all runs that follow. Raises `TaskNotFound`.

        Args:
            workflow_id: Of the task; see `workflow_ids`.
            run_id: A run of it; empty: the newest. Where it is given, the cluster need not look it up.
        """
        token = b""
        while True:
            request = GetWorkflowExecutionHistoryRequest(
                namespace=self._namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                next_page_token=token,
                wait_new_event=True,
                history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
                skip_archival=True,
            )
            with self._errors(workflow_id):
                answer = await self._long_poll(request)
            token = answer.next_page_token
            if answer.history.events:
                event = answer.history.events[-1]
                if event.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                    return event
                continued = event.workflow_execution_continued_as_new_event_attributes
                run_id, token = continued.new_execution_run_id, b""

    async def _long_poll(
        self, request: GetWorkflowExecutionHistoryRequest
    ) -> GetWorkflowExecutionHistoryResponse:
        """Asks until there is an answer, or the cluster is away.

        The client's own retries do not count for it: they end seconds after a request began, and this one lasts longer.
        A cluster that has more to do than it can is asked again, less and less often; a connection that broke off, once.
        """
        delays, broken = retry_delays(), False
        while True:
            try:
                return await self._history(request, _LONG_POLL)
            except RPCError as error:
                if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
                    _log.debug("a long poll is asked again: %s", error.message)
                    await self._clock.sleep(next(delays))
                elif error.status in _BROKEN and not broken:
                    broken = True
                else:
                    raise

    async def _history(
        self, request: GetWorkflowExecutionHistoryRequest, rpc_timeout: timedelta
    ) -> GetWorkflowExecutionHistoryResponse:
        return await self._client.workflow_service.get_workflow_execution_history(
            request, retry=True, timeout=rpc_timeout
        )

    async def request_cancel(self, workflow_id: str, identity: str, reason: str) -> None:
        """Asks for a task to be canceled; it may have ended. Raises `TaskNotFound`."""
        try:
            with self._errors(workflow_id):
                await self._client.workflow_service.request_cancel_workflow_execution(
                    RequestCancelWorkflowExecutionRequest(
                        namespace=self._namespace,
                        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
                        identity=identity,
                        request_id=identity,
                        reason=reason,
                    ),
                    retry=True,
                    timeout=_TIMEOUT,
                )
        except TaskNotFound:  # "workflow execution already completed" is reported by the same status
            await self.describe(workflow_id)

    async def awaits(self, task_token: bytes) -> bool:
        """Whether an attempt of an activity is to go on; what is known of its worker's life begins anew with that.

        False: its workflow has ended or has asked it to stop, or the cluster has given the activity to another attempt.

        Args:
            task_token: Of the attempt.
        """
        with self._errors():
            try:
                answer = await self._client.workflow_service.record_activity_task_heartbeat(
                    RecordActivityTaskHeartbeatRequest(
                        namespace=self._namespace, task_token=task_token, identity=self._client.identity
                    ),
                    retry=True,
                    timeout=_TIMEOUT,
                )
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND and not _is_about_namespace(error):
                    return False
                raise
        return not (answer.cancel_requested or answer.activity_paused or answer.activity_reset)

    async def count(self, query: str) -> int:
        """How many workflows a query of the visibility store finds."""
        with self._errors():
            answer = await self._client.workflow_service.count_workflow_executions(
                CountWorkflowExecutionsRequest(namespace=self._namespace, query=query),
                retry=True,
                timeout=_TIMEOUT,
            )
        return answer.count

    async def executions(self, query: str, page_size: int) -> AsyncGenerator[WorkflowExecutionInfo, None]:
        """The workflows that a query of the visibility store finds, in its own order."""
        token = b""
        while True:
            with self._errors():
                answer = await self._client.workflow_service.list_workflow_executions(
                    ListWorkflowExecutionsRequest(
                        namespace=self._namespace, query=query, page_size=page_size, next_page_token=token
                    ),
                    retry=True,
                    timeout=_TIMEOUT,
                )
            for found in answer.executions:
                yield found
            token = answer.next_page_token
            if not token:
                return

    async def check(self) -> None:
        """Returns where the cluster answers, and has the namespace."""
        with self._errors():
            await self._client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self._namespace), timeout=_TIMEOUT
            )

    async def decoded(self, payloads: Sequence[Payload]) -> list[bytes]:
        """Payloads that hold bytes."""
        if not payloads:
            return []
        with readable():
            return await self._client.data_converter.decode(payloads, [bytes] * len(payloads))

    async def decoded_values(self, payloads: Sequence[Payload]) -> Sequence[Any]:
        """Payloads that hold JSON values."""
        with readable():
            return await self._client.data_converter.decode(payloads)

    @contextmanager
    def _errors(self, workflow_id: str | None = None) -> Iterator[None]:
        """Errors of the cluster in the host's own terms."""
        try:
            yield
        except RPCError as error:
            if (
                error.status is RPCStatusCode.NOT_FOUND
                and workflow_id is not None
                and not _is_about_namespace(error)
            ):
                raise TaskNotFound(owner_of(workflow_id).task_id) from None
            # The id itself may be one that no cluster takes.
            if error.status is RPCStatusCode.INVALID_ARGUMENT and workflow_id is not None:
                raise TaskNotFound(owner_of(workflow_id).task_id) from None
            text = f"Temporal, namespace {self._namespace}: {error.status.name}: {error.message}"
            raise JournalUnavailable(text) from error
        except RuntimeError as error:  # a connection that was never there
            raise JournalUnavailable(f"Temporal cannot be reached: {error}") from error


@contextmanager
def readable(task_id: str | None = None) -> Iterator[None]:
    """What the cluster holds and cannot be read here is as a store that cannot be read; the log says why.

    Args:
        task_id: The task that it is about, if one is.
    """
    try:
        yield
    except TemporalError as error:
        extra = {} if task_id is None else {"task_id": task_id}
        _log.error("what the cluster holds cannot be read: %s", error, extra=extra)
        kind = JournalUndecipherable if isinstance(error, PayloadUndecipherable) else JournalUnavailable
        raise kind(str(error)) from error


def _is_about_namespace(error: RPCError) -> bool:
    return any(_NAMESPACE_NOT_FOUND in detail.type_url for detail in error.grpc_status.details)


def as_datetime(micros: int) -> datetime:
    """Microseconds since the epoch as Temporal's packages take them."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
