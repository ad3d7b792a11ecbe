"""The memory budget of a process: who is refused, and who fails."""

import pytest
from support.driving import link_schema
from support.fakes import ScriptedCalls, running_application
from support.graphs import declare, edge, end, node, ref, start

from flowgram_core.embedded.memory_budget import MemoryBudget
from flowgram_core.engine.program import Program
from flowgram_core.hosting.errors import MemoryLimitReached
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling import json_text
from flowgram_core.modeling.status import Status


class Holder:
    """A task that only notes that it is to fail."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def fail(self, error: str) -> None:
        self.errors.append(error)


@pytest.fixture
def program() -> Program:
    return link_schema({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})


def test_the_one_that_holds_most_fails(program: Program) -> None:
    """Once; what it holds counts no longer, and the others go on."""
    shared = program.document.memory
    budget = MemoryBudget(shared + 1_000)
    small, large = Holder(), Holder()
    budget.add(small, program, 100)
    budget.add(large, program, 700)
    assert budget.total == shared + 800
    budget.update(small, 301)
    assert (len(small.errors), len(large.errors)) == (0, 1)
    assert "max_memory" in large.errors[0]
    budget.update(large, 5_000)
    assert budget.total == shared + 301
    budget.remove(large, program)
    budget.remove(large, program)
    budget.remove(small, program)
    assert budget.total == 0


def test_a_new_task_must_fit(program: Program) -> None:
    """With its program, if no other task has that; but a single one is never refused."""
    budget = MemoryBudget(program.document.memory + 1_000)
    budget.check(program, 10**9)
    first = Holder()
    budget.add(first, program, 600)
    budget.check(program, 400)
    with pytest.raises(MemoryLimitReached, match=r"1 tasks hold .* the limit max_memory"):
        budget.check(program, 401)
    other = link_schema({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})
    with pytest.raises(MemoryLimitReached):
        budget.check(other, 1)


def heavy_schema(conditions: int) -> str:
    """A code node `wait`, then a condition whose work grows with the number of its conditions."""
    listed = [
        {
            "key": f"k{index}",
            "value": {
                "left": ref("start_0", "text"),
                "operator": "contains",
                "right": ref("start_0", "part"),
            },
        }
        for index in range(conditions)
    ]
    nodes = [
        start(text="string", part="string"),
        node("wait", "code", {"outputs": declare(v="string")}),
        node("c", "condition", {"conditions": listed}),
        end(v=("string", ref("wait", "v"))),
    ]
    edges = [edge("start_0", "wait"), edge("wait", "c"), edge("c", "end_0", "else")]
    return json_text.dumps({"nodes": nodes, "edges": edges})


INPUTS = json_text.dumps({"text": "a" * 200_000, "part": "aab"})


async def test_a_heavy_run_is_done_in_a_thread_and_others_are_served() -> None:
    """The event loop does not do it; the task ends as it would have there."""
    settings = RuntimeSettings(inline_work=1_000_000)
    async with running_application(calls := ScriptedCalls(), settings=settings) as application:
        task = await application.run(TaskRequest(heavy_schema(20), INPUTS))
        await calls.running("wait")
        calls.answer("wait", {"v": "done"})
        assert (await application.wait(task.task_id)).status == Status.SUCCEEDED


async def test_a_heavy_run_can_be_canceled() -> None:
    """It would take minutes; the task ends as CANCELED, and its node has no event."""
    settings = RuntimeSettings(inline_work=1_000_000)
    async with running_application(calls := ScriptedCalls(), settings=settings) as application:
        request = TaskRequest(heavy_schema(5_000), INPUTS)
        task_ids = []
        for _ in range(4):
            task_ids.append((await application.run(request)).task_id)
            await calls.running("wait")
            calls.answer("wait", {"v": ""})
        for task_id in task_ids:
            assert await application.cancel(task_id, "")
            assert (await application.task(task_id)).status == Status.CANCELED


async def test_a_new_task_is_refused_while_others_hold_the_memory() -> None:
    """And taken once they have ended."""
    settings = RuntimeSettings(max_memory=600_000)
    async with running_application(calls := ScriptedCalls(), settings=settings) as application:
        first = await application.run(TaskRequest(heavy_schema(1), INPUTS))
        with pytest.raises(MemoryLimitReached):
            await application.run(
                TaskRequest(heavy_schema(1), json_text.dumps({"text": "b" * 550_000, "part": "x"}))
            )
        await calls.running("wait")
        calls.answer("wait", {"v": ""})
        await application.wait(first.task_id)
        await application.run(TaskRequest(heavy_schema(1), INPUTS))
