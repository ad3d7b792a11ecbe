"""Flows: the operations of a client as generators, without any I/O.

A flow is a generator that yields effects ("make this call", "sleep"), gets back what came of each, and returns its
result. It does no I/O and knows neither threads nor asyncio, so each operation is written once; the two clients
perform the effects in their own way. A failed call is thrown into the flow as a RequestError.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from .errors import RequestError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """Make a unary call. Reply: its response."""

    method: str
    request: Message
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Open:
    """Begin to watch, in place of the watch before, if there was one. Reply: None."""

    method: str
    request: Message
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for the next response of the watch. Reply: it, or None at the end.

    Fails as UnavailableError if nothing came for `silence` seconds.
    """

    silence: float | None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass. Reply: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand an item to the user, and go on when the next one is wanted. Reply: None."""

    item: Any


Effect = Call | Open | Read | Sleep | Emit
Flow = Generator[Effect, Any, T]


class Walk(Generic[T]):
    """Goes through a flow step by step: perform `effect`, then `reply` or `fail`; at its end `effect` is None."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self._result: T | None = None
        self.effect: Effect | None = None
        self.reply(None)

    def reply(self, value: Any) -> None:
        """Resume the flow with the reply to its effect."""
        try:
            self.effect = self._flow.send(value)
        except StopIteration as stop:
            self.effect, self._result = None, stop.value

    def fail(self, error: RequestError) -> None:
        """Resume the flow with the error of its effect; raises what the flow raises."""
        try:
            self.effect = self._flow.throw(error)
        except StopIteration as stop:
            self.effect, self._result = None, stop.value

    @property
    def result(self) -> T:
        """What the flow returned."""
        return self._result  # type: ignore[return-value]  # set at the end, and None is a T where a flow returns None
