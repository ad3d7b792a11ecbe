"""Event encoding: the same as the events are as dictionaries, one line of data each."""

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from flowgram.runtime.v1.event_pb2 import NodeStatusChanged, OutputDelta, TaskEvent, TaskStatusChanged
from flowgram.runtime.v1.report_pb2 import Iteration, Message, Snapshot, StatusInfo
from flowgram_server.gateway import json_encoding
from flowgram_server.gateway.event_encoding import frames, pieces

TEXTS = st.text(max_size=8)
IDS = st.sampled_from(["", "llm_0", 'a"b', "loop_0", "ä\n"])
TIMES = st.builds(Timestamp, seconds=st.integers(0, 2**33), nanos=st.integers(0, 999_999_999))
DURATIONS = st.builds(Duration, seconds=st.integers(0, 9), nanos=st.integers(0, 999_999_999))
OBJECTS = st.sampled_from(["", "{}", '{"a": 1.10}', '{\r\n "a": "\\n"\n}', '{"large": 12345678901234567890}'])
STATUSES = st.builds(
    StatusInfo,
    status=st.sampled_from([*json_encoding.STATUSES.values(), 99]),
    terminated=st.booleans(),
    start_time=TIMES,
    end_time=st.none() | TIMES,
    time_cost=DURATIONS,
)
SNAPSHOTS = st.builds(
    Snapshot,
    id=TEXTS,
    node_id=IDS,
    iterations=st.lists(st.builds(Iteration, loop_node_id=IDS, index=st.integers(0, 2**31 - 1)), max_size=3),
    inputs=OBJECTS,
    outputs=OBJECTS,
    branch=TEXTS,
    error=TEXTS,
)
MESSAGES = st.builds(Message, id=TEXTS, type=st.sampled_from([1, 4, 99]), text=TEXTS, node_id=IDS, time=TIMES)
KINDS: st.SearchStrategy[dict[str, Any]] = (
    st.fixed_dictionaries(
        {
            "node_status_changed": st.builds(
                NodeStatusChanged, node_id=IDS, status=STATUSES, snapshot=SNAPSHOTS
            )
        }
    )
    | st.fixed_dictionaries(
        {"task_status_changed": st.builds(TaskStatusChanged, status=STATUSES, outputs=OBJECTS)}
    )
    | st.fixed_dictionaries(
        {
            "output_delta": st.builds(
                OutputDelta, node_id=IDS, snapshot_id=TEXTS, text=TEXTS, from_start=st.booleans()
            )
        }
    )
    | st.fixed_dictionaries({"message": MESSAGES})
    | st.just({})
)
EVENTS = st.builds(
    lambda sequence, time, kind: TaskEvent(sequence=sequence, time=time, **kind),
    st.just(0) | st.integers(1, 2**40),
    TIMES,
    KINDS,
)


def milliseconds(time: Any) -> int:
    return int(time.ToMilliseconds())


def filled(**members: Any) -> dict[str, Any]:
    """The members that have something."""
    return {name: value for name, value in members.items() if value}


def given_as(text: str) -> dict[str, Any]:
    """A member of outputs, also of empty ones, where there are any."""
    return {"outputs": json.loads(text)} if text else {}


def shape(event: TaskEvent) -> dict[str, Any] | None:
    """An event as a dictionary; None for a kind that is not known."""
    kind = event.WhichOneof("event")
    shared = {"type": kind, **filled(sequence=event.sequence), "timestamp": milliseconds(event.time)}
    match kind:
        case "node_status_changed":
            received = event.node_status_changed
            snapshot = received.snapshot
            iterations = [{"loopNodeID": one.loop_node_id, "index": one.index} for one in snapshot.iterations]
            return {
                **shared,
                "nodeID": received.node_id,
                "nodeStatus": json_encoding.status(received.status),
                "snapshot": {
                    "id": snapshot.id,
                    "nodeID": snapshot.node_id,
                    **filled(iterations=iterations),
                    **({"inputs": json.loads(snapshot.inputs)} if snapshot.inputs else {}),
                    **given_as(snapshot.outputs),
                    **filled(branch=snapshot.branch, error=snapshot.error),
                },
            }
        case "task_status_changed":
            changed = event.task_status_changed
            return {
                **shared,
                "workflowStatus": json_encoding.status(changed.status),
                **given_as(changed.outputs),
            }
        case "output_delta":
            delta = event.output_delta
            return {
                **shared,
                "nodeID": delta.node_id,
                "snapshotID": delta.snapshot_id,
                "text": delta.text,
                **filled(fromStart=delta.from_start),
            }
        case "message":
            return {**shared, "message": json_encoding.message(event.message)}
        case _:
            return None


@given(st.lists(EVENTS, max_size=6))
def test_frames_are_the_events(events: list[TaskEvent]) -> None:
    """Each event is one line of JSON with its sequence as the id, if it has one; unknown kinds are left out."""
    known = [(event.sequence, shaped) for event in events if (shaped := shape(event)) is not None]
    *blocks, rest = frames(events).split(b"\n\n")
    assert rest == b""
    seen = []
    for block in blocks:
        *identity, data = block.split(b"\n")
        assert data.startswith(b"data: ")
        assert b"\r" not in block
        seen.append((int(identity[0].removeprefix(b"id: ")) if identity else 0, json.loads(data[6:])))
    assert seen == known


def test_digits_stay_as_they_are() -> None:
    """JSON of users is passed on as its text, but for ends of lines."""
    event = TaskEvent(sequence=7, task_status_changed={"outputs": '{\r\n "a": "\\n", "b": 1.10\n}'})
    assert frames([event]).endswith(b'"outputs":{   "a": "\\n", "b": 1.10 }}\n\n')


def test_many_events_come_in_pieces() -> None:
    """Nothing is lost between them, and no piece is long to make."""
    events = [TaskEvent(sequence=1 + number, message={"id": "m"}) for number in range(1201)]
    parts = list(pieces(events))
    assert b"".join(parts) == frames(events)
    assert [part.count(b"id: ") for part in parts] == [500, 500, 201]
    assert list(pieces([])) == []
