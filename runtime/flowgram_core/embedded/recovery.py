"""Recovery: the tasks that a former process left are rebuilt from their logs.

The recorded inputs are fed to a new `Execution`, step by step as they were, and must give the recorded events again, byte
for byte. Then the task goes on from where the log ends. A task for which that fails is ended as FAILED; one that cannot be
read at the moment is tried again. Neither holds up the others.
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
    """This version does not get from a task's inputs to the events in its log."""


class Recovery:
    """Puts the tasks that have not ended on the roster."""

    def __init__(self, program_cache: ProgramCache, services: Services, scheduler: Scheduler) -> None:
        self._program_cache = program_cache
        self._services = services
        self._scheduler = scheduler
        self._left: list[TaskRecord] = []
        # What tasks with other pins than those of now are driven with, by the text of the pins.
        self._variants: dict[str, tuple[ProgramCache, Services]] = {}
        self._last_schema: tuple[bytes | None, str] = None, ""

    async def run(self) -> None:
        """Rebuilds every task that has not ended, oldest first, and lets it go on.

        Raises:
            JournalUnavailable: It cannot be told which tasks there are.
        """
        after = 0
        while records := await self._services.journal.unfinished(after=after, limit=_PAGE):
            self._left += [record for record in records if not await self._go_on(record)]
            after = records[-1].order
        self._scheduler.start_waiting()

    async def finish(self) -> None:
        """Tries again, less and less often, what could not be done."""
        delays = retry_delays()
        while self._left:
            await self._services.clock.sleep(next(delays))
            self._left = [record for record in self._left if not await self._go_on(record)]
            self._scheduler.start_waiting()
        self._variants.clear()
        self._last_schema = None, ""

    async def _go_on(self, record: TaskRecord) -> bool:
        """Lets a task go on, or ends it; False if neither can be done for now."""
        try:
            host = await self._rebuild(record)
            if host is not None:
                self._scheduler.resume(host)
        except Exception:  # noqa: BLE001 - whatever it is, the others must go on
            _log.exception("a task cannot go on for now", extra={"task_id": record.task_id})
            return False
        return True

    async def _rebuild(self, record: TaskRecord) -> TaskRunner | None:
        """The host of a task, or None if there can be none, and the task was ended."""
        services = self._services
        try:
            return await self._host(record)
        except Diverged as error:
            _log.error("a task cannot be rebuilt: %s", error, extra={"task_id": record.task_id})
            reason = str(error)
        except JournalDamaged:
            _log.exception("the log of a task is damaged", extra={"task_id": record.task_id})
            reason = "its log is damaged"
        except JournalUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the others must go on
            _log.exception("a task cannot be rebuilt", extra={"task_id": record.task_id})
            reason = "internal error"
        reason = f"Task cannot go on after a restart: {reason}"
        await give_up(record, reason, services)
        return None

    async def _host(self, record: TaskRecord) -> TaskRunner:
        """The host of a task, brought to where its log ends. Raises `Diverged`."""
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
                _repeat(execution, batch, services.codec)
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
        """What a task whose first input was this is driven with. Raises `ProtocolError`."""
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


def _repeat(execution: Execution, batch: Batch, codec: Codec) -> None:
    try:
        if batch.cause is not None:
            execution.apply(from_json(batch.cause))
    except ProtocolError as error:
        raise Diverged(str(error)) from error
    while execution.sequence < batch.last_sequence:
        before = execution.sequence
        execution.advance(1, batch.at)
        if execution.sequence == before:
            raise Diverged("there is nothing left to do, and the log goes on")
    events, _ = execution.take()
    if execution.sequence != batch.last_sequence or codec.encode(events) != batch.events:
        raise Diverged("the events differ")


async def fail_task_with_retry(record: TaskRecord, reason: str, services: Services) -> None:
    """Ends a task as `give_up` does, as soon as the journal takes it: it is tried again, less and less often."""
    delays = retry_delays()
    while True:
        try:
            await give_up(record, reason, services)
        except JournalUnavailable as error:
            _log.error("cannot end a task, trying again: %s", error, extra={"task_id": record.task_id})
            await services.clock.sleep(next(delays))
        else:
            return


async def give_up(record: TaskRecord, reason: str, services: Services) -> None:
    """Ends a task that cannot be driven as FAILED, with a message that says why."""
    at, codec = services.clock.now(), services.codec
    start_time = record.start_time or 0
    sequence = record.last_sequence + 1
    message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, reason, "")
    ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
    finished = Finished(Status.FAILED, None, (message,), start_time, at)
    batch = Batch(sequence, sequence + 1, at, None, codec.encode([message, ended]))
    finish = Finish(Status.FAILED, at, codec.encode_result(finished))
    await services.journal.commit(Write(record.task_id, batches=(batch,), finish=finish))
