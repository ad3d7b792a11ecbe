"""The codec protocol: how a host encodes events into the bytes that are stored and sent."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from flowgram_core.engine.events import Event, Finished


class Codec(Protocol):
    """Encodes events into the bytes that are stored and sent. For one thread at a time; `masking` makes another one."""

    def encode(self, events: Sequence[Event]) -> bytes:
        """The events of one step, in the form of a response to watchers."""
        ...

    def encode_result(self, finished: Finished) -> bytes:
        """The result of a task, in the form of a response."""
        ...

    def masking(self, names: Iterable[str]) -> "Codec":
        """A codec that masks the node inputs with these names, and no others."""
        ...
