"""The command `flowgram`: starts the server, and uses one from the terminal."""

import os
import sys
from collections.abc import Sequence

_EXTRA = {"click", "rich", "pydantic", "pydantic_settings", "structlog"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit status."""
    # gRPC's core would write its own lines between ours; what concerns users comes as an exception
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from .root import run  # noqa: PLC0415 - the base install has the entry point, but not what it needs
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.exit("flowgram: the command needs the extra `server`: pip install 'flowgram-runtime[server]'")
    sys.exit(run(arguments))
