"""The transition tables of task status and node status."""

import pytest

from flowgram_core.engine.errors import IllegalTransition
from flowgram_core.engine.transitions import (
    NODE_TRANSITIONS,
    TASK_TRANSITIONS,
    TransitionTable,
    transition,
)
from flowgram_core.modeling.status import Status

ENDS = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)
TASK = {
    (Status.PENDING, Status.PROCESSING),
    (Status.PENDING, Status.FAILED),
    (Status.PENDING, Status.CANCELED),
} | {(Status.PROCESSING, last) for last in ENDS}
NODE = {
    (Status.PENDING, Status.PROCESSING),
    (Status.PENDING, Status.SUCCEEDED),
    (Status.PENDING, Status.FAILED),
} | {(Status.PROCESSING, last) for last in ENDS}


@pytest.mark.parametrize(("table", "allowed"), [(TASK_TRANSITIONS, TASK), (NODE_TRANSITIONS, NODE)])
@pytest.mark.parametrize("current", Status)
@pytest.mark.parametrize("following", Status)
def test_every_move(
    table: TransitionTable, allowed: set[tuple[Status, Status]], current: Status, following: Status
) -> None:
    """The tables allow what they show, and nothing else."""
    if (current, following) in allowed:
        assert transition(table, current, following) is following
    else:
        with pytest.raises(IllegalTransition, match=f"{following.name} cannot follow {current.name}"):
            transition(table, current, following)


@pytest.mark.parametrize("status", Status)
def test_what_has_terminated(status: Status) -> None:
    """Nothing follows an end, in either table."""
    assert status.terminated is (status in ENDS)
    assert status.terminated is (not TASK_TRANSITIONS[status])
    assert status.terminated is (not NODE_TRANSITIONS[status])


def test_the_numbers_are_those_of_the_contract() -> None:
    """They are stored and sent."""
    assert [(status.name, int(status)) for status in Status] == [
        ("PENDING", 1),
        ("PROCESSING", 2),
        ("SUCCEEDED", 3),
        ("FAILED", 4),
        ("CANCELED", 5),
    ]
