"""The open streams: each ends when the credential that it was opened with is no longer valid.

A call is checked when it begins. Watches and batches may last for days after that, and must not outlive a key that was revoked, or
a token that has expired.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.errors import AuthError

_INTERVAL: Final = 1.0
"""Seconds between two looks: so long a stream may go on after its credential, once the server knows that this is valid no more."""

Recheck = Callable[[], Awaitable[int]]
"""Checks a credential again, and gives when it is to be checked next, in microseconds since the epoch. Raises `AuthError`."""


class CredentialEnded(Exception):
    """A stream ends since its credential is valid no more.

    Attributes:
        reason: Why it is not.
    """

    def __init__(self, reason: AuthError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class OpenStream:
    """One stream that is open.

    Attributes:
        recheck: Checks its credential again.
        due: When that is to be done.
        changes: `Authenticator.changes` at its last check.
    """

    __slots__ = ("_ended", "_task", "_waits", "changes", "due", "recheck")

    def __init__(self, recheck: Recheck, due: int, changes: int) -> None:
        self.recheck = recheck
        self.due = due
        self.changes = changes
        self._task = asyncio.current_task()
        self._waits = False
        self._ended: AuthError | None = None

    def end(self, reason: AuthError) -> None:
        """Ends the stream: at once where it waits for its next answer, else as soon as the one before is sent."""
        if self._ended is None:
            self._ended = reason
            if self._waits and self._task is not None:
                self._task.cancel()

    async def next(self, answers: AsyncGenerator[Any, None]) -> Any:
        """The next answer, awaited by the task that has opened the stream.

        Raises:
            StopAsyncIteration: There is none.
            CredentialEnded: The credential is valid no more.
        """
        self._check()
        self._waits = True
        try:
            return await anext(answers)
        except asyncio.CancelledError:
            # Where the caller has left as well, that counts more.
            if self._task is not None and self._ended is not None and self._task.uncancel() == 0:
                self._check()
            raise
        finally:
            self._waits = False

    def _check(self) -> None:
        if self._ended is not None:
            raise CredentialEnded(self._ended)


class OpenStreams:
    """The streams that are open.

    Args:
        authenticator: Knows when credentials have to be checked again.
        clock: Tells the time, and waits.
    """

    def __init__(self, authenticator: Authenticator, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._streams: set[OpenStream] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._streams)

    @contextmanager
    def opened(self, recheck: Recheck, due: int, changes: int) -> Iterator[OpenStream]:
        """A stream that is checked for as long as the block lasts.

        Args:
            recheck: Checks its credential again.
            due: When that is to be done, in microseconds since the epoch.
            changes: `Authenticator.changes` before the credential was checked.
        """
        stream = OpenStream(recheck, due, changes)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    async def keep(self) -> None:
        """Checks again and again what is due, until it is cancelled."""
        while True:
            await self._clock.sleep(_INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Checks what is due, and ends the streams whose credentials are valid no more."""
        now, changes = self._clock.now(), self._authenticator.changes
        for stream in [each for each in self._streams if each.changes != changes or each.due <= now]:
            try:
                stream.due = await stream.recheck()
            except AuthError as error:
                stream.end(error)
            else:
                stream.changes = changes
            await asyncio.sleep(0)  # however many there are, others get to run
