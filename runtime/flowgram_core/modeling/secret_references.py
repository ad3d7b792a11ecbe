"""References to secrets of the server: `["secrets", NAME]` and `{{secrets.NAME}}` in a workflow, and where they may stand.

In the core a secret is the text of its placeholder, `{{secrets.NAME}}`: whatever prepares, records or shows the inputs of a call
sees no more. Its value takes the place of that text where the request is made.

A workflow in which a node has the id `secrets` has no secrets: such references lead to that node.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.json_text import JSONObject, to_well_formed
from flowgram_core.modeling.schema import NodeSchema
from flowgram_core.modeling.templates import references_in
from flowgram_core.modeling.values import Variable

SECRETS: Final = "secrets"
"""The node id that stands for the secrets of the server."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ALLOWED: Final = "apiKey of an llm node, and headers, params and body of an http node"
_API_KEY: Final = "apiKey"
_VALUES: Final = (("headersValues", "headers"), ("paramsValues", "params"))
_FORMS: Final = (("formDataValues", "formData"), ("xWwwFormUrlencodedValues", "xWwwFormUrlencoded"))
_TEXTS: Final = ("json", "rawText", "binary")

SecretUses = Mapping[str, Sequence[str]]
"""Which secrets stand in which fields of a call: `apiKey` of an llm node; `headers.NAME`, `params.NAME`, `body.json`,
`body.rawText`, `body.binary`, `formData.NAME` and `xWwwFormUrlencoded.NAME` of an http node. A name is repeated as often as it
stands there."""


class SecretReferences(NamedTuple):
    """What a workflow says of secrets.

    Attributes:
        names: All that it names, in the order of their first use.
        uses: By node id, for nodes that use some.
        problems: References where there may be none, and such that name no secret.
    """

    names: tuple[str, ...] = ()
    uses: Mapping[str, SecretUses] = {}
    problems: tuple[Problem, ...] = ()


def placeholder(name: str) -> str:
    """The text that stands for a secret wherever its value must not be."""
    return f"{{{{{SECRETS}.{name}}}}}"


def variables(names: Sequence[str]) -> dict[str, Variable]:
    """The secrets of a workflow as the variables of a node that is called `secrets`."""
    return {name: Variable(placeholder(name), "string") for name in names}


def is_secret_name(name: str) -> bool:
    """Whether a secret can have a name."""
    return _NAME.fullmatch(name) is not None


def find_secret_references(nodes: Sequence[NodeSchema]) -> SecretReferences:
    """The references to secrets in the nodes of a workflow, blocks included."""
    nodes_with_paths = list(_placed(nodes, "schema.nodes"))
    if any(node.id == SECRETS for _, node in nodes_with_paths):
        return SecretReferences()
    names: dict[str, None] = {}
    uses: dict[str, SecretUses] = {}
    problems: list[Problem] = []
    for path, node in nodes_with_paths:
        fields = _fields(node)
        found: dict[str, list[str]] = {}
        for inner, reference in _references(node.data, ""):
            field = fields.get(inner)
            if len(reference) != 1 or not isinstance(reference[0], str) or not is_secret_name(reference[0]):
                text = (
                    f"a reference to a secret is [{SECRETS}, NAME], where NAME has letters, digits, _ and -"
                )
                problems.append(Problem(f"{path}.data{inner}", text))
            elif field is None:
                shown = to_well_formed(reference[0])
                text = f'The secret "{shown}" cannot be used here: secrets may stand in {_ALLOWED}'
                problems.append(Problem(f"{path}.data{inner}", text))
            else:
                names[reference[0]] = None
                found.setdefault(field, []).append(reference[0])
        if found:
            uses[node.id] = {field: tuple(used) for field, used in found.items()}
    return SecretReferences(tuple(names), uses, tuple(problems))


def _placed(nodes: Sequence[NodeSchema], path: str) -> Iterator[tuple[str, NodeSchema]]:
    for index, node in enumerate(nodes):
        node_path = f"{path}[{index}]"
        yield node_path, node
        yield from _placed(node.blocks or (), f"{node_path}.blocks")


def _fields(node: NodeSchema) -> dict[str, str]:
    """The paths in a node's data where secrets may stand, and the fields of the call that they become."""
    data = node.data
    if node.type == "llm":
        return {f".inputsValues.{_API_KEY}": _API_KEY}
    if node.type != "http":
        return {}
    fields = {
        f".{values}.{name}": f"{field}.{name}"
        for values, field in _VALUES
        for name in _object(data.get(values))
    }
    body = _object(data.get("body"))
    fields |= {
        f".body.{values}.{name}": f"{field}.{name}"
        for values, field in _FORMS
        for name in _object(body.get(values))
    }
    return fields | {f".body.{text}": f"body.{text}" for text in _TEXTS}


def _object(value: Any) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _references(data: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    """What stands behind `secrets` in all references of a node's data, with the path of the binding."""
    pending = [(path, data)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            kind = value.get("type")
            if kind in {"constant", "ref", "template"} and "content" in value:
                for node_id, *rest in references_in(value):
                    if node_id == SECRETS:
                        yield path, rest
            else:
                pending += [(f"{path}.{name}", member) for name, member in reversed(value.items())]
        elif isinstance(value, list):
            pending += reversed([(f"{path}[{index}]", member) for index, member in enumerate(value)])
