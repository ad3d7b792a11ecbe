"""Value bindings: constants, references, and the inputs of a node that come of them."""

from typing import Any

import pytest
from support.scopes import Variables

from flowgram_core.modeling.bindings import (
    compile_inputs,
    compile_reference,
    compile_value,
    parse_json_content,
)
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.values import UNDEFINED, Variable

SCOPE = Variables(
    {
        "start.text": "hello",
        "start.whole": 1.0,
        "start.half": 0.5,
        "start.yes": True,
        "start.none": Variable(None, "string"),
        "start.unset": Variable(UNDEFINED, "string"),
        "start.object": {"a": {"b": [1, "x", None]}, "none": None, "when": "2024-05-06T07:08:09Z"},
        "start.array": Variable([{"id": 1}, {"id": 2}], "array", "object"),
        "start.typed": Variable("5", "integer"),
        "start.map": Variable({"a": 1}, "map"),
        "start.untyped": Variable("x", None),
    }
)


def constant(content: Any) -> dict[str, Any]:
    return {"type": "constant", "content": content}


def ref(*content: Any) -> dict[str, Any]:
    return {"type": "ref", "content": list(content)}


def template(content: Any) -> dict[str, Any]:
    return {"type": "template", "content": content}


def resolve(flow_value: Any, declared_type: str | None = None) -> Variable | None:
    return compile_value(flow_value).resolve(SCOPE, declared_type)


# Constants


@pytest.mark.parametrize(
    ("content", "declared_type"),
    [
        ("5", "integer"),
        (5, "string"),
        ("x", "boolean"),
        ([1], "object"),
        ("2024", "date-time"),
        ("", "string"),
    ],
)
def test_a_constant_takes_the_declared_type_unchecked(content: Any, declared_type: str) -> None:
    """The text "5" for an integer stays a text, and counts as an integer."""
    assert resolve(constant(content), declared_type) == Variable(content, declared_type)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("x", "string"), (1, "integer"), (1.5, "number"), (True, "boolean"), ([], "array"), ({}, "object")],
)
def test_a_constant_without_declared_type_has_its_own(content: Any, expected: str) -> None:
    """Where nothing is declared, the type of the value counts."""
    assert resolve(constant(content)) == Variable(content, expected)


@pytest.mark.parametrize("declared_type", ["object", "array", "map"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        (" [1] ", [1]),
        ("5", 5),
        ("false", False),
        ('"text"', "text"),
        ("no json", "no json"),
        ("", ""),
        ("[1,]", "[1,]"),
        ("NaN", "NaN"),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_json_text_is_parsed_for_objects_arrays_and_maps(
    content: Any, expected: Any, declared_type: str
) -> None:
    """A JSON text is parsed; text that is no JSON stays text."""
    assert resolve(constant(content), declared_type) == Variable(expected, declared_type)


@pytest.mark.parametrize("declared_type", ["string", "integer", "number", "boolean", "date-time", None])
def test_json_text_stays_text_for_other_types(declared_type: str | None) -> None:
    """Only object, array and map take JSON text."""
    found = resolve(constant("[1]"), declared_type)
    assert found is not None
    assert found.value == "[1]"


@pytest.mark.parametrize("content", ["", 0, False, 0.0, [], {}])
def test_falsy_constants_are_values(content: Any) -> None:
    """The empty text, zero and false are values."""
    found = resolve(constant(content), "string")
    assert found is not None
    assert found.value == content


def test_a_null_constant_is_absent() -> None:
    """Null is as if absent: the constant itself, the JSON text of a null, and a binding without content."""
    assert resolve(constant(None), "string") is None
    assert resolve(constant("null"), "array") is None
    assert resolve({"type": "constant"}, "string") is None


# References


@pytest.mark.parametrize("content", [[], ["start"], None, "start.text", {}, [1, "text"], ["start", None]])
def test_a_reference_that_names_no_variable_is_absent(content: Any) -> None:
    """Shorter than two is absent, and so is what is no list of names."""
    assert resolve({"type": "ref", "content": content}, "string") is None


def test_a_reference_without_content_is_absent() -> None:
    """A binding may lack its content."""
    assert resolve({"type": "ref"}, "string") is None


def test_a_reference_to_an_unknown_variable_is_absent() -> None:
    """Neither an unknown node nor an unknown key is an error."""
    assert resolve(ref("nobody", "text")) is None
    assert resolve(ref("start", "nothing")) is None


@pytest.mark.parametrize("key", ["typed", "array", "map", "none", "unset", "untyped"])
def test_a_reference_without_path_has_the_declared_type(key: str) -> None:
    """Without a path the value has the variable's declared type, whatever it is."""
    assert resolve(ref("start", key), "string") == SCOPE.lookup("start", key)


@pytest.mark.parametrize(
    ("path", "value", "kind", "items_type"),
    [
        (["object", "a"], {"b": [1, "x", None]}, "object", None),
        (["object", "a", "b"], [1, "x", None], "array", "integer"),
        (["object", "a", "b", "1"], "x", "string", None),
        (["object", "a", "b", "2"], None, "null", None),
        (["object", "a", "b", "length"], 3, "integer", None),
        (["object", "none"], None, "null", None),
        (["object", "when"], "2024-05-06T07:08:09Z", "date-time", None),
        (["array", "1", "id"], 2, "integer", None),
        (["array", 0, "id"], 1, "integer", None),
        (["text", "length"], 5, "integer", None),
        (["text", "0"], "h", "string", None),
        (["map", "a"], 1, "integer", None),
    ],
)
def test_a_path_has_the_type_of_what_it_finds(
    path: list[Any], value: Any, kind: str, items_type: str | None
) -> None:
    """With a path, the type is that of the value found; of an array, the items have the type of the first one."""
    assert resolve(ref("start", *path), "string") == Variable(value, kind, items_type)


def test_the_items_of_an_empty_array_that_a_path_finds_are_null() -> None:
    """There is no first item."""
    scope = Variables({"a.b": {"list": []}})
    assert compile_value(ref("a", "b", "list")).resolve(scope) == Variable([], "array", "null")


@pytest.mark.parametrize(
    "path",
    [["object", "x"], ["object", "none", "x"], ["text", "x"], ["unset", "x"], ["none", "x"], ["array", "2"]],
)
def test_a_path_that_finds_nothing_is_absent(path: list[str]) -> None:
    """Nothing found is absent, wherever the path ends."""
    assert resolve(ref("start", *path)) is None


# Mistakes


@pytest.mark.parametrize(
    ("flow_value", "text"),
    [
        ({"type": "expression", "content": "1 + 1"}, "Unknown flow value type: expression"),
        ({"type": "other"}, "Unknown flow value type: other"),
        ({}, "Invalid flow value type: undefined"),
        ({"type": ""}, "Invalid flow value type: "),
        ({"type": None}, "Invalid flow value type: null"),
        (None, "Invalid flow value type: undefined"),
        ("text", "Invalid flow value type: undefined"),
        (template(5), "Invalid template value: the content must be a string"),
    ],
)
def test_a_wrong_binding_is_an_error_when_it_is_evaluated(flow_value: Any, text: str) -> None:
    """Expressions, unknown kinds of bindings and what is none compile, and fail who uses them."""
    binding = compile_value(flow_value)
    with pytest.raises(BindingError) as caught:
        binding.resolve(SCOPE, "string")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("flow_value", "text"),
    [
        (constant(1), "Invalid ref value: [object Object]"),
        (None, "Invalid ref value: null"),
        (UNDEFINED, "Invalid ref value: undefined"),
        ("start.text", "Invalid ref value: start.text"),
    ],
)
def test_where_only_a_reference_will_do(flow_value: Any, text: str) -> None:
    """Left sides, loopFor and loop outputs must be references."""
    with pytest.raises(BindingError) as caught:
        compile_reference(flow_value).resolve(SCOPE)
    assert str(caught.value) == text
    assert compile_reference(ref("start", "text")).resolve(SCOPE) == Variable("hello", "string")


# Inputs


def inputs(values: Any, **types: Any) -> dict[str, Any]:
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return compile_inputs(values, {"type": "object", "properties": properties})(SCOPE)


def test_inputs_are_what_is_declared_present_and_of_the_declared_type() -> None:
    """Anything else is silently left out."""
    values = {
        "text": ref("start", "text"),
        "mismatch": ref("start", "text"),
        "absent": ref("nobody", "x"),
        "undeclared": constant(1),
        "unset": ref("start", "unset"),
        "none": ref("start", "none"),
    }
    types = {"text": "string", "mismatch": "integer", "absent": "string", "unset": "string", "none": "string"}
    assert inputs(values, **types) == {"text": "hello", "none": None}


@pytest.mark.parametrize(
    ("key", "declared", "taken"),
    [
        ("whole", "integer", True),
        ("whole", "number", True),
        ("half", "integer", True),
        ("half", "number", True),
        ("typed", "integer", True),
        ("typed", "string", False),
        ("map", "map", True),
        ("map", "object", False),
        ("object", "map", False),
        ("yes", "integer", False),
        ("untyped", "string", False),
    ],
)
def test_integer_equals_number_and_other_types_must_be_the_same(key: str, declared: str, taken: bool) -> None:
    """The variable's type counts, not what the value looks like."""
    assert ("v" in inputs({"v": ref("start", key)}, v=declared)) is taken


def test_inputs_keep_the_order_of_their_values() -> None:
    """Not that of their declarations."""
    values = {"b": constant(1), "a": constant(2)}
    assert list(inputs(values, a="integer", b="integer")) == ["b", "a"]


@pytest.mark.parametrize(
    ("values", "declare"),
    [
        (None, {"type": "object", "properties": {"a": {"type": "string"}}}),
        ({"a": constant("x")}, None),
        ({"a": constant("x")}, {"type": "object"}),
        ({"a": constant("x")}, {"type": "object", "properties": {"a": None}}),
        ({}, {}),
    ],
)
def test_without_values_or_declarations_there_are_no_inputs(values: Any, declare: Any) -> None:
    """Both have to be there."""
    assert compile_inputs(values, declare)(SCOPE) == {}


def test_errors_in_undeclared_inputs_do_not_matter() -> None:
    """They are never evaluated; those in declared ones fail the node."""
    values = {"a": {"type": "expression", "content": "1"}}
    assert inputs(values, b="string") == {}
    with pytest.raises(BindingError, match="Unknown flow value type: expression"):
        inputs(values, a="string")


@pytest.mark.parametrize("declared", [{}, {"type": "unknown"}])
def test_an_input_that_is_declared_without_type_takes_any_value(declared: dict[str, Any]) -> None:
    """So does one of type `unknown`; a type that is none takes nothing."""
    assert inputs({"v": ref("start", "untyped")}, v=declared) == {"v": "x"}
    assert inputs({"v": ref("start", "text")}, v=declared) == {"v": "hello"}
    assert inputs({"v": ref("start", "text")}, v={"type": 5}) == {}


# Defaults


@pytest.mark.parametrize(
    ("content", "declared_type", "expected"),
    [
        ("[1]", "array", [1]),
        ('{"a": 1}', "object", {"a": 1}),
        ('{"a": 1}', "map", {"a": 1}),
        ("[1]", "string", "[1]"),
        ("[1", "array", "[1"),
        ("[1]", None, "[1]"),
        ([1], "array", [1]),
        (None, "array", None),
        (UNDEFINED, "array", UNDEFINED),
    ],
)
def test_json_text_of_defaults(content: Any, declared_type: str | None, expected: Any) -> None:
    """Defaults of objects, arrays and maps are parsed as constants are."""
    assert parse_json_content(content, declared_type) == expected
