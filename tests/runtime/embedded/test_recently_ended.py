"""The tasks that ended last."""

from support.journals import new_task

from flowgram_core.embedded.recently_ended import RecentlyEnded
from flowgram_core.journal.interface import TaskRecord

END = 2_000


def ended(task_id: str, namespace: str = "default", result: bytes = b"r") -> TaskRecord:
    return new_task(task_id, namespace=namespace).record().moved(3, 1, END, 1, result)


def test_a_task_is_found_in_its_own_namespace_only() -> None:
    """To others it is as unknown as one that never was."""
    recent = RecentlyEnded()
    recent.add(ended("a", "mine"))
    assert recent.get("a", "mine", END) == ended("a", "mine")
    assert recent.get("a", "other", END) is None
    assert recent.get("b", "mine", END) is None


def test_the_last_ones_are_kept() -> None:
    """However many end."""
    recent = RecentlyEnded()
    for number in range(2000):
        recent.add(ended(f"t{number}"))
    kept = [number for number in range(2000) if recent.get(f"t{number}", "default", END) is not None]
    assert kept == [*range(2000 - 1024, 2000)]


def test_a_large_one_is_not_kept() -> None:
    """A thousand of them would hold gigabytes."""
    recent = RecentlyEnded()
    recent.add(ended("a", result=b"r" * 20_000))
    assert recent.get("a", "default", END) is None


def test_what_was_removed_from_the_journal_is_forgotten() -> None:
    """Nobody gets a task that is not there any more."""
    recent = RecentlyEnded()
    recent.add(ended("a"))
    recent.add(ended("b"))
    recent.remove(["a", "c"])
    assert recent.get("a", "default", END) is None
    assert recent.get("b", "default", END) is not None


def test_a_task_is_forgotten_some_seconds_after_its_end() -> None:
    """By then it may have been removed, or the journal can be asked."""
    recent = RecentlyEnded()
    recent.add(ended("a"))
    assert recent.get("a", "default", END + 5_000_000) is not None
    assert recent.get("a", "default", END + 5_000_001) is None
