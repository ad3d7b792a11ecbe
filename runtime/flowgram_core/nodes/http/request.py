"""What an http node sends: from the prepared inputs of the node to a request, byte for byte."""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.http.url import (
    MAX_URL_LENGTH,
    encode_form,
    parse_url,
    set_query,
    to_utf8,
    url_too_long,
)
from flowgram_core.nodes.network.redirects import Request

NONE = "none"
JSON = "JSON"
RAW_TEXT = "raw-text"
BINARY = "binary"
FORM_DATA = "form-data"
FORM_URLENCODED = "x-www-form-urlencoded"

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
_WITHOUT_BODY = frozenset({"GET", "HEAD"})

_CONTENT_TYPES = {
    JSON: "application/json",
    FORM_URLENCODED: "application/x-www-form-urlencoded",
    RAW_TEXT: "text/plain",
    BINARY: "application/octet-stream",
}

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "expect"})
"""Headers that say how a message travels: they follow from the message, whatever the user says."""

_MAX_HEADERS = 512 * 1024
"""Bytes of all headers of a request: libcurl sends no more than twice as many."""
_AROUND_HEADER = 4

_BOUNDARY = re.compile(r"""^multipart/.*;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_FIRST_DELIMITER = re.compile(rb"--([^\r\n]{0,69}[^\r\n ])[ \t]*\r?\n")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def build_request(inputs: JSONObject) -> Request:
    """The request that a node's prepared inputs describe. Raises `NodeError` where there can be none."""
    url = set_query(parse_url(inputs["url"]), _params(inputs["params"]))
    method = _to_string(inputs.get("method", "GET")).upper()
    if method not in METHODS:
        raise NodeError(f'Unsupported HTTP method "{method}"')
    headers = _headers(inputs["headers"])
    content_type = _CONTENT_TYPES.get(inputs["bodyType"])
    body: bytes | None = None
    if method not in _WITHOUT_BODY and inputs["body"]:
        if inputs["bodyType"] == FORM_DATA:
            body, headers["content-type"] = _encode_form_data(inputs["body"], headers.get("content-type", ""))
        else:
            body = _encode_body(inputs["body"], inputs["bodyType"])
            headers = _with_boundary_of(body, headers)
    if content_type is not None and not headers.get("content-type"):
        headers["content-type"] = content_type
    return Request(method, url, headers, body)


def _to_string(value: Any) -> str:
    return value if type(value) is str else javascript.to_string(value)


def _params(params: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values of each name: those of an array are its members, an object is JSON; what is empty is left out."""
    values: dict[str, list[str]] = {}
    left = MAX_URL_LENGTH
    for name, value in params.items():
        texts = []
        for member in _members(value):
            if member is not None and member != "":
                texts.append(_text(member))
                left -= len(name) + len(texts[-1]) + 1
                if left < 0:
                    raise url_too_long()
        if texts:
            values[name] = texts
    return values


def _members(value: Any) -> list[Any]:
    """The members of an array; any other value alone."""
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return json_text.dumps(value) if isinstance(value, dict | list) else javascript.to_string(value)


def _headers(values: Mapping[str, Any]) -> dict[str, str]:
    """Headers by lower-case name; values under names that differ in case only are joined, as `Headers` does."""
    headers: dict[str, str] = {}
    left = _MAX_HEADERS
    for name, value in values.items():
        text = _to_string(value).strip("\t\n\r ")
        left -= len(name) + len(text) + _AROUND_HEADER
        if left < 0:
            raise NodeError(f"The headers of the HTTP request have more than {_MAX_HEADERS} bytes")
        # The value is not shown: it may be a secret.
        if not _HEADER_NAME.fullmatch(name):
            raise NodeError(f'Invalid HTTP header name "{name}"')
        if not _HEADER_VALUE.fullmatch(text):
            raise NodeError(f'Invalid value of the HTTP header "{name}"')
        key = name.lower()
        if key not in _FRAMING:
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _encode_body(body: str, body_type: str) -> bytes:
    return encode_form(_form_fields(body)) if body_type == FORM_URLENCODED else to_utf8(body)


def _encode_form_data(body: str, content_type: str) -> tuple[bytes, str]:
    """The bytes of a form, and the Content-Type, with their boundary: the one that the node gives, or a new one."""
    given = _BOUNDARY.search(content_type)
    boundary = (given[1] or given[2]) if given else f"----formdata-flowgram-{secrets.token_hex(16)}"
    if not given and (not content_type or content_type.lower().startswith("multipart/")):
        kind = content_type.partition(";")[0].strip() or "multipart/form-data"
        content_type = f"{kind}; boundary={boundary}"
    return encode_multipart(_form_fields(body), boundary), content_type


def _with_boundary_of(body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """The headers, where a multipart type without a boundary gets the one of a body that was written by hand."""
    content_type = headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/") or _BOUNDARY.search(content_type):
        return headers
    found = _FIRST_DELIMITER.match(body)
    if found is None or not found[1].isascii() or b'"' in found[1]:
        return headers
    kind = content_type.partition(";")[0].strip()
    return {**headers, "content-type": f'{kind}; boundary="{found[1].decode("ascii")}"'}


def _form_fields(body: str) -> list[tuple[str, str]]:
    fields = json_text.loads(body)
    return (
        [(name, javascript.to_string(value)) for name, value in fields.items()]
        if isinstance(fields, dict)
        else []
    )


def encode_multipart(fields: Iterable[tuple[str, str]], boundary: str) -> bytes:
    """Fields as `multipart/form-data`. Source: the algorithm of that name in the HTML standard."""
    parts: list[bytes] = []
    for name, value in fields:
        escaped = _with_crlf(name).replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
        parts.append(to_utf8(f'--{boundary}\r\nContent-Disposition: form-data; name="{escaped}"\r\n\r\n'))
        parts.append(to_utf8(_with_crlf(value)))
        parts.append(b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode("ascii"))
    return b"".join(parts)


def _with_crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
