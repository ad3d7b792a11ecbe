"""Secrets: what is masked before anybody sees it.

Masked are the values of node inputs with certain names, and of HTTP headers that carry credentials, in snapshots, messages
and logs. The engine keeps the real values in memory only.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from flowgram_core.modeling.json_text import JSONObject, JSONTextError, dumps, loads

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token"}
)
"""HTTP headers that carry credentials, in lower case."""

_HEADERS = "headers"
_PARAMS = "params"
_FIELDS = frozenset({_HEADERS, _PARAMS})
"""Inputs that hold others by name, as those of an HTTP request do."""

_BODY, _BODY_TYPE = "body", "bodyType"
_FORMS = frozenset({"form-data", "x-www-form-urlencoded"})
"""Types of an HTTP request's body that hold others by name, too: as JSON text."""

_HEADER_DATA = frozenset({_HEADERS, "headersValues"})
"""What a schema says of headers: how they are declared, and what they are bound to."""


def mask(value: str) -> str:
    """What may be shown of a secret: `sk-…3f2a` of a long one, `…` of a short one."""
    return f"{value[:3]}…{value[-4:]}" if len(value) >= 16 else "…"


def scrub(text: str, secrets: Iterable[str]) -> str:
    """A text with every occurrence of the secrets masked."""
    # Longer ones first: one may be a part of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, mask(secret))
    return text


class Secrets:
    """Knows which inputs are secret."""

    def __init__(self, names: Iterable[str] = ("apiKey",)) -> None:
        self._names = frozenset(names)
        self._header_names = SECRET_HEADERS.union(name.lower() for name in self._names)
        self._concerned = self._names | _FIELDS

    def and_also(self, names: Iterable[str]) -> "Secrets":
        """Knows these names besides."""
        return Secrets(self._names.union(names))

    def mask_inputs(self, inputs: JSONObject) -> JSONObject:
        """The inputs of a node as they may be shown: the same object where nothing can be secret."""
        if self._concerned.isdisjoint(inputs):
            return inputs
        shown = {
            name: _hide(value) if name in self._names else self._mask_fields(name, value)
            for name, value in inputs.items()
        }
        form = _form(inputs)
        if not self._names.isdisjoint(form):
            shown[_BODY] = dumps(self.mask_inputs(form))
        return shown

    def mask_outputs(self, outputs: JSONObject) -> JSONObject:
        """The outputs of a node as its snapshot may show them: the same object where there are no headers."""
        if _HEADERS not in outputs:
            return outputs
        return {**outputs, _HEADERS: self._mask_fields(_HEADERS, outputs[_HEADERS])}

    def mask_data(self, data: JSONObject) -> JSONObject:
        """What a schema says about a node as it may be shown: without the constants and templates that are secret."""
        return {name: self._mask_data(name, value, in_headers=False) for name, value in data.items()}

    def values(self, inputs: JSONObject) -> list[str]:
        """The secret texts in the inputs of a node, those inside of objects and arrays too, to be scrubbed from other texts."""
        return [*_texts(self._found(inputs))]

    def _found(self, inputs: JSONObject) -> Iterator[Any]:
        for name, value in inputs.items():
            if name in self._names:
                yield value
            elif name in _FIELDS and isinstance(value, dict):
                yield from (field for key, field in value.items() if self._is_secret(key, name == _HEADERS))
        yield from (field for key, field in _form(inputs).items() if key in self._names)

    def _mask_fields(self, name: str, value: Any) -> Any:
        if name not in _FIELDS or not isinstance(value, dict):
            return value
        in_headers = name == _HEADERS
        return {
            key: _hide(field) if self._is_secret(key, in_headers) else field for key, field in value.items()
        }

    def _mask_data(self, name: str, value: Any, *, in_headers: bool) -> Any:
        if self._is_secret(name, in_headers):
            return _hide_said(value)
        if isinstance(value, list):
            return [self._mask_data("", item, in_headers=in_headers) for item in value]
        if isinstance(value, dict):
            in_headers = in_headers or name in _HEADER_DATA
            return {key: self._mask_data(key, item, in_headers=in_headers) for key, item in value.items()}
        return value

    def _is_secret(self, name: str, in_headers: bool) -> bool:
        return name.lower() in self._header_names if in_headers else name in self._names


def _form(inputs: JSONObject) -> JSONObject:
    """The fields of the form that an HTTP request sends; none where it sends something else."""
    body, body_type = inputs.get(_BODY), inputs.get(_BODY_TYPE)
    if isinstance(body_type, str) and body_type in _FORMS and isinstance(body, str):
        with suppress(JSONTextError):
            fields = loads(body)
            if isinstance(fields, dict):
                return fields
    return {}


def _texts(values: Iterable[Any]) -> Iterator[str]:
    pending = deque(values)
    while pending:
        value = pending.popleft()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _hide(value: Any) -> Any:
    """What may be shown of a secret value. There is none where it is null."""
    return mask(value) if isinstance(value, str) else None if value is None else "…"


def _hide_said(value: Any) -> Any:
    """What may be shown of what a schema says of a secret: of which type it is, or where it comes from, not what it is."""
    if not isinstance(value, dict):
        return _hide(value)
    if value.get("type") == "ref" and isinstance(value.get("content"), list):
        return value
    return {key: said if key == "type" else _hide_said(said) for key, said in value.items()}
