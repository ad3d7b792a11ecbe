"""Clients of OpenAI-compatible APIs: one for each API host, so that hosts do not take connections from each other."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.overflow import OverflowSemaphore
from flowgram_core.nodes.llm.openai_transport import OpenAITransport
from flowgram_core.nodes.network.client import make_transport
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice, at_once
from flowgram_core.nodes.node_settings import EgressSettings, LLMSettings

if TYPE_CHECKING:
    from flowgram_core.nodes.llm.api_client import APIClient

_KEPT: Final = 20
_KEPT_FOR: Final = 5.0
"""Idle connections, and seconds in which they are used again."""


@dataclass(slots=True, eq=False)
class _Entry:
    client: "APIClient"
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

    def client(self, base_url: str, owner: Owner) -> "_ClientSlot":
        """The client of an API host while the block is entered, for one call of a task, once the host has a slot for it."""
        return _ClientSlot(self, base_url, owner)

    async def _acquire(self, base_url: str) -> "_Entry":
        entry = self._entries.get(base_url)
        if entry is None:
            api_client = await asyncio.to_thread(_import_api_client)
            entry = self._entries.get(base_url)  # another call may have been faster
            if entry is None:
                entry = self._entries[base_url] = self._entry(base_url, api_client)
        self._entries.move_to_end(base_url)
        entry.users += 1
        return entry

    def _release(self, entry: "_Entry") -> None:
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

    def _entry(self, base_url: str, api_client: "type[APIClient]") -> _Entry:
        transport = OpenAITransport(self._transport, self._settings, self._time_slice)
        slots = OverflowSemaphore(self._settings.max_connections, self._settings.max_long_connections)
        return _Entry(api_client(base_url, self._settings, transport), slots)


class _ClientSlot:
    """A client while its block is entered. No generator: thousands of calls may wait in theirs."""

    __slots__ = ("_base_url", "_clients", "_entry", "_owner", "_slot")

    def __init__(self, clients: LLMClients, base_url: str, owner: Owner) -> None:
        self._clients = clients
        self._base_url = base_url
        self._owner = owner

    async def __aenter__(self) -> "APIClient":
        entry = self._entry = await self._clients._acquire(self._base_url)  # noqa: SLF001 - its other half
        self._slot = entry.slots.slot(self._owner)
        try:
            await self._slot.__aenter__()
        except BaseException:
            self._clients._release(entry)  # noqa: SLF001 - as above
            raise
        return entry.client

    async def __aexit__(self, *failure: object) -> None:
        await self._slot.__aexit__(*failure)
        self._clients._release(self._entry)  # noqa: SLF001 - its other half


def _import_api_client() -> "type[APIClient]":
    """The class, whose import takes about a second when it is the first: not while the server starts, and not on the loop."""
    from flowgram_core.nodes.llm.api_client import APIClient  # noqa: PLC0415 - as said

    return APIClient
