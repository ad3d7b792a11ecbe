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
        # The base install has the entry point, but not what it needs.
        from .exits import ExitStatus  # noqa: PLC0415
        from .root import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = explain_missing(error)
        if missing is None:
            raise
        sys.stderr.write(f"flowgram: {missing}\n")
        sys.exit(MISSING_STATUS)
    status = run(arguments)
    if status == ExitStatus.INTERRUPTED:
        # What the user no longer waits for may be under way in another thread, and nothing is to wait for that.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
