"""Node runs that take time: calls, and loops over their items."""

from typing import Any, Final, NamedTuple, Self

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.frame import Frame
from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.engine.node_type import Call
from flowgram_core.engine.plan import LoopPlan, Plan, Step
from flowgram_core.engine.transitions import NODE_TRANSITIONS, transition
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.sizes import list_memory, size_of, too_large
from flowgram_core.modeling.status import Status
from flowgram_core.modeling.values import ARRAY, NULL, NUMBER, UNDEFINED, Variable

_SCALAR_SIZE: Final = 5
_SHORT: Final = 256
COLLECTED_BYTES: Final = 80
"""Bytes of memory of a value that a loop has collected, beside those of the value."""


class NodeRun:
    """A node run that takes time."""

    __slots__ = ("call", "frame", "key", "loop", "started_at", "status", "step")

    def __init__(self, frame: Frame, step: Step, key: str, started_at: int) -> None:
        self.frame = frame
        self.step = step
        self.key = key
        self.started_at = started_at
        self.status = Status.PENDING
        self.call: Call | None = None
        self.loop: LoopRun | None = None

    def move(self, status: Status) -> None:
        """Moves on. Raises `IllegalTransition`."""
        self.status = transition(NODE_TRANSITIONS, self.status, status)


class LoopItems:
    """The items of a loop, resolved and checked before its run begins."""

    __slots__ = ("block", "items", "items_type")

    def __init__(self, items: list[Any], items_type: str, block: Plan) -> None:
        self.items = items
        self.items_type = items_type
        self.block = block

    @classmethod
    def find(cls, plan: LoopPlan, frame: Frame, max_iterations: int) -> Self:
        """The items of a loop that begins now. Source: FlowGram's `checkLoopArray`.

        Raises:
            NodeError: There is no array to iterate over, or it is too long.
            BindingError: The reference is invalid.
        """
        found = plan.items.resolve(frame)
        if found is None or not isinstance(found.value, list):
            raise NodeError('Loop "loopFor" is required')
        if found.type != ARRAY:
            raise NodeError('Loop "loopFor" must be an array')
        if found.items_type is None:
            raise NodeError('Loop "loopFor.items" must be array items')
        if plan.block is None:
            raise NodeError("Loop block start node not found")
        if len(found.value) > max_iterations:
            count = len(found.value)
            raise NodeError(
                f"Loop has {count} items, more than the limit max_loop_iterations = {max_iterations}"
            )
        return cls(found.value, found.items_type, plan.block)


class LoopProgress(NamedTuple):
    """The progress of a loop.

    Attributes:
        items: The array that it iterates over.
        items_type: Their type.
        position: The index of the current item; -1 before the first.
        collected: The values of its iterations so far, by loop output.
    """

    items: list[Any]
    items_type: str
    position: int
    collected: dict[str, list[Variable | None]]


def _is_scalar(value: Any) -> bool:
    kind = type(value)
    return kind is int or value is None or kind is bool or kind is float or value is UNDEFINED


def _size_of(found: Variable | None, limit: int, meter: Meter | None = None) -> int:
    """About how long a loop output of one iteration is as JSON text, with its comma."""
    if found is None or _is_scalar(found.value):
        return _SCALAR_SIZE
    value = found.value
    if type(value) is str and len(value) <= _SHORT and value.isascii():
        return len(value) + 3
    return 1 + size_of(value, limit, meter)


class LoopRun:
    """A running loop: one iteration after the other, each in its own frame."""

    __slots__ = ("_collected", "_found", "_index", "_iterations", "_lists", "_plan", "_size", "run")

    def __init__(self, run: NodeRun, plan: LoopPlan, found: LoopItems) -> None:
        self.run = run
        self._plan = plan
        self._found = found
        self._index = -1
        self._iterations = run.frame.iterations
        self._collected: dict[str, list[Variable | None]] = {name: [] for name, _ in plan.outputs}
        self._lists = list(self._collected.values())
        self._size = 0

    @property
    def block(self) -> Plan:
        """The graph of its iterations."""
        return self._found.block

    @property
    def progress(self) -> "LoopProgress":
        """The progress so far."""
        return LoopProgress(self._found.items, self._found.items_type, self._index, self._collected)

    @classmethod
    def restored(cls, run: NodeRun, plan: LoopPlan, block: Plan, progress: "LoopProgress") -> Self:
        """A loop with this progress."""
        loop = cls(run, plan, LoopItems(progress.items, progress.items_type, block))
        loop._index, loop._collected = progress.position, progress.collected
        loop._lists = list(progress.collected.values())
        loop._size = sum(_size_of(found, UNLIMITED) for each in progress.collected.values() for found in each)
        return loop

    def next_frame(self) -> Frame | None:
        """The frame of the next iteration, or None after the last item."""
        found, run = self._found, self.run
        self._index = index = self._index + 1
        items = found.items
        if index >= len(items):
            return None
        outer = run.frame
        iterations = (*self._iterations, (run.step.id, index))
        key_prefix = f"{run.key}[{index}]/"
        frame = Frame(found.block, outer.task_inputs, outer.recorder, outer, self, key_prefix, iterations)
        frame.variables[self._plan.locals_id] = {
            "item": Variable(items[index], found.items_type),
            "index": Variable(index, NUMBER),
        }
        return frame

    def collect_small(self, frame: Frame, max_bytes: int) -> bool:
        """Does what `collect` does if the values are variables that are numbers, words or absent: no work counts for these.

        Returns:
            Whether it was that; otherwise nothing has happened.
        """
        variables = self._plan.variables
        if variables is None:
            return False
        values: list[Variable | None] = []
        for node_id, key in variables:
            found = frame.lookup(node_id, key)
            if found is not None and not _is_scalar(found.value):
                return False
            values.append(found)
        size = self._size + _SCALAR_SIZE * len(values)
        if size > max_bytes:
            return False
        self._size = size
        self._add(values, frame.meter)
        return True

    def collect(self, frame: Frame, max_bytes: int) -> None:
        """Takes the loop outputs from an iteration that has ended; nothing is taken where it raises.

        Args:
            frame: The iteration.
            max_bytes: So large all of them may grow, as JSON text.

        Raises:
            BindingError: A loop output is invalid.
            NodeError: They grow too large.
        """
        meter = frame.meter
        size = self._size
        values = []
        for _, reference in self._plan.outputs:
            found = reference.resolve(frame)
            values.append(found)
            if max_bytes != UNLIMITED:
                size += _size_of(found, max_bytes - size, meter)
                if size > max_bytes:
                    raise NodeError(too_large(max_bytes))
        self._size = size
        self._add(values, meter)

    def _add(self, values: list[Variable | None], meter: Meter) -> None:
        meter.allocated += COLLECTED_BYTES * len(values)
        for index in range(len(values)):
            self._lists[index].append(values[index])

    def outputs(self) -> JSONObject:
        """The loop's outputs, also made variables: for each name the values of the iterations, null where an iteration had none."""
        outputs: JSONObject = {}
        meter = self.run.frame.recorder.meter
        for name, found in self._collected.items():
            meter.spend(PART * len(found))
            meter.allocated += list_memory(len(found))
            first = found[0] if found else None
            items_type = None if not found else NULL if first is None else first.type
            outputs[name] = values = [
                None if variable is None or variable.value is UNDEFINED else variable.value
                for variable in found
            ]
            self.run.frame.declare(self.run.step.id, name, Variable(values, ARRAY, items_type))
        return outputs
