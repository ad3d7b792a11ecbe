"""The program cache: compiled workflows, kept for the next task with the same schema.

Large schemas and inputs are compiled and checked in threads, so that the event loop goes on meanwhile.
"""

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast, final

from mypy_extensions import mypyc_attr

from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.engine.node_type import NodeTypes, PinningNodeType
from flowgram_core.engine.program import Program, link
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling import json_text
from flowgram_core.modeling.compiler import compile_schema, too_many_nodes
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.document import Document
from flowgram_core.modeling.errors import (
    JSONTextError,
    JSONTooLarge,
    NumberOutOfRange,
    Problem,
    SchemaInvalid,
    WorkLimitExceeded,
)
from flowgram_core.modeling.inputs_validation import validate_inputs
from flowgram_core.modeling.json_text import JSONObject, JSONValue
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.normalization import normalize
from flowgram_core.modeling.simple_types import have_types
from flowgram_core.modeling.sizes import utf8_length
from flowgram_core.modeling.warnings import find_warnings

_LARGE_SCHEMA: Final = 64 * 1024
_LARGE_INPUTS: Final = 64 * 1024
"""Characters. Longer texts are handled in a thread."""
_MUCH: Final = 16 * 1024 * 1024
"""Characters of inputs times bytes of their declaration: everything in the one may have to be looked for in all of the other."""
_SHARE: Final = 8
"""A program takes about so many times the memory of a schema's text, unless the text is made to take more."""
_LARGE_PROGRAM: Final = 1024 * 1024
"""Bytes of memory of a program, at most. Less is freed in about a millisecond."""
_THREADS: Final = 2
"""More would only compete with the event loop for the interpreter."""

_Done = TypeVar("_Done")


class _Kept(NamedTuple):
    program: Program
    size: int  # of the schema's text, which grows when its UTF-8 form is cached; more where the program is far larger


class Validation(NamedTuple):
    """What a check of a workflow and its inputs finds.

    Attributes:
        problems: All that is wrong with the schema, or, if nothing is, with the inputs.
        warnings: What does not keep it from running, and is probably not meant; none for a schema that is not valid.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@final
class Prepared:
    """A program and inputs for it.

    Attributes:
        program: The program.
        inputs: Inputs that fit.
        inputs_memory: Bytes of memory that they take at most, about.
    """

    __slots__ = ("inputs", "inputs_memory", "program")

    def __init__(self, program: Program, inputs: JSONObject, inputs_memory: int) -> None:
        self.program = program
        self.inputs = inputs
        self.inputs_memory = inputs_memory


@mypyc_attr(allow_interpreted_subclasses=True)
class ProgramCache:
    """Compiles schemas and checks inputs; keeps the programs that were used most recently.

    `program` and `inputs` may be called by several threads at once, and programs be run by them; `prepare` is for one event
    loop.

    Args:
        node_types: The node types that workflows may use.
        settings: The limits.
        with_secrets: Whether workflows may name secrets of the server.
        free: Takes large programs that are kept no longer, and inputs that were only checked, to free them once nothing uses them;
            None: they may go in one go.
    """

    def __init__(
        self,
        node_types: NodeTypes,
        settings: RuntimeSettings,
        *,
        with_secrets: bool = True,
        free: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self._free = free
        self._node_types = node_types
        self._with_secrets = with_secrets
        self._settings = settings
        self._programs: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()
        self._compiling: dict[str, asyncio.Future[Program]] = {}
        # A pool of its own: a thread that still works for a caller who is gone must not block other users of threads.
        self._threads = ThreadPoolExecutor(_THREADS, "program-cache")

    async def prepare(self, schema: str, inputs: str) -> Prepared:
        """The program of a schema's text, and the inputs for it that a text gives; see `program` and `inputs`."""
        prepared = self.prepare_at_once(schema, inputs)
        if prepared is not None:
            return prepared
        if len(schema) <= _LARGE_SCHEMA or schema in self._programs:
            program = self.program(schema)
        else:
            program = await self._compile_once(schema)
        if _is_quick(program, inputs):
            return self._prepare_inputs(program, inputs)
        abandoned = threading.Event()

        def prepare() -> Prepared:
            prepared = self._prepare_inputs(program, inputs)
            if abandoned.is_set():
                unused = [prepared.inputs]
                del prepared
                dispose(unused)
                raise asyncio.CancelledError
            return prepared

        try:
            return await self._in_thread(prepare)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    def prepare_at_once(self, schema: str, inputs: str) -> Prepared | None:
        """What `prepare` gives, as for nearly all tasks; None where something is large, and is to be done in a thread."""
        if len(schema) > _LARGE_SCHEMA and schema not in self._programs:
            return None
        program = self.program(schema)
        return self._prepare_inputs(program, inputs) if _is_quick(program, inputs) else None

    def _prepare_inputs(self, program: Program, text: str) -> Prepared:
        return Prepared(program, self.inputs(program, text), json_text.memory_bound(text))

    async def validate(self, schema: str, inputs: str) -> Validation:
        """What is wrong with a schema and inputs, and what is probably not meant; see `program` and `inputs`."""
        problems: tuple[Problem, ...] = ()
        try:
            values: JSONObject | None = (await self.prepare(schema, inputs)).inputs
        except InvalidWorkflow as error:
            if not error.in_inputs:
                return Validation(error.problems)
            problems, values = error.problems, None
        work = partial(_warnings, schema, values)
        warnings = work() if len(schema) <= _LARGE_SCHEMA else await self._in_thread(work)
        if len(inputs) > _LARGE_INPUTS:
            checked: list[Any] = [values]
            del work, values
            if self._free is not None:
                self._free(checked)  # the thread that read them may have them for a moment yet
            else:
                await self._in_thread(partial(dispose, checked))
        return Validation(problems, warnings)

    def pinned(self, pins: Mapping[str, JSONObject], *, with_secrets: bool) -> "ProgramCache":
        """A cache for tasks that were accepted with other settings of their node types; see `PinningNodeType`.

        Args:
            pins: By node type.
            with_secrets: Whether their workflows may name secrets of the server.
        """
        node_types = {
            name: node_type.pinned(pins.get(name, {}))
            if isinstance(node_type, PinningNodeType)
            else node_type
            for name, node_type in self._node_types.items()
        }
        return ProgramCache(node_types, self._settings, with_secrets=with_secrets, free=self._free)

    def program(self, schema: str, *, accepted: bool = False) -> Program:
        """The program of a schema's text; of an accepted task, whatever the limits are now.

        Raises:
            InvalidWorkflow: It has problems; with all of them.
        """
        if not accepted:
            self._check_size("schema", schema, self._settings.max_schema_bytes)
        kept = self._find(schema)
        if kept is None:
            program = self._compile(schema, accepted=accepted)
            self._keep(schema, program)
            return program
        if not accepted and (problems := self._problems_of_document(kept.program.document)):
            raise InvalidWorkflow(problems)
        return kept.program

    def _find(self, schema: str) -> _Kept | None:
        with self._lock:
            kept = self._programs.get(schema)
            if kept is not None:
                self._programs.move_to_end(schema)
        return kept

    async def _compile_once(self, schema: str) -> Program:
        """Compiles in a thread, once for all concurrent callers, even if one of them is cancelled."""
        self._check_size("schema", schema, self._settings.max_schema_bytes)
        compiling = self._compiling.get(schema)
        if compiling is None:
            compiling = self._compiling[schema] = asyncio.create_task(self._compile_in_thread(schema))
            # All callers may be gone before the result: then nobody retrieves its exception.
            compiling.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(compiling)
        finally:
            del (
                compiling
            )  # its error would keep this frame, and the frame it: with the text, until the next collection

    async def _compile_in_thread(self, schema: str) -> Program:
        try:
            program = await self._in_thread(lambda: self._compile(schema))
            self._keep(schema, program)
            return program
        finally:
            del self._compiling[schema]

    async def _in_thread(self, work: Callable[[], _Done]) -> _Done:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _keep(self, schema: str, program: Program) -> None:
        dropped: list[Any] = []
        with self._lock:
            if schema in self._programs:  # it was compiled twice at the same time
                return
            kept = self._programs[schema] = _Kept(
                program, max(sys.getsizeof(schema), program.document.memory // _SHARE)
            )
            self._kept_bytes += kept.size
            settings = self._settings
            while (
                len(self._programs) > settings.cached_documents
                or self._kept_bytes > settings.cached_schema_bytes
            ):
                _, oldest = self._programs.popitem(last=False)
                self._kept_bytes -= oldest.size
                if oldest.program.document.memory >= _LARGE_PROGRAM:
                    dropped.append(oldest.program)
        if dropped and self._free is not None:
            self._free(dropped)

    def _compile(self, schema: str, *, accepted: bool = False) -> Program:
        try:
            memory = None if accepted else self._settings.limits.max_task_memory
            nodes = None if accepted else self._settings.max_nodes
            document = compile_schema(
                schema, max_memory=memory, max_nodes=nodes, with_secrets=self._with_secrets
            )
        except SchemaInvalid as error:
            raise InvalidWorkflow(error.problems) from None
        if not accepted and (problems := self._problems_of_document(document)):
            refused: list[Any] = [document]
            del document
            dispose(refused)
            raise InvalidWorkflow(problems)
        return link(document, self._node_types)

    def inputs(self, program: Program, text: str, *, accepted: bool = False) -> JSONObject:
        """The inputs that a text gives to a program, checked; empty text means `{}`. Limits are as for `program`.

        Raises:
            InvalidWorkflow: They have problems; with all of them.
        """
        if not accepted:
            self._check_size("inputs", text, self._settings.max_inputs_bytes, in_inputs=True)
        try:
            memory = None if accepted else self._settings.limits.max_task_memory
            members = None if accepted else json_text.MAX_MEMBERS
            inputs = json_text.loads(text, max_memory=memory, max_members=members) if text else {}
        except JSONTextError as error:
            wrong = (
                "cannot be read"
                if isinstance(error, JSONTooLarge | NumberOutOfRange)
                else "are not valid JSON"
            )
            problems: tuple[Problem, ...] = (Problem("inputs", f"Workflow inputs {wrong}: {error}"),)
            inputs = None
        else:
            problems = self._problems_of(program, inputs, accepted=accepted)
        if problems:
            refused = [inputs]
            del inputs
            dispose(refused)
            raise InvalidWorkflow(problems, in_inputs=True)
        return cast("JSONObject", inputs)

    def _problems_of(self, program: Program, inputs: JSONValue, *, accepted: bool) -> tuple[Problem, ...]:
        if not isinstance(inputs, dict):
            return (Problem("inputs", "Workflow inputs must be a JSON object"),)
        types = program.document.simple_inputs
        if types is not None and have_types(inputs, types):
            return ()
        work = UNLIMITED if accepted else self._settings.limits.max_node_work
        try:
            return validate_inputs(
                program.document.inputs_schema, inputs, Meter(work, "Validating the inputs")
            )
        except WorkLimitExceeded as error:
            return (Problem("inputs", str(error)),)

    def _problems_of_document(self, document: Document) -> tuple[Problem, ...]:
        """Problems that only new tasks have: names that are too long, secrets that are not there, too many nodes."""
        if problems := document.name_problems + document.secret_problems:
            return problems
        nodes, limit = document.nodes, self._settings.max_nodes
        return (too_many_nodes(nodes, limit),) if nodes > limit else ()

    @staticmethod
    def _check_size(name: str, text: str, limit: int, *, in_inputs: bool = False) -> None:
        # A character takes one to four bytes: most texts need not be encoded to know that they fit.
        if len(text) * 4 > limit and (size := utf8_length(text)) > limit:
            problem = Problem(
                name, f"{size} bytes of workflow {name} are more than the limit max_{name}_bytes = {limit}"
            )
            raise InvalidWorkflow((problem,), in_inputs=in_inputs)


def _is_quick(program: Program, inputs: str) -> bool:
    """Whether a text of inputs is read and checked in no time."""
    return len(inputs) <= _LARGE_INPUTS and len(inputs) * program.document.inputs_schema_size <= _MUCH


def _warnings(schema: str, inputs: JSONObject | None) -> tuple[Problem, ...]:
    return find_warnings(normalize(json_text.loads(schema, max_members=None)), inputs)
