"""The open streams, and the check of their credentials: a stream ends when the credential that began it is valid no more.

A call is checked when it begins. Watches and batches may last for days after that, and must not outlive a key that was revoked, or
a token that has expired.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
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


class _Stream:
    """One stream that is open.

    Attributes:
        changes: `Authenticator.changes` at its last check.
        due: When it is to be checked again.
    """

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

    async def answers(self, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The answers of a stream. Raises `CredentialEnded`."""
        async with aclosing(source):
            while not self._has_ended():
                self._waits = True
                try:
                    answer = await anext(source)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    # Where the caller has left as well, that counts more.
                    if not self._has_ended() or self._task is None or self._task.uncancel() > 0:
                        raise
                    break
                finally:
                    self._waits = False
                yield answer
        assert self._ended is not None  # noqa: S101 - it has ended
        raise CredentialEnded(self._ended)

    def _has_ended(self) -> bool:
        return self._ended is not None


class OpenStreams:
    """The streams that are open.

    Args:
        authenticator: Knows when credentials have to be checked again.
        clock: Tells the time, and waits.
    """

    def __init__(self, authenticator: Authenticator, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._streams: set[_Stream] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._streams)

    async def guarded(
        self, source: AsyncGenerator[Any, None], recheck: Recheck, due: int, changes: int
    ) -> AsyncGenerator[Any, None]:
        """The answers of a stream, for as long as its credential is valid.

        Args:
            source: Gives them; it is closed at the end.
            recheck: Checks the credential again.
            due: When that is to be done, in microseconds since the epoch.
            changes: `Authenticator.changes` before the credential was checked.

        Raises:
            CredentialEnded: It is valid no more.
        """
        stream = _Stream(recheck, due, changes)
        self._streams.add(stream)
        try:
            async with aclosing(stream.answers(source)) as answers:
                async for answer in answers:
                    yield answer
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
