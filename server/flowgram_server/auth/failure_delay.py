"""The delay of refusals, which makes it slow to try credentials."""

import ipaddress
from typing import Final
from urllib.parse import unquote

from flowgram_core.concurrency.clock import Clock

_FORGIVEN_AFTER: Final = 60_000_000
_MAX_PEERS: Final = 10_000
_MAX_WAITING: Final = 10_000
"""Refusals that wait at once; those beyond are reported at once, for waiting ones cost memory."""
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 2.0


class FailureDelay:
    """Slows down refusals: each one of a peer within a minute waits longer than the one before.

    Only calls that are refused wait, so that nobody suffers for another one behind the same address.

    Args:
        clock: Tells the time, and waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, int]] = {}
        self._waiting = 0

    async def wait(self, peer: str) -> int:
        """Waits as long as a refusal of this peer is to wait; the number of its refusals within the minute.

        Args:
            peer: HOST:PORT, or as gRPC writes it; the port does not matter.
        """
        host = _network(peer)
        now = self._clock.now()
        count, last = self._failures.pop(host, (0, 0))
        count = 1 if now - last > _FORGIVEN_AFTER else count + 1
        if len(self._failures) >= _MAX_PEERS:
            self._failures.pop(next(iter(self._failures)))
        self._failures[host] = (count, now)
        if self._waiting < _MAX_WAITING:
            self._waiting += 1
            try:
                await self._clock.sleep(min(_FIRST_DELAY * 2 ** min(count - 1, 10), _LONGEST_DELAY))
            finally:
                self._waiting -= 1
        return count


def _network(peer: str) -> str:
    """What counts as one peer: an address of IPv4, or the 64 bits of one of IPv6 that a single customer has for itself."""
    host = unquote(peer.rpartition(":")[0]).removeprefix("ipv6:").removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    return host if address.ipv4_mapped else str(int(address) >> 64)
