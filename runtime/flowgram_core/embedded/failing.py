"""Failing a task from outside: it ends as FAILED without its execution, with a message that says why."""

import logging

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.hosting.codec import Codec
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Finish, Journal, TaskRecord, Write
from flowgram_core.modeling.status import Status

_log = logging.getLogger(__name__)


async def fail_task(
    record: TaskRecord, reason: str, journal: Journal, codec: Codec, clock: Clock
) -> TaskRecord:
    """Ends a task that cannot be run as FAILED.

    Args:
        record: The task as it is now.
        reason: The text of its message, for users.
        journal: Where it is written.
        codec: Encodes the events.
        clock: Tells the time.

    Returns:
        The task as it is then.

    Raises:
        JournalUnavailable: It cannot be written.
        InvalidWrite: It has gone on, or ended.
    """
    at = clock.now()
    start_time = record.start_time or 0
    sequence = record.last_sequence + 1
    message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, reason, "")
    ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
    finished = Finished(Status.FAILED, None, (message,), start_time, at)
    batch = Batch(sequence, sequence + 1, at, None, codec.encode([message, ended]))
    finish = Finish(Status.FAILED, at, codec.encode_result(finished))
    await journal.commit(Write(record.task_id, batches=(batch,), finish=finish))
    return record.moved(Status.FAILED, record.start_time, at, batch.last_sequence, finish.result)


async def fail_task_with_retry(
    record: TaskRecord, reason: str, journal: Journal, codec: Codec, clock: Clock
) -> TaskRecord:
    """Does what `fail_task` does, and retries with backoff while the journal is unavailable."""
    delays = retry_delays()
    while True:
        try:
            return await fail_task(record, reason, journal, codec, clock)
        except JournalUnavailable as error:
            _log.error("cannot end a task, retrying: %s", error, extra={"task_id": record.task_id})
            await clock.sleep(next(delays))
