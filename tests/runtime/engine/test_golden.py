"""Golden workflows: JSON in, the exact sequence of events out. `tools/golden.py` records them again."""

import json
from pathlib import Path

import pytest
from support.golden import FOLDER, play, render


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_events_are_exactly_as_recorded(path: Path) -> None:
    """A workflow with the same inputs and answers always gives the same events, in the same order."""
    golden = json.loads(path.read_text(encoding="utf-8"))
    events = play(golden)
    assert events == golden["events"]
    # Equal in Python is not all: 1, 1.0 and true are different texts.
    assert render(events) == render(golden["events"])
