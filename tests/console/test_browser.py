"""Each scenario of scenarios/ in a real browser; what it shows stands above it there."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("scenarios")
SCENARIOS = [
    pytest.param(file, name, id=name)
    for file in (FOLDER / "pages.mjs", FOLDER / "tasks.mjs", FOLDER / "frames.mjs")
    for name in re.findall(r"^export async function (\w+)", file.read_text("utf-8"), re.MULTILINE)
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("file", "name"), SCENARIOS)
async def test_scenario(play: Callable[[Path, str], Awaitable[None]], file: Path, name: str) -> None:
    """It goes as it should, asks nothing of another origin, and writes no error to the browser's console."""
    await play(file, name)
