"""Runs the benchmarks that are named: `python -m benchmarks [core] [service] [protection] [console] [peers] [temporal] [load] [attacks]`.

Without names, core and service: console needs chromium and node, peers go and node, temporal a Temporal server, and load and attacks
take some minutes.
"""

import asyncio
import gc
import sys

from benchmarks import attacks, console, core, load, peers, protection, service
from benchmarks.table import render


def main(names: list[str]) -> int:
    """Prints the tables; the exit status says whether every goal was met."""
    gc.freeze()  # as the server does with what was imported
    met = True
    if not names or "core" in names:
        rows = core.measure()
        print(render("The core against the reference engine", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if not names or "service" in names:
        rows = asyncio.run(service.measure())
        print(render("The service", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if "protection" in names:
        rows = asyncio.run(protection.measure())
        print(render("What protection costs", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if "console" in names:
        try:
            rows = asyncio.run(console.measure())
        except console.BrowserUnavailable as error:
            print(f"console: left out, {error}", file=sys.stderr)  # noqa: T201
        else:
            print(render("The console in a browser", rows))  # noqa: T201
            met &= all(row.met for row in rows)
    if "peers" in names:
        try:
            rows = asyncio.run(peers.measure())
        except peers.PeersUnavailable as error:
            print(f"peers: {error}", file=sys.stderr)  # noqa: T201
            return 1
        print(render("Side by side with the reference engine", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if "temporal" in names:
        from benchmarks import temporal  # noqa: PLC0415 - it needs an extra

        rows = asyncio.run(temporal.measure())
        print(render("The service on Temporal", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if "load" in names:
        rows = asyncio.run(load.measure())
        print(render("The service under load", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    if "attacks" in names:
        rows = asyncio.run(attacks.measure())
        print(render("The service under attack", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
