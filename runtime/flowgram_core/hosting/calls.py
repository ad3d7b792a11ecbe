"""Calls: how one is made, with its slot, its time-out, and the outcome that is recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from flowgram_core.concurrency.cancellation import is_canceled
from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.concurrency.offload import LARGE, run_in_thread_if_large
from flowgram_core.concurrency.time_limit import TimeLimit
from flowgram_core.concurrency.timer_queue import TimerQueue
from flowgram_core.engine.activations import CallFailed, CallSucceeded, from_json, to_json
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.isolation import copy_call
from flowgram_core.engine.node_type import Call, is_trusted
from flowgram_core.hosting.call_slots import CallSlots
from flowgram_core.hosting.delta_scrubber import ScrubbedContext
from flowgram_core.hosting.errors import CallWithdrawn
from flowgram_core.hosting.quotas import Quotas
from flowgram_core.hosting.registered_work import RegisteredWork
from flowgram_core.hosting.secrets import Secrets, mask, mask_urls, scrub, scrub_outputs
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.modeling.json_values import is_read_as_it_is
from flowgram_core.modeling.secret_references import placeholder
from flowgram_core.modeling.sizes import size_of
from flowgram_core.nodes.executor import CallContext, Executor
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets

Outcome = CallSucceeded | CallFailed
IsWanted = Callable[[], Awaitable[bool]]
"""Whether a call that can begin now still should."""

_MOST_SECRETS: Final = 1000
"""Secret texts of one call, in all their forms, that are looked for in what it gives: each is a look at all of that."""
_TOO_MANY_SECRETS: Final = f"The inputs of the node have more than {_MOST_SECRETS} secret texts"


class Caller:
    """Makes the calls of all tasks.

    Args:
        executors: By node type.
        settings: The limits.
        secrets: Tells which inputs must not appear in an error.
        clock: Measures the time limits.
        fairness: Keeps many calls that begin or end at once from holding the event loop.
        workflow_secrets: The secrets of the server, whose values must not appear anywhere.
        free: Frees large values that are needed no more once nothing refers to them.
        register: Gets the steps of calls of node types from other packages; None: nobody counts the processes that die of them.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor],
        settings: RuntimeSettings,
        secrets: Secrets,
        clock: Clock,
        fairness: FairScheduler,
        workflow_secrets: WorkflowSecrets | None = None,
        free: Callable[[list[object]], None] | None = None,
        register: WorkRegister | None = None,
    ) -> None:
        self._free = free
        self._register = register
        self._settings = settings
        self._executors = executors
        self._answering_from_outside = frozenset(
            name for name in executors if getattr(executors[name], "answers_from_outside", False)
        )
        self._foreign = frozenset(name for name in executors if not is_trusted(executors[name]))
        self._timeouts = settings.call_timeouts
        self._max_output_bytes = settings.max_output_bytes
        self._secrets = secrets
        self._workflow_secrets = workflow_secrets or WorkflowSecrets()
        self._has_workflow_secrets = bool(self._workflow_secrets)
        self._clock = clock
        self._timers = TimerQueue(clock.call_later, clock.monotonic)
        self._fairness = fairness
        self._slots = CallSlots(
            settings.max_calls,
            settings.max_calls_by_type,
            settings.max_calls_per_task,
            Quotas(settings.quotas),
        )

    def scrubbing(self, names: Iterable[str]) -> "Caller":
        """A caller with the same slots, for tasks in which these inputs are secret as well."""
        other = Caller(
            self._executors,
            self._settings,
            self._secrets.and_also(names),
            self._clock,
            self._fairness,
            self._workflow_secrets,
            self._free,
            self._register,
        )
        other._slots = self._slots
        return other

    @property
    def running(self) -> Mapping[str, int]:
        """Calls that have a slot, by node type."""
        return self._slots.running

    @property
    def waiting(self) -> Mapping[str, int]:
        """Calls that wait for a slot, by node type."""
        return self._slots.waiting

    async def make(
        self, call: Call, context: CallContext, is_wanted: IsWanted | None = None
    ) -> tuple[Outcome, str]:
        """Makes a call once it has a slot.

        Args:
            call: The call.
            context: What surrounds it.
            is_wanted: Asked once it has its slot; None: it is.

        Returns:
            The outcome as the log will have it, and its text there. The task continues with exactly that, so that a replay
            cannot differ.

        Raises:
            CallWithdrawn: It was not wanted any more, and was not made.
        """
        try:
            if call.node.type not in self._answering_from_outside:
                outputs = await self._execute(call, context, is_wanted)
            else:
                if size_of(call.inputs, LARGE) > LARGE:
                    echoes = await asyncio.to_thread(self._echoes, call)
                else:
                    echoes = self._echoes(call)
                if echoes or self._has_workflow_secrets:
                    outputs = await self._scrubbed(call, context, is_wanted, echoes)
                else:
                    outputs = await self._execute(call, context, is_wanted)
            await self._fairness.time_slice()
        except CallWithdrawn:
            raise
        except NodeError as error:
            text = str(error)
        except asyncio.CancelledError as error:
            if is_canceled():
                raise
            text = self._unexpected(
                call, context, error
            )  # the call was not cancelled: the node type raised it by itself
        except Exception as error:  # noqa: BLE001 - a defect of a node type fails its node, and is logged
            text = self._unexpected(call, context, error)
        else:
            outcome = CallSucceeded(self._clock.now(), call.key, outputs)
            recorded = self._recorded_if_small(call, context, outcome)
            return recorded or await self._recorded_in_thread(call, context, outcome)
        text = scrub(text, self._workflow_secrets.known_texts())
        own = await self._own_secrets(call, self._secrets.values)
        text = mask_urls(scrub(text, own)) if len(own) <= _MOST_SECRETS else _TOO_MANY_SECRETS
        failed = CallFailed(self._clock.now(), call.key, text)
        return failed, to_json(failed)

    def _echoes(self, call: Call) -> list[str]:
        """The secrets among the inputs of a call, in the forms in which they may be sent back. A form among the inputs is read for it."""
        own = _without_placeholders(call, self._secrets.echoes(call.inputs))
        if len(own) > _MOST_SECRETS:
            raise NodeError(_TOO_MANY_SECRETS)
        return own

    async def _scrubbed(
        self, call: Call, context: CallContext, is_wanted: IsWanted | None, own: list[str]
    ) -> Any:
        """The outputs of a call, without what a server or a model has sent back of its secrets."""
        known = self._workflow_secrets
        scrubbed = ScrubbedContext(context, own, known.known_texts)
        outputs = await self._execute(call, scrubbed, is_wanted)
        secrets = {**{secret: mask(secret) for secret in own}, **known.known_texts()}
        if len(secrets) * size_of(outputs, LARGE) > LARGE:
            outputs = await asyncio.to_thread(scrub_outputs, outputs, secrets)
        else:
            outputs = scrub_outputs(outputs, secrets)
        scrubbed.flush()
        return outputs

    async def _own_secrets(self, call: Call, find: Callable[[dict[str, object]], list[str]]) -> list[str]:
        """The secrets among the inputs of a call; a form among them is read for it, which takes long where it is large."""
        size = size_of(call.inputs, LARGE)
        return _without_placeholders(call, await run_in_thread_if_large(size, find, call.inputs))

    async def _execute(self, call: Call, context: CallContext, is_wanted: IsWanted | None) -> Any:
        """What a call gives. Its time begins when it has its slot. Raises what its executor raises, `CallWithdrawn`."""
        node_type = call.node.type
        # Whether a node type of somebody else gives what it promises is found out where that is recorded.
        executor: Any = self._executors.get(node_type)
        if executor is None:
            raise NodeError(f"No executor found for node type {node_type}")
        limit = self._timeouts.get(node_type)
        slot = self._slots.slot(node_type, context.owner)
        if not slot.enter_at_once():
            await slot.enter()
        try:
            await self._fairness.time_slice()
            if is_wanted is not None and not await is_wanted():
                raise CallWithdrawn
            if node_type in self._foreign:
                executor = _Foreign(executor, self._register)
                call = copy_call(call)
            if limit is None:
                return await executor.execute(call, context)
            time_limit = TimeLimit(self._timers.call_later, limit)
            try:
                with time_limit:
                    return await executor.execute(call, context)
            except TimeoutError:
                if not time_limit.is_over:
                    raise
        finally:
            slot.leave()
        raise NodeError(f'Node timed out after {limit:g} s (setting call_timeouts, node type "{node_type}")')

    def _recorded_if_small(
        self, call: Call, context: CallContext, outcome: CallSucceeded
    ) -> tuple[Outcome, str] | None:
        """What is recorded of outputs; None where they are large."""
        try:
            outputs = outcome.outputs
            if size_of(outputs, LARGE) > LARGE:
                return None
            if call.node.type not in self._foreign and type(outputs) is dict and is_read_as_it_is(outputs):
                return outcome, self._text_of(outcome)
            return self._record(outcome)
        except Exception as error:  # noqa: BLE001 - outputs of whatever kind must not block the task
            return self._unrecordable(call, context, outcome, error)

    async def _recorded_in_thread(
        self, call: Call, context: CallContext, outcome: CallSucceeded
    ) -> tuple[Outcome, str]:
        if self._free is not None:
            self._free([outcome.outputs])  # what is recorded is read from its text
        try:
            return await asyncio.to_thread(self._record, outcome)
        except Exception as error:  # noqa: BLE001 - as above
            return self._unrecordable(call, context, outcome, error)

    def _unrecordable(
        self, call: Call, context: CallContext, outcome: CallSucceeded, error: Exception
    ) -> tuple[Outcome, str]:
        """What is recorded in place of outputs that cannot be."""
        if isinstance(error, NodeError):
            text = str(error)
        else:
            self._unexpected(call, context, error)
            text = (
                f"Node type {call.node.type} gave outputs that are no JSON object, or are nested too deeply"
            )
        failed = CallFailed(outcome.at, outcome.key, text)
        return failed, to_json(failed)

    def _record(self, outcome: CallSucceeded) -> tuple[Outcome, str]:
        """The outcome as the log will have it, and its text there. Raises any error if the outputs are not JSON.

        Raises:
            NodeError: The outputs are larger than they may be.
        """
        text = self._text_of(outcome)
        return from_json(text), text  # type: ignore[return-value]  # it is what it was

    def _text_of(self, outcome: CallSucceeded) -> str:
        """The outcome as the log has it. Raises as `_record` does."""
        text, limit = to_json(outcome), self._max_output_bytes
        # A character takes one to four bytes: most texts need not be encoded to know that they fit.
        if len(text) * 4 > limit and len(text.encode()) - _around(outcome) > limit:
            raise NodeError(f"Node outputs are larger than the limit max_output_bytes = {limit}")
        return text

    def _unexpected(self, call: Call, context: CallContext, error: BaseException) -> str:
        """Logs an unexpected error of a node type; returns the text for users."""
        secrets = [*self._secrets.values(call.inputs), *self._workflow_secrets.known_texts()]
        log_unexpected_error(error, secrets, call=context.idempotency_key, node_id=call.node.id)
        return f"Node type {call.node.type} failed with an internal error"


def _around(outcome: CallSucceeded) -> int:
    """The bytes of its text without those of its outputs."""
    return len(to_json(outcome._replace(outputs={})).encode()) - len("{}")


def _without_placeholders(call: Call, secrets: list[str]) -> list[str]:
    """Without the texts that only name secrets of the server: they are what is shown of these."""
    if not secrets or not call.node.secrets:
        return secrets
    names = {name for used in call.node.secrets.values() for name in used}
    marks = [placeholder(name) for name in names]
    return [secret for secret in secrets if not any(mark in secret for mark in marks)] if marks else secrets


class _Foreign:
    """An executor of another package: its steps are registered, since nobody knows what they do to the process."""

    def __init__(self, executor: Any, register: WorkRegister | None) -> None:
        self._executor = executor
        self._register = register

    async def execute(self, call: Call, context: CallContext) -> Any:
        """See `Executor`."""
        if self._register is None:
            return await self._executor.execute(call, context)
        return await RegisteredWork(self._make(call, context), self._register, context.task_id)

    async def _make(self, call: Call, context: CallContext) -> Any:
        return await self._executor.execute(call, context)
