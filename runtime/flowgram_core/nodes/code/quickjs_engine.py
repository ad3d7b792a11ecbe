"""Runs scripts in QuickJS, each in a runtime of its own, and keeps what was compiled of their texts.

Nothing of one script reaches another: objects, symbols and pending jobs end with the runtime. What is kept is bytecode, which
the compiler made of a script's text alone, before anything of it ran.
"""

import ctypes
import os

from flowgram_core.nodes.code.quickjs_library import (
    BYTECODE,
    EVAL_COMPILE_ONLY,
    EVAL_GLOBAL,
    EVAL_INDIRECT,
    PROMISE_PENDING,
    TAG_EXCEPTION,
    TAG_INTEGER,
    TAG_OBJECT,
    UNDEFINED,
    Library,
    Value,
    integer,
)
from flowgram_core.nodes.code.worker_protocol import ERROR, VALUE

_OPEN = 0
_NOT_READ = 1
"""Kinds of outcomes besides the first bytes of answers: there is none yet; script_outcome.js has to read it."""

_OUTCOME, _CONTENT, _RUN, _PARSE, _FAIL, _READ = map(integer, range(6))
"""The requests of script_runner.js."""

_IGNORED = ctypes.byref(ctypes.c_void_p())
"""Gets the context of a microtask that has run."""

_NEVER_SETTLES = ERROR + b'"the promise returned by main never settles"'
_OUT_OF_MEMORY = ERROR + b'"out of memory"'

_FILE = b"<input>"
# On one line with the script's first, so that the lines of its errors are those of the script.
_BEFORE = b"'use strict';"
_AFTER = b"""

if (typeof main !== 'function') {
  throw new Error('main function is required in the script');
}
main"""

_CACHED_SCRIPT = 64 * 1024
_CACHED_BYTES = 8 * 1024 * 1024
"""Length of the longest script whose bytecode is kept, and how much is kept in all."""


class _ThrownError(Exception):
    """A function of the engine has thrown; what it was, is still there."""


class Engine:
    """The JavaScript engine, with what runs in it beside the scripts.

    Args:
        heap_bytes: Memory of a script's objects.
        stack_bytes: Its stack.
    """

    def __init__(self, heap_bytes: int, stack_bytes: int) -> None:
        self.library = Library()
        self.heap_bytes = heap_bytes
        self.stack_bytes = stack_bytes
        self.scripts = BytecodeCache(_CACHED_BYTES)
        compiler = Context(self)
        self.runner = compiler.bytecode(_read_source("script_runner.js"))
        self.reader = compiler.bytecode(_read_source("script_outcome.js"))
        compiler.close()

    def prepare(self) -> "Context":
        """A fresh context that is ready for a script. A heap that is too small for that shows in the answer."""
        context = Context(self)
        context.limit()
        return context


class Context:
    """A runtime of the engine, with a context in it, for one script. Has to be closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._library = engine.library
        self._runtime = self._library.NewRuntime()
        self._context = self._library.NewContext(self._runtime) if self._runtime else None
        if not self._context:
            raise MemoryError  # which ends this process: it could not run the next script either
        self._request: Value | None = None  # the function of script_runner.js
        self._functions: list[Value] = []

    def limit(self) -> None:
        """Sets the limits of scripts, and evaluates script_runner.js, if the heap is large enough for that."""
        self._library.SetMemoryLimit(self._runtime, self._engine.heap_bytes)
        self._library.SetMaxStackSize(self._runtime, self._engine.stack_bytes)
        try:
            self._request = self._evaluate(self._engine.runner)
        except _ThrownError:
            return

    def bytecode(self, source: bytes) -> bytes:
        """What the compiler makes of a source."""
        function = self._compile(source, EVAL_GLOBAL)
        try:
            return self._write(function)
        finally:
            self._library.FreeValue(self._context, function)

    def run(self, script: bytes, params: bytes) -> bytes:
        """Runs a script to its end.

        Args:
            script: Its text, as JSON text.
            params: Its parameters, as JSON text.

        Returns:
            The answer, as `worker_protocol` describes it.
        """
        if self._request is None:
            return _OUT_OF_MEMORY
        try:
            return self._run(script, params)
        except (_ThrownError, MemoryError):
            # Whatever the script itself throws is part of its outcome: this is the engine, or the process, at its limits.
            return _OUT_OF_MEMORY

    def close(self) -> None:
        """Frees the runtime with all that is in it."""
        for function in self._functions:
            self._library.FreeValue(self._context, function)
        self._library.FreeContext(self._context)
        self._library.FreeRuntime(self._runtime)

    def _run(self, script: bytes, params: bytes) -> bytes:
        outcome = self._begin(script, params)
        if outcome.tag == TAG_OBJECT:
            outcome = self._wait(outcome)
        if outcome.tag != TAG_INTEGER:
            return VALUE + self._taken_text(outcome)
        kind = outcome.bits
        if kind == _OPEN:
            return _NEVER_SETTLES
        reader = self._evaluate(self._engine.reader)
        kind = self._call(_READ, reader, integer(b"null" in script)).bits
        return b"%c%b" % (kind, self._taken_text(self._call(_CONTENT)))

    def _begin(self, script: bytes, params: bytes) -> Value:
        """Evaluates a script, and calls its main. Returns the outcome: a value's JSON text, or the kind; or a promise."""
        code = self._engine.scripts.get(script)
        try:
            function = self._read(code) if code is not None else self._compile_script(script)
        except _RefusedError:
            return self._fail(is_refused=True)
        try:
            main = self._start(function)
        except _ThrownError:
            return self._fail(is_refused=False)
        return self._call_with_text(_RUN, params, main)

    def _compile_script(self, script: bytes) -> Value:
        """A script's function. Raises `_RefusedError`."""
        text = self._taken_text(self._call_with_text(_PARSE, script))
        try:
            function = self._compile(_BEFORE + text + _AFTER, EVAL_INDIRECT)
        except _ThrownError as error:
            raise _RefusedError from error
        if len(script) > _CACHED_SCRIPT:
            return function
        try:
            code = self._write(function)
        finally:
            self._library.FreeValue(self._context, function)
        self._engine.scripts.add(script, code)
        return self._read(code)  # so that a heap looks the same each time that the script runs

    def _wait(self, promise: Value) -> Value:
        """Runs microtasks until there is an outcome, or no more of them. Frees main's promise. Returns the outcome."""
        library, runtime, context = self._library, self._runtime, self._context
        try:
            while (result := library.ExecutePendingJob(runtime, _IGNORED)) != 0:
                if result < 0:
                    # A microtask threw. Nobody in the script caught it, and main's promise may settle all the same.
                    library.FreeValue(context, library.GetException(context))
                # The state is found faster than the outcome, and scripts have thousands of microtasks.
                if library.PromiseState(context, promise) == PROMISE_PENDING:
                    continue
                outcome = self._call(_OUTCOME)
                if outcome.tag != TAG_INTEGER or outcome.bits != _OPEN:
                    return outcome
        finally:
            library.FreeValue(context, promise)
        return integer(_OPEN)

    def _fail(self, *, is_refused: bool) -> Value:
        """Makes what was thrown the outcome, which it returns."""
        exception = self._library.GetException(self._context)
        try:
            return self._call(_FAIL, exception, integer(is_refused))
        finally:
            self._library.FreeValue(self._context, exception)

    # The engine's functions. Each raises `_ThrownError` where the engine throws. A value that they return has to be freed.

    def _call(self, *request: Value) -> Value:
        """Has script_runner.js do a request. It throws only where the engine is at its limits."""
        arguments = (Value * len(request))(*request)
        return _checked(self._library.Call(self._context, self._request, UNDEFINED, len(request), arguments))

    def _call_with_text(self, request: Value, text: bytes, *arguments: Value) -> Value:
        string = _checked(self._library.NewStringLen(self._context, text, len(text)))
        try:
            return self._call(request, string, *arguments)
        finally:
            self._library.FreeValue(self._context, string)

    def _taken_text(self, string: Value) -> bytes:
        """What a string says, in UTF-8. Frees it."""
        length = ctypes.c_size_t()
        try:
            address = self._library.ToCStringLen2(self._context, ctypes.byref(length), string, False)  # noqa: FBT003 - of C
            if not address:
                raise _ThrownError
            try:
                return ctypes.string_at(address, length.value)
            finally:
                self._library.FreeCString(self._context, address)
        finally:
            self._library.FreeValue(self._context, string)

    def _compile(self, source: bytes, kind: int) -> Value:
        flags = kind | EVAL_COMPILE_ONLY
        return _checked(self._library.Eval(self._context, source, len(source), _FILE, flags))

    def _write(self, function: Value) -> bytes:
        length = ctypes.c_size_t()
        address = self._library.WriteObject(self._context, ctypes.byref(length), function, BYTECODE)
        if not address:
            raise _ThrownError
        try:
            return ctypes.string_at(address, length.value)
        finally:
            self._library.free(self._context, address)

    def _read(self, code: bytes) -> Value:
        return _checked(self._library.ReadObject(self._context, code, len(code), BYTECODE))

    def _start(self, function: Value) -> Value:
        """What a function that was compiled gives; it is freed, and the result when the context is."""
        result = _checked(self._library.EvalFunction(self._context, function))
        self._functions.append(result)
        return result

    def _evaluate(self, code: bytes) -> Value:
        return self._start(self._read(code))


class _RefusedError(Exception):
    """The engine refuses a script; why, is still there."""


class BytecodeCache:
    """The bytecode of the scripts that ran last, by their texts.

    Args:
        max_bytes: How much is kept, of texts and bytecode.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._codes: dict[bytes, bytes] = {}  # the last one used comes last
        self._size = 0

    def get(self, script: bytes) -> bytes | None:
        """The code of a script; None if it is not kept."""
        code = self._codes.pop(script, None)
        if code is not None:
            self._codes[script] = code
        return code

    def add(self, script: bytes, code: bytes) -> None:
        """Keeps the code of a script that has none."""
        self._codes[script] = code
        self._size += len(script) + len(code)
        while self._size > self._max_bytes:
            oldest = next(iter(self._codes))
            self._size -= len(oldest) + len(self._codes.pop(oldest))


def _checked(value: Value) -> Value:
    if value.tag == TAG_EXCEPTION:
        raise _ThrownError
    return value


def _read_source(name: str) -> bytes:
    """A source file."""
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes long to import
        return file.read()
