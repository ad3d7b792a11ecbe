"""Kills a server under load again and again: `python -m tests.torture --kills 200 --seed 7`."""

import argparse
import asyncio
import secrets
import sys

from tests.torture.runner import torture

_MOST = 20


def main() -> int:
    """Reads the command line; the exit status is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how often")
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(1_000_000),
        help="what users do and when servers die; default: other each time",
    )
    parser.add_argument(
        "--runtime", choices=("embedded", "temporal"), default="embedded", help="what runs the tasks"
    )
    arguments = parser.parse_args()
    tell = sys.stderr.write if sys.stderr.isatty() else _say_nothing
    result = asyncio.run(
        torture(kills=arguments.kills, seed=arguments.seed, tell=tell, runtime=arguments.runtime)
    )
    for found in result.violations[:_MOST]:
        sys.stdout.write(f"VIOLATION {found}\n")
    sys.stdout.write(f"\nseed: {arguments.seed}\n{result.table()}\n")
    return 1 if result.violations else 0


def _say_nothing(_: str) -> None:
    """Progress is for those who look on."""


if __name__ == "__main__":
    sys.exit(main())
