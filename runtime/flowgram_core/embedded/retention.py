"""Retention: removes finished tasks by age and by count, a few at a time."""

import logging

from flowgram_core.concurrency.clock import Clock
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalError
from flowgram_core.journal.interface import Journal

_log = logging.getLogger(__name__)

_BATCH = 200


async def remove_expired(journal: Journal, settings: RuntimeSettings, clock: Clock) -> None:
    """Removes expired tasks periodically, until it is cancelled."""
    if not settings.retention_age and not settings.retention_count:
        return
    while True:
        try:
            while await _remove_some(journal, settings, clock) == _BATCH:
                pass
        except JournalError:
            _log.exception("finished tasks cannot be removed")
        await clock.sleep(settings.retention_interval)


async def _remove_some(journal: Journal, settings: RuntimeSettings, clock: Clock) -> int:
    now = clock.now()
    age = min(settings.retention_age * 1e6, now)  # no task ended before the epoch
    removed = await journal.remove_finished(
        ended_before=now - round(age) if age else None,
        keep_newest=settings.retention_count or None,
        limit=_BATCH,
    )
    return len(removed)
