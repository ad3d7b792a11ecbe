"""Records: what a history holds of one step of a task. Its format is part of the history, and outlives releases.

A record is one byte of version, then the fields of `_HEADER`, the encoded events, and, where the task has ended, its encoded
result. Times are microseconds since the epoch.
"""

import hashlib
import struct
from typing import Final, NamedTuple

from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import PayloadUnreadable

_VERSION: Final = 1
_HEADER: Final = struct.Struct(">BBQQQQI")
_DIGEST_BYTES: Final = 8


class Record(NamedTuple):
    """One step of a task.

    Attributes:
        status: The task's status after it.
        first_sequence: The number of its first event.
        last_sequence: The number of its last event; one less where it has none.
        at: When it happened; of the last step, when the task ended.
        start_time: When the task began to run; 0 if it never did.
        events: The encoded events.
        result: The encoded result, where the task has ended; else empty.
    """

    status: Status
    first_sequence: int
    last_sequence: int
    at: int
    start_time: int
    events: bytes
    result: bytes = b""

    @property
    def batch(self) -> Batch:
        """Its events as one batch."""
        return Batch(self.first_sequence, self.last_sequence, self.at, None, self.events)

    def encode(self) -> bytes:
        """The record as the history holds it."""
        header = _HEADER.pack(
            _VERSION,
            self.status,
            self.first_sequence,
            self.last_sequence,
            self.at,
            self.start_time,
            len(self.events),
        )
        return header + self.events + self.result

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """What `encode` gave. Raises `PayloadUnreadable` for anything else."""
        try:
            version, status, first, last, at, start_time, size = _HEADER.unpack_from(data)
            if version != _VERSION:
                raise PayloadUnreadable(f"a record of version {version} is of a later release")
            end = _HEADER.size + size
            if end > len(data):
                raise PayloadUnreadable("a record of a step is cut off")
            events, result = data[_HEADER.size : end], data[end:]
            return cls(Status(status), first, last, at, start_time, events, result)
        except (struct.error, ValueError) as error:
            raise PayloadUnreadable("not a record of a step") from error


def digest(data: bytes) -> bytes:
    """By what a call proves which record it carried."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def split_digest(answer: bytes) -> tuple[bytes, bytes]:
    """The digest at the beginning of a call's answer, and the rest."""
    return answer[:_DIGEST_BYTES], answer[_DIGEST_BYTES:]
