import asyncio

import pytest
from support.journals import Fault, FaultyJournal, accepted, batch

from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.memory import MemoryJournal


@pytest.mark.parametrize(
    ("fault", "events"), [(Fault.CRASH_BEFORE, None), (Fault.CRASH_HALFWAY, 1), (Fault.CRASH_AFTER, 2)]
)
async def test_after_a_crash_nothing_returns(fault: Fault, events: int | None) -> None:
    """The caller never hears of the write, nor of anything later; inside is what the fault says."""
    inner = MemoryJournal()
    journal = FaultyJournal(inner, lambda operation, number: fault)
    commit = journal.commit(accepted("a", batch(1), batch(2)))
    await journal.crashed.wait()
    later = asyncio.create_task(journal.task("a"))
    await asyncio.sleep(0)
    assert not commit.done()
    assert not later.done()
    record = await inner.task("a")
    assert (record and record.last_sequence) == events
    commit.cancel()
    later.cancel()


async def test_an_error_writes_nothing() -> None:
    """The operation that the plan picks fails, the others pass."""
    journal = FaultyJournal(MemoryJournal(), lambda operation, number: Fault.ERROR if number == 0 else None)
    with pytest.raises(JournalUnavailable):
        await journal.commit(accepted("a"))
    await journal.commit(accepted("a"))
    assert await journal.task("a") is not None
    assert journal.operations == 3
