"""Running calls: those that one task is making, each in an asyncio task of its own, until its outcome is there or it is canceled."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.embedded.services import Services
from flowgram_core.engine.activations import Activation, CallSucceeded
from flowgram_core.engine.node_type import Call, Command
from flowgram_core.hosting.live_log import LiveLog, OutputDelta
from flowgram_core.hosting.observation import TaskObserver

_LARGE_OUTCOME: Final = 64 * 1024
"""Characters of an outcome's text. The objects of shorter ones are freed in about a millisecond."""


class _CallContext:
    """What one call is given: the `CallContext` of `nodes.executor`."""

    __slots__ = ("_call", "_clock", "_live_log", "owner")

    def __init__(self, owner: Owner, call: Call, live_log: LiveLog, clock: Clock) -> None:
        self.owner = owner
        self._call = call
        self._live_log = live_log
        self._clock = clock

    @property
    def task_id(self) -> str:
        return self.owner.task_id

    @property
    def idempotency_key(self) -> str:
        return f"{self.owner.task_id}/{self._call.key}"

    def emit_delta(self, text: str) -> None:
        self._live_log.emit(OutputDelta(self._call.node.id, self._call.key, text, self._clock.now()))


class RunningCalls:
    """The calls that a task is making.

    Args:
        owner: The task, and its namespace.
        live_log: Gets the deltas of calls.
        services: Make the calls, and free large outcomes.
        observer: Is notified of each call, where somebody wants to know.
        post: Called with the outcome of a call, and with the same as JSON text. Not for calls that were canceled.
    """

    __slots__ = ("_calls", "_live_log", "_observer", "_owner", "_post", "_services")

    def __init__(
        self,
        owner: Owner,
        live_log: LiveLog,
        services: Services,
        observer: TaskObserver | None,
        post: Callable[[Activation, str], None],
    ) -> None:
        self._owner = owner
        self._live_log = live_log
        self._services = services
        self._observer = observer
        self._post = post
        self._calls: dict[str, asyncio.Task[None]] = {}

    def perform(self, commands: Sequence[Command]) -> None:
        """Begins calls, and cancels others, as the core has commanded."""
        loop = asyncio.get_running_loop()
        for command in commands:
            if isinstance(command, Call):
                self._calls[command.key] = loop.create_task(self._make(command), name=command.key)
            elif (running := self._calls.get(command.key)) is not None:
                running.cancel()

    async def stop(self) -> None:
        """Cancels all, and waits until they have ended."""
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)

    async def _make(self, call: Call) -> None:
        """Makes one call, and posts its outcome."""
        services = self._services
        context = _CallContext(self._owner, call, self._live_log, services.clock)
        try:
            if self._observer is None:
                outcome, text = await services.caller.make(call, context)
            else:
                with self._observer.calling(call):
                    outcome, text = await services.caller.make(call, context)
        finally:
            self._calls.pop(call.key, None)
        self._live_log.forget_deltas(call.key)
        if len(text) > _LARGE_OUTCOME and isinstance(outcome, CallSucceeded):
            services.disposer.free([outcome.outputs])  # the task may drop them long before its end
        self._post(outcome, text)
