"""Random damage: schemas and inputs that validation must refuse, or at times can bear."""

from random import Random
from typing import Any

from tests.conformance import values
from tests.conformance.bindings import JSON

_GONE = object()


def _graphs(schema: JSON) -> list[tuple[list[Any], list[Any]]]:
    """Nodes and edges of the workflow and of every block in it, where they are still lists."""
    nodes, edges = schema.get("nodes", schema.get("blocks")), schema.get("edges")
    if not isinstance(nodes, list) or not isinstance(edges, list):
        return []
    found = [(nodes, edges)]
    for node in nodes:
        if isinstance(node, dict):
            found += _graphs(node)
    return found


def break_schema(rng: Random, schema: JSON) -> None:
    """Damages a schema in one or two places."""
    for _ in range(rng.choice((1, 1, 2))):
        graphs = _graphs(schema)
        if not graphs:
            return
        nodes, edges = rng.choice(graphs)
        found = [node for node in nodes if isinstance(node, dict) and isinstance(node.get("data"), dict)]
        if not found:
            return
        node = rng.choice(found)
        edge = rng.choice([edge for edge in edges if isinstance(edge, dict)] or [{}])
        match rng.randrange(12):
            case 0:
                _set(schema, rng.choice(("nodes", "edges")), rng.choice((_GONE, None, {}, "text", 5)))
            case 1:
                _set(
                    node,
                    rng.choice(("id", "type", "meta", "data")),
                    rng.choice((_GONE, None, "", " ", 5, [], {})),
                )
            case 2:
                _set(
                    node["data"],
                    rng.choice(("inputs", "outputs", "inputsValues")),
                    rng.choice((None, 5, "text", True)),
                )
            case 3:
                _set(node["data"], "title", rng.choice((None, 5, {}, [])))
            case 4:
                _set(
                    edge,
                    rng.choice(("sourceNodeID", "targetNodeID")),
                    rng.choice((_GONE, None, "", "  ", 5, {})),
                )
            case 5:
                _set(edge, rng.choice(("sourcePortID", "targetPortID")), rng.choice((5, None, {}, "")))
            case 6:
                _set(edge, rng.choice(("sourceNodeID", "targetNodeID")), "no_such_node")
            case 7:
                nodes.remove(node)
            case 8:
                if node.get("type") in {"start", "end", "block-start", "block-end"}:
                    nodes.append({**node, "id": f"{node['id']}_again"})
                else:
                    node["type"] = rng.choice(("start", "end", "block-start", "block-end"))
            case 9:
                if edge:
                    edges.append(
                        {"sourceNodeID": edge.get("targetNodeID"), "targetNodeID": edge.get("sourceNodeID")}
                    )
            case 10:
                _set(node, rng.choice(("blocks", "edges")), rng.choice((None, {}, "text", 5, [])))
            case _:
                where = nodes if rng.random() < 0.5 else edges
                where.insert(rng.randint(0, len(where)), rng.choice((None, 5, "text", [], {})))


def _set(target: JSON, key: str, found: Any) -> None:
    if found is _GONE:
        target.pop(key, None)
    else:
        target[key] = found


def break_inputs(rng: Random, schema: JSON, inputs: JSON) -> None:
    """Makes inputs and their declaration disagree."""
    start = next(node for node in schema["nodes"] if node["type"] == "start")
    outputs = start["data"]["outputs"]
    match rng.randrange(9):
        case 0:
            start["data"].pop("outputs")
        case 1:
            start["data"]["outputs"] = rng.choice(
                ({}, {"type": "array"}, {"type": "strange"}, {"$ref": "#/x"}, [])
            )
        case 2:
            outputs.setdefault("required", []).append(rng.choice(("missing", "in0", "a")))
            inputs.pop("in0", None)
        case 3:
            name = rng.choice(list(outputs["properties"]))
            inputs[name] = values.anything(rng)
        case 4:
            outputs["additionalProperties"] = rng.choice(
                (False, True, {"type": "integer"}, {"type": "string"}, {})
            )
            inputs["more"] = values.anything(rng, 1)
        case 5:
            name = rng.choice(list(outputs["properties"]))
            found = inputs.get(name)
            outputs["properties"][name]["enum"] = rng.choice(([], ["a", 1, None], [found], [1.0, True, "x"]))
        case 6:
            outputs["properties"]["typed"] = {"type": rng.choice(("null", "date-time", "any", None, 5))}
            inputs["typed"] = values.anything(rng, 0)
        case 7:
            inner = values.schema(rng, 2, rng.choice(("object", "array", "map")))
            outputs["properties"]["deep"] = inner
            inputs["deep"] = values.anything(rng, 2)
        case _:
            inner = values.schema(rng, 1)
            outputs["properties"]["list"] = {"type": "array", "items": inner}
            inputs["list"] = [values.value(rng, inner), values.anything(rng, 1)]
