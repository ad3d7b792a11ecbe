"""The half of a node type that does I/O: the host executes what the core has prepared."""

from typing import Protocol, runtime_checkable

from flowgram_core.engine.node_type import Call
from flowgram_core.modeling.json_text import JSONObject


class CallContext(Protocol):
    """What surrounds one call.

    Attributes:
        task_id: The task that makes the call. What is scarce is shared fairly between tasks.
        idempotency_key: The same for every attempt at this call, also after a restart of the server; unique among all
            tasks. Pass it on to services that know such keys.
    """

    @property
    def task_id(self) -> str:
        """See the class."""
        ...

    @property
    def idempotency_key(self) -> str:
        """See the class."""
        ...

    def emit_delta(self, text: str) -> None:
        """Shows a piece of the output to those who watch, as it arrives. Not kept: the outputs say it all again."""
        ...


@runtime_checkable
class Executor(Protocol):
    """A node type that makes calls.

    It may also be an async context manager: it is then entered when the server starts, and left when it stops.
    """

    async def execute(self, call: Call, context: CallContext) -> JSONObject:
        """Does what the call says, and gives its outputs, a JSON object.

        Cancellation must stop the I/O: sockets close, processes end. It is raised on.

        Raises:
            NodeError: The node failed; the text is for users.
        """
        ...
