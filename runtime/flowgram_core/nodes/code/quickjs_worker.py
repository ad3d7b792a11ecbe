"""The process in which scripts of code nodes run. Each job has a fresh JavaScript context.

The time limit is the server's business: it kills this process. A job has two frames, the script and its parameters, both as
JSON text; so is what an answer holds. `worker_protocol` says how they travel.
"""

import importlib
import os
import sys

from flowgram_core.nodes.code import sandbox
from flowgram_core.nodes.code.worker_protocol import (
    ERROR,
    READY,
    TOO_LARGE,
    read_job,
    split_frames,
    write_answer,
)

TYPE_CHECKING = False  # the module `typing` takes longer to import than all that this process needs
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_OPEN = ""
_NOT_READ = "?"
"""Kinds of outcomes inside the engine: there is none yet; script_outcome.js has to read it."""

_NEVER_SETTLES = ERROR + b'"the promise returned by main never settles"'
_OUT_OF_MEMORY = ERROR + b'"out of memory"'


class _Engine:
    """The JavaScript engine, with what runs in it beside the scripts."""

    def __init__(self, heap_bytes: int, stack_bytes: int) -> None:
        # The package `quickjs` around this module starts a thread when it is imported.
        self._quickjs: ModuleType = importlib.import_module("_quickjs")
        self._heap_bytes = heap_bytes
        self._stack_bytes = stack_bytes
        self._runner = _read_source("script_runner.js")
        self._outcome = _read_source("script_outcome.js")

    def prepare(self) -> "tuple[Any, Any] | None":
        """A fresh context, and the function in it that takes requests. None where its memory is not even enough for that."""
        context = self._quickjs.Context()
        context.set_memory_limit(self._heap_bytes)
        context.set_max_stack_size(self._stack_bytes)
        try:
            return context, context.eval(self._runner)
        except (MemoryError, self._quickjs.JSException):
            return None

    def run(self, prepared: "tuple[Any, Any] | None", script: str, params: str) -> bytes:
        """Runs a script to its end, and gives the answer."""
        if prepared is None:
            return _OUT_OF_MEMORY
        try:
            return self._run(*prepared, script, params)
        except (MemoryError, self._quickjs.JSException):
            # Whatever the script itself throws is part of its outcome: this is the engine at its limits around it.
            return _OUT_OF_MEMORY

    def _run(self, context: "Any", request: "Any", script: str, params: str) -> bytes:
        request("run", script, params)
        while (kind := request("kind")) == _OPEN:
            try:
                if not context.execute_pending_job():
                    return _NEVER_SETTLES
            except self._quickjs.JSException:
                # A microtask threw. Nobody in the script caught it, and main's promise may settle all the same.
                continue
        if kind == _NOT_READ:
            request("read", self._outcome)
            kind = request("kind")
        return bytes(kind + request("content"), "utf-8")


def _read_source(name: str) -> str:
    """A source file without its comments: every job evaluates it."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes long to import
        return "".join(line.lstrip() for line in file if not line.lstrip().startswith("//"))


def main(arguments: list[str]) -> None:
    """Serves jobs until the input ends.

    Args:
        arguments: Heap and stack of a script in bytes; CPU seconds of a job; length of an answer; address space of this
            process in bytes.
    """
    heap_bytes, stack_bytes, cpu_seconds, answer_bytes, process_bytes = map(int, arguments)
    engine = _Engine(heap_bytes, stack_bytes)
    try:
        missing = sandbox.enter(process_bytes, stack_bytes)
    except sandbox.ParentGone:
        return
    write_answer(READY, " ".join(missing).encode())
    while not sandbox.is_worn_out():
        prepared = engine.prepare()  # while nobody waits for it
        try:
            job, content = read_job()
        except EOFError:
            return
        sandbox.allow_cpu_time(cpu_seconds)
        script, params = split_frames(content)
        answer = engine.run(prepared, script.decode(), params.decode())
        if len(answer) - 1 > answer_bytes:
            answer = TOO_LARGE
        write_answer(job, answer)
        del prepared, content, script, params, answer


if __name__ == "__main__":
    main(sys.argv[1:])
