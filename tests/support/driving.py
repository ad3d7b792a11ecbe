"""Drives the core without a host: calls are answered by a function, in an order that the test chooses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flowgram_core.engine.activations import (
    Activation,
    CallFailed,
    CallSucceeded,
    Cancel,
    Queue,
    Start,
    TimeOut,
)
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.events import Event, MessageLogged, NodeStatusChanged, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import UNLIMITED, Limits
from flowgram_core.engine.node_type import Call, CallBehavior, CancelCall, NodeType, RunScope
from flowgram_core.engine.program import Program, link
from flowgram_core.modeling import json_text
from flowgram_core.modeling.compiler import compile_schema
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.registry import pure_node_types

Answer = Callable[[Call], dict[str, Any]]
"""Gives the outputs of a call, or raises `NodeError`."""

Choose = Callable[[list[Call]], int]
"""Which of the running calls ends next, by its place in the order of their start."""


class CallNode:
    """A node type whose calls the test answers."""

    def __init__(self, node_type: str) -> None:
        self.type = node_type

    def bind(self, node: Node) -> CallBehavior:
        def prepare(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
            return inputs

        return CallBehavior(prepare)


def link_schema(schema: dict[str, Any], *more: NodeType) -> Program:
    """A schema ready to run, with `llm`, `http` and `code` as calls that the test answers."""
    node_types = [*pure_node_types(), *(CallNode(name) for name in ("llm", "http", "code")), *more]
    document = compile_schema(json_text.dumps(schema))
    return link(document, {node_type.type: node_type for node_type in node_types})


@dataclass
class Driven:
    """What came of driving an execution.

    Attributes:
        events: All events, in order.
        log: For each step, the input that began it (or None) and its events.
        canceled: The keys of the calls that the core asked to stop.
    """

    execution: Execution
    events: list[Event] = field(default_factory=list)
    log: list[tuple[Activation | None, list[Event]]] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)


def first_of(calls: list[Call]) -> int:
    """The call that started first ends first."""
    return 0


def drive(
    program: Program,
    inputs: dict[str, Any],
    answer: Answer,
    choose: Choose = first_of,
    *,
    budget: int = 1000,
    max_bytes: int = UNLIMITED,
    stop_after: int | None = None,
    stop: Cancel | TimeOut | None = None,
    limits: Limits | None = None,
    queued: bool = False,
) -> Driven:
    """Runs a program to its end; the time goes on by one with each input.

    Args:
        program: What to run.
        inputs: The task's inputs.
        answer: Answers the calls.
        choose: Chooses which call ends next.
        budget: Node runs in one step.
        max_bytes: The size at which a step ends.
        stop_after: Apply `stop` once so many events have happened.
        stop: A cancel or time-out.
        limits: Bounds of the execution.
        queued: Let the task wait before it starts.
    """
    driven = Driven(Execution(program, inputs, limits))
    calls: list[Call] = []
    at = 1
    beginning: list[Activation] = [Queue(at), Start(at)] if queued else [Start(at)]
    while driven.execution.finished is None:
        given = beginning.pop(0) if beginning else None
        if stop is not None and stop_after is not None and len(driven.events) >= stop_after:
            given, stop, beginning = stop, None, []
        elif given is None and not driven.execution.has_work:
            at += 1
            call = calls.pop(choose(calls))
            try:
                given = CallSucceeded(at, call.key, answer(call))
            except NodeError as error:
                given = CallFailed(at, call.key, str(error))
        if given is not None:
            driven.execution.apply(given)
        driven.execution.advance(budget, max_bytes=max_bytes)
        events, commands = driven.execution.take()
        driven.events += events
        driven.log.append((given, events))
        for command in commands:
            if isinstance(command, CancelCall):
                driven.canceled.append(command.key)
                calls = [call for call in calls if call.key != command.key]
            else:
                calls.append(command)
    check_consistent(driven.events)
    return driven


def check_consistent(events: Sequence[Event]) -> None:
    """Checks what holds for the log of every task, whatever its workflow.

    Events are numbered without a gap and in the order of time; a task and a node run keep the time of their start, and
    end when their last event happens; ids of messages and node runs are their own.
    """
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(earlier.at <= later.at for earlier, later in pairwise(events))
    began: dict[str, int] = {}
    ended: set[str] = set()
    task_began = 0
    for event in events:
        match event:
            case TaskStatusChanged(status=status):
                task_began = event.at if status is Status.PROCESSING else task_began
                assert event.start_time == task_began
                assert event.end_time == (event.at if status >= Status.SUCCEEDED else None)
            case NodeStatusChanged(snapshot_id=key, status=Status.PROCESSING):
                assert key not in began
                began[key] = event.at
                assert (event.start_time, event.end_time) == (event.at, None)
            case NodeStatusChanged(snapshot_id=key):
                assert key not in ended
                ended.add(key)
                assert (event.start_time, event.end_time) == (began.get(key, event.at), event.at)
                assert (event.inputs is None) == (key in began)
                assert isinstance(event.branch, str)
                assert bool(event.error) == (event.status is Status.FAILED)
            case MessageLogged():
                assert event.id == f"message_{event.sequence}"
    assert began.keys() <= ended


def describe(event: Event) -> dict[str, Any]:
    """An event as golden workflows write it: without its time, and without what is empty."""
    match event:
        case TaskStatusChanged():
            shown: dict[str, Any] = {"task": event.status.name, "outputs": event.outputs}
        case NodeStatusChanged():
            shown = {
                "node": event.snapshot_id,
                "status": event.status.name,
                "inputs": event.inputs,
                "outputs": event.outputs,
                "branch": event.branch or None,
                "error": event.error or None,
            }
        case MessageLogged():
            shown = {"message": event.type.name, "text": event.text, "of": event.node_id or None}
    return {name: value for name, value in shown.items() if value is not None}
