"""Snapshots: what is restored goes on like what it was taken of, wherever it was taken."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import describe, link_schema
from support.golden import FOLDER
from support.graphs import constant, declare, edge, end, node, ref, start, workflows

from flowgram_core.engine.activations import Activation, CallSucceeded, Cancel, Start
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import Event
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import CancelCall, Command
from flowgram_core.engine.program import Program
from flowgram_core.modeling import json_text

RELEASED = sorted((Path(__file__).parent / "snapshots").glob("*.json"))
"""Snapshots as releases wrote them, with the events that followed. They are never written anew: see `write_released`."""

Seen = list[Event | Command]


def through_json(
    execution: Execution, program: Program, inputs: dict[str, Any], limits: Limits | None
) -> Execution:
    """What comes of a snapshot on its way through text."""
    before = execution.snapshot()
    text = json_text.dumps(before)
    assert execution.snapshot() == before, "taking a snapshot changed something"
    snapshot = json_text.loads(text)
    assert isinstance(snapshot, dict)
    restored = Execution.restore(snapshot, program, inputs, limits)
    assert json_text.dumps(restored.snapshot()) == text, "a snapshot of what was restored is another one"
    assert restored.running_calls() == execution.running_calls()
    return restored


def play(
    program: Program,
    inputs: dict[str, Any],
    budget: int,
    choices: list[int],
    *,
    restoring: bool,
    cancel_after: int | None = None,
    limits: Limits | None = None,
) -> Seen:
    """All that comes of a task; with `restoring`, it is thrown away and restored between any two steps."""
    execution, seen, at = Execution(program, inputs, limits), Seen(), 1
    following: Activation | None = Start(at)
    calls: list[str] = []
    picks = iter(choices)
    while execution.finished is None:
        if cancel_after is not None and len(seen) >= cancel_after:
            following, cancel_after = Cancel(at, "stop"), None
        if following is None and not execution.has_work:
            at += 1
            key = calls.pop(next(picks, 0) % len(calls))
            following = CallSucceeded(at, key, {"v": f"of {key}", "list": [1, [2.5, {"x": None}]]})
        if following is not None:
            execution.apply(following)
            following = None
        execution.advance(budget, at)
        events, commands = execution.take()
        seen += events
        seen += commands
        for command in commands:
            if isinstance(command, CancelCall):
                calls.remove(command.key)
            else:
                calls.append(command.key)
        execution.unexpected_errors.clear()
        if restoring and execution.finished is None:
            execution = through_json(execution, program, inputs, limits)
    return seen


@given(
    workflow=workflows(),
    budget=st.integers(1, 7),
    choices=st.lists(st.integers(0, 9), max_size=30),
    cancel_after=st.none() | st.integers(0, 30),
)
def test_a_restored_task_goes_on_alike(
    workflow: tuple[dict[str, Any], dict[str, Any]], budget: int, choices: list[int], cancel_after: int | None
) -> None:
    """Random graphs, restored at every step: the same events and commands, whenever a step ends."""
    schema, inputs = workflow
    program = link_schema(schema)
    one, other = (
        play(program, inputs, budget, choices, restoring=restoring, cancel_after=cancel_after)
        for restoring in (False, True)
    )
    assert other == one


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden_workflows_go_on_alike(path: Path) -> None:
    """Each golden workflow, with failing calls, loops and joins, restored after every single node run."""
    golden = json.loads(path.read_text("utf-8"))
    program, limits = link_schema(golden["schema"]), Limits(**golden.get("limits", {}))
    one, other = (
        play(program, golden["inputs"], 1, [1, 0, 2], restoring=restoring, limits=limits)
        for restoring in (False, True)
    )
    assert other == one


def test_shared_values_are_written_once() -> None:
    """A value that many variables share takes its room once, and is shared again afterwards."""
    items = [{"text": "x" * 1_000}] * 200
    block = [node("bs", "block-start"), node("code_0", "code"), node("be", "block-end")]
    loop = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items"), "loopOutputs": {"all": ref("start_0", "items")}},
        blocks=block,
        edges=[edge("bs", "code_0"), edge("code_0", "be")],
    )
    schema = {
        "nodes": [start(items={"type": "array", "items": {"type": "object"}}), loop, end()],
        "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")],
    }
    program, inputs = link_schema(schema), {"items": items}
    execution = Execution(program, inputs)
    execution.apply(Start(1))
    for number in range(100):
        execution.advance(1_000)
        execution.take()
        [call] = execution.running_calls()
        execution.apply(CallSucceeded(2 + number, call.key, {}))
    execution.advance(1_000)
    execution.take()
    text = json_text.dumps(execution.snapshot())
    assert len(text) < 20_000
    restored = through_json(execution, program, inputs, None)
    assert json_text.dumps(restored.snapshot()) == text


def test_values_may_be_nested_as_deeply_as_they_like() -> None:
    """What a workflow has nested beyond the depth of any JSON text comes back all the same."""
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    program = link_schema(
        {
            "nodes": [
                start(),
                node("code_0", "code", {"outputs": declare(v="array")}),
                node("code_1", "code"),
                end(),
            ],
            "edges": [edge("start_0", "code_0"), edge("code_0", "code_1"), edge("code_1", "end_0")],
        }
    )
    execution = Execution(program, {}, Limits(max_snapshot_bytes=1 << 40))
    execution.apply(Start(1))
    execution.advance(10)
    execution.take()
    execution.apply(CallSucceeded(2, "code_0", {"v": deep}))
    execution.advance(10)
    execution.take()
    snapshot = json_text.loads(json_text.dumps(execution.snapshot()))
    assert isinstance(snapshot, dict)
    restored = Execution.restore(snapshot, program, {})
    found = json_text.dumps(restored.snapshot())
    assert found == json_text.dumps(snapshot)


def test_only_what_goes_on_can_be_kept() -> None:
    """There is no snapshot before events and commands were taken, or of a task that has ended."""
    program = link_schema({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})
    execution = Execution(program, {})
    execution.apply(Start(1))
    with pytest.raises(ProtocolError):
        execution.snapshot()
    execution.advance(10)
    execution.take()
    with pytest.raises(ProtocolError):
        execution.snapshot()


def test_shared_parts_are_written_once() -> None:
    """A long text that many variables have takes the room of one, as arrays and objects do; what is restored has all of it."""
    text = "long text " * 1_000
    assign = [
        {"operator": "declare", "left": f"v{index}", "right": ref("start_0", "text")} for index in range(200)
    ]
    variable, call = node("v", "variable", {"assign": assign}), node("code_0", "code")
    program = link_schema(
        {
            "nodes": [
                start(text="string"),
                variable,
                call,
                end(first=("string", ref("v", "v0")), last=("string", ref("v", "v199"))),
            ],
            "edges": [edge("start_0", "v"), edge("v", "code_0"), edge("code_0", "end_0")],
        }
    )
    inputs = {"text": text}
    execution = Execution(program, inputs)
    execution.apply(Start(1))
    execution.advance(10)
    execution.take()
    written = json_text.dumps(execution.snapshot())
    assert len(written) < 3 * len(text)
    restored = through_json(execution, program, inputs, None)
    restored.apply(CallSucceeded(2, "code_0", {}))
    restored.advance(10)
    assert restored.finished is not None
    assert restored.finished.outputs == {"first": text, "last": text}


def test_other_snapshots_are_refused() -> None:
    """A snapshot of a later release, or of another workflow, is an error, and never a task that goes on wrongly."""
    program = link_schema(
        {
            "nodes": [start(), node("code_0", "code"), end()],
            "edges": [edge("start_0", "code_0"), edge("code_0", "end_0")],
        }
    )
    other = link_schema(
        {"nodes": [start(), node("c", "code"), end()], "edges": [edge("start_0", "c"), edge("c", "end_0")]}
    )
    execution = Execution(program, {})
    execution.apply(Start(1))
    execution.advance(10)
    execution.take()
    snapshot = execution.snapshot()
    with pytest.raises(ProtocolError, match="version 3"):
        Execution.restore({**snapshot, "version": 3}, program, {})
    with pytest.raises(ProtocolError):
        Execution.restore(snapshot, other, {})
    for name in snapshot:
        without = {key: value for key, value in snapshot.items() if key != name}
        with pytest.raises(ProtocolError):
            Execution.restore(without, program, {})


def _finish(execution: Execution) -> list[dict[str, Any]]:
    """Answers all calls that a task still makes; its events."""
    at, found = 1_000, []
    while execution.finished is None:
        if not execution.has_work:
            at += 1
            call = execution.running_calls()[0]
            execution.apply(CallSucceeded(at, call.key, {"v": call.key}))
        execution.advance(1_000)
        found += execution.take()[0]
    return [describe(event) for event in found]


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_snapshots_of_releases_stay_readable(path: Path) -> None:
    """What a release has written goes on here as it would have gone on there."""
    kept = json.loads(path.read_text("utf-8"))
    execution = Execution.restore(kept["snapshot"], link_schema(kept["schema"]), kept["inputs"])
    assert _finish(execution) == kept["events"]


def write_released(path: Path) -> None:
    """Writes a snapshot of this release; for a new version of the format only."""
    block = [
        node("bs", "block-start"),
        node(
            "code_1",
            "code",
            {
                "inputs": declare(of="string"),
                "outputs": declare(v="string"),
                "inputsValues": {"of": ref("loop_0_locals", "item")},
            },
        ),
        node("be", "block-end"),
    ]
    loop = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items"), "loopOutputs": {"all": ref("code_1", "v")}},
        blocks=block,
        edges=[edge("bs", "code_1"), edge("code_1", "be")],
    )
    nodes = [
        start(items={"type": "array", "items": {"type": "string"}}, n="number"),
        node("code_0", "code", {"outputs": declare(v="string")}),
        loop,
        end(
            all=("array", ref("loop_0", "all")),
            one=("string", ref("code_0", "v")),
            n=("number", constant(1.5)),
        ),
    ]
    edges = [
        edge("start_0", "code_0"),
        edge("start_0", "loop_0"),
        edge("code_0", "end_0"),
        edge("loop_0", "end_0"),
    ]
    schema, inputs = {"nodes": nodes, "edges": edges}, {"items": ["a", "b", "c"], "n": 2.5}
    execution = Execution(link_schema(schema), inputs)
    execution.apply(Start(1))
    execution.advance(1_000)
    execution.take()
    execution.apply(CallSucceeded(2, "loop_0[0]/code_1", {"v": "first"}))
    execution.advance(1_000)
    execution.take()
    kept: dict[str, Any] = {"schema": schema, "inputs": inputs, "snapshot": execution.snapshot()}
    kept["events"] = _finish(execution)
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
