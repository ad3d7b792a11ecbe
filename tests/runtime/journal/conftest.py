from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowgram_core.journal.interface import Journal
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.sqlite import SQLiteJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


@pytest.fixture(params=["memory", "sqlite", "sqlite-full"])
async def journal(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Journal]:
    journal: Journal
    if request.param == "memory":
        journal = MemoryJournal()
    else:
        journal = await SQLiteJournal.open(
            path, synchronous="full" if request.param == "sqlite-full" else "normal"
        )
    yield journal
    await journal.close()


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[SQLiteJournal]:
    journal = await SQLiteJournal.open(path)
    yield journal
    await journal.close()
