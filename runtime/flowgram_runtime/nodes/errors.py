"""Errors inside the node types. Users never see them: each becomes a `NodeError` with a text for them.

CallError
├── AttemptFailed         an HTTP request failed where another attempt may succeed; the text is for users
└── WorkerError           a worker process gave no answer
    ├── WorkerTimedOut        it took longer than its time limit, and was killed
    ├── WorkerDied            it ended before it answered
    └── WorkerBroken          it answered nonsense, or more than it may, and was killed
"""


class CallError(Exception):
    """Base of the errors inside the node types."""


class AttemptFailed(CallError):
    """An HTTP request failed where another attempt may succeed: the connection, or its time-out. The text is for users."""


class WorkerError(CallError):
    """A worker process gave no answer."""


class WorkerTimedOut(WorkerError):
    """A job took longer than its time limit; the process was killed."""


class WorkerDied(WorkerError):
    """The process ended before it answered: killed from outside, or by a limit of the operating system."""


class WorkerBroken(WorkerError):
    """The process answered nonsense, or more than it may; it was killed."""
