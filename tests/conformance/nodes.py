"""Random nodes of every type, each given as the `data` of its schema with the variables that it will declare."""

import json
from random import Random
from typing import Any

from tests.conformance import values
from tests.conformance.bindings import (
    JSON,
    Known,
    Style,
    binding,
    constant,
    constant_of,
    inputs,
    names,
    ref,
    reference,
    template,
    text,
)
from tests.conformance.values import Schema

RIGHT_TYPES: dict[str, dict[str, str | None]] = {
    "string": {
        "eq": "string", "neq": "string", "contains": "string", "not_contains": "string", "in": "array", "nin": "array",
        "is_empty": None, "is_not_empty": None,
    },
    "boolean": {
        "eq": "boolean", "neq": "boolean", "in": "array", "nin": "array", "is_true": None, "is_false": None,
        "is_empty": None, "is_not_empty": None,
    },
    **{
        kind: {
            **dict.fromkeys(("eq", "neq", "gt", "gte", "lt", "lte"), kind), "in": "array", "nin": "array",
            "is_empty": None, "is_not_empty": None,
        }
        for kind in ("integer", "number")
    },
    "date-time": {
        **dict.fromkeys(("eq", "neq", "gt", "gte", "lt", "lte"), "date-time"), "is_empty": None, "is_not_empty": None,
    },
    **{kind: {"is_empty": None, "is_not_empty": None} for kind in ("object", "map", "array")},
    "null": {"eq": "null", "is_empty": None, "is_not_empty": None},
}  # fmt: skip
"""The operators of each left type, with the type that the right side needs."""

OPERATORS = (
    "eq", "neq", "gt", "gte", "lt", "lte", "in", "nin", "contains", "not_contains", "is_true", "is_false", "is_empty",
    "is_not_empty",
)  # fmt: skip


def condition(rng: Random, scope: list[Known], style: Style) -> JSON:
    """The `value` of one condition: left, operator, right."""
    for _ in range(10):
        left, kind, sample = reference(rng, scope, faults=style.faults)
        kind = kind if kind in RIGHT_TYPES else "null"
        # Emptiness of texts and containers differs, except where a container has something in it.
        certain = (
            style.differs
            or kind not in {"string", "object", "map", "array"}
            or bool(kind != "string" and sample)
        )
        fitting = [name for name in RIGHT_TYPES[kind] if certain or not name.endswith("_empty")]
        if fitting:
            break
    if not fitting or rng.random() < style.faults / 4:
        operator = rng.choice((*OPERATORS, "like", "not"))
    else:
        operator = rng.choice(fitting)
    made: JSON = {"left": left, "operator": operator}
    wanted = RIGHT_TYPES[kind].get(operator)
    if wanted is None:
        if style.differs and rng.random() < 0.2:
            made["right"] = _right(rng, scope, "string", sample, style)
        elif rng.random() < 0.15:
            made["right"] = constant(rng.choice((True, "", 0, None)))
    elif rng.random() < 0.97:
        made["right"] = _right(rng, scope, wanted, sample, style)
    return made


def _right(rng: Random, scope: list[Known], wanted: str, sample: Any, style: Style) -> JSON:
    roll = rng.random()
    if roll < 0.3:
        return reference(rng, scope, wanted, style.faults)[0]
    if roll < 0.38 and wanted == "string":
        return template(text(rng, scope, style))
    if roll < 0.5:
        return binding(rng, scope, wanted, style)
    if roll < 0.56:
        return constant_of(rng, rng.choice(values.TYPES))
    if sample is not None and rng.random() < 0.5:
        # What the left side is, or holds: so that equality and membership are decided both ways.
        if wanted == "array":
            return constant(
                rng.choice(
                    (
                        [sample],
                        [sample, 1],
                        json.dumps([sample]),
                        ["x", sample, None],
                        [1, "1", True, "true", "", None],
                        [0, False],
                    )
                )
            )
        if isinstance(sample, str) and sample and rng.random() < 0.5:
            return constant(sample[: rng.randint(1, len(sample))])
        return constant(sample)
    return constant_of(rng, wanted)


def branching(rng: Random, scope: list[Known], style: Style, node_id: str) -> tuple[JSON, list[str]]:
    """A condition node's data, and the ports of its conditions."""
    ports = [
        rng.choice((f"if_{node_id}_{index}", f"if_{index}" if style.differs else f"{node_id}{index}"))
        for index in range(rng.choice((1, 1, 1, 2, 2, 3)))
    ]
    return {"conditions": [{"key": port, "value": condition(rng, scope, style)} for port in ports]}, ports


_SCRIPTS: tuple[str, ...] = (
    "function main({ params }) { return %s; }",
    "const main = ({ params }) => (%s);",
    "async function main({ params }) { return %s; }",
    "function main(input) { const found = %s; found.seen = Object.keys(input.params).length; return found; }",
)
_BARE = (
    "function main({params}) { return 5; }",
    "function main({params}) { return 'text'; }",
    "function main({params}) { return null; }",
    "function main({params}) {}",
    "function main({params}) { return [1, [2], {a: 3}]; }",
    "function main({params}) { return {a: undefined, b: NaN, c: -0, d: [undefined, 1]}; }",
    "function main({params}) { return {n: 0.1 + 0.2, big: 1e21, small: 1e-7, t: typeof params}; }",
    "function main({params}) { return {keys: Object.keys(params), text: JSON.stringify(params)}; }",
    "function main({params}) { return {s: String(params.in0), n: Number(params.in0), b: !!params.in0}; }",
    "let main = async ({params}) => ({...params, more: true});",
    "function main({params}) { const out = {}; for (let i = 0; i < 5; i++) out['k' + i] = i * i; return out; }",
    "function main({params}) { return {date: new Date(0).toISOString(), re: 'abc'.replace(/b/, '$&$&')}; }",
    "async function main({params}) { return {m: new Map([[1, 2]]), d: new Date(0), e: /x/g, f() {}, s: Symbol('s')}; }",
    "async function main({params}) { return new (class A { constructor() { this.x = 1; } get y() { return 2; } })(); }",
    "async function main({params}) { return {get a() { return 3; }, [Symbol('k')]: 1, 2: 1, 1: 2, b: 3}; }",
    "async function main({params}) { return {s: '\\ud83d', t: 'a\\u0000b', u: '\\u2028', n: [ , 1, undefined, null]}; }",
    "async function main({params}) { return new Date(0); }",
    "async function main({params}) { return () => 1; }",
    "async function main({params}) { return true; }",
    "async function main({params}) { return Infinity; }",
    "async function main({params}) { return {j: {toJSON() { return 7; }}, o: new String('x'), b: new Boolean(false)}; }",
    "async function main({params}) { return Object.create(null); }",
    "async function main({params}) { return {t: this === undefined, c: typeof console, r: typeof require}; }",
    "async function main({params}) { const s = {q: 1}; return {x: s, y: [s, s]}; }",
    "async function main({params}) { return JSON.parse(JSON.stringify(params)); }",
    "async function main({params}) { return Object.entries(params).map(([k, v]) => [k, typeof v, v === null]); }",
)
_FAILING = (
    "function main({params}) { throw new Error('boom'); }",
    "function main({params}) { throw new TypeError('a type'); }",
    "function main({params}) { throw 'just text'; }",
    "async function main({params}) { throw new Error('boom'); }",
    "function main({params}) { return params.in0.no.such; }",
    "function other() { return 1; }",
    "const main = 3;",
    "function main({params}) { return undeclared; }",
    "function main({params}) { throw {a: 1}; }",
    "function main({params}) { throw null; }",
    "async function main({params}) { throw 'text'; }",
    "async function main({params}) { throw {message: 'hi'}; }",
    "function main({params}) { return main({params}); }",
    "import os from 'os'; function main() { return 1; }",
    "throw new Error('at the top')",
    "class main {}",
    "function main( {",
    "",
)


def code(rng: Random, scope: list[Known], style: Style) -> tuple[JSON, list[tuple[str, Schema, Any]]]:
    """A code node's data, and what it declares: (key, schema, sample)."""
    data = inputs(rng, scope, style, names(rng, rng.randint(0, 3)))
    roll = rng.random()
    if roll < style.faults / 3:
        data["script"] = {"language": "javascript", "content": rng.choice(_FAILING)}
        return data, []
    if roll < 0.3:
        data["script"] = {"language": "javascript", "content": rng.choice(_BARE)}
        given: dict[str, Any] = {}
    else:
        given = {f"out{index}": values.anything(rng, 3) for index in range(rng.randint(0, 3))}
        data["script"] = {"language": "javascript", "content": rng.choice(_SCRIPTS) % json.dumps(given)}
    declared: list[tuple[str, Schema, Any]] = []
    for key, sample in given.items():
        if rng.random() < 0.9:
            declared.append((key, _declaring(rng, sample), sample))
    if rng.random() < 0.25:
        made = values.schema(rng, 1)
        if rng.random() < 0.7:
            made["default"] = _default(rng, made)
        declared.append(("unset", made, made.get("default")))
    if declared or rng.random() < 0.5:
        data["outputs"] = {"type": "object", "properties": {key: made for key, made, _ in declared}}
    return data, declared


def _default(rng: Random, made: Schema) -> Any:
    found = values.value(rng, made)
    return json.dumps(found) if isinstance(found, list | dict) and rng.random() < 0.5 else found


def _declaring(rng: Random, sample: Any) -> Schema:
    """A declaration for a value: usually right, at times another type, at times with a default."""
    kind = values.type_of(sample)
    if rng.random() < 0.07:
        return {"type": rng.choice(values.TYPES)}
    made: Schema = {"type": kind}
    if kind == "date-time" and rng.random() < 0.5:
        made["type"] = "string"
    if kind == "object" and rng.random() < 0.2:
        made["type"] = "map"
    if kind == "array" and rng.random() < 0.9:
        made["items"] = {"type": values.type_of(sample[0]) if sample else "string"}
    if rng.random() < 0.15:
        made["default"] = values.value(rng, made) if made["type"] != "null" else "set"
    return made


def llm(
    rng: Random, scope: list[Known], style: Style, base_url: str
) -> tuple[JSON, list[tuple[str, Schema, Any]]]:
    """An llm node's data, and what it declares."""
    string, number = {"type": "string"}, {"type": "number"}
    data: JSON = {
        "inputs": {
            "type": "object",
            "required": ["modelName", "temperature", "prompt"],
            "properties": {
                "modelName": string, "apiKey": string, "apiHost": string, "temperature": number, "systemPrompt": string,
                "prompt": string,
            },
        },
        "inputsValues": {
            "modelName": constant("error-400" if rng.random() < style.faults / 4 else rng.choice(("gpt-small", "m1", "empty"))),
            "apiKey": constant("sk-conformance-0123456789"),
            "apiHost": constant(f"{base_url}/v1"),
            "temperature": constant(rng.choice((0, 0.5, 1, 0.7))),
            "prompt": template("Say: " + text(rng, scope, style)),
        },
        "outputs": {"type": "object", "properties": {"result": string}},
    }  # fmt: skip
    if rng.random() < 0.4:
        data["inputsValues"]["systemPrompt"] = template("You are " + text(rng, scope, style))
    if rng.random() < style.faults:
        for name in rng.sample(
            ["modelName", "apiKey", "apiHost", "temperature", "prompt"], rng.randint(1, 3)
        ):
            data["inputsValues"].pop(name)
    elif rng.random() < style.faults / 3:
        data["inputsValues"]["apiHost"] = constant(rng.choice(("ftp://example.test", "no url", "")))
    return data, [("result", string, "[gpt-small] Say: ")]


def http(
    rng: Random, scope: list[Known], style: Style, base_url: str
) -> tuple[JSON, list[tuple[str, Schema, Any]]]:
    """An http node's data, and what it declares."""
    path = rng.choice(
        (
            "/echo/plain",
            "/echo/a%20b",
            "/echo/x?q=1",
            "/echo/x?q=1&p=a+b",
            "/status/404",
            "/status/500",
            "/text",
        )
    )
    if rng.random() < 0.3 and (plain := _plain_texts(scope)):
        known = rng.choice(plain)
        path = rng.choice(("/echo/", "/echo/x?q=")) + "{{" + f"{known.node_id}.{known.key}" + "}}"
    string: Schema = {"type": "string"}
    data: JSON = {
        "api": {
            "method": rng.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")),
            "url": template(base_url + path),
        },
        "timeout": {"timeout": 10000, "retryTimes": 0},
        "outputs": {
            "type": "object",
            "properties": {"body": string, "headers": {"type": "object"}, "statusCode": {"type": "integer"}},
        },
    }
    for name, keys in (("headers", ("X-One", "x-two", "X-Three")), ("params", ("p1", "p 2", "q"))):
        chosen = {key: string for key in keys if rng.random() < 0.35}
        made = {key: _plain(rng, scope) for key in chosen}
        data[name] = {"type": "object", "properties": chosen}
        data[f"{name}Values"] = made
    data["body"] = _body(rng, scope, style)
    # The boundary in a multipart body is random, and found only by its own Content-Type.
    if rng.random() < 0.2 and data["body"]["bodyType"] != "form-data":
        data["headers"]["properties"]["Content-Type"] = string
        data["headersValues"]["Content-Type"] = constant("text/x-own")
    return data, [
        ("body", string, "{}"),
        ("headers", {"type": "object"}, {"x-peer": "yes"}),
        ("statusCode", {"type": "integer"}, 200),
    ]


def _plain_texts(scope: list[Known]) -> list[Known]:
    return [
        known
        for known in scope
        if known.kind == "string" and isinstance(known.sample, str)
        and known.sample.isascii() and known.sample.isprintable() and "." not in known.key
    ]  # fmt: skip


def _plain(rng: Random, scope: list[Known]) -> JSON:
    """A binding that gives plain text, fit for a header."""
    plain = _plain_texts(scope)
    if plain and rng.random() < 0.5:
        known = rng.choice(plain)
        return ref([known.node_id, known.key])
    return constant(rng.choice(("one", "a b", "x=1&y=2", "", "%41", "5")))


def _body(rng: Random, scope: list[Known], style: Style) -> JSON:
    kind = rng.choice(("none", "JSON", "raw-text", "binary", "form-data", "x-www-form-urlencoded"))
    content = template('{"text": "' + text(rng, scope, style).replace('"', "") + '"}')
    match kind:
        case "JSON":
            return {"bodyType": kind, "json": content} if rng.random() > style.faults else {"bodyType": kind}
        case "raw-text":
            # The reference reads `json` here: equal in both, unless differences are wanted.
            return {
                "bodyType": kind,
                "rawText": content,
                **({} if style.differs and rng.random() < 0.3 else {"json": content}),
            }
        case "binary":
            return {"bodyType": kind, "binary": content}
        case "form-data" | "x-www-form-urlencoded":
            name = "formData" if kind == "form-data" else "xWwwFormUrlencoded"
            fields = names(rng, rng.randint(1, 3), "field ")
            made = inputs(rng, scope, Style(style.differs, style.faults / 2), fields)
            return {"bodyType": kind, name: made.get("inputs", {}), f"{name}Values": made["inputsValues"]}
        case _:
            return {"bodyType": "none"}
