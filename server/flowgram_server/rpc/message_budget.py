"""The budget of messages: what large requests and answers hold in memory, over all calls together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flowgram_server.byte_budget import BudgetExceeded, ByteBudget
from flowgram_server.rpc.errors import MessagesTooLarge
from flowgram_server.rpc.grpc_types import Context

LARGE: Final = 128 * 1024
"""Bytes; what is smaller does not count."""
_DEFAULT: Final = 512 * 1024 * 1024
_RETRY_AFTER: Final = 2.0


class MessageBudget:
    """Counts large messages while they are under way.

    Args:
        max_message_bytes: No message is larger; the budget has room for four of them at least.
        limit: Bytes; None for a default.
    """

    def __init__(self, max_message_bytes: int, limit: int | None = None) -> None:
        self._budget = ByteBudget(limit or max(_DEFAULT, 4 * max_message_bytes))

    @contextmanager
    def request(self, size: int) -> Iterator[None]:
        """Counts a request while the block lasts. Raises `MessagesTooLarge` if there is no room for it."""
        if size <= LARGE:
            yield
            return
        self._take(size)
        try:
            yield
        finally:
            self._budget.give_back(size)

    def answer(self, answer: bytes, context: Context) -> bytes:
        """The answer, which counts until the client has taken it. Raises `MessagesTooLarge` if there is no room for it."""
        size = len(answer)
        if size > LARGE:
            self._take(size)

            def give_back(_: Any) -> None:
                self._budget.give_back(size)

            context.add_done_callback(give_back)  # type: ignore[arg-type]  # the stub names a class of its own
        return answer

    def _take(self, size: int) -> None:
        try:
            self._budget.take(size)
        except BudgetExceeded:
            raise MessagesTooLarge(self._budget.limit, _RETRY_AFTER) from None
