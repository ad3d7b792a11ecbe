import pytest
from support.fake_application import record

from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse, WatchTasksResponse
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.task_changes import TaskChanges
from flowgram_core.journal.interface import Batch
from flowgram_server.rpc.convert.requests import WatchQuery
from flowgram_server.rpc.convert.watch import RESPONSE_BYTES, watch_responses, watch_tasks_responses
from flowgram_server.rpc.encoded_responses import encode_delta
from flowgram_server.rpc.errors import MessageTooLarge

LIMIT = 65_536
EVENT = encode_delta(node_id="n", snapshot_id="n", text="x" * 100, at=1)


def query(*, basic: bool = False) -> WatchQuery:
    return WatchQuery("t1", 0, basic, deltas=True, heartbeat=None)


@pytest.mark.parametrize("basic", [False, True])
@pytest.mark.parametrize("max_bytes", [LIMIT, 16 * RESPONSE_BYTES])
def test_small_events_are_never_too_large(max_bytes: int, *, basic: bool) -> None:
    """However many there are, a response has as many of them as the limit lets it, and about a megabyte at most."""
    batch = Batch(1, 20_000, 1, None, EVENT * 20_000)
    responses = list(watch_responses(batch, query(basic=basic), max_bytes))
    assert b"".join(responses) == batch.events
    bound = min(max_bytes, RESPONSE_BYTES)
    assert all(bound - len(EVENT) < len(response) <= bound for response in responses[:-1])


@pytest.mark.parametrize(("basic", "said"), [(False, "VIEW_BASIC"), (True, "higher limit")])
def test_what_to_do_about_a_large_event(said: str, *, basic: bool) -> None:
    """The advice is not what was done already."""
    large = encode_delta(node_id="n", snapshot_id="n", text="x" * LIMIT, at=1)
    if basic:  # what has no JSON stays as it is
        large = WatchTaskResponse.FromString(large).SerializeToString()
    with pytest.raises(MessageTooLarge, match=said):
        list(watch_responses(Batch(1, 1, 1, None, large), query(basic=basic), LIMIT))


@pytest.mark.parametrize("text", ["x" * 300_000, "é𝄞" * 100_000, "\ud800" * 100_000, "x", ""])
@pytest.mark.parametrize("node_id", ["n", "n" * 60_000])
def test_a_large_piece_of_output_comes_in_pieces(text: str, node_id: str) -> None:
    """None is larger than a message may be, no character is cut, and together they are what was written."""
    delta = OutputDelta(node_id, "n", text, 1_000_000, from_start=True)
    responses = list(watch_responses(delta, query(), LIMIT))
    assert max(map(len, responses), default=0) <= LIMIT
    events = [event for response in responses for event in WatchTaskResponse.FromString(response).events]
    assert "".join(event.output_delta.text for event in events) == text.replace("\ud800", "\ufffd")
    assert [event.output_delta.from_start for event in events] == [True, *[False] * (len(events) - 1)][
        : len(events)
    ]
    assert {(event.output_delta.node_id, event.time.seconds) for event in events} <= {(node_id, 1)}


def test_a_piece_of_output_that_no_message_can_hold() -> None:
    """Where the name of the node alone is too large, the watch ends with an error, as for an event."""
    with pytest.raises(MessageTooLarge):
        list(watch_responses(OutputDelta("n" * LIMIT, "n", "x", 1), query(), LIMIT))


def test_changes_of_tasks_come_in_messages_of_bounded_size() -> None:
    """All of them, in order, and what has none is an empty message."""
    labels = {str(number): "x" * 500 for number in range(60)}
    tasks = tuple(record(f"t{number}", labels=labels) for number in range(100))
    removed = tuple(f"gone-{number}" for number in range(1000))
    responses = list(watch_tasks_responses(TaskChanges(tasks, removed), 1, LIMIT))
    assert max(map(len, responses)) <= LIMIT
    assert len(responses) > 1
    whole = WatchTasksResponse.FromString(b"".join(responses))
    assert [task.task_id for task in whole.tasks] == [each.task_id for each in tasks]
    assert tuple(whole.removed_task_ids) == removed
    assert list(watch_tasks_responses(TaskChanges(), 1, LIMIT)) == [b""]
    with pytest.raises(MessageTooLarge):
        list(watch_tasks_responses(TaskChanges(tasks), 1, 10_000))
