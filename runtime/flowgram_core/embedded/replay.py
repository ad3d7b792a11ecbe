"""Replay: rebuilds the execution of a task from its log, in a thread, so that the event loop serves others meanwhile.

The recorded activations are applied to a new `Execution`, in the same steps, and must give the recorded events again, byte
for byte.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

from flowgram_core.concurrency.gil_handoff import GILHandoff
from flowgram_core.embedded.services import Services
from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.engine.activations import Queue, Start, from_json
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.execution import Execution
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.modeling.json_text import JSONObject, dumps, memory_bound, writing_in_pieces
from flowgram_core.modeling.meter import WorkSuspended

_READ_BYTES: Final = 1024 * 1024

_T = TypeVar("_T")


class Diverged(Exception):
    """Replaying a task does not give the events in its log."""


class _Stopped(Exception):
    """Nobody waits for the replay any more."""


class _Variant(NamedTuple):
    """The collaborators of tasks with the same pinned settings.

    Attributes:
        program_cache: Compiles their schemas.
        services: What they run with.
        codec: Encodes their events in the thread: codecs are for one thread each.
    """

    program_cache: ProgramCache
    services: Services
    codec: Codec


class Replayer:
    """Rebuilds tasks one after the other."""

    def __init__(self, program_cache: ProgramCache, services: Services) -> None:
        self._services = services
        codec = services.codec.masking(services.settings.secret_names)
        self._current = _Variant(program_cache, services, codec)
        self._variants: dict[
            str, _Variant
        ] = {}  # of other pinned settings than the current ones, by their text
        self._last_schema: tuple[bytes | None, str] = None, ""
        self._thread = ThreadPoolExecutor(1, "replay")
        self._stopped = False

    def stop(self) -> None:
        """Ends a replay that is under way, at its next event."""
        self._stopped = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def runner(self, record: TaskRecord) -> TaskRunner:
        """The runner of a task, replayed to the end of its log.

        Args:
            record: The task, with its inputs.

        Raises:
            Diverged: It cannot be replayed by this version.
            JournalDamaged: Its log is damaged.
            JournalUnavailable: Its log cannot be read.
        """
        journal, task_id = self._services.journal, record.task_id
        schema = await self._schema(record.schema_hash)
        batches = await journal.read(task_id, 0, _READ_BYTES) if record.last_sequence else []
        handoff = GILHandoff(asyncio.get_running_loop())
        try:
            given = _first_activation(batches)
            variant = self._variant(given, pinned=bool(batches))
            execution = await self._in_thread(
                handoff, task_id, partial(_new_execution, variant, schema, record)
            )
        except (InvalidWorkflow, ProtocolError) as error:
            raise Diverged(str(error)) from error
        log_bytes = 0
        while execution.sequence < record.last_sequence:
            if not batches:
                raise Diverged("the log ends before its last event")
            log_bytes += sum(len(batch.events) for batch in batches)
            await self._in_thread(handoff, task_id, partial(self._replay, execution, batches, variant.codec))
            if execution.sequence < record.last_sequence:
                batches = await journal.read(task_id, execution.sequence, _READ_BYTES)
        return TaskRunner(
            record, execution, variant.services, log_bytes, None if given is None else given.trace
        )

    def forget(self) -> None:
        """Drops what only further replays would need."""
        self._variants.clear()
        self._last_schema = None, ""

    async def _in_thread(self, handoff: GILHandoff, task_id: str, work: Callable[[], _T]) -> _T:
        """Does some work on a task in the thread, and registers it: it may be the end of the process."""
        register = self._services.register

        def run() -> _T:
            slot = register.begin(task_id)
            try:
                return work()
            finally:
                register.end(slot)
                handoff.progressed()

        handoff.submitted()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        finally:
            handoff.completed()

    def _replay(self, execution: Execution, batches: Sequence[Batch], codec: Codec) -> None:
        for batch in batches:
            self._replay_batch(execution, batch, codec)

    def _replay_batch(self, execution: Execution, batch: Batch, codec: Codec) -> None:
        try:
            if batch.cause is not None:
                execution.apply(from_json(batch.cause))
        except ProtocolError as error:
            raise Diverged(str(error)) from error
        while execution.sequence < batch.last_sequence:
            before = execution.sequence
            execution.advance(1, batch.at, checkpoint=self._checkpoint, until=batch.last_sequence)
            if self._stopped:
                raise _Stopped
            if execution.sequence == before:
                raise Diverged("no work is left, but the log goes on")
        events, _ = execution.take()
        with writing_in_pieces():
            differ = execution.sequence != batch.last_sequence or codec.encode(events) != batch.events
        if differ:
            raise Diverged("the events differ")

    def _checkpoint(self) -> None:
        if self._stopped:
            raise WorkSuspended

    async def _schema(self, schema_hash: bytes) -> str:
        if schema_hash != self._last_schema[0]:  # tasks of one schema often follow each other
            schema = await self._services.journal.schema(schema_hash)
            if schema is None:
                raise Diverged("its schema is missing")
            self._last_schema = schema_hash, schema
        return self._last_schema[1]

    def _variant(self, given: Queue | Start | None, *, pinned: bool) -> _Variant:
        """The collaborators for a task with this first activation. Raises `ProtocolError`."""
        recorded: JSONObject | None = None if given is None else given.settings
        if not pinned or recorded == self._services.pins:
            return self._current
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
            program_cache = self._current.program_cache.pinned(
                pins.node_types, with_secrets=pins.with_secrets
            )
            codec = self._services.codec.masking(pins.secret_names)
            variant = self._variants[key] = _Variant(program_cache, services, codec)
        return variant


def _first_activation(batches: Sequence[Batch]) -> Queue | Start | None:
    """The first activation of a task, where it is one that begins it. Raises `ProtocolError`."""
    cause = batches[0].cause if batches else None
    given = None if cause is None else from_json(cause)
    return given if isinstance(given, Queue | Start) else None


def _new_execution(variant: _Variant, schema: str, record: TaskRecord) -> Execution:
    program = variant.program_cache.program(schema, accepted=True)
    inputs = variant.program_cache.inputs(program, record.inputs, accepted=True)
    settings = variant.services.settings
    memory = memory_bound(record.inputs)
    return Execution(program, inputs, settings.limits, inputs_memory=memory, inline_work=settings.inline_work)
