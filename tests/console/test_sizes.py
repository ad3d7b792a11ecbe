"""How much a browser loads: what it gets compressed, of the bundle as it was built."""

import re
from pathlib import Path

import pytest

from flowgram_server.gateway.console import BUNDLE

ASSETS = BUNDLE / "assets"
KB = 1000

_STATIC_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*["'`]\./([\w.-]+\.js)["'`]""")
_ASSET = re.compile(r"/assets/([\w.-]+\.(?:js|css))")


def loaded(*scripts: str) -> set[Path]:
    """The scripts, and those that they import at once."""
    found: set[Path] = set()
    waiting = [ASSETS / script for script in scripts]
    while waiting:
        script = waiting.pop()
        if script not in found:
            found.add(script)
            waiting += [ASSETS / name for name in _STATIC_IMPORT.findall(script.read_text("utf-8"))]
    return found


def compressed(files: set[Path]) -> int:
    return sum(file.with_name(f"{file.name}.gz").stat().st_size for file in files)


def named(pattern: str) -> list[str]:
    names = [path.name for path in ASSETS.glob(pattern)]
    assert names, f"the bundle has no {pattern}"
    return names


@pytest.mark.usefixtures("chromium")  # there is a bundle where there is what the other tests need
def test_pages_are_small() -> None:
    """The start page is 120 KB at most, without the canvas, and the page of a task 350 KB more."""
    index = (BUNDLE / "index.html").read_text("utf-8")
    first = {ASSETS / name for name in _ASSET.findall(index)}
    start = first | loaded(*(file.name for file in first if file.suffix == ".js"))
    assert not any(file.name.startswith("FlowCanvas") for file in start)
    chunks = [*named("TaskPage-*.js"), *named("TaskGraph-*.js"), *named("FlowCanvas-*.js")]
    styles = {ASSETS / name for name in named("FlowCanvas-*.css")}
    task = (loaded(*chunks) | styles) - start
    sizes = compressed(start) / KB, compressed(task) / KB
    assert 20 < sizes[0] <= 120, sizes
    assert 100 < sizes[1] <= 350, sizes
