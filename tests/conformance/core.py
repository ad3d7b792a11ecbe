"""This project's engine as a subject, in this process and without a service: core, node types, nothing else."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any, Self

from tests.conformance.observation import Case, NodeSeen, Observation, Snapshot

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.engine.activations import CallFailed, CallSucceeded, Start
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.events import Event, MessageLogged, MessageType, NodeStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Call
from flowgram_core.engine.program import link
from flowgram_core.modeling.compiler import compile_schema
from flowgram_core.modeling.errors import SchemaInvalid
from flowgram_core.modeling.inputs_validation import validate_inputs
from flowgram_core.modeling.json_text import dumps, loads
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.registry import Registry, pure_node_types

_STEP = 1000


class _Context:
    owner = Owner("default", "conformance")
    task_id = "conformance"
    idempotency_key = "conformance"

    def emit_delta(self, text: str) -> None:
        """Nobody watches."""


class Core:
    """The engine. An async context manager; `observe` may be called many times at once."""

    name = "core"

    def __init__(self) -> None:
        self._registry = Registry((*pure_node_types(), CodeNode(), HTTPNode(), LLMNode()))
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._registry.opened())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def observe(self, case: Case) -> Observation:
        """Runs a case, if it is valid."""
        try:
            document = compile_schema(case.schema_text)
        except SchemaInvalid as error:
            return Observation(problems=[problem.text for problem in error.problems])
        inputs: Any = loads(case.inputs_text)
        problems = validate_inputs(document.inputs_schema, inputs)
        if problems:
            return Observation(problems=[problem.text for problem in problems])
        execution = Execution(link(document, self._registry.node_types), inputs)
        events = await self._drive(execution)
        assert execution.finished is not None
        observation = Observation(
            status=execution.finished.status.name.lower(), outputs=_as_read(execution.finished.outputs or {})
        )
        for event in events:
            _fold(observation, event)
        return observation

    async def _drive(self, execution: Execution) -> list[Event]:
        events: list[Event] = []
        running: dict[asyncio.Task[CallSucceeded | CallFailed], str] = {}
        outcomes: list[CallSucceeded | CallFailed] = []
        execution.apply(Start(0))
        while True:
            execution.advance(_STEP)
            happened, commands = execution.take()
            events += happened
            for command in commands:
                if isinstance(command, Call):
                    running[asyncio.create_task(self._call(command))] = command.key
            if execution.finished is not None:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                return events
            if execution.has_work:
                continue
            if not outcomes:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                outcomes += [task.result() for task in running if task in done]
                running = {task: key for task, key in running.items() if task not in done}
            execution.apply(outcomes.pop(0))

    async def _call(self, call: Call) -> CallSucceeded | CallFailed:
        try:
            outputs = await self._registry.executors[call.node.type].execute(call, _Context())
        except NodeError as error:
            return CallFailed(0, call.key, str(error))
        return CallSucceeded(0, call.key, outputs)


def _as_read(value: Any) -> Any:
    """The value as a client reads it."""
    return json.loads(dumps(value))


def _fold(observation: Observation, event: Event) -> None:
    if isinstance(event, NodeStatusChanged):
        seen = observation.nodes.setdefault(event.node_id, NodeSeen(""))
        seen.status = event.status.name.lower()
        run = next((run for run in seen.snapshots if run.iterations == event.iterations), None)
        if run is None:
            run = Snapshot(iterations=event.iterations)
            seen.snapshots.append(run)
        run.inputs = run.inputs if event.inputs is None else _as_read(event.inputs)
        run.outputs = run.outputs if event.outputs is None else _as_read(event.outputs)
        run.branch = event.branch
        run.error = event.error
    elif isinstance(event, MessageLogged) and event.type is MessageType.ERROR:
        observation.errors.append((event.node_id, event.text))
