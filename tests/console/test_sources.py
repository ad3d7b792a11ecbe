"""The sources of the console: types, lint, and the tests of its logic."""

from pathlib import Path

import pytest
from support.toolchains import build, require

CONSOLE = Path(__file__).parent.parent.parent / "console"

CHECKS = {
    "types": ("node_modules/typescript/bin/tsc", "--noEmit"),
    "lint": ("node_modules/eslint/bin/eslint.js", "--max-warnings=0", "."),
    "logic": ("node_modules/vitest/vitest.mjs", "run"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("check", CHECKS)
def test_sources_pass_their_checks(packages: Path, check: str) -> None:
    """The compiler and the linter find nothing, and the logic does what its tests say."""
    assert packages.is_dir()
    build(require("node"), *CHECKS[check], cwd=CONSOLE)
