"""The command `flowgram`: starts the server, and uses one from the terminal."""

import os
import sys
from collections.abc import Sequence

from .extra import MISSING_STATUS, explain_missing


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit status."""
    # gRPC's core would write its own lines between ours; what concerns users comes as an exception
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from .root import run  # noqa: PLC0415 - the base install has the entry point, but not what it needs
    except ModuleNotFoundError as error:
        missing = explain_missing(error)
        if missing is None:
            raise
        sys.stderr.write(f"flowgram: {missing}\n")
        sys.exit(MISSING_STATUS)
    sys.exit(run(arguments))
