"""Clients of OpenAI-compatible APIs: one for each API host, so that hosts do not take connections from each other."""

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.overflow import Holder, OverflowSemaphore
from flowgram_core.nodes.llm.api_client import APIClient
from flowgram_core.nodes.llm.api_requests import APIRequests
from flowgram_core.nodes.network.client import make_transport
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice, at_once
from flowgram_core.nodes.node_settings import EgressSettings, LLMSettings

if TYPE_CHECKING:
    from flowgram_core.nodes.llm.package_client import PackageClient

_KEPT: Final = 250
_KEPT_FOR: Final = 5.0
"""Idle connections, and seconds in which they are used again."""


class _Entry:
    """A client, how many use it, and the slots of its host."""

    __slots__ = ("client", "slots", "users")

    def __init__(self, client: APIClient, slots: OverflowSemaphore) -> None:
        self.client = client
        self.slots = slots
        self.users = 0


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

    async def _load(self, base_url: str) -> None:
        """Makes a client if there is none."""
        package = await asyncio.to_thread(_import_package_client)
        if base_url not in self._entries:  # another call may have been faster
            self._entries[base_url] = self._entry(base_url, package)

    def _acquire(self, base_url: str) -> "_Entry | None":
        """The client of a host, which is in use from now on; None if there is none yet."""
        entry = self._entries.get(base_url)
        if entry is not None:
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

    def _entry(self, base_url: str, package: "type[PackageClient]") -> _Entry:
        settings = self._settings
        requests = APIRequests(self._transport, settings, self._time_slice)
        client = APIClient(base_url, requests, package(base_url, settings, requests))
        return _Entry(client, OverflowSemaphore(settings.max_connections, settings.max_long_connections))


class _ClientSlot:
    """A client while its block is entered. No generator: thousands of calls may wait in theirs.

    Where coroutines that wait for nothing cost too much, `enter_at_once`, else `enter`, and `leave` do what the block does.
    """

    __slots__ = ("_base_url", "_clients", "_entry", "_owner", "_slot")

    def __init__(self, clients: LLMClients, base_url: str, owner: Owner) -> None:
        self._clients = clients
        self._base_url = base_url
        self._owner = owner
        self._entry: _Entry | None = None
        self._slot: Holder | None = None

    def enter_at_once(self) -> APIClient | None:
        """The client, if nothing has to be waited for; the block is entered then."""
        entry = self._clients._acquire(self._base_url)  # noqa: SLF001 - its other half
        if entry is None:
            return None
        slot = entry.slots.slot(self._owner)
        if not slot.enter_at_once():
            self._clients._release(entry)  # noqa: SLF001 - as above
            return None
        self._entry, self._slot = entry, slot
        return entry.client

    async def enter(self) -> APIClient:
        """The client, once there is one, and a slot for it; the block is entered."""
        clients = self._clients
        entry = clients._acquire(self._base_url)  # noqa: SLF001 - its other half
        while entry is None:
            await clients._load(self._base_url)  # noqa: SLF001 - as above
            entry = clients._acquire(self._base_url)  # noqa: SLF001 - as above
        slot = entry.slots.slot(self._owner)
        try:
            await slot.enter()
        except BaseException:
            clients._release(entry)  # noqa: SLF001 - as above
            raise
        self._entry, self._slot = entry, slot
        return entry.client

    def leave(self) -> None:
        """Gives the slot back."""
        assert self._entry is not None and self._slot is not None  # noqa: S101, PT018 - it was entered
        self._slot.leave()
        self._clients._release(self._entry)  # noqa: SLF001 - its other half

    async def __aenter__(self) -> APIClient:
        return self.enter_at_once() or await self.enter()

    async def __aexit__(self, *failure: object) -> None:
        self.leave()


def _import_package_client() -> "type[PackageClient]":
    """The class, whose import takes about a second when it is the first: not while the server starts, and not on the loop."""
    from flowgram_core.nodes.llm.package_client import PackageClient  # noqa: PLC0415 - as said

    return PackageClient
