"""code: runs a script of the user's in JavaScript.

The script defines `main({params})`, sync or async, where `params` are the node's inputs; numbers beyond 2**53 are rounded
on their way in, as all JavaScript numbers are, while a `BigInt` in the result comes out exactly. A result that is an object
gives the outputs; anything else is the output `result`. What JSON has no form for is left out (undefined, symbols, methods
of objects), and what JSON.stringify refuses (circular objects) counts as its text.

Scripts run in strict mode, without console, timers, fetch or modules, in processes of their own (`quickjs_worker`).
"""

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any, Self

from flowgram_core.concurrency.offload import LARGE, run_in_thread_if_large
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject, JSONTextError
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.values import UNDEFINED
from flowgram_core.nodes.code import quickjs_worker
from flowgram_core.nodes.code.worker_pool import WorkerPool
from flowgram_core.nodes.errors import WorkerDied, WorkerError, WorkerTimedOut
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.node_settings import CodeSettings

_JAVASCRIPT = "javascript"


class CodeNode(Trusted):
    """The node type `code`. An async context manager: its processes end with it.

    Attributes:
        type: `code`.
    """

    type = "code"

    def __init__(self, settings: CodeSettings | None = None) -> None:
        self._settings = settings or CodeSettings()
        self._pool: WorkerPool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._pool is not None:
            await self._pool.aclose()

    @property
    def worker_pids(self) -> frozenset[int]:
        """The processes that run scripts, or wait to."""
        return frozenset() if self._pool is None else self._pool.pids

    def bind(self, node: Node) -> CallBehavior:
        """Checks that there is a script in a language that is known, each time the node runs."""
        script = node.data.get("script")
        script = script if isinstance(script, dict) else {}
        problem = _problem(script)

        def prepare(scope: RunScope, inputs: JSONObject) -> JSONObject:  # noqa: ARG001
            if problem is not None:
                raise NodeError(problem)
            return inputs

        return CallBehavior(prepare)

    async def execute(self, call: Call, context: CallContext) -> JSONObject:  # noqa: ARG002
        """Runs the script to its end, or kills its process when the time is over or the caller is cancelled.

        Raises:
            NodeError: `Code execution failed: …`.
        """
        size = size_of(call.inputs, LARGE)
        request = await run_in_thread_if_large(
            size, _request, call.node.data["script"]["content"], call.inputs
        )
        if self._pool is None:
            self._pool = _make_pool(self._settings)
        try:
            answer = await self._pool.ask(request, self._settings.time_limit)
        except WorkerError as error:
            raise _failed(self._explain(error)) from error
        kind, content = answer[:1], answer[1:]
        if kind == quickjs_worker.TOO_LARGE:
            raise _failed(
                f"the result is larger than the limit code.max_result_bytes = {self._settings.max_result_bytes}"
            )
        try:
            value = (
                await run_in_thread_if_large(len(content), json_text.loads, content) if content else UNDEFINED
            )
        except JSONTextError as error:
            raise _failed(f"the result is not usable: {error}") from error
        if kind == quickjs_worker.ERROR:
            raise _failed(str(value))
        if isinstance(value, dict):
            return value
        return {} if value is UNDEFINED else {"result": value}

    def _explain(self, error: WorkerError) -> str:
        match error:
            case WorkerTimedOut():
                return f"it took longer than the limit code.time_limit = {self._settings.time_limit:g} s"
            case WorkerDied():
                return "its process ended unexpectedly"
            case _:
                return "its process gave no usable answer"


def _request(script: str, params: JSONObject) -> bytes:
    """What a process reads of a job."""
    return quickjs_worker.frame(json.dumps(script).encode()) + quickjs_worker.frame(json_text.encode(params))


def _failed(message: str) -> NodeError:
    return NodeError(f"Code execution failed: {message}")


def _problem(script: dict[str, Any]) -> str | None:
    """What is wrong with a script before it is looked into; None if nothing."""
    content = script.get("content")
    if not content:
        return "Code content is required"
    language = script.get("language", UNDEFINED)
    if language != _JAVASCRIPT:
        return f'Unsupported code language "{javascript.to_string(language)}"'
    if not isinstance(content, str):
        return "Code content must be a text"
    return None


def worker_command(settings: CodeSettings) -> tuple[str, ...]:
    """What starts a process for scripts. Raises `NodeError` where their engine is missing."""
    extension = importlib.util.find_spec("_quickjs")
    if extension is None or extension.origin is None:
        raise _failed("the package quickjs-ng is not installed on the server")
    arguments = (
        str(Path(extension.origin).parent),
        settings.heap_bytes,
        settings.stack_bytes,
        # A process that the parent could not kill ends itself; a second more, so that the parent comes first.
        math.ceil(settings.time_limit) + 1,
        settings.max_result_bytes,
        settings.process_bytes,
    )
    return sys.executable, "-I", "-S", quickjs_worker.__file__, *map(str, arguments)


def _make_pool(settings: CodeSettings) -> WorkerPool:
    return WorkerPool(
        worker_command(settings),
        size=settings.workers,
        max_answer_bytes=settings.max_result_bytes + 1,
        requests_per_worker=settings.jobs_per_worker,
    )
