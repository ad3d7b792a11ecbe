"""Secrets: what is masked before anybody sees it.

Masked are the values of node inputs with certain names, and of HTTP headers that carry credentials, in snapshots, messages
and logs. The engine keeps the real values in memory only.
"""

from collections.abc import Iterable
from typing import Any

from flowgram_runtime.modeling.json_text import JSONObject

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token"}
)
"""HTTP headers that carry credentials, in lower case."""

_HEADERS = "headers"


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

    def mask_inputs(self, inputs: JSONObject) -> JSONObject:
        """The inputs of a node as they may be shown: the same object where nothing is secret."""
        if not self._names.isdisjoint(inputs) or _HEADERS in inputs:
            return {name: self._mask(name, value) for name, value in inputs.items()}
        return inputs

    def values(self, inputs: JSONObject) -> list[str]:
        """The secret texts in the inputs of a node, to be scrubbed from other texts."""
        found = [value for name, value in inputs.items() if name in self._names]
        headers = inputs.get(_HEADERS)
        if isinstance(headers, dict):
            found.extend(value for name, value in headers.items() if self._is_secret_header(name))
        return [value for value in found if isinstance(value, str)]

    def _mask(self, name: str, value: Any) -> Any:
        if name in self._names:
            return mask(value) if isinstance(value, str) else None if value is None else "…"
        if name == _HEADERS and isinstance(value, dict):
            return {
                header: mask(text) if isinstance(text, str) and self._is_secret_header(header) else text
                for header, text in value.items()
            }
        return value

    def _is_secret_header(self, header: str) -> bool:
        return header.lower() in self._header_names
