"""The web as http and llm nodes reach it."""

from collections.abc import Awaitable, Callable

import pytest
from support import http_node, llm_node
from support.raw_http import RawServer, never

Failure = Callable[[str], Awaitable[str]]


@pytest.mark.parametrize("failure", [http_node.failure, llm_node.failure])
@pytest.mark.parametrize(
    "codings",
    ["Content-Encoding: gzip, gzip", "Content-Encoding: deflate\r\nContent-Encoding: identity, GZIP"],
)
@pytest.mark.parametrize("status", ["200 OK", "307 Moved\r\nLocation: /", "400 Bad"])
async def test_what_is_compressed_twice_is_refused(failure: Failure, codings: str, status: str) -> None:
    """Before its body is read, which here never comes."""
    head = f"HTTP/1.1 {status}\r\n{codings}\r\nContent-Length: 6000\r\n\r\n".encode()
    async with RawServer(never, head=head) as server:
        assert await failure(server.url) == "The response is compressed more than once"
        assert len(server.received) == 1
