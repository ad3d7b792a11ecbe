"""Secrets of nodes: which inputs and headers are masked in snapshots, messages and logs, and how.

Masked are, in snapshots, reports, messages and logs: the values of node inputs and outputs with certain names, HTTP headers
and query parameters that carry credentials by their names, and what a server or a model sends back of them. The engine keeps
the real values in memory only.
"""

import base64
import binascii
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from mypy_extensions import mypyc_attr

from flowgram_core.modeling.json_text import JSONObject, JSONTextError, dumps, loads
from flowgram_core.nodes.network.credentials import is_credential

_HEADERS = "headers"
_PARAMS = "params"
_FIELDS = frozenset({_HEADERS, _PARAMS})
"""Inputs that hold others by name, as those of an HTTP request do."""

_BODY, _BODY_TYPE = "body", "bodyType"
_FORMS = frozenset({"form-data", "x-www-form-urlencoded"})
"""Types of an HTTP request's body that hold others by name, too: as JSON text."""

_FIELD_DATA = frozenset({_HEADERS, "headersValues", _PARAMS, "paramsValues"})
"""What a schema says of headers and parameters: how they are declared, and what they are bound to."""
_DECLARATIONS = frozenset(
    {"type", "properties", "required", "items", "title", "default", "extra", "description"}
)
"""Names in a declaration that are none of fields."""

_QUERY_FIELD: Final = re.compile(r"""(?<=[?&;#])([^?=&;#\s"'<>]{1,64})=([^&;#\s"'<>]+)""")
_USER_AND_PASSWORD: Final = re.compile(r"""(?<=://)([^/?#\s"'<>]+)@""")
_LONGEST_URL: Final = 65_536
"""Characters. In longer texts no address is looked for."""
_NAMES_SECRET: Final = re.compile(
    r"\s*(?:[A-Za-z]{1,16} )?\s*\{\{\s*secrets\.[\w-]{1,64}\s*\}\}\s*", re.ASCII
)
"""A reference to a secret of the server, with the name of an authentication scheme before it, or none."""
_PLACEHOLDER: Final = re.compile(r"(?:\{\{[^{}]*\}\})+")
_SHORTEST_ECHO: Final = 8
"""Characters. A shorter secret, such as `test`, is not looked for in what servers and models answer: it may be a word."""


def mask(value: str) -> str:
    """What may be shown of a secret: `sk-…3f2a` of a long one, `…` of a short one; all of what only names one of the server."""
    if _NAMES_SECRET.fullmatch(value):
        return value
    return f"{value[:3]}…{value[-4:]}" if len(value) >= 16 else "…"


def scrub(text: str, secrets: Iterable[str] | Mapping[str, str]) -> str:
    """A text with every occurrence of the secrets masked; with a mapping, by what it says is shown of each."""
    # Longer ones first: one may be a part of another.
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, secrets[secret] if isinstance(secrets, Mapping) else mask(secret))
    return text


def mask_urls(text: str) -> str:
    """A text with the credentials masked that stand in addresses in it: in their queries and fragments, and before their hosts."""
    if len(text) > _LONGEST_URL or not _may_have_credentials(text):
        return text
    return _QUERY_FIELD.sub(_masked_field, _USER_AND_PASSWORD.sub(_masked_password, text))


def _may_have_credentials(text: str) -> bool:
    return "://" in text and ("?" in text or "@" in text or "#" in text)


def _masked_password(match: re.Match[str]) -> str:
    password = _password(match[1])
    before = match[1].removesuffix(password)
    return match[0] if _PLACEHOLDER.fullmatch(password) else f"{before}{mask(password)}@"


def _password(user_and_password: str) -> str:
    """The password; a token that stands alone is one as well."""
    user, colon, password = user_and_password.partition(":")
    return password if colon else user


def _masked_field(match: re.Match[str]) -> str:
    name, value = match.groups()
    if not is_credential(unquote_plus(name)) or _PLACEHOLDER.fullmatch(value):
        return match[0]
    return f"{name}={mask(value)}"


@mypyc_attr(allow_interpreted_subclasses=True)
class Secrets:
    """Tells which values are secret.

    Args:
        names: Of inputs and outputs, exactly as they are written; of headers and parameters in any case.
    """

    def __init__(self, names: Iterable[str] = ("apiKey",)) -> None:
        self._names = frozenset(names)
        self._lower_names = frozenset(name.lower() for name in self._names)
        self._concerned = self._names | _FIELDS

    def and_also(self, names: Iterable[str]) -> "Secrets":
        """Knows these names besides."""
        return Secrets(self._names.union(names))

    def mask_inputs(self, inputs: JSONObject) -> JSONObject:
        """The inputs of a node as they may be shown: the same object where nothing can be secret."""
        if self._concerned.isdisjoint(inputs) and not _has_address(inputs):
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
        return {name: self._mask_data(name, value, in_fields=False) for name, value in data.items()}

    def values(self, inputs: JSONObject) -> list[str]:
        """The secret texts in the inputs of a node, to be scrubbed from other texts.

        Those inside of objects and arrays too, and the credentials within headers (`Bearer …`, cookies) and addresses.
        """
        return [*_texts(self._found(inputs))]

    def echoes(self, inputs: JSONObject) -> list[str]:
        """The secret texts in the inputs of a node in all forms in which a server or a model may send them back."""
        texts = {text for text in self.values(inputs) if len(text) >= _SHORTEST_ECHO}
        if not texts:
            return []
        return sorted({form for text in texts for form in _forms(text)})

    def _found(self, inputs: JSONObject) -> Iterator[Any]:
        for name, value in inputs.items():
            if name in self._names:
                yield value
            elif name in _FIELDS and isinstance(value, dict):
                for key, field in value.items():
                    if self._is_secret_field(key):
                        yield field
                        if name == _HEADERS and isinstance(field, str):
                            yield from _parts_of_header(field)
            elif _is_address(value):
                yield from (_password(found) for found in _USER_AND_PASSWORD.findall(value))
                for key, field in _QUERY_FIELD.findall(value):
                    if self._is_secret_field(unquote_plus(key)) and len(field) >= _SHORTEST_ECHO:
                        yield from {field, unquote_plus(field)}
        yield from (field for key, field in _form(inputs).items() if key in self._names)

    def _mask_fields(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return mask_urls(value)
        if name not in _FIELDS or not isinstance(value, dict):
            return value
        return {
            key: _hide(field)
            if self._is_secret_field(key)
            else mask_urls(field)
            if isinstance(field, str)
            else field
            for key, field in value.items()
        }

    def _mask_data(self, name: str, value: Any, *, in_fields: bool) -> Any:
        if name in self._names or (in_fields and name not in _DECLARATIONS and self._is_secret_field(name)):
            return _hide_said(value)
        if isinstance(value, str):
            return mask_urls(value)
        if isinstance(value, list):
            return [self._mask_data("", item, in_fields=in_fields) for item in value]
        if isinstance(value, dict):
            in_fields = in_fields or name in _FIELD_DATA
            return {key: self._mask_data(key, item, in_fields=in_fields) for key, item in value.items()}
        return value

    def _is_secret_field(self, name: str) -> bool:
        return is_credential(name, self._lower_names)


@lru_cache(maxsize=64)
def _forms(text: str) -> tuple[str, str, str]:
    """The forms in which a secret text may be sent back. Calls have the same ones again and again."""
    return text, dumps(text)[1:-1], quote(text, safe="")


def scrub_outputs(value: Any, secrets: Iterable[str] | Mapping[str, str]) -> Any:
    """Outputs of a call without what a server or a model has sent back of the secrets: the same object where it is nothing."""
    if not isinstance(secrets, dict):
        secrets = (
            dict(secrets) if isinstance(secrets, Mapping) else {secret: mask(secret) for secret in secrets}
        )
    if not secrets or not any(secret in text for text in _texts_and_names([value]) for secret in secrets):
        return value
    return _scrubbed(value, secrets)


def _scrubbed(value: Any, secrets: Mapping[str, str]) -> Any:
    match value:
        case str():
            return scrub(value, secrets)
        case list():
            return [_scrubbed(member, secrets) for member in value]
        case dict():
            return {scrub(name, secrets): _scrubbed(member, secrets) for name, member in value.items()}
        case _:
            return value


def _texts_and_names(values: Iterable[Any]) -> Iterator[str]:
    pending = deque(values)
    while pending:
        value = pending.popleft()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _has_address(inputs: JSONObject) -> bool:
    for value in inputs.values():  # noqa: SIM110 - for every node run: a generator would take twice as long
        if _is_address(value):
            return True
    return False


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_URL and _may_have_credentials(value)


def _parts_of_header(value: str) -> Iterator[str]:
    """The credentials within the value of a header: without the scheme before them, and those of cookies one by one."""
    scheme, _, rest = value.partition(" ")
    parts = [rest.strip(), *(part.partition("=")[2].strip() for part in value.split(";"))]
    if scheme.lower() == "basic":
        with suppress(binascii.Error, UnicodeDecodeError):
            user_and_password = base64.b64decode(rest.strip(), validate=True).decode()
            parts += [user_and_password, user_and_password.partition(":")[2]]
    yield from dict.fromkeys(part for part in parts if len(part) >= _SHORTEST_ECHO)


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
