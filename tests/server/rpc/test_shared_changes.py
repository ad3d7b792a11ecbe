"""Shared changes: encoded once for all watchers, and anew where that would be old."""

from support.fake_application import record
from support.fakes import FakeClock

from flowgram.runtime.v1.runtime_service_pb2 import WatchTasksResponse
from flowgram_core.hosting.task_changes import TaskChanges
from flowgram_server.rpc.shared_changes import SharedChanges

MEGABYTE = 1024 * 1024


def test_the_same_changes_are_encoded_once() -> None:
    """For whoever asks within a second; equal ones of another filter are not taken for them."""
    clock = FakeClock()
    shared = SharedChanges(clock, MEGABYTE)
    changes = TaskChanges((record("a"),), ("b",))
    first = shared.responses(changes)
    assert shared.responses(changes) is first
    response = WatchTasksResponse.FromString(b"".join(first))
    assert [task.task_id for task in response.tasks] == ["a"]
    assert list(response.removed_task_ids) == ["b"]
    assert shared.responses(TaskChanges((record("a"),), ("b",))) is not first
    clock.advance(2)
    assert shared.responses(changes) is not first


def test_few_are_kept() -> None:
    """Filters may be as many as watchers."""
    shared = SharedChanges(FakeClock(), MEGABYTE)
    oldest = TaskChanges((record("oldest"),))
    first = shared.responses(oldest)
    for number in range(100):
        shared.responses(TaskChanges((record(str(number)),)))
    assert shared.responses(oldest) is not first
