"""The messages of a task: what it logs, its errors among them."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class MessageType(IntEnum):
    """How important a message is. The numbers are the contract's."""

    UNSPECIFIED = 0
    LOG = 1
    INFO = 2
    DEBUG = 3
    WARNING = 4
    ERROR = 5

    @classmethod
    def _missing_(cls, value: object) -> "MessageType":  # noqa: ARG003 - one that came after this version
        return cls.UNSPECIFIED

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a task."""

    id: str
    type: MessageType
    text: str
    node_id: str = ""
    time: datetime | None = None
