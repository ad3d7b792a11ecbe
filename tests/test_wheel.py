import shutil
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
BUNDLE = Path("server/flowgram_server/gateway/console_bundle")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a wheel of the server is built from, without its console."""
    root = tmp_path / "clone"
    for folder in ("runtime", "server"):
        shutil.copytree(
            ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", BUNDLE.name)
        )
    (root / "tools").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "tools/require_console.py"):
        shutil.copy(ROOT / name, root / name)
    return root


def build(root: Path) -> list[str]:
    """The names of the files in the wheel that is built from a clone."""
    (wheel,) = WheelBuilder(str(root)).build(directory=str(root / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_a_wheel_holds_the_console(clone: Path) -> None:
    """The console is not committed, and yet a part of the package: every installed wheel has it."""
    (clone / BUNDLE / "assets").mkdir(parents=True)
    (clone / BUNDLE / "index.html").write_text("<title>FlowGram</title>")
    (clone / BUNDLE / "assets/index-1234.js.gz").write_bytes(b"")
    names = build(clone)
    assert "flowgram_server/gateway/console_bundle/index.html" in names
    assert "flowgram_server/gateway/console_bundle/assets/index-1234.js.gz" in names
    assert "flowgram_core/py.typed" in names


def test_no_wheel_is_built_without_the_console(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release without its page would go unnoticed; who wants one must say so."""
    monkeypatch.delenv("WITHOUT_CONSOLE", raising=False)
    with pytest.raises(FileNotFoundError, match="make console"):
        build(clone)
    monkeypatch.setenv("WITHOUT_CONSOLE", "1")
    assert not [name for name in build(clone) if "console_bundle" in name]
