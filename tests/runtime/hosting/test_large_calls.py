"""Calls with large inputs and outputs: what takes long is done in a thread."""

import threading
from typing import Any

import pytest
from support.node_calls import FakeContext

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.engine.activations import CallFailed, CallSucceeded
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling.bindings import no_inputs
from flowgram_core.modeling.document import Node

LARGE = 300_000


class Answering:
    """Answers every call with the same outputs."""

    answers_from_outside = True

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = outputs

    async def execute(self, call: Call, context: Any) -> dict[str, Any]:
        return self.outputs


class Watched(Secrets):
    """Notes in which thread secrets are looked for."""

    def echoes(self, inputs: dict[str, Any]) -> list[str]:
        self.thread = threading.current_thread()
        return super().echoes(inputs)


@pytest.mark.parametrize("size", [10, LARGE])
async def test_what_is_large_is_looked_through_in_a_thread(size: int) -> None:
    """A form among the inputs is read to find its secrets; and outputs are freed elsewhere once they are recorded."""
    secrets, freed, outputs = Watched(), list[object](), {"body": ["x"] * size}
    caller = Caller(
        {"http": Answering(outputs)},
        RuntimeSettings(),
        secrets,
        SystemClock(),
        FairScheduler(),
        free=freed.extend,
    )
    inputs = {"bodyType": "form-data", "body": '{"apiKey": "sk-123456789", "other": "' + "x" * size + '"}'}
    call = Call("http_0", Node("http_0", "http", "", {}, no_inputs), inputs)
    outcome, text = await caller.make(call, FakeContext())
    assert isinstance(outcome, CallSucceeded)
    assert outcome.outputs == outputs
    assert text.startswith('["succeeded"')
    assert (secrets.thread is threading.current_thread()) is (size < LARGE)
    assert [each is outputs for each in freed] == [True] * (size == LARGE)


async def test_a_call_has_no_more_secrets_than_can_be_looked_for() -> None:
    """Each is a look at all that a server has sent; a node with tens of thousands of them fails, and shows none."""
    caller = Caller({"http": Answering({})}, RuntimeSettings(), Secrets(), SystemClock(), FairScheduler())
    cookies = "; ".join(f"c{number}=secret-{number:05}" for number in range(2000))
    call = Call("http_0", Node("http_0", "http", "", {}, no_inputs), {"headers": {"cookie": cookies}})
    outcome, _ = await caller.make(call, FakeContext())
    assert isinstance(outcome, CallFailed)
    assert outcome.error == "The inputs of the node have more than 1000 secret texts"
