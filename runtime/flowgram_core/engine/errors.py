"""Errors of the engine.

EngineError
├── NodeError             a node failed; its text is what users see
│   └── NodeTypeError         by a mistake of its node type
└── ProtocolError         the host used the core in a way that its rules forbid
    ├── IllegalTransition     a status cannot follow another
    └── UnknownCall           an outcome for a call that is not running

A `UnexpectedError` is no exception: it is what the host gets to know of one.
"""

from typing import NamedTuple

from flowgram_core.modeling.json_text import JSONObject


class EngineError(Exception):
    """Base of all errors of the engine."""


class NodeError(EngineError):
    """A node failed. The text is shown in its snapshot and in the task's messages."""


class NodeTypeError(NodeError):
    """A node failed by a mistake of its node type: users see the text, and the host logs it with what it came from."""


class UnexpectedError(NamedTuple):
    """What a node type raised by mistake.

    Attributes:
        node_id: The node whose run failed by it.
        inputs: What the node had taken in by then, with secrets unmasked.
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
