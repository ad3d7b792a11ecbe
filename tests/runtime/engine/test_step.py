"""The pure step: its bounds, and what it leaves to its host."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from support.driving import link_schema
from support.graphs import constant, edge, end, node, ref, start

from flowgram_core.engine.activations import Activation, CallSucceeded, Cancel, Start, to_json
from flowgram_core.engine.events import Event
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Call, CancelCall
from flowgram_core.engine.step import Step


class Made(NamedTuple):
    """What the host of these tests keeps."""

    first: int
    last: int
    at: int
    cause: str | None
    events: bytes


def chain(length: int, kind: str = "variable") -> Execution:
    """An execution of start, so many nodes, and end."""
    ids = ["start_0", *(f"n{index}" for index in range(length)), "end_0"]
    nodes = [start(), *(node(node_id, kind) for node_id in ids[1:-1]), end()]
    edges = [edge(source, target) for source, target in pairwise(ids)]
    return Execution(link_schema({"nodes": nodes, "edges": edges}), {})


def inputs_of(*given: Activation) -> Callable[[], tuple[Activation, str] | None]:
    """Gives these, one after the other."""
    left = list(given)
    return lambda: (found := left.pop(0), to_json(found)) if left else None


def step(budget: int = 1000, max_bytes: int = 1_000_000) -> Step[Made]:
    def encode(events: Any) -> bytes:
        made: list[Event] = list(events)
        return b"x" * len(made)

    return Step(budget, max_bytes, encode, Made)


def test_a_step_goes_as_far_as_it_can() -> None:
    """Without bounds, pauses or calls one step runs a task to its end, in the instant of its start."""
    execution, whole = chain(100), step()
    assert not whole.work(execution, inputs_of(Start(7)), lambda: 99)
    assert execution.finished is not None
    [made] = whole.batches
    assert (made.first, made.last, made.at, made.cause) == (1, execution.sequence, 7, to_json(Start(7)))
    assert len(made.events) == execution.sequence


def test_the_budget_bounds_the_node_runs() -> None:
    """A step does no more node runs than its budget; the next one goes on, at the time that the host tells."""
    execution, following = chain(100), inputs_of(Start(7))
    short = step(budget=31)
    assert not short.work(execution, following, lambda: 99)
    assert short.budget <= 0
    assert execution.has_work
    assert execution.sequence == 1 + 31  # the task's start, and the nodes
    rest = step()
    rest.work(execution, following, lambda: 99)
    assert execution.finished is not None
    assert [(made.cause, made.at) for made in rest.batches] == [(None, 99)]
    assert rest.batches[0].first == short.batches[-1].last + 1


def test_the_bytes_bound_a_step() -> None:
    """A step takes no further input once its events have the bytes that they may."""
    execution = chain(1, "code")
    full = step(max_bytes=1)
    full.work(execution, inputs_of(Start(1), Cancel(2, "stop")), lambda: 99)
    assert execution.finished is None
    assert full.left <= 0


def test_a_pause_leaves_off_and_goes_on() -> None:
    """A paused step says that it may go on, and gives the same events in the end as one that never paused."""
    paused, whole = chain(100), chain(100)
    pausing, calm = step(), step()
    following, rounds = inputs_of(Start(1)), 1
    while pausing.work(paused, following, lambda: 1, lambda: True):
        rounds += 1
    calm.work(whole, inputs_of(Start(1)), lambda: 1)
    assert rounds > 3
    assert paused.finished == whole.finished
    assert b"".join(made.events for made in pausing.batches) == calm.batches[0].events


def test_commands_are_kept_until_the_commit() -> None:
    """A step gathers the commands of all its inputs, in order."""
    execution, gathered = chain(1, "code"), step()
    gathered.work(execution, inputs_of(Start(1)), lambda: 9)
    [call] = gathered.commands
    assert isinstance(call, Call)
    later = step()
    later.work(execution, inputs_of(Cancel(2, "")), lambda: 9)
    assert later.commands == [CancelCall(call.key)]


def test_the_bytes_of_inputs_count() -> None:
    """What an input takes in the log counts against the step as well."""
    execution = chain(2, "code")
    step().work(execution, inputs_of(Start(1)), lambda: 9)
    [call] = execution.running_calls()
    bounded = step(max_bytes=1_000)
    bounded.work(execution, inputs_of(CallSucceeded(2, call.key, {"v": "x" * 2_000})), lambda: 9)
    assert bounded.left < 0


def test_work_bounds_a_step() -> None:
    """A step ends after the node run with which its work reaches the bound; the events are the same as without one."""

    def heavy() -> Execution:
        condition = {
            "key": "k",
            "value": {"left": ref("start_0", "text"), "operator": "contains", "right": constant("b")},
        }
        ids = [f"c{index}" for index in range(30)]
        nodes = [
            start(text="string"),
            *(node(node_id, "condition", {"conditions": [condition]}) for node_id in ids),
            end(),
        ]
        edges = [
            edge("start_0", ids[0]),
            *(edge(one, other, "else") for one, other in pairwise([*ids, "end_0"])),
        ]
        return Execution(link_schema({"nodes": nodes, "edges": edges}), {"text": "a" * 10_000})

    whole = heavy()
    one = step()
    one.work(whole, inputs_of(Start(7)), lambda: 7)
    assert whole.finished is not None
    in_steps, lasts, given = heavy(), [], inputs_of(Start(7))
    while in_steps.finished is None:
        bounded = Step(1000, 1_000_000, lambda events: b"x" * len(events), Made, 3 * whole.work // 30)
        before = in_steps.work
        assert not bounded.work(in_steps, given, lambda: 7)
        assert in_steps.work - before <= 5 * whole.work // 30
        lasts.append(bounded.batches[-1].last)
    assert 7 <= len(lasts) <= 12
    assert (in_steps.sequence, in_steps.work) == (whole.sequence, whole.work)
    assert in_steps.finished == whole.finished


def test_a_step_keeps_the_commands_of_all_its_inputs() -> None:
    """In their order: the host carries them out once the step is durable."""
    whole = step()
    whole.work(chain(2, "code"), inputs_of(Start(7), CallSucceeded(8, "n0", {})), lambda: 99)
    assert [command.key for command in whole.commands] == ["n0", "n1"]


def test_events_count_for_the_bytes_of_a_step() -> None:
    """It ends once it has as many as it may, though there is more to do."""
    execution = chain(100)
    short = step(max_bytes=len(to_json(Start(7))) + 20)
    short.work(execution, inputs_of(Start(7)), lambda: 99)
    assert execution.has_work
    assert 20 <= execution.sequence < 60
