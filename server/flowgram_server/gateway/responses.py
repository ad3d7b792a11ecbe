"""JSON responses and error responses, with their headers."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Response
from fastapi.responses import StreamingResponse

from flowgram_server.gateway import json_encoding
from flowgram_server.gateway.errors import ErrorAnswer

_NEVER_SNIFFED: Final = {"X-Content-Type-Options": "nosniff"}
NEVER_KEPT: Final = {**_NEVER_SNIFFED, "Cache-Control": "no-store"}
"""Headers of what no browser or proxy may keep, or guess at."""


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a shape as its body."""
    return Response(
        json_encoding.encode(value),
        status,
        {**_NEVER_SNIFFED, **(headers or {})},
        media_type="application/json",
    )


def chunked_json_answer(chunks: list[bytes]) -> Response:
    """An answer whose body is text of JSON, in chunks; of several each is sent by itself."""
    if len(chunks) == 1:
        return Response(chunks[0], headers=_NEVER_SNIFFED, media_type="application/json")
    headers = {**_NEVER_SNIFFED, "Content-Length": str(sum(map(len, chunks)))}
    return StreamingResponse(_freed(chunks), headers=headers, media_type="application/json")


async def _freed(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """Chunks in order; each is let go once it was taken."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()


def error_body(answer: ErrorAnswer) -> bytes:
    """The body of an error."""
    return json_encoding.encode({"code": answer.code, "message": answer.message, "errors": answer.errors})


def error_answer(answer: ErrorAnswer, headers: Mapping[str, str] | None = None) -> Response:
    """An error. No browser or proxy keeps it, or guesses at what it is."""
    more = dict(NEVER_KEPT)
    if answer.retry_after is not None:
        more["Retry-After"] = str(answer.retry_after)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        invalid = ', error="invalid_token"' if answer.code == "CREDENTIALS_INVALID" else ""
        more["WWW-Authenticate"] = f'Bearer realm="flowgram"{invalid}'
    return Response(
        error_body(answer), answer.status, {**(headers or {}), **more}, media_type="application/json"
    )
