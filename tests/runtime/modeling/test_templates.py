"""Templates: texts with placeholders, which become the values of variables."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.scopes import Variables

from flowgram_core.modeling.bindings import compile_value
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.json_text import loads
from flowgram_core.modeling.templates import compile_template
from flowgram_core.modeling.values import UNDEFINED, Variable

SCOPE = Variables(
    {
        "start.text": "hello",
        "start.quoted": 'say "hi"\n\\',
        "start.whole": 1.0,
        "start.half": 0.5,
        "start.big": 1e21,
        "start.long": 2**53 + 1,
        "start.yes": True,
        "start.no": False,
        "start.zero": 0,
        "start.empty": "",
        "start.none": Variable(None, "string"),
        "start.unset": Variable(UNDEFINED, "string"),
        "start.object": {"a": {"b": [1, "x", None]}, "none": None},
        "start.array": Variable([{"id": 1}, {"id": 2}], "array", "object"),
    }
)


def render(text: Any) -> str | None:
    return compile_template(text).render(SCOPE)


def resolve(content: Any) -> Variable | None:
    return compile_value({"type": "template", "content": content}).resolve(SCOPE, "string")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{json start.text}}", '"hello"'),
        ("{{ json  start.text }}", '"hello"'),
        ("{{json start.quoted}}", r'"say \"hi\"\n\\"'),
        ("{{json start.empty}}", '""'),
        ("{{json start.whole}} {{json start.half}} {{json start.long}}", "1 0.5 9007199254740993"),
        ("{{json start.yes}}", "true"),
        ("{{json start.none}} {{json start.unset}} {{json start.nothing}} {{json x}}", "null null null null"),
        ("{{json start.object.a}} {{json start.array}}", '{"b":[1,"x",null]} [{"id":1},{"id":2}]'),
        ("{{json.start.text}}{{json}}{{jsonstart.text}}", ""),
    ],
)
def test_placeholders_may_be_written_as_json(text: str, expected: str) -> None:
    """Texts in quotes and escaped, so that a template may be JSON; what is absent or unset is null."""
    assert render(text) == expected


@given(st.text())
def test_any_text_makes_a_json_text(value: str) -> None:
    """It is read back as it was."""
    scope = Variables({"start.any": value})
    rendered = compile_template('{"q": {{json start.any}}}').render(scope)
    assert rendered is not None
    assert loads(rendered) == {"q": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("<{{start.text}}>", "<hello>"),
        ("{{ start.text }}{{\tstart.text\n}}", "hellohello"),
        ("{{start.text.0}}{{start.text.length}}", "h5"),
        ("{{start.whole}}", "1"),
        ("{{start.half}}", "0.5"),
        ("{{start.big}}", "1e+21"),
        ("{{start.long}}", "9007199254740993"),
        ("{{start.yes}} {{start.no}}", "true false"),
        ("{{start.zero}}{{start.empty}}", "0"),
        ("{{start.none}}", "null"),
        ("{{start.object.none}}", "null"),
        ("{{start.unset}}", ""),
        ("{{start.nothing}}{{nobody.text}}{{start.object.x.y}}", ""),
        ("{{start.object.a}}", '{"b":[1,"x",null]}'),
        ("{{start.array}}", '[{"id":1},{"id":2}]'),
        ("{{start.array.1.id}}", "2"),
        ("{{start}}", ""),
        ("{{ }}", ""),
        ("{{start.}}", ""),
        ("{{start. text}}", ""),
        ("{{}}", "{{}}"),
        ("{start.text}", "{start.text}"),
        ("{{start.text", "{{start.text"),
        ("{{start.text}", "{{start.text}"),
        ("{{{start.text}}}", "}"),
        ("{{a}b}}", "{{a}b}}"),
        ("{{start.text}}}", "hello}"),
        ("{{start\n.text}}", ""),
    ],
)
def test_what_templates_give(text: str, expected: str) -> None:
    """Placeholders are references, split at dots; texts go in as they are, the rest as JavaScript or JSON prints it."""
    assert render(text) == expected
    assert resolve(text) == Variable(expected, "string")


def test_what_a_template_inserts_is_not_read_again() -> None:
    """A text that looks like a placeholder stays as it is."""
    scope = Variables({"a.b": "{{a.c}}", "a.c": "no"})
    assert compile_template("{{a.b}}").render(scope) == "{{a.c}}"


@given(st.text(alphabet="{}a.", max_size=30))
@example("{{{{a}}}}}}")
def test_placeholders_are_where_the_pattern_of_flowgram_finds_them(text: str) -> None:
    """`{{…}}` without a closing brace in it, the first that fits, one after the other."""
    scope = Variables({"a.a": "x", "a.": "y", ".a": "z", ".": "w", "{a.a": "v"})
    found = re.sub(r"\{\{([^}]+)\}\}", lambda match: compile_template(match[0]).render(scope) or "", text)
    assert (compile_template(text).render(scope) or "") == found


@pytest.mark.parametrize("text", ["{", "{{a", "{{}", "}"])
def test_what_is_left_open_is_looked_at_once(text: str) -> None:
    """Slow enough to be noticed, should the end be looked for from every brace on."""
    text *= 500_000
    scope = Variables()
    scope.texts = len(text)
    assert compile_template(text).render(scope) == text


def test_a_template_gives_no_more_than_the_scope_allows() -> None:
    """However often it names what is large."""
    for name, times in (("a.b", 1000), ("a.c", 980)):
        scope = Variables({"a.b": "x" * 1000, "a.c": {"d": "x" * 1000}})
        assert compile_template(f"{{{{{name}}}}}" * times).render(scope) is not None
        assert scope.texts < 20_000
        with pytest.raises(BindingError):
            compile_template(f"{{{{{name}}}}}" * 20).render(scope)


def test_a_value_that_only_its_text_would_blow_up_is_not_written() -> None:
    """It is found out before."""
    value: Any = ["x"]
    for _ in range(100):
        value = [value, value]
    with pytest.raises(BindingError):
        compile_template("{{a.b}}").render(Variables({"a.b": Variable(value, "array", "array")}))


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_template_is_absent(content: Any) -> None:
    """It gives no text, not the empty one."""
    assert render(content) is None
    assert resolve(content) is None


def test_a_template_that_renders_to_nothing_is_the_empty_text() -> None:
    """Only the template itself counts, not what comes of it."""
    assert resolve("{{nobody.x}}") == Variable("", "string")
