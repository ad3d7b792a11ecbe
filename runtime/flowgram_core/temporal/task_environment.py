"""What a worker has for the workflows of all tasks: programs, codecs and limits, by the settings that are pinned to a task."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import NodeTypes
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.observation import Observer
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling.json_text import JSONObject, dumps

_KEPT_VARIANTS: Final = 16


@dataclass(frozen=True, slots=True)
class Variant:
    """What one task is driven with.

    Attributes:
        programs: Compiled schemas, with the node types that its pins name.
        codec: Its own: a codec is for one thread at a time.
        secrets: The secrets of its nodes.
        limits: The limits of its execution.
        secret_names: Node inputs that are secret in it.
    """

    programs: ProgramCache
    codec: Codec
    secrets: Secrets
    limits: Limits
    secret_names: frozenset[str]


class TaskEnvironment:
    """What a worker has for all tasks. Workflows run in threads, several at once.

    Args:
        node_types: The node types that workflows may use.
        settings: The runtime's settings, within what Temporal takes.
        codec: Encodes events and results.
        observer: Is notified of the tasks that end.

    Attributes:
        observer: See the arguments.
    """

    def __init__(
        self,
        node_types: NodeTypes,
        settings: RuntimeSettings,
        codec: Codec,
        observer: Observer | None = None,
    ) -> None:
        self.observer = observer
        self._programs = ProgramCache(node_types, settings)
        self._codec = codec
        self._lock = threading.Lock()
        self._variants: OrderedDict[str, tuple[ProgramCache, PinnedSettings]] = OrderedDict()

    def variant(self, pins: JSONObject | None) -> Variant:
        """What a task with such pins is driven with. Raises `ProtocolError` for those of a later release."""
        key = dumps(pins)
        with self._lock:
            found = self._variants.get(key)
            if found is None:
                pinned = PinnedSettings.from_record(pins)
                programs = self._programs.pinned(pinned.node_types, with_secrets=pinned.with_secrets)
                found = self._variants[key] = programs, pinned
                if len(self._variants) > _KEPT_VARIANTS:
                    self._variants.popitem(last=False)
            else:
                self._variants.move_to_end(key)
        programs, pinned = found
        names = pinned.secret_names
        return Variant(programs, self._codec.masking(names), Secrets(names), pinned.limits, names)


def provide(environment: TaskEnvironment) -> Interceptor:
    """Gives the environment to each workflow of a worker, or of a replayer, before it runs."""

    class Provide(WorkflowInboundInterceptor):
        async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
            workflow.instance().environment = environment
            return await super().execute_workflow(input)

    class ProvideToAll(Interceptor):
        def workflow_interceptor_class(
            self,
            input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's
        ) -> type[WorkflowInboundInterceptor]:
            return Provide

    return ProvideToAll()
