"""The embedded host: a `TaskService` that runs tasks in this process, on a journal."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fair_threads import FairThreads
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.concurrency.supervision import run_forever, with_timeout
from flowgram_core.embedded.acceptance import Acceptance
from flowgram_core.embedded.disposer import Disposer
from flowgram_core.embedded.failing import fail_task_with_retry
from flowgram_core.embedded.memory_budget import MemoryBudget
from flowgram_core.embedded.recovery import Recovery
from flowgram_core.embedded.retention import remove_expired
from flowgram_core.embedded.scheduler import Scheduler
from flowgram_core.embedded.services import Services
from flowgram_core.embedded.storage import StorageBudget
from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.embedded.uptime import Uptime
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.errors import (
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
)
from flowgram_core.hosting.live_log import OutputDelta, join
from flowgram_core.hosting.observation import HostStatistics, Observer
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.program_cache import ProgramCache, Validation
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import Heartbeat, TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskChangeLog, TaskChanges, TaskFilter
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Journal, TaskRecord
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.registry import Registry
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 512 * 1024

_THREADS: Final = 2
"""More would only take the interpreter from the event loop more often."""

_CANCEL_TIMEOUT: Final = 3.0
"""Seconds that calls get to end once they are cancelled."""


class Application:
    """The tasks of one process.

    Attributes:
        runtime: The kind of host.
        node_types: The node types that workflows may use.
        signing_keys: Secrets of the journal; there are none before the tasks are `opened`.
    """

    runtime: Final = "embedded"

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        registry: Registry,
        settings: RuntimeSettings,
        clock: Clock,
        new_task_id: Callable[[], str],
        fairness: FairScheduler | None = None,
        register: WorkRegister | None = None,
        workflow_secrets: WorkflowSecrets | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.node_types = registry.names
        self.signing_keys: Sequence[bytes] = ()
        self._journal = journal
        self._clock = clock
        disposer = Disposer()
        self._program_cache = ProgramCache(registry.node_types, settings, free=disposer.free)
        self._fairness = fairness = fairness or FairScheduler()
        secrets = Secrets(settings.secret_names)
        register = register or WorkRegister()
        calls = Caller(
            registry.executors, settings, secrets, clock, fairness, workflow_secrets, disposer.free, register
        )
        uptime = Uptime(journal, clock)
        self._services = Services(
            journal=journal,
            codec=codec,
            clock=clock,
            caller=calls,
            secrets=secrets,
            fairness=fairness,
            uptime=uptime,
            register=register,
            task_changes=TaskChangeLog(clock, self._check_open, fairness.time_slice),
            storage=StorageBudget(journal, settings, clock, uptime.record),
            settings=settings,
            memory=MemoryBudget(settings.max_memory),
            threads=FairThreads(_THREADS, "node-work"),
            pins=PinnedSettings.of(settings, registry.node_types).to_record(),
            observer=observer,
            disposer=disposer,
        )
        self._scheduler: Scheduler[TaskRunner] = Scheduler(
            settings.max_running_tasks,
            settings.max_waiting_tasks,
            settings.max_held_inputs_bytes,
            self._fail_task,
            owner_of=lambda record: record.namespace,
        )
        self._recovery = Recovery(self._program_cache, self._services, self._scheduler)
        self._acceptance = Acceptance(
            self._services,
            self._program_cache,
            self._scheduler,
            self._recovery,
            new_task_id,
            self._check_open,
            self._record,
        )
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Application"]:
        """Serves, and continues the tasks that a former process left; on leaving, stops where it is (see `drain`)."""
        uptime, recovery, register = self._services.uptime, self._recovery, self._services.register
        self.signing_keys = (await self._journal.signing_key(),)
        await self._services.storage.measure()
        await recovery.begin()
        register.start(self._clock.now())
        await uptime.begin()
        background = [self._in_background("uptime", uptime.keep)]
        try:
            background.append(self._in_background("storage", self._services.storage.keep))
            background.append(self._in_background("recovery", recovery.run))
            background.append(self._in_background("retention", lambda: remove_expired(self._services)))
            yield self
        finally:
            self._closing.set()
            register.close()
            recovery.stop()
            self._services.task_changes.wake()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            self._services.threads.shutdown()
            self._services.disposer.close()
            if not await with_timeout(_CANCEL_TIMEOUT, self._scheduler.close(), self._clock):
                _log.error("cancelled calls do not end: abandoned after %g s", _CANCEL_TIMEOUT)

    async def recovered(self) -> None:
        """Returns once the tasks that a former process left were rebuilt, or failed to be."""
        await self._recovery.completed()

    async def drain(self, grace: float) -> None:
        """Accepts no new tasks, gives running ones so many seconds to end, and ends all watches.

        Tasks that have not ended then, and those that wait to start, go on after the next start.
        """
        self._closing.set()
        self._recovery.stop()
        self._services.task_changes.wake()
        await self._scheduler.drain(grace)
        await self._services.uptime.record()

    async def time_slice(self) -> None:
        """Waits for a time slice of the event loop: for work of some milliseconds that many callers may do at once."""
        await self._fairness.time_slice()

    def statistics(self) -> HostStatistics:
        """What this host does at the moment."""
        services, usage = self._services, self._services.storage.usage
        waiting = self._scheduler.waiting
        return HostStatistics(
            tasks={Status.PENDING: waiting, Status.PROCESSING: self._scheduler.running},
            running_calls=services.caller.running,
            waiting_calls=services.caller.waiting,
            journal_bytes=None if usage is None else usage.used_bytes,
            free_bytes=None if usage is None else usage.free_bytes,
        )

    async def check(self) -> None:
        """Returns where new tasks can be accepted; else raises `JournalUnavailable`, or `ShuttingDown`."""
        self._check_open()
        self._services.storage.check_health()

    async def run(self, request: TaskRequest) -> TaskRecord:
        """Accepts a task and starts or queues it; returns once it is durable.

        The record is of that moment: a small workflow may have ended in it. It may lack the inputs.

        Raises:
            InvalidWorkflow: The schema or the inputs are not valid.
            RequestConflict: The request id was used before with a different request.
            TooManyTasks: Too many tasks are running and waiting already.
            StorageFull: The journal has reached its limits.
            MemoryLimitReached: The tasks hold too much memory already.
            QuotaExceeded: The namespace has reached a limit of its own.
            ShuttingDown: No new tasks are accepted.
        """
        return await self._acceptance.accept(request)

    async def run_many(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
        """Accepts several tasks together: they become durable with one write. See `run` for the errors."""
        return await self._acceptance.accept_all(requests)

    async def validate(self, schema: str, inputs: str) -> Validation:
        """All problems of a schema, or, if it has none, of the inputs; and warnings about a valid schema."""
        return await self._program_cache.validate(schema, inputs)

    async def task(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord:
        """The task as it is now. Raises `TaskNotFound`."""
        record = await self._record(task_id, namespace)
        if record.inputs:
            return record
        return record._replace(inputs=(await self._stored(task_id, namespace)).inputs)

    async def wait(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord:
        """The task once it has terminated; its record may lack the inputs.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            ShuttingDown: The service ends before the task.
            JournalUnavailable: The task cannot go on at the moment, because the journal cannot be used.
        """
        while True:
            runner = await self._runner(task_id, namespace)
            if runner is not None:
                record = runner.record
            elif (
                recent := self._services.recently_ended.get(task_id, namespace, self._clock.now())
            ) is not None:
                return recent
            else:
                record = await self._record(task_id, namespace)
            if record.ended:
                return record
            await self._require_active(runner).live_log.changed(self._clock)

    async def cancel(self, task_id: str, reason: str, *, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """Stops a task, and returns when its calls have ended.

        True if this call did it, False if the task had ended, or another call stopped it.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            ShuttingDown: The service ends before the task, which goes on after the next start.
            JournalUnavailable: The task cannot be stopped at the moment, because the journal cannot be used.
        """
        runner = await self._runner(task_id, namespace)
        if runner is None:
            if not (await self._record(task_id, namespace)).ended:
                self._require_active(None)
            return False
        did = runner.cancel(reason)
        await self._scheduler.ended(runner)
        # If its runner failed, the task may have been ended without it.
        if not runner.record.ended and not (await self._record(task_id, namespace)).ended:
            self._require_active(runner)
        return did and runner.record.status == Status.CANCELED

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[TaskRecord]:
        """A page of a namespace's tasks, newest first: those with an `order` below `before` that match."""
        return await self._journal.tasks(
            limit=limit, before=before, statuses=statuses, labels=labels, namespace=namespace
        )

    async def schema(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> str:
        """The schema of a task. Raises `TaskNotFound`."""
        schema = await self._journal.schema((await self._record(task_id, namespace)).schema_hash)
        if schema is None:
            raise TaskNotFound(task_id)
        return schema

    async def log(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> AsyncGenerator[Batch, None]:
        """All durable batches of a task, read from the journal as they are consumed. Raises `TaskNotFound`."""
        record = await self._record(task_id, namespace)
        after = 0
        while after < record.last_sequence:
            batches = await self._journal.read(task_id, after, _READ_BYTES)
            if not batches:
                raise TaskNotFound(task_id)
            for batch in batches:
                yield batch
                after = batch.last_sequence

    async def watch(
        self,
        task_id: str,
        after_sequence: int,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        deltas: bool = False,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        """The log of a task after a sequence, then live, until the task has terminated.

        Args:
            task_id: The task.
            after_sequence: The last event that the watcher has seen; the first batch may begin before it. Batches that
                exist already are joined, up to a bounded size.
            namespace: Whose it is.
            deltas: Whether to yield pieces of outputs as they arrive.
            heartbeat: Yield a heartbeat after so many seconds without anything else.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            SequenceOutOfRange: The log ends before that sequence.
            ShuttingDown: The service ends before the task.
            JournalUnavailable: The task cannot go on at the moment, because the journal cannot be used.
        """
        record = await self._record(task_id, namespace)
        if after_sequence > record.last_sequence:
            raise SequenceOutOfRange(after_sequence, record.last_sequence)
        runner = self._scheduler.get(task_id)
        cursor = after_sequence
        while runner is None:
            while cursor < record.last_sequence:
                batch = await self._read_on(task_id, cursor)
                yield batch
                cursor = batch.last_sequence
            if record.ended:
                return
            runner = await self._runner(task_id, namespace)
            record = await self._record(task_id, namespace)
            if runner is None and not record.ended:
                self._require_active(runner)
        live_log = runner.live_log
        reader = live_log.open_deltas() if deltas else None
        try:
            while True:
                while cursor < live_log.last_sequence:
                    recent = live_log.since(cursor)
                    batch = await self._read_on(task_id, cursor) if recent is None else join(recent)
                    yield batch
                    cursor = batch.last_sequence
                for delta in reader.take() if reader is not None else ():
                    yield delta
                if cursor < live_log.last_sequence:
                    continue
                if runner.record.ended:
                    return
                self._require_active(runner)
                if (reader is None or not reader.pending) and not await live_log.changed(
                    self._clock, heartbeat
                ):
                    yield Heartbeat()
        finally:
            if reader is not None:
                live_log.close_deltas(reader)

    def watch_tasks(
        self, wanted: TaskFilter, *, heartbeat: float | None = None
    ) -> AsyncGenerator[TaskChanges, None]:
        """The tasks of a filter as they change, from now on, without an end; the first item is empty.

        Args:
            wanted: Which tasks.
            heartbeat: Give empty changes after so many seconds without any.

        Raises:
            WatcherBehind: The watcher reads too slowly, and missed changes.
            ShuttingDown: The service ends.
        """
        return self._services.task_changes.watch(wanted, heartbeat)

    async def _runner(self, task_id: str, namespace: str) -> TaskRunner | None:
        """The runner of a task, which may have to be rebuilt first; None if the task is not active here, or another's.

        Raises:
            TaskNotFound: It is to be rebuilt, and belongs to another namespace.
        """
        if self._recovery.awaits(task_id):
            await self._stored(task_id, namespace)  # nobody waits for the tasks of others
            await self._recovery.settled(task_id)
        return self._active(task_id, namespace)

    def _active(self, task_id: str, namespace: str) -> TaskRunner | None:
        """The runner of a task of this namespace, if it is active here."""
        runner = self._scheduler.get(task_id)
        return None if runner is None or runner.record.namespace != namespace else runner

    async def _record(self, task_id: str, namespace: str) -> TaskRecord:
        """The task as it is now; its inputs only if they are in memory or read from the journal."""
        runner = self._active(task_id, namespace)
        if runner is None or not runner.accepted:
            # Of another's task that is active the journal is asked too: so it takes as long to find nothing.
            return await self._stored(task_id, namespace)
        return runner.record

    async def _stored(self, task_id: str, namespace: str) -> TaskRecord:
        record = await self._journal.task(task_id, namespace)
        if record is None:
            raise TaskNotFound(task_id)
        return record

    async def _read_on(self, task_id: str, after_sequence: int) -> Batch:
        """The next events after a sequence, up to a bounded size, as one batch."""
        batches = await self._journal.read(task_id, after_sequence, _READ_BYTES)
        if not batches:
            raise TaskNotFound(task_id)
        return join(batches)

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ShuttingDown

    def _require_active(self, runner: TaskRunner | None) -> TaskRunner:
        """The runner if it is active. Raises an error that asks the client to retry if nothing runs the task."""
        self._check_open()
        if runner is None or runner.live_log.ended:
            raise JournalUnavailable("an unfinished task could not be read or written")
        return runner

    def _in_background(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(run_forever(name, work, self._clock), name=name)

    async def _fail_task(self, record: TaskRecord, reason: str) -> None:
        services = self._services
        failed = await fail_task_with_retry(record, reason, services.journal, services.codec, services.clock)
        services.changed(failed, record.status)
