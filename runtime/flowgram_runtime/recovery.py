"""Recovery: a task is rebuilt from its log.

The recorded inputs are fed to a new `Execution`, step by step as they were, and must give the recorded events again, byte
for byte. Then the task goes on from where the log ends.
"""

import asyncio

from flowgram_runtime.engine.errors import ProtocolError
from flowgram_runtime.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_runtime.engine.execution import Execution
from flowgram_runtime.engine.inputs import from_json
from flowgram_runtime.engine.limits import Limits
from flowgram_runtime.engine.status import Status
from flowgram_runtime.errors import InvalidWorkflow
from flowgram_runtime.host import Codec
from flowgram_runtime.journal.port import Batch, Finish, Journal, TaskRecord, Write
from flowgram_runtime.library import Library

_READ_BYTES = 1024 * 1024


class Diverged(Exception):
    """This version does not get from a task's inputs to the events in its log."""


async def rebuild(
    record: TaskRecord, library: Library, limits: Limits, journal: Journal, codec: Codec
) -> Execution:
    """The execution of a task, brought to where its log ends. Raises `Diverged`."""
    schema = await journal.schema(record.schema_hash)
    if schema is None:
        raise Diverged("its schema is missing")
    try:
        program = library.program(schema)
        inputs = library.inputs(program, record.inputs)
    except InvalidWorkflow as error:
        raise Diverged(str(error)) from error
    execution = Execution(program, inputs, limits)
    await _replay(execution, record, journal, codec)
    return execution


async def _replay(execution: Execution, record: TaskRecord, journal: Journal, codec: Codec) -> None:
    after = 0
    while after < record.last_sequence:
        batches = await journal.read(record.task_id, after, _READ_BYTES)
        if not batches:
            raise Diverged("the log ends before its last event")
        for batch in batches:
            _repeat(execution, batch, codec)
            after = batch.last_sequence
            await asyncio.sleep(0)


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


async def give_up(record: TaskRecord, reason: str, at: int, journal: Journal, codec: Codec) -> None:
    """Ends a task that cannot be rebuilt as FAILED, with a message that says why."""
    start_time = record.start_time or 0
    sequence = record.last_sequence + 1
    message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, reason, "")
    ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
    finished = Finished(Status.FAILED, None, (message,), start_time, at)
    batch = Batch(sequence, sequence + 1, at, None, codec.encode([message, ended]))
    finish = Finish(Status.FAILED, at, codec.encode_result(finished))
    await journal.commit(Write(record.task_id, batches=(batch,), finish=finish))
