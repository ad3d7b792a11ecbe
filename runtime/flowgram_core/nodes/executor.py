"""Executors: the half of a node type that does I/O. The host executes the calls that the core prepared."""

from typing import Protocol, runtime_checkable

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.engine.node_type import Call
from flowgram_core.modeling.json_text import JSONObject


class CallContext(Protocol):
    """The context of one call.

    Attributes:
        owner: Whose call it is: the task, and the namespace that it belongs to. Scarce resources are shared fairly between
            namespaces, and between the tasks of each.
        task_id: The task that makes the call.
        idempotency_key: The same for every attempt at this call, also after a restart of the server; unique among all
            tasks. Pass it on to services that know such keys.
    """

    @property
    def owner(self) -> Owner:
        """See the class."""
        ...

    @property
    def task_id(self) -> str:
        """See the class."""
        ...

    @property
    def idempotency_key(self) -> str:
        """See the class."""
        ...

    def emit_delta(self, text: str) -> None:
        """Streams a piece of the output to watchers as it arrives. It is not stored: the outputs hold the whole."""
        ...


@runtime_checkable
class Executor(Protocol):
    """A node type that makes calls.

    It may also be an async context manager: it is then entered when the server starts, and left when it stops.
    """

    async def execute(self, call: Call, context: CallContext) -> JSONObject:
        """Executes the call, and returns its outputs, a JSON object.

        Cancellation must stop the I/O: sockets close, processes end, and CancelledError is re-raised.

        Raises:
            NodeError: The node failed; the text is for users.
        """
        ...
