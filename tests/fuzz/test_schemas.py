"""The compiler of schemas is fed what is nearly a workflow: it compiles, or says what is wrong, and never fails otherwise."""

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from support import odd_json
from support.fuzzing import FUZZ
from support.odd_json import VALUES

from flowgram_core.engine.program import Program, link
from flowgram_core.modeling import json_text
from flowgram_core.modeling.compiler import compile_schema, digest
from flowgram_core.modeling.errors import JSONTextError, Problem, SchemaInvalid
from flowgram_core.modeling.inputs_validation import validate_inputs
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.registry import Registry, pure_node_types

WORKFLOWS = [
    json.loads(path.read_text("utf-8"))["schema"]
    for path in sorted((Path(__file__).parent.parent / "workflows").glob("*.json"))
]
NEARLY_WORKFLOWS = st.sampled_from(WORKFLOWS).flatmap(odd_json.changed).map(odd_json.dumps)
NODE_TYPES = Registry([*pure_node_types(), CodeNode(), HTTPNode(), LLMNode()]).node_types


def compile_and_link(text: str) -> Program | tuple[Problem, ...]:
    try:
        document = compile_schema(text)
    except SchemaInvalid as error:
        return error.problems
    return link(document, NODE_TYPES)


def check(text: str) -> None:
    outcome = compile_and_link(text)
    if isinstance(outcome, Program):
        again = compile_and_link(text)
        assert isinstance(again, Program)
        assert (again.document.digest, again.document.nodes) == (digest(text), outcome.document.nodes)
        return
    assert outcome
    assert all(problem.text for problem in outcome)
    assert compile_and_link(text) == outcome


@FUZZ
@given(NEARLY_WORKFLOWS)
def test_a_changed_workflow_compiles_or_is_refused(text: str) -> None:
    """With all problems, the same ones each time; what compiles can be linked."""
    check(text)


@FUZZ
@given(NEARLY_WORKFLOWS.flatmap(odd_json.broken))
@example("[" * 100_000)
@example('{"nodes":' * 50_000)
@example("9" * 100_000)
def test_a_broken_text_is_refused(text: str) -> None:
    """However it is broken."""
    check(text)


@FUZZ
@given(VALUES.flatmap(odd_json.changed).map(odd_json.dumps))
def test_other_json_is_refused(text: str) -> None:
    """What is no workflow at all."""
    assert not isinstance(compile_and_link(text), Program)


@FUZZ
@given(VALUES, VALUES)
def test_inputs_are_valid_or_refused(declared: object, inputs: object) -> None:
    """Whatever the start node declares, and whatever comes."""
    problems = validate_inputs(declared, inputs)
    assert all(problem.text for problem in problems)
    assert validate_inputs(declared, inputs) == problems


@FUZZ
@given(NEARLY_WORKFLOWS.flatmap(odd_json.broken))
def test_what_json_text_reads_it_writes(text: str) -> None:
    """A text is refused with its place, or its value can be written, and read again."""
    try:
        value = json_text.loads(text.encode("utf-8", "surrogatepass"))
    except (JSONTextError, UnicodeDecodeError):
        return
    assert json_text.loads(json_text.encode(value)) == value
