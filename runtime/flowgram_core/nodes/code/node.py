"""code: runs a script of the user's in JavaScript, or TypeScript.

The script defines `main({params})`, sync or async, where `params` are the node's inputs; numbers beyond 2**53 are rounded
on their way in, as all JavaScript numbers are, while a `BigInt` in the result comes out exactly. A result that is an object
gives the outputs; anything else is the output `result`. What JSON has no form for is left out (undefined, symbols, methods
of objects), and what JSON.stringify refuses (circular objects) counts as its text.

Scripts run in strict mode, without console, timers, fetch or modules, in processes of their own (`quickjs_worker`), which
the running tasks share fairly (`worker_pool`). Types are stripped in another process (`typescript_worker`): from scripts in
TypeScript, and from those that are called JavaScript, are none, and are TypeScript, because FlowGram's editor offers
TypeScript and saves it under that name.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any, Final, Self

from flowgram_core.concurrency.fair_queue import FairSemaphore
from flowgram_core.concurrency.offload import LARGE, run_in_thread_if_large
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject, JSONTextError
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.small_sizes import small_size_of
from flowgram_core.modeling.values import UNDEFINED
from flowgram_core.nodes.code import worker_protocol
from flowgram_core.nodes.code.worker_commands import quickjs_command, typescript_command
from flowgram_core.nodes.code.worker_pool import WorkerPool
from flowgram_core.nodes.code.worker_process import LARGE_JOB
from flowgram_core.nodes.errors import WorkerDied, WorkerError, WorkerTimedOut
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.node_settings import MIB, CodeSettings

_JAVASCRIPT: Final = "javascript"
_TYPESCRIPT: Final = "typescript"

_CACHED_SCRIPTS: Final = 256
_CACHED_SCRIPT: Final = 64 * 1024
"""How many scripts are kept without their types, and the length of the longest of them."""


_LONGEST_SCRIPT: Final = 64 * MIB
"""Bytes of a script without its types, which is no longer than with them."""


class CodeNode(Trusted):
    """The node type `code`. An async context manager: its processes end with it.

    Attributes:
        type: `code`.
    """

    type = "code"

    def __init__(self, settings: CodeSettings | None = None) -> None:
        self._settings = settings or CodeSettings()
        self._pools: dict[str, WorkerPool] = {}
        self._stripped: OrderedDict[str, str] = OrderedDict()
        self._large_jobs = FairSemaphore(self._settings.workers + self._settings.long_workers + 1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    @property
    def worker_process_ids(self) -> frozenset[int]:
        """The processes that run scripts, or wait to."""
        pool = self._pools.get(_JAVASCRIPT)
        return frozenset() if pool is None else pool.pids

    @property
    def ended_workers(self) -> int:
        """How many of these processes have ended so far, for whatever reason."""
        return sum(pool.ended for pool in self._pools.values())

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

    async def execute(self, call: Call, context: CallContext) -> JSONObject:
        """Runs the script to its end, or kills its process when the time is over or the caller is cancelled.

        Raises:
            NodeError: `Code execution failed: …`.
        """
        size = small_size_of(call.inputs)
        if size < 0:
            size = size_of(call.inputs, LARGE)
        if size > LARGE_JOB:
            # What waits for a process exists as text besides: of large inputs there are few at a time.
            async with self._large_jobs.slot(context.owner):
                return await self._execute(
                    call, await run_in_thread_if_large(size, json_text.encode, call.inputs), context
                )
        return await self._execute(call, json_text.encode(call.inputs), context)

    async def _execute(self, call: Call, params: bytes, context: CallContext) -> JSONObject:
        script = call.node.data["script"]
        source: str = script["content"]
        has_types = script["language"] == _TYPESCRIPT or source in self._stripped
        if has_types:
            source = await self._strip_types(source, context)
        answer = await self._run(source, params, context)
        if answer.startswith(worker_protocol.SYNTAX_ERROR) and not has_types:
            without_types = await self._strip_types_if_any(source, context)
            if without_types is not None:
                answer = await self._run(without_types, params, context)
        if len(answer) > LARGE:
            return await asyncio.to_thread(self._outputs, answer, source)
        return self._outputs(answer, source)

    def _run(self, source: str, params: bytes, context: CallContext) -> Awaitable[bytes]:
        script = _known_script(source) if len(source) <= _CACHED_SCRIPT else _script(source)
        return self._ask(_JAVASCRIPT, script + worker_protocol.frame(params), context)

    async def _strip_types_if_any(self, source: str, context: CallContext) -> str | None:
        """The script without its types; None where it has none, or is no TypeScript."""
        try:
            without_types = await self._strip_types(source, context)
        except _NotTypeScript as problem:
            if problem.is_syntax_error:
                return None  # what the engine said about it is as good
            raise
        return None if without_types == source else without_types

    async def _strip_types(self, source: str, context: CallContext) -> str:
        """The script without its types. Raises `_NotTypeScript`."""
        if source in self._stripped:
            self._stripped.move_to_end(source)
            return self._stripped[source]
        answer = await self._ask(_TYPESCRIPT, source.encode("utf-8", "surrogatepass"), context)
        text = answer[1:].decode("utf-8", "surrogatepass")
        if not answer.startswith(worker_protocol.VALUE):
            raise _NotTypeScript(text)
        if text != source and len(source) <= _CACHED_SCRIPT:
            self._stripped[source] = text
            if len(self._stripped) > _CACHED_SCRIPTS:
                self._stripped.popitem(last=False)
        return text

    async def _ask(self, language: str, content: bytes, context: CallContext) -> bytes:
        """What a process made of a job: an answer as `worker_protocol` has it, which begins with its kind."""
        pool = self._pools.get(language)
        if pool is None:
            pool = self._pools[language] = self._make_pool(language)
        try:
            return await pool.ask(context.owner, content)
        except WorkerError as error:
            raise _failed(self._explain(error)) from error

    def _outputs(self, answer: bytes, source: str) -> JSONObject:
        """The outputs of a script that has run. Raises `NodeError` for one that failed."""
        kind, content = answer[:1], answer[1:]
        if kind == worker_protocol.TOO_LARGE:
            raise _failed(
                f"the result is larger than the limit code.max_result_bytes = {self._settings.max_result_bytes}"
            )
        try:
            value = json_text.loads(content) if content else UNDEFINED
        except JSONTextError as error:
            raise _failed(f"the result is not usable: {error}") from error
        if kind == worker_protocol.SYNTAX_ERROR:
            raise _failed(_locate(value, source))
        if kind == worker_protocol.ERROR:
            raise _failed(str(value))
        if isinstance(value, dict):
            return value
        return {} if value is UNDEFINED else {"result": value}

    def _make_pool(self, language: str) -> WorkerPool:
        settings = self._settings
        if language == _TYPESCRIPT:
            return WorkerPool(
                typescript_command(settings),
                size=1,
                long_workers=settings.long_workers,  # there are texts that take the parser seconds
                time_limit=settings.time_limit,
                max_answer_bytes=_LONGEST_SCRIPT,
            )
        return WorkerPool(
            quickjs_command(settings),
            size=settings.workers,
            long_workers=settings.long_workers,
            time_limit=settings.time_limit,
            max_answer_bytes=settings.max_result_bytes + 1,
            jobs_per_worker=settings.jobs_per_worker,
        )

    def _explain(self, error: WorkerError) -> str:
        match error:
            case WorkerTimedOut():
                return f"it took longer than the limit code.time_limit = {self._settings.time_limit:g} s"
            case WorkerDied():
                return "its process ended unexpectedly"
            case _:
                return "its process gave no usable answer"


def _script(source: str) -> bytes:
    """A script as a process reads it."""
    return worker_protocol.frame(json_text.encode(source))


_known_script = functools.lru_cache(_CACHED_SCRIPTS)(_script)


class _NotTypeScript(NodeError):
    """A script from which no types can be stripped."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"Code execution failed: {problem}")
        self.is_syntax_error = problem.startswith("syntax error")


def _failed(message: str) -> NodeError:
    return NodeError(f"Code execution failed: {message}")


def _locate(error: Any, source: str) -> str:
    """What a syntax error says, with its position in the user's script.

    Args:
        error: Its `message`, and its `stack`, which begins with `at <input>:LINE:COLUMN`.
        source: The script. Where it ends too early, the engine finds the error in what follows it.
    """
    message, stack = error["message"], error["stack"]
    position = str(stack).strip().partition("\n")[0].removesuffix(")").rsplit(":", 2)
    if len(position) < 3 or not (position[1].isdecimal() and position[2].isdecimal()):
        return str(message)
    line, column = int(position[1]), int(position[2])
    lines = source.split("\n")
    if line > len(lines):
        return f"{message} (at the end of the script)"
    if line == 1:
        column = max(1, column - len("'use strict';"))
    return f"{message} (line {line}, column {column})"


def _problem(script: dict[str, Any]) -> str | None:
    """What is wrong with a script before it is looked into; None if nothing."""
    content = script.get("content")
    if not content:
        return "Code content is required"
    language = script.get("language", UNDEFINED)
    if language not in (_JAVASCRIPT, _TYPESCRIPT):
        return f'Unsupported code language "{javascript.to_string(language)}"'
    if not isinstance(content, str):
        return "Code content must be a text"
    return None
