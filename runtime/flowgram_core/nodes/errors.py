"""Errors of the node types.

NodesError
├── NodeTypeUnusable          a node type of another package cannot be used; the text is for operators
└── CallError                 inside a call; users never see it: it becomes a `NodeError` with a text for them
    ├── AttemptFailed             an HTTP request got no response, or took too long; the text is for users
    ├── APIError                  an API of a language model gave no answer
    │   ├── APITimeout                it was silent for too long
    │   ├── APIUnreachable            no response came
    │   └── APIRefusal                it has answered with an error
    └── WorkerError               a worker process gave no answer
        ├── WorkerTimedOut            it took longer than its time limit, and was killed
        ├── WorkerDied                it ended before it answered
        └── WorkerBroken              it answered nonsense, or more than it may, and was killed
"""

from typing import Any


class NodesError(Exception):
    """Base of the errors of the node types."""


class NodeTypeUnusable(NodesError):
    """A node type of another package cannot be used. The text is for operators, on one line.

    Attributes:
        source: What offers the node type: the entry point and its distribution, or the name of the type.
        reason: Why it cannot be used.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source} cannot be used: {reason}")
        self.source = source
        self.reason = reason


class CallError(NodesError):
    """Base of the errors inside a call."""


class AttemptFailed(CallError):
    """An HTTP request got no response, or took too long, so that another attempt is in order. The text is for users."""


class APIError(CallError):
    """An API of a language model gave no answer."""


class APITimeout(APIError):
    """The API was silent for too long."""


class APIUnreachable(APIError):
    """The API cannot be reached, or its response broke off before it began."""


class APIRefusal(APIError):
    """The API has answered with an error.

    Attributes:
        status: Of the response.
        body: What it says: JSON, where it is, and otherwise a text.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body


class WorkerError(CallError):
    """A worker process gave no answer."""


class WorkerTimedOut(WorkerError):
    """A job took longer than its time limit; the process was killed."""


class WorkerDied(WorkerError):
    """The process ended before it answered: killed from outside, or by a limit of the operating system."""


class WorkerBroken(WorkerError):
    """The process answered nonsense, or more than it may; it was killed."""
