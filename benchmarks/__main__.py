"""Runs the benchmarks that are named: `python -m benchmarks [core] [service] [protection] [console] [peers] [temporal] [load] [attacks]`.

Without names, core and service: console needs chromium and node, peers go and node, temporal a Temporal server, and load and attacks
take some minutes. The exit status is 1 where a goal is missed, or something that was named cannot be measured here.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Final

from benchmarks import attacks, console, core, load, peers, protection, service
from benchmarks.table import MeasurementUnavailable, Row, render


def _temporal() -> list[Row]:
    from benchmarks import temporal  # noqa: PLC0415 - it needs an extra

    return asyncio.run(temporal.measure())


_BENCHMARKS: Final[dict[str, tuple[str, Callable[[], list[Row]]]]] = {
    "core": ("The core against the reference engine", core.measure),
    "service": ("The service", lambda: asyncio.run(service.measure())),
    "protection": ("What protection costs", lambda: asyncio.run(protection.measure())),
    "console": ("The console in a browser", lambda: asyncio.run(console.measure())),
    "peers": ("Side by side with the reference engine", lambda: asyncio.run(peers.measure())),
    "temporal": ("The service on Temporal", _temporal),
    "load": ("The service under load", lambda: asyncio.run(load.measure())),
    "attacks": ("The service under attack", lambda: asyncio.run(attacks.measure())),
}
"""By name: the title of the table, and what measures its rows."""


def main(names: list[str]) -> int:
    """Prints the tables; the exit status says whether every goal was met."""
    gc.freeze()  # as the server does with what was imported
    met = True
    for name, (title, measure) in _BENCHMARKS.items():
        if name not in (names or ("core", "service")):
            continue
        try:
            rows = measure()
        except MeasurementUnavailable as error:
            print(f"{name}: left out, {error}", file=sys.stderr)  # noqa: T201
            met = False
        else:
            print(render(title, rows))  # noqa: T201
            met &= all(row.met for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
