"""Applications that die and live again on one journal, and clients that do not lose sight of their tasks over it."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar

from flowgram_core.embedded.application import Application
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope
from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Journal, TaskRecord
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext
from support.fakes import FakeClock, running_application
from support.journals import Fault, FaultyJournal

_T = TypeVar("_T")

_ENDED_RUN = re.compile(r"Status\.(?:SUCCEEDED|FAILED)\b.*?snapshot_id='([^']*)'")


class AnsweringCalls:
    """A node type whose calls answer by themselves: `bad…` fails, `hold…` never ends, others give their key as `v`.

    Attributes:
        type: The name that schemas use.
        made: The idempotency key of each call, in the order in which they were made.
    """

    def __init__(self, chance: random.Random) -> None:
        self.type = "code"
        self.made: list[str] = []
        self._chance = chance

    def bind(self, node: Node) -> CallBehavior:
        def prepare(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
            return inputs

        return CallBehavior(prepare)

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        self.made.append(context.idempotency_key)
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)
        if call.node.id.startswith("hold"):
            await asyncio.get_running_loop().create_future()
        if call.node.id.startswith("bad"):
            raise NodeError(f"{call.key} failed")
        return {"v": call.key}


OpenJournal = Callable[[], AbstractAsyncContextManager[Journal]]
"""Opens a journal that all lives share; on leaving, what was asked of it is done."""


class Environment:
    """One journal, and one application after the other on it.

    Args:
        open_journal: Opens the journal, once for each life.
        plans: For each life, what happens to its journal's operations; after the last one nothing does.
        settings: How tasks are run.

    Attributes:
        operations: How many operations the journal of each life saw.
        calls: The calls of all lives.
    """

    def __init__(
        self,
        open_journal: OpenJournal,
        plans: list[Callable[[str, int], Fault | None]],
        settings: RuntimeSettings,
        seed: int = 0,
    ) -> None:
        self.operations: list[int] = []
        self.calls = AnsweringCalls(random.Random(seed))  # noqa: S311 - it keeps no secrets
        self._open_journal = open_journal
        self._plans = plans
        self._settings = settings
        self._clock = FakeClock()
        self._up: asyncio.Future[Application] | None = None

    async def run(self, *clients: "Client") -> None:
        """Lives on until all clients are content."""
        self._up = asyncio.get_running_loop().create_future()
        living = [asyncio.create_task(client.live(self)) for client in clients]
        content = asyncio.gather(*living)
        time_passes = asyncio.create_task(self._pass_time())
        try:
            while not content.done():
                async with self._open_journal() as journal:
                    await self._one_life(journal, content)
            await content
        finally:
            for task in (*living, time_passes):
                task.cancel()
            await asyncio.gather(content, time_passes, *living, return_exceptions=True)

    async def ask(self, question: Callable[[Application], Awaitable[_T]]) -> _T:
        """Asks the application that lives, and the next one if it dies or cannot answer."""
        while True:
            assert self._up is not None
            up = self._up
            application = await asyncio.shield(up)
            answer = asyncio.ensure_future(question(application))
            while not answer.done() and up is self._up:  # noqa: ASYNC110 - nothing tells the end of either
                await asyncio.sleep(0)
            answer.cancel()
            (outcome,) = await asyncio.gather(answer, return_exceptions=True)
            if not isinstance(outcome, BaseException):
                return outcome
            if not isinstance(outcome, JournalUnavailable | ShuttingDown | asyncio.CancelledError):
                raise outcome
            await asyncio.sleep(0)

    async def _one_life(self, inner: Journal, content: "asyncio.Future[Any]") -> None:
        plan = self._plans.pop(0) if self._plans else lambda operation, number: None
        journal = FaultyJournal(inner, plan)
        life = asyncio.create_task(self._live(journal))
        crashed = asyncio.create_task(journal.crashed.wait())
        await asyncio.wait((life, crashed, content), return_when=asyncio.FIRST_COMPLETED)
        assert self._up is not None
        if self._up.done():  # else it never lived, and all still wait for one that does
            self._up = asyncio.get_running_loop().create_future()
        self.operations.append(journal.operations)
        life.cancel()
        crashed.cancel()
        # A journal that cannot be read keeps an application from opening: it is opened again.
        for outcome in await asyncio.gather(life, crashed, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError | JournalUnavailable | bool), outcome

    async def _live(self, journal: Journal) -> None:
        async with running_application(
            self.calls,
            journal=journal,
            settings=self._settings,
            clock=self._clock,
            first_id=len(self.operations),
        ) as application:
            assert self._up is not None
            self._up.set_result(application)
            await asyncio.get_running_loop().create_future()

    async def _pass_time(self) -> None:
        while True:
            await self._clock.sleeping()
            self._clock.advance(1)
            await asyncio.sleep(0)


class Client:
    """Starts one task, watches it to its end through all lives, and remembers what it has seen.

    Whenever a watch has ended it also looks at the task in the list of all, and at its whole log, as reports do.

    Args:
        request: The task.
        cancel_at: Cancels it when the start of this node's run was seen.

    Attributes:
        task_id: Its id, once it was accepted.
        events: The text of each event, by sequence.
        result: How it ended.
        seen: For each run whose end was seen, how many calls had been made by then.
    """

    def __init__(self, request: TaskRequest, cancel_at: str = "") -> None:
        self.task_id = ""
        self.events: dict[int, str] = {}
        self.result: bytes | None = None
        self.seen: dict[str, int] = {}
        self._request = request
        self._cancel_at = cancel_at

    async def live(self, environment: Environment) -> None:
        """Returns once the task has ended and all its events were seen."""
        record = await environment.ask(lambda application: application.run(self._request))
        self.task_id = record.task_id
        while self.result is None:
            await environment.ask(lambda application: self._watch(application, environment))
            await environment.ask(self._look)
            if self._cancel_at and f"node_id='{self._cancel_at}'" in "".join(self.events.values()):
                await environment.ask(lambda application: application.cancel(self.task_id, "enough"))
                self._cancel_at = ""
            record = await environment.ask(lambda application: application.task(self.task_id))
            if Status(record.status).terminated and record.last_sequence == len(self.events):
                self.result = record.result
        again = await environment.ask(lambda application: application.run(self._request))
        assert again.task_id == self.task_id, "one request, two tasks"
        assert again.result == self.result, "two results"

    async def _watch(self, application: Application, environment: Environment) -> None:
        async with aclosing(application.watch(self.task_id, len(self.events))) as watch:
            async for item in watch:
                assert isinstance(item, Batch)
                for event in item.events.decode().splitlines():
                    self._see(event, environment)
                if self._cancel_at and f"node_id='{self._cancel_at}'" in item.events.decode():
                    return

    async def _look(self, application: Application) -> None:
        received = self.received()
        log = [event async for batch in application.log(self.task_id) for event in _lines(batch)]
        assert log[: len(received)] == received, f"the log of {self.task_id} lacks what was shown"
        page = await application.tasks(limit=100, before=None, statuses=frozenset(), labels={})
        (listed,) = [record for record in page if record.task_id == self.task_id]
        assert listed.last_sequence >= len(received), (
            f"the list does not know what was shown of {self.task_id}"
        )

    def received(self) -> list[str]:
        """The events that were reported, in order."""
        return [self.events[sequence] for sequence in sorted(self.events)]

    def _see(self, event: str, environment: Environment) -> None:
        (sequence,) = re.findall(r"\(sequence=(\d+),", event)
        known = self.events.setdefault(int(sequence), event)
        assert known == event, f"event {sequence} was {known}, and now is {event}"
        assert int(sequence) <= len(self.events), f"event {sequence} comes after a gap"
        for snapshot_id in _ENDED_RUN.findall(event):
            self.seen.setdefault(f"{self.task_id}/{snapshot_id}", len(environment.calls.made))


async def broken_promises(
    clients: list[Client],
    environment: Environment,
    journal: Journal,
    removable: AbstractSet[str] = frozenset(),
) -> list[str]:
    """What was promised and does not hold. Tasks that are removable may be there, with their whole logs, or not."""
    found: list[str] = []
    for client in clients:
        log = [event for batch in await journal.read(client.task_id, 0, 1 << 30) for event in _lines(batch)]
        received = client.received()
        if received != log:
            found.append(f"{client.task_id}: shown was {received}, and the log is {log}")
        found += [
            f"{key} was called again after its end was seen"
            for key, made in client.seen.items()
            if key in environment.calls.made[made:]
        ]
    records: list[TaskRecord] = await journal.tasks(limit=100, before=None, statuses=frozenset(), labels={})
    if {record.task_id for record in records} - removable != {client.task_id for client in clients}:
        found.append("other tasks are stored than were shown")
    for record in records:
        log = await journal.read(record.task_id, 0, 1 << 30)
        if not log or log[-1].last_sequence != record.last_sequence:
            found.append(f"{record.task_id}: the log ends before its last event")
    return found


def _lines(batch: Batch) -> list[str]:
    return batch.events.decode().splitlines()
