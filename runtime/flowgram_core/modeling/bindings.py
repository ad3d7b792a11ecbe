"""Value bindings: how a node's inputs are taken from constants, references and templates.

Everything that does not depend on a run is computed when a binding is compiled. An invalid binding is an error of the
node that uses it, raised when the binding is resolved, as in FlowGram.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.errors import BindingError, JSONTextError
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART
from flowgram_core.modeling.references import compile_path
from flowgram_core.modeling.scope import Binding, Scope
from flowgram_core.modeling.sizes import dict_memory
from flowgram_core.modeling.templates import Template, compile_template
from flowgram_core.modeling.values import (
    ARRAY,
    JSON_TYPES,
    MAP,
    OBJECT,
    UNDEFINED,
    UNKNOWN,
    Variable,
    type_of,
    types_equal,
)

_FEW_INPUTS: Final = 16 * PART
"""Work that is not worth while counting."""


class ConstantBinding(Binding):
    """`{"type": "constant", "content": …}`: takes the declared type unchecked; null is as if absent."""

    __slots__ = ("_content", "_parsed", "_variables")

    def __init__(self, content: Any) -> None:
        self._content = content
        self._parsed = parse_json_content(content, ARRAY)
        self._variables: dict[str | None, Variable] = {}

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """The constant; for a declared object, array or map, its parsed JSON text."""
        variable = self._variables.get(declared_type)
        if variable is None:
            value = self._parsed if declared_type in JSON_TYPES else self._content
            if value is None:
                return None
            variable = self._variables[declared_type] = Variable(value, declared_type or type_of(value))
        return variable


class TemplateBinding(Binding):
    """`{"type": "template", "content": "… {{node.key.path}} …"}`: a string."""

    __slots__ = ("_template",)

    def __init__(self, template: Template) -> None:
        self._template = template

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """The rendered text, or None for an empty template."""
        text = self._template.render(scope)
        return None if text is None else Variable(text, "string")


class NestedBinding(Binding):
    """An object of bindings: `{name: binding, …}`, which may nest again."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Binding]) -> None:
        self._members = tuple(members.items())

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable:
        """An object of the members that are present, of the declared type if that is one of objects."""
        scope.meter.spend(PART * len(self._members))
        scope.meter.allocated += dict_memory(len(self._members))
        value: JSONObject = {}
        for name, binding in self._members:
            variable = binding.resolve(scope)
            if variable is not None and variable.value is not UNDEFINED:
                value[name] = variable.value
        return Variable(value, MAP if declared_type == MAP else OBJECT)


class InvalidBinding(Binding):
    """An invalid binding: using it is an error."""

    __slots__ = ("_message",)

    def __init__(self, message: str) -> None:
        self._message = message

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """Raises `BindingError`."""
        raise BindingError(self._message)


def compile_reference(flow_value: Any) -> Binding:
    """A binding that must be a `ref`; any other is an error when resolved. Source: FlowGram's `parseRef`."""
    if not isinstance(flow_value, dict) or flow_value.get("type") != "ref":
        return InvalidBinding(f"Invalid ref value: {javascript.to_string(flow_value)}")
    return compile_path(flow_value.get("content"))


def compile_value(flow_value: Any) -> Binding:
    """Any binding. Source: FlowGram's `parseFlowValue`; an object of bindings, as the editor may save it, is added."""
    kind = flow_value.get("type") if isinstance(flow_value, dict) else None
    if flow_value and isinstance(flow_value, dict) and _is_nested(flow_value):
        return NestedBinding({name: compile_value(value) for name, value in flow_value.items()})
    if not kind:
        shown = kind if isinstance(flow_value, dict) and "type" in flow_value else UNDEFINED
        return InvalidBinding(f"Invalid flow value type: {javascript.to_string(shown)}")
    if kind == "constant":
        return ConstantBinding(flow_value.get("content"))
    if kind == "ref":
        return compile_path(flow_value.get("content"))
    if kind == "template":
        content = flow_value.get("content")
        if content and not isinstance(content, str):
            return InvalidBinding("Invalid template value: the content must be a string")
        return TemplateBinding(compile_template(content))
    return InvalidBinding(f"Unknown flow value type: {javascript.to_string(kind)}")


def _is_nested(value: JSONObject) -> bool:
    """Whether all members of an object are bindings, or nested again; a member may be named `type`, too."""
    pending = [value]
    while pending:
        for member in pending.pop().values():
            if not isinstance(member, dict) or not member:
                return False
            if not isinstance(member.get("type"), str):
                pending.append(member)
    return True


def parse_json_content(content: Any, declared_type: str | None) -> Any:
    """A constant or default for a declared type: JSON text of an object, array or map is parsed.

    Text that is no JSON stays text. Source: FlowGram's `parseJSONContent`.
    """
    if declared_type in JSON_TYPES and isinstance(content, str):
        try:
            return json_text.loads(content)
        except JSONTextError:
            return content
    return content


InputsResolver = Callable[[Scope], JSONObject]
"""Resolves the inputs of a node in a scope. Raises `BindingError`."""


def no_inputs(scope: Scope) -> JSONObject:  # noqa: ARG001
    """Resolves to nothing: the inputs of a node that takes none."""
    return {}


def compile_inputs(values: Any, declare: Any) -> InputsResolver:
    """The inputs that a node takes: each value that is declared, present, and of the declared type.

    Args:
        values: `inputsValues`: an object of bindings by name.
        declare: `inputs`: a JSON schema of type object, whose properties declare the names and types.
    """
    properties = declare.get("properties") if isinstance(declare, dict) else None
    if not isinstance(values, dict) or not isinstance(properties, dict):
        return no_inputs
    entries = tuple(
        (name, compile_value(value), _declared_type(properties[name]))
        for name, value in values.items()
        if javascript.truthy(properties.get(name))
    )
    if not entries:
        return no_inputs

    work = PART * len(entries)

    def resolve(scope: Scope) -> JSONObject:
        inputs: JSONObject = {}
        if work > _FEW_INPUTS:
            scope.meter.spend(work)
        for name, binding, declared in entries:
            variable = binding.resolve(scope, declared)
            if variable is None:
                continue
            value, kind = variable.value, variable.type
            if value is not UNDEFINED and (
                declared is None or kind == declared or types_equal(kind, declared)
            ):
                inputs[name] = value
        return inputs

    return resolve


def compile_undeclared_inputs(values: Any) -> InputsResolver:
    """The inputs of a node that declares none: each value that is present, of whatever type it is.

    Args:
        values: `inputsValues`: an object of bindings by name.
    """
    if not isinstance(values, dict) or not values:
        return no_inputs
    entries = tuple((name, compile_value(value)) for name, value in values.items())

    def resolve(scope: Scope) -> JSONObject:
        variables = ((name, binding.resolve(scope)) for name, binding in entries)
        return {
            name: variable.value
            for name, variable in variables
            if variable is not None and variable.value is not UNDEFINED
        }

    return resolve


def _declared_type(schema: Any) -> str | None:
    """The type that a value must have; None for any."""
    kind = schema.get("type", UNKNOWN) if isinstance(schema, dict) else ""
    if kind == UNKNOWN:
        return None
    return kind if isinstance(kind, str) else ""
