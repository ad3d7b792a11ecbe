"""Value bindings: how a node's inputs are taken from constants, references and templates.

Everything that does not depend on a run is computed when a binding is compiled. An invalid binding is an error of the
node that uses it, raised when the binding is resolved, as in FlowGram.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.errors import BindingError, JSONTextError
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.sizes import dict_memory, size_of, text_memory
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
    variable_of,
)

_PLACEHOLDER: Final = 5 * PART
"""Work of a part of a template, beside that of its value."""
_FEW_INPUTS: Final = 16 * PART
"""Work that is not worth while counting."""


_AS_JSON = "json "
"""Before the path in a placeholder: its value is written as JSON. No node id that the editor makes begins so."""


class Scope(Protocol):
    """The variables that a running node can see."""

    @property
    def meter(self) -> Meter:
        """Counts the work of resolving bindings, and the memory that they allocate."""
        ...

    def spend(self, size: int) -> int:
        """Counts characters of text that a binding makes; returns how many more this node run may make.

        Raises `BindingError` beyond the limit.
        """
        ...

    def lookup(self, node_id: str, key: str) -> Variable | None:
        """The variable of a node in the nearest scope that knows the node, or None."""
        ...


class Binding(Protocol):
    """A compiled value binding."""

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:
        """The value with its type, or None where it is absent. Raises `BindingError`."""
        ...


class ConstantBinding:
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


class VariableBinding:
    """`{"type": "ref", "content": [node, key]}`: a variable, which is found without any work that counts.

    Attributes:
        node_id: Its node.
        key: Its key there.
    """

    __slots__ = ("key", "node_id")

    def __init__(self, node_id: str, key: str) -> None:
        self.node_id = node_id
        self.key = key

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """The variable."""
        return scope.lookup(self.node_id, self.key)


class PathBinding:
    """`{"type": "ref", "content": [node, key, …path]}`: what lies inside a variable."""

    __slots__ = ("_key", "_node_id", "_path")

    def __init__(self, node_id: str, key: str, path: Sequence[Any]) -> None:
        self._node_id = node_id
        self._key = key
        self._path = tuple(path)

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """What lies there, with the type it really has."""
        variable = scope.lookup(self._node_id, self._key)
        if variable is None:
            return None
        value = javascript.get_path(variable.value, self._path, scope.meter)
        if value is UNDEFINED:
            return None
        return variable_of(value)


class AbsentBinding:
    """A binding that never has a value, such as a reference that names no variable."""

    __slots__ = ()

    def resolve(self, scope: Scope, declared_type: str | None = None) -> None:  # noqa: ARG002
        """None."""
        return


class TemplateBinding:
    """`{"type": "template", "content": "… {{node.key.path}} …"}`: a string."""

    __slots__ = ("_template",)

    def __init__(self, template: "Template") -> None:
        self._template = template

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """The rendered text, or None for an empty template."""
        text = self._template.render(scope)
        return None if text is None else Variable(text, "string")


class NestedBinding:
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


class InvalidBinding:
    """An invalid binding: using it is an error."""

    __slots__ = ("_message",)

    def __init__(self, message: str) -> None:
        self._message = message

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """Raises `BindingError`."""
        raise BindingError(self._message)


class Template:
    """A text with placeholders, cut into literal parts and references once."""

    __slots__ = ("_parts",)

    def __init__(self, parts: "Sequence[str | Binding | _JSONPlaceholder]") -> None:
        self._parts = tuple(parts)

    def render(self, scope: Scope) -> str | None:
        """The text with every placeholder replaced, or None for an empty template.

        Numbers and booleans as JavaScript prints them, null as `null`, objects and arrays as compact JSON; nothing for
        what is absent or unset. `{{json …}}` gives every value as JSON, texts in quotes and escaped, and null for what is
        absent or unset. Raises `BindingError` for a text that is too large.
        """
        if not self._parts:
            return None
        pieces: list[str] = []
        meter = scope.meter
        meter.spend(_PLACEHOLDER * len(self._parts))
        for part in self._parts:
            if isinstance(part, str):
                piece = part
            elif isinstance(part, _JSONPlaceholder):
                piece = _inserted_json(part.binding.resolve(scope), scope)
            else:
                piece = _inserted(part.resolve(scope), scope)
            scope.spend(len(piece))
            pieces.append(piece)
        text = "".join(pieces)
        meter.allocated += text_memory(text)
        return text


def _inserted(variable: Variable | None, scope: Scope) -> str:
    if variable is None or variable.value is UNDEFINED:
        return ""
    value = variable.value
    if isinstance(value, dict | list):
        left = scope.spend(0)
        if (size := size_of(value, left, scope.meter)) > left:
            scope.spend(size)
        return json_text.dumps(value)
    return javascript.to_string(value)


class _JSONPlaceholder:
    """A placeholder whose value is written as JSON."""

    __slots__ = ("binding",)

    def __init__(self, binding: Binding) -> None:
        self.binding = binding


def _inserted_json(variable: Variable | None, scope: Scope) -> str:
    if variable is None or variable.value is UNDEFINED:
        return "null"
    value = variable.value
    if isinstance(value, str):
        if len(value) > scope.spend(0):
            scope.spend(len(value))
        return json_text.dumps(value)
    return _inserted(variable, scope) if isinstance(value, dict | list) else json_text.dumps(value)


def compile_template(content: Any) -> Template:
    """Cuts a template's text into parts; anything but a non-empty text is the empty template."""
    if not isinstance(content, str):
        return Template(())
    parts: list[str | Binding | _JSONPlaceholder] = []
    end = 0
    for start, inner, following in _placeholders(content):
        if start > end:
            parts.append(content[end:start])
        path, is_json = _path_of(inner)
        variable = _compile_variable(path)
        parts.append(_JSONPlaceholder(variable) if is_json else variable)
        end = following
    if end < len(content):
        parts.append(content[end:])
    return Template(parts)


def references_in(flow_value: JSONObject) -> Iterator[list[Any]]:
    """The references `[node, key, …path]` in a single binding: that of a `ref`, and those of a template's placeholders."""
    content = flow_value.get("content")
    match flow_value.get("type"):
        case "ref" if isinstance(content, list) and content:
            yield content
        case "template" if isinstance(content, str):
            yield from (_path_of(inner)[0] for _, inner, _ in _placeholders(content))


def _path_of(inner: str) -> tuple[list[str], bool]:
    """The path in a placeholder, and whether its value is written as JSON."""
    path = inner.strip(javascript.WHITESPACE)
    if path.startswith(_AS_JSON):
        return path[len(_AS_JSON) :].strip(javascript.WHITESPACE).split("."), True
    return path.split("."), False


def _placeholders(text: str) -> Iterator[tuple[int, str, int]]:
    """Where each placeholder begins, what is in it, and where it has ended.

    Source: FlowGram's pattern, which is two braces, anything but closing ones, and two closing ones. As a pattern it would
    look for the end from every brace on, and take a time that grows with the square of the text.
    """
    position = 0
    while (end := text.find("}", position)) >= 0:
        start = text.find("{{", position, end)
        if 0 <= start < end - 2 and text.startswith("}}", end):
            position = end + 2
            yield start, text[start + 2 : end], position
        else:
            position = end + 1


def _compile_variable(content: Any) -> Binding:
    if not isinstance(content, list) or len(content) < 2:
        return AbsentBinding()
    node_id, key, *path = content
    if not isinstance(node_id, str) or not isinstance(key, str):
        return AbsentBinding()
    return PathBinding(node_id, key, path) if path else VariableBinding(node_id, key)


def compile_reference(flow_value: Any) -> Binding:
    """A binding that must be a `ref`; any other is an error when resolved. Source: FlowGram's `parseRef`."""
    if not isinstance(flow_value, dict) or flow_value.get("type") != "ref":
        return InvalidBinding(f"Invalid ref value: {javascript.to_string(flow_value)}")
    return _compile_variable(flow_value.get("content"))


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
        return _compile_variable(flow_value.get("content"))
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
        (name, compile_value(value).resolve, _declared_type(properties[name]))
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
            variable = binding(scope, declared)
            if variable is None:
                continue
            value, kind, _ = variable
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
    entries = tuple((name, compile_value(value).resolve) for name, value in values.items())

    def resolve(scope: Scope) -> JSONObject:
        variables = ((name, binding(scope, None)) for name, binding in entries)
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
