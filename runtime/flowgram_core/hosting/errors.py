"""Errors that hosts raise to their callers.

FlowgramError
├── InvalidWorkflow       the schema or the inputs are not valid; carries all problems
├── RequestConflict       a request id was used before with another request
├── TaskNotFound          no such task, or its retention has passed
├── SequenceOutOfRange    a position beyond the end of a task's log
├── MemoryLimitReached    running and waiting tasks hold too much memory
├── TooManyTasks          running and waiting tasks are at their limits
├── QuotaExceeded         the caller's namespace has reached a limit of its own
├── WatcherBehind         a watcher of tasks reads too slowly, and missed changes
├── StorageFull           the store of tasks has reached its limits
├── TaskOverLimit         a running task has reached a limit of its host, and fails
├── CallWithdrawn         a call that waited for its turn is not wanted any more
└── ShuttingDown          the service accepts no more work
"""

from flowgram_core.modeling.errors import Problem


class FlowgramError(Exception):
    """Base of the errors that hosts raise to their callers."""


class InvalidWorkflow(FlowgramError):
    """A schema or inputs that cannot run.

    Attributes:
        problems: All problems, in order.
        in_inputs: Whether the schema is fine and the inputs are not.
    """

    def __init__(self, problems: tuple[Problem, ...], *, in_inputs: bool = False) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = problems
        self.in_inputs = in_inputs


class RequestConflict(FlowgramError):
    """A request id was used before with different content."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used before with a different request")
        self.request_id = request_id


class TaskNotFound(FlowgramError):
    """No such task, or its retention has passed."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"no task {task_id!r}")
        self.task_id = task_id


class SequenceOutOfRange(FlowgramError):
    """A position beyond the end of a task's log."""

    def __init__(self, after_sequence: int, last_sequence: int) -> None:
        super().__init__(
            f"after_sequence {after_sequence} is beyond the last event, which is {last_sequence}"
        )
        self.after_sequence = after_sequence
        self.last_sequence = last_sequence


class TooManyTasks(FlowgramError):
    """Running and waiting tasks are at their limits; the text names the limits.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class QuotaExceeded(FlowgramError):
    """A namespace has reached a limit of its own; the text names the limit.

    Attributes:
        namespace: The namespace.
        limit: The name of the limit.
        retry_after: Seconds after which trying again makes sense; None: it does not, until the limit is another.
    """

    def __init__(self, namespace: str, limit: str, text: str, retry_after: float | None) -> None:
        super().__init__(text)
        self.namespace = namespace
        self.limit = limit
        self.retry_after = retry_after


class WatcherBehind(FlowgramError):
    """A watcher of tasks reads too slowly: changes were dropped before it read them."""

    def __init__(self) -> None:
        super().__init__("changes were dropped before they were read: watch again, and list again")


class MemoryLimitReached(FlowgramError):
    """Running and waiting tasks hold too much memory; the text names the limit.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StorageFull(FlowgramError):
    """The store of tasks has reached its limits, and takes no new tasks; the text names the limit.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TaskOverLimit(FlowgramError):
    """A running task has reached a limit that its host sets, and fails; the text, for users, names the limit."""


class CallWithdrawn(FlowgramError):
    """A call is not wanted any more when it could begin: it is not made, and has no outcome."""


class ShuttingDown(FlowgramError):
    """The service accepts no more work."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down")
