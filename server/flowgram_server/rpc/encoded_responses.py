"""Serialized responses of WatchTask: what is left out of them, cut off, split or added, without encoding all events anew."""

from collections.abc import Iterator
from typing import Final

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_server.rpc import tags
from flowgram_server.rpc.wire import delimited, skip_delimited, timestamp, utf8

HEARTBEAT: Final = b""
"""A `WatchTaskResponse` without events."""


def encode_delta(*, node_id: str, snapshot_id: str, text: str, at: int, from_start: bool = False) -> bytes:
    """A piece of text that a node gave as a serialized `WatchTaskResponse`."""
    start = tags.DELTA_FROM_START + b"\x01" if from_start else b""
    node, snapshot = tags.DELTA_NODE_ID + _text(node_id), tags.DELTA_SNAPSHOT_ID + _text(snapshot_id)
    delta = b"".join((node, snapshot, tags.DELTA_TEXT, _text(text), start))
    event = b"".join((tags.EVENT_TIME, timestamp(at), tags.EVENT_OUTPUT_DELTA, delimited(delta)))
    return tags.RESPONSE_EVENTS + delimited(event)


def without_first(events: bytes, count: int) -> bytes:
    """A serialized `WatchTaskResponse` without its first `count` events."""
    return events[skip_delimited(events, count) :] if count else events


def split(events: bytes, max_bytes: int) -> Iterator[bytes]:
    """A serialized `WatchTaskResponse` in pieces that are such responses too, of at most so many bytes.

    An event is never cut: one that is larger comes as it is.
    """
    if len(events) <= max_bytes:
        yield events
        return
    begin = end = 0
    while end < len(events):
        following = skip_delimited(events, 1, end)
        if following - begin > max_bytes and end > begin:
            yield events[begin:end]
            begin = end
        end = following
    yield events[begin:]


def to_basic(events: bytes) -> bytes:
    """A serialized `WatchTaskResponse` in the BASIC view: without the JSON of inputs and outputs."""
    response = service.WatchTaskResponse.FromString(events)
    for event in response.events:
        match event.WhichOneof("event"):
            case "node_status_changed":
                snapshot = event.node_status_changed.snapshot
                snapshot.ClearField("inputs")
                snapshot.ClearField("outputs")
            case "task_status_changed":
                event.task_status_changed.ClearField("outputs")
            case _:
                pass
    return response.SerializeToString()


def _text(text: str) -> bytes:
    return delimited(utf8(text))
