"""The journals agree with each other on random histories."""

import asyncio
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.journals import new_task

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.encryption import is_sealed
from flowgram_core.journal.errors import WriteRejected
from flowgram_core.journal.interface import Batch, Finish, Journal, ServerSession, TaskRecord, Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.sqlite import SQLiteJournal

SCHEMAS = ("one", "two")
TASKS = ("a", "b", "c", "d", "e")
NAMESPACES = ("default", "acme")


class Together(NamedTuple):
    """Writes that are asked for without waiting in between."""

    writes: tuple["Step", ...]


class Step(NamedTuple):
    """A write; its events follow the log, but for a gap that is mostly 0."""

    task_id: str
    accept: bool
    request_id: str
    namespace: str
    schema: str
    labels: dict[str, str]
    lengths: list[int]
    gap: int
    started: bool
    status: int
    time: int
    blob: bytes


class Remove(NamedTuple):
    ended_before: int | None
    keep_newest: int | None
    limit: int


class BeginSession(NamedTuple):
    at: int


class ExtendSession(NamedTuple):
    session: ServerSession


class Reopen(NamedTuple):
    """The file is closed and opened again."""


STEPS = st.builds(
    Step,
    task_id=st.sampled_from(TASKS),
    accept=st.booleans(),
    request_id=st.sampled_from(("", "", "r", "s\0", "s")),
    namespace=st.sampled_from(NAMESPACES),
    schema=st.sampled_from(SCHEMAS),
    labels=st.dictionaries(st.sampled_from(("k", 'l"', "")), st.sampled_from(("v", "w'", "{}")), max_size=2),
    lengths=st.lists(st.integers(1, 3), max_size=3),
    gap=st.sampled_from((0, 0, 0, 0, 1, -1)),
    started=st.booleans(),
    status=st.sampled_from((0, 0, 2, 3, 4, 5)),
    time=st.integers(0, 20),
    # What begins as sealed values do is one; no message that is encoded begins with a zero.
    blob=st.binary(max_size=50).filter(lambda blob: not is_sealed(blob)),
)
FAR = st.sampled_from((-(10**20), 10**20))
"""Beyond what SQLite counts to."""

HISTORIES = st.lists(
    st.one_of(
        st.builds(Together, st.lists(STEPS, min_size=1, max_size=8).map(tuple)),
        st.builds(
            Remove,
            st.none() | st.integers(0, 20) | FAR,
            st.none() | st.integers(0, 4) | FAR.map(abs),
            st.integers(0, 3),
        ),
        st.builds(BeginSession, st.integers(0, 20)),
        st.builds(ExtendSession, st.builds(ServerSession, st.integers(0, 20), st.integers(0, 20))),
        st.just(Reopen()),
    ),
    max_size=12,
)


async def as_writes(together: Together, journal: Journal) -> list[Write]:
    ends = {task_id: await journal.task(task_id) for task_id in TASKS}
    last = {task_id: record.last_sequence if record else 0 for task_id, record in ends.items()}
    writes = []
    for step in together.writes:
        end = last[step.task_id] + step.gap
        batches = []
        for length in step.lengths:
            batches.append(Batch(end + 1, end + length, step.time, str(length), step.blob * length))
            end += length
        task = new_task(
            step.task_id,
            schema=step.schema,
            request_id=step.request_id,
            namespace=step.namespace,
            labels=step.labels,
        )
        finish = Finish(step.status, step.time, step.blob) if step.status else None
        started = step.time if step.started else None
        writes.append(Write(step.task_id, task if step.accept else None, tuple(batches), started, finish))
        if not step.gap:
            last[step.task_id] = end
    return writes


async def outcome(journal: Journal, write: Write) -> str:
    try:
        await journal.commit(write)
    except WriteRejected as error:
        return type(error).__name__
    return "committed"


def ranked(records: list[TaskRecord]) -> list[TaskRecord]:
    """Without the orders themselves: a file that is opened again may give those of removed tasks anew."""
    return [record._replace(order=0) for record in records]


async def everything(journal: Journal) -> list[Any]:
    """All that can be read."""
    seen: list[Any] = []
    for statuses in (set[int](), {1, 2}, {3, 5}, {4}):
        for labels in ({}, {"k": "v"}, {"k": "w'", 'l"': "{}"}):
            for limit, namespace in itertools.product((2, 100), NAMESPACES):
                records = await journal.tasks(
                    limit=limit,
                    before=None,
                    statuses=frozenset(statuses),
                    labels=labels,
                    namespace=namespace,
                )
                seen.append(ranked(records))
    seen.append(ranked(await journal.unfinished()))
    for task_id in TASKS:
        seen += [await journal.read(task_id, after, limit) for after in (0, 2) for limit in (0, 60, 9_999)]
        record = await journal.task(task_id)
        seen.append(None if record is None else ranked([record]))
        seen += [await journal.task(task_id, namespace) is not None for namespace in NAMESPACES]
    seen.append({name: size for name, size in (await journal.usage()).by_namespace.items() if size})
    for request_id, namespace in itertools.product(("r", "s", "s\0"), NAMESPACES):
        record = await journal.find_request(request_id, namespace)
        seen.append(None if record is None else ranked([record]))
    return [*seen, *[await journal.schema(hash_of_schema(schema)) for schema in SCHEMAS]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_the_journals_agree(history: list[Together | Remove | BeginSession | ExtendSession | Reopen]) -> None:
    """After every step of a random history each journal gave the same answers and shows the same."""

    async def compare(path: Path) -> None:
        memory, sqlite = MemoryJournal(), await SQLiteJournal.open(path)
        try:
            for step in history:
                if isinstance(step, Together):
                    writes = await as_writes(step, memory)
                    expected = [await outcome(memory, write) for write in writes]
                    assert await asyncio.gather(*(outcome(sqlite, write) for write in writes)) == expected
                elif isinstance(step, Remove):
                    removed = await memory.remove_finished(**step._asdict())
                    assert await sqlite.remove_finished(**step._asdict()) == removed
                elif isinstance(step, BeginSession):
                    assert await sqlite.begin_session(step.at) == await memory.begin_session(step.at)
                elif isinstance(step, ExtendSession):
                    await memory.extend_session(step.session)
                    await sqlite.extend_session(step.session)
                else:
                    await sqlite.close()
                    sqlite = await SQLiteJournal.open(path)
                assert await everything(sqlite) == await everything(memory)
        finally:
            await sqlite.close()

    with TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory) / "journal.db"))
