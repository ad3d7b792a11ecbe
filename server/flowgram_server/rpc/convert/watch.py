"""Watch responses: the items of a watch of the runtime as messages of the contract."""

from collections.abc import Iterator

from flowgram.runtime.v1.runtime_service_pb2 import WatchTasksResponse
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.service import Heartbeat
from flowgram_core.hosting.task_changes import TaskChanges
from flowgram_core.journal.interface import Batch
from flowgram_server.rpc.convert.requests import WatchQuery
from flowgram_server.rpc.convert.responses import task_summary
from flowgram_server.rpc.encoded_responses import HEARTBEAT, encode_delta, split, to_basic, without_first
from flowgram_server.rpc.errors import RAISE_THE_LIMIT, MessageTooLarge

RESPONSE_BYTES = 1024 * 1024
"""The aim for the size of a response: fewer events than this are not held back, and more only if one event is larger."""

_CHARACTER = 4
"""Bytes of a character in UTF-8, at most."""

_LENGTHS = 32
"""More bytes than the lengths of a message, and of the messages and texts in it, take."""


def watch_responses(
    item: Batch | OutputDelta | Heartbeat, query: WatchQuery, max_bytes: int
) -> Iterator[bytes]:
    """The serialized `WatchTaskResponse`s, each about `RESPONSE_BYTES` at most, and `max_bytes` in any case.

    A piece of output that is larger comes as several: they have no sequence, and are joined again anyway.

    Raises:
        MessageTooLarge: One event alone is larger than `max_bytes`.
    """
    aim = min(RESPONSE_BYTES, max_bytes)
    match item:
        case Batch(first_sequence=first, events=events):
            events = without_first(events, max(query.after_sequence - first + 1, 0))
            if query.basic:
                events = to_basic(events)
            for response in split(events, aim):
                if len(response) > max_bytes:
                    raise MessageTooLarge(
                        max_bytes, RAISE_THE_LIMIT if query.basic else "watch with VIEW_BASIC"
                    )
                yield response
        case OutputDelta():
            yield from _deltas(item, aim, max_bytes)
        case _:
            yield HEARTBEAT


def _deltas(delta: OutputDelta, aim: int, max_bytes: int) -> Iterator[bytes]:
    node_id, snapshot_id, text, at, from_start = delta

    def encode(part: str, *, first: bool) -> bytes:
        return encode_delta(
            node_id=node_id, snapshot_id=snapshot_id, text=part, at=at, from_start=first and from_start
        )

    frame = len(encode("", first=True)) + _LENGTHS
    if frame + _CHARACTER > max_bytes:
        raise MessageTooLarge(max_bytes, RAISE_THE_LIMIT)
    size = max((aim - frame) // _CHARACTER, 1)
    for begin in range(0, len(text), size):
        yield encode(text[begin : begin + size], first=not begin)


def watch_tasks_responses(changes: TaskChanges, now: int, max_bytes: int) -> Iterator[bytes]:
    """The serialized `WatchTasksResponse`s, each about `RESPONSE_BYTES` at most, and `max_bytes` in any case.

    Raises:
        MessageTooLarge: One task alone is larger than `max_bytes`.
    """
    aim = min(RESPONSE_BYTES, max_bytes)
    parts = [WatchTasksResponse(tasks=[task_summary(record, now)]) for record in changes.tasks]
    parts += [WatchTasksResponse(removed_task_ids=[task_id]) for task_id in changes.removed]
    pending: list[bytes] = []
    size = 0
    for part in (part.SerializeToString() for part in parts):
        if len(part) > max_bytes:
            raise MessageTooLarge(max_bytes, RAISE_THE_LIMIT)
        if pending and size + len(part) > aim:
            yield b"".join(pending)
            pending, size = [], 0
        pending.append(part)
        size += len(part)
    yield b"".join(pending)
