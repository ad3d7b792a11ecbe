import uuid

from support.fakes import FakeClock

from flowgram_server.task_ids import TaskIDs


async def test_ids_are_time_ordered_uuids() -> None:
    """Every id is a UUID of version 7 and of the standard variant, is new, and sorts behind those of earlier milliseconds."""
    clock = FakeClock()
    new_task_id = TaskIDs(clock)
    ids = []
    for _ in range(1000):
        ids.append(new_task_id())
        clock.advance(0.001)
    parsed = [uuid.UUID(task_id) for task_id in ids]
    assert {found.version for found in parsed} == {7}
    assert {found.variant for found in parsed} == {uuid.RFC_4122}
    assert ids == sorted(set(ids))
