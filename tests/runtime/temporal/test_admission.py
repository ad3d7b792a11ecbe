"""Admission: counts are asked for once in a second, however many tasks come, and limits are reported by their names."""

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
        started: When tasks of any namespace were accepted, by whatever server.
        asked: What was asked for.
        error: Raised instead of an answer.
    """

    def __init__(self, **namespaces: int) -> None:
        self.open: dict[str | None, int] = {None: sum(namespaces.values()), **namespaces}
        self.started: list[int] = []
        self.asked: list[str | None] = []
        self.error: Exception | None = None

    async def started_since(self, time: int, namespace: str) -> int:
        return sum(at >= time for at in self.started)

    async def open_tasks(self, namespace: str | None = None) -> int:
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


async def test_starts_by_all_servers_count() -> None:
    """Each server lets through what a namespace may start; together they let through little more over some seconds."""
    counts, clock = Counts(), FakeClock()
    quotas = Quotas({"blue": Quota(max_starts_per_second=2)})
    servers = [Admission(counts, 0, quotas, clock) for _ in range(5)]
    for _ in range(600):
        for server in servers:
            try:
                await server.check("blue")
            except QuotaExceeded:
                continue
            server.accepted("blue")
            counts.started.append(clock.now())
        clock.advance(0.1)
    assert 60 * 2 * 0.9 <= len(counts.started) <= 60 * 2 * 1.5


async def test_one_server_is_kept_to_its_own_rate_alone() -> None:
    """Where there is one server, the count over all of them refuses nothing that its own rate lets through."""
    counts, clock = Counts(), FakeClock()
    server = Admission(counts, 0, Quotas({"blue": Quota(max_starts_per_second=2)}), clock)
    refused = []
    for _ in range(600):
        try:
            await server.check("blue")
        except QuotaExceeded as error:
            refused.append(str(error))
        else:
            server.accepted("blue")
            counts.started.append(clock.now())
        clock.advance(0.1)
    assert 120 <= len(counts.started) <= 123
    assert not any("all servers" in text for text in refused)
