"""Records the events of golden workflows: writes what the engine does now into tests/workflows.

Review every change by eye: a golden workflow has to be right, not just what the code does.

    python tools/golden.py [name ...]
"""

# ruff: noqa: INP001, T201  a script that talks to its user

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.golden import FOLDER, play, render


def main(names: list[str]) -> None:
    """Records the named golden workflows, or all."""
    for path in [FOLDER / f"{name}.json" for name in names] or sorted(FOLDER.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        golden = json.loads(text)
        golden["events"] = play(golden)
        recorded = f"{render(golden)}\n"
        if recorded != text:
            path.write_text(recorded, encoding="utf-8")
            print(f"recorded {path.stem}")


if __name__ == "__main__":
    main(sys.argv[1:])
