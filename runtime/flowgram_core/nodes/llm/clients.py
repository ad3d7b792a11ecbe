"""Clients of OpenAI-compatible APIs: one for each API host, so that hosts do not take connections from each other."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx2
import openai

from flowgram_core.nodes.network.client import make_client, trusted_authorities
from flowgram_core.nodes.network.fair_transport import TimeSlice, at_once
from flowgram_core.nodes.node_settings import MIB, LLMSettings

_KEPT: Final = 20
_KEPT_FOR: Final = 5.0
"""Idle connections to an API host, and seconds in which they are used again."""
_PIECE: Final = 65_536
"""Bytes of a body that are read in one turn."""
_MAX_ERROR_BYTES: Final = MIB
"""Of an error, and of a redirect; all that an honest API says, and far more than is shown."""


@dataclass(slots=True, eq=False)
class _Entry:
    client: "_Client"
    users: int = 0


class LLMClients:
    """Keeps the clients that were used last. One that is in use is never closed."""

    def __init__(self, settings: LLMSettings, time_slice: TimeSlice = at_once) -> None:
        self._settings = settings
        self._time_slice = time_slice
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._ssl: ssl.SSLContext | None = None

    @asynccontextmanager
    async def client(self, base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
        """The client of an API host, for as long as it is entered. It has no key: use `with_options(api_key=…)`."""
        if self._ssl is None:
            # Reading the system's certificates takes longer than everything else here.
            self._ssl = await asyncio.to_thread(trusted_authorities, trust_env=self._settings.trust_env)
        entry = self._entries.get(base_url)
        if entry is None:
            entry = self._entries[base_url] = _Entry(self._make(base_url, self._ssl))
        self._entries.move_to_end(base_url)
        entry.users += 1
        try:
            yield entry.client
        finally:
            entry.users -= 1
            await self._close_surplus()

    def __len__(self) -> int:
        return len(self._entries)

    async def aclose(self) -> None:
        """Closes all clients."""
        entries = list(self._entries.values())
        self._entries.clear()
        for entry in entries:
            await entry.client.close()

    async def _close_surplus(self) -> None:
        surplus = len(self._entries) - self._settings.max_clients
        for base_url, entry in list(self._entries.items()):
            if surplus <= 0:
                return
            if not entry.users and base_url in self._entries:
                surplus -= 1
                del self._entries[base_url]
                await entry.client.close()

    async def _bound(self, response: httpx2.Response) -> None:
        """Has a response's body come in a way that cannot take all memory, nor all time, before anybody reads it."""
        raw = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
        response.headers.pop("content-encoding", None)
        # OpenAI's library reads all of an error, and the HTTP library all of a redirect.
        response.stream = _Body(raw, None if response.is_success else _MAX_ERROR_BYTES, self._time_slice)

    def _make(self, base_url: str, verify: ssl.SSLContext) -> "_Client":
        settings = self._settings
        return _Client(
            base_url=base_url,
            api_key="unused",
            max_retries=settings.max_retries,
            timeout=_timeout(settings),
            http_client=make_client(
                settings,
                verify=verify,
                time_slice=self._time_slice,
                max_connections=settings.max_connections,
                max_keepalive=_KEPT,
                keepalive=_KEPT_FOR,
                timeout=_timeout(settings),
                follow_redirects=True,
                look=self._bound,
            ),
        )


class _Body(httpx2.AsyncByteStream):
    """A response's body: unpacked, in small pieces, and no longer than it may be.

    Args:
        response: The response as it came.
        max_bytes: Where the body is cut off. None: nowhere.
        time_slice: Lets others go on between two pieces of one that was longer.
    """

    def __init__(self, response: httpx2.Response, max_bytes: int | None, time_slice: TimeSlice) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._time_slice = time_slice

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async with aclosing(self._response.aiter_bytes()) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), _PIECE):
                    if start:
                        await self._time_slice()
                    yield piece[start : start + _PIECE]
                    size += min(_PIECE, len(piece) - start)
                    if self._max_bytes is not None and size >= self._max_bytes:
                        return

    async def aclose(self) -> None:
        await self._response.aclose()


class _Client(openai.AsyncOpenAI):
    """Sends what its callers say, and nothing of what the environment of the server has for the library."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        # The library's own would add those of OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID.
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"AsyncOpenAI/Python {openai.__version__}",
            **self.platform_headers(),
        }


def _timeout(settings: LLMSettings) -> httpx2.Timeout:
    # Waiting for a free connection has no limit of its own: calls queue up, and the task's time-out bounds them.
    return httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout, pool=None)
