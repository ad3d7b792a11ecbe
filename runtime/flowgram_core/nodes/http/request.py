"""What an http node sends: from the prepared inputs of the node to a request, byte for byte."""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.http.url import encode_form, parse_url, set_query, to_utf8
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

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def build_request(inputs: JSONObject) -> Request:
    """The request that a node's prepared inputs describe. Raises `NodeError` where there can be none."""
    url = set_query(parse_url(inputs["url"]), _params(inputs["params"]))
    method = javascript.to_string(inputs.get("method", "GET")).upper()
    if method not in METHODS:
        raise NodeError(f'Unsupported HTTP method "{method}"')
    headers = _headers(inputs["headers"])
    content_type = _CONTENT_TYPES.get(inputs["bodyType"])
    body: bytes | None = None
    if method not in _WITHOUT_BODY and inputs["body"]:
        body, boundary_type = _encode_body(inputs["body"], inputs["bodyType"])
        content_type = boundary_type or content_type
    if content_type is not None and not headers.get("content-type"):
        headers["content-type"] = content_type
    return Request(method, url, headers, body)


def _params(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return (
        (name, javascript.to_string(value))
        for name, value in params.items()
        if value is not None and value != ""
    )


def _headers(values: Mapping[str, Any]) -> dict[str, str]:
    """Headers by lower-case name; values under names that differ in case only are joined, as `Headers` does."""
    headers: dict[str, str] = {}
    for name, value in values.items():
        text = javascript.to_string(value).strip("\t\n\r ")
        # The value is not shown: it may be a secret.
        if not _HEADER_NAME.fullmatch(name):
            raise NodeError(f'Invalid HTTP header name "{name}"')
        if not _HEADER_VALUE.fullmatch(text):
            raise NodeError(f'Invalid value of the HTTP header "{name}"')
        key = name.lower()
        if key not in _FRAMING:
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _encode_body(body: str, body_type: str) -> tuple[bytes, str | None]:
    """The bytes of a body, and its Content-Type if that follows from them."""
    if body_type == FORM_URLENCODED:
        return encode_form(_form_fields(body)), None
    if body_type == FORM_DATA:
        boundary = f"----formdata-flowgram-{secrets.token_hex(16)}"
        return encode_multipart(_form_fields(body), boundary), f"multipart/form-data; boundary={boundary}"
    return to_utf8(body), None


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
    return re.sub(r"\r\n?|\n", "\r\n", text)
