"""The library: compiled workflows, kept for the next task of the same schema."""

from collections import OrderedDict
from collections.abc import Mapping

from flowgram_runtime.engine.node_type import NodeTypes, PinningNodeType
from flowgram_runtime.engine.program import Program, link
from flowgram_runtime.errors import InvalidWorkflow
from flowgram_runtime.modeling import json_text
from flowgram_runtime.modeling.compiler import compile_schema
from flowgram_runtime.modeling.document import Document
from flowgram_runtime.modeling.errors import JSONTextError, Problem, SchemaInvalid
from flowgram_runtime.modeling.inputs_validation import validate_inputs
from flowgram_runtime.modeling.json_text import JSONObject
from flowgram_runtime.settings import RuntimeSettings


class Library:
    """Compiles schemas and checks inputs; keeps the programs that were used last."""

    def __init__(self, node_types: NodeTypes, settings: RuntimeSettings) -> None:
        self._node_types = node_types
        self._settings = settings
        self._programs: OrderedDict[str, Program] = OrderedDict()

    def pinned(self, pins: Mapping[str, JSONObject]) -> "Library":
        """A library for tasks that were accepted with other settings of their node types; see `PinningNodeType`."""
        node_types = {
            name: node_type.pinned(pins.get(name, {}))
            if isinstance(node_type, PinningNodeType)
            else node_type
            for name, node_type in self._node_types.items()
        }
        return Library(node_types, self._settings)

    def program(self, schema: str, *, accepted: bool = False) -> Program:
        """The program of a schema's text; of an accepted task, whatever the limits are now.

        Raises:
            InvalidWorkflow: It has problems; with all of them.
        """
        if not accepted:
            self._check_size("schema", schema, self._settings.max_schema_bytes)
        program = self._programs.get(schema)
        if program is not None:
            if not accepted:
                self._check_nodes(program.document)
            self._programs.move_to_end(schema)
            return program
        try:
            document = compile_schema(schema)
        except SchemaInvalid as error:
            raise InvalidWorkflow(error.problems) from None
        if not accepted:
            self._check_nodes(document)
        program = self._programs[schema] = link(document, self._node_types)
        if len(self._programs) > self._settings.cached_documents:
            self._programs.popitem(last=False)
        return program

    def inputs(self, program: Program, text: str, *, accepted: bool = False) -> JSONObject:
        """The inputs that a text gives to a program, checked; empty text means `{}`. As for `program`. Raises `InvalidWorkflow` with all problems."""
        if not accepted:
            self._check_size("inputs", text, self._settings.max_inputs_bytes, in_inputs=True)
        try:
            inputs = json_text.loads(text) if text else {}
        except JSONTextError as error:
            problem = Problem("inputs", f"Workflow inputs are not valid JSON: {error}")
            raise InvalidWorkflow((problem,), in_inputs=True) from None
        if not isinstance(inputs, dict):
            raise InvalidWorkflow(
                (Problem("inputs", "Workflow inputs must be a JSON object"),), in_inputs=True
            )
        problems = validate_inputs(program.document.inputs_schema, inputs)
        if problems:
            raise InvalidWorkflow(problems, in_inputs=True)
        return inputs

    def _check_nodes(self, document: Document) -> None:
        nodes, limit = len(document.node_data), self._settings.max_nodes
        if nodes > limit:
            text = f"Workflow schema has {nodes} nodes, more than the limit max_nodes = {limit}"
            raise InvalidWorkflow((Problem("schema.nodes", text),))

    @staticmethod
    def _check_size(name: str, text: str, limit: int, *, in_inputs: bool = False) -> None:
        # A character takes one to four bytes: most texts need not be encoded to know that they fit.
        if len(text) * 4 > limit and (size := len(text.encode("utf-8", "surrogatepass"))) > limit:
            problem = Problem(
                name, f"{size} bytes of workflow {name} are more than the limit max_{name}_bytes = {limit}"
            )
            raise InvalidWorkflow((problem,), in_inputs=in_inputs)
