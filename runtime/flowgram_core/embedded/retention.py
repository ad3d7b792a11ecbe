"""Retention: removes finished tasks by age and by count, a few at a time."""

import logging

from flowgram_core.embedded.services import Services
from flowgram_core.journal.errors import JournalError

_log = logging.getLogger(__name__)

_BATCH = 1000
"""Tasks that are removed before it is found out anew which are due."""


async def remove_expired(services: Services) -> None:
    """Removes expired tasks periodically, until it is cancelled."""
    settings = services.settings
    if not settings.retention_age and not settings.retention_count:
        return
    while True:
        try:
            while await _remove_some(services) == _BATCH:
                pass
        except JournalError:
            _log.exception("finished tasks cannot be removed")
        await services.clock.sleep(settings.retention_interval)


async def _remove_some(services: Services) -> int:
    settings = services.settings
    now = services.clock.now()
    age = min(settings.retention_age * 1e6, now)  # no task ended before the epoch
    removed = await services.journal.remove_finished(
        ended_before=now - round(age) if age else None,
        keep_newest=settings.retention_count or None,
        limit=_BATCH,
    )
    services.recently_ended.remove(task.task_id for task in removed)
    services.task_changes.removed(removed)
    return len(removed)
