"""Registered work: a coroutine whose steps stand in the work register, so that one that ends the process is found out.

While the coroutine waits for something nothing is registered: a process that is killed then did not die of it.
"""

from collections.abc import Coroutine
from typing import Any, Self

from flowgram_core.journal.work_register import WorkRegister


class RegisteredWork:
    """Awaits a coroutine, once, and registers each of its steps as work on a task.

    Args:
        coroutine: The work. What it gives is what awaiting gives.
        register: Where.
        task_id: The task.
    """

    __slots__ = ("_coroutine", "_register", "_task_id")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], register: WorkRegister, task_id: str) -> None:
        self._coroutine = coroutine
        self._register = register
        self._task_id = task_id

    # What the event loop sees is this object, in the manner of a generator.

    def __await__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """One step. Raises `StopIteration` with the result at the end."""
        slot = self._register.begin(self._task_id)
        try:
            return self._coroutine.send(value)
        finally:
            self._register.end(slot)

    def throw(self, *error: Any) -> Any:
        """A step that begins with an error, such as a cancellation. Compiled callers give its type, the error and its traceback."""
        raised = error[1] if len(error) > 1 and isinstance(error[1], BaseException) else error[0]
        slot = self._register.begin(self._task_id)
        try:
            return self._coroutine.throw(raised)
        finally:
            self._register.end(slot)
            # The error refers to this frame by its traceback: that would be a cycle.
            del error, raised

    def close(self) -> None:
        """Ends the coroutine."""
        self._coroutine.close()
