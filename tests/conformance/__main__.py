"""Compares random workflows with the reference runtime: `python -m tests.conformance --count 3000 --seed 7`."""

import argparse
import asyncio
import secrets
import sys

from tests.conformance import runner
from tests.conformance.core import Core
from tests.conformance.generator import KINDS
from tests.conformance.mock_server import MockServer
from tests.conformance.reference import Reference, missing
from tests.conformance.service import Service

_MOST_IN_SHORT = 50


async def _main(arguments: argparse.Namespace) -> int:
    with MockServer() as mock_server:
        async with Reference() as reference, Core() if arguments.core else Service() as ours:
            result = await runner.run(
                reference,
                ours.observe,
                mock_server.base_url,
                seed=arguments.seed,
                count=arguments.count,
                kinds=arguments.kinds,
                shrunk=arguments.show,
            )
    for found in result.disagreements[: arguments.show]:
        sys.stdout.write(found.history() + "\n\n")
    for found in result.disagreements[arguments.show : arguments.show + _MOST_IN_SHORT]:
        sys.stdout.write(found.in_short() + "\n\n")
    sys.stdout.write(f"seed {arguments.seed}: {result.table()}\n")
    return 0 if result.passed else 1


def main() -> int:
    """Reads the command line; the exit status is 1 if too much disagrees."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="how many workflows")
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(1_000_000),
        help="which workflows; default: others each time",
    )
    parser.add_argument("--show", type=int, default=5, help="how many disagreements to shrink and show")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which kinds of workflows"
    )
    parser.add_argument(
        "--core", action="store_true", help="leave the service out: compare with the core in this process"
    )
    arguments = parser.parse_args()
    if problem := missing():
        sys.stderr.write(f"{problem}\n")
        return 2
    return asyncio.run(_main(arguments))


if __name__ == "__main__":
    sys.exit(main())
