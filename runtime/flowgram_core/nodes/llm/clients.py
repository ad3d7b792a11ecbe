"""Clients of OpenAI-compatible APIs: one for each API host, so that hosts do not take connections from each other."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import openai

from flowgram_core.concurrency.overflow import OverflowSemaphore
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.llm.openai_transport import RAW_RESPONSE, OpenAITransport
from flowgram_core.nodes.network.client import make_transport
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice, at_once
from flowgram_core.nodes.node_settings import EgressSettings, LLMSettings

_KEPT: Final = 20
_KEPT_FOR: Final = 5.0
"""Idle connections, and seconds in which they are used again."""


class APIClient:
    """Asks one API host.

    Args:
        base_url: The API.
        settings: Time-outs, retries and limits.
        transport: As for `OpenAITransport`.
    """

    def __init__(self, base_url: str, settings: LLMSettings, transport: OpenAITransport) -> None:
        self._openai = _OpenAI(
            base_url=base_url,
            api_key="unused",
            max_retries=settings.max_retries,
            timeout=settings.read_timeout,
            http_client=_DirectClient(transport),
        )
        base = self._openai.base_url
        self._url = str(base.copy_with(raw_path=base.raw_path + b"chat/completions"))

    async def complete(self, body: JSONObject, api_key: str | None, idempotency_key: str) -> httpx2.Response:
        """Asks for a chat completion; the response's body is not yet read. Close it.

        Connection failures and passing errors are tried again; how often and after how long is the openai package's part.

        Args:
            body: The request, as JSON.
            api_key: None: the request carries none.
            idempotency_key: For APIs that know such keys.

        Raises:
            openai.OpenAIError: The API cannot be reached, or has answered with an error.
            NodeError: Its address is forbidden, or its response is none that could be used.
        """
        # The package's typed methods would look through all of the body, which costs several times as much.
        return await self._openai.post(
            self._url,
            cast_to=httpx2.Response,
            body=body,
            options={
                "headers": {
                    "Authorization": f"Bearer {api_key}" if api_key else openai.Omit(),
                    "Idempotency-Key": idempotency_key,
                    RAW_RESPONSE: "stream",
                }
            },
        )


class _DirectClient(httpx2.AsyncClient):
    """Hands the requests of the openai package to a transport, and nothing else.

    The HTTP library's own client would merge addresses and headers, look for cookies, credentials and redirects, none of
    which there are here; that took a third of a call.
    """

    def __init__(self, transport: OpenAITransport) -> None:
        super().__init__(transport=transport, trust_env=False, timeout=None)
        self._direct = transport
        self._urls: dict[str, httpx2.URL] = {}

    def build_request(self, method: str, url: Any, **parts: Any) -> httpx2.Request:
        """A request with the headers and the content that it is given."""
        known = self._urls.get(url)
        if known is None:
            known = self._urls[url] = httpx2.URL(url)
        return httpx2.Request(method, known, headers=parts.get("headers"), content=parts.get("content"))

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The response, whose body is not yet read. Raises what the transport raises."""
        return await self._direct.handle_async_request(request)


@dataclass(slots=True, eq=False)
class _Entry:
    client: APIClient
    slots: OverflowSemaphore
    users: int = 0


class LLMClients:
    """Keeps the clients that were used last. One that is in use stays.

    Args:
        settings: How calls are made.
        time_slice: Shares the event loop with everything else on it.
        transport: Makes the connections of all clients; None: one that keeps to the settings.
        egress: What may be connected to.
        own_ports: The ports that the server listens on.
    """

    def __init__(
        self,
        settings: LLMSettings,
        time_slice: TimeSlice = at_once,
        transport: HTTPTransport | None = None,
        *,
        egress: EgressSettings | None = None,
        own_ports: OwnPorts | None = None,
    ) -> None:
        self._settings = settings
        self._time_slice = time_slice
        self._transport = transport or make_transport(
            settings,
            egress=egress,
            own_ports=own_ports,
            max_keepalive=_KEPT,
            keepalive=_KEPT_FOR,
            time_slice=time_slice,
        )
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @asynccontextmanager
    async def client(self, base_url: str, task_id: str) -> AsyncIterator[APIClient]:
        """The client of an API host, for one call of a task, once the host has a slot for it."""
        entry = self._entries.get(base_url)
        if entry is None:
            slots = OverflowSemaphore(self._settings.max_connections, self._settings.max_long_connections)
            entry = self._entries[base_url] = _Entry(self._make(base_url), slots)
        self._entries.move_to_end(base_url)
        entry.users += 1
        try:
            async with entry.slots.slot(task_id):
                yield entry.client
        finally:
            entry.users -= 1
            self._drop_surplus()

    def __len__(self) -> int:
        return len(self._entries)

    async def aclose(self) -> None:
        """Ends all calls and closes all connections."""
        self._entries.clear()
        await self._transport.aclose()

    def _drop_surplus(self) -> None:
        surplus = len(self._entries) - self._settings.max_clients
        if surplus > 0:
            unused = [base_url for base_url, entry in self._entries.items() if not entry.users]
            for base_url in unused[:surplus]:
                del self._entries[base_url]

    def _make(self, base_url: str) -> APIClient:
        transport = OpenAITransport(self._transport, self._settings, self._time_slice)
        return APIClient(base_url, self._settings, transport)


class _OpenAI(openai.AsyncOpenAI):
    """Sends what its callers say, and nothing of what the environment of the server has for the package."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        # The package's own would add those of OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID.
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"AsyncOpenAI/Python {openai.__version__}",
            **self.platform_headers(),
        }
