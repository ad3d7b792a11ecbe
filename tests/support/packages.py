"""Packages that add a node type, as an operator installs them beside the server."""

from pathlib import Path

from flowgram_core.nodes.registry import ENTRY_POINT_GROUP


def add_package(directory: Path, module: str, code: str, entry: str | None = None) -> None:
    """Puts a package of one module into a directory; its entry point is the module's `Node` if none is given."""
    info = directory / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (directory / f"{module}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\n{entry or f'node = {module}:Node'}\n", encoding="utf-8"
    )
