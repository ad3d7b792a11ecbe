"""Templates: texts with placeholders `{{node.key.path}}`, which are replaced by the values of references."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART
from flowgram_core.modeling.references import compile_path
from flowgram_core.modeling.scope import Binding, Scope
from flowgram_core.modeling.sizes import size_of, text_memory
from flowgram_core.modeling.values import UNDEFINED, Variable

_PLACEHOLDER: Final = 5 * PART
"""Work of a part of a template, beside that of its value."""

_AS_JSON: Final = "json "
"""Before the path in a placeholder: its value is written as JSON. No node id that the editor makes begins so."""


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
        variable = compile_path(path)
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
