"""Quotas of namespaces: what each may have, and how fast it may start tasks."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.engine.errors import NodeError
from flowgram_core.hosting.calls import CallSlots
from flowgram_core.hosting.errors import QuotaExceeded
from flowgram_core.hosting.quotas import Quota, Quotas, StartRates


def test_the_default_quota_is_for_those_that_have_none() -> None:
    """A namespace with a quota of its own has nothing of the default one; without any there are no limits."""
    quotas = Quotas({"default": Quota(max_tasks=1), "acme": Quota(max_watches=2)})
    assert quotas.of("acme") == Quota(max_watches=2)
    assert quotas.of("zoo") == quotas.of("default") == Quota(max_tasks=1)
    assert Quotas({"acme": Quota(max_tasks=1)}).of("zoo") == Quota()
    assert (bool(quotas), bool(Quotas({}))) == (True, False)


@pytest.mark.parametrize(
    ("check", "limit"),
    [("check_tasks", "max_tasks"), ("check_bytes", "max_bytes"), ("check_watches", "max_watches")],
)
def test_what_is_reached_is_named(check: str, limit: str) -> None:
    """With the namespace, and a time to try again; nothing is left of a quota of 0, and no time helps."""
    quotas = Quotas({"acme": Quota(**{limit: 2}), "none": Quota(**{limit: 0})})
    getattr(quotas, check)("acme", 1)
    getattr(quotas, check)("zoo", 10**9)
    with pytest.raises(QuotaExceeded, match=limit) as reached:
        getattr(quotas, check)("acme", 2)
    assert (reached.value.namespace, reached.value.limit) == ("acme", limit)
    assert reached.value.retry_after
    with pytest.raises(QuotaExceeded, match=limit) as none:
        getattr(quotas, check)("none", 0)
    assert none.value.retry_after is None


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.micros = 1_000_000_000

    def now(self) -> int:
        return self.micros


def started(rates: StartRates, namespace: str, count: int) -> int:
    """How many of so many starts are allowed now."""
    allowed = 0
    for _ in range(count):
        try:
            rates.take(namespace)
        except QuotaExceeded:
            continue
        allowed += 1
    return allowed


def test_a_second_of_starts_may_come_at_once() -> None:
    """Then they come in as time passes, for each namespace by itself."""
    time = Time()
    rates = StartRates(Quotas({"default": Quota(max_starts_per_second=5)}), time.now)
    assert started(rates, "a", 20) == 5
    assert started(rates, "b", 20) == 5
    time.micros += 400_000
    assert started(rates, "a", 20) == 2
    time.micros += 3_600_000_000
    assert started(rates, "a", 20) == 5


def test_a_slow_rate_lets_one_start_at_a_time() -> None:
    """One in ten seconds is no less than one; the error says how long it takes."""
    time = Time()
    rates = StartRates(Quotas({"default": Quota(max_starts_per_second=0.1)}), time.now)
    assert started(rates, "a", 3) == 1
    time.micros += 4_000_000
    with pytest.raises(QuotaExceeded, match=r"max_starts_per_second = 0\.1") as refused:
        rates.take("a")
    assert refused.value.retry_after == 6
    time.micros += 6_000_000
    assert started(rates, "a", 3) == 1


def test_no_starts_at_all() -> None:
    """A rate of 0 refuses every task, and says that waiting does not help."""
    rates = StartRates(Quotas({"acme": Quota(max_starts_per_second=0)}), Time().now)
    with pytest.raises(QuotaExceeded, match="it may start no tasks") as refused:
        rates.take("acme")
    assert refused.value.retry_after is None
    assert started(rates, "zoo", 9) == 9


@given(
    st.sampled_from([0.5, 1, 3, 50]),
    st.lists(st.tuples(st.integers(-3_000_000, 3_000_000), st.integers(1, 80)), max_size=20),
)
def test_the_rate_is_kept_whatever_the_clock_does(rate: float, steps: list[tuple[int, int]]) -> None:
    """Over any time no more than the rate and one bucket; after a quiet second at least one, also after the clock was set back."""
    time = Time()
    rates = StartRates(Quotas({"default": Quota(max_starts_per_second=rate)}), time.now)
    size, allowed, forward = max(rate, 1), 0, 0
    for change, count in steps:
        time.micros += change
        forward += max(change, 0)
        allowed += started(rates, "a", count)
        assert allowed <= size + rate * forward / 1e6 + 1e-6
    started(rates, "a", 1)
    time.micros += round(max(1, 1 / rate) * 1e6)
    assert started(rates, "a", 1) == 1


async def test_calls_of_a_namespace_wait_for_each_other() -> None:
    """Those beyond its quota, while those of others run; what is free again is given on."""
    slots = CallSlots(0, {}, quotas=Quotas({"acme": Quota(max_calls=2)}))
    running: list[str] = []
    ends = {name: asyncio.Event() for name in ("a1", "a2", "a3", "z1", "z2", "z3")}

    async def call(name: str) -> None:
        owner = Owner("acme" if name[0] == "a" else "zoo", name)
        async with slots.slot("llm", owner):
            running.append(name)
            await ends[name].wait()
            running.remove(name)

    async with asyncio.TaskGroup() as group:
        for name in ends:
            group.create_task(call(name))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert running == ["a1", "a2", "z1", "z2", "z3"]
        assert slots.waiting["llm"] == 1
        ends["a1"].set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert running == ["a2", "z1", "z2", "z3", "a3"]
        for end in ends.values():
            end.set()
    assert slots._by_namespace == {}


async def test_a_namespace_that_may_make_no_calls() -> None:
    """Its nodes fail, and say why; they do not wait for ever."""
    slots = CallSlots(0, {}, quotas=Quotas({"acme": Quota(max_calls=0)}))
    with pytest.raises(NodeError, match="Namespace acme may make no calls: its quota max_calls is 0"):
        async with slots.slot("llm", Owner("acme", "t")):
            pass
    assert slots.waiting["llm"] == 0
