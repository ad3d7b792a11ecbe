from typing import Any

import pytest
from pydantic import ValidationError

from flowgram_core.modeling.schema import WorkflowSchema


def workflow(**members: Any) -> dict[str, Any]:
    node = {"id": "a", "type": "llm", "meta": {"position": {"x": 0, "y": 0}}, "data": {}, **members}
    return {"nodes": [node], "edges": []}


def test_a_schema_is_read_with_its_blocks() -> None:
    """Nodes, edges and blocks are found under their editor's names, globals as they are."""
    inner = {"id": "b", "type": "code", "meta": {}, "data": {"title": "B"}}
    edge = {"sourceNodeID": "b", "targetNodeID": "b", "sourcePortID": "p"}
    schema = WorkflowSchema.model_validate(
        {**workflow(blocks=[inner], edges=[edge]), "globalVariable": {"type": "object"}}
    )
    (node,) = schema.nodes
    assert (node.id, node.type) == ("a", "llm")
    assert node.blocks is not None
    assert node.blocks[0].data == {"title": "B"}
    assert node.edges is not None
    assert (node.edges[0].source_node_id, node.edges[0].target_node_id) == ("b", "b")
    assert (node.edges[0].source_port_id, node.edges[0].target_port_id) == ("p", None)
    assert schema.global_variable == {"type": "object"}


def test_what_is_missing_is_none() -> None:
    """Optional members that are not there are None."""
    schema = WorkflowSchema.model_validate(workflow())
    assert (schema.nodes[0].blocks, schema.nodes[0].edges, schema.global_variable) == (None, None, None)


def test_data_is_kept_as_it_came() -> None:
    """A node's data keeps all its members, in their order, and is not copied."""
    data = {"custom": {"x": 1}, "title": "T", "\ud800": "\ud800", "inputs": {"type": "object"}}
    schema = WorkflowSchema.model_validate(workflow(data=data))
    assert schema.nodes[0].data is data


def test_members_of_the_editor_are_ignored() -> None:
    """Unknown members are no problem, whatever their names and values."""
    schema = WorkflowSchema.model_validate({**workflow(extra=[None], **{"\ud800": 1}), "groups": 5})
    assert schema.nodes[0].id == "a"


def test_models_stop_at_the_first_error_in_a_list() -> None:
    """Of those that follow pydantic would keep a hundred times the text."""
    wrong = [0] * 1_000
    with pytest.raises(ValidationError) as caught:
        WorkflowSchema.model_validate({**workflow(blocks=wrong, edges=wrong), "edges": wrong})
    assert [error["loc"] for error in caught.value.errors()] == [
        ("nodes", 0, "blocks", 0),
        ("nodes", 0, "edges", 0),
        ("edges", 0),
    ]


def test_models_are_immutable() -> None:
    """Compiled documents may share them."""
    schema = WorkflowSchema.model_validate(workflow())
    with pytest.raises(ValidationError):
        schema.nodes[0].id = "b"


@pytest.mark.parametrize(
    "members",
    [
        {"id": " \u3000"},
        {"id": "\ud800"},
        {"type": 5},
        {"meta": []},
        {"data": None},
        {"data": {"title": None}},
        {"data": {"inputs": []}},
        {"blocks": None},
        {"edges": None},
        {"edges": [{"sourceNodeID": "a", "targetNodeID": "a", "targetPortID": None}]},
    ],
)
def test_malformed_members_are_refused(members: dict[str, Any]) -> None:
    """Texts are not blank and are Unicode, objects are objects, and what may be missing may not be null."""
    with pytest.raises(ValidationError):
        WorkflowSchema.model_validate(workflow(**members))
