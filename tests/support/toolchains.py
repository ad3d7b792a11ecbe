"""What a test needs beyond Python: required by continuous integration, and missed visibly elsewhere."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def require(tool: str) -> str:
    """The path of a program. Without it, the test is skipped, or fails if CI=true."""
    found = shutil.which(tool)
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{tool} is not installed, and CI=true requires it")
    pytest.skip(f"{tool} is not installed")


def build(*command: str, cwd: Path) -> str:
    """Runs what builds or checks a program, and gives what it says; that is shown if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def deploy_tool(name: str) -> str:
    """The path of a program that `make deploy-tools` gets, or that is on PATH. Without it, the test is skipped."""
    folder = Path(__file__).parents[2] / "build"
    for place in (folder / name, folder / "linters/bin" / name):
        if place.is_file():
            return str(place)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: run make deploy-tools")
    return found
