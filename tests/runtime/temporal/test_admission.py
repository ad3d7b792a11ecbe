"""Admission: counts are asked for once in a second, however many tasks come, and limits are told by their names."""

import asyncio

import pytest
from support.fakes import FakeClock

from flowgram_core.hosting.errors import QuotaExceeded, TooManyTasks
from flowgram_core.hosting.quotas import Quota, Quotas
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.temporal.admission import Admission


class Counts:
    """The cluster's counts.

    Attributes:
        open: How many tasks each namespace has; None stands for all of them.
        asked: What was asked for.
        error: Raised instead of an answer.
    """

    def __init__(self, **namespaces: int) -> None:
        self.open: dict[str | None, int] = {None: sum(namespaces.values()), **namespaces}
        self.asked: list[str | None] = []
        self.error: Exception | None = None

    async def __call__(self, namespace: str | None) -> int:
        self.asked.append(namespace)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.open[namespace]


async def test_many_at_once_ask_once() -> None:
    """Counts hold for a second; what was accepted here since then counts in, and what ended shows with the next count."""
    counts, clock = Counts(blue=3), FakeClock()
    admission = Admission(counts, 5, Quotas({}), clock)
    await asyncio.gather(*(admission.check("blue") for _ in range(20)))
    assert counts.asked == [None]
    admission.accepted("blue")
    await admission.check("blue")
    admission.accepted("blue")
    with pytest.raises(TooManyTasks, match="max_open_tasks"):
        await admission.check("blue")
    clock.advance(1.1)
    await admission.check("blue")
    assert counts.asked == [None, None]


async def test_a_namespace_has_a_limit_of_its_own() -> None:
    """Only namespaces with a quota of tasks are counted, each for itself, and the tasks that were accepted here with them."""
    counts, clock = Counts(blue=1, red=7), FakeClock()
    admission = Admission(counts, 0, Quotas({"blue": Quota(max_tasks=2)}), clock)
    await admission.check("red")
    assert counts.asked == []
    await admission.check("blue")
    admission.accepted("red")
    await admission.check("blue")
    admission.accepted("blue")
    with pytest.raises(QuotaExceeded, match="max_tasks") as found:
        await admission.check("blue")
    assert found.value.namespace == "blue"
    assert counts.asked == ["blue"]


async def test_what_cannot_be_counted_is_not_accepted() -> None:
    """While the cluster does not answer, each request fails with that, and the first one after it asks anew."""
    counts = Counts(blue=0)
    admission = Admission(counts, 1, Quotas({}), FakeClock())
    counts.error = JournalUnavailable("away")
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await admission.check("blue")
    counts.error = None
    await admission.check("blue")
    assert len(counts.asked) == 3


async def test_a_refused_task_takes_no_start() -> None:
    """The rate of starts is looked at last: a task that is refused for another reason leaves its token to the next."""
    counts, clock = Counts(blue=1), FakeClock()
    admission = Admission(counts, 0, Quotas({"blue": Quota(max_tasks=1, max_starts_per_second=1)}), clock)
    for _ in range(3):
        with pytest.raises(QuotaExceeded, match="max_tasks"):
            await admission.check("blue")
    clock.advance(1.1)
    counts.open["blue"] = 0
    await admission.check("blue")
    with pytest.raises(QuotaExceeded, match="max_starts_per_second"):
        await admission.check("blue")
