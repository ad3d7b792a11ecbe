"""A frame: one instance of a graph (the workflow, or one iteration of a loop) while it runs."""

from typing import TYPE_CHECKING

from flowgram_core.engine.events import Iterations
from flowgram_core.engine.plan import Plan, Step
from flowgram_core.engine.pure_behavior import RunScope
from flowgram_core.engine.recorder import Recorder
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.values import Variable, variable_of

if TYPE_CHECKING:
    from flowgram_core.engine.node_runs import LoopRun


class Frame(RunScope):
    """The state of one graph instance; also the variable scope that its nodes see.

    Attributes:
        waiting: For each node, how many incoming edges are undecided.
        reached: For each node, whether one of its incoming edges was taken.
        active: How many nodes are ready or running. At zero the instance has ended.
        recorder: Counts the texts that bindings make, and keeps what undoes a run that is suspended.
        variables: By node id, then by key.
        loop: The loop run that this is an iteration of, or None for the workflow itself.
    """

    __slots__ = (
        "_task_inputs", "active", "broken", "continued", "iterations", "key_prefix", "loop", "parent", "plan", "reached",
        "recorder", "variables", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        task_inputs: JSONObject,
        recorder: Recorder,
        parent: "Frame | None" = None,
        loop: "LoopRun | None" = None,
        key_prefix: str = "",
        iterations: Iterations = (),
    ) -> None:
        self.plan = plan
        self._task_inputs = task_inputs
        self.recorder = recorder
        self.meter = recorder.meter
        self.parent = parent
        self.loop = loop
        self.key_prefix = key_prefix
        self.iterations = iterations
        # Most iterations of loops decide no edge among several: they share these, and `own_decisions` copies them.
        self.waiting = plan.waits
        self.reached = plan.unreached
        self.active = 0
        self.broken = False
        self.continued = False
        self.variables: dict[str, dict[str, Variable]] = {}

    @property
    def task_inputs(self) -> JSONObject:
        """See `RunScope`."""
        return self._task_inputs

    def own_decisions(self) -> None:
        """Makes `waiting` and `reached` those of this frame alone, to be changed."""
        if self.waiting is self.plan.waits:
            self.waiting = self.waiting.copy()
            self.reached = self.reached.copy()

    def spend(self, size: int) -> int:
        """See `Scope.spend`."""
        return self.recorder.spend(size)

    def lookup(self, node_id: str, key: str) -> Variable | None:
        """The variable of a node in the nearest scope that knows the node, or None.

        A scope that knows the node hides outer ones even where it lacks the key. Source: FlowGram's `globalGet`.
        """
        frame: Frame | None = self
        while frame is not None:
            known = frame.variables.get(node_id)
            if known is not None:
                return known.get(key)
            frame = frame.parent
        return None

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        """Makes or replaces a variable in this scope."""
        known = self.variables.get(node_id)
        if known is None:
            self.recorder.will_set(self.variables, node_id, None)
            self.variables[node_id] = {key: variable}
        else:
            self.recorder.will_set(known, key, known.get(key))
            known[key] = variable

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        """Replaces a variable in the nearest scope that knows the node; False if it does not exist."""
        frame: Frame | None = self
        while frame is not None:
            known = frame.variables.get(node_id)
            if known is not None:
                if key not in known:
                    return False
                self.recorder.will_set(known, key, known[key])
                known[key] = variable
                return True
            frame = frame.parent
        return False

    def declare_outputs(self, step: Step, outputs: JSONObject) -> None:
        """Makes the variables that a node declares: the output's value, or the default where it is null or missing."""
        variables: dict[str, Variable] = {}
        for output in step.outputs:
            value = outputs.get(output.key)
            if value is None:
                value = output.default
            variables[output.key] = (
                variable_of(value) if output.type is None else Variable(value, output.type, output.items_type)
            )
        known = self.variables.get(step.id)
        if known is None:
            self.variables[step.id] = variables
        else:
            known.update(variables)
