"""The pure step: what the core does from one commit to the next. Every host drives its tasks with it.

A step ends when nothing is left to do, or when it has done so many node runs, so much work, or made events of so many bytes. It reads no
clock: where work goes on by itself the host says what time it is, and a host that shares its thread with others may pause.
The same activations at the same positions of the log always give the same events; where a step ends decides only what becomes durable at once.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from flowgram_core.engine.activations import Activation
from flowgram_core.engine.events import Event
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.engine.node_type import Command
from flowgram_core.modeling.meter import Checkpoint

_RUNS: Final = 25
"""The core is looked at after so many node runs: what a condition compares has no size in an event."""

NextInput = Callable[[], tuple[Activation, str] | None]
"""Gives the next input and its text as the log keeps it, if there is one that may be applied now."""

_Batch = TypeVar("_Batch")

MakeBatch = Callable[[int, int, int, str | None, bytes], _Batch]
"""Makes what a host keeps of an input and its events, of: the numbers of the first and the last event, the time, the input's
text (None if work only went on), and the encoded events.
"""


class Step(Generic[_Batch]):
    """What the core does from one commit to the next.

    Attributes:
        batches: What has happened so far.
        commands: What to carry out once that is durable.
        budget: So many node runs may follow.
        left: So many bytes their events may have.
        work_left: So much work they may do; see `meter`. The last one may do more.
    """

    __slots__ = ("_encode", "_make_batch", "batches", "budget", "commands", "left", "work_left")

    def __init__(
        self,
        budget: int,
        max_bytes: int,
        encode: Callable[[Sequence[Event]], bytes],
        make_batch: MakeBatch[_Batch],
        max_work: int = UNLIMITED,
    ) -> None:
        self.batches: list[_Batch] = []
        self.commands: list[Command] = []
        self.budget = budget
        self.left = max_bytes
        self.work_left = max_work
        self._encode = encode
        self._make_batch = make_batch

    def work(
        self,
        execution: Execution,
        next_input: NextInput,
        now: Callable[[], int],
        paused: Callable[[], bool] | None = None,
    ) -> bool:
        """Lets the core work.

        Args:
            execution: The core.
            next_input: Gives what it is to be given.
            now: Tells the time, in microseconds since the epoch.
            paused: Whether to leave off for a moment; None: never.

        Returns:
            Whether the step paused, and may go on before the commit. It ends where the core is suspended (`work_suspended`).
        """
        while self.budget > 0 and self.left > 0 and self.work_left > 0 and execution.finished is None:
            following = next_input()
            if following is None and (not execution.has_work or execution.is_suspended):
                return False
            first, cause = execution.sequence + 1, None
            if following is not None:
                given, cause = following
                self.left -= len(cause)
                execution.apply(given)
            # What an input leads to happens in the instant of the input; only work that is left over takes time.
            at = now() if following is None else None
            self.budget -= 1 + self._advance(execution, at, paused)
            self._take(execution, first, cause)
            if paused is not None and paused():
                return True
        return False

    def work_suspended(self, execution: Execution, now: Callable[[], int], checkpoint: Checkpoint) -> None:
        """Does the one node run before which the core was suspended, in a thread where it may take its time.

        Args:
            execution: The core; nobody else uses it meanwhile.
            now: Tells the time.
            checkpoint: Called every now and then; raises `WorkSuspended` to leave the run undone.
        """
        first = execution.sequence + 1
        self.budget -= 1 + execution.advance(1, now(), checkpoint=checkpoint)
        self._take(execution, first, None)

    def _take(self, execution: Execution, first: int, cause: str | None) -> None:
        events, commands = execution.take()
        self.commands += commands
        if events:
            encoded = self._encode(events)
            self.left -= len(encoded)
            self.batches.append(self._make_batch(first, execution.sequence, execution.now, cause, encoded))

    def _advance(self, execution: Execution, at: int | None, paused: Callable[[], bool] | None) -> int:
        """Lets the core do the node runs of the budget, or those up to a pause; says how many."""
        done, budget, max_bytes = 0, self.budget, max(self.left, 0)
        while True:
            asked = min(budget - done, _RUNS)
            before = execution.work
            ran = execution.advance(asked, at, max_bytes, max_work=self.work_left)
            self.work_left -= execution.work - before
            done += ran
            if ran < asked or done == budget or self.work_left <= 0 or (paused is not None and paused()):
                return done
