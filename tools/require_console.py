# ruff: noqa: INP001 - hatchling loads it by its path
"""A build hook: refuses to build a wheel of the server whose console was not built.

An editable installation needs none, for it is made before the console is; nor does a build with WITHOUT_CONSOLE=1.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = Path("server/flowgram_server/gateway/console_bundle")


class RequireConsole(BuildHookInterface[Any]):
    """Looks for the bundle before a wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling calls it so
        """Raises `FileNotFoundError` if the bundle is not there."""
        if version == "editable" or os.environ.get("WITHOUT_CONSOLE") == "1":
            return
        if not (Path(self.root) / BUNDLE / "index.html").is_file():
            raise FileNotFoundError(
                f"{BUNDLE} is not there: `make console` builds it; WITHOUT_CONSOLE=1 builds a wheel without it"
            )
