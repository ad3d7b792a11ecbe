"""The core: one execution of one workflow, as a pure state machine (sans I/O).

Theory of operation. The host applies *activations* (`apply`) and lets the core work (`advance`); it takes out *events*, what
happened, and *commands*, what to do (`take`). The core reads no clock and does no I/O, so the same activations always give
the same events, in the same order, with the same ids: a task can be rebuilt from its log alone.

Rules:
1. Every edge of a graph instance is decided once: taken or skipped. A node whose incoming edges are all decided runs, if
   one was taken, or else is skipped and skips its outgoing edges (dead-path elimination).
2. Ready nodes form waves. All nodes that one wave made ready run in the next, in the order in which their last edge was
   decided. A node that fails lets the other nodes of its wave, which were ready at the same instant, start as well;
   then the task fails.
3. A node that needs nothing from outside ends within its wave. A call or a loop stays as a `NodeRun`.
4. An instance ends when none of its nodes is ready or running: the next iteration begins, the loop ends, or the task.
5. `advance` does a bounded number of node runs, fewer where their snapshots are large. Outcomes of calls are applied only
   when no work is left; cancel and time-out may come between two calls of it, since the log records where each ended.
6. The work of a node run is counted. One that does more than `inline_work` is suspended: it is undone, and `advance` ends
   before it, until the host calls it with a checkpoint, in a thread where it may take its time. Neither shows in the events.
"""

from typing import Any, Final, Self

from flowgram_core.engine.activations import (
    Activation,
    CallFailed,
    CallSucceeded,
    Cancel,
    Fail,
    Queue,
    Start,
    TimeOut,
)
from flowgram_core.engine.errors import NodeError, NodeTypeError, ProtocolError, UnexpectedError, UnknownCall
from flowgram_core.engine.events import Event, Finished, MessageType
from flowgram_core.engine.frame import Frame
from flowgram_core.engine.limits import UNLIMITED, Limits
from flowgram_core.engine.memory import TaskMemory, values_of
from flowgram_core.engine.node_runs import LoopItems, LoopRun, NodeRun
from flowgram_core.engine.node_type import Call, CancelCall, Command
from flowgram_core.engine.plan import BREAK, END, NO_CONTROL, Decisions, LoopPlan, Step
from flowgram_core.engine.program import Program
from flowgram_core.engine.recorder import Recorder
from flowgram_core.engine.snapshot import State, read_snapshot, write_snapshot
from flowgram_core.engine.transitions import TASK_TRANSITIONS, transition
from flowgram_core.modeling.errors import BindingError, WorkLimitExceeded
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import Checkpoint, Meter, WorkSuspended
from flowgram_core.modeling.secret_references import SECRETS, variables
from flowgram_core.modeling.status import PENDING, PROCESSING, SUCCEEDED, Status

_GLOBAL: Final = "global"
_NO_INPUTS: Final[JSONObject] = {}


class Execution:
    """One execution of a program.

    Args:
        program: The workflow; also an attribute.
        inputs: Those of the task.
        limits: The bounds of the task.
        inputs_memory: Bytes of memory that the inputs take, about; the same in every replay.
        inline_work: A node run that does more work than this is suspended.

    Attributes:
        finished: How the task ended, once it has.
        is_suspended: Whether work is left that takes a checkpoint.
        work: What all node runs have done since the execution was made or restored. See `meter`.
        unexpected_errors: What node types were not supposed to raise; the host logs these and clears the list.
    """

    def __init__(
        self,
        program: Program,
        inputs: JSONObject,
        limits: Limits | None = None,
        *,
        inputs_memory: int = 0,
        inline_work: int = UNLIMITED,
    ) -> None:
        self.finished: Finished | None = None
        self.is_suspended, self.work = False, 0
        self._remains: list[Any] = []  # containers with the values that a large task held when it ended
        self.unexpected_errors: list[UnexpectedError] = []
        self.program = program
        self._inputs = inputs
        self._limits = limits or Limits()
        self._meter = Meter(self._limits.max_node_work)
        self._meter.allocated = inputs_memory
        self._memory = TaskMemory(self._meter, self._limits.max_task_memory)
        # Logs of earlier releases were written without the limits of memory.
        self._max_collected = (
            UNLIMITED if self._limits.max_task_memory == UNLIMITED else self._limits.max_snapshot_bytes
        )
        self._inline_work = inline_work
        self._recorder = Recorder(self._limits.max_snapshot_bytes, self._meter)
        self._max_events = self._limits.max_events
        self._status: Status | None = None
        self._outputs: JSONObject = {}
        self._failing = False
        self._wave: list[tuple[Frame, Step]] = []
        self._position = 0
        self._ending: Frame | LoopRun | None = None
        self._root: Frame | None = None
        self._ready: list[tuple[Frame, Step]] = []
        self._runs: dict[str, NodeRun] = {}
        self._commands: list[Command] = []

    @property
    def status(self) -> Status:
        """The status of the task."""
        return self._status or PENDING

    @property
    def sequence(self) -> int:
        """The number of the last event."""
        return self._recorder.sequence

    @property
    def now(self) -> int:
        """The time of the last activation or step, in microseconds since the epoch."""
        return self._recorder.at

    @property
    def start_time(self) -> int:
        """When the task began to run; 0 if it has not."""
        return self._recorder.start_time

    @property
    def held_memory(self) -> int:
        """Bytes of memory that the task holds, at most about."""
        return self._memory.held

    @property
    def has_work(self) -> bool:
        """Whether `advance` has something to do."""
        return self.finished is None and (
            self._has_node_work or (self._memory.is_due and self._status is PROCESSING)
        )

    @property
    def _has_node_work(self) -> bool:
        return (
            self._position < len(self._wave) or bool(self._ready) or self._failing or self._ending is not None
        )

    def snapshot(self) -> JSONObject:
        """The state of a task that goes on, as JSON; see `snapshot`. Nothing changes by it.

        Raises:
            ProtocolError: The task has ended, or there are events or commands that were not taken.
        """
        if self.finished is not None or self._commands or not self._recorder.is_taken:
            raise ProtocolError("a snapshot can be taken of what goes on, once its events were taken")
        if self._ending is not None:
            raise ProtocolError("a snapshot cannot be taken between the end of an iteration and what follows")
        wave = self._wave[self._position :]
        state = State(self._status, self._outputs, self._failing, wave, self._ready, self._runs)
        return write_snapshot(state, self._recorder)

    @classmethod
    def restore(
        cls, snapshot: JSONObject, program: Program, inputs: JSONObject, limits: Limits | None = None
    ) -> Self:
        """An execution that goes on from a snapshot of one with the same schema, inputs and limits.

        Calls that were running are `running_calls`: the host makes them again. Raises `ProtocolError` where the snapshot is
        of a later release, or of something else.
        """
        execution = cls(program, inputs, limits)
        state = read_snapshot(snapshot, program, inputs, execution._recorder)
        execution._status, execution._outputs, execution._failing = state.status, state.outputs, state.failing
        execution._wave, execution._ready, execution._runs = state.wave, state.ready, state.runs
        if state.status is PROCESSING:
            execution._meter.begin(is_limited=False)
            execution._measure()
        return execution

    def running_calls(self) -> list[Call]:
        """The calls whose outcomes are awaited, in the order in which they started."""
        return [run.call for run in self._runs.values() if run.call is not None]

    def take(self) -> tuple[list[Event], list[Command]]:
        """The events and commands since the last time. Commands may be carried out once the events are durable."""
        commands, self._commands = self._commands, []
        return self._recorder.take(), commands

    def apply(self, activation: Activation) -> None:
        """Applies one activation.

        Raises:
            IllegalTransition: The task's status does not allow it.
            UnknownCall: The outcome is of no running call.
            ProtocolError: The outcome came while work was left.
        """
        recorder = self._recorder
        match activation:
            case Start():
                self._move(PROCESSING)
                recorder.move_on(activation.at)
                recorder.start_time = recorder.at
                self._start()
            case CallSucceeded() | CallFailed():
                self._apply_outcome(activation)
            case Cancel():
                self._move(Status.CANCELED)
                recorder.move_on(activation.at)
                if activation.reason:
                    recorder.message(MessageType.INFO, activation.reason)
                self._terminate(Status.CANCELED)
            case TimeOut() | Fail():
                self._move(Status.FAILED)
                recorder.move_on(activation.at)
                recorder.message(MessageType.ERROR, activation.error)
                self._terminate(Status.FAILED)
            case Queue():
                if self._status is not None:
                    raise ProtocolError("only a new task can be queued")
                self._status = PENDING
                recorder.move_on(activation.at)
                recorder.task(PENDING)

    def advance(  # noqa: PLR0915 - the innermost loop: calls would cost as much as what they do
        self,
        budget: int,
        at: int | None = None,
        max_bytes: int = UNLIMITED,
        checkpoint: Checkpoint | None = None,
        until: int = UNLIMITED,
        max_work: int = UNLIMITED,
    ) -> int:
        """Does up to `budget` node runs of the pending work; returns how many it did.

        Args:
            budget: How many node runs at most; the rest is for the next call.
            at: The time of the events, if it has moved on since the last activation.
            max_bytes: Stops after the run with which the pending events reach about so many bytes.
            checkpoint: Called every now and then; then no run is suspended, unless the checkpoint raises `WorkSuspended`.
            until: Stops as soon as the event with this number is there: a replay must not do what the log tells later.
            max_work: Stops after the run with which the work of this call reaches so much.
        """
        recorder = self._recorder
        if at is not None:
            recorder.move_on(at)
        budget = left = min(budget, 1 + max_bytes // self.program.root.event_bytes)
        wave, position, end = self._wave, self._position, len(self._wave)
        meter, memory, work, inline_work = self._meter, self._memory, 0, self._inline_work
        max_work = min(max_work, inline_work)
        # A replay looks before each run whether it has come to the end of what it may do.
        threshold = memory.threshold if until == UNLIMITED else -1
        self.is_suspended = False
        meter.begin(inline_work, checkpoint)
        while self.finished is None:
            allocated = meter.allocated
            if allocated >= threshold or self._ending is not None:
                self._wave, self._position = wave, position
                if recorder.sequence >= until or self.is_suspended:
                    break
                if self._catch_up(checkpoint):
                    threshold = memory.threshold if until == UNLIMITED else -1
                    continue
            if position == end:
                if self._failing:
                    self._wave, self._position = wave, position
                    self._move(Status.FAILED)
                    self._terminate(Status.FAILED)
                    break
                following = self._ready
                if not following:
                    break
                wave, position, end = following, 0, len(following)
                self._ready = []
            if not left or recorder.size >= max_bytes or work >= max_work:
                break
            frame, step = wave[position]
            try:
                self._run(frame, step)
            except WorkSuspended:
                recorder.roll_back()
                meter.allocated = allocated
                self.is_suspended = True
                break
            position += 1
            left -= 1
            if meter.used:
                work += meter.used
                if checkpoint is None:
                    meter.used = 0
                else:
                    meter.begin(inline_work, checkpoint)
        if self.finished is None:
            self._wave, self._position = wave, position
        self.work += work
        return budget - left

    def _catch_up(self, checkpoint: Checkpoint | None) -> bool:
        """Does one thing that is due before the next node run, or is suspended with it; False if nothing is due."""
        ending, self._ending = self._ending, None
        if ending is None and not self._memory.is_due:
            return False
        meter = self._meter
        if ending is None:
            meter.begin(self._inline_work, checkpoint, is_limited=False)
        try:
            if ending is None:
                self._measure()
            elif isinstance(ending, Frame):
                self._end_iteration(ending)
            else:
                self._end_loop(ending)
        except WorkSuspended:
            self._ending, self.is_suspended = ending, True
        if ending is None or meter.used:
            meter.begin(self._inline_work, checkpoint)
        return True

    def _frames(self) -> list[Frame]:
        ready = (*self._wave[self._position :], *self._ready)
        return [*(frame for frame, _ in ready), *(run.frame for run in self._runs.values())]

    def _measure(self) -> None:
        values, overhead = values_of(self._frames(), self._runs.values())
        if not self._memory.measure([self._inputs, self._outputs, *values], overhead) and not self._failing:
            self._failing = True
            limit = self._limits.max_task_memory
            text = f"Task holds more memory than the limit max_task_memory = {limit}"
            self._recorder.message(MessageType.ERROR, text)

    def _start(self) -> None:
        self._recorder.task(PROCESSING)
        frame = Frame(self.program.root, self._inputs, self._recorder)
        if declarations := self.program.document.global_variables:
            frame.variables[_GLOBAL] = {
                declaration.key: declaration.variable(None) for declaration in declarations
            }
        if names := self.program.document.secrets:
            frame.variables[SECRETS] = variables(names)
        frame.active = 1
        self._root = frame
        self._ready.append((frame, self.program.root.start))

    def _apply_outcome(self, outcome: CallSucceeded | CallFailed) -> None:
        if self._has_node_work:
            raise ProtocolError("an outcome can be applied only when no work is left")
        run = self._runs.get(outcome.key)
        if run is None or run.call is None:
            raise UnknownCall(outcome.key)
        self._recorder.move_on(outcome.at)
        if self._memory.is_due:  # a replay has not come to it
            self._meter.begin(is_limited=False)
            self._measure()
        if isinstance(outcome, CallFailed):
            self._fail_run(run, outcome.error)
            self._move(Status.FAILED)
            self._terminate(Status.FAILED)
            return
        self._memory.add_value(outcome.outputs)
        self._end_run(run, SUCCEEDED)
        self._complete(run.frame, run.step, outcome.outputs, "", run.started_at, None)

    def _run(self, frame: Frame, step: Step) -> None:
        """Runs a ready node: to its end, if nothing from outside is needed, or as far as a call or a loop."""
        pure, recorder = step.pure, self._recorder
        inputs: JSONObject = {} if pure is None else _NO_INPUTS
        try:
            if step.resolve_inputs is not None:
                inputs = recorder.shown(step.resolve_inputs(frame))
            if pure is None:
                self._begin(frame, step, inputs)
                return
            result = pure.run(frame, inputs)
            outputs, branch = result.outputs, result.branch
            if outputs:
                recorder.shown(outputs)
        except Exception as error:  # noqa: BLE001 - whatever a node type raises fails its node, in a replay as well
            for_users = isinstance(error, NodeError | BindingError | WorkLimitExceeded)
            text = str(error) if for_users else f"Node type {step.node.type} failed with an internal error"
            if not for_users or isinstance(error, NodeTypeError):
                self.unexpected_errors.append(UnexpectedError(step.id, inputs, error))
            self._fail(frame, step, recorder.at, inputs, None, "", text)
            return
        self._complete(frame, step, outputs, branch, recorder.at, inputs)

    def _begin(self, frame: Frame, step: Step, inputs: JSONObject) -> None:
        """Begins a node run that takes time."""
        key = frame.key_prefix + step.key
        if step.loop is not None:
            self._start_loop(frame, step, step.loop, key, inputs)
        elif step.prepare is not None:
            self._start_call(frame, step, key, self._recorder.shown(step.prepare(frame, inputs)))
        else:
            raise NodeError(f"No executor found for node type {step.node.type}")

    def _complete(
        self,
        frame: Frame,
        step: Step,
        outputs: JSONObject,
        branch: str,
        started_at: int,
        inputs: JSONObject | None,
    ) -> None:
        """Finishes a node run: sets its variables, decides its edges, records its end."""
        if step.outputs:
            frame.declare_outputs(step, outputs)
            self._meter.allocated += step.outputs_memory
        way = step.ways.get(branch)
        if way is None:
            way = step.way(branch)
            if way is None:
                error = f'Branch "{branch}" not found' if branch else f'Node "{step.id}" has no next nodes'
                self._fail(frame, step, started_at, inputs, outputs, branch, error)
                return
        recorder = self._recorder
        recorder.ended(SUCCEEDED, frame, step, started_at, inputs, outputs, branch)
        control = step.control
        if control is not NO_CONTROL:
            if control is END:
                self._outputs = outputs
            elif control is BREAK:
                frame.broken = True
            else:
                frame.continued = True
        only = way.only
        if only < 0:
            if way.decisions:
                self._decide(frame, way.decisions)
            frame.active -= 1
            if not frame.active:
                self._end_frame(frame)
                return
        else:
            # The usual case, as cheap as can be: this node has been active, and now the next one is.
            self._ready.append((frame, frame.plan.steps[only]))
        if recorder.sequence >= self._max_events:
            self._exceed_events()

    def _decide(self, frame: Frame, decisions: Decisions) -> None:
        """Decides edges, and those behind the nodes that are skipped by it. Rule 1."""
        frame.own_decisions()
        waiting, reached, steps = frame.waiting, frame.reached, frame.plan.steps
        skipped: list[Decisions] = []
        index = 0
        while True:
            for target, taken in decisions:
                if taken:
                    reached[target] = 1
                waiting[target] = left = waiting[target] - 1
                if not left:
                    if reached[target]:
                        self._ready.append((frame, steps[target]))
                        frame.active += 1
                    elif steps[target].skipped:
                        skipped.append(steps[target].skipped)
            if index == len(skipped):
                return
            decisions = skipped[index]
            index += 1

    def _start_run(self, frame: Frame, step: Step, key: str, inputs: JSONObject) -> NodeRun:
        run = NodeRun(frame, step, key, self._recorder.at)
        run.move(PROCESSING)
        self._runs[key] = run
        self._recorder.started(frame, step, inputs)
        return run

    def _end_run(self, run: NodeRun, status: Status) -> None:
        run.move(status)
        del self._runs[run.key]

    def _start_call(self, frame: Frame, step: Step, key: str, inputs: JSONObject) -> None:
        run = self._start_run(frame, step, key, inputs)
        run.call = Call(key, step.node, inputs)
        self._commands.append(run.call)

    def _start_loop(self, frame: Frame, step: Step, plan: LoopPlan, key: str, inputs: JSONObject) -> None:
        found = LoopItems.find(plan, frame, self._limits.max_loop_iterations)
        run = self._start_run(frame, step, key, inputs)
        run.loop = LoopRun(run, plan, found)
        self._next_iteration(run.loop)

    def _next_iteration(self, loop: LoopRun) -> None:
        frame = loop.next_frame()
        if frame is None:
            self._ending = loop
        else:
            frame.active = 1
            self._ready.append((frame, frame.plan.start))

    def _end_frame(self, frame: Frame) -> None:
        """None of the instance's nodes is ready or running. Rule 4."""
        if self._failing:
            return
        loop = frame.loop
        if loop is None:
            self._move(SUCCEEDED)
            self._terminate(SUCCEEDED)
        elif (
            frame.continued
            or frame.broken
            or self._recorder.sequence >= self._max_events
            or not loop.collect_small(frame, self._max_collected)
        ):
            self._ending = frame
        else:
            self._next_iteration(loop)

    def _end_iteration(self, frame: Frame) -> None:
        """Collects from an iteration, and goes on with its loop. Has changed nothing where it raises `WorkSuspended`."""
        loop = frame.loop
        if loop is None or self._failing:
            return
        if self._recorder.sequence >= self._max_events:
            self._exceed_events()
        elif frame.broken:
            self._end_loop(loop)
        elif frame.continued:
            self._next_iteration(loop)
        else:
            try:
                loop.collect(frame, self._max_collected)
            except (BindingError, NodeError, WorkLimitExceeded) as error:
                self._fail_run(loop.run, str(error))
            else:
                self._next_iteration(loop)

    def _end_loop(self, loop: LoopRun) -> None:
        run = loop.run
        try:
            outputs = self._recorder.shown(loop.outputs())
        except (NodeError, WorkLimitExceeded) as error:
            self._fail_run(run, str(error))
            return
        self._end_run(run, SUCCEEDED)
        self._complete(run.frame, run.step, outputs, "", run.started_at, None)

    def _fail_run(self, run: NodeRun, error: str) -> None:
        self._end_run(run, Status.FAILED)
        self._fail(run.frame, run.step, run.started_at, None, None, "", error)

    def _fail(
        self,
        frame: Frame,
        step: Step,
        started_at: int,
        inputs: JSONObject | None,
        outputs: JSONObject | None,
        branch: str,
        error: str,
    ) -> None:
        """A node has failed, and with it the loops around it; the task follows at the end of the wave. Rule 2."""
        self._failing = True
        self._recorder.ended(Status.FAILED, frame, step, started_at, inputs, outputs, branch, error)
        self._recorder.message(MessageType.ERROR, error, step.id)
        frame.active -= 1
        outer = frame.loop
        if outer is not None and outer.run.key in self._runs:
            self._fail_run(outer.run, "Loop block execute error")

    def _exceed_events(self) -> None:
        if not self._failing:
            self._failing = True
            text = f"Task has more events than the limit max_events = {self._max_events}"
            self._recorder.message(MessageType.ERROR, text)

    def _terminate(self, status: Status) -> None:
        """Ends the task: cancels what still runs, and drops pending work."""
        recorder = self._recorder
        self._position = 0
        if self._memory.is_large:
            self._remains = self._memory.remains(self._root, self._frames(), self._runs.values())
        if self._runs:
            self._cancel_runs()
        self._wave, self._ready, self._position, self._ending, self._root = [], [], 0, None, None
        outputs = self._outputs if status is SUCCEEDED else None
        self.finished = Finished(status, outputs, tuple(recorder.errors), recorder.start_time, recorder.at)
        recorder.task(status, outputs)

    def release(self) -> list[Any]:
        """What a large task holds, or held at its end: the host frees it piece by piece, once it has dropped the execution."""
        if not self._memory.is_large:
            return self._remains
        frames, runs = self._frames(), self._runs.values()
        return self._remains + self._memory.remains(self._root, frames, runs, self._inputs, self._outputs)

    def _cancel_runs(self) -> None:
        runs = list(self._runs.values())
        for run in runs:
            self._end_run(run, Status.CANCELED)
            self._recorder.ended(Status.CANCELED, run.frame, run.step, run.started_at)
        # A call that the host has not seen yet needs no cancellation.
        not_taken = {command.key for command in self._commands}
        calls = (run.key for run in runs if run.call is not None)
        self._commands = [CancelCall(key) for key in calls if key not in not_taken]

    def _move(self, status: Status) -> None:
        self._status = transition(TASK_TRANSITIONS, self._status or PENDING, status)
