"""The child process in which scripts of code nodes run: reads jobs from its standard input, answers on its output.

It is started by path (`python -I -S quickjs_worker.py …`), with pipes for its input and both outputs. It imports next to
nothing, so that it is ready within milliseconds and holds nothing that a script could want. Each job has a fresh JavaScript
context. The time limit is the parent's business: it kills this process.

A frame is four bytes of length, big-endian, and so many bytes. A job is two frames, the script and its parameters; the
answer is one. All three are JSON text, the answer with one character before it that says what it is.
"""

import importlib
import os
import sys
from typing import Any

VALUE = b"="
"""The answer is what `main` gave, as JSON text; nothing follows where it gave undefined."""
ERROR = b"!"
"""The answer is what went wrong, as the JSON text of a string."""
TOO_LARGE = b">"
"""The answer would be longer than it may be; nothing follows."""

NEVER_SETTLES = ERROR + b'"the promise returned by main never settles"'
OUT_OF_MEMORY = ERROR + b'"out of memory"'

FRAME_HEADER = 4
"""Bytes of length before each frame."""

_STACK_OF_PYTHON = 1024 * 1024


def frame(content: bytes) -> bytes:
    """A frame with its length."""
    return len(content).to_bytes(FRAME_HEADER, "big") + content


def _read_exactly(descriptor: int, length: int) -> bytes:
    """Raises `EOFError` where the input ends."""
    parts = []
    while length:
        part = os.read(descriptor, length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _read_frame(descriptor: int) -> bytes:
    return _read_exactly(descriptor, int.from_bytes(_read_exactly(descriptor, FRAME_HEADER), "big"))


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _set_limit(limit: int, value: int) -> None:
    import resource  # noqa: PLC0415 - POSIX only, as is this process; importing this module for its constants is not

    try:
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    except (OSError, ValueError):
        # Some systems do not know all limits (macOS: address space); the limits of the engine itself hold everywhere.
        return


def _restrict(process_bytes: int, stack_bytes: int) -> None:
    """Leaves this process with what it has: no new files, no children, no core dumps, bounded memory."""
    import resource  # noqa: PLC0415 - see above

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    if stack != resource.RLIM_INFINITY:
        _set_limit(resource.RLIMIT_STACK, max(stack, stack_bytes + _STACK_OF_PYTHON))
    _set_limit(resource.RLIMIT_AS, process_bytes)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_FSIZE, 0)
    _set_limit(resource.RLIMIT_NPROC, 0)
    _set_limit(resource.RLIMIT_NOFILE, 0)


def _allow_cpu_time(seconds: int) -> None:
    """So much from now on: a job must not outlive its parent for ever. The kernel kills a process that exceeds it."""
    import resource  # noqa: PLC0415 - see above

    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds)


def _end_with_parent() -> None:
    """From now on the kernel ends this process when its parent ends, whatever it computes (on Linux).

    Nobody writes to its error output, of which the parent has the other end. So what that signals is that the parent has
    gone, and what becomes of a process that gets this signal, and knows nothing of it, is that it ends. The input will not
    do: the signal of what was written to it may come when all of that has been read. Raises `EOFError` if the parent has
    gone before.
    """
    import fcntl  # noqa: PLC0415 - POSIX only, see above
    import select  # noqa: PLC0415 - as fcntl

    fcntl.fcntl(2, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_ASYNC)
    other_end = select.poll()
    other_end.register(2, 0)
    if other_end.poll(0):
        raise EOFError


def _run(quickjs: Any, runner: str, source: str, params: str, heap_bytes: int, stack_bytes: int) -> bytes:
    """Runs a script to its end and gives the answer."""
    context = quickjs.Context()
    context.set_memory_limit(heap_bytes)
    context.set_max_stack_size(stack_bytes)
    ask = context.eval(runner)
    ask("run", source, params)
    while not (kind := ask("kind")):
        try:
            if not context.execute_pending_job():
                return NEVER_SETTLES
        except quickjs.JSException:
            # A microtask threw. Nobody in the script caught it, and main's promise may settle all the same.
            continue
    return bytes(kind + ask("content"), "utf-8")


def main(arguments: list[str]) -> None:
    """Serves jobs until the input ends.

    Args:
        arguments: The directory of the JavaScript engine's extension module; heap and stack of a script in bytes; CPU
            seconds of a job; length of an answer; address space of this process in bytes.
    """
    directory, heap_bytes, stack_bytes, cpu_seconds, answer_bytes, process_bytes = arguments
    sys.path.append(directory)
    # The package `quickjs` around this module starts a thread when it is imported.
    quickjs = importlib.import_module("_quickjs")
    with open(os.path.join(os.path.dirname(__file__), "runner.js"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib would be most of the start-up time
        runner = file.read()
    try:
        _end_with_parent()
    except EOFError:
        return
    _restrict(int(process_bytes), int(stack_bytes))
    while True:
        try:
            source, params = _read_frame(0).decode(), _read_frame(0).decode()
        except EOFError:
            return
        _allow_cpu_time(int(cpu_seconds))
        try:
            answer = _run(quickjs, runner, source, params, int(heap_bytes), int(stack_bytes))
        except (MemoryError, quickjs.JSException):
            # Whatever the script itself throws is part of its outcome: this is the engine at its limits around it.
            answer = OUT_OF_MEMORY
        del source, params
        if len(answer) - 1 > int(answer_bytes):
            answer = TOO_LARGE
        _write(1, frame(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
