"""References to secrets: where they may stand, and what they are in the core."""

import json
from typing import Any

import pytest
from support.executions import link_schema
from support.workflows import END, START, chain, node

from flowgram_core.modeling.compiler import compile_schema
from flowgram_core.modeling.document import Document
from flowgram_core.modeling.secret_references import placeholder

REF = {"type": "ref", "content": ["secrets", "KEY"]}
TEMPLATE = {"type": "template", "content": "Bearer {{ secrets.KEY }} {{secrets.OTHER}}{{start_0.text}}"}


def compiled(*nodes: dict[str, Any], **more: Any) -> Document:
    return compile_schema(chain(START, *nodes, END), **more)


def uses_of(document: Document, node_id: str) -> dict[str, list[str]]:
    found = next(node for node in document.root.nodes if node.id == node_id)
    return {field: list(names) for field, names in found.secrets.items()}


def test_secrets_may_stand_in_the_key_of_a_model() -> None:
    """As a reference, or in a template."""
    for binding, names in ((REF, ["KEY"]), (TEMPLATE, ["KEY", "OTHER"])):
        document = compiled(node("llm_0", "llm", inputsValues={"apiKey": binding}))
        assert document.secret_problems == ()
        assert uses_of(document, "llm_0") == {"apiKey": names}
        assert document.secrets == tuple(names)


def test_secrets_may_stand_in_headers_params_and_body_of_a_request() -> None:
    """In every kind of body; how often is counted."""
    twice = {"type": "template", "content": "{{secrets.KEY}}{{json secrets.KEY}}"}
    document = compiled(
        node(
            "http_0",
            "http",
            headersValues={"X.Api": TEMPLATE},
            paramsValues={"key": REF},
            body={
                "json": twice,
                "rawText": REF,
                "binary": TEMPLATE,
                "formDataValues": {"a": REF},
                "xWwwFormUrlencodedValues": {"b": TEMPLATE},
            },
        )
    )
    assert document.secret_problems == ()
    assert uses_of(document, "http_0") == {
        "headers.X.Api": ["KEY", "OTHER"],
        "params.key": ["KEY"],
        "body.json": ["KEY", "KEY"],
        "body.rawText": ["KEY"],
        "body.binary": ["KEY", "OTHER"],
        "formData.a": ["KEY"],
        "xWwwFormUrlencoded.b": ["KEY", "OTHER"],
    }


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (node("x", "code", inputsValues={"k": REF}), "inputsValues.k"),
        (node("x", "code", inputsValues={"k": {"deep": TEMPLATE}}), "inputsValues.k.deep"),
        (node("x", "llm", inputsValues={"prompt": TEMPLATE}), "inputsValues.prompt"),
        (node("x", "llm", inputsValues={"apiHost": REF}), "inputsValues.apiHost"),
        (node("x", "llm", inputsValues={"apiKey": {"inner": REF}}), "inputsValues.apiKey.inner"),
        (node("x", "http", api={"url": TEMPLATE}), "api.url"),
        (node("x", "http", headersValues={"A": {"b": REF}}), "headersValues.A.b"),
        (node("x", "http", inputsValues={"apiKey": REF}), "inputsValues.apiKey"),
        (node("x", "loop", loopFor=REF), "loopFor"),
        (node("x", "loop", loopOutputs={"o": REF}), "loopOutputs.o"),
        (node("x", "condition", conditions=[{"key": "k", "value": {"left": REF}}]), "conditions[0].value.left"),
        (node("x", "variable", assign=[{"operator": "assign", "left": REF, "right": REF}]), "assign[0].left"),
        (node("x", "of-another-package", anything=[{"deep": TEMPLATE}]), "anything[0].deep"),
    ],
)  # fmt: skip
def test_a_secret_anywhere_else_is_a_problem(wrong: dict[str, Any], place: str) -> None:
    """Which names the field."""
    problems = compiled(wrong).secret_problems
    assert problems[0].path == f"schema.nodes[1].data.{place}"
    assert problems[0].text.startswith('The secret "KEY" cannot be used here')


def test_the_end_of_a_workflow_gives_no_secrets() -> None:
    """Nor does a node inside of a loop take one where it may not."""
    end = node("end_0", "end", inputsValues={"out": TEMPLATE})
    (first, second) = compile_schema(chain(START, end)).secret_problems
    assert {first.path, second.path} == {"schema.nodes[1].data.inputsValues.out"}
    inner = {**node("l", "loop"), "blocks": [node("bs", "block-start"), node("be", "block-end"), node("c", "code", inputsValues={"k": REF})], "edges": []}  # fmt: skip
    (problem,) = compiled(inner).secret_problems
    assert problem.path == "schema.nodes[1].blocks[2].data.inputsValues.k"


@pytest.mark.parametrize(
    "content",
    [["secrets"], ["secrets", "KEY", "part"], ["secrets", 1], ["secrets", "no name"], ["secrets", ""]],
)
def test_a_reference_that_names_no_secret_is_a_problem(content: list[Any]) -> None:
    """A secret has no parts, and a name of letters, digits, _ and -."""
    binding = {"type": "ref", "content": content}
    (problem,) = compiled(node("http_0", "http", headersValues={"A": binding})).secret_problems
    assert problem.path == "schema.nodes[1].data.headersValues.A"
    assert "a reference to a secret is" in problem.text


def test_constants_and_scripts_are_no_references() -> None:
    """They are data, whatever they look like."""
    document = compiled(
        node(
            "code_0",
            "code",
            inputsValues={"a": {"type": "constant", "content": REF}, "b": {"type": "constant", "content": "{{secrets.KEY}}"}},
            script={"content": "'{{secrets.KEY}}'"},
        )
    )  # fmt: skip
    assert (document.secrets, document.secret_problems) == ((), ())


def test_a_node_with_the_id_secrets_is_a_node() -> None:
    """References lead to it, wherever it stands; such a workflow has no secrets."""
    document = compiled(node("secrets", "code"), node("x", "code", inputsValues={"k": REF}))
    assert (document.secrets, document.secret_problems) == ((), ())
    inner = {**node("l", "loop"), "blocks": [node("bs", "block-start"), node("be", "block-end"), node("secrets", "code")], "edges": []}  # fmt: skip
    assert compiled(inner, node("x", "code", inputsValues={"k": REF})).secret_problems == ()


def test_tasks_of_earlier_releases_have_no_secrets() -> None:
    """For them `secrets` is the id of a node that there is not."""
    document = compiled(node("llm_0", "llm", inputsValues={"apiKey": REF}), with_secrets=False)
    assert (document.secrets, uses_of(document, "llm_0")) == ((), {})


def test_an_escaped_name_is_found() -> None:
    """JSON may write a letter as an escape."""
    schema = chain(START, node("x", "code", inputsValues={"k": REF}), END)
    escaped = schema.replace('"secrets"', '"\\u0073ecrets"')
    assert json.loads(escaped) == json.loads(schema)
    assert compile_schema(escaped).secret_problems
    assert link_schema(json.loads(schema)).document.secret_problems


def test_the_placeholder_is_what_a_template_has() -> None:
    """So that snapshots show what the workflow says."""
    assert placeholder("KEY") == "{{secrets.KEY}}"
