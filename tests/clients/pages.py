"""The code blocks of a documentation page, and the shell that runs its commands, for tests that follow a page literally."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block with the language that it names."""

    language: str
    text: str


class Page:
    """A page of the documentation, by its path below docs/."""

    def __init__(self, path: str) -> None:
        text = (ROOT / "docs" / path).read_text("utf-8")
        self._blocks = [Block(*found) for found in _BLOCK.findall(text)]

    def blocks(self, language: str) -> list[str]:
        """The texts of the blocks in a language, in order. A page without any has lost what the test is about."""
        found = [text for name, text in self._blocks if name == language]
        assert found, f"no block in {language}"
        return found


def run_commands(commands: str, cwd: Path) -> str:
    """Runs lines of shell, each of which must succeed, and gives what they say on stdout."""
    done = subprocess.run(["sh", "-ec", commands], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def install(commands: str, cwd: Path) -> None:
    """Runs lines of shell that fetch packages. Without a network the test is skipped, unless CI=true."""
    try:
        run_commands(commands, cwd)
    except AssertionError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"the packages cannot be installed: {error}")
