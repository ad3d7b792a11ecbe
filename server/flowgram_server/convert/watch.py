"""Watching: what a watcher gets for each thing that a watch of the runtime gives."""

from collections.abc import Iterator

from flowgram_runtime.application import Heartbeat
from flowgram_runtime.feed import OutputDelta
from flowgram_runtime.journal.port import Batch
from flowgram_server.codec import HEARTBEAT, encode_delta, split, to_basic, without_first
from flowgram_server.convert.requests import WatchQuery
from flowgram_server.errors import MessageTooLarge

RESPONSE_BYTES = 1024 * 1024
"""The aim for the size of a response: fewer events than this are not held back, and more only if one event is larger."""


def watch_responses(
    item: Batch | OutputDelta | Heartbeat, query: WatchQuery, max_bytes: int
) -> Iterator[bytes]:
    """The serialized `WatchTaskResponse`s, each about `RESPONSE_BYTES` at most.

    Raises:
        MessageTooLarge: One event alone is larger than `max_bytes`.
    """
    match item:
        case Batch(first_sequence=first, events=events):
            events = without_first(events, max(query.after_sequence - first + 1, 0))
            if query.basic:
                events = to_basic(events)
            for response in split(events, RESPONSE_BYTES):
                if len(response) > max_bytes:
                    raise MessageTooLarge(max_bytes, "watch with VIEW_BASIC")
                yield response
        case OutputDelta(node_id, snapshot_id, text, at):
            yield encode_delta(node_id=node_id, snapshot_id=snapshot_id, text=text, at=at)
        case _:
            yield HEARTBEAT
