"""Random value bindings: constants, references and templates to what a node can see, and mistakes of every kind."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.conformance import values
from tests.conformance.values import Schema

JSON = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A variable that a node can see.

    Attributes:
        node_id: The node that gives it, `global`, or a loop's locals.
        key: Its name.
        schema: How it is declared; without a type where it is not.
        sample: A value that it may have: the very one, where nothing random lies between.
    """

    node_id: str
    key: str
    schema: Schema
    sample: Any

    @property
    def kind(self) -> str | None:
        """The declared type."""
        return self.schema.get("type")


@dataclass(frozen=True)
class Style:
    """How far a generated workflow goes.

    Attributes:
        differs: Whether it may touch what is known to differ from the reference.
        mistakes: The share of bindings that are mistaken: unknown nodes, wrong types, expressions.
    """

    differs: bool = False
    faults: float = 0.08


def ref(content: list[Any]) -> JSON:
    """A reference."""
    return {"type": "ref", "content": content}


def constant(content: Any) -> JSON:
    """A constant."""
    return {"type": "constant", "content": content}


def template(content: str) -> JSON:
    """A template."""
    return {"type": "template", "content": content}


def reference(
    rng: Random, scope: list[Known], kind: str | None = None, faults: float = 0.08
) -> tuple[JSON, str, Any]:
    """A reference, to a variable of a type if there is one, with the type and a sample of what it finds."""
    if not scope or rng.random() < faults:
        return _broken_reference(rng, scope), "null", None
    fitting = [known for known in scope if kind is None or _alike(known.kind, kind)]
    nested = [known for known in scope if isinstance(known.sample, list | dict)]
    if nested and (not fitting or rng.random() < 0.3):
        for _ in range(6):
            known = rng.choice(nested)
            path = values.path_into(rng, known.sample)
            found = values.at_path(known.sample, path)
            if kind is None or _alike(values.type_of(found), kind):
                break
        return ref([known.node_id, known.key, *path]), values.type_of(found), found
    known = rng.choice(fitting or scope)
    return ref([known.node_id, known.key]), known.kind or "null", known.sample


def _alike(left: str | None, right: str) -> bool:
    return left == right or {left, right} == {"integer", "number"}


def _broken_reference(rng: Random, scope: list[Known]) -> JSON:
    known = rng.choice(scope) if scope else Known("start_0", "a", {}, None)
    return ref(
        rng.choice(
            (
                ["nowhere_0", "key"],
                [known.node_id, "no_such_key"],
                [known.node_id, known.key, "no", "such", "path"],
                [known.node_id],
                [],
                ["", ""],
                [known.node_id, ""],
            )
        )
    )


def placeholder(rng: Random, scope: list[Known], style: Style) -> str:
    """`{{ … }}` with something in it."""
    roll = rng.random()
    if roll < 0.05:
        return rng.choice(
            ("{{}}", "{{ }}", "{{nowhere}}", "{{nowhere.key}}", "{{ a } b }}", "{{{nowhere.x}}}", "{{..}}")
        )
    for _ in range(8):
        made, _, sample = reference(rng, scope, faults=0)
        content = [str(part) for part in made["content"]]
        if any("." in part or "}" in part for part in content):
            continue
        # Objects, arrays and unset values are printed differently; a null sample may be an unset one.
        if style.differs or (sample is not None and not isinstance(sample, list | dict)):
            blank = rng.choice(("", "", " ", "\t", " \u00a0"))
            return "{{" + blank + ".".join(content) + blank + "}}"
    return "{{nowhere.key}}"


def text(rng: Random, scope: list[Known], style: Style) -> str:
    """A template's text."""
    return "".join(
        placeholder(rng, scope, style)
        if rng.random() < 0.6
        else rng.choice(("x ", "=", "; ", "\u00fc", "{", "}}", "$&"))
        for _ in range(rng.randint(0, 3))
    )


def binding(rng: Random, scope: list[Known], kind: str, style: Style) -> JSON:
    """A binding for an input declared with this type."""
    if rng.random() < style.faults:
        return _mistaken(rng, scope, kind)
    roll = rng.random()
    if roll < 0.55:
        return reference(rng, scope, kind, style.faults)[0]
    if kind == "string" and roll < 0.8:
        return template(text(rng, scope, style))
    return constant_of(rng, kind)


def constant_of(rng: Random, kind: str) -> JSON:
    """A constant of a type; objects, arrays and maps also as JSON text."""
    if kind not in values.TYPES:
        return constant(None)
    found = values.value(rng, values.schema(rng, 1, kind))
    if kind in {"object", "array", "map"} and rng.random() < 0.5:
        return constant(
            rng.choice(("{broken", "", "text", "[1,", "5", "null"))
            if rng.random() < 0.15
            else json.dumps(found)
        )
    return constant(found)


def _mistaken(rng: Random, scope: list[Known], kind: str) -> JSON:
    roll = rng.random()
    if roll < 0.35:
        return constant_of(rng, rng.choice(values.TYPES))
    if roll < 0.6:
        return reference(rng, scope)[0]
    if roll < 0.75:
        return constant(None)
    if roll < 0.85:
        return template(rng.choice(("", "text", "5", "true", "[1]")))
    if roll < 0.93:
        return constant(values.scalar(rng, "string"))
    if roll < 0.96:
        return {"type": "expression", "content": "1 + 1"}
    if roll < 0.98:
        return {"content": "no type"}
    return {"type": "constant"}


def inputs(rng: Random, scope: list[Known], style: Style, names: dict[str, Schema]) -> JSON:
    """`inputs` and `inputsValues` for declared names; some undeclared, some without a value."""
    made: JSON = {"inputs": {"type": "object", "properties": dict(names)}, "inputsValues": {}}
    for name, declared in names.items():
        if rng.random() < 0.95:
            made["inputsValues"][name] = binding(rng, scope, declared.get("type", "string"), style)
    if rng.random() < 0.08:
        made["inputsValues"]["undeclared"] = constant(1)
    if rng.random() < 0.02:
        del made["inputs"]
    return made


def names(rng: Random, count: int, prefix: str = "in") -> dict[str, Schema]:
    """Declarations of inputs with random types."""
    declared: dict[str, Schema] = {}
    for index in range(count):
        roll = rng.random()
        if roll < 0.06:
            made: Schema = {"type": rng.choice(("date-time", "null"))}
        elif roll < 0.08:
            made = {}
        else:
            made = values.schema(rng, 1)
        declared[f"{prefix}{index}"] = made
    return declared
