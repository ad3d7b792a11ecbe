"""The listed differences from the reference: each a rule with a name, a reason, and a narrow test.

A rule looks at one place where two observations differ, and says whether the listed difference shows there. What lies
behind an explained difference may differ too; that is counted as following from it.
"""

import re
from typing import Any

from tests.conformance.context import Context, parsed
from tests.conformance.observation import NodeSeen, Snapshot
from tests.conformance.printing import equal, printed_otherwise, rounded, sources_of, templates

REASONS = {
    "race: mixed join": "there, what is behind a branch not chosen counts as executed even if another live path leads to it",
    "race: runs twice": "there, two edges from one node to another make it run twice, also from ports not chosen",
    "race: shared ports": "there, ports of one name are one port, whichever node they belong to",
    "race: unreachable source": "there, a node behind one that cannot be reached never runs",
    "race: behind a leaf": "there, a node behind an end, break or continue may run, if its other predecessors come later",
    "race: reads what runs beside": "a node that refers to one that it does not wait for finds what timing has left there",
    "failure ends the task": "there, nodes beside a failed one go on as far as timing lets them, and stay processing for ever",
    "dead end fails the node": "there, a node without the next node it needs is succeeded, and has no message",
    "objects in templates": "there, objects and arrays print as [object Object] and 1,2, unset values as undefined",
    "empty is empty": "there, only null is empty, and a text never is",
    "is_… ignores the right side": "there, a right side makes is_… false, or the node fail",
    "arrays compare": "there, arrays have no operators but those for emptiness",
    "unset texts compare": "there, an unset text in a comparison raises",
    "loop outputs may lack": "there, a loop fails if an iteration lacks an output, or gives another type",
    "raw text is read": "there, a raw-text body is taken from the field json",
    "time-outs have defaults": "there, an http node without time-out or number of retries fails",
    "integers stay exact": "there, integers beyond 2**53 are rounded",
    "secrets are masked": "there, snapshots show API keys",
    "internal error text": "there, an error of the JavaScript engine shows through",
    "ids are unique": "there, node ids need not be unique",
    "dates are ISO 8601": "there, a declared date-time that is none is read by V8's own lenient parser",
    "surrogates have no UTF-8": "there, half a surrogate pair reaches a language model as an escape",
    "any type is a type": "there, a date-time, and a declaration without a type, are unknown types",
    "an array is no object": "there, arrays count as objects and fail later",
    "refused once": "there, an edge with a malformed end is also looked up",
    "api keys are optional": "there, an llm node without an apiKey fails",
    "scripts get all values": "there, a code node that declares no inputs gets none of its values",
    "port ids may be numbers": "there, the id of a port that is a number is refused",
    "own text": "errors of fetch, of the model client and of the code engine have this project's words",
}
"""Why each difference is there."""

SHOWN_ONLY = frozenset({"secrets are masked", "dead end fails the node"})
"""Differences of what is shown, which nothing behind them can see."""

_INTERNAL = re.compile(
    r"Cannot (read properties|convert|use|destructure)|is not (a function|iterable|defined|valid JSON)|Invalid time value"
    r"|Aborted\(Assertion failed"
)


_ACCEPTED = {
    "any type is a type": r'JSON Schema validation failed: Unknown type "(undefined|unknown|date-time)" at .*',
    "port ids may be numbers": r"edges\[\d+\]\.(source|target)PortID must be a string if present",
}
"""By rule, what the reference says of something that is fine here."""


def is_internal(text: str) -> bool:
    """Whether a text is one of the JavaScript engine's own errors."""
    return bool(_INTERNAL.search(text))


def explain_problem(problem: str, ours: list[str]) -> str | None:
    """Why validation does not complain of something in the reference's words."""
    if is_internal(problem):
        return "internal error text"
    if re.fullmatch(r'Workflow schema edge (source|target) node ".*" not exist', problem, re.DOTALL):
        # An edge that has been refused for its form is not looked up.
        return "refused once" if any(re.search(r"edges\[\d+\]", other) for other in ours) else None
    if (rule := explain_acceptance([problem])) is not None:
        return rule
    if any(re.search(r"must be a valid object", other) for other in ours):
        return "an array is no object"
    return None


def explain_acceptance(problems: list[str]) -> str | None:
    """Why validation finds nothing where the reference finds these problems."""
    explained = [
        next((rule for rule, text in _ACCEPTED.items() if re.fullmatch(text, each, re.DOTALL)), None)
        for each in problems
    ]
    return explained[0] if None not in explained else None


def explain_refusal(problem: str) -> str | None:
    """Why validation complains of something that the reference does not look for."""
    if re.search(r"unique|duplicate", problem, re.IGNORECASE):
        return "ids are unique"
    return "an array is no object" if problem.endswith("must be a valid object") else None


def explain_status(context: Context, node_id: str, theirs: NodeSeen, mine: NodeSeen) -> str | None:
    """Why a node's status, or the number of its runs, differs."""
    failed = context.ours.status == "failed" or context.reference.status == "failed"
    if (
        mine.status == "failed"
        and theirs.status == "succeeded"
        and len(mine.snapshots) == len(theirs.snapshots)
    ):
        error = mine.snapshots[-1].error
        if error == f'Node "{node_id}" has no next nodes' or re.fullmatch(
            r'Branch ".*" not found', error, re.DOTALL
        ):
            return "dead end fails the node"
    if failed and any(_may_interrupt(context, other, node_id) for other in context.failed_nodes()):
        return "failure ends the task"
    data = context.flow.places[node_id].node["data"]
    if _misses_raw_text(data, theirs.snapshots):
        return "raw text is read"
    if _lacks_timeout(data, theirs.snapshots):
        return "time-outs have defaults"
    if _lacks_api_key(context, node_id, theirs.snapshots):
        return "api keys are optional"
    return explain_loop(theirs, mine) or _explain_condition(context, node_id, theirs, mine)


def _is_raw_text(data: dict[str, Any]) -> bool:
    body = data.get("body")
    return isinstance(body, dict) and body.get("bodyType") == "raw-text"


def _may_interrupt(context: Context, failed: str, node_id: str) -> bool:
    """Whether the failure of a node may come before, while or after another runs."""
    return context.flow.concurrent(node_id, failed) or (failed != node_id and failed in context.tainted)


def _misses_raw_text(data: dict[str, Any], theirs: list[Snapshot]) -> bool:
    return _is_raw_text(data) and bool(theirs) and theirs[-1].error == "HTTP json body is required"


def _lacks_timeout(data: dict[str, Any], theirs: list[Snapshot]) -> bool:
    """Whether the reference stumbles over an http node that says too little of its time-out."""
    timeout = data.get("timeout")
    said = isinstance(timeout, dict) and "timeout" in timeout and "retryTimes" in timeout
    return "api" in data and not said and bool(theirs) and bool(theirs[-1].error)


_MISSING = "LLM node missing required inputs:"


def _lacks_api_key(context: Context, node_id: str, theirs: list[Snapshot]) -> bool:
    """Whether the reference failed an llm node for want of a key alone."""
    return (
        context.flow.places[node_id].node["type"] == "llm"
        and bool(theirs)
        and theirs[-1].error == f'{_MISSING} "apiKey"'
    )


def _without_api_key(text: str) -> str:
    """What the reference says of missing inputs, without the key."""
    return text.replace(', "apiKey"', "").replace('"apiKey", ', "") if text.startswith(_MISSING) else text


def _has_untyped_fields(node: dict[str, Any]) -> bool:
    """Whether an http node declares a parameter, header or field of a form without its type."""
    data = node["data"]
    body = data.get("body")
    declarations = [data.get("params"), data.get("headers")]
    if isinstance(body, dict):
        declarations += [body.get("formData"), body.get("xWwwFormUrlencoded")]
    return node["type"] == "http" and any(
        isinstance(declared, dict)
        and isinstance(declared.get("properties"), dict)
        and any(isinstance(each, dict) and "type" not in each for each in declared["properties"].values())
        for declared in declarations
    )


def _values_dropped(context: Context, node_id: str, theirs: Any, mine: Any) -> str | None:
    """Why the reference takes fewer inputs."""
    if _has_untyped_fields(context.flow.places[node_id].node):
        return "any type is a type"
    if not isinstance(theirs, dict) or not isinstance(mine, dict) or not theirs.keys() < mine.keys():
        return None
    node = context.flow.places[node_id].node
    declared = node["data"].get("inputs")
    if declared is None:
        return "scripts get all values" if node["type"] == "code" else None
    properties = declared.get("properties", {}) if isinstance(declared, dict) else {}
    untyped = all(
        isinstance(properties.get(name), dict) and "type" not in properties[name]
        for name in mine.keys() - theirs.keys()
    )
    return "any type is a type" if untyped else None


def explain_loop(theirs: NodeSeen, mine: NodeSeen) -> str | None:
    """Whether the reference failed a loop for what its iterations gave."""
    error = theirs.snapshots[-1].error if theirs.snapshots else ""
    lacks = (
        error.startswith("Array items type must be same")
        or error == "Cannot read properties of undefined (reading 'type')"
    )
    return "loop outputs may lack" if lacks and mine.status != "failed" else None


def _conditions(context: Context, node_id: str) -> list[dict[str, Any]]:
    data = context.flow.places[node_id].node["data"]
    return [item["value"] for item in data.get("conditions") or () if isinstance(item.get("value"), dict)]


def _explain_condition(context: Context, node_id: str, theirs: NodeSeen, mine: NodeSeen) -> str | None:
    """Why a condition fails on one side only."""
    if context.flow.places[node_id].node["type"] != "condition" or not theirs.snapshots or not mine.snapshots:
        return None
    their_error, my_error = theirs.snapshots[-1].error, mine.snapshots[-1].error
    if their_error and not my_error:
        if their_error == "Cannot read properties of null (reading 'includes')":
            return "unset texts compare"
        if their_error.startswith('Condition left type "array" has no operator'):
            return "arrays compare"
        if _has_right_that_is_ignored(context, node_id):
            return "is_… ignores the right side"
    return None


def _has_right_that_is_ignored(context: Context, node_id: str) -> bool:
    return any(
        str(value.get("operator", "")).startswith("is_") and isinstance(value.get("right"), dict)
        and value["right"].get("type") != "constant"
        for value in _conditions(context, node_id)
    )  # fmt: skip


def explain_snapshot(
    context: Context, node_id: str, name: str, theirs: Snapshot, mine: Snapshot
) -> str | None:
    """Why what a run took, gave or chose differs."""
    if _lacks_timeout(context.flow.places[node_id].node["data"], [theirs]):
        return "time-outs have defaults"
    if _misses_raw_text(context.flow.places[node_id].node["data"], [theirs]):
        return "raw text is read"
    if _lacks_api_key(context, node_id, [theirs]):
        return "api keys are optional"
    their_value, my_value = getattr(theirs, name), getattr(mine, name)
    if (rule := _values_dropped(context, node_id, their_value, my_value)) is not None:
        return rule
    if name == "branch":
        return _explain_branch(context, node_id) or _explain_reading(context, node_id)
    if isinstance(their_value, dict) and isinstance(my_value, dict) and their_value.keys() == my_value.keys():
        explained = {
            _explain_value(context, node_id, key, their_value[key], my_value[key])
            for key in their_value
            if not equal(their_value[key], my_value[key])
        }
        if None not in explained:
            return next(iter(explained - SHOWN_ONLY or explained))
    if name != "inputs":
        return None
    return _explain_null(context, node_id, their_value, my_value) or _explain_reading(context, node_id)


def _explain_null(context: Context, node_id: str, theirs: dict[str, Any], mine: dict[str, Any]) -> str | None:
    """Whether inputs differ only by nulls from loop outputs: an unset value is a null in an array here, undefined there."""
    bindings = context.flow.places[node_id].node["data"].get("inputsValues") or {}
    more = mine.keys() - theirs.keys()
    same = all(name in mine and equal(value, mine[name]) for name, value in theirs.items())
    from_loops = all(
        context.flow.places[source].node["type"] == "loop"
        for name in more
        for source in sources_of(bindings.get(name)) & context.flow.places.keys()
    )
    return (
        "loop outputs may lack" if same and from_loops and all(mine[name] is None for name in more) else None
    )


def _explain_reading(context: Context, node_id: str) -> str | None:
    named = sources_of(context.flow.places[node_id].node["data"])
    beside = any(other in context.flow.places and context.flow.concurrent(node_id, other) for other in named)
    return "race: reads what runs beside" if beside else None


def _explain_branch(context: Context, node_id: str) -> str | None:
    for value in _conditions(context, node_id):
        operator = value.get("operator")
        if operator in {"is_empty", "is_not_empty"}:
            found = context.values_of((value.get("left") or {}).get("content") or [])
            if any(isinstance(item, str) or item in ([], {}) for item in found) or _is_text(
                context, value.get("left")
            ):
                return "empty is empty"
        if operator in _ORDERS and any(_is_odd_date(item) for item in _sides(context, value)):
            return "dates are ISO 8601"
    return "is_… ignores the right side" if _has_right_that_is_ignored(context, node_id) else None


def _is_text(context: Context, left: Any) -> bool:
    """Whether a reference names a variable that is declared a text, and may be unset."""
    content = left.get("content") if isinstance(left, dict) else None
    if not isinstance(content, list) or len(content) != 2:
        return False
    node_id, key = content
    return context.declared(node_id, key).get("type") == "string"


_ORDERS = {"eq", "neq", "gt", "gte", "lt", "lte"}


def _sides(context: Context, value: dict[str, Any]) -> list[Any]:
    """What the two sides of a condition may have been."""
    sides = [side for side in (value.get("left"), value.get("right")) if isinstance(side, dict)]
    constants = [side.get("content") for side in sides if side.get("type") == "constant"]
    references = [side.get("content") or [] for side in sides if side.get("type") == "ref"]
    return constants + [found for content in references for found in context.values_of(content)]


def _is_odd_date(value: Any) -> bool:
    return isinstance(value, str | list) and not (
        isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", value)
    )


def _explain_value(context: Context, node_id: str, key: str, theirs: Any, mine: Any) -> str | None:
    node = context.flow.places[node_id].node
    if (
        key == "apiKey"
        and isinstance(mine, str)
        and "…" in mine
        and str(theirs).endswith(mine.rpartition("…")[2])
    ):
        return "secrets are masked"
    if equal(rounded(mine), rounded(theirs)):
        return "integers stay exact"
    if (
        node["type"] == "llm"
        and isinstance(theirs, str)
        and re.sub("[\ud800-\udfff]", "\ufffd", theirs) == mine
    ):
        return "surrogates have no UTF-8"
    if key == "body" and _is_raw_text(node["data"]):
        return "raw text is read"
    if isinstance(theirs, str) and isinstance(mine, str):
        body = node["data"].get("body")
        if (
            key == "body"
            and isinstance(body, dict)
            and body.get("bodyType") in {"form-data", "x-www-form-urlencoded"}
        ):
            # The fields of a form, as JSON text.
            return _explain_value(context, node_id, "fields", parsed(theirs), parsed(mine))
        texts = templates([node["data"].get(name) for name in ("inputsValues", "api", "body")])
        if any("{{" in text for text in texts) and printed_otherwise(theirs, mine):
            return "objects in templates"
        return None
    if isinstance(theirs, dict) and isinstance(mine, dict) and theirs.keys() == mine.keys():
        inner = {
            _explain_value(context, node_id, name, theirs[name], mine[name])
            for name in theirs
            if not equal(theirs[name], mine[name])
        }
        return next(iter(inner)) if None not in inner else None
    return None


def explain_outcome(context: Context) -> str | None:
    """Why the task's status or outputs differ though no node is different before."""
    if context.reference.status == context.ours.status and equal(
        rounded(context.ours.outputs), rounded(context.reference.outputs)
    ):
        return "integers stay exact"
    return None


_OWN_TEXTS = re.compile(
    r"fetch failed|Headers.append|Invalid URL|The operation was aborted|ByteString|^\d{3} |Code execution failed:|Failed to parse URL",
)


def explain_text(context: Context, node_id: str, theirs: str, mine: str) -> str | None:
    """Why an error text differs."""
    if theirs and mine and is_internal(theirs):
        return "internal error text"
    if theirs and mine and _OWN_TEXTS.search(theirs):
        return "own text"
    if theirs == "HTTP json body is required" and _is_raw_text(context.flow.places[node_id].node["data"]):
        return "raw text is read"
    if not theirs and mine == f'Node "{node_id}" has no next nodes':
        return "dead end fails the node"
    if node_id and _without_api_key(theirs) in {mine, f'{_MISSING} "apiKey"'}:
        return "api keys are optional"
    if node_id and any(context.flow.concurrent(node_id, other) for other in context.failed_nodes()):
        return "failure ends the task"
    return None
