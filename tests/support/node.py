"""JavaScript itself, where node is installed: the last word on what JavaScript does."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

requires_node = pytest.mark.skipif(
    shutil.which("node") is None and os.environ.get("CI") != "true",
    reason="node is not installed (CI=true requires it)",
)
"""For tests that ask node."""


def evaluate(function: str, values: list[Any]) -> list[Any]:
    """What a JavaScript function gives for each of the values; NaN and undefined come as texts."""
    program = f"""
        const values = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        const f = {function};
        const shown = (value) =>
          value === undefined ? 'undefined' : typeof value === 'number' && !isFinite(value) ? String(value) : value;
        process.stdout.write(JSON.stringify(values.map((value) => shown(f(value)))));
    """
    answered = subprocess.run(
        ["node", "-e", program],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    results: list[Any] = json.loads(answered.stdout)
    return results
