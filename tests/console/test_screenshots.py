"""The pictures of docs/console.md: `make screenshots` takes them anew."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PICTURES = ROOT / "docs/images"
SCENARIO = Path(__file__).with_name("scenarios") / "screenshots.mjs"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(300)
async def test_pictures(play: Callable[..., Awaitable[None]], tmp_path: Path) -> None:
    """All pictures of the documents can be taken; into docs/images with SCREENSHOTS=true."""
    folder = PICTURES if os.environ.get("SCREENSHOTS") == "true" else tmp_path
    await play(SCENARIO, "takes_pictures", pictures=folder)
    taken = {path.name for path in folder.glob("*.png")}
    assert taken == {path.name for path in PICTURES.glob("*.png")}


def test_the_documents_show_all_pictures() -> None:
    """No picture is missing, and none is left over."""
    text = (ROOT / "docs/console.md").read_text("utf-8")
    assert all(f"images/{path.name})" in text for path in PICTURES.glob("*.png"))
    assert text.count("](images/") == len(list(PICTURES.glob("*.png")))
