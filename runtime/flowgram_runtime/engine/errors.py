"""Errors of the engine.

EngineError
├── NodeError             a node failed; its text is what users see
└── ProtocolError         the host used the core in a way that its rules forbid
├── IllegalTransition     a status cannot follow another
└── UnknownCall           an outcome for a call that is not running
"""


class EngineError(Exception):
    """Base of all errors of the engine."""


class NodeError(EngineError):
    """A node failed. The text is shown in its snapshot and in the task's messages."""


class ProtocolError(EngineError):
    """The core was used against its rules; nothing was changed."""


class IllegalTransition(ProtocolError):
    """A status cannot follow another."""

    def __init__(self, current: str, following: str) -> None:
        super().__init__(f"{following} cannot follow {current}")


class UnknownCall(ProtocolError):
    """An outcome came for a call that is not running."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no call {key!r} is running")
