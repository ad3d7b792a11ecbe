"""Snapshots: the state of an execution as JSON, from which another process, or a later release, goes on.

A snapshot holds what the schema, the inputs and the limits of the task do not say. It names nodes by their ids, and refers
to shared parts by number, so that it takes no more room than what it was taken of:

    version   of this format; 2, where 1 had no texts among the values
    sequence, at, start_time, texts, errors    of the recorder
    status, outputs, failing                   of the task
    values    arrays, objects and long texts that variables have, each after those inside it; `[n]` stands for the one with
              number n
    frames    instances of graphs, each after the one around it
    runs      calls and loops that have begun, in order
    ended     loops that have failed while node runs of their iterations were left in the wave
    wave, ready    node runs that can begin: the number of their frame, and their node's id

It is written and read by hand, member by member: nothing of it follows from how a class happens to look.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import MessageLogged, MessageType
from flowgram_core.engine.frame import Frame
from flowgram_core.engine.node_runs import LoopProgress, LoopRun, NodeRun
from flowgram_core.engine.node_type import Call
from flowgram_core.engine.plan import Plan, Step
from flowgram_core.engine.program import Program
from flowgram_core.engine.recorder import Recorder
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.status import Status
from flowgram_core.modeling.values import UNDEFINED, Variable

VERSION: Final = 2
_READABLE: Final = frozenset({1, VERSION})
_LONG_TEXT: Final = 64
"""Texts of so many characters are written once, however many variables have them."""

Ready = list[tuple[Frame, Step]]
"""Node runs that can begin."""


class State(NamedTuple):
    """The parts of an execution that change, but for its recorder.

    Attributes:
        status: The task's status; None before its first input.
        outputs: Those of an end node that has run.
        failing: Whether the task fails at the end of the wave.
        wave: What is left of the wave that is on its way.
        ready: The next wave, as far as it is known.
        runs: Calls and loops that have begun, by key, in order.
    """

    status: Status | None
    outputs: JSONObject
    failing: bool
    wave: Ready
    ready: Ready
    runs: dict[str, NodeRun]


def write_snapshot(state: State, recorder: Recorder) -> JSONObject:
    """The snapshot of an execution whose events and commands have been taken."""
    return _Writer().write(state, recorder)


def read_snapshot(snapshot: JSONObject, program: Program, inputs: JSONObject, recorder: Recorder) -> State:
    """The state that a snapshot holds; the recorder gets its part of it.

    Args:
        snapshot: Of `write_snapshot`, in this or an earlier release.
        program: Of the same schema.
        inputs: The task's inputs.
        recorder: A new one.

    Raises:
        ProtocolError: It is of a later release, of another schema, or no snapshot.
    """
    version = snapshot.get("version")
    if version not in _READABLE:
        raise ProtocolError(f"a snapshot of version {version!r} cannot be read here")
    try:
        return _Reader(snapshot, program, inputs, recorder).read()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError("not a snapshot of this workflow") from error


class _Writer:
    def __init__(self) -> None:
        self._values: list[Any] = []
        self._value_numbers: dict[int, int] = {}
        self._text_numbers: dict[str, int] = {}
        self._frames: list[JSONObject] = []
        self._frame_numbers: dict[int, int] = {}
        self._loops: dict[str, NodeRun] = {}

    def write(self, state: State, recorder: Recorder) -> JSONObject:
        frames = [frame for frame, _ in (*state.wave, *state.ready)]
        frames += [run.frame for run in state.runs.values()]
        for frame in frames:
            self._add_frame(frame)
        # A loop that has failed is no longer running, and what is left of the wave may still be in its iteration.
        ended = {key: run for key, run in self._loops.items() if key not in state.runs}
        return {
            "version": VERSION,
            "sequence": recorder.sequence,
            "at": recorder.at,
            "start_time": recorder.start_time,
            "texts": recorder.texts,
            "errors": [
                [error.sequence, error.at, error.id, error.type, error.text, error.node_id]
                for error in recorder.errors
            ],
            "status": None if state.status is None else int(state.status),
            "outputs": self._value(state.outputs),
            "failing": state.failing,
            "runs": [self._run(run) for run in state.runs.values()],
            "ended": [self._run(run) for run in ended.values()],
            "wave": self._ready(state.wave),
            "ready": self._ready(state.ready),
            "frames": self._frames,
            "values": self._values,
        }

    def _ready(self, ready: Ready) -> list[Any]:
        return [[self._frame_numbers[id(frame)], step.id] for frame, step in ready]

    def _add_frame(self, frame: Frame) -> None:
        """Adds a frame after those around it: an inner one is an iteration of a loop that runs in its parent."""
        around: list[Frame] = []
        each: Frame | None = frame
        while each is not None and id(each) not in self._frame_numbers:
            around.append(each)
            each = each.parent
        for new in reversed(around):
            if new.loop is not None:
                self._loops[new.loop.run.key] = new.loop.run
            self._frame_numbers[id(new)] = len(self._frames)
            self._frames.append(self._frame(new))

    def _frame(self, frame: Frame) -> JSONObject:
        return {
            "loop": None if frame.loop is None else frame.loop.run.key,
            "parent": None if frame.parent is None else self._frame_numbers[id(frame.parent)],
            "key_prefix": frame.key_prefix,
            "iterations": [list(iteration) for iteration in frame.iterations],
            "waiting": list(frame.waiting),
            "reached": frame.reached.hex(),
            "active": frame.active,
            "broken": frame.broken,
            "continued": frame.continued,
            "variables": {
                node_id: {key: self._variable(variable) for key, variable in known.items()}
                for node_id, known in frame.variables.items()
            },
        }

    def _run(self, run: NodeRun) -> JSONObject:
        return {
            "frame": self._frame_numbers[id(run.frame)],
            "node": run.step.id,
            "key": run.key,
            "started_at": run.started_at,
            "call": None if run.call is None else self._value(run.call.inputs),
            "loop": None if run.loop is None else self._loop(run.loop),
        }

    def _loop(self, loop: LoopRun) -> JSONObject:
        progress = loop.progress
        return {
            "items": self._value(progress.items),
            "items_type": progress.items_type,
            "position": progress.position,
            "collected": {
                name: [None if found is None else self._variable(found) for found in collected]
                for name, collected in progress.collected.items()
            },
        }

    def _variable(self, variable: Variable) -> list[Any]:
        """Its types, and its value if it has been set."""
        types = [variable.type, variable.items_type]
        return types if variable.value is UNDEFINED else [*types, self._value(variable.value)]

    def _value(self, value: Any) -> Any:
        """A JSON value with numbers in place of its parts. Without recursion: a task may nest values at will."""
        if not isinstance(value, dict | list):
            return self._part(value)
        numbers = self._value_numbers
        pending = [value]
        while pending:
            container = pending[-1]
            if id(container) in numbers:
                pending.pop()
                continue
            parts = container.values() if isinstance(container, dict) else container
            inner = [part for part in parts if isinstance(part, dict | list) and id(part) not in numbers]
            if inner:
                pending += inner
                continue
            pending.pop()
            written: Any = (
                {key: self._part(part) for key, part in container.items()}
                if isinstance(container, dict)
                else [self._part(part) for part in container]
            )
            numbers[id(container)] = len(self._values)
            self._values.append(written)
        return self._part(value)

    def _part(self, value: Any) -> Any:
        if isinstance(value, dict | list):
            return [self._value_numbers[id(value)]]
        if not isinstance(value, str) or len(value) < _LONG_TEXT:
            return value
        # By what they say, not by identity: a replay has to come to the same snapshot.
        number = self._text_numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return [number]


class _Reader:
    def __init__(
        self, snapshot: JSONObject, program: Program, inputs: JSONObject, recorder: Recorder
    ) -> None:
        self._snapshot = snapshot
        self._inputs = inputs
        self._recorder = recorder
        self._plan = program.root
        self._steps: dict[int, Mapping[str, Step]] = {}
        self._values = _values(snapshot["values"])
        self._runs: dict[str, NodeRun] = {}
        self._frames: list[Frame] = []

    def read(self) -> State:
        snapshot, recorder = self._snapshot, self._recorder
        recorder.restore(
            sequence=int(snapshot["sequence"]),
            at=int(snapshot["at"]),
            start_time=int(snapshot["start_time"]),
            texts=int(snapshot["texts"]),
            errors=[
                MessageLogged(sequence, at, id_, MessageType(kind), text, node_id)
                for sequence, at, id_, kind, text, node_id in snapshot["errors"]
            ],
        )
        self._read_frames_and_runs(snapshot["frames"], snapshot["runs"], snapshot["ended"])
        status = snapshot["status"]
        return State(
            None if status is None else Status(status),
            self._value(snapshot["outputs"]),
            bool(snapshot["failing"]),
            self._ready(snapshot["wave"]),
            self._ready(snapshot["ready"]),
            self._runs,
        )

    def _read_frames_and_runs(
        self, frames: list[JSONObject], runs: list[JSONObject], ended: list[JSONObject]
    ) -> None:
        """A loop's run is in a frame, and its iterations are frames in turn: each is read once what it is in has been."""
        in_frame: dict[int, list[JSONObject]] = {}
        for run in (*runs, *ended):
            in_frame.setdefault(run["frame"], []).append(run)
        found: dict[str, NodeRun] = {}
        for number, recorded in enumerate(frames):
            frame = self._frame(recorded, found)
            self._frames.append(frame)
            for run in in_frame.get(number, ()):
                found[run["key"]] = self._run(run, frame)
        self._runs = {run["key"]: found[run["key"]] for run in runs}

    def _frame(self, recorded: JSONObject, runs: Mapping[str, NodeRun]) -> Frame:
        parent = None if recorded["parent"] is None else self._frames[recorded["parent"]]
        loop = None if recorded["loop"] is None else runs[recorded["loop"]].loop
        if (loop is None) != (parent is None):
            raise ProtocolError("a snapshot of another workflow")
        plan = self._plan if loop is None else loop.block
        frame = Frame(
            plan,
            self._inputs,
            self._recorder,
            parent,
            loop,
            recorded["key_prefix"],
            tuple((node_id, index) for node_id, index in recorded["iterations"]),
        )
        waiting, reached = list(recorded["waiting"]), bytearray.fromhex(recorded["reached"])
        if len(waiting) != len(plan.waits) or len(reached) != len(plan.waits):
            raise ProtocolError("a snapshot of another workflow")
        frame.waiting, frame.reached = waiting, reached
        frame.active = int(recorded["active"])
        frame.broken, frame.continued = bool(recorded["broken"]), bool(recorded["continued"])
        frame.variables = {
            node_id: {key: self._variable(variable) for key, variable in known.items()}
            for node_id, known in recorded["variables"].items()
        }
        return frame

    def _run(self, recorded: JSONObject, frame: Frame) -> NodeRun:
        step = self._step(frame.plan, recorded["node"])
        run = NodeRun(frame, step, recorded["key"], int(recorded["started_at"]))
        run.move(Status.PROCESSING)
        if recorded["call"] is not None:
            run.call = Call(run.key, step.node, self._value(recorded["call"]))
        if (loop := recorded["loop"]) is not None:
            if step.loop is None or step.loop.block is None:
                raise ProtocolError("a snapshot of another workflow")
            collected = {
                name: [None if found is None else self._variable(found) for found in values]
                for name, values in loop["collected"].items()
            }
            progress = LoopProgress(
                self._value(loop["items"]), loop["items_type"], int(loop["position"]), collected
            )
            run.loop = LoopRun.restored(run, step.loop, step.loop.block, progress)
        return run

    def _ready(self, recorded: list[list[Any]]) -> Ready:
        found = []
        for number, node_id in recorded:
            frame = self._frames[number]
            found.append((frame, self._step(frame.plan, node_id)))
        return found

    def _step(self, plan: Plan, node_id: str) -> Step:
        steps = self._steps.get(id(plan))
        if steps is None:
            steps = self._steps[id(plan)] = {step.id: step for step in plan.steps}
        return steps[node_id]

    def _variable(self, recorded: list[Any]) -> Variable:
        declared, items_type, *value = recorded
        return Variable(self._value(value[0]) if value else UNDEFINED, declared, items_type)

    def _value(self, recorded: Any) -> Any:
        return self._values[recorded[0]] if isinstance(recorded, list) else recorded


def _values(recorded: list[Any]) -> list[Any]:
    """The arrays, objects and long texts of a snapshot, each made of those before it."""
    values: list[Any] = []

    def part(value: Any) -> Any:
        return values[value[0]] if isinstance(value, list) else value

    for container in recorded:
        if isinstance(container, str):
            value: Any = container
        elif isinstance(container, dict):
            value = {key: part(value) for key, value in container.items()}
        else:
            value = [part(value) for value in container]
        values.append(value)
    return values
