"""Recovery: rebuilds unfinished tasks from their logs after a restart.

The recorded activations are applied to a new `Execution`, in the same steps, and must give the recorded events again, byte
for byte. Then the task continues from the end of its log. A task for which that fails is ended as FAILED; one that cannot
be read at the moment is retried. Neither delays the others.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.embedded.scheduler import Scheduler
from flowgram_core.embedded.services import Services
from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.engine.activations import Queue, Start, from_json
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable
from flowgram_core.journal.interface import Batch, Finish, TaskRecord, Write
from flowgram_core.modeling.json_text import dumps
from flowgram_core.modeling.status import Status

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 1024 * 1024
_PAGE: Final = 200


class Diverged(Exception):
    """Replaying a task does not give the events in its log."""


class Recovery:
    """Rebuilds the unfinished tasks, and hands them to the scheduler."""

    def __init__(self, program_cache: ProgramCache, services: Services, scheduler: Scheduler) -> None:
        self._program_cache = program_cache
        self._services = services
        self._scheduler = scheduler
        self._pending: list[TaskRecord] = []
        # The collaborators of tasks with other pinned settings than the current ones, by the text of these settings.
        self._variants: dict[str, tuple[ProgramCache, Services]] = {}
        self._last_schema: tuple[bytes | None, str] = None, ""

    async def run(self) -> None:
        """Rebuilds every unfinished task, oldest first, and resumes it.

        Raises:
            JournalUnavailable: The unfinished tasks cannot be listed.
        """
        after = 0
        while records := await self._services.journal.unfinished(after=after, limit=_PAGE):
            self._pending += [record for record in records if not await self._resume(record)]
            after = records[-1].order
        self._scheduler.start_waiting()

    async def finish(self) -> None:
        """Retries the tasks that could not be rebuilt, with backoff."""
        delays = retry_delays()
        while self._pending:
            await self._services.clock.sleep(next(delays))
            self._pending = [record for record in self._pending if not await self._resume(record)]
            self._scheduler.start_waiting()
        self._variants.clear()
        self._last_schema = None, ""

    async def _resume(self, record: TaskRecord) -> bool:
        """Resumes a task, or fails it; False if neither is possible for now."""
        try:
            runner = await self._rebuild(record)
            if runner is not None:
                self._scheduler.resume(runner)
        except Exception:  # noqa: BLE001 - one task's error must not stop the others
            _log.exception("a task cannot continue for now", extra={"task_id": record.task_id})
            return False
        return True

    async def _rebuild(self, record: TaskRecord) -> TaskRunner | None:
        """The runner of a task; None if it cannot be rebuilt, and was ended as FAILED."""
        services = self._services
        try:
            return await self._replay(record)
        except Diverged as error:
            _log.error("a task cannot be rebuilt: %s", error, extra={"task_id": record.task_id})
            reason = str(error)
        except JournalDamaged:
            _log.exception("the log of a task is damaged", extra={"task_id": record.task_id})
            reason = "its log is damaged"
        except JournalUnavailable:
            raise
        except Exception:  # noqa: BLE001 - one task's error must not stop the others
            _log.exception("a task cannot be rebuilt", extra={"task_id": record.task_id})
            reason = "internal error"
        reason = f"Task cannot go on after a restart: {reason}"
        await fail_task(record, reason, services)
        return None

    async def _replay(self, record: TaskRecord) -> TaskRunner:
        """The runner of a task, replayed to the end of its log. Raises `Diverged`."""
        journal = self._services.journal
        schema = await self._schema(record.schema_hash)
        batches = await journal.read(record.task_id, 0, _READ_BYTES) if record.last_sequence else []
        try:
            program_cache, services = (
                self._pinned(batches[0].cause) if batches else (self._program_cache, self._services)
            )
            program = program_cache.program(schema, accepted=True)
            inputs = program_cache.inputs(program, record.inputs, accepted=True)
        except (InvalidWorkflow, ProtocolError) as error:
            raise Diverged(str(error)) from error
        execution = Execution(program, inputs, services.settings.limits)
        while execution.sequence < record.last_sequence:
            if not batches:
                raise Diverged("the log ends before its last event")
            for batch in batches:
                _replay_batch(execution, batch, services.codec)
                await asyncio.sleep(0)
            if execution.sequence < record.last_sequence:
                batches = await journal.read(record.task_id, execution.sequence, _READ_BYTES)
        return TaskRunner(record, execution, services)

    async def _schema(self, schema_hash: bytes) -> str:
        """The text of a schema. Raises `Diverged`."""
        if schema_hash != self._last_schema[0]:  # tasks of one schema often follow each other
            schema = await self._services.journal.schema(schema_hash)
            if schema is None:
                raise Diverged("its schema is missing")
            self._last_schema = schema_hash, schema
        return self._last_schema[1]

    def _pinned(self, cause: str | None) -> tuple[ProgramCache, Services]:
        """The program cache and the collaborators for a task with this first activation. Raises `ProtocolError`."""
        given = None if cause is None else from_json(cause)
        recorded = given.settings if isinstance(given, Queue | Start) else None
        if recorded == self._services.pins:
            return self._program_cache, self._services
        key = dumps(recorded)
        variant = self._variants.get(key)
        if variant is None:
            pins = PinnedSettings.from_record(recorded)
            services = replace(
                self._services,
                codec=self._services.codec.masking(pins.secret_names),
                caller=self._services.caller.scrubbing(pins.secret_names),
                secrets=self._services.secrets.and_also(pins.secret_names),
                settings=replace(self._services.settings, limits=pins.limits),
                pins=recorded,
            )
            variant = self._variants[key] = self._program_cache.pinned(pins.node_types), services
        return variant


def _replay_batch(execution: Execution, batch: Batch, codec: Codec) -> None:
    try:
        if batch.cause is not None:
            execution.apply(from_json(batch.cause))
    except ProtocolError as error:
        raise Diverged(str(error)) from error
    while execution.sequence < batch.last_sequence:
        before = execution.sequence
        execution.advance(1, batch.at)
        if execution.sequence == before:
            raise Diverged("no work is left, but the log goes on")
    events, _ = execution.take()
    if execution.sequence != batch.last_sequence or codec.encode(events) != batch.events:
        raise Diverged("the events differ")


async def fail_task_with_retry(record: TaskRecord, reason: str, services: Services) -> None:
    """Does what `fail_task` does, and retries with backoff while the journal is unavailable."""
    delays = retry_delays()
    while True:
        try:
            await fail_task(record, reason, services)
        except JournalUnavailable as error:
            _log.error("cannot end a task, retrying: %s", error, extra={"task_id": record.task_id})
            await services.clock.sleep(next(delays))
        else:
            return


async def fail_task(record: TaskRecord, reason: str, services: Services) -> None:
    """Ends a task that cannot be run as FAILED, with a message that says why."""
    at, codec = services.clock.now(), services.codec
    start_time = record.start_time or 0
    sequence = record.last_sequence + 1
    message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, reason, "")
    ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
    finished = Finished(Status.FAILED, None, (message,), start_time, at)
    batch = Batch(sequence, sequence + 1, at, None, codec.encode([message, ended]))
    finish = Finish(Status.FAILED, at, codec.encode_result(finished))
    await services.journal.commit(Write(record.task_id, batches=(batch,), finish=finish))
