"""Runs the benchmarks, all or those that are named: `python -m benchmarks [core] [service] [load]`.

Without names, all but load, which takes some minutes.
"""

import asyncio
import gc
import sys

from benchmarks import core, load, service
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
    if "load" in names:
        rows = asyncio.run(load.measure())
        print(render("The service under load", rows))  # noqa: T201
        met &= all(row.met for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
