"""Fakes of what the runtime is driven with: a clock that tests move, calls that tests answer, an encoder that tests read."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flowgram_core.concurrency.clock import Timer
from flowgram_core.embedded.application import Application
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.events import Event, Finished, NodeStatusChanged
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope
from flowgram_core.hosting.observation import Observer
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Journal
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.registry import Registry, pure_node_types
from support.events import changed

_BEGIN = 1_700_000_000_000_000
_ROUNDS = 50
"""More turns of the event loop than anything takes that waits for nothing."""


class _Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = _BEGIN
        self._set_by = 0
        self._timers: list[tuple[int, int, _Timer]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def now(self) -> int:
        return self._now + self._set_by

    def monotonic(self) -> float:
        return (self._now - _BEGIN) / 1e6

    def set_by(self, seconds: float) -> None:
        """Sets the wall clock, as an operator or a time server does; no time passes."""
        self._set_by += round(seconds * 1e6)

    async def sleep(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: over.done() or over.set_result(None))
        try:
            await over
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self._now + round(seconds * 1e6), next(self._order), timer))
        self._changed.set()
        return timer

    def advance(self, seconds: float) -> None:
        """Moves the time on, and calls what is due, in order."""
        until = self._now + round(seconds * 1e6)
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self._now = until

    async def sleeping(self) -> None:
        """Returns once somebody waits for the time to go on."""
        while not any(timer.callback for _, _, timer in self._timers):
            self._changed.clear()
            await self._changed.wait()


class ScriptedCalls:
    """A node type whose calls wait until the test answers them.

    Attributes:
        type: The name that schemas use.
        made: The keys of all calls that were made, in order.
        canceled: The keys of the calls that were cancelled.
    """

    def __init__(self, node_type: str = "code") -> None:
        self.type = node_type
        self.made: list[str] = []
        self.canceled: list[str] = []
        self._open: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._contexts: dict[str, CallContext] = {}
        self._changed = asyncio.Event()

    def bind(self, node: Node) -> CallBehavior:
        def prepare(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
            return inputs

        return CallBehavior(prepare)

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._open[call.key] = answer
        self._contexts[call.key] = context
        self.made.append(call.key)
        self._changed.set()
        try:
            return await answer
        except asyncio.CancelledError:
            self.canceled.append(call.key)
            self._changed.set()
            raise
        finally:
            del self._open[call.key]

    async def running(self, *keys: str) -> None:
        """Returns once calls with these keys wait for an answer."""
        while not self._open.keys() >= set(keys):
            self._changed.clear()
            await self._changed.wait()

    async def stays(self, key: str, *, running: bool) -> None:
        """Checks that a call runs, or does not, and that nothing under way changes it."""
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
            assert (key in self._open) is running

    async def stopped(self, *keys: str) -> None:
        """Returns once calls with these keys have been cancelled."""
        while not set(self.canceled) >= set(keys):
            self._changed.clear()
            await self._changed.wait()

    def context(self, key: str) -> CallContext:
        """What surrounds a running call."""
        return self._contexts[key]

    def answer(self, key: str, outputs: dict[str, Any]) -> None:
        """Ends a running call with outputs."""
        self._open[key].set_result(outputs)

    def fail(self, key: str, error: str | Exception) -> None:
        """Ends a running call with an error."""
        self._open[key].set_exception(NodeError(error) if isinstance(error, str) else error)


class ListingCodec:
    """An encoder whose bytes are the events as Python prints them, one a line."""

    def __init__(self, names: Iterable[str] = ("apiKey",)) -> None:
        self._secrets = Secrets(names)

    def masking(self, names: Iterable[str]) -> "ListingCodec":
        return ListingCodec(names)

    def encode(self, events: Sequence[Event]) -> bytes:
        return "".join(f"{self._shown(event)!r}\n" for event in events).encode()

    def _shown(self, event: Event) -> Event:
        if isinstance(event, NodeStatusChanged) and event.inputs is not None:
            return changed(event, inputs=self._secrets.mask_inputs(event.inputs))
        return event

    def encode_result(self, finished: Finished) -> bytes:
        return repr(
            (finished.status.name, finished.outputs, [error.text for error in finished.errors])
        ).encode()


@asynccontextmanager
async def running_application(
    *node_types: Any,
    journal: Journal | None = None,
    settings: RuntimeSettings | None = None,
    clock: FakeClock | None = None,
    first_id: int = 0,
    register: WorkRegister | None = None,
    recovered: bool = True,
    observer: Observer | None = None,
) -> AsyncIterator[Application]:
    """An application on a journal in memory, with task ids `task-1`, `task-2` and so on.

    Args:
        node_types: Its node types besides the pure ones.
        journal: Its journal.
        settings: How it runs tasks.
        clock: Its clock.
        first_id: Such ids come after so many thousands, for several applications on one journal.
        register: Where it registers its work.
        recovered: Whether the tasks of the application before were rebuilt when the block begins.
        observer: Is notified of what its tasks do.
    """
    settings = settings or RuntimeSettings()
    numbers = itertools.count(1000 * first_id + 1)
    application = Application(
        journal=journal or MemoryJournal(),
        codec=ListingCodec(settings.secret_names),
        registry=Registry([*pure_node_types(), *node_types]),
        settings=settings,
        clock=clock or FakeClock(),
        new_task_id=lambda: f"task-{next(numbers)}",
        register=register,
        observer=observer,
    )
    async with application.opened():
        if recovered:
            await application.recovered()
        yield application
