"""The activity of a call: a worker makes the call, sends heartbeats while it lasts, and passes its deltas on.

An activity that has begun says nothing of whether its call should: on a worker that is slow, or waits for a slot, its task
may have ended since, or the cluster may have taken the worker for dead and begun the activity again elsewhere. So a call that
comes to begin later than a sign of life is due asks the cluster first.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.engine.activations import CallSucceeded
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.calls import Caller, IsWanted
from flowgram_core.hosting.errors import CallWithdrawn
from flowgram_core.hosting.observation import Observer
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.modeling.bindings import no_inputs
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject, encode, loads
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import PayloadUnreadable
from flowgram_core.temporal.names import CALL, PAUSE, RECORD
from flowgram_core.temporal.record import digest
from flowgram_core.temporal.workflow_ids import owner_of

_log = logging.getLogger(__name__)

_MAX_DEPTH: Final = 210
"""Values may be 200 levels deep, and stand some levels deep in the request."""
_TAIL: Final = 16 * 1024
"""So many of the last characters of an answer are reported while it arrives."""
_BEATS: Final = 3
"""Signs of life in the time after which a worker counts as dead."""
_SHORTEST_TIMEOUT: Final = timedelta(seconds=1)


class CallRequest(NamedTuple):
    """What a worker is asked to call.

    Attributes:
        call: The call.
        secret_names: Node inputs that are secret in its task besides those of the worker's settings.
        trace: The trace that its task is a part of; None: of none.
    """

    call: Call
    secret_names: tuple[str, ...]
    trace: str | None = None

    def encode(self) -> bytes:
        """The request as the history holds it."""
        key, node, inputs = self.call
        fields: JSONObject = {
            "key": key,
            "node": [node.id, node.type, node.title, node.data],
            "inputs": inputs,
        }
        if self.secret_names:
            fields["secret_names"] = list(self.secret_names)
        if self.trace is not None:
            fields["trace"] = self.trace
        if node.secrets:
            fields["secrets"] = {field: list(names) for field, names in node.secrets.items()}
        return encode(fields)

    @classmethod
    def decode(cls, data: bytes) -> "CallRequest":
        """What `encode` gave. Raises `PayloadUnreadable` for anything else."""
        try:
            fields: Any = loads(data, max_depth=_MAX_DEPTH)
            node_id, node_type, title, node_data = fields["node"]
            secrets = {field: tuple(names) for field, names in fields.get("secrets", {}).items()}
            node = Node(node_id, node_type, title, node_data, no_inputs, secrets=secrets)
            call = Call(fields["key"], node, fields["inputs"])
            return cls(call, tuple(fields.get("secret_names", ())), fields.get("trace"))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise PayloadUnreadable("not the request of a call") from error


class AnswerSoFar(NamedTuple):
    """What there is of a call's answer, as its heartbeats tell it.

    Attributes:
        node_id: The node that is called.
        key: The call.
        offset: So many characters came before the text.
        text: The last ones that have come.
    """

    node_id: str
    key: str
    offset: int
    text: str


class CallActivities:
    """The activities of a worker.

    Args:
        caller: Makes the calls.
        awaits: Whether the cluster waits for the outcome of the attempt with this task token.
        clock: Tells the time.
        shows_answers: Whether heartbeats tell what there is of an answer.
        observer: Is notified of the calls that were made.
    """

    def __init__(
        self,
        caller: Caller,
        awaits: Callable[[bytes], Awaitable[bool]],
        clock: Clock,
        *,
        shows_answers: bool,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self._caller = caller
        self._awaits = awaits
        self._clock = clock
        self._shows_answers = shows_answers

    @activity.defn(name=CALL)
    async def call(self, carried: bytes, request: bytes) -> bytes:
        """Makes a call.

        Args:
            carried: A record that stands in the history by this.
            request: A `CallRequest`.

        Returns:
            The digest of what was carried, and the outcome as JSON text.
        """
        call, secret_names, trace = CallRequest.decode(request)
        info = activity.info()
        context = _Context(owner_of(info.workflow_id or ""), call, shows_answers=self._shows_answers)
        beating = asyncio.create_task(_keep_beating(context, _interval(info)))
        try:
            text = await self._make(call, secret_names, trace, context, partial(self._is_wanted, info))
        except CallWithdrawn:
            # Where the cluster could not be asked, it begins another attempt; otherwise it passes this over.
            text = "the call was not begun in time"
            raise ApplicationError(text, category=ApplicationErrorCategory.BENIGN) from None
        finally:
            beating.cancel()
        return digest(carried) + text.encode("utf-8", "surrogatepass")

    async def _make(
        self,
        call: Call,
        secret_names: Iterable[str],
        trace: str | None,
        context: "_Context",
        is_wanted: IsWanted,
    ) -> str:
        caller = self._caller_for(secret_names)
        if self._observer is None:
            _, text = await caller.make(call, context, is_wanted)
            return text
        with self._observer.calling(context.task_id, call, trace) as observer:
            outcome, text = await caller.make(call, context, is_wanted)
            observer.ended(Status.SUCCEEDED if isinstance(outcome, CallSucceeded) else Status.FAILED)
        return text

    @activity.defn(name=RECORD)
    async def record(self, data: bytes) -> bytes:
        """Gives a record back, and so puts it into the history."""
        return data

    @activity.defn(name=PAUSE)
    async def pause(self) -> None:
        """Does nothing: the workflow's next step begins a workflow task of its own."""

    def _caller_for(self, secret_names: Iterable[str]) -> Caller:
        return self._caller.scrubbing(secret_names) if secret_names else self._caller

    async def _is_wanted(self, attempt: activity.Info) -> bool:
        """Whether a call that can begin now still should.

        The first sign of life is due after a third of the time in which an attempt counts as dead: until then nobody else can
        have begun with it, and a task that has ended in the meantime did so less than that ago.
        """
        age = self._clock.now() / 1e6 - attempt.started_time.timestamp()
        if abs(age) < _interval(attempt):  # a clock that is behind the cluster's by more tells nothing
            return True
        try:
            return await self._awaits(attempt.task_token)
        except JournalUnavailable as error:
            _log.warning(
                "a call is left to another attempt: %s", error, extra={"task_id": attempt.workflow_id}
            )
            return False


class _Context:
    """What surrounds one call; see `CallContext`."""

    def __init__(self, owner: Owner, call: Call, *, shows_answers: bool) -> None:
        self.owner = owner
        self.task_id = owner.task_id
        self._call = call
        self._shows_answers = shows_answers
        self._length = 0
        self._tail = ""
        # A piece may come from wherever its node type reads it; the activity is known in its own context alone.
        self._context = contextvars.copy_context()

    @property
    def idempotency_key(self) -> str:
        """See `CallContext`."""
        return f"{self.task_id}/{self._call.key}"

    def emit_delta(self, text: str) -> None:
        """See `CallContext`."""
        if self._shows_answers:
            self._length += len(text)
            self._tail = (self._tail + text)[-_TAIL:]
            self.beat()

    def beat(self) -> None:
        """Tells that the worker lives, and what there is of the answer."""
        if self._tail:
            offset = self._length - len(self._tail)
            details = (self._call.node.id, self._call.key, offset, self._tail)
            self._context.run(activity.heartbeat, *details)
        else:
            self._context.run(activity.heartbeat)


def _interval(attempt: activity.Info) -> float:
    """Seconds between two signs of life: what is asked of them is the task's, whatever its worker's settings say."""
    return (attempt.heartbeat_timeout or _SHORTEST_TIMEOUT).total_seconds() / _BEATS


async def _keep_beating(context: _Context, interval: float) -> None:
    """Tells of life from time to time. A call that ends before that is known by its outcome."""
    while True:
        await asyncio.sleep(interval)
        context.beat()
