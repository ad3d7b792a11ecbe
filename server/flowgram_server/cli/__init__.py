"""The command `flowgram`: starts the server, and uses one from the terminal."""

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit status."""
    # gRPC's core would write its own lines between ours; what concerns users comes as an exception
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from .exits import ExitStatus  # noqa: PLC0415 - gRPC reads its environment when it is imported
    from .root import run  # noqa: PLC0415 - as above

    status = run(arguments)
    if status == ExitStatus.INTERRUPTED or "temporalio" in sys.modules:
        # What the user no longer waits for may be under way in another thread, and nothing is to wait for that. Threads of
        # Temporal's package may abort the interpreter while it takes itself apart (sdk-python#300).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
