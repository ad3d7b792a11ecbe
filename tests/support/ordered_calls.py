"""A node type whose calls are answered when the test says so, with what a golden workflow has for them."""

import asyncio
from collections import defaultdict
from typing import Any

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Behavior, Call, NodeType
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.executor import CallContext


class Answers:
    """What the calls of tasks give, and which of them may end.

    Attributes:
        outputs: By task, then by snapshot id or node id: outputs, or `{"error": text}`.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, Any]] = {}
        self._released: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)

    def release(self, task_id: str, key: str) -> None:
        """Lets a call end."""
        self._released[task_id, key].set()

    async def answer(self, task_id: str, call: Call) -> dict[str, Any]:
        """The outputs of a call once it may end. Raises `NodeError` where it fails."""
        await self._released[task_id, call.key].wait()
        answers = self.outputs[task_id]
        found: dict[str, Any] = answers[call.key if call.key in answers else call.node.id]
        if "error" in found:
            raise NodeError(found["error"])
        return found


class OrderedCalls:
    """A node type that prepares its calls as another one does, and answers them from `Answers`."""

    def __init__(self, inner: NodeType, answers: Answers) -> None:
        self.type = inner.type
        self._inner = inner
        self._answers = answers

    def bind(self, node: Node) -> Behavior:
        return self._inner.bind(node)

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        return await self._answers.answer(context.task_id, call)
