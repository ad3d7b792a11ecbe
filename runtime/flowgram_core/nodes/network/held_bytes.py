"""A limit on what all answers under way hold in memory together, until each of them is complete."""

from types import TracebackType
from typing import Self

from flowgram_core.engine.errors import NodeError


class HeldBytes:
    """Counts what answers hold.

    Beyond the limit those fail that grow and hold more than an equal share of it, so that many large answers, which may never
    end, keep no small one from coming. Together they hold less than twice the limit.

    Args:
        limit: Bytes.
        name: The setting that has it, for messages.
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        self.total = 0
        self.holders = 0

    def open(self) -> "HeldShare":
        """The share of one answer, as long as the block is entered."""
        return HeldShare(self)


class HeldShare:
    """What one answer holds."""

    __slots__ = ("_all", "_size")

    def __init__(self, held: HeldBytes) -> None:
        self._all = held
        self._size = 0

    def __enter__(self) -> Self:
        self._all.holders += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._all.total -= self._size
        self._all.holders -= 1

    def hold(self, size: int) -> None:
        """It holds so many bytes now, and no longer what it held before.

        Raises:
            NodeError: All answers hold more than the limit, and this one more than its share.
        """
        held = self._all
        grows = size > self._size
        held.total += size - self._size
        self._size = size
        if grows and held.total > held.limit and size * held.holders > held.limit:
            raise NodeError(
                f"All answers that come in at the moment hold more than the limit {held.name} = {held.limit}"
            )
