import asyncio
from collections.abc import AsyncGenerator

import pytest
from support.fakes import FakeClock

from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.errors import AuthFailure, CredentialsInvalid
from flowgram_server.auth.open_streams import CredentialEnded, OpenStream, OpenStreams

EXPIRED = CredentialsInvalid("the key has expired", AuthFailure.EXPIRED)


class Source:
    """Answers that come when the test says so."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.waits = asyncio.Event()

    async def answers(self) -> AsyncGenerator[str, None]:
        while True:
            self.waits.set()
            answer = await self.queue.get()
            if answer is None:
                return
            yield answer


class Credential:
    """A credential that the test makes invalid."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.checks = 0
        self.is_valid = True

    async def check(self) -> int:
        self.checks += 1
        if not self.is_valid:
            raise EXPIRED
        return self.clock.now() + 60_000_000


async def follow(stream: OpenStream, source: Source, seen: list[str]) -> None:
    answers = source.answers()
    while True:
        try:
            seen.append(await stream.next(answers))
        except StopAsyncIteration:
            return


async def test_a_stream_that_waits_ends_at_once() -> None:
    """And one whose credential is valid still ends as it would."""
    clock, source, other = FakeClock(), Source(), Source()
    credential = Credential(clock)
    streams = OpenStreams(Authenticator(clock), clock)
    seen: list[str] = []

    async def run(source: Source) -> None:
        with streams.opened(credential.check, clock.now() + 60_000_000, 0) as stream:
            await follow(stream, source, seen)

    running = [asyncio.create_task(run(each)) for each in (source, other)]
    await source.waits.wait()
    await other.waits.wait()
    await streams.look()
    assert (len(streams), credential.checks) == (2, 0)
    other.queue.put_nowait("a")
    other.queue.put_nowait(None)
    await running[1]
    clock.advance(60)
    await streams.look()
    assert credential.checks == 1
    credential.is_valid = False
    clock.advance(60)
    await streams.look()
    with pytest.raises(CredentialEnded) as ended:
        await running[0]
    assert ended.value.reason is EXPIRED
    assert (seen, len(streams)) == (["a"], 0)


async def test_a_stream_that_sends_ends_after_that() -> None:
    """Nothing is broken off that is on its way to a slow client; the next answer is none any more."""
    clock, source = FakeClock(), Source()
    streams = OpenStreams(Authenticator(clock), clock)
    credential = Credential(clock)
    with streams.opened(credential.check, 0, 0) as stream:
        source.queue.put_nowait("a")
        answers = source.answers()
        assert await stream.next(answers) == "a"
        credential.is_valid = False
        await streams.look()
        source.queue.put_nowait("b")
        with pytest.raises(CredentialEnded):
            await stream.next(answers)


async def test_a_caller_that_leaves_counts_more() -> None:
    """A stream that is canceled by its caller in the same moment ends as canceled."""
    clock, source = FakeClock(), Source()
    streams = OpenStreams(Authenticator(clock), clock)
    credential = Credential(clock)
    credential.is_valid = False

    async def run() -> None:
        with streams.opened(credential.check, 0, 0) as stream:
            await follow(stream, source, [])

    running = asyncio.create_task(run())
    await source.waits.wait()
    running.cancel()
    await asyncio.gather(streams.look(), return_exceptions=True)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(streams) == 0


async def test_changed_keys_are_looked_at_at_once() -> None:
    """Whenever any credential may have ceased to be valid, each stream is checked, once."""
    clock = FakeClock()
    authenticator = Authenticator(clock)
    streams = OpenStreams(authenticator, clock)
    credential = Credential(clock)
    with streams.opened(credential.check, clock.now() + 60_000_000, authenticator.changes):
        authenticator.forget()
        await streams.look()
        await streams.look()
    assert credential.checks == 1
