"""The format of a workflow schema, as the FlowGram editor saves it.

Unknown members are ignored: the editor adds its own. The models accept exactly what `validation.validate_schema` finds
no format problem in, since that is how it finds them; they build on JSON values, not on JSON text.

There may be an error at every other byte, and pydantic keeps much of each. So the models of a whole schema stop at the first
error of a list; then `WorkflowFormat`, `NodeFormat` and `EdgeSchema` find the errors of each part.
"""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from flowgram_core.modeling import javascript
from flowgram_core.modeling.disposal import Disposable
from flowgram_core.modeling.json_text import JSONObject

NOT_UNICODE = "not_unicode"
"""The type of the error for a name with a lone surrogate, which no UTF-8 text can hold."""


def _refuse_blank(text: str) -> str:
    if not text.strip(javascript.WHITESPACE):
        raise PydanticCustomError("blank", "blank")
    return text


def _refuse_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError(NOT_UNICODE, "not Unicode") from None
    return text


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "null")
    return value


def _keep(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    check(value)
    return value


NonBlank = Annotated[str, AfterValidator(_refuse_blank)]
"""A text with more than blanks in it."""

Name = Annotated[NonBlank, AfterValidator(_refuse_surrogates)]
"""A non-blank text that is shown to users and sent to clients."""

IfPresent = BeforeValidator(_refuse_null)
"""Marks a member that may be missing, but not null. None stands for the missing one."""


class _Model(Disposable, BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NodeData(TypedDict, total=False):
    """The members of a node's data that every node type may have; those of single types are kept as they are."""

    inputs: dict[Any, Any]
    outputs: dict[Any, Any]
    inputsValues: dict[Any, Any]
    title: str


class EdgeSchema(_Model):
    """An edge between two nodes of the same graph."""

    source_node_id: NonBlank = Field(alias="sourceNodeID")
    target_node_id: NonBlank = Field(alias="targetNodeID")
    source_port_id: Annotated[str | None, IfPresent] = Field(default=None, alias="sourcePortID")
    target_port_id: Annotated[str | None, IfPresent] = Field(default=None, alias="targetPortID")


class _Node(_Model):
    id: Name
    type: Name
    meta: JSONObject
    data: Annotated[NodeData, WrapValidator(_keep)]


class NodeFormat(_Node):
    """A node, whatever is in the graph inside it."""

    blocks: Annotated[list[Any] | None, IfPresent] = None
    edges: Annotated[list[Any] | None, IfPresent] = None


class NodeSchema(_Node):
    """A node, with the graph inside it: `blocks` are its nodes, `edges` its edges."""

    blocks: Annotated[tuple["NodeSchema", ...] | None, IfPresent] = Field(default=None, fail_fast=True)
    edges: Annotated[tuple[EdgeSchema, ...] | None, IfPresent] = Field(default=None, fail_fast=True)


class WorkflowFormat(_Model):
    """A workflow, whatever is in its graph."""

    nodes: list[Any]
    edges: list[Any]


class WorkflowSchema(_Model):
    """A whole workflow. `global_variable` is a JSON schema of type object, unchecked."""

    nodes: tuple[NodeSchema, ...] = Field(fail_fast=True)
    edges: tuple[EdgeSchema, ...] = Field(fail_fast=True)
    global_variable: Any = Field(default=None, alias="globalVariable")
