"""The bounds of work and memory: where a run is suspended shows in no event, and beyond the limits nodes and tasks fail."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import link_schema
from support.graphs import constant, declare, edge, end, node, ref, start, workflows

from flowgram_core.engine.activations import Activation, CallSucceeded, Cancel, Fail, Start
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import Event, MessageLogged, NodeStatusChanged, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import UNLIMITED, Limits
from flowgram_core.engine.node_type import Call
from flowgram_core.engine.program import Program
from flowgram_core.modeling.meter import WorkSuspended
from flowgram_core.modeling.status import Status


@dataclass
class Played:
    """What came of a task, and the batches that a log would have of it: activation, events, last sequence."""

    execution: Execution
    events: list[Event] = field(default_factory=list)
    batches: list[tuple[Activation | None, list[Event]]] = field(default_factory=list)
    suspensions: int = 0


def breathe() -> None:
    """A checkpoint that stops nothing."""


def play(
    program: Program,
    inputs: dict[str, Any],
    *,
    limits: Limits | None = None,
    inline_work: int = 2**62,
    budget: int = 1000,
) -> Played:
    """Runs a task to its end as a host does: a run that is suspended is done again with a checkpoint, as a step of its own."""
    played = Played(Execution(program, inputs, limits, inline_work=inline_work))
    execution = played.execution
    following: Activation | None = Start(1)
    calls: list[Call] = []
    at = 1
    while execution.finished is None:
        given_now, following = following, None
        if given_now is not None:
            execution.apply(given_now)
            execution.advance(budget)
        elif execution.is_suspended:
            played.suspensions += 1
            execution.advance(1, at, checkpoint=breathe)
        elif execution.has_work:
            execution.advance(budget, at)
        else:
            at += 1
            call = calls.pop(0)
            following = CallSucceeded(at, call.key, {"v": f"of {call.key}"})
            continue
        events, commands = execution.take()
        played.events += events
        if events:
            played.batches.append((given_now, events))
        calls += [command for command in commands if isinstance(command, Call)]
    return played


def replay(program: Program, inputs: dict[str, Any], played: Played, limits: Limits | None = None) -> None:
    """Feeds the batches to a new execution, which must give the same ones."""
    execution = Execution(program, inputs, limits)
    for activation, expected in played.batches:
        if activation is not None:
            execution.apply(activation)
        last = expected[-1].sequence
        while execution.sequence < last:
            execution.advance(2**40, expected[-1].at, until=last)
        events, _ = execution.take()
        assert events == expected
    assert execution.finished == played.execution.finished


@given(workflow=workflows(), inline_work=st.sampled_from([1, 500, 2_000]), budget=st.integers(1, 9))
def test_suspensions_show_in_no_event(
    workflow: tuple[dict[str, Any], dict[str, Any]], inline_work: int, budget: int
) -> None:
    """Random graphs: the same events wherever runs are suspended, and a replay that suspends nothing repeats every batch."""
    schema, inputs = workflow
    program = link_schema(schema)
    usual = play(program, inputs)
    suspended = play(program, inputs, inline_work=inline_work, budget=budget)
    assert suspended.events == usual.events
    replay(program, inputs, suspended)
    replay(program, inputs, usual)


def looping(assign: list[dict[str, Any]], **outputs: Any) -> dict[str, Any]:
    """A loop over start's items around a variable node `v`."""
    blocks = [node("b", "block-start"), node("v", "variable", {"assign": assign}), node("e", "block-end")]
    edges = [edge("b", "v"), edge("v", "e")]
    data = {"loopFor": ref("start_0", "items"), "loopOutputs": outputs}
    loop = node("loop_0", "loop", data, blocks=blocks, edges=edges)
    nodes = [start(items={"type": "array", "items": {"type": "integer"}}, text="string"), loop, end()]
    return {"nodes": nodes, "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]}


def declaring(name: str, right: Any) -> dict[str, Any]:
    return {"operator": "declare", "left": name, "right": right}


def template(content: str) -> dict[str, Any]:
    return {"type": "template", "content": content}


def errors(played: Played) -> list[str]:
    return [event.text for event in played.events if isinstance(event, MessageLogged)]


def runs(played: Played, node_id: str) -> int:
    return sum(isinstance(event, NodeStatusChanged) and event.node_id == node_id for event in played.events)


def test_what_a_suspended_run_has_assigned_is_undone() -> None:
    """A counter that is set early in a heavy run counts once."""
    assign = [
        declaring("n", constant("")),
        {"operator": "assign", "left": ref("v", "n"), "right": template("{{v.n}}x")},
        declaring("length", ref("start_0", "text", "length")),
    ]
    program = link_schema(looping(assign, n=ref("v", "n"), length=ref("v", "length")))
    inputs = {"items": [1, 2, 3], "text": "\U0001f600" * 5_000}
    usual, suspended = play(program, inputs), play(program, inputs, inline_work=10_000)
    assert suspended.suspensions >= 3
    assert suspended.events == usual.events
    (ended,) = [
        event
        for event in usual.events
        if isinstance(event, NodeStatusChanged) and event.node_id == "loop_0" and event.outputs
    ]
    assert ended.outputs == {"n": ["x"] * 3, "length": [10_000] * 3}
    replay(program, inputs, suspended)


def test_a_suspended_run_leaves_the_variables_of_others() -> None:
    """What it has assigned to another node's variable is taken back, and is assigned once."""
    appending = {"operator": "assign", "left": ref("v", "n"), "right": template("{{v.n}}x")}
    nodes = [
        start(text="string"),
        node("v", "variable", {"assign": [declaring("n", constant(""))]}),
        node(
            "w",
            "variable",
            {"assign": [appending, appending, declaring("length", ref("start_0", "text", "length"))]},
        ),
        end(n=("string", ref("v", "n"))),
    ]
    edges = [edge("start_0", "v"), edge("v", "w"), edge("w", "end_0")]
    program, inputs = link_schema({"nodes": nodes, "edges": edges}), {"text": "\U0001f600" * 5_000}
    suspended = play(program, inputs, inline_work=10_000)
    assert suspended.suspensions
    assert suspended.execution.finished is not None
    assert suspended.execution.finished.outputs == {"n": "xx"}
    assert suspended.events == play(program, inputs).events


def conditions(count: int) -> dict[str, Any]:
    listed = [
        {
            "key": f"k{index}",
            "value": {"left": ref("start_0", "text"), "operator": "contains", "right": constant("b")},
        }
        for index in range(count)
    ]
    nodes = [start(text="string"), node("c", "condition", {"conditions": listed}), end()]
    return {"nodes": nodes, "edges": [edge("start_0", "c"), edge("c", "end_0", "else")]}


def test_a_node_with_too_much_work_fails() -> None:
    """At the same place wherever it runs, and in a replay."""
    program, inputs = link_schema(conditions(20)), {"text": "a" * 10_000}
    limits = Limits(max_node_work=300_000)
    for inline_work in (2**62, 50_000):
        played = play(program, inputs, limits=limits, inline_work=inline_work)
        assert errors(played) == ["Node run takes more work than the limit max_node_work = 300000"]
        assert played.execution.status is Status.FAILED
        replay(program, inputs, played, limits)
    assert play(program, inputs, limits=Limits(max_node_work=500_000)).execution.status is Status.SUCCEEDED


def test_a_run_that_is_stopped_has_changed_nothing() -> None:
    """The checkpoint stops it, and the task is canceled in its place."""
    execution = Execution(link_schema(conditions(2_000)), {"text": "a" * 10_000}, inline_work=100_000)
    execution.apply(Start(1))
    execution.advance(1000)
    assert execution.is_suspended
    before = execution.sequence

    def stop() -> None:
        raise WorkSuspended

    assert execution.advance(1, 2, checkpoint=stop) == 0
    assert (execution.is_suspended, execution.has_work, execution.sequence) == (True, True, before)
    execution.apply(Cancel(3, ""))
    events, _ = execution.take()
    assert [type(event) for event in events[before:]] == [TaskStatusChanged]
    assert execution.status is Status.CANCELED


def test_loop_outputs_are_counted_while_they_grow() -> None:
    """The loop fails with the item that is too much, not at its end."""
    program = link_schema(
        looping([declaring("big", template("{{start_0.text}}{{loop_0_locals.index}}"))], o=ref("v", "big"))
    )
    inputs = {"items": list(range(100)), "text": "a" * 1_000}
    limits = Limits(max_snapshot_bytes=20_000)
    played = play(program, inputs, limits=limits)
    assert errors(played) == ["Node inputs or outputs are larger than the limit max_snapshot_bytes = 20000"]
    assert runs(played, "v") == 20
    replay(program, inputs, played, limits)


@pytest.mark.parametrize(
    ("value", "kind", "names", "fitting"),
    [
        ("a" * 97, "string", "o", 10),
        ("ä" * 48 + "a", "string", "o", 10),
        ("a" * 297, "string", "o", 3),
        (7, "integer", "op", 100),
    ],
)
def test_loop_outputs_grow_as_far_as_the_limit(value: object, kind: str, names: str, fitting: int) -> None:
    """Of 1,000 bytes: a text counts for its bytes, quotes and comma, a number for five; with the first that is too much the loop fails."""
    schema = looping([], **{name: ref("start_0", "value") for name in names})
    schema["nodes"][0] = start(items={"type": "array", "items": {"type": "integer"}}, value=kind)
    limits = Limits(max_snapshot_bytes=1_000)
    program, inputs = link_schema(schema), {"items": [0] * (fitting + 2), "value": value}
    played = play(program, inputs, limits=limits)
    assert errors(played) == ["Node inputs or outputs are larger than the limit max_snapshot_bytes = 1000"]
    assert runs(played, "v") == fitting + 1


def test_a_restored_loop_knows_how_much_it_has_collected() -> None:
    """It fails with the same iteration as the one that was never interrupted."""
    blocks = [node("b", "block-start"), node("c", "code"), node("e", "block-end")]
    data = {"loopFor": ref("start_0", "items"), "loopOutputs": {"o": ref("start_0", "text")}}
    loop = node("loop_0", "loop", data, blocks=blocks, edges=[edge("b", "c"), edge("c", "e")])
    nodes = [start(items={"type": "array", "items": {"type": "integer"}}, text="string"), loop, end()]
    program = link_schema({"nodes": nodes, "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]})
    inputs, limits = {"items": list(range(15)), "text": "a" * 97}, Limits(max_snapshot_bytes=1_000)
    execution = Execution(program, inputs, limits)
    execution.apply(Start(1))
    answered = 0
    while execution.finished is None:
        execution.advance(1000)
        execution.take()
        if execution.finished is None:
            execution = Execution.restore(execution.snapshot(), program, inputs, limits)
            execution.apply(CallSucceeded(1, execution.running_calls()[0].key, {}))
            answered += 1
    assert (execution.status, answered) == (Status.FAILED, 11)


def test_a_loop_whose_outputs_are_too_large_at_its_end_fails() -> None:
    """Where memory has no limit, as in logs of earlier releases: with its text, after all iterations; a replay does the same."""
    program = link_schema(looping([], o=ref("start_0", "text")))
    inputs, limits = (
        {"items": list(range(15)), "text": "a" * 97},
        Limits(max_snapshot_bytes=1_000, max_task_memory=UNLIMITED),
    )
    played = play(program, inputs, limits=limits)
    assert errors(played) == ["Node inputs or outputs are larger than the limit max_snapshot_bytes = 1000"]
    assert runs(played, "v") == 15
    failed = [
        event
        for event in played.events
        if isinstance(event, NodeStatusChanged) and event.status is Status.FAILED
    ]
    assert [(event.node_id, event.start_time) for event in failed] == [("loop_0", 1)]
    replay(program, inputs, played, limits)


def test_a_task_that_holds_too_much_fails() -> None:
    """What a loop collects counts; a replay fails at the same place."""
    program = link_schema(
        looping([declaring("big", template("{{start_0.text}}{{loop_0_locals.index}}"))], o=ref("v", "big"))
    )
    inputs = {"items": list(range(1_000)), "text": "a" * 100_000}
    limits = Limits(max_task_memory=3_000_000)
    for inline_work in (2**62, 1_000):
        played = play(program, inputs, limits=limits, inline_work=inline_work)
        assert errors(played) == ["Task holds more memory than the limit max_task_memory = 3000000"]
        assert 25 <= runs(played, "v") <= 40
        replay(program, inputs, played, limits)


def test_what_a_loop_lets_go_does_not_count() -> None:
    """Hundred times the limit, one after the other."""
    program = link_schema(looping([declaring("big", template("{{start_0.text}}{{loop_0_locals.index}}"))]))
    inputs = {"items": list(range(300)), "text": "a" * 1_000_000}
    played = play(program, inputs, limits=Limits(max_task_memory=3_000_000))
    assert played.execution.status is Status.SUCCEEDED
    assert played.execution.held_memory < 12_000_000


def test_large_outcomes_count() -> None:
    """Those of a call, whatever they consist of."""
    schema = {
        "nodes": [start(), node("a", "code", {"outputs": declare(v="array")}), node("b", "condition"), end()],
        "edges": [edge("start_0", "a"), edge("a", "b"), edge("b", "end_0")],
    }
    execution = Execution(link_schema(schema), {}, Limits(max_task_memory=4_000_000))
    execution.apply(Start(1))
    execution.advance(1000)
    execution.apply(CallSucceeded(2, "a", {"v": [{} for _ in range(100_000)]}))
    execution.advance(1000)
    assert execution.status is Status.FAILED
    assert execution.finished is not None
    assert [error.text for error in execution.finished.errors] == [
        "Task holds more memory than the limit max_task_memory = 4000000"
    ]


def test_a_host_can_fail_a_task() -> None:
    """With a text for users; not when it has ended."""
    execution = Execution(link_schema(conditions(1)), {"text": ""})
    execution.apply(Start(1))
    execution.apply(Fail(2, "enough"))
    assert execution.finished is not None
    assert (execution.status, execution.finished.errors[0].text) == (Status.FAILED, "enough")
    with pytest.raises(ProtocolError):
        execution.apply(Fail(3, "again"))


@pytest.mark.parametrize("ending", ["success", "failure", "cancel", "from outside"])
def test_a_large_task_leaves_its_values_to_the_host(ending: str) -> None:
    """However it ends: who frees them in one go holds up everybody. A small one leaves nothing."""
    failing = node("code_1", "nothing of that kind")
    nodes = [
        start(outputs={"type": "object", "properties": {"x": {"type": "array"}}}),
        node("code_0", "code"),
        end(),
    ]
    edges = [edge("start_0", "code_0"), edge("code_0", "end_0")]
    if ending == "failure":
        nodes, edges = (
            [*nodes, failing],
            [edge("start_0", "code_0"), edge("code_0", "code_1"), edge("code_1", "end_0")],
        )
    for size, is_large in ((300_000, True), (3, False)):
        inputs = {"x": [{} for _ in range(size)]}
        execution = Execution(link_schema({"nodes": nodes, "edges": edges}), inputs, inputs_memory=64 * size)
        execution.apply(Start(1))
        execution.advance(10)
        if ending == "cancel":
            execution.apply(Cancel(2, ""))
        elif ending != "from outside":
            execution.apply(CallSucceeded(2, "code_0", {}))
            execution.advance(10)
        assert (execution.finished and execution.finished.status) is {
            "success": Status.SUCCEEDED,
            "failure": Status.FAILED,
            "cancel": Status.CANCELED,
            "from outside": None,
        }[ending]
        remains = execution.release()
        assert bool(remains) is is_large
        if is_large:
            assert remains[0] is inputs
            assert any("start_0" in each for each in remains)
