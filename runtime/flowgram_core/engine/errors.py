"""Errors of the engine.

EngineError
├── NodeError             a node failed; its text is what users see
│   └── NodeTypeError         by a bug in its node type
└── ProtocolError         the host used the core in a way that its rules forbid
    ├── IllegalTransition     a status cannot follow another
    └── UnknownCall           an outcome for a call that is not running

An `UnexpectedError` is no exception: it is the record of one, for the host to log.
"""

from typing import NamedTuple

from flowgram_core.modeling.json_text import JSONObject


class EngineError(Exception):
    """Base of all errors of the engine."""


class NodeError(EngineError):
    """A node failed. The text is shown in its snapshot and in the task's messages."""


class NodeTypeError(NodeError):
    """A node failed by a bug in its node type: users see the text, and the host logs it with its cause."""


class UnexpectedError(NamedTuple):
    """An exception that a node type was not supposed to raise.

    Attributes:
        node_id: The node whose run failed by it.
        inputs: The node's inputs as far as they were known, with secrets unmasked.
        error: What was raised.
    """

    node_id: str
    inputs: JSONObject
    error: Exception


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
