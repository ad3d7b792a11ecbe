"""Acceptance: checks requests to run a workflow, and makes tasks of them, which become durable together with their first step."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from flowgram_core.concurrency.offload import run_in_thread_if_large
from flowgram_core.embedded.disposer import LARGE
from flowgram_core.embedded.recovery import Recovery
from flowgram_core.embedded.scheduler import Scheduler
from flowgram_core.embedded.services import Services
from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.program import Program
from flowgram_core.hosting.errors import (
    FlowgramError,
    InvalidWorkflow,
    MemoryLimitReached,
    QuotaExceeded,
    RequestConflict,
    ShuttingDown,
    StorageFull,
    TooManyTasks,
)
from flowgram_core.hosting.program_cache import Prepared, ProgramCache
from flowgram_core.hosting.quotas import Quotas, StartRates
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.journal.errors import DuplicateRequest, JournalError
from flowgram_core.journal.interface import NewTask, TaskRecord

_REFUSALS: Final = (
    InvalidWorkflow,
    MemoryLimitReached,
    QuotaExceeded,
    ShuttingDown,
    StorageFull,
    TooManyTasks,
)
"""Why a new task is not accepted. A repeated request is answered with its task all the same."""


class Acceptance:
    """Accepts tasks.

    Args:
        services: What tasks work with.
        programs: Compiles their workflows.
        scheduler: Runs them.
        recovery: Knows those that are to be rebuilt.
        new_task_id: Makes an id that no other task has.
        check_open: Raises an error when the service ends.
        record_of: The task of this id and namespace as it is now.
    """

    def __init__(
        self,
        services: Services,
        programs: ProgramCache,
        scheduler: Scheduler[TaskRunner],
        recovery: Recovery,
        new_task_id: Callable[[], str],
        check_open: Callable[[], None],
        record_of: Callable[[str, str], Awaitable[TaskRecord]],
    ) -> None:
        settings = services.settings
        self._services = services
        self._programs = programs
        self._scheduler = scheduler
        self._recovery = recovery
        self._new_task_id = new_task_id
        self._check_open = check_open
        self._record_of = record_of
        self._settings = settings
        self._default_timeout = round(settings.default_timeout * 1e6) or None
        self._quotas = Quotas(settings.quotas)
        self._start_rates = StartRates(self._quotas, services.clock.now)

    async def accept(self, request: TaskRequest) -> TaskRecord:
        """Accepts a task, and starts or queues it; returns once it is durable. See `TaskService.run` for the errors."""
        try:
            accepted = self._begin_at_once(request)
            if accepted is None:
                accepted = await self._begin(request)
            return await accepted
        except (*_REFUSALS, DuplicateRequest) as error:
            failure = error
        try:
            return await self._repeated(request, failure)
        finally:
            del failure  # it refers to this frame

    async def accept_all(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
        """Accepts several tasks, which become durable with one write; gives the record, or the error, of each."""
        begun: list[asyncio.Future[TaskRecord] | Exception] = []
        for request in requests:
            try:
                begun.append(self._begin_at_once(request) or await self._begin(request))
            except (FlowgramError, JournalError) as error:
                begun.append(error)
        return [
            await self._outcome(request, accepted) for request, accepted in zip(requests, begun, strict=True)
        ]

    async def _outcome(
        self, request: TaskRequest, accepted: "asyncio.Future[TaskRecord] | Exception"
    ) -> TaskRecord | Exception:
        try:
            if not isinstance(accepted, Exception):
                return await accepted
            error = accepted
        except (FlowgramError, JournalError) as failure:
            error = failure
        if not request.request_id or not isinstance(error, (*_REFUSALS, DuplicateRequest)):
            return error
        try:
            return await self._repeated(request, error)
        except (FlowgramError, JournalError) as failure:
            return failure

    def _begin_at_once(self, request: TaskRequest) -> "asyncio.Future[TaskRecord] | None":
        """As `_begin`, for nearly all requests; None where something has to be waited for."""
        if not self._services.fairness.is_free() or request.is_large:
            return None
        prepared = self._programs.prepare_at_once(request.schema, request.inputs)
        return None if prepared is None else self._admit(request, prepared, _hash_of(request))

    async def _begin(self, request: TaskRequest) -> "asyncio.Future[TaskRecord]":
        """Makes a task of a request, when there is time for it. What is returned is done once the task is durable."""
        await self._services.fairness.time_slice()
        prepared = await self._programs.prepare(request.schema, request.inputs)
        try:
            size = len(request.schema) + len(request.inputs)
            return self._admit(request, prepared, await run_in_thread_if_large(size, _hash_of, request))
        except BaseException:
            if prepared.inputs_memory >= LARGE:
                self._services.disposer.free([prepared.inputs])
            raise

    def _admit(
        self, request: TaskRequest, prepared: Prepared, request_hash: bytes
    ) -> "asyncio.Future[TaskRecord]":
        services, settings = self._services, self._settings
        program, inputs, inputs_memory = prepared.program, prepared.inputs, prepared.inputs_memory
        self._check_open()
        self._check(request, program, inputs_memory)
        task = self._new_task(request, program, request_hash)
        execution = Execution(
            program, inputs, settings.limits, inputs_memory=inputs_memory, inline_work=settings.inline_work
        )
        observer = services.observer
        trace = None if observer is None else observer.trace()
        runner = TaskRunner(task.record(), execution, services, trace=trace)
        return self._scheduler.admit(runner, task)

    def _check(self, request: TaskRequest, program: Program, inputs_memory: int) -> None:
        """Raises the error that says why a new task cannot be accepted now."""
        namespace = request.namespace
        quotas = self._quotas
        if quotas:
            tasks = self._scheduler.tasks_of(namespace) + self._recovery.tasks_of(namespace)
            quotas.check_tasks(namespace, tasks)
        self._services.storage.check_room(namespace)
        self._scheduler.check(len(request.inputs), namespace)
        self._services.memory.check(program, inputs_memory)
        if quotas:
            self._start_rates.take(namespace)  # last: what is refused for another reason is no start

    def _new_task(self, request: TaskRequest, program: Program, request_hash: bytes) -> NewTask:
        return NewTask(
            task_id=self._new_task_id(),
            create_time=self._services.clock.now(),
            schema_hash=program.document.digest,
            schema=request.schema,
            inputs=request.inputs or "{}",
            request_id=request.request_id,
            request_hash=request_hash,
            timeout=self._default_timeout if request.timeout is None else request.timeout,
            labels=dict(request.labels) if request.labels else {},
            display_name=request.display_name,
            namespace=request.namespace,
        )

    async def _repeated(self, request: TaskRequest, error: Exception) -> TaskRecord:
        """The task of the request with this id that came before one that failed with this error; raises the error if none did."""
        if not request.request_id:
            raise error
        record = await self._services.journal.find_request(request.request_id, request.namespace)
        if record is None and not isinstance(error, DuplicateRequest):
            raise error
        size = len(request.schema) + len(request.inputs)
        if record is None or record.request_hash != await run_in_thread_if_large(size, _hash_of, request):
            raise RequestConflict(request.request_id)
        return await self._record_of(record.task_id, request.namespace)


def _hash_of(request: TaskRequest) -> bytes:
    """What a request is compared by where it comes again; nothing where it cannot."""
    return request.content_hash() if request.request_id else b""
