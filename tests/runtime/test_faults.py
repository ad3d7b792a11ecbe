"""The application on a journal that fails at every operation in turn: whatever was shown still holds."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.applications import call_schema, echo_schema
from support.graphs import edge, end, node, ref, start
from support.journals import Fault, finished
from support.restarts import Client, Environment, OpenJournal, broken_promises

from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Journal
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling import json_text

# Few places, so that tasks wait their turn; small steps, so that writes have several batches. Nothing is timed: the only
# timers are those of retries and of retention, which removes tasks of long ago.
SETTINGS = RuntimeSettings(
    max_running_tasks=3,
    step_budget=2,
    tail_bytes=200,
    default_timeout=0,
    retention_age=1e9,
    retention_count=0,
    retention_interval=1000,
)
OLD = frozenset(f"old-{number}" for number in range(3))


def loop_schema() -> str:
    """A loop with a call in each of its iterations."""
    blocks = [node("first", "block-start"), node("each", "code"), node("last", "block-end")]
    edges = [edge("first", "each"), edge("each", "last")]
    loop = node("loop", "loop", {"loopFor": ref("start_0", "items")}, blocks=blocks, edges=edges)
    items = {"type": "array", "items": {"type": "integer"}}
    nodes = [start(items=items), loop, end()]
    return json_text.dumps({"nodes": nodes, "edges": [edge("start_0", "loop"), edge("loop", "end_0")]})


def clients() -> list[Client]:
    """One for each kind of task: pure, parallel calls, a loop, a failure, one that is canceled."""
    return [
        Client(TaskRequest(call_schema("a", "b", "c"), request_id="parallel")),
        Client(TaskRequest(loop_schema(), '{"items": [1, 2, 3]}', request_id="loop")),
        Client(TaskRequest(echo_schema(), '{"x": 7}', request_id="pure")),
        Client(TaskRequest(call_schema("bad"), request_id="failing")),
        Client(TaskRequest(call_schema("hold", "a"), request_id="canceled"), cancel_at="a"),
    ]


Plan = Callable[[str, int], Fault | None]


def at(wanted: int, fault: Fault) -> Plan:
    """Lets one operation fail, by its number."""
    return lambda operation, number: fault if number == wanted else None


async def play_on(open_journal: OpenJournal, *plans: Plan) -> tuple[list[bytes | None], list[int]]:
    """Lets the clients live through faults: how their tasks ended, and how many operations each life's journal saw."""
    async with open_journal() as journal:
        for task_id in sorted(OLD):
            await journal.commit(finished(task_id))
    environment, living = Environment(open_journal, list(plans), SETTINGS), clients()
    await environment.run(*living)
    async with open_journal() as journal:
        assert await broken_promises(living, environment, journal, OLD) == []
        if not plans:
            assert len(await journal.tasks(limit=9, before=None, statuses=frozenset(), labels={})) == 5
    return [client.result for client in living], environment.operations


async def play(*plans: Plan) -> tuple[list[bytes | None], list[int]]:
    """The same on a journal in memory."""
    journal = MemoryJournal()
    return await play_on(lambda: nullcontext(journal), *plans)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Journal]:
    journal = await SQLiteJournal.open(path)
    yield journal
    await journal.close()


@pytest.mark.parametrize("fault", Fault)
async def test_a_fault_at_any_operation_breaks_no_promise(fault: Fault) -> None:
    """Wherever it comes, each task ends as it does undisturbed, and all that was shown is in its log."""
    undisturbed, (operations,) = await play()
    assert undisturbed[1:] == [
        b"('SUCCEEDED', {}, [])",
        b"('SUCCEEDED', {'x': 7}, [])",
        b"('FAILED', None, ['bad failed'])",
        b"('CANCELED', None, [])",
    ]
    for number in range(operations):
        results, _ = await play(at(number, fault))
        assert results == undisturbed, f"{fault.name} at operation {number}"


async def test_a_fault_on_a_file_breaks_no_promise(tmp_path: Path) -> None:
    """The same where each life opens the file anew, and threads write and read it."""

    async def on_file(name: str, *plans: Plan) -> tuple[list[bytes | None], list[int]]:
        return await play_on(lambda: opened(tmp_path / name / "journal.db"), *plans)

    undisturbed, _ = await play()
    results, (operations,) = await on_file("undisturbed")
    assert results == undisturbed
    faults = itertools.cycle(Fault)
    for number in range(0, operations, 4):
        fault = next(faults)
        results, _ = await on_file(str(number), at(number, fault))
        assert results == undisturbed, f"{fault.name} at operation {number}"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(Fault)), max_size=6))
async def test_faults_in_life_after_life_break_no_promise(faults: list[tuple[int, Fault]]) -> None:
    """The same where the lives after the first one are cut off too, also while they recover."""
    undisturbed, _ = await play()
    results, _ = await play(*(at(number, fault) for number, fault in faults))
    assert results == undisturbed
