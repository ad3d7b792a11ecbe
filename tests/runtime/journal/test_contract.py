import asyncio

import pytest
from support.journals import SCHEMA, accepted, batch, every_call, finished, ids_of, new_task

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.errors import DuplicateRequest, InvalidWrite, JournalClosed
from flowgram_core.journal.interface import Batch, Finish, Journal, ServerSession, TaskRecord, Write

EVERYTHING = 1 << 30
ALL: frozenset[int] = frozenset()


async def page(journal: Journal, limit: int = 100, before: int | None = None, **labels: str) -> list[str]:
    records = await journal.tasks(limit=limit, before=before, statuses=ALL, labels=labels)
    return [record.task_id for record in records]


async def test_an_accepted_task_is_found_as_it_came(journal: Journal) -> None:
    """All that was accepted is read back, and the task is PENDING with an empty log."""
    task = new_task(
        "a",
        create_time=123,
        inputs='{"text":"Grüße\\u0000 🚀"}',
        request_id="r",
        request_hash=b"\x00\xff",
        timeout=5_000_000,
        labels={"team": "x", "": "empty key", 'quo"te': "it's", "$.path": "[0]"},
        display_name="Grüße, it's 🚀",
    )
    await journal.commit(Write("a", accept=task))
    expected = TaskRecord(
        task_id="a",
        create_time=123,
        inputs=task.inputs,
        schema_hash=task.schema_hash,
        labels=task.labels,
        timeout=5_000_000,
        status=1,
        start_time=None,
        end_time=None,
        last_sequence=0,
        result=None,
        order=1,
        request_hash=b"\x00\xff",
        display_name="Grüße, it's 🚀",
    )
    assert await journal.task("a") == expected
    assert await journal.find_request("r") == expected
    assert await journal.schema(task.schema_hash) == SCHEMA
    assert await journal.read("a", 0, EVERYTHING) == []


async def test_what_is_unknown_is_none(journal: Journal) -> None:
    """Unknown ids and hashes give None or nothing; the empty request id belongs to nobody."""
    await journal.commit(accepted("a"))
    assert await journal.task("b") is None
    assert await journal.find_request("b") is None
    assert await journal.find_request("") is None
    assert await journal.schema(b"?") is None
    assert await journal.read("b", 0, EVERYTHING) == []


async def test_a_task_step_by_step(journal: Journal) -> None:
    """Start, events and end move the record on, and a write that says nothing of them leaves them alone."""
    await journal.commit(accepted("a"))
    await journal.commit(Write("a", started=1_500, batches=(batch(1, 3),)))
    running = await journal.task("a")
    assert running is not None
    assert (running.status, running.start_time, running.end_time, running.last_sequence) == (
        2,
        1_500,
        None,
        3,
    )
    await journal.commit(Write("a", batches=(batch(4), batch(5, 6))))
    await journal.commit(Write("a", finish=Finish(4, 9_000, b"why")))
    ended = await journal.task("a")
    assert ended is not None
    assert (ended.status, ended.start_time, ended.end_time, ended.last_sequence) == (4, 1_500, 9_000, 6)
    assert ended.result == b"why"


async def test_a_whole_task_in_one_write(journal: Journal) -> None:
    """A write may accept, log, start and finish a task at once; one that never started may end too."""
    await journal.commit(finished("a"))
    await journal.commit(Write("b", accept=new_task("b"), finish=Finish(5, 9_000, b"")))
    a, b = await journal.task("a"), await journal.task("b")
    assert a is not None
    assert b is not None
    assert (a.status, a.start_time, a.end_time, a.last_sequence, a.result) == (3, 1_500, 9_000, 7, b"result")
    assert (b.status, b.start_time, b.end_time, b.last_sequence, b.result) == (5, None, 9_000, 0, b"")


async def test_a_log_is_read_from_any_event_on(journal: Journal) -> None:
    """Reading gives the batches whose last event is after the given one, in order, byte for byte."""
    log = [
        Batch(1, 2, 10, '{"start":"é"}', b"\x00\x01"),
        Batch(3, 3, 20, None, b""),
        Batch(4, 9, 30, "{}", b"\xff" * 70_000),
    ]
    await journal.commit(accepted("a", *log[:2]))
    await journal.commit(accepted("b", batch(1, 100)))
    await journal.commit(Write("a", batches=(log[2],)))
    for after, expected in ((0, log), (1, log), (2, log[1:]), (3, log[2:]), (8, log[2:]), (9, []), (99, [])):
        assert await journal.read("a", after, EVERYTHING) == expected


async def test_a_read_is_bounded(journal: Journal) -> None:
    """A read stops before it exceeds its bytes, but gives at least one batch."""
    log = tuple(batch(sequence, events=b"x" * 100) for sequence in range(1, 11))
    await journal.commit(accepted("a", *log))
    assert await journal.read("a", 0, 0) == [log[0]]
    assert await journal.read("a", 0, 99) == [log[0]]
    assert await journal.read("a", 0, 300) == [*log[:3]]
    assert await journal.read("a", 3, 399) == [*log[3:6]]


@pytest.mark.parametrize(
    "write",
    [
        accepted("a"),
        Write("unknown", batches=(batch(1),)),
        Write("unknown", finish=Finish(3, 9_000, b"")),
        Write("b", accept=new_task("c")),
        Write("a", batches=(batch(3),)),
        Write("a", batches=(batch(5),)),
        Write("a", batches=(batch(4), batch(6))),
        Write("a", batches=(batch(4, 3),)),
        Write("a", started=1_600),
        Write("a", finish=Finish(2, 9_000, b"")),
        Write("ended", batches=(batch(8),)),
        Write("ended", finish=Finish(3, 9_000, b"")),
        accepted("new", batch(2)),
    ],
    ids=lambda write: f"{write.task_id}-{len(write.batches)}",
)
async def test_a_write_that_contradicts_the_log_leaves_nothing(journal: Journal, write: Write) -> None:
    """A repeat, a gap, an unknown or finished task: `InvalidWrite`, and nothing has changed."""
    await journal.commit(Write("a", accept=new_task("a"), batches=(batch(1, 3),), started=1_500))
    await journal.commit(finished("ended"))
    before = [await journal.task("a"), await journal.task("ended"), await page(journal)]
    with pytest.raises(InvalidWrite):
        await journal.commit(write)
    assert before == [await journal.task("a"), await journal.task("ended"), await page(journal)]
    await journal.commit(Write("a", batches=(batch(4),)))
    assert [each.last_sequence for each in await journal.read("a", 0, EVERYTHING)] == [3, 4]


async def test_writes_of_one_task_keep_the_order_of_the_calls(journal: Journal) -> None:
    """Commits that are asked for without waiting are applied in that order."""
    writes = [accepted("a"), *(Write("a", batches=(batch(sequence),)) for sequence in range(1, 600))]
    await asyncio.gather(*map(journal.commit, writes))
    log = await journal.read("a", 0, EVERYTHING)
    assert [each.first_sequence for each in log] == [*range(1, 600)]


async def test_a_bad_write_stops_no_other(journal: Journal) -> None:
    """Among writes that are asked for together, only the wrong ones fail, each with its own reason."""
    await journal.commit(accepted("old", request_id="taken"))
    outcomes = await asyncio.gather(
        journal.commit(accepted("a", batch(1))),
        journal.commit(accepted("b", request_id="taken")),
        journal.commit(accepted("old")),
        journal.commit(Write("a", batches=(batch(9),))),
        journal.commit(accepted("c", request_id="twice")),
        journal.commit(accepted("d", request_id="twice")),
        journal.commit(Write("a", batches=(batch(2),))),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        DuplicateRequest,
        InvalidWrite,
        InvalidWrite,
        type(None),
        DuplicateRequest,
        type(None),
    ]
    assert await page(journal) == ["c", "a", "old"]
    assert len(await journal.read("a", 0, EVERYTHING)) == 2


async def test_a_request_id_belongs_to_one_task(journal: Journal) -> None:
    """A second task with the id is refused while the first exists, also when that has ended."""
    await journal.commit(finished("a", request_id="r"))
    with pytest.raises(DuplicateRequest) as caught:
        await journal.commit(accepted("b", request_id="r"))
    assert caught.value.request_id == "r"
    assert await journal.task("b") is None
    await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)
    await journal.commit(accepted("b", request_id="r"))
    found = await journal.find_request("r")
    assert found is not None
    assert found.task_id == "b"


async def test_a_cancelled_waiter_does_not_cancel_the_write(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """The write is made although nobody waits for it any more, what follows finds it, and no error is logged."""
    waiter = journal.commit(accepted("a", batch(1)))
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await journal.commit(Write("a", batches=(batch(2),)))
    assert len(await journal.read("a", 0, EVERYTHING)) == 2
    assert not caplog.records


async def test_pages_are_newest_first(journal: Journal) -> None:
    """A page goes on where the one before ended, without inputs and results."""
    for index in range(10):
        await journal.commit(finished(f"task-{index}", inputs='{"a":1}'))
    first = await journal.tasks(limit=4, before=None, statuses=ALL, labels={})
    assert [record.task_id for record in first] == ["task-9", "task-8", "task-7", "task-6"]
    assert {(record.inputs, record.result, record.last_sequence) for record in first} == {("", None, 7)}
    assert await page(journal, limit=100, before=first[-1].order) == [
        f"task-{index}" for index in range(5, -1, -1)
    ]
    assert await page(journal, limit=0) == []
    assert await page(journal, before=0) == []


async def test_pages_by_status_and_labels(journal: Journal) -> None:
    """A page holds only tasks in one of the statuses that carry all of the labels."""
    await journal.commit(accepted("pending", labels={"a": "1", "b": "2"}))
    await journal.commit(Write("running", accept=new_task("running", labels={"a": "1"}), started=5))
    for status in (3, 4, 5):
        await journal.commit(finished(f"ended-{status}", status=status, labels={"b": "2", "c": 'x"'}))

    async def found(statuses: set[int], limit: int = 100, **labels: str) -> list[str]:
        records = await journal.tasks(limit=limit, before=None, statuses=frozenset(statuses), labels=labels)
        return [record.task_id for record in records]

    assert await found({1, 2}) == ["running", "pending"]
    assert await found({1, 3, 5}) == ["ended-5", "ended-3", "pending"]
    assert await found({1, 3, 5}, limit=2) == ["ended-5", "ended-3"]
    assert await found({9}) == []
    assert await found(set(), a="1") == ["running", "pending"]
    assert await found(set(), a="1", b="2") == ["pending"]
    assert await found({4, 1}, b="2") == ["ended-4", "pending"]
    assert await found({4, 1}, b="2", c='x"') == ["ended-4"]
    assert await found(set(), a="2") == []


async def test_pages_show_names_as_long_as_the_tasks_are_there(journal: Journal) -> None:
    """A page has the names of its tasks; a removed task takes its name along, and leaves those of others."""
    for name in ("one", "", "three"):
        await journal.commit(finished(f"task-{name}", display_name=name))

    async def names() -> list[str]:
        records = await journal.tasks(limit=9, before=None, statuses=frozenset({3}), labels={})
        return [record.display_name for record in records]

    assert await names() == ["three", "", "one"]
    await journal.remove_finished(ended_before=None, keep_newest=1, limit=9)
    assert await names() == ["three"]
    await journal.commit(finished("another"))
    assert await names() == ["", "three"]


async def test_unfinished_tasks_are_oldest_first(journal: Journal) -> None:
    """What a restart has to go on with: PENDING and PROCESSING tasks in their order, without inputs, in pages if wanted."""
    await journal.commit(accepted("a", inputs='{"a":1}'))
    await journal.commit(finished("b"))
    await journal.commit(Write("c", accept=new_task("c"), started=5, batches=(batch(1, 4),)))
    await journal.commit(accepted("d"))
    records = await journal.unfinished()
    assert [record.task_id for record in records] == ["a", "c", "d"]
    assert records[0].inputs == ""
    assert records[1].last_sequence == 4
    assert await journal.unfinished(limit=1) == records[:1]
    assert await journal.unfinished(after=records[0].order, limit=5) == records[1:]


async def test_crashes_are_counted_while_a_task_makes_no_progress(journal: Journal) -> None:
    """Once per process, in a row; an event in between begins anew, and a finished or unknown task has none."""
    await journal.commit(accepted("a", batch(1)))
    await journal.commit(accepted("b", batch(1)))
    await journal.commit(finished("c"))
    assert await journal.record_crashes([], 1) == {}
    assert await journal.record_crashes(["a", "c", "unknown"], 1) == {"a": 1}
    assert await journal.record_crashes(["a"], 1) == {"a": 1}
    assert await journal.record_crashes(["a", "b"], 2) == {"a": 2, "b": 1}
    assert await journal.record_crashes([], 3) == {"a": 2, "b": 1}
    await journal.commit(Write("a", batches=(batch(2),)))
    assert await journal.record_crashes([], 4) == {"b": 1}
    assert await journal.record_crashes(["a"], 5) == {"a": 1, "b": 1}
    await journal.commit(Write("b", started=5, finish=Finish(3, 6, b"")))
    assert await journal.record_crashes(["b"], 6) == {"a": 1}


async def test_removal_by_age(journal: Journal) -> None:
    """Tasks that ended before a time go with their logs; those that ended first go first."""
    for index, end_time in enumerate((50, 10, 40, 20, 30)):
        await journal.commit(finished(f"task-{index}", end_time=end_time))
    await journal.commit(accepted("running", batch(1)))
    assert ids_of(await journal.remove_finished(ended_before=40, keep_newest=None, limit=2)) == [
        "task-1",
        "task-3",
    ]
    assert ids_of(await journal.remove_finished(ended_before=40, keep_newest=None, limit=2)) == ["task-4"]
    assert ids_of(await journal.remove_finished(ended_before=40, keep_newest=None, limit=2)) == []
    assert await page(journal) == ["running", "task-2", "task-0"]
    assert await journal.task("task-1") is None
    assert await journal.read("task-1", 0, EVERYTHING) == []
    with pytest.raises(InvalidWrite):
        await journal.commit(Write("task-1", batches=(batch(8),)))


async def test_removal_by_count(journal: Journal) -> None:
    """All but the newest finished tasks go, at most as many as the limit says; unfinished ones neither go nor count."""
    for index in range(120):
        await journal.commit(finished(f"task-{index}", end_time=1_000 + index // 7))
    await journal.commit(accepted("running"))
    removed = await journal.remove_finished(ended_before=None, keep_newest=3, limit=60)
    assert len(removed) == 60
    removed += await journal.remove_finished(ended_before=None, keep_newest=3, limit=1_000)
    assert ids_of(removed) == [f"task-{index}" for index in range(117)]
    assert await page(journal) == ["running", "task-119", "task-118", "task-117"]
    assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=3, limit=1_000)) == []
    assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=None, limit=1_000)) == []


async def test_removal_by_age_and_count(journal: Journal) -> None:
    """Either reason is enough."""
    for index in range(6):
        await journal.commit(finished(f"task-{index}", end_time=index))
    assert ids_of(await journal.remove_finished(ended_before=2, keep_newest=5, limit=10)) == [
        "task-0",
        "task-1",
    ]
    assert ids_of(await journal.remove_finished(ended_before=1, keep_newest=3, limit=10)) == ["task-2"]


async def test_schemas_stay_as_long_as_a_task_uses_them(journal: Journal) -> None:
    """A schema goes with the last task that uses it, and comes back with the next."""
    one, two = hash_of_schema("one"), hash_of_schema("two")
    await journal.commit(finished("a", schema="one", end_time=1))
    await journal.commit(finished("b", schema="one", end_time=2))
    await journal.commit(finished("c", schema="two", end_time=3))
    await journal.remove_finished(ended_before=2, keep_newest=None, limit=10)
    assert [await journal.schema(key) for key in (one, two)] == ["one", "two"]
    await journal.remove_finished(ended_before=3, keep_newest=None, limit=10)
    assert [await journal.schema(key) for key in (one, two)] == [None, "two"]
    await journal.commit(finished("d", schema="one"))
    assert await journal.schema(one) == "one"


async def test_orders_grow_although_tasks_are_removed(journal: Journal) -> None:
    """A page token stays right: a new task never gets an order below that of an older one."""
    await journal.commit(finished("a"))
    await journal.remove_finished(ended_before=None, keep_newest=0, limit=1)
    await journal.commit(accepted("b"))
    record = await journal.task("b")
    assert record is not None
    assert record.order == 2


async def test_large_values(journal: Journal) -> None:
    """Inputs, events and results of a megabyte come back whole."""
    text, blob = "é" * 600_000, bytes(range(256)) * 4_096
    await journal.commit(accepted("a", batch(1, events=blob), inputs=text))
    await journal.commit(Write("a", finish=Finish(3, 9_000, blob)))
    record = await journal.task("a")
    assert record is not None
    assert (record.inputs, record.result) == (text, blob)
    assert [each.events for each in await journal.read("a", 0, EVERYTHING)] == [blob]


async def test_close_commits_what_was_asked_for(journal: Journal) -> None:
    """Writes that wait when the journal is closed are made, later calls are refused, and closing twice is fine."""
    writes = [journal.commit(accepted(f"task-{index}")) for index in range(300)]
    await asyncio.sleep(0)
    await asyncio.gather(journal.close(), journal.close())
    await asyncio.gather(*writes)
    await journal.close()
    for call in every_call(journal):
        with pytest.raises(JournalClosed):
            await call()


async def test_server_sessions_are_reported_as_long_as_a_task_needs_them(journal: Journal) -> None:
    """Each life is as long as it was last known to be; those that ended before all running tasks started are forgotten."""
    assert await journal.begin_session(100) == []
    await journal.commit(accepted("a", batch(1)))
    await journal.extend_session(ServerSession(100, 150))
    await journal.extend_session(ServerSession(100, 140))
    await journal.commit(Write("a", started=120, batches=(batch(2),)))
    assert await journal.begin_session(200) == [ServerSession(100, 150)]
    assert await journal.begin_session(300) == [ServerSession(100, 150), ServerSession(200, 200)]
    await journal.extend_session(ServerSession(300, 350))
    await journal.commit(Write("b", accept=new_task("b"), started=340))
    await journal.commit(Write("a", finish=Finish(3, 345, b"")))
    assert await journal.begin_session(400) == [ServerSession(300, 350)]
    await journal.commit(Write("b", finish=Finish(3, 410, b"")))
    await journal.extend_session(ServerSession(400, 420))
    assert await journal.begin_session(500) == []
